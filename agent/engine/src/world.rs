//! What all connections share: the graph of causes, the tasks, the way out.

use crate::{
    Budget, Config, Output, ProcessFacts, Time, Value,
    cause::{Cause, Causes, Clue, Evidence as Clues, Idle, Link, Method, Origin, Words},
    detect::{
        self, Baseline,
        net::Net,
        process::{self, Streams},
        smuggling::Ambiguities,
    },
    exchange::{Exchange, Problem, Side},
    finding::{Case, Cases, Evidence, Finding, Subject},
    graph::{self, Body, Graph, Node, NodeId},
    hops::Hops,
    launch::{Image, Launch},
    propagation, span,
    tasks::Tasks,
    wire::{Wire, Wires},
};
use crate::{ids::Identity, stats::Stats};
use std::{collections::VecDeque, sync::Arc};
use tracer_common::{Exec, Exit, Fork, Sock, Wake, direction};

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
            graph: Graph::default(),
            causes: Causes::default(),
            tasks: Tasks::default(),
            hops: Hops::default(),
            cases: Cases::default(),
            launches: process::Launches::default(),
            baseline: Baseline::default(),
            ambiguities: Ambiguities::default(),
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
        self.inherited(op.pid)
    }

    /// What a process acts for that has no request open itself.
    fn inherited(&self, pid: u32) -> Origin {
        match self.tasks.launch(pid).filter(|launch| self.works_for_a_request(*launch)) {
            Some(launch) => Origin::Launch(launch),
            None => self.tasks.origin(pid),
        }
    }

    /// What a thread forks for, or becomes another program for.
    fn fork_origin(&self, op: Op) -> Origin {
        if let Some(evidence) = self.works_on(op) {
            return Origin::Serving(Box::new(evidence));
        }
        match (self.inherited(op.pid), self.tasks.served(op.pid)) {
            (Origin::Nothing, Some(served)) => {
                Origin::Idle(Idle { pid: op.pid, at: op.time, last: served.last })
            }
            (origin, _) => origin,
        }
    }

    /// The requests that a thread's process has open, or was told to work on.
    fn works_on(&self, op: Op) -> Option<Clues> {
        let own = self.causes.fork_evidence((op.pid, op.tid), op.time, &self.graph);
        own.or_else(|| self.hops.work(op.pid).filter(|_| self.tasks.served(op.pid).is_none()))
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
        } else if !serves && self.hops.received(op.pid, sock.id, self.launches.requests_of(op.pid)) {
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

    /// The process that serves requests which a process is, or was launched by; nothing for any other.
    pub fn owner(&self, pid: u32) -> Option<u32> {
        if self.causes.serves(pid) {
            return Some(pid);
        }
        if let Some(launch) = self.tasks.launch(pid) {
            return self.graph.owner(launch);
        }
        match self.tasks.origin(pid) {
            Origin::Serving(evidence) => Some(evidence.pid),
            Origin::Launch(launch) => self.graph.owner(launch),
            Origin::Idle(idle) => Some(idle.pid),
            Origin::Nothing => None,
        }
    }

    /// Whether a launched process still acts for the request that launched it: while that is open, and for as
    /// long after as it is known; for as long after its own begin where none did. What stays is a service of its
    /// own, whose trace must not grow for ever.
    fn works_for_a_request(&self, launch: NodeId) -> bool {
        let known = |request| self.graph.times(request).is_some();
        let begins =
            || self.graph.times(launch).is_some_and(|times| self.now < times.start.plus_ms(graph::KEEP_MS));
        self.graph.is_active(launch)
            && (self.graph.is_undecided(launch) || self.graph.cause(launch).map_or_else(begins, known))
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
                self.outputs.extend(self.causes.take_watch().map(Output::WatchThreads));
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

    /// A request that came inside another one, `carrier`, begins to be answered.
    pub fn smuggled(&mut self, exchange: Exchange, carrier: NodeId, op: Op) -> Option<NodeId> {
        let began = op.time.0.saturating_add(self.config.boot_to_unix_ns);
        let identity = Identity::Local { subject: op.pid.into(), inode: 1, place: op.tid.into(), began };
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
                self.launches.requests.ended(self.tasks.family(pid), node, exchange);
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

    /// A process was forked, or a thread began.
    pub fn forked(&mut self, fork: &Fork, op: Op) {
        if fork.child_pid == op.pid {
            if self.tasks.served(op.pid).is_some() {
                self.launches.begins_late(fork.child_tid);
            }
            return self.causes.threads.began(op.tid, fork.child_tid);
        }
        // The record of an exit was lost, and the number is used again.
        if let Some(launch) = self.tasks.launch(fork.child_pid) {
            self.graph.end(launch, op.time, self.now);
        }
        let origin = self.fork_origin(op);
        self.hops.exited(fork.child_pid);
        self.hops.forks(op.pid);
        self.causes.threads.forget(fork.child_pid);
        process::forked(self, fork.child_pid, &origin, op);
        self.tasks.forked(fork.child_pid, op.pid, origin);
    }

    /// A process changed its image: below an exchange that is a launch, or the next image of one. `streams` says
    /// what its descriptors 0, 1 and 2 are.
    pub fn executed(&mut self, exec: &Exec, image: Image, streams: Streams, op: Op) {
        let origin = match self.tasks.origin(op.pid) {
            Origin::Nothing => self.fork_origin(Op { tid: exec.old_tid, ..op }),
            origin => origin,
        };
        process::executes(self, &image, &origin, op);
        let launch = match (self.tasks.launch(op.pid), origin) {
            (Some(launch), _) => {
                self.graph.executed(launch, image.clone());
                Some(launch)
            }
            (None, Origin::Nothing) => None,
            (None, origin) => self.launch(origin, image.clone(), op),
        };
        process::executed(self, exec, &image, streams, launch, op);
        self.causes.threads.renumber(exec.old_tid, op.pid);
        self.tasks.executed(op.pid, exec, &image, launch);
        if launch.is_some() {
            self.ask(op.pid);
        }
    }

    fn launch(&mut self, origin: Origin, image: Image, op: Op) -> Option<NodeId> {
        let began = op.time.0.saturating_add(self.config.boot_to_unix_ns);
        let identity = Identity::Local { subject: op.pid.into(), inode: 0, place: 0, began };
        let owner = match &origin {
            Origin::Serving(evidence) => Some(evidence.pid),
            Origin::Launch(launch) => self.graph.owner(*launch),
            Origin::Idle(idle) => Some(idle.pid),
            Origin::Nothing => None,
        };
        let named = self.launches.named(op.pid);
        let id = self.graph.name();
        if let Origin::Serving(evidence) = &origin {
            evidence
                .sole
                .into_iter()
                .chain(evidence.thread.map(|(node, _)| node))
                .for_each(|node| self.graph.want(node));
        }
        let cause = self.cause(id, op.pid, origin, Words::Arguments(&image.args, &named));
        let mut node = Node::new(identity, op.pid, op.time, Body::Launch(Box::new(Launch::new(image))));
        node.cause = cause;
        node.owner = owner.unwrap_or(op.pid);
        self.graph.add_as(id, node)
    }

    /// A thread ended.
    pub fn exited(&mut self, exit: &Exit, op: Op) {
        self.causes.threads.forget(op.tid);
        self.launches.thread_ended(op.tid);
        if exit.process_ended == 0 {
            return;
        }
        if let Some(launch) = self.tasks.launch(op.pid) {
            if let Some(launch) = self.graph.launch_mut(launch) {
                launch.status = Some(exit.status);
            }
            self.graph.end(launch, op.time, self.now);
            self.causes.child_ended(launch, op.time, &self.graph);
        }
        process::exited(self, exit, op);
        self.causes.forget(op.pid);
        self.ambiguities.forget(op.pid);
        self.hops.exited(op.pid);
        self.tasks.exited(op.pid, self.now);
    }

    /// Lets spans leave whose time has come.
    pub fn tell(&mut self, until: Time) {
        while let Some(launch) = self.tasks.pop_abandoned() {
            self.graph.end(launch, self.now, self.now);
        }
        while let Some(id) = self.graph.pop_due(until) {
            if self.is_settled(id, until) {
                self.tell_one(id);
            }
        }
        process::settle(self, until);
        while let Some((case, more)) = self.cases.pop_due(until, self.now) {
            self.tell_case(case, more);
        }
        self.baseline.settle(&self.cases, self.now);
        self.net.contents.forget(self.now);
        self.graph.forget(self.now);
        self.tasks.forget(self.now);
    }

    /// Whether a span need not wait any longer for what decides its place. What it has waited for in vain is decided as
    /// it is; above that may be what is worth waiting for.
    fn is_settled(&mut self, id: NodeId, until: Time) -> bool {
        while !self.causes.settle(id, &mut self.graph) {
            if self.graph.delay(id, self.now, until) {
                return false;
            }
            let Some(undecided) = self.graph.undecided(id) else { break };
            self.causes.decide(undecided, &mut self.graph);
        }
        true
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

    fn tell_case(&mut self, case: Case, more: u64) {
        let Case { rule, subject, severity, confidence, title, time, pid, mut attributes, facts } = case;
        let span = match subject {
            Subject::Node(node) => {
                while let Some(undecided) = self.graph.undecided(node) {
                    self.causes.decide(undecided, &mut self.graph);
                }
                self.graph.span_of(node)
            }
            Subject::Other(_) => None,
        };
        if more > 0 {
            let more = i64::try_from(more).unwrap_or(i64::MAX);
            attributes.push(("tracer.finding.evidence.dropped", Value::Int(more)));
        }
        let service = self.service(pid);
        let state = if self.baseline.is_learned(&service) { "learned" } else { "cold" };
        attributes.push(("tracer.baseline", Value::Str(state.into())));
        attributes.sort_by_key(|(key, _)| *key);
        attributes.dedup_by_key(|(key, _)| *key);
        let unix = |time: Time| time.0.saturating_add(self.config.boot_to_unix_ns);
        let evidence =
            facts.into_iter().map(|(time, text)| Evidence { time_unix_nano: unix(time), text }).collect();
        let finding = Finding {
            rule,
            severity,
            confidence,
            title,
            time_unix_nano: unix(time),
            span,
            resource: self.tasks.resource(pid, &self.config),
            attributes,
            evidence,
        };
        self.stats.findings += 1;
        self.outputs.push_back(Output::Finding(Box::new(finding)));
    }

    fn tell_one(&mut self, id: NodeId) {
        if self.graph.is_unwanted(id) {
            detect::ended(self, id);
            self.graph.remove(id);
            return;
        }
        self.order_in_time(id);
        while let Some(undecided) = self.graph.undecided(id) {
            self.causes.decide(undecided, &mut self.graph);
        }
        detect::ended(self, id);
        let Some(place) = self.graph.place(id) else { return };
        let Some(node) = self.graph.get(id) else { return };
        let content = match &node.body {
            Body::Exchange(exchange) => span::exchange(exchange),
            Body::Launch(launch) => span::launch(node, launch, self.tasks.directory(node.pid)),
        };
        let resource = self.tasks.resource(node.owner, &self.config);
        let cases = self.cases.about(id);
        let span = span::span(node, place, content, &cases, resource, &self.config);
        self.stats.spans += 1;
        self.outputs.push_back(Output::Span(Box::new(span)));
        if let Some(body) = self.graph.told(id, self.now) {
            self.launches.requests.left(id, body);
        }
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
