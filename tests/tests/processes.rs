//! Real servers that launch what they should not, and what they are there to launch.

use anyhow::{Context, Result, ensure};
use std::thread::{self, sleep};
use std::time::Duration;
use tracer_tests::gateways::Gateway;
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
    a_web_shell_in(&stage, &server, &server, "id%3B+uname+-a")
}

/// The same behind a front end, which is asked.
fn a_web_shell_in(stage: &Stage, server: &Server, front: &Server, say: &str) -> Result<()> {
    let tracer = Tracer::watch(stage, &[])?;
    thread::scope(|scope| {
        let wait = |n| get(front, &format!("/none?ms=600&n={n}"));
        let others: Vec<_> = (0..3).map(|n| scope.spawn(move || wait(n))).collect();
        sleep(Duration::from_millis(200));
        get(front, &format!("/launch-shell?say={say}"))?;
        others.into_iter().try_for_each(|other| other.join().expect("the client did not panic"))
    })?;
    sleep(Duration::from_secs(3));
    let report = tracer.stop()?;
    report.ensure_nothing_lost()?;
    let [finding] = found(&report, server)[..] else {
        anyhow::bail!("not one finding: {:?}", report.findings)
    };
    ensure!(finding.rule == "process.command_from_request", "{}", finding.json);
    ensure!((finding.severity.as_str(), finding.confidence.as_str()) == ("critical", "confirmed"));
    ensure!(text(finding, "url.path") == "/launch-shell", "{}", finding.json);
    ensure!(text(finding, "url.query") == format!("say={say}"), "{}", finding.json);
    ensure!(finding.json["attributes"]["client.address"] == "127.0.0.1", "{}", finding.json);
    let facts = facts(finding);
    for fact in ["id; uname -a`", "ran `id` as user", "ran `uname -a` as user", "exit code 0"] {
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

#[test]
fn a_web_shell_in_workers_of_php_fpm() -> Result<()> {
    let stage = Stage::new()?;
    let server = Gateway::Fastcgi.start(&stage, true)?;
    let front = Gateway::Fastcgi.nginx(&stage, &server, true)?;
    // The page puts a colon before it.
    a_web_shell_in(&stage, &server, &front, "%3Bid%3B+uname+-a")
}

/// Thousands of launches, as fast as a server can, cost no more memory than a thousand do.
#[test]
fn many_launches_lose_nothing() -> Result<()> {
    const MOST: u64 = 24 << 20;
    let (few, many) = (many_launches(1_000)?, many_launches(8_000)?);
    ensure!(many < few + MOST, "{many} bytes for eight thousand, {few} for one thousand");
    Ok(())
}

/// So many in one request; gives the tracer's memory at its end.
fn many_launches(count: usize) -> Result<u64> {
    let stage = Stage::new()?;
    let server = servers::werkzeug(&stage)?;
    let tracer = Tracer::watch(&stage, &[])?;
    let mut connection = Connection::open(&server.address)?;
    let response = connection.get(&format!("/launch-many?say={count}"))?;
    ensure!(response.status == 200, "{response:?}");
    sleep(Duration::from_secs(3));
    let report = tracer.stop()?;
    report.ensure_nothing_lost()?;
    let launches = report.of(&server.pids()).into_iter().filter(|span| span.kind == "INTERNAL").count();
    ensure!(launches == count, "{launches} launches of {count}");
    for kept in ["dropped_findings", "dropped_exchanges", "forgotten_tasks"] {
        ensure!(report.stats["unused"][kept] == 0, "{kept}: {}", report.stats);
    }
    let told: Vec<_> = found(&report, &server).iter().map(|finding| finding.severity.clone()).collect();
    ensure!(told == ["low"], "what is launched again and again is told once: {told:?}");
    report.stats["rss_bytes"].as_u64().context("no rss_bytes")
}

/// What one request makes the server launch is one finding, led by this rule.
fn one_finding(target: &str, rule: &str, severity: &str, fact: &str) -> Result<()> {
    let stage = Stage::new()?;
    let server = servers::werkzeug(&stage)?;
    let tracer = Tracer::watch(&stage, &[])?;
    // What the server was given itself is asked about when its first request comes.
    get(&server, "/none")?;
    sleep(Duration::from_millis(500));
    get(&server, target)?;
    sleep(Duration::from_secs(3));
    let report = tracer.stop()?;
    report.ensure_nothing_lost()?;
    let [finding] = found(&report, &server)[..] else {
        anyhow::bail!("not one finding: {:?}", report.findings)
    };
    ensure!((finding.rule.as_str(), finding.severity.as_str()) == (rule, severity), "{}", finding.json);
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
        "critical",
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
    one_finding(
        &target,
        "process.remote_shell",
        "critical",
        "its standard input, output, error: a TCP socket",
    )?;
    types.join().expect("whoever types does not panic")
}

#[test]
fn a_shell_on_a_terminal() -> Result<()> {
    let fact = "a pseudo-terminal that the server does not have";
    one_finding("/launch-terminal", "process.pty_shell", "high", fact)
}

#[test]
fn a_library_before_all_others() -> Result<()> {
    one_finding("/launch-library", "process.preload", "high", "LD_PRELOAD or LD_AUDIT is set")
}

#[test]
fn a_program_that_no_request_asked_for() -> Result<()> {
    one_finding("/launch-later", "process.without_request", "high", "no request was open when it was forked")
}

/// Four requests are open in an event loop, and nothing that is launched says for which: what has a parent has the
/// right one.
#[test]
fn an_event_loop_with_four_requests_open() -> Result<()> {
    let stage = Stage::new()?;
    let server = servers::node(&stage)?;
    let tracer = Tracer::watch(&stage, &[])?;
    thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|n| {
                let (server, target) = (&server, format!("/{n}/launch?ms={}", 200 + 137 * (n * 7 % 4)));
                scope.spawn(move || get(server, &target))
            })
            .collect();
        clients.into_iter().try_for_each(|client| client.join().expect("the client did not panic"))
    })?;
    let report = tracer.stop()?;
    report.ensure_nothing_lost()?;
    let spans = report.of(&server.pids());
    let launches: Vec<_> = spans.iter().filter(|span| span.kind == "INTERNAL").collect();
    ensure!(launches.len() == 4, "{} launches of 4", launches.len());
    for launch in launches {
        let Some(parent) = &launch.parent else { continue };
        let request = spans.iter().find(|span| span.span_id == *parent).context("no such parent")?;
        // Each was answered as soon as its own program had ended.
        let next = spans.iter().filter(|span| span.kind == "SERVER" && span.end >= launch.end);
        let next = next.min_by_key(|span| span.end).context("no request ended after it")?;
        ensure!(
            next.span_id == request.span_id,
            "{} is not what {} waited for",
            launch.name,
            request.target()
        );
    }
    Ok(())
}
