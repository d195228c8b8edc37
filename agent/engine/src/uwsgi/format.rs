//! How the two write a block of variables.

use crate::{cgi::Pair, http1::Guess};

/// Most bytes of a block: 16 bits number those of uwsgi, and a head is no longer.
const MAX_BLOCK: usize = crate::http1::MAX_HEAD;
/// Longest first name; those that front ends begin with are half as long.
const MAX_NAME: usize = 64;
/// Bytes before a block of uwsgi.
const UWSGI_HEADER: usize = 4;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// uwsgi.
    Uwsgi,
    /// SCGI.
    Scgi,
}

/// Where a block begins and ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Block {
    /// Its length is not known; at least so many bytes are needed to know it.
    Unknown(usize),
    /// Its variables lie in these bytes, and the content begins at the last number.
    Known { start: usize, end: usize, content: usize },
    /// This is none.
    None,
}

impl Format {
    /// Where the block lies that these bytes begin with.
    pub(super) fn block(self, bytes: &[u8]) -> Block {
        match self {
            Self::Uwsgi => match bytes {
                [_, size0, size1, _, ..] => {
                    let end = UWSGI_HEADER + usize::from(u16::from_le_bytes([*size0, *size1]));
                    Block::Known { start: UWSGI_HEADER, end, content: end }
                }
                _ => Block::Unknown(UWSGI_HEADER),
            },
            Self::Scgi => {
                let digits = bytes.iter().take_while(|b| b.is_ascii_digit()).count();
                let length = str::from_utf8(&bytes[..digits]).ok().and_then(|text| text.parse().ok());
                let start = digits + 1;
                match (bytes.get(digits), length) {
                    (None, _) if digits <= 5 => Block::Unknown(start),
                    (Some(b':'), Some(length @ 0..=MAX_BLOCK)) => {
                        Block::Known { start, end: start + length, content: start + length + 1 }
                    }
                    _ => Block::None,
                }
            }
        }
    }

    /// Whether these bytes, from the first, are those of a request; known when the first name is there.
    #[must_use]
    pub fn looks_like_request(self, bytes: &[u8]) -> Guess {
        let (start, end) = match self.block(bytes) {
            Block::Unknown(_) => return Guess::More,
            Block::None => return Guess::No,
            Block::Known { start, end, .. } => (start, end),
        };
        let variables = bytes.get(start..bytes.len().min(end)).unwrap_or_default();
        let (name, whole) = match (self, variables) {
            (Self::Uwsgi, [length0, length1, rest @ ..]) => {
                let length = usize::from(u16::from_le_bytes([*length0, *length1]));
                if length == 0 || length > MAX_NAME {
                    return Guess::No;
                }
                (&rest[..rest.len().min(length)], rest.len() >= length)
            }
            (Self::Uwsgi, _) => (&b""[..], false),
            // "The first header must have the name "CONTENT_LENGTH"".
            (Self::Scgi, _) => {
                let first = b"CONTENT_LENGTH\0";
                let name = &variables[..variables.len().min(first.len())];
                let fits = first.starts_with(name);
                (if fits { &name[..name.len().min(first.len() - 1)] } else { b"\0" }, name == first)
            }
        };
        // RFC 3875, 4.1 has letters, digits and underscores in capitals; routers add names in small letters.
        if !name.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.')) {
            return Guess::No;
        }
        match whole {
            true => Guess::Yes,
            false if bytes.len() >= end => Guess::No,
            false => Guess::More,
        }
    }

    /// The variables in a block; one that is not there to its end is none.
    pub(super) fn pairs(self, block: &[u8]) -> impl Iterator<Item = Pair<'_>> + Clone {
        let mut rest = block;
        std::iter::from_fn(move || {
            let (name, behind) = self.text(rest)?;
            let (value, behind) = self.text(behind)?;
            rest = behind;
            Some((name, value))
        })
    }

    fn text(self, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
        match self {
            Self::Uwsgi => {
                let (length, rest) = bytes.split_first_chunk()?;
                rest.split_at_checked(u16::from_le_bytes(*length).into())
            }
            Self::Scgi => {
                let end = bytes.iter().position(|b| *b == 0)?;
                Some((&bytes[..end], &bytes[end + 1..]))
            }
        }
    }
}
