//! The exporter's own thread: batches, deliveries, complaints.

use super::{
    client::Client,
    http::{Failure, Refusal},
    outlet::{Counters, Queued},
    signal::{Names, Signal},
};
use std::{
    io::Write,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::{
    sync::mpsc::UnboundedReceiver,
    time::{Instant, timeout_at},
};

/// Items of a batch, as the specification's batch processor has it.
const BATCH: usize = 512;
/// Bytes of them: a receiver takes 4 MiB in one message of gRPC, by default.
const BATCH_BYTES: usize = 2 << 20;
/// How long a batch waits to be filled: a person who looks at the receiver does not notice.
const LINGER: Duration = Duration::from_millis(200);
/// One complaint a minute.
const COMPLAIN_EVERY: Duration = Duration::from_secs(60);
/// How the exporter crate words that the receiver has no such service.
const UNIMPLEMENTED: &str = "gRPC code: Unimplemented";

/// Takes items from the queue and delivers them, in order.
pub struct Worker<S: Signal> {
    client: Client<S>,
    destination: String,
    counters: Arc<Counters>,
    complained: Option<(Instant, Option<Refusal>)>,
}

impl<S: Signal> Worker<S> {
    /// A worker that delivers by `client`; `destination` says where, in words.
    pub fn new(client: Client<S>, destination: String, counters: Arc<Counters>) -> Self {
        Self { client, destination, counters, complained: None }
    }

    /// Works until the queue is closed and empty. Once it is closed, the first failure ends the work: what
    /// is left would wait for the same receiver.
    pub async fn run(mut self, mut queue: UnboundedReceiver<Queued<S>>) {
        let mut batch = Vec::with_capacity(BATCH);
        while fill(&mut queue, &mut batch).await {
            // The room is free again when they are delivered.
            let (items, _rooms): (Vec<_>, Vec<_>) = batch.drain(..).map(|q| (q.item, q.room)).unzip();
            for group in by_resource(items) {
                let delivered = self.deliver(&group).await;
                if !delivered && queue.is_closed() {
                    return;
                }
            }
        }
    }

    /// Delivers items of one process, at least one.
    async fn deliver(&mut self, items: &[Arc<S>]) -> bool {
        let result = S::export(&mut self.client.exporter, items[0].resource(), items).await;
        let counter = if result.is_ok() { &self.counters.exported } else { &self.counters.failed };
        counter.fetch_add(items.len() as u64, Ordering::Relaxed);
        self.counters.failing.store(result.is_err(), Ordering::Relaxed);
        if let Err(error) = &result {
            let error = error.to_string();
            self.complain(error.strip_prefix("Operation failed: ").unwrap_or(&error));
        }
        result.is_ok()
    }

    fn complain(&mut self, error: &str) {
        let reason = self.client.reason.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take();
        let failure = reason.unwrap_or_else(|| Failure {
            words: error.to_owned(),
            refusal: error.contains(UNIMPLEMENTED).then_some(Refusal::Unknown),
        });
        if self.complained.is_some_and(|(last, refusal)| is_said(last.elapsed(), refusal, failure.refusal)) {
            return;
        }
        self.complained = Some((Instant::now(), failure.refusal));
        let failed = self.counters.failed.load(Ordering::Relaxed);
        // Without standard error there is nobody to tell.
        let _ = writeln!(std::io::stderr(), "{}", complaint(&S::NAMES, &self.destination, &failure, failed));
    }
}

/// Whether a complaint would say again what the last one said: at once it does; that a receiver does not know the
/// signal at all, it would say for ever.
fn is_said(ago: Duration, last: Option<Refusal>, now: Option<Refusal>) -> bool {
    ago < COMPLAIN_EVERY || (last, now) == (Some(Refusal::Unknown), Some(Refusal::Unknown))
}

fn complaint(signal: &Names, destination: &str, failure: &Failure, failed: u64) -> String {
    format!(
        "tracer: cannot deliver {} to {destination}: {}; {failed} undelivered so far, tracing goes on. {}",
        signal.items,
        failure.words,
        advice(signal, failure.refusal)
    )
}

/// What to do, by what the receiver answered, if it did.
fn advice(signal: &Names, refusal: Option<Refusal>) -> &'static str {
    match refusal {
        Some(Refusal::Unknown) => signal.unknown,
        Some(Refusal::Unauthorized) => {
            "It wants to know who sends: OTEL_EXPORTER_OTLP_HEADERS carries keys and tokens"
        }
        Some(Refusal::Other) => "It listens and refuses them: its own log may say why",
        None => {
            "Is a receiver running there? OTEL_EXPORTER_OTLP_ENDPOINT and OTEL_EXPORTER_OTLP_PROTOCOL say where \
             and how"
        }
    }
}

/// Waits for an item, then for more, until there is a batch or [`LINGER`] is over. False when the queue is
/// closed and empty.
async fn fill<S>(queue: &mut UnboundedReceiver<Queued<S>>, batch: &mut Vec<Queued<S>>) -> bool {
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

/// One group for each process, in the order of their first items: an exporter sends one resource at a time.
fn by_resource<S: Signal>(items: Vec<Arc<S>>) -> Vec<Vec<Arc<S>>> {
    let mut groups: Vec<Vec<Arc<S>>> = Vec::new();
    for item in items {
        match groups.iter_mut().find(|group| Arc::ptr_eq(group[0].resource(), item.resource())) {
            Some(group) => group.push(item),
            None => groups.push(vec![item]),
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{resource, server_span};
    use tracer_engine::{Finding, Span};

    #[test]
    fn a_batch_is_one_group_for_each_process() {
        let (a, b) = (resource("a", 1), resource("b", 2));
        let spans = [&a, &b, &a].map(|r| Arc::new(Span { resource: r.clone(), ..server_span() }));
        let groups = by_resource(spans.to_vec());
        let got: Vec<_> = groups.iter().map(|spans| (spans[0].resource.pid, spans.len())).collect();
        assert_eq!(got, [(1, 2), (2, 1)]);
    }

    #[test]
    fn a_complaint_says_what_where_why_and_what_to_do() {
        let refused = Failure { words: "connection refused".into(), refusal: None };
        assert_eq!(
            complaint(&Span::NAMES, "http://h:4318 (http/protobuf)", &refused, 7),
            "tracer: cannot deliver spans to http://h:4318 (http/protobuf): connection refused; 7 undelivered so \
             far, tracing goes on. Is a receiver running there? OTEL_EXPORTER_OTLP_ENDPOINT and \
             OTEL_EXPORTER_OTLP_PROTOCOL say where and how"
        );
    }

    #[test]
    fn the_advice_follows_from_the_answer() {
        let advice =
            |signal, code: u16| advice(signal, Some(http::StatusCode::from_u16(code).unwrap().into()));
        let (spans, findings) = (&Span::NAMES, &Finding::NAMES);
        assert!(advice(spans, 404).contains("at this path") && advice(spans, 405).contains("at this path"));
        assert!(advice(findings, 404).contains("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT"));
        assert!(advice(spans, 401).contains("OTEL_EXPORTER_OTLP_HEADERS"));
        assert!(advice(spans, 400).contains("its own log") && advice(findings, 503).contains("its own log"));
    }

    #[test]
    fn what_stays_as_it_is_is_said_once() {
        let (soon, late) = (COMPLAIN_EVERY / 2, COMPLAIN_EVERY);
        let unknown = Some(Refusal::Unknown);
        assert!(is_said(soon, None, None) && !is_said(late, None, None));
        assert!(is_said(soon, unknown, unknown) && is_said(late, unknown, unknown));
        assert!(!is_said(late, unknown, None) && !is_said(late, None, unknown));
    }
}
