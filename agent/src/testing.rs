//! Spans, findings and records for tests.

use std::sync::Arc;
use tracer_common::{AF_INET, Data, Fork, Header, Sock, WIRE_VERSION, direction, kind};
use tracer_engine::{
    Confidence, Evidence, Finding, Resource, Severity, Span, SpanEvent, SpanId, SpanKind, Status, TraceId,
    Value,
};
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
        events: Vec::new(),
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

/// What is wrong with [`server_span`].
pub fn finding() -> Finding {
    let fact = |after_us: u64, text: &str| Evidence {
        time_unix_nano: START + after_us * 1000,
        text: text.to_owned(),
    };
    Finding {
        rule: "http.request_smuggling",
        severity: Severity::Critical,
        confidence: Confidence::Confirmed,
        title: "one request, two answers".into(),
        time_unix_nano: START,
        span: Some((TraceId([1; 16]), SpanId([1; 8]))),
        resource: resource("shop", 812),
        attributes: vec![
            ("client.address", Value::Str("10.0.0.9".into())),
            ("client.port", Value::Int(51234)),
            ("http.request.method", Value::Str("GET".into())),
            ("url.path", Value::Str("/orders".into())),
        ],
        evidence: vec![fact(0, "GET /orders with Content-Length 44"), fact(3_100, "a second answer: 404")],
    }
}

/// [`server_span`] with what its finding leaves on it.
pub fn found_span() -> Span {
    let finding = finding();
    let mut span = server_span();
    span.attributes.push(("tracer.finding.rules", Value::Strings(vec![finding.rule.into()])));
    span.events.push(SpanEvent {
        name: "finding",
        time_unix_nano: finding.time_unix_nano,
        attributes: vec![
            ("security_rule.name", Value::Str(finding.rule.into())),
            ("tracer.finding.severity", Value::Str(finding.severity.name().into())),
        ],
    });
    span
}

/// A fork's record.
pub fn fork(parent: u32, child_pid: u32) -> Vec<u8> {
    let len = size_of::<Fork>() as u32;
    let header =
        Header { kind: kind::FORK, version: WIRE_VERSION, len, time_ns: 1, pid: parent, tid: parent };
    Fork { header, child_pid, child_tid: child_pid }.as_bytes().to_vec()
}

/// Process 812 receives or sends `bytes` at `offset` of its connection from port 51234 to 8080.
pub fn data(time_ns: u64, direction: u8, offset: u64, bytes: &[u8]) -> Vec<u8> {
    let len = (size_of::<Data>() + bytes.len()) as u32;
    let loopback = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1];
    let sock = Sock {
        id: 77,
        inode: 78,
        netns: 1,
        family: AF_INET,
        local_port: 8080,
        remote_port: 51234,
        local: loopback,
        remote: loopback,
        ..Sock::default()
    };
    let data = Data {
        header: Header { kind: kind::DATA, version: WIRE_VERSION, len, time_ns, pid: 812, tid: 812 },
        sock,
        offset,
        ret: bytes.len() as i32,
        captured: bytes.len() as u32,
        direction,
        ..Data::default()
    };
    [data.as_bytes(), bytes].concat()
}

/// A request and its answer, as process 812 sees them, one second after boot.
pub fn exchange() -> Vec<Vec<u8>> {
    let second = 1_000_000_000;
    vec![
        data(second, direction::RECEIVE, 1000, b"GET /orders HTTP/1.1\r\nHost: shop\r\n\r\n"),
        data(second + 5_000_000, direction::SEND, 2000, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ]
}

/// A request whose content is another one, and two answers to it, as process 812 sees them.
pub fn smuggling() -> Vec<Vec<u8>> {
    let second = 1_000_000_000;
    let inside = "GET /admin HTTP/1.1\r\nHost: shop\r\n\r\n";
    let head = format!("GET /orders HTTP/1.1\r\nHost: shop\r\nContent-Length: {}\r\n\r\n", inside.len());
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    vec![
        data(second, direction::RECEIVE, 1000, (head + inside).as_bytes()),
        data(second + 5_000_000, direction::SEND, 2000, answer),
        data(second + 6_000_000, direction::SEND, 2000 + answer.len() as u64, answer),
    ]
}
