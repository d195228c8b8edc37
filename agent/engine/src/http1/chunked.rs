//! The chunked transfer coding: RFC 9112, 7.1.
//!
//! ```text
//!          ┌────────────────────────────── LF ◄── DataEnd ◄───────┐
//!          ▼                                                      │ all of the chunk
//!   ──► Size ──► (Padding | Extension) ──► LF, size > 0 ──► Data ─┘
//!          │
//!          └──── LF, size 0 ──► TrailerStart ◄──► Trailer
//!                                    └── empty line ──► done
//! ```

use super::Deviations;

/// Longest line of a chunk's size, in bytes, extensions included. Servers take 256 bytes to 16 KiB; the
/// line is counted, never kept.
pub const MAX_CHUNK_LINE: u16 = 16 * 1024;
/// Longest trailer section, in bytes; the bound of a head. It is counted, never kept.
pub const MAX_TRAILER: u16 = u16::MAX;

/// Where in a chunked content the stream is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chunked {
    place: Place,
    /// In `Size`, the number so far; in `Data`, the bytes to come.
    left: u64,
    /// Bytes of the current line, or of the trailer section, so far.
    line: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Before the first digit, or behind one.
    Size {
        digits: bool,
    },
    /// In whitespace behind the size.
    Padding,
    /// In the extensions.
    Extension,
    /// Behind the CR of the size's line.
    SizeLf,
    Data,
    /// Behind the data.
    DataEnd,
    /// Behind the CR that follows the data.
    DataLf,
    /// At the start of a trailer line.
    TrailerStart,
    /// In a trailer line, maybe behind a CR.
    Trailer {
        cr: bool,
    },
    /// Behind the CR of the last line.
    TrailerLf,
    Done,
}

/// What a step came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// All input was framing.
    More,
    /// So many bytes of framing, and content comes next.
    Content(usize),
    /// So many bytes, then the message was complete.
    Done(usize),
    /// This is not the chunked coding.
    Broken,
}

impl Chunked {
    pub fn new() -> Self {
        Self { place: Place::Size { digits: false }, left: 0, line: 0 }
    }

    /// Bytes of content that come next whatever they are; 0 in a line of framing.
    pub fn content_left(&self) -> u64 {
        if self.place == Place::Data { self.left } else { 0 }
    }

    /// Passes `len` bytes of content, at most [`content_left`](Self::content_left).
    pub fn pass(&mut self, len: u64) {
        self.left = self.left.saturating_sub(len);
        if self.left == 0 {
            self.place = Place::DataEnd;
        }
    }

    /// Passes the line end behind the data of a chunk, or as much of it as `len` unseen bytes are: what else
    /// could stand there? Gives how many bytes that is, 0 anywhere else.
    pub fn pass_line_end(&mut self, len: u64) -> u64 {
        match (self.place, len) {
            (Place::DataEnd, 1) => {
                self.place = Place::DataLf;
                1
            }
            (Place::DataEnd, 2..) => {
                self.place = self.next_chunk();
                2
            }
            (Place::DataLf, 1..) => {
                self.place = self.next_chunk();
                1
            }
            _ => 0,
        }
    }

    /// Reads framing up to the next content or the end.
    pub fn read(&mut self, input: &[u8], deviations: &mut Deviations) -> Progress {
        for (n, &b) in input.iter().enumerate() {
            if self.place == Place::Data {
                return Progress::Content(n);
            }
            match self.next(b, deviations) {
                Some(Place::Done) => return Progress::Done(n + 1),
                Some(place) => self.place = place,
                None => return Progress::Broken,
            }
        }
        Progress::More
    }

    /// Where the stream is behind the framing byte `b`; none where it cannot be.
    fn next(&mut self, b: u8, deviations: &mut Deviations) -> Option<Place> {
        let in_trailer = matches!(self.place, Place::TrailerStart | Place::Trailer { .. } | Place::TrailerLf);
        self.line = self.line.checked_add(1)?;
        if !in_trailer && self.line > MAX_CHUNK_LINE {
            return None;
        }
        match (self.place, b) {
            (Place::Size { .. }, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                self.left = more_hexadecimal(self.left, b)?;
                Some(Place::Size { digits: true })
            }
            (Place::Size { digits: false }, _) => None,
            // "chunk-ext = *( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] )"
            (Place::Size { .. } | Place::Padding, b' ' | b'\t') => {
                *deviations |= Deviations::ODD_CHUNK;
                Some(Place::Padding)
            }
            (Place::Size { .. } | Place::Padding, b';') => Some(Place::Extension),
            (Place::Size { .. } | Place::Padding | Place::Extension, b'\r') => Some(Place::SizeLf),
            (Place::Size { .. } | Place::Padding | Place::Extension, b'\n') => {
                *deviations |= Deviations::BARE_LF;
                Some(self.after_size())
            }
            (Place::SizeLf, b'\n') => Some(self.after_size()),
            // "A recipient MUST ignore unrecognized chunk extensions."
            (Place::Extension, _) => Some(Place::Extension),
            (Place::DataEnd, b'\r') => Some(Place::DataLf),
            (Place::DataEnd, b'\n') => {
                *deviations |= Deviations::BARE_LF;
                Some(self.next_chunk())
            }
            (Place::DataLf, b'\n') => Some(self.next_chunk()),
            (Place::TrailerStart, b'\r') => Some(Place::TrailerLf),
            (Place::TrailerStart | Place::Trailer { cr: false }, b'\n') => {
                *deviations |= Deviations::BARE_LF;
                Some(if self.place == Place::TrailerStart { Place::Done } else { Place::TrailerStart })
            }
            (Place::Trailer { cr: true }, b'\n') => Some(Place::TrailerStart),
            (Place::TrailerLf, b'\n') => Some(Place::Done),
            (Place::TrailerStart | Place::Trailer { .. }, _) => {
                *deviations |= Deviations::BARE_CR.when(self.place == Place::Trailer { cr: true });
                Some(Place::Trailer { cr: b == b'\r' })
            }
            _ => None,
        }
    }

    /// "last-chunk = 1*("0") [ chunk-ext ] CRLF", and the trailer section follows.
    fn after_size(&mut self) -> Place {
        self.line = 0;
        if self.left == 0 { Place::TrailerStart } else { Place::Data }
    }

    fn next_chunk(&mut self) -> Place {
        self.line = 0;
        Place::Size { digits: false }
    }
}

/// "A recipient MUST anticipate potentially large hexadecimal numerals and prevent parsing errors due to
/// integer conversion overflows or precision loss due to integer representation."
fn more_hexadecimal(number: u64, digit: u8) -> Option<u64> {
    let digit = char::from(digit).to_digit(16)?;
    number.checked_mul(16)?.checked_add(u64::from(digit))
}
