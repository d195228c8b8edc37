//! What runs servers under the real tracer: the live tests, and the programs beside them.

use crate::process::{is_root, privileged};
use crate::project::{Profile, Project};
use crate::venv::{self, Venv};
use crate::{build, packages, test};
use anyhow::{Context, Result};
use std::ffi::OsString;
use std::process::Command;

/// What the live tests run beside what Python brings.
const PROGRAMS: [(&str, &str); 12] = [
    ("nginx", "nginx-light"),
    // Other proxies work in other ways: by threads, by processes with threads.
    ("haproxy", "haproxy"),
    ("apache2", "apache2-bin"),
    ("node", "nodejs"),
    ("python3", "python3"),
    ("php-fpm", "php-fpm"),
    ("uwsgi", "uwsgi-core"),
    // What it needs to run an application.
    ("uwsgi", "uwsgi-plugin-python3"),
    ("cc", "gcc"),
    // What it needs to make a program.
    ("cc", "libc6-dev"),
    // Two nodes, with address translation between them.
    ("ip", "iproute2"),
    ("nft", "nftables"),
];

/// Sets up what live tests need, and gives a cargo command that runs what it builds as root.
pub fn cargo(project: &Project) -> Result<Command> {
    test::can_trace()?;
    packages::install_programs(&PROGRAMS)?;
    let venv = venv::install(project, Venv::Tests)?;
    let vulnerable = venv::install(project, Venv::Vulnerable)?;
    let tracer = build::build(project, Profile::Release)?;
    let settings = [
        ("TRACER_BIN", tracer.into_os_string()),
        ("TRACER_TEST_VENV", venv.into_os_string()),
        ("TRACER_TEST_VULNERABLE_VENV", vulnerable.into_os_string()),
        // Each traces the whole machine, and the test process is a client in all of them.
        ("RUST_TEST_THREADS", "1".into()),
    ];
    let mut cargo = build::cargo(project);
    if is_root() {
        cargo.envs(settings);
    } else {
        // Only what it runs gets privileges, not the compiler. Sudo drops the environment, so `env` sets it.
        cargo.arg("--config").arg(runner(&settings)?);
    }
    Ok(cargo)
}

/// Has cargo start what it runs through sudo.
fn runner(settings: &[(&str, OsString)]) -> Result<String> {
    let mut words = vec![privileged("env").get_program().to_string_lossy().into_owned(), "env".into()];
    for (name, value) in settings {
        let value = value.to_str().with_context(|| format!("{name} is no UTF-8: move the repository"))?;
        words.push(format!("{name}={value}"));
    }
    Ok(format!("target.'cfg(unix)'.runner={words:?}"))
}
