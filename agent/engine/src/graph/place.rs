//! Where a node stands: its trace, its parent, and how that was found.

use super::{Graph, Node, NodeId};
use crate::{
    SpanId, TraceId,
    cause::{Cause, Link, Method},
    exchange::Side,
};

/// How sure it is at most that a launch is for what was read last of a connection with several requests at once.
const MAX_MULTIPLEXED: f64 = 0.85;
/// Longest chain of causes that is followed.
const MAX_DEPTH: usize = 64;

/// A node's place, decided.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    /// Its trace.
    pub trace_id: TraceId,
    /// Its parent and how it was found; none for a root.
    pub parent: Option<(SpanId, Link)>,
    /// The other end of the exchange where another node sees it: the trace that it begins there, if it is a
    /// root, and its span.
    pub other_end: Option<(TraceId, SpanId)>,
    /// What caused a call whose fields name another parent.
    pub cause: Option<(TraceId, SpanId, Link)>,
}

impl Graph {
    /// Decides trace and parent of a node: from now on they stay.
    pub fn place(&mut self, id: NodeId) -> Option<Place> {
        let trace_id = self.trace(id);
        let node = self.nodes.get(&id)?;
        let parent = match self.above(node) {
            Above::Here(parent, link) => self.parent(parent).map(|(span, _)| (span, link)),
            Above::Elsewhere => node.remote.as_ref().map(|r| (r.span_id, Link::certain(Method::Header))),
            Above::Nothing => None,
        };
        let caused = match node.side() {
            Some(Side::Server) => node.partner.is_some() || node.cause.node().is_some(),
            _ => node.cause.node().is_some_and(|cause| !node.is_call() || self.unread(cause).is_none()),
        };
        self.stats.causes_gone += u64::from(parent.is_none() && caused);
        let alone = node.partner.is_none() && node.remote.is_none();
        let other_end = node.other_end.filter(|_| alone).map(|span| (node.own_trace, span));
        let cause = match (&node.cause, self.above(node)) {
            (Cause::Known(cause, link), Above::Elsewhere) if self.undecided(*cause).is_none() => {
                let (cause, link) = (*cause, *link);
                self.span_of(cause).map(|(trace, span)| (trace, span, link))
            }
            _ => None,
        };
        Some(Place { trace_id, parent, other_end, cause })
    }

    /// Trace and span of a node: from now on its place stays. Nothing once it was forgotten.
    pub fn span_of(&mut self, id: NodeId) -> Option<(TraceId, SpanId)> {
        let span = self.parent(id)?.0;
        Some((self.trace(id), span))
    }

    /// What a node began with: the first of what caused each other, as far as that is decided and known.
    pub fn root(&self, id: NodeId) -> NodeId {
        let mut root = id;
        for _ in 0..MAX_DEPTH {
            let Some(cause) = self.cause(root) else { break };
            root = cause;
        }
        root
    }

    /// The first node at or above this one whose cause is still to be decided, before its trace is told.
    pub fn undecided(&self, id: NodeId) -> Option<NodeId> {
        let mut top = id;
        for _ in 0..MAX_DEPTH {
            let node = self.nodes.get(&top).filter(|node| node.trace.is_none())?;
            if node.cause.is_open() {
                return Some(top);
            }
            match self.above(node) {
                Above::Here(parent, _) => top = parent,
                _ => return None,
            }
        }
        None
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
            (node.cause, node.partner) = (Cause::Nothing, None);
        }
    }

    /// How a node hangs on what caused it. On a request that cannot be read no call does, since it may be several one
    /// after the other, and a launch less surely where several may be open at once.
    fn link(&self, node: &Node, cause: NodeId, link: Link) -> Option<Link> {
        match self.unread(cause) {
            None => Some(link),
            Some(_) if node.is_call() => None,
            Some(unread) if unread.multiplexed => {
                Some(Link { confidence: link.confidence.min(MAX_MULTIPLEXED), ..link })
            }
            Some(_) => Some(link),
        }
    }

    /// Where the parent is.
    ///
    /// A server's request that came inside another one hangs on that; any other came over a connection whose other end, when it is here, knows more than the
    /// fields: the context they carry is above that end. A client's fields name its parent, unless they
    /// only pass on what the request that caused it had carried.
    fn above(&self, node: &Node) -> Above {
        let known = |id: NodeId| self.parent(id).is_some();
        if node.side() == Some(Side::Server) && node.cause.node().is_none() {
            return match (node.partner, &node.remote) {
                (Some(client), _) if known(client) => Above::Here(client, Link::certain(Method::Socket)),
                (_, Some(_)) => Above::Elsewhere,
                _ => Above::Nothing,
            };
        }
        let cause = match node.cause {
            Cause::Known(cause, link) => {
                let link = self.link(node, cause, link);
                link.and_then(|link| self.parent(cause).map(|(_, passed)| (cause, link, passed)))
            }
            _ => None,
        };
        match (cause, node.carried()) {
            (Some((id, link, passed)), carried) if carried.is_none() || passed == carried => {
                Above::Here(id, link)
            }
            (_, Some(_)) => Above::Elsewhere,
            _ => Above::Nothing,
        }
    }
}

enum Above {
    Here(NodeId, Link),
    Elsewhere,
    Nothing,
}
