//! Request smuggling: what must be found, as what, and what must not.

mod scene;

use proptest::{collection, prelude::*};
use scene::{
    Client, Conn, Scene, Server, answer,
    chain::{Chain, F, S},
    get,
};
use tracer_common::direction::{RECEIVE, SEND};

/// One operation of a server.
#[derive(Clone, Copy)]
enum Op {
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
use Op::{Fail, Lost, Recv, RecvCut, Reset, Send, SendCut, Trickle};

fn play(s: &mut Scene, conn: Conn, ops: &[Op]) {
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

#[test]
fn a_long_content_in_a_thousand_segments() {
    let padding = "a line of the long content\n".repeat(40_000);
    let sent =
        format!("POST /a HTTP/1.1\r\nContent-Length: {}\r\n\r\n{padding}{EVIL}", padding.len() + EVIL.len());
    for answers in [&[OK][..], &[OK, OK]] {
        let mut s = Scene::new();
        let conn = s.accept(80);
        for segment in sent.as_bytes().chunks(sent.len() / 1000) {
            s.recv(S, conn, Server, std::str::from_utf8(segment).unwrap());
        }
        answers.iter().for_each(|answer| s.send(S, conn, Server, answer));
        s.wait(5_000);
        s.finish();
        let confirmed =
            "http.request_smuggling confirmed: POST /a carried GET /admin, which was answered 200";
        assert_eq!(s.findings(), if answers.len() == 2 { vec![confirmed] } else { vec![] });
    }
}

/// The findings about what a server does on a connection seen from its start.
fn server(ops: &[Op]) -> Vec<String> {
    let mut s = Scene::new();
    let conn = s.accept(80);
    play(&mut s, conn, ops);
    s.wait(5_000);
    s.finish();
    s.findings()
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const OTHER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother";
const BAD: &str = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
const CL0: &str =
    "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 38\r\n\r\nGET /admin HTTP/1.1\r\nHost: lab.loc\r\n\r\n";
const HEAD_OF_CL0: &str = "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 38\r\n\r\n";
const EVIL: &str = "GET /admin HTTP/1.1\r\nHost: lab.loc\r\n\r\n";
/// Content-Length covers all of it; the chunked coding ends before the second request.
const CL_TE: &str = "POST /a HTTP/1.1\r\nContent-Length: 43\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /admin HTTP/1.1\r\nHost: lab.loc\r\n\r\n";
const CL_TE_FORWARDED: &str = "POST /a HTTP/1.1\r\nX-Forwarded-For: 203.0.113.7\r\nContent-Length: 43\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /admin HTTP/1.1\r\nHost: lab.loc\r\n\r\n";
/// Content-Length covers the size of the first chunk alone; the coding is none that RFC 9112 knows.
const TE_CL: &str = "POST /a HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: xchunked\r\n\r\n26\r\nGET /admin HTTP/1.1\r\nHost: lab.loc\r\n\r\n\r\n0\r\n\r\n";
const ODD_NAME: &str = "POST /a HTTP/1.1\r\nContent-Length: 43\r\nTransfer-Encoding\u{85}: chunked\r\n\r\n0\r\n\r\nGET /admin HTTP/1.1\r\nHost: lab.loc\r\n\r\n";
/// For who does not know the coding, the content is not there.
const TE0: &str = "POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n26\r\nGET /admin HTTP/1.1\r\nHost: lab.loc\r\n\r\n\r\n0\r\n\r\n";
/// The next request's first line becomes part of a field.
const PREFIX: &str = "POST /a HTTP/1.1\r\nContent-Length: 25\r\n\r\nGET /admin HTTP/1.1\r\nX: y";
const HALF: &str = "HTTP/1.1 200 OK\r\nServer: s\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[test]
fn what_is_served_though_nobody_framed_it() {
    let confirmed = ["http.request_smuggling confirmed: POST /a carried GET /admin, which was answered 200"];
    let probable = ["http.request_smuggling probable: POST /a carried GET /admin, which was answered 400"];
    let suspicious =
        ["http.request_smuggling suspicious: POST /a carried GET /admin, which was answered 200"];
    let cases: &[(&str, &[Op], &[&str])] = &[
        ("left unread", &[Recv(CL0), Send(OK), Send(OK)], &confirmed),
        (
            "left unread, read after the first answer",
            &[Recv(HEAD_OF_CL0), Send(OK), Recv(EVIL), Send(OK)],
            &confirmed,
        ),
        ("in a hundred segments", &[Trickle(CL0), Send(OK), Send(OK)], &confirmed),
        (
            "behind other requests",
            &[Recv("GET /x HTTP/1.1\r\n\r\n"), Send(OK), Recv(CL0), Send(OK), Send(OK)],
            &confirmed,
        ),
        (
            "served when the next one comes",
            &[Recv(CL0), Send(OK), Recv("GET /x HTTP/1.1\r\n\r\n"), Send(OK), Send(OK)],
            &confirmed,
        ),
        (
            "written in pieces",
            &[
                Recv(CL0),
                Send(OK),
                Send("HTTP/1.1 200 OK\r\n"),
                Send("Content-Length: 2\r\n\r\n"),
                Send("ok"),
            ],
            &confirmed,
        ),
        ("written in vain", &[Recv(CL0), Send(OK), Reset, Fail(32, OK)], &confirmed),
        (
            "written in vain from the second line on",
            &[Recv(CL0), Send(OK), Send("HTTP/1.1 200 OK\r\n"), Reset, Fail(32, "A: b\r\n\r\n")],
            &confirmed,
        ),
        ("both written in vain", &[Recv(CL0), Reset, Fail(32, OK), Fail(32, OTHER)], &confirmed),
        (
            "the same written in vain twice",
            &[Recv(CL0), Reset, Fail(32, OK), Fail(32, OK)],
            &["http.request_smuggling probable: POST /a carried GET /admin, which was answered 200"],
        ),
        ("length over coding", &[Recv(CL_TE), Send(OK), Send(OK)], &suspicious),
        (
            "length over coding, behind a front end elsewhere",
            &[Recv(CL_TE_FORWARDED), Send(OK), Send(OK)],
            &["http.request_smuggling probable: POST /a carried GET /admin, which was answered 200"],
        ),
        ("length over coding in a hundred segments", &[Trickle(CL_TE), Send(OK), Send(OK)], &suspicious),
        ("coding over length", &[Recv(TE_CL), Send(OK), Send(OK)], &confirmed),
        ("a name that one strips", &[Recv(ODD_NAME), Send(OK), Send(OK)], &confirmed),
        (
            "an informational answer between",
            &[Recv(CL0), Send(OK), Send("HTTP/1.1 103 Early Hints\r\n\r\n"), Send(OK)],
            &confirmed,
        ),
        ("chunks left unread", &[Recv(TE0), Send(OK), Send(OK)], &confirmed),
        (
            "behind HEAD, 204 and 304",
            &[
                Recv("HEAD /x HTTP/1.1\r\n\r\n"),
                Send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"),
                Recv("GET /x HTTP/1.1\r\n\r\n"),
                Send("HTTP/1.1 204 No Content\r\n\r\n"),
                Recv("GET /x HTTP/1.1\r\n\r\n"),
                Send("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n"),
                Recv(CL0),
                Send("HTTP/1.1 204 No Content\r\n\r\n"),
                Send(OK),
            ],
            &confirmed,
        ),
        ("refused", &[Recv(CL0), Send(OK), Send(BAD)], &probable),
        (
            "its answer without a length",
            &[Recv(CL0), Send("HTTP/1.1 200 OK\r\n\r\nok"), Send(OK)],
            &[
                "http.request_smuggling probable: POST /a carried GET /admin, which seems to have been answered",
            ],
        ),
        (
            "its answer without a head",
            &[Recv(CL0), Send(OK), Send("<html>")],
            &[
                "http.request_smuggling probable: POST /a carried GET /admin, which seems to have been answered",
            ],
        ),
        (
            "half an answer, then the next one",
            &[Recv(CL0), Send(HALF)],
            &[
                "http.request_smuggling confirmed: POST /a carried GET /admin, which was answered within its answer",
            ],
        ),
        (
            "behind a megabyte",
            &[RecvCut(1_000_045, "POST /a HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n"), Send(OK), Send(OK)],
            &[
                "http.request_smuggling confirmed: POST /a carried a request that was not captured, which was answered 200",
            ],
        ),
        (
            "behind an answer of which bytes were not seen",
            &[
                Recv(CL0),
                Send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
                SendCut(500, ""),
                Send(OK),
            ],
            &suspicious,
        ),
        (
            "half an answer, though a record was lost",
            &[Recv(CL0), Lost("GET /x HTTP/1.1\r\n\r\n"), Send(HALF)],
            &[
                "http.request_smuggling suspicious: POST /a carried GET /admin, which was answered within its answer",
            ],
        ),
        (
            "a record was lost meanwhile",
            &[Recv(CL0), Send(OK), Lost("GET /x HTTP/1.1\r\n\r\n"), Send(OK)],
            &["http.request_smuggling suspicious: POST /a carried GET /admin, which was answered 200"],
        ),
        (
            "an unfinished one that is answered in the place of the next",
            &[
                Recv(PREFIX),
                Send(OK),
                Recv("GET /cart HTTP/1.1\r\n\r\n"),
                Send("HTTP/1.1 404 No\r\nContent-Length: 17\r\n\r\nCannot GET /admin"),
            ],
            &[
                "http.request_smuggling probable: POST /a carried GET /admin HTTP/1.1, which seems to have been answered in the place of GET /cart",
            ],
        ),
        (
            "bytes were not seen meanwhile",
            &[Recv(CL0), Send(OK), RecvCut(30, ""), Send(OK)],
            &["http.request_smuggling suspicious: POST /a carried GET /admin, which was answered 200"],
        ),
    ];
    for (name, ops, expected) in cases {
        assert_eq!(server(ops), *expected, "{name}");
    }
}

#[test]
fn what_only_looks_like_it() {
    const NEXT: &str = "GET /b HTTP/1.1\r\n\r\n";
    const CART: &str = "GET /cart HTTP/1.1\r\n\r\n";
    let cut = "http.ambiguous_framing suspicious: the content of POST /a ends within a request";
    let odd = "http.ambiguous_framing suspicious: POST /a can be framed in more than one way: cl and te";
    let content = "http.ambiguous_framing suspicious: the content of POST /a begins with a request";
    let cases: &[(&str, &[Op], &[&str])] = &[
        ("pipelined", &[Recv("GET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\n"), Send(OK), Send(OK)], &[]),
        (
            "pipelined behind a content",
            &[
                Recv("POST /a HTTP/1.1\r\nContent-Length: 2\r\n\r\nhiGET /b HTTP/1.1\r\n\r\n"),
                Send(OK),
                Send(OK),
            ],
            &[],
        ),
        ("read to its end", &[Recv(CL0), Send(OK), Recv(NEXT), Send(OK)], &[content]),
        (
            "a text about requests",
            &[
                Recv("POST /a HTTP/1.1\r\nContent-Length: 22\r\n\r\n# try\nGET /x HTTP/1.1\n"),
                Send(OK),
                Recv(NEXT),
                Send(OK),
            ],
            &[],
        ),
        (
            "unfinished, and read to its end",
            &[
                Recv(PREFIX),
                Send(OK),
                Recv(CART),
                Send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nyour /cart"),
            ],
            &[cut],
        ),
        (
            "unfinished, and the next answer names everything",
            &[
                Recv(PREFIX),
                Send(OK),
                Recv(CART),
                Send("HTTP/1.1 200 OK\r\nContent-Length: 17\r\n\r\n/cart, see /admin"),
            ],
            &[cut],
        ),
        (
            "unfinished, and the next answer has links",
            &[
                Recv(PREFIX),
                Send(OK),
                Recv(CART),
                Send("HTTP/1.1 200 OK\r\nContent-Length: 18\r\n\r\n<a href=\"/admin\">x"),
            ],
            &[cut],
        ),
        (
            "unfinished, and the next answer quotes it",
            &[
                Recv(PREFIX),
                Send(OK),
                Recv(CART),
                Send("HTTP/1.1 200 OK\r\nContent-Length: 27\r\n\r\n1: GET /admin HTTP/1.1 X: y"),
            ],
            &[cut],
        ),
        ("written in vain", &[Recv(CL0), Reset, Fail(104, OK)], &[content]),
        (
            "written in vain, which is told in vain",
            &[Recv(CL0), Reset, Fail(32, OK), Fail(32, "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n")],
            &["http.request_smuggling suspicious: POST /a carried GET /admin, which was answered 500"],
        ),
        (
            "written in vain, in pieces",
            &[Recv(CL0), Reset, Fail(32, "HTTP/1.1 200 OK\r\nA: b\r\n\r\n"), Fail(32, "ok")],
            &[content],
        ),
        (
            "pipelined and written in vain",
            &[
                Recv("POST /a HTTP/1.1\r\nContent-Length: 2\r\n\r\nhiGET /b HTTP/1.1\r\n\r\n"),
                Reset,
                Fail(32, OK),
                Fail(32, OTHER),
            ],
            &[],
        ),
        (
            "informational answers",
            &[
                Recv("POST /a HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi"),
                Send("HTTP/1.1 100 Continue\r\n\r\n"),
                Send("HTTP/1.1 103 Early Hints\r\n\r\n"),
                Send(OK),
            ],
            &[],
        ),
        (
            "an idle connection is told so",
            &[Recv(CL0), Send(OK), Send("HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")],
            &[content],
        ),
        (
            "refused, with nothing that was a request",
            &[Recv("POST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\na=1"), Send(OK), Send(BAD)],
            &[],
        ),
        (
            "an answer of which more was written than announced",
            &[
                Recv("POST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\na=1"),
                Send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokay"),
            ],
            &[],
        ),
        (
            "the same behind what reads like a request",
            &[Recv(CL0), Send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokay")],
            &[content],
        ),
        (
            "an answer that holds an answer",
            &[Recv(CL0), Send("HTTP/1.1 200 OK\r\nContent-Length: 42\r\n\r\n"), Send(OK)],
            &[content],
        ),
        (
            "no content for HEAD",
            &[
                Recv("HEAD /a HTTP/1.1\r\n\r\n"),
                Send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"),
                Recv(NEXT),
                Send(OK),
            ],
            &[],
        ),
        (
            "no content that was modified",
            &[
                Recv(CL0),
                Send("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n"),
                Recv(NEXT),
                Send(OK),
            ],
            &[content],
        ),
        (
            "content sent by the kernel",
            &[
                Recv(CL0),
                Send("HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n"),
                SendCut(5000, ""),
                Recv(NEXT),
                Send(OK),
            ],
            &[content],
        ),
        (
            "the next answer, behind one of which bytes were not seen",
            &[
                Recv(CL0),
                Send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
                SendCut(500, ""),
                Recv(NEXT),
                Send(OK),
            ],
            &[content],
        ),
        (
            "expects 100, is refused, asks again",
            &[
                Recv("POST /a HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 19\r\n\r\n"),
                Send("HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n"),
                Recv(NEXT),
                Send(OK),
            ],
            &[],
        ),
        (
            "length and coding that agree",
            &[
                Recv("POST /a HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
                Send(OK),
                Recv(NEXT),
                Send(OK),
            ],
            &[odd],
        ),
        (
            "a length that covers what came later",
            &[
                Recv("POST /a HTTP/1.1\r\nContent-Length: 24\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
                Send(OK),
                Recv(NEXT),
                Send(OK),
            ],
            &[odd],
        ),
        (
            "a length that covers nothing whole",
            &[
                Recv(
                    "POST /a HTTP/1.1\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /b HTTP/1.1\r\n\r\n",
                ),
                Send(OK),
                Send(OK),
            ],
            &[odd],
        ),
        (
            "a coding nobody knows, then the next one byte by byte",
            &[Recv("POST /a HTTP/1.1\r\nTransfer-Encoding: x\r\n\r\nabc"), Send(OK), Trickle(NEXT), Send(OK)],
            &["http.ambiguous_framing suspicious: POST /a can be framed in more than one way: odd coding"],
        ),
        (
            "what is no HTTP/1.1 is answered as such",
            &[
                Recv("POST /a HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi"),
                Send(OK),
                Recv("get /b HTTP/3.0\r\n\r\n"),
                Send("HTTP/1.1 505 No\r\nContent-Length: 0\r\n\r\n"),
            ],
            &[],
        ),
        (
            "left over and refused within an answer",
            &[
                Recv("POST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\na=1"),
                Send("HTTP/1.1 200 OK\r\nServer: s\r\nHTTP/1.1 400 No\r\nContent-Length: 0\r\n\r\n"),
            ],
            &[],
        ),
        (
            "an application that answers twice",
            &[
                Recv("POST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\na=1"),
                Send(OK),
                Send("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"),
            ],
            &[
                "http.request_smuggling suspicious: POST /a carried a request that was not captured, which was answered 500",
            ],
        ),
        (
            "frames of another protocol",
            &[
                Recv("POST /a HTTP/1.1\r\nUpgrade: websocket\r\nContent-Length: 0\r\n\r\n"),
                Send("HTTP/1.1 101 Switching Protocols\r\n\r\n"),
                Recv(EVIL),
                Send(OK),
            ],
            &[],
        ),
        (
            "too large, which is said before the content came",
            &[
                Recv(HEAD_OF_CL0),
                Send("HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
                Recv(EVIL),
                Reset,
            ],
            &[content],
        ),
        (
            "no content for 204",
            &[Recv(CL0), Send("HTTP/1.1 204 No Content\r\n\r\n"), Recv(NEXT), Send(OK)],
            &[content],
        ),
        (
            "what passes a tunnel",
            &[
                Recv("CONNECT h:80 HTTP/1.1\r\nContent-Length: 0\r\n\r\n"),
                Send("HTTP/1.1 200 OK\r\n\r\n"),
                Recv(CL0),
                Send(OK),
                Send(OK),
            ],
            &[],
        ),
        ("an answer to nobody", &[Recv(NEXT), Send(OK), Send(OK)], &[]),
    ];
    for (name, ops, expected) in cases {
        assert_eq!(server(ops), *expected, "{name}");
    }
}

#[test]
fn a_request_that_came_in_within_another_goes_out_by_itself() {
    let inbound = "GET /x/a%20HTTP/1.1%0d%0aHost:%20h%0d%0a%0d%0aGET%20/admin%20HTTP/1.1%0d%0aX:%20 HTTP/1.1\r\nHost: h\r\n\r\n";
    let sent = "GET /x/a HTTP/1.1\r\nHost: h\r\n\r\nGET /admin HTTP/1.1\r\nX:  HTTP/1.1\r\nHost: h\r\n\r\n";
    let run = |answers: &str| {
        let mut chain = Chain::new(inbound);
        chain.s.pass((F, Client), S, chain.upstream, sent);
        chain.s.pass((S, Server), F, chain.upstream, answers);
        chain.s.send(F, chain.inbound, Server, &answer(200, "ok"));
        chain.findings()
    };
    let found = run(&(answer(200, "ok") + &answer(200, "secret")));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("http.request_smuggling confirmed: GET /x/a%20HTTP"), "{found:?}");
    assert!(found[0].ends_with(" carried GET /admin, which went to 127.0.0.1:81 by itself"), "{found:?}");
    let refused = run(BAD);
    assert!(refused[0].starts_with("http.request_smuggling suspicious"), "{refused:?}");
}

/// Values of an attribute of the findings.
fn told(s: &Scene, key: &str) -> Vec<String> {
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

#[test]
fn a_front_end_goes_by_length_and_the_back_end_by_coding() {
    let mut chain = Chain::new(CL_TE);
    chain.s.pass((F, Client), S, chain.upstream, CL_TE);
    chain.s.pass((S, Server), F, chain.upstream, &format!("{OK}{OK}"));
    chain.s.send(F, chain.inbound, Server, OK);
    chain.s.wait(5_000);
    let found = chain.s.findings();
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].starts_with("http.request_smuggling confirmed: POST /a carried GET /admin"),
        "{found:?}"
    );
}

#[test]
fn a_front_end_that_reads_two_as_its_back_end_does() {
    let mut chain = Chain::new(CL_TE);
    chain.s.pass(
        (F, Client),
        S,
        chain.upstream,
        "POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    );
    chain.s.pass((S, Server), F, chain.upstream, OK);
    chain.s.send(F, chain.inbound, Server, OK);
    chain.s.pass((F, Client), S, chain.upstream, EVIL);
    chain.s.pass((S, Server), F, chain.upstream, &answer(403, ""));
    chain.s.send(F, chain.inbound, Server, &answer(403, ""));
    let found = chain.findings();
    assert!(found.iter().all(|finding| finding.contains("suspicious")), "{found:?}");
}

#[test]
fn the_last_of_several_carriers_is_blamed() {
    let mut s = Scene::new();
    let conn = s.accept(80);
    let text = format!("{}GET /x HTTP/1.1\r\n", "a line of text\r\n".repeat(100));
    s.recv(S, conn, Server, &format!("POST /doc HTTP/1.1\r\nContent-Length: {}\r\n\r\n{text}", text.len()));
    s.send(S, conn, Server, OK);
    s.recv(S, conn, Server, CL0);
    s.send(S, conn, Server, &format!("{OK}{OK}"));
    s.wait(5_000);
    let expected = "http.request_smuggling confirmed: POST /a carried GET /admin, which was answered 200";
    assert_eq!(s.findings(), [expected]);
    assert_eq!(told(&s, "client.address"), ["Str(\"127.0.0.1\")"]);
}

#[test]
fn a_front_end_goes_by_length_and_drops_it_on_the_way() {
    let mut chain = Chain::new(CL_TE);
    let sent = CL_TE.replace("Content-Length: 43\r\n", "");
    chain.s.pass((F, Client), S, chain.upstream, &sent);
    chain.s.pass((S, Server), F, chain.upstream, &format!("{OK}{OK}"));
    chain.s.send(F, chain.inbound, Server, OK);
    let findings = chain.findings();
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert!(findings[0].starts_with("http.request_smuggling confirmed: "), "{findings:?}");
}

#[test]
fn each_answer_is_that_of_the_next_request_inside() {
    let mut s = Scene::new();
    let conn = s.accept(80);
    let inside = get("/one") + &get("/two");
    let length = inside.len();
    s.recv(S, conn, Server, &format!("POST /a HTTP/1.1\r\nContent-Length: {length}\r\n\r\n{inside}"));
    s.send(S, conn, Server, &(OK.to_owned() + &answer(201, "") + &answer(202, "")));
    assert_eq!(
        s.settle(),
        [
            "SERVER POST /a 200 @20",
            "SERVER GET /one 201 @20 < SERVER /a by content",
            "SERVER GET /two 202 @20 < SERVER /a by content",
        ]
    );
    assert_eq!(s.findings().len(), 1);
}

#[test]
fn who_asks_several_things_at_once_for_one_request_is_no_front_end_that_was_split() {
    let mut chain = Chain::new(&get("/page"));
    chain.s.pass((F, Client), S, chain.upstream, &(get("/a") + &get("/b")));
    chain.s.pass((S, Server), F, chain.upstream, &(answer(200, "a") + &answer(200, "b")));
    chain.s.send(F, chain.inbound, Server, &answer(200, "ok"));
    assert_eq!(chain.findings(), [""; 0]);
}

#[test]
fn what_came_in_may_be_unreadable() {
    let mut chain = Chain::new("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    chain.s.pass((F, Client), S, chain.upstream, &(get("/a") + &get("/admin")));
    chain.s.pass((S, Server), F, chain.upstream, &(answer(200, "a") + &answer(200, "b")));
    let expected =
        "http.request_smuggling probable: GET /admin went to 127.0.0.1:81 behind GET /a, as one message";
    assert_eq!(chain.findings(), [expected]);
}

#[test]
fn one_attack_seen_from_both_ends_is_one_finding() {
    let mut chain = Chain::new(CL0);
    chain.s.pass((F, Client), S, chain.upstream, CL0);
    chain.s.pass((S, Server), F, chain.upstream, &format!("{OK}{OK}"));
    chain.s.send(F, chain.inbound, Server, OK);
    let expected = "http.request_smuggling confirmed: POST /a carried GET /admin, which was answered 200";
    let mut spans = chain.s;
    let lines = spans.settle();
    assert_eq!(spans.findings(), [expected]);
    assert_eq!(
        lines,
        [
            "SERVER POST /a 200 @10",
            "CLIENT POST /a 200 @10 < SERVER /a by thread",
            "SERVER POST /a 200 @20 < CLIENT /a by socket",
            "SERVER GET /admin 200 @20 < SERVER /a by content",
        ]
    );
    let smuggled: Vec<_> =
        spans.spans().into_iter().filter(|span| scene::text(span, "tracer.smuggled").is_some()).collect();
    assert_eq!(smuggled.len(), 1);
    let rules = |span: &&tracer_engine::Span| scene::text(span, "tracer.finding.rules").is_some();
    assert_eq!(spans.spans().into_iter().filter(rules).count(), 1, "the carrier's span has the event");
}

#[test]
fn a_front_end_that_is_seen_alone_reads_more_answers_than_it_asked_for() {
    let mut s = Scene::new();
    let conn = s.begin_connect(F, 81);
    s.established(conn, F);
    s.send(F, conn, Client, CL0);
    s.recv(F, conn, Client, &format!("{OK}{OK}"));
    s.wait(5_000);
    let expected = "http.request_smuggling confirmed: POST /a carried GET /admin, which was answered 200";
    assert_eq!(s.findings(), [expected]);
}

#[test]
fn who_comes_later_on_the_connection_may_have_been_hit() {
    let mut s = Scene::new();
    let conn = s.accept(80);
    s.recv(S, conn, Server, CL0);
    s.send(S, conn, Server, &format!("{OK}{OK}"));
    for n in 0..12 {
        s.recv(S, conn, Server, &get(&format!("/later/{n}")));
        s.send(S, conn, Server, OK);
        // Some come long after the finding has left.
        s.wait(1_000);
    }
    s.wait(5_000);
    let hit = |span: &&&tracer_engine::Span| scene::text(span, "tracer.smuggling.hit").is_some();
    assert_eq!(s.spans().iter().filter(hit).count(), 8);
    let [finding] = s.found()[..] else { panic!("{:?}", s.findings()) };
    let fact = "GET /later/0 came later on the same connection: it may have got the answer of another";
    assert!(finding.evidence.iter().any(|evidence| evidence.text == fact), "{:?}", finding.evidence);

    let mut s = Scene::new();
    let conn = s.accept(80);
    s.recv(S, conn, Server, CL0);
    s.send(S, conn, Server, OK);
    s.recv(S, conn, Server, &get("/later"));
    s.send(S, conn, Server, OK);
    s.wait(5_000);
    assert_eq!(s.spans().iter().filter(hit).count(), 0);
}

#[test]
fn an_upgrade_is_a_way_past_the_front_end() {
    let upgrade = |protocol: &str, own: &str| {
        format!("GET /a HTTP/1.1\r\n{own}Upgrade: {protocol}\r\nConnection: Upgrade\r\n\r\n")
    };
    let run = |protocol: &str, status: u16, then: [&str; 2]| {
        let mut chain = Chain::new(&upgrade(protocol, ""));
        chain.s.pass((F, Client), S, chain.upstream, &upgrade(protocol, "Via: f\r\n"));
        chain.s.pass((S, Server), F, chain.upstream, &answer(status, ""));
        chain.s.send(F, chain.inbound, Server, &answer(status, ""));
        if status != 101 {
            chain.s.recv(F, chain.inbound, Server, then[0]);
            chain.s.pass((F, Client), S, chain.upstream, then[1]);
            chain.s.pass((S, Server), F, chain.upstream, OK);
            chain.s.send(F, chain.inbound, Server, OK);
        }
        chain.findings()
    };
    let (raw, rewritten) =
        ("GET /admin HTTP/1.1\r\nHost: h\r\n\r\n", "GET /admin HTTP/1.1\r\nVia: f\r\nHost: h\r\n\r\n");
    assert_eq!(
        run("websocket", 426, [raw, raw]),
        [
            "http.request_smuggling probable: GET /admin carried GET /admin, which went to 127.0.0.1:81 by itself"
        ]
    );
    assert_eq!(run("websocket", 426, [raw, rewritten]), [""; 0], "a front end that goes on reading");
    assert_eq!(
        run("h2c", 101, ["", ""]),
        [
            "http.request_smuggling probable: GET /a opened a tunnel of HTTP/2 to 127.0.0.1:81 through its front end"
        ]
    );
    assert_eq!(run("websocket", 101, ["", ""]), [""; 0]);
}

#[test]
fn odd_framing_that_is_the_way_of_all_is_no_flood() {
    const ODD: &str = "POST /a HTTP/1.1\nContent-Length: 2\r\n\r\nhi";
    let mut s = Scene::new();
    for n in 0..200u8 {
        let conn = s.old(80);
        s.end_mut(conn, Server).sock.remote = scene::records::mapped([10, 0, 0, n]);
        s.accepted(conn);
        for _ in 0..3 {
            s.recv(S, conn, Server, ODD);
            s.send(S, conn, Server, OK);
        }
    }
    s.wait(5_000);
    let found = s.found();
    let count = |finding: &&tracer_engine::Finding| {
        let (_, value) =
            finding.attributes.iter().find(|(key, _)| *key == "tracer.finding.count").expect("it");
        let tracer_engine::Value::Int(count) = value else { panic!("{value:?}") };
        *count
    };
    assert_eq!(found.len(), 17, "16 clients, and all others as one");
    assert!(found.iter().all(|finding| finding.rule == "http.ambiguous_framing"));
    assert_eq!(found.iter().take(16).map(count).collect::<Vec<_>>(), [3; 16]);
    assert!(found.last().map(count) > Some(3));
}

#[test]
fn ten_thousand_requests_and_one_attack() {
    let mut s = Scene::new();
    let conns: Vec<_> = (0..10).map(|_| s.accept(80)).collect();
    for n in 0..10_000usize {
        let conn = conns[n % conns.len()];
        let body = format!("id={n}&next=GET /x HTTP/1.1");
        s.recv(
            S,
            conn,
            Server,
            &format!("POST /p{n} HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}", body.len()),
        );
        s.send(S, conn, Server, OK);
        if n == 5_000 {
            s.recv(S, conn, Server, CL0);
            s.send(S, conn, Server, &format!("{OK}{OK}"));
        }
    }
    s.wait(5_000);
    let expected = "http.request_smuggling confirmed: POST /a carried GET /admin, which was answered 200";
    assert_eq!(s.findings(), [expected]);
}

const PIECES: [&str; 21] = [
    PREFIX,
    TE0,
    CL_TE_FORWARDED,
    "POST /d HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2;\nxx\r\n0x5\r\n",
    "POST /e HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 38\r\n\r\n",
    CL0,
    HEAD_OF_CL0,
    EVIL,
    CL_TE,
    TE_CL,
    ODD_NAME,
    HALF,
    OK,
    BAD,
    "GET /b HTTP/1.1\r\n\r\n",
    "HTTP/1.1 200 OK\r\n",
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n",
    "GET /c HTTP/1.1\r\nUpgrade: h2c\r\n\r\n",
    "G",
    "\r\n",
    "0\r\n\r\n",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Whatever two ends say in whatever order, the engine holds, and its spans are whole.
    #[test]
    fn nothing_that_is_said_breaks_it(
        said in collection::vec((0..PIECES.len(), 0..8u8, 0..60usize), 1..24),
    ) {
        let mut s = Scene::new();
        let inbound = s.accept(80);
        let upstream = s.connect(F, 81);
        for (piece, what, cut) in said {
            let bytes = PIECES[piece];
            let part = &bytes[..bytes.floor_char_boundary(cut)];
            match what {
                0 => s.recv(F, inbound, Server, bytes),
                1 => s.send(F, inbound, Server, bytes),
                2 => s.pass((F, Client), S, upstream, bytes),
                3 => s.pass((S, Server), F, upstream, bytes),
                4 => s.failed_send(S, upstream, Server, 32, bytes),
                5 => s.part(F, inbound, Server, RECEIVE, bytes.len(), part.as_bytes()),
                6 => s.recv(F, inbound, Server, part),
                _ => s.lost(1),
            }
        }
        s.wait(5_000);
        s.finish();
    }
}
