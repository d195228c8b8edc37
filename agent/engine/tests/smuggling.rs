//! Request smuggling seen at a server: what must be found, and as what.

mod scene;

use scene::{Scene, Server, answer, chain::S, get, smuggling::*};

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

const SAME: &str = "HTTP/1.1 200 OK\r\nServer: s\r\nContent-Length: 2\r\n\r\nok";

#[test]
fn what_is_served_though_nobody_framed_it() {
    let confirmed = ["http.request_smuggling confirmed: POST /a carried GET /admin, which was answered 200"];
    let probable = ["http.request_smuggling probable: POST /a carried GET /admin, which was answered 400"];
    let likely = ["http.request_smuggling probable: POST /a carried GET /admin, which was answered 200"];
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
        ("coding over length", &[Recv(TE_CL), Send(OK), Send(OK)], &likely),
        ("a name that one strips", &[Recv(ODD_NAME), Send(OK), Send(OK)], &likely),
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
        (
            "the server had asked for the content, and left it",
            &[
                Recv("POST /a HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 38\r\n\r\n"),
                Send("HTTP/1.1 100 Continue\r\n\r\n"),
                Send(OK),
                Recv(EVIL),
                Send(OK),
            ],
            &confirmed,
        ),
        (
            "behind a long chunk, whose end was not seen",
            &[
                Recv(CL0),
                SendCut(47 + 6 + 4096 + 7, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1000\r\n"),
                Send(OK),
            ],
            &confirmed,
        ),
        ("refused", &[Recv(CL0), Send(OK), Send(BAD)], &probable),
        (
            "its answer without a length",
            &[Recv(CL0), Send("HTTP/1.1 200 OK\r\nServer: s\r\n\r\nok"), Send(SAME)],
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
                "http.request_smuggling probable: POST /a carried a request that was not captured, which was answered 200",
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

/// RFC 9110, 9.1: any token is a method. RFC 9112, 3.2: a target has four forms. Servers take more than both.
#[test]
fn the_hidden_request_may_be_any() {
    let long = format!("GET /admin?{} HTTP/1.1", "x".repeat(5000));
    let method = format!("{} /admin HTTP/1.1", "M".repeat(40));
    let lines = [
        "X /admin HTTP/1.1",
        "get /admin HTTP/1.1",
        "foo /admin HTTP/1.1",
        "M-SEARCH * HTTP/1.1",
        "GET http://h/admin HTTP/1.1",
        "CONNECT h:443 HTTP/1.1",
        "OPTIONS * HTTP/1.0",
        "GET admin HTTP/1.1",
        "GET\t/admin\tHTTP/1.1",
        "  GET /admin HTTP/1.1",
        "GET /admin HTTP/1.01",
        "GET /admin",
        "MKCOL /admin",
        &long,
        &method,
    ];
    for line in lines {
        for content in [format!("{line}\r\nHost: h\r\n\r\n"), format!("x=1\r\n\r\n{line}\r\n\r\n")] {
            let head = format!("POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n", content.len());
            let mut s = Scene::new();
            let conn = s.accept(80);
            s.recv(S, conn, Server, &(head + &content));
            s.send(S, conn, Server, OK);
            s.send(S, conn, Server, OK);
            s.wait(5_000);
            let found = s.findings();
            assert_eq!(found.len(), 1, "{line}: {found:?}");
            assert!(found[0].starts_with("http.request_smuggling confirmed: "), "{line}: {found:?}");
        }
    }
}

/// What is refused is the first line behind an answer: whether that is the hidden request says how sure it is.
#[test]
fn what_is_refused_must_be_the_hidden_request() {
    let run = |content: &str, answer: &str| {
        let mut s = Scene::new();
        let conn = s.accept(80);
        let length = content.len();
        s.recv(S, conn, Server, &format!("POST /a HTTP/1.1\r\nContent-Length: {length}\r\n\r\n{content}"));
        s.send(S, conn, Server, OK);
        s.send(S, conn, Server, answer);
        s.reset(conn, Server);
        s.wait(15_000);
        let found = s.findings();
        assert!(found.iter().all(|found| !found.contains("confirmed")), "{content:?}: {found:?}");
        found.iter().any(|found| found.contains("http.request_smuggling probable"))
    };
    for answer in [BAD, "HTTP/1.1 501 No\r\nContent-Length: 0\r\n\r\n", "<html>no"] {
        assert!(run(EVIL, answer));
        assert!(run(&format!("\r\n\r\n{EVIL}"), answer));
        assert!(!run(&format!("x=1&y=2\r\n{EVIL}"), answer));
        assert!(!run(&format!("0\r\n\r\n{EVIL}"), answer));
        assert!(!run(&format!("xxxxxxxx{EVIL}"), answer));
    }
}

/// Wherever the content ends within the head: what comes next on the connection becomes part of it.
#[test]
fn an_unfinished_one_takes_in_the_next() {
    const NEXT: &str = "GET /cart HTTP/1.1\r\nHost: h\r\n\r\n";
    let probable = |content: &str, [own, next]: [&str; 2]| {
        let mut s = Scene::new();
        let conn = s.accept(80);
        let length = content.len();
        s.recv(S, conn, Server, &format!("POST /save HTTP/1.1\r\nContent-Length: {length}\r\n\r\n{content}"));
        s.send(S, conn, Server, &answer(200, own));
        s.recv(S, conn, Server, NEXT);
        s.send(S, conn, Server, &answer(200, next));
        s.wait(5_000);
        s.findings().iter().any(|found| found.contains("http.request_smuggling probable"))
    };
    for end in ["X-Ignore: ", "X-Ignore: x", "X-Ign", "X-Ign: x\r\nFoo", "", "Foo: bar\r\n"] {
        let content = format!("GET /admin HTTP/1.1\r\nHost: h\r\n{end}");
        assert!(probable(&content, ["saved", "secret of /admin\n"]), "{end}");
        assert!(!probable(&content, ["saved", "your /cart"]), "{end}: its own");
        assert!(!probable(&content, ["saved", "of late: /save /admin\n"]), "{end}: what was asked of late");
        assert!(!probable(&content, ["saved", "/admin and /admin"]), "{end}: more than once");
        assert!(!probable(&content, ["no /admin here", "no /admin here"]), "{end}: as the one before");
        assert!(!probable(&content, ["saved", "GET /admin HTTP/1.1"]), "{end}: what was saved");
    }
    assert!(!probable("GET /admin HTTP/1.1\r\nHost: h\r\n\r\n", ["saved", "secret of /admin\n"]));
}

/// Contents without anything in them push out no carrier that has.
#[test]
fn decoys_hide_nothing() {
    let mut s = Scene::new();
    let conn = s.accept(80);
    let decoys: String =
        (0..6).map(|n| format!("POST /n{n} HTTP/1.1\r\nContent-Length: 1\r\n\r\nx")).collect();
    s.recv(S, conn, Server, &format!("{CL0}{decoys}"));
    (0..8).for_each(|_| s.send(S, conn, Server, OK));
    s.wait(5_000);
    let expected = "http.request_smuggling confirmed: POST /a carried GET /admin, which was answered 200";
    assert_eq!(s.findings(), [expected]);
}
