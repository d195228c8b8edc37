//! How a process works, learned while it works: how often each clue was right there.

/// What may point from a call to the request that caused it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clue {
    /// The thread has read this request, and has never had two open at once.
    OwnThread,
    /// The thread has read no request that is open, but the answer to another call for this one.
    Handed,
    /// The thread, which reads no requests itself, was begun by one that works on this request.
    Begun,
    /// The same, but woken by such a one.
    Woken,
    /// The thread began the call's connection while it was busy with this request.
    Connect,
    /// The thread has read the request, or the answer to another call for it, and did nothing else since.
    LastRead,
    /// The same, but it did other things since.
    EarlierRead,
    /// The thread, which never has two requests open at once, answered this request next after the call.
    OwnAnswer,
    /// After the call the thread woke the one that works on this request.
    Woke,
    /// The same, but it made other calls in between.
    WokeLater,
    /// The thread's next act after it read the call's answer was to answer this request.
    NextAnswer,
    /// It answered this request next, but did other things before.
    LaterAnswer,
    /// The process answered this request next after the child had ended.
    AfterExit,
    /// Another call with the same rare words is for this request.
    Sibling,
    /// The very same call is.
    Twin,
}

/// Number of [`Clue`]s.
const CLUES: usize = 15;
/// How often threads must answer what they have read themselves for work to stay where it is.
const STAYS: f64 = 0.8;
/// A clue that is right so often here is a habit of the process.
pub const SEQUENTIAL: f64 = 0.97;
/// So many tests that a wrong clue would have failed say more than clues that contradict each other.
const TESTED: f64 = 4.0;
/// Clues that are independent and right agree as often as that at least.
const AGREE: f64 = 0.8;
/// So many witnesses show how right a clue is.
const WITNESSED: f64 = 64.0;
/// What the order of calls and answers says weighs as much as so many cases at most.
const ORDERED: f64 = 24.0;
/// Counts are halved when they reach this, so that what a process did long ago fades.
const MEMORY: f64 = 512.0;

impl Clue {
    /// Whether it is the mere order of what a thread does that has several requests open.
    pub const fn is_order(self) -> bool {
        matches!(self, Self::LastRead | Self::EarlierRead | Self::Connect | Self::NextAnswer)
    }

    /// How far it is believed by itself, however often it was right: a thread may wake another one for many
    /// reasons, and may go on with other work without being woken.
    const fn at_most(self) -> f64 {
        match self {
            Self::Handed | Self::Woken | Self::WokeLater => 0.89,
            Self::Woke | Self::Sibling => 0.99,
            _ => 0.999,
        }
    }

    /// How often it is right before anything is known of the process, as (right, wrong) in cases that
    /// weigh as much as seen ones.
    const fn prior(self) -> (f64, f64) {
        match self {
            Self::OwnThread => (19.0, 1.0),
            // A pool's thread may take what another one has left there.
            Self::Begun => (9.0, 1.0),
            // Unlearned sooner than what it is held against.
            Self::Sibling => (2.85, 0.15),
            Self::AfterExit => (9.0, 1.0),
            Self::Woken => (2.0, 1.0),
            Self::Woke => (40.0, 2.0),
            Self::LastRead | Self::Connect | Self::NextAnswer => (3.0, 0.9),
            Self::EarlierRead => (0.8, 1.2),
            Self::Handed | Self::Twin => (1.0, 1.0),
            Self::WokeLater => (1.0, 2.0),
            Self::OwnAnswer => (29.0, 1.0),
            Self::LaterAnswer => (0.6, 1.4),
        }
    }
}

/// See the module.
#[derive(Clone, Copy, Debug, Default)]
pub struct Habits {
    seen: [(f64, f64); CLUES],
    /// How many had a witness.
    witnessed: [f64; CLUES],
    /// How many that could have been wrong were tested.
    tested: [f64; CLUES],
    /// How often what was read last and what was answered next were the same, and of how many.
    agreed: (f64, f64),
    /// How often answers, and how often calls, stood directly behind the answer to a call, and of how many.
    directly: [(f64, f64); 2],
}

/// What a thread does that has several requests open.
#[derive(Clone, Copy, Debug)]
pub enum Act {
    /// It answers one.
    Answer,
    /// It begins a call.
    Call,
}

impl Habits {
    /// A clue turned out right or wrong.
    pub fn learn(&mut self, clue: Clue, right: bool) {
        self.learn_likely(clue, f64::from(u8::from(right)));
        self.witnessed[clue as usize] = (self.witnessed[clue as usize] + 1.0).min(MEMORY);
    }

    /// A clue was right with this probability.
    pub fn learn_likely(&mut self, clue: Clue, right: f64) {
        self.learn_by(clue, right, 1.0 - right);
        let seen = if self.are_contradictory() { 0.0 } else { 1.0 };
        let witnessed = &mut self.witnessed[clue as usize];
        *witnessed = (*witnessed + seen).min(MEMORY);
    }

    fn learn_by(&mut self, clue: Clue, right: f64, wrong: f64) {
        let (hits, misses) = &mut self.seen[clue as usize];
        (*hits, *misses) = ((*hits + right).max(0.0), *misses + wrong);
        if *hits + *misses >= MEMORY {
            (*hits, *misses) = (*hits / 2.0, *misses / 2.0);
        }
    }

    /// Whether work goes from thread to thread: see [`Workload::moves`](super::Workload::moves).
    pub fn move_work(&self) -> bool {
        self.reliability(Clue::OwnThread) < STAYS
    }

    /// A clue pointed to a request that can have caused the call, or cannot. By chance it would point to one that cannot with
    /// the probability `chance`; so as much was learned, whoever else knows.
    pub fn test(&mut self, clue: Clue, chance: f64, can: bool) {
        let tested = &mut self.tested[clue as usize];
        *tested = (*tested + chance).min(MEMORY);
        if can {
            self.learn_by(clue, chance, 0.0);
        } else {
            self.learn_by(clue, chance - 1.0, 1.0);
        }
    }

    /// What a thread had read last was what it answered next after the call, or was not.
    pub fn agree(&mut self, same: bool) {
        let (agreed, all) = &mut self.agreed;
        (*agreed, *all) = (*agreed + f64::from(u8::from(same)), *all + 1.0);
        if *all >= MEMORY {
            (*agreed, *all) = (*agreed / 2.0, *all / 2.0);
        }
    }

    /// Whether these two are so often not the same that it means little when they are.
    pub fn are_contradictory(&self) -> bool {
        let (agreed, all) = self.agreed;
        all >= TESTED && agreed < all * AGREE
    }

    /// A thread that has several requests open did something, `directly` behind the answer to a call or not.
    pub fn acts(&mut self, act: Act, directly: bool) {
        let (behind, all) = &mut self.directly[act as usize];
        (*behind, *all) = (*behind + f64::from(u8::from(directly)), *all + 1.0);
        if *all >= MEMORY {
            (*behind, *all) = (*behind / 2.0, *all / 2.0);
        }
    }

    /// How many of the answers that stand directly behind the answer to a call do so for more than chance, by how often
    /// the calls do that are made meanwhile; and what that weighs, in cases.
    fn by_order(&self, clue: Clue) -> (f64, f64) {
        let [(answers, all_answers), (calls, all_calls)] = self.directly;
        if clue != Clue::NextAnswer || answers.min(all_calls) < TESTED {
            return (0.0, 0.0);
        }
        let chance = (calls + 1.0) / (all_calls + 1.0) * all_answers / answers;
        // What could not have failed shows nothing: where all goes in step, each follows the one that it is not for.
        let tested = self.tested[clue as usize].min(1.0);
        ((1.0 - chance).max(0.0), answers.min(ORDERED) * tested)
    }

    /// Whether it need not be shown first that the clue tells anything here, or was: of mere order, and of threads that may
    /// be a pool's, chance makes two agree too.
    pub fn is_shown(&self, clue: Clue) -> bool {
        !(clue.is_order() || clue == Clue::Begun)
            || self.is_tested(clue)
            || !self.are_contradictory() && self.witnessed[clue as usize] >= TESTED
    }

    /// Whether what is believed of the clue comes from tests and order alone: others may be behind it now and then.
    pub fn is_guessed(&self, clue: Clue) -> bool {
        self.is_tested(clue) && self.witnessed[clue as usize] < WITNESSED
    }

    /// Whether it was tested so often that guesses would teach less.
    pub fn is_tested(&self, clue: Clue) -> bool {
        self.tested[clue as usize] >= TESTED || self.by_order(clue).1 >= TESTED
    }

    /// How often the clue is right here, more than 0 and less than 1. That a thread works on one request at a time was
    /// taken for granted until it showed otherwise.
    pub fn reliability(&self, clue: Clue) -> f64 {
        let clue = match clue {
            Clue::OwnAnswer if self.move_work() => Clue::LaterAnswer,
            clue => clue,
        };
        let ((hits, misses), (right, wrong)) = (self.seen[clue as usize], clue.prior());
        let (ordered, weight) = self.by_order(clue);
        let all = hits + misses + right + wrong + weight;
        ((hits + right + ordered * weight) / all).min(clue.at_most())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_misleads_is_believed_less() {
        let mut habits = Habits::default();
        let before = habits.reliability(Clue::LastRead);
        habits.learn(Clue::LastRead, false);
        assert!(habits.reliability(Clue::LastRead) < before);
        (0..10_000).for_each(|_| habits.learn(Clue::LastRead, true));
        assert!(habits.reliability(Clue::LastRead) > 0.99);
        (0..2_000).for_each(|_| habits.learn(Clue::LastRead, false));
        assert!(habits.reliability(Clue::LastRead) < 0.1, "what was long ago fades");
        assert_eq!(habits.reliability(Clue::OwnThread), 0.95, "each by itself");
    }
}
