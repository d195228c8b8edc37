//! The state machine.

use super::format::{Block, Format};
use crate::{
    cgi,
    http1::{Event, Framing, Guess, Head, Loss},
};

/// Reads the requests of a connection; see the [module's docs](super).
#[derive(Clone, Debug)]
pub struct Parser {
    format: Format,
    state: State,
    /// The block so far: no more than 64 KiB.
    partial: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Idle,
    InBlock,
    /// Behind a head whose content has no known end.
    Unknown,
    /// So many bytes of content are to come.
    Content(u64),
    NotUwsgi,
    Lost,
    /// The stream ended.
    Over,
}

impl Parser {
    /// A parser for a stream that is between two requests.
    #[must_use]
    pub fn new(format: Format) -> Self {
        Self { format, state: State::Idle, partial: Vec::new() }
    }

    /// Like [`http1::Parser::step`](crate::http1::Parser::step).
    pub fn step(&mut self, input: &[u8]) -> (usize, Option<Event>) {
        if let Some(event) = self.due() {
            return (0, Some(event));
        }
        match self.state {
            _ if input.is_empty() => (0, None),
            State::Idle => {
                self.state = State::InBlock;
                (0, Some(Event::Begin))
            }
            State::InBlock => self.in_block(input),
            _ => {
                let (length, event) = self.content(input.len() as u64);
                (length as usize, event)
            }
        }
    }

    /// Like [`http1::Parser::gap`](crate::http1::Parser::gap).
    pub fn gap(&mut self, len: u64) -> (u64, Option<Event>) {
        if let Some(event) = self.due() {
            return (0, Some(event));
        }
        match self.state {
            _ if len == 0 => (0, None),
            State::Idle | State::InBlock => (len, Some(self.lose(Loss::Gap))),
            _ => self.content(len),
        }
    }

    /// Like [`http1::Parser::eof`](crate::http1::Parser::eof).
    pub fn eof(&mut self) -> Option<Event> {
        if let Some(event) = self.due() {
            return Some(event);
        }
        let state = std::mem::replace(&mut self.state, State::Over);
        self.partial = Vec::new();
        matches!(state, State::InBlock | State::Content(_)).then_some(Event::Incomplete)
    }

    /// Whether no request is open.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle)
    }

    /// Bytes that the parser keeps of an unfinished block.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.partial.len()
    }

    /// The event that follows without a further byte.
    fn due(&mut self) -> Option<Event> {
        match self.state {
            State::Content(0) => {
                self.state = State::Idle;
                Some(Event::End)
            }
            State::Unknown => Some(self.lose(Loss::Framing)),
            _ => None,
        }
    }

    /// At least one byte of a block.
    fn in_block(&mut self, input: &[u8]) -> (usize, Option<Event>) {
        let mut used = 0;
        loop {
            let (want, block) = match self.format.block(&self.partial) {
                Block::None => return (used, Some(self.refuse())),
                Block::Unknown(want) => (want, None),
                Block::Known { start, end, content } => (content, Some(start..end)),
            };
            let part = want.saturating_sub(self.partial.len()).min(input.len() - used);
            self.partial.extend_from_slice(&input[used..used + part]);
            used += part;
            if self.format.looks_like_request(&self.partial) == Guess::No {
                return (used, Some(self.refuse()));
            }
            match block {
                Some(block) if self.partial.len() >= want => return (used, Some(self.complete(block))),
                _ if used == input.len() && part == 0 => return (used, None),
                _ => {}
            }
        }
    }

    fn complete(&mut self, block: std::ops::Range<usize>) -> Event {
        let raw = std::mem::take(&mut self.partial);
        let pairs = self.format.pairs(raw.get(block).unwrap_or_default());
        // Blocks without it are other things than requests: uWSGI's processes talk to each other by the same
        // protocol.
        if !pairs.clone().any(|(name, _)| name == b"REQUEST_METHOD") {
            return self.refuse();
        }
        match cgi::request(pairs) {
            Ok(head) => {
                self.state = frame(&head);
                Event::Head(head)
            }
            Err(loss) => self.lose(loss),
        }
    }

    /// Passes content, at least one byte of `len`; or what no longer matters, all of it.
    fn content(&mut self, len: u64) -> (u64, Option<Event>) {
        let State::Content(left) = &mut self.state else { return (len, None) };
        let passed = len.min(*left);
        *left -= passed;
        (passed, Some(Event::Content(passed)))
    }

    fn refuse(&mut self) -> Event {
        self.partial = Vec::new();
        self.state = State::NotUwsgi;
        Event::NotHttp
    }

    fn lose(&mut self, loss: Loss) -> Event {
        self.partial = Vec::new();
        self.state = State::Lost;
        Event::Lost(loss)
    }
}

fn frame(head: &Head) -> State {
    match head.framing() {
        Framing::Length(length) => State::Content(length),
        Framing::None => State::Content(0),
        _ => State::Unknown,
    }
}
