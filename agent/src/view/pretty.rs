//! Traces as trees, for a person in an incident.
//!
//! A trace is printed when its root has arrived and nothing more came for a moment: most often that is one
//! moment after the response. A trace whose root is elsewhere (the caller was not traced) waits longer. Of
//! a trace only those with a span that was asked for are shown, then whole.
//!
//! A finding is printed when it is told, with its trace below, which is held for it: a finding takes a moment longer
//! than its span, as its evidence may still grow.

mod finding;
mod line;
mod tree;
mod words;

use super::View;
use crate::{
    attributes::strings,
    export::{Deliveries, Delivery},
    filter::Asked,
    summary::Summary,
};
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
/// Quiet for so long, one that nobody asked for, or whose finding was announced by a span and not yet told: what the
/// engine waits for more evidence, and as much for what begins late.
const FINDING_MS: u64 = 4000;
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
    asked: bool,
    rooted: bool,
    /// A span says that there is a finding, which is still to be told.
    announced: bool,
    last: Time,
}

impl Waiting {
    /// Whether it is taken for complete.
    fn is_complete(&self, now: Time) -> bool {
        let wait = if self.rooted { QUIET_MS } else { ROOTLESS_MS };
        now >= self.last.plus_ms(wait)
    }

    fn is_due(&self, now: Time) -> bool {
        let waits_for_finding = !self.asked || self.announced;
        self.is_complete(now) && (!waits_for_finding || now >= self.last.plus_ms(FINDING_MS))
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
    fn release(&mut self, chosen: impl Fn(&TraceId, &Waiting) -> bool, flat: bool) -> io::Result<()> {
        let mut out: Vec<Waiting> =
            self.traces.extract_if(|id, trace| chosen(id, trace)).map(|(_, t)| t).collect();
        out.sort_by_key(Waiting::begin);
        for trace in out {
            self.waiting.settle(trace.bytes, 0);
            if !trace.asked {
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

    /// What nobody asked for does not wait for a finding any more; if that is not enough, half of what waits leaves
    /// as it is, the longest quiet first.
    fn make_room(&mut self, now: Time) -> io::Result<()> {
        self.release(|_, trace| !trace.asked && trace.is_complete(now), false)?;
        if !self.waiting.is_exceeded() {
            return Ok(());
        }
        let mut times: Vec<Time> = self.traces.values().map(|trace| trace.last).collect();
        let (_, &mut middle, _) = times.select_nth_unstable(self.traces.len() / 2);
        self.release(|_, trace| trace.last <= middle, true)
    }
}

impl<W: Write> View for PrettyView<W> {
    fn ready(&mut self, _: &[&str]) -> io::Result<()> {
        Ok(())
    }

    fn span(&mut self, span: &Arc<Span>, asked: Asked, now: Time) -> io::Result<()> {
        let trace = self.traces.entry(span.trace_id).or_default();
        trace.asked |= asked != Asked::No;
        trace.announced |= !strings(&**span, "tracer.finding.rules").is_empty();
        trace.rooted |= span.parent_span_id.is_none();
        trace.last = now;
        trace.spans.push(span.clone());
        let before = trace.bytes;
        trace.bytes += span.footprint();
        self.waiting.settle(before, trace.bytes);
        while self.waiting.is_exceeded() {
            self.make_room(now)?;
        }
        Ok(())
    }

    fn finding(&mut self, finding: &Arc<Finding>, now: Time) -> io::Result<()> {
        for line in self.style.finding(finding) {
            writeln!(self.out, "{line}")?;
        }
        let Some((trace_id, _)) = finding.span else { return Ok(()) };
        if let Some(trace) = self.traces.get_mut(&trace_id) {
            (trace.asked, trace.announced) = (true, false);
        }
        self.release(|id, trace| *id == trace_id && trace.is_due(now), false)
    }

    fn settle(&mut self, now: Time) -> io::Result<()> {
        if now >= self.look_due {
            self.look_due = now.plus_ms(LOOK_MS);
            self.release(|_, trace| trace.is_due(now), false)?;
        }
        self.out.flush()
    }

    fn finish(mut self: Box<Self>, summary: &Summary) -> io::Result<()> {
        self.release(|_, _| true, false)?;
        if self.flat > 0 {
            writeln!(self.out, "{} spans were shown outside their tree: too many waited at once", self.flat)?;
        }
        writeln!(self.out, "{}", self.style.dim(&totals(summary)))?;
        self.out.flush()
    }
}

/// The figures of a run in one line.
pub fn totals(summary: &Summary) -> String {
    let Summary { engine, told, undescribed, export, cpu, rss_bytes } = summary;
    let counted = |n: u64, what: &str, told: u64| {
        let plural = if n == 1 { "" } else { "s" };
        let filtered = if told == n { String::new() } else { format!(" ({told} match the filters)") };
        format!(", {n} {what}{plural}{filtered}")
    };
    let mut text = format!("{} records", engine.records);
    text += &counted(engine.spans, "span", told.spans);
    text += &counted(engine.findings, "finding", told.findings);
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
    if let Some(Deliveries { spans, findings }) = export {
        let delivered =
            |d: &Delivery| format!("exported {}, failed {}, dropped {}", d.exported, d.failed, d.dropped);
        text += &format!("; {}", delivered(spans));
        if *findings != Delivery::default() {
            text += &format!("; findings {}", delivered(findings));
        }
    }
    text += &format!("; {:.2} s of CPU, {} MB", cpu.as_secs_f64(), rss_bytes / 1_000_000);
    text
}

#[cfg(test)]
mod tests;
