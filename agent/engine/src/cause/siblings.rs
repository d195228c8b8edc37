//! Calls of a process that have rare words in common, an id of its own making or a key that it looked up: such
//! are mostly for the same request, whichever that is, so that what is known of one speaks for the others.

use super::{
    evidence::Sibling,
    habits::Clue,
    index::{Counts, USUAL},
    tokens::Token,
};
use crate::{Budget, graph::NodeId};
use rustc_hash::FxHashMap;
use std::collections::VecDeque;

/// Most calls of a process that another one is compared with: those of its last moments.
const MAX_RECENT: usize = 512;
/// Most calls that speak for one: more say no more.
pub const MAX_SIBLINGS: usize = 8;
/// Bits that common words must have beyond those by which some of the recent calls share them by chance.
const CLEAR: f64 = 7.0;
/// Bytes that a word takes: its hash with the call, and its place among the holders.
const WORD: usize = 96;

/// See the module.
#[derive(Debug, Default)]
pub struct Siblings {
    /// In the order of their begin.
    recent: VecDeque<Recent>,
    holders: FxHashMap<u64, Vec<NodeId>>,
    /// In how many calls each word was.
    in_calls: Counts,
}

#[derive(Debug)]
struct Recent {
    call: NodeId,
    /// The thread that made it.
    tid: u32,
    words: Box<[u64]>,
    /// What it says in all, in one number.
    whole: u64,
}

impl Siblings {
    /// The recent calls that share rare words with one, each with what that says: [`Clue::Twin`] of one that is the very
    /// same, which another request may have made as well.
    pub fn find(&self, words: &[Token]) -> Vec<Sibling> {
        let mut shared: Vec<(NodeId, f64)> = Vec::new();
        for token in words.iter().filter(|token| token.is_rare()) {
            let Some(holders) = self.holders.get(&token.hash) else { continue };
            let bits = token.bits - USUAL * f64::from(self.in_calls.of(token.hash).max(1)).log2();
            if bits <= 0.0 {
                continue;
            }
            for call in holders.iter().rev().take(MAX_SIBLINGS) {
                match shared.iter_mut().find(|(other, _)| other == call) {
                    Some((_, sum)) => *sum += bits,
                    None => shared.push((*call, bits)),
                }
            }
        }
        let enough = CLEAR + f64::from(u32::try_from(self.recent.len()).unwrap_or(u32::MAX).max(1)).log2();
        shared.retain(|(_, bits)| *bits > enough);
        shared.sort_unstable_by_key(|(call, _)| std::cmp::Reverse(*call));
        shared.truncate(MAX_SIBLINGS);
        let whole = whole(words);
        let sibling = |(call, _)| {
            let at = self.recent.binary_search_by_key(&call, |recent| recent.call).ok()?;
            let Recent { tid, whole: other, .. } = self.recent[at];
            let clue = if other == whole { Clue::Twin } else { Clue::Sibling };
            Some(Sibling { call, clue, tid, said: None })
        };
        shared.into_iter().filter_map(sibling).collect()
    }

    /// A call that later ones are compared with. `held` counts the words that are kept.
    pub fn add(&mut self, (call, tid): (NodeId, u32), words: &[Token], held: &mut Budget) {
        let rare: Box<[u64]> = words.iter().filter(|token| token.is_rare()).map(|token| token.hash).collect();
        rare.iter().for_each(|word| self.in_calls.add(*word));
        if self.recent.len() >= MAX_RECENT || held.is_exceeded() {
            self.forget_oldest(held);
        }
        if rare.is_empty() || held.is_exceeded() {
            return;
        }
        held.settle(0, rare.len() * WORD);
        for word in &rare {
            self.holders.entry(*word).or_default().push(call);
        }
        self.recent.push_back(Recent { call, tid, words: rare, whole: whole(words) });
    }

    /// Whether there is nothing to compare with.
    pub fn is_empty(&self) -> bool {
        self.recent.is_empty()
    }

    /// Nothing more is to be compared.
    pub fn clear(&mut self, held: &mut Budget) {
        while !self.recent.is_empty() {
            self.forget_oldest(held);
        }
    }

    fn forget_oldest(&mut self, held: &mut Budget) {
        let Some(Recent { call, words, .. }) = self.recent.pop_front() else { return };
        held.settle(words.len() * WORD, 0);
        for word in words {
            if let Some(holders) = self.holders.get_mut(&word) {
                holders.retain(|holder| *holder != call);
                if holders.is_empty() {
                    self.holders.remove(&word);
                }
            }
        }
    }
}

fn whole(words: &[Token]) -> u64 {
    words.iter().fold(0, |whole, token| whole.rotate_left(5) ^ token.hash)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::node_id;

    fn token(hash: u64, bits: f64) -> Token {
        Token { hash, bits }
    }

    #[test]
    fn calls_with_a_rare_word_in_common() {
        let (mut siblings, mut held) = (Siblings::default(), Budget::new(1 << 20));
        let words = |id: u64, number: u64| [token(7, 4.0), token(100 + id, 30.0), token(number, 3.3)];
        for (n, id) in [1, 2, 1].into_iter().enumerate() {
            siblings.add((node_id(n as u64), 5), &words(id, n as u64), &mut held);
        }
        let found = |words: &[Token]| {
            siblings.find(words).iter().map(|found| (found.call, found.clue)).collect::<Vec<_>>()
        };
        assert_eq!(found(&words(1, 5)), [(node_id(2), Clue::Sibling), (node_id(0), Clue::Sibling)]);
        assert_eq!(found(&words(2, 1)), [(node_id(1), Clue::Twin)], "the same call once more");
        assert_eq!(found(&words(3, 0)), []);
        siblings.clear(&mut held);
        assert_eq!((held.held(), siblings.holders.len()), (0, 0));
    }

    #[test]
    fn words_that_many_calls_have_make_none_and_all_is_bounded() {
        let (mut siblings, mut held) = (Siblings::default(), Budget::new(1 << 20));
        for n in 0..3000 {
            siblings.add((node_id(n), 5), &[token(1, 14.0), token(n + 10, 30.0)], &mut held);
        }
        assert!(siblings.find(&[token(1, 14.0), token(5, 30.0)]).is_empty());
        assert_eq!(siblings.recent.len(), MAX_RECENT);
        assert_eq!(held.held(), 2 * MAX_RECENT * WORD);
    }
}
