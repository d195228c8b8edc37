//! Which open requests of a process hold a word, and how usual the word is there.

use super::tokens::Token;
use crate::graph::NodeId;
use rustc_hash::FxHashMap;

/// A word that more open requests hold tells none of them from the others.
const MAX_SHARED: usize = 8;
/// Most words whose frequency is kept; past it all counts are halved, and the rare ones go.
const MAX_COUNTED: usize = 1024;
/// What a word loses, in bits, each time that the number of requests it was in doubles: a little more than
/// its share, since what was met twice will be met again.
pub const USUAL: f64 = 1.5;

/// See the module.
#[derive(Debug, Default)]
pub struct Index {
    holders: FxHashMap<u64, Holders>,
    in_requests: Counts,
    /// Calls that had the word while no open request did.
    unasked: Counts,
    /// Calls that were looked at.
    calls: u32,
}

/// Who holds a word: by name while they are few.
#[derive(Debug, Default)]
struct Holders {
    few: Vec<NodeId>,
    count: usize,
    /// Whether they were too many since there was none.
    crowded: bool,
}

/// In how many heads each word was.
#[derive(Debug, Default)]
pub struct Counts(FxHashMap<u64, u32>);

impl Counts {
    /// One more.
    pub fn add(&mut self, word: u64) {
        if self.0.len() >= MAX_COUNTED && !self.0.contains_key(&word) {
            self.0.retain(|_, count| {
                *count /= 2;
                *count > 0
            });
        }
        if self.0.len() < MAX_COUNTED {
            *self.0.entry(word).or_default() += 1;
        }
    }

    /// How many.
    pub fn of(&self, word: u64) -> u32 {
        self.0.get(&word).copied().unwrap_or_default()
    }
}

impl Index {
    /// A request with these words is open from now on.
    pub fn insert(&mut self, node: NodeId, tokens: &[Token]) {
        for token in tokens {
            let holders = self.holders.entry(token.hash).or_default();
            holders.count += 1;
            holders.crowded |= holders.count > MAX_SHARED;
            if holders.crowded {
                holders.few = Vec::new();
            } else {
                holders.few.push(node);
            }
            self.in_requests.add(token.hash);
        }
    }

    /// It is open no more.
    pub fn remove(&mut self, node: NodeId, words: &[u64]) {
        for word in words {
            if let Some(holders) = self.holders.get_mut(word) {
                holders.few.retain(|holder| *holder != node);
                holders.count -= 1;
                if holders.count == 0 {
                    self.holders.remove(word);
                }
            }
        }
    }

    /// The open requests that share words with a call, each with the bits they share: the
    /// [`MAX_SHARED`] that share most.
    pub fn shared(&mut self, call: &[Token]) -> Vec<(NodeId, f64)> {
        self.calls = self.calls.saturating_add(1);
        let mut shared: Vec<(NodeId, f64)> = Vec::new();
        for token in call {
            let Some(holders) = self.holders.get(&token.hash) else {
                self.unasked.add(token.hash);
                continue;
            };
            if !holders.crowded {
                let usual = f64::from(self.in_requests.of(token.hash).max(1)).log2();
                let bits = (token.bits - USUAL * usual).min(self.by_itself(token.hash));
                if bits > 0.0 {
                    shared.extend(holders.few.iter().map(|node| (*node, bits)));
                }
            }
        }
        shared.sort_by_key(|(node, _)| *node);
        shared.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            if same {
                kept.1 += next.1;
            }
            same
        });
        // Who shares much less than the best is none of those who matter.
        shared.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        shared.truncate(MAX_SHARED);
        shared.shrink_to_fit();
        shared
    }

    /// How surprising a word is in a call that has it of itself, in bits.
    fn by_itself(&self, word: u64) -> f64 {
        match self.unasked.of(word) {
            0 => f64::INFINITY,
            unasked => (f64::from(self.calls) / f64::from(unasked)).log2(),
        }
    }
}
