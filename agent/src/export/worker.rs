//! The exporter's own thread: batches, deliveries, complaints.

use super::{Counters, Queued, client::Client, convert, http::Failure};
use http::StatusCode;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use std::{
    io::Write,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::{
    sync::mpsc::UnboundedReceiver,
    time::{Instant, timeout_at},
};
use tracer_engine::{Resource, Span};

/// Spans of a batch, as the specification's batch processor has it.
const BATCH: usize = 512;
/// Bytes of them: a receiver takes 4 MiB in one message of gRPC, by default.
const BATCH_BYTES: usize = 2 << 20;
/// How long a batch waits to be filled: a person who looks at the receiver does not notice.
const LINGER: Duration = Duration::from_millis(200);
/// One complaint a minute.
const COMPLAIN_EVERY: Duration = Duration::from_secs(60);

/// Takes spans from the queue and delivers them, in order.
pub struct Worker {
    client: Client,
    destination: String,
    counters: Arc<Counters>,
    complained: Option<Instant>,
}

impl Worker {
    /// A worker that delivers by `client`; `destination` says where, in words.
    pub fn new(client: Client, destination: String, counters: Arc<Counters>) -> Self {
        Self { client, destination, counters, complained: None }
    }

    /// Works until the queue is closed and empty. Once it is closed, the first failure ends the work: what
    /// is left would wait for the same receiver.
    pub async fn run(mut self, mut queue: UnboundedReceiver<Queued>) {
        let mut batch = Vec::with_capacity(BATCH);
        while fill(&mut queue, &mut batch).await {
            // The room is free again when they are delivered.
            let (spans, _rooms): (Vec<_>, Vec<_>) = batch.drain(..).map(|q: Queued| (q.span, q.room)).unzip();
            let groups = by_resource(spans.into_iter());
            for (resource, spans) in groups {
                let delivered = self.deliver(&resource, spans).await;
                if !delivered && queue.is_closed() {
                    return;
                }
            }
        }
    }

    async fn deliver(&mut self, resource: &Resource, spans: Vec<SpanData>) -> bool {
        let count = spans.len() as u64;
        self.client.exporter.set_resource(&convert::resource(resource));
        let result = self.client.exporter.export(spans).await;
        let counter = if result.is_ok() { &self.counters.exported } else { &self.counters.failed };
        counter.fetch_add(count, Ordering::Relaxed);
        self.counters.failing.store(result.is_err(), Ordering::Relaxed);
        if let Err(error) = &result {
            let error = error.to_string();
            self.complain(error.strip_prefix("Operation failed: ").unwrap_or(&error));
        }
        result.is_ok()
    }

    fn complain(&mut self, error: &str) {
        if self.complained.is_some_and(|last| last.elapsed() < COMPLAIN_EVERY) {
            return;
        }
        self.complained = Some(Instant::now());
        let reason = self.client.reason.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take();
        let failure = reason.unwrap_or_else(|| Failure { words: error.to_owned(), answer: None });
        let failed = self.counters.failed.load(Ordering::Relaxed);
        // Without standard error there is nobody to tell.
        let _ = writeln!(std::io::stderr(), "{}", complaint(&self.destination, &failure, failed));
    }
}

fn complaint(destination: &str, failure: &Failure, failed: u64) -> String {
    format!(
        "tracer: cannot deliver spans to {destination}: {}; {failed} undelivered so far, tracing goes on. {}",
        failure.words,
        advice(failure.answer)
    )
}

/// What to do, by what the receiver answered, if it did.
fn advice(answer: Option<StatusCode>) -> &'static str {
    match answer {
        Some(StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED) => {
            "Something listens there, but takes no spans at this path: OTEL_EXPORTER_OTLP_ENDPOINT is completed \
             by /v1/traces, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is taken as it is"
        }
        Some(StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
            "It wants to know who sends: OTEL_EXPORTER_OTLP_HEADERS carries keys and tokens"
        }
        Some(_) => "It listens and refuses them: its own log may say why",
        None => {
            "Is a receiver running there? OTEL_EXPORTER_OTLP_ENDPOINT and OTEL_EXPORTER_OTLP_PROTOCOL say where \
             and how"
        }
    }
}

/// Waits for a span, then for more, until there is a batch or [`LINGER`] is over. False when the queue is
/// closed and empty.
async fn fill(queue: &mut UnboundedReceiver<Queued>, batch: &mut Vec<Queued>) -> bool {
    let mut next = queue.recv().await;
    let deadline = Instant::now() + LINGER;
    let mut bytes = 0;
    while let Some(queued) = next {
        bytes += queued.room.num_permits();
        batch.push(queued);
        if batch.len() >= BATCH || bytes >= BATCH_BYTES {
            break;
        }
        next = timeout_at(deadline, queue.recv()).await.ok().flatten();
    }
    !batch.is_empty()
}

/// One group for each process, in the order of their first spans: an exporter sends one resource at a time.
fn by_resource(spans: impl Iterator<Item = Arc<Span>>) -> Vec<(Arc<Resource>, Vec<SpanData>)> {
    let mut groups: Vec<(Arc<Resource>, Vec<SpanData>)> = Vec::new();
    for span in spans {
        let data = convert::span(&span);
        match groups.iter_mut().find(|(resource, _)| Arc::ptr_eq(resource, &span.resource)) {
            Some((_, group)) => group.push(data),
            None => groups.push((span.resource.clone(), vec![data])),
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{resource, server_span};

    #[test]
    fn a_batch_is_one_group_for_each_process() {
        let (a, b) = (resource("a", 1), resource("b", 2));
        let spans = [&a, &b, &a].map(|r| Arc::new(Span { resource: r.clone(), ..server_span() }));
        let groups = by_resource(spans.into_iter());
        let got: Vec<_> = groups.iter().map(|(r, spans)| (r.pid, spans.len())).collect();
        assert_eq!(got, [(1, 2), (2, 1)]);
    }

    #[test]
    fn a_complaint_says_what_where_why_and_what_to_do() {
        let refused = Failure { words: "connection refused".into(), answer: None };
        assert_eq!(
            complaint("http://h:4318 (http/protobuf)", &refused, 7),
            "tracer: cannot deliver spans to http://h:4318 (http/protobuf): connection refused; 7 undelivered so \
             far, tracing goes on. Is a receiver running there? OTEL_EXPORTER_OTLP_ENDPOINT and \
             OTEL_EXPORTER_OTLP_PROTOCOL say where and how"
        );
    }

    #[test]
    fn the_advice_follows_from_the_answer() {
        let advice = |code: u16| advice(Some(StatusCode::from_u16(code).unwrap()));
        assert!(advice(404).contains("at this path") && advice(405).contains("at this path"));
        assert!(advice(401).contains("OTEL_EXPORTER_OTLP_HEADERS"));
        assert!(advice(400).contains("its own log") && advice(503).contains("its own log"));
    }
}
