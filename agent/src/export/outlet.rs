//! One signal's way to its receiver: a queue of bounded size, and a thread of its own at the end of it.

use super::{Delivery, WhenFull, client::Client, settings::Settings, signal::Signal, worker::Worker};
use crate::Usage;
use anyhow::{Context, Result};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc as std_mpsc,
    },
    thread,
    time::Instant,
};
use tokio::{
    runtime,
    sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError, mpsc},
};

/// Counters shared with the worker.
#[derive(Debug, Default)]
pub struct Counters {
    /// [`Delivery::exported`].
    pub exported: AtomicU64,
    /// [`Delivery::failed`], so far.
    pub failed: AtomicU64,
    /// The last delivery failed.
    pub failing: AtomicBool,
}

/// An item, with the room in the queue that it takes until it is delivered.
#[derive(Debug)]
pub struct Queued<S> {
    /// The item.
    pub item: Arc<S>,
    /// Its room, one permit for each byte.
    pub room: OwnedSemaphorePermit,
}

/// The pipeline's end of the queue.
#[derive(Debug)]
pub struct Outlet<S> {
    queue: mpsc::UnboundedSender<Queued<S>>,
    /// One permit for each of [`Signal::QUEUE`]'s bytes that is free.
    room: Arc<Semaphore>,
    runtime: runtime::Handle,
    when_full: WhenFull,
    sent: u64,
    dropped: u64,
    counters: Arc<Counters>,
    done: std_mpsc::Receiver<()>,
}

impl<S: Signal> Outlet<S> {
    /// Starts the thread. Nothing is connected yet.
    ///
    /// # Errors
    /// [`Usage`] when a certificate cannot be read.
    pub fn start(when_full: WhenFull, settings: &Settings) -> Result<Self> {
        let items = S::NAMES.items;
        let cannot_start = || format!("cannot start the OTLP exporter of {items}");
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            // Name look-ups of the HTTP client run there; one at a time is enough.
            .max_blocking_threads(1)
            .build()
            .with_context(cannot_start)?;
        let client = {
            let _inside = runtime.enter();
            Client::<S>::new(settings).map_err(Usage)?
        };
        let (queue, queued) = mpsc::unbounded_channel();
        let room = Arc::new(Semaphore::new(S::QUEUE as usize));
        let handle = runtime.handle().clone();
        let (ended, done) = std_mpsc::channel();
        let counters = Arc::<Counters>::default();
        let worker = Worker::new(client, settings.destination(), counters.clone());
        let body = move || {
            runtime.block_on(worker.run(queued));
            // Nobody may be waiting any more.
            let _ = ended.send(());
        };
        thread::Builder::new().name(format!("otlp-{items}")).spawn(body).with_context(cannot_start)?;
        Ok(Self { queue, room, runtime: handle, when_full, sent: 0, dropped: 0, counters, done })
    }

    /// Gives an item to the exporter, or drops it.
    pub fn send(&mut self, item: &Arc<S>) {
        let room = self.room_for(item);
        let taken = room.is_some_and(|room| self.queue.send(Queued { item: item.clone(), room }).is_ok());
        self.sent += 1;
        self.dropped += u64::from(!taken);
    }

    fn room_for(&self, item: &S) -> Option<OwnedSemaphorePermit> {
        let bytes = u32::try_from(item.footprint()).unwrap_or(S::QUEUE).min(S::QUEUE);
        let waits = self.when_full == WhenFull::Wait && !self.counters.failing.load(Ordering::Relaxed);
        match self.room.clone().try_acquire_many_owned(bytes) {
            Err(TryAcquireError::NoPermits) if waits => {
                self.runtime.block_on(self.room.clone().acquire_many_owned(bytes)).ok()
            }
            room => room.ok(),
        }
    }

    /// Nothing more comes: what was sent is being delivered.
    pub fn close(self) -> Closed {
        let Self { sent, dropped, counters, done, .. } = self;
        Closed { sent, dropped, counters, done }
    }
}

/// A queue that is being emptied.
#[derive(Debug)]
pub struct Closed {
    sent: u64,
    dropped: u64,
    counters: Arc<Counters>,
    done: std_mpsc::Receiver<()>,
}

impl Closed {
    /// Waits until all that was sent is delivered or given up, at most until `until`. Whether it is.
    pub fn is_done_by(&self, until: Instant) -> bool {
        let wait = self.done.recv_timeout(until.saturating_duration_since(Instant::now()));
        wait != Err(std_mpsc::RecvTimeoutError::Timeout)
    }

    /// Waits until all that was sent is delivered, at most until `deadline`.
    pub fn finish(self, deadline: Instant) -> Delivery {
        let Self { sent, dropped, counters, done } = self;
        // On a timeout what is on its way counts as failed; the thread ends with the process.
        let _ = done.recv_timeout(deadline.saturating_duration_since(Instant::now()));
        let exported = counters.exported.load(Ordering::Relaxed);
        Delivery { exported, failed: sent - dropped - exported, dropped }
    }
}
