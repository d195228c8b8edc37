//! `cargo xtask golden --record`: records the cases of `agent/tests/golden` anew, or those alone whose names begin
//! with the argument.

use anyhow::{Context, Result};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use tracer_tests::accuracy::{Case, How, IDS, RUNTIMES, Scene};
use tracer_tests::recording::{Recorder, cut, descendants};
use tracer_tests::smuggling::{self, Stack};
use tracer_tests::{Connection, Stage, environment, servers};

const CONNECTIONS: u32 = 8;
const EACH: u32 = 7;
/// What is hard: where a thread serves what it calls for itself, there is nothing to find out.
const HOWS: [How; 2] = [How::Parallel, How::Hop];

/// What is launched because a request says so, and the same words as data of a program.
const LAUNCHES: [(&str, &str); 2] = [
    ("launch-attack", "/launch-shell?say=id%3B+uname+-a"),
    ("launch-attack-twin", "/launch-data?say=id%3B+uname+-a"),
];

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
    for (name, target) in LAUNCHES {
        if name.starts_with(&wanted) {
            record(name, |stage, file| launches(stage, file, target))?;
        }
    }
    for scene in smuggling::scenes().into_iter().chain(smuggling::prefixes()) {
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

fn launches(stage: &Stage, file: &Path, target: &str) -> Result<BTreeSet<u32>> {
    let server = servers::werkzeug(stage)?;
    let recorder = Recorder::start(stage, file)?;
    Connection::open(&server.address)?.get(target)?;
    recorder.stop()?;
    descendants(&fs::read(file)?, server.pids())
}
