//! The command that is traced alone.

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    ffi::OsString,
    os::fd::AsFd,
    os::unix::process::ExitStatusExt,
    process::{Child, ExitStatus, Stdio},
    thread,
    time::Duration,
};

/// How long a command that was asked to end may take for it before the agent leaves without it.
const FAREWELL: Duration = Duration::from_secs(2);
const FAREWELL_STEP: Duration = Duration::from_millis(20);

/// How a command ended by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With this exit code.
    Exited(u8),
    /// By this signal.
    Killed(i32),
    /// Nobody can tell: whoever started the agent has the kernel forget ended children.
    Unknown,
}

impl Ending {
    /// Its code as a shell has it: 128 and the signal for one that was killed.
    pub fn code(self) -> u8 {
        match self {
            Self::Exited(code) => code,
            Self::Killed(signal) => u8::try_from(128 + signal).unwrap_or(u8::MAX),
            Self::Unknown => 0,
        }
    }

    /// What is worth a word: an end that was no success.
    pub fn complaint(self) -> Option<String> {
        match self {
            Self::Exited(0) => None,
            Self::Exited(code) => Some(format!("the command ended with exit code {code}")),
            Self::Killed(signal) => Some(format!("the command was killed by signal {signal}")),
            Self::Unknown => Some("the command ended, its exit code is not known".into()),
        }
    }
}

impl From<ExitStatus> for Ending {
    fn from(status: ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (Some(code), _) => Self::Exited(code.try_into().unwrap_or(u8::MAX)),
            (None, Some(signal)) => Self::Killed(signal),
            (None, None) => Self::Unknown,
        }
    }
}

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

    /// How it ended, if it did. One that cannot be asked counts as ended.
    pub fn ending(&mut self) -> Option<Ending> {
        match self.child.try_wait() {
            Ok(None) => None,
            Ok(Some(status)) => Some(status.into()),
            Err(_) => Some(Ending::Unknown),
        }
    }

    fn has_ended(&mut self) -> bool {
        self.ending().is_some()
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
    fn its_end_is_told_as_a_shell_tells_it() {
        let end = |script: &str| {
            let mut command = Command::start(&["sh".into(), "-c".into(), script.into()]).unwrap();
            command.child.wait().unwrap();
            command.ending().unwrap()
        };
        assert_eq!((end("exit 0"), Ending::Exited(0).complaint()), (Ending::Exited(0), None));
        let failed = end("exit 7");
        assert_eq!(failed.code(), 7);
        assert_eq!(failed.complaint().unwrap(), "the command ended with exit code 7");
        let killed = end("kill -9 $$");
        assert_eq!(killed.code(), 137);
        assert_eq!(killed.complaint().unwrap(), "the command was killed by signal 9");
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
