//! Requests and responses through the whole engine: what is one exchange, and how it ended.

mod scene;

use scene::{Client, Conn, Scene, Server, Thread, answer, get};
use tracer_common::{
    direction::{RECEIVE, SEND},
    tcp_state,
};

const S: Thread = Thread(20, 20);
const C: Thread = Thread(10, 10);

/// One operation of a server.
#[derive(Clone, Copy)]
enum Op {
    Recv(&'static str),
    Send(&'static str),
    /// So many bytes that were received or sent, and what was copied of them.
    RecvCut(usize, &'static str),
    SendCut(usize, &'static str),
    /// The server closes, then its socket is gone.
    Close,
    /// The client has closed its end of sending.
    Eof,
}
use Op::{Close, Eof, Recv, RecvCut, Send, SendCut};

fn play(s: &mut Scene, conn: Conn, ops: &[Op]) {
    for op in ops {
        match *op {
            Recv(bytes) => s.recv(S, conn, Server, bytes),
            Send(bytes) => s.send(S, conn, Server, bytes),
            RecvCut(len, bytes) => s.part(S, conn, Server, RECEIVE, len, bytes.as_bytes()),
            SendCut(len, bytes) => s.part(S, conn, Server, SEND, len, bytes.as_bytes()),
            Eof => s.eof(S, conn, Server),
            Close => {
                s.shut(S, conn, Server);
                s.closed(conn, Server);
            }
        }
    }
}

/// What a server's operations on a connection seen from its start come to.
#[track_caller]
fn server(ops: &[Op], expected: &[&str]) {
    let mut s = Scene::new();
    let conn = s.accept(80);
    play(&mut s, conn, ops);
    assert_eq!(s.settle(), expected);
    assert_eq!(s.finish().len(), expected.len(), "nothing was left open");
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[test]
fn one_after_the_other() {
    let get = "GET /a HTTP/1.1\r\n\r\n";
    server(&[Recv(get), Send(OK), Recv(get), Send(OK)], &["SERVER GET /a 200 @20", "SERVER GET /a 200 @20"]);
}

#[test]
fn pipelined() {
    let both = "GET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\n";
    let expected = ["SERVER GET /a 200 @20", "SERVER GET /b 204 @20"];
    server(&[Recv(both), Send(OK), Send("HTTP/1.1 204 N\r\n\r\n")], &expected);
    server(
        &[Recv(both), Send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\naHTTP/1.1 204 N\r\n\r\n")],
        &expected,
    );
}

#[test]
fn a_start_line_in_any_number_of_operations() {
    server(
        &[Recv("GE"), Recv("T /a"), Recv(" HTTP/1.1\r"), Recv("\n"), Recv("\r\n"), Send(OK)],
        &["SERVER GET /a 200 @20"],
    );
    server(&[Recv("\r\n\r\nGET /a HTTP/1.1\r\n\r\n"), Send(OK)], &["SERVER GET /a 200 @20"]);
    server(&[Recv("\r"), Recv("\n"), Recv("GET /a HTTP/1.1\r\n\r\n"), Send(OK)], &["SERVER GET /a 200 @20"]);
    let methods =
        [Recv("PROPFIND /a HTTP/1.1\r\n\r\n"), Send(OK), Recv("PURGE /b HTTP/1.1\r\n\r\n"), Send(OK)];
    server(&methods, &["SERVER HTTP /a 200 @20", "SERVER HTTP /b 200 @20"]);
}

#[test]
fn informational_responses_are_not_the_answer() {
    server(
        &[
            Recv("POST /a HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"),
            Send("HTTP/1.1 100 Continue\r\n\r\n"),
            Recv("ab"),
            Send("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"),
            Send(OK),
        ],
        &["SERVER POST /a 200 @20"],
    );
}

#[test]
fn responses_without_content_whatever_they_say() {
    let head = "HEAD /a HTTP/1.1\r\n\r\n";
    let get = "GET /b HTTP/1.1\r\n\r\n";
    server(
        &[
            Recv(head),
            Send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"),
            Recv(get),
            Send("HTTP/1.1 304 N\r\nContent-Length: 1000\r\n\r\n"),
            Recv(head),
            Send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
            Recv(get),
            Send("HTTP/1.1 204 N\r\n\r\n"),
        ],
        &[
            "SERVER HEAD /a 200 @20",
            "SERVER GET /b 304 @20",
            "SERVER HEAD /a 200 @20",
            "SERVER GET /b 204 @20",
        ],
    );
}

#[test]
fn content_that_reads_like_a_request() {
    server(
        &[
            Recv("POST /a HTTP/1.1\r\nContent-Length: 28\r\n\r\n"),
            Recv("GET /admin HTTP/1.1\r\nHost: h\r"),
            Send(OK),
            Recv("POST /b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1c\r\n"),
            Recv("GET /admin HTTP/1.1\r\nHost: h\r"),
            Recv("\r\n0\r\nTrailer: x\r\n\r\n"),
            Send("HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n"),
            Send("HTTP/1.1 500 No"),
        ],
        &["SERVER POST /a 200 @20", "SERVER POST /b 200 @20"],
    );
}

#[test]
fn chunked_in_one_and_in_many_operations() {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let get = "GET /a HTTP/1.1\r\n\r\n";
    let one = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    server(
        &[
            Recv(get),
            Send(one),
            Recv(get),
            Send(head),
            Send("3\r"),
            Send("\nabc\r\n2\r\nd"),
            Send("e\r\n0\r\n"),
            Send("\r\n"),
            Recv(get),
            Send(OK),
        ],
        &["SERVER GET /a 200 @20"; 3],
    );
}

#[test]
fn sizes_of_content() {
    let mut s = Scene::new();
    let conn = s.accept(80);
    s.recv(S, conn, Server, "POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
    s.part(S, conn, Server, SEND, 65, b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n");
    s.part(S, conn, Server, SEND, 1_000_000 - 23 + 2, b"");
    s.settle();
    let spans = s.spans();
    assert_eq!(scene::text(spans[0], "http.request.body.size").as_deref(), Some("3"));
    assert_eq!(scene::text(spans[0], "http.response.body.size").as_deref(), Some("1000000"));
    assert_eq!(scene::text(spans[0], "tracer.incomplete"), None);
}

#[test]
fn content_that_was_not_captured() {
    server(
        &[
            RecvCut(44 + 5000, "POST /a HTTP/1.1\r\nContent-Length: 105000\r\n\r\nabc"),
            RecvCut(100_000, "GET /admin HTTP/1.1\r\n\r\n"),
            SendCut(47, "HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n"),
            SendCut(500_000_000, ""),
            SendCut(500_000_000, ""),
            Recv("GET /b HTTP/1.1\r\n\r\n"),
            Send(OK),
        ],
        &["SERVER POST /a 200 @20", "SERVER GET /b 200 @20"],
    );
}

#[test]
fn a_close_delimited_response_ends_with_its_last_byte() {
    let mut s = Scene::new();
    let conn = s.connect(C, 80);
    s.pass((C, Client), S, conn, "GET /a HTTP/1.0\r\n\r\n"); // 4, 5
    s.pass((S, Server), C, conn, "HTTP/1.0 200 OK\r\n\r\nabc"); // 6, 7
    s.pass((S, Server), C, conn, "def"); // 8, 9
    s.wait(50);
    s.shut(S, conn, Server);
    s.wait(50);
    s.eof(C, conn, Client);
    let expected = ["4..9 CLIENT GET /a 200 @10", "5..8 SERVER GET /a 200 @20 < CLIENT /a by socket"];
    assert_eq!(s.timed(), expected);
}

#[test]
fn a_close_delimited_response_may_be_interrupted_by_more_request() {
    server(
        &[
            Recv("POST /a HTTP/1.0\r\nContent-Length: 6\r\n\r\nabc"),
            Send("HTTP/1.0 200 OK\r\n\r\nearly"),
            Recv("def"),
            Close,
        ],
        &["SERVER POST /a 200 @20"],
    );
}

#[test]
fn after_an_upgrade_there_is_no_http() {
    let mut s = Scene::new();
    let conn = s.accept(80);
    play(
        &mut s,
        conn,
        &[
            Recv("GET /chat HTTP/1.1\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n"),
            Send("HTTP/1.1 101 S\r\nUpgrade: websocket\r\n\r\n"),
            Recv("GET /fake HTTP/1.1\r\n\r\n"),
            Send(OK),
        ],
    );
    assert_eq!(s.settle(), ["SERVER GET /chat 101 @20"]);
    assert_eq!(s.muted(), 1);
}

#[test]
fn a_mute_that_the_kernel_side_forgot_is_asked_for_again() {
    let mut s = Scene::new();
    let conn = s.connect(C, 80);
    s.send(C, conn, Client, "SSH-2.0-x\r\n");
    assert_eq!(s.muted(), 1);
    for _ in 0..600 {
        s.send(C, conn, Client, "more");
    }
    assert_eq!(s.muted(), 3);
}

#[test]
fn a_tunnel_is_muted() {
    let mut s = Scene::new();
    let conn = s.connect(C, 80);
    s.pass((C, Client), S, conn, "CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n");
    s.pass((S, Server), C, conn, "HTTP/1.1 200 OK\r\n\r\n");
    s.pass((C, Client), S, conn, "GET /fake HTTP/1.1\r\n\r\n");
    assert_eq!(s.settle(), ["CLIENT CONNECT  200 @10", "SERVER CONNECT  200 @20 < CLIENT  by socket"]);
    assert_eq!(s.muted(), 2, "both ends");
    assert!(s.spans().iter().any(|span| scene::text(span, "url.full").as_deref() == Some("http://h:443")));
}

#[test]
fn a_refused_tunnel_stays_http() {
    server(
        &[
            Recv("CONNECT h:443 HTTP/1.1\r\n\r\n"),
            Send("HTTP/1.1 405 N\r\nContent-Length: 0\r\n\r\n"),
            Recv("GET /a HTTP/1.1\r\n\r\n"),
            Send(OK),
        ],
        &["SERVER CONNECT  405 @20", "SERVER GET /a 200 @20"],
    );
}

#[test]
fn an_early_response() {
    server(
        &[
            Recv("POST /a HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc"),
            Send("HTTP/1.1 413 L\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
            Recv("def"),
            Recv("ghi"),
            Close,
        ],
        &["SERVER POST /a 413 @20"],
    );
}

#[test]
fn a_server_that_closes_without_response() {
    let mut s = Scene::new();
    let conn = s.connect(C, 80);
    s.pass((C, Client), S, conn, &get("/a")); // 4, 5
    s.wait(20);
    s.shut(S, conn, Server); // 26
    s.eof(C, conn, Client); // 27
    let expected = [
        "4..27 CLIENT GET /a !no_response @10",
        "5..26 SERVER GET /a !no_response @20 < CLIENT /a by socket",
    ];
    assert_eq!(s.timed(), expected);
    assert!(s.spans().iter().all(|span| scene::text(span, "error.type").as_deref() == Some("no_response")));
}

#[test]
fn a_response_cut_short() {
    let request = Recv("GET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\n");
    server(
        &[request, Send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"), Close],
        &["SERVER GET /a 200 !response_cut_short @20", "SERVER GET /b !no_response @20"],
    );
    server(
        &[Recv("GET /a HTTP/1.1\r\n\r\n"), Send("HTTP/1.1 200 OK\r\nContent-"), Close],
        &["SERVER GET /a !response_cut_short @20"],
    );
}

#[test]
fn a_client_that_only_ends_its_sending_still_gets_its_response() {
    server(&[Recv("GET /a HTTP/1.1\r\n\r\n"), Eof, Send(OK), Close], &["SERVER GET /a 200 @20"]);
}

/// The kernel says that a closed socket is gone only when the peer acknowledged its end, which it may delay.
#[test]
fn a_client_that_gives_up_ends_with_its_own_close() {
    let mut s = Scene::new();
    let conn = s.connect(C, 80);
    s.send(C, conn, Client, &get("/a")); // 4
    s.wait(20);
    s.shut(C, conn, Client); // 25
    s.wait(40);
    s.state(conn, Client, Thread(0, 0), tcp_state::FIN_WAIT2, tcp_state::CLOSE); // 66
    assert_eq!(s.timed(), ["4..25 CLIENT GET /a !no_response @10"]);
}

#[test]
fn a_client_that_gives_up_after_it_ended_its_sending_ends_with_its_close() {
    let mut s = Scene::new();
    let conn = s.connect(C, 80);
    s.send(C, conn, Client, &get("/a")); // 4
    s.shut(C, conn, Client); // 5
    s.wait(40);
    s.state(conn, Client, C, tcp_state::FIN_WAIT2, tcp_state::CLOSE); // 46
    assert_eq!(s.timed(), ["4..46 CLIENT GET /a !no_response @10"]);
}

#[test]
fn a_response_whose_record_comes_before_that_of_its_request() {
    let mut s = Scene::new();
    let conn = s.connect(C, 80);
    let request = get("/a");
    // The client's sender ends its call, and so its hook fires, only when another thread has the answer.
    s.recv(S, conn, Server, &request); // 4
    s.send(S, conn, Server, OK); // 5
    s.recv(Thread(10, 11), conn, Client, &OK[..20]); // 6
    s.recv(Thread(10, 11), conn, Client, &OK[20..]); // 7
    s.send(C, conn, Client, &request); // 8
    let expected = ["4..8 CLIENT GET /a 200 @10", "4..5 SERVER GET /a 200 @20 < CLIENT /a by socket"];
    assert_eq!(s.timed(), expected);
}

#[test]
fn an_early_record_of_a_response_that_ends_with_the_connection() {
    let mut s = Scene::new();
    let conn = s.connect(C, 80);
    s.recv(Thread(10, 11), conn, Client, "HTTP/1.0 200 OK\r\n\r\nabc");
    s.eof(Thread(10, 11), conn, Client);
    s.send(C, conn, Client, &get("/a"));
    assert_eq!(s.settle(), ["CLIENT GET /a 200 @10"]);
}

#[test]
fn an_answer_to_nothing() {
    let timeout = "HTTP/1.1 408 T\r\nContent-Length: 0\r\n\r\n";
    server(&[Send(timeout), Close], &[]);
    server(&[Recv("GET /a HTTP/1.1\r\n\r\n"), Send(OK), Send(timeout), Close], &["SERVER GET /a 200 @20"]);
    let mut s = Scene::new();
    let conn = s.connect(C, 80);
    s.send(C, conn, Client, &get("/a"));
    s.recv(C, conn, Client, OK);
    s.recv(C, conn, Client, timeout);
    s.eof(C, conn, Client);
    s.shut_after(C, conn, Client);
    s.closed(conn, Client);
    assert_eq!(s.settle(), ["CLIENT GET /a 200 @10"]);
    assert_eq!(s.stats().orphan_responses, 1);
}

#[test]
fn the_client_is_reset_while_its_server_works() {
    let mut s = Scene::new();
    let conn = s.accept(80);
    s.recv(S, conn, Server, &get("/a")); // 2
    s.reset(conn, Server); // 3
    let call = s.connect(S, 81);
    s.send(S, call, Client, &get("/b")); // 7
    s.failed_send(S, conn, Server, 32, OK); // 8
    let expected =
        ["2..8 SERVER GET /a !no_response @20", "7..7 CLIENT GET /b !still_open @20 < SERVER /a by thread"];
    s.finish();
    assert_eq!(s.timed(), expected);
}

#[test]
fn what_came_before_a_reset_can_still_be_read() {
    let mut s = Scene::new();
    let conn = s.begin_connect(C, 80);
    s.established(conn, C);
    s.send(C, conn, Client, &get("/a"));
    s.reset(conn, Client);
    s.recv(C, conn, Client, &answer(413, "no"));
    assert_eq!(s.settle(), ["CLIENT GET /a 413 @10"]);
    s.wait(60_000);
    s.recv(C, conn, Client, "");
    assert_eq!(s.engine.poll_timeout(), None, "the connection is forgotten");
}

#[test]
fn sequence_numbers_that_wrap() {
    for iss in [u32::MAX, u32::MAX - 1, u32::MAX - 10, u32::MAX - 30] {
        let mut s = Scene::new();
        let conn = s.old_at(80, [iss, iss]);
        s.accepted(conn);
        for _ in 0..3 {
            s.recv(S, conn, Server, &get("/a"));
            s.send(S, conn, Server, OK);
        }
        assert_eq!(s.settle(), ["SERVER GET /a 200 @20"; 3], "{iss}");
    }
}
