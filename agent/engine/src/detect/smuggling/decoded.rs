//! Whether a request that goes out stands in what came in, in whatever code: a front end, or an application that
//! calls others, may decode a path, a parameter or a string, and write it where line ends count.

use memchr::{memchr, memchr2, memmem};
use std::borrow::Cow;

/// Most times that escapes are taken for escapes of escapes: gateways before applications decode once each.
const MAX_DEPTH: usize = 3;

/// Whether a request line stands in a text: as it is, or behind a line end up to its version, which who writes the
/// line may have added.
pub fn holds(text: &[u8], line: &[u8]) -> bool {
    let whole = spaced(line);
    let begin = unversioned(&whole);
    in_any_code(text, |text| {
        finds(text, &whole, begin) || narrowed(text).is_some_and(|text| finds(&text, &whole, begin))
    })
}

/// Whether a request line stands anywhere in a text, up to its version.
pub fn mentions(text: &[u8], line: &[u8]) -> bool {
    let whole = spaced(line);
    in_any_code(text, |text| memmem::find(&spaced(text), unversioned(&whole)).is_some())
}

fn unversioned(line: &[u8]) -> &[u8] {
    line.iter().rposition(|b| *b == b' ').map_or(line, |end| &line[..end])
}

/// Whether it is so of a text, or of what its escapes stand for.
fn in_any_code(text: &[u8], is_so: impl Fn(&[u8]) -> bool) -> bool {
    let mut text = Cow::Borrowed(text);
    for _ in 0..=MAX_DEPTH {
        if is_so(&text) {
            return true;
        }
        if !has_escapes(&text) {
            break;
        }
        text = Cow::Owned(unescaped(&text));
    }
    false
}

/// What it costs to look into a text, in bytes that are decoded one by one.
pub fn cost(text: &[u8]) -> usize {
    // Without escapes, and characters that may be cut to a byte, it is but searched.
    if has_escapes(text) || !text.is_ascii() { text.len() } else { text.len() / 16 }
}

fn has_escapes(text: &[u8]) -> bool {
    memchr2(b'%', b'\\', text).is_some()
}

fn finds(text: &[u8], whole: &[u8], begin: &[u8]) -> bool {
    let text = spaced(text);
    let ends = |b: Option<&u8>| b.is_none_or(|b| !b.is_ascii_graphic() || matches!(b, b'"' | b'\'' | b'&'));
    let is_line = |at: usize| {
        let behind_line_end = at.checked_sub(1).is_some_and(|at| matches!(text[at], b'\r' | b'\n'));
        behind_line_end && ends(text.get(at + begin.len()))
    };
    memmem::find(&text, whole).is_some() || memmem::find_iter(&text, begin).any(is_line)
}

/// As forms write it, `+` is a space (WHATWG URL, 5.1).
fn spaced(text: &[u8]) -> Cow<'_, [u8]> {
    match memchr(b'+', text) {
        Some(_) => text.iter().map(|b| if *b == b'+' { b' ' } else { *b }).collect(),
        None => Cow::Borrowed(text),
    }
}

/// The low byte of each character, where any has more: what is left of a text that is written byte by byte.
fn narrowed(text: &[u8]) -> Option<Vec<u8>> {
    if text.is_ascii() {
        return None;
    }
    let text = String::from_utf8_lossy(text);
    Some(text.chars().map(|c| (u32::from(c) & 0xff) as u8).collect())
}

/// `%0d` (RFC 3986, 2.1), and `\r`, `\x0d` and `\u000d` as strings have it (RFC 8259, 7). What is no valid escape
/// stands for itself.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::with_capacity(text.len()), text);
    while let [first, tail @ ..] = rest {
        let escape = match (first, tail) {
            (b'%', tail) => number(tail, 2).map(|code| (code, 2)),
            (b'\\', [b'x', tail @ ..]) => number(tail, 2).map(|code| (code, 3)),
            (b'\\', [b'u', tail @ ..]) => number(tail, 4).map(|code| (code, 5)),
            (b'\\', [b'r', ..]) => Some((0x0d, 1)),
            (b'\\', [b'n', ..]) => Some((0x0a, 1)),
            (b'\\', [c @ (b'\\' | b'/' | b'"'), ..]) => Some((u32::from(*c), 1)),
            _ => None,
        };
        match escape {
            // `%c4%8d` are two bytes of one character; `\u010d` is the character.
            Some((code, len)) => {
                match char::from_u32(code).filter(|_| code > 0xff) {
                    Some(c) => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
                    None => out.push(code as u8),
                }
                rest = &tail[len..];
            }
            None => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    out
}

fn number(text: &[u8], digits: usize) -> Option<u32> {
    let digits = text.get(..digits)?;
    digits.iter().try_fold(0, |number, b| Some(number << 4 | char::from(*b).to_digit(16)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_apart_costs_more_than_what_is_searched() {
        for text in ["a%0d", "a\\r", "a\u{10d}"] {
            assert_eq!(cost(text.repeat(100).as_bytes()), 100 * text.len());
        }
        assert_eq!(cost(&[b'a'; 1600]), 100);
    }

    #[test]
    fn codes_that_hide_a_line_end() {
        let line = b"GET /admin HTTP/1.1";
        let cases: [(&[u8], bool); 16] = [
            (b"GET /x%0d%0aGET%20/admin%20HTTP/1.1%0d%0aX: HTTP/1.1\r\n", true),
            (b"GET /x%250d%250aGET%2520/admin%2520HTTP/1.1%250d%250aX: HTTP/1.1\r\n", true),
            (b"GET /x%0aGET%20/admin HTTP/1.1\r\n", true),
            (b"name=a%0D%0A%0D%0AGET+/admin+HTTP%2F1.1%0D%0A", true),
            (br#"{"name": "a\r\n\r\nGET /admin HTTP/1.1\r\nX: y"}"#, true),
            (br#"{"name": "a\u000d\u000aGET \/admin HTTP\/1.1"}"#, true),
            (br#"{"name": "a\\r\\nGET /admin HTTP/1.1"}"#, true),
            (br"a\x0d\x0aGET\x20/admin", true),
            ("a\u{10d}\u{10a}GET\u{120}/admin\u{120}HTTP/1.1".as_bytes(), true),
            (br"a\u010d\u010aGET\u0120/admin\u0120HTTP/1.1", true),
            (b"a%c4%8d%c4%8aGET%c4%a0/admin%c4%a0HTTP/1.1", true),
            (b"/admin", false),
            (b"GET /admin", false),
            (b"a%0d%0aGET /administrator HTTP/1.1", false),
            (b"a%0d%0aPOST /admin HTTP/1.1", false),
            (b"100%", false),
        ];
        for (text, expected) in cases {
            assert_eq!(holds(text, line), expected, "{}", text.escape_ascii());
        }
    }
}
