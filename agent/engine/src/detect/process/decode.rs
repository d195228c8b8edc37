//! What values of a request may be coded in.

use base64::{
    Engine as _,
    alphabet::{STANDARD, URL_SAFE},
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

/// Fewest characters of base64 or hexadecimal digits that are decoded: of less, most words are some.
const MIN_CODED: usize = 4;

/// Text, if it is some.
pub fn readable(bytes: &[u8]) -> Option<String> {
    let control = bytes.iter().filter(|b| b.is_ascii_control() && !b.is_ascii_whitespace()).count();
    let text = String::from_utf8_lossy(bytes);
    let broken = text.matches(char::REPLACEMENT_CHARACTER).count();
    ((control + broken) * 8 <= bytes.len()).then(|| text.into_owned())
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

/// RFC 4648, 4 and 5, with or without padding and line ends.
pub fn base64(value: &[u8]) -> Option<Vec<u8>> {
    let config = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    let value: Vec<u8> = value
        .iter()
        .filter(|b| !matches!(b, b'\r' | b'\n'))
        // Where the form was not decoded as one.
        .map(|b| if *b == b' ' { b'+' } else { *b })
        .collect();
    if value.len() < MIN_CODED {
        return None;
    }
    let alphabet = if value.iter().any(|b| matches!(b, b'-' | b'_')) { URL_SAFE } else { STANDARD };
    let decoded = GeneralPurpose::new(&alphabet, config).decode(&value).ok()?;
    is_text(&decoded).then_some(decoded)
}

/// Hexadecimal digits.
pub fn hexadecimal(value: &[u8]) -> Option<Vec<u8>> {
    if value.len() < MIN_CODED || !value.len().is_multiple_of(2) {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let decoded: Option<Vec<u8>> =
        value.chunks_exact(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect();
    decoded.filter(|decoded| is_text(decoded))
}

/// What decodes to text by chance is rarely all of it.
fn is_text(bytes: &[u8]) -> bool {
    let control = |c: char| c.is_control() && !c.is_whitespace();
    std::str::from_utf8(bytes).is_ok_and(|text| !text.is_empty() && !text.contains(control))
}
