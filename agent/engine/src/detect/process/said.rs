//! What a request says, as its reader may have decoded it.

use super::decode::{base64, hexadecimal, percent_decoded, readable, strings};
use crate::{
    exchange::Exchange,
    http1::{Head, Start},
};

/// Most texts of one request: every parameter and field of an everyday one, with what they decode to.
const MAX_TEXTS: usize = 256;
/// Most bytes of them.
const MAX_BYTES: usize = 64 * 1024;
/// Longest one.
const MAX_TEXT: usize = 8192;
/// A value may be coded in so many ways, one within the other.
const MAX_DEPTH: u8 = 3;
/// Fields of the connection, and of how the content is framed.
const GENERAL: &[&str] = &["connection", "content-length", "host", "keep-alive", "te", "transfer-encoding"];

/// A text of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Where it stands.
    pub place: Place,
    /// What it says.
    pub text: String,
}

/// Where in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The path, or a segment of it.
    Path,
    /// A name of a parameter.
    Name,
    /// A parameter of the query.
    Query,
    /// The content, or a part of it.
    Content,
    /// A cookie.
    Cookie,
    /// Another field.
    Field,
}

impl Place {
    /// In words.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Name => "parameter's name",
            Self::Query => "query",
            Self::Content => "content",
            Self::Cookie => "cookie",
            Self::Field => "field",
        }
    }

    /// Whether it names what is asked for, as every request must.
    pub const fn names(self) -> bool {
        matches!(self, Self::Path | Self::Name)
    }
}

/// What a request says.
pub fn said(exchange: &Exchange) -> Vec<Said> {
    let mut texts = Texts::default();
    if let Start::Request { target, .. } = exchange.request.start() {
        texts.target(target);
    }
    texts.fields(&exchange.request);
    texts.content(&exchange.content);
    texts.said
}

#[derive(Default)]
struct Texts {
    said: Vec<Said>,
    bytes: usize,
}

impl Texts {
    fn target(&mut self, target: &[u8]) {
        let end = target.iter().position(|b| *b == b'?').unwrap_or(target.len());
        let (path, query) = target.split_at(end);
        self.value(Place::Path, path, 1);
        for segment in path.split(|b| *b == b'/').filter(|segment| !segment.is_empty()) {
            self.value(Place::Path, segment, 1);
        }
        self.pairs(Place::Query, query.strip_prefix(b"?").unwrap_or_default());
    }

    fn fields(&mut self, head: &Head) {
        for (name, value) in head.iter() {
            if GENERAL.iter().any(|general| name.eq_ignore_ascii_case(general.as_bytes())) {
                continue;
            }
            if name.eq_ignore_ascii_case(b"cookie") {
                for pair in value.split(|b| *b == b';') {
                    let begin = pair.iter().position(|b| *b == b'=').map_or(0, |at| at + 1);
                    self.value(Place::Cookie, pair[begin..].trim_ascii(), 0);
                }
            }
            self.value(Place::Field, value, 0);
            // `Bearer ...`, `Basic ...`
            if let Some(at) = value.iter().position(|b| *b == b' ') {
                self.value(Place::Field, &value[at + 1..], 1);
            }
        }
    }

    fn content(&mut self, content: &[u8]) {
        if content.is_empty() {
            return;
        }
        self.value(Place::Content, content, 0);
        if !content.starts_with(b"{") && !content.starts_with(b"[") && content.contains(&b'=') {
            self.pairs(Place::Content, content);
        }
        // multipart/form-data (RFC 7578): each part behind its fields.
        if content.starts_with(b"--") {
            let text = String::from_utf8_lossy(content);
            for part in text.split("\r\n\r\n").skip(1) {
                let value = part.split("\r\n--").next().unwrap_or(part);
                self.value(Place::Content, value.as_bytes(), 0);
            }
        }
    }

    /// `name=value&name=value`
    fn pairs(&mut self, place: Place, pairs: &[u8]) {
        for pair in pairs.split(|b| matches!(b, b'&' | b';')) {
            match pair.iter().position(|b| *b == b'=') {
                Some(at) => {
                    self.value(Place::Name, &pair[..at], 1);
                    self.value(place, &pair[at + 1..], 0);
                }
                None => self.value(Place::Name, pair, 1),
            }
        }
        // A value may have a `;` or a `&` of its own.
        if pairs.contains(&b';') {
            for pair in pairs.split(|b| *b == b'&') {
                if let Some(at) = pair.iter().position(|b| *b == b'=') {
                    self.value(place, &pair[at + 1..], 1);
                }
            }
        }
    }

    /// A value, and what it decodes to.
    fn value(&mut self, place: Place, value: &[u8], depth: u8) {
        let value = &value[..value.len().min(MAX_TEXT)];
        let Some(text) = readable(value) else { return };
        if !self.add(place, &text) || depth >= MAX_DEPTH {
            return;
        }
        if value.iter().any(|b| matches!(b, b'%' | b'+')) {
            self.value(place, &percent_decoded(value), depth + 1);
        }
        if matches!(value.trim_ascii_start().first(), Some(b'{' | b'[' | b'"')) {
            for string in strings(&text) {
                self.value(place, string.as_bytes(), depth + 1);
            }
        }
        for decoded in [base64(value), hexadecimal(value)].into_iter().flatten() {
            self.value(place, &decoded, depth + 1);
        }
    }

    fn add(&mut self, place: Place, text: &str) -> bool {
        let text = text.trim();
        let known = |said: &Said| said.place == place && said.text == text;
        let room = self.said.len() < MAX_TEXTS && self.bytes + text.len() <= MAX_BYTES;
        if text.is_empty() || !room || self.said.iter().any(known) {
            return false;
        }
        self.bytes += text.len();
        self.said.push(Said { place, text: text.to_owned() });
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        exchange::{Endpoint, Endpoints, Side},
        http1::{Answering, Event, Parser, Role},
    };

    /// The exchange of a request.
    fn exchange(request: &str, content: &[u8]) -> Exchange {
        let mut parser = Parser::new(Role::Request);
        let mut rest = request.as_bytes();
        let head = loop {
            let (used, event) = parser.step(rest, Answering::default());
            rest = &rest[used..];
            if let Some(Event::Head(head)) = event {
                break head;
            }
        };
        let end = Endpoint::unix(b"");
        let mut exchange = Exchange::new(Side::Server, head, Endpoints { local: end.clone(), remote: end });
        exchange.content = content.to_vec();
        exchange
    }

    fn says(target: &str, fields: &str, content: &[u8], text: &str) -> Option<Place> {
        let request = format!("POST {target} HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
        said(&exchange(&request, content)).into_iter().find(|said| said.text == text).map(|said| said.place)
    }

    #[test]
    fn all_that_carries_a_command() {
        let multipart = b"--x\r\nContent-Disposition: form-data; name=\"c\"\r\n\r\nid; ls\r\n--x--\r\n";
        let cases: &[(&str, &str, &[u8], Place)] = &[
            ("/run?c=id%3B+ls", "", b"", Place::Query),
            ("/run?a=1&c=id;%20ls", "", b"", Place::Query),
            ("/run?c=id%253B%2520ls", "", b"", Place::Query),
            ("/run?c=aWQ7IGxz", "", b"", Place::Query),
            ("/run?c=aWQ7IGxz%0A", "", b"", Place::Query),
            ("/run?c=69643b206c73", "", b"", Place::Query),
            ("/run/id;%20ls", "", b"", Place::Path),
            ("/run?id;%20ls", "", b"c=id%3b%20ls", Place::Content),
            ("/", "", b"id; ls", Place::Content),
            ("/", "", b"aWQ7IGxz", Place::Content),
            ("/", "", br#"{"a": [1, {"c": "id; \u006cs"}]}"#, Place::Content),
            ("/", "", br#"{"c": "aWQ7IGxz"}"#, Place::Content),
            ("/", "", br#"{"c": "id; ls"} and it goes on: {"cut": "#, Place::Content),
            ("/", "", multipart, Place::Content),
            ("/", "Cookie: a=1; c=id%3B%20ls\r\n", b"", Place::Cookie),
            ("/", "X-C: id; ls\r\n", b"", Place::Field),
            ("/", "Authorization: Bearer aWQ7IGxz\r\n", b"", Place::Field),
        ];
        for (target, fields, content, place) in cases {
            assert_eq!(
                says(target, fields, content, "id; ls"),
                Some(*place),
                "{target} {fields} {content:?}"
            );
        }
        assert_eq!(says("/run?c=test", "", b"", "test"), Some(Place::Query));
        assert_eq!(says("/", "Content-Length: 7\r\n", b"", "7"), None);
    }

    #[test]
    fn bounds() {
        let many = "a=".repeat(40_000) + &"&b=%2525252541".repeat(4000);
        let texts = said(&exchange("POST / HTTP/1.1\r\n\r\n", many.as_bytes()));
        assert!(texts.len() <= MAX_TEXTS);
        assert!(texts.iter().map(|said| said.text.len()).sum::<usize>() <= MAX_BYTES);
        assert!(
            said(&exchange("POST / HTTP/1.1\r\n\r\n", &[0, 1, 2, 0xff, 0xfe])).iter().all(|s| s.text == "/")
        );
    }
}
