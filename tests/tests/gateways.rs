//! nginx in front of PHP-FPM and uWSGI: each request is one chain of four spans in a trace of its own, as it is
//! over HTTP, and what the worker calls and launches hangs on the worker's span.

use anyhow::{Context, Result, ensure};
use std::collections::BTreeSet;
use std::thread;
use tracer_tests::gateways::Gateway;
use tracer_tests::span::brief;
use tracer_tests::{Address, Connection, Report, Server, Span, Stage, Tracer, servers};

const CLIENTS: usize = 8;
const EACH: usize = 5;

/// A scene: a client, nginx, the application, and a server that the application calls.
struct Scene {
    gateway: Gateway,
    application: Server,
    front: Server,
    leaf: Server,
}

impl Scene {
    fn new(stage: &Stage, gateway: Gateway, unix: bool, keep: bool) -> Result<Self> {
        let application = gateway.start(stage, unix)?;
        let front = gateway.nginx(stage, &application, keep)?;
        let leaf = servers::werkzeug(stage)?;
        Ok(Self { gateway, application, front, leaf })
    }

    /// One request that has its worker call and launch, told from all others by `id`.
    fn target(&self, id: &str) -> String {
        format!("/work?id={id}&call={}&say={id}", self.leaf.host())
    }

    /// The spans of a request's chain, outermost first: the client's, nginx's two, the worker's.
    fn chain<'a>(&self, report: &'a Report, target: &str, status: u16) -> Result<[&'a Span; 4]> {
        let own = BTreeSet::from([std::process::id()]);
        let (front, application) = (self.front.pids(), self.application.pids());
        let stages = [("CLIENT", &own), ("SERVER", &front), ("CLIENT", &front), ("SERVER", &application)];
        let of_target: Vec<_> = report.spans.iter().filter(|span| span.target() == target).collect();
        let text = || format!("{target}:\n{}", brief(of_target.iter().copied()));
        ensure!(of_target.len() == 4, "{} spans of {}", of_target.len(), text());
        let mut chain = Vec::new();
        for (kind, pids) in stages {
            let mut here = of_target.iter().filter(|span| span.kind == kind && pids.contains(&span.pid()));
            chain.push(*here.next().with_context(|| format!("no {kind} span of {pids:?} for {}", text()))?);
        }
        ensure!(chain[0].parent.is_none(), "the client's span has a parent: {}", text());
        for pair in chain.windows(2) {
            ensure!(pair[1].parent.as_ref() == Some(&pair[0].span_id), "another parent in {}", text());
            ensure!(pair[1].trace_id == pair[0].trace_id, "another trace in {}", text());
            ensure!(pair[1].start >= pair[0].start && pair[1].end <= pair[0].end, "not within: {}", text());
        }
        ensure!(chain.iter().all(|span| span.status() == status), "another status in {}", text());
        let protocols: Vec<_> = chain.iter().filter_map(|span| span.text("network.protocol.name")).collect();
        let name = self.gateway.name();
        ensure!(protocols == ["http", "http", name, name], "{protocols:?} in {}", text());
        chain.try_into().ok().context("four spans")
    }

    /// Fails unless this very call and this very launch hang on the worker's span.
    fn ensure_caused(&self, report: &Report, id: &str, worker: &Span) -> Result<()> {
        let below: Vec<_> =
            report.spans.iter().filter(|span| span.parent.as_ref() == Some(&worker.span_id)).collect();
        let text = || format!("below {}:\n{}", worker.brief(), brief(below.iter().copied()));
        ensure!(below.len() == 2, "{}", text());
        let call = below.iter().find(|span| span.kind == "CLIENT").with_context(text)?;
        ensure!(call.target() == format!("/leaf/{id}") && call.trace_id == worker.trace_id, "{}", text());
        let launch = below.iter().find(|span| span.kind == "INTERNAL").with_context(text)?;
        // `system` of newer C libraries writes `sh -c -- COMMAND`.
        let arguments: Vec<_> =
            launch.list("process.command_args").into_iter().filter(|it| *it != "--").collect();
        ensure!(arguments == ["sh", "-c", &format!(": {id}")], "{}", text());
        ensure!(launch.trace_id == worker.trace_id, "{}", text());
        Ok(())
    }
}

/// A word that no other request has: links within nginx, which has many open, are not what is asked here.
fn id(client: usize, n: usize) -> String {
    format!("7{client:03}4{n:03}")
}

fn get(address: &Address, target: &str) -> Result<u16> {
    Ok(Connection::open(address)?.get(target)?.status)
}

fn post(address: &Address, target: &str, length: usize) -> Result<()> {
    let mut connection = Connection::open(address)?;
    let head = format!("POST {target} HTTP/1.1\r\nHost: tests\r\nContent-Length: {length}\r\n\r\n");
    connection.send(&[head.as_bytes(), &vec![b'x'; length]].concat())?;
    let response = connection.response("POST")?;
    ensure!(response.status == 200 && response.body.len() == length, "{} bytes", response.body.len());
    Ok(())
}

fn holds(gateway: Gateway, unix: bool, keep: bool) -> Result<()> {
    let stage = Stage::new()?;
    let scene = Scene::new(&stage, gateway, unix, keep)?;
    let address = &scene.front.address;
    // Connections that are older than the tracer, where they are kept.
    get(address, "/before")?;
    let tracer = Tracer::watch(&stage, &[])?;
    for status in [200, 404, 503] {
        ensure!(get(address, &format!("/status-{status}"))? == status);
    }
    let contents = [1_000, 100_000];
    for length in contents {
        post(address, &format!("/content?{length}"), length)?;
    }
    thread::scope(|scope| {
        let ask = |client| {
            (0..EACH).try_for_each(|n| {
                let status = get(address, &scene.target(&id(client, n)))?;
                ensure!(status == 200, "{status}");
                Ok(())
            })
        };
        let clients: Vec<_> = (0..CLIENTS).map(|client| scope.spawn(move || ask(client))).collect();
        clients.into_iter().try_for_each(|client| client.join().expect("the client did not panic"))
    })?;
    let report = tracer.stop()?;
    report.ensure_nothing_lost()?;

    for status in [200, 404, 503] {
        scene.chain(&report, &format!("/status-{status}"), status)?;
    }
    for length in contents {
        let [.., front, worker] = scene.chain(&report, &format!("/content?{length}"), 200)?;
        let size = |span: &Span, key| span.number(key).and_then(|size| usize::try_from(size).ok());
        let (asked, answered) = ("http.request.body.size", "http.response.body.size");
        for (span, key) in [(front, asked), (worker, asked), (worker, answered)] {
            ensure!(size(span, key) == Some(length), "{key} is {:?}: {}", size(span, key), span.brief());
        }
    }
    let mut traces = BTreeSet::new();
    for id in (0..CLIENTS).flat_map(|client| (0..EACH).map(move |n| id(client, n))) {
        let [.., worker] = scene.chain(&report, &scene.target(&id), 200)?;
        ensure!(traces.insert(&worker.trace_id), "two requests in one trace: {}", worker.brief());
        scene.ensure_caused(&report, &id, worker)?;
    }
    let pids = scene.application.pids();
    let served = report.of(&pids).iter().filter(|span| span.kind == "SERVER").count();
    let asked = 3 + contents.len() + CLIENTS * EACH;
    ensure!(served == asked, "{served} spans of {asked} requests");
    Ok(())
}

#[test]
fn fastcgi_over_tcp() -> Result<()> {
    holds(Gateway::Fastcgi, false, false)
}

#[test]
fn fastcgi_over_tcp_on_kept_connections() -> Result<()> {
    holds(Gateway::Fastcgi, false, true)
}

#[test]
fn fastcgi_over_a_unix_socket() -> Result<()> {
    holds(Gateway::Fastcgi, true, false)
}

#[test]
fn fastcgi_over_a_unix_socket_on_kept_connections() -> Result<()> {
    holds(Gateway::Fastcgi, true, true)
}

#[test]
fn uwsgi_over_tcp() -> Result<()> {
    holds(Gateway::Uwsgi, false, false)
}

#[test]
fn uwsgi_over_a_unix_socket() -> Result<()> {
    holds(Gateway::Uwsgi, true, false)
}
