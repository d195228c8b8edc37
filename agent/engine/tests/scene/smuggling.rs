//! What smuggling is made of, and what a back end does with it, operation by operation.

use super::{Conn, Scene, Server, chain::S};
use tracer_common::direction::{RECEIVE, SEND};

/// One operation of a server.
#[derive(Clone, Copy)]
pub enum Op {
    Recv(&'static str),
    /// Each byte by itself.
    Trickle(&'static str),
    Send(&'static str),
    /// So many bytes that were received or sent, and what was copied of them.
    RecvCut(usize, &'static str),
    SendCut(usize, &'static str),
    /// A send that failed with this error.
    Fail(i32, &'static str),
    /// A record of the operation was lost.
    Lost(&'static str),
    Reset,
}
pub use Op::{Fail, Lost, Recv, RecvCut, Reset, Send, SendCut, Trickle};

pub fn play(s: &mut Scene, conn: Conn, ops: &[Op]) {
    for op in ops {
        match *op {
            Recv(bytes) => s.recv(S, conn, Server, bytes),
            Trickle(bytes) => (0..bytes.len()).for_each(|at| s.recv(S, conn, Server, &bytes[at..=at])),
            Send(bytes) => s.send(S, conn, Server, bytes),
            RecvCut(len, bytes) => s.part(S, conn, Server, RECEIVE, len, bytes.as_bytes()),
            SendCut(len, bytes) => s.part(S, conn, Server, SEND, len, bytes.as_bytes()),
            Fail(error, bytes) => s.failed_send(S, conn, Server, error, bytes),
            Lost(bytes) => {
                s.lose(1);
                s.recv(S, conn, Server, bytes);
                s.lost(1);
            }
            Reset => s.reset(conn, Server),
        }
    }
}

/// The findings about what a server does on a connection seen from its start.
pub fn server(ops: &[Op]) -> Vec<String> {
    let mut s = Scene::new();
    let conn = s.accept(80);
    play(&mut s, conn, ops);
    s.wait(5_000);
    s.finish();
    s.findings()
}

pub const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
pub const OTHER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother";
pub const BAD: &str = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
pub const CL0: &str =
    "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 38\r\n\r\nGET /admin HTTP/1.1\r\nHost: lab.loc\r\n\r\n";
pub const HEAD_OF_CL0: &str = "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 38\r\n\r\n";
pub const EVIL: &str = "GET /admin HTTP/1.1\r\nHost: lab.loc\r\n\r\n";
/// Content-Length covers all of it; the chunked coding ends before the second request.
pub const CL_TE: &str = "POST /a HTTP/1.1\r\nContent-Length: 43\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /admin HTTP/1.1\r\nHost: lab.loc\r\n\r\n";
pub const CL_TE_FORWARDED: &str = "POST /a HTTP/1.1\r\nX-Forwarded-For: 203.0.113.7\r\nContent-Length: 43\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /admin HTTP/1.1\r\nHost: lab.loc\r\n\r\n";
/// Content-Length covers the size of the first chunk alone; the coding is none that RFC 9112 knows.
pub const TE_CL: &str = "POST /a HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: xchunked\r\n\r\n26\r\nGET /admin HTTP/1.1\r\nHost: lab.loc\r\n\r\n\r\n0\r\n\r\n";
pub const ODD_NAME: &str = "POST /a HTTP/1.1\r\nContent-Length: 43\r\nTransfer-Encoding\u{85}: chunked\r\n\r\n0\r\n\r\nGET /admin HTTP/1.1\r\nHost: lab.loc\r\n\r\n";
/// For who does not know the coding, the content is not there.
pub const TE0: &str = "POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n26\r\nGET /admin HTTP/1.1\r\nHost: lab.loc\r\n\r\n\r\n0\r\n\r\n";
/// The next request's first line becomes part of a field.
pub const PREFIX: &str = "POST /a HTTP/1.1\r\nContent-Length: 25\r\n\r\nGET /admin HTTP/1.1\r\nX: y";
pub const HALF: &str = "HTTP/1.1 200 OK\r\nServer: s\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Values of an attribute of the findings.
pub fn told(s: &Scene, key: &str) -> Vec<String> {
    let of = |finding: &tracer_engine::Finding| {
        let (_, value) = finding.attributes.iter().find(|(known, _)| *known == key)?;
        Some(format!("{value:?}"))
    };
    s.outputs
        .iter()
        .filter_map(|output| match output {
            tracer_engine::Output::Finding(finding) => of(finding),
            _ => None,
        })
        .collect()
}

/// Whether something was told, and nothing of it more than suspicious.
pub fn is_but_suspicious(found: &[String]) -> bool {
    !found.is_empty() && found.iter().all(|found| found.contains(" suspicious: "))
}
