//! Where a node stands: its trace, its parent, and how that was found.

use super::{Graph, Node, NodeId};
use crate::{SpanId, TraceId, exchange::Side};

/// Longest chain of causes that is followed.
const MAX_DEPTH: usize = 64;

/// How a parent was found; the words of `tracer.link.method`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// A context in the request's fields.
    Header,
    /// The other end of the same connection.
    Socket,
    /// What the thread was busy with.
    Thread,
}

impl Method {
    /// As an attribute's value.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Header => "header",
            Self::Socket => "socket",
            Self::Thread => "thread",
        }
    }

    /// How sure a link of this kind is: a field or a connection says it outright. A thread that works on
    /// one request at a time is nearly as sure; one that had read several may have turned from any of them
    /// to any other, and what it read last is just one of so many.
    fn confidence(self, candidates: u32) -> f64 {
        match self {
            Self::Header | Self::Socket => 1.0,
            Self::Thread if candidates <= 1 => 0.9,
            Self::Thread => 1.0 / f64::from(candidates),
        }
    }
}

/// Where a node's parent is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Link {
    /// How it was found.
    pub method: Method,
    /// How sure it is, 0 to 1.
    pub confidence: f64,
    /// How many open exchanges it was chosen from.
    pub candidates: u32,
}

/// A node's place, decided.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    /// Its trace.
    pub trace_id: TraceId,
    /// Its parent and how it was found; none for a root.
    pub parent: Option<(SpanId, Link)>,
}

impl Graph {
    /// Decides trace and parent of a node: from now on they stay.
    pub fn place(&mut self, id: NodeId) -> Option<Place> {
        let trace_id = self.trace(id);
        let node = self.nodes.get(&id)?;
        let parent = match self.above(node) {
            Above::Here(parent, method) => {
                let candidates = node.cause.map_or(1, |c| c.candidates.max(1));
                let candidates = if method == Method::Thread { candidates } else { 1 };
                self.parent(parent).map(|(span, _)| (span, link(method, candidates)))
            }
            Above::Elsewhere => node.remote.as_ref().map(|r| (r.span_id, link(Method::Header, 1))),
            Above::Nothing => None,
        };
        let caused = match node.side() {
            Some(Side::Server) => node.partner.is_some(),
            _ => node.cause.is_some(),
        };
        self.stats.causes_gone += u64::from(parent.is_none() && caused);
        Some(Place { trace_id, parent })
    }

    /// The trace of a node: that of the top of its chain of causes, which all of the chain keep.
    fn trace(&mut self, id: NodeId) -> TraceId {
        let mut top = id;
        let mut depth = 0;
        let trace = loop {
            let Some(node) = self.nodes.get(&top) else {
                break self.told.get(&top).map_or(TraceId([0; 16]), |told| told.trace);
            };
            if let Some(trace) = node.trace {
                break trace;
            }
            match self.above(node) {
                Above::Here(parent, _) if depth < MAX_DEPTH => {
                    top = parent;
                    depth += 1;
                }
                Above::Here(..) => self.cut(top),
                Above::Elsewhere => break node.remote.as_ref().map_or(node.own_trace, |r| r.trace_id),
                Above::Nothing => break node.own_trace,
            }
        };
        let mut next = Some(id);
        while let Some(node) = next.and_then(|id| self.nodes.get(&id)).filter(|node| node.trace.is_none()) {
            let above = match self.above(node) {
                Above::Here(parent, _) => Some(parent),
                _ => None,
            };
            if let Some(node) = next.and_then(|id| self.nodes.get_mut(&id)) {
                node.trace = Some(trace);
            }
            next = above;
        }
        trace
    }

    /// Ends a chain that is too long, or goes round, which only a wrong link can make it do.
    fn cut(&mut self, id: NodeId) {
        self.stats.causes_gone += 1;
        if let Some(node) = self.nodes.get_mut(&id) {
            (node.cause, node.partner) = (None, None);
        }
    }

    /// Where the parent is.
    ///
    /// A server's request came over a connection whose other end, when it is here, knows more than the
    /// fields: the context they carry is above that end. A client's fields name its parent, unless they
    /// only pass on what the request that caused it had carried.
    fn above(&self, node: &Node) -> Above {
        let known = |id: NodeId| self.parent(id).is_some();
        if node.side() == Some(Side::Server) {
            return match (node.partner, &node.remote) {
                (Some(client), _) if known(client) => Above::Here(client, Method::Socket),
                (_, Some(_)) => Above::Elsewhere,
                _ => Above::Nothing,
            };
        }
        let cause = node.cause.and_then(|cause| Some((cause.node, self.parent(cause.node)?.1)));
        match (cause, node.carried()) {
            (Some((id, passed)), carried) if carried.is_none() || passed == carried => {
                Above::Here(id, Method::Thread)
            }
            (_, Some(_)) => Above::Elsewhere,
            _ => Above::Nothing,
        }
    }
}

fn link(method: Method, candidates: u32) -> Link {
    Link { method, confidence: method.confidence(candidates), candidates }
}

enum Above {
    Here(NodeId, Method),
    Elsewhere,
    Nothing,
}
