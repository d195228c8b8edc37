//! What a server says of its client's request to the process behind it: RFC 3875, 4.1.

use super::{bounded, text};
use crate::{Value, http1::Head};
use std::borrow::Cow;

/// The scheme by which the client asked the server.
pub fn scheme(head: &Head) -> Option<Cow<'static, str>> {
    // Neither is in the RFC. All servers say one of the two.
    match (head.variable("REQUEST_SCHEME"), head.variable("HTTPS")) {
        (Some(scheme), _) => Some(bounded(&String::from_utf8_lossy(scheme)).to_ascii_lowercase().into()),
        (None, Some(on)) if !on.eq_ignore_ascii_case(b"off") => Some("https".into()),
        _ => None,
    }
}

/// The port at which the server was asked.
pub fn server_port(head: &Head) -> Option<u16> {
    number(head.variable("SERVER_PORT")?)
}

/// Attributes of the client, as the server saw it, and of the script that it chose.
pub fn attributes(head: &Head, attributes: &mut Vec<(&'static str, Value)>) {
    if let Some(address) = head.variable("REMOTE_ADDR") {
        attributes.push(("client.address", text(address)));
    }
    if let Some(port) = head.variable("REMOTE_PORT").and_then(number) {
        attributes.push(("client.port", Value::Int(port.into())));
    }
    if let Some(script) = head.variable("SCRIPT_FILENAME") {
        attributes.push(("code.file.path", text(path(script))));
    }
}

fn number(digits: &[u8]) -> Option<u16> {
    str::from_utf8(digits).ok()?.parse().ok()
}

/// Apache's mod_proxy_fcgi writes `proxy:fcgi://host:port/path?query`; PHP takes it apart like this.
fn path(script: &[u8]) -> &[u8] {
    let url = script.strip_prefix(b"proxy:").and_then(|url| {
        let host = url.windows(3).position(|part| part == b"://")? + 3;
        let path = host + url[host..].iter().position(|b| *b == b'/')?;
        url[path..].split(|b| *b == b'?').next()
    });
    url.unwrap_or(script)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_scripts() {
        for (script, expected) in [
            ("/srv/a.php", "/srv/a.php"),
            ("proxy:fcgi://127.0.0.1:9000/srv/a.php?b=c", "/srv/a.php"),
            ("proxy:fcgi://localhost", "proxy:fcgi://localhost"),
            ("proxy:balancer://pool/srv/a.php", "/srv/a.php"),
        ] {
            assert_eq!(path(script.as_bytes()), expected.as_bytes());
        }
    }
}
