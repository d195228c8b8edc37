//! A request whose handler runs a command: the launch is a span under the request, with its arguments and
//! its exit code.

use anyhow::{Context, Result, ensure};
use std::thread;
use tracer_tests::servers::{self, Workers};
use tracer_tests::span::brief;
use tracer_tests::{Connection, Report, Server, Span, Stage, Tracer};

/// The SERVER span of the application for this target.
fn request<'a>(report: &'a Report, server: &Server, target: &str) -> Result<&'a Span> {
    let spans = report.of(&server.pids());
    let mut here = spans.into_iter().filter(|span| span.kind == "SERVER" && span.target() == target);
    let span = here.next().with_context(|| format!("no SERVER span for {target}"))?;
    ensure!(here.next().is_none(), "two SERVER spans for {target}");
    Ok(span)
}

/// The launches that stand right under a span.
fn launches<'a>(report: &'a Report, under: &Span) -> Vec<&'a Span> {
    let below = |span: &&Span| span.parent.as_ref() == Some(&under.span_id) && span.kind == "INTERNAL";
    report.spans.iter().filter(below).collect()
}

/// Fails unless this request caused exactly this launch.
fn ensure_launch(report: &Report, server: &Server, target: &str, script: &str, code: i64) -> Result<()> {
    let request = request(report, server, target)?;
    let found = launches(report, request);
    let text = || format!("{target}: sh -c {script:?} expected, found\n{}", brief(found.iter().copied()));
    ensure!(found.len() == 1, "{}", text());
    let launch = found[0];
    // `system` of newer C libraries writes `sh -c -- COMMAND`.
    let arguments: Vec<_> = launch.list("process.command_args").into_iter().filter(|a| *a != "--").collect();
    ensure!(arguments == ["sh", "-c", script], "{}", text());
    ensure!(launch.number("process.exit.code") == Some(code), "{}", text());
    ensure!(launch.trace_id == request.trace_id, "{}", text());
    ensure!(launch.start >= request.start, "{}", text());
    let parent_pid = launch.number("process.parent_pid");
    ensure!(parent_pid.is_none_or(|pid| pid != launch.number("process.pid").unwrap_or(0)), "{}", text());
    Ok(())
}

fn get(server: &Server, target: &str) -> Result<()> {
    let response = Connection::open(&server.address)?.get(target)?;
    ensure!(response.status == 200, "{target}: {response:?}");
    Ok(())
}

fn one_by_one(start: impl FnOnce(&Stage) -> Result<Server>) -> Result<()> {
    let stage = Stage::new()?;
    let server = start(&stage)?;
    let tracer = Tracer::watch(&stage, &[])?;
    for target in
        ["/launch-id", "/launch-fails", "/launch-system?say=one", "/launch-detached?say=two", "/none"]
    {
        get(&server, target)?;
    }
    let report = tracer.stop()?;
    report.ensure_nothing_lost()?;
    ensure_launch(&report, &server, "/launch-id", "id", 0)?;
    ensure_launch(&report, &server, "/launch-fails", "exit 3", 3)?;
    ensure_launch(&report, &server, "/launch-system?say=one", ": one", 0)?;
    ensure_launch(&report, &server, "/launch-detached?say=two", ": two", 0)?;
    let quiet = request(&report, &server, "/none")?;
    ensure!(launches(&report, quiet).is_empty(), "launches under a request that launched nothing");
    Ok(())
}

fn at_the_same_time(start: impl FnOnce(&Stage) -> Result<Server>) -> Result<()> {
    const CLIENTS: usize = 8;
    const EACH: usize = 5;
    let stage = Stage::new()?;
    let server = start(&stage)?;
    let tracer = Tracer::watch(&stage, &[])?;
    let target = |client, n| format!("/launch-says?say={client}-{n}");
    thread::scope(|scope| {
        let get = |client| (0..EACH).try_for_each(|n| get(&server, &target(client, n)));
        let clients: Vec<_> = (0..CLIENTS).map(|client| scope.spawn(move || get(client))).collect();
        clients.into_iter().try_for_each(|client| client.join().expect("the client did not panic"))
    })?;
    let report = tracer.stop()?;
    report.ensure_nothing_lost()?;
    for client in 0..CLIENTS {
        for n in 0..EACH {
            ensure_launch(&report, &server, &target(client, n), &format!(": {client}-{n}"), 0)?;
        }
    }
    Ok(())
}

#[test]
fn in_werkzeug() -> Result<()> {
    one_by_one(servers::werkzeug)
}

#[test]
fn in_a_worker_of_gunicorn() -> Result<()> {
    one_by_one(|stage| servers::gunicorn(stage, Workers::Sync(2)))
}

#[test]
fn at_the_same_time_in_threads_of_werkzeug() -> Result<()> {
    at_the_same_time(servers::werkzeug)
}

#[test]
fn at_the_same_time_in_workers_of_gunicorn() -> Result<()> {
    at_the_same_time(|stage| servers::gunicorn(stage, Workers::Sync(4)))
}

#[test]
fn at_the_same_time_in_threads_of_gunicorn() -> Result<()> {
    at_the_same_time(|stage| servers::gunicorn(stage, Workers::Threads(8)))
}
