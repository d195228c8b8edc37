//! The state machine.

use super::params::{MAX_PARAMS, Pairs};
use super::record::{HEADER, Kind, Record};
use crate::{
    cgi::{self, Found, HeadReader},
    http1::{Event, Framing, Loss, Role},
};

/// Reads the messages of one direction; drawn in the [module's docs](super).
#[derive(Clone, Debug)]
pub struct Parser {
    role: Role,
    place: Place,
    message: Message,
    /// The request that is open, or was last.
    id: u16,
    /// Its role is that of an authorizer, which gets no content.
    authorizer: bool,
    /// An [`Event::End`] follows without a further byte.
    ending: bool,
    /// Bytes of content that the request's head announced, less those that passed.
    announced: u64,
}

/// Where in the records the stream is.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// In a record's head, of which so many bytes are there. At the first one [`Event::Begin`] was said if it may
    /// begin a message.
    Header([u8; HEADER], usize, bool),
    /// In the content of a record.
    Content(Record),
    /// Bytes to pass over before the next record.
    Padding(u8),
    /// This is no FastCGI, or nobody knows where the next record is, or the stream has ended.
    Nowhere,
}

/// The message that is open.
#[derive(Clone, Debug)]
enum Message {
    Idle,
    /// The parameters so far, at most [`MAX_PARAMS`]; `cut` when the rest of them cannot be known.
    Params {
        bytes: Vec<u8>,
        cut: bool,
    },
    /// The head of the output so far.
    Output(HeadReader),
    Content,
}

/// Bytes of content in `BEGIN_REQUEST`.
const BEGIN: usize = 8;
/// `FCGI_AUTHORIZER`
const AUTHORIZER: u8 = 2;
const NEXT: Place = Place::Header([0; HEADER], 0, false);

impl Parser {
    /// A parser for a stream that is between two messages.
    #[must_use]
    pub fn new(role: Role) -> Self {
        Self {
            role,
            place: NEXT,
            message: Message::Idle,
            id: 0,
            authorizer: false,
            ending: false,
            announced: 0,
        }
    }

    /// Like [`http1::Parser::step`](crate::http1::Parser::step). `answering` is the id of the request that a
    /// response answers, where that is known.
    pub fn step(&mut self, input: &[u8], answering: Option<u16>) -> (usize, Option<Event>) {
        if std::mem::take(&mut self.ending) {
            return (0, Some(self.end()));
        }
        if input.is_empty() {
            return (0, None);
        }
        match self.place {
            Place::Header(header, have, begun) => self.header(header, have, begun, input, answering),
            Place::Content(record) => {
                let part = &input[..input.len().min(record.content.into())];
                let (used, event) = self.content(record, part);
                self.passed(record, used as u64, event).map_or((used, None), |event| (used, Some(event)))
            }
            Place::Padding(left) => (self.padding(left, input.len() as u64) as usize, None),
            Place::Nowhere => (input.len(), None),
        }
    }

    /// Like [`http1::Parser::gap`](crate::http1::Parser::gap).
    pub fn gap(&mut self, len: u64) -> (u64, Option<Event>) {
        if std::mem::take(&mut self.ending) {
            return (0, Some(self.end()));
        }
        if len == 0 {
            return (0, None);
        }
        match self.place {
            // What hides the next records hides the rest of the content, as a rule: it is sent at once.
            Place::Header(_, 0, _) if self.announced > 0 && matches!(self.message, Message::Content) => {
                (0, Some(Event::Content(std::mem::take(&mut self.announced))))
            }
            Place::Header(..) => (len, Some(self.lose(Loss::Gap))),
            Place::Content(record) => {
                let len = len.min(record.content.into());
                let event = match (&mut self.message, record.kind) {
                    (Message::Params { cut, .. }, Kind::Params) => {
                        *cut = true;
                        None
                    }
                    (Message::Output(_), Kind::Stdout) | (_, Kind::BeginRequest) => {
                        return (len, Some(self.lose(Loss::Gap)));
                    }
                    (Message::Content, Kind::Stdin | Kind::Stdout) => Some(self.passes(len)),
                    _ => None,
                };
                (len, self.passed(record, len, event))
            }
            Place::Padding(left) => (self.padding(left, len), None),
            Place::Nowhere => (len, None),
        }
    }

    /// Like [`http1::Parser::eof`](crate::http1::Parser::eof).
    pub fn eof(&mut self) -> Option<Event> {
        if std::mem::take(&mut self.ending) {
            return Some(self.end());
        }
        self.place = Place::Nowhere;
        let message = std::mem::replace(&mut self.message, Message::Idle);
        (!matches!(message, Message::Idle)).then_some(Event::Incomplete)
    }

    /// Whether no message is open.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        let between = matches!(self.place, Place::Header(_, 0, false) | Place::Padding(_));
        between && matches!(self.message, Message::Idle) && !self.ending
    }

    /// The id of the request that is open, or was last.
    #[must_use]
    pub fn request_id(&self) -> u16 {
        self.id
    }

    /// Bytes that the parser keeps of an unfinished head, at most [`MAX_PARAMS`].
    #[must_use]
    pub fn buffered(&self) -> usize {
        match &self.message {
            Message::Params { bytes, .. } => bytes.len(),
            Message::Output(reader) => reader.buffered(),
            Message::Idle | Message::Content => 0,
        }
    }

    /// At least one byte of a record's head.
    fn header(
        &mut self,
        mut header: [u8; HEADER],
        have: usize,
        begun: bool,
        input: &[u8],
        answering: Option<u16>,
    ) -> (usize, Option<Event>) {
        if have == 0 && !begun && matches!(self.message, Message::Idle) {
            if input[0] != 1 {
                return (0, Some(self.refuse()));
            }
            self.place = Place::Header(header, 0, true);
            return (0, Some(Event::Begin));
        }
        let used = input.len().min(HEADER - have);
        header[have..have + used].copy_from_slice(&input[..used]);
        if have + used < HEADER {
            self.place = Place::Header(header, have + used, begun);
            return (used, None);
        }
        let Some(record) = Record::read(header) else { return (used, Some(self.refuse())) };
        self.place = Place::Content(record);
        let event = match self.role {
            _ if record.kind == Kind::Management => Ok(None),
            Role::Request => self.of_request(record),
            Role::Response => self.of_response(record, answering),
        };
        let event = event.unwrap_or_else(|loss| Some(self.lose(loss)));
        (used, self.passed(record, 0, event))
    }

    /// A record of a request begins.
    fn of_request(&mut self, record: Record) -> Result<Option<Event>, Loss> {
        if matches!(self.message, Message::Idle) {
            if record.kind == Kind::BeginRequest {
                (self.id, self.authorizer) = (record.id, false);
                self.message = Message::Params { bytes: Vec::new(), cut: false };
            }
            // What is left of a request that was aborted, or joined late.
            return Ok(None);
        }
        if record.id != self.id {
            return Err(Loss::Multiplexed);
        }
        match (&mut self.message, record.kind, record.content) {
            (Message::Params { bytes, .. }, Kind::Params, 0) => {
                let head = cgi::request(Pairs(bytes))?;
                self.announced = if let Framing::Length(length) = head.framing() { length } else { 0 };
                self.message = Message::Content;
                self.ending = self.authorizer;
                Ok(Some(Event::Head(head)))
            }
            (Message::Content, Kind::Stdin, 0) => Ok(Some(self.end())),
            (_, Kind::AbortRequest, _) => {
                self.message = Message::Idle;
                Ok(Some(Event::Incomplete))
            }
            (Message::Params { .. }, Kind::Params, _) | (Message::Content, Kind::Stdin | Kind::Data, _) => {
                Ok(None)
            }
            _ => Err(Loss::Framing),
        }
    }

    /// A record of a response begins.
    fn of_response(&mut self, record: Record, answering: Option<u16>) -> Result<Option<Event>, Loss> {
        if !matches!(record.kind, Kind::Stdout | Kind::Stderr | Kind::EndRequest) {
            return Err(Loss::Framing);
        }
        if matches!(self.message, Message::Idle) {
            (self.id, self.message) = (record.id, Message::Output(HeadReader::default()));
        }
        if record.id != answering.unwrap_or(self.id) || record.id != self.id {
            return Err(Loss::Multiplexed);
        }
        Ok(None)
    }

    /// Reads content of a record, at least one byte and no more than is left of it.
    fn content(&mut self, record: Record, part: &[u8]) -> (usize, Option<Event>) {
        match (&mut self.message, record.kind) {
            (_, Kind::BeginRequest) => {
                // Its first two bytes are the role.
                let low = usize::from(record.content).checked_sub(BEGIN - 1).and_then(|at| part.get(at));
                self.authorizer = low.map_or(self.authorizer, |role| *role == AUTHORIZER);
                (part.len(), None)
            }
            (Message::Params { bytes, cut }, Kind::Params) => {
                if !*cut {
                    let room = MAX_PARAMS - bytes.len();
                    bytes.extend_from_slice(&part[..part.len().min(room)]);
                    *cut = part.len() > room;
                }
                (part.len(), None)
            }
            (Message::Output(reader), Kind::Stdout) => match reader.read(part) {
                (used, Found::More) => (used, None),
                (used, Found::Head(head)) => {
                    self.message = Message::Content;
                    (used, head.map(Event::Head))
                }
                (used, Found::Lost(loss)) => (used, Some(self.lose(loss))),
            },
            (Message::Content, Kind::Stdin | Kind::Stdout) => {
                (part.len(), Some(self.passes(part.len() as u64)))
            }
            _ => (part.len(), None),
        }
    }

    /// So many bytes of content pass.
    fn passes(&mut self, len: u64) -> Event {
        self.announced = self.announced.saturating_sub(len);
        Event::Content(len)
    }

    /// So many bytes of a record's content have passed, with this to say of them.
    fn passed(&mut self, mut record: Record, len: u64, event: Option<Event>) -> Option<Event> {
        if matches!(self.place, Place::Nowhere) {
            return event;
        }
        record.content = u64::from(record.content).saturating_sub(len) as u16;
        if record.content > 0 {
            self.place = Place::Content(record);
            return event;
        }
        self.place = if record.padding > 0 { Place::Padding(record.padding) } else { NEXT };
        // Its content does not matter: the response is over, with whatever result.
        self.ending |= record.kind == Kind::EndRequest && self.role == Role::Response;
        event
    }

    /// Passes padding.
    fn padding(&mut self, left: u8, len: u64) -> u64 {
        let passed = len.min(left.into());
        let left = left - passed as u8;
        self.place = if left > 0 { Place::Padding(left) } else { NEXT };
        passed
    }

    /// The message is over. A response without a head is none that a client can use.
    fn end(&mut self) -> Event {
        match std::mem::replace(&mut self.message, Message::Idle) {
            Message::Content => Event::End,
            _ => Event::Incomplete,
        }
    }

    /// This is no record: no FastCGI, or none any more.
    fn refuse(&mut self) -> Event {
        match self.message {
            Message::Idle => {
                self.place = Place::Nowhere;
                Event::NotHttp
            }
            _ => self.lose(Loss::Framing),
        }
    }

    fn lose(&mut self, loss: Loss) -> Event {
        (self.place, self.message) = (Place::Nowhere, Message::Idle);
        Event::Lost(loss)
    }
}
