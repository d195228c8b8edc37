//! Exchanges that end otherwise than with a whole response, and connections served in unusual ways.

use anyhow::{Result, ensure};
use std::collections::BTreeSet;
use std::thread::sleep;
use std::time::Duration;
use tracer_tests::servers::{self, Workers};
use tracer_tests::span::brief;
use tracer_tests::{Connection, Report, Span, Stage, Tracer};

fn own() -> BTreeSet<u32> {
    BTreeSet::from([std::process::id()])
}

fn only<'a>(report: &'a Report, pids: &BTreeSet<u32>, kind: &str) -> Result<&'a Span> {
    let mut spans = report.of(pids);
    spans.retain(|span| span.kind == kind);
    ensure!(spans.len() == 1, "not one {kind} span:\n{}", brief(spans));
    Ok(spans[0])
}

fn ensure_failed(span: &Span, target: &str) -> Result<()> {
    let failed = span.status() == 0 && span.text("error.type").is_some();
    ensure!(failed && span.target() == target && span.json["status"]["code"] == "ERROR", "{}", span.json);
    Ok(())
}

/// The client has read the end of the stream, and keeps its own side open: no answer can come any more.
#[test]
fn a_server_that_hangs_up() -> Result<()> {
    let stage = Stage::new()?;
    let server = servers::node(&stage)?;
    let tracer = Tracer::watch(&stage, &[])?;
    let mut connection = Connection::open(&server.address)?;
    connection.send(b"GET /hung-up/destroy HTTP/1.1\r\nHost: x\r\n\r\n")?;
    ensure!(connection.read_to_end()?.is_empty());
    let report = tracer.stop()?;
    ensure_failed(only(&report, &server.pids(), "SERVER")?, "/hung-up/destroy")?;
    ensure_failed(only(&report, &own(), "CLIENT")?, "/hung-up/destroy")?;
    drop(connection);
    Ok(())
}

#[test]
fn a_client_that_hangs_up() -> Result<()> {
    let stage = Stage::new()?;
    let app = servers::werkzeug(&stage)?;
    let mut front = servers::nginx_before(&stage, &app)?;
    let tracer = Tracer::watch(&stage, &[])?;
    let mut connection = Connection::open(&front.address)?;
    connection.send(b"GET /gone?ms=300 HTTP/1.1\r\nHost: x\r\n\r\n")?;
    sleep(Duration::from_millis(100));
    drop(connection);
    ensure!(front.served_all(1)?[0].status == 499);
    sleep(Duration::from_millis(400));
    let report = tracer.stop()?;
    ensure_failed(only(&report, &own(), "CLIENT")?, "/gone?ms=300")?;
    ensure_failed(only(&report, &front.pids(), "SERVER")?, "/gone?ms=300")?;
    ensure_failed(only(&report, &front.pids(), "CLIENT")?, "/gone?ms=300")?;
    ensure!(only(&report, &app.pids(), "SERVER")?.target() == "/gone?ms=300");
    Ok(())
}

/// No upstream request was sent, so there is no span of one; the answer is nginx's own.
#[test]
fn an_upstream_that_is_gone() -> Result<()> {
    let stage = Stage::new()?;
    let app = servers::gunicorn(&stage, Workers::Sync(1))?;
    let front = servers::nginx_before(&stage, &app)?;
    drop(app);
    let tracer = Tracer::watch(&stage, &[])?;
    ensure!(Connection::open(&front.address)?.get("/refused")?.status == 502);
    let report = tracer.stop()?;
    let spans = report.of(&front.pids());
    ensure!(spans.len() == 1 && spans[0].kind == "SERVER", "{}", brief(spans));
    let span = spans[0];
    ensure!(span.status() == 502 && span.text("error.type") == Some("502"), "{}", span.json);
    ensure!(span.json["status"]["code"] == "ERROR", "{}", span.json);
    Ok(())
}

/// The rest of a content that began before the tracer is no message; what follows is.
#[test]
fn a_connection_joined_in_the_middle_of_a_message() -> Result<()> {
    let stage = Stage::new()?;
    let server = servers::node(&stage)?;
    let mut connection = Connection::open(&server.address)?;
    connection.send(b"POST /half HTTP/1.1\r\nHost: x\r\nContent-Length: 2000\r\n\r\n")?;
    connection.send(&[b'x'; 1000])?;
    let tracer = Tracer::watch(&stage, &[])?;
    connection.send(&[b'y'; 1000])?;
    ensure!(connection.response("POST")?.status == 200);
    connection.get("/whole/1")?;
    connection.get("/whole/2")?;
    let report = tracer.stop()?;
    for (pids, kind) in [(own(), "CLIENT"), (server.pids(), "SERVER")] {
        let spans = report.of(&pids);
        let targets: Vec<_> = spans.iter().map(|span| span.target()).collect();
        ensure!(targets == ["/whole/1", "/whole/2"], "{kind} spans:\n{}", brief(spans));
        ensure!(spans.iter().all(|span| span.kind == kind && span.status() == 200), "{}", brief(spans));
    }
    Ok(())
}

/// Still open when the tracer ends: said as far as it is known.
#[test]
fn an_answer_that_has_not_come() -> Result<()> {
    let stage = Stage::new()?;
    let server = servers::werkzeug(&stage)?;
    let tracer = Tracer::watch(&stage, &[])?;
    let mut connection = Connection::open(&server.address)?;
    connection.send(b"GET /slow?ms=5000 HTTP/1.1\r\nHost: x\r\n\r\n")?;
    let report = tracer.stop()?;
    let spans = report.of(&server.pids());
    ensure!(spans.len() == 1, "{}", brief(spans));
    let span = spans[0];
    ensure!(span.status() == 0 && span.target() == "/slow?ms=5000", "{}", span.json);
    ensure!(span.text("tracer.incomplete") == Some("still_open"), "{}", span.json);
    Ok(())
}

/// The process that answered says who it is; the span must say the same.
#[test]
fn connections_that_changed_hands() -> Result<()> {
    let stage = Stage::new()?;
    for mode in ["fork", "dup", "pass"] {
        let server = servers::passing(&stage, mode)?;
        let tracer = Tracer::watch(&stage, &[])?;
        let mut connection = Connection::open(&server.address)?;
        let mut pids = BTreeSet::new();
        for n in 0..3 {
            pids.insert(String::from_utf8(connection.get(&format!("/{mode}/{n}"))?.body)?.parse::<u32>()?);
        }
        let report = tracer.stop()?;
        ensure!(pids.len() == 1, "{mode}: answered by {pids:?}");
        let (spans, clients) = (report.of(&pids), report.of(&own()));
        ensure!(spans.len() == 3 && clients.len() == 3, "{mode}:\n{}{}", brief(spans), brief(clients));
        for (span, client) in spans.iter().zip(&clients) {
            let right = span.kind == "SERVER" && span.parent.as_ref() == Some(&client.span_id);
            ensure!(right && span.target() == client.target(), "{mode}: {}", span.brief());
        }
    }
    Ok(())
}
