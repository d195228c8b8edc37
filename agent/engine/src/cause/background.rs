//! What a process calls of itself: polls, health checks, refreshes, which a request has not caused though one may
//! be open at the moment.

use super::tokens::Token;
use rustc_hash::FxHashMap;

/// Most kinds of call that are known; past it only those are kept that were made while no request was open.
const MAX_KINDS: usize = 256;
/// A kind of call that was never made while no request was open is rarely made so.
const SELDOM: (f64, f64) = (0.1, 20.0);

/// See the module.
#[derive(Debug, Default)]
pub struct Background(FxHashMap<u64, Counts>);

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    /// Made while no request was open.
    alone: u32,
    /// Found to be for a request, by more than that it was open.
    caused: u32,
}

/// What is called, whatever the ids in it: calls of the same form with the same common words are of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind(u64);

impl Kind {
    /// The kind of a call of this form with these words.
    pub fn of(form: u64, words: &[Token]) -> Self {
        let common = words.iter().filter(|token| !token.is_rare());
        Self(common.fold(form, |kind, token| kind ^ token.hash))
    }

    /// The same, of a thread that has a request of its own to work on.
    pub fn of_its_own(self) -> Self {
        Self(self.0.rotate_left(1) ^ 1)
    }
}

impl Background {
    /// A call of this kind was made while no request was open.
    pub fn alone(&mut self, kind: Kind) {
        let counts = self.counts(kind);
        counts.alone = counts.alone.saturating_add(1);
    }

    /// A call of this kind was found to be for a request.
    pub fn caused(&mut self, kind: Kind) {
        let counts = self.counts(kind);
        counts.caused = counts.caused.saturating_add(1);
    }

    /// How probably a call of this kind is for no request, though one is open.
    pub fn probability(&self, kind: Kind) -> f64 {
        let Counts { alone, caused } = self.0.get(&kind.0).copied().unwrap_or_default();
        let (alone, all) = (f64::from(alone), f64::from(alone.saturating_add(caused)));
        (alone + SELDOM.0) / (all + SELDOM.1)
    }

    fn counts(&mut self, kind: Kind) -> &mut Counts {
        if self.0.len() >= MAX_KINDS && !self.0.contains_key(&kind.0) {
            self.0.retain(|_, counts| counts.alone > 0);
            if self.0.len() >= MAX_KINDS {
                self.0.clear();
            }
        }
        self.0.entry(kind.0).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_called_without_a_request_is_likely_to_be_called_so_again() {
        let word = |hash, bits| Token { hash, bits };
        let kind = Kind::of(0, &[word(1, 5.0), word(2, 30.0)]);
        assert_eq!(kind, Kind::of(0, &[word(1, 5.0), word(3, 30.0)]), "ids do not matter");
        assert_ne!(kind, Kind::of(1, &[word(1, 5.0)]), "the form does");
        let mut background = Background::default();
        assert!(background.probability(kind) < 0.05);
        (0..100).for_each(|_| background.alone(kind));
        assert!(background.probability(kind) > 0.7);
        (0..1000).for_each(|_| background.caused(kind));
        assert!(background.probability(kind) < 0.2);
        assert!(background.probability(Kind::of(0, &[word(9, 5.0)])) < 0.05);
        (0..3 * MAX_KINDS as u64).for_each(|form| background.caused(Kind::of(form, &[])));
        assert!(background.0.len() <= MAX_KINDS);
        assert!(background.probability(kind) > 0.05, "what is called alone is not forgotten for what is not");
    }
}
