//! What a request has room for: values that could say what cannot be read in them.

use super::{
    decode::{base64, percent_decoded, readable, strings},
    said::{GENERAL, MESSAGE_END},
};
use crate::exchange::Exchange;
use std::borrow::Cow;

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

/// Bytes of the longest value of a request that could say what cannot be read in it: an order that is encrypted, or
/// put together. The path, numbers and what every client says are none: a request always has these; nor is a value that
/// `data` knows.
pub fn room(exchange: &Exchange, data: impl Fn(&[u8]) -> bool) -> usize {
    let number = |value: &[u8]| value.iter().all(|b| b.is_ascii_digit() || b".,:-+".contains(b));
    let mut longest = 0;
    let mut value =
        |value: &[u8]| longest = longest.max(if number(value) || data(value) { 0 } else { value.len() });
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
pub fn is_upgraded(exchange: &Exchange) -> bool {
    exchange.response.as_ref().is_some_and(|head| head.status() == Some(101))
}

/// Its content, or what was said in the WebSocket that it became.
pub fn messages(exchange: &Exchange) -> impl Iterator<Item = &[u8]> {
    let upgraded = is_upgraded(exchange);
    exchange.content.split(move |b| upgraded && *b == MESSAGE_END)
}

/// Whether a text is base64, rather than a word: it has letters of both cases, and something else.
pub fn is_coded(value: &[u8]) -> bool {
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

#[cfg(test)]
mod tests {
    use super::super::said::tests::exchange;

    #[test]
    fn what_a_request_has_room_for() {
        let room = |target: &str, fields: &str, content: &str| {
            let request = format!("POST {target} HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
            super::room(&exchange(&request, content.as_bytes()), |value| value == b"http://h/x")
        };
        let everyones = "User-Agent: Mozilla/5.0\r\nAccept: */*\r\nSec-Fetch-Mode: cors\r\nAuthorization: Bearer abcd\r\n";
        let cases = [
            ("/a/long/path", everyones, "", 0),
            ("/a?id=1234567&v=1.2", "", "", 0),
            ("/a?x=abc&y=abcdef", "", "", 6),
            ("/a?abcd", "", "", 4),
            ("/a?u=http%3A%2F%2Fh%2Fx&v=abc", "", "", 3),
            ("/a?u=http%3A%2F%2Fh%2Fx%3Bid", "", "", 13),
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
}
