//! Reading `/proc` beside the live loop.
//!
//! Reading takes some 100 µs, and as long as a process pleases whose memory map is locked: that must hold up
//! neither the loop nor the ring buffer that it empties. So one thread of its own reads, and both ways to and
//! from it are bounded. Who cannot be described in time goes without, and is counted.

use anyhow::{Context, Result};
use std::{
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread,
};
use tracer_engine::ProcessFacts;

/// Questions that wait: a burst of launches asks some hundreds at once, and each takes some 100 µs to answer.
const QUESTIONS: usize = 4096;
/// Answers that wait, at most some 100 KiB each; when there are more, the thread waits.
const ANSWERS: usize = 64;

/// The thread, as who asks sees it. It ends with the questions, or with the process while it is held up.
#[derive(Debug)]
pub struct Describer {
    questions: SyncSender<u32>,
    answers: Receiver<ProcessFacts>,
    /// Asked, and not answered yet.
    open: u64,
    /// Not even asked, since too many questions waited.
    refused: u64,
}

impl Describer {
    /// Starts the thread, which answers by `describe`.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(describe: impl Fn(u32) -> ProcessFacts + Send + 'static) -> Result<Self> {
        let (questions, asked) = sync_channel(QUESTIONS);
        let (answer, answers) = sync_channel(ANSWERS);
        let body = move || {
            // It ends when nobody asks any more, or nobody listens.
            while let Ok(pid) = asked.recv()
                && answer.send(describe(pid)).is_ok()
            {}
        };
        thread::Builder::new().name("describe".into()).spawn(body).context("cannot start a thread")?;
        Ok(Self { questions, answers, open: 0, refused: 0 })
    }

    /// Asks about a process. Never waits.
    pub fn ask(&mut self, pid: u32) {
        match self.questions.try_send(pid) {
            Ok(()) => self.open += 1,
            Err(_) => self.refused += 1,
        }
    }

    /// The next answer, if there is one. Never waits.
    pub fn answer(&mut self) -> Option<ProcessFacts> {
        let facts = self.answers.try_recv().ok()?;
        self.open -= 1;
        Some(facts)
    }

    /// Whether answers are still to come.
    pub fn is_asked(&self) -> bool {
        self.open > 0
    }

    /// Processes that were asked about in vain so far.
    pub fn unanswered(&self) -> u64 {
        self.open + self.refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        sync::mpsc::channel,
        time::{Duration, Instant},
    };

    fn facts(pid: u32) -> ProcessFacts {
        ProcessFacts { pid, ..ProcessFacts::default() }
    }

    /// Waits for the next answer.
    fn next(describer: &mut Describer) -> ProcessFacts {
        let begin = Instant::now();
        loop {
            if let Some(facts) = describer.answer() {
                return facts;
            }
            assert!(begin.elapsed() < Duration::from_secs(10), "no answer");
            thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn answers_come_in_the_order_of_the_questions() {
        let mut describer = Describer::start(facts).unwrap();
        let pids = 1..=2 * ANSWERS as u32;
        pids.clone().for_each(|pid| describer.ask(pid));
        assert_eq!(
            pids.clone().map(|_| next(&mut describer).pid).collect::<Vec<_>>(),
            pids.collect::<Vec<_>>()
        );
        assert!(!describer.is_asked());
        assert_eq!(describer.unanswered(), 0);
    }

    #[test]
    fn who_holds_the_thread_up_holds_nobody_else_up() {
        let (go, held) = channel::<()>();
        let mut describer = Describer::start(move |pid| {
            let _ = held.recv();
            facts(pid)
        })
        .unwrap();
        let asked = QUESTIONS as u32 + 100;
        let begin = Instant::now();
        (0..asked).for_each(|pid| describer.ask(pid));
        assert_eq!(describer.answer(), None);
        assert!(begin.elapsed() < Duration::from_secs(5), "asking must not wait");
        assert_eq!(describer.unanswered(), u64::from(asked));
        // One question is with the thread, or still in the queue.
        assert!((99..=100).contains(&describer.refused), "{}", describer.refused);
        drop(go);
        assert_eq!(next(&mut describer).pid, 0);
    }
}
