//! One exchange or launch, with what caused it.

use super::NodeId;
use crate::{
    SpanId, Time, TraceId,
    budget::Shrink,
    cause::Cause,
    detect::smuggling::Split,
    exchange::{Exchange, Side},
    ids::Identity,
    launch::Launch,
    propagation::RemoteContext,
    unread::Unread,
};

/// What a node is.
#[derive(Debug)]
pub enum Body {
    /// A request and its response.
    Exchange(Box<Exchange>),
    /// A process launch.
    Launch(Box<Launch>),
}

/// When a node was at work.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// Its begin.
    pub start: Time,
    /// Its end, once it is known.
    pub end: Option<Time>,
    /// The same of an exchange whose response came whole.
    pub answered: Option<Time>,
}

/// The trace and the span that a request's fields name: what of a context stays the same on its way.
pub(super) type Carried = (TraceId, SpanId);

/// An exchange or a launch.
#[derive(Debug)]
pub struct Node {
    /// Id of its span.
    pub span_id: SpanId,
    /// Id of the span at the other end, when that may be on another node that is traced.
    pub other_end: Option<SpanId>,
    /// Id of the trace it begins, if nothing caused it.
    pub(super) own_trace: TraceId,
    /// The trace it is in, once that was told to anyone: from then on it stays.
    pub(super) trace: Option<TraceId>,
    /// Process that did it.
    pub pid: u32,
    /// Process whose resource its span has: of a launch, that of the service that launched it, since a
    /// launch is something that a service did, not a service.
    pub owner: u32,
    /// Begin.
    pub start: Time,
    /// End, once it is known.
    pub end: Option<Time>,
    /// What caused it.
    pub cause: Cause,
    /// The other end of the same exchange, on this node.
    pub partner: Option<NodeId>,
    /// The context that the request carries.
    pub remote: Option<RemoteContext>,
    /// What it is.
    pub body: Body,
    /// How often its span has waited for the decision of what caused it.
    pub(super) delays: u8,
}

impl Node {
    /// A node that begins.
    pub fn new(identity: Identity, pid: u32, start: Time, body: Body) -> Self {
        Self {
            span_id: identity.span_id(),
            other_end: None,
            own_trace: identity.trace_id(),
            trace: None,
            pid,
            owner: pid,
            start,
            end: None,
            cause: Cause::Nothing,
            delays: 0,
            partner: None,
            remote: None,
            body,
        }
    }

    /// The exchange, when it is one.
    pub fn exchange(&self) -> Option<&Exchange> {
        match &self.body {
            Body::Exchange(exchange) => Some(exchange),
            _ => None,
        }
    }

    /// Whether it is a request to another server.
    pub fn is_call(&self) -> bool {
        self.side() == Some(Side::Client)
    }

    /// What is known of a request that cannot be read.
    pub fn unread(&self) -> Option<Unread> {
        self.exchange()?.unread
    }

    pub(super) fn side(&self) -> Option<Side> {
        self.exchange().map(|exchange| exchange.side)
    }

    pub(super) fn times(&self) -> Times {
        let whole = self.exchange().is_some_and(|exchange| exchange.problem.is_none());
        Times { start: self.start, end: self.end, answered: self.end.filter(|_| whole) }
    }

    pub(super) fn carried(&self) -> Option<Carried> {
        self.remote.as_ref().map(|remote| (remote.trace_id, remote.span_id))
    }
}

/// What is counted is what strangers choose the length of: heads, contents and command lines.
impl Shrink for Body {
    fn footprint(&self) -> usize {
        match self {
            Self::Exchange(exchange) => {
                let lines = exchange.hidden.iter().map(|line| size_of::<Box<[u8]>>() + line.len());
                exchange.content.capacity()
                    + lines.sum::<usize>()
                    + exchange.split.as_ref().map_or(0, Split::held)
                    + exchange.undelivered.as_ref().map_or(0, |case| case.0.footprint())
                    + exchange.request.footprint()
                    + exchange.response.as_ref().map_or(0, |head| head.footprint())
            }
            Self::Launch(launch) => launch.footprint(),
        }
    }

    fn shrink(&mut self) {
        match self {
            Self::Exchange(exchange) => {
                exchange.content = Vec::new();
                exchange.hidden = Vec::new();
                exchange.undelivered = None;
                exchange.request.shrink();
                if let Some(head) = &mut exchange.response {
                    head.shrink();
                }
            }
            Self::Launch(launch) => launch.shrink(),
        }
    }
}
