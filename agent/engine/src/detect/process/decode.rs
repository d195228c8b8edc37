//! What values of a request may be coded in.

use base64::{
    Engine as _,
    alphabet::{STANDARD, URL_SAFE},
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use std::borrow::Cow;

const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
static STANDARD_64: &GeneralPurpose = &GeneralPurpose::new(&STANDARD, LENIENT);
static URL_SAFE_64: &GeneralPurpose = &GeneralPurpose::new(&URL_SAFE, LENIENT);
/// Fewest characters of base64 or hexadecimal digits that are decoded: of less, most words are some.
const MIN_CODED: usize = 4;
/// Fewest bytes of what is decoded and no text that are looked into.
const MIN_OBJECT: usize = 12;

/// Text, if it is some.
pub fn readable(bytes: &[u8]) -> Option<Cow<'_, str>> {
    let control = bytes.iter().filter(|b| b.is_ascii_control() && !b.is_ascii_whitespace()).count();
    let text = String::from_utf8_lossy(bytes);
    let broken = match &text {
        Cow::Borrowed(_) => 0,
        Cow::Owned(text) => text.matches(char::REPLACEMENT_CHARACTER).count(),
    };
    ((control + broken) * 8 <= bytes.len()).then_some(text)
}

/// `%41` and, as forms write it, `+` for a space (WHATWG URL, 5.1). What is no valid escape stands for itself.
pub fn percent_decoded(value: &[u8]) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (mut decoded, mut rest) = (Vec::with_capacity(value.len()), value);
    while let [first, tail @ ..] = rest {
        let escaped = match tail {
            [high, low, ..] if *first == b'%' => digit(*high).zip(digit(*low)),
            _ => None,
        };
        decoded.push(match escaped {
            Some((high, low)) => high << 4 | low,
            None if *first == b'+' => b' ',
            None => *first,
        });
        rest = if escaped.is_some() { &tail[2..] } else { tail };
    }
    decoded
}

/// The strings of a JSON text (RFC 8259, 7), which may have been cut.
pub fn strings(text: &str) -> Vec<String> {
    let (mut found, mut chars) = (Vec::new(), text.chars());
    while chars.by_ref().any(|c| c == '"') {
        let mut string = String::new();
        while let Some(c) = chars.next() {
            match c {
                '"' => break,
                '\\' => string.extend(match chars.next() {
                    Some('n') => Some('\n'),
                    Some('t') => Some('\t'),
                    Some('r') => Some('\r'),
                    Some('b' | 'f') => Some(' '),
                    Some('u') => {
                        let digits: String = chars.by_ref().take(4).collect();
                        u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32)
                    }
                    other => other,
                }),
                c => string.push(c),
            }
        }
        found.push(string);
    }
    found
}

/// A JSON text with its characters in place of their escapes (RFC 8259, 7), but for those that would change what it is.
pub fn unescaped(text: &str) -> String {
    let (mut plain, mut rest) = (String::with_capacity(text.len()), text);
    while let Some((before, behind)) = rest.split_once("\\u") {
        plain.push_str(before);
        let c = behind.get(..4).and_then(|digits| char::from_u32(u32::from_str_radix(digits, 16).ok()?));
        match c.filter(|c| !c.is_control() && !matches!(c, '"' | '\\')) {
            Some(c) => {
                plain.push(c);
                rest = &behind[4..];
            }
            None => {
                plain.push_str("\\u");
                rest = behind;
            }
        }
    }
    plain + rest
}

/// RFC 4648, 4 and 5, with or without padding and line ends.
pub fn base64(value: &[u8]) -> Option<Vec<u8>> {
    any_base64(value).filter(|decoded| is_text(decoded) || may_hold_text(decoded))
}

/// The same, whatever it is of.
pub fn any_base64(value: &[u8]) -> Option<Vec<u8>> {
    let url = value.iter().any(|b| matches!(b, b'-' | b'_'));
    let known = |b: &u8| {
        b.is_ascii_alphanumeric() || matches!(b, b'=' | b'\r' | b'\n' | b'+' | b'/' | b' ' | b'-' | b'_')
    };
    if value.len() < MIN_CODED || !value.iter().all(known) {
        return None;
    }
    let value: Vec<u8> = value
        .iter()
        .filter(|b| !matches!(b, b'\r' | b'\n'))
        // Where the form was not decoded as one.
        .map(|b| if *b == b' ' { b'+' } else { *b })
        .collect();
    if url { URL_SAFE_64 } else { STANDARD_64 }.decode(&value).ok()
}

/// Hexadecimal digits of a text.
pub fn hexadecimal(value: &[u8]) -> Option<Vec<u8>> {
    any_hexadecimal(value).filter(|decoded| is_text(decoded))
}

/// Hexadecimal digits.
pub fn any_hexadecimal(value: &[u8]) -> Option<Vec<u8>> {
    if value.len() < MIN_CODED || !value.len().is_multiple_of(2) {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    if !value.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    value.chunks_exact(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

/// What decodes to text by chance is rarely all of it.
fn is_text(bytes: &[u8]) -> bool {
    let control = |c: char| c.is_control() && !c.is_whitespace();
    std::str::from_utf8(bytes).is_ok_and(|text| !text.is_empty() && !text.contains(control))
}

/// What is no text by itself but may hold some: an object in a serialized form, or wide characters. Most words are
/// base64 of something; fewer are of so much.
fn may_hold_text(bytes: &[u8]) -> bool {
    bytes.len() >= MIN_OBJECT
}

/// Text in UTF-16, little end first, most of it ASCII.
pub fn utf16(bytes: &[u8]) -> Option<String> {
    let pairs = bytes.chunks_exact(2);
    let (all, plain) = (pairs.len(), pairs.clone().filter(|pair| pair[0] != 0 && pair[1] == 0).count());
    let wide = all >= 2 && bytes.len().is_multiple_of(2) && plain * 4 >= all * 3;
    wide.then(|| char::decode_utf16(pairs.map(|pair| u16::from_le_bytes([pair[0], pair[1]]))))
        .map(|chars| chars.map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect())
}

/// References to characters (XML 1.0, 4.1 and 4.6) in place of which the characters stand.
pub fn entities(text: &str) -> String {
    const NAMED: [(&str, char); 5] = [("lt", '<'), ("gt", '>'), ("amp", '&'), ("quot", '"'), ("apos", '\'')];
    let (mut decoded, mut rest) = (String::with_capacity(text.len()), text);
    while let Some((before, behind)) = rest.split_once('&') {
        decoded.push_str(before);
        let reference = behind.split_once(';').and_then(|(name, rest)| {
            let number = name.strip_prefix('#').and_then(|number| match number.strip_prefix(['x', 'X']) {
                Some(digits) => u32::from_str_radix(digits, 16).ok(),
                None => number.parse().ok(),
            });
            let named = || NAMED.iter().find(|(known, _)| *known == name).map(|(_, c)| *c);
            Some((number.and_then(char::from_u32).or_else(named)?, rest))
        });
        match reference {
            Some((c, behind)) => (decoded.push(c), rest = behind).0,
            None => (decoded.push('&'), rest = behind).0,
        }
    }
    decoded + rest
}

/// Pieces of text in what is none: all that is printable, and what the length before it says of that. Pickles of
/// Python, Java's streams, protocol buffers and MessagePack write a string's length in the byte before it.
pub fn runs(bytes: &[u8]) -> impl Iterator<Item = &str> {
    let printable = |b: &u8| b.is_ascii_graphic() || *b == b' ';
    let mut at = 0;
    let pieces = std::iter::from_fn(move || {
        let begin = at + bytes.get(at..)?.iter().position(printable)?;
        let len = bytes[begin..].iter().position(|b| !printable(b)).unwrap_or(bytes.len() - begin);
        at = begin + len;
        let before = begin.checked_sub(1).map_or(0, |before| bytes[before]);
        let run = &bytes[begin..at];
        let first = *run.first()?;
        let told = |len: u8, from: usize| run.get(from..from + usize::from(len));
        // MessagePack has the length of a short one in the lower bits; a length may be printable itself.
        let short = (before & 0xe0 == 0xa0).then(|| told(before & 0x1f, 0)).flatten();
        Some([Some(run), told(before, 0), short, told(first, 1)])
    });
    pieces
        .flatten()
        .flatten()
        .filter(|piece| piece.len() > 1)
        .filter_map(|piece| std::str::from_utf8(piece).ok())
}
