//! What spans and findings say, as words for a person.
//!
//! What applications and their clients chose (paths, arguments, names) is printed without control
//! characters: a request must not be able to draw on the terminal of the person who looks at it.

use crate::attributes::{Attributed, int, service_name, string};
use std::time::Duration;

/// Longest text that a stranger chose, in characters.
const MAX_TEXT: usize = 240;

/// Path and query: of a client's request they stand in `url.full`.
pub fn target(of: &impl Attributed) -> String {
    if let Some(full) = text(of, "url.full") {
        let after_scheme = full.split_once("://").map_or(full.as_str(), |(_, rest)| rest);
        return after_scheme.find(['/', '?']).map_or("/".into(), |at| after_scheme[at..].to_owned());
    }
    // A request to open a tunnel has no path: its target is a server.
    let path = text(of, "url.path")
        .or_else(|| address(of, "server.address", "server.port"))
        .unwrap_or_else(|| "?".into());
    text(of, "url.query").map_or(path.clone(), |query| format!("{path}?{query}"))
}

/// Service and process.
pub fn service(of: &impl Attributed) -> String {
    let name = service_name(of).map_or("?".into(), clean);
    format!("{name}[{}]", of.resource().pid)
}

/// Where a request went: the peer of the connection, else the server's name.
pub fn peer(of: &impl Attributed) -> Option<String> {
    address(of, "network.peer.address", "network.peer.port")
        .or_else(|| address(of, "server.address", "server.port"))
}

/// Where a request came from.
pub fn client(of: &impl Attributed) -> Option<String> {
    address(of, "client.address", "client.port")
        .or_else(|| address(of, "network.peer.address", "network.peer.port"))
}

fn address(of: &impl Attributed, host: &str, port: &str) -> Option<String> {
    let host = text(of, host).filter(|host| !host.is_empty())?;
    Some(match int(of, port) {
        Some(port) if host.contains(':') => format!("[{host}]:{port}"),
        Some(port) => format!("{host}:{port}"),
        None => host,
    })
}

/// An attribute that is a string.
pub fn text(of: &impl Attributed, key: &str) -> Option<String> {
    string(of, key).map(clean)
}

/// Arguments as a shell would take them.
pub fn command(words: &[String]) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./=:,@%+".contains(c);
    let quoted: Vec<_> = words
        .iter()
        .map(|word| match word.is_empty() || !word.chars().all(plain) {
            true => format!("'{}'", word.replace('\'', "'\\''")),
            false => word.clone(),
        })
        .collect();
    clean(&quoted.join(" "))
}

/// Without what moves the cursor, changes colours or the direction of writing; not longer than useful.
pub fn clean(text: &str) -> String {
    let harmful = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let mut clean = String::with_capacity(text.len().min(MAX_TEXT));
    for (n, c) in text.chars().enumerate() {
        match c {
            _ if n == MAX_TEXT => {
                clean.push('…');
                break;
            }
            '\n' => clean.push_str("\\n"),
            '\r' => clean.push_str("\\r"),
            '\t' => clean.push_str("\\t"),
            c if harmful(c) => clean.extend(c.escape_unicode()),
            c => clean.push(c),
        }
    }
    clean
}

/// A duration with three digits that count.
pub fn short(duration: Duration) -> String {
    let micros = duration.as_secs_f64() * 1e6;
    let (value, unit) = match duration.as_micros() {
        0..1_000 => return format!("{} µs", duration.as_micros()),
        1_000..1_000_000 => (micros / 1e3, "ms"),
        1_000_000..60_000_000 => (micros / 1e6, "s"),
        _ => return format!("{} min {} s", duration.as_secs() / 60, duration.as_secs() % 60),
    };
    let decimals = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
    format!("{value:.decimals$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_short() {
        let short = |nanos| short(Duration::from_nanos(nanos));
        assert_eq!(short(0), "0 µs");
        assert_eq!(short(999_999), "999 µs");
        assert_eq!(short(1_000_000), "1.00 ms");
        assert_eq!(short(12_400_000), "12.4 ms");
        assert_eq!(short(850_000_000), "850 ms");
        assert_eq!(short(1_234_000_000), "1.23 s");
        assert_eq!(short(125_000_000_000), "2 min 5 s");
    }

    #[test]
    fn strangers_cannot_draw() {
        assert_eq!(clean("a\u{1b}[2Jb\r\n"), "a\\u{1b}[2Jb\\r\\n");
        assert_eq!(clean("\u{9b}1m\u{202e}x"), "\\u{9b}1m\\u{202e}x");
        assert_eq!(clean("\u{e4} ok"), "\u{e4} ok");
        let long = clean(&"x".repeat(1000));
        assert_eq!((long.chars().count(), long.ends_with('…')), (MAX_TEXT + 1, true));
    }

    #[test]
    fn commands_are_quoted_like_in_a_shell() {
        let words = |list: &[&str]| list.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
        assert_eq!(command(&words(&["sh", "-c", "id; ls"])), "sh -c 'id; ls'");
        assert_eq!(command(&words(&["echo", "", "it's"])), "echo '' 'it'\\''s'");
    }
}
