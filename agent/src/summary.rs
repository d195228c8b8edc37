//! What a run came to.

use crate::export::Delivery;
use std::time::Duration;
use tracer_engine::Stats;

/// The figures that every run ends with.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    /// The engine's counters.
    pub engine: Stats,
    /// Spans that met the conditions.
    pub shown: u64,
    /// Processes that nothing could be read of in time: their spans go without what `/proc` would say.
    pub undescribed: u64,
    /// What became of the spans that were to be exported; nothing when none were.
    pub export: Option<Delivery>,
    /// CPU time of this process.
    pub cpu: Duration,
    /// Resident memory of this process, the ring buffer's pages included.
    pub rss_bytes: u64,
}

impl Summary {
    /// The summary as of now, with this process's own costs.
    pub fn now(engine: Stats, shown: u64, undescribed: u64, export: Option<Delivery>) -> Self {
        Self { engine, shown, undescribed, export, cpu: cpu_time(), rss_bytes: rss_bytes() }
    }

    /// Whether spans were to be exported and not one arrived.
    pub fn nothing_delivered(&self) -> bool {
        self.export.as_ref().is_some_and(|d| d.exported == 0 && d.failed + d.dropped > 0)
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
