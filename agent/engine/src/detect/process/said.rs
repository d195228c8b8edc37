//! What a request says, as its reader may have decoded it.

use super::{
    decode::{base64, entities, hexadecimal, percent_decoded, readable, runs, strings, unescaped, utf16},
    room::messages,
    sealed::Sealed,
};
use crate::{
    exchange::Exchange,
    graph::NodeId,
    http1::{Head, Start},
};
use rustc_hash::FxHashSet;
use std::collections::VecDeque;
use twox_hash::XxHash3_64;

/// Most bytes of the texts of one request: whatever stands in it in plain, and what that decodes to a few times over,
/// when its head and the kept begin of its content are as long as they may be. No number of parameters hides another.
const MAX_BYTES: usize = 128 * 1024;
/// Most texts: so many, decoded to as little as there can be of them, take as much room.
const MAX_TEXTS: usize = 16 * 1024;
/// Requests of which that is kept: as many as a launch is compared with, open and ended.
const MAX_RECENT: usize = 48;
/// Longest one.
const MAX_TEXT: usize = 8192;
/// A value may be coded in so many ways, one within the other.
const MAX_DEPTH: u8 = 3;
/// Fields of the connection, and of how the content is framed.
pub const GENERAL: &[&str] =
    &["connection", "content-length", "host", "keep-alive", "te", "transfer-encoding"];

/// Behind each message of a WebSocket, where they stand one behind the other: a record separator (ISO 646).
pub const MESSAGE_END: u8 = 0x1e;
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
#[derive(Debug, Default)]
pub struct Said {
    /// All texts, one behind the other.
    all: String,
    /// Where each stands, and where it ends here.
    ends: Vec<(Place, usize)>,
    /// What cannot be read.
    pub sealed: Sealed,
}

impl Said {
    /// Of a request.
    pub fn of(exchange: &Exchange) -> Self {
        let mut texts = Texts::default();
        if let Start::Request { target, .. } = exchange.request.start() {
            texts.target(target);
        }
        texts.fields(&exchange.request);
        messages(exchange).for_each(|message| texts.content(message));
        // What is least likely to be an order finds no room first.
        for (place, name) in std::mem::take(&mut texts.names) {
            texts.value(place, &name, 1);
        }
        for (place, text) in std::mem::take(&mut texts.plain) {
            texts.turned(place, &text);
        }
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

#[derive(Default)]
struct Texts {
    said: Said,
    /// Hashes of the texts: what stands in one place a thousand times is one.
    known: FxHashSet<u64>,
    /// Names, which are looked at behind all values.
    names: Vec<(Place, Vec<u8>)>,
    /// Values as they stand, which are turned when all is known.
    plain: Vec<(Place, String)>,
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
        // Some readers end a pair at `;`, too; what stands behind one without a name is part of a value to all others.
        let pieces = pairs.split(|b| *b == b'&').flat_map(|pair| pair.split(|b| *b == b';').enumerate());
        for (n, pair) in pieces {
            match pair.iter().position(|b| *b == b'=') {
                Some(at) => {
                    self.names.push((Place::Name, pair[..at].to_vec()));
                    self.value(place, &pair[at + 1..], 0);
                }
                None if n == 0 => self.names.push((Place::Name, pair.to_vec())),
                None => self.value(place, pair, 1),
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
            self.said.sealed.add(place, value);
            // An object in some serialized form.
            for run in runs(value) {
                self.add(place, run);
            }
            return;
        };
        if !self.add(place, &text) || depth >= MAX_DEPTH {
            return;
        }
        if depth == 0 && !place.names() {
            self.plain.push((place, text.clone().into_owned()));
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
            if text.contains("\\u") {
                self.add(place, &unescaped(&text));
            }
        }
        for decoded in [base64(value), hexadecimal(value)].into_iter().flatten() {
            self.value(place, &decoded, depth + 1);
        }
        self.said.sealed.add_coded(place, value);
    }

    /// A text read from its end, and with each letter thirteen further: what hides it from a filter, and no more.
    fn turned(&mut self, place: Place, text: &str) {
        const LENGTHS: std::ops::RangeInclusive<usize> = 5..=256;
        if !LENGTHS.contains(&text.len()) {
            return;
        }
        let thirteen = |c: char| match c {
            'a'..='m' | 'A'..='M' => char::from(c as u8 + 13),
            'n'..='z' | 'N'..='Z' => char::from(c as u8 - 13),
            c => c,
        };
        self.add(place, &text.chars().rev().collect::<String>());
        self.add(place, &text.chars().map(thirteen).collect::<String>());
    }

    fn add(&mut self, place: Place, text: &str) -> bool {
        let text = text.trim();
        let hash = XxHash3_64::oneshot_with_seed(place as u64, text.as_bytes());
        if text.is_empty()
            || !self.known.insert(hash)
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
pub mod tests {
    use super::*;
    use crate::{
        exchange::{Endpoint, Endpoints, Side},
        http1::{Answering, Event, Parser, Role},
    };

    /// The exchange of a request.
    pub fn exchange(request: &str, content: &[u8]) -> Exchange {
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
    fn no_number_of_other_values_hides_one() {
        let short = |begin: u32| move |n: u32| format!("{:x}", begin + n);
        let target: String = (0..1200).map(short(0x1000)).map(|value| format!("&p={value}")).collect();
        let content: String = (0..1600).map(short(0x2000)).map(|value| format!("{value}=&")).collect();
        let content = content[..8192 - 13].to_owned() + "&c=id%3B%20ls";
        assert_eq!(says(&format!("/a?{target}"), "", content.as_bytes(), "id; ls"), Some(Place::Content));
        let many: String =
            (0..8192 / 3).map(|n| format!("&{}", char::from_u32(0x4e00 + n).unwrap_or('x'))).collect();
        assert_eq!(says(&format!("/a?{many}=&c=id%3B%20ls"), "", b"", "id; ls"), Some(Place::Query));
        let many: String = (0..3000).map(short(0x1000)).map(|value| format!("&p={value}")).collect();
        assert_eq!(says(&format!("/a?{many}"), "", b"c=id%3B%20ls", "id; ls"), Some(Place::Content));
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
