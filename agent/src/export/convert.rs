//! Our spans as the SDK's.

use opentelemetry::{
    Array, InstrumentationScope, KeyValue, StringValue,
    trace::{Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState},
};
use opentelemetry_sdk::{
    Resource,
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
        events: SpanEvents::default(),
        links: links(&span.links),
        status: match &span.status {
            engine::Status::Unset => Status::Unset,
            engine::Status::Error(message) => Status::error(message.clone()),
        },
        instrumentation_scope: SCOPE.clone(),
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

fn attributes(pairs: &[(&'static str, engine::Value)]) -> Vec<KeyValue> {
    pairs.iter().map(|(key, v)| KeyValue::new(*key, value(v))).collect()
}

fn value(value: &engine::Value) -> opentelemetry::Value {
    match value {
        engine::Value::Str(text) => text.clone().into(),
        engine::Value::Int(n) => (*n).into(),
        engine::Value::Float(n) => (*n).into(),
        engine::Value::Bool(b) => (*b).into(),
        engine::Value::Strings(texts) => {
            let texts = texts.iter().map(|t| StringValue::from(t.clone())).collect();
            opentelemetry::Value::Array(Array::String(texts))
        }
    }
}

fn time(unix_nano: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_nanos(unix_nano)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{START, server_span};

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
        let got = span(&ours);
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
}
