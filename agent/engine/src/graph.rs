//! Exchanges and launches with what caused them, from their begin until their span has long left.

mod place;

pub use place::Place;

use crate::{
    SpanId, Time, TraceId,
    exchange::{Exchange, Side},
    ids::{self, Identity},
    launch::Launch,
    propagation::RemoteContext,
};
use rustc_hash::FxHashMap;
use std::collections::VecDeque;

/// Most nodes whose span has not left: each takes about a kilobyte.
pub const MAX_NODES: usize = 32_768;
/// Most nodes that are known beyond that, about 100 bytes each: the last moments of the busiest node, the
/// last minute of others.
const MAX_TOLD: usize = 32_768;
/// A span leaves this long after its end. Records of one cause come within the length of an operation
/// of each other; the reader of the ring buffer looks every few milliseconds.
pub const HOLD_MS: u64 = 100;
/// How long a told node can still become a parent: a process may outlive the request that launched it,
/// but no trace grows for ever.
const KEEP_MS: u64 = 60_000;

/// Names a node; numbers are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(u64);

/// What the thread was busy with when it caused a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cause {
    /// The node.
    pub node: NodeId,
    /// Exchanges that were open then and whose requests the same thread had read, this one included.
    pub candidates: u32,
}

/// What a node is.
#[derive(Debug)]
pub enum Body {
    /// A request and its response.
    Exchange(Box<Exchange>),
    /// A process launch.
    Launch(Box<Launch>),
}

/// What is still of use of a node whose span has left: its children's place.
#[derive(Clone, Copy, Debug)]
struct Told {
    span_id: SpanId,
    trace: TraceId,
    owner: u32,
    times: Times,
    carried: Option<Carried>,
}

/// When a node was at work.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// Its begin.
    pub start: Time,
    /// Its end, of an exchange whose response came whole.
    pub answered: Option<Time>,
}

/// The trace and the span that a request's fields name: what of a context stays the same on its way.
type Carried = (TraceId, SpanId);

/// An exchange or a launch.
#[derive(Debug)]
pub struct Node {
    /// Id of its span.
    pub span_id: SpanId,
    /// Id of the trace it begins, if nothing caused it.
    own_trace: TraceId,
    /// The trace it is in, once that was told to anyone: from then on it stays.
    trace: Option<TraceId>,
    /// Process that did it.
    pub pid: u32,
    /// Thread that read or sent its request, or forked.
    pub tid: u32,
    /// Process whose resource its span has: of a launch, that of the service that launched it, since a
    /// launch is something that a service did, not a service.
    pub owner: u32,
    /// Begin.
    pub start: Time,
    /// End, once it is known.
    pub end: Option<Time>,
    /// What the thread was busy with.
    pub cause: Option<Cause>,
    /// The other end of the same exchange, on this node.
    pub partner: Option<NodeId>,
    /// The context that the request carries.
    pub remote: Option<RemoteContext>,
    /// What it is.
    pub body: Body,
}

impl Node {
    /// A node that begins.
    pub fn new(identity: Identity, (pid, tid): (u32, u32), start: Time, body: Body) -> Self {
        Self {
            span_id: ids::span_id(identity),
            own_trace: ids::trace_id(identity),
            trace: None,
            pid,
            tid,
            owner: pid,
            start,
            end: None,
            cause: None,
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

    fn side(&self) -> Option<Side> {
        self.exchange().map(|exchange| exchange.side)
    }

    fn times(&self) -> Times {
        let whole = self.exchange().is_some_and(|exchange| exchange.problem.is_none());
        Times { start: self.start, answered: self.end.filter(|_| whole) }
    }

    fn carried(&self) -> Option<Carried> {
        self.remote.as_ref().map(|remote| (remote.trace_id, remote.span_id))
    }
}

/// Counts of what the bounds cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GraphStats {
    /// Exchanges and launches that were not followed because [`MAX_NODES`] were open.
    pub refused: u64,
    /// Links that came after the span's trace had been told.
    pub late_links: u64,
    /// Nodes whose cause was forgotten before they ended.
    pub causes_gone: u64,
}

/// All nodes.
#[derive(Debug, Default)]
pub struct Graph {
    nodes: FxHashMap<NodeId, Node>,
    next: u64,
    /// Ended nodes by when their span leaves: all wait equally long.
    due: VecDeque<(Time, NodeId)>,
    told: FxHashMap<NodeId, Told>,
    /// Told nodes by when they are forgotten.
    fading: VecDeque<(Time, NodeId)>,
    /// Counts.
    pub stats: GraphStats,
}

impl Graph {
    /// Adds a node; nothing when there is no room for it, which is counted.
    pub fn add(&mut self, node: Node) -> Option<NodeId> {
        if self.nodes.len() >= MAX_NODES {
            self.stats.refused += 1;
            return None;
        }
        self.next += 1;
        let id = NodeId(self.next);
        self.nodes.insert(id, node);
        Some(id)
    }

    /// Takes a node out, as if it had never been; whom it caused has no cause then.
    pub fn remove(&mut self, id: NodeId) -> Option<Node> {
        self.nodes.remove(&id)
    }

    /// A node whose span has not left.
    pub fn get(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(&id)
    }

    /// The same, to change.
    pub fn get_mut(&mut self, id: NodeId) -> Option<&mut Node> {
        self.nodes.get_mut(&id)
    }

    /// The exchange of a node, when it is one whose span has not left.
    pub fn exchange_mut(&mut self, id: NodeId) -> Option<&mut Exchange> {
        match &mut self.nodes.get_mut(&id)?.body {
            Body::Exchange(exchange) => Some(exchange),
            _ => None,
        }
    }

    /// The launch of a node, when it is one whose span has not left.
    pub fn launch_mut(&mut self, id: NodeId) -> Option<&mut Launch> {
        match &mut self.nodes.get_mut(&id)?.body {
            Body::Launch(launch) => Some(launch),
            _ => None,
        }
    }

    /// The node ended at `end`; its span leaves a moment after `now`.
    pub fn end(&mut self, id: NodeId, end: Time, now: Time) {
        if let Some(node) = self.nodes.get_mut(&id)
            && node.end.is_none()
        {
            node.end = Some(end.max(node.start));
            self.due.push_back((now.plus_ms(HOLD_MS), id));
        }
    }

    /// Whether work for this node can still begin: for an exchange until its response has ended; a
    /// launched process acts for its cause as long as it lives.
    pub fn is_active(&self, id: NodeId) -> bool {
        self.get(id).is_some_and(|node| node.end.is_none())
    }

    /// Whether the node's place in a trace can still change.
    pub fn is_open_ended(&self, id: NodeId) -> bool {
        self.get(id).is_some_and(|node| node.trace.is_none())
    }

    /// The two nodes are both ends of one exchange.
    pub fn pair(&mut self, client: NodeId, server: NodeId) {
        match self.nodes.get_mut(&server) {
            Some(node) if node.trace.is_none() => node.partner = Some(client),
            Some(_) => self.stats.late_links += 1,
            None if self.told.contains_key(&server) => self.stats.late_links += 1,
            None => return,
        }
        if let Some(node) = self.nodes.get_mut(&client) {
            node.partner = Some(server);
        }
    }

    /// Open nodes, oldest first.
    pub fn open(&self) -> Vec<NodeId> {
        let mut open: Vec<_> =
            self.nodes.iter().filter(|(_, n)| n.end.is_none()).map(|(id, _)| *id).collect();
        open.sort_unstable();
        open
    }

    /// When the next span leaves.
    pub fn deadline(&self) -> Option<Time> {
        self.due.front().map(|(time, _)| *time)
    }

    /// The next node whose span leaves by `now`.
    pub fn pop_due(&mut self, now: Time) -> Option<NodeId> {
        self.due.pop_front_if(|(time, _)| *time <= now).map(|(_, id)| id)
    }

    /// Its span left: keeps what a child needs, for a while.
    pub fn told(&mut self, id: NodeId, now: Time) {
        let Some(node) = self.nodes.remove(&id) else { return };
        let told = Told {
            span_id: node.span_id,
            trace: node.trace.unwrap_or(node.own_trace),
            owner: node.owner,
            times: node.times(),
            carried: node.carried(),
        };
        if self.told.len() >= MAX_TOLD
            && let Some((_, oldest)) = self.fading.pop_front()
        {
            self.told.remove(&oldest);
        }
        self.told.insert(id, told);
        self.fading.push_back((now.plus_ms(KEEP_MS), id));
    }

    /// Forgets told nodes whose time is over.
    pub fn forget(&mut self, now: Time) {
        while let Some((_, id)) = self.fading.pop_front_if(|(time, _)| *time <= now) {
            self.told.remove(&id);
        }
    }

    /// Whose resource a node's span has; nothing once it was forgotten.
    pub fn owner(&self, id: NodeId) -> Option<u32> {
        self.get(id).map(|node| node.owner).or_else(|| Some(self.told.get(&id)?.owner))
    }

    /// When a node was at work; nothing once it was forgotten.
    pub fn times(&self, id: NodeId) -> Option<Times> {
        self.get(id).map(Node::times).or_else(|| Some(self.told.get(&id)?.times))
    }

    /// Id of a node's span, and what its request carried; nothing once it was forgotten.
    fn parent(&self, id: NodeId) -> Option<(SpanId, Option<Carried>)> {
        let open = self.get(id).map(|node| (node.span_id, node.carried()));
        open.or_else(|| self.told.get(&id).map(|told| (told.span_id, told.carried)))
    }
}
