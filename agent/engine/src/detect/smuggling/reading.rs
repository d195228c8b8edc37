//! Other ways to read a message whose framing is odd: where its content ends for someone who does not see
//! the field that our parser went by, or goes by another one.

use crate::{
    exchange::Contested,
    graph::NodeId,
    http1::{Deviations, Event, Framing, Head, Leniency, Parser},
};

/// Most readings of a head besides the parser's own: what it says first, what it says last, and that it says nothing.
const MAX_READINGS: usize = 5;
/// Most requests that one reading takes for content.
const MAX_SWALLOWED: usize = 16;

/// What ends a head (RFC 9112, 2.1).
const HEAD_END: &[u8] = b"\r\n\r\n";

/// Deviations that leave room for another reading of where a message ends.
pub const AMBIGUOUS: [Deviations; 17] = [
    Deviations::CL_AND_TE,
    Deviations::ODD_LENGTH,
    Deviations::ODD_CODING,
    Deviations::CODING_IN_1_0,
    Deviations::SPACE_BEFORE_COLON,
    Deviations::ODD_NAME,
    Deviations::ODD_VALUE,
    Deviations::BARE_LF,
    Deviations::BARE_CR,
    Deviations::OBS_FOLD,
    Deviations::LEADING_SPACE,
    Deviations::NO_COLON,
    Deviations::ODD_CHUNK,
    Deviations::CHUNK_SIZE,
    Deviations::CHUNK_LF,
    Deviations::CHUNK_END,
    Deviations::ODD_TRAILER,
];

/// Whether a message can be framed in more than one way.
pub fn is_ambiguous(deviations: Deviations) -> bool {
    deviations.has_any(&AMBIGUOUS)
}

/// One way to read the content of a message.
#[derive(Debug)]
pub struct Reading {
    /// What this reader goes by.
    pub framing: Framing,
    /// How it takes chunks, where it goes by these, and the lines of the head.
    pub leniency: Leniency,
    /// Of the empty line that ends the head in this reading, the bytes that came, while it is to come.
    head: Option<usize>,
    parser: Parser,
    /// Where in the stream the content ends in this reading.
    ended: Option<u64>,
    /// Whether that is where the sender could have stopped: the end of a message, or of what was sent.
    aligned: bool,
    /// Requests that are content in this reading.
    swallowed: Vec<NodeId>,
    /// Whether it was told of these that the reading is a whole one.
    told: bool,
}

impl Reading {
    /// The ways to read what follows a head, besides that of the parser.
    pub fn others(head: &Head) -> Vec<Self> {
        if !is_ambiguous(head.deviations()) {
            return Vec::new();
        }
        let mut framings = said(head.raw());
        framings.push(Framing::None);
        framings.retain(|framing| *framing != head.framing());
        let goes_on = !head.raw().ends_with(HEAD_END);
        let longer = goes_on.then(|| Self::of_longer_head(head));
        framings.into_iter().map(|framing| Self::new(framing, Leniency::Own)).chain(longer).collect()
    }

    /// That of who ends lines with CRLF alone, for whom a head goes on that has ended.
    fn of_longer_head(head: &Head) -> Self {
        let came = (0..HEAD_END.len()).rev().find(|came| head.raw().ends_with(&HEAD_END[..*came]));
        Self { head: came, ..Self::new(head.framing(), Leniency::LfIsText) }
    }

    /// Whether it differs in where the head ends: then it makes one of two requests, never two of one.
    pub fn is_of_head(&self) -> bool {
        self.leniency == Leniency::LfIsText && self.framing != Framing::Chunked
    }

    /// The ways to read the chunks that follow a head, which matter once these are odd.
    pub fn of_chunks(head: &Head) -> Vec<Self> {
        let others: &[_] = if head.framing() == Framing::Chunked { &Leniency::OTHERS } else { &[] };
        others.iter().map(|leniency| Self::new(Framing::Chunked, *leniency)).collect()
    }

    fn new(framing: Framing, leniency: Leniency) -> Self {
        let parser = Parser::within(framing, leniency);
        let swallowed = Vec::new();
        Self { framing, leniency, head: None, parser, ended: None, aligned: false, swallowed, told: false }
    }

    /// What came behind the head, at `place` of the stream; false when it cannot be read like this.
    pub fn bytes(&mut self, place: u64, bytes: &[u8]) -> bool {
        let mut rest = bytes;
        while let (Some(came), Some((next, behind))) = (self.head, rest.split_first()) {
            let came = match *next {
                next if next == HEAD_END[came] => came + 1,
                b'\r' => 1,
                _ => 0,
            };
            self.head = Some(came).filter(|came| *came < HEAD_END.len());
            rest = behind;
        }
        while self.head.is_none() && self.ended.is_none() {
            let (used, event) = self.parser.step(rest, Default::default());
            rest = &rest[used..];
            match event {
                Some(Event::End) => self.ended = Some(place + (bytes.len() - rest.len()) as u64),
                Some(Event::Content(_)) => {}
                None if used > 0 => {}
                None => break,
                Some(_) => return false,
            }
        }
        self.aligned |= self.ended == Some(place + bytes.len() as u64);
        true
    }

    /// So many bytes were not seen; false when it is not known any more where the content ends.
    pub fn gap(&mut self, place: u64, len: u64) -> bool {
        if self.head.is_some() {
            return false;
        }
        let mut left = len;
        while self.ended.is_none() {
            let (used, event) = self.parser.gap(left);
            left -= used;
            match event {
                Some(Event::End) => self.ended = Some(place + len - left),
                Some(Event::Content(_)) => {}
                None if used > 0 => {}
                None => break,
                Some(_) => return false,
            }
        }
        true
    }

    /// A message of the parser's reading ends there.
    pub fn boundary(&mut self, place: u64) {
        self.aligned |= self.ended == Some(place);
    }

    /// A request begins there in the parser's reading. Who has waited for an answer before, has sent a request:
    /// false when this one would take it for content.
    pub fn request(&mut self, place: u64, node: Option<NodeId>, turned: bool) -> bool {
        let inside = self.ended.is_none_or(|end| end > place);
        if inside && turned {
            return false;
        }
        if let Some(node) = node.filter(|_| inside && self.swallowed.len() < MAX_SWALLOWED) {
            self.swallowed.push(node);
        }
        true
    }

    /// What a request is that this reading takes for content of the carrier.
    pub fn contested(&self, carrier: NodeId) -> Contested {
        let Self { framing, leniency, aligned, .. } = *self;
        Contested { carrier, framing, leniency, whole: aligned }
    }

    /// Whether the request is content in this reading.
    pub fn contests(&self, node: NodeId) -> bool {
        self.swallowed.contains(&node)
    }

    /// Whether it ends where the sender could have stopped.
    pub fn is_whole(&self) -> bool {
        self.aligned
    }

    /// Memory that it takes.
    pub fn held(&self) -> usize {
        size_of::<Self>() + self.swallowed.capacity() * size_of::<NodeId>()
    }

    /// Where the content ends in this reading, once it has.
    pub fn end(&self) -> Option<u64> {
        self.ended
    }

    /// The requests that are content in this reading, once it turns out to be a whole one.
    pub fn take_whole(&mut self) -> &[NodeId] {
        let news = self.aligned && !std::mem::replace(&mut self.told, self.aligned);
        if news { &self.swallowed } else { &[] }
    }
}

/// What the lines of a head could say of the framing to a reader who is lenient in some way: with other
/// line ends, names with bytes in or around them that he strips, values with more than the word.
fn said(raw: &[u8]) -> Vec<Framing> {
    let mut framings = Vec::new();
    for line in raw.split(|b| matches!(b, b'\n' | b'\r')).skip(1) {
        let Some(colon) = line.iter().position(|b| *b == b':') else { continue };
        let (name, value) = (&line[..colon], &line[colon + 1..]);
        let said = if is_name(name, b"contentlength") {
            numbers(value).map(|number| number.map_or(Framing::None, Framing::Length))
        } else if is_name(name, b"transferencoding") && bare(value).windows(7).any(|word| word == b"chunked")
        {
            [Framing::Chunked; 2]
        } else {
            continue;
        };
        for framing in said {
            if !framings.contains(&framing) {
                framings.push(framing);
            }
        }
    }
    // Of many, readers take the first or the last.
    while framings.len() >= MAX_READINGS {
        framings.remove(framings.len() / 2);
    }
    framings
}

/// Whether a reader may take a field's name for `word`: it has other bytes only where some reader strips them, or
/// lets the name begin behind them.
fn is_name(name: &[u8], word: &[u8]) -> bool {
    let letters = bare(name);
    let begins = || name.iter().rposition(|b| !b.is_ascii_alphanumeric() && !matches!(b, b'-' | b'_'));
    letters == word || begins().is_some_and(|at| bare(&name[at..]) == word)
}

/// The letters and digits of a word, small.
fn bare(word: &[u8]) -> Vec<u8> {
    word.iter().filter(|b| b.is_ascii_alphanumeric()).map(u8::to_ascii_lowercase).collect()
}

/// The first and the last number of a value; some take `_` within one.
fn numbers(value: &[u8]) -> [Option<u64>; 2] {
    let value: Vec<u8> = value.iter().copied().filter(|b| *b != b'_').collect();
    let mut numbers = value.split(|b| !b.is_ascii_digit()).filter(|digits| !digits.is_empty());
    let first = numbers.next();
    [first, numbers.next_back().or(first)].map(|digits| {
        digits?
            .iter()
            .try_fold(0u64, |number, digit| number.checked_mul(10)?.checked_add(u64::from(digit - b'0')))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lenient_readers_find() {
        let said = |fields: &str| said(format!("POST / HTTP/1.1\r\n{fields}\r\n\r\n").as_bytes());
        let both = [Framing::Length(40), Framing::Chunked];
        assert_eq!(said("Content-Length: 40\r\nTransfer-Encoding: chunked"), both);
        assert_eq!(said("Content-Length: 40\r\nTransfer-Encoding : xchunked"), both);
        assert_eq!(said("Content-Length: +40\r\nTransfer_Encoding: chunked, identity"), both);
        assert_eq!(said("Content-Length: 40\r\nX: y\nTransfer-Encoding\u{85}: chunked"), both);
        assert_eq!(said("Content-Length: 40\r\nX: y\rTransfer-Encoding:\u{b}chunked"), both);
        assert_eq!(said("Content-Length: 4\r\nContent-Length: 5"), [Framing::Length(4), Framing::Length(5)]);
        assert_eq!(said("Content-Length: 99999999999999999999999"), [Framing::None]);
        assert_eq!(said("Content-Length: 4, 5"), [Framing::Length(4), Framing::Length(5)]);
        assert_eq!(said("Content-Length: 4_0"), [Framing::Length(40)]);
        assert_eq!(said("Content-Length: 0x28"), [Framing::Length(0), Framing::Length(28)]);
        assert_eq!(said("Content-Length:"), [Framing::None]);
        assert_eq!(said("X y\0Content-Length: 4"), [Framing::Length(4)]);
        assert_eq!(said("Host: h"), []);
        // Fields that no reader takes for one leave the room to those that are.
        let decoys: String = (1..9).map(|n| format!("X-Content-Length: {n}\r\n")).collect();
        assert_eq!(said(&format!("{decoys}Content-Length: 40\r\nTransfer-Encoding: chunked")), both);
        let many: Vec<_> = (1..9).map(|n| format!("Content-Length: {n}")).collect();
        let kept = said(&many.join("\r\n"));
        assert_eq!((kept.first(), kept.last()), (Some(&Framing::Length(1)), Some(&Framing::Length(8))));
        assert!(kept.len() < MAX_READINGS);
    }
}
