//! Request smuggling between real servers, and ordinary traffic that looks like it.

use crate::servers::{self, Server, loopback, nginx_with};
use crate::{Address, Connection, Stage, environment};
use anyhow::{Result, bail, ensure};
use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;

/// What nginx denies, and what every attack is after.
pub const DENIED: &str = "/admin";
/// What a megabyte of content is padded with; as much as `unread.py` reads below `/capped`.
const MEGABYTE: usize = 1 << 20;

/// A server that takes content for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Back {
    /// Werkzeug 3.0.1, after an exception; `greeting.py`.
    Werkzeug,
    /// Python's `http.server`, unless it is told to read it; `unread.py`.
    Unread,
}

/// nginx, which denies [`DENIED`], in front of such a server.
#[derive(Debug)]
pub struct Stack {
    /// nginx; `nginx-smuggling.conf`.
    pub front: Server,
    /// Where it takes HTTP/2 without TLS.
    pub http2: SocketAddr,
    /// What is behind it.
    pub back: Server,
}

impl Stack {
    /// Starts both.
    pub fn start(stage: &Stage, back: Back) -> Result<Self> {
        let back = match back {
            Back::Werkzeug => servers::greeting(stage)?,
            Back::Unread => servers::unread(stage)?,
        };
        let ((address, port), (http2, http2_port)) = (loopback()?, loopback()?);
        let directives = fs::read_to_string(environment::app("nginx-smuggling.conf"))?
            .replace("@UPSTREAM@", &back.host())
            .replace("@HTTP2@", &http2_port.to_string());
        let front = nginx_with(stage, address, &port.to_string(), &directives)?;
        let Address::Tcp(http2) = http2 else { bail!("loopback is TCP") };
        Ok(Self { front, http2, back })
    }

    /// The processes that take part, this one too: it is the client.
    #[must_use]
    pub fn pids(&self) -> BTreeSet<u32> {
        [&self.front, &self.back].into_iter().flat_map(Server::pids).chain([std::process::id()]).collect()
    }

    /// Plays a scene, and holds what the back end wrote down against what it should.
    pub fn play(&mut self, scene: &Scene) -> Result<()> {
        let mut connection = Connection::open(&self.front.address)?;
        for (bytes, statuses) in &scene.turns {
            for piece in bytes.chunks(1 << 16) {
                connection.send(piece)?;
            }
            let method = if bytes.starts_with(b"HEAD") { "HEAD" } else { "GET" };
            for expected in *statuses {
                let status = connection.response(method)?.status;
                ensure!(status == *expected, "{}: {status}, not {expected}", scene.name);
            }
        }
        if scene.smuggles {
            return self.back.wait_served(DENIED);
        }
        ensure!(self.back.times_served(DENIED)? == 0, "{}: {DENIED} was served", scene.name);
        Ok(())
    }
}

/// What a client sends on one connection.
#[derive(Clone, Debug)]
pub struct Scene {
    /// For people and files.
    pub name: &'static str,
    /// Behind nginx.
    pub back: Back,
    /// Whether the back end serves what nginx denies.
    pub smuggles: bool,
    /// What is sent at once, and the statuses of the answers to it.
    turns: Vec<(Vec<u8>, &'static [u16])>,
}

/// A request with a content.
#[must_use]
pub fn request(method: &str, target: &str, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let head = format!("{method} {target} HTTP/1.1\r\nHost: tests\r\nContent-Length: {length}\r\n\r\n");
    [head.as_bytes(), content].concat()
}

/// A request for what is denied, as the content of another.
#[must_use]
pub fn hidden() -> Vec<u8> {
    format!("GET {DENIED} HTTP/1.1\r\nHost: tests\r\n\r\n").into_bytes()
}

/// Attacks, each with its twin: the same bytes where they are harmless. And what servers do to requests that
/// makes more of them, or answers them early.
#[must_use]
pub fn scenes() -> Vec<Scene> {
    let one = |name, back, smuggles, method: &str, target: &str, content: &[u8], statuses| {
        let turns = vec![(request(method, target, content), statuses)];
        Scene { name, back, smuggles, turns }
    };
    let hidden = hidden();
    let padded = [vec![b'x'; MEGABYTE], hidden.clone()].concat();
    let pipelined = Scene {
        name: "pipelining",
        back: Back::Unread,
        smuggles: false,
        turns: vec![(
            [request("POST", "/drained/1", &hidden), request("GET", "/2", b""), request("GET", "/3", b"")]
                .concat(),
            &[200, 200, 200],
        )],
    };
    let (werkzeug, unread) = (Back::Werkzeug, Back::Unread);
    vec![
        one("werkzeug", werkzeug, true, "POST", "/hello?name=%E2%98%83", &hidden, &[200]),
        one("werkzeug-twin", werkzeug, false, "POST", "/hello?name=Anna", &hidden, &[200]),
        one("unread-post", unread, true, "POST", "/order", &hidden, &[200]),
        one("unread-post-twin", unread, false, "POST", "/drained/order", &hidden, &[200]),
        one("unread-get", unread, true, "GET", "/stock", &hidden, &[200]),
        one("unread-get-twin", unread, false, "GET", "/drained/stock", &hidden, &[200]),
        one("unread-head", unread, true, "HEAD", "/stock", &hidden, &[200]),
        one("unread-head-twin", unread, false, "HEAD", "/drained/stock", &hidden, &[200]),
        one("unread-megabyte", unread, true, "POST", "/capped/photo", &padded, &[200]),
        one("unread-megabyte-twin", unread, false, "POST", "/drained/photo", &padded, &[200]),
        pipelined,
        one("too-large", unread, false, "POST", "/small/order", &hidden, &[413]),
        one("retry", unread, false, "GET", "/retried/drained/order", &hidden, &[200]),
        one("mirror", unread, false, "POST", "/mirrored/drained/order", &hidden, &[200]),
        one("auth-request", unread, false, "POST", "/checked/drained/order", &hidden, &[200]),
    ]
}

/// Requests without an end, which take in the next one on their connection; one where it is read, and one that makes
/// something with it that nobody can read.
#[must_use]
pub fn prefixes() -> Vec<Scene> {
    let next = (request("GET", "/next", b""), &[200][..]);
    let refused = (next.0.clone(), &[400][..]);
    let within_field = format!("GET {DENIED} HTTP/1.1\r\nX-Ignore: ");
    let within_target = format!("GET {DENIED}?x=");
    let after = |name, smuggles, target: &str, prefix: &str, next| Scene {
        name,
        back: Back::Unread,
        smuggles,
        turns: vec![(request("POST", target, prefix.as_bytes()), &[200][..]), next],
    };
    vec![
        after("prefix", true, "/order", &within_field, next.clone()),
        after("prefix-twin", false, "/drained/order", &within_field, next),
        after("prefix-target", false, "/order", &within_target, refused),
    ]
}
