//! Processes: what they act for, what they launch.

use super::{Op, World};
use crate::{
    Output, Time,
    cause::{self, Evidence, Idle, Origin, Words},
    detect::process::{self, Streams},
    graph::{self, Body, Node, NodeId},
    ids::Identity,
    launch::{Image, Launch},
};
use tracer_common::{Exec, Exit, Fork};

impl World {
    /// What a process acts for that has no request open itself.
    pub(super) fn inherited(&self, op: Op) -> Origin {
        match self.tasks.launch(op.pid).filter(|launch| self.works_for_a_request(*launch)) {
            Some(launch) => Origin::Launch(launch),
            None => self.still(self.tasks.origin(op.pid), op),
        }
    }

    /// A process that was forked for a request, has executed nothing, and goes on when that is answered is one of a pool:
    /// what it does is for any request that its server has open by now, or for the one that it was forked for.
    fn still(&self, origin: Origin, op: Op) -> Origin {
        let Origin::Serving(forked) = &origin else { return origin };
        let mut requests = forked.sole.into_iter().chain(forked.thread.map(|(node, _)| node)).peekable();
        if requests.peek().is_none() || requests.any(|request| self.graph.is_active(request)) {
            return origin;
        }
        match self.causes.fork_evidence((forked.pid, op.tid), op.time, &self.graph) {
            Some(now) => Origin::Serving(Box::new(Evidence {
                open: now.open + 1,
                sole: None,
                thread: None,
                learned: true,
                via: Some(op.pid),
                worker: true,
                ..now
            })),
            None => origin,
        }
    }

    /// Whether what a process was forked for is still worked on: a worker that stays works for others later on.
    pub(super) fn goes_on(&self, evidence: &Evidence, at: Time) -> bool {
        let request = |node| if self.graph.is_call(node) { self.graph.cause(node) } else { Some(node) };
        let mut nodes = evidence.sole.into_iter().chain(evidence.thread.and_then(|(node, _)| request(node)));
        nodes.any(|node| {
            let times = self.graph.times(node);
            times.is_some_and(|times| times.end.is_none_or(|end| at.since(end) <= cause::AT_ONCE_NS))
        })
    }

    /// What a thread forks for, or becomes another program for.
    fn fork_origin(&self, op: Op) -> Origin {
        if let Some(evidence) = self.works_on(op) {
            return Origin::Serving(Box::new(evidence));
        }
        match (self.inherited(op), self.tasks.served(op.pid)) {
            (Origin::Nothing, Some(served)) => {
                Origin::Idle(Idle { pid: op.pid, at: op.time, last: served.last })
            }
            (origin, _) => origin,
        }
    }

    /// The requests that a thread's process has open, or was told to work on.
    pub(super) fn works_on(&self, op: Op) -> Option<Evidence> {
        let own = self.causes.fork_evidence((op.pid, op.tid), op.time, &self.graph);
        let open = |evidence: &Evidence| self.goes_on(evidence, op.time);
        own.or_else(|| self.hops.work(op.pid, op.time, open).filter(|_| self.tasks.served(op.pid).is_none()))
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
        if matches!(&origin, Origin::Idle(idle) if idle.pid == op.pid) {
            self.causes.threads.acts_alone(op.tid);
        }
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
        self.suspicions.forget(op.pid);
        self.hops.exited(op.pid);
        if self.tasks.unwatch(op.pid) {
            self.output(Output::UnwatchThreads(op.pid));
        }
        self.tasks.exited(op.pid, self.now);
    }
}
