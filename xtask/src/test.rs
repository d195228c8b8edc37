//! Testing: every test of the workspace, the live ones with the real kernel programs and real servers.

use crate::process::{is_root, privileged, run, say};
use crate::project::{Profile, Project};
use crate::{build, packages, venv};
use anyhow::{Context, Result, bail};
use std::ffi::OsString;
use std::path::Path;

/// What the live tests run beside what Python brings.
const PROGRAMS: [(&str, &str); 7] = [
    ("nginx", "nginx-light"),
    ("node", "nodejs"),
    ("python3", "python3"),
    ("cc", "gcc"),
    // What it needs to make a program.
    ("cc", "libc6-dev"),
    // Networks of their own, with translated addresses.
    ("ip", "iproute2"),
    ("nft", "nftables"),
];
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

    can_trace().context("the live tests cannot run here; all others passed")?;
    packages::install_programs(&PROGRAMS)?;
    let venv = venv::install(project)?;
    let tracer = build::build(project, Profile::Release)?;

    say("running the live tests");
    let mut cargo = build::cargo(project);
    cargo.args(["test", "--locked", "--no-fail-fast", "--package", "tracer-tests"]);
    if quick {
        cargo.args(QUICK);
    }
    let settings = [
        ("TRACER_BIN", tracer.into_os_string()),
        ("TRACER_TEST_VENV", venv.into_os_string()),
        // Each traces the whole machine, and the test process is a client in all of them.
        ("RUST_TEST_THREADS", "1".into()),
    ];
    if is_root() {
        cargo.envs(settings);
    } else {
        // Only the tests get privileges, not the compiler. Sudo drops the environment, so `env` sets it.
        cargo.arg("--config").arg(runner(&settings)?);
    }
    run(&mut cargo)
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

/// Has cargo start the tests through sudo.
fn runner(settings: &[(&str, OsString)]) -> Result<String> {
    let mut words = vec![privileged("env").get_program().to_string_lossy().into_owned(), "env".into()];
    for (name, value) in settings {
        let value = value.to_str().with_context(|| format!("{name} is no UTF-8: move the repository"))?;
        words.push(format!("{name}={value}"));
    }
    Ok(format!("target.'cfg(unix)'.runner={words:?}"))
}
