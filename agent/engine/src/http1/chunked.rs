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

/// Length of `0`, CRLF and an empty line.
const LAST_CHUNK: u64 = 5;

/// How a reader takes what the grammar of chunks does not allow. Servers differ in this; each of these was found in
/// several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Leniency {
    /// As this parser does by itself: LF alone ends a line, whitespace may stand behind a size.
    #[default]
    Own,
    /// A line goes on to its CRLF: LF alone is part of it.
    LfIsText,
    /// A size has the hexadecimal digits that come first, as many as there are, and what follows is ignored.
    FirstDigits,
    /// A size may have a sign, `0x`, `_` and whitespace, as numbers have in programs.
    Number,
    /// Behind the data of a chunk two bytes are passed, whatever they are.
    AnyEnd,
}

impl Leniency {
    /// All but the own one.
    pub const OTHERS: [Self; 4] = [Self::LfIsText, Self::FirstDigits, Self::Number, Self::AnyEnd];
}

/// Where in a chunked content the stream is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chunked {
    leniency: Leniency,
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
    /// In a trailer line, maybe behind a CR, and behind a colon.
    Trailer {
        cr: bool,
        colon: bool,
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
    pub fn new(leniency: Leniency) -> Self {
        Self { leniency, place: Place::Size { digits: false }, left: 0, line: 0 }
    }

    /// Whether it is behind the last chunk.
    pub fn in_trailer(&self) -> bool {
        matches!(self.place, Place::TrailerStart | Place::Trailer { .. } | Place::TrailerLf)
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

    /// Whether `len` unseen bytes, up to where the sender stopped, can only be the last chunk: all of a message.
    pub fn is_last_chunk(&self, len: u64) -> bool {
        self.place == Place::Size { digits: false } && len == LAST_CHUNK
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
        self.line = self.line.checked_add(1)?;
        if self.in_trailer() {
            return self.next_of_trailer(b, deviations);
        }
        if self.line > MAX_CHUNK_LINE {
            return None;
        }
        match (self.place, b) {
            (Place::Size { digits }, _) => self.next_of_size(b, digits, deviations),
            // "chunk-ext = *( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] )"
            (Place::Padding, b' ' | b'\t') => Some(Place::Padding),
            (Place::Padding, b';' | b'\r' | b'\n') | (Place::Extension, b'\r' | b'\n') => {
                self.line_end(b, deviations)
            }
            // "A recipient MUST ignore unrecognized chunk extensions."
            (Place::Extension, _) => Some(Place::Extension),
            (Place::SizeLf, b'\n') => Some(self.after_size()),
            (Place::SizeLf, _) if self.leniency == Leniency::LfIsText => Some(Place::Extension),
            (Place::SizeLf, _) => {
                *deviations |= Deviations::ODD_CHUNK;
                None
            }
            (Place::DataEnd, b'\r') => Some(Place::DataLf),
            (Place::DataLf, b'\n') => Some(self.next_chunk()),
            (Place::DataEnd | Place::DataLf, _) => self.odd_data_end(b, deviations),
            _ => None,
        }
    }

    fn next_of_size(&mut self, b: u8, digits: bool, deviations: &mut Deviations) -> Option<Place> {
        if b.is_ascii_hexdigit() {
            self.left = match self.leniency {
                Leniency::FirstDigits | Leniency::Number => self.left << 4 | hexadecimal(b)?,
                _ => more_hexadecimal(self.left, b).or_else(|| {
                    *deviations |= Deviations::CHUNK_SIZE;
                    None
                })?,
            };
            return Some(Place::Size { digits: true });
        }
        match (self.leniency, b) {
            (Leniency::Number, b'x' | b'X') if self.left == 0 => Some(Place::Size { digits: false }),
            (Leniency::Number, b'+' | b'-' | b'_' | b' ' | b'\t') => Some(Place::Size { digits }),
            (Leniency::FirstDigits, _) if !matches!(b, b'\r' | b'\n') => Some(Place::Extension),
            (_, b';' | b'\r' | b'\n') if digits => self.line_end(b, deviations),
            (_, b' ' | b'\t') if digits => {
                *deviations |= Deviations::ODD_CHUNK;
                Some(Place::Padding)
            }
            _ => {
                *deviations |= Deviations::CHUNK_SIZE;
                None
            }
        }
    }

    /// What ends a size, or the line that it is in.
    fn line_end(&mut self, b: u8, deviations: &mut Deviations) -> Option<Place> {
        match b {
            b'\r' => Some(Place::SizeLf),
            b'\n' if self.leniency == Leniency::LfIsText => Some(Place::Extension),
            b'\n' => {
                *deviations |= Deviations::CHUNK_LF;
                Some(self.after_size())
            }
            _ => Some(Place::Extension),
        }
    }

    /// The data of a chunk is not followed by CRLF.
    fn odd_data_end(&mut self, b: u8, deviations: &mut Deviations) -> Option<Place> {
        *deviations |= Deviations::CHUNK_END;
        match (self.leniency, self.place) {
            (Leniency::AnyEnd, Place::DataEnd) => Some(Place::DataLf),
            (Leniency::AnyEnd, _) => Some(self.next_chunk()),
            (Leniency::LfIsText, _) => None,
            (_, Place::DataEnd) if b == b'\n' => Some(self.next_chunk()),
            _ => None,
        }
    }

    fn next_of_trailer(&mut self, b: u8, deviations: &mut Deviations) -> Option<Place> {
        let lf_ends = self.leniency != Leniency::LfIsText;
        match (self.place, b) {
            (Place::TrailerStart, b'\r') => Some(Place::TrailerLf),
            (Place::TrailerStart | Place::Trailer { cr: false, .. }, b'\n') if lf_ends => {
                *deviations |= Deviations::ODD_TRAILER;
                Some(if self.place == Place::TrailerStart { Place::Done } else { Place::TrailerStart })
            }
            (Place::Trailer { cr: true, colon }, b'\n') => {
                *deviations |= Deviations::ODD_TRAILER.when(!colon);
                Some(Place::TrailerStart)
            }
            (Place::TrailerLf, b'\n') => Some(Place::Done),
            (Place::TrailerStart, _) => Some(Place::Trailer { cr: false, colon: b == b':' }),
            (Place::Trailer { cr, colon }, _) => {
                *deviations |= Deviations::BARE_CR.when(cr);
                Some(Place::Trailer { cr: b == b'\r', colon: colon || b == b':' })
            }
            _ => {
                *deviations |= Deviations::BARE_CR;
                None
            }
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
    number.checked_mul(16)?.checked_add(hexadecimal(digit)?)
}

fn hexadecimal(digit: u8) -> Option<u64> {
    char::from(digit).to_digit(16).map(u64::from)
}
