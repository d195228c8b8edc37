//! What caused what: parents by socket, thread and header, and what must not be linked.

mod scene;

use scene::{Client, Conn, Scene, Server, Thread, answer, get};
use tracer_engine::SpanKind;

/// A browser, a proxy with an event loop, and two back ends.
const C: Thread = Thread(10, 10);
const P: Thread = Thread(20, 20);
const B: Thread = Thread(30, 30);
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn with_context(path: &str, span: &str) -> String {
    let context = format!("00-0af7651916cd43dd8448eb211c80319c-{span}-01");
    format!("GET {path} HTTP/1.1\r\nTraceparent: {context}\r\nTracestate: at={path}\r\n\r\n")
}

/// One request from `from` to `to` and its answer, both ends.
fn call(s: &mut Scene, conn: Conn, from: Thread, to: Thread, request: &str) {
    s.pass((from, Client), to, conn, request);
    s.pass((to, Server), from, conn, OK);
}

#[test]
fn a_chain_of_three() {
    let mut s = Scene::new();
    let (front, back) = (s.connect(C, 80), s.connect(P, 81));
    for _ in 0..2 {
        s.pass((C, Client), P, front, &get("/a"));
        call(&mut s, back, P, B, &get("/b"));
        s.pass((P, Server), C, front, OK);
    }
    let expected = [
        "CLIENT GET /a 200 @10",
        "SERVER GET /a 200 @20 < CLIENT /a by socket",
        "CLIENT GET /b 200 @20 < SERVER /a by thread",
        "SERVER GET /b 200 @30 < CLIENT /b by socket",
    ];
    assert_eq!(s.settle(), [expected, expected].concat());
    let traces: std::collections::BTreeSet<_> = s.spans().iter().map(|span| span.trace_id).collect();
    assert_eq!(traces.len(), 2);
}

#[test]
fn the_receiver_may_be_told_first() {
    let mut s = Scene::new();
    let conn = s.connect(C, 80);
    s.recv(P, conn, Server, &get("/a")); // 4
    s.send(C, conn, Client, &get("/a")); // 5
    s.recv(C, conn, Client, OK); // 6
    s.send(P, conn, Server, OK); // 7
    let expected = ["4..6 CLIENT GET /a 200 @10", "4..6 SERVER GET /a 200 @20 < CLIENT /a by socket"];
    assert_eq!(s.timed(), expected, "a client's span holds that of its server");
}

#[test]
fn a_call_ends_within_its_cause_when_the_back_end_is_told_late() {
    let mut s = Scene::new();
    let (front, back) = (s.connect(C, 80), s.connect(P, 81));
    s.pass((C, Client), P, front, &get("/a"));
    s.pass((P, Client), B, back, &get("/b"));
    // The back end's thread was suspended between the sending and its record.
    s.recv(P, back, Client, OK);
    s.pass((P, Server), C, front, OK);
    s.send(B, back, Server, OK);
    let expected = [
        "7..13 CLIENT GET /a 200 @10",
        "8..12 SERVER GET /a 200 @20 < CLIENT /a by socket",
        "9..11 CLIENT GET /b 200 @20 < SERVER /a by thread",
        "10..11 SERVER GET /b 200 @30 < CLIENT /b by socket",
    ];
    assert_eq!(s.timed(), expected);
}

#[test]
fn a_server_works_on_after_its_client_has_gone() {
    let mut s = Scene::new();
    let conn = s.connect(C, 80);
    s.pass((C, Client), P, conn, &get("/a"));
    s.closed(conn, Client);
    s.send(P, conn, Server, OK);
    let expected =
        ["4..6 CLIENT GET /a !no_response @10", "5..7 SERVER GET /a 200 @20 < CLIENT /a by socket"];
    assert_eq!(s.timed(), expected);
}

#[test]
fn translated_addresses() {
    let mut s = Scene::new();
    let conn = s.old(80);
    // The client has spoken to a service's address, which is translated to the server's.
    let server = &mut s.end_mut(conn, Server).sock;
    (server.local, server.local_port, server.netns) = (scene::records::mapped([10, 0, 0, 7]), 8080, 2);
    call(&mut s, conn, C, P, &get("/a"));
    assert_eq!(s.settle(), ["CLIENT GET /a 200 @10", "SERVER GET /a 200 @20 < CLIENT /a by socket"]);
}

#[test]
fn a_connect_keeps_what_it_was_begun_for() {
    let mut s = Scene::new();
    let (one, two) = (s.accept(80), s.accept(80));
    // An event loop with two ready connections: read, connect, read, connect, then both are writable.
    s.recv(P, one, Server, &get("/one"));
    let up_one = s.begin_connect(P, 81);
    s.recv(P, two, Server, &get("/two"));
    let up_two = s.begin_connect(P, 81);
    s.established(up_one, P);
    s.established(up_two, P);
    s.send(P, up_one, Client, &get("/up-one"));
    s.send(P, up_two, Client, &get("/up-two"));
    for (up, down) in [(up_two, two), (up_one, one)] {
        s.recv(P, up, Client, OK);
        s.send(P, down, Server, OK);
    }
    assert_eq!(
        s.settle(),
        [
            "SERVER GET /one 200 @20",
            "SERVER GET /two 200 @20",
            "CLIENT GET /up-one 200 @20 < SERVER /one by thread",
            "CLIENT GET /up-two 200 @20 < SERVER /two by content",
        ]
    );
}

#[test]
fn a_response_continues_what_sent_its_request() {
    let mut s = Scene::new();
    let (one, two) = (s.accept(80), s.accept(80));
    let (up_one, up_two) = (s.connect(P, 81), s.connect(P, 81));
    s.recv(P, one, Server, &get("/one"));
    s.send(P, up_one, Client, &get("/first"));
    s.recv(P, two, Server, &get("/two"));
    s.send(P, up_two, Client, &get("/second"));
    s.recv(P, up_one, Client, OK);
    s.send(P, up_one, Client, &get("/third"));
    s.recv(P, up_one, Client, OK);
    s.send(P, one, Server, OK);
    s.recv(P, up_two, Client, OK);
    s.send(P, two, Server, OK);
    assert_eq!(
        s.finish(),
        [
            "SERVER GET /one 200 @20",
            "CLIENT GET /first 200 @20 < SERVER /one by thread",
            "SERVER GET /two 200 @20",
            "CLIENT GET /second 200 @20 < SERVER /two by next_answer",
            "CLIENT GET /third 200 @20 < SERVER /one by next_answer",
        ]
    );
}

#[test]
fn an_activity_ends_with_its_response() {
    let mut s = Scene::new();
    let (down, up) = (s.accept(80), s.connect(P, 81));
    s.recv(P, down, Server, &get("/a"));
    s.send(P, down, Server, OK);
    s.send(P, up, Client, &get("/later"));
    s.recv(P, up, Client, OK);
    assert_eq!(s.settle(), ["SERVER GET /a 200 @20", "CLIENT GET /later 200 @20"]);
}

#[test]
fn an_idle_pool_connection_is_nobodys() {
    let mut s = Scene::new();
    let (one, two) = (s.accept(80), s.accept(80));
    s.recv(P, one, Server, &get("/one"));
    let pool = s.connect(P, 81);
    s.send(P, one, Server, OK);
    s.recv(P, two, Server, &get("/two"));
    s.send(P, pool, Client, &get("/b"));
    s.recv(P, pool, Client, OK);
    s.send(P, two, Server, OK);
    let expected = [
        "SERVER GET /one 200 @20",
        "SERVER GET /two 200 @20",
        "CLIENT GET /b 200 @20 < SERVER /two by thread",
    ];
    assert_eq!(s.settle(), expected, "who connected is over when it asks");
}

#[test]
fn pipelined_requests_are_worked_on_in_their_order() {
    let mut s = Scene::new();
    let (down, up) = (s.accept(80), s.connect(P, 81));
    s.recv(P, down, Server, &(get("/1") + &get("/2")));
    for path in ["/for-1", "/for-2"] {
        s.send(P, up, Client, &get(path));
        s.recv(P, up, Client, OK);
        s.send(P, down, Server, OK);
    }
    assert_eq!(
        s.settle(),
        [
            "SERVER GET /1 200 @20",
            "SERVER GET /2 200 @20",
            "CLIENT GET /for-1 200 @20 < SERVER /1 by thread",
            "CLIENT GET /for-2 200 @20 < SERVER /2 by thread",
        ]
    );
}

#[test]
fn an_instrumented_client_is_the_parent_of_our_client() {
    let mut s = Scene::new();
    let (front, back) = (s.connect(C, 80), s.connect(P, 81));
    s.pass((C, Client), P, front, &with_context("/a", "00f067aa0ba902b7"));
    // A proxy that passes the context on, and one call with a span of its own.
    call(&mut s, back, P, B, &with_context("/passed", "00f067aa0ba902b7"));
    call(&mut s, back, P, B, &with_context("/own", "00f067aa0ba90123"));
    s.pass((P, Server), C, front, OK);
    assert_eq!(
        s.settle(),
        [
            "CLIENT GET /a 200 @10 < 00f067aa0ba902b7 by header",
            "SERVER GET /a 200 @20 < CLIENT /a by socket",
            "CLIENT GET /passed 200 @20 < SERVER /a by thread",
            "SERVER GET /passed 200 @30 < CLIENT /passed by socket",
            "CLIENT GET /own 200 @20 < 00f067aa0ba90123 by header",
            "SERVER GET /own 200 @30 < CLIENT /own by socket",
        ]
    );
    assert!(s.spans().iter().all(|span| span.trace_id.to_string() == "0af7651916cd43dd8448eb211c80319c"));
}

#[test]
fn a_server_whose_client_is_elsewhere() {
    let mut s = Scene::new();
    let conn = s.accept(80);
    s.recv(P, conn, Server, &with_context("/a", "00f067aa0ba902b7"));
    s.send(P, conn, Server, OK);
    s.recv(P, conn, Server, "GET /b HTTP/1.1\r\ntraceparent: 00-bad-1-01\r\n\r\n");
    s.send(P, conn, Server, OK);
    assert_eq!(s.settle(), ["SERVER GET /a 200 @20 < 00f067aa0ba902b7 by header", "SERVER GET /b 200 @20"]);
    assert_eq!(s.spans()[0].trace_state.as_deref(), Some("at=/a"));
    assert_eq!(s.stats().broken_contexts, 1);
}

#[test]
fn a_process_may_call_itself() {
    let mut s = Scene::new();
    let (front, own) = (s.accept(80), s.connect(P, 80));
    s.recv(P, front, Server, &get("/a"));
    s.send(P, own, Client, &get("/b"));
    s.recv(P, own, Server, &get("/b"));
    s.send(P, own, Server, OK);
    s.recv(P, own, Client, OK);
    s.send(P, front, Server, OK);
    assert_eq!(
        s.settle(),
        [
            "SERVER GET /a 200 @20",
            "CLIENT GET /b 200 @20 < SERVER /a by thread",
            "SERVER GET /b 200 @20 < CLIENT /b by socket",
        ]
    );
}

#[test]
fn unix_sockets() {
    let mut s = Scene::new();
    let conn = s.unix();
    s.unix_seen(conn, Client, P);
    s.send(P, conn, Client, &get("/a"));
    s.unix_seen(conn, Server, B);
    s.recv(B, conn, Server, &get("/a"));
    s.pass((B, Server), P, conn, OK);
    for _ in 0..2 {
        call(&mut s, conn, P, B, &get("/a"));
    }
    assert_eq!(
        s.settle(),
        ["CLIENT GET /a 200 @20", "SERVER GET /a 200 @30 < CLIENT /a by socket"].repeat(3)
    );
}

#[test]
fn a_unix_connection_joined_in_mid_life() {
    let mut s = Scene::new();
    let conn = s.unix();
    s.unix_seen(conn, Server, B);
    s.recv(B, conn, Server, "of a body");
    s.send(B, conn, Server, OK);
    s.unix_seen(conn, Client, P);
    s.recv(P, conn, Client, OK);
    call(&mut s, conn, P, B, &get("/a"));
    assert_eq!(s.settle(), ["CLIENT GET /a 200 @20", "SERVER GET /a 200 @30 < CLIENT /a by socket"]);
}

#[test]
fn the_same_request_again_on_a_unix_socket_is_another() {
    let mut s = Scene::new();
    let conn = s.unix();
    s.unix_seen(conn, Client, P);
    s.unix_seen(conn, Server, B);
    s.send(P, conn, Client, &get("/a"));
    s.lose(2); // what the server saw of it
    s.recv(B, conn, Server, &get("/a"));
    s.send(B, conn, Server, OK);
    s.recv(P, conn, Client, OK);
    call(&mut s, conn, P, B, &get("/a"));
    let expected =
        ["CLIENT GET /a 200 @20", "CLIENT GET /a 200 @20", "SERVER GET /a 200 @30 < CLIENT /a by socket"];
    assert_eq!(s.settle(), expected);
    let spans = s.spans();
    let server = spans.iter().find(|span| span.resource.pid == 30).expect("the server's");
    let clients = spans.iter().filter(|span| span.resource.pid == 20);
    let later = clients.max_by_key(|span| span.start_unix_nano).expect("the clients'");
    assert_eq!(server.parent_span_id, Some(later.span_id));
}

#[test]
fn a_forgotten_count_of_a_unix_socket_ends_nothing_badly() {
    let mut s = Scene::new();
    let conn = s.unix();
    s.unix_seen(conn, Server, B);
    s.recv(B, conn, Server, &get("/a"));
    s.unix_seen(conn, Server, B);
    s.send(B, conn, Server, OK);
    s.recv(B, conn, Server, &get("/b"));
    s.send(B, conn, Server, OK);
    assert_eq!(s.settle(), ["SERVER GET /a !bytes_unseen @30", "SERVER GET /b 200 @30"]);
}

#[test]
fn deep_chains() {
    let mut s = Scene::new();
    let threads: Vec<_> = (0..200).map(|n| Thread(100 + n, 100 + n)).collect();
    let conns: Vec<_> = threads.windows(2).map(|pair| s.connect(pair[0], 80)).collect();
    for (pair, conn) in threads.windows(2).zip(&conns) {
        s.pass((pair[0], Client), pair[1], *conn, &get("/a"));
    }
    for (pair, conn) in threads.windows(2).zip(&conns).rev() {
        s.pass((pair[1], Server), pair[0], *conn, OK);
    }
    s.settle();
    let spans = s.spans();
    assert_eq!(spans.len(), 2 * 199);
    let roots = spans.iter().filter(|span| span.parent_span_id.is_none()).count();
    assert!(roots <= 7, "a chain is cut where it is deeper than 64: {roots}");
}

#[test]
fn a_trace_that_was_told_stays() {
    let mut s = Scene::new();
    let conn = s.connect(C, 80);
    s.recv(P, conn, Server, &get("/a"));
    s.send(P, conn, Server, OK);
    s.wait(200);
    let told = s.spans()[0].clone();
    s.send(C, conn, Client, &get("/a"));
    s.recv(C, conn, Client, OK);
    assert_eq!(s.settle(), ["CLIENT GET /a 200 @10", "SERVER GET /a 200 @20"]);
    assert_eq!(*s.spans()[0], told);
    assert_eq!(s.stats().late_links, 1);
}

#[test]
fn candidates_are_counted() {
    let mut s = Scene::new();
    let (one, two) = (s.accept(80), s.accept(80));
    s.recv(P, one, Server, &get("/one"));
    s.recv(P, two, Server, &get("/two"));
    let up = s.begin_connect(P, 81);
    s.established(up, P);
    s.send(P, up, Client, &get("/up"));
    s.recv(P, up, Client, OK);
    s.send(P, two, Server, OK);
    s.finish();
    let candidates: Vec<_> =
        s.spans().iter().filter_map(|span| scene::text(span, "tracer.link.candidates")).collect();
    assert_eq!(candidates, ["2"]);
}

#[test]
fn a_call_in_a_trace_of_its_own_tells_what_caused_it() {
    const OWN: &str = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01";
    let mut s = Scene::new();
    let down = s.accept(80);
    s.recv(P, down, Server, &get("/page"));
    let up = s.old(81);
    s.send(P, up, Client, &format!("GET /stock HTTP/1.1\r\ntraceparent: {OWN}\r\n\r\n"));
    s.recv(P, up, Client, &answer(200, ""));
    s.send(P, down, Server, &answer(200, ""));
    s.settle();
    let spans = s.spans();
    let [call, page] = [SpanKind::Client, SpanKind::Server]
        .map(|kind| spans.iter().find(|span| span.kind == kind).expect("both"));
    assert_eq!(call.trace_id.to_string(), OWN[3..35]);
    assert_eq!((call.links[0].trace_id, call.links[0].span_id), (page.trace_id, page.span_id));
}
