//! Calls hang on the request that caused them, also when many are open; `cargo xtask links` measures more.

use anyhow::{Result, ensure};
use tracer_tests::accuracy::{Case, HOWS, How, Ids, Load, Runtime, Tally, measure};

const LOAD: Load = Load { connections: 8, each: 15 };
/// Rightly linked at least, wrongly at most, in percent, where words tell: a busy machine costs some.
const RIGHT: f64 = 99.0;
const WRONG: f64 = 1.0;

fn tally(runtime: Runtime, how: How, ids: Ids) -> Result<Tally> {
    let tally = measure(Case { runtime, how, ids }, LOAD, false)?;
    ensure!(tally.calls() >= LOAD.connections * LOAD.each, "{runtime:?} {how:?}: too few calls: {tally:?}");
    Ok(tally)
}

fn by_words(runtime: Runtime) -> Result<()> {
    HOWS.into_iter().try_for_each(|how| {
        let tally = tally(runtime, how, Ids::Plain)?;
        let [right, wrong, _] = tally.percent();
        ensure!(right >= RIGHT && wrong <= WRONG, "{runtime:?} {how:?}: {tally:?}");
        Ok(())
    })
}

#[test]
fn by_words_in_an_event_loop() -> Result<()> {
    by_words(Runtime::Node)
}

#[test]
fn by_words_with_threads() -> Result<()> {
    by_words(Runtime::Threads)
}

/// A thread that serves one request at a time says it all: no word is needed, and no call may be missed.
#[test]
fn by_thread_without_words() -> Result<()> {
    let tally = tally(Runtime::Threads, How::InTurn, Ids::Opaque)?;
    ensure!(tally.right == tally.calls(), "{tally:?}");
    Ok(())
}

/// What a timer begins shows nothing of its request: such a call is left alone.
#[test]
fn nothing_is_guessed_without_words_in_an_event_loop() -> Result<()> {
    let tally = tally(Runtime::Node, How::Hop, Ids::Opaque)?;
    let [_, wrong, _] = tally.percent();
    ensure!(wrong <= 2.0, "{tally:?}");
    Ok(())
}
