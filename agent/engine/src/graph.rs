//! Exchanges and launches with what caused them, from their begin until their span has long left.

use crate::{
    SpanId, Time, TraceId,
    exchange::{Exchange, Side},
    ids::{self, Identity},
    launch::Launch,
    propagation::RemoteContext,
};
use rustc_hash::FxHashMap;
use std::collections::VecDeque;

/// Most nodes, open and told: each open one takes about a kilobyte.
pub const MAX_NODES: usize = 32_768;
/// A span leaves this long after its end. Records of one cause come within the length of an operation
/// of each other; the reader of the ring buffer looks every few milliseconds.
pub const HOLD_MS: u64 = 100;
/// How long a told node can still become a parent: a process may outlive the request that launched it,
/// but no trace grows for ever.
const KEEP_MS: u64 = 60_000;
/// Longest chain of causes that is followed.
const MAX_DEPTH: usize = 64;

/// Names a node; numbers are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(u64);

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

    /// How sure a link of this kind is, by itself: a field or a connection says it outright; a thread
    /// may have turned to something else (an event loop that read several messages at once).
    const fn confidence(self) -> f64 {
        match self {
            Self::Header | Self::Socket => 1.0,
            Self::Thread => 0.9,
        }
    }
}

/// What the thread was busy with when it caused a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cause {
    /// The node.
    pub node: NodeId,
    /// Exchanges that were open in the same process then, this one included.
    pub candidates: u32,
}

/// What a node is.
#[derive(Debug)]
pub enum Body {
    /// A request and its response.
    Exchange(Box<Exchange>),
    /// A process launch.
    Launch(Box<Launch>),
    /// Its span has left; only its place in the trace is still of use.
    Told,
}

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
    pub fn new(identity: Identity, pid: u32, start: Time, body: Body) -> Self {
        Self {
            span_id: ids::span_id(identity),
            own_trace: ids::trace_id(identity),
            trace: None,
            pid,
            owner: pid,
            start,
            end: None,
            cause: None,
            partner: None,
            remote: None,
            body,
        }
    }

    /// The exchange, when it is one whose span has not left.
    pub fn exchange(&self) -> Option<&Exchange> {
        match &self.body {
            Body::Exchange(exchange) => Some(exchange),
            _ => None,
        }
    }

    fn side(&self) -> Option<Side> {
        self.exchange().map(|exchange| exchange.side)
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
    /// Told nodes by when they are forgotten.
    told: VecDeque<(Time, NodeId)>,
    /// Counts.
    pub stats: GraphStats,
}

impl Graph {
    /// Adds a node; nothing when there is no room for it, which is counted.
    pub fn add(&mut self, node: Node) -> Option<NodeId> {
        if self.nodes.len() >= MAX_NODES {
            match self.told.pop_front() {
                Some((_, oldest)) => drop(self.nodes.remove(&oldest)),
                None => {
                    self.stats.refused += 1;
                    return None;
                }
            }
        }
        self.next += 1;
        let id = NodeId(self.next);
        self.nodes.insert(id, node);
        Some(id)
    }

    /// A node, unless it was forgotten.
    pub fn get(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(&id)
    }

    /// The same, to change.
    pub fn get_mut(&mut self, id: NodeId) -> Option<&mut Node> {
        self.nodes.get_mut(&id)
    }

    /// The exchange of a node, while its span has not left.
    pub fn exchange_mut(&mut self, id: NodeId) -> Option<&mut Exchange> {
        match &mut self.nodes.get_mut(&id)?.body {
            Body::Exchange(exchange) => Some(exchange),
            _ => None,
        }
    }

    /// The launch of a node, while its span has not left.
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
        if let Some(node) = self.nodes.get_mut(&id) {
            node.body = Body::Told;
            self.told.push_back((now.plus_ms(KEEP_MS), id));
        }
    }

    /// Forgets told nodes whose time is over.
    pub fn forget(&mut self, now: Time) {
        while let Some((_, id)) = self.told.pop_front_if(|(time, _)| *time <= now) {
            self.nodes.remove(&id);
        }
    }

    /// Decides trace and parent of a node: from now on they stay.
    pub fn place(&mut self, id: NodeId) -> Option<Place> {
        let trace_id = self.trace(id);
        let node = self.nodes.get(&id)?;
        let parent = match self.above(node) {
            Above::Here(parent, method) => {
                let candidates = node.cause.map_or(1, |c| c.candidates.max(1));
                let candidates = if method == Method::Thread { candidates } else { 1 };
                self.nodes.get(&parent).map(|p| (p.span_id, link(method, candidates)))
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
            let Some(node) = self.nodes.get(&top) else { break TraceId([0; 16]) };
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
        let known = |id: NodeId| self.nodes.contains_key(&id);
        if node.side() == Some(Side::Server) {
            return match (node.partner, &node.remote) {
                (Some(client), _) if known(client) => Above::Here(client, Method::Socket),
                (_, Some(_)) => Above::Elsewhere,
                _ => Above::Nothing,
            };
        }
        let cause = node.cause.and_then(|cause| Some((cause.node, self.nodes.get(&cause.node)?)));
        match (cause, &node.remote) {
            (Some((id, cause)), remote) if remote.is_none() || same_span(&cause.remote, remote) => {
                Above::Here(id, Method::Thread)
            }
            (_, Some(_)) => Above::Elsewhere,
            _ => Above::Nothing,
        }
    }
}

/// Whether two contexts name one span: `tracestate` may change on the way.
fn same_span(a: &Option<RemoteContext>, b: &Option<RemoteContext>) -> bool {
    let ids = |context: &Option<RemoteContext>| context.as_ref().map(|c| (c.trace_id, c.span_id));
    ids(a) == ids(b)
}

fn link(method: Method, candidates: u32) -> Link {
    Link { method, confidence: method.confidence(), candidates }
}

enum Above {
    Here(NodeId, Method),
    Elsewhere,
    Nothing,
}
