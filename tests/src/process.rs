//! Processes that end with the test, also when it panics.

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long anything may take to get ready or to end. Generous: it bounds a hang, it measures nothing.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A process in a process group of its own, which is killed on drop with all its children.
#[derive(Debug)]
pub struct Daemon {
    name: String,
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Daemon {
    /// Starts it; what it prints goes to `NAME.stdout` and `NAME.stderr` on the stage.
    pub fn start(stage: &crate::Stage, name: &str, mut command: Command) -> Result<Self> {
        let stdout = stage.path(&format!("{name}.stdout"));
        let stderr = stage.path(&format!("{name}.stderr"));
        command.process_group(0).stdin(Stdio::null());
        command.stdout(File::create(&stdout)?).stderr(File::create(&stderr)?);
        let child = command.spawn().with_context(|| format!("start {name}: {command:?}"))?;
        Ok(Self { name: name.to_owned(), child, stdout, stderr })
    }

    /// Its process id, which is that of its group.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// It and its descendants, as they are now.
    #[must_use]
    pub fn tree(&self) -> BTreeSet<u32> {
        let mut tree = BTreeSet::new();
        let mut open = vec![self.pid()];
        while let Some(pid) = open.pop() {
            if tree.insert(pid) {
                open.extend(children(pid));
            }
        }
        tree
    }

    /// What it printed on stdout so far.
    #[must_use]
    pub fn stdout(&self) -> String {
        fs::read(&self.stdout).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// What it printed on stderr so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        fs::read(&self.stderr).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Waits until `ready`; fails at once when the process ends before.
    pub fn wait_until(&mut self, what: &str, mut ready: impl FnMut(&Self) -> bool) -> Result<()> {
        let begin = Instant::now();
        while !ready(self) {
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended ({status}) before {what}:\n{}{}", self.name, self.stdout(), self.stderr());
            }
            if begin.elapsed() > PATIENCE {
                bail!("{}: no {what} after {PATIENCE:?}:\n{}{}", self.name, self.stdout(), self.stderr());
            }
            sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Sends it (not its group) a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        Ok(kill_process(self.as_pid()?, signal)?)
    }

    /// Waits for its end.
    pub fn wait_end(&mut self) -> Result<ExitStatus> {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if begin.elapsed() > PATIENCE {
                bail!("{} did not end within {PATIENCE:?}:\n{}", self.name, self.stderr());
            }
            sleep(Duration::from_millis(5));
        }
    }

    fn as_pid(&self) -> Result<Pid> {
        i32::try_from(self.pid()).ok().and_then(Pid::from_raw).context("a process id")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Ok(group) = self.as_pid() {
            // The leader may have ended already and its workers not.
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

fn children(pid: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    tasks
        .filter_map(|task| fs::read_to_string(task.path().join("children")).ok())
        .flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect()
}
