//! Spans as JSON, one object a line: a contract with programs.
//!
//! - `{"type":"ready"}` once every hook is attached (live only), with the names of those that this kernel
//!   refused in `hooks_missing`, if there are any;
//! - `{"type":"span",..}` for every span that was asked for. Ids are hexadecimal strings, times decimal
//!   strings, `parent_span_id` is null for a root, `status.code` is `UNSET` or `ERROR` with a `message`;
//! - `{"type":"finding",..}` for every finding; one that grew worse comes again, with the same rule and span.
//!   `trace_id` and `span_id` are null where it belongs to no span;
//! - `{"type":"stats",..}` at the end.
//!
//! Lines are handed over at the end of every batch. Fields may be added; none changes its meaning.

use super::View;
use crate::{export::Delivery, summary::Summary};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value as Json, json};
use std::{
    io::{self, Write},
    sync::Arc,
};
use tracer_common::lost;
use tracer_engine::{Evidence, Finding, Span, SpanEvent, SpanKind, SpanLink, Status, Time, Value};

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

    fn span(&mut self, span: &Arc<Span>, matched: bool, _: Time) -> io::Result<()> {
        if matched { self.line(&SpanLine::new(span)) } else { Ok(()) }
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
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    hooks_missing: &'a [&'a str],
}

/// A span as the contract has it, in its order.
#[derive(Serialize)]
struct SpanLine<'a> {
    r#type: &'static str,
    trace_id: String,
    span_id: String,
    parent_span_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_state: Option<&'a str>,
    links: Vec<LinkLine<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    events: Vec<EventLine<'a>>,
    name: &'a str,
    kind: &'static str,
    start_unix_nano: String,
    end_unix_nano: String,
    status: StatusLine<'a>,
    resource: Pairs<'a, String>,
    attributes: Pairs<'a, &'static str>,
}

#[derive(Serialize)]
struct LinkLine<'a> {
    trace_id: String,
    span_id: String,
    attributes: Pairs<'a, &'static str>,
}

#[derive(Serialize)]
struct EventLine<'a> {
    name: &'a str,
    time_unix_nano: String,
    attributes: Pairs<'a, &'static str>,
}

/// A finding as the contract has it, in its order.
#[derive(Serialize)]
struct FindingLine<'a> {
    r#type: &'static str,
    rule: &'a str,
    severity: &'static str,
    confidence: &'static str,
    time_unix_nano: String,
    title: &'a str,
    trace_id: Option<String>,
    span_id: Option<String>,
    resource: Pairs<'a, String>,
    attributes: Pairs<'a, &'static str>,
    evidence: Vec<FactLine<'a>>,
}

#[derive(Serialize)]
struct FactLine<'a> {
    time_unix_nano: String,
    text: &'a str,
}

impl<'a> FindingLine<'a> {
    fn new(finding: &'a Finding) -> Self {
        let fact = |fact: &'a Evidence| FactLine {
            time_unix_nano: fact.time_unix_nano.to_string(),
            text: &fact.text,
        };
        Self {
            r#type: "finding",
            rule: finding.rule,
            severity: finding.severity.name(),
            confidence: finding.confidence.name(),
            time_unix_nano: finding.time_unix_nano.to_string(),
            title: &finding.title,
            trace_id: finding.span.map(|(trace, _)| trace.to_string()),
            span_id: finding.span.map(|(_, span)| span.to_string()),
            resource: Pairs(&finding.resource.attributes),
            attributes: Pairs(&finding.attributes),
            evidence: finding.evidence.iter().map(fact).collect(),
        }
    }
}

#[derive(Serialize)]
struct StatusLine<'a> {
    code: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    message: &'a str,
}

/// Attributes, as an object.
struct Pairs<'a, K>(&'a [(K, Value)]);

impl<'a> SpanLine<'a> {
    fn new(span: &'a Span) -> Self {
        let link = |link: &'a SpanLink| LinkLine {
            trace_id: link.trace_id.to_string(),
            span_id: link.span_id.to_string(),
            attributes: Pairs(&link.attributes),
        };
        let event = |event: &'a SpanEvent| EventLine {
            name: event.name,
            time_unix_nano: event.time_unix_nano.to_string(),
            attributes: Pairs(&event.attributes),
        };
        Self {
            r#type: "span",
            trace_id: span.trace_id.to_string(),
            span_id: span.span_id.to_string(),
            parent_span_id: span.parent_span_id.map(|id| id.to_string()),
            trace_state: span.trace_state.as_deref(),
            links: span.links.iter().map(link).collect(),
            events: span.events.iter().map(event).collect(),
            name: &span.name,
            kind: match span.kind {
                SpanKind::Server => "SERVER",
                SpanKind::Client => "CLIENT",
                SpanKind::Internal => "INTERNAL",
            },
            start_unix_nano: span.start_unix_nano.to_string(),
            end_unix_nano: span.end_unix_nano.to_string(),
            status: match &span.status {
                Status::Unset => StatusLine { code: "UNSET", message: "" },
                Status::Error(message) => StatusLine { code: "ERROR", message },
            },
            resource: Pairs(&span.resource.attributes),
            attributes: Pairs(&span.attributes),
        }
    }
}

impl<K: AsRef<str>> Serialize for Pairs<'_, K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key.as_ref(), Plain(value))))
    }
}

/// A value as JSON's own type.
struct Plain<'a>(&'a Value);

impl Serialize for Plain<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Str(text) => text.serialize(serializer),
            Value::Int(n) => n.serialize(serializer),
            Value::Float(n) => n.serialize(serializer),
            Value::Bool(b) => b.serialize(serializer),
            Value::Strings(texts) => texts.serialize(serializer),
        }
    }
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
    undescribed: u64,
    cpu_seconds: f64,
    rss_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    export: Option<Delivery>,
}

impl StatsLine {
    fn new(summary: &Summary) -> Self {
        let Summary { engine, shown, undescribed, export, cpu, rss_bytes } = summary;
        let by_cause = lost::NAMES.iter().zip(engine.lost_by_cause);
        let unused = engine.unused().into_iter();
        Self {
            r#type: "stats",
            records: engine.records,
            lost: engine.lost,
            lost_by_cause: by_cause.map(|(name, n)| ((*name).to_owned(), json!(n))).collect(),
            unused: unused.map(|(name, n)| (name.to_owned(), json!(n))).collect(),
            spans: engine.spans,
            spans_shown: *shown,
            findings: engine.findings,
            undescribed: *undescribed,
            cpu_seconds: cpu.as_secs_f64(),
            rss_bytes: *rss_bytes,
            export: *export,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::server_span;
    use std::time::Duration;
    use tracer_engine::{Stats, TraceId};

    fn text(act: impl FnOnce(&mut JsonView<&mut Vec<u8>>) -> io::Result<()>) -> String {
        let mut out = Vec::new();
        act(&mut JsonView::new(&mut out)).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_span_is_one_line_of_the_contract() {
        let mut span = server_span();
        span.links.push(SpanLink {
            trace_id: TraceId([0xab; 16]),
            span_id: span.span_id,
            attributes: vec![],
        });
        let line = text(|view| view.span(&Arc::new(span), true, Time(0)));
        assert!(line.starts_with("{\"type\":\"span\",\"trace_id\":") && line.ends_with("}\n"));
        assert_eq!(line.lines().count(), 1);
        let expected = json!({
            "type": "span",
            "trace_id": "01010101010101010101010101010101",
            "span_id": "0101010101010101",
            "parent_span_id": null,
            "links": [{"trace_id": "ab".repeat(16), "span_id": "0101010101010101", "attributes": {}}],
            "name": "GET",
            "kind": "SERVER",
            "start_unix_nano": "1772600767089000000",
            "end_unix_nano": "1772600767101400000",
            "status": {"code": "ERROR"},
            "resource": {"process.pid": 812, "service.name": "shop"},
            "attributes": {
                "client.address": "10.0.0.9", "client.port": 51234, "http.request.method": "GET",
                "http.response.status_code": 503, "server.address": "10.0.0.1", "server.port": 8080,
                "url.path": "/orders",
            },
        });
        assert_eq!(serde_json::from_str::<Json>(&line).unwrap(), expected);
    }

    #[test]
    fn what_was_not_asked_for_is_left_out() {
        assert_eq!(text(|view| view.span(&Arc::new(server_span()), false, Time(0))), "");
    }

    #[test]
    fn values_keep_their_types() {
        let plain = |value: &Value| serde_json::to_value(Plain(value)).unwrap();
        assert_eq!(plain(&Value::Bool(true)), json!(true));
        assert_eq!(plain(&Value::Float(0.5)), json!(0.5));
        assert_eq!(plain(&Value::Float(f64::NAN)), Json::Null);
        assert_eq!(plain(&Value::Strings(vec!["a".into(), "\u{1}".into()])), json!(["a", "\u{1}"]));
    }

    #[test]
    fn ready_and_stats_frame_a_run() {
        assert_eq!(text(|view| view.ready(&[])), "{\"type\":\"ready\"}\n");
        assert_eq!(
            text(|view| view.ready(&["sched_process_exec"])),
            "{\"type\":\"ready\",\"hooks_missing\":[\"sched_process_exec\"]}\n"
        );
        let summary = Summary {
            engine: Stats {
                records: 9,
                lost: 3,
                lost_by_cause: [1, 0, 2, 0, 0],
                spans: 4,
                boundaries_lost: 5,
                ..Stats::default()
            },
            shown: 2,
            undescribed: 6,
            export: Some(Delivery { exported: 1, failed: 0, dropped: 1 }),
            cpu: Duration::from_millis(1500),
            rss_bytes: 4096,
        };
        let mut line = serde_json::to_value(StatsLine::new(&summary)).unwrap();
        let unused = line.as_object_mut().and_then(|line| line.remove("unused")).unwrap();
        assert_eq!(unused["boundaries_lost"], 5);
        assert_eq!(unused["causes_gone"], 0, "what did not happen is said too");
        assert_eq!(
            line,
            json!({
                "type": "stats", "records": 9, "lost": 3, "spans": 4, "spans_shown": 2, "findings": 0,
                "undescribed": 6,
                "lost_by_cause": {"data": 1, "connection": 0, "process": 2, "wake": 0, "unreadable": 0},
                "cpu_seconds": 1.5, "rss_bytes": 4096, "export": {"exported": 1, "failed": 0, "dropped": 1},
            })
        );
    }
}
