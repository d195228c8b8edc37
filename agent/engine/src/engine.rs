//! The engine's surface.

use crate::{Config, Input, Output, Time};
use std::collections::VecDeque;

/// Counters of what the engine saw and could not use. All only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Records that entered.
    pub records: u64,
    /// Records that the kernel side could not deliver, all causes.
    pub lost: u64,
    /// The same by cause.
    pub lost_by_cause: [u64; tracer_common::lost::CAUSES as usize],
    /// Spans that left.
    pub spans: u64,
}

/// Inputs in, spans out.
#[derive(Debug)]
pub struct Engine {
    config: Config,
    outputs: VecDeque<Output>,
    stats: Stats,
}

impl Engine {
    /// An engine that has seen nothing.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self { config, outputs: VecDeque::new(), stats: Stats::default() }
    }

    /// Takes one input. `now` never goes back (an earlier one counts as the latest).
    pub fn handle(&mut self, input: Input<'_>, now: Time) {
        let _ = (input, now, &self.config);
        self.stats.records += 1;
    }

    /// The next thing that follows from the inputs so far.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Input::Tick`] is due, if nothing else comes before.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        None
    }

    /// Ends all that is open, as if its time was up: for the end of a recording or of a run.
    pub fn finish(&mut self, now: Time) {
        let _ = now;
    }

    /// The counters.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.stats
    }
}
