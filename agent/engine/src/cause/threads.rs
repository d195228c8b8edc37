//! What each thread did last.

use super::habits::Clue;
use crate::{Time, graph::NodeId};
use rustc_hash::FxHashMap;
use std::collections::VecDeque;

/// Most threads that are known: more than a big node runs. Past it all are forgotten, and links by thread
/// begin anew.
const MAX_THREADS: usize = 65_536;
/// Most calls of one thread that wait for what it answers next.
const MAX_ANSWERED: usize = 32;

/// So many calls that were answered before one are as old as that: if they are older, by so little that it does not
/// matter.
const COMPARED: usize = 4;

/// What is known of a thread.
#[derive(Debug, Default)]
struct Thread {
    /// What it turned to last, and how: a request that it read or was handed, or a call whose answer it read.
    activity: Option<(NodeId, Turn)>,
    /// When that was.
    turned: Time,
    /// Whether it answered anything else since.
    interrupted: bool,
    /// When it last did something else than that: answered another request, read what is none.
    elsewhere: Option<Time>,
    /// Open requests that it has read.
    reading: u32,
    /// The last one of them.
    request: Option<NodeId>,
    /// Whether it ever read any.
    reads: bool,
    /// Whether it ever called or launched anything while its process, which serves, had no request open.
    alone: bool,
    /// Whether it has two of them, on two connections. One may be over, and the record of that lost.
    interleaves: bool,
    /// Whether it has answered one of two that it had: then what it read last need not be what it works on.
    multiplexes: bool,
    /// The last calls whose answers it read, [`COMPARED`] and one, and when.
    recent: VecDeque<(NodeId, Time)>,
    /// Its last call, until it has read the answer.
    asked: Option<NodeId>,
    /// Whether it did anything else since it read what it turned to last.
    acted: bool,
    /// Calls whose answers it read since it last answered a request, the latest [`MAX_ANSWERED`].
    answered: Vec<NodeId>,
}

/// How a thread came to what it is busy with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Read,
    Begun,
    Woken,
}

impl Thread {
    /// The request that it works on, when it works on one at a time.
    fn own(&self) -> Option<NodeId> {
        self.request.filter(|_| !self.multiplexes())
    }

    /// What it turned to, if it did nothing since.
    fn directly(&self) -> Option<NodeId> {
        self.activity.filter(|_| !self.interrupted && !self.acted).map(|(node, _)| node)
    }

    fn multiplexes(&self) -> bool {
        self.multiplexes || self.interleaves
    }
}

/// All threads.
#[derive(Debug, Default)]
pub struct Threads {
    known: FxHashMap<u32, Thread>,
    /// Threads that were forgotten for want of room.
    pub forgotten: u64,
}

/// What a thread's answer says of a call that it had made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Next {
    /// The call.
    pub call: NodeId,
    /// How the answer followed it.
    pub clue: Clue,
    /// How many of the calls that were answered shortly before, while the request was open, began before it and so were
    /// not for it.
    pub chance: f64,
}

impl Threads {
    /// The thread turns to something, or to nothing that is known.
    pub fn turn(&mut self, tid: u32, node: Option<NodeId>, at: Time) {
        if node.is_none() && !self.known.contains_key(&tid) {
            return;
        }
        let thread = self.thread(tid);
        thread.activity = node.map(|node| (node, Turn::Read));
        thread.turned = at;
        (thread.interrupted, thread.acted) = (false, false);
        thread.elsewhere = node.is_none().then_some(at);
    }

    /// When the thread turned to what it turned to last.
    pub fn turned(&self, tid: u32) -> Option<Time> {
        self.known.get(&tid).map(|thread| thread.turned)
    }

    /// When the thread did something else than what it turned to last, if it did.
    pub fn elsewhere(&self, tid: u32) -> Option<Time> {
        self.known.get(&tid)?.elsewhere
    }

    /// What the thread turned to last, if it did nothing since.
    pub fn directly(&self, tid: u32) -> Option<NodeId> {
        self.known.get(&tid)?.directly()
    }

    /// What the thread turned to last.
    pub fn activity(&self, tid: u32) -> Option<(NodeId, Clue)> {
        let thread = self.known.get(&tid)?;
        let (node, turn) = thread.activity?;
        let clue = match thread {
            Thread { reading: 0, .. } => match turn {
                Turn::Read => Clue::Handed,
                Turn::Begun => Clue::Begun,
                Turn::Woken => Clue::Woken,
            },
            _ if !thread.multiplexes() => Clue::OwnThread,
            Thread { interrupted: false, .. } => Clue::LastRead,
            Thread { .. } => Clue::EarlierRead,
        };
        Some((node, clue))
    }

    /// The thread has read a request; `behind` another one on the same connection.
    pub fn reads(&mut self, tid: u32, request: NodeId, behind: bool) {
        let thread = self.thread(tid);
        thread.reading += 1;
        thread.request = Some(request);
        thread.reads = true;
        thread.interleaves |= thread.reading > 1 && !behind;
    }

    /// The thread begins a call. Who has several requests and begins one before the last one's answer works on several of
    /// them.
    /// Gives what it had turned to directly before, where it works on several.
    pub fn asks(&mut self, tid: u32, call: NodeId) -> Option<Option<NodeId>> {
        let thread = self.known.get_mut(&tid)?;
        let before = thread.multiplexes().then(|| thread.directly());
        thread.multiplexes |= thread.reading > 1 && thread.asked.is_some();
        thread.asked = Some(call);
        thread.acted = true;
        before
    }

    /// The thread calls or launches something of itself.
    pub fn acts_alone(&mut self, tid: u32) {
        self.thread(tid).alone = true;
    }

    /// Whether the thread reads no requests and has acted of itself: that one is open now is no reason for what it does.
    pub fn is_alone(&self, tid: u32) -> bool {
        self.known.get(&tid).is_some_and(|thread| thread.alone && !thread.reads)
    }

    /// Whether the thread ever read a request.
    pub fn reads_requests(&self, tid: u32) -> bool {
        self.known.get(&tid).is_some_and(|thread| thread.reads)
    }

    /// Whether a request is open that the thread has read.
    pub fn is_reading(&self, tid: u32) -> bool {
        self.known.get(&tid).is_some_and(|thread| thread.reading > 0)
    }

    /// Whether the thread works on several requests at a time.
    pub fn multiplexes(&self, tid: u32) -> bool {
        self.known.get(&tid).is_some_and(Thread::multiplexes)
    }

    /// The same request ended.
    pub fn has_read(&mut self, tid: u32) {
        if let Some(thread) = self.known.get_mut(&tid) {
            thread.reading = thread.reading.saturating_sub(1);
            thread.request = thread.request.filter(|_| thread.reading > 0);
            thread.interleaves &= thread.reading > 1;
        }
    }

    /// The thread got the answer to a call.
    pub fn completed(&mut self, tid: u32, call: NodeId, at: Time) {
        let thread = self.thread(tid);
        if thread.answered.len() >= MAX_ANSWERED {
            thread.answered.remove(0);
        }
        thread.answered.push(call);
        if thread.recent.len() > COMPARED {
            thread.recent.pop_front();
        }
        thread.recent.push_back((call, at));
        thread.asked = thread.asked.filter(|asked| *asked != call);
    }

    /// The thread answers a request: tells what that says of the calls before. `moves` says whether work goes from thread
    /// to thread in its process, so that no thread has a request of its own.
    pub fn answers(
        &mut self,
        tid: u32,
        (request, began): (NodeId, Time),
        moves: bool,
        now: Time,
    ) -> Vec<Next> {
        let Some(thread) = self.known.get_mut(&tid) else { return Vec::new() };
        thread.multiplexes |= thread.interleaves && thread.request != Some(request);
        let last = thread.directly();
        let multiplexes = thread.multiplexes() || moves;
        thread.interrupted = thread.activity.is_none_or(|(node, _)| node != request);
        (thread.elsewhere, thread.acted) = (Some(now), true);
        let clue = |call| match multiplexes {
            false => Clue::OwnAnswer,
            true if last == Some(call) => Clue::NextAnswer,
            true => Clue::LaterAnswer,
        };
        let meanwhile = |(call, at): &(NodeId, Time)| (Some(*call) != last && *at >= began).then_some(*call);
        let others = || thread.recent.iter().filter_map(meanwhile);
        let chance = match last {
            Some(_) if multiplexes => {
                others().filter(|call| *call < request).count() as f64 / others().count().max(1) as f64
            }
            _ => 0.0,
        };
        thread.answered.drain(..).map(|call| Next { call, clue: clue(call), chance }).collect()
    }

    /// A thread began another one, which works for what this one does.
    pub fn began(&mut self, tid: u32, new: u32) {
        self.known.remove(&new);
        let Some(thread) = self.known.get(&tid) else { return };
        let inherited = thread.activity.filter(|(_, turn)| thread.reading == 0 && *turn != Turn::Read);
        if let Some(node) = thread.own().or(inherited.map(|(node, _)| node)) {
            self.thread(new).activity = Some((node, Turn::Begun));
        }
    }

    /// The requests that two threads work on.
    pub fn own(&self, tids: [u32; 2]) -> [Option<NodeId>; 2] {
        tids.map(|tid| self.known.get(&tid).and_then(Thread::own))
    }

    /// A thread that works on a request woke one that works on none.
    pub fn handed(&mut self, tid: u32, request: NodeId) {
        let thread = self.thread(tid);
        if thread.reading == 0 {
            (thread.activity, thread.interrupted) = (Some((request, Turn::Woken)), false);
            thread.answered.clear();
        }
    }

    /// A thread hands back what it did: the calls whose answers it has read.
    pub fn hands_back(&mut self, tid: u32) -> Vec<NodeId> {
        let Some(thread) = self.known.get_mut(&tid) else { return Vec::new() };
        if thread.reading == 0 && !thread.answered.is_empty() {
            thread.activity = None;
        }
        std::mem::take(&mut thread.answered)
    }

    /// A thread goes on under another number: the one that called exec has its process's from then on.
    pub fn renumber(&mut self, from: u32, to: u32) {
        if from != to
            && let Some(thread) = self.known.remove(&from)
        {
            self.known.insert(to, thread);
        }
    }

    /// A thread ended, or one with its number began.
    pub fn forget(&mut self, tid: u32) {
        self.known.remove(&tid);
    }

    fn thread(&mut self, tid: u32) -> &mut Thread {
        if self.known.len() >= MAX_THREADS && !self.known.contains_key(&tid) {
            self.forgotten += self.known.len() as u64;
            self.known.clear();
        }
        self.known.entry(tid).or_default()
    }
}
