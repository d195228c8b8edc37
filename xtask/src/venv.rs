//! The Python environments of the live tests and the demonstrations, as their files of requirements say.

use crate::packages;
use crate::process::{output, run, say};
use crate::project::Project;
use anyhow::{Context, Result};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// A Python environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Venv {
    /// What is current.
    Tests,
    /// Old releases with known flaws, to attack on loopback.
    Vulnerable,
}

impl Venv {
    /// Its directory among the tools, and its file of requirements.
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Tests => ("test-venv", "tests/requirements.txt"),
            Self::Vulnerable => ("vulnerable-venv", "tests/requirements-vulnerable.txt"),
        }
    }
}

/// Makes an environment, unless it is there with just these requirements; returns its directory.
pub fn install(project: &Project, venv: Venv) -> Result<PathBuf> {
    let (directory, file) = venv.names();
    let requirements = project.root.join(file);
    let text = fs::read_to_string(&requirements)
        .with_context(|| format!("cannot read {}", requirements.display()))?;
    let venv = project.tools().join(directory);
    // Its scripts name their interpreter by the whole path, so it cannot be moved.
    let wanted = format!("# {}\n{text}", venv.display());
    // Written last: an environment without it is unfinished.
    let installed = venv.join("requirements.txt");
    if fs::read_to_string(&installed).is_ok_and(|installed| installed == wanted) {
        return Ok(venv);
    }
    install_venv_module()?;
    say(&format!("installing {file} into {}", venv.display()));
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv))?;
    run(Command::new(venv.join("bin/pip"))
        .args(["install", "--quiet", "--disable-pip-version-check", "--requirement"])
        .arg(&requirements))?;
    fs::write(&installed, wanted).with_context(|| format!("cannot write {}", installed.display()))?;
    Ok(venv)
}

/// Debian and Ubuntu leave what `venv` needs out of their `python3`.
fn install_venv_module() -> Result<()> {
    match output(Command::new("python3").args(["-c", "import ensurepip"])) {
        Ok(_) => Ok(()),
        Err(_) => packages::install(&["python3", "python3-venv"]),
    }
}
