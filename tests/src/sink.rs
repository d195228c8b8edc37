//! An OTLP receiver that keeps what it was sent, over grpc or over http/protobuf.

use anyhow::{Context, Result, ensure};
use flate2::read::GzDecoder;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{LogsService, LogsServiceServer};
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value as Any};
use opentelemetry_proto::tonic::logs::v1::ResourceLogs;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, span::SpanKind};
use prost::Message;
use serde_json::{Map, Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use tonic::codec::CompressionEncoding;
use tonic::{Request, Response, Status, transport::Server};

/// One export request, and whether it came compressed.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// By gzip.
    pub gzip: bool,
    /// Spans that were sent; of a request one of the two is empty.
    pub resource_spans: Vec<ResourceSpans>,
    /// Log records that were sent.
    pub resource_logs: Vec<ResourceLogs>,
}

/// What a receiver takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// Traces, and no logs: it does not know their service or path.
    Traces,
    /// Both.
    All,
}

type Deliveries = Arc<Mutex<Vec<Delivery>>>;

/// A running receiver. Its threads end with the process.
#[derive(Debug)]
pub struct Sink {
    /// For `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub endpoint: String,
    deliveries: Deliveries,
}

impl Sink {
    /// A receiver of OTLP over grpc.
    pub fn grpc(takes: Takes) -> Result<Self> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, crate::stage::free_port()?));
        let deliveries = Deliveries::default();
        let traces = TraceServiceServer::new(Grpc(deliveries.clone()));
        let logs = LogsServiceServer::new(Grpc(deliveries.clone()));
        let traces = traces.accept_compressed(CompressionEncoding::Gzip);
        let logs = (takes == Takes::All).then(|| logs.accept_compressed(CompressionEncoding::Gzip));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let router = Server::builder().add_service(traces).add_optional_service(logs);
        thread::spawn(move || runtime.block_on(router.serve(address)));
        while TcpStream::connect(address).is_err() {
            thread::yield_now();
        }
        Ok(Self { endpoint: format!("http://{address}"), deliveries })
    }

    /// A receiver of OTLP over http/protobuf.
    pub fn http(takes: Takes) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let endpoint = format!("http://{}", listener.local_addr()?);
        let deliveries = Deliveries::default();
        let kept = deliveries.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let kept = kept.clone();
                // A client that goes away in the middle is no fault of the sink's; what came is kept.
                thread::spawn(move || drop(serve(&stream, &kept, takes)));
            }
        });
        Ok(Self { endpoint, deliveries })
    }

    /// What has come so far.
    #[must_use]
    pub fn deliveries(&self) -> Vec<Delivery> {
        self.deliveries.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[derive(Debug)]
struct Grpc(Deliveries);

#[tonic::async_trait]
impl TraceService for Grpc {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let gzip = is_gzip(&request);
        keep(&self.0, Delivery::of_traces(gzip, request.into_inner()));
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl LogsService for Grpc {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        let gzip = is_gzip(&request);
        keep(&self.0, Delivery::of_logs(gzip, request.into_inner()));
        Ok(Response::new(ExportLogsServiceResponse::default()))
    }
}

fn is_gzip<T>(request: &Request<T>) -> bool {
    request.metadata().get("grpc-encoding").is_some_and(|encoding| encoding == "gzip")
}

fn keep(deliveries: &Deliveries, delivery: Delivery) {
    deliveries.lock().unwrap_or_else(PoisonError::into_inner).push(delivery);
}

fn serve(stream: &TcpStream, deliveries: &Deliveries, takes: Takes) -> Result<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            ensure!(reader.read_line(&mut head)? > 0, "closed");
        }
        let head = head.to_ascii_lowercase();
        let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let path = head.split(' ').nth(1).context("no request line")?.to_owned();
        ensure!(head.starts_with("post "), "not a delivery: {head}");
        ensure!(field("content-type:") == Some("application/x-protobuf"), "no protobuf: {head}");
        let mut body = vec![0; field("content-length:").context("no content-length")?.parse()?];
        reader.read_exact(&mut body)?;
        let gzip = field("content-encoding:") == Some("gzip");
        if gzip {
            let mut plain = Vec::new();
            GzDecoder::new(body.as_slice()).read_to_end(&mut plain)?;
            body = plain;
        }
        let body = body.as_slice();
        let status = match path.as_str() {
            "/v1/traces" => {
                keep(deliveries, Delivery::of_traces(gzip, ExportTraceServiceRequest::decode(body)?));
                "200 OK"
            }
            "/v1/logs" if takes == Takes::All => {
                keep(deliveries, Delivery::of_logs(gzip, ExportLogsServiceRequest::decode(body)?));
                "200 OK"
            }
            _ => "404 Not Found",
        };
        let mut stream = stream;
        write!(
            stream,
            "HTTP/1.1 {status}\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n"
        )?;
    }
}

impl Delivery {
    fn of_traces(gzip: bool, request: ExportTraceServiceRequest) -> Self {
        Self { gzip, resource_spans: request.resource_spans, resource_logs: Vec::new() }
    }

    fn of_logs(gzip: bool, request: ExportLogsServiceRequest) -> Self {
        Self { gzip, resource_spans: Vec::new(), resource_logs: request.resource_logs }
    }

    /// Its spans in the form of `--output json`, so that the two can be compared.
    #[must_use]
    pub fn spans(&self) -> Vec<Value> {
        let all = self.resource_spans.iter().flat_map(|resource_spans| {
            let resource = resource_spans.resource.as_ref().map(|r| object(&r.attributes));
            let spans = resource_spans.scope_spans.iter().flat_map(|scope| &scope.spans);
            spans.map(move |span| {
                json!({
                    "trace_id": hex(&span.trace_id),
                    "span_id": hex(&span.span_id),
                    "parent_span_id": hex(&span.parent_span_id),
                    "name": span.name,
                    "kind": kind(span.kind),
                    "start_unix_nano": span.start_time_unix_nano.to_string(),
                    "end_unix_nano": span.end_time_unix_nano.to_string(),
                    "attributes": object(&span.attributes),
                    "events": span.events.iter().map(|event| {
                        json!({
                            "name": event.name,
                            "time_unix_nano": event.time_unix_nano.to_string(),
                            "attributes": object(&event.attributes),
                        })
                    }).collect::<Value>(),
                    "resource": resource,
                })
            })
        });
        all.collect()
    }

    /// Its log records in the form of `--output json`'s findings, for the same reason.
    #[must_use]
    pub fn findings(&self) -> Vec<Value> {
        let all = self.resource_logs.iter().flat_map(|resource_logs| {
            let resource = resource_logs.resource.as_ref().map(|r| object(&r.attributes));
            let logs = resource_logs.scope_logs.iter().flat_map(|scope| &scope.log_records);
            logs.map(move |log| {
                let mut attributes = object(&log.attributes);
                let mut take = |key: &str| attributes.as_object_mut().and_then(|object| object.remove(key));
                let texts = take("tracer.finding.evidence.text");
                let times = take("tracer.finding.evidence.time_unix_nano");
                let list =
                    |value: Option<Value>| value.and_then(|v| v.as_array().cloned()).unwrap_or_default();
                let facts = list(times).into_iter().zip(list(texts));
                json!({
                    "rule": log.event_name,
                    "severity": log.severity_text,
                    "severity_number": log.severity_number,
                    "security_rule.name": take("security_rule.name"),
                    "tracer.finding.severity": take("tracer.finding.severity"),
                    "confidence": take("tracer.finding.confidence"),
                    "time_unix_nano": log.time_unix_nano.to_string(),
                    "title": value(log.body.as_ref()),
                    "trace_id": hex(&log.trace_id),
                    "span_id": hex(&log.span_id),
                    "resource": resource,
                    "evidence": facts
                        .map(|(time, text)| json!({"time_unix_nano": time.to_string(), "text": text}))
                        .collect::<Value>(),
                    "attributes": attributes,
                })
            })
        });
        all.collect()
    }
}

fn kind(number: i32) -> &'static str {
    SpanKind::try_from(number).map_or("", |kind| kind.as_str_name().trim_start_matches("SPAN_KIND_"))
}

fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn object(attributes: &[KeyValue]) -> Value {
    let pairs = attributes.iter().map(|pair| (pair.key.clone(), value(pair.value.as_ref())));
    Value::Object(pairs.collect::<Map<_, _>>())
}

fn value(any: Option<&AnyValue>) -> Value {
    match any.and_then(|any| any.value.as_ref()) {
        Some(Any::StringValue(text)) => json!(text),
        Some(Any::IntValue(number)) => json!(number),
        Some(Any::DoubleValue(number)) => json!(number),
        Some(Any::BoolValue(truth)) => json!(truth),
        Some(Any::ArrayValue(list)) => list.values.iter().map(|item| value(Some(item))).collect(),
        _ => Value::Null,
    }
}
