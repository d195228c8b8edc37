//! Traces as trees, for a person in an incident.
//!
//! A trace is printed when its root has arrived and nothing more came for a moment: most often that is one
//! moment after the response. A trace whose root is elsewhere (the caller was not traced) waits longer. Of
//! a trace only those with a span that was asked for are shown, then whole.

mod line;
mod tree;

use super::View;
use crate::summary::Summary;
use jiff::tz::TimeZone;
use line::Style;
use std::{
    collections::HashMap,
    io::{self, Write},
    sync::Arc,
};
use tracer_common::lost;
use tracer_engine::{Budget, Finding, Span, Time, TraceId};

/// Quiet for so long, a trace with a root is taken for complete.
const QUIET_MS: u64 = 300;
/// Quiet for so long, one without a root: the root may still come, with the end of the whole request.
const ROOTLESS_MS: u64 = 1000;
/// How often waiting traces are looked through.
const LOOK_MS: u64 = 50;
/// Bytes of spans that wait, all traces together: ten thousand of everyday size. At 5,000 requests of four
/// spans a second it is less than the wait, but nobody reads that.
const MAX_WAITING: usize = 16 << 20;

/// Prints trees.
pub struct PrettyView<W> {
    out: W,
    style: Style,
    traces: HashMap<TraceId, Waiting>,
    waiting: Budget,
    look_due: Time,
    flat: u64,
}

/// The spans of a trace so far.
#[derive(Debug, Default)]
struct Waiting {
    spans: Vec<Arc<Span>>,
    bytes: usize,
    matched: bool,
    rooted: bool,
    last: Time,
}

impl Waiting {
    fn is_due(&self, now: Time) -> bool {
        let wait = if self.rooted { QUIET_MS } else { ROOTLESS_MS };
        now >= self.last.plus_ms(wait)
    }

    fn begin(&self) -> u64 {
        self.spans.iter().map(|span| span.start_unix_nano).min().unwrap_or_default()
    }
}

impl<W: Write> PrettyView<W> {
    /// Prints to `out`, which may buffer, with times of `zone`.
    pub fn new(out: W, color: bool, zone: TimeZone) -> Self {
        let style = Style { color, zone };
        let waiting = Budget::new(MAX_WAITING);
        Self { out, style, traces: HashMap::new(), waiting, look_due: Time(0), flat: 0 }
    }

    /// Takes the traces out that are `chosen` and prints them, the earliest first.
    fn release(&mut self, chosen: impl Fn(&Waiting) -> bool, flat: bool) -> io::Result<()> {
        let mut out: Vec<Waiting> =
            self.traces.extract_if(|_, trace| chosen(trace)).map(|(_, t)| t).collect();
        out.sort_by_key(Waiting::begin);
        for trace in out {
            self.waiting.settle(trace.bytes, 0);
            if !trace.matched {
                continue;
            }
            let lines = if flat { tree::flat(&trace.spans) } else { tree::tree(&trace.spans) };
            self.flat += if flat { lines.len() as u64 } else { 0 };
            for line in lines {
                writeln!(self.out, "{}", self.style.line(&line))?;
            }
        }
        Ok(())
    }

    /// Half of what waits leaves as it is, the longest quiet first.
    fn make_room(&mut self) -> io::Result<()> {
        let mut times: Vec<Time> = self.traces.values().map(|trace| trace.last).collect();
        let (_, &mut middle, _) = times.select_nth_unstable(self.traces.len() / 2);
        self.release(|trace| trace.last <= middle, true)
    }
}

impl<W: Write> View for PrettyView<W> {
    fn ready(&mut self, _: &[&str]) -> io::Result<()> {
        Ok(())
    }

    fn span(&mut self, span: &Arc<Span>, matched: bool, now: Time) -> io::Result<()> {
        let trace = self.traces.entry(span.trace_id).or_default();
        trace.matched |= matched;
        trace.rooted |= span.parent_span_id.is_none();
        trace.last = now;
        trace.spans.push(span.clone());
        let before = trace.bytes;
        trace.bytes += span.footprint();
        self.waiting.settle(before, trace.bytes);
        while self.waiting.is_exceeded() {
            self.make_room()?;
        }
        Ok(())
    }

    fn finding(&mut self, finding: &Arc<Finding>, _: Time) -> io::Result<()> {
        let Finding { rule, severity, confidence, title, .. } = &**finding;
        writeln!(self.out, "! {} {} {rule}: {title}", severity.name(), confidence.name())?;
        finding.evidence.iter().try_for_each(|fact| writeln!(self.out, "    {}", fact.text))
    }

    fn settle(&mut self, now: Time) -> io::Result<()> {
        if now >= self.look_due {
            self.look_due = now.plus_ms(LOOK_MS);
            self.release(|trace| trace.is_due(now), false)?;
        }
        self.out.flush()
    }

    fn finish(mut self: Box<Self>, summary: &Summary) -> io::Result<()> {
        self.release(|_| true, false)?;
        if self.flat > 0 {
            writeln!(self.out, "{} spans were shown outside their tree: too many waited at once", self.flat)?;
        }
        writeln!(self.out, "{}", self.style.dim(&totals(summary)))?;
        self.out.flush()
    }
}

/// The figures of a run in one line.
pub fn totals(summary: &Summary) -> String {
    let Summary { engine, shown, undescribed, export, cpu, rss_bytes } = summary;
    let mut text = format!("{} records, {} spans", engine.records, engine.spans);
    if *shown != engine.spans {
        text += &format!(" ({shown} match the filters)");
    }
    text += &format!(", {} lost", engine.lost);
    let causes: Vec<_> = lost::NAMES
        .iter()
        .zip(engine.lost_by_cause)
        .filter(|(_, n)| *n > 0)
        .map(|(name, n)| format!("{n} {name}"))
        .collect();
    if !causes.is_empty() {
        text += &format!(" ({})", causes.join(", "));
    }
    for (name, n) in engine.unused().into_iter().filter(|(name, n)| *n > 0 && *name != "bytes_unseen") {
        text += &format!(", {n} {}", name.replace('_', " "));
    }
    if *undescribed > 0 {
        text += &format!(", {undescribed} processes undescribed");
    }
    if let Some(d) = export {
        text += &format!("; exported {}, failed {}, dropped {}", d.exported, d.failed, d.dropped);
    }
    text += &format!("; {:.2} s of CPU, {} MB", cpu.as_secs_f64(), rss_bytes / 1_000_000);
    text
}

#[cfg(test)]
mod tests;
