//! Everything that leaves the engine.

use crate::{budget::ALLOCATION, finding::Finding, input::ProcessFacts};
use std::sync::Arc;

/// 16 bytes, never all zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TraceId(pub [u8; 16]);

/// 8 bytes, never all zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpanId(pub [u8; 8]);

impl std::fmt::Display for TraceId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl std::fmt::Display for SpanId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

/// One thing that leaves.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// A finished span: it is never changed afterwards.
    Span(Box<Span>),
    /// Something that someone should look at.
    Finding(Box<Finding>),
    /// Please read `/proc` for this process and answer with [`Input::Process`](crate::Input::Process).
    /// A span waits a moment for the answer, not for ever.
    DescribeProcess(u32),
    /// This socket is of no interest: its bytes need not be copied any more. `id` and `inode` are
    /// those of [`tracer_common::Sock`].
    Mute {
        /// [`tracer_common::Sock::id`].
        id: u64,
        /// [`tracer_common::Sock::inode`].
        inode: u64,
        /// Whether it is still of interest when it turns from one direction to the other, with the begin of what
        /// moves then.
        turns: bool,
    },
    /// Please report the [`Wake`](tracer_common::Wake)s of this process: its threads hand requests to each
    /// other.
    WatchThreads(u32),
    /// They are of no interest any more: the process has ended.
    UnwatchThreads(u32),
}

/// `SpanKind` of OpenTelemetry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanKind {
    /// A request received.
    Server,
    /// A request sent.
    Client,
    /// A process launch.
    Internal,
}

/// Status of a span, with the description for an error.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Status {
    /// Nothing to say.
    #[default]
    Unset,
    /// It failed, in these words (empty when an attribute says it all).
    Error(String),
}

/// The value of an attribute.
#[derive(Clone, Debug)]
pub enum Value {
    /// A string.
    Str(String),
    /// A string of those that are built in: most of a span's are, and cost nothing so.
    Word(&'static str),
    /// A whole number.
    Int(i64),
    /// A number.
    Float(f64),
    /// A truth value.
    Bool(bool),
    /// Strings.
    Strings(Vec<String>),
}

/// A link to a span of another trace.
#[derive(Clone, Debug, PartialEq)]
pub struct SpanLink {
    /// Its trace.
    pub trace_id: TraceId,
    /// Its id.
    pub span_id: SpanId,
    /// What the link means.
    pub attributes: Vec<(&'static str, Value)>,
}

/// Something that happened within a span.
#[derive(Clone, Debug, PartialEq)]
pub struct SpanEvent {
    /// What.
    pub name: &'static str,
    /// When, nanoseconds since the Unix epoch.
    pub time_unix_nano: u64,
    /// Attributes, sorted by key, each key once.
    pub attributes: Vec<(&'static str, Value)>,
}

/// A finished span.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// Trace.
    pub trace_id: TraceId,
    /// Own id.
    pub span_id: SpanId,
    /// Parent, in the same trace; none for a root.
    pub parent_span_id: Option<SpanId>,
    /// `tracestate` as it was received, where the parent came from a header.
    pub trace_state: Option<String>,
    /// Links.
    pub links: Vec<SpanLink>,
    /// Events, in order of time: the findings about it so far.
    pub events: Vec<SpanEvent>,
    /// Name.
    pub name: String,
    /// Kind.
    pub kind: SpanKind,
    /// Begin, nanoseconds since the Unix epoch.
    pub start_unix_nano: u64,
    /// End, nanoseconds since the Unix epoch, not before the begin.
    pub end_unix_nano: u64,
    /// Status.
    pub status: Status,
    /// Whose span this is. Spans of one process share it while its facts stay the same.
    pub resource: Arc<Resource>,
    /// Attributes, sorted by key, each key once.
    pub attributes: Vec<(&'static str, Value)>,
}

impl Span {
    /// Bytes of memory that it takes, about; its resource, which others share, not counted.
    #[must_use]
    pub fn footprint(&self) -> usize {
        let links = self.links.iter().map(|link| size_of_val(link) + allocated(&link.attributes));
        let status = match &self.status {
            Status::Unset => 0,
            Status::Error(message) => message.len(),
        };
        let texts = self.name.len() + self.trace_state.as_ref().map_or(0, String::len) + status;
        let events = self.events.iter().map(|event| size_of_val(event) + allocated(&event.attributes));
        size_of::<Self>() + texts + allocated(&self.attributes) + links.sum::<usize>() + events.sum::<usize>()
    }
}

impl Finding {
    /// Bytes of memory that it takes, about; its resource, which others share, not counted.
    #[must_use]
    pub fn footprint(&self) -> usize {
        let facts = self.evidence.iter().map(|fact| size_of_val(fact) + ALLOCATION + fact.text.len());
        size_of::<Self>() + self.title.len() + allocated(&self.attributes) + facts.sum::<usize>()
    }
}

/// Bytes that attributes take.
fn allocated(pairs: &[(&'static str, Value)]) -> usize {
    pairs.iter().map(|pair| size_of_val(pair) + pair.1.allocated()).sum()
}

/// Strings are equal by their text, whoever keeps it.
impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => a == b,
            (Self::Float(a), Self::Float(b)) => a == b,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Strings(a), Self::Strings(b)) => a == b,
            _ => self.text().is_some_and(|text| other.text() == Some(text)),
        }
    }
}

impl Value {
    /// A string's text.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Str(text) => Some(text),
            Self::Word(text) => Some(text),
            _ => None,
        }
    }

    /// Bytes that it takes elsewhere.
    fn allocated(&self) -> usize {
        let text = |text: &String| ALLOCATION + text.len();
        match self {
            Self::Str(value) => text(value),
            Self::Word(_) | Self::Int(_) | Self::Float(_) | Self::Bool(_) => 0,
            Self::Strings(values) => values.iter().map(|value| size_of::<String>() + text(value)).sum(),
        }
    }
}

/// An observed process as an OpenTelemetry resource.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resource {
    /// The process.
    pub pid: u32,
    /// Attributes, sorted by key, each key once; `service.name` is always there.
    pub attributes: Vec<(String, Value)>,
    /// What they were made of.
    pub facts: ProcessFacts,
}
