//! Spans and findings as lines of the contract.

use serde::{Serialize, Serializer};
use tracer_engine::{Evidence, Finding, Span, SpanEvent, SpanKind, SpanLink, Status, Value};

/// A span as the contract has it, in its order.
#[derive(Serialize)]
pub struct SpanLine<'a> {
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
pub struct FindingLine<'a> {
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
    /// The line of a finding.
    pub fn new(finding: &'a Finding) -> Self {
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
    /// The line of a span.
    pub fn new(span: &'a Span) -> Self {
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
            Value::Word(text) => text.serialize(serializer),
            Value::Int(n) => n.serialize(serializer),
            Value::Float(n) => n.serialize(serializer),
            Value::Bool(b) => b.serialize(serializer),
            Value::Strings(texts) => texts.serialize(serializer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value as Json, json};

    #[test]
    fn values_keep_their_types() {
        let plain = |value: &Value| serde_json::to_value(Plain(value)).unwrap();
        assert_eq!(plain(&Value::Bool(true)), json!(true));
        assert_eq!(plain(&Value::Float(0.5)), json!(0.5));
        assert_eq!(plain(&Value::Float(f64::NAN)), Json::Null);
        assert_eq!(plain(&Value::Strings(vec!["a".into(), "\u{1}".into()])), json!(["a", "\u{1}"]));
    }
}
