//! Ordinary traffic of front ends, gateways and relays that only looks like request smuggling.

mod scene;

use scene::{
    Client, Scene, Server, answer,
    chain::{Chain, F, S},
    get,
    smuggling::*,
};
use tracer_common::direction::{RECEIVE, SEND};

/// What relays TLS does not read what it passes on: a client may send two requests without waiting.
#[test]
fn a_relay_below_http_passes_what_its_clients_pipeline() {
    let hello = [&[22, 3, 1, 0, 45, 1, 0, 0, 41, 3, 3][..], &[7; 32], &[0, 0, 2, 0x13, 1, 1, 0]].concat();
    let run = |first: &str| {
        let mut s = Scene::new();
        let inbound = s.accept(80);
        let record = [&[23, 3, 3, 0, 40][..], &[7; 40]].concat();
        for bytes in [&hello, &record, &record] {
            s.part(F, inbound, Server, RECEIVE, bytes.len(), bytes);
            s.part(F, inbound, Server, SEND, record.len(), &record);
        }
        s.part(F, inbound, Server, RECEIVE, record.len(), &record);
        let upstream = s.connect(F, 81);
        s.pass((F, Client), S, upstream, &(first.to_owned() + &get("/b")));
        s.pass((S, Server), F, upstream, &format!("{OK}{OK}"));
        s.wait(5_000);
        s.finish();
        s.findings()
    };
    assert_eq!(run(&get("/a")), [""; 0]);
    let of_one = [
        "Cookie: a=b",
        "Authorization: Basic eA==",
        "Range: bytes=0-1",
        "Accept: */*",
        "Sec-Fetch-Mode: cors",
    ];
    for field in of_one {
        let first = format!("GET /a HTTP/1.1\r\nHost: h\r\n{field}\r\n\r\n");
        assert_eq!(run(&first), [""; 0], "{field}");
    }
    let expected =
        "http.request_smuggling probable: GET /b went to 127.0.0.1:81 behind GET /a, as one message";
    for mark in ["Via: f", "X-Forwarded-For: 203.0.113.7", "X-Real-IP: 203.0.113.7", "X-Request-Id: 7"] {
        let marked = format!("GET /a HTTP/1.1\r\n{mark}\r\n\r\n");
        assert_eq!(run(&marked), [expected], "a front end's own field, on the first only: {mark}");
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
        assert!(is_but_suspicious(&found), "{sent:?}: {found:?}");
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
    assert!(is_but_suspicious(&found), "{found:?}");
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
        assert!(is_but_suspicious(&found), "{first:?}: {found:?}");
    }
}
