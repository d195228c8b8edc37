//! `cargo xtask golden --record`: records the cases of `agent/tests/golden` anew.

use anyhow::{Context, Result};
use std::fs;
use tracer_tests::accuracy::{Case, How, IDS, RUNTIMES, Scene};
use tracer_tests::recording::{Recorder, cut};
use tracer_tests::{Stage, environment};

const CONNECTIONS: u32 = 8;
const EACH: u32 = 7;
/// What is hard: where a thread serves what it calls for itself, there is nothing to find out.
const HOWS: [How; 2] = [How::Parallel, How::Hop];

fn main() -> Result<()> {
    for runtime in RUNTIMES {
        for how in HOWS {
            for ids in IDS {
                let case = Case { runtime, how, ids };
                record(case).with_context(|| format!("{case:?}"))?;
            }
        }
    }
    Ok(())
}

fn record(case: Case) -> Result<()> {
    let name = format!("{}-{}-{}.trc", case.runtime.name(), case.how.name(), case.ids.name());
    let stage = Stage::new()?;
    let mut scene = Scene::start(&stage, case, CONNECTIONS, false)?;
    let file = stage.path(&name);
    let recorder = Recorder::start(&stage, &file)?;
    scene.ask(EACH)?;
    recorder.stop()?;
    let recording = cut(&fs::read(&file)?, &scene.pids())?;
    println!("{name}: {} KB", recording.len() / 1000);
    Ok(fs::write(environment::workspace().join("agent/tests/golden").join(&name), recording)?)
}
