//! What stands behind an answer, and when: an answer to more than was asked, or what careless servers say.

mod scene;

use scene::{
    Client, Scene, Server, Thread, answer,
    chain::{Chain, F, S},
    get,
    smuggling::*,
};

/// What is told of a carrier whose server answers once, and again so much later.
fn again(later_ms: u64, then: &str) -> Vec<String> {
    let mut s = Scene::new();
    let conn = s.accept(80);
    play(&mut s, conn, &[Recv(CL0), Send(OK)]);
    s.wait(later_ms);
    s.send(S, conn, Server, then);
    s.wait(5_000);
    s.finish();
    s.findings()
}

#[test]
fn a_server_may_close_an_idle_connection_with_an_error() {
    let closing = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let keeping = answer(503, "");
    let cases = [
        (1_000, closing, "suspicious"),
        (1, closing, "confirmed"),
        (1_000, &keeping, "confirmed"),
        (1_000, OK, "confirmed"),
    ];
    let title = "POST /a carried GET /admin, which was answered ";
    for (later, then, expected) in cases {
        let (found, status) = (again(later, then), &then[9..12]);
        assert!(
            found.contains(&format!("http.request_smuggling {expected}: {title}{status}")),
            "{later} ms, {then:?}: {found:?}"
        );
    }
}

/// Whoever answers HEAD with a content says how long it is: what begins behind it is an answer.
#[test]
fn behind_a_content_that_must_not_be() {
    const HEAD: &str =
        "HEAD /a HTTP/1.1\r\nContent-Length: 38\r\n\r\nGET /admin HTTP/1.1\r\nHost: lab.loc\r\n\r\n";
    const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
    const WHOLE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    const ALL: &str =
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let found = ["http.request_smuggling confirmed: HEAD /a carried GET /admin, which was answered 200"];
    let begins = ["http.ambiguous_framing suspicious: the content of HEAD /a begins with a request"];
    let cases: &[(&[Op], &[&str])] = &[
        (&[Recv(HEAD), Send(ANSWER), Send("hello"), Send(OK)], &found),
        (&[Recv(HEAD), Send(WHOLE), Send(OK)], &found),
        (&[Recv(HEAD), Send(ALL)], &found),
        (&[Recv(HEAD), Send(ANSWER), Send(OK)], &found),
        (&[Recv(HEAD), Send(ANSWER), Send("hello"), Recv("GET /b HTTP/1.1\r\n\r\n"), Send(OK)], &begins),
        (&[Recv(HEAD), Send(WHOLE), Recv("GET /b HTTP/1.1\r\n\r\n"), Send(OK)], &begins),
    ];
    for (n, (ops, expected)) in cases.iter().enumerate() {
        assert_eq!(server(ops), *expected, "{n}");
    }
}

/// What a server writes behind the answer to a request with a content is not an older one's.
#[test]
fn the_last_content_explains_what_is_no_answer() {
    const CHUNKED: &str = "POST /b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    let content = "http.ambiguous_framing suspicious: the content of POST /a begins with a request";
    let found = server(&[Recv(CL0), Send(OK), Recv(CHUNKED), Send(OK), Send("<html>")]);
    assert_eq!(found, [content]);
    let found = server(&[Recv(CL0), Send(OK), Send("<html>")]);
    assert!(found[0].starts_with("http.request_smuggling probable: "), "{found:?}");
}

/// A request that ends within its target, and the one behind it: one line of four words.
#[test]
fn a_line_that_was_put_together() {
    const PREFIX: &str = "POST /a HTTP/1.1\r\nContent-Length: 13\r\n\r\nGET /admin?x=";
    const PAGE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 19\r\n\r\nthe page /admin?x=G";
    let run = |status: u16, content: &str| {
        let mut s = Scene::new();
        let conn = s.accept(80);
        play(&mut s, conn, &[Recv(PREFIX), Send(OK), Recv("GET /cart HTTP/1.1\r\nHost: h\r\n\r\n")]);
        s.send(S, conn, Server, &answer(status, content));
        s.wait(5_000);
        s.finish();
        s.findings()
    };
    let title = "POST /a carried GET /admin?x=, which seems to have been answered in the place of GET /cart";
    let cases = [
        (200, "no page (GET /admin?x=GET /cart HTTP/1.1)", "probable"),
        (200, "the page /admin?x=GET", "probable"),
        // It ran neither.
        (400, "bad line (GET /admin?x=GET /cart HTTP/1.1)", "suspicious"),
    ];
    for (status, content, expected) in cases {
        assert_eq!(
            run(status, content),
            [format!("http.request_smuggling {expected}: {title}")],
            "{content}"
        );
    }
    // The front end passes on what it got, to who sent both.
    let mut chain = Chain::new(&get("/x"));
    chain.delivers(OK);
    let client = Thread(30, 30);
    let inbound = chain.s.connect(client, 80);
    for (request, answer) in [(PREFIX, OK), ("GET /cart HTTP/1.1\r\n\r\n", PAGE)] {
        chain.s.pass((client, Client), F, inbound, request);
        chain.asks(request);
        chain.answers(answer);
        chain.s.pass((F, Server), client, inbound, answer);
    }
    assert_eq!(chain.findings(), [format!("http.request_smuggling probable: {title}")]);
    for content in ["your /cart", "seen: GET /admin?x= and GET /cart HTTP/1.1"] {
        let found = run(200, content);
        assert!(found.iter().all(|found| !found.contains("smuggling")), "{content}: {found:?}");
    }
}

/// What passes a front end as through a tunnel may come when nothing is left of what opened it.
#[test]
fn a_tunnel_that_is_used_later() {
    let head =
        |mark: &str| format!("GET /a HTTP/1.1\r\nHost: h\r\nUpgrade: x\r\nConnection: Upgrade\r\n{mark}\r\n");
    let mut chain = Chain::new(&head(""));
    chain.asks(&head("Via: f\r\n"));
    chain.answers(OK);
    chain.delivers(OK);
    chain.s.wait(90_000);
    chain.s.recv(F, chain.inbound, Server, &get("/admin"));
    chain.asks(&get("/admin"));
    chain.answers(OK);
    let expected =
        "http.request_smuggling probable: GET /a carried GET /admin, which went to 127.0.0.1:81 by itself";
    assert_eq!(chain.findings(), [expected]);
}
