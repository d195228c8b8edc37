//! Request lines as lenient readers find them, anywhere in a text.

use crate::http1::is_token_char;

/// Methods that servers know.
const METHODS: [&[u8]; 7] = [b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH"];
/// What a request line ends with, before a number.
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
    let text = blanks_off(text);
    let number = text.iter().rev().take_while(|b| b.is_ascii_digit() || **b == b'.').count();
    let (rest, number) = text.split_at(text.len() - number);
    number.iter().find(|b| b.is_ascii_digit())?;
    let before = rest.strip_suffix(VERSION).filter(|before| blanks_off(before).len() < before.len())?;
    let before = blanks_off(before);
    let space = before.iter().rposition(|b| is_blank(*b))?;
    method_at_end(blanks_off(&before[..space]), &before[space + 1..])
}

/// Where the method begins that a text ends with, before a target. It may be any token (RFC 9110, 9.1), of any length;
/// bytes of something else before it can be told from it where it is one that servers know, or in capitals.
fn method_at_end(text: &[u8], target: &[u8]) -> Option<usize> {
    let token = text.iter().rev().take_while(|b| is_token_char(**b)).count();
    let capitals = text.iter().rev().take_while(|b| b.is_ascii_uppercase()).count();
    let known = METHODS.iter().find(|method| ends_with(text, method)).map(|method| method.len());
    let behind_others = text[text.len() - token..].iter().any(u8::is_ascii_lowercase);
    let length = known.or((capitals >= 3 && (behind_others || !is_target(target))).then_some(capitals));
    length.or((token > 0 && is_target(target)).then_some(token)).map(|length| text.len() - length)
}

/// RFC 9112, 3.2: the forms of a target, as far as they cannot be words.
fn is_target(text: &[u8]) -> bool {
    let is_port = |text: &[u8]| !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let port = || text.iter().rposition(|b| *b == b':').is_some_and(|colon| is_port(&text[colon + 1..]));
    text.first() == Some(&b'/') || text == b"*" || memchr::memmem::find(text, b"://").is_some() || port()
}

/// A request as before HTTP/1.0, of a line alone; some take any method.
fn is_simple(text: &[u8]) -> bool {
    let text = blanks_off(text);
    let Some(space) = text.iter().position(|b| is_blank(*b)) else { return false };
    let (method, target) = (&text[..space], &text[space + 1..]);
    let path = target.first() == Some(&b'/') || target.starts_with(b"http://");
    !method.is_empty()
        && method.iter().all(u8::is_ascii_uppercase)
        && path
        && target.iter().all(u8::is_ascii_graphic)
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
