//! Requests that stand inside the content of another: what a reader sees there who takes the content for
//! something else. By itself it proves nothing, an uploaded text file may hold one.

use super::request_line::{begins_request, request_in};
use crate::http1::{Event, Head, Parser, Role};
use memchr::memchr;

/// Most requests that are kept of one content: the first ones, and one that begins where another reading ends.
const MAX_FOUND: usize = 4;
/// Longest text that is kept of one, in bytes: a start line and the fields that matter.
const MAX_TEXT: usize = 1024;
/// Longest line that is looked at, in bytes; of a longer one, its last ones. Servers take request lines of 8 KiB.
const MAX_LINE: usize = 8192;

/// A request inside a content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hidden {
    /// Where in the content it begins.
    pub offset: u64,
    /// Where in the stream.
    pub place: u64,
    /// How it begins, at most a kilobyte.
    pub text: Vec<u8>,
    /// Whether nothing but line ends stands before it: who leaves the content unread finds this one.
    pub first: bool,
    /// Whether its head goes on.
    open: bool,
}

impl Hidden {
    /// Its first line, without the line end.
    pub fn line(&self) -> &[u8] {
        let line = self.text.split(|b| *b == b'\n').next().unwrap_or_default();
        line.strip_suffix(b"\r").unwrap_or(line)
    }

    /// What came of the line that it ends within.
    pub fn last_line(&self) -> &[u8] {
        self.text.rsplit(|b| *b == b'\n').next().unwrap_or_default()
    }

    /// Its method and target, as far as these came, for readers that know no more than words.
    pub fn words(&self) -> [&[u8]; 2] {
        let blank = |b: &u8| matches!(b, b' ' | b'\t' | 0x0b | 0x0c);
        let mut words = self.line().split(blank).filter(|word| !word.is_empty());
        [words.next().unwrap_or_default(), words.next().unwrap_or_default()]
    }

    /// Whether its method is in capitals, as all are that servers know.
    pub fn is_in_capitals(&self) -> bool {
        self.words()[0].iter().all(u8::is_ascii_uppercase)
    }

    /// Its target, as far as that came.
    pub fn target(&self) -> Option<&[u8]> {
        Some(self.words()[1]).filter(|target| !target.is_empty())
    }

    /// It as a head; the fields that came whole.
    pub fn head(&self) -> Option<Box<Head>> {
        let mut parser = Parser::new(Role::Request);
        let mut rest = self.text.as_slice();
        loop {
            let (used, event) = parser.step(rest, Default::default());
            rest = &rest[used..];
            match event {
                Some(Event::Head(head)) => return Some(head),
                Some(Event::Begin) => {}
                None if used > 0 => {}
                None => break,
                Some(_) => return None,
            }
        }
        match parser.gap(1).1 {
            Some(Event::Head(head)) => Some(head),
            _ => None,
        }
    }
}

/// Looks for requests in a content as it passes.
#[derive(Clone, Debug, Default)]
pub struct Scanner {
    /// Where in the stream the next byte is.
    place: u64,
    /// Bytes that have passed.
    passed: u64,
    /// Of these, bytes of lines around it that are no content.
    around: u64,
    /// Of these, bytes that were not seen.
    unseen: u64,
    /// The line that is coming, at least [`MAX_LINE`] bytes of its end, and at most twice as many.
    line: Vec<u8>,
    found: Vec<Hidden>,
    /// Requests that found no room.
    more: u64,
    /// Where in the stream other readings end: a handful, as these are.
    expected: Vec<u64>,
    /// Whether all lines so far were empty.
    blank: Blank,
    /// Whether it ended within the last of these, as texts that hold some do not.
    cut: bool,
    /// Whether the head of the last of these had not ended.
    unfinished: bool,
}

/// Whether nothing has passed but line ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Blank(bool);

impl Default for Blank {
    fn default() -> Self {
        Self(true)
    }
}

impl Scanner {
    /// What was found.
    pub fn found(&self) -> &[Hidden] {
        &self.found
    }

    /// Requests that were found, but are too many to be kept.
    pub fn more(&self) -> u64 {
        self.more
    }

    /// A request that begins at one of these places is kept in any case.
    pub fn expect(&mut self, places: impl Iterator<Item = u64>) {
        self.expected.clear();
        self.expected.extend(places);
    }

    /// Whether it is complete, and ends within a request's head: who takes that for one reads on in what comes next.
    pub fn is_cut(&self) -> bool {
        self.cut
    }

    /// Whether it is complete, and the head of a request in it is not: some readers read on in what comes next.
    pub fn is_unfinished(&self) -> bool {
        self.unfinished
    }

    /// Bytes that have passed.
    pub fn passed(&self) -> u64 {
        self.passed - self.around
    }

    /// Of these, how many were not seen.
    pub fn unseen(&self) -> u64 {
        self.unseen
    }

    /// Memory that it takes elsewhere.
    pub fn held(&self) -> usize {
        self.line.capacity()
            + self.expected.capacity() * size_of::<u64>()
            + self.found.iter().map(|hidden| size_of::<Hidden>() + hidden.text.capacity()).sum::<usize>()
    }

    /// More of the content, from there in the stream.
    pub fn bytes_at(&mut self, place: u64, bytes: &[u8]) {
        self.place = place;
        self.bytes(bytes);
    }

    /// The next bytes of it.
    pub fn bytes(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let end = memchr(b'\n', bytes).map(|end| end + 1);
            let (piece, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
            for hidden in self.found.iter_mut().filter(|hidden| hidden.open) {
                hidden.extend(piece);
            }
            let piece_end = &piece[piece.len().saturating_sub(MAX_LINE)..];
            if self.line.len() + piece_end.len() > 2 * MAX_LINE {
                self.line.drain(..self.line.len().saturating_sub(MAX_LINE - piece_end.len()));
            }
            self.line.extend_from_slice(piece_end);
            self.passed += piece.len() as u64;
            self.place = self.place.wrapping_add(piece.len() as u64);
            if end.is_some() {
                self.line_ended();
            }
            bytes = rest;
        }
    }

    /// Lines before or behind the content that are part of its framing.
    pub fn around(&mut self, place: u64, bytes: &[u8]) {
        self.bytes_at(place, bytes);
        self.around += bytes.len() as u64;
    }

    /// So many bytes of the content were not seen.
    pub fn gap(&mut self, len: u64) {
        self.passed += len;
        self.place = self.place.wrapping_add(len);
        self.unseen += len;
        self.line.clear();
        self.blank = Blank(false);
        self.found.iter_mut().for_each(|hidden| hidden.open = false);
    }

    /// The content is complete: its last line may lack an end.
    pub fn ended(&mut self) {
        if self.found.is_empty() && begins_request(&self.line) && self.line.len() as u64 == self.passed {
            let text = self.line[..self.line.len().min(MAX_TEXT)].to_vec();
            let place = self.place.wrapping_sub(self.line.len() as u64);
            self.found.push(Hidden { offset: 0, place, text, first: true, open: true });
        }
        self.line_ended();
        self.line = Vec::new();
        self.unfinished = self.found.last().is_some_and(|hidden| hidden.open);
        self.cut = self.found.last().is_some_and(Hidden::swallows);
        self.found.iter_mut().for_each(|hidden| hidden.open = false);
    }

    fn line_ended(&mut self) {
        if let Some(start) = request_in(&self.line)
            && self.has_room(self.line.len() - start)
        {
            let line = &self.line[start..];
            let (offset, open) = (self.passed - line.len() as u64, line.len() <= MAX_TEXT);
            let (text, first) = (line[..line.len().min(MAX_TEXT)].to_vec(), start == 0 && self.blank.0);
            let place = self.place.wrapping_sub(line.len() as u64);
            self.found.push(Hidden { offset, place, text, first, open });
        }
        self.blank.0 &= self.line.iter().all(|b| matches!(b, b'\r' | b'\n'));
        self.line.clear();
    }

    /// Whether a request that began so many bytes ago is kept: lures before the one that a reader comes to are not what
    /// matters.
    fn has_room(&mut self, ago: usize) -> bool {
        if self.found.len() < MAX_FOUND {
            return true;
        }
        self.more += 1;
        let is_expected = |place: u64| self.expected.contains(&place);
        if !is_expected(self.place.wrapping_sub(ago as u64)) {
            return false;
        }
        let least = self.found.iter().rposition(|hidden| !is_expected(hidden.place));
        if let Some(least) = least {
            self.found.remove(least);
        }
        least.is_some()
    }
}

impl Hidden {
    /// Whether it ends within a field, or within its target: what comes next is part of that.
    fn swallows(&self) -> bool {
        let last = self.last_line();
        self.open
            && if last.len() < self.text.len() { last.contains(&b':') } else { begins_request(&self.text) }
    }

    fn extend(&mut self, piece: &[u8]) {
        let room = MAX_TEXT.saturating_sub(self.text.len());
        self.text.extend_from_slice(&piece[..piece.len().min(room)]);
        self.open = piece.len() <= room && !self.text.ends_with(b"\n\r\n") && !self.text.ends_with(b"\n\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(content: &[u8], step: usize) -> Vec<(u64, String)> {
        let mut scanner = Scanner::default();
        content.chunks(step).for_each(|piece| scanner.bytes(piece));
        scanner.ended();
        let text = |hidden: &Hidden| String::from_utf8_lossy(&hidden.text).into_owned();
        scanner.found().iter().map(|hidden| (hidden.offset, text(hidden))).collect()
    }

    #[test]
    fn finds_what_a_reader_might_who_begins_anywhere() {
        let padding = "x".repeat(100_000);
        let cases: &[(&str, &[(u64, &str)])] = &[
            ("a=1&b=2", &[]),
            ("GET /admin HTTP/1.1\r\nHost: h\r\n\r\nrest", &[(0, "GET /admin HTTP/1.1\r\nHost: h\r\n\r\n")]),
            ("GET /admin HTTP/1.1\r\nX: ", &[(0, "GET /admin HTTP/1.1\r\nX: ")]),
            ("GET /admin HTTP/1.1", &[(0, "GET /admin HTTP/1.1")]),
            ("xxxxxxxxGET /a HTTP/1.0\nA: b\n\n", &[(8, "GET /a HTTP/1.0\nA: b\n\n")]),
            ("0\r\n\r\nPOST /b HTTP/1.1\r\n\r\n", &[(5, "POST /b HTTP/1.1\r\n\r\n")]),
            ("HTTP/1.1 200 OK\r\n", &[]),
            ("see RFC 9112 of HTTP/1.1\r\n", &[]),
            ("GET  /a \t HTTP/1.1 \r\n\r\n", &[(0, "GET  /a \t HTTP/1.1 \r\n\r\n")]),
            ("GET\t/a\tHTTP/1.1\r\n\r\n", &[(0, "GET\t/a\tHTTP/1.1\r\n\r\n")]),
            ("xxget /a HTTP/1.1\r\n\r\n", &[(2, "get /a HTTP/1.1\r\n\r\n")]),
            ("GET http://h/a HTTP/1.1\r\n\r\n", &[(0, "GET http://h/a HTTP/1.1\r\n\r\n")]),
            ("PURGE /a HTTP/2.0\r\n\r\n", &[(0, "PURGE /a HTTP/2.0\r\n\r\n")]),
            ("x\rGET /a HTTP/1.1\rHost: h\r\r\n", &[(2, "GET /a HTTP/1.1\rHost: h\r\r\n")]),
            ("GET /a\r\n", &[(0, "GET /a\r\n")]),
            ("SHOW /a\r\n", &[(0, "SHOW /a\r\n")]),
            ("cat /a\r\n", &[]),
            ("x /a HTTP/1.1\r\n\r\n", &[(0, "x /a HTTP/1.1\r\n\r\n")]),
            ("M-SEARCH * HTTP/1.1\r\n\r\n", &[(0, "M-SEARCH * HTTP/1.1\r\n\r\n")]),
            ("xxFOO /a HTTP/1.1\r\n\r\n", &[(2, "FOO /a HTTP/1.1\r\n\r\n")]),
            ("find h:443 HTTP/1.10\r\n\r\n", &[(0, "find h:443 HTTP/1.10\r\n\r\n")]),
            ("so GET admin HTTP/1.1\r\n\r\n", &[(3, "GET admin HTTP/1.1\r\n\r\n")]),
            ("and GET /a\r\n", &[]),
            ("GET it\r\n", &[]),
            ("a GET HTTP/1.1\r\n", &[]),
            ("this is what HTTP/1.1\r\n", &[]),
            (
                "GET /a HTTP/1.1\n\nGET /b HTTP/1.1\n\n",
                &[(0, "GET /a HTTP/1.1\n\n"), (17, "GET /b HTTP/1.1\n\n")],
            ),
        ];
        for (content, expected) in cases {
            let expected: Vec<_> = expected.iter().map(|(at, text)| (*at, (*text).to_owned())).collect();
            for step in [1, 3, 1 << 20] {
                assert_eq!(found(content.as_bytes(), step), expected, "{content:?} by {step}");
            }
            let padded = format!("{padding}\n{content}");
            let moved: Vec<_> = expected.iter().map(|(at, text)| (at + 100_001, text.clone())).collect();
            assert_eq!(found(padded.as_bytes(), 4096), moved, "{content:?} behind padding");
        }
    }

    #[test]
    fn an_end_within_a_request_takes_in_what_comes_next() {
        let cases: [(&str, bool); 10] = [
            ("GET /admin HTTP/1.1\r\nX: ", true),
            ("a=b\r\n\r\nGET /admin HTTP/1.1\r\nHost: h\r\nX: y", true),
            ("xxxxxxxxGET /admin HTTP/1.1\nX:", true),
            ("GET /admin?x=", true),
            ("GET /admin HTTP/1.1\r\nHost: h\r\n\r\n", false),
            ("GET /admin HTTP/1.1\r\nHost: h\r\n", false),
            ("# try\nGET /x HTTP/1.1\n", false),
            ("x=1&y=GET / HTTP/1.1", false),
            ("GET /admin HTTP/1.1\r\nContent-Length: 10\r\n\r\nX: ", false),
            ("GET it", false),
        ];
        for (content, expected) in cases {
            let mut scanner = Scanner::default();
            scanner.bytes(content.as_bytes());
            scanner.ended();
            assert_eq!(scanner.is_cut(), expected, "{content:?}");
        }
    }

    #[test]
    fn a_target_may_be_as_long_as_servers_take_it() {
        let line = format!("get /{} HTTP/1.1\r\n", "a".repeat(8000));
        for step in [1, 700, 5000, 1 << 20] {
            let found = found(format!("{}\r\n{line}", "x".repeat(30_000)).as_bytes(), step);
            assert_eq!(found.len(), 1, "by {step}");
            assert_eq!((found[0].0, &found[0].1[..]), (30_002, &line[..MAX_TEXT]));
        }
    }

    #[test]
    fn memory_is_bounded() {
        let mut scanner = Scanner::default();
        let request = format!("GET /{} HTTP/1.1\r\nA: {}\r\n", "a".repeat(500), "b".repeat(5000));
        for _ in 0..1000 {
            scanner.bytes(request.as_bytes());
        }
        scanner.bytes(&[b'x'; 1 << 20]);
        assert!(scanner.held() < 24 * 1024, "{}", scanner.held());
        scanner.gap(7);
        assert_eq!((scanner.found().len(), scanner.unseen()), (MAX_FOUND, 7));
    }

    #[test]
    fn an_unfinished_one_has_a_head_too() {
        let hidden =
            |text: &[u8]| Hidden { offset: 0, place: 0, text: text.into(), first: true, open: false };
        let head = hidden(b"GET /admin HTTP/1.1\r\nHost: h\r\nX: ").head().expect("a head");
        assert_eq!((head.field("host"), head.field("x")), (Some(b"h".as_slice()), None));
        assert!(hidden(b"GET /admin HTTP/1.1\r\n\r\nxyz").head().is_some());
        assert_eq!(hidden(b"GET /admin HTTP/1.1\r\nHost").line(), b"GET /admin HTTP/1.1");
    }
}
