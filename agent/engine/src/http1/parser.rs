//! The state machine.

use super::chunked::{Chunked, Leniency, Progress};
use super::scan::{Found, Scan};
use super::{Answering, Deviations, Event, Framing, Head, Loss, MAX_HEAD, Role};
use super::{framing, parse, start_line};

/// Reads the messages of one direction; drawn in the [module's docs](super).
#[derive(Clone, Debug)]
pub struct Parser {
    role: Role,
    state: State,
    /// The head so far, when it did not come in one part. At most [`MAX_HEAD`] bytes.
    partial: Vec<u8>,
    scan: Scan,
    /// Of the message that is open, or of the last.
    deviations: Deviations,
}

#[derive(Clone, Debug)]
enum State {
    /// Between messages, maybe behind empty lines.
    Idle {
        empty_lines: bool,
    },
    InHead,
    /// Behind a head of which only [`Event::Lost`] can follow, and why.
    Unknown(Loss),
    Length(u64),
    Chunked(Chunked),
    UntilClose,
    /// The message is complete; what follows, when that was told.
    Ending {
        tunnel: bool,
    },
    /// The last message was told; [`Event::Tunnel`] is due.
    Switching,
    Tunnel,
    NotHttp,
    Lost,
    /// The stream ended.
    Over,
}

impl State {
    /// What follows a head.
    fn content(framing: Framing, leniency: Leniency) -> Self {
        match framing {
            Framing::None => Self::Ending { tunnel: false },
            Framing::Length(length) => Self::Length(length),
            Framing::Chunked => Self::Chunked(Chunked::new(leniency)),
            Framing::UntilClose => Self::UntilClose,
            Framing::Tunnel => Self::Ending { tunnel: true },
            Framing::Unknown => Self::Unknown(Loss::Framing),
        }
    }
}

impl Parser {
    /// A parser for a stream that is between two messages.
    #[must_use]
    pub fn new(role: Role) -> Self {
        let state = State::Idle { empty_lines: false };
        Self { role, state, partial: Vec::new(), scan: Scan::default(), deviations: Deviations::NONE }
    }

    /// A parser for a stream of requests that is at the begin of a content framed like this.
    #[must_use]
    pub(crate) fn within(framing: Framing, leniency: Leniency) -> Self {
        let mut parser = Self::new(Role::Request);
        parser.state = State::content(framing, leniency);
        parser
    }

    /// Consumes some of `input`, and says how much and what happened there, if anything did.
    ///
    /// Where nothing happened it consumed at least one byte, if there was one. Call it until it has
    /// consumed everything and says nothing: an event may be due without a further byte.
    ///
    /// `answering` counts where a response's head becomes complete.
    pub fn step(&mut self, input: &[u8], answering: Answering) -> (usize, Option<Event>) {
        if let Some(event) = self.due() {
            return (0, Some(event));
        }
        if input.is_empty() {
            return (0, None);
        }
        match &mut self.state {
            State::Idle { .. } => self.between(input),
            State::InHead => self.in_head(input, answering),
            State::Chunked(chunked) if chunked.content_left() == 0 => {
                match chunked.read(input, &mut self.deviations) {
                    Progress::More => (input.len(), None),
                    Progress::Content(framing) => (framing, None),
                    Progress::Done(length) => {
                        self.state = State::Idle { empty_lines: false };
                        (length, Some(Event::End))
                    }
                    Progress::Broken => (input.len(), Some(self.lose(Loss::Chunk))),
                }
            }
            _ => {
                let (length, event) = self.content(input.len() as u64);
                (length as usize, event)
            }
        }
    }

    /// Consumes some of `len` bytes that were not captured; otherwise like [`step`](Self::step).
    pub fn gap(&mut self, len: u64) -> (u64, Option<Event>) {
        if let Some(event) = self.due() {
            return (0, Some(event));
        }
        if len == 0 {
            return (0, None);
        }
        match &mut self.state {
            State::Idle { .. } => (len, Some(self.lose(Loss::Gap))),
            State::InHead => (len, Some(self.cut_short())),
            State::Chunked(chunked) if chunked.is_last_chunk(len) => {
                self.state = State::Idle { empty_lines: false };
                (len, Some(Event::End))
            }
            State::Chunked(chunked) if chunked.content_left() == 0 => match chunked.pass_line_end(len) {
                0 => (len, Some(self.lose(Loss::Gap))),
                passed => (passed, None),
            },
            _ => self.content(len),
        }
    }

    /// The stream has ended. Call it until it says nothing.
    pub fn eof(&mut self) -> Option<Event> {
        if let Some(event) = self.due() {
            return Some(event);
        }
        let state = std::mem::replace(&mut self.state, State::Over);
        self.partial = Vec::new();
        match state {
            State::UntilClose => Some(Event::End),
            // RFC 9112, 8: "A client that receives an incomplete response message, which can occur when a
            // connection is closed prematurely or when decoding a supposedly chunked transfer coding
            // fails, MUST record the message as incomplete."
            State::InHead | State::Length(_) | State::Chunked(_) => Some(Event::Incomplete),
            State::Idle { .. } | State::Over => None,
            // What it was before tells the caller more.
            other => {
                self.state = other;
                None
            }
        }
    }

    /// Whether no message is open.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle { .. })
    }

    /// Bytes of content that come next whatever they say: they need not be captured. `u64::MAX` when no
    /// byte matters any more, or before the end of the stream.
    #[must_use]
    pub fn content_ahead(&self) -> u64 {
        match &self.state {
            State::Length(left) => *left,
            State::Chunked(chunked) => chunked.content_left(),
            State::UntilClose | State::Tunnel | State::NotHttp | State::Lost | State::Over => u64::MAX,
            State::Idle { .. }
            | State::InHead
            | State::Unknown(_)
            | State::Ending { .. }
            | State::Switching => 0,
        }
    }

    /// Departures from the grammar in the message that is open, or else in the last one: those of its
    /// head, and of its chunks so far.
    #[must_use]
    pub fn deviations(&self) -> Deviations {
        self.deviations
    }

    /// Whether a content is open that only the end of the connection ends.
    #[must_use]
    pub(crate) fn reads_until_close(&self) -> bool {
        matches!(self.state, State::UntilClose)
    }

    /// Whether a content in chunks is behind its last one.
    #[must_use]
    pub(crate) fn in_trailer(&self) -> bool {
        matches!(&self.state, State::Chunked(chunked) if chunked.in_trailer())
    }

    /// What came so far of a head that is unfinished; nothing once it was found to be none.
    #[must_use]
    pub(crate) fn partial(&self) -> &[u8] {
        if matches!(self.state, State::InHead) { &self.partial } else { &[] }
    }

    /// Bytes that the parser keeps of an unfinished head, at most [`MAX_HEAD`].
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.partial.len()
    }

    /// The event that follows without a further byte.
    fn due(&mut self) -> Option<Event> {
        match self.state {
            State::Length(0) => {
                self.state = State::Idle { empty_lines: false };
                Some(Event::End)
            }
            State::Ending { tunnel } => {
                self.state = if tunnel { State::Switching } else { State::Idle { empty_lines: false } };
                Some(Event::End)
            }
            State::Switching => {
                self.state = State::Tunnel;
                Some(Event::Tunnel)
            }
            State::Unknown(loss) => Some(self.lose(loss)),
            _ => None,
        }
    }

    /// At least one byte between two messages.
    fn between(&mut self, input: &[u8]) -> (usize, Option<Event>) {
        let skipped = start_line::empty_lines(input);
        let empty_lines = skipped > 0 || matches!(self.state, State::Idle { empty_lines: true });
        let Some(first) = input.get(skipped..=skipped) else {
            self.state = State::Idle { empty_lines };
            return (skipped, None);
        };
        self.deviations = Deviations::EMPTY_LINE.when(empty_lines);
        if !start_line::can_begin(self.role, first, 0) {
            return (skipped, Some(self.refuse()));
        }
        self.scan = Scan::default();
        self.state = State::InHead;
        (skipped, Some(Event::Begin))
    }

    /// At least one byte of a head.
    fn in_head(&mut self, input: &[u8], answering: Answering) -> (usize, Option<Event>) {
        // The common case: a head in one part is read where it lies.
        if self.partial.is_empty()
            && let Some((head, length)) = parse::strict(self.role, input)
        {
            return (length, Some(self.complete(head, answering)));
        }
        let before = self.partial.len();
        let taken = input.len().min(MAX_HEAD - before);
        self.partial.extend_from_slice(&input[..taken]);
        match self.scan.advance(self.role, &self.partial) {
            Found::End(length) => (length - before, Some(self.collected(length, answering))),
            Found::NotHttp => (taken, Some(self.refuse())),
            Found::More if self.partial.len() < MAX_HEAD => (taken, None),
            Found::More if self.scan.in_start_line() => (taken, Some(self.refuse())),
            Found::More => (taken, Some(self.lose(Loss::HeadTooLong))),
        }
    }

    /// The head is there, in the first `length` bytes of what was collected.
    fn collected(&mut self, length: usize, answering: Answering) -> Event {
        let mut raw = std::mem::take(&mut self.partial);
        raw.truncate(length);
        if let Some((head, _)) = parse::strict(self.role, &raw) {
            return self.complete(head, answering);
        }
        let Some(start) = parse::start_line(self.role, &raw) else { return self.refuse() };
        self.complete(parse::lenient(start, raw.into()), answering)
    }

    /// The rest of the head is missing: what came of it, to the last whole line, is told.
    fn cut_short(&mut self) -> Event {
        let mut raw = std::mem::take(&mut self.partial);
        let lines = raw.iter().rposition(|b| *b == b'\n').map_or(0, |end| end + 1);
        raw.truncate(lines);
        let head = parse::start_line(self.role, &raw).filter(|_| lines > 0);
        let Some(mut head) = head.map(|start| parse::lenient(start, raw.into())) else {
            return self.lose(Loss::Gap);
        };
        head.frame(Framing::Unknown, self.deviations);
        self.deviations = head.deviations();
        self.state = State::Unknown(Loss::Gap);
        Event::Head(Box::new(head))
    }

    fn complete(&mut self, mut head: Head, answering: Answering) -> Event {
        let (framing, deviations) = match head.status() {
            None => framing::of_request(&head),
            Some(status) => framing::of_response(&head, status, answering),
        };
        head.frame(framing, self.deviations | deviations);
        self.deviations = head.deviations();
        self.state = State::content(framing, Leniency::Own);
        Event::Head(Box::new(head))
    }

    /// Passes content, at least one byte of `len`; or what no longer matters, all of it.
    fn content(&mut self, len: u64) -> (u64, Option<Event>) {
        let passed = match &mut self.state {
            State::Length(left) => {
                let passed = len.min(*left);
                *left -= passed;
                passed
            }
            State::Chunked(chunked) => {
                let passed = len.min(chunked.content_left());
                chunked.pass(passed);
                passed
            }
            State::UntilClose => len,
            _ => return (len, None),
        };
        (passed, Some(Event::Content(passed)))
    }

    fn refuse(&mut self) -> Event {
        self.partial = Vec::new();
        self.state = State::NotHttp;
        Event::NotHttp
    }

    fn lose(&mut self, loss: Loss) -> Event {
        self.partial = Vec::new();
        self.state = State::Lost;
        Event::Lost(loss)
    }
}
