//! Exchanges and launches with what caused them, from their begin until their span has long left.

mod node;
mod place;

use node::Carried;
pub use node::{Body, Node, Times};
pub use place::Place;

use crate::{
    SpanId, Time, TraceId,
    budget::{Budget, Shrink},
    exchange::{Exchange, MAX_CONTENT, Side},
    http1::Head,
    launch::{Image, Launch},
    unread::Unread,
};
use rustc_hash::FxHashMap;
use std::{collections::VecDeque, num::NonZeroU64};

/// Most nodes whose span has not left: what many servers together work on at once. Each takes about 400
/// bytes, besides what [`MAX_DETAILS`] counts.
pub const MAX_NODES: usize = 32_768;
/// Most bytes of heads and command lines in nodes whose span has not left: those of every node with a
/// kilobyte each. Past it a node keeps only the first of a head or command line, less than a kilobyte.
const MAX_DETAILS: usize = 32 << 20;
/// Most nodes that are known beyond that, about 100 bytes each: the last moments of the busiest node, the
/// last minute of others.
const MAX_TOLD: usize = 32_768;
/// A span leaves this long after its end. Records of one cause come within the length of an operation
/// of each other; the reader of the ring buffer looks every few milliseconds.
pub const HOLD_MS: u64 = 100;
/// A span whose place is not decided then is looked at again after so long,
const DELAY_MS: u64 = 100;
/// so many times: a response rarely takes longer than a second to make once all that it needs is there.
const MAX_DELAYS: u8 = 10;
/// A span waits at most so long for the end of a call that it hangs on, and of which it is not decided what caused
/// it: most clients have given up by then.
const MAX_FLIGHT_MS: u64 = 30_000;
/// No span waits longer while more nodes than this are known: room for what begins comes first.
const MAX_PATIENT: usize = MAX_NODES / 2;
/// How long a told node can still become a parent: a process may outlive the request that launched it,
/// but no trace grows for ever.
pub const KEEP_MS: u64 = 60_000;

/// Names a node; numbers are never reused. Not zero, so that where there may be none costs no more: tens of thousands of
/// requests that wait for their answers have one each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(NonZeroU64);

#[cfg(test)]
impl NodeId {
    /// One of no graph.
    pub const fn nth(n: u64) -> Self {
        Self(NonZeroU64::MIN.saturating_add(n))
    }
}

/// A name for tests.
#[cfg(test)]
pub const fn node_id(number: u64) -> NodeId {
    NodeId::nth(number)
}

/// What is still of use of a node whose span has left: its children's place.
#[derive(Clone, Copy, Debug)]
struct Told {
    span_id: SpanId,
    trace: TraceId,
    owner: u32,
    times: Times,
    cause: Option<NodeId>,
    is_call: bool,
    unread: Option<Unread>,
    carried: Option<Carried>,
}

/// Counts of what the bounds cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GraphStats {
    /// Exchanges and launches that were not followed because [`MAX_NODES`] were open.
    pub refused: u64,
    /// Times that [`MAX_DETAILS`] left only a part of an exchange's heads or a launch's command lines.
    pub truncated: u64,
    /// Links that came after the span's trace had been told.
    pub late_links: u64,
    /// Nodes whose cause was forgotten before they ended.
    pub causes_gone: u64,
}

/// All nodes.
#[derive(Debug)]
pub struct Graph {
    nodes: FxHashMap<NodeId, Node>,
    /// The name of the newest.
    newest: NodeId,
    details: Budget,
    /// Ended nodes by when their span leaves: all wait equally long.
    due: VecDeque<(Time, NodeId)>,
    /// Those of them that wait longer, since it is not decided what caused them, or what they hang on.
    delayed: VecDeque<(Time, NodeId)>,
    told: FxHashMap<NodeId, Told>,
    /// Told nodes by when they are forgotten.
    fading: VecDeque<(Time, NodeId)>,
    /// Counts.
    pub stats: GraphStats,
}

impl Default for Graph {
    fn default() -> Self {
        Self {
            nodes: FxHashMap::default(),
            newest: NodeId(NonZeroU64::MIN),
            details: Budget::new(MAX_DETAILS),
            due: VecDeque::new(),
            delayed: VecDeque::new(),
            told: FxHashMap::default(),
            fading: VecDeque::new(),
            stats: GraphStats::default(),
        }
    }
}

impl Graph {
    /// A name for a node that is to be added.
    pub fn name(&mut self) -> NodeId {
        self.newest = NodeId(self.newest.0.saturating_add(1));
        self.newest
    }

    /// Adds a node; nothing when there is no room for it, which is counted.
    pub fn add(&mut self, node: Node) -> Option<NodeId> {
        let id = self.name();
        self.add_as(id, node)
    }

    /// The same, of one that has its name.
    pub fn add_as(&mut self, id: NodeId, mut node: Node) -> Option<NodeId> {
        if self.nodes.len() >= MAX_NODES {
            self.stats.refused += 1;
            return None;
        }
        self.stats.truncated += u64::from(!self.details.fit(&mut node.body));
        self.nodes.insert(id, node);
        Some(id)
    }

    /// Takes a node out, as if it had never been; whom it caused has no cause then.
    pub fn remove(&mut self, id: NodeId) -> Option<Node> {
        let node = self.nodes.remove(&id)?;
        self.details.settle(node.body.footprint(), 0);
        Some(node)
    }

    /// A node whose span has not left.
    pub fn get(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(&id)
    }

    /// The same, to change.
    pub fn get_mut(&mut self, id: NodeId) -> Option<&mut Node> {
        self.nodes.get_mut(&id)
    }

    /// The exchange of a node, when it is one whose span has not left. Its heads stay as they are.
    pub fn exchange_mut(&mut self, id: NodeId) -> Option<&mut Exchange> {
        match &mut self.nodes.get_mut(&id)?.body {
            Body::Exchange(exchange) => Some(exchange),
            _ => None,
        }
    }

    /// The launch of a node, when it is one whose span has not left. Its images stay as they are.
    pub fn launch_mut(&mut self, id: NodeId) -> Option<&mut Launch> {
        match &mut self.nodes.get_mut(&id)?.body {
            Body::Launch(launch) => Some(launch),
            _ => None,
        }
    }

    /// More of a request's content came: `seen` of `bytes` bytes.
    pub fn asked_more(&mut self, id: NodeId, bytes: u64, seen: &[u8]) {
        let Some(exchange) = self.exchange_mut(id) else { return };
        exchange.request_content += bytes;
        let room = match exchange.side {
            Side::Server => MAX_CONTENT - exchange.content.len().min(MAX_CONTENT),
            Side::Client => 0,
        };
        let seen = &seen[..seen.len().min(room)];
        if !seen.is_empty() {
            self.grow_exchange(id, |exchange| exchange.content.extend_from_slice(seen));
        }
    }

    /// The final response to an exchange begins.
    pub fn answered(&mut self, id: NodeId, head: Box<Head>) {
        self.grow_exchange(id, |exchange| exchange.response = Some(head));
    }

    /// Changes what an exchange holds of texts.
    pub fn grow_exchange(&mut self, id: NodeId, add: impl FnOnce(&mut Exchange)) {
        self.grow(id, |body| {
            if let Body::Exchange(exchange) = body {
                add(exchange);
            }
        });
    }

    /// A launched process changes its image again.
    pub fn executed(&mut self, id: NodeId, image: Image) {
        self.grow(id, |body| {
            if let Body::Launch(launch) = body {
                launch.exec(image);
            }
        });
    }

    fn grow(&mut self, id: NodeId, add: impl FnOnce(&mut Body)) {
        let Some(node) = self.nodes.get_mut(&id) else { return };
        self.details.settle(node.body.footprint(), 0);
        add(&mut node.body);
        self.stats.truncated += u64::from(!self.details.fit(&mut node.body));
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

    /// Whether it is a request to another server.
    pub fn is_call(&self, id: NodeId) -> bool {
        match self.get(id) {
            Some(node) => node.is_call(),
            None => self.told.get(&id).is_some_and(|told| told.is_call),
        }
    }

    /// What is known of a request that cannot be read.
    fn unread(&self, id: NodeId) -> Option<Unread> {
        self.get(id).map_or_else(|| self.told.get(&id)?.unread, Node::unread)
    }

    /// Whether it is one that nothing hangs on.
    pub fn is_unwanted(&self, id: NodeId) -> bool {
        self.get(id).and_then(Node::unread).is_some_and(|unread| !unread.wanted)
    }

    /// Something may have been launched for a request: if it is one that cannot be read, it is told all the same.
    pub fn want(&mut self, id: NodeId) {
        if let Some(unread) = self.exchange_mut(id).and_then(|exchange| exchange.unread.as_mut()) {
            unread.wanted = true;
        }
    }

    /// Whether what caused the node is still to be decided.
    pub fn is_undecided(&self, id: NodeId) -> bool {
        self.get(id).is_some_and(|node| node.cause.is_open())
    }

    /// What caused a node; nothing while that is not decided, or once it was forgotten.
    pub fn cause(&self, id: NodeId) -> Option<NodeId> {
        self.get(id).map_or_else(|| self.told.get(&id)?.cause, |node| node.cause.node())
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
        [&self.due, &self.delayed].into_iter().filter_map(|queue| Some(queue.front()?.0)).min()
    }

    /// The next node whose span leaves by `now`.
    pub fn pop_due(&mut self, now: Time) -> Option<NodeId> {
        let queue = [&mut self.due, &mut self.delayed].into_iter().find(|queue| is_due(queue, now))?;
        queue.pop_front().map(|(_, id)| id)
    }

    /// Lets a span wait longer; false when it may not.
    pub fn delay(&mut self, id: NodeId, now: Time, until: Time) -> bool {
        let (due, patient) = (now.plus_ms(DELAY_MS), self.nodes.len() <= MAX_PATIENT);
        let in_flight = self.undecided(id).is_some_and(|call| self.is_call(call) && self.is_active(call));
        let Some(node) = self.nodes.get_mut(&id).filter(|_| patient && due > until) else { return false };
        let waits = match node.end {
            Some(end) if in_flight => now.since(end) < MAX_FLIGHT_MS * 1_000_000,
            _ => node.delays < MAX_DELAYS,
        };
        if waits {
            node.delays = if in_flight { 0 } else { node.delays + 1 };
            self.delayed.push_back((due, id));
        }
        waits
    }

    /// Its span left: keeps what a child needs, for a while. Gives the rest.
    pub fn told(&mut self, id: NodeId, now: Time) -> Option<Body> {
        let node = self.remove(id)?;
        let told = Told {
            span_id: node.span_id,
            trace: node.trace.unwrap_or(node.own_trace),
            owner: node.owner,
            times: node.times(),
            cause: node.cause.node(),
            is_call: node.is_call(),
            unread: node.unread(),
            carried: node.carried(),
        };
        if self.told.len() >= MAX_TOLD
            && let Some((_, oldest)) = self.fading.pop_front()
        {
            self.told.remove(&oldest);
        }
        self.told.insert(id, told);
        self.fading.push_back((now.plus_ms(KEEP_MS), id));
        Some(node.body)
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

fn is_due(queue: &VecDeque<(Time, NodeId)>, now: Time) -> bool {
    queue.front().is_some_and(|(time, _)| *time <= now)
}
