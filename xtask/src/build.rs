//! Building: the kernel programs, then the agent that carries them.

use crate::process::{run, say};
use crate::project::{Profile, Project};
use crate::toolchain::Toolchain;
use anyhow::{Context, Result};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// Builds the kernel programs and the agent, with whatever must be set up for it; returns the binary.
pub fn build(project: &Project, profile: Profile) -> Result<PathBuf> {
    kernel_programs(project)?;
    say("building the agent");
    let mut cargo = cargo(project);
    cargo.args(["build", "--locked", "--package", "tracer"]);
    if profile == Profile::Release {
        cargo.arg("--release");
    }
    run(&mut cargo)?;
    Ok(project.tracer(profile))
}

/// A cargo command in the workspace.
pub fn cargo(project: &Project) -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(&project.root).env("CARGO_TARGET_DIR", &project.target);
    cargo
}

/// Builds the kernel programs and puts them where the agent's build script looks.
pub fn kernel_programs(project: &Project) -> Result<()> {
    let toolchain = Toolchain::find_or_install(project)?;
    say(&format!("building the kernel programs with {}", toolchain.name()));
    // A directory of its own: artifacts of another compiler for another target.
    let target = project.target.join("ebpf");
    run(toolchain
        .cargo()
        .args(["build", "--locked", "--release"])
        .current_dir(project.root.join("ebpf"))
        .env("CARGO_TARGET_DIR", &target))
    .context("could not build the kernel programs")?;

    let linked = target.join("bpfel-unknown-none/release/tracer-ebpf");
    let object = fs::read(&linked).with_context(|| format!("cannot read {}", linked.display()))?;
    let published = project.kernel_programs();
    // A new time stamp would have the agent compiled again for nothing.
    if fs::read(&published).is_ok_and(|before| before == object) {
        return Ok(());
    }
    let directory = project.target.join("bpf");
    fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
    fs::write(&published, object).with_context(|| format!("cannot write {}", published.display()))
}
