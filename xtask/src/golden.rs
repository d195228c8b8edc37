//! Recordings of hard cases, and what they replay to.

use crate::process::{run, say};
use crate::project::Project;
use crate::{build, live};
use anyhow::Result;

/// Writes down anew what the recordings of agent/tests/golden replay to; on request after recording them anew.
pub fn golden(project: &Project, record: bool) -> Result<()> {
    if record {
        let mut cargo = live::cargo(project)?;
        say("recording anew");
        run(cargo.args(["run", "--quiet", "--locked", "--package", "tracer-tests", "--example", "golden"]))?;
    }
    say("writing what they replay to");
    run(build::cargo(project)
        .args(["test", "--quiet", "--locked", "--package", "tracer", "--test", "golden"])
        .env("TRACER_GOLDEN", "write"))?;
    say("done: what changed is in `git diff agent/tests/golden`, and yours to judge");
    Ok(())
}
