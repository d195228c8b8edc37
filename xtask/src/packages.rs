//! Packages of the distribution: which are missing, and installing those on Debian and Ubuntu.

use crate::process::{is_root, privileged, run, say};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const SCRIPT: &str = include_str!("packages.sh");

/// Makes sure that all `packages` are installed; does nothing, and asks no server, when they are.
pub fn install(packages: &[&str]) -> Result<()> {
    if !available() {
        bail!("no apt here: install with this distribution's means what Debian calls {}", packages.join(" "));
    }
    let missing = missing(packages)?;
    if missing.is_empty() {
        return Ok(());
    }
    let by_hand = format!("apt-get install --no-install-recommends {}", missing.join(" "));
    if !is_root() && program("sudo").is_none() {
        bail!("packages are missing and only root can install them: as root, run `{by_hand}`");
    }
    say(&format!("installing packages: {}", missing.join(" ")));
    run(privileged("sh").args(["-c", SCRIPT, "install-packages"]).args(&missing))
        .with_context(|| format!("could not install packages: as root, try `apt-get update; {by_hand}`"))
}

/// Makes sure that programs can be run; each is given with the package that has it. A program that is there
/// counts wherever it comes from.
pub fn install_programs(programs: &[(&str, &str)]) -> Result<()> {
    let missing: Vec<_> =
        programs.iter().filter(|(name, _)| program(name).is_none()).map(|(_, package)| *package).collect();
    if missing.is_empty() { Ok(()) } else { install(&missing) }
}

/// Where a program is: on the `PATH`, or where servers live and an ordinary user's `PATH` does not reach.
pub fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories: Vec<_> = std::env::split_paths(&path).chain(["/usr/sbin".into()]).collect();
    let exact = directories.iter().map(|directory| directory.join(name)).find(|file| file.is_file());
    exact.or_else(|| versioned(&directories, name))
}

/// A program with a version behind its name, as Debian has PHP-FPM.
fn versioned(directories: &[PathBuf], name: &str) -> Option<PathBuf> {
    let is_version = |version: &str| version.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let is_it = |file: &str| file.strip_prefix(name).is_some_and(is_version);
    let files =
        directories.iter().filter_map(|directory| directory.read_dir().ok()).flat_map(Iterator::flatten);
    files.map(|file| file.path()).find(|file| file.file_name().and_then(|it| it.to_str()).is_some_and(is_it))
}

/// Whether this is Debian, Ubuntu or one of their kind.
pub fn available() -> bool {
    ["/usr/bin/apt-get", "/usr/bin/dpkg-query"].iter().all(|program| Path::new(program).exists())
}

/// Those of `packages` that are not installed.
pub fn missing<'a>(packages: &[&'a str]) -> Result<Vec<&'a str>> {
    // It fails when it does not know one of them, and still lists the others.
    let output = Command::new("dpkg-query")
        .args(["--show", "--showformat=${db:Status-Status} ${Package}\n"])
        .args(packages)
        .stderr(Stdio::null())
        .output()
        .context("cannot run dpkg-query")?;
    let listed = String::from_utf8_lossy(&output.stdout);
    let installed: Vec<&str> = listed.lines().filter_map(|line| line.strip_prefix("installed ")).collect();
    Ok(packages.iter().copied().filter(|package| !installed.contains(package)).collect())
}
