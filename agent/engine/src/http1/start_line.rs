//! Start lines: what can still become one, what is one, and what it says.

use super::head::Span;
use super::{Deviations, MAX_HEAD, Role, Version};

/// Longest method, in bytes. The longest registered one has 17 (`UPDATEREDIRECTREF`), but servers that leave methods
/// to applications take any; a bound is what tells a request from the text of other protocols early.
pub const MAX_METHOD: usize = 256;

/// Whether bytes begin a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guess {
    /// They do.
    Yes,
    /// They do not, whatever comes next.
    No,
    /// More bytes are needed.
    More,
}

/// Whether these bytes, from the first, are those of an HTTP/1 request; known at the end of the first
/// line, often before.
#[must_use]
pub fn looks_like_request(bytes: &[u8]) -> Guess {
    looks_like(Role::Request, bytes)
}

/// Whether these bytes, from the first, are those of an HTTP/1 response; known after 13 bytes.
#[must_use]
pub fn looks_like_response(bytes: &[u8]) -> Guess {
    looks_like(Role::Response, bytes)
}

fn looks_like(role: Role, bytes: &[u8]) -> Guess {
    let bytes = &bytes[empty_lines(bytes)..];
    let line = bytes.iter().take(MAX_HEAD).position(|&b| b == b'\n').map(|end| &bytes[..end]);
    match line {
        Some(line) if StartLine::read(role, line).is_some() => Guess::Yes,
        Some(_) => Guess::No,
        None if bytes.len() >= MAX_HEAD || !can_begin(role, bytes, 0) => Guess::No,
        None if role == Role::Response && bytes.len() > STATUS.len() => Guess::Yes,
        None => Guess::More,
    }
}

/// Bytes of empty lines at the start.
///
/// RFC 9112, 2.2: "In the interest of robustness, a server that is expecting to receive and parse a
/// request-line SHOULD ignore at least one empty line (CRLF) received prior to the request-line."
pub(super) fn empty_lines(bytes: &[u8]) -> usize {
    bytes.iter().position(|b| !matches!(b, b'\r' | b'\n')).unwrap_or(bytes.len())
}

/// Whether a start line can begin with `line`, whose bytes before `from` were asked about before.
pub(super) fn can_begin(role: Role, line: &[u8], from: usize) -> bool {
    match role {
        Role::Request => {
            let method = line.iter().take(MAX_METHOD + 1).take_while(|b| !is_space(**b)).count();
            let rest = line.get(from.max(method)..).unwrap_or_default();
            method <= MAX_METHOD
                && line[..method].iter().all(|b| is_token_char(*b))
                && (method > 0 || line.is_empty())
                // Without a branch, so that it is done many bytes at a time.
                && !rest.iter().fold(false, |odd, b| odd | (b.is_ascii_control() & !is_space(*b)))
        }
        Role::Response => {
            let fits =
                |(b, pattern): (&u8, &u8)| if *pattern == b'd' { b.is_ascii_digit() } else { b == pattern };
            line.iter().zip(STATUS).all(fits) && line.get(STATUS.len()).is_none_or(|b| is_space(*b))
        }
    }
}

/// How a status line begins; `d` is a digit.
const STATUS: &[u8] = b"HTTP/1.d ddd";

/// What a start line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StartLine {
    pub version: Version,
    pub parts: Parts,
    pub deviations: Deviations,
}

/// Its parts besides the version, as places in the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parts {
    Request { method: Span, target: Span },
    Response { status: u16, reason: Span },
}

impl StartLine {
    /// Reads a line given without its LF; none when it is no start line of HTTP/1.
    pub fn read(role: Role, line: &[u8]) -> Option<Self> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() || !can_begin(role, line, 0) {
            return None;
        }
        match role {
            Role::Request => Self::request(line),
            Role::Response => Self::response(line),
        }
    }

    /// RFC 9112, 3: "recipients MAY instead parse on whitespace-delimited word boundaries and, aside from
    /// the CRLF terminator, treat any form of whitespace as the SP separator while ignoring preceding or
    /// trailing whitespace; such whitespace includes one or more of the following octets: SP, HTAB, VT
    /// (%x0B), FF (%x0C), or bare CR."
    fn request(line: &[u8]) -> Option<Self> {
        let end = line.len() - line.iter().rev().take_while(|b| is_space(**b)).count();
        let rest = line[..end].len().checked_sub(VERSION)?;
        let version = line[rest..end].strip_prefix(b"HTTP/1.")?;
        let method = line[..rest].iter().position(|b| is_space(*b))?;
        // The version is a word of its own.
        if !is_space(line[rest - 1]) {
            return None;
        }
        let between = &line[method..rest];
        let start = method + between.iter().take_while(|b| is_space(**b)).count();
        let stop = rest - between.iter().rev().take_while(|b| is_space(**b)).count();
        let target = start.min(stop)..stop;
        let plain = line.len() == method + 1 + target.len() + 1 + VERSION
            && line[method] == b' '
            && line[rest - 1] == b' '
            && !target.is_empty()
            && !line[target.clone()].iter().any(|b| is_space(*b));
        let (version, odd) = Version::read(*version.first()?)?;
        let parts = Parts::Request { method: Span::new(0..method), target: Span::new(target) };
        Some(Self { version, parts, deviations: odd | Deviations::ODD_START_LINE.when(!plain) })
    }

    fn response(line: &[u8]) -> Option<Self> {
        let (version, odd) = Version::read(*line.get(7)?)?;
        let status = line.get(9..12)?.iter().fold(0, |n, digit| n * 10 + u16::from(digit - b'0'));
        let reason = line.len().min(STATUS.len() + 1)..line.len();
        let plain = line.get(STATUS.len()).is_none_or(|b| *b == b' ')
            && !line[reason.clone()].iter().any(|b| b.is_ascii_control() && *b != b'\t');
        let parts = Parts::Response { status, reason: Span::new(reason) };
        Some(Self { version, parts, deviations: odd | Deviations::ODD_START_LINE.when(!plain) })
    }
}

/// Length of `HTTP/1.1`.
const VERSION: usize = 8;

impl Version {
    /// RFC 9110, 2.5: "A recipient that receives a message with a major version number that it implements
    /// and a minor version number higher than what it implements SHOULD process the message as if it was
    /// in the highest minor version within that major version to which the recipient is conformant."
    fn read(minor: u8) -> Option<(Self, Deviations)> {
        match minor {
            b'0' => Some((Self::Http10, Deviations::NONE)),
            b'1' => Some((Self::Http11, Deviations::NONE)),
            b'2'..=b'9' => Some((Self::Http11, Deviations::ODD_VERSION)),
            _ => None,
        }
    }
}

/// The whitespace that may separate the words of a start line.
fn is_space(b: u8) -> bool {
    matches!(b, b' ' | b'\t' | 0x0b | 0x0c | b'\r')
}

/// RFC 9110, 5.6.2: `tchar`.
pub(crate) fn is_token_char(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)
}
