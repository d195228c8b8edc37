//! Real servers that launch what they should not, and what they are there to launch.

use anyhow::{Context, Result, ensure};
use std::thread::{self, sleep};
use std::time::Duration;
use tracer_tests::servers::{self, Workers};
use tracer_tests::{Connection, Finding, Report, Server, Stage, Tracer};

fn get(server: &Server, target: &str) -> Result<()> {
    let response = Connection::open(&server.address)?.get(target)?;
    ensure!(response.status == 200, "{target}: {response:?}");
    Ok(())
}

/// The findings about what a server launched.
fn found<'a>(report: &'a Report, server: &Server) -> Vec<&'a Finding> {
    let pids = server.pids();
    let is_ours = |finding: &&Finding| {
        let pid = finding.json["resource"]["process.pid"].as_u64().and_then(|pid| u32::try_from(pid).ok());
        finding.rule.starts_with("process.") && pid.is_some_and(|pid| pids.contains(&pid))
    };
    report.findings.iter().filter(is_ours).collect()
}

fn text<'a>(finding: &'a Finding, key: &str) -> &'a str {
    finding.json["attributes"][key].as_str().unwrap_or_default()
}

fn facts(finding: &Finding) -> String {
    let all = finding.json["evidence"].as_array().into_iter().flatten();
    all.filter_map(|fact| fact["text"].as_str()).collect::<Vec<_>>().join("\n")
}

/// One request among others that are served at the same time makes the server run what it says.
fn a_web_shell(start: impl FnOnce(&Stage) -> Result<Server>) -> Result<()> {
    let stage = Stage::new()?;
    let server = start(&stage)?;
    let tracer = Tracer::watch(&stage, &[])?;
    thread::scope(|scope| {
        let wait = |n| get(&server, &format!("/none?ms=600&n={n}"));
        let others: Vec<_> = (0..3).map(|n| scope.spawn(move || wait(n))).collect();
        sleep(Duration::from_millis(200));
        get(&server, "/launch-shell?say=id%3B+uname+-a")?;
        others.into_iter().try_for_each(|other| other.join().expect("the client did not panic"))
    })?;
    sleep(Duration::from_secs(3));
    let report = tracer.stop()?;
    report.ensure_nothing_lost()?;
    let [finding] = found(&report, &server)[..] else {
        anyhow::bail!("not one finding: {:?}", report.findings)
    };
    ensure!(finding.rule == "process.command_from_request", "{}", finding.json);
    ensure!((finding.severity.as_str(), finding.confidence.as_str()) == ("critical", "confirmed"));
    ensure!(text(finding, "url.path") == "/launch-shell", "{}", finding.json);
    ensure!(text(finding, "url.query") == "say=id%3B+uname+-a", "{}", finding.json);
    ensure!(finding.json["attributes"]["client.address"] == "127.0.0.1", "{}", finding.json);
    let facts = facts(finding);
    for fact in
        ["is the command: `id; uname -a`", "ran `id` as user", "ran `uname -a` as user", "exit code 0"]
    {
        ensure!(facts.contains(fact), "no {fact:?} in\n{facts}");
    }
    let (trace, span) = finding.span.as_ref().context("a finding without a span")?;
    let request = report.spans.iter().find(|s| s.span_id == *span && s.trace_id == *trace);
    ensure!(request.context("its span was not told")?.target().starts_with("/launch-shell"));
    Ok(())
}

#[test]
fn a_web_shell_in_threads_of_werkzeug() -> Result<()> {
    a_web_shell(servers::werkzeug)
}

#[test]
fn a_web_shell_in_threads_of_gunicorn() -> Result<()> {
    a_web_shell(|stage| servers::gunicorn(stage, Workers::Threads(8)))
}

#[test]
fn a_web_shell_in_workers_of_gunicorn() -> Result<()> {
    a_web_shell(|stage| servers::gunicorn(stage, Workers::Sync(4)))
}

/// A thousand launches in a burst, as fast as a server can.
#[test]
fn many_launches_lose_nothing() -> Result<()> {
    let stage = Stage::new()?;
    let server = servers::werkzeug(&stage)?;
    let tracer = Tracer::watch(&stage, &[])?;
    get(&server, "/launch-many?say=1000")?;
    sleep(Duration::from_secs(3));
    let report = tracer.stop()?;
    report.ensure_nothing_lost()?;
    let launches = report.of(&server.pids()).into_iter().filter(|span| span.kind == "INTERNAL").count();
    ensure!(launches == 1000, "{launches} launches of 1000");
    for kept in ["dropped_findings", "dropped_exchanges", "forgotten_tasks"] {
        ensure!(report.stats["unused"][kept] == 0, "{kept}: {}", report.stats);
    }
    let told: Vec<_> = found(&report, &server).iter().map(|finding| finding.severity.clone()).collect();
    ensure!(told == ["low"], "what is launched again and again is told once: {told:?}");
    Ok(())
}

/// What one request makes the server launch is one finding, led by this rule.
fn one_finding(target: &str, rule: &str, fact: &str) -> Result<()> {
    let stage = Stage::new()?;
    let server = servers::werkzeug(&stage)?;
    let tracer = Tracer::watch(&stage, &[])?;
    get(&server, target)?;
    sleep(Duration::from_secs(3));
    let report = tracer.stop()?;
    report.ensure_nothing_lost()?;
    let [finding] = found(&report, &server)[..] else {
        anyhow::bail!("not one finding: {:?}", report.findings)
    };
    ensure!((finding.rule.as_str(), finding.severity.as_str()) == (rule, "critical"), "{}", finding.json);
    ensure!(target.starts_with(text(finding, "url.path")), "{}", finding.json);
    let facts = facts(finding);
    ensure!(facts.contains(fact), "no {fact:?} in\n{facts}");
    Ok(())
}

#[test]
fn a_program_without_a_file() -> Result<()> {
    one_finding(
        "/launch-memory",
        "process.fileless",
        "the image's inode has no link; it was executed as `/proc/self/fd/",
    )
}

#[test]
fn a_shell_on_a_connection_to_elsewhere() -> Result<()> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let target = format!("/launch-remote?say={}", listener.local_addr()?.port());
    let types = thread::spawn(move || -> Result<()> {
        std::io::Write::write_all(&mut listener.accept()?.0, b"id\nexit\n")?;
        Ok(())
    });
    one_finding(&target, "process.remote_shell", "its standard input, output, error: a TCP socket")?;
    types.join().expect("whoever types does not panic")
}
