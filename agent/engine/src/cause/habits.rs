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
/// Counts are halved when they reach this, so that what a process did long ago fades.
const MEMORY: f64 = 512.0;

impl Clue {
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
            Self::OwnThread | Self::Connect | Self::Begun => (19.0, 1.0),
            // Unlearned sooner than what it is held against.
            Self::Sibling => (2.85, 0.15),
            Self::AfterExit => (9.0, 1.0),
            Self::Woken => (2.0, 1.0),
            Self::Woke => (40.0, 2.0),
            Self::LastRead | Self::NextAnswer => (3.0, 0.9),
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
}

impl Habits {
    /// A clue turned out right or wrong.
    pub fn learn(&mut self, clue: Clue, right: bool) {
        self.learn_likely(clue, f64::from(u8::from(right)));
    }

    /// A clue was right with this probability.
    pub fn learn_likely(&mut self, clue: Clue, right: f64) {
        let (hits, misses) = &mut self.seen[clue as usize];
        (*hits, *misses) = (*hits + right, *misses + (1.0 - right));
        if *hits + *misses >= MEMORY {
            (*hits, *misses) = (*hits / 2.0, *misses / 2.0);
        }
    }

    /// Whether work goes from thread to thread: see [`Workload::moves`](super::Workload::moves).
    pub fn move_work(&self) -> bool {
        self.reliability(Clue::OwnThread) < STAYS
    }

    /// How often the clue is right here, more than 0 and less than 1. That a thread works on one request at a time was
    /// taken for granted until it showed otherwise.
    pub fn reliability(&self, clue: Clue) -> f64 {
        let clue = match clue {
            Clue::OwnAnswer if self.move_work() => Clue::LaterAnswer,
            clue => clue,
        };
        let ((hits, misses), (right, wrong)) = (self.seen[clue as usize], clue.prior());
        ((hits + right) / (hits + misses + right + wrong)).min(clue.at_most())
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
