//! Reads a whole head: what conforms by httparse, the rest line by line.

use super::head::{Field, Head, MAX_FIELDS, Span};
use super::start_line::{StartLine, is_token_char};
use super::{Deviations, MAX_HEAD, Role};
use httparse::{Header, Status};
use std::mem::MaybeUninit;

/// Reads the head at the start of `input` if it is there to its end and conforms to the grammar, or
/// departs from it in line ends only. The second part is its length.
pub(super) fn strict(role: Role, input: &[u8]) -> Option<(Head, usize)> {
    let input = &input[..input.len().min(MAX_HEAD)];
    let mut room = [const { MaybeUninit::<Header<'_>>::uninit() }; MAX_FIELDS];
    let (length, headers) = match role {
        Role::Request => {
            let mut request = httparse::Request::new(&mut []);
            let Ok(Status::Complete(length)) = request.parse_with_uninit_headers(input, &mut room) else {
                return None;
            };
            (length, request.headers)
        }
        Role::Response => {
            let mut response = httparse::Response::new(&mut []);
            let config = httparse::ParserConfig::default();
            let parsed = config.parse_response_with_uninit_headers(&mut response, input, &mut room);
            let Ok(Status::Complete(length)) = parsed else { return None };
            (length, response.headers)
        }
    };
    let raw = &input[..length];
    // It also refuses the methods that are too long for this parser, though not for httparse.
    let mut start = start_line(role, raw)?;
    start.deviations |= Deviations::BARE_LF.when(has_bare_lf(raw));
    let fields = headers
        .iter()
        .map(|header| Field { name: span(raw, header.name.as_bytes()), value: span(raw, header.value) })
        .collect();
    Some((Head::new(raw.into(), start, fields), length))
}

/// Fields that say what a message is: who frames it, expects more, or stands in between. They are kept however many
/// stand before them; [`MAX_HEAD`] bounds them.
const TELLING: [&[u8]; 10] = [
    b"content-length",
    b"transfer-encoding",
    b"expect",
    b"connection",
    b"upgrade",
    b"via",
    b"forwarded",
    b"x-forwarded-for",
    b"traceparent",
    b"host",
];

/// Reads a whole head that does not conform, or has more fields than are kept, whose start line was read before, and
/// says in what it departs.
pub(super) fn lenient(mut start: StartLine, raw: Box<[u8]>) -> Head {
    let mut fields = Vec::new();
    for line in raw.split(|b| *b == b'\n').skip(1) {
        let content = line.strip_suffix(b"\r").unwrap_or(line);
        // The empty line ends the head; behind its LF `split` sees one more.
        if content.is_empty() {
            break;
        }
        start.deviations |= field_line(&raw, content, &mut fields);
    }
    let tells = |field: &Field| TELLING.iter().any(|name| field.name.of(&raw).eq_ignore_ascii_case(name));
    let mut place = 0;
    fields.retain(|field| {
        place += 1;
        place <= MAX_FIELDS || tells(field)
    });
    start.deviations |= Deviations::BARE_LF.when(has_bare_lf(&raw));
    start.deviations |= Deviations::BARE_CR.when(has_bare_cr(&raw));
    let fields = fields.into();
    Head::new(raw, start, fields)
}

/// Reads the start line of a head; none when it is no HTTP/1.
pub(super) fn start_line(role: Role, raw: &[u8]) -> Option<StartLine> {
    StartLine::read(role, raw.split(|b| *b == b'\n').next()?)
}

/// Reads one field line, given without its line end, into `fields`.
fn field_line(raw: &[u8], line: &[u8], fields: &mut Vec<Field>) -> Deviations {
    // RFC 9112, 2.2: "A recipient that receives whitespace between the start-line and the first header
    // field MUST either reject the message as invalid or consume each whitespace-preceded line without
    // further processing".
    // RFC 9112, 5.2: "A server that receives an obs-fold in a request message that is not within a
    // "message/http" container MUST either reject the message [..] or replace each received obs-fold with
    // one or more SP octets".
    if matches!(line.first(), Some(b' ' | b'\t')) {
        let Some(last) = fields.last_mut() else { return Deviations::LEADING_SPACE };
        last.value = last.value.joined(span(raw, trim(line)));
        return Deviations::OBS_FOLD | odd_value(line);
    }
    let Some(colon) = line.iter().position(|b| *b == b':') else { return Deviations::NO_COLON };
    // RFC 9112, 5.1: "No whitespace is allowed between the field name and colon. [..] A proxy MUST remove
    // any such whitespace from a response message before forwarding the message downstream."
    let name = trim(&line[..colon]);
    let value = trim(&line[colon + 1..]);
    fields.push(Field { name: span(raw, name), value: span(raw, value) });
    Deviations::SPACE_BEFORE_COLON.when(name.len() < colon)
        | Deviations::ODD_NAME.when(name.is_empty() || !name.iter().all(|b| is_token_char(*b)))
        | odd_value(value)
}

fn odd_value(value: &[u8]) -> Deviations {
    Deviations::ODD_VALUE.when(value.iter().any(|b| b.is_ascii_control() && *b != b'\t'))
}

/// Without the optional whitespace around it (RFC 9110, 5.6.3: `OWS`).
fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

fn has_bare_lf(raw: &[u8]) -> bool {
    // Without a branch, so that it is done many bytes at a time.
    raw.iter().zip(&raw[1..]).fold(false, |bare, (a, b)| bare | ((*a != b'\r') & (*b == b'\n')))
}

fn has_bare_cr(raw: &[u8]) -> bool {
    raw.windows(2).any(|pair| pair[0] == b'\r' && pair[1] != b'\n')
}

/// Where `part` lies in `raw`; an empty place when it does not.
fn span(raw: &[u8], part: &[u8]) -> Span {
    let start = part.as_ptr().addr().wrapping_sub(raw.as_ptr().addr());
    match start.checked_add(part.len()) {
        Some(end) if end <= raw.len() => Span::new(start..end),
        _ => Span::default(),
    }
}
