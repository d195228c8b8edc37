//! Two ends that do not know each other's addresses: the client speaks to a service's address, which is
//! translated to the server's.

use anyhow::{Result, ensure};
use std::thread::sleep;
use std::time::Duration;
use tracer_tests::network::{Network, SERVICE};
use tracer_tests::span::brief;
use tracer_tests::{Connection, Report, Span, Stage, Tracer};

fn ask(client: &mut Connection, path: &str) -> Result<()> {
    client.send(format!("GET {path} HTTP/1.1\r\nHost: service\r\n\r\n").as_bytes())
}

fn answer([client, server]: &mut [Connection; 2]) -> Result<()> {
    server.wait_for(b"\r\n\r\n")?;
    server.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?;
    ensure!(client.response("GET")?.status == 200);
    Ok(())
}

/// The spans of one kind, which must be so many, in the order of their begin.
fn of<'a>(report: &'a Report, kind: &str, count: usize) -> Result<Vec<&'a Span>> {
    let mut spans = report.of(&[std::process::id()].into());
    spans.retain(|span| span.kind == kind);
    ensure!(spans.len() == count, "{count} {kind} spans:\n{}{}", brief(&report.spans), report.stats);
    Ok(spans)
}

/// What a span says of its other end: trace and span.
fn link(span: &Span) -> Result<[&str; 2]> {
    let links = span.json["links"].as_array().map_or(&[][..], Vec::as_slice);
    ensure!(links.len() == 1, "one link: {}", span.json);
    ensure!(links[0]["attributes"]["tracer.link.method"] == "sequence", "{}", span.json);
    Ok(["trace_id", "span_id"].map(|key| links[0][key].as_str().unwrap_or_default()))
}

fn id(span: &Span) -> [&str; 2] {
    [&span.trace_id, &span.span_id]
}

#[test]
fn both_ends_on_one_node() -> Result<()> {
    let stage = Stage::new()?;
    let network = Network::new()?;
    let listener = network.listen()?;
    let tracer = Tracer::watch(&stage, &[])?;
    let mut ends = network.connect(&listener)?;
    ask(&mut ends[0], "/one")?;
    answer(&mut ends)?;
    let report = tracer.stop()?;
    let (client, server) = (of(&report, "CLIENT", 1)?[0], of(&report, "SERVER", 1)?[0]);
    ensure!(client.text("network.peer.address") == Some(&SERVICE.to_string()), "{}", client.json);
    ensure!(server.text("network.local.address") != Some(&SERVICE.to_string()), "{}", server.json);
    ensure!(server.parent.as_ref() == Some(&client.span_id), "{}", brief([client, server]));
    ensure!(server.text("tracer.link.method") == Some("socket"), "{}", server.json);
    for span in [client, server] {
        ensure!(span.json["links"].as_array().is_some_and(Vec::is_empty), "{}", span.json);
    }
    Ok(())
}

/// One tracer runs while the clients ask and ends before the servers read; another runs from then on. So each
/// has seen one end of every exchange, as two nodes would: the hooks of one kernel show all of its namespaces,
/// and a filter would restrict what is shown, not what is concluded.
#[test]
fn one_end_each() -> Result<()> {
    const PATHS: [&str; 3] = ["/old", "/retransmitted", "/fresh"];
    let stage = Stage::new()?;
    let network = Network::new()?;
    let listener = network.listen()?;
    let mut old = [network.connect(&listener)?, network.connect(&listener)?];
    for ends in &mut old {
        ask(&mut ends[0], "/before")?;
        answer(ends)?;
    }
    // Bytes that are sent again, or that the own node drops, are counted by the kernel in ways of their own.
    network.cut(|| {
        ask(&mut old[1][0], "/before")?;
        sleep(Duration::from_millis(300));
        Ok(())
    })?;
    answer(&mut old[1])?;

    let clients_tracer = Tracer::watch(&stage, &[])?;
    let [one, two] = old;
    let mut connections = [one, two, network.connect(&listener)?];
    for (ends, path) in connections.iter_mut().zip(PATHS) {
        ask(&mut ends[0], path)?;
    }
    let clients = clients_tracer.stop()?;
    let servers_tracer = Tracer::watch(&stage, &[])?;
    connections.iter_mut().try_for_each(answer)?;
    let servers = servers_tracer.stop()?;

    of(&clients, "SERVER", 0)?;
    of(&servers, "CLIENT", 0)?;
    let ends = of(&clients, "CLIENT", PATHS.len())?.into_iter().zip(of(&servers, "SERVER", PATHS.len())?);
    for ((client, server), path) in ends.zip(PATHS) {
        let both = || format!("{}\n{}", client.json, server.json);
        ensure!(client.target() == path && server.target() == path, "{}", both());
        ensure!(client.parent.is_none() && server.parent.is_none(), "{}", both());
        ensure!(link(client)? == id(server) && link(server)? == id(client), "{}", both());
    }
    Ok(())
}
