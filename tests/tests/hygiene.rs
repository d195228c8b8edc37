//! No trace grows without end: who asks all the time, or works off a list, begins a trace with each request.

use anyhow::{Result, ensure};
use std::collections::BTreeMap;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;
use tracer_tests::servers::{self, Workers};
use tracer_tests::span::brief;
use tracer_tests::{Connection, Report, Span, Stage, Tracer, environment};

const TIMES: usize = 50;

/// Each target once in a trace of its own, with so many spans, of which one is a root.
fn one_trace_each(report: &Report, targets: &[String], spans: usize) -> Result<()> {
    report.ensure_nothing_lost()?;
    report.ensure_whole()?;
    let mut traces: BTreeMap<&str, Vec<&Span>> = BTreeMap::new();
    for span in report.spans.iter().filter(|span| targets.contains(&span.target())) {
        traces.entry(&span.trace_id).or_default().push(span);
    }
    ensure!(traces.len() == targets.len(), "{} traces of {} requests", traces.len(), targets.len());
    for trace in traces.values() {
        let roots = trace.iter().filter(|span| span.parent.is_none()).count();
        let same = trace.iter().all(|span| span.target() == trace[0].target());
        ensure!(trace.len() == spans && roots == 1 && same, "{}", brief(trace.iter().copied()));
    }
    Ok(())
}

#[test]
fn who_asks_all_the_time_over_one_connection() -> Result<()> {
    let stage = Stage::new()?;
    let app = servers::gunicorn(&stage, Workers::Threads(4))?;
    let front = servers::nginx_before(&stage, &app)?;
    let targets: Vec<_> = (0..TIMES).map(|n| format!("/poll/{n}")).collect();
    let tracer = Tracer::watch(&stage, &[])?;
    let mut connection = Connection::open(&front.address)?;
    for target in &targets {
        ensure!(connection.get(target)?.status == 200);
        sleep(Duration::from_millis(10));
    }
    one_trace_each(&tracer.stop()?, &targets, 4)
}

/// What a process reads that serves nobody causes nothing, though it is the same thread's.
#[test]
fn who_works_off_a_list() -> Result<()> {
    const WORKER: &str = "
import http.client, sys
connection = http.client.HTTPConnection(sys.argv[1])
for target in sys.argv[2:]:
    connection.request('GET', target)
    connection.getresponse().read()
";
    let stage = Stage::new()?;
    let app = servers::gunicorn(&stage, Workers::Threads(4))?;
    let targets: Vec<_> = (0..TIMES).map(|n| format!("/job/{n}")).collect();
    let tracer = Tracer::watch(&stage, &[])?;
    let mut worker = Command::new(environment::venv("python")?);
    ensure!(worker.args(["-c", WORKER, &app.host()]).args(&targets).status()?.success());
    one_trace_each(&tracer.stop()?, &targets, 2)
}
