//! The agent under measurement: `tracer watch --output json`, with a reader that costs next to nothing.

use crate::process::Background;
use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use serde_json::Value;
use std::io::{self, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The first line of the output, once every hook is attached.
const READY: &[u8] = br#"{"type":"ready"}"#;
/// The last line is not longer.
const TAIL: usize = 64 << 10;
const PATIENCE: Duration = Duration::from_secs(20);

/// A running agent.
#[derive(Debug)]
pub struct Agent {
    process: Background,
    reader: JoinHandle<io::Result<Vec<u8>>>,
    /// From the start of the process to its word that all is attached.
    pub ready: Duration,
}

impl Agent {
    /// Starts it and waits until it is ready.
    pub fn start(tracer: &Path) -> Result<Self> {
        let started = Instant::now();
        let mut process = Background::start(
            "tracer",
            Command::new(tracer).args(["watch", "--no-baseline", "--output", "json"]).stdout(Stdio::piped()),
        )?;
        let stdout = process.child().stdout.take().context("tracer has no standard output")?;
        let (sender, first_line) = channel();
        let reader = std::thread::spawn(move || {
            drain(stdout, || {
                // Nobody listens any more when starting it failed.
                let _ = sender.send(Instant::now());
            })
        });
        let ready = wait_ready(&first_line, &mut process)?.duration_since(started);
        Ok(Self { process, reader, ready })
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Ends it as a person at a terminal does; returns its last line, the statistics.
    pub fn stop(mut self) -> Result<Value> {
        let status = self.process.stop(Signal::INT, PATIENCE)?;
        let Ok(tail) = self.reader.join() else { bail!("the reader of tracer's output panicked") };
        let tail = tail.context("cannot read tracer's output")?;
        if !status.success() {
            bail!("tracer ended with {status}");
        }
        let last = tail.trim_ascii_end().rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
        let stats: Value =
            serde_json::from_slice(last).context("the last line of tracer's output is no JSON")?;
        if stats["type"] != "stats" {
            bail!("the last line of tracer's output is no statistics: {stats}");
        }
        Ok(stats)
    }
}

fn wait_ready(first_line: &Receiver<Instant>, process: &mut Background) -> Result<Instant> {
    match first_line.recv_timeout(PATIENCE) {
        Ok(instant) => Ok(instant),
        Err(_) => {
            process.must_run()?;
            bail!("tracer was not ready within {PATIENCE:?}")
        }
    }
}

/// Reads to the end and keeps the tail: parsing here would take CPU time from what is measured.
fn drain(mut output: impl Read, ready: impl FnOnce()) -> io::Result<Vec<u8>> {
    let mut buffer = vec![0; 1 << 20];
    let mut kept = 0;
    let mut ready = Some(ready);
    loop {
        if kept + TAIL > buffer.len() {
            buffer.copy_within(kept - TAIL..kept, 0);
            kept = TAIL;
        }
        let read = output.read(&mut buffer[kept..])?;
        kept += read;
        if kept >= READY.len()
            && buffer.starts_with(READY)
            && let Some(ready) = ready.take()
        {
            ready();
        }
        if read == 0 {
            buffer.truncate(kept);
            return Ok(buffer);
        }
    }
}
