//! The live loop: from the kernel's records to the pipeline, until something ends it.

use crate::{
    clock,
    command::{Command, Ending},
    pipeline::{Error, Pipeline, Wish},
    source::{Lost, Source},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};
use tracer_engine::{Input, Time};

/// Records taken at a time. Ticks, output and the end get their turn in between: some 5 ms at the full rate
/// of the engine.
const BUDGET: usize = 4096;
/// Pause after records came. The kernel side wakes nobody, as that costs the traced program, except when a
/// burst fills a good part of the ring buffer.
const BUSY_PAUSE: Duration = Duration::from_millis(5);
/// Longest pause when nothing comes: 20 wakeups a second, and a delay that nobody notices.
const IDLE_PAUSE: Duration = Duration::from_millis(50);
/// How often the counters of lost records are read: it takes system calls.
const LOST_EVERY_MS: u64 = 100;
/// How long the last spans of an ended command are waited for: its peers may still be at work.
const GRACE_MS: u64 = 300;
/// How long the ring buffer is emptied after the end, at most: on a busy node it never is empty.
const LAST_DRAIN_MS: u64 = 500;

/// Pause between two looks for the last answers about processes.
const ANSWER_PAUSE: Duration = Duration::from_millis(1);

/// What ends a live run.
pub struct Until {
    stop: Arc<AtomicBool>,
    deadline: Option<Time>,
    command: Option<Command>,
    command_ended: Option<(Time, Ending)>,
}

impl Until {
    /// Ends when `stop` is set, `deadline` is over, or `command` ended and its grace is over.
    pub fn new(stop: Arc<AtomicBool>, deadline: Option<Time>, command: Option<Command>) -> Self {
        Self { stop, deadline, command, command_ended: None }
    }

    fn is_over(&mut self, now: Time) -> bool {
        if self.command_ended.is_none() {
            self.command_ended = self.command.as_mut().and_then(Command::ending).map(|ending| (now, ending));
        }
        self.stop.load(Ordering::Relaxed)
            || self.deadline.is_some_and(|deadline| now >= deadline)
            || self.command_ended.is_some_and(|(ended, _)| now >= ended.plus_ms(GRACE_MS))
    }
}

/// Feeds the pipeline until the run is over and what was in the ring buffer by then is through. A command
/// that still runs is ended; of one that ended by itself it gives how.
///
/// # Errors
/// When the pipeline cannot go on; see [`Pipeline::feed`].
pub fn run(
    source: &mut dyn Source,
    pipeline: &mut Pipeline,
    mut until: Until,
) -> Result<Option<Ending>, Error> {
    let mut pause = BUSY_PAUSE;
    let mut lost_due = clock::now();
    while !until.is_over(clock::now()) {
        let drained = turn(source, pipeline, &mut lost_due)?;
        pause = match drained {
            BUDGET => continue,
            0 => (pause * 2).min(IDLE_PAUSE),
            _ => BUSY_PAUSE,
        };
        source.wait(until_timeout(pipeline.poll_timeout(), clock::now()).map_or(pause, |t| pause.min(t)));
    }
    drop(until.command.take());
    let end = clock::now().plus_ms(LAST_DRAIN_MS);
    lost_due = end;
    while turn(source, pipeline, &mut lost_due)? > 0 && clock::now() < end {}
    report_lost(source, pipeline)?;
    while pipeline.take_answers(clock::now())? && clock::now() < end {
        thread::sleep(ANSWER_PAUSE);
    }
    Ok(until.command_ended.map(|(_, ending)| ending))
}

/// One turn: a budget of records, mutes, losses, answers about processes, a tick if due, and whatever is to be
/// shown.
fn turn(source: &mut dyn Source, pipeline: &mut Pipeline, lost_due: &mut Time) -> Result<usize, Error> {
    let mut result = Ok(());
    let drained = source.drain(BUDGET, &mut |record| {
        if result.is_ok() {
            result = pipeline.feed(Input::Record(record), clock::now());
        }
    });
    result?;
    for wish in pipeline.take_wishes() {
        match wish {
            Wish::Mute { id, inode, turns } => source.mute(id, inode, turns),
            Wish::Watch(pid) => source.watch(pid),
            Wish::Unwatch(pid) => source.unwatch(pid),
        }
    }
    if clock::now() >= *lost_due {
        report_lost(source, pipeline)?;
        *lost_due = clock::now().plus_ms(LOST_EVERY_MS);
    }
    let now = clock::now();
    pipeline.take_answers(now)?;
    if pipeline.poll_timeout().is_some_and(|due| due <= now) {
        pipeline.feed(Input::Tick, now)?;
    }
    pipeline.settle(now)?;
    Ok(drained)
}

fn report_lost(source: &mut dyn Source, pipeline: &mut Pipeline) -> Result<(), Error> {
    let lost = source.take_lost();
    if lost == Lost::default() { Ok(()) } else { pipeline.feed(Input::Lost(lost), clock::now()) }
}

/// How long until a timeout, but never so short that waiting for it becomes spinning.
fn until_timeout(due: Option<Time>, now: Time) -> Option<Duration> {
    due.map(|due| Duration::from_nanos(due.since(now)).max(Duration::from_millis(1)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        describer::Describer,
        source::FakeSource,
        testing::{exchange, fork},
    };
    use tracer_engine::{Config, Engine, ProcessFacts};

    fn stopped() -> Arc<AtomicBool> {
        Arc::new(AtomicBool::new(true))
    }

    #[test]
    fn what_came_before_the_end_is_still_handled() {
        let records = std::iter::repeat_n(fork(1, 2), BUDGET + 1).collect();
        let mut source = FakeSource { records, lost: [1, 0, 2, 0, 0], ..FakeSource::default() };
        let mut pipeline = Pipeline::new(Engine::new(Config::default()));
        run(&mut source, &mut pipeline, Until::new(stopped(), None, None)).unwrap();
        assert!(source.records.is_empty());
        assert_eq!(source.lost, Lost::default());
    }

    #[test]
    fn the_deadline_ends_a_run() {
        let mut pipeline = Pipeline::new(Engine::new(Config::default()));
        let begin = clock::now();
        let until = Until::new(Arc::default(), Some(begin.plus_ms(60)), None);
        run(&mut FakeSource::default(), &mut pipeline, until).unwrap();
        let took = clock::now().since(begin);
        assert!((60_000_000..2_000_000_000).contains(&took), "{took}");
    }

    #[test]
    fn an_ended_command_ends_a_run_after_a_grace() {
        let mut pipeline = Pipeline::new(Engine::new(Config::default()));
        let command = Command::start(&["sh".into(), "-c".into(), "exit 7".into()]).unwrap();
        let begin = clock::now();
        let until = Until::new(Arc::default(), None, Some(command));
        let ending = run(&mut FakeSource::default(), &mut pipeline, until).unwrap();
        assert_eq!(ending, Some(Ending::Exited(7)));
        assert!(clock::now().since(begin) >= GRACE_MS * 1_000_000);
    }

    #[test]
    fn the_last_answers_are_waited_for_but_not_for_ever() {
        let slow = |pid| {
            std::thread::sleep(Duration::from_millis(20));
            ProcessFacts { pid, comm: "shop".into(), ..ProcessFacts::default() }
        };
        let held = |pid| {
            std::thread::sleep(Duration::from_secs(10));
            ProcessFacts { pid, ..ProcessFacts::default() }
        };
        for (describer, undescribed) in [(Describer::start(slow), 0), (Describer::start(held), 1)] {
            let mut source = FakeSource { records: exchange().into(), ..FakeSource::default() };
            let mut pipeline =
                Pipeline::new(Engine::new(Config::default())).with_describer(describer.unwrap());
            let begin = clock::now();
            run(&mut source, &mut pipeline, Until::new(stopped(), None, None)).unwrap();
            assert!(clock::now().since(begin) < 5_000_000_000);
            assert_eq!(pipeline.finish(clock::now()).unwrap().undescribed, undescribed);
        }
    }

    #[test]
    fn a_timeout_shortens_the_pause_but_never_to_nothing() {
        assert_eq!(until_timeout(None, Time(5)), None);
        assert_eq!(until_timeout(Some(Time(7_000_000)), Time(0)), Some(Duration::from_millis(7)));
        assert_eq!(until_timeout(Some(Time(1)), Time(9)), Some(Duration::from_millis(1)));
    }
}
