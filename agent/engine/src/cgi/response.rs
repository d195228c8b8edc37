//! Responses: RFC 3875, 6.

use super::decimal;
use crate::http1::{
    Builder, Event, Framing, Guess, Head, Loss, MAX_HEAD, looks_like_response as http_response,
};

/// Collects the head of a response that arrives in parts, and reads it.
#[derive(Clone, Debug, Default)]
pub(crate) struct HeadReader {
    /// At most [`MAX_HEAD`] bytes.
    raw: Vec<u8>,
    /// Where its last line begins.
    line: usize,
}

/// What came of a part.
#[derive(Debug)]
pub(crate) enum Found {
    /// The head goes on.
    More,
    /// It is complete; nothing when it does not say a status code that is one.
    Head(Option<Box<Head>>),
    /// It is too long, or has too many fields.
    Lost(Loss),
}

impl HeadReader {
    /// Takes the part of `input` that belongs to the head, and says how much that was.
    pub fn read(&mut self, input: &[u8]) -> (usize, Found) {
        let mut used = 0;
        loop {
            let line = input[used..].iter().position(|b| *b == b'\n').map(|n| used + n + 1);
            let end = line.unwrap_or(input.len());
            if self.raw.len() + (end - used) > MAX_HEAD {
                self.raw = Vec::new();
                return (end, Found::Lost(Loss::HeadTooLong));
            }
            self.raw.extend_from_slice(&input[used..end]);
            used = end;
            if line.is_none() {
                return (used, Found::More);
            }
            if matches!(&self.raw[self.line..], b"\n" | b"\r\n") {
                let raw = std::mem::take(self).raw;
                let found = head(&raw).map_or_else(Found::Lost, |head| Found::Head(head.map(Box::new)));
                return (used, found);
            }
            self.line = self.raw.len();
        }
    }

    /// Bytes that it keeps.
    pub fn buffered(&self) -> usize {
        self.raw.len()
    }
}

/// Reads a whole head. RFC 3875, 6.2: `Status` is first only by custom; without it, 6.2.4 says that a `Location`
/// redirects, and 6.3.3 that all others are 200.
///
/// A script with parsed headers is one that is not named `nph-`; those write a status line.
fn head(raw: &[u8]) -> Result<Option<Head>, Loss> {
    let lines = || raw.split(|b| *b == b'\n').map(trim).filter(|line| !line.is_empty());
    let fields = || lines().filter_map(split);
    let value = |wanted: &str| {
        let mut found = fields().filter(|(name, _)| name.eq_ignore_ascii_case(wanted.as_bytes()));
        found.next().map(|(_, value)| value)
    };
    let status_line = lines().next().filter(|line| line.starts_with(b"HTTP/"));
    let said = match status_line {
        Some(line) => Some(line.iter().position(|b| *b == b' ').map_or(&b""[..], |at| trim(&line[at..]))),
        None => value("status"),
    };
    let (status, reason) = match said {
        Some(said) => {
            let (code, reason) = said.split_at(said.len().min(3));
            let Some(code) = decimal(code).filter(|code| (100..1000).contains(code)) else { return Ok(None) };
            (code as u16, trim(reason))
        }
        None if value("location").is_some() => (302, &b""[..]),
        None => (200, &b""[..]),
    };
    let mut head = Builder::response(status, reason);
    for (name, value) in fields() {
        head.field(name.iter().copied(), value);
    }
    head.build(Framing::UntilClose).map(Some)
}

/// A field line's name and value.
fn split(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = line.iter().position(|b| *b == b':')?;
    Some((trim(&line[..colon]), trim(&line[colon + 1..])))
}

fn trim(line: &[u8]) -> &[u8] {
    line.trim_ascii()
}

/// Whether these bytes, from the first, are those of a response: a status line, or a field line.
pub(crate) fn looks_like_response(bytes: &[u8]) -> Guess {
    match (http_response(bytes), bytes.iter().position(|b| !(b.is_ascii_alphanumeric() || *b == b'-'))) {
        (Guess::No, None) => Guess::More,
        (Guess::No, Some(1..)) if bytes.contains(&b':') => Guess::Yes,
        (guess, _) => guess,
    }
}

/// Reads the one response of a connection, whose end is the response's.
#[derive(Clone, Debug)]
pub(crate) enum Parser {
    /// Nothing has come.
    Idle,
    /// In the head.
    Head(HeadReader),
    /// In the content.
    Content,
    /// Where the head ends is not known, or the stream has ended.
    Over,
}

impl Parser {
    /// Like [`http1::Parser::step`](crate::http1::Parser::step).
    pub fn step(&mut self, input: &[u8]) -> (usize, Option<Event>) {
        match self {
            _ if input.is_empty() => (0, None),
            Self::Idle => {
                *self = Self::Head(HeadReader::default());
                (0, Some(Event::Begin))
            }
            Self::Head(reader) => match reader.read(input) {
                (used, Found::More) => (used, None),
                (used, Found::Head(head)) => {
                    *self = Self::Content;
                    (used, head.map(Event::Head))
                }
                (used, Found::Lost(loss)) => {
                    *self = Self::Over;
                    (used, Some(Event::Lost(loss)))
                }
            },
            Self::Content => (input.len(), Some(Event::Content(input.len() as u64))),
            Self::Over => (input.len(), None),
        }
    }

    /// Like [`http1::Parser::gap`](crate::http1::Parser::gap).
    pub fn gap(&mut self, len: u64) -> (u64, Option<Event>) {
        match self {
            _ if len == 0 => (0, None),
            Self::Idle | Self::Head(_) => {
                *self = Self::Over;
                (len, Some(Event::Lost(Loss::Gap)))
            }
            Self::Content => (len, Some(Event::Content(len))),
            Self::Over => (len, None),
        }
    }

    /// Like [`http1::Parser::eof`](crate::http1::Parser::eof).
    pub fn eof(&mut self) -> Option<Event> {
        match std::mem::replace(self, Self::Over) {
            Self::Head(_) => Some(Event::Incomplete),
            Self::Content => Some(Event::End),
            Self::Idle | Self::Over => None,
        }
    }

    /// Whether nothing has come.
    pub fn is_idle(&self) -> bool {
        matches!(self, Self::Idle)
    }

    /// Bytes that it keeps.
    pub fn buffered(&self) -> usize {
        if let Self::Head(reader) = self { reader.buffered() } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The status code that a head says, however it is split; `None` for one that is none.
    #[track_caller]
    fn status(raw: &str) -> Option<u16> {
        let stream = [raw.as_bytes(), b"content"].concat();
        let read = |parts: [&[u8]; 2]| {
            let mut reader = HeadReader::default();
            let mut rest = 0;
            for part in parts {
                match reader.read(part) {
                    (used, Found::More) => assert_eq!(used, part.len()),
                    (used, Found::Head(head)) => return (rest + used, head),
                    (_, Found::Lost(loss)) => panic!("{loss:?}"),
                }
                rest += part.len();
            }
            panic!("no end: {raw:?}")
        };
        let whole = read([&stream, b""]);
        assert_eq!(whole.0, raw.len());
        for at in 0..stream.len() {
            let (left, right) = stream.split_at(at);
            assert_eq!(read([left, right]), whole, "split at {at}");
        }
        whole.1.and_then(|head| head.status())
    }

    #[test]
    fn status_codes() {
        assert_eq!(status("Content-type: text/html\r\n\r\n"), Some(200));
        assert_eq!(status("Content-type: a\nStatus: 404 Not Found\n\n"), Some(404));
        assert_eq!(status("status:503\r\n\r\n"), Some(503));
        assert_eq!(status("Location: /b\r\n\r\n"), Some(302));
        assert_eq!(status("Location: /b\r\nStatus: 201 Made\r\n\r\n"), Some(201));
        assert_eq!(status("HTTP/1.1 418 No\r\nStatus: 200\r\n\r\n"), Some(418));
        assert_eq!(status("\r\n"), Some(200), "no field at all");
        for none in ["Status: ok\r\n\r\n", "Status: 20\r\n\r\n", "Status:\n\n", "HTTP/1.1\r\n\r\n"] {
            assert_eq!(status(none), None, "{none:?}");
        }
    }

    #[test]
    fn a_head_without_end_is_given_up() {
        let mut reader = HeadReader::default();
        let line = [b'x'; 1000];
        let lost = (0..100).find(|_| matches!(reader.read(&line).1, Found::Lost(Loss::HeadTooLong)));
        assert_eq!(lost, Some(MAX_HEAD / line.len()));
        assert_eq!(reader.buffered(), 0);
    }

    #[test]
    fn what_a_response_begins_with() {
        for (bytes, guess) in [
            ("Status: 200", Guess::Yes),
            ("Content-type:", Guess::Yes),
            ("HTTP/1.1 200 OK", Guess::Yes),
            ("Stat", Guess::More),
            (": x", Guess::No),
            ("\u{1}", Guess::No),
        ] {
            assert_eq!(looks_like_response(bytes.as_bytes()), guess, "{bytes:?}");
        }
    }
}
