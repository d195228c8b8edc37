//! What a request caused hangs under it: by a header it carried, and by the thread that served it.

use anyhow::{Result, ensure};
use std::collections::BTreeSet;
use std::thread;
use tracer_tests::servers::{self, Workers};
use tracer_tests::span::brief;
use tracer_tests::{Connection, Report, Server, Span, Stage, Tracer};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const OTHER: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "00f067aa0ba902b7";

fn one<'a>(report: &'a Report, pids: &BTreeSet<u32>, kind: &str, target: &str) -> Result<&'a Span> {
    let mut spans = report.of(pids);
    spans.retain(|span| span.kind == kind && span.target() == target);
    ensure!(spans.len() == 1, "{kind} spans of {pids:?} for {target}:\n{}", brief(spans));
    Ok(spans[0])
}

/// The header names the span of the client's own instrumentation: what the wire shows hangs under it.
#[test]
fn by_header() -> Result<()> {
    let fields = [
        ("traceparent", format!("traceparent: 00-{TRACE}-{SPAN}-01")),
        ("later-version", format!("traceparent: cc-{TRACE}-{SPAN}-01-what-the-future-brings")),
        ("b3-single", format!("b3: {TRACE}-{SPAN}-1")),
        ("b3-multi", format!("X-B3-TraceId: {TRACE}\r\nX-B3-SpanId: {SPAN}\r\nX-B3-Sampled: 1")),
        ("uber", format!("uber-trace-id: {TRACE}:{SPAN}:0:1")),
        ("uber-encoded", format!("Uber-Trace-Id: {TRACE}%3A{SPAN}%3A0%3A1")),
        ("first-wins", format!("uber-trace-id: 1:1:0:1\r\nb3: 0\r\nTraceParent: 00-{TRACE}-{SPAN}-00")),
    ];
    let stage = Stage::new()?;
    let server = servers::node(&stage)?;
    let tracer = Tracer::watch(&stage, &[])?;
    let mut connection = Connection::open(&server.address)?;
    for (name, field) in &fields {
        connection.send(format!("GET /{name} HTTP/1.1\r\nHost: x\r\n{field}\r\n\r\n").as_bytes())?;
        connection.response("GET")?;
    }
    let report = tracer.stop()?;
    for (name, _) in fields {
        let span = one(&report, &server.pids(), "SERVER", &format!("/{name}"))?;
        let client = one(&report, &BTreeSet::from([std::process::id()]), "CLIENT", &format!("/{name}"))?;
        let chain = brief([client, span]);
        ensure!(client.trace_id == TRACE && client.parent.as_deref() == Some(SPAN), "{chain}");
        ensure!(client.text("tracer.link.method") == Some("header"), "{chain}");
        ensure!(span.trace_id == TRACE && span.parent.as_ref() == Some(&client.span_id), "{chain}");
    }
    Ok(())
}

/// What is no valid header must not make a link; the client's own span is the parent then.
#[test]
fn not_by_a_header_that_is_none() -> Result<()> {
    let fields = [
        ("zero-trace", format!("traceparent: 00-{}-{SPAN}-01", "0".repeat(32))),
        ("zero-span", format!("traceparent: 00-{TRACE}-{}-01", "0".repeat(16))),
        ("version-ff", format!("traceparent: ff-{TRACE}-{SPAN}-01")),
        ("too-long", format!("traceparent: 00-{TRACE}-{SPAN}-01-more")),
        ("upper-case", format!("traceparent: 00-{}-{SPAN}-01", TRACE.to_uppercase())),
        ("too-short", format!("traceparent: 00-{}-{SPAN}-01", &TRACE[1..])),
        ("twice", format!("traceparent: 00-{TRACE}-{SPAN}-01\r\ntraceparent: 00-{OTHER}-{SPAN}-00")),
        ("b3-denies", "b3: 0".to_owned()),
        ("no-hex", "uber-trace-id: x:y:0:1".to_owned()),
    ];
    let stage = Stage::new()?;
    let server = servers::node(&stage)?;
    let tracer = Tracer::watch(&stage, &[])?;
    let mut connection = Connection::open(&server.address)?;
    for (name, field) in &fields {
        connection.send(format!("GET /{name} HTTP/1.1\r\nHost: x\r\n{field}\r\n\r\n").as_bytes())?;
        connection.response("GET")?;
    }
    let report = tracer.stop()?;
    for (name, field) in fields {
        let span = one(&report, &server.pids(), "SERVER", &format!("/{name}"))?;
        let client = one(&report, &BTreeSet::from([std::process::id()]), "CLIENT", &format!("/{name}"))?;
        ensure!(span.parent.as_ref() == Some(&client.span_id), "{field}: {}", span.brief());
        ensure!(span.trace_id == client.trace_id && span.trace_id != TRACE, "{field}: {}", span.brief());
    }
    Ok(())
}

/// A proxy hands the header on unchanged: all of the request is in the client's trace, and the wire knows
/// better than the header who asked whom.
#[test]
fn by_header_through_a_proxy() -> Result<()> {
    let stage = Stage::new()?;
    let app = servers::werkzeug(&stage)?;
    let front = servers::nginx_before(&stage, &app)?;
    let tracer = Tracer::watch(&stage, &[])?;
    let mut connection = Connection::open(&front.address)?;
    let field = format!("traceparent: 00-{TRACE}-{SPAN}-01");
    connection.send(format!("GET /through HTTP/1.1\r\nHost: x\r\n{field}\r\n\r\n").as_bytes())?;
    connection.response("GET")?;
    let report = tracer.stop()?;
    let own = BTreeSet::from([std::process::id()]);
    let chain = [("CLIENT", own), ("SERVER", front.pids()), ("CLIENT", front.pids()), ("SERVER", app.pids())];
    let mut above = SPAN;
    for (kind, pids) in &chain {
        let span = one(&report, pids, kind, "/through")?;
        ensure!(span.trace_id == TRACE && span.parent.as_deref() == Some(above), "{}", brief(&report.spans));
        above = &span.span_id;
    }
    Ok(())
}

/// Handlers that ask another server, at the same time: two calls under each request, and no other.
fn by_thread(action: &str, start: impl FnOnce(&Stage) -> Result<Server>) -> Result<()> {
    const CLIENTS: usize = 8;
    const EACH: usize = 10;
    let stage = Stage::new()?;
    let leaf = servers::node(&stage)?;
    let app = start(&stage)?;
    let tracer = Tracer::watch(&stage, &[])?;
    let target = |id: &str| format!("/{action}?id={id}&host={}", leaf.host());
    thread::scope(|scope| {
        let ask = |client| -> Result<()> {
            for n in 0..EACH {
                let response = Connection::open(&app.address)?.get(&target(&format!("{client}-{n}")))?;
                ensure!(response.status == 200, "{response:?}");
            }
            Ok(())
        };
        let clients: Vec<_> = (0..CLIENTS).map(|client| scope.spawn(move || ask(client))).collect();
        clients.into_iter().try_for_each(|client| client.join().expect("the client did not panic"))
    })?;
    let report = tracer.stop()?;
    report.ensure_nothing_lost()?;
    let (app_pids, leaf_pids) = (app.pids(), leaf.pids());
    for id in (0..CLIENTS).flat_map(|client| (0..EACH).map(move |n| format!("{client}-{n}"))) {
        let request = one(&report, &app_pids, "SERVER", &target(&id))?;
        for number in 1..=2 {
            let target = format!("/leaf/{id}/{number}");
            let call = one(&report, &app_pids, "CLIENT", &target)?;
            let served = one(&report, &leaf_pids, "SERVER", &target)?;
            let chain = || brief([request, call, served]);
            ensure!(call.parent.as_ref() == Some(&request.span_id), "wrong parent:\n{}", chain());
            ensure!(served.parent.as_ref() == Some(&call.span_id), "wrong parent:\n{}", chain());
            ensure!(call.trace_id == request.trace_id && served.trace_id == request.trace_id, "{}", chain());
            let method = call.text("tracer.link.method");
            ensure!(matches!(method, Some("thread" | "content")), "{}", chain());
            ensure!(served.text("tracer.link.method") == Some("socket"), "{}", chain());
            ensure!(request.start <= call.start && call.end <= request.end, "not within:\n{}", chain());
        }
    }
    Ok(())
}

#[test]
fn by_thread_of_werkzeug() -> Result<()> {
    by_thread("call", servers::werkzeug)
}

#[test]
fn by_process_of_gunicorn() -> Result<()> {
    by_thread("call-kept", |stage| servers::gunicorn(stage, Workers::Sync(3)))
}

#[test]
fn by_thread_of_gunicorn() -> Result<()> {
    by_thread("call-kept", |stage| servers::gunicorn(stage, Workers::Threads(8)))
}

/// All ask for the same, at the same time: only what a proxy does when says which request a call is for.
/// The length of the content tells the requests apart here, which the tracer does not look at.
#[test]
fn requests_that_say_the_same() -> Result<()> {
    const CONNECTIONS: usize = 8;
    const EACH: usize = 40;
    let stage = Stage::new()?;
    let app = servers::gunicorn(&stage, Workers::Threads(8))?;
    let front = servers::nginx_before(&stage, &app)?;
    let tracer = Tracer::watch(&stage, &[])?;
    let clients: Vec<_> = (0..CONNECTIONS)
        .map(|client| {
            let address = front.address.clone();
            thread::spawn(move || -> Result<()> {
                let mut connection = Connection::open(&address)?;
                for n in 0..EACH {
                    let content = "x".repeat(1 + client * EACH + n);
                    let head = "POST /same?ms=3 HTTP/1.1\r\nHost: x\r\nContent-Length:";
                    connection.send(format!("{head} {}\r\n\r\n{content}", content.len()).as_bytes())?;
                    ensure!(connection.response("POST")?.status == 200);
                }
                Ok(())
            })
        })
        .collect();
    clients.into_iter().try_for_each(|client| client.join().expect("the client did not panic"))?;
    let report = tracer.stop()?;
    report.ensure_nothing_lost()?;
    let of = |kind: &str| {
        let mut spans = report.of(&front.pids());
        spans.retain(|span| span.kind == kind);
        spans
    };
    let (requests, calls) = (of("SERVER"), of("CLIENT"));
    ensure!(requests.len() == CONNECTIONS * EACH && calls.len() == requests.len(), "spans are missing");
    let size = |span: &Span| span.number("http.request.body.size");
    let linked: Vec<_> = calls
        .iter()
        .filter_map(|call| Some((call, requests.iter().find(|r| Some(&r.span_id) == call.parent.as_ref())?)))
        .collect();
    let wrong: Vec<_> = linked.iter().filter(|(call, request)| size(call) != size(request)).collect();
    ensure!(wrong.is_empty(), "{} of {} links are wrong: {wrong:?}", wrong.len(), linked.len());
    ensure!(linked.len() * 100 >= calls.len() * 95, "{} of {} calls are linked", linked.len(), calls.len());
    Ok(())
}
