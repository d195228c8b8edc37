//! Who caused what: which open request of a process made it call another server, or launch another process.
//!
//! ```text
//!  a thread sends a request, connects, forks
//!        │  what the thread had read last        (thread)
//!        │  words that the call shares with it   (content)
//!        ▼
//!  Evidence ── sure? ──► Known
//!        │  what the thread answers when the call is done   (next_answer)
//!        │  the same of calls with the same rare words
//!        ▼
//!     weighed by what was right in this process before ──► Known, or Nothing
//! ```
//!
//! A thread that works on one request at a time says it all by itself. One that has several open (an event
//! loop) may turn from any of them to any other: there, what each clue is worth is learned for each process,
//! from what all of them together say.

mod background;
mod deciding;
mod evidence;
mod habits;
mod index;
mod places;
mod siblings;
mod threads;
mod tokens;
mod weigh;
mod workload;

pub use evidence::{Cause, Evidence, Idle, Link, Method, Origin};
pub use habits::Clue;

use crate::{
    Budget, Time,
    graph::{Graph, Node, NodeId},
    http1::{Head, Start},
};
use background::{Background, Kind};
use deciding::{decided, introduce, learn, link, turn_to_what_it_was_for};
use habits::Act;
use rustc_hash::FxHashMap;
use threads::{Next, Threads};
use tokens::Token;
use tracer_common::Wake;
use weigh::{MIN_CONFIDENCE, SURE, weigh};
use workload::Workload;

/// Most serving processes: more than a node runs. Past it those that have nothing open are forgotten, with
/// what was learned of them; when all have, the next ones are not looked after.
const MAX_WORKLOADS: usize = 1024;
/// Most bytes of the words of all open requests: those of some thousand with many fields. A request that finds no
/// room is known by its threads only.
const MAX_WORDS: usize = 16 << 20;

/// Most processes of which it is kept what they called before they served anything: more than begin on a node in
/// a while. Past it all are forgotten.
const MAX_EARLY: usize = 1024;
/// So many calls of each are looked at: who checks on others shows it in a few, and who never serves costs no more.
const EARLY_CALLS: u32 = 64;
/// A request that is open for so long waits for something else: that no other is open does not say that calls of its
/// process are for it.
const MAX_ONLY_NS: u64 = 1_000_000_000;
/// So long after it was read even the thread that has read it need not work on it any more, unless each of the
/// process's threads works on one request at a time.
const MAX_OWN_NS: u64 = 10 * MAX_ONLY_NS;
/// Nothing is the cause for longer of what follows from its calls' answers: no trace grows without end.
const MAX_CHAIN_NS: u64 = 60 * MAX_ONLY_NS;

/// What a thread does so long after it has read something was brought about by something else: a timer, an answer.
pub(crate) const AT_ONCE_NS: u64 = 50_000_000;
/// Who waits for a child goes on within so long after its end.
const REAPED_MS: u64 = 250;

/// What a call or a launch says in words.
#[derive(Clone, Copy, Debug)]
pub enum Words<'a> {
    /// A request's target and fields.
    Request(&'a Head),
    /// Arguments, and the open requests that are known to say the same, with the bits that says.
    Arguments(&'a [String], &'a [(NodeId, f64)]),
}

impl<'a> Words<'a> {
    fn tokens(self) -> Vec<Token> {
        match self {
            Self::Request(head) => tokens::of_request(head),
            Self::Arguments(args, _) => tokens::of_arguments(args),
        }
    }

    /// What is said besides the words: the method, and which fields there are, by their number and length. Who passes a
    /// request on says more than who asks of itself.
    fn form(self) -> u64 {
        let Self::Request(head) = self else { return 0 };
        let method = match head.start() {
            Start::Request { method, .. } => method.bytes().fold(0, |form, byte| form << 8 ^ u64::from(byte)),
            Start::Response { .. } => 0,
        };
        head.iter().fold(method, |form, (name, _)| form.wrapping_add(1 << 32 | name.len() as u64))
    }

    /// What is known beforehand of who shares them.
    fn known(self) -> &'a [(NodeId, f64)] {
        match self {
            Self::Request(_) => &[],
            Self::Arguments(_, known) => known,
        }
    }
}

/// See the module.
#[derive(Debug)]
pub struct Causes {
    /// What the threads did last.
    pub threads: Threads,
    workloads: FxHashMap<u32, Workload>,
    /// What processes have called that have served nothing so far, and how often.
    early: FxHashMap<u32, (u32, Background)>,
    /// Bytes of the words of all open requests.
    words: Budget,
    /// Processes of which the wake-ups of threads are of interest.
    watch: Vec<u32>,
    /// Calls and launches of processes that had requests open, for which no cause was sure enough.
    pub undecided: u64,
    /// Processes whose calls could not be learned from, or no longer, for want of room.
    pub forgotten: u64,
}

impl Default for Causes {
    fn default() -> Self {
        Self {
            threads: Threads::default(),
            workloads: FxHashMap::default(),
            early: FxHashMap::default(),
            words: Budget::new(MAX_WORDS),
            watch: Vec::new(),
            undecided: 0,
            forgotten: 0,
        }
    }
}

impl Causes {
    /// A thread has read a request; `behind` another one on the same connection.
    pub fn serve(&mut self, (pid, tid): (u32, u32), node: NodeId, behind: bool) {
        if self.workloads.len() >= MAX_WORKLOADS && !self.workloads.contains_key(&pid) {
            let words = &mut self.words;
            let forgotten = &mut self.forgotten;
            self.workloads.retain(|_, workload| {
                if workload.len() == 0 {
                    *forgotten += 1;
                    workload.siblings.clear(words);
                }
                workload.len() > 0
            });
            if self.workloads.len() >= MAX_WORKLOADS {
                self.forgotten += 1;
                return;
            }
        }
        self.threads.reads(tid, node, behind);
        let known = self.early.remove(&pid);
        let workload = self.workloads.entry(pid).or_default();
        if let Some((_, background)) = known {
            workload.background = background;
        }
        workload.begin(node, tid);
    }

    /// A request was answered, or nobody waits for that any more.
    pub fn served(&mut self, pid: u32, node: NodeId) {
        let Some(workload) = self.workloads.get_mut(&pid) else { return };
        if let Some(tid) = workload.end(node, &mut self.words) {
            self.threads.has_read(tid);
        }
        if workload.ended && workload.len() == 0 {
            self.forget(pid);
        }
    }

    /// Requests that a process has open, oldest first.
    pub fn open_requests(&self, pid: u32) -> impl DoubleEndedIterator<Item = NodeId> {
        self.workloads.get(&pid).into_iter().flat_map(Workload::open)
    }

    /// A process ended: what it had open ends when its connections do.
    pub fn forget(&mut self, pid: u32) {
        self.early.remove(&pid);
        if let Some(workload) = self.workloads.get_mut(&pid) {
            workload.ended = true;
            if workload.len() == 0 {
                workload.siblings.clear(&mut self.words);
                self.workloads.remove(&pid);
            }
        }
    }

    /// A request that a process has open cannot be read: it is a candidate for launches only. Several may be behind it.
    pub fn unread(&mut self, pid: u32, node: NodeId) {
        if let Some(workload) = self.workloads.get_mut(&pid) {
            workload.unread(node);
        }
    }

    /// What is known of the cause of a call that a thread begins now; nothing when its process has no request open
    /// that can be read.
    pub fn call_evidence(&self, by: (u32, u32), at: Time, graph: &Graph) -> Option<Evidence> {
        self.workloads.get(&by.0).filter(|workload| workload.reads())?;
        self.evidence(by, at, false, graph)
    }

    /// What is known of the cause of something that a thread does now; nothing when its process has no
    /// request open. Timers call others; who `forks` mostly does so for a request.
    fn evidence(&self, (pid, tid): (u32, u32), at: Time, forks: bool, graph: &Graph) -> Option<Evidence> {
        let workload = self.workloads.get(&pid).filter(|workload| workload.len() > 0)?;
        let sequential = workload.is_sequential();
        let own = |request: NodeId| workload.reader(request) == Some(tid);
        // A request that is being answered has mostly asked what it needs: only words speak for it, and a thread that
        // works on nothing else.
        let streams =
            |(node, clue)| sequential && clue == Clue::OwnThread && own(node) && !workload.waits(node);
        let thread = self
            .threads
            .activity(tid)
            .filter(|(node, clue)| graph.is_call(*node) || workload.waits(*node) || streams((*node, *clue)));
        let open = workload.waiting() + usize::from(thread.is_some_and(streams));
        let thread = match forks || sequential || open > 1 {
            true => thread,
            false => thread.and_then(|thread| self.alone(thread, (tid, at), graph)),
        };
        // Where each thread works on what it has read, another one's request is none of its business; elsewhere that of
        // a thread that has just done something else.
        let since = |request| graph.times(request).map_or(0, |times| at.since(times.start));
        let elsewhere = self.threads.elsewhere(tid).is_some_and(|since| at.since(since) <= AT_ONCE_NS);
        let told = matches!(thread, Some((_, Clue::Begun | Clue::Woken)));
        let alone = !told && self.threads.is_alone(tid);
        let sole = workload.sole().filter(|request| match sequential {
            _ if alone => false,
            true => own(*request),
            false if forks => own(*request) || since(*request) <= MAX_OWN_NS,
            false => since(*request) <= MAX_ONLY_NS && !elsewhere,
        });
        Some(Evidence {
            pid,
            tid,
            at,
            open: u32::try_from(open).unwrap_or(u32::MAX),
            sole,
            thread,
            content: Vec::new(),
            answer: None,
            siblings: Vec::new(),
            background: 0.0,
            elsewhere: alone || elsewhere && !sequential && !forks,
            alone,
            waited: Vec::new(),
            learned: false,
            via: None,
            worker: false,
        })
    }

    /// What a thread says where one request waits and others of its kind could: what it does at once after it
    /// turned to something is for that; later on it does other things as well, and need not be asked for what it read.
    fn alone(
        &self,
        (node, clue): (NodeId, Clue),
        (tid, at): (u32, Time),
        graph: &Graph,
    ) -> Option<(NodeId, Clue)> {
        if matches!(clue, Clue::Begun | Clue::Woken | Clue::Handed) {
            return Some((node, clue));
        }
        let since = |time: Option<Time>| time.map_or(0, |time| at.since(time));
        let turned = since(self.threads.turned(tid));
        let elsewhere = self.threads.elsewhere(tid).is_some_and(|time| at.since(time) <= AT_ONCE_NS);
        let request = if graph.is_call(node) { graph.cause(node).unwrap_or(node) } else { node };
        let age = since(graph.times(request).map(|times| times.start));
        let at_once = turned <= AT_ONCE_NS && age <= MAX_CHAIN_NS;
        match clue {
            Clue::OwnThread if at_once || age <= MAX_ONLY_NS => Some((node, clue)),
            Clue::OwnThread => (age <= MAX_OWN_NS).then_some((node, Clue::EarlierRead)),
            _ => (!elsewhere && (at_once || age <= MAX_ONLY_NS)).then_some((node, clue)),
        }
    }

    /// Whether a process has ever read a request.
    pub fn serves(&self, pid: u32) -> bool {
        self.workloads.contains_key(&pid)
    }

    /// The request that something is most probably for, if that is sure enough to be told.
    pub fn likely(&self, evidence: &Evidence, graph: &Graph) -> Option<NodeId> {
        let workload = self.workloads.get(&evidence.pid)?;
        let thread = decided(evidence, graph);
        let verdict = weigh(evidence, thread, &[], &workload.habits, |_| false).verdict()?;
        (verdict.confidence >= MIN_CONFIDENCE).then_some(verdict.node)
    }

    /// The same for a fork. A process works on a request until the last byte of its response: what it launches in
    /// between is for that.
    pub fn fork_evidence(&self, (pid, tid): (u32, u32), at: Time, graph: &Graph) -> Option<Evidence> {
        let mut evidence = self.evidence((pid, tid), at, true, graph)?;
        let workload = self.workloads.get(&pid)?;
        if evidence.open == 0 {
            evidence.open = u32::try_from(workload.len()).unwrap_or(u32::MAX);
            evidence.sole = workload.single().filter(|_| !evidence.alone);
        }
        let answers =
            |(node, clue): &(NodeId, Clue)| *clue == Clue::OwnThread && workload.reader(*node).is_some();
        evidence.thread = evidence.thread.or_else(|| self.threads.activity(tid).filter(answers));
        if let Some((node, clue @ Clue::LastRead)) = &mut evidence.thread
            && graph.times(*node).is_some_and(|times| at.since(times.end.unwrap_or(times.start)) > AT_ONCE_NS)
        {
            *clue = Clue::EarlierRead;
        }
        Some(evidence)
    }

    /// A child that a process has launched ended: what the process answers next may have waited for it.
    pub fn child_ended(&mut self, launch: NodeId, at: Time, graph: &Graph) {
        let Some(Cause::Open(evidence)) = graph.get(launch).map(|node| &node.cause) else { return };
        if let Some(workload) = self.workloads.get_mut(&evidence.pid) {
            workload.child_ended(launch, at);
        }
    }

    /// A process that has no request open calls another server.
    pub fn background(&mut self, pid: u32, words: Words<'_>) {
        let kind = || Kind::of(words.form(), &words.tokens());
        if let Some(workload) = self.workloads.get_mut(&pid) {
            return workload.background.alone(kind());
        }
        if self.early.len() >= MAX_EARLY && !self.early.contains_key(&pid) {
            self.forgotten += self.early.len() as u64;
            self.early.clear();
        }
        let (calls, background) = self.early.entry(pid).or_default();
        if *calls < EARLY_CALLS {
            *calls += 1;
            background.alone(kind());
        }
    }

    /// The cause of a call or a launch `id` that begins, as far as it is known.
    pub fn judge(
        &mut self,
        id: NodeId,
        mut evidence: Evidence,
        words: Words<'_>,
        graph: &mut Graph,
    ) -> Cause {
        let Some(workload) = self.workloads.get_mut(&evidence.pid) else { return Cause::Nothing };
        let (tid, tokens) = (evidence.tid, words.tokens());
        if matches!(words, Words::Request(_)) {
            let directly = self.threads.asks(tid, id).filter(|_| evidence.open > 1);
            if let Some(before) = directly {
                workload.habits.acts(Act::Call, before.is_some_and(|node| graph.is_call(node)));
            }
        }
        let kind = Kind::of(words.form(), &tokens);
        let own = matches!(evidence.thread, Some((_, Clue::OwnThread)));
        if workload.waiting() == 0 && !(own && workload.is_sequential()) {
            workload.background.alone(kind);
            self.threads.acts_alone(tid);
        }
        // Who works on one request at a time polls in other threads.
        let kind = if own && workload.is_sequential() { kind.of_its_own() } else { kind };
        evidence.background = workload.background.probability(kind);
        // A thread that always works on what it has read calls for that, whoever else asks for the same.
        let told = own && workload.is_sequential() && matches!(words, Words::Request(_));
        if !told && (workload.len() > 1 || !own) {
            let request = |node| graph.get(node).and_then(Node::exchange);
            evidence.content = workload.shared(&tokens, request, &mut self.words);
            for (node, bits) in words.known() {
                match evidence.content.iter_mut().find(|(shares, _)| shares == node) {
                    Some((_, shared)) => *shared += bits,
                    None => evidence.content.push((*node, *bits)),
                }
            }
            if evidence.content_decides().is_some() {
                workload.background.caused(kind);
            }
        }
        turn_to_what_it_was_for(&mut evidence, graph);
        let waits = evidence.thread.is_some_and(|(node, _)| graph.is_call(node));
        let weighed = weigh(&evidence, evidence.thread, &[], &workload.habits, |_| false);
        let sure = weighed.verdict().filter(|verdict| verdict.confidence >= SURE && !waits);
        let speaks = sure.is_none_or(|verdict| verdict.method == Method::Content);
        let mut cause = match sure {
            Some(verdict) => {
                learn(&mut workload.habits, &evidence, &[], &weighed);
                Cause::Known(verdict.node, link(&evidence, verdict))
            }
            None => {
                let handed =
                    matches!(evidence.thread, None | Some((_, Clue::Handed | Clue::Begun | Clue::Woken)));
                if handed
                    && evidence.open > 1
                    && !workload.moves()
                    && !std::mem::replace(&mut workload.watched, true)
                {
                    self.watch.push(evidence.pid);
                }
                evidence.waited = workload.sample();
                Cause::Open(Box::new(evidence))
            }
        };
        if speaks
            && matches!(words, Words::Request(_))
            && (workload.len() > 1 || !workload.siblings.is_empty())
        {
            introduce((id, tid), &mut cause, workload.siblings.find(&tokens), graph);
            workload.siblings.add((id, tid), &tokens, &mut self.words);
        }
        cause
    }

    /// Processes whose threads' wake-ups would tell more, since the last call.
    pub fn take_watch(&mut self) -> impl Iterator<Item = u32> {
        std::mem::take(&mut self.watch).into_iter()
    }

    /// A thread woke another one of its process: it hands work to it, or hands it back.
    pub fn woke(&mut self, wake: &Wake, graph: &mut Graph) {
        let (waker, woken) = (wake.header.tid, wake.woken_tid);
        let workload = self.workloads.get_mut(&wake.header.pid);
        let Some(workload) = workload.filter(|workload| !workload.moves()) else { return };
        let own = self.threads.own([waker, woken]);
        match own {
            [Some(one), Some(other)] if one != other => workload.places.met(wake.futex, woken),
            _ if workload.places.is_lock(wake.futex) => {}
            [Some(request), None] => self.threads.handed(woken, request),
            [None, Some(request)] if workload.places.waited(wake.futex, woken) => {
                let calls = self.threads.hands_back(waker);
                self.handed_back(&calls, request, graph);
            }
            _ => {}
        }
    }

    /// A thread begins to answer a request: that tells of the calls whose answers it read before.
    pub fn answer(&mut self, tid: u32, request: NodeId, now: Time, graph: &mut Graph) {
        let (mut children, mut moves) = (Vec::new(), false);
        // Who answers what it has read itself works on one request at a time; who is handed it does not.
        if let Some(workload) = graph.get(request).and_then(|node| self.workloads.get_mut(&node.pid)) {
            workload.answer(request);
            children = workload.take_children();
            let reader = workload.reader(request);
            // Nor does who answers what another one has read while it has read something else.
            let strays = reader != Some(tid) && self.threads.is_reading(tid);
            if let Some(reader) = reader.filter(|reader| strays || !self.threads.multiplexes(*reader)) {
                workload.habits.learn(Clue::OwnThread, reader == tid);
            }
            moves = workload.moves();
            if self.threads.multiplexes(tid) && workload.waiting() > 0 {
                let before = self.threads.directly(tid);
                workload.habits.acts(Act::Answer, before.is_some_and(|node| graph.is_call(node)));
            }
        }
        let began = graph.times(request).map_or(now, |times| times.start);
        for next in self.threads.answers(tid, (request, began), moves, now) {
            self.follows(next, request, graph);
        }
        for (call, _) in children.into_iter().filter(|(_, at)| now.since(*at) <= REAPED_MS * 1_000_000) {
            self.waited(call, request, graph);
        }
    }

    /// A request is the first to be answered after a child has ended. Where threads work on what they have read, it is
    /// whoever's turn it was, and only shows how much that says here.
    fn waited(&mut self, launch: NodeId, request: NodeId, graph: &mut Graph) {
        graph.want(request);
        let thread = match graph.get(launch).map(|node| &node.cause) {
            Some(Cause::Open(evidence)) => evidence.thread.map(|thread| (evidence.pid, thread)),
            _ => None,
        };
        match thread {
            Some((pid, (own, Clue::OwnThread))) => {
                if let Some(workload) = self.workloads.get_mut(&pid) {
                    workload.habits.learn(Clue::AfterExit, own == request);
                }
            }
            _ => self.follows(Next { call: launch, clue: Clue::AfterExit, chance: 0.0 }, request, graph),
        }
    }
}
