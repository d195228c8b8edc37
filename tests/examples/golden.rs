//! `cargo xtask golden --record`: records the cases of `agent/tests/golden` anew, or those alone whose names begin
//! with the argument.

use anyhow::{Context, Result};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use tracer_tests::accuracy::{Case, How, IDS, RUNTIMES, Scene};
use tracer_tests::recording::{Recorder, cut};
use tracer_tests::smuggling::{self, Stack};
use tracer_tests::{Stage, environment};

const CONNECTIONS: u32 = 8;
const EACH: u32 = 7;
/// What is hard: where a thread serves what it calls for itself, there is nothing to find out.
const HOWS: [How; 2] = [How::Parallel, How::Hop];

fn main() -> Result<()> {
    let wanted = std::env::args().nth(1).unwrap_or_default();
    for runtime in RUNTIMES {
        for (how, ids) in HOWS.into_iter().flat_map(|how| IDS.map(|ids| (how, ids))) {
            let case = Case { runtime, how, ids };
            let name = format!("{}-{}-{}", runtime.name(), how.name(), ids.name());
            if name.starts_with(&wanted) {
                record(&name, |stage, file| calls(stage, file, case))?;
            }
        }
    }
    for scene in smuggling::scenes() {
        let name = format!("smuggling-{}", scene.name);
        if name.starts_with(&wanted) {
            record(&name, |stage, file| requests(stage, file, &scene))?;
        }
    }
    Ok(())
}

/// Keeps what the scene's processes did, which it gives.
fn record(name: &str, scene: impl FnOnce(&Stage, &Path) -> Result<BTreeSet<u32>>) -> Result<()> {
    let stage = Stage::new()?;
    let file = stage.path("f.trc");
    let pids = scene(&stage, &file).with_context(|| name.to_owned())?;
    let recording = cut(&fs::read(&file)?, &pids)?;
    println!("{name}: {} KB", recording.len().div_ceil(1000));
    Ok(fs::write(environment::workspace().join(format!("agent/tests/golden/{name}.trc")), recording)?)
}

fn calls(stage: &Stage, file: &Path, case: Case) -> Result<BTreeSet<u32>> {
    let mut scene = Scene::start(stage, case, CONNECTIONS, false)?;
    let recorder = Recorder::start(stage, file)?;
    scene.ask(EACH)?;
    recorder.stop()?;
    Ok(scene.pids())
}

fn requests(stage: &Stage, file: &Path, scene: &smuggling::Scene) -> Result<BTreeSet<u32>> {
    let mut stack = Stack::start(stage, scene.back)?;
    let recorder = Recorder::start(stage, file)?;
    stack.play(scene)?;
    recorder.stop()?;
    Ok(stack.pids())
}
