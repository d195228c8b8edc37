//! What each thread did last.

use super::habits::Clue;
use crate::graph::NodeId;
use rustc_hash::FxHashMap;

/// Most threads that are known: more than a big node runs. Past it all are forgotten, and links by thread
/// begin anew.
const MAX_THREADS: usize = 65_536;
/// Most calls of one thread that wait for what it answers next.
const MAX_ANSWERED: usize = 32;

/// What is known of a thread.
#[derive(Debug, Default)]
struct Thread {
    /// What it turned to last: a request that it read, or a call whose answer it read.
    activity: Option<NodeId>,
    /// Whether it answered anything else since.
    interrupted: bool,
    /// Open requests that it has read.
    reading: u32,
    /// Whether it ever had two of them, on two connections: then what it read last need not be what it
    /// works on.
    multiplexes: bool,
    /// Calls whose answers it read, or whose processes it waited for, since it last answered a request.
    answered: Vec<NodeId>,
}

/// All threads.
#[derive(Debug, Default)]
pub struct Threads {
    known: FxHashMap<u32, Thread>,
    /// Threads that were forgotten for want of room.
    pub forgotten: u64,
}

/// What a thread's answer says of a call that it had made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Next {
    /// The call.
    pub call: NodeId,
    /// How the answer followed it.
    pub clue: Clue,
}

impl Threads {
    /// The thread turns to something, or to nothing that is known.
    pub fn turn(&mut self, tid: u32, node: Option<NodeId>) {
        if node.is_none() && !self.known.contains_key(&tid) {
            return;
        }
        let thread = self.thread(tid);
        (thread.activity, thread.interrupted) = (node, false);
    }

    /// What the thread turned to last.
    pub fn activity(&self, tid: u32) -> Option<(NodeId, Clue)> {
        let thread = self.known.get(&tid)?;
        let clue = match thread {
            Thread { reading: 0, .. } => Clue::Handed,
            Thread { multiplexes: false, .. } => Clue::OwnThread,
            Thread { interrupted: false, .. } => Clue::LastRead,
            Thread { .. } => Clue::EarlierRead,
        };
        thread.activity.map(|node| (node, clue))
    }

    /// The thread has read a request; `behind` another one on the same connection.
    pub fn reads(&mut self, tid: u32, behind: bool) {
        let thread = self.thread(tid);
        thread.reading += 1;
        thread.multiplexes |= thread.reading > 1 && !behind;
    }

    /// The same request ended.
    pub fn has_read(&mut self, tid: u32) {
        if let Some(thread) = self.known.get_mut(&tid) {
            thread.reading = thread.reading.saturating_sub(1);
        }
    }

    /// The thread got the answer to a call.
    pub fn completed(&mut self, tid: u32, call: NodeId) {
        let thread = self.thread(tid);
        if thread.answered.len() < MAX_ANSWERED {
            thread.answered.push(call);
        }
    }

    /// The thread answers a request: tells what that says of the calls before.
    pub fn answers(&mut self, tid: u32, request: NodeId) -> Vec<Next> {
        let Some(thread) = self.known.get_mut(&tid) else { return Vec::new() };
        let last = thread.activity.filter(|_| !thread.interrupted);
        let multiplexes = thread.multiplexes;
        thread.interrupted = thread.activity != Some(request);
        let clue = |call| match multiplexes {
            false => Clue::OwnAnswer,
            true if last == Some(call) => Clue::NextAnswer,
            true => Clue::LaterAnswer,
        };
        thread.answered.drain(..).map(|call| Next { call, clue: clue(call) }).collect()
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
