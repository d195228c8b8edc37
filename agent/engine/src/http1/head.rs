//! The head of a message: its start line and field lines.

use super::start_line::{Parts, StartLine};
use super::{Deviations, Framing};
use crate::budget::Shrink;
use std::fmt;
use std::ops::Range;

/// Longest head, in bytes, from its first byte to the end of the empty line: 64 KiB less one, so that 16
/// bits number its bytes. Servers take 8 to 16 KiB, some 64.
pub const MAX_HEAD: usize = u16::MAX as usize;
/// Most field lines of a head that are kept; servers take about 100, some thousands. Behind these, only what says
/// what the message is.
pub const MAX_FIELDS: usize = 256;
/// What is kept of a head that finds no room, in bytes: an everyday start line and the fields behind it.
const SHORT: usize = 512;
/// Fields in that.
const FEW_FIELDS: usize = 16;

/// `HTTP-version`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1, or a later minor version, which is read as that.
    Http11,
}

/// What a start line says besides the version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start<'a> {
    /// Of a request.
    Request {
        /// Method: a token of at most [`MAX_METHOD`](super::MAX_METHOD) bytes, case-sensitive.
        method: &'a str,
        /// Target as received, in any form; may be empty only with [`Deviations::ODD_START_LINE`].
        target: &'a [u8],
    },
    /// Of a response.
    Response {
        /// Status code, 0 to 999.
        status: u16,
        /// Reason phrase, maybe empty.
        reason: &'a [u8],
    },
}

/// A complete head.
#[derive(Clone, PartialEq, Eq)]
pub struct Head {
    raw: Box<[u8]>,
    start: Parts,
    version: Version,
    fields: Box<[Field]>,
    variables: Box<[Field]>,
    framing: Framing,
    deviations: Deviations,
}

/// Where a field line has its name and value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub name: Span,
    pub value: Span,
}

/// Part of a head. 16 bits number all bytes of [`MAX_HEAD`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Span {
    start: u16,
    end: u16,
}

impl Span {
    /// A range that lies in a head, so neither end is cut here.
    pub fn new(range: Range<usize>) -> Self {
        Self { start: range.start as u16, end: range.end as u16 }
    }

    /// From the start of this one to the end of `next`; an empty one counts for nothing.
    pub fn joined(self, next: Self) -> Self {
        match (self.start == self.end, next.start == next.end) {
            (_, true) => self,
            (true, false) => next,
            (false, false) => Self { start: self.start, end: next.end },
        }
    }

    /// What of this one lies before `end`.
    fn until(self, end: u16) -> Self {
        Self { start: self.start.min(end), end: self.end.min(end) }
    }

    pub fn of(self, raw: &[u8]) -> &[u8] {
        raw.get(usize::from(self.start)..usize::from(self.end)).unwrap_or_default()
    }
}

impl Head {
    pub(super) fn new(raw: Box<[u8]>, start: StartLine, fields: Box<[Field]>) -> Self {
        let StartLine { version, parts, deviations } = start;
        let variables = Box::default();
        Self { raw, start: parts, version, fields, variables, framing: Framing::None, deviations }
    }

    pub(super) fn frame(&mut self, framing: Framing, deviations: Deviations) {
        self.framing = framing;
        self.deviations |= deviations;
    }

    pub(super) fn set_variables(&mut self, variables: Box<[Field]>) {
        self.variables = variables;
    }

    /// The head as it was received, from the first byte of the start line to the end of the empty line; of a
    /// message that another protocol carried, what it was put into.
    #[must_use]
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// The start line.
    #[must_use]
    pub fn start(&self) -> Start<'_> {
        match self.start {
            Parts::Request { method, target } => Start::Request {
                // A token is ASCII, so this never fails.
                method: str::from_utf8(method.of(&self.raw)).unwrap_or_default(),
                target: target.of(&self.raw),
            },
            Parts::Response { status, reason } => Start::Response { status, reason: reason.of(&self.raw) },
        }
    }

    /// Status code, when this is a response's head.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self.start {
            Parts::Request { .. } => None,
            Parts::Response { status, .. } => Some(status),
        }
    }

    /// HTTP version of the sender.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// What says where the content ends.
    #[must_use]
    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// In what the head departs from the grammar.
    #[must_use]
    pub fn deviations(&self) -> Deviations {
        self.deviations
    }

    /// All field lines as (name, value), in the order received. A name has no whitespace around it; a
    /// value has neither, but inside it a folded one keeps its line ends.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.fields.iter().map(|field| (field.name.of(&self.raw), field.value.of(&self.raw)))
    }

    /// Values of all field lines of this name, in whatever case, in the order received.
    pub fn fields(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        let is_it = move |field: &[u8]| field.eq_ignore_ascii_case(name.as_bytes());
        self.iter().filter(move |(field, _)| is_it(field)).map(|(_, value)| value)
    }

    /// Value of the first field line of this name, in whatever case.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&[u8]> {
        self.fields(name).next()
    }

    /// Value of a meta-variable (RFC 3875, 4.1) that is no field, of a request that a gateway protocol carried.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<&[u8]> {
        let found = self.variables.iter().find(|field| field.name.of(&self.raw) == name.as_bytes())?;
        Some(found.value.of(&self.raw)).filter(|value| !value.is_empty())
    }
}

impl Shrink for Head {
    fn footprint(&self) -> usize {
        let fields = size_of_val(&*self.fields) + size_of_val(&*self.variables);
        size_of::<Self>() + self.raw.len() + fields
    }

    /// The begin stays: of the start line as much as it has, of the fields the first whole ones.
    fn shrink(&mut self) {
        self.raw = self.raw[..self.raw.len().min(SHORT)].into();
        let end = self.raw.len() as u16;
        let whole = |field: &&Field| field.name.end.max(field.value.end) <= end;
        self.fields = self.fields.iter().filter(whole).take(FEW_FIELDS).copied().collect();
        self.variables = self.variables.iter().filter(whole).take(FEW_FIELDS).copied().collect();
        self.start = match self.start {
            Parts::Request { method, target } => {
                Parts::Request { method: method.until(end), target: target.until(end) }
            }
            Parts::Response { status, reason } => Parts::Response { status, reason: reason.until(end) },
        };
    }
}

impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Head")
            .field("raw", &format_args!("\"{}\"", self.raw.escape_ascii()))
            .field("framing", &self.framing)
            .field("deviations", &self.deviations)
            .finish()
    }
}
