//! What tracing costs: a real nginx under load, in alternating rounds with nothing attached and with
//! `tracer watch --output json`. All figures are measured here, none is assumed.

mod agent;
mod cpu;
mod load;
mod report;

use crate::process::{Background, is_root, say};
use crate::project::{Profile, Project};
use crate::stack::{Directory, free_port};
use crate::{build, packages, test};
use agent::Agent;
use anyhow::{Context, Result, bail};
use load::{Load, Pace};
use report::{AgentSample, Sample, Series};
use rustix::thread::{CpuSet, sched_setaffinity};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const NGINX: &str = include_str!("bench/nginx.conf");
const PROGRAMS: [(&str, &str); 3] = [("nginx", "nginx-light"), ("wrk", "wrk"), ("taskset", "util-linux")];

/// The server has a CPU to itself; load generator and agent share the next one, as on a busy node.
const SERVER_CPU: usize = 0;
const OTHER_CPU: usize = 1;
/// How long the agent gets to work off what is left of a load.
const SETTLE: Duration = Duration::from_millis(500);

/// Each request is four socket operations on this machine from memory, and eight when proxied: the steady
/// loads make 100,000 operations a second.
const LOADS: [Load; 4] = [
    Load { name: "from memory, steady", path: "/memory", pace: Pace::Steady(25_000) },
    Load { name: "from memory, full speed", path: "/memory", pace: Pace::Full(16) },
    Load { name: "proxied, steady", path: "/proxied", pace: Pace::Steady(12_500) },
    Load { name: "proxied, full speed", path: "/proxied", pace: Pace::Full(16) },
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

    // What is started from here on inherits it, but for the server.
    let mut others = CpuSet::new();
    others.set(OTHER_CPU);
    sched_setaffinity(None, &others).with_context(|| format!("cannot move to CPU {OTHER_CPU}"))?;

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
    pinned.args(["--cpu-list", &SERVER_CPU.to_string()]).arg(nginx.get_program()).args(nginx.get_args());
    directory.start_server("nginx", &mut pinned, port)
}

fn measure(
    tracer: Option<impl AsRef<Path>>,
    server: &Background,
    load: &Load,
    port: u16,
    seconds: u32,
) -> Result<Sample> {
    let agent = tracer.map(|tracer| Agent::start(tracer.as_ref())).transpose()?;
    let agent_before = agent.as_ref().map(|agent| cpu::time(agent.pid())).transpose()?;
    let server_before = cpu::time(server.pid())?;
    let done = load.run(port, seconds)?;
    let server_us = micros(cpu::time(server.pid())? - server_before);
    let agent = match (agent, agent_before) {
        (Some(agent), Some(before)) => Some(finish(agent, before)?),
        _ => None,
    };
    Ok(Sample { done, server_us, agent })
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

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
