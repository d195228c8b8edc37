//! Finds the end of a head that arrives in parts, looking at each byte once.

use super::Role;
use super::start_line::{StartLine, can_begin};

/// How far a head was searched.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Scan {
    /// Bytes that were searched.
    at: usize,
    /// Where the current line begins.
    line: usize,
}

/// What a search found.
pub(super) enum Found {
    /// The head has this many bytes.
    End(usize),
    /// It goes on.
    More,
    /// The first line is no start line.
    NotHttp,
}

impl Scan {
    /// Searches on in `head`, which is what was searched before and maybe more.
    ///
    /// RFC 9112, 2.2: "Although the line terminator for the start-line and fields is the sequence CRLF, a
    /// recipient MAY recognize a single LF as a line terminator and ignore any preceding CR."
    pub fn advance(&mut self, role: Role, head: &[u8]) -> Found {
        while let Some(length) = head[self.at..].iter().position(|&b| b == b'\n') {
            let end = self.at + length;
            let line = &head[self.line..end];
            if self.in_start_line() {
                if StartLine::read(role, line).is_none() {
                    return Found::NotHttp;
                }
            } else if matches!(line, b"" | b"\r") {
                return Found::End(end + 1);
            }
            self.line = end + 1;
            self.at = end + 1;
        }
        if self.in_start_line() && !can_begin(role, head, self.at) {
            return Found::NotHttp;
        }
        self.at = head.len();
        Found::More
    }

    /// Whether the first line has not ended yet.
    pub fn in_start_line(&self) -> bool {
        self.line == 0
    }
}
