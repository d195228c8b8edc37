//! What an adversary does by what a rule sees, by the ids of MITRE ATT&CK for enterprises.
//!
//! Here are the rules of which each says one thing; a launch shows by what it is which techniques it serves, and says
//! so itself.

/// The techniques that a rule tells of; none where what it tells is no attack by itself, only new.
pub fn techniques(rule: &str) -> &'static [&'static str] {
    match rule {
        // Exploit Public-Facing Application.
        "http.request_smuggling" | "http.ambiguous_framing" => &["T1190"],
        // Protocol Tunneling; Proxy.
        "net.tunnel" => &["T1572", "T1090"],
        // Exfiltration Over Alternative Protocol; over a Web Service.
        "net.egress_spike" => &["T1048", "T1567"],
        // Network Service Discovery; Remote System Discovery.
        "net.fanout" => &["T1046", "T1018"],
        _ => &[],
    }
}
