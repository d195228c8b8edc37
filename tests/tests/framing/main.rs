//! Requests cut, packed and framed in every way: exactly the spans of what the server parsed.
//!
//! Each case goes to each server that takes it. The expected requests, the server's own log, its SERVER
//! spans and the test's own CLIENT spans must be the same list.

mod cases;

use anyhow::{Context, Result, ensure};
use cases::{CASES, Step};
use std::collections::BTreeSet;
use std::thread::sleep;
use tracer_tests::servers::{self, Workers};
use tracer_tests::span::brief;
use tracer_tests::wire::APART;
use tracer_tests::{Connection, Report, Server, Span, Stage, Tracer};

fn play(server: &Server, prefix: &str, steps: &[Step]) -> Result<()> {
    let mut connection = Connection::open(&server.address)?;
    for step in steps {
        match step {
            Step::Send(text) => {
                connection.send(text.replace('@', prefix).as_bytes())?;
                sleep(APART);
            }
            Step::Trickle(text) => {
                let text = text.replace('@', prefix);
                connection.send_apart(text.as_bytes().chunks(1))?;
            }
            Step::Await(text) => drop(connection.wait_for(text.as_bytes())?),
            Step::ToEnd => drop(connection.read_to_end()?),
        }
    }
    Ok(())
}

type Request = (String, String, u16);

/// Plays all cases of a server; gives what its log must hold.
fn play_all(server: &Server) -> Result<Vec<Request>> {
    let mut expected = Vec::new();
    for case in CASES.iter().filter(|case| case.servers.contains(&server.name.as_str())) {
        let prefix = format!("/{}", case.name);
        play(server, &prefix, case.steps).with_context(|| format!("{} before {}", case.name, server.name))?;
        let requests = case.expected.iter();
        expected
            .extend(requests.map(|(method, target, status)| {
                ((*method).to_owned(), format!("{prefix}{target}"), *status)
            }));
    }
    Ok(expected)
}

fn logged(server: &Server) -> Result<Vec<Request>> {
    Ok(server.served()?.into_iter().map(|served| (served.method, served.target, served.status)).collect())
}

/// Fails with the two lists where they differ.
fn ensure_same(what: &str, expected: &[Request], mut found: Vec<Request>) -> Result<()> {
    let mut missing = Vec::new();
    for request in expected {
        match found.iter().position(|other| other == request) {
            Some(at) => drop(found.remove(at)),
            None => missing.push(request),
        }
    }
    ensure!(missing.is_empty() && found.is_empty(), "{what}: missing {missing:#?}, too many {found:#?}");
    Ok(())
}

fn requests(spans: &[&Span]) -> Vec<Request> {
    spans.iter().map(|span| (span.method().to_owned(), span.target(), span.status())).collect()
}

fn ensure_spans(report: &Report, server: &Server, expected: &[Request]) -> Result<()> {
    let servers = report.of(&server.pids());
    let clients = report.of(&BTreeSet::from([std::process::id()]));
    ensure_same("SERVER spans", expected, requests(&servers))?;
    ensure_same("CLIENT spans", expected, requests(&clients))?;
    for span in servers {
        let parent = report.parent(span);
        let right = parent.is_some_and(|parent| {
            parent.kind == "CLIENT" && parent.target() == span.target() && parent.start <= span.start
        });
        ensure!(
            span.kind == "SERVER" && right,
            "wrong parent:\n{}",
            brief([Some(span), parent].into_iter().flatten())
        );
        let known = ["GET", "HEAD", "POST", "CONNECT"].contains(&span.method());
        let name = span.text("http.request.method").unwrap_or("");
        ensure!(known == (name == span.method()) && (known || name == "_OTHER"), "{}", span.json);
    }
    Ok(())
}

fn holds_for(start: impl FnOnce(&Stage) -> Result<Server>) -> Result<()> {
    let stage = Stage::new()?;
    let server = start(&stage)?;
    let tracer = Tracer::watch(&stage, &[])?;
    let expected = play_all(&server)?;
    let report = tracer.stop()?;
    report.ensure_nothing_lost()?;
    ensure_same("the server's own log", &expected, logged(&server)?)?;
    ensure_spans(&report, &server, &expected)
}

#[test]
fn nginx_parses_the_same() -> Result<()> {
    holds_for(servers::nginx)
}

#[test]
fn node_parses_the_same() -> Result<()> {
    holds_for(servers::node)
}

#[test]
fn gunicorn_parses_the_same() -> Result<()> {
    holds_for(|stage| servers::gunicorn(stage, Workers::Threads(4)))
}

#[test]
fn werkzeug_parses_the_same() -> Result<()> {
    holds_for(servers::werkzeug)
}

/// Without the tracer: the table tells the truth about the servers.
#[test]
fn the_servers_parse_what_the_table_says() -> Result<()> {
    let stage = Stage::new()?;
    let threads = servers::gunicorn(&stage, Workers::Threads(4))?;
    for mut server in [servers::nginx(&stage)?, servers::node(&stage)?, threads, servers::werkzeug(&stage)?] {
        let expected = play_all(&server)?;
        server.served_all(expected.len())?;
        ensure_same(&format!("the log of {}", server.name), &expected, logged(&server)?)?;
    }
    Ok(())
}
