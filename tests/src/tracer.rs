//! The real tracer, run for the length of a test.

use crate::{Daemon, Finding, Span, Stage, environment};
use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use serde_json::Value;
use std::collections::BTreeSet;
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::Duration;

/// What lies between the client's last byte and the order to stop: on loopback a receiver can be done
/// before the sender's own operation has ended and was recorded.
const SETTLE: Duration = Duration::from_millis(300);

/// A running `tracer watch --output json`.
#[derive(Debug)]
pub struct Tracer {
    daemon: Daemon,
}

/// All that it said.
#[derive(Debug)]
pub struct Report {
    /// Its spans, in the order of their lines.
    pub spans: Vec<Span>,
    /// Its findings, in the order of their lines.
    pub findings: Vec<Finding>,
    /// The last line.
    pub stats: Value,
    /// Its diagnostics.
    pub stderr: String,
}

impl Tracer {
    /// Starts it with further arguments and waits until it says that it is ready.
    pub fn watch(stage: &Stage, arguments: &[&str]) -> Result<Self> {
        Self::watch_with(stage, arguments, &[])
    }

    /// The same with variables in its environment.
    pub fn watch_with(stage: &Stage, arguments: &[&str], variables: &[(&str, &str)]) -> Result<Self> {
        let mut command = Command::new(environment::tracer()?);
        // What one test teaches must not change another.
        let alone = if arguments.contains(&"--baseline") { None } else { Some("--no-baseline") };
        command
            .args(["watch", "--output", "json"])
            .args(alone)
            .args(arguments)
            .envs(variables.iter().copied());
        let mut daemon = Daemon::start(stage, "tracer", command)?;
        daemon.wait_until("the line {\"type\":\"ready\"}", |daemon| {
            daemon.stdout().lines().any(|line| line.contains(r#""ready""#))
        })?;
        Ok(Self { daemon })
    }

    /// The agent's own process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.daemon.pid()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.daemon.signal(signal)
    }

    /// Stops it as a person at a terminal does, and reads what it said.
    pub fn stop(self) -> Result<Report> {
        self.stop_with(0)
    }

    /// The same where another exit code is due.
    pub fn stop_with(self, code: i32) -> Result<Report> {
        sleep(SETTLE);
        self.daemon.signal(Signal::INT)?;
        self.end(code)
    }

    /// Waits for its own end and reads what it said.
    pub fn finish(self) -> Result<Report> {
        self.end(0)
    }

    /// Waits until it has printed so many findings of this rule.
    pub fn wait_for_findings(&mut self, rule: &str, count: usize) -> Result<()> {
        let start = format!(r#"{{"type":"finding","rule":"{rule}""#);
        self.daemon.wait_until(&format!("{count} findings of {rule}"), |daemon| {
            daemon.stdout().lines().filter(|line| line.starts_with(&start)).count() >= count
        })
    }

    fn end(mut self, code: i32) -> Result<Report> {
        let status = self.daemon.wait_end()?;
        let stderr = self.daemon.stderr();
        ensure!(status.code() == Some(code), "the tracer ended with {status}, not {code}:\n{stderr}");
        Report::parse(&self.daemon.stdout(), stderr)
    }
}

impl Report {
    /// Reads the lines of `--output json`; whatever breaks the contract is an error.
    pub fn parse(stdout: &str, stderr: String) -> Result<Self> {
        ensure!(!stderr.contains("panicked"), "the tracer panicked:\n{stderr}");
        let (mut spans, mut findings, mut stats) = (Vec::new(), Vec::new(), None);
        for line in stdout.lines() {
            let json: Value = serde_json::from_str(line).with_context(|| format!("no JSON: {line}"))?;
            ensure!(stats.is_none(), "a line after the stats: {line}");
            match json["type"].as_str() {
                Some("ready") => {}
                Some("finding") => findings.push(Finding::parse(json)?),
                Some("span") => spans.push(Span::parse(json)?),
                Some("stats") => stats = Some(json),
                _ => anyhow::bail!("a line of unknown type: {line}"),
            }
        }
        let stats = stats.with_context(|| format!("no stats at the end; diagnostics:\n{stderr}"))?;
        let ids: BTreeSet<_> = spans.iter().map(|span| &span.span_id).collect();
        ensure!(ids.len() == spans.len(), "a span id that was used twice");
        Ok(Self { spans, findings, stats, stderr })
    }

    /// The spans of these processes, in the order of their begin.
    #[must_use]
    pub fn of(&self, pids: &BTreeSet<u32>) -> Vec<&Span> {
        let mut spans: Vec<_> = self.spans.iter().filter(|span| pids.contains(&span.pid())).collect();
        spans.sort_by_key(|span| span.start);
        spans
    }

    /// The parent of a span, when it was reported and is of the same trace.
    #[must_use]
    pub fn parent(&self, span: &Span) -> Option<&Span> {
        let id = span.parent.as_ref()?;
        self.spans.iter().find(|other| other.span_id == *id && other.trace_id == span.trace_id)
    }

    /// Fails when a span has a parent that was never reported, or is below itself. Above what came with a context in
    /// its fields is whoever sent that.
    pub fn ensure_whole(&self) -> Result<()> {
        for span in self.spans.iter().filter(|span| span.text("tracer.link.method") != Some("header")) {
            let above = std::iter::successors(Some(span), |span| self.parent(span));
            let top = above.take(self.spans.len() + 1).last().unwrap_or(span);
            let whole = top.parent.is_none() || top.text("tracer.link.method") == Some("header");
            ensure!(whole, "no trace that ends above: {}, of {}", top.brief(), span.brief());
        }
        Ok(())
    }

    /// Fails when the kernel side lost anything: then a missing span proves nothing.
    pub fn ensure_nothing_lost(&self) -> Result<()> {
        ensure!(self.stats["lost"].as_u64() == Some(0), "records were lost: {}", self.stats);
        Ok(())
    }
}

/// Runs the tracer to its end with these arguments.
pub fn run(arguments: &[&str]) -> Result<Output> {
    let mut command = Command::new(environment::tracer()?);
    Ok(command.args(arguments).stdin(Stdio::null()).output()?)
}
