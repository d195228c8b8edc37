//! What findings say in words and attributes.

use super::{Carrier, hidden::Hidden};
use crate::{
    Value,
    exchange::{Endpoint, Endpoints, Exchange},
    finding::{Confidence, Severity},
    http1::{Deviations, Framing, Head, Leniency, Start},
};

/// Longest text of a smuggled request, in bytes: a start line and the fields that matter.
const MAX_TEXT: usize = 1024;
/// Longest excerpt of a stranger's bytes, in bytes.
const MAX_EXCERPT: usize = 200;
/// What the names of fields hold whose values are secrets.
const SECRET: [&[u8]; 6] = [b"auth", b"cookie", b"token", b"key", b"secret", b"credential"];

/// Both go by the coding, and take its chunks differently.
const ODD_CHUNKS: &str = "TE.TE: odd chunks";

/// Whether a status says that the server could not read a request: it ran nothing then.
pub fn refuses(status: u16) -> bool {
    matches!(status, 400 | 414 | 431 | 501 | 505)
}

/// How two readers disagree, in the words of those who study it.
pub fn technique(carrier: &Carrier) -> &'static str {
    let other =
        |framing: fn(&Framing) -> bool| carrier.readings.iter().any(|reading| framing(&reading.framing));
    let length = other(|framing| matches!(framing, Framing::Length(_)));
    match carrier.framing {
        Framing::Length(_) if other(|framing| *framing == Framing::Chunked) => "CL.TE: length against coding",
        Framing::Chunked | Framing::Unknown if length => "TE.CL: coding against length",
        Framing::Length(_) => "CL.0: content left unread",
        Framing::Chunked if carrier.deviations.has_any(&Deviations::OF_CHUNKS) => ODD_CHUNKS,
        Framing::Chunked => "TE.0: content left unread",
        _ => "ambiguous framing",
    }
}

/// How a front end and a back end disagree that go by these.
pub fn technique_of(front: Framing, back: Framing) -> &'static str {
    match (front, back) {
        (Framing::Length(_), Framing::Chunked) => "CL.TE: length against coding",
        (Framing::Chunked, Framing::Chunked) => ODD_CHUNKS,
        (Framing::Chunked, _) => "TE.CL: coding against length",
        (Framing::Length(_), Framing::Length(_)) => "CL.CL: length against length",
        (Framing::Length(_), _) => "CL.0: length against none",
        (Framing::None, Framing::None) => "request splitting by line ends",
        _ => "ambiguous framing",
    }
}

/// What a framing goes by.
pub fn by(framing: Framing) -> String {
    match framing {
        Framing::None => "no length and no coding (no content)".into(),
        Framing::Length(length) => format!("Content-Length ({length})"),
        Framing::Chunked => "the chunked coding".into(),
        Framing::UntilClose | Framing::Tunnel => "the end of the connection".into(),
        Framing::Unknown => "nothing that RFC 9112 allows".into(),
    }
}

/// What a reader goes by who is lenient in some way.
pub fn by_reader(framing: Framing, leniency: Leniency) -> String {
    let how = match (framing, leniency) {
        (_, Leniency::LfIsText) if framing != Framing::Chunked => {
            ", behind a head whose lines end with CRLF alone"
        }
        (Framing::Chunked, Leniency::LfIsText) => ", whose lines end with CRLF alone",
        (Framing::Chunked, Leniency::FirstDigits) => ", whose sizes are the digits that come first",
        (Framing::Chunked, Leniency::Number) => ", whose sizes are numbers as programs write them",
        (Framing::Chunked, Leniency::AnyEnd) => ", whose data is followed by any two bytes",
        _ => "",
    };
    by(framing) + how
}

/// The client of a server's connection, as attributes.
pub fn client(endpoints: &Endpoints, attributes: &mut Vec<(&'static str, Value)>) {
    attributes.push(("client.address", Value::Str(address(&endpoints.remote))));
    if let Endpoint::Tcp(_, port) = endpoints.remote {
        attributes.push(("client.port", Value::Int(port.into())));
    }
}

/// How bad a verdict is: what may as well be something else wakes nobody.
pub const fn severity(confidence: Confidence) -> Severity {
    match confidence {
        Confidence::Suspicious => Severity::Medium,
        Confidence::Probable | Confidence::Confirmed => Severity::Critical,
    }
}

/// An end without its port.
pub fn address(endpoint: &Endpoint) -> String {
    match endpoint {
        Endpoint::Tcp(address, _) => address.to_string(),
        Endpoint::Unix(_) => endpoint.to_string(),
    }
}

/// Method and target of an exchange, fit to be shown.
pub fn name(exchange: &Exchange) -> (String, String) {
    (exchange.method().to_owned(), target(exchange.target()))
}

/// The same in one.
pub fn named(exchange: &Exchange) -> String {
    let (method, target) = name(exchange);
    format!("{method} {target}")
}

/// The same of a head.
pub fn start(head: &Head) -> String {
    match head.start() {
        Start::Request { method, target: raw } => format!("{method} {}", target(raw)),
        Start::Response { status, .. } => status.to_string(),
    }
}

fn target(raw: &[u8]) -> String {
    without_secrets(&excerpt(raw))
}

/// A target with the values of secret parameters replaced.
pub fn without_secrets(target: &str) -> String {
    match target.split_once('?') {
        Some((path, query)) => format!("{path}?{}", crate::span::redact(query)),
        None => target.to_owned(),
    }
}

/// The request that a carrier brought, as attributes.
pub fn smuggled(carrier: &Carrier, status: Option<u16>) -> Vec<(&'static str, Value)> {
    let Some(hidden) = carrier.carried() else { return of_request("", "", status) };
    let mut attributes = match hidden.head().as_ref().map(|head| head.start()) {
        Some(Start::Request { method, target: raw }) => of_request(method, &target(raw), status),
        _ => {
            let [method, raw] = hidden.words();
            of_request(&excerpt(method), &target(raw), status)
        }
    };
    attributes.push(("tracer.smuggled.text", Value::Str(text(&hidden.text))));
    attributes
}

/// A smuggled request's method, target and status, as attributes.
pub fn of_request(method: &str, target: &str, status: Option<u16>) -> Vec<(&'static str, Value)> {
    let mut attributes = Vec::new();
    if !method.is_empty() {
        attributes.push(("tracer.smuggled.method", Value::Str(method.to_owned())));
        attributes.push(("tracer.smuggled.target", Value::Str(target.to_owned())));
    }
    if let Some(status) = status {
        attributes.push(("tracer.smuggled.status_code", Value::Int(status.into())));
    }
    attributes
}

/// What was captured of a request, at most a kilobyte, without the values of fields that are secrets.
pub fn text(raw: &[u8]) -> String {
    let mut secret = false;
    let lines = raw[..raw.len().min(MAX_TEXT)].split_inclusive(|b| *b == b'\n').enumerate();
    lines
        .map(|(n, line)| match line.first() {
            _ if n == 0 => start_line(line),
            // A line that begins with whitespace goes on with the field before it.
            Some(b' ' | b'\t') if secret => " REDACTED\r\n".to_owned(),
            _ => {
                secret = is_secret(line);
                field_line(line, secret)
            }
        })
        .collect()
}

/// Its first line, fit to be shown.
pub fn line(hidden: &Hidden) -> String {
    start_line(excerpt(hidden.line()).as_bytes())
}

fn start_line(line: &[u8]) -> String {
    let line = String::from_utf8_lossy(line);
    match line.rsplit_once(' ') {
        Some((rest, version)) => format!("{} {version}", without_secrets(rest)),
        None => line.into_owned(),
    }
}

/// Whether a field's name says that its value is a secret.
fn is_secret(line: &[u8]) -> bool {
    let name = line.split(|b| *b == b':').next().unwrap_or_default().to_ascii_lowercase();
    SECRET.iter().any(|secret| memchr::memmem::find(&name, secret).is_some())
}

fn field_line(line: &[u8], secret: bool) -> String {
    let name = line.split(|b| *b == b':').next().unwrap_or_default();
    match secret {
        true => format!("{}: REDACTED\r\n", String::from_utf8_lossy(name)),
        false => String::from_utf8_lossy(line).into_owned(),
    }
}

/// The begin of a stranger's bytes, made harmless.
pub fn excerpt(bytes: &[u8]) -> String {
    bytes[..bytes.len().min(MAX_EXCERPT)].escape_ascii().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::smuggling::hidden::Scanner;

    #[test]
    fn secrets_are_taken_out_of_what_was_captured() {
        let mut scanner = Scanner::default();
        scanner.bytes(b"GET /a?token=1&b=2 HTTP/1.1\r\nCookie: a=b\r\n c=d\r\nX: y\r\n\r\n");
        let text = text(&scanner.found()[0].text);
        assert_eq!(
            text,
            "GET /a?token=REDACTED&b=2 HTTP/1.1\r\nCookie: REDACTED\r\n REDACTED\r\nX: y\r\n\r\n"
        );
        assert_eq!(line(&scanner.found()[0]), "GET /a?token=REDACTED&b=2 HTTP/1.1");
    }
}
