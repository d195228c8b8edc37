//! Exchanges and launches as OpenTelemetry spans.

mod gateway;
mod http;
mod launch;
mod query;
mod unread;

pub use http::{exchange, written};
pub use launch::launch;
pub use query::redact;

use crate::{Config, Resource};
use crate::{
    Span, SpanEvent, SpanKind, SpanLink, Status, Value,
    cases::Case,
    graph::{Node, Place},
};
use std::{borrow::Cow, collections::BTreeSet, sync::Arc};

/// Longest string of an attribute, in bytes: what a server takes as a target at most, usually.
const MAX_TEXT: usize = 8192;

/// What kind-specific code says of a span.
#[derive(Debug)]
pub struct Content {
    /// Name.
    pub name: String,
    /// Kind.
    pub kind: SpanKind,
    /// Status.
    pub status: Status,
    /// Attributes in any order.
    pub attributes: Vec<(&'static str, Value)>,
}

/// A span of a node that has ended and has its place.
pub fn span(
    node: &Node,
    place: Place,
    content: Content,
    cases: &[(&Case, &BTreeSet<&'static str>)],
    resource: Arc<Resource>,
    config: &Config,
) -> Span {
    let Content { name, kind, status, mut attributes } = content;
    let mut parent_span_id = None;
    if let Some((parent, link)) = place.parent {
        parent_span_id = Some(parent);
        attributes.push(("tracer.link.method", Value::Word(link.method.name())));
        attributes.push(("tracer.link.confidence", Value::Float(link.confidence)));
        if link.candidates > 1 {
            attributes.push(("tracer.link.candidates", Value::Int(link.candidates.into())));
        }
    }
    let other_end = place.other_end.map(|(trace_id, span_id)| SpanLink {
        trace_id,
        span_id,
        attributes: vec![("tracer.link.method", Value::Word("sequence"))],
    });
    let cause = place.cause.map(|(trace_id, span_id, link)| SpanLink {
        trace_id,
        span_id,
        attributes: vec![
            ("tracer.link.confidence", Value::Float(link.confidence)),
            ("tracer.link.method", Value::Word(link.method.name())),
        ],
    });
    if !cases.is_empty() {
        let rules = cases.iter().flat_map(|(_, rules)| rules.iter()).map(|rule| (*rule).to_owned()).collect();
        attributes.push(("tracer.finding.rules", Value::Strings(rules)));
    }
    attributes.sort_by_key(|(key, _)| *key);
    attributes.dedup_by_key(|(key, _)| *key);
    let unix = |time: crate::Time| time.0.saturating_add(config.boot_to_unix_ns);
    let mut events: Vec<_> = cases.iter().map(|(case, _)| event(case, unix(case.time))).collect();
    events.sort_by_key(|event| event.time_unix_nano);
    Span {
        trace_id: place.trace_id,
        span_id: node.span_id,
        parent_span_id,
        trace_state: node.remote.as_ref().and_then(|r| r.trace_state.clone()),
        links: other_end.into_iter().chain(cause).collect(),
        events,
        name,
        kind,
        start_unix_nano: unix(node.start),
        end_unix_nano: unix(node.end.unwrap_or(node.start)),
        status,
        resource,
        attributes,
    }
}

/// A finding as an event of its span.
fn event(case: &Case, time_unix_nano: u64) -> SpanEvent {
    let attributes = vec![
        ("security_rule.name", Value::Str(case.rule.into())),
        ("tracer.finding.confidence", Value::Str(case.confidence.name().into())),
        ("tracer.finding.severity", Value::Str(case.severity.name().into())),
        ("tracer.finding.title", Value::Str(case.title.clone())),
    ];
    SpanEvent { name: "finding", time_unix_nano, attributes }
}

/// Bytes as text of bounded length.
fn text(bytes: &[u8]) -> Value {
    Value::Str(bounded(&lossy(&bytes[..bytes.len().min(MAX_TEXT)])).into())
}

/// Bytes as text. Almost all of it is, which is found out faster than where it is not.
pub fn lossy(bytes: &[u8]) -> Cow<'_, str> {
    str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)
}

/// Text of bounded length.
fn bounded(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_TEXT)]
}
