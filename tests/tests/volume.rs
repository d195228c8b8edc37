//! Long contents: their ends are found, their sizes right, and nothing in them is taken for a message.

use anyhow::{Result, ensure};
use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use tracer_tests::servers::{self, Workers};
use tracer_tests::span::brief;
use tracer_tests::{Connection, Report, Server, Stage, Tracer};

/// Repeated, it puts the begin of a request at the begin of some segment, wherever the segments are cut.
const LURE: &[u8] = b"GET /admin HTTP/1.1\r\nHost: admin\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

fn lures(length: usize) -> Vec<u8> {
    LURE.iter().copied().cycle().take(length).collect()
}

/// Fails unless these processes have exactly these spans: kind, target, and the sizes of both contents.
fn ensure_spans(
    report: &Report,
    pids: &BTreeSet<u32>,
    expected: &[(&str, &str, usize, usize)],
) -> Result<()> {
    let spans = report.of(pids);
    let size = |number: Option<i64>| number.and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
    let mut found: Vec<_> = spans
        .iter()
        .map(|span| {
            let sizes =
                ["http.request.body.size", "http.response.body.size"].map(|key| size(span.number(key)));
            (span.kind.as_str(), span.target(), sizes[0], sizes[1])
        })
        .collect();
    found.sort_unstable();
    let mut expected: Vec<_> =
        expected.iter().map(|(k, t, up, down)| (*k, (*t).to_owned(), *up, *down)).collect();
    expected.sort_unstable();
    ensure!(found == expected, "expected {expected:#?}\nfound {found:#?}\n{}", brief(spans));
    Ok(())
}

fn post(connection: &mut Connection, target: &str, content: &[u8], piece: usize) -> Result<()> {
    let head = format!("POST {target} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", content.len());
    connection.send(head.as_bytes())?;
    content.chunks(piece).try_for_each(|piece| connection.send(piece))?;
    let response = connection.response("POST")?;
    ensure!(response.status == 200 && response.body == content, "{target}: {}", response.head);
    Ok(())
}

/// Up and down again, by Content-Length, then a request on the same connection.
fn echoes(start: impl FnOnce(&Stage) -> Result<Server>) -> Result<()> {
    const LENGTH: usize = 1_000_000;
    let stage = Stage::new()?;
    let server = start(&stage)?;
    let tracer = Tracer::watch(&stage, &[])?;
    let content = lures(LENGTH);
    let mut connection = Connection::open(&server.address)?;
    post(&mut connection, "/large/echo", &content, 60_000)?;
    post(&mut connection, "/odd/echo", &content[..200_000], 777)?;
    connection.get("/after/status-204")?;
    let report = tracer.stop()?;
    report.ensure_nothing_lost()?;
    let own = BTreeSet::from([std::process::id()]);
    for (pids, kind) in [(own, "CLIENT"), (server.pids(), "SERVER")] {
        let expected = [
            (kind, "/large/echo", LENGTH, LENGTH),
            (kind, "/odd/echo", 200_000, 200_000),
            (kind, "/after/status-204", 0, 0),
        ];
        ensure_spans(&report, &pids, &expected)?;
    }
    Ok(())
}

#[test]
fn through_node() -> Result<()> {
    echoes(servers::node)
}

#[test]
fn through_gunicorn() -> Result<()> {
    echoes(|stage| servers::gunicorn(stage, Workers::Threads(2)))
}

/// Cookies longer than what is copied of an operation by default: how the content is framed stands behind.
#[test]
fn behind_a_head_too_long_to_be_copied() -> Result<()> {
    let stage = Stage::new()?;
    let server = servers::node(&stage)?;
    let tracer = Tracer::watch(&stage, &[])?;
    let mut connection = Connection::open(&server.address)?;
    let cookies = format!("Cookie: {}\r\nX-More: {}\r\n", "c".repeat(6000), "m".repeat(6000));
    let content = &LURE[..35];
    for target in ["/first", "/second"] {
        let length = content.len();
        let head = format!("POST {target} HTTP/1.1\r\nHost: x\r\n{cookies}Content-Length: {length}\r\n\r\n");
        connection.send_apart([head.as_bytes(), content])?;
        ensure!(connection.response("POST")?.status == 200);
    }
    connection.get("/third")?;
    let report = tracer.stop()?;
    let own = BTreeSet::from([std::process::id()]);
    for (pids, kind) in [(own, "CLIENT"), (server.pids(), "SERVER")] {
        let spans = report.of(&pids);
        let found: Vec<_> = spans.iter().map(|s| (s.kind.as_str(), s.target(), s.status())).collect();
        let expected = ["/first", "/second", "/third"].map(|target| (kind, target.to_owned(), 200));
        ensure!(found == expected, "{}", brief(spans));
    }
    Ok(())
}

/// nginx keeps a long content in a file, on its way up and on its way down.
#[test]
fn through_a_proxy() -> Result<()> {
    const LENGTH: usize = 1_000_000;
    let stage = Stage::new()?;
    let app = servers::gunicorn(&stage, Workers::Threads(2))?;
    let front = servers::nginx_before(&stage, &app)?;
    let tracer = Tracer::watch(&stage, &[])?;
    let mut connection = Connection::open(&front.address)?;
    post(&mut connection, "/large/echo", &lures(LENGTH), 60_000)?;
    connection.get("/after/status-204")?;
    let report = tracer.stop()?;
    report.ensure_nothing_lost()?;
    let of = |kind| [(kind, "/large/echo", LENGTH, LENGTH), (kind, "/after/status-204", 0, 0)];
    ensure_spans(&report, &BTreeSet::from([std::process::id()]), &of("CLIENT"))?;
    ensure_spans(&report, &app.pids(), &of("SERVER"))?;
    ensure_spans(&report, &front.pids(), &[of("SERVER"), of("CLIENT")].concat())
}

/// nginx sends a file by sendfile: bytes that no hook can read.
#[test]
fn from_a_file() -> Result<()> {
    const LENGTH: usize = 20_000_000;
    let stage = Stage::new()?;
    let server = servers::nginx(&stage)?;
    fs::create_dir(stage.path("files"))?;
    fs::File::create(stage.path("files/large"))?.write_all(&lures(LENGTH))?;
    let tracer = Tracer::watch(&stage, &[])?;
    let mut connection = Connection::open(&server.address)?;
    for target in ["/files/large", "/files/large?again", "/after"] {
        let response = connection.get(target)?;
        ensure!(response.status == 200, "{target}: {}", response.head);
    }
    let report = tracer.stop()?;
    let own = BTreeSet::from([std::process::id()]);
    for (pids, kind) in [(own, "CLIENT"), (server.pids(), "SERVER")] {
        let expected = [
            (kind, "/files/large", 0, LENGTH),
            (kind, "/files/large?again", 0, LENGTH),
            (kind, "/after", 0, 6),
        ];
        ensure_spans(&report, &pids, &expected)?;
    }
    Ok(())
}
