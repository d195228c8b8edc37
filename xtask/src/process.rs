//! Running other programs: to their end, for their output, or in the background for as long as a guard lives.

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Says what is being done, on stderr, so that stdout stays for data.
pub fn say(what: &str) {
    eprintln!("xtask: {what}");
}

/// Whether this process may do everything.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A command that runs `program` with all privileges: directly as root, else through sudo.
pub fn privileged(program: impl AsRef<std::ffi::OsStr>) -> Command {
    if is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("sudo");
    command.arg(program);
    command
}

/// Runs a command to its end, with this terminal; an error if it fails.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot run {}", describe(command)))?;
    if !status.success() {
        bail!("{} failed: {status}", describe(command));
    }
    Ok(())
}

/// Runs a command for what it writes to stdout; its stderr is part of the error if it fails.
pub fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot run {}", describe(command)))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!("{} failed: {}: {}", describe(command), output.status, stderr.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn describe(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words
        .map(|word| {
            let word = word.to_string_lossy();
            // A whole script as an argument would bury the message.
            if word.len() > 200 { "…".into() } else { word }
        })
        .collect::<Vec<_>>()
        .join(" ")
}

/// Turns Ctrl-C and a request to end into a flag, so that what was started is also stopped.
pub fn interrupt_flag() -> Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&flag)).context("cannot set a signal handler")?;
    }
    Ok(flag)
}

/// A program in the background: ended, by its id, when this value is dropped or this process dies.
#[derive(Debug)]
pub struct Background {
    name: String,
    child: Child,
    ended: Option<ExitStatus>,
}

impl Background {
    /// Starts `command`; `name` is for messages.
    pub fn start(name: &str, command: &mut Command) -> Result<Self> {
        command.stdin(Stdio::null());
        // SAFETY: between fork and exec only prctl is called, which is async-signal-safe.
        unsafe {
            command.pre_exec(|| set_parent_process_death_signal(Some(Signal::TERM)).map_err(io::Error::from));
        }
        let child = command.spawn().with_context(|| format!("cannot start {name}: {}", describe(command)))?;
        Ok(Self { name: name.to_owned(), child, ended: None })
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The process, for its pipes.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// The exit status, if it ended.
    pub fn status(&mut self) -> Result<Option<ExitStatus>> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().with_context(|| format!("cannot wait for {}", self.name))?;
        }
        Ok(self.ended)
    }

    /// An error if it ended, for a program that must go on.
    pub fn must_run(&mut self) -> Result<()> {
        match self.status()? {
            Some(status) => bail!("{} ended early: {status}", self.name),
            None => Ok(()),
        }
    }

    /// Asks it to end by `signal` and waits at most `patience`; then it is killed.
    pub fn stop(&mut self, signal: Signal, patience: Duration) -> Result<ExitStatus> {
        if self.status()?.is_none() {
            let _ = kill_process(Pid::from_child(&self.child), signal);
        }
        let until = Instant::now() + patience;
        loop {
            if let Some(status) = self.status()? {
                return Ok(status);
            }
            if Instant::now() >= until {
                self.child.kill().with_context(|| format!("cannot kill {}", self.name))?;
                self.ended = Some(self.child.wait()?);
                bail!("{} did not end within {patience:?} after {signal:?} and was killed", self.name);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if let Err(error) = self.stop(Signal::TERM, Duration::from_secs(5)) {
            say(&format!("{error:#}"));
        }
    }
}

/// Waits until `done` says so, `what` fails or the time is up.
pub fn wait_for(what: &str, patience: Duration, mut done: impl FnMut() -> Result<bool>) -> Result<()> {
    let until = Instant::now() + patience;
    while !done()? {
        if Instant::now() >= until {
            bail!("{what}: not within {patience:?}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Sleeps, but wakes when `interrupted`; false if it was.
pub fn pause(time: Duration, interrupted: &AtomicBool) -> bool {
    let until = Instant::now() + time;
    while Instant::now() < until {
        if interrupted.load(Ordering::Relaxed) {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    !interrupted.load(Ordering::Relaxed)
}
