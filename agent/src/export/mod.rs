//! Spans and findings to a receiver, by OTLP.
//!
//! The pipeline hands them to queues of bounded size and goes on; threads of their own take them from there. What
//! the receiver does not take in time is dropped and counted: tracing never waits for it. The two have nothing in
//! common but the end: a receiver that takes no findings costs no span.

mod client;
mod convert;
mod http;
mod outlet;
mod settings;
mod signal;
mod worker;

use crate::{Usage, trace::say};
use anyhow::Result;
use outlet::Outlet;
use settings::Settings;
use signal::Signal;
use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};
use tracer_engine::{Finding, Span};

/// How long the end of a run waits for the last items to be delivered.
const FLUSH_DEADLINE: Duration = Duration::from_secs(5);

/// How long it waits without a word.
const FLUSH_QUIETLY: Duration = Duration::from_millis(700);

/// What became of the items that were to be exported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Delivery {
    /// Taken by the receiver.
    pub exported: u64,
    /// Sent, but not taken by the receiver, all retries included; or still unsent at the end.
    pub failed: u64,
    /// Not sent, since the queue was full.
    pub dropped: u64,
}

/// What became of all that was to be exported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deliveries {
    /// Of spans.
    pub spans: Delivery,
    /// Of findings.
    pub findings: Delivery,
}

impl Deliveries {
    /// Whether there was something, and nothing of it arrived.
    pub fn nothing_arrived(&self) -> bool {
        let both = [self.spans, self.findings];
        both.iter().all(|d| d.exported == 0) && both.iter().any(|d| d.failed + d.dropped > 0)
    }
}

/// What to do when the queue is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// Drop the item: live, tracing must go on.
    Drop,
    /// Wait, as long as the receiver takes items at all: on replay, time is ours.
    Wait,
}

/// The ways to the receivers.
#[derive(Debug)]
pub struct Exporter {
    spans: Outlet<Span>,
    findings: Outlet<Finding>,
}

impl Exporter {
    /// Starts the exporter as the `OTEL_EXPORTER_OTLP_*` variables say. Nothing is connected yet.
    ///
    /// # Errors
    /// [`Usage`] when a variable makes no sense, or a certificate cannot be read.
    pub fn start(when_full: WhenFull) -> Result<Self> {
        Self::with_variables(when_full, &|name| std::env::var(name).ok())
    }

    fn with_variables(when_full: WhenFull, variables: &dyn Fn(&str) -> Option<String>) -> Result<Self> {
        let spans = Settings::read(&Span::NAMES, variables).map_err(Usage)?;
        let findings = Settings::read(&Finding::NAMES, variables).map_err(Usage)?;
        // One variable may be for both; once is enough.
        let mut said = BTreeSet::new();
        for (variable, remark) in [&spans, &findings].into_iter().flat_map(Settings::without_effect) {
            if said.insert(variable.name.clone()) {
                say(&format!("tracer: {remark}"));
            }
        }
        Ok(Self { spans: Outlet::start(when_full, &spans)?, findings: Outlet::start(when_full, &findings)? })
    }

    /// Gives a span to the exporter, or drops it.
    pub fn span(&mut self, span: &Arc<Span>) {
        self.spans.send(span);
    }

    /// Gives a finding to the exporter, or drops it.
    pub fn finding(&mut self, finding: &Arc<Finding>) {
        self.findings.send(finding);
    }

    /// Waits until all that was sent is delivered, at most [`FLUSH_DEADLINE`].
    pub fn finish(self) -> Deliveries {
        self.finish_within(FLUSH_DEADLINE)
    }

    fn finish_within(self, deadline: Duration) -> Deliveries {
        let (soon, deadline) = (Instant::now() + FLUSH_QUIETLY, Instant::now() + deadline);
        let (spans, findings) = (self.spans.close(), self.findings.close());
        let delivered = |until| spans.is_done_by(until) && findings.is_done_by(until);
        if !delivered(soon.min(deadline)) {
            say("tracer: delivering what is left, for some seconds at most; Ctrl-C ends that at once");
            if !delivered(deadline) {
                say("tracer: the receiver did not take it in time: what is left is undelivered");
            }
        }
        Deliveries { spans: spans.finish(deadline), findings: findings.finish(deadline) }
    }
}

#[cfg(test)]
mod tests;
