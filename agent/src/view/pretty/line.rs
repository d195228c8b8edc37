//! One span as one line of text.
//!
//! What applications and their clients chose (paths, arguments, names) is printed without control
//! characters: a request must not be able to draw on the terminal of the person who looks at it.

use super::tree::{Line, Place};
use crate::filter::{attribute, duration, int, service_name};
use anstyle::{AnsiColor, Style as Ansi};
use jiff::{Timestamp, tz::TimeZone};
use std::time::Duration;
use tracer_engine::{Span, SpanKind, Status, Value};

/// Longest text that a stranger chose, in characters.
const MAX_TEXT: usize = 240;
/// Width of the time before a root: its children stand under what follows.
const TIME_WIDTH: usize = 14;

/// From this confidence on, a link that had no rival is drawn without a mark.
const CERTAIN: f64 = 0.95;

/// How lines look.
#[derive(Clone, Debug)]
pub struct Style {
    /// With colour.
    pub color: bool,
    /// Whose time.
    pub zone: TimeZone,
}

impl Style {
    /// The line, without its line feed.
    pub fn line(&self, line: &Line) -> String {
        let span = &line.span;
        let head = match line.place {
            Place::Child => " ".repeat(TIME_WIDTH),
            _ => format!("{:<TIME_WIDTH$}", self.time(span.start_unix_nano)),
        };
        let what = match span.kind {
            SpanKind::Internal => self.launch(span),
            SpanKind::Server | SpanKind::Client => self.exchange(span),
        };
        let note = match line.place {
            Place::Stray => "  (caller not traced)".into(),
            Place::Flat => "  (tree not shown)".into(),
            Place::Root => String::new(),
            Place::Child => doubt(span).map_or(String::new(), |doubt| format!("  {doubt}")),
        };
        format!("{}{what}{}", self.dim(&format!("{head}{}", line.branch)), self.dim(&note))
    }

    /// A text that is less important.
    pub fn dim(&self, text: &str) -> String {
        self.paint(Ansi::new().dimmed(), text)
    }

    fn exchange(&self, span: &Span) -> String {
        let method = text(span, "http.request.method_original")
            .or_else(|| text(span, "http.request.method"))
            .unwrap_or_else(|| clean(&span.name));
        let peer = match span.kind {
            SpanKind::Client => peer(span).map(|peer| format!(" → {peer}")),
            _ => client(span).map(|client| format!("  from {client}")),
        };
        format!(
            "{} {}  {}  {}  {}{}",
            self.paint(Ansi::new().bold(), &method),
            target(span),
            self.status(span),
            short(duration(span)),
            service(span),
            peer.unwrap_or_default()
        )
    }

    fn launch(&self, span: &Span) -> String {
        let command = match attribute(span, "process.command_args") {
            Some(Value::Strings(words)) if !words.is_empty() => command(words),
            _ => text(span, "process.executable.name").unwrap_or_else(|| clean(&span.name)),
        };
        let end = match int(span, "process.exit.code") {
            Some(0) => self.paint(AnsiColor::Green.on_default(), "exit 0"),
            Some(code) => {
                // A signal, where it was one.
                let words = failure(span).unwrap_or_else(|| format!("exit {code}"));
                self.paint(AnsiColor::Red.on_default(), &words)
            }
            None => {
                self.paint(AnsiColor::Yellow.on_default(), &failure(span).unwrap_or("exit unknown".into()))
            }
        };
        // The resource is the service that launched it.
        let pid = int(span, "process.pid").unwrap_or(span.resource.pid.into());
        format!("$ {command}  {end}  {}  pid {pid}", short(duration(span)))
    }

    /// The status code in the colour of its class, or why there is none.
    fn status(&self, span: &Span) -> String {
        let code = int(span, "http.response.status_code");
        let color = match code.map(|code| code / 100) {
            Some(1..=2) => AnsiColor::Green,
            Some(3) => AnsiColor::Cyan,
            Some(4) => AnsiColor::Yellow,
            _ => AnsiColor::Red,
        };
        let words =
            code.map_or_else(|| failure(span).unwrap_or("no response".into()), |code| code.to_string());
        self.paint(color.on_default(), &words)
    }

    fn paint(&self, style: Ansi, text: &str) -> String {
        if self.color && !text.is_empty() { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }

    fn time(&self, unix_nano: u64) -> String {
        let time = Timestamp::from_nanosecond(unix_nano.into()).unwrap_or_default();
        time.to_zoned(self.zone.clone()).strftime("%H:%M:%S%.3f").to_string()
    }
}

/// How sure it is that a span was caused by the one it stands under, where that is not certain.
fn doubt(span: &Span) -> Option<String> {
    let Some(Value::Float(confidence)) = attribute(span, "tracer.link.confidence") else { return None };
    let candidates = int(span, "tracer.link.candidates").unwrap_or(1);
    if *confidence >= CERTAIN && candidates <= 1 {
        return None;
    }
    // Cut, not rounded: what is open to doubt must not read 1.00.
    let percent = (confidence * 100.0 + 1e-6).floor().min(99.0);
    let of = if candidates > 1 { format!(" of {candidates}") } else { String::new() };
    Some(format!("~{:.2}{of}", percent / 100.0))
}

/// Why something failed, in the span's own words.
fn failure(span: &Span) -> Option<String> {
    match &span.status {
        Status::Error(words) if !words.is_empty() => Some(clean(words)),
        _ => text(span, "error.type").or_else(|| text(span, "tracer.incomplete")),
    }
}

/// Path and query: of a client's request they stand in `url.full`.
fn target(span: &Span) -> String {
    if let Some(full) = text(span, "url.full") {
        let after_scheme = full.split_once("://").map_or(full.as_str(), |(_, rest)| rest);
        return after_scheme.find(['/', '?']).map_or("/".into(), |at| after_scheme[at..].to_owned());
    }
    // A request to open a tunnel has no path: its target is a server.
    let path = text(span, "url.path")
        .or_else(|| address(span, "server.address", "server.port"))
        .unwrap_or_else(|| "?".into());
    text(span, "url.query").map_or(path.clone(), |query| format!("{path}?{query}"))
}

fn service(span: &Span) -> String {
    let name = service_name(span).map_or("?".into(), |name| clean(name));
    format!("{name}[{}]", span.resource.pid)
}

/// Where a request went: the peer of the connection, else the server's name.
fn peer(span: &Span) -> Option<String> {
    address(span, "network.peer.address", "network.peer.port")
        .or_else(|| address(span, "server.address", "server.port"))
}

fn client(span: &Span) -> Option<String> {
    address(span, "client.address", "client.port")
        .or_else(|| address(span, "network.peer.address", "network.peer.port"))
}

fn address(span: &Span, host: &str, port: &str) -> Option<String> {
    let host = text(span, host).filter(|host| !host.is_empty())?;
    Some(match int(span, port) {
        Some(port) if host.contains(':') => format!("[{host}]:{port}"),
        Some(port) => format!("{host}:{port}"),
        None => host,
    })
}

fn text(span: &Span, key: &str) -> Option<String> {
    match attribute(span, key)? {
        Value::Str(text) => Some(clean(text)),
        _ => None,
    }
}

/// Arguments as a shell would take them.
fn command(words: &[String]) -> String {
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
fn clean(text: &str) -> String {
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
fn short(duration: Duration) -> String {
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
