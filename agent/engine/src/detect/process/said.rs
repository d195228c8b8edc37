//! What a request says, as its reader may have decoded it.

use super::decode::{base64, entities, hexadecimal, percent_decoded, readable, runs, strings, utf16};
use crate::{
    exchange::Exchange,
    graph::NodeId,
    http1::{Head, Start},
};
use std::{borrow::Cow, collections::VecDeque};

/// Most bytes of the texts of one request: whatever stands in it in plain, and what that decodes to a few times over,
/// when its head and the kept begin of its content are as long as they may be. No number of parameters hides another.
const MAX_BYTES: usize = 128 * 1024;
/// Most texts: so many, decoded to as little as there can be of them, take as much room.
const MAX_TEXTS: usize = 8192;
/// Requests of which that is kept: as many as a launch is compared with, and as many that have just ended.
const MAX_RECENT: usize = 32;
/// Longest one.
const MAX_TEXT: usize = 8192;
/// A value may be coded in so many ways, one within the other.
const MAX_DEPTH: u8 = 3;
/// Fields of the connection, and of how the content is framed.
const GENERAL: &[&str] = &["connection", "content-length", "host", "keep-alive", "te", "transfer-encoding"];

/// Fields that every client sends, or every front end adds: of content negotiation and conditions (RFC 9110, 12.5 and
/// 13.1), of the client and of where it comes from (10.1, 11.6, Fetch, RFC 7239), of traces.
const EVERYONES: &[&str] = &[
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "authorization",
    "b3",
    "cache-control",
    "content-type",
    "cookie",
    "dnt",
    "expect",
    "forwarded",
    "from",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-unmodified-since",
    "origin",
    "pragma",
    "priority",
    "range",
    "referer",
    "traceparent",
    "tracestate",
    "upgrade",
    "upgrade-insecure-requests",
    "user-agent",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-real-ip",
    "x-request-id",
    "x-requested-with",
];

/// Behind each message of a WebSocket, where they stand one behind the other: a record separator (ISO 646).
pub const MESSAGE_END: u8 = 0x1e;
/// Most parts of a form that are looked at for that: more than forms have.
const MAX_PARTS: usize = 64;
/// Longest order that is taken for one when it cannot be read.
const MAX_ORDER: usize = 4096;
/// What files begin with, and where: images, sounds, films, documents, archives, programs.
const FORMATS: &[(usize, &[u8])] = &[
    (0, b"\x89PNG"),
    (0, b"\xff\xd8\xff"),
    (0, b"GIF8"),
    (0, b"BM"),
    (0, b"II*\0"),
    (0, b"MM\0*"),
    (0, b"\0\0\x01\0"),
    (0, b"RIFF"),
    (0, b"OggS"),
    (0, b"ID3"),
    (0, b"fLaC"),
    (4, b"ftyp"),
    (0, b"\x1aE\xdf\xa3"),
    (0, b"%PDF"),
    (0, b"\xd0\xcf\x11\xe0"),
    (0, b"wOF"),
    (0, b"PK\x03\x04"),
    (0, b"\x1f\x8b"),
    (0, b"BZh"),
    (0, b"\xfd7zXZ"),
    (0, b"7z\xbc\xaf"),
    (0, b"\x28\xb5\x2f\xfd"),
    (0, b"\x7fELF"),
    (0, b"SQLite format"),
    (0, b"\0asm"),
];

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

/// Bytes of the longest value of a request that could say what cannot be read in it: an order that is encrypted, or
/// put together. The path, numbers and what every client says are none: a request always has these.
pub fn room(exchange: &Exchange) -> usize {
    let number = |value: &[u8]| value.iter().all(|b| b.is_ascii_digit() || b".,:-+".contains(b));
    let mut longest = 0;
    let mut value = |value: &[u8]| longest = longest.max(if number(value) { 0 } else { value.len() });
    let target = exchange.target();
    if let Some(at) = target.iter().position(|b| *b == b'?') {
        values(&target[at + 1..], b'&', &mut value);
    }
    let is_fetch = |name: &[u8]| name.get(..4).is_some_and(|begin| begin.eq_ignore_ascii_case(b"sec-"));
    let known = |name: &[u8], list: &[&str]| list.iter().any(|one| name.eq_ignore_ascii_case(one.as_bytes()));
    for (name, field) in exchange.request.iter() {
        if name.eq_ignore_ascii_case(b"cookie") {
            values(field, b';', &mut value);
        } else if !known(name, GENERAL) && !known(name, EVERYONES) && !is_fetch(name) {
            value(field);
        }
    }
    messages(exchange).for_each(|message| content_values(message, &mut value));
    longest
}

/// The same of a value in the content that is neither text nor of a format that says what it is: as it stands, or in
/// base64. Orders are short; what is long was uploaded.
pub fn opaque(exchange: &Exchange) -> usize {
    let mut longest = 0;
    // What is said in a WebSocket is packed mostly (RFC 7692).
    let content = if is_upgraded(exchange) { &[] } else { &*exchange.content };
    content_values(content, &mut |value| {
        let decoded = if is_coded(value) { base64(value) } else { None };
        let bytes = decoded.as_deref().unwrap_or(value);
        if bytes.len() <= MAX_ORDER && readable(bytes).is_none() && !is_of_a_format(bytes) {
            longest = longest.max(bytes.len());
        }
    });
    longest
}

/// Whether it became a WebSocket.
fn is_upgraded(exchange: &Exchange) -> bool {
    exchange.response.as_ref().is_some_and(|head| head.status() == Some(101))
}

/// Its content, or what was said in the WebSocket that it became.
fn messages(exchange: &Exchange) -> impl Iterator<Item = &[u8]> {
    let upgraded = is_upgraded(exchange);
    exchange.content.split(move |b| upgraded && *b == MESSAGE_END)
}

/// Whether a text is base64, rather than a word: it has letters of both cases, and something else.
fn is_coded(value: &[u8]) -> bool {
    const SHORTEST: usize = 8;
    let other = |b: &u8| b.is_ascii_digit() || b"+/=_-".contains(b);
    value.len() >= SHORTEST
        && value.iter().any(u8::is_ascii_uppercase)
        && value.iter().any(u8::is_ascii_lowercase)
        && value.iter().any(other)
}

/// Whether bytes begin as files of a known format do.
fn is_of_a_format(bytes: &[u8]) -> bool {
    FORMATS.iter().any(|(at, magic)| bytes.get(*at..).is_some_and(|bytes| bytes.starts_with(magic)))
}

/// Whether a content begins with a name and its value.
fn is_form(content: &[u8]) -> bool {
    let name = content.iter().take_while(|b| b.is_ascii_alphanumeric() || b"%_-.[]+*".contains(b)).count();
    name > 0 && content.get(name) == Some(&b'=') && content.get(name + 1).is_some_and(|b| *b != b'=')
}

/// Values between separators, behind their names if they have any.
fn values(pairs: &[u8], end: u8, value: &mut impl FnMut(&[u8])) {
    for pair in pairs.split(|b| *b == end) {
        // Base64 is padded at its end.
        let padding = pair.iter().rev().take_while(|b| **b == b'=').count();
        let begin = pair[..pair.len() - padding].iter().position(|b| *b == b'=').map_or(0, |at| at + 1);
        value(&percent_decoded_if(pair[begin..].trim_ascii()));
    }
}

fn percent_decoded_if(value: &[u8]) -> Cow<'_, [u8]> {
    match value.contains(&b'%') {
        true => percent_decoded(value).into(),
        false => value.into(),
    }
}

/// Values of a content: the strings of JSON, the parts of a multipart form, the values of another form, or all of it.
fn content_values(content: &[u8], value: &mut impl FnMut(&[u8])) {
    match content.first() {
        Some(b'{' | b'[' | b'"') => {
            strings(&String::from_utf8_lossy(content)).iter().for_each(|string| value(string.as_bytes()));
        }
        Some(b'-') if content.starts_with(b"--") => {
            let ends = |end: &'static [u8]| memchr::memmem::find_iter(content, end);
            for begin in ends(b"\r\n\r\n").map(|at| at + 4).take(MAX_PARTS) {
                let end = ends(b"\r\n--").find(|end| *end >= begin).unwrap_or(content.len());
                value(&content[begin..end]);
            }
        }
        _ if is_form(content) => values(content, b'&', value),
        _ => value(content),
    }
}

/// What a request says.
#[derive(Debug, Default)]
pub struct Said {
    /// All texts, one behind the other.
    all: String,
    /// Where each stands, and where it ends here.
    ends: Vec<(Place, usize)>,
}

impl Said {
    /// Of a request.
    pub fn of(exchange: &Exchange) -> Self {
        let mut texts = Texts { said: Self::default() };
        if let Start::Request { target, .. } = exchange.request.start() {
            texts.target(target);
        }
        texts.fields(&exchange.request);
        messages(exchange).for_each(|message| texts.content(message));
        texts.said
    }

    /// The texts.
    pub fn iter(&self) -> impl Iterator<Item = (Place, &str)> {
        let mut begin = 0;
        self.ends
            .iter()
            .map(move |(place, end)| (*place, &self.all[std::mem::replace(&mut begin, *end)..*end]))
    }
}

/// What the last requests say that launches were compared with: a request may launch a thousand programs.
#[derive(Debug, Default)]
pub struct Recent {
    known: VecDeque<(NodeId, usize, Said)>,
}

impl Recent {
    /// What a request says, of which more may have come since.
    pub fn of(&mut self, node: NodeId, exchange: &Exchange) -> &Said {
        let len = exchange.content.len();
        let found = self.known.iter().position(|(known, of, _)| *known == node && *of == len);
        let found = found.unwrap_or_else(|| {
            if self.known.len() >= MAX_RECENT {
                self.known.pop_front();
            }
            self.known.push_back((node, len, Said::of(exchange)));
            self.known.len() - 1
        });
        &self.known[found].2
    }
}

struct Texts {
    said: Said,
}

impl Texts {
    fn target(&mut self, target: &[u8]) {
        let end = target.iter().position(|b| *b == b'?').unwrap_or(target.len());
        let (path, query) = target.split_at(end);
        self.value(Place::Path, path, 1);
        for segment in path.split(|b| *b == b'/').filter(|segment| !segment.is_empty()) {
            self.value(Place::Path, segment, 1);
        }
        let query = query.strip_prefix(b"?").unwrap_or_default();
        match query.contains(&b'=') {
            true => self.pairs(Place::Query, query),
            // The whole of it is a value, or words of one (RFC 3875, 4.4).
            false => self.value(Place::Query, query, 0),
        }
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
            // RFC 7578, 4.2: a file has a name, which its sender gives it.
            const NAMED: &[u8] = b"filename=\"";
            for at in memchr::memmem::find_iter(content, NAMED) {
                let name = &content[at + NAMED.len()..];
                let end = name.iter().position(|b| matches!(b, b'"' | b'\r' | b'\n')).unwrap_or(name.len());
                self.value(Place::Content, &name[..end], 0);
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
        if let Some(text) = utf16(value) {
            return self.value(place, text.as_bytes(), depth + 1);
        }
        let Some(text) = readable(value) else {
            // An object in some serialized form.
            for run in runs(value) {
                self.add(place, run);
            }
            return;
        };
        if !self.add(place, &text) || depth >= MAX_DEPTH {
            return;
        }
        if text.contains('&') && text.contains(';') {
            let decoded = entities(&text);
            if decoded != text {
                self.value(place, decoded.as_bytes(), depth + 1);
            }
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
        if text.is_empty()
            || self.said.all.len() + text.len() > MAX_BYTES
            || self.said.ends.len() >= MAX_TEXTS
        {
            return false;
        }
        self.said.all.push_str(text);
        self.said.ends.push((place, self.said.all.len()));
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
        said(&exchange(&request, content)).into_iter().find(|said| said.1 == text).map(|said| said.0)
    }

    fn said(exchange: &Exchange) -> Vec<(Place, String)> {
        Said::of(exchange).iter().map(|(place, text)| (place, text.to_owned())).collect()
    }

    #[test]
    fn all_that_carries_a_command() {
        let upload = b"--x\r\nContent-Disposition: form-data; name=\"f\"; filename=\"id; ls\"\r\n\r\n\xff\xd8\xff\xe0\0\x10\xff\xff\xff\xff\r\n--x--\r\n";
        let multipart = b"--x\r\nContent-Disposition: form-data; name=\"c\"\r\n\r\nid; ls\r\n--x--\r\n";
        // As Python, Java, MessagePack and a .NET shell write a string.
        let pickle = b"\x80\x04\x95\x20\0\0\0\0\0\0\0\x8c\x05posix\x94\x8c\x06system\x94\x93\x94\x8c\x06id; ls\x94\x85\x94R\x94.";
        let java = b"\xac\xed\0\x05sr\0\x11java.util.HashMap\x05\x07\xda\xc1\xc3\x16\x60\xd1\x03\0\x02t\0\x06id; lsxpw\x08\0\0\0\x10";
        let msgpack = b"\x82\xa1c\xa6id; ls\xa1d\xc3\x01\x02\x03";
        let wide = b"aQBkADsAIABsAHMA";
        let encoded = base64::Engine::encode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, pickle);
        let hidden = format!("/run?{}&c=id%3B+ls&{}", "junk=1x&".repeat(300), "junk=1x&".repeat(300));
        let cases: &[(&str, &str, &[u8], Place)] = &[
            ("/", "", pickle, Place::Content),
            ("/", "", java, Place::Content),
            ("/", "", msgpack, Place::Content),
            ("/", "", wide, Place::Content),
            (&format!("/?p={encoded}"), "", b"", Place::Query),
            ("/", &format!("Cookie: a=1; p={encoded}\r\n"), b"", Place::Cookie),
            ("/", "", b"id&#59;&#x20;ls", Place::Content),
            ("/run?id;%20ls", "", b"", Place::Query),
            (&hidden, "", b"", Place::Query),
            ("/run?c=id%3B+ls", "", b"", Place::Query),
            ("/run?a=1&c=id;%20ls", "", b"", Place::Query),
            ("/run?c=id%253B%2520ls", "", b"", Place::Query),
            ("/run?c=aWQ7IGxz", "", b"", Place::Query),
            ("/run?c=aWQ7IGxz%0A", "", b"", Place::Query),
            ("/run?c=69643b206c73", "", b"", Place::Query),
            ("/run/id;%20ls", "", b"", Place::Path),
            ("/run?a", "", b"c=id%3b%20ls", Place::Content),
            ("/", "", b"id; ls", Place::Content),
            ("/", "", b"aWQ7IGxz", Place::Content),
            ("/", "", br#"{"a": [1, {"c": "id; \u006cs"}]}"#, Place::Content),
            ("/", "", br#"{"c": "aWQ7IGxz"}"#, Place::Content),
            ("/", "", br#"{"c": "id; ls"} and it goes on: {"cut": "#, Place::Content),
            ("/", "", multipart, Place::Content),
            ("/", "", upload, Place::Content),
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
    fn what_a_request_has_room_for() {
        let room = |target: &str, fields: &str, content: &str| {
            super::room(&exchange(
                &format!("POST {target} HTTP/1.1\r\nHost: h\r\n{fields}\r\n"),
                content.as_bytes(),
            ))
        };
        let everyones = "User-Agent: Mozilla/5.0\r\nAccept: */*\r\nSec-Fetch-Mode: cors\r\nAuthorization: Bearer abcd\r\n";
        let cases = [
            ("/a/long/path", everyones, "", 0),
            ("/a?id=1234567&v=1.2", "", "", 0),
            ("/a?x=abc&y=abcdef", "", "", 6),
            ("/a?abcd", "", "", 4),
            ("/a?x=YWJjZA==", "", "", 8),
            ("/", "", "YWJjZA==", 8),
            ("/", "Cookie: a=1; s=abcde\r\n", "", 5),
            ("/", "X-Cmd: abcdef\r\n", "", 6),
            ("/", "", "a=1&b=abc", 3),
            ("/", "", "{\"size\": 100, \"k\": \"abcdef\"}", 6),
            ("/", "", "--b\r\nA: long field\r\n\r\nabcd\r\n--b--\r\n", 4),
            ("/", "", "\u{1}\u{2}abcdef", 8),
        ];
        for (target, fields, content, expected) in cases {
            assert_eq!(room(target, fields, content), expected, "{target} {fields} {content}");
        }
    }

    #[test]
    fn what_cannot_be_read_in_a_content() {
        let opaque = |content: &[u8]| super::opaque(&exchange("POST / HTTP/1.1\r\n\r\n", content));
        let coded = base64::Engine::encode(
            &base64::prelude::BASE64_STANDARD,
            [0x9c, 0x81, 7, 0xfe, 3, 0xb1, 0xe7, 0, 1, 2, 0x88, 0x99],
        );
        let (form, json) = (format!("a=1&pass={coded}"), format!("{{\"k\": \"{coded}\"}}"));
        let cases: &[(&[u8], usize)] = &[
            (b"\x13\x45\x02\x9e\xf1\x07", 6),
            (coded.as_bytes(), 12),
            (form.as_bytes(), 12),
            (json.as_bytes(), 12),
            (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", 0),
            (b"{\"name\": \"a word and another\", \"id\": 7}", 0),
            (b"name=responsibilities&x=internationalization", 0),
            (b"507f1f77bcf86cd799439011", 0),
            (b"ls -la", 0),
            (&[0x80; 5000], 0),
        ];
        for (content, expected) in cases {
            assert_eq!(opaque(content), *expected, "{}", String::from_utf8_lossy(content));
        }
    }

    #[test]
    fn what_was_decoded_is_kept_until_more_comes() {
        let (mut recent, request) = (Recent::default(), "POST /a HTTP/1.1\r\n\r\n");
        let texts = |said: &Said| said.iter().map(|(_, text)| text.to_owned()).collect::<Vec<_>>();
        for content in ["x", "xy"] {
            let exchange = exchange(request, content.as_bytes());
            assert_eq!(texts(recent.of(NodeId::nth(7), &exchange)), ["/a", "a", content]);
        }
        for n in 0..MAX_RECENT as u64 * 2 {
            recent.of(NodeId::nth(n), &exchange(request, b""));
        }
        assert!(recent.known.len() <= MAX_RECENT);
    }

    #[test]
    fn bounds() {
        let many = "a=".repeat(40_000) + &"&b=%2525252541".repeat(4000);
        let texts = said(&exchange("POST / HTTP/1.1\r\n\r\n", many.as_bytes()));
        assert!(texts.iter().map(|said| said.1.len()).sum::<usize>() <= MAX_BYTES);
        let said = said(&exchange("POST / HTTP/1.1\r\n\r\n", &[0, 1, 2, 0xff, 0xfe]));
        assert!(said.iter().all(|said| said.1 == "/"));
    }
}
