//! What tracing costs: a real nginx under load, in alternating rounds with nothing attached and with
//! `tracer watch --output json`. All figures are measured here, none is assumed.

mod agent;
mod cpu;
mod report;

use crate::process::{Background, is_root, output, say};
use crate::project::{Profile, Project};
use crate::stack::{Directory, free_port};
use crate::{build, packages, test};
use agent::Agent;
use anyhow::{Context, Result, bail};
use report::{AgentSample, Sample, Series};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const NGINX: &str = include_str!("bench/nginx.conf");
const PROGRAMS: [(&str, &str); 3] = [("nginx", "nginx-light"), ("wrk", "wrk"), ("taskset", "util-linux")];

/// The server has a CPU to itself; load generator and agent share the next one, as on a busy node.
const SERVER_CPU: &str = "0";
const OTHER_CPU: &str = "1";
/// How long the agent gets to work off what is left of a load.
const SETTLE: Duration = Duration::from_millis(500);

/// A way to ask nginx.
struct Load {
    name: &'static str,
    path: &'static str,
    connections: u32,
}

const LOADS: [Load; 4] = [
    Load { name: "nginx from memory, 1 connection", path: "/memory", connections: 1 },
    Load { name: "nginx from memory, 16 connections", path: "/memory", connections: 16 },
    Load { name: "nginx in front of itself, 1 connection", path: "/proxied", connections: 1 },
    Load { name: "nginx in front of itself, 16 connections", path: "/proxied", connections: 16 },
];

/// Runs every load `rounds` times both ways, for `seconds` each; prints a table, writes `target/bench.json`.
pub fn bench(project: &Project, rounds: u32, seconds: u32) -> Result<()> {
    test::can_trace()?;
    if !is_root() {
        bail!("the benchmarks start and stop a tracer many times: run `cargo xtask bench` as root");
    }
    if std::thread::available_parallelism().map_or(1, usize::from) < 2 {
        bail!("the benchmarks need two CPUs: one for the server, one for load and agent");
    }
    packages::install_programs(&PROGRAMS)?;
    let tracer = build::build(project, Profile::Release)?;

    let directory = Directory::new()?;
    let port = free_port()?;
    let server = start_nginx(&directory, port)?;
    let mut series = LOADS.map(|load| Series { name: load.name, samples: Vec::new() });
    for round in 0..rounds {
        for (load, series) in LOADS.iter().zip(&mut series) {
            say(&format!("round {} of {rounds}: {}", round + 1, load.name));
            // What comes first changes, so that no side has always the warmer machine.
            let order = if round % 2 == 0 { [false, true] } else { [true, false] };
            for traced in order {
                series.samples.push(measure(traced.then_some(&tracer), &server, load, port, seconds)?);
            }
        }
    }

    let report = report::to_json(&series, rounds);
    let file = project.target.join("bench.json");
    fs::write(&file, format!("{report:#}\n")).with_context(|| format!("cannot write {}", file.display()))?;
    println!("{}", report::to_table(&report));
    say(&format!("wrote {}", file.display()));
    Ok(())
}

fn start_nginx(directory: &Directory, port: u16) -> Result<Background> {
    let nginx = directory.nginx(&NGINX.replace("@PORT@", &port.to_string()))?;
    let mut pinned = Command::new("taskset");
    // It becomes nginx by exec, so the process id stays.
    pinned.args(["--cpu-list", SERVER_CPU]).arg(nginx.get_program()).args(nginx.get_args());
    directory.start_server("nginx", &mut pinned, port)
}

fn measure(
    tracer: Option<impl AsRef<Path>>,
    server: &Background,
    load: &Load,
    port: u16,
    seconds: u32,
) -> Result<Sample> {
    let agent = tracer.map(|tracer| Agent::start(tracer.as_ref(), OTHER_CPU)).transpose()?;
    let agent_before = agent.as_ref().map(|agent| cpu::time(agent.pid())).transpose()?;
    let server_before = cpu::time(server.pid())?;
    let (requests, took) = run_wrk(load, port, seconds)?;
    let server_us = micros(cpu::time(server.pid())? - server_before);
    let agent = match (agent, agent_before) {
        (Some(agent), Some(before)) => Some(finish(agent, before)?),
        _ => None,
    };
    Ok(Sample { requests, seconds: took, server_us, agent })
}

fn finish(agent: Agent, cpu_before: Duration) -> Result<AgentSample> {
    std::thread::sleep(SETTLE);
    let cpu_us = micros(cpu::time(agent.pid())? - cpu_before);
    let ready_ms = micros(agent.ready) / 1000.0;
    let stats = agent.stop()?;
    let field = |name: &str| {
        stats
            .get(name)
            .and_then(Value::as_f64)
            .with_context(|| format!("no number `{name}` in tracer's {stats}"))
    };
    Ok(AgentSample {
        ready_ms,
        cpu_us,
        records: field("records")?,
        lost: field("lost")?,
        spans: field("spans")?,
        rss_bytes: field("rss_bytes")?,
    })
}

/// Puts the load on; returns the number of requests and the seconds they took.
fn run_wrk(load: &Load, port: u16, seconds: u32) -> Result<(f64, f64)> {
    let connections = load.connections.to_string();
    let said = output(
        Command::new("taskset")
            .args(["--cpu-list", OTHER_CPU, "wrk", "--threads", "1", "--connections", &connections])
            .args(["--duration", &format!("{seconds}s"), &format!("http://127.0.0.1:{port}{}", load.path)]),
    )?;
    if said.contains("Non-2xx") || said.contains("Socket errors") {
        bail!("wrk saw errors, so its figures mean nothing:\n{said}");
    }
    parse_wrk(&said).with_context(|| format!("cannot read wrk's report:\n{said}"))
}

/// Reads `123456 requests in 3.00s, 20.15MB read`.
fn parse_wrk(said: &str) -> Option<(f64, f64)> {
    let (requests, rest) = said.lines().find_map(|line| line.trim().split_once(" requests in "))?;
    let (took, _) = rest.split_once("s,")?;
    Some((requests.parse().ok()?, took.parse().ok()?))
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrk_is_understood() {
        let said = "Running 3s test @ http://127.0.0.1:1/\n  426789 requests in 3.10s, 60.00MB read\nRequests/sec: 1\n";
        assert_eq!(parse_wrk(said), Some((426_789.0, 3.1)));
        assert_eq!(parse_wrk("unable to connect"), None);
    }
}
