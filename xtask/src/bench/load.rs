//! Loads: as much as the server takes, by wrk, or at a steady pace, by a client of our own.

use crate::process::output;
use anyhow::{Context, Result, bail};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

/// What both paths of the benchmark's nginx answer with.
const CONTENT: &[u8] = b"hello\n";
/// So many requests are sent at once at a steady pace, each on its own connection.
const BURST: u32 = 25;
const PATIENCE: Duration = Duration::from_secs(5);

/// A way to ask nginx.
#[derive(Debug)]
pub struct Load {
    /// What it is, for the report.
    pub name: &'static str,
    /// What it asks for.
    pub path: &'static str,
    /// How fast it asks.
    pub pace: Pace,
}

/// How fast a load asks.
#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// So many connections, each asking again as soon as it is answered.
    Full(u32),
    /// So many requests a second in all.
    Steady(u32),
}

/// What a load did.
#[derive(Debug)]
pub struct Done {
    /// Requests that were answered.
    pub requests: f64,
    /// How long it took.
    pub seconds: f64,
}

impl Load {
    /// Puts the load on for so many seconds.
    pub fn run(&self, port: u16, seconds: u32) -> Result<Done> {
        match self.pace {
            Pace::Full(connections) => wrk(connections, port, self.path, seconds),
            Pace::Steady(rate) => steady(rate, port, self.path, seconds)
                .with_context(|| format!("no steady load on {} of port {port}", self.path)),
        }
    }
}

fn wrk(connections: u32, port: u16, path: &str, seconds: u32) -> Result<Done> {
    let said = output(
        Command::new("wrk").args(["--threads", "1", "--connections", &connections.to_string()]).args([
            "--duration",
            &format!("{seconds}s"),
            &format!("http://127.0.0.1:{port}{path}"),
        ]),
    )?;
    if said.contains("Non-2xx") || said.contains("Socket errors") {
        bail!("wrk saw errors, so its figures mean nothing:\n{said}");
    }
    parse_wrk(&said).with_context(|| format!("cannot read wrk's report:\n{said}"))
}

/// Reads `123456 requests in 3.00s, 20.15MB read`.
fn parse_wrk(said: &str) -> Option<Done> {
    let (requests, rest) = said.lines().find_map(|line| line.trim().split_once(" requests in "))?;
    let (seconds, _) = rest.split_once("s,")?;
    Some(Done { requests: requests.parse().ok()?, seconds: seconds.parse().ok()? })
}

/// Bursts of requests at a fixed distance. Where the server cannot keep up there are fewer.
fn steady(rate: u32, port: u16, path: &str, seconds: u32) -> Result<Done> {
    let mut connections = (0..BURST).map(|_| connect(port)).collect::<Result<Vec<_>>>()?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
    let mut response = vec![0; 4096];
    let distance = Duration::from_secs(1) * BURST / rate;
    let start = Instant::now();
    let end = start + Duration::from_secs(seconds.into());
    let (mut due, mut requests) = (start, 0);
    while due < end && Instant::now() < end {
        for connection in &mut connections {
            connection.write_all(request.as_bytes())?;
        }
        for connection in &mut connections {
            // One write of nginx, so one read has it all.
            let read = connection.read(&mut response)?;
            if !(response.starts_with(b"HTTP/1.1 200 ") && response[..read].ends_with(CONTENT)) {
                bail!("an unexpected response: {}", response[..read].escape_ascii());
            }
        }
        requests += BURST;
        due += distance;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    Ok(Done { requests: requests.into(), seconds: start.elapsed().as_secs_f64() })
}

fn connect(port: u16) -> Result<TcpStream> {
    let connection = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    connection.set_read_timeout(Some(PATIENCE))?;
    connection.set_nodelay(true)?;
    Ok(connection)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrk_is_understood() {
        let said = "Running 3s test @ http://127.0.0.1:1/\n  426789 requests in 3.10s, 60.00MB read\nRequests/sec: 1\n";
        let done = parse_wrk(said).expect("a report");
        assert_eq!((done.requests, done.seconds), (426_789.0, 3.1));
        assert!(parse_wrk("unable to connect").is_none());
    }
}
