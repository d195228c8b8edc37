//! Spans to a receiver, by OTLP.
//!
//! The pipeline hands spans to a queue of bounded size and goes on; a thread of its own takes them from there. What
//! the receiver does not take in time is dropped and counted: tracing never waits for it.

mod client;
mod convert;
mod http;
mod settings;
mod worker;

use crate::{Usage, trace::say};
use anyhow::{Context, Result};
use client::Client;
use settings::Settings;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc as std_mpsc,
    },
    thread,
    time::Duration,
};
use tokio::{
    runtime,
    sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError, mpsc},
};
use tracer_engine::Span;

/// Bytes of spans that wait for the exporter or are on their way: a second of spans of everyday size, about
/// 1.5 KB, at 10,000 a second.
const QUEUE: u32 = 16 << 20;
/// How long the end of a run waits for the last spans to be delivered.
const FLUSH_DEADLINE: Duration = Duration::from_secs(5);

/// What became of the spans that were to be exported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Delivery {
    /// Taken by the receiver.
    pub exported: u64,
    /// Sent, but not taken by the receiver, all retries included; or still unsent at the end.
    pub failed: u64,
    /// Not sent, since the queue was full.
    pub dropped: u64,
}

/// Counters shared with the worker.
#[derive(Debug, Default)]
struct Counters {
    exported: AtomicU64,
    failed: AtomicU64,
    /// The last delivery failed.
    failing: AtomicBool,
}

/// What to do when the queue is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// Drop the span: live, tracing must go on.
    Drop,
    /// Wait, as long as the receiver takes spans at all: on replay, time is ours.
    Wait,
}

/// A span, with the room in the queue that it takes until it is delivered.
#[derive(Debug)]
struct Queued {
    span: Arc<Span>,
    room: OwnedSemaphorePermit,
}

/// The pipeline's end of the queue.
#[derive(Debug)]
pub struct Exporter {
    queue: mpsc::UnboundedSender<Queued>,
    /// One permit for each of [`QUEUE`]'s bytes that is free.
    room: Arc<Semaphore>,
    runtime: runtime::Handle,
    when_full: WhenFull,
    sent: u64,
    dropped: u64,
    counters: Arc<Counters>,
    done: std_mpsc::Receiver<()>,
}

impl Exporter {
    /// Starts the exporter as the `OTEL_EXPORTER_OTLP_*` variables say. Nothing is connected yet.
    ///
    /// # Errors
    /// [`Usage`] when a variable makes no sense, or a certificate cannot be read.
    pub fn start(when_full: WhenFull) -> Result<Self> {
        let settings = Settings::from_environment().map_err(Usage)?;
        settings.without_effect().iter().for_each(|remark| say(&format!("tracer: {remark}")));
        Self::with_settings(when_full, settings)
    }

    fn with_settings(when_full: WhenFull, settings: Settings) -> Result<Self> {
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            // Name look-ups of the HTTP client run there; one at a time is enough.
            .max_blocking_threads(1)
            .build()
            .context("cannot start the OTLP exporter")?;
        let client = {
            let _inside = runtime.enter();
            Client::new(&settings).map_err(Usage)?
        };
        let (queue, spans) = mpsc::unbounded_channel();
        let room = Arc::new(Semaphore::new(QUEUE as usize));
        let handle = runtime.handle().clone();
        let (ended, done) = std_mpsc::channel();
        let counters = Arc::<Counters>::default();
        let worker = worker::Worker::new(client, settings.destination(), counters.clone());
        let body = move || {
            runtime.block_on(worker.run(spans));
            // Nobody may be waiting any more.
            let _ = ended.send(());
        };
        thread::Builder::new().name("otlp".into()).spawn(body).context("cannot start the OTLP exporter")?;
        Ok(Self { queue, room, runtime: handle, when_full, sent: 0, dropped: 0, counters, done })
    }

    /// Gives a span to the exporter, or drops it.
    pub fn send(&mut self, span: &Arc<Span>) {
        let room = self.room_for(span);
        let taken = room.is_some_and(|room| self.queue.send(Queued { span: span.clone(), room }).is_ok());
        self.sent += 1;
        self.dropped += u64::from(!taken);
    }

    fn room_for(&self, span: &Span) -> Option<OwnedSemaphorePermit> {
        let bytes = u32::try_from(span.footprint()).unwrap_or(QUEUE).min(QUEUE);
        let waits = self.when_full == WhenFull::Wait && !self.counters.failing.load(Ordering::Relaxed);
        match self.room.clone().try_acquire_many_owned(bytes) {
            Err(TryAcquireError::NoPermits) if waits => {
                self.runtime.block_on(self.room.clone().acquire_many_owned(bytes)).ok()
            }
            room => room.ok(),
        }
    }

    /// Waits until all that was sent is delivered, at most [`FLUSH_DEADLINE`].
    pub fn finish(self) -> Delivery {
        self.finish_within(FLUSH_DEADLINE)
    }

    fn finish_within(self, deadline: Duration) -> Delivery {
        let Self { queue, sent, dropped, counters, done, .. } = self;
        drop(queue);
        // On a timeout what is on its way counts as failed; the thread ends with the process.
        let _ = done.recv_timeout(deadline);
        let exported = counters.exported.load(Ordering::Relaxed);
        Delivery { exported, failed: sent - dropped - exported, dropped }
    }
}

#[cfg(test)]
mod tests;
