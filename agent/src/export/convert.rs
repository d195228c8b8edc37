//! Our spans and findings as the SDK's spans and log records.

use opentelemetry::{
    Array, InstrumentationScope, KeyValue, StringValue,
    logs::{AnyValue, LogRecord as _, Logger as _, LoggerProvider as _, Severity},
    trace::{Event, Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState},
};
use opentelemetry_sdk::{
    Resource,
    logs::{SdkLogRecord, SdkLogger, SdkLoggerProvider},
    trace::{SpanData, SpanEvents, SpanLinks},
};
use std::{
    str::FromStr,
    sync::LazyLock,
    time::{Duration, SystemTime},
};
use tracer_engine as engine;

static SCOPE: LazyLock<InstrumentationScope> =
    LazyLock::new(|| InstrumentationScope::builder("tracer").with_version(env!("CARGO_PKG_VERSION")).build());

/// Nothing is emitted by it: a record can be had from a logger alone.
static LOGGER: LazyLock<SdkLogger> = LazyLock::new(|| SdkLoggerProvider::builder().build().logger("tracer"));

/// Who says all this.
pub fn scope() -> &'static InstrumentationScope {
    &SCOPE
}

/// A span, whole: ids, times, links and all attributes are the engine's.
pub fn span(span: &engine::Span) -> SpanData {
    SpanData {
        span_context: context(span.trace_id, span.span_id, span.trace_state.as_deref()),
        parent_span_id: span.parent_span_id.map_or(SpanId::INVALID, |id| SpanId::from_bytes(id.0)),
        // The flag would say that the parent is in another process, which for our spans it may be or not.
        parent_span_is_remote: false,
        span_kind: match span.kind {
            engine::SpanKind::Server => SpanKind::Server,
            engine::SpanKind::Client => SpanKind::Client,
            engine::SpanKind::Internal => SpanKind::Internal,
        },
        name: span.name.clone().into(),
        start_time: time(span.start_unix_nano),
        end_time: time(span.end_unix_nano),
        attributes: attributes(&span.attributes),
        dropped_attributes_count: 0,
        events: events(&span.events),
        links: links(&span.links),
        status: match &span.status {
            engine::Status::Unset => Status::Unset,
            engine::Status::Error(message) => Status::error(message.clone()),
        },
        instrumentation_scope: SCOPE.clone(),
    }
}

/// A finding: the rule is the event's name, the title its body. The evidence is two lists that go side by side,
/// as many receivers keep lists of plain values only. It was observed when its last fact was.
pub fn log_record(finding: &engine::Finding) -> SdkLogRecord {
    let mut record = LOGGER.create_log_record();
    let (severity, confidence) = (finding.severity, finding.confidence.name());
    record.set_event_name(finding.rule);
    record.set_severity_number(severity_number(severity));
    record.set_severity_text(severity.name());
    record.set_timestamp(time(finding.time_unix_nano));
    let observed = finding.evidence.last().map_or(0, |fact| fact.time_unix_nano);
    record.set_observed_timestamp(time(observed.max(finding.time_unix_nano)));
    record.set_body(finding.title.clone().into());
    if let Some((trace, span)) = finding.span {
        let (trace, span) = (TraceId::from_bytes(trace.0), SpanId::from_bytes(span.0));
        record.set_trace_context(trace, span, Some(TraceFlags::SAMPLED));
    }
    record.add_attributes(finding.attributes.iter().map(|(key, v)| (*key, any_value(v))));
    record.add_attribute("security_rule.name", finding.rule);
    record.add_attribute("tracer.finding.confidence", confidence);
    record.add_attribute("tracer.finding.severity", severity.name());
    let texts = finding.evidence.iter().map(|fact| fact.text.clone());
    record.add_attribute("tracer.finding.evidence.text", texts.collect::<AnyValue>());
    let times = finding.evidence.iter().map(|fact| i64::try_from(fact.time_unix_nano).unwrap_or(i64::MAX));
    record.add_attribute("tracer.finding.evidence.time_unix_nano", times.collect::<AnyValue>());
    record
}

/// The specification leaves the mapping to the source. From "worth a look" on it is a warning.
fn severity_number(severity: engine::Severity) -> Severity {
    match severity {
        engine::Severity::Info => Severity::Info,
        engine::Severity::Low => Severity::Info2,
        engine::Severity::Medium => Severity::Warn,
        engine::Severity::High => Severity::Error,
        engine::Severity::Critical => Severity::Fatal,
    }
}

/// A process as a resource, with nothing of the agent's own.
pub fn resource(resource: &engine::Resource) -> Resource {
    let pairs = resource.attributes.iter().map(|(key, v)| KeyValue::new(key.clone(), value(v)));
    Resource::builder_empty().with_attributes(pairs).build()
}

fn context(trace: engine::TraceId, span: engine::SpanId, state: Option<&str>) -> SpanContext {
    // What does not parse as tracestate is no tracestate; the specification says to drop it.
    let state = state.and_then(|s| TraceState::from_str(s).ok()).unwrap_or_default();
    let (trace, span) = (TraceId::from_bytes(trace.0), SpanId::from_bytes(span.0));
    SpanContext::new(trace, span, TraceFlags::SAMPLED, false, state)
}

fn links(links: &[engine::SpanLink]) -> SpanLinks {
    let mut converted = SpanLinks::default();
    converted.links = links
        .iter()
        .map(|link| Link::new(context(link.trace_id, link.span_id, None), attributes(&link.attributes), 0))
        .collect();
    converted
}

fn events(events: &[engine::SpanEvent]) -> SpanEvents {
    let mut converted = SpanEvents::default();
    converted.events = events
        .iter()
        .map(|event| Event::new(event.name, time(event.time_unix_nano), attributes(&event.attributes), 0))
        .collect();
    converted
}

fn attributes(pairs: &[(&'static str, engine::Value)]) -> Vec<KeyValue> {
    pairs.iter().map(|(key, v)| KeyValue::new(*key, value(v))).collect()
}

fn value(value: &engine::Value) -> opentelemetry::Value {
    match value {
        engine::Value::Str(text) => text.clone().into(),
        engine::Value::Word(text) => (*text).into(),
        engine::Value::Int(n) => (*n).into(),
        engine::Value::Float(n) => (*n).into(),
        engine::Value::Bool(b) => (*b).into(),
        engine::Value::Strings(texts) => {
            let texts = texts.iter().map(|t| StringValue::from(t.clone())).collect();
            opentelemetry::Value::Array(Array::String(texts))
        }
    }
}

fn any_value(value: &engine::Value) -> AnyValue {
    match value {
        engine::Value::Str(text) => text.clone().into(),
        engine::Value::Word(text) => (*text).into(),
        engine::Value::Int(n) => (*n).into(),
        engine::Value::Float(n) => (*n).into(),
        engine::Value::Bool(b) => AnyValue::Boolean(*b),
        engine::Value::Strings(texts) => texts.iter().cloned().collect(),
    }
}

fn time(unix_nano: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_nanos(unix_nano)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{START, finding, server_span};

    #[test]
    fn a_span_keeps_all_it_has() {
        let mut ours = server_span();
        ours.parent_span_id = Some(engine::SpanId([9; 8]));
        ours.trace_state = Some("a=b".into());
        ours.links = vec![engine::SpanLink {
            trace_id: engine::TraceId([7; 16]),
            span_id: engine::SpanId([8; 8]),
            attributes: vec![("k", engine::Value::Bool(true))],
        }];
        ours.events = vec![engine::SpanEvent {
            name: "finding",
            time_unix_nano: START + 7,
            attributes: vec![("k", engine::Value::Int(3))],
        }];
        let got = span(&ours);
        assert_eq!(
            got.events.events,
            [Event::new("finding", time(START + 7), vec![KeyValue::new("k", 3)], 0)]
        );
        assert_eq!(got.span_context.trace_id(), TraceId::from_bytes([1; 16]));
        assert_eq!(got.span_context.span_id(), SpanId::from_bytes([1; 8]));
        assert_eq!(got.span_context.trace_state().header(), "a=b");
        assert_eq!(got.parent_span_id, SpanId::from_bytes([9; 8]));
        assert_eq!(got.span_kind, SpanKind::Server);
        assert_eq!(got.start_time, time(START));
        assert_eq!(got.end_time, time(START + 12_400_000));
        assert_eq!(got.status, Status::error(""));
        assert_eq!(got.attributes.len(), ours.attributes.len());
        assert_eq!(got.attributes[3], KeyValue::new("http.response.status_code", 503));
        assert_eq!(got.links[0].span_context.trace_id(), TraceId::from_bytes([7; 16]));
        assert_eq!(got.links[0].attributes, [KeyValue::new("k", true)]);
        assert_eq!(got.instrumentation_scope.name(), "tracer");
    }

    #[test]
    fn a_root_has_no_parent() {
        assert_eq!(span(&server_span()).parent_span_id, SpanId::INVALID);
    }

    #[test]
    fn a_resource_is_the_process_and_nothing_else() {
        let got = resource(&server_span().resource);
        assert_eq!(got.len(), 2);
        assert_eq!(got.get(&"service.name".into()), Some("shop".into()));
    }

    #[test]
    fn a_finding_keeps_all_it_has() {
        let mut ours = finding();
        ours.attributes.push(("process.command_args", engine::Value::Strings(vec!["id".into()])));
        let got = log_record(&ours);
        assert_eq!(got.event_name(), Some("http.request_smuggling"));
        assert_eq!((got.severity_number(), got.severity_text()), (Some(Severity::Fatal), Some("critical")));
        assert_eq!(got.timestamp(), Some(time(START)));
        assert_eq!(got.observed_timestamp(), Some(time(START + 3_100_000)));
        assert_eq!(got.body(), Some(&ours.title.as_str().to_owned().into()));
        let context = got.trace_context().unwrap();
        assert_eq!(context.trace_id, TraceId::from_bytes([1; 16]));
        assert_eq!(context.span_id, SpanId::from_bytes([1; 8]));
        let attribute =
            |key: &str| got.attributes_iter().find(|(k, _)| k.as_str() == key).map(|(_, v)| v.clone());
        assert_eq!(got.attributes_iter().count(), ours.attributes.len() + 5);
        assert_eq!(attribute("client.port"), Some(51234.into()));
        assert_eq!(attribute("process.command_args"), Some(["id"].into_iter().collect()));
        assert_eq!(attribute("security_rule.name"), Some("http.request_smuggling".into()));
        assert_eq!(attribute("tracer.finding.confidence"), Some("confirmed".into()));
        assert_eq!(attribute("tracer.finding.severity"), Some("critical".into()));
        let texts = ours.evidence.iter().map(|fact| fact.text.clone());
        assert_eq!(attribute("tracer.finding.evidence.text"), Some(texts.collect()));
        let times = ours.evidence.iter().map(|fact| fact.time_unix_nano as i64);
        assert_eq!(attribute("tracer.finding.evidence.time_unix_nano"), Some(times.collect()));
    }

    #[test]
    fn a_finding_without_a_span_has_no_trace_context() {
        assert!(log_record(&engine::Finding { span: None, ..finding() }).trace_context().is_none());
    }

    #[test]
    fn worse_is_a_higher_number() {
        let numbers = engine::Severity::ALL.map(|severity| severity_number(severity) as u8);
        assert_eq!(numbers, [9, 10, 13, 17, 21]);
    }
}
