//! What a serving process has at hand: its open requests, their words, and its habits.

use super::{
    background::Background,
    habits::{Clue, Habits, SEQUENTIAL},
    index::Index,
    places::Places,
    siblings::Siblings,
    tokens,
};
use crate::{Budget, Time, exchange::Exchange, graph::NodeId};
use std::collections::BTreeMap;

/// Bytes that a word takes: its hash with the request, and its place in the index.
const WORD: usize = 96;

/// Most requests that are kept with a call to see which of them last until its end.
const MAX_SAMPLE: usize = 16;

/// Most children that have ended since the process last began to answer a request; later ones are not kept.
const MAX_ENDED: usize = 32;

/// An open request.
#[derive(Debug)]
struct Open {
    /// The thread that has read it.
    tid: u32,
    /// Its words, once they were needed.
    words: Option<Box<[u64]>>,
    /// Whether its response has begun: who answers has mostly asked what it needs.
    answering: bool,
    /// Whether it cannot be read.
    unread: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Workload {
    open: BTreeMap<NodeId, Open>,
    /// Open requests whose words were not needed yet; some may have ended.
    unread: Vec<NodeId>,
    index: Index,
    /// Open requests whose response has begun.
    answering: usize,
    /// Open requests that cannot be read.
    unreadable: usize,
    /// Children that have ended since the process last began to answer a request, and when.
    children: Vec<(NodeId, Time)>,
    /// Whether the process has ended, so that nothing more begins.
    pub ended: bool,
    /// What it calls of itself.
    pub background: Background,
    /// Where its threads wait for each other.
    pub places: Places,
    /// Its latest calls.
    pub siblings: Siblings,
    /// Whether the kernel side was asked for its threads' wake-ups.
    pub watched: bool,
    /// How it works.
    pub habits: Habits,
    /// The thread that has read its first request.
    first_reader: Option<u32>,
    /// Whether others have read any as well.
    several_read: bool,
}

impl Workload {
    /// Its open requests, oldest first.
    pub fn open(&self) -> impl DoubleEndedIterator<Item = NodeId> {
        self.open.keys().copied()
    }

    /// A request begins that a thread has read.
    pub fn begin(&mut self, node: NodeId, tid: u32) {
        self.several_read |= *self.first_reader.get_or_insert(tid) != tid;
        self.open.insert(node, Open { tid, words: None, answering: false, unread: false });
        self.unread.push(node);
        if self.unread.len() > 2 * self.open.len() + 16 {
            self.unread.retain(|node| self.open.contains_key(node));
        }
    }

    /// It ends; gives the thread that has read it.
    pub fn end(&mut self, node: NodeId, held: &mut Budget) -> Option<u32> {
        let open = self.open.remove(&node)?;
        self.answering -= usize::from(open.answering);
        self.unreadable -= usize::from(open.unread);
        if let Some(words) = open.words {
            held.settle(words.len() * WORD, 0);
            self.index.remove(node, &words);
        }
        Some(open.tid)
    }

    /// Some of the requests that wait for their response, the latest.
    pub fn sample(&self) -> Vec<NodeId> {
        let waits = self.open.iter().rev().filter(|(_, open)| !open.answering);
        waits.take(MAX_SAMPLE).map(|(node, _)| *node).collect()
    }

    /// The thread that has read an open request.
    pub fn reader(&self, node: NodeId) -> Option<u32> {
        self.open.get(&node).map(|open| open.tid)
    }

    /// Its response begins.
    pub fn answer(&mut self, node: NodeId) {
        if let Some(open) = self.open.get_mut(&node) {
            self.answering += usize::from(!std::mem::replace(&mut open.answering, true));
        }
    }

    /// It cannot be read.
    pub fn unread(&mut self, node: NodeId) {
        if let Some(open) = self.open.get_mut(&node) {
            self.unreadable += usize::from(!std::mem::replace(&mut open.unread, true));
        }
    }

    /// Whether it has one open that can be read.
    pub fn reads(&self) -> bool {
        self.open.len() > self.unreadable
    }

    /// Whether work goes from thread to thread: what one of them has read is answered by others, as where a runtime has
    /// tasks that any thread goes on with.
    pub fn moves(&self) -> bool {
        self.habits.move_work()
    }

    /// Whether each of its threads works on the request that it has read. Of a single one that reads this is not known: an
    /// event loop with one client does the same.
    pub fn is_sequential(&self) -> bool {
        self.several_read && self.habits.reliability(Clue::OwnThread) > SEQUENTIAL
    }

    /// How many are open.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// How many wait for their response to begin.
    pub fn waiting(&self) -> usize {
        self.open.len() - self.answering
    }

    /// Whether this one does.
    pub fn waits(&self, node: NodeId) -> bool {
        self.open.get(&node).is_some_and(|open| !open.answering)
    }

    /// The request that waits for its response to begin, when it is the only open one.
    pub fn sole(&self) -> Option<NodeId> {
        let (first, open) = self.open.first_key_value()?;
        (self.open.len() == 1 && !open.answering).then_some(*first)
    }

    /// The only open request, whether or not its response has begun.
    pub fn single(&self) -> Option<NodeId> {
        let (first, _) = self.open.first_key_value()?;
        (self.open.len() == 1).then_some(*first)
    }

    /// A child that it may wait for has ended.
    pub fn child_ended(&mut self, launch: NodeId, at: Time) {
        if self.children.len() < MAX_ENDED {
            self.children.push((launch, at));
        }
    }

    /// Children that have ended since the last call.
    pub fn take_children(&mut self) -> Vec<(NodeId, Time)> {
        std::mem::take(&mut self.children)
    }

    /// The open requests that share words with a call. `request` gives one; `held` counts the words that
    /// are kept.
    pub fn shared<'a>(
        &mut self,
        call: &[tokens::Token],
        request: impl Fn(NodeId) -> Option<&'a Exchange>,
        held: &mut Budget,
    ) -> Vec<(NodeId, f64)> {
        for node in std::mem::take(&mut self.unread) {
            let (Some(open), Some(request)) = (self.open.get_mut(&node), request(node)) else { continue };
            let tokens = tokens::of_exchange(request);
            if !held.is_exceeded() {
                held.settle(0, tokens.len() * WORD);
                open.words = Some(tokens.iter().map(|token| token.hash).collect());
                self.index.insert(node, &tokens);
            }
        }
        self.index.shared(call)
    }
}
