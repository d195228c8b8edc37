//! How right the links are, measured over applications of our own.

use crate::live;
use crate::process::{run, say};
use crate::project::Project;
use anyhow::Result;

/// Measures, on request with nginx in front; prints a table.
pub fn links(project: &Project, nginx: bool) -> Result<()> {
    let mut cargo = live::cargo(project)?;
    say("measuring how rightly calls are linked: 24 runs of some seconds each");
    cargo.args(["run", "--quiet", "--locked", "--package", "tracer-tests", "--example", "links", "--"]);
    if nginx {
        cargo.arg("--nginx");
    }
    run(&mut cargo)
}
