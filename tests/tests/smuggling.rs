//! An attack that gets past nginx: one finding that proves it, whatever else goes on, and one trace that shows it.

use anyhow::{Context, Result, bail, ensure};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use tracer_tests::recording::Recorder;
use tracer_tests::smuggling::{Back, DENIED, Stack, hidden, request, scenes};
use tracer_tests::span::brief;
use tracer_tests::{Connection, Finding, Report, Span, Stage, Tracer, http2, tracer};

const SMUGGLING: &str = "http.request_smuggling";

/// All findings about these processes; one that grew worse and came again is one.
fn findings<'a>(report: &'a Report, pids: &BTreeSet<u32>) -> Vec<&'a Finding> {
    let pid = |finding: &Finding| finding.json["resource"]["process.pid"].as_u64();
    let is_ours = |finding: &&Finding| {
        let pid = pid(finding).and_then(|pid| u32::try_from(pid).ok());
        pid.is_some_and(|pid| pids.contains(&pid))
    };
    let mut last: Vec<&Finding> = Vec::new();
    for finding in report.findings.iter().filter(is_ours) {
        last.retain(|other| (&other.rule, &other.span) != (&finding.rule, &finding.span));
        last.push(finding);
    }
    last
}

/// The one finding of any kind, which must be sure.
fn the_finding<'a>(report: &'a Report, stack: &Stack) -> Result<&'a Finding> {
    report.ensure_nothing_lost()?;
    let found = findings(report, &stack.pids());
    let titles: Vec<_> = found.iter().map(|finding| &finding.json["title"]).collect();
    let [finding] = found.as_slice() else { bail!("not one finding but {}: {titles:?}", found.len()) };
    ensure!(finding.rule == SMUGGLING && finding.severity == "critical", "{}", finding.json);
    ensure!(finding.confidence == "confirmed", "{}", finding.json);
    ensure!(finding.json["attributes"]["tracer.smuggled.target"] == DENIED, "{}", finding.json);
    Ok(finding)
}

/// The spans from the outside in: kind, method, target, of whom. One request came in, two were served.
fn ensure_chain(report: &Report, finding: &Finding, expected: &[(&str, &str, &str, u32)]) -> Result<()> {
    let (trace, carrier) = finding.span.as_ref().context("a finding without a span")?;
    let mut spans: Vec<&Span> = report.spans.iter().filter(|span| span.trace_id == *trace).collect();
    spans.sort_by_key(|span| depth(report, span));
    let found: Vec<_> =
        spans.iter().map(|s| (s.kind.as_str(), s.method(), s.target(), s.pid(), depth(report, s))).collect();
    let expected = expected.iter().zip(0..);
    let expected: Vec<_> = expected
        .map(|((kind, method, target, pid), n)| (*kind, *method, (*target).into(), *pid, n))
        .collect();
    ensure!(found == expected, "expected {expected:#?}\nfound {}", brief(spans));
    let [.., last, smuggled] = spans.as_slice() else { bail!("two spans at least") };
    ensure!(
        last.span_id == *carrier && last.list("tracer.finding.rules").contains(&SMUGGLING),
        "{}",
        last.brief()
    );
    ensure!(smuggled.parent.as_ref() == Some(carrier), "{}", smuggled.brief());
    let marked: Vec<_> =
        spans.iter().filter(|span| span.json["attributes"]["tracer.smuggled"] == true).collect();
    ensure!(marked.len() == 1 && marked[0].span_id == smuggled.span_id, "{}", brief(spans));
    Ok(())
}

fn depth(report: &Report, span: &Span) -> usize {
    std::iter::successors(Some(span), |span| report.parent(span)).count() - 1
}

fn chain<'a>(stack: &Stack, method: &'a str, target: &'a str) -> [(&'a str, &'a str, &'a str, u32); 5] {
    let worker = stack.front.pids().into_iter().max().unwrap_or(0);
    let back = stack.back.pids().into_iter().next().unwrap_or(0);
    [
        ("CLIENT", method, target, std::process::id()),
        ("SERVER", method, target, worker),
        ("CLIENT", method, target, worker),
        ("SERVER", method, target, back),
        ("SERVER", "GET", DENIED, back),
    ]
}

fn replay(file: &Path) -> Result<Report> {
    let output = tracer::run(&["replay", "--output", "json", &file.to_string_lossy()])?;
    Report::parse(&String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?)
}

/// What a finding says, without its times: each agent has its own.
fn essence(finding: &Finding) -> (Option<(String, String)>, String, Vec<String>) {
    let facts = finding.json["evidence"].as_array().into_iter().flatten();
    let facts = facts.map(|fact| fact["text"].to_string()).collect();
    (finding.span.clone(), finding.json["attributes"].to_string(), facts)
}

#[test]
fn one_request_in_and_two_served() -> Result<()> {
    for scene in scenes().iter().filter(|scene| scene.smuggles) {
        let stage = Stage::new()?;
        let mut stack = Stack::start(&stage, scene.back)?;
        let file = stage.path("f.trc");
        let recorder = Recorder::start(&stage, &file)?;
        let mut tracer = Tracer::watch(&stage, &[])?;
        stack.play(scene)?;
        tracer.wait_for_findings(SMUGGLING, 1)?;
        recorder.stop()?;
        let report = tracer.stop()?;
        let finding = the_finding(&report, &stack).with_context(|| scene.name)?;
        let attributes = &finding.json["attributes"];
        let target = attributes["url.path"].as_str().context("a path")?.to_owned()
            + &attributes["url.query"].as_str().map(|query| format!("?{query}")).unwrap_or_default();
        let method = attributes["http.request.method"].as_str().context("a method")?;
        ensure_chain(&report, finding, &chain(&stack, method, &target)).with_context(|| scene.name)?;
        let again = replay(&file)?;
        let replayed = the_finding(&again, &stack).with_context(|| format!("{} replayed", scene.name))?;
        ensure!(essence(replayed) == essence(finding), "{}\n{}", replayed.json, finding.json);
    }
    Ok(())
}

#[test]
fn the_same_bytes_where_they_are_harmless() -> Result<()> {
    for scene in scenes().iter().filter(|scene| !scene.smuggles) {
        let stage = Stage::new()?;
        let mut stack = Stack::start(&stage, scene.back)?;
        let tracer = Tracer::watch(&stage, &[])?;
        stack.play(scene)?;
        let report = tracer.stop()?;
        report.ensure_nothing_lost()?;
        let found = findings(&report, &stack.pids());
        let smuggling = found.iter().any(|finding| finding.rule == SMUGGLING);
        ensure!(!smuggling, "{}: {found:?}", scene.name);
        let seen = report.of(&stack.front.pids());
        ensure!(!seen.is_empty(), "{}: nothing was seen, which proves nothing", scene.name);
    }
    Ok(())
}

/// A thousand segments, which nginx and the back end see as one.
#[test]
fn sent_byte_by_byte() -> Result<()> {
    let stage = Stage::new()?;
    let mut stack = Stack::start(&stage, Back::Unread)?;
    let mut tracer = Tracer::watch(&stage, &[])?;
    let content = format!("GET {DENIED} HTTP/1.1\r\nHost: tests\r\nX-Long: {}\r\n\r\n", "x".repeat(900));
    let bytes = request("POST", "/order", content.as_bytes());
    ensure!(bytes.len() >= 1000);
    let mut connection = Connection::open(&stack.front.address)?;
    bytes.chunks(1).try_for_each(|segment| connection.send(segment))?;
    ensure!(connection.response("POST")?.status == 200);
    stack.back.wait_served(DENIED)?;
    tracer.wait_for_findings(SMUGGLING, 1)?;
    let report = tracer.stop()?;
    ensure_chain(&report, the_finding(&report, &stack)?, &chain(&stack, "POST", "/order"))
}

/// What comes in cannot be read: the back end's side tells it by itself.
#[test]
fn behind_http2() -> Result<()> {
    let stage = Stage::new()?;
    let mut stack = Stack::start(&stage, Back::Unread)?;
    let mut tracer = Tracer::watch(&stage, &[])?;
    ensure!(http2::ask(stack.http2, "GET", DENIED, b"")? == 403, "nginx denies it");
    ensure!(http2::ask(stack.http2, "POST", "/order", &hidden())? == 200);
    stack.back.wait_served(DENIED)?;
    tracer.wait_for_findings(SMUGGLING, 1)?;
    let report = tracer.stop()?;
    let chain = chain(&stack, "POST", "/order");
    ensure_chain(&report, the_finding(&report, &stack)?, &chain[2..])
}

const CLIENTS: usize = 8;
const BENIGN: usize = 10_000;
const TRIES: usize = 3;

/// One attack among everything that makes more of a request, or looks like it. Where the machine has too much else to
/// do, records are lost, which a verdict must say: then it is tried again.
#[test]
fn one_attack_among_ten_thousand_requests() -> Result<()> {
    for _ in 0..TRIES {
        if attack_under_load()? {
            return Ok(());
        }
    }
    bail!("records were lost each time")
}

/// False when records were lost.
fn attack_under_load() -> Result<bool> {
    let stage = Stage::new()?;
    let mut stack = Stack::start(&stage, Back::Unread)?;
    let tracer = Tracer::watch(&stage, &["--findings", "--ring-size", "64M"])?;
    let sent = AtomicUsize::new(0);
    thread::scope(|scope| -> Result<()> {
        let address = &stack.front.address;
        let benign = |client: usize, sent: &AtomicUsize| -> Result<()> {
            let mut connection = Connection::open(address)?;
            let mut number = 0;
            while sent.fetch_add(1, Ordering::Relaxed) < BENIGN {
                let (bytes, answers) = ordinary(client, number);
                // Those that are sent together count each.
                sent.fetch_add(answers - 1, Ordering::Relaxed);
                connection.send(&bytes)?;
                (0..answers).try_for_each(|_| connection.response("GET").map(drop))?;
                number += 1;
            }
            Ok(())
        };
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                scope.spawn({
                    let sent = &sent;
                    move || benign(client, sent)
                })
            })
            .collect();
        while sent.load(Ordering::Relaxed) < BENIGN / 2 && clients.iter().any(|client| !client.is_finished())
        {
            thread::yield_now();
        }
        let mut connection = Connection::open(address)?;
        connection.send(&request("POST", "/order", &hidden()))?;
        ensure!(connection.response("POST")?.status == 200);
        clients.into_iter().try_for_each(|client| client.join().expect("the client did not panic"))
    })?;
    stack.back.wait_served(DENIED)?;
    let report = tracer.stop()?;
    ensure!(sent.into_inner() >= BENIGN);
    for path in ["/drained/mirror", "/drained/auth"] {
        ensure!(stack.back.times_served(path)? > 0, "nginx should have made requests for {path} of its own");
    }
    let [asked, served] = [&stack.front, &stack.back].map(|server| server.times_served("/retried/"));
    ensure!(served? > asked?, "nginx should have tried again");
    if report.ensure_nothing_lost().is_err() {
        return Ok(false);
    }
    let finding = the_finding(&report, &stack)?;
    ensure!(finding.json["attributes"]["url.path"] == "/order", "{}", finding.json);
    Ok(true)
}

/// What a client sends at once, and how many answers it gets.
fn ordinary(client: usize, number: usize) -> (Vec<u8>, usize) {
    let id = format!("{client}-{number}");
    let lure = format!("id={id}&next=GET {DENIED} HTTP/1.1\r\n\r\n");
    match number % 6 {
        0 => (request("GET", &format!("/{id}"), b""), 1),
        1 => {
            let each = |n| request("POST", &format!("/drained/{id}/{n}"), lure.as_bytes());
            ((0..4).flat_map(each).collect(), 4)
        }
        2 => (request("GET", &format!("/retried/drained/{id}"), lure.as_bytes()), 1),
        3 => (request("POST", &format!("/mirrored/drained/{id}"), lure.as_bytes()), 1),
        4 => (request("POST", &format!("/checked/drained/{id}"), lure.as_bytes()), 1),
        _ => (request("POST", &format!("/small/{id}"), b""), 1),
    }
}
