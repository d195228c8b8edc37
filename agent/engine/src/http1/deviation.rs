//! In what a message departs from the grammar.

use std::fmt;
use std::ops::{BitOr, BitOrAssign};

/// A set of departures from the grammar of RFC 9112.
///
/// Each is a place where two readers may read different messages. By itself it proves nothing; wherever
/// this parser chose one reading of a message's framing out of several, one of them is set.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Deviations(u32);

impl Deviations {
    /// A line ends with LF alone.
    pub const BARE_LF: Self = Self(1 << 0);
    /// A CR stands somewhere else than before a LF.
    pub const BARE_CR: Self = Self(1 << 1);
    /// Empty lines before the start line.
    pub const EMPTY_LINE: Self = Self(1 << 2);
    /// The start line is not made of single spaces between its parts, or a part is missing or odd.
    pub const ODD_START_LINE: Self = Self(1 << 3);
    /// `HTTP/1.` with a minor version other than 0 and 1; read as HTTP/1.1.
    pub const ODD_VERSION: Self = Self(1 << 4);
    /// A line that begins with whitespace directly after the start line; ignored.
    pub const LEADING_SPACE: Self = Self(1 << 5);
    /// A line that begins with whitespace and continues the field before it.
    pub const OBS_FOLD: Self = Self(1 << 6);
    /// A field line without a colon; ignored.
    pub const NO_COLON: Self = Self(1 << 7);
    /// Whitespace between a field's name and the colon; not counted to the name.
    pub const SPACE_BEFORE_COLON: Self = Self(1 << 8);
    /// A field's name is empty or no token.
    pub const ODD_NAME: Self = Self(1 << 9);
    /// A field's value has a control character other than HTAB.
    pub const ODD_VALUE: Self = Self(1 << 10);
    /// Both Content-Length and Transfer-Encoding.
    pub const CL_AND_TE: Self = Self(1 << 11);
    /// Content-Length more than once, or a list, or not a plain decimal number.
    pub const ODD_LENGTH: Self = Self(1 << 12);
    /// Transfer-Encoding is anything but the one word `chunked` in small letters.
    pub const ODD_CODING: Self = Self(1 << 13);
    /// Transfer-Encoding in a message of HTTP/1.0.
    pub const CODING_IN_1_0: Self = Self(1 << 14);
    /// Framing of a content that this response cannot have (1xx, 204, 2xx to CONNECT).
    pub const USELESS_FRAMING: Self = Self(1 << 15);
    /// A chunk's line has whitespace, or a CR, where it should have none.
    pub const ODD_CHUNK: Self = Self(1 << 16);
    /// A chunk's size is anything but hexadecimal digits, or more than 64 bits hold.
    pub const CHUNK_SIZE: Self = Self(1 << 17);
    /// A line that has a chunk's size ends with LF alone.
    pub const CHUNK_LF: Self = Self(1 << 18);
    /// The data of a chunk is followed by something else than CRLF.
    pub const CHUNK_END: Self = Self(1 << 19);
    /// A line of a trailer section ends with LF alone, or has no colon.
    pub const ODD_TRAILER: Self = Self(1 << 20);
    /// What only a content in chunks can have.
    pub const OF_CHUNKS: [Self; 5] =
        [Self::ODD_CHUNK, Self::CHUNK_SIZE, Self::CHUNK_LF, Self::CHUNK_END, Self::ODD_TRAILER];

    const NAMES: [&str; 21] = [
        "bare_lf",
        "bare_cr",
        "empty_line",
        "odd_start_line",
        "odd_version",
        "leading_space",
        "obs_fold",
        "no_colon",
        "space_before_colon",
        "odd_name",
        "odd_value",
        "cl_and_te",
        "odd_length",
        "odd_coding",
        "coding_in_1_0",
        "useless_framing",
        "odd_chunk",
        "chunk_size",
        "chunk_lf",
        "chunk_end",
        "odd_trailer",
    ];

    /// No deviation.
    pub const NONE: Self = Self(0);

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether all of `other` are in this set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether any of `others` is in this set.
    #[must_use]
    pub fn has_any(self, others: &[Self]) -> bool {
        others.iter().any(|other| self.contains(*other))
    }

    /// Their names, in the order above.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES
            .into_iter()
            .enumerate()
            .filter(move |(bit, _)| self.0 >> bit & 1 == 1)
            .map(|(_, name)| name)
    }

    /// This set where `condition` holds, else none.
    pub(super) const fn when(self, condition: bool) -> Self {
        if condition { self } else { Self::NONE }
    }
}

impl BitOr for Deviations {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Deviations {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl fmt::Debug for Deviations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}
