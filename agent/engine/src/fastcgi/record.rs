//! Records: their heads, and where they end.

use crate::http1::Guess;

/// `FCGI_HEADER_LEN`
pub(super) const HEADER: usize = 8;

/// What a record is: section 8, "Types and Constants".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    BeginRequest,
    AbortRequest,
    EndRequest,
    Params,
    Stdin,
    Stdout,
    Stderr,
    Data,
    /// Of the connection itself, or of a type that nobody knows yet: "When a management record is received that
    /// has a type T that the application does not understand, the application responds with a record".
    Management,
}

/// A record's head.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record {
    pub kind: Kind,
    /// The request that it belongs to; 0 in management records only.
    pub id: u16,
    /// Bytes of content.
    pub content: u16,
    /// Bytes behind that, which mean nothing.
    pub padding: u8,
}

impl Record {
    /// Reads a head; nothing when it is none.
    pub fn read(header: [u8; HEADER]) -> Option<Self> {
        let [1, kind, id1, id0, content1, content0, padding, _] = header else { return None };
        let id = u16::from_be_bytes([id1, id0]);
        let content = u16::from_be_bytes([content1, content0]);
        let kind = match (kind, id) {
            (9.., 0) => Kind::Management,
            (_, 0) => return None,
            (1, _) if content == 8 => Kind::BeginRequest,
            (2, _) => Kind::AbortRequest,
            (3, _) if content == 8 => Kind::EndRequest,
            (4, _) => Kind::Params,
            (5, _) => Kind::Stdin,
            (6, _) => Kind::Stdout,
            (7, _) => Kind::Stderr,
            (8, _) => Kind::Data,
            _ => return None,
        };
        Some(Self { kind, id, content, padding })
    }
}

/// Whether these bytes, from the first, are those of a request: a `BEGIN_REQUEST`.
#[must_use]
pub fn looks_like_request(bytes: &[u8]) -> Guess {
    looks_like(bytes, |kind| kind == Kind::BeginRequest)
}

/// Whether these bytes, from the first, are a record of a response.
#[must_use]
pub fn looks_like_response(bytes: &[u8]) -> Guess {
    looks_like(bytes, |kind| matches!(kind, Kind::Stdout | Kind::Stderr | Kind::EndRequest))
}

/// Whether these bytes end with the end of a request.
#[must_use]
pub fn ends_request(bytes: &[u8]) -> bool {
    let record = bytes.len().checked_sub(2 * HEADER).and_then(|at| bytes[at..].first_chunk());
    record.and_then(|header| Record::read(*header)).is_some_and(|record| record.kind == Kind::EndRequest)
}

/// `reserved` is zero in all records that are sent, so that eight bytes say enough.
fn looks_like(bytes: &[u8], wanted: impl Fn(Kind) -> bool) -> Guess {
    match bytes.first_chunk::<HEADER>() {
        Some(header) => match Record::read(*header) {
            Some(record) if wanted(record.kind) && header[7] == 0 => Guess::Yes,
            _ => Guess::No,
        },
        None if bytes.first().is_none_or(|version| *version == 1) => Guess::More,
        None => Guess::No,
    }
}
