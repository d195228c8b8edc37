//! Testing: every test of the workspace, the live ones with the real kernel programs and real servers.

use crate::demo::{Scene, demo};
use crate::process::{is_root, run, say};
use crate::project::Project;
use crate::{build, live, packages};
use anyhow::{Context, Result, bail};
use std::path::Path;

/// The live tests of `--quick`.
const QUICK: [&str; 2] = ["--test", "proxy"];

/// Runs the tests that need nothing, then sets up what the live tests need and runs those.
pub fn test(project: &Project, quick: bool) -> Result<()> {
    say("running the tests that need neither privileges nor servers");
    run(build::cargo(project).args([
        "test",
        "--locked",
        "--no-fail-fast",
        "--workspace",
        "--exclude",
        "tracer-tests",
    ]))?;

    let mut cargo = live::cargo(project).context("the live tests cannot run here; all others passed")?;
    say("running the live tests");
    cargo.args(["test", "--locked", "--no-fail-fast", "--package", "tracer-tests"]);
    if quick {
        cargo.args(QUICK);
    }
    run(&mut cargo)?;
    if !quick {
        say("showing the attacks, which fails when one is missed");
        [Scene::Webshell, Scene::Smuggling].into_iter().try_for_each(|scene| demo(project, scene))?;
    }
    Ok(())
}

/// An error that says what to do where this machine cannot trace.
pub fn can_trace() -> Result<()> {
    if !cfg!(target_os = "linux") {
        bail!("tracing is for Linux only: use a virtual machine");
    }
    if !Path::new("/sys/kernel/btf/vmlinux").exists() {
        bail!(
            "this kernel does not describe its types (no /sys/kernel/btf/vmlinux): boot one that was built \
             with CONFIG_DEBUG_INFO_BTF=y, as those of the usual distributions are, and mount /sys"
        );
    }
    if !is_root() && packages::program("sudo").is_none() {
        bail!("loading kernel programs takes root and there is no sudo: run this command as root");
    }
    Ok(())
}
