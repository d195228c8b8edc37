//! Request lines as lenient readers find them, anywhere in a text.

use crate::http1::MAX_METHOD;

/// Methods that servers know.
const METHODS: [&[u8]; 7] = [b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH"];
/// What a request line ends with, before two digits and the point between them.
const VERSION: &[u8] = b"HTTP/";

/// Where in a line a request line begins, for readers that take a CR for its end as well as for those that do not.
pub fn request_in(line: &[u8]) -> Option<usize> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let mut at = 0;
    line.split(|b| *b == b'\r').find_map(|part| {
        let begin = at;
        at += part.len() + 1;
        request_line(part).or_else(|| (begin == 0 && is_simple(part)).then_some(0)).map(|start| begin + start)
    })
}

/// Where a request line begins that ends with the text. What stands before its method may belong to something else:
/// a reader may have left off anywhere. RFC 9112, 3: "recipients MAY instead parse on whitespace-delimited word
/// boundaries"; methods are case-sensitive, but not for all.
fn request_line(text: &[u8]) -> Option<usize> {
    let [rest @ .., b'0'..=b'9', b'.', b'0'..=b'9'] = blanks_off(text) else { return None };
    let before = rest.strip_suffix(VERSION).filter(|before| blanks_off(before).len() < before.len())?;
    let before = blanks_off(before);
    let space = before.iter().rposition(|b| is_blank(*b))?;
    method_at_end(blanks_off(&before[..space]))
}

/// Where the method begins that a text ends with.
fn method_at_end(text: &[u8]) -> Option<usize> {
    let upper = text.iter().rev().take_while(|b| b.is_ascii_uppercase()).count();
    let known = || METHODS.iter().find(|method| ends_with(text, method)).map(|method| method.len());
    let length = if upper >= 3 { upper } else { known()? };
    (length <= MAX_METHOD).then(|| text.len() - length)
}

/// A request as before HTTP/1.0, of a line alone.
fn is_simple(text: &[u8]) -> bool {
    let (text, simple) = (blanks_off(text), b"GET ");
    text.starts_with(simple) && begins_request(text)
}

fn ends_with(text: &[u8], method: &[u8]) -> bool {
    text.len() >= method.len() && text[text.len() - method.len()..].eq_ignore_ascii_case(method)
}

fn is_blank(b: u8) -> bool {
    matches!(b, b' ' | b'\t' | 0x0b | 0x0c)
}

fn blanks_off(text: &[u8]) -> &[u8] {
    let blanks = text.iter().rev().take_while(|b| is_blank(**b)).count();
    &text[..text.len() - blanks]
}

/// Whether a text is a request line up to somewhere in its target, of a method that servers know.
pub fn begins_request(text: &[u8]) -> bool {
    let Some(space) = text.iter().position(|b| *b == b' ') else { return false };
    let target = &text[space + 1..];
    METHODS.contains(&&text[..space])
        && target.first() == Some(&b'/')
        && target.iter().all(u8::is_ascii_graphic)
}
