//! CPU time of a process as the scheduler counts it, in nanoseconds.

use anyhow::{Context, Result, bail};
use std::fs;
use std::path::Path;
use std::time::Duration;

/// What all threads of a process ran for so far. `/proc/PID/stat` would give it in hundredths of a second.
/// Threads that ended are missing: take it of processes whose threads stay.
pub fn time(pid: u32) -> Result<Duration> {
    let directory = format!("/proc/{pid}/task");
    let threads = fs::read_dir(&directory).with_context(|| format!("cannot read {directory}"))?;
    threads.map(|thread| thread_time(&thread?.path())).sum()
}

fn thread_time(thread: &Path) -> Result<Duration> {
    let file = thread.join("schedstat");
    let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    match text.split(' ').next().map(str::parse) {
        Some(Ok(nanoseconds)) => Ok(Duration::from_nanos(nanoseconds)),
        _ => bail!("{} does not begin with a number: {text}", file.display()),
    }
}
