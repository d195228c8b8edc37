//! Spans and records for tests.

use std::sync::Arc;
use tracer_common::{Fork, Header, WIRE_VERSION, kind};
use tracer_engine::{Resource, Span, SpanId, SpanKind, Status, TraceId, Value};
use zerocopy::IntoBytes;

/// 2026-03-04 05:06:07.089 UTC.
pub const START: u64 = 1_772_600_767_089_000_000;

/// The resource of a process.
pub fn resource(service: &str, pid: u32) -> Arc<Resource> {
    Arc::new(Resource {
        pid,
        attributes: vec![
            ("process.pid".into(), Value::Int(pid.into())),
            ("service.name".into(), Value::Str(service.into())),
        ],
        ..Resource::default()
    })
}

/// A span of trace 1 that starts `start_us` after [`START`] and takes `took_us`.
pub fn span(id: u8, parent: Option<u8>, kind: SpanKind, start_us: u64, took_us: u64) -> Span {
    let start_unix_nano = START + start_us * 1000;
    Span {
        trace_id: TraceId([1; 16]),
        span_id: SpanId([id; 8]),
        parent_span_id: parent.map(|p| SpanId([p; 8])),
        trace_state: None,
        links: Vec::new(),
        name: "GET".into(),
        kind,
        start_unix_nano,
        end_unix_nano: start_unix_nano + took_us * 1000,
        status: Status::Unset,
        resource: resource("shop", 812),
        attributes: Vec::new(),
    }
}

/// Process 812 of "shop" answers GET /orders on port 8080 with 503 after 12.4 ms.
pub fn server_span() -> Span {
    Span {
        status: Status::Error(String::new()),
        attributes: vec![
            ("client.address", Value::Str("10.0.0.9".into())),
            ("client.port", Value::Int(51234)),
            ("http.request.method", Value::Str("GET".into())),
            ("http.response.status_code", Value::Int(503)),
            ("server.address", Value::Str("10.0.0.1".into())),
            ("server.port", Value::Int(8080)),
            ("url.path", Value::Str("/orders".into())),
        ],
        ..span(1, None, SpanKind::Server, 0, 12_400)
    }
}

/// A fork's record.
pub fn fork(parent: u32, child_pid: u32) -> Vec<u8> {
    let len = size_of::<Fork>() as u32;
    let header =
        Header { kind: kind::FORK, version: WIRE_VERSION, len, time_ns: 1, pid: parent, tid: parent };
    Fork { header, child_pid, pad: 0 }.as_bytes().to_vec()
}
