//! The exporter against receivers of the test's own.

use super::*;
use crate::testing::{resource, server_span};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    time::Instant,
};

fn exporter(when_full: WhenFull, listener: &TcpListener, grpc: bool) -> Exporter {
    let (address, protocol) = (listener.local_addr().unwrap(), if grpc { "grpc" } else { "http/protobuf" });
    let settings = Settings::read(&|name| match name {
        "OTEL_EXPORTER_OTLP_ENDPOINT" => Some(format!("http://{address}")),
        "OTEL_EXPORTER_OTLP_PROTOCOL" => Some(protocol.into()),
        _ => None,
    });
    Exporter::with_settings(when_full, settings.unwrap()).unwrap()
}

fn spans(count: u8) -> impl Iterator<Item = Arc<Span>> {
    let processes = [resource("a", 1), resource("b", 2)];
    (1..=count).map(move |id| {
        let mut span = server_span();
        span.span_id = tracer_engine::SpanId([id; 8]);
        span.resource = processes[usize::from(id) % 2].clone();
        Arc::new(span)
    })
}

/// Reads one HTTP request and answers it with `status`.
fn answer(stream: &mut BufReader<TcpStream>, status: &str) -> Option<ExportTraceServiceRequest> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim_end().to_ascii_lowercase().split_once(": ") {
            Some(("content-length", value)) => length = value.parse().unwrap(),
            None if line == "\r\n" => break,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    write!(stream.get_mut(), "HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").ok()?;
    Some(ExportTraceServiceRequest::decode(&body[..]).unwrap())
}

/// A receiver that answers everything with `status`, and gives what it got when the exporter hangs up.
fn receiver(
    listener: TcpListener,
    status: &'static str,
) -> thread::JoinHandle<Vec<ExportTraceServiceRequest>> {
    thread::spawn(move || {
        let mut stream = BufReader::new(listener.accept().unwrap().0);
        std::iter::from_fn(|| answer(&mut stream, status)).collect()
    })
}

#[test]
fn spans_arrive_with_one_resource_for_each_process() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut exporter = exporter(WhenFull::Drop, &listener, false);
    let receiver = receiver(listener, "200 OK");
    spans(5).for_each(|span| exporter.send(&span));
    assert_eq!(exporter.finish(), Delivery { exported: 5, failed: 0, dropped: 0 });
    let resources: Vec<_> =
        receiver.join().unwrap().into_iter().flat_map(|request| request.resource_spans).collect();
    assert_eq!(resources.len(), 2);
    let ids: Vec<Vec<u8>> = resources
        .iter()
        .map(|r| r.scope_spans.iter().flat_map(|s| &s.spans).map(|span| span.span_id[0]).collect())
        .collect();
    assert_eq!(ids, [vec![1, 3, 5], vec![2, 4]]);
    let scope = resources[0].scope_spans[0].scope.as_ref().unwrap();
    assert_eq!((scope.name.as_str(), scope.version.as_str()), ("tracer", env!("CARGO_PKG_VERSION")));
    assert_eq!(resources[0].scope_spans[0].spans[0].trace_id, [1; 16]);
}

#[test]
fn what_a_receiver_refuses_counts_as_failed() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut exporter = exporter(WhenFull::Drop, &listener, false);
    let receiver = receiver(listener, "401 Unauthorized");
    spans(4).for_each(|span| exporter.send(&span));
    assert_eq!(exporter.finish(), Delivery { exported: 0, failed: 4, dropped: 0 });
    // Not retried, and after the end of the run nothing more is tried.
    assert_eq!(receiver.join().unwrap().len(), 1);
}

#[test]
fn an_absent_receiver_costs_the_spans_and_a_bounded_time() {
    for grpc in [false, true] {
        // Bound and dropped: nobody listens there.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut exporter = exporter(WhenFull::Drop, &listener, grpc);
        drop(listener);
        let begin = Instant::now();
        spans(4).for_each(|span| exporter.send(&span));
        assert!(begin.elapsed() < Duration::from_millis(100), "sending must not wait");
        let delivery = exporter.finish_within(Duration::from_secs(1));
        assert_eq!(delivery, Delivery { exported: 0, failed: 4, dropped: 0 });
        assert!(begin.elapsed() < Duration::from_secs(2));
    }
}

#[test]
fn what_a_silent_receiver_leaves_behind_is_dropped_and_counted() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut exporter = exporter(WhenFull::Drop, &listener, false);
    let span = Arc::new(server_span());
    let fit = u64::from(QUEUE) / span.footprint() as u64;
    let sent = 2 * fit;
    let begin = Instant::now();
    (0..sent).for_each(|_| exporter.send(&span));
    assert!(begin.elapsed() < Duration::from_secs(1), "sending must not wait");
    let delivery = exporter.finish_within(Duration::from_millis(10));
    assert_eq!(delivery, Delivery { exported: 0, failed: fit, dropped: sent - fit });
}

#[test]
fn the_queue_is_bounded_by_bytes() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut exporter = exporter(WhenFull::Drop, &listener, false);
    let mut span = server_span();
    span.attributes.push(("url.query", tracer_engine::Value::Str("a".repeat(8192))));
    let span = Arc::new(span);
    (0..9_000).for_each(|_| exporter.send(&span));
    let delivery = exporter.finish_within(Duration::from_millis(10));
    let taken = delivery.failed as usize * span.footprint();
    assert!(taken <= QUEUE as usize && taken > QUEUE as usize - span.footprint(), "{delivery:?}");
    assert_eq!(delivery.failed + delivery.dropped, 9_000);
}

#[test]
fn a_batch_is_small_enough_for_a_receiver() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut exporter = exporter(WhenFull::Drop, &listener, false);
    let mut span = server_span();
    span.attributes.push(("url.query", tracer_engine::Value::Str("a".repeat(8192))));
    let span = Arc::new(span);
    (0..1_000).for_each(|_| exporter.send(&span));
    let receiver = receiver(listener, "200 OK");
    assert_eq!(exporter.finish(), Delivery { exported: 1_000, failed: 0, dropped: 0 });
    let messages = receiver.join().unwrap();
    assert!(messages.iter().all(|message| message.encoded_len() < 4 << 20));
}

#[test]
fn on_replay_a_slow_receiver_is_waited_for() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut exporter = exporter(WhenFull::Wait, &listener, false);
    let receiver = receiver(listener, "200 OK");
    let span = Arc::new(server_span());
    let sent = 3 * u64::from(QUEUE) / span.footprint() as u64;
    (0..sent).for_each(|_| exporter.send(&span));
    assert_eq!(exporter.finish(), Delivery { exported: sent, failed: 0, dropped: 0 });
    assert!(receiver.join().unwrap().len() as u64 > sent / 600);
}
