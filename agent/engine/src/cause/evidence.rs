//! What is known of what caused a call or a launch, before that is decided.

use super::{habits::Clue, weigh::Verdict};
use crate::{Time, graph::NodeId};

/// How a parent was found; the words of `tracer.link.method`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// A context in the request's fields.
    Header,
    /// The other end of the same connection.
    Socket,
    /// What the thread was busy with.
    Thread,
    /// Words of the request in what it caused.
    Content,
    /// The thread answered the request when the call was done.
    NextAnswer,
    /// No other request was open in the process.
    Only,
}

impl Method {
    /// As an attribute's value.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Header => "header",
            Self::Socket => "socket",
            Self::Thread => "thread",
            Self::Content => "content",
            Self::NextAnswer => "next_answer",
            Self::Only => "only",
        }
    }
}

/// How a parent was found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Link {
    /// What said most for it.
    pub method: Method,
    /// How sure it is, 0 to 1.
    pub confidence: f64,
    /// How many open requests it was chosen from.
    pub candidates: u32,
}

impl Link {
    /// One that leaves no doubt.
    pub const fn certain(method: Method) -> Self {
        Self { method, confidence: 1.0, candidates: 1 }
    }
}

/// What something that begins comes from.
#[derive(Clone, Debug, Default)]
pub enum Origin {
    /// Nothing that is known.
    #[default]
    Nothing,
    /// One of the requests that a process has open.
    Serving(Box<Evidence>),
    /// The launch of the process.
    Launch(NodeId),
    /// A process that has read requests, and had none open.
    Idle(Idle),
}

/// A process that has read requests, and had none open when it acted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Idle {
    /// The process.
    pub pid: u32,
    /// When it acted.
    pub at: Time,
    /// The last request whose answer had ended by then, and when that was.
    pub last: Option<(NodeId, Time)>,
}

/// Bits by which words must speak more for one of two requests than for the other to leave no doubt: a hundred to
/// one.
pub(super) const CLEAR: f64 = 7.0;

/// So many requests that were read just before one, and after it, are about as old.
const ALIKE: usize = 2;

/// What is known of the cause of a call or a launch: collected when it begins, weighed when it matters.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// The process.
    pub pid: u32,
    /// The thread.
    pub tid: u32,
    /// When the thread acted: sent the request, began the connect, forked.
    pub at: Time,
    /// Requests that the process had open then.
    pub open: u32,
    /// The one, when there was just one.
    pub sole: Option<NodeId>,
    /// What the thread was busy with: a request, or a call whose answer it had read, which stands for
    /// whatever caused that.
    pub thread: Option<(NodeId, Clue)>,
    /// Requests that share words with it, with the bits that they share.
    pub content: Vec<(NodeId, f64)>,
    /// What the thread answered next when the call was done.
    pub answer: Option<(NodeId, Clue)>,
    /// Calls with the same rare words.
    pub siblings: Vec<Sibling>,
    /// How probably it is for no request at all, before any clue.
    pub background: f64,
    /// Whether the thread had just done something else than what it had turned to.
    pub elsewhere: bool,
    /// Whether the thread is one that acts of itself: see [`is_alone`](super::threads::Threads::is_alone).
    pub alone: bool,
    /// Some of the requests that waited then.
    pub waited: Vec<NodeId>,
    /// Whether it was learned from.
    pub learned: bool,
    /// The process that acts, where that was told by the one with the request what to work on.
    pub via: Option<u32>,
    /// Whether that is its own fork, which works for whatever it has open by now.
    pub worker: bool,
}

/// A call that speaks for another one.
#[derive(Clone, Copy, Debug)]
pub struct Sibling {
    /// The call.
    pub call: NodeId,
    /// What the two have in common.
    pub clue: Clue,
    /// The thread that made it.
    pub tid: u32,
    /// What it is for by what was known of it alone, once that is decided.
    pub said: Option<Verdict>,
}

impl Evidence {
    /// Requests that waited then as well and were about as old as this one.
    pub fn alike(&self, request: NodeId) -> impl Iterator<Item = NodeId> + Clone {
        let place = self.waited.iter().position(|waited| *waited == request);
        let near = place.map_or(&[][..], |place| {
            &self.waited[place.saturating_sub(ALIKE)..(place + ALIKE + 1).min(self.waited.len())]
        });
        near.iter().copied().filter(move |other| *other != request)
    }

    /// The request that the shared words point to, whatever else is known.
    pub fn content_decides(&self) -> Option<NodeId> {
        let mut ranked = self.content.clone();
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
        let (node, best) = *ranked.first()?;
        let next = ranked.get(1).map_or(0.0, |(_, bits)| *bits);
        (best - next > CLEAR + f64::from(self.open).log2()).then_some(node)
    }
}

/// What caused a node.
#[derive(Clone, Debug, Default)]
pub enum Cause {
    /// Nothing that is known.
    #[default]
    Nothing,
    /// To be decided.
    Open(Box<Evidence>),
    /// Decided.
    Known(NodeId, Link),
}

impl Cause {
    /// The node, once it is decided.
    pub fn node(&self) -> Option<NodeId> {
        match self {
            Self::Known(node, _) => Some(*node),
            _ => None,
        }
    }

    /// Whether it is still to be decided.
    pub fn is_open(&self) -> bool {
        matches!(self, Self::Open(_))
    }
}
