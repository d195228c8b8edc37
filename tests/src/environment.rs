//! What a live test needs of the machine. What is missing fails the test and says how to get it.

use anyhow::{Context, Result, bail};
use std::env;
use std::path::{Path, PathBuf};

/// The remedy every complaint ends with.
const REMEDY: &str = "run `cargo xtask test`, which sets up what the live tests need and runs them as root";

/// The top folder of the workspace.
#[must_use]
pub fn workspace() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests).to_path_buf()
}

/// A file of `tests/apps`.
#[must_use]
pub fn app(name: &str) -> PathBuf {
    workspace().join("tests/apps").join(name)
}

/// The tracer under test: `TRACER_BIN`, else the release build of the workspace.
pub fn tracer() -> Result<PathBuf> {
    existing(from_environment("TRACER_BIN", "target/release/tracer"), "the tracer")
}

/// A program of the tests' Python environment: `TRACER_TEST_VENV`, else `target/tools/test-venv`.
pub fn venv(program: &str) -> Result<PathBuf> {
    existing(
        from_environment("TRACER_TEST_VENV", "target/tools/test-venv").join("bin").join(program),
        program,
    )
}

/// The same of the environment of releases with known flaws: `TRACER_TEST_VULNERABLE_VENV`, else
/// `target/tools/vulnerable-venv`.
pub fn vulnerable(program: &str) -> Result<PathBuf> {
    let venv = from_environment("TRACER_TEST_VULNERABLE_VENV", "target/tools/vulnerable-venv");
    existing(venv.join("bin").join(program), program)
}

/// The OTLP receiver that the package `rotel` brings along.
pub fn rotel() -> Result<PathBuf> {
    let lib = from_environment("TRACER_TEST_VENV", "target/tools/test-venv").join("lib");
    let pythons = lib.read_dir().with_context(|| format!("{} is missing: {REMEDY}", lib.display()))?;
    let agents = pythons.flatten().map(|python| python.path().join("site-packages/rotel/rotel-agent"));
    agents.into_iter().find(|path| path.exists()).with_context(|| format!("rotel-agent is missing: {REMEDY}"))
}

/// A program on the `PATH`, or in the folders where servers live and an ordinary `PATH` does not reach.
pub fn program(name: &str) -> Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    let folders: Vec<_> = folders.collect();
    let exact = folders.iter().map(|folder| folder.join(name)).find(|candidate| candidate.is_file());
    exact.or_else(|| versioned(&folders, name)).with_context(|| format!("{name} is not installed: {REMEDY}"))
}

/// A program with a version behind its name, as Debian has PHP-FPM.
fn versioned(folders: &[PathBuf], name: &str) -> Option<PathBuf> {
    let is_version = |version: &str| version.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let is_it = |file: &str| file.strip_prefix(name).is_some_and(is_version);
    let files = folders.iter().filter_map(|folder| folder.read_dir().ok()).flat_map(Iterator::flatten);
    files.map(|file| file.path()).find(|file| file.file_name().and_then(|it| it.to_str()).is_some_and(is_it))
}

/// Tracing needs root.
pub fn require_root() -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!("a live test loads kernel programs and must run as root: {REMEDY}");
    }
    Ok(())
}

fn from_environment(variable: &str, default: &str) -> PathBuf {
    env::var_os(variable).map_or_else(|| workspace().join(default), PathBuf::from)
}

fn existing(path: PathBuf, what: &str) -> Result<PathBuf> {
    if !path.exists() {
        bail!("{what} is not at {}: {REMEDY}", path.display());
    }
    Ok(path)
}
