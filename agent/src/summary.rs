//! What a run came to.

use crate::export::Deliveries;
use std::time::Duration;
use tracer_engine::{Severity, Stats};

/// What of all met the conditions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Spans.
    pub spans: u64,
    /// Findings; one that grew worse counts each time.
    pub findings: u64,
    /// The worst severity of these findings.
    pub worst: Option<Severity>,
}

/// The figures that every run ends with.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    /// The engine's counters.
    pub engine: Stats,
    /// What met the conditions.
    pub told: Told,
    /// Processes that nothing could be read of in time: their spans go without what `/proc` would say.
    pub undescribed: u64,
    /// What became of what was to be exported; nothing when nothing was.
    pub export: Option<Deliveries>,
    /// CPU time of this process.
    pub cpu: Duration,
    /// Resident memory of this process, the ring buffer's pages included.
    pub rss_bytes: u64,
}

impl Summary {
    /// The summary as of now, with this process's own costs.
    pub fn now(engine: Stats, told: Told, undescribed: u64, export: Option<Deliveries>) -> Self {
        Self { engine, told, undescribed, export, cpu: cpu_time(), rss_bytes: rss_bytes() }
    }

    /// Whether something was to be exported and nothing arrived.
    pub fn nothing_delivered(&self) -> bool {
        self.export.as_ref().is_some_and(Deliveries::nothing_arrived)
    }
}

fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}

/// 0 where `/proc` cannot be read.
fn rss_bytes() -> u64 {
    procfs::process::Process::myself()
        .and_then(|me| me.statm())
        .map_or(0, |statm| statm.resident * procfs::page_size())
}
