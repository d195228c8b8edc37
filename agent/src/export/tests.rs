//! The exporter against receivers of the test's own.

use super::*;
use crate::testing::{finding, resource, server_span};
use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceRequest,
    trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
};
use prost::Message;
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::Mutex,
    thread,
};

/// With variables of the given names, less their common begin.
fn exporter_with(when_full: WhenFull, variables: &[(&str, String)]) -> Exporter {
    let value = |name: &str| {
        let found = variables.iter().find(|(k, _)| name == format!("OTEL_EXPORTER_OTLP_{k}"));
        found.map(|(_, value)| value.clone())
    };
    Exporter::with_variables(when_full, &value).unwrap()
}

fn exporter(when_full: WhenFull, listener: &TcpListener, grpc: bool) -> Exporter {
    let (address, protocol) = (listener.local_addr().unwrap(), if grpc { "grpc" } else { "http/protobuf" });
    exporter_with(when_full, &[("ENDPOINT", format!("http://{address}")), ("PROTOCOL", protocol.into())])
}

fn of_spans(spans: Delivery) -> Deliveries {
    Deliveries { spans, findings: Delivery::default() }
}

fn of_findings(findings: Delivery) -> Deliveries {
    Deliveries { spans: Delivery::default(), findings }
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

fn findings(count: u64) -> impl Iterator<Item = Arc<Finding>> {
    let processes = [resource("a", 1), resource("b", 2)];
    (1..=count).map(move |n| {
        let resource = processes[n as usize % 2].clone();
        Arc::new(Finding { resource, time_unix_nano: n, ..finding() })
    })
}

/// Reads one HTTP request to `path` and answers it with `status`.
fn answer<M: Message + Default>(stream: &mut BufReader<TcpStream>, path: &str, status: &str) -> Option<M> {
    let (mut length, mut first) = (0, None);
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
        first.get_or_insert(line);
    }
    assert_eq!(first, Some(format!("POST {path} HTTP/1.1\r\n")));
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    write!(stream.get_mut(), "HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").ok()?;
    Some(M::decode(&body[..]).unwrap())
}

/// A receiver that answers everything with `status`, and gives what it got when the exporter hangs up.
fn receiver<M: Message + Default + 'static>(
    listener: TcpListener,
    path: &'static str,
    status: &'static str,
) -> thread::JoinHandle<Vec<M>> {
    thread::spawn(move || {
        let mut stream = BufReader::new(listener.accept().unwrap().0);
        std::iter::from_fn(|| answer(&mut stream, path, status)).collect()
    })
}

fn trace_receiver(
    listener: TcpListener,
    status: &'static str,
) -> thread::JoinHandle<Vec<ExportTraceServiceRequest>> {
    receiver(listener, "/v1/traces", status)
}

#[test]
fn spans_arrive_with_one_resource_for_each_process() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut exporter = exporter(WhenFull::Drop, &listener, false);
    let receiver = trace_receiver(listener, "200 OK");
    spans(5).for_each(|span| exporter.span(&span));
    assert_eq!(exporter.finish(), of_spans(Delivery { exported: 5, failed: 0, dropped: 0 }));
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
    let receiver = trace_receiver(listener, "401 Unauthorized");
    spans(4).for_each(|span| exporter.span(&span));
    assert_eq!(exporter.finish(), of_spans(Delivery { exported: 0, failed: 4, dropped: 0 }));
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
        spans(4).for_each(|span| exporter.span(&span));
        assert!(begin.elapsed() < Duration::from_millis(100), "sending must not wait");
        let delivery = exporter.finish_within(Duration::from_secs(1));
        assert_eq!(delivery, of_spans(Delivery { exported: 0, failed: 4, dropped: 0 }));
        assert!(begin.elapsed() < Duration::from_secs(2));
    }
}

#[test]
fn what_a_silent_receiver_leaves_behind_is_dropped_and_counted() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut exporter = exporter(WhenFull::Drop, &listener, false);
    let span = Arc::new(server_span());
    let fit = u64::from(Span::QUEUE) / span.footprint() as u64;
    let sent = 2 * fit;
    let begin = Instant::now();
    (0..sent).for_each(|_| exporter.span(&span));
    assert!(begin.elapsed() < Duration::from_secs(1), "sending must not wait");
    let delivery = exporter.finish_within(Duration::from_millis(10));
    assert_eq!(delivery, of_spans(Delivery { exported: 0, failed: fit, dropped: sent - fit }));
}

#[test]
fn the_queue_is_bounded_by_bytes() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut exporter = exporter(WhenFull::Drop, &listener, false);
    let mut span = server_span();
    span.attributes.push(("url.query", tracer_engine::Value::Str("a".repeat(8192))));
    let span = Arc::new(span);
    (0..9_000).for_each(|_| exporter.span(&span));
    let delivery = exporter.finish_within(Duration::from_millis(10)).spans;
    let taken = delivery.failed as usize * span.footprint();
    assert!(taken <= Span::QUEUE as usize && taken > Span::QUEUE as usize - span.footprint(), "{delivery:?}");
    assert_eq!(delivery.failed + delivery.dropped, 9_000);
}

#[test]
fn a_batch_is_small_enough_for_a_receiver() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut exporter = exporter(WhenFull::Drop, &listener, false);
    let mut span = server_span();
    span.attributes.push(("url.query", tracer_engine::Value::Str("a".repeat(8192))));
    let span = Arc::new(span);
    (0..1_000).for_each(|_| exporter.span(&span));
    let receiver = trace_receiver(listener, "200 OK");
    assert_eq!(exporter.finish(), of_spans(Delivery { exported: 1_000, failed: 0, dropped: 0 }));
    let messages = receiver.join().unwrap();
    assert!(messages.iter().all(|message| message.encoded_len() < 4 << 20));
}

#[test]
fn on_replay_a_slow_receiver_is_waited_for() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut exporter = exporter(WhenFull::Wait, &listener, false);
    let receiver = trace_receiver(listener, "200 OK");
    let span = Arc::new(server_span());
    let sent = 3 * u64::from(Span::QUEUE) / span.footprint() as u64;
    (0..sent).for_each(|_| exporter.span(&span));
    assert_eq!(exporter.finish(), of_spans(Delivery { exported: sent, failed: 0, dropped: 0 }));
    assert!(receiver.join().unwrap().len() as u64 > sent / 600);
}

#[test]
fn findings_arrive_as_logs_with_one_resource_for_each_process() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut exporter = exporter(WhenFull::Drop, &listener, false);
    let receiver = receiver::<ExportLogsServiceRequest>(listener, "/v1/logs", "200 OK");
    findings(5).for_each(|finding| exporter.finding(&finding));
    assert_eq!(exporter.finish(), of_findings(Delivery { exported: 5, failed: 0, dropped: 0 }));
    let resources: Vec<_> =
        receiver.join().unwrap().into_iter().flat_map(|request| request.resource_logs).collect();
    let times: Vec<Vec<u64>> = resources
        .iter()
        .map(|r| r.scope_logs.iter().flat_map(|s| &s.log_records).map(|log| log.time_unix_nano).collect())
        .collect();
    assert_eq!(times, [vec![1, 3, 5], vec![2, 4]]);
    let scope = resources[0].scope_logs[0].scope.as_ref().unwrap();
    assert_eq!((scope.name.as_str(), scope.version.as_str()), ("tracer", env!("CARGO_PKG_VERSION")));
    let log = &resources[0].scope_logs[0].log_records[0];
    assert_eq!((log.event_name.as_str(), log.severity_text.as_str()), ("http.request_smuggling", "critical"));
    assert_eq!((log.severity_number, &log.trace_id, &log.span_id), (21, &vec![1; 16], &vec![1; 8]));
    let pid = resources[0].resource.as_ref().unwrap().attributes.iter().find(|a| a.key == "process.pid");
    assert!(pid.is_some(), "the process is the resource");
}

#[test]
fn each_signal_goes_to_a_receiver_of_its_own() {
    let [traces, logs] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let endpoint = |listener: &TcpListener| format!("http://{}/in", listener.local_addr().unwrap());
    let (to_traces, to_logs) = (endpoint(&traces), endpoint(&logs));
    let mut exporter =
        exporter_with(WhenFull::Drop, &[("TRACES_ENDPOINT", to_traces), ("LOGS_ENDPOINT", to_logs)]);
    let traces = receiver::<ExportTraceServiceRequest>(traces, "/in", "200 OK");
    let logs = receiver::<ExportLogsServiceRequest>(logs, "/in", "404 Not Found");
    spans(3).for_each(|span| exporter.span(&span));
    findings(2).for_each(|finding| exporter.finding(&finding));
    // No logs there: that costs the findings and nothing else.
    let spans = Delivery { exported: 3, failed: 0, dropped: 0 };
    let findings = Delivery { exported: 0, failed: 2, dropped: 0 };
    assert_eq!(exporter.finish(), Deliveries { spans, findings });
    assert_eq!((traces.join().unwrap().is_empty(), logs.join().unwrap().len()), (false, 1), "not retried");
}

/// Takes spans and has no service for logs.
struct TracesOnly(Arc<Mutex<usize>>);

#[tonic::async_trait]
impl TraceService for TracesOnly {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
        let scopes = request.into_inner().resource_spans.into_iter().flat_map(|r| r.scope_spans);
        *self.0.lock().unwrap() += scopes.map(|scope| scope.spans.len()).sum::<usize>();
        Ok(tonic::Response::new(ExportTraceServiceResponse::default()))
    }
}

#[test]
fn a_service_for_spans_alone_gets_them() {
    // Asked for and given back, for the server to bind it itself.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let count = Arc::<Mutex<usize>>::default();
    let service = TraceServiceServer::new(TracesOnly(count.clone()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    thread::spawn(move || {
        runtime.block_on(tonic::transport::Server::builder().add_service(service).serve(address))
    });
    while TcpStream::connect::<SocketAddr>(address).is_err() {
        thread::yield_now();
    }
    let mut exporter = exporter_with(
        WhenFull::Drop,
        &[("ENDPOINT", format!("http://{address}")), ("PROTOCOL", "grpc".into())],
    );
    spans(3).for_each(|span| exporter.span(&span));
    findings(2).for_each(|finding| exporter.finding(&finding));
    let begin = Instant::now();
    let spans = Delivery { exported: 3, failed: 0, dropped: 0 };
    let findings = Delivery { exported: 0, failed: 2, dropped: 0 };
    assert_eq!(exporter.finish(), Deliveries { spans, findings });
    assert!(begin.elapsed() < FLUSH_DEADLINE, "what is not known is not retried");
    assert_eq!(*count.lock().unwrap(), 3);
}

#[test]
fn findings_that_find_no_room_are_dropped_and_counted() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut exporter = exporter(WhenFull::Drop, &listener, false);
    let finding = Arc::new(finding());
    let fit = u64::from(Finding::QUEUE) / finding.footprint() as u64;
    (0..fit + 7).for_each(|_| exporter.finding(&finding));
    let delivery = exporter.finish_within(Duration::from_millis(10));
    assert_eq!(delivery, of_findings(Delivery { exported: 0, failed: fit, dropped: 7 }));
}
