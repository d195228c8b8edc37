//! Connections older than the tracer, records that were lost, and what is no HTTP.

mod scene;

use scene::{Client, Conn, Scene, Server, Thread, answer, get};
use tracer_common::direction::{RECEIVE, SEND};

const S: Thread = Thread(20, 20);
const C: Thread = Thread(10, 10);

/// `S <bytes>` and `R <bytes>` are a send and a receive of one end; each a record.
fn play(s: &mut Scene, conn: Conn, server: bool, ops: &[(u8, &str)]) {
    let (thread, at) = if server { (S, Server) } else { (C, Client) };
    for (direction, bytes) in ops {
        s.part(thread, conn, at, *direction, bytes.len(), bytes.as_bytes());
    }
}

#[track_caller]
fn old_server(ops: &[(u8, &str)], expected: &[&str]) {
    let mut s = Scene::new();
    let conn = s.old(80);
    play(&mut s, conn, true, ops);
    assert_eq!(s.settle(), expected);
}

#[track_caller]
fn old_client(ops: &[(u8, &str)], expected: &[&str]) {
    let mut s = Scene::new();
    let conn = s.old(80);
    play(&mut s, conn, false, ops);
    assert_eq!(s.settle(), expected);
}

const GET: &str = "GET /a HTTP/1.1\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const TWO: [&str; 2] = ["SERVER GET /a 200 @20"; 2];

#[test]
fn first_seen_between_two_exchanges() {
    old_server(&[(RECEIVE, GET), (SEND, OK), (RECEIVE, GET), (SEND, OK)], &TWO);
    old_client(&[(SEND, GET), (RECEIVE, OK)], &["CLIENT GET /a 200 @10"]);
}

#[test]
fn first_seen_in_a_request() {
    for rest in ["abc", "some text", "line\r\nline", "{\"a\": 1}", "\0\x01binary", "\r\n", "ab\n"] {
        let ops = [
            (RECEIVE, rest),
            (RECEIVE, rest),
            (SEND, OK),
            (RECEIVE, GET),
            (SEND, OK),
            (RECEIVE, GET),
            (SEND, OK),
        ];
        let mut s = Scene::new();
        let conn = s.old(80);
        play(&mut s, conn, true, &ops);
        assert_eq!(s.settle(), TWO, "after {rest:?}");
    }
}

#[test]
fn first_seen_in_a_response() {
    for rest in ["abc", "some text", "line\r\nline", "{\"a\": 1}", "\0\x01binary", "\r\n", "ab\n"] {
        let ops = [(SEND, rest), (SEND, rest), (RECEIVE, GET), (SEND, OK), (RECEIVE, GET), (SEND, OK)];
        let mut s = Scene::new();
        let conn = s.old(80);
        play(&mut s, conn, true, &ops);
        assert_eq!(s.settle(), TWO, "after {rest:?}");
        let ops = [(RECEIVE, rest), (RECEIVE, rest), (SEND, GET), (RECEIVE, OK)];
        let mut s = Scene::new();
        let conn = s.old(80);
        play(&mut s, conn, false, &ops);
        assert_eq!(s.settle(), ["CLIENT GET /a 200 @10"], "after {rest:?}");
    }
    old_server(&[(SEND, OK), (RECEIVE, GET), (SEND, OK), (RECEIVE, GET), (SEND, OK)], &TWO);
}

#[test]
fn first_seen_with_a_split_request_line() {
    // Which of the two is missed depends on how much of the line is there; the next one never is.
    let mut s = Scene::new();
    let conn = s.old(80);
    let ops = [(RECEIVE, "GE"), (RECEIVE, "T /a HTTP/1.1\r\n\r\n"), (SEND, OK), (RECEIVE, GET), (SEND, OK)];
    play(&mut s, conn, true, &ops);
    assert_eq!(s.settle(), TWO);
}

#[test]
fn a_guess_of_the_side_is_not_for_ever() {
    // Content that reads like the other end's message.
    let ops = [(RECEIVE, OK), (SEND, OK), (RECEIVE, GET), (SEND, OK), (RECEIVE, GET), (SEND, OK)];
    old_server(&ops, &TWO);
    let ops =
        [(SEND, GET), (RECEIVE, GET), (SEND, OK), (RECEIVE, GET), (SEND, OK), (RECEIVE, GET), (SEND, OK)];
    let mut s = Scene::new();
    let conn = s.old(80);
    play(&mut s, conn, true, &ops);
    let lines = s.settle();
    assert!(lines.iter().filter(|line| *line == TWO[0]).count() >= 2, "{lines:?}");
}

/// Three exchanges between two ends; the records of these numbers, from 0, are lost.
fn with_losses(lost: &[usize]) -> Vec<String> {
    let mut s = Scene::new();
    let conn = s.accept(80);
    let mut n = 0;
    for path in ["/1", "/2", "/3", "/4"] {
        for (direction, bytes) in [(RECEIVE, get(path)), (SEND, answer(200, path))] {
            s.lose(u32::from(lost.contains(&n)));
            s.part(S, conn, Server, direction, bytes.len(), bytes.as_bytes());
            n += 1;
        }
    }
    s.settle()
}

#[test]
fn a_lost_record_costs_its_own_exchange_and_no_other() {
    let spans = |paths: &[&str]| -> Vec<String> {
        paths.iter().map(|path| format!("SERVER GET {path} @20")).collect()
    };
    assert_eq!(with_losses(&[]), spans(&["/1 200", "/2 200", "/3 200", "/4 200"]));
    assert_eq!(with_losses(&[0]), spans(&["/2 200", "/3 200", "/4 200"]), "the first request");
    assert_eq!(with_losses(&[2]), spans(&["/1 200", "/3 200", "/4 200"]), "a request");
    let unseen = spans(&["/1 200", "/2 !bytes_unseen", "/3 200", "/4 200"]);
    assert_eq!(with_losses(&[3]), unseen, "a response");
    assert_eq!(with_losses(&[2, 3]), spans(&["/1 200", "/3 200", "/4 200"]), "both");
}

#[test]
fn lost_content() {
    let mut s = Scene::new();
    let conn = s.accept(80);
    s.recv(S, conn, Server, "POST /a HTTP/1.1\r\nContent-Length: 6\r\n\r\n");
    s.lose(1);
    s.recv(S, conn, Server, "abc");
    s.recv(S, conn, Server, "def");
    s.send(S, conn, Server, OK);
    s.recv(S, conn, Server, GET);
    s.send(S, conn, Server, OK);
    assert_eq!(s.settle(), ["SERVER POST /a 200 @20", "SERVER GET /a 200 @20"]);
    assert_eq!(s.stats().boundaries_lost, 0, "the length says where it ends");
}

#[test]
fn a_chunked_request_whose_boundaries_are_lost_still_has_its_response() {
    let mut s = Scene::new();
    let conn = s.accept(80);
    s.recv(S, conn, Server, "POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n");
    s.part(S, conn, Server, RECEIVE, 20_000, b"3\r\nabc\r\n");
    s.recv(S, conn, Server, "more\r\n0\r\n\r\n");
    s.send(S, conn, Server, OK);
    s.recv(S, conn, Server, GET);
    s.send(S, conn, Server, OK);
    assert_eq!(s.settle(), ["SERVER POST /a 200 @20", "SERVER GET /a 200 @20"]);
}

#[test]
fn a_chunked_response_whose_boundaries_are_lost_ends_with_its_last_byte() {
    let mut s = Scene::new();
    let conn = s.accept(80);
    s.recv(S, conn, Server, GET); // 2
    s.send(S, conn, Server, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    s.part(S, conn, Server, SEND, 20_000, b"3\r\nabc\r\n");
    s.send(S, conn, Server, "more\r\n0\r\n\r\n"); // 5
    s.wait(20);
    s.recv(S, conn, Server, GET); // 26
    s.send(S, conn, Server, OK);
    s.recv(S, conn, Server, GET); // 28
    s.send(S, conn, Server, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    s.part(S, conn, Server, SEND, 20_000, b"3\r\nabc\r\n"); // 30
    s.wait(5_000);
    let expected = [
        "2..5 SERVER GET /a 200 !bytes_unseen @20",
        "26..27 SERVER GET /a 200 @20",
        "28..30 SERVER GET /a 200 !bytes_unseen @20",
    ];
    assert_eq!(s.timed(), expected);
}

#[test]
fn after_a_loss_it_joins_at_a_turn_only() {
    let mut s = Scene::new();
    let conn = s.accept(80);
    s.recv(S, conn, Server, "POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n");
    s.part(S, conn, Server, RECEIVE, 20_000, b"");
    s.recv(S, conn, Server, "GET /content HTTP/1.1\r\n\r\n");
    s.send(S, conn, Server, OK);
    s.recv(S, conn, Server, GET);
    s.send(S, conn, Server, OK);
    assert_eq!(s.settle(), ["SERVER POST /a 200 @20", "SERVER GET /a 200 @20"]);
}

/// Records until the engine asks for silence.
fn muted_after(from_start: bool, server: bool, ops: &[(u8, &str)]) -> Option<usize> {
    let mut s = Scene::new();
    let conn = match (from_start, server) {
        (false, _) => s.old(80),
        (true, true) => s.accept(80),
        (true, false) => {
            let conn = s.begin_connect(C, 80);
            s.established(conn, C);
            conn
        }
    };
    for (n, op) in ops.iter().cycle().take(50).enumerate() {
        play(&mut s, conn, server, &[*op]);
        if s.muted() > 0 {
            assert_eq!(s.settle(), [""; 0]);
            return Some(n + 1);
        }
    }
    None
}

#[test]
fn other_protocols_are_muted_early() {
    let hello = (SEND, "\x16\x03\x01\x02\0\x01\0");
    let greeting = (RECEIVE, "J\0\0\0\n8.0.36\0");
    let login = (SEND, "\x20\0\0\x01\r\0");
    assert_eq!(muted_after(true, false, &[hello]), Some(1), "TLS");
    assert_eq!(muted_after(true, false, &[greeting, login]), Some(1), "MySQL, the client");
    assert_eq!(muted_after(true, true, &[(SEND, "J\0\0\0\n8.0.36\0")]), Some(1), "MySQL, the server");
    assert_eq!(muted_after(true, true, &[(SEND, "SSH-2.0-x\r\n")]), Some(1), "SSH, the server");
    assert_eq!(muted_after(true, false, &[(SEND, "SSH-2.0-x\r\n")]), Some(1), "SSH, the client");
    assert_eq!(muted_after(true, false, &[(SEND, "*1\r\n$4\r\nPING\r\n"), (RECEIVE, "+PONG\r\n")]), Some(1));
    assert_eq!(muted_after(true, false, &[(SEND, "PING\r\n"), (RECEIVE, "+PONG\r\n")]), Some(1));
    assert_eq!(muted_after(true, false, &[(SEND, "\0\0\0\x08\x04"), (RECEIVE, "N")]), Some(1));
    assert_eq!(muted_after(true, false, &[(SEND, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")]), Some(1), "HTTP/2");
    for server in [true, false] {
        let ops = [(SEND, "\x17\x03\x03\0\x20"), (RECEIVE, "\x17\x03\x03\0\x20")];
        let after = muted_after(false, server, &ops).expect("it is given up");
        assert!(after <= 10, "an old connection: {after}");
        let ops = [(SEND, "get some thing"), (RECEIVE, "got some thing")];
        let after = muted_after(false, server, &ops).expect("it is given up");
        assert!(after <= 20, "an old connection that looks like the begin of a line: {after}");
    }
}

#[test]
fn a_connection_that_was_http_is_given_up_late() {
    let mut s = Scene::new();
    let conn = s.accept(80);
    s.recv(S, conn, Server, GET);
    s.send(S, conn, Server, OK);
    for _ in 0..20 {
        s.recv(S, conn, Server, "\0what?");
        s.send(S, conn, Server, "\0what!");
    }
    assert_eq!(s.muted(), 0);
    s.recv(S, conn, Server, GET);
    s.send(S, conn, Server, OK);
    assert_eq!(s.settle(), TWO);
    for _ in 0..100 {
        s.recv(S, conn, Server, "\0what?");
        s.send(S, conn, Server, "\0what!");
    }
    assert_eq!(s.muted(), 1);
}

/// An upload was under way, and each of its segments reads like a request.
#[test]
fn first_seen_in_a_content_that_reads_like_requests() {
    const LURE: &str = "GET /admin HTTP/1.1\r\nHost: x\r\n\r\n";
    for lure in [LURE.to_owned(), LURE.repeat(3), format!("{LURE}rest")] {
        let mut s = Scene::new();
        let conn = s.old(80);
        for _ in 0..3 {
            s.send(C, conn, Client, &lure);
            s.recv(S, conn, Server, &lure);
        }
        s.send(S, conn, Server, OK);
        s.recv(C, conn, Client, OK);
        s.send(C, conn, Client, GET);
        s.recv(S, conn, Server, GET);
        s.send(S, conn, Server, OK);
        s.recv(C, conn, Client, OK);
        let spans = s.settle().join("\n");
        assert!(!spans.contains("/admin"), "{spans}");
        assert_eq!(spans.lines().count(), 2, "{spans}");
    }
}

#[test]
fn a_socket_whose_memory_is_used_again() {
    let mut s = Scene::new();
    let conn = s.old(80);
    s.recv(S, conn, Server, GET);
    s.end_mut(conn, Server).sock.inode += 1000;
    s.recv(S, conn, Server, "GET /b HTTP/1.1\r\n\r\n");
    s.send(S, conn, Server, OK);
    assert_eq!(s.settle(), ["SERVER GET /a !bytes_unseen @20", "SERVER GET /b 200 @20"]);
}

#[test]
fn a_connect_whose_begin_was_lost() {
    let mut s = Scene::new();
    s.lose(1);
    let conn = s.begin_connect(C, 80);
    s.established(conn, C);
    for part in ["GE", "T /a HTTP/1.1\r\n\r\n"] {
        s.send(C, conn, Client, part);
    }
    s.recv(C, conn, Client, OK);
    assert_eq!(s.settle(), ["CLIENT GET /a 200 @10"]);
}

#[test]
fn what_a_dead_socket_still_says_keeps_nothing() {
    let mut s = Scene::new();
    let conn = s.accept(80);
    s.reset(conn, Server);
    s.eof(S, conn, Server);
    s.failed_send(S, conn, Server, 32, OK);
    s.wait(100_000);
    assert_eq!(s.engine.poll_timeout(), None, "an end and a failure open nothing");
    s.recv(S, conn, Server, "what was left");
    s.wait(1_000_000);
    assert_eq!(s.engine.poll_timeout(), None, "no connection is followed");
}

#[test]
fn a_receive_of_nothing_is_not_the_end() {
    let mut s = Scene::new();
    let conn = s.connect(C, 80);
    s.send(C, conn, Client, GET);
    s.empty(C, conn, Client);
    s.recv(C, conn, Client, OK);
    assert_eq!(s.settle(), ["CLIENT GET /a 200 @10"]);
}

#[test]
fn content_that_was_refused_need_not_come() {
    for (content, refusal) in [("Content-Length: 100", "417 X"), ("Transfer-Encoding: chunked", "413 X")] {
        let mut s = Scene::new();
        let conn = s.accept(80);
        let ask = format!("POST /up HTTP/1.1\r\nExpect: 100-continue\r\n{content}\r\n\r\n");
        let refusal = format!("HTTP/1.1 {refusal}\r\nContent-Length: 0\r\n\r\n");
        play(&mut s, conn, true, &[(RECEIVE, &ask), (SEND, &refusal), (RECEIVE, GET), (SEND, OK)]);
        assert_eq!(s.settle(), [&format!("SERVER POST /up {} @20", &refusal[9..12]), TWO[0]]);
    }
}

#[test]
fn content_that_was_asked_for_is_no_request() {
    let mut s = Scene::new();
    let conn = s.accept(80);
    let ask = "POST /up HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 19\r\n\r\n";
    let go_on = "HTTP/1.1 100 Continue\r\n\r\n";
    let lure = "GET /a HTTP/1.1\r\n\r\n";
    play(&mut s, conn, true, &[(RECEIVE, ask), (SEND, go_on), (RECEIVE, lure), (SEND, OK)]);
    play(&mut s, conn, true, &[(RECEIVE, GET), (SEND, OK)]);
    assert_eq!(s.settle(), ["SERVER POST /up 200 @20", TWO[0]]);
}
