//! Requests that cannot be read: their connection speaks for them.

mod scene;

use scene::{Client, Conn, Scene, Server, Thread, answer, get, text};
use tracer_common::direction;
use tracer_engine::Finding;

const S: Thread = Thread(20, 20);
const SHELL: Thread = Thread(40, 40);

/// Records of TLS with 40 bytes each.
fn tls(kinds: &[u8]) -> Vec<u8> {
    kinds.iter().flat_map(|kind| [&[*kind, 3, 3, 0, 40][..], &[7; 40]].concat()).collect()
}

/// A client's hello that offers one protocol, or none.
fn hello(offered: &str) -> Vec<u8> {
    let alpn = match offered.len() {
        0 => vec![0, 23, 0, 0],
        n => [&[0, 16, 0, n as u8 + 3, 0, n as u8 + 1, n as u8][..], offered.as_bytes()].concat(),
    };
    let body = [&[3, 3][..], &[7; 32], &[0, 0, 2, 0x13, 1, 1, 0, 0, alpn.len() as u8], &alpn].concat();
    let message = [&[1, 0, 0, body.len() as u8][..], &body].concat();
    [&[22, 3, 1, 0, message.len() as u8][..], &message].concat()
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A frame of HTTP/2 with 5 bytes.
fn frame(kind: u8) -> Vec<u8> {
    [&[0, 0, 5, kind, 4, 0, 0, 0, 1][..], b"\x82\x87\x84\x41\x8a"].concat()
}

fn receive(s: &mut Scene, conn: Conn, bytes: &[u8]) {
    s.part(S, conn, Server, direction::RECEIVE, bytes.len(), bytes);
}

fn write(s: &mut Scene, conn: Conn, bytes: &[u8]) {
    s.part(S, conn, Server, direction::SEND, bytes.len(), bytes);
}

fn launch(s: &mut Scene, pid: u32, args: &[&str]) {
    s.fork(S, pid);
    s.exec(Thread(pid, pid), args);
    s.exit(pid, 0);
}

/// A server that is known, and a connection of it that was accepted.
fn accepted() -> (Scene, Conn) {
    let mut s = Scene::new();
    let conn = s.accept(443);
    s.described(20, "/srv/shop", &["/srv/shop"]);
    (s, conn)
}

/// The same behind a handshake of TLS 1.3, and the tickets that a server sends then.
fn shaken(offered: &str) -> (Scene, Conn) {
    let (mut s, conn) = accepted();
    receive(&mut s, conn, &hello(offered));
    write(&mut s, conn, &tls(&[22, 20, 23]));
    receive(&mut s, conn, &tls(&[20, 23]));
    write(&mut s, conn, &tls(&[23]));
    s.wait(50);
    (s, conn)
}

fn attribute(finding: &Finding, key: &str) -> Option<String> {
    let (_, value) = finding.attributes.iter().find(|(known, _)| *known == key)?;
    Some(value.text().map_or_else(|| format!("{value:?}"), str::to_owned))
}

/// Rule, severity, confidence and protocol of each finding.
fn told(s: &mut Scene) -> Vec<String> {
    s.wait(4_000);
    let line = |finding: &&Finding| {
        let protocol = attribute(finding, "network.protocol.name").unwrap_or_default();
        let (severity, confidence) = (finding.severity.name(), finding.confidence.name());
        format!("{} {severity} {confidence} {protocol}", finding.rule).trim_end().to_owned()
    };
    s.found().iter().map(line).collect()
}

/// What a client sends on a connection that carries requests: up to the first of them, and that one.
type Begin = (Vec<Vec<u8>>, Vec<u8>);

fn carriers() -> [(&'static str, Begin, &'static str); 7] {
    let old = vec![hello(""), tls(&[22, 20, 22])];
    [
        ("TLS 1.3", (vec![hello("http/1.1"), tls(&[20, 23])], tls(&[23])), "high probable tls"),
        ("TLS 1.2", (old, tls(&[23])), "high probable tls"),
        ("TLS with HTTP/2", (vec![hello("h2"), tls(&[20, 23])], tls(&[23])), "high suspicious tls"),
        ("HTTP/2", (vec![[PREFACE, &frame(4)].concat()], frame(1)), "high suspicious http"),
        ("HTTP/2 at once", (vec![], [PREFACE, &frame(4), &frame(1)].concat()), "high suspicious http"),
        ("AJP at once", (vec![], b"\x12\x34\x00\x04\x02\x02\x08H".to_vec()), "high probable ajp"),
        (
            "AJP",
            (vec![b"\x12\x34\x00\x01\x0a".to_vec()], b"\x12\x34\x00\x04\x02\x02\x08H".to_vec()),
            "high probable ajp",
        ),
    ]
}

#[test]
fn a_shell_while_a_request_is_open_that_cannot_be_read() {
    for (name, (before, request), expected) in carriers() {
        for split in [1, 5, 1 << 20] {
            let (mut s, conn) = accepted();
            for bytes in &before {
                bytes.chunks(split).for_each(|bytes| receive(&mut s, conn, bytes));
                write(&mut s, conn, &tls(&[22]));
            }
            request.chunks(split).for_each(|bytes| receive(&mut s, conn, bytes));
            launch(&mut s, 40, &["sh", "-c", "id; uname -a"]);
            write(&mut s, conn, &tls(&[23]));
            assert_eq!(told(&mut s), [format!("process.shell_in_request {expected}")], "{name} by {split}");
            let finding = s.found()[0];
            assert_eq!(attribute(finding, "client.address").as_deref(), Some("127.0.0.1"), "{name}");
            for unknown in ["http.request.method", "url.path", "url.scheme"] {
                assert_eq!(attribute(finding, unknown), None, "{name}");
            }
            let said: Vec<_> = finding.evidence.iter().map(|fact| fact.text.as_str()).collect();
            assert!(said.iter().any(|fact| fact.ends_with(", which cannot be read")), "{said:?}");
            assert!(said.iter().any(|fact| fact.contains("could not be compared")), "{said:?}");
            // The request is told, as what caused the launch; what is no request is not.
            let server: Vec<_> =
                s.spans().into_iter().filter(|span| text(span, "tracer.unread").is_some()).collect();
            assert_eq!(server.len(), 1, "{name}");
            assert_eq!(Some((server[0].trace_id, server[0].span_id)), finding.span, "{name}");
            assert_eq!(s.finish().len(), 2, "{name}");
        }
    }
}

#[test]
fn what_nothing_was_launched_for_is_not_told() {
    for (name, (before, request), _) in carriers() {
        let (mut s, conn) = accepted();
        for bytes in before.iter().chain([&request, &request]) {
            receive(&mut s, conn, bytes);
            write(&mut s, conn, &tls(&[23]));
        }
        assert_eq!(s.finish(), [""; 0], "{name}");
        assert_eq!((s.muted(), s.stats().opaque_connections, told(&mut s).len()), (1, 1, 0), "{name}");
    }
}

#[test]
fn a_launch_long_after_the_answer_has_no_request() {
    let (mut s, conn) = shaken("http/1.1");
    receive(&mut s, conn, &tls(&[23]));
    write(&mut s, conn, &tls(&[23]));
    s.wait(3_000);
    launch(&mut s, 40, &["sh", "-c", "id; uname -a"]);
    assert_eq!(told(&mut s), ["process.without_request high probable"]);
}

#[test]
fn a_request_is_open_while_its_answer_is_written_and_when_its_client_is_gone() {
    let (mut s, conn) = shaken("http/1.1");
    receive(&mut s, conn, &tls(&[23]));
    for _ in 0..4 {
        write(&mut s, conn, &tls(&[23]));
        s.wait(1_500);
    }
    launch(&mut s, 40, &["sh", "-c", "id; uname -a"]);
    let other = s.accept(443);
    receive(&mut s, other, &hello("http/1.1"));
    receive(&mut s, other, &tls(&[20, 23, 23]));
    s.reset(other, Server);
    s.wait(3_000);
    launch(&mut s, 50, &["sh", "-c", "ls; uname -a"]);
    assert_eq!(told(&mut s), ["process.shell_in_request high probable tls"; 2]);
}

#[test]
fn only_turns_are_asked_for_and_are_enough() {
    let (mut s, conn) = shaken("http/1.1");
    for _ in 0..3 {
        // A megabyte comes, of which the first reads are told, and a megabyte goes.
        for _ in 0..8 {
            s.part(S, conn, Server, direction::RECEIVE, 16_000, &tls(&[23])[..16]);
        }
        s.end_mut(conn, Server).next[usize::from(direction::RECEIVE)] += 1 << 20;
        s.part(S, conn, Server, direction::SEND, 16_000, &tls(&[23])[..16]);
        s.end_mut(conn, Server).next[usize::from(direction::SEND)] += 1 << 20;
    }
    s.part(S, conn, Server, direction::RECEIVE, 45, &tls(&[23])[..16]);
    launch(&mut s, 40, &["sh", "-c", "id; uname -a"]);
    assert_eq!(told(&mut s), ["process.shell_in_request high probable tls"]);
    // An alert closes a connection and asks for nothing.
    s.part(S, conn, Server, direction::SEND, 45, &tls(&[23])[..16]);
    s.part(S, conn, Server, direction::RECEIVE, 45, &tls(&[21])[..16]);
    s.wait(3_000);
    launch(&mut s, 50, &["sh", "-c", "ls; uname -a"]);
    assert_eq!(told(&mut s)[1], "process.without_request high probable");
}

#[test]
fn what_carries_no_requests_of_the_web_is_no_server() {
    let clients: [&[u8]; 8] = [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x00\x00\x00\x08\x04\xd2\x16\x2f",
        b"*1\r\n$4\r\nPING\r\n",
        b"\x3a\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\xd4\x07\x00\x00",
        b"\x16\x05\x01\x02\x00\x01\x00",
        &hello("postgresql"),
        // A scan says hello and goes.
        &hello(""),
        b"EHLO x\r\n",
    ];
    for client in clients {
        let (mut s, conn) = accepted();
        receive(&mut s, conn, client);
        write(&mut s, conn, b"\x15\x03\x03\x00\x02\x02\x28");
        receive(&mut s, conn, b"\x15\x03\x03\x00\x02\x02\x28");
        write(&mut s, conn, b"x");
        launch(&mut s, 40, &["sh", "-c", "id; uname -a"]);
        assert_eq!(told(&mut s), [""; 0], "{client:?}");
        assert_eq!(s.finish(), [""; 0], "{client:?}");
    }
}

#[test]
fn who_asks_is_no_server() {
    let mut s = Scene::new();
    let conn = s.begin_connect(S, 443);
    s.established(conn, S);
    s.described(20, "/usr/bin/agent", &["/usr/bin/agent"]);
    for (from, bytes) in [(0, hello("h2")), (1, tls(&[22, 23])), (0, tls(&[20, 23, 23])), (1, tls(&[23]))] {
        s.part(S, conn, Client, from, bytes.len(), &bytes);
    }
    launch(&mut s, 40, &["sh", "-c", "id; uname -a"]);
    assert_eq!(told(&mut s), [""; 0]);
}

#[test]
fn a_call_is_for_no_request_that_cannot_be_read() {
    // Nothing but such requests, and one beside them that can be read.
    for mixed in [false, true] {
        let (mut s, conn) = shaken("http/1.1");
        let plain = s.accept(80);
        if mixed {
            s.recv(Thread(20, 21), plain, Server, &get("/plain"));
        }
        receive(&mut s, conn, &tls(&[23]));
        let call = s.begin_connect(S, 8080);
        s.established(call, S);
        s.send(S, call, Client, &get("/call"));
        s.recv(S, call, Client, &answer(200, ""));
        write(&mut s, conn, &tls(&[23]));
        let lines = s.settle();
        assert!(lines.contains(&"CLIENT GET /call 200 @20".to_owned()), "{lines:?}");
        assert_eq!(s.stats().causes_gone, 0);
    }
}

#[test]
fn a_worker_that_was_passed_the_connection_is_the_server() {
    let (mut s, conn) = accepted();
    let worker = Thread(30, 30);
    s.described(30, "/srv/shop", &["/srv/shop", "worker"]);
    receive(&mut s, conn, &hello("http/1.1"));
    for bytes in [tls(&[20, 23]), tls(&[23])] {
        s.part(worker, conn, Server, direction::RECEIVE, bytes.len(), &bytes);
    }
    s.fork(worker, 40);
    s.exec(SHELL, &["sh", "-c", "id; uname -a"]);
    // Its master has read no request.
    launch(&mut s, 50, &["sh", "-c", "ls; uname -a"]);
    assert_eq!(told(&mut s), ["process.shell_in_request high probable tls"]);
    assert_eq!(s.found()[0].resource.pid, 30);
}

#[test]
fn who_is_steered_over_a_unix_socket_is_no_server() {
    let mut s = Scene::new();
    let conn = s.unix();
    s.unix_seen(conn, Server, S);
    s.described(20, "/usr/bin/containers", &["/usr/bin/containers"]);
    for bytes in [[PREFACE, &frame(4)].concat(), frame(1), frame(1)] {
        receive(&mut s, conn, &bytes);
        write(&mut s, conn, &frame(4));
    }
    receive(&mut s, conn, &frame(1));
    launch(&mut s, 40, &["sh", "-c", "id; uname -a"]);
    assert_eq!(told(&mut s), [""; 0]);
}
