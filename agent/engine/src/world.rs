//! What all connections share: the graph of causes, the tasks, the way out.

mod launching;
mod telling;

use crate::{
    Budget, Config, Output, ProcessFacts, Time,
    cases::{Case, Cases},
    cause::{Cause, Causes, Clue, Link, Method, Origin, Words},
    detect::{Baseline, net::Net, process, smuggling::Ambiguities},
    exchange::{Exchange, Problem, Side},
    graph::{Body, Graph, Node, NodeId},
    hops::Hops,
    ids::Identity,
    propagation,
    stats::Stats,
    tasks::Tasks,
    wire::{Wire, Wires},
};
use std::{collections::VecDeque, sync::Arc};
use tracer_common::{Sock, Wake, direction};

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
    /// First time that was told.
    pub began: Time,
    /// Latest time that was told.
    pub now: Time,
    /// When it was last told that records were lost.
    pub lost_at: Time,
    /// Exchanges and launches.
    pub graph: Graph,
    /// Who caused what.
    pub causes: Causes,
    /// Processes.
    pub tasks: Tasks,
    /// What processes were told to work on.
    pub hops: Hops,
    /// What the rules have said.
    pub cases: Cases,
    /// What was launched below processes that serve requests.
    pub launches: process::Launches,
    /// What is usual.
    pub baseline: Baseline,
    /// Who was told of for the framing of his requests.
    pub ambiguities: Ambiguities,
    /// Clients of whom something suspicious was told.
    pub suspicions: Ambiguities,
    /// What goes out.
    pub net: Net,
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
    /// What its ids derive from.
    pub identity: Identity,
    /// How its other end knows it.
    pub wire: Wire,
    /// What the thread did it for.
    pub origin: Origin,
    /// Whether it came behind an open request on the same connection.
    pub behind: bool,
    /// The exchange so far.
    pub exchange: Exchange,
}

impl World {
    /// A world in which nothing has happened.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            began: Time::default(),
            now: Time::default(),
            lost_at: Time::default(),
            graph: Graph::default(),
            causes: Causes::default(),
            tasks: Tasks::default(),
            hops: Hops::default(),
            cases: Cases::default(),
            launches: process::Launches::default(),
            baseline: Baseline::default(),
            ambiguities: Ambiguities::default(),
            suspicions: Ambiguities::default(),
            net: Net::default(),
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

    /// What a thread acts for now.
    pub fn origin(&self, op: Op) -> Origin {
        if let Some(evidence) = self.causes.call_evidence((op.pid, op.tid), op.time, &self.graph) {
            return Origin::Serving(Box::new(evidence));
        }
        match self.inherited(op) {
            Origin::Serving(evidence) if !evidence.worker && !self.goes_on(&evidence, op.time) => {
                Origin::Nothing
            }
            origin => origin,
        }
    }

    /// Bytes move on a unix socket in a protocol that is not read.
    pub fn passed_on(&mut self, sock: &Sock, direction: u8, bytes: &[u8], op: Op) {
        let serves = self.tasks.served(op.pid).is_some();
        if direction == direction::SEND {
            process::feeds(self, sock.peer, bytes, op);
            self.hops.answers(op.pid, sock.id);
            let evidence = self.works_on(op);
            if sock.peer != 0 && (serves || evidence.is_some()) {
                self.hops.sent(sock.peer, evidence.map(Box::new));
            }
        } else if !serves && self.hops.received(op.pid, sock.id, self.launches.requests_of(op.pid), op.time) {
            // Whether it belongs to the same server.
            self.ask(op.pid);
        }
    }

    /// What a thread most probably acts for, at its root: a request, or a launch that none caused.
    pub fn root(&self, op: Op) -> Option<NodeId> {
        let node = match self.origin(op) {
            Origin::Serving(evidence) => self.causes.likely(&evidence, &self.graph)?,
            Origin::Launch(launch) => launch,
            Origin::Nothing | Origin::Idle(_) => return None,
        };
        let root = self.graph.root(node);
        (!self.graph.is_call(root)).then_some(root)
    }

    /// What a thread that begins a connect is busy with.
    pub fn connecting(&self, op: Op) -> Option<(NodeId, Clue)> {
        match self.origin(op) {
            Origin::Serving(evidence) => evidence.thread.map(|(node, clue)| match clue {
                Clue::LastRead => (node, Clue::Connect),
                clue => (node, clue),
            }),
            _ => None,
        }
    }

    /// What caused something, `id`, that comes from `origin`.
    fn cause(&mut self, id: NodeId, pid: u32, origin: Origin, words: Words<'_>) -> Cause {
        match origin {
            Origin::Nothing => {
                self.causes.background(pid, words);
                Cause::Nothing
            }
            Origin::Idle(idle) => {
                self.causes.background(idle.pid, words);
                Cause::Nothing
            }
            Origin::Launch(launch) => Cause::Known(launch, Link::certain(Method::Thread)),
            Origin::Serving(evidence) => {
                let cause = self.causes.judge(id, *evidence, words, &mut self.graph);
                for pid in self.causes.take_watch() {
                    self.tasks.watch(pid);
                    self.outputs.push_back(Output::WatchThreads(pid));
                }
                cause
            }
        }
    }

    /// An exchange begins.
    pub fn begin(&mut self, begun: Begun) -> Option<NodeId> {
        let Begun { op, identity, wire, origin, behind, exchange } = begun;
        let (side, carried) = (exchange.side, propagation::extract(exchange.request.iter()));
        let elsewhere = exchange.endpoints.may_meet_elsewhere();
        let id = self.graph.name();
        let nothing = matches!(origin, Origin::Nothing | Origin::Idle(_));
        if side == Side::Client && nothing && self.causes.serves(op.pid) {
            self.causes.threads.acts_alone(op.tid);
        }
        let cause = match side {
            Side::Client => self.cause(id, op.pid, origin, Words::Request(&exchange.request)),
            Side::Server => Cause::Nothing,
        };
        let mut node = Node::new(identity, op.pid, op.time, Body::Exchange(Box::new(exchange)));
        node.cause = cause;
        node.other_end = identity.other_end().filter(|_| elsewhere);
        node.remote = carried.context;
        self.stats.broken_contexts += u64::from(carried.broken);
        self.ask(op.pid);
        let id = self.graph.add_as(id, node)?;
        if side == Side::Server {
            self.serves(op, id, behind);
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
        // Of most that wait the other end is on another node.
        let shed = self.wires.shed().filter(|shed| self.graph.is_active(*shed));
        self.stats.forgotten_ends += u64::from(shed.is_some());
        Some(id)
    }

    /// A process has read a request.
    fn serves(&mut self, op: Op, id: NodeId, behind: bool) {
        self.causes.serve((op.pid, op.tid), id, behind);
        self.tasks.serves(op.pid, op.time);
        self.launches.serves(op.pid);
    }

    /// A request begins that cannot be read.
    pub fn begin_unread(&mut self, op: Op, identity: Identity, exchange: Exchange) -> Option<NodeId> {
        let node = Node::new(identity, op.pid, op.time, Body::Exchange(Box::new(exchange)));
        self.ask(op.pid);
        let id = self.graph.add(node)?;
        self.serves(op, id, false);
        self.causes.unread(op.pid, id);
        Some(id)
    }

    /// The request that came inside another one, `carrier`, behind `before` others, begins to be answered.
    pub fn smuggled(
        &mut self,
        exchange: Exchange,
        (carrier, before): (NodeId, usize),
        op: Op,
    ) -> Option<NodeId> {
        let began = op.time.0.saturating_add(self.config.boot_to_unix_ns);
        // The carrier's span may have left: some servers answer only when more comes.
        let span = self.graph.get(carrier).map(|carrier| carrier.span_id);
        let span = span.or_else(|| Some(self.graph.span_of(carrier)?.1));
        let subject = span.map_or(op.pid.into(), |span| u64::from_le_bytes(span.0));
        let identity = Identity::Local { subject, inode: 1, place: before as u64, began };
        let mut node = Node::new(identity, op.pid, op.time, Body::Exchange(Box::new(exchange)));
        node.cause = Cause::Known(carrier, Link::certain(Method::Content));
        self.graph.add(node)
    }

    /// An exchange turned out to be none. Where a child's span has left already, its parent must too.
    pub fn retract(&mut self, node: NodeId) {
        if !self.graph.is_open_ended(node) {
            return self.end(node, self.now, Some(Problem::Unseen));
        }
        if let Some(pid) = self.graph.remove(node).map(|node| node.pid) {
            self.causes.served(pid, node);
        }
    }

    /// An exchange ended.
    pub fn end(&mut self, node: NodeId, end: Time, problem: Option<Problem>) {
        let Some(exchange) = self.graph.exchange_mut(node) else { return };
        exchange.problem = problem;
        let (side, closed) = (exchange.side, problem.is_none() && exchange.ends_unseen_at_the_server());
        if side == Side::Server
            && let Some(pid) = self.graph.get(node).map(|node| node.pid)
        {
            self.causes.served(pid, node);
            self.net.contents.ended(node, self.now);
            self.tasks.has_served(pid, node, end);
            if let Some(exchange) = self.graph.get(node).and_then(Node::exchange) {
                self.launches.requests.ended((self.tasks.family(pid), pid), node, exchange);
            }
        }
        self.graph.end(node, end, self.now);
        let partner = self.graph.get(node).and_then(|node| node.partner);
        if let Some(server) = partner.filter(|_| side == Side::Client && closed)
            && self.graph.is_active(server)
        {
            self.end(server, end, None);
        }
    }

    /// A thread begins to answer a request.
    pub fn answer(&mut self, tid: u32, request: NodeId) {
        self.causes.answer(tid, request, self.now, &mut self.graph);
    }

    /// Asks who a process is.
    pub fn ask(&mut self, pid: u32) {
        if let Some(output) = self.tasks.ask(pid) {
            self.outputs.push_back(output);
        }
    }

    /// `/proc` was read.
    pub fn described(&mut self, facts: ProcessFacts) {
        self.tasks.described(facts);
    }

    /// A thread woke another one.
    pub fn woke(&mut self, wake: &Wake) {
        self.causes.woke(wake, &mut self.graph);
    }

    /// A rule says something.
    pub fn raise(&mut self, case: Case) {
        self.ask(case.pid);
        self.baseline.said(case.subject, case.severity);
        self.cases.raise(case, self.now);
    }

    /// The name of the service that a process is part of.
    pub fn service(&mut self, pid: u32) -> Arc<str> {
        self.tasks.service(pid, &self.config)
    }
}
