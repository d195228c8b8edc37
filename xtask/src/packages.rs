//! Packages of the distribution: which are missing, and installing those on Debian and Ubuntu.

use crate::process::{is_root, privileged, run, say};
use anyhow::{Context, Result, bail};
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
    if !is_root() && !can_sudo() {
        bail!("packages are missing and only root can install them: as root, run `{by_hand}`");
    }
    say(&format!("installing packages: {}", missing.join(" ")));
    run(privileged("sh").args(["-c", SCRIPT, "install-packages"]).args(&missing))
        .with_context(|| format!("could not install packages: as root, try `apt-get update; {by_hand}`"))
}

/// Whether this is Debian, Ubuntu or one of their kind.
pub fn available() -> bool {
    ["/usr/bin/apt-get", "/usr/bin/dpkg-query"].iter().all(|program| std::path::Path::new(program).exists())
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

fn can_sudo() -> bool {
    Command::new("sudo").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}
