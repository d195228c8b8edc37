//! Ordinary traffic that only looks like request smuggling.

mod scene;

use scene::{
    Client, Scene, Server, answer,
    chain::{Chain, F, S},
    get,
    smuggling::*,
};

use tracer_common::direction::RECEIVE;

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
        (
            "the next one is refused before its head is whole",
            &[Recv(CL0), Send(OK), Recv("GET /b HTTP/1.1\r\nHost"), Send(BAD)],
            &[content],
        ),
        (
            "a content for 204",
            &[Recv(CL0), Send("HTTP/1.1 204 No Content\r\n\r\n"), Send("<html>"), Recv(NEXT), Send(OK)],
            &[content],
        ),
        (
            "a content for HEAD, long after",
            &[
                Recv(CL0),
                Send(OK),
                Recv("HEAD /b HTTP/1.1\r\n\r\n"),
                Send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
                Send("hello"),
            ],
            &[content],
        ),
        (
            "a content without a length, of a server that closes",
            &[
                Recv(CL0),
                Send("HTTP/1.1 200 OK\r\nServer: s\r\nConnection: close\r\n\r\n"),
                Send("HTTP/1.1 200 OK\r\nServer: s\r\nContent-Length: 2\r\n\r\nok"),
            ],
            &[content],
        ),
        (
            "a content without a length, as before HTTP/1.1",
            &[
                Recv(CL0),
                Send("HTTP/1.0 200 OK\r\nServer: s\r\n\r\n"),
                Send("HTTP/1.0 200 OK\r\nServer: s\r\nContent-Length: 2\r\n\r\nok"),
            ],
            &[content],
        ),
        (
            "a content that reads like an answer, written in vain",
            &[
                Recv(CL0),
                Send("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n"),
                Reset,
                Fail(32, "HTTP/1.1 404 No\r\n\r\n"),
            ],
            &[content],
        ),
        (
            "a content without a length that holds an answer of another server",
            &[
                Recv(CL0),
                Send("HTTP/1.0 200 OK\r\nServer: mine\r\n\r\n"),
                Send("HTTP/1.1 200 OK\r\nServer: other\r\nContent-Length: 2\r\n\r\nok"),
            ],
            &[content],
        ),
        (
            "what was held back since it was refused comes all the same, and is read",
            &[
                Recv("POST /a HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 38\r\n\r\n"),
                Send("HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n"),
                Recv(EVIL),
                Recv(NEXT),
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
fn who_asks_several_things_at_once_for_one_request_is_no_front_end_that_was_split() {
    let mut chain = Chain::new(&get("/page"));
    chain.s.pass((F, Client), S, chain.upstream, &(get("/a") + &get("/b")));
    chain.s.pass((S, Server), F, chain.upstream, &(answer(200, "a") + &answer(200, "b")));
    chain.s.send(F, chain.inbound, Server, &answer(200, "ok"));
    assert_eq!(chain.findings(), [""; 0]);
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

/// One request in, several out: each is a send of its own, with an answer of its own.
#[test]
fn one_in_and_several_out_is_usual() {
    let post = format!("POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{EVIL}", EVIL.len());
    let begins = "http.ambiguous_framing suspicious: the content of POST /a begins with a request";
    let quiet = |found: Vec<String>, name: &str| {
        assert!(found.iter().all(|finding| finding == begins), "{name}: {found:?}");
    };
    let asked = |chain: &mut Chain, request: &str| {
        chain.asks(request);
        chain.answers(OK);
    };

    let mut chain = Chain::new(&post);
    ["/auth", "/part/1", "/part/2"].iter().for_each(|path| asked(&mut chain, &get(path)));
    asked(&mut chain, &post);
    asked(&mut chain, &get("/log"));
    chain.delivers(OK);
    quiet(chain.findings(), "subrequests, includes, aggregation");

    let mut chain = Chain::new(&post);
    let mirror = chain.s.connect(F, 82);
    chain.asks(&post);
    chain.s.pass((F, Client), S, mirror, &post);
    chain.answers(OK);
    chain.delivers(OK);
    chain.s.pass((S, Server), F, mirror, OK);
    quiet(chain.findings(), "mirror");

    let mut chain = Chain::new(&post);
    chain.asks(&post);
    chain.s.shut(S, chain.upstream, Server);
    chain.s.eof(F, chain.upstream, Client);
    let again = chain.s.connect(F, 82);
    chain.s.pass((F, Client), S, again, &post);
    chain.s.pass((S, Server), F, again, OK);
    chain.delivers(OK);
    quiet(chain.findings(), "a retry elsewhere");

    let mut chain = Chain::new(&post);
    chain.asks(&post);
    chain.answers(&answer(503, ""));
    asked(&mut chain, &post);
    chain.delivers(OK);
    quiet(chain.findings(), "a retry on the same connection");

    let mut chain = Chain::new(&get("/x"));
    asked(&mut chain, &get("/x"));
    chain.delivers(OK);
    (0..3).for_each(|_| asked(&mut chain, &get("/health")));
    quiet(chain.findings(), "health checks");
}

/// Whoever asks for himself may have meant two requests, or one that could not be read: nobody is bypassed.
#[test]
fn who_serves_nobody_smuggles_nothing() {
    let cases = [
        (TE_CL, [answer(200, "ok"), answer(403, "")]),
        (ODD_NAME, [answer(200, "ok"), answer(403, "")]),
        (ODD_NAME, [answer(400, ""), answer(400, "")]),
        (CL0, [answer(200, "ok"), answer(400, "")]),
        (CL0, [answer(200, "ok"), "<html>".into()]),
    ];
    for (sent, answers) in cases {
        let mut s = Scene::new();
        let conn = s.connect(F, 80);
        s.pass((F, Client), S, conn, sent);
        for answer in &answers {
            s.pass((S, Server), F, conn, answer);
        }
        s.wait(5_000);
        s.finish();
        let found = s.findings();
        assert!(found.iter().all(|found| found.contains(" suspicious: ")), "{sent:?}: {found:?}");
    }
}

/// The gateway asks for a session first, and waits for no answer.
#[test]
fn a_gateway_that_pipelines_what_a_list_says() {
    let list = "--b\r\nContent-Type: application/http\r\n\r\nGET /one HTTP/1.1\r\n\r\n\r\n--b--\r\n";
    let batch = format!("POST /$batch HTTP/1.1\r\nContent-Length: {}\r\n\r\n{list}", list.len());
    let mut chain = Chain::new(&batch);
    chain.asks(&get("/session"));
    chain.asks(&get("/one"));
    chain.answers(&format!("{OK}{OK}"));
    chain.delivers(OK);
    let found = chain.findings();
    assert!(found.iter().all(|found| !found.contains("request_smuggling")), "{found:?}");
}

/// An upload of which not all was seen says nothing of what comes long after, nor does one that holds a request.
#[test]
fn what_was_answered_in_turn_is_over() {
    let upload = "POST /upload HTTP/1.1\r\nContent-Length: 60000\r\n\r\n";
    for (len, carrier) in [(upload.len() + 60_000, upload), (CL0.len(), CL0)] {
        let mut s = Scene::new();
        let conn = s.accept(80);
        s.part(S, conn, Server, RECEIVE, len, carrier.as_bytes());
        s.send(S, conn, Server, OK);
        for _ in 0..20 {
            s.recv(S, conn, Server, &get("/b"));
            s.send(S, conn, Server, OK);
        }
        s.send(S, conn, Server, &answer(500, ""));
        s.wait(5_000);
        let found = s.findings();
        assert!(found.iter().all(|found| !found.contains("smuggling")), "{found:?}");
    }
    let mut s = Scene::new();
    let conn = s.accept(80);
    s.part(S, conn, Server, RECEIVE, upload.len() + 60_000, upload.as_bytes());
    s.send(S, conn, Server, OK);
    s.send(S, conn, Server, &answer(500, ""));
    s.wait(5_000);
    let found = s.findings();
    assert!(found.iter().all(|found| found.contains(" suspicious: ")), "{found:?}");
}

/// Both go by what our parser does not: one answer, and the next request after it.
#[test]
fn both_ends_go_by_another_reading() {
    let by_length = format!(
        "{}{EVIL}",
        "POST /a HTTP/1.1\r\nContent-Length: 43\r\nTransfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n"
    );
    let by_nothing = "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length : 43\r\n\r\n";
    for first in [by_length.as_str(), by_nothing] {
        let mut chain = Chain::new(first);
        chain.asks(first);
        chain.answers(OK);
        chain.delivers(OK);
        for n in 0..3 {
            let next = get(&format!("/next/{n}"));
            let victim = chain.s.accept(80);
            chain.s.recv(F, victim, Server, &next);
            chain.asks(&next);
            chain.answers(OK);
            chain.s.send(F, victim, Server, OK);
        }
        let found = chain.findings();
        assert!(found.iter().all(|found| found.contains(" suspicious: ")), "{first:?}: {found:?}");
    }
}
