//! What goes out while a request is served: relays, floods, scans, seen by the real programs.

use anyhow::{Context, Result, ensure};
use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    thread,
    time::Duration,
};
use tracer_tests::{Address, Connection, Report, Server, Stage, Tracer, servers};

/// A peer that is no HTTP server. It answers the first `answers` things that it is told, and reads on for ever.
fn peer(answers: usize) -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    thread::spawn(move || {
        for mut connection in listener.incoming().flatten() {
            let mut bytes = vec![0; 1 << 16];
            for n in 0.. {
                match connection.read(&mut bytes) {
                    Ok(1..) if n < answers => connection.write_all(b"\x01\x02 understood").unwrap_or(()),
                    Ok(1..) => {}
                    _ => break,
                }
            }
        }
    });
    Ok(port)
}

fn get(server: &Server, target: &str) -> Result<()> {
    let response = Connection::open(&server.address)?.get(target)?;
    ensure!(response.status == 200, "{target}: {response:?}");
    Ok(())
}

/// Rules and severities of what was found about requests for this path.
fn found<'a>(report: &'a Report, path: &str) -> Vec<(&'a str, &'a str)> {
    let about = report.findings.iter().filter(|finding| finding.json["attributes"]["url.path"] == path);
    about.map(|finding| (finding.rule.as_str(), finding.severity.as_str())).collect()
}

fn traced(act: impl FnOnce(&Server) -> Result<()>) -> Result<Report> {
    let stage = Stage::new()?;
    let server = servers::outbound(&stage)?;
    let tracer = Tracer::watch(&stage, &[])?;
    act(&server)?;
    let report = tracer.stop()?;
    report.ensure_nothing_lost()?;
    Ok(report)
}

#[test]
fn what_is_pushed_out_is_found_and_what_the_peer_said_counts() -> Result<()> {
    // Who has answered so often was muted long before the flood.
    let (silent, talking) = (peer(0)?, peer(8)?);
    let (push, talk) = (format!("/push/{silent}"), format!("/talk/{talking}"));
    let report = traced(|server| {
        get(server, &push)?;
        get(server, &talk)
    })?;
    ensure!(found(&report, &push) == [("net.egress_spike", "high")], "{:?}", report.findings);
    ensure!(found(&report, &talk) == [("net.egress_spike", "medium")], "{:?}", report.findings);
    Ok(())
}

#[test]
fn a_relay_is_found() -> Result<()> {
    let path = format!("/relay/{}", peer(usize::MAX)?);
    let report = traced(|server| {
        let Address::Tcp(address) = &server.address else { anyhow::bail!("no TCP") };
        let mut client = TcpStream::connect(address)?;
        client.set_read_timeout(Some(Duration::from_secs(20)))?;
        client.write_all(
            format!("POST {path} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n").as_bytes(),
        )?;
        for said in ["\x00\x01 greetings to you", "\x00\x02 tell me all that you know", "\x00\x03 good bye"] {
            client.write_all(format!("{:x}\r\n{said}\r\n", said.len()).as_bytes())?;
            let mut answer = Vec::new();
            while !answer.ends_with(b"understood\r\n") {
                let mut byte = [0];
                client.read_exact(&mut byte).context("the relay gave no answer")?;
                answer.extend(byte);
            }
        }
        client.write_all(b"0\r\n\r\n")?;
        Ok(())
    })?;
    ensure!(found(&report, &path) == [("net.tunnel", "high")], "{:?}", report.findings);
    Ok(())
}

#[test]
fn a_scan_is_found() -> Result<()> {
    let path = "/scan/2";
    let report = traced(|server| get(server, path))?;
    ensure!(found(&report, path) == [("net.fanout", "high")], "{:?}", report.findings);
    Ok(())
}
