//! Requests that a server hands to the process behind it by FastCGI, uwsgi and SCGI, through the whole engine.

mod scene;

use scene::{At, Client, Conn, Scene, Server, Thread, answer, get, text};
use tracer_common::direction::{RECEIVE, SEND};
use tracer_engine::SpanKind;

/// The front end, and two workers.
const F: Thread = Thread(10, 10);
const W: Thread = Thread(20, 20);
const V: Thread = Thread(30, 30);

/// A FastCGI record.
fn record(kind: u8, id: u8, content: &[u8]) -> Vec<u8> {
    [&[1, kind, 0, id, 0, content.len() as u8, 0, 0][..], content].concat()
}

fn variables(path: &str, more: &[(&str, &str)]) -> Vec<(String, String)> {
    let own = [("QUERY_STRING", ""), ("REQUEST_METHOD", "GET"), ("REQUEST_URI", path), ("HTTP_HOST", "h")];
    own.iter().chain(more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn fastcgi(path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let pair = |(name, value): (String, String)| {
        [&[name.len() as u8, value.len() as u8][..], name.as_bytes(), value.as_bytes()].concat()
    };
    let params: Vec<u8> = variables(path, more).into_iter().flat_map(pair).collect();
    let params: Vec<u8> = params.chunks(100).flat_map(|part| record(4, 1, part)).collect();
    [record(1, 1, &[0, 1, 1, 0, 0, 0, 0, 0]), params, record(4, 1, b""), record(5, 1, b"")].concat()
}

fn output(status: &str) -> Vec<u8> {
    record(6, 1, format!("{status}Content-type: text/html\r\n\r\nhello").as_bytes())
}

fn end() -> Vec<u8> {
    record(3, 1, &[0; 8])
}

fn answered(status: &str) -> Vec<u8> {
    [output(status), end()].concat()
}

fn uwsgi(path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let item = |text: &str| [&(text.len() as u16).to_le_bytes()[..], text.as_bytes()].concat();
    let pair = |(name, value): (String, String)| [item(&name), item(&value)].concat();
    let block: Vec<u8> = variables(path, more).into_iter().flat_map(pair).collect();
    [&[0, block.len() as u8, (block.len() >> 8) as u8, 0][..], &block].concat()
}

fn scgi(path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let length = [("CONTENT_LENGTH".to_owned(), "0".to_owned())];
    let all = length.into_iter().chain(variables(path, more));
    let block: String = all.map(|(name, value)| format!("{name}\0{value}\0")).collect();
    format!("{}:{block},", block.len()).into_bytes()
}

trait Bytes {
    fn sent(&mut self, thread: Thread, conn: Conn, at: At, bytes: &[u8]);
    fn received(&mut self, thread: Thread, conn: Conn, at: At, bytes: &[u8]);
    fn passed(&mut self, from: (Thread, At), to: Thread, conn: Conn, bytes: &[u8]);
}

impl Bytes for Scene {
    fn sent(&mut self, thread: Thread, conn: Conn, at: At, bytes: &[u8]) {
        self.part(thread, conn, at, SEND, bytes.len(), bytes);
    }

    fn received(&mut self, thread: Thread, conn: Conn, at: At, bytes: &[u8]) {
        self.part(thread, conn, at, RECEIVE, bytes.len(), bytes);
    }

    fn passed(&mut self, from: (Thread, At), to: Thread, conn: Conn, bytes: &[u8]) {
        self.sent(from.0, conn, from.1, bytes);
        self.received(to, conn, if from.1 == Client { Server } else { Client }, bytes);
    }
}

/// A request from elsewhere that the front end passes to a worker, which calls and launches for it.
fn chain(s: &mut Scene, conn: Conn, request: &[u8], response: &[u8]) {
    let front = s.accept(80);
    s.recv(F, front, Server, &get("/a.php"));
    s.passed((F, Client), W, conn, request);
    let call = s.connect(W, 81);
    s.send(W, call, Client, &get("/api"));
    s.recv(W, call, Client, &answer(200, ""));
    s.fork(W, 40);
    s.exec(Thread(40, 40), &["id"]);
    s.exit(40, 0);
    s.passed((W, Server), F, conn, response);
    s.send(F, front, Server, &answer(404, "hello"));
}

const CHAIN: [&str; 5] = [
    "SERVER GET /a.php 404 @10",
    "CLIENT GET /a.php 404 @10 < SERVER /a.php by only",
    "SERVER GET /a.php 404 @20 < CLIENT /a.php by socket",
    "CLIENT GET /api 200 @20 < SERVER /a.php by thread",
    "INTERNAL id = 0 @20 < SERVER /a.php by thread",
];

/// The lines with the way of a link that depends on what was learned left out.
fn places(lines: Vec<String>) -> Vec<String> {
    lines.into_iter().map(|line| line.replace(" by thread", " by only")).collect()
}

fn expected() -> Vec<String> {
    places(CHAIN.iter().map(|line| (*line).to_owned()).collect())
}

#[test]
fn fastcgi_over_tcp() {
    let mut s = Scene::new();
    let conn = s.connect(F, 9000);
    chain(&mut s, conn, &fastcgi("/a.php", &[]), &answered("Status: 404 Not Found\r\n"));
    assert_eq!(places(s.settle()), expected());
    assert_eq!(s.finish().len(), 5, "nothing was left open");
    assert_eq!(s.stats().opaque_connections, 0);
}

#[test]
fn fastcgi_over_a_unix_socket() {
    let mut s = Scene::new();
    let conn = s.unix();
    s.unix_seen(conn, Client, F);
    s.unix_seen(conn, Server, W);
    chain(&mut s, conn, &fastcgi("/a.php", &[]), &answered("Status: 404 Not Found\r\n"));
    assert_eq!(places(s.settle()), expected());
}

#[test]
fn uwsgi_over_tcp() {
    let mut s = Scene::new();
    let conn = s.connect(F, 3031);
    chain(&mut s, conn, &uwsgi("/a.php", &[]), answer(404, "hello").as_bytes());
    assert_eq!(places(s.settle()), expected());
}

#[test]
fn a_response_to_the_end_of_a_unix_connection() {
    for (request, response) in [
        (uwsgi("/a.php", &[]), "HTTP/1.1 404 No\r\n\r\nhello"),
        (scgi("/a.php", &[]), "Status: 404 No\r\n\r\nhello"),
    ] {
        let mut s = Scene::new();
        let conn = s.unix();
        s.unix_seen(conn, Client, F);
        s.unix_seen(conn, Server, W);
        chain(&mut s, conn, &request, response.as_bytes());
        // The worker has closed its end, which nothing tells but what the front end reads.
        s.empty(F, conn, Client);
        assert_eq!(places(s.settle()), expected());
    }
}

#[test]
fn one_after_the_other_on_a_kept_connection() {
    let mut s = Scene::new();
    let conn = s.connect(F, 9000);
    for path in ["/a", "/b", "/c"] {
        s.passed((F, Client), W, conn, &fastcgi(path, &[]));
        s.passed((W, Server), F, conn, &answered(""));
    }
    let lines: Vec<_> = ["/a", "/b", "/c"]
        .iter()
        .flat_map(|path| {
            [
                format!("CLIENT GET {path} 200 @10"),
                format!("SERVER GET {path} 200 @20 < CLIENT {path} by socket"),
            ]
        })
        .collect();
    assert_eq!(s.settle(), lines);
}

/// As PHP reads: the head of each record by itself, and the last ones only when the next request comes.
#[test]
fn read_piece_by_piece_and_not_to_the_end() {
    let mut s = Scene::new();
    let conn = s.connect(F, 9000);
    for path in ["/a", "/b"] {
        s.sent(F, conn, Client, &fastcgi(path, &[]));
    }
    let requests = [fastcgi("/a", &[]), fastcgi("/b", &[])];
    let unread = record(5, 1, b"").len();
    s.received(W, conn, Server, &requests[0][..8]);
    s.received(W, conn, Server, &requests[0][8..16]);
    s.received(W, conn, Server, &requests[0][16..requests[0].len() - unread]);
    s.passed((W, Server), F, conn, &answered(""));
    s.received(W, conn, Server, &requests[0][requests[0].len() - unread..]);
    s.received(W, conn, Server, &requests[1][..requests[1].len() - unread]);
    s.passed((W, Server), F, conn, &answered("Status: 500 X\r\n"));
    let servers: Vec<_> = s.settle().into_iter().filter(|line| line.starts_with("SERVER")).collect();
    assert_eq!(
        servers,
        ["SERVER GET /a 200 @20 < CLIENT /a by socket", "SERVER GET /b 500 @20 < CLIENT /b by socket"]
    );
}

#[test]
fn joined_at_a_clean_turn() {
    for unix in [false, true] {
        let mut s = Scene::new();
        let conn = if unix { s.unix() } else { s.old(9000) };
        s.passed((F, Client), W, conn, b"the rest of some content");
        s.passed((W, Server), F, conn, &answered(""));
        s.passed((F, Client), W, conn, &fastcgi("/b", &[]));
        s.passed((W, Server), F, conn, &answered(""));
        assert_eq!(
            s.settle(),
            ["CLIENT GET /b 200 @10", "SERVER GET /b 200 @20 < CLIENT /b by socket"],
            "{unix}"
        );
    }
}

#[test]
fn in_flight_to_the_end_of_the_request() {
    let mut s = Scene::new();
    let conn = s.accept(9000);
    s.received(W, conn, Server, &fastcgi("/a", &[]));
    // The front end hangs up.
    s.eof(W, conn, Server);
    s.wait(3_000);
    s.fork(W, 40);
    s.exec(Thread(40, 40), &["id"]);
    s.exit(40, 0);
    s.sent(W, conn, Server, &output(""));
    s.wait(3_000);
    assert!(s.spans().iter().all(|span| span.kind == SpanKind::Internal), "the request is not over");
    s.sent(W, conn, Server, &end());
    assert_eq!(places(s.settle()), ["SERVER GET /a 200 @20", "INTERNAL id = 0 @20 < SERVER /a by only"]);
}

/// PHP says that it is done with a request of which nobody wants to know, and goes on to the next.
#[test]
fn in_flight_though_nobody_hears() {
    for unix in [true, false] {
        let mut s = Scene::new();
        let conn = if unix { s.unix() } else { s.accept(9000) };
        if unix {
            s.unix_seen(conn, Server, W);
        }
        s.received(W, conn, Server, &fastcgi("/a", &[]));
        if !unix {
            s.reset(conn, Server);
        }
        let part = String::from_utf8(output("")).expect("ASCII");
        s.failed_send(W, conn, Server, 32, &part);
        s.wait(3_000);
        s.fork(W, 40);
        s.exec(Thread(40, 40), &["id"]);
        s.exit(40, 0);
        s.failed_send(W, conn, Server, 32, &(part + &String::from_utf8(end()).expect("ASCII")));
        let next = s.accept(9000);
        s.received(W, next, Server, &fastcgi("/b", &[]));
        s.fork(W, 41);
        s.exec(Thread(41, 41), &["id"]);
        s.exit(41, 0);
        s.sent(W, next, Server, &answered(""));
        let expected = [
            "SERVER GET /a !no_response @20",
            "INTERNAL id = 0 @20 < SERVER /a by only",
            "SERVER GET /b 200 @20",
            "INTERNAL id = 0 @20 < SERVER /b by only",
        ];
        assert_eq!(places(s.settle()), expected, "over a unix socket: {unix}");
    }
}

/// No hook tells that a unix socket is closed; who writes to it finds out.
#[test]
fn a_client_that_is_gone() {
    let mut s = Scene::new();
    let conn = s.unix();
    s.unix_seen(conn, Server, W);
    s.recv(W, conn, Server, &get("/a"));
    s.failed_send(W, conn, Server, 32, &answer(200, ""));
    assert_eq!(s.settle(), ["SERVER GET /a !no_response @20"]);
}

#[test]
fn workers_at_the_same_time() {
    let mut s = Scene::new();
    let conns = [s.connect(F, 9000), s.connect(F, 9000)];
    s.passed((F, Client), W, conns[0], &fastcgi("/a", &[]));
    s.passed((F, Client), V, conns[1], &fastcgi("/b", &[]));
    for (worker, child) in [(V, 41), (W, 40)] {
        s.fork(worker, child);
        s.exec(Thread(child, child), &["id"]);
        s.exit(child, 0);
    }
    s.passed((V, Server), F, conns[1], &answered(""));
    s.passed((W, Server), F, conns[0], &answered(""));
    let launches: Vec<_> = s.settle().into_iter().filter(|line| line.starts_with("INTERNAL")).collect();
    assert_eq!(
        launches,
        ["INTERNAL id = 0 @30 < SERVER /b by thread", "INTERNAL id = 0 @20 < SERVER /a by thread"]
    );
}

#[test]
fn fields_and_variables_are_attributes() {
    let more = [
        ("SCRIPT_FILENAME", "/srv/a.php"),
        ("REMOTE_ADDR", "192.0.2.7"),
        ("REMOTE_PORT", "4711"),
        ("SERVER_PORT", "443"),
        ("HTTPS", "on"),
        ("HTTP_USER_AGENT", "curl"),
        ("HTTP_TRACEPARENT", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ];
    let mut s = Scene::new();
    let conn = s.connect(F, 9000);
    s.passed((F, Client), W, conn, &fastcgi("/a?b=c", &more));
    s.passed((W, Server), F, conn, &answered(""));
    s.settle();
    let spans = s.spans();
    assert_eq!(spans.len(), 2);
    for span in spans {
        assert_eq!(span.trace_id.to_string(), "0af7651916cd43dd8448eb211c80319c");
        let attributes: &[(&str, &str)] = match span.kind {
            SpanKind::Server => &[
                ("client.address", "192.0.2.7"),
                ("client.port", "4711"),
                ("code.file.path", "/srv/a.php"),
                ("url.path", "/a"),
                ("url.query", "b=c"),
                ("url.scheme", "https"),
            ],
            _ => &[("url.full", "https://h/a?b=c"), ("network.peer.port", "9000")],
        };
        let both = [
            ("network.protocol.name", "fastcgi"),
            ("server.address", "h"),
            ("server.port", "443"),
            ("user_agent.original", "curl"),
            ("http.response.body.size", "5"),
        ];
        for (key, value) in attributes.iter().chain(&both) {
            assert_eq!(text(span, key).as_deref(), Some(*value), "{key}");
        }
        assert_eq!(text(span, "network.protocol.version"), None, "that of the request is another protocol's");
    }
}

#[test]
fn a_worker_that_says_nothing_fails() {
    let mut s = Scene::new();
    let conn = s.accept(9000);
    s.received(W, conn, Server, &fastcgi("/a", &[]));
    s.sent(W, conn, Server, &end());
    s.received(W, conn, Server, &fastcgi("/b", &[]));
    s.shut(W, conn, Server);
    s.closed(conn, Server);
    assert_eq!(s.settle(), ["SERVER GET /a !response_cut_short @20", "SERVER GET /b !no_response @20"]);
}

#[test]
fn several_requests_at_once_are_not_guessed_at() {
    let mut s = Scene::new();
    let conn = s.accept(9000);
    let mut other = fastcgi("/b", &[]);
    // The second byte of a record's id.
    other[3] = 2;
    s.received(W, conn, Server, &[&fastcgi("/a", &[])[..16], &other[..16]].concat());
    assert_eq!(s.settle(), [""; 0]);
    assert_eq!(s.stats().boundaries_lost, 1);
}

#[test]
fn what_only_begins_alike_is_left_alone() {
    for begin in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"\x01\x01\x00\x00\x00\x08\x00\x00",
        b"220 hello\r\n",
        b"\x00\x00\x00\x08\x04\xd2\x16\x2f",
    ] {
        let mut s = Scene::new();
        let conn = s.accept(5432);
        s.received(W, conn, Server, begin);
        assert_eq!(s.settle(), [""; 0]);
        assert_eq!((s.stats().opaque_connections, s.stats().boundaries_lost), (1, 0), "{begin:?}");
    }
}
