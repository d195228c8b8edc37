//! The command that is traced alone.

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    ffi::OsString,
    os::fd::AsFd,
    process::{Child, Stdio},
    thread,
    time::Duration,
};

/// How long a command that was asked to end may take for it before the agent leaves without it.
const FAREWELL: Duration = Duration::from_secs(2);
const FAREWELL_STEP: Duration = Duration::from_millis(20);

/// A running child. Dropped, it is asked to end (SIGTERM) and waited for, a moment.
///
/// It is started once every hook is attached: it needs no stopping at its first instruction, for what it
/// does first lies in the ring buffer until the loop begins to read.
#[derive(Debug)]
pub struct Command {
    child: Child,
}

impl Command {
    /// Starts it. Its standard output is the agent's standard error, since the agent's own standard output
    /// carries data.
    ///
    /// # Errors
    /// When it cannot be executed.
    ///
    /// # Panics
    /// On an empty slice.
    pub fn start(words: &[OsString]) -> Result<Self> {
        let (program, arguments) = words.split_first().expect("a command has a first word");
        let stderr =
            std::io::stderr().as_fd().try_clone_to_owned().context("cannot duplicate standard error")?;
        let child = std::process::Command::new(program)
            .args(arguments)
            .stdout(Stdio::from(stderr))
            .spawn()
            .with_context(|| format!("cannot run {}", program.display()))?;
        Ok(Self { child })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended. One that cannot be asked counts as ended.
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Command {
    fn drop(&mut self) {
        if self.has_ended() {
            return;
        }
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        for _ in 0..FAREWELL.as_millis() / FAREWELL_STEP.as_millis() {
            if self.has_ended() {
                return;
            }
            thread::sleep(FAREWELL_STEP);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_does_not_exist_is_named() {
        let error = Command::start(&["/no/such/program".into()]).unwrap_err();
        assert_eq!(
            format!("{error:#}"),
            "cannot run /no/such/program: No such file or directory (os error 2)"
        );
    }

    #[test]
    fn a_dropped_command_is_ended() {
        let mut command = Command::start(&["sleep".into(), "60".into()]).unwrap();
        assert!(!command.has_ended());
        let pid = Pid::from_child(&command.child);
        drop(command);
        assert!(rustix::process::test_kill_process(pid).is_err(), "it still runs");
    }
}
