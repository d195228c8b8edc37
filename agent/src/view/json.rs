//! Spans and findings as JSON, one object a line: a contract with programs.
//!
//! - `{"type":"ready"}` once every hook is attached (live only), with the names of those that this kernel
//!   refused in `hooks_missing`, none as a rule;
//! - `{"type":"span",..}` for every span that was asked for. Ids are hexadecimal strings, times decimal
//!   strings, `parent_span_id` is null for a root, `status.code` is `UNSET` or `ERROR` with a `message`;
//! - `{"type":"finding",..}` for every finding that was asked for; one that grew worse comes again, with the same
//!   rule and span. `trace_id` and `span_id` are null where it belongs to no span, `evidence` is a list of objects
//!   with `time_unix_nano` and `text`;
//! - `{"type":"stats",..}` at the end. `findings` and `spans` are all, `_shown` those that were asked for; `export`
//!   is of spans, `export_findings` of findings.
//!
//! Lines are handed over at the end of every batch. Fields may be added; none changes its meaning.

mod line;

use super::View;
use crate::{
    export::{Deliveries, Delivery},
    filter::Asked,
    summary::Summary,
};
use line::{FindingLine, SpanLine};
use serde::Serialize;
use serde_json::{Map, Value as Json, json};
use std::{
    io::{self, Write},
    sync::Arc,
};
use tracer_common::lost;
use tracer_engine::{Finding, Span, Time};

/// Writes the contract.
pub struct JsonView<W> {
    out: W,
}

impl<W: Write> JsonView<W> {
    /// Writes to `out`, which may buffer: it is flushed at the end of every batch.
    pub fn new(out: W) -> Self {
        Self { out }
    }

    fn line(&mut self, object: &impl Serialize) -> io::Result<()> {
        serde_json::to_writer(&mut self.out, object)?;
        self.out.write_all(b"\n")
    }
}

impl<W: Write> View for JsonView<W> {
    fn ready(&mut self, missing: &[&str]) -> io::Result<()> {
        self.line(&ReadyLine { r#type: "ready", hooks_missing: missing })?;
        self.out.flush()
    }

    fn span(&mut self, span: &Arc<Span>, asked: Asked, _: Time) -> io::Result<()> {
        if asked == Asked::Yes { self.line(&SpanLine::new(span)) } else { Ok(()) }
    }

    fn finding(&mut self, finding: &Arc<Finding>, _: Time) -> io::Result<()> {
        self.line(&FindingLine::new(finding))
    }

    fn settle(&mut self, _: Time) -> io::Result<()> {
        self.out.flush()
    }

    fn finish(mut self: Box<Self>, summary: &Summary) -> io::Result<()> {
        self.line(&StatsLine::new(summary))?;
        self.out.flush()
    }
}

/// The first line.
#[derive(Serialize)]
struct ReadyLine<'a> {
    r#type: &'static str,
    hooks_missing: &'a [&'a str],
}

/// The last line.
#[derive(Serialize)]
struct StatsLine {
    r#type: &'static str,
    records: u64,
    lost: u64,
    lost_by_cause: Map<String, Json>,
    unused: Map<String, Json>,
    spans: u64,
    spans_shown: u64,
    findings: u64,
    findings_shown: u64,
    undescribed: u64,
    cpu_seconds: f64,
    rss_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    export: Option<Delivery>,
    #[serde(skip_serializing_if = "Option::is_none")]
    export_findings: Option<Delivery>,
}

impl StatsLine {
    fn new(summary: &Summary) -> Self {
        let Summary { engine, told, undescribed, export, cpu, rss_bytes } = summary;
        let by_cause = lost::NAMES.iter().zip(engine.lost_by_cause);
        let unused = engine.unused().into_iter();
        Self {
            r#type: "stats",
            records: engine.records,
            lost: engine.lost,
            lost_by_cause: by_cause.map(|(name, n)| ((*name).to_owned(), json!(n))).collect(),
            unused: unused.map(|(name, n)| (name.to_owned(), json!(n))).collect(),
            spans: engine.spans,
            spans_shown: told.spans,
            findings: engine.findings,
            findings_shown: told.findings,
            undescribed: *undescribed,
            cpu_seconds: cpu.as_secs_f64(),
            rss_bytes: *rss_bytes,
            export: export.map(|Deliveries { spans, .. }| spans),
            export_findings: export.map(|Deliveries { findings, .. }| findings),
        }
    }
}

#[cfg(test)]
mod tests;
