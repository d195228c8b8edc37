//! What all connections share: the graph of causes, the tasks, the way out.

use crate::{
    Budget, Config, Output, ProcessFacts, Time,
    exchange::{Exchange, Problem, Side},
    graph::{Body, Cause, Graph, Node, NodeId},
    launch::{Image, Launch},
    propagation, span,
    tasks::Tasks,
    wire::{Wire, Wires},
};
use crate::{ids::Identity, stats::Stats};
use std::collections::VecDeque;
use tracer_common::{Exec, Exit, Fork};

/// Most bytes that all connections together keep of what is unfinished: heads, responses whose request has
/// not come yet, operations that came early, pipelined requests. Such last for the length of an operation, a
/// few kilobytes each; this is thousands at once. The begun heads lie in buffers up to twice as large.
pub const MAX_UNFINISHED: usize = 16 << 20;

/// The thread and the time of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Op {
    /// When it ended.
    pub time: Time,
    /// Process.
    pub pid: u32,
    /// Thread.
    pub tid: u32,
}

/// See the module.
#[derive(Debug)]
pub struct World {
    /// Node and clock.
    pub config: Config,
    /// Latest time that was told.
    pub now: Time,
    /// Exchanges and launches.
    pub graph: Graph,
    /// Threads and processes.
    pub tasks: Tasks,
    /// Counters.
    pub stats: Stats,
    /// What connections keep of what is unfinished; at most [`MAX_UNFINISHED`] after each input.
    pub unfinished: Budget,
    wires: Wires,
    outputs: VecDeque<Output>,
}

/// A request whose head was seen.
#[derive(Debug)]
pub struct Begun {
    /// The operation that moved its first byte.
    pub op: Op,
    /// The socket's identity and inode, and the place of the first byte in its stream.
    pub identity: (u64, u64, u64),
    /// How its other end knows it.
    pub wire: Wire,
    /// What the thread was busy with.
    pub cause: Option<NodeId>,
    /// The exchange so far.
    pub exchange: Exchange,
}

impl World {
    /// A world in which nothing has happened.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            now: Time::default(),
            graph: Graph::default(),
            tasks: Tasks::default(),
            stats: Stats::default(),
            unfinished: Budget::new(MAX_UNFINISHED),
            wires: Wires::default(),
            outputs: VecDeque::new(),
        }
    }

    /// The next output.
    pub fn pop_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Something leaves.
    pub fn output(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    /// What the thread is busy with.
    pub fn activity(&self, op: Op) -> Option<NodeId> {
        self.tasks.activity(op.pid, op.tid, |node| self.graph.is_active(node))
    }

    /// What caused an exchange, while that is still active.
    pub fn cause_of(&self, node: NodeId) -> Option<NodeId> {
        let cause = self.graph.get(node)?.cause?.node;
        self.graph.is_active(cause).then_some(cause)
    }

    /// An exchange begins.
    pub fn begin(&mut self, begun: Begun) -> Option<NodeId> {
        let Begun { op, identity: (subject, inode, place), wire, cause, exchange } = begun;
        let began = op.time.0.saturating_add(self.config.boot_to_unix_ns);
        let (side, carried) = (exchange.side, propagation::extract(|name| exchange.request.first_two(name)));
        let identity =
            Identity { subject, inode, place: place << 1 | u64::from(side == Side::Client), began };
        let mut node = Node::new(identity, (op.pid, op.tid), op.time, Body::Exchange(Box::new(exchange)));
        match carried {
            propagation::Carried::Context(context) => node.remote = Some(context),
            propagation::Carried::Broken => self.stats.broken_contexts += 1,
            propagation::Carried::Nothing => {}
        }
        node.cause = cause.map(|node| Cause { node, candidates: self.candidates(node) });
        self.ask(op.pid);
        let id = self.graph.add(node)?;
        if side == Side::Server {
            self.tasks.count_open(op.tid, 1);
        }
        // A client's exchange has not ended when its server's begins, nor was the server's told when the
        // record of the client's begin comes late.
        let fits = |node| match (wire, side) {
            (Wire::Tcp { .. }, _) => true,
            (Wire::Unix { .. }, Side::Server) => self.graph.is_active(node),
            (Wire::Unix { .. }, Side::Client) => self.graph.is_open_ended(node),
        };
        if let Some((client, server)) = self.wires.meet(wire, id, side == Side::Client, fits) {
            self.graph.pair(client, server);
        }
        Some(id)
    }

    /// Open exchanges that the thread behind a cause had read: an event loop has many, and may have turned
    /// from one to another.
    fn candidates(&mut self, cause: NodeId) -> u32 {
        match self.graph.get(cause) {
            Some(node) if node.exchange().is_some() => {
                let tid = node.tid;
                self.tasks.count_open(tid, 0)
            }
            _ => 1,
        }
    }

    /// An exchange turned out to be none. Where a child's span has left already, its parent must too.
    pub fn retract(&mut self, node: NodeId) {
        if !self.graph.is_open_ended(node) {
            return self.end(node, self.now, Some(Problem::Unseen));
        }
        let Some(node) = self.graph.remove(node) else { return };
        if node.end.is_none() && node.exchange().is_some_and(|exchange| exchange.side == Side::Server) {
            self.tasks.count_open(node.tid, -1);
        }
    }

    /// An exchange ended.
    pub fn end(&mut self, node: NodeId, end: Time, problem: Option<Problem>) {
        let Some(exchange) = self.graph.exchange_mut(node) else { return };
        exchange.problem = problem;
        if exchange.side == Side::Server
            && let Some(node) = self.graph.get(node).filter(|node| node.end.is_none())
        {
            let tid = node.tid;
            self.tasks.count_open(tid, -1);
        }
        self.graph.end(node, end, self.now);
    }

    fn ask(&mut self, pid: u32) {
        if let Some(output) = self.tasks.ask(pid) {
            self.outputs.push_back(output);
        }
    }

    /// `/proc` was read.
    pub fn described(&mut self, facts: ProcessFacts) {
        self.tasks.described(facts);
    }

    /// A process was forked.
    pub fn forked(&mut self, fork: &Fork, op: Op) {
        // The record of an exit was lost, and the number is used again.
        if let (_, Some(launch)) = self.tasks.origin(fork.child_pid) {
            self.graph.end(launch, op.time, self.now);
        }
        match self.activity(op) {
            Some(origin) => self.tasks.forked(fork.child_pid, origin),
            None => self.tasks.forked_freely(fork.child_pid),
        }
    }

    /// A process changed its image: below an exchange that is a launch, or the next image of one.
    pub fn executed(&mut self, exec: &Exec, file: &[u8], args: &[u8], op: Op) {
        let image = Image::of(exec, file, args);
        let launch = match self.tasks.origin(op.pid) {
            (_, Some(launch)) => {
                self.graph.executed(launch, image.clone());
                Some(launch)
            }
            (Some(origin), None) => self.launch(origin, image.clone(), op),
            (None, None) => None,
        };
        self.tasks.executed(op.pid, exec.old_tid, &image, launch);
        if launch.is_some() {
            self.ask(op.pid);
        }
    }

    fn launch(&mut self, origin: NodeId, image: Image, op: Op) -> Option<NodeId> {
        let began = op.time.0.saturating_add(self.config.boot_to_unix_ns);
        let identity = Identity { subject: op.pid.into(), inode: 0, place: 0, began };
        let mut node =
            Node::new(identity, (op.pid, op.tid), op.time, Body::Launch(Box::new(Launch::new(image))));
        node.cause = Some(Cause { node: origin, candidates: self.candidates(origin) });
        node.owner = self.graph.owner(origin).unwrap_or(op.pid);
        self.graph.add(node)
    }

    /// A thread ended.
    pub fn exited(&mut self, exit: &Exit, op: Op) {
        let process_ended = exit.process_ended != 0;
        if process_ended && let (_, Some(launch)) = self.tasks.origin(op.pid) {
            if let Some(launch) = self.graph.launch_mut(launch) {
                launch.status = Some(exit.status);
            }
            self.graph.end(launch, op.time, self.now);
        }
        self.tasks.exited(op.pid, op.tid, process_ended, self.now);
    }

    /// Lets spans leave whose time has come.
    pub fn tell(&mut self, until: Time) {
        while let Some(launch) = self.tasks.pop_abandoned() {
            self.graph.end(launch, self.now, self.now);
        }
        while let Some(id) = self.graph.pop_due(until) {
            self.tell_one(id);
        }
        self.graph.forget(self.now);
        self.tasks.forget(self.now);
    }

    fn tell_one(&mut self, id: NodeId) {
        self.order_in_time(id);
        let Some(place) = self.graph.place(id) else { return };
        let Some(node) = self.graph.get(id) else { return };
        let content = match &node.body {
            Body::Exchange(exchange) => span::exchange(exchange),
            Body::Launch(launch) => span::launch(node, launch),
        };
        let resource = self.tasks.resource(node.owner, &self.config);
        let span = span::span(node, place, content, resource, &self.config);
        self.stats.spans += 1;
        self.outputs.push_back(Output::Span(Box::new(span)));
        self.graph.told(id, self.now);
    }

    /// A hook fires when its operation ends, after the bytes have moved: on one machine the other end's may
    /// come first. A request was sent before it was read, so that a client's span begins no later than that
    /// of the server it called; a response that was read whole had been sent, so that the server's ends no
    /// later than the client's.
    fn order_in_time(&mut self, id: NodeId) {
        let Some(exchange) = self.graph.get(id).and_then(Node::exchange) else { return };
        let (side, whole) = (exchange.side, exchange.problem.is_none());
        let Some(partner) = self.graph.get(id).and_then(|node| self.graph.times(node.partner?)) else {
            return;
        };
        let Some(node) = self.graph.get_mut(id) else { return };
        match side {
            Side::Client => node.start = node.start.min(partner.start),
            Side::Server if whole => {
                let end = node.end.into_iter().chain(partner.answered).min();
                node.end = end.map(|end| end.max(node.start));
            }
            Side::Server => {}
        }
    }
}
