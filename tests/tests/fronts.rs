//! Proxies of other makes, with several threads and processes, and what a proxy asks besides: each of its calls hangs
//! on the request that it is for, or on nothing.

use anyhow::{Result, ensure};
use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use tracer_tests::servers::{self, Workers};
use tracer_tests::span::brief;
use tracer_tests::{Address, Connection, Report, Server, Span, Stage, Tracer};

const CONNECTIONS: usize = 8;
const EACH: usize = 25;
/// Linked at least, in percent: where it is not known, nothing is told.
const LINKED: usize = 99;
/// What HAProxy asks to see whether the application is there.
const CHECK: &str = "/check";

/// Asks for all targets, `EACH` on every connection.
fn drive(address: &Address, targets: &[String]) -> Result<()> {
    thread::scope(|scope| {
        let ask = |targets: &[String]| -> Result<()> {
            let mut connection = Connection::open(address)?;
            for target in targets {
                ensure!(connection.get(target)?.status == 200, "{target}");
            }
            Ok(())
        };
        let clients: Vec<_> = targets.chunks(EACH).map(|part| scope.spawn(move || ask(part))).collect();
        clients.into_iter().try_for_each(|client| client.join().expect("the client did not panic"))
    })
}

/// Targets with an id each that nothing else has.
fn targets(folder: &str) -> Vec<String> {
    (0..CONNECTIONS * EACH).map(|n| format!("/{folder}/{:08x}?ms=3", (n + 1) * 0x9e37_79b1)).collect()
}

fn id(target: &str) -> &str {
    target.rsplit('/').next().unwrap_or_default()
}

/// What a front has called, and what it served by ids; fails when any call hangs on another's request.
fn calls<'a>(report: &'a Report, front: &Server) -> Result<Vec<&'a Span>> {
    report.ensure_whole()?;
    let pids = front.pids();
    let (calls, served): (Vec<_>, Vec<_>) = report
        .of(&pids)
        .into_iter()
        .filter(|span| span.target() != CHECK)
        .partition(|span| span.kind == "CLIENT");
    let served: BTreeMap<_, _> = served.into_iter().map(|span| (&span.span_id, span)).collect();
    for call in &calls {
        let Some(parent) = &call.parent else { continue };
        let request = served.get(parent);
        ensure!(
            request.is_some_and(|request| id(&request.target()) == id(&call.target())),
            "wrong parent:\n{}",
            brief(request.into_iter().copied().chain([*call]))
        );
    }
    let linked = calls.iter().filter(|call| call.parent.is_some()).count();
    ensure!(linked * 100 >= calls.len() * LINKED, "{linked} of {} calls are linked", calls.len());
    Ok(calls)
}

/// Each request in a trace of its own, from the client to the application.
fn holds_for(start: impl FnOnce(&Stage, &Server) -> Result<Server>) -> Result<()> {
    let stage = Stage::new()?;
    let app = servers::gunicorn(&stage, Workers::Threads(16))?;
    let front = start(&stage, &app)?;
    let targets = targets("through");
    let tracer = Tracer::watch(&stage, &[])?;
    drive(&front.address, &targets)?;
    let report = tracer.stop()?;
    report.ensure_nothing_lost()?;
    let calls = calls(&report, &front)?;
    let asked: BTreeSet<_> = calls.iter().map(|call| call.target()).collect();
    ensure!(calls.len() == targets.len() && asked.len() == calls.len(), "{} calls", calls.len());
    for check in report.spans.iter().filter(|span| span.kind == "CLIENT" && span.target() == CHECK) {
        ensure!(check.parent.is_none(), "it is for nobody:\n{}", check.brief());
    }
    Ok(())
}

#[test]
fn haproxy_with_several_threads_and_checks() -> Result<()> {
    holds_for(servers::haproxy_before)
}

#[test]
fn apache_with_several_processes_and_threads() -> Result<()> {
    holds_for(servers::apache_before)
}

#[test]
fn nginx_with_several_workers() -> Result<()> {
    holds_for(servers::nginx_workers_before)
}

/// For one request two calls: a copy, a question whether it may be served, a second attempt.
#[test]
fn what_a_proxy_asks_besides() -> Result<()> {
    let stage = Stage::new()?;
    let app = servers::gunicorn(&stage, Workers::Threads(16))?;
    let front = servers::nginx_asking_besides(&stage, &app)?;
    let tracer = Tracer::watch(&stage, &[])?;
    let all = ["mirrored", "checked", "retried"].map(targets);
    all.iter().try_for_each(|targets| drive(&front.address, targets))?;
    let report = tracer.stop()?;
    report.ensure_nothing_lost()?;
    let calls = calls(&report, &front)?;
    let least = all.len() * CONNECTIONS * EACH;
    // Every other retry is none: there are two to begin with.
    ensure!(calls.len() * 2 >= least * 2 + least, "{} calls for {least} requests", calls.len());
    Ok(())
}
