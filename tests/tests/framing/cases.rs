//! The table: what the client sends, and what a server must have parsed.

/// What the client does. `@` stands for a path prefix that only this case on this server has.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// These bytes in a segment of their own.
    Send(&'static str),
    /// Each byte in a segment of its own.
    Trickle(&'static str),
    /// Until these bytes were received.
    Await(&'static str),
    /// Until the server closes.
    ToEnd,
}
use Step::{Await, Send, ToEnd, Trickle};

/// A conversation on a connection of its own.
pub struct Case {
    /// It is also the path prefix.
    pub name: &'static str,
    /// Servers that parse it so; the others reject it or never answer.
    pub servers: &'static [&'static str],
    /// The client's part.
    pub steps: &'static [Step],
    /// Method, target (after the prefix), status code.
    pub expected: &'static [(&'static str, &'static str, u16)],
}

const ALL: &[&str] = &["nginx", "node", "gunicorn", "werkzeug"];
/// Those that keep a connection open; Werkzeug closes after each response.
const KEEPING: &[&str] = &["nginx", "node", "gunicorn"];
/// Those that answer every request of a pipeline.
const PIPELINING: &[&str] = &["nginx", "node"];
/// Those that choose the content of their answers.
const APPLICATIONS: &[&str] = &["node", "gunicorn", "werkzeug"];
/// Those that do and keep the connection open.
const KEEPING_APPLICATIONS: &[&str] = &["node", "gunicorn"];

const LAST: &str = "Host: x\r\nConnection: close\r\n\r\n";

/// All of them.
pub const CASES: &[Case] = &[
    Case {
        name: "pipelined",
        servers: PIPELINING,
        steps: &[
            Send(concat!(
                "GET @/a HTTP/1.1\r\nHost: x\r\n\r\nGET @/b HTTP/1.1\r\nHost: x\r\n\r\n",
                "GET @/c HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
            )),
            ToEnd,
        ],
        expected: &[("GET", "/a", 200), ("GET", "/b", 200), ("GET", "/c", 200)],
    },
    Case {
        name: "pipelined-and-cut-in-the-second",
        servers: PIPELINING,
        steps: &[
            Send("GET @/a HTTP/1.1\r\nHost: x\r\n\r\nGE"),
            Send("T @/b HTTP/1.1\r\nHost: x\r\nConnec"),
            Send("tion: close\r\n\r\n"),
            ToEnd,
        ],
        expected: &[("GET", "/a", 200), ("GET", "/b", 200)],
    },
    Case {
        name: "pipelined-with-content",
        servers: PIPELINING,
        steps: &[
            Send(concat!(
                "POST @/a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
                "POST @/b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
                "GET @/c HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
            )),
            ToEnd,
        ],
        expected: &[("POST", "/a", 200), ("POST", "/b", 200), ("GET", "/c", 200)],
    },
    Case {
        name: "methods-of-webdav-and-caches",
        servers: &["nginx", "node"],
        steps: &[
            Send("PROPFIND @/a HTTP/1.1\r\nHost: x\r\nDepth: 0\r\n\r\n"),
            Await("hello\n"),
            Send("PURGE @/b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
            ToEnd,
        ],
        expected: &[("PROPFIND", "/a", 200), ("PURGE", "/b", 200)],
    },
    Case {
        name: "a-method-nobody-knows",
        servers: &["gunicorn", "werkzeug"],
        steps: &[Send("BREW @/pot HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"), ToEnd],
        expected: &[("BREW", "/pot", 200)],
    },
    Case {
        name: "method-cut",
        servers: ALL,
        steps: &[Send("GE"), Send("T @/a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"), ToEnd],
        expected: &[("GET", "/a", 200)],
    },
    Case {
        name: "method-cut-on-a-used-connection",
        servers: KEEPING,
        steps: &[
            Send("GET @/a HTTP/1.1\r\nHost: x\r\n\r\n"),
            Await("hello\n"),
            Send("G"),
            Send("ET @/b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
            ToEnd,
        ],
        expected: &[("GET", "/a", 200), ("GET", "/b", 200)],
    },
    Case {
        name: "empty-lines-before",
        servers: &["nginx", "node", "gunicorn"],
        steps: &[Send("\r\nGET @/a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"), ToEnd],
        expected: &[("GET", "/a", 200)],
    },
    Case {
        name: "empty-line-in-a-segment-of-its-own",
        servers: &["nginx", "node"],
        steps: &[
            Send("GET @/a HTTP/1.1\r\nHost: x\r\n\r\n"),
            Await("hello\n"),
            Send("\r\n"),
            Send("GET @/b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
            ToEnd,
        ],
        expected: &[("GET", "/a", 200), ("GET", "/b", 200)],
    },
    Case {
        name: "chunked-in-one-segment",
        servers: ALL,
        steps: &[
            Send(concat!(
                "POST @/a HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n",
                "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"
            )),
            ToEnd,
        ],
        expected: &[("POST", "/a", 200)],
    },
    Case {
        name: "chunked-in-many-segments",
        servers: KEEPING,
        steps: &[
            Send("POST @/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"),
            Send("2"),
            Send("2\r"),
            Send("\nGET /admin HTTP/1.1\r\n"),
            Send("Host: adm\r\n\r\n\r"),
            Send("\n1;extension=GET"),
            Send("\r\nx\r\n0\r\nX-Note: GET / HTTP/1.1\r\n"),
            Send("\r\n"),
            Await("hello\n"),
            Send("GET @/b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
            ToEnd,
        ],
        expected: &[("POST", "/a", 200), ("GET", "/b", 200)],
    },
    Case {
        name: "content-that-reads-like-a-request",
        servers: KEEPING,
        steps: &[
            Send("POST @/a HTTP/1.1\r\nHost: x\r\nContent-Length: 36\r\n\r\n"),
            Send("GET /admin HTTP/1.1\r\nHost: admin\r\n\r\n"),
            Await("hello\n"),
            Send("GET @/b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
            ToEnd,
        ],
        expected: &[("POST", "/a", 200), ("GET", "/b", 200)],
    },
    Case {
        name: "response-content-that-reads-like-a-response",
        servers: KEEPING_APPLICATIONS,
        steps: &[
            Send("POST @/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 45\r\n\r\n"),
            Send("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"),
            Await("Content-Length: 0\r\n\r\n"),
            Send("GET @/b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
            ToEnd,
        ],
        expected: &[("POST", "/echo", 200), ("GET", "/b", 200)],
    },
    Case {
        name: "responses-without-content",
        servers: KEEPING,
        steps: &[
            Send("HEAD @/a HTTP/1.1\r\nHost: x\r\n\r\n"),
            Await("\r\n\r\n"),
            Send("GET @/status-204 HTTP/1.1\r\nHost: x\r\n\r\n"),
            Await("\r\n\r\n"),
            Send("GET @/status-304 HTTP/1.1\r\nHost: x\r\n\r\n"),
            Await("\r\n\r\n"),
            Send("GET @/b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
            ToEnd,
        ],
        expected: &[
            ("HEAD", "/a", 200),
            ("GET", "/status-204", 204),
            ("GET", "/status-304", 304),
            ("GET", "/b", 200),
        ],
    },
    Case {
        name: "head-in-a-pipeline",
        servers: PIPELINING,
        steps: &[
            Send(concat!(
                "HEAD @/a HTTP/1.1\r\nHost: x\r\n\r\nGET @/status-404 HTTP/1.1\r\nHost: x\r\n\r\n",
                "HEAD @/b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
            )),
            ToEnd,
        ],
        expected: &[("HEAD", "/a", 200), ("GET", "/status-404", 404), ("HEAD", "/b", 200)],
    },
    Case {
        name: "continue",
        servers: KEEPING_APPLICATIONS,
        steps: &[
            Send("POST @/echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"),
            Await("HTTP/1.1 100 Continue\r\n\r\n"),
            Send("ping"),
            Await("ping"),
            Send("GET @/b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
            ToEnd,
        ],
        expected: &[("POST", "/echo", 200), ("GET", "/b", 200)],
    },
    Case {
        name: "chunked-response-that-reads-like-a-response",
        servers: KEEPING_APPLICATIONS,
        steps: &[
            Send("GET @/stream HTTP/1.1\r\nHost: x\r\n\r\n"),
            Await("\r\n0\r\n\r\n"),
            Send("GET @/b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
            ToEnd,
        ],
        expected: &[("GET", "/stream", 200), ("GET", "/b", 200)],
    },
    Case {
        name: "delimited-by-the-close",
        servers: APPLICATIONS,
        steps: &[Send("GET @/stream HTTP/1.0\r\nHost: x\r\n\r\n"), ToEnd],
        expected: &[("GET", "/stream", 200)],
    },
    Case {
        name: "upgraded",
        servers: &["node"],
        steps: &[
            Send(concat!(
                "GET @/socket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n",
                "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            )),
            Await("Upgrade: websocket\r\n\r\n"),
            Send("GET /fake HTTP/1.1\r\nHost: x\r\n\r\n"),
            Await("GET /fake HTTP/1.1\r\nHost: x\r\n\r\n"),
            Send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
            Await("Content-Length: 0\r\n\r\n"),
        ],
        expected: &[("GET", "/socket", 101)],
    },
    Case {
        name: "one-byte-at-a-time",
        servers: KEEPING,
        steps: &[
            Trickle("POST @/a HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nGET "),
            Await("hello\n"),
            Trickle("GET @/b?q=1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
            ToEnd,
        ],
        expected: &[("POST", "/a", 200), ("GET", "/b?q=1", 200)],
    },
    Case {
        name: "many-fields",
        servers: ALL,
        steps: &[
            Send("GET @/a HTTP/1.1\r\nX-First: 1\r\n"),
            Send("X-Folded-Like: GET /admin HTTP/1.1\r\n"),
            Send(LAST),
            ToEnd,
        ],
        expected: &[("GET", "/a", 200)],
    },
    Case {
        name: "chunked-content-that-reads-like-a-request",
        servers: ALL,
        steps: &[
            Send("POST @/a HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"),
            Send("2"),
            Send("2\r"),
            Send("\nGET /admin HTTP/1.1\r\n"),
            Send("Host: adm\r\n\r\n\r"),
            Send("\n1\r\nx\r\n0\r\n"),
            Send("\r\n"),
            ToEnd,
        ],
        expected: &[("POST", "/a", 200)],
    },
    Case {
        name: "content-that-reads-like-requests",
        servers: ALL,
        steps: &[
            Send("POST @/a HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 72\r\n\r\n"),
            Send("GET /admin HTTP/1.1\r\nHost: admin\r\n\r\n"),
            Send("GET /admin HTTP/1.1\r\nHost: admin\r\n\r\n"),
            ToEnd,
        ],
        expected: &[("POST", "/a", 200)],
    },
    Case {
        name: "echoed-content-that-reads-like-a-response",
        servers: APPLICATIONS,
        steps: &[
            Send(concat!(
                "POST @/echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 45\r\n\r\n",
                "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
            )),
            ToEnd,
        ],
        expected: &[("POST", "/echo", 200)],
    },
    Case {
        name: "one-byte-at-a-time-and-no-more",
        servers: ALL,
        steps: &[
            Trickle("POST @/a?q=1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 4\r\n\r\nGET "),
            ToEnd,
        ],
        expected: &[("POST", "/a?q=1", 200)],
    },
];
