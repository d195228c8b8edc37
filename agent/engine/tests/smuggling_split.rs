//! Requests that go out without having come in as one.

mod scene;

use scene::{
    Client, Server, Thread, answer,
    chain::{Chain, F, S},
    get,
    smuggling::*,
};

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

#[test]
fn what_came_in_may_be_unreadable() {
    let mut chain = Chain::new("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    chain.s.pass((F, Client), S, chain.upstream, &(get("/a") + &get("/admin")));
    chain.s.pass((S, Server), F, chain.upstream, &(answer(200, "a") + &answer(200, "b")));
    let expected =
        "http.request_smuggling probable: GET /admin went to 127.0.0.1:81 behind GET /a, as one message";
    assert_eq!(chain.findings(), [expected]);
}

/// A path, a parameter or a string that the front end decodes and writes where line ends count.
#[test]
fn what_is_decoded_may_split_a_request() {
    let post = |kind: &str, content: &str| {
        format!(
            "POST /x HTTP/1.1\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n{content}",
            content.len()
        )
    };
    let inbound = [
        get("/x/a%20HTTP/1.1%0d%0aHost:%20h%0d%0a%0d%0aGET%20/admin%20HTTP/1.1%0d%0aX:%20"),
        get("/x?name=a%250d%250a%250d%250aGET%2520/admin%2520HTTP/1.1%250d%250a"),
        post("application/x-www-form-urlencoded", "name=a%0D%0A%0D%0AGET+%2Fadmin+HTTP%2F1.1%0D%0AX%3A+y"),
        post("application/json", r#"{"name": "a\r\n\r\nGET /admin HTTP/1.1\r\nX: y"}"#),
        post("text/plain", "a\u{10d}\u{10a}\u{10d}\u{10a}GET\u{120}/admin\u{120}HTTP/1.1"),
    ];
    let sent = "GET /y HTTP/1.1\r\nX-Name: a\r\n\r\nGET /admin HTTP/1.1\r\nX: y\r\n\r\n";
    for inbound in inbound {
        let run = |answers: &str| {
            let mut chain = Chain::new(&inbound);
            chain.asks(sent);
            chain.answers(answers);
            chain.delivers(OK);
            chain.findings()
        };
        let served = run(&format!("{OK}{OK}"));
        assert_eq!(served.len(), 1, "{inbound}: {served:?}");
        assert!(served[0].starts_with("http.request_smuggling confirmed: "), "{inbound}: {served:?}");
        let refused = run(&(OK.to_owned() + &answer(400, "")));
        assert!(refused[0].starts_with("http.request_smuggling suspicious: "), "{inbound}: {refused:?}");
    }
}

/// The front end never reads the second answer: that the back end wrote it is enough.
#[test]
fn an_answer_counts_though_nobody_reads_it() {
    let mut chain = Chain::new(&get("/x%0d%0aX:%20y%0d%0a%0d%0aGET%20/admin"));
    chain.asks("GET /x\r\nX: y\r\n\r\nGET /admin HTTP/1.1\r\n\r\n".replace("/x\r", "/x HTTP/1.1\r").as_str());
    chain.s.send(S, chain.upstream, Server, OK);
    chain.s.send(S, chain.upstream, Server, OK);
    chain.s.recv(F, chain.upstream, Client, OK);
    chain.delivers(OK);
    let found = chain.findings();
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("http.request_smuggling confirmed: "), "{found:?}");
}

/// A gateway that takes a list of requests apart sends each by itself, maybe without waiting.
#[test]
fn a_gateway_asks_for_each_request_of_a_list() {
    let list = "--b\r\nContent-Type: application/http\r\n\r\nGET /one HTTP/1.1\r\n\r\n\r\n--b\r\nContent-Type: application/http\r\n\r\nGET /two HTTP/1.1\r\n\r\n\r\n--b--\r\n";
    let batch = format!("POST /$batch HTTP/1.1\r\nContent-Length: {}\r\n\r\n{list}", list.len());
    for sends in [vec![get("/one"), get("/two")], vec![get("/one") + &get("/two")]] {
        let mut chain = Chain::new(&batch);
        sends.iter().for_each(|sent| chain.asks(sent));
        chain.answers(&format!("{OK}{OK}"));
        chain.delivers(OK);
        assert_eq!(chain.findings(), [""; 0]);
    }
    // More of them than are kept as requests of their own, and without versions.
    let parts =
        |n: usize| format!("--b\r\nContent-Type: application/http\r\n\r\nGET /{n} HTTP/1.1\r\n\r\n\r\n");
    for list in [(1..7).map(parts).collect(), (1..7).map(|n| format!("GET /{n}\n")).collect::<String>()] {
        let mut chain =
            Chain::new(&format!("POST /$batch HTTP/1.1\r\nContent-Length: {}\r\n\r\n{list}", list.len()));
        chain.asks(&(1..7).map(|n| get(&format!("/{n}"))).collect::<String>());
        chain.answers(&OK.repeat(6));
        chain.delivers(OK);
        let told = chain.findings();
        assert!(!told.iter().any(|told| told.starts_with("http.request_smuggling")), "{list}: {told:?}");
    }
    // In turn, and on connections of their own.
    let mut chain = Chain::new(&batch);
    chain.asks(&get("/one"));
    chain.answers(OK);
    chain.asks(&get("/two"));
    chain.answers(OK);
    chain.delivers(OK);
    assert_eq!(chain.findings(), [""; 0]);
}

/// A front end whose clients cannot be read passes a length of 0 on, with a content all the same.
#[test]
fn head_and_content_may_leave_in_two_sends() {
    let head = "POST /a HTTP/1.1\r\nHost: h\r\nVia: f\r\nContent-Length: 0\r\n\r\n";
    let run = |second: &str, thread: Thread| {
        let mut chain = Chain::new("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        chain.asks(head);
        chain.s.pass((thread, Client), S, chain.upstream, second);
        chain.answers(&format!("{OK}{OK}"));
        chain.findings()
    };
    assert_eq!(
        run(EVIL, F),
        ["http.request_smuggling probable: GET /admin went to 127.0.0.1:81 behind POST /a, as one message"]
    );
    let own = "GET /b HTTP/1.1\r\nHost: h\r\nVia: f\r\n\r\n";
    assert_eq!(run(own, F), [""; 0], "a client that does not wait");
    assert_eq!(run(EVIL, Thread(10, 11)), [""; 0], "another thread");
}

/// RFC 9110, 10.1.1: a final answer instead of 100. Who sends the content all the same gives a server that dropped it
/// a request.
#[test]
fn content_behind_an_early_answer() {
    let head = format!(
        "POST /a HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n",
        EVIL.len()
    );
    let run = |second: &str| {
        let mut chain = Chain::new(&head);
        chain.asks(&head);
        chain.s.send(S, chain.upstream, Server, OK);
        chain.s.recv(F, chain.inbound, Server, EVIL);
        chain.s.recv(F, chain.upstream, Client, OK);
        chain.asks(EVIL);
        chain.answers(second);
        chain.delivers(OK);
        chain.findings()
    };
    let served = run(OK);
    assert!(served.iter().any(|finding| finding.contains("http.request_smuggling confirmed")), "{served:?}");
    let refused = run(&answer(400, ""));
    assert!(is_but_suspicious(&refused), "{refused:?}");
}

/// The answer to the first may have been in a record that was lost.
#[test]
fn what_was_lost_lowers_it() {
    let run = |lost: u32| {
        let mut chain = Chain::new(&get("/x%0d%0aX:%20y%0d%0a%0d%0aGET%20/admin"));
        chain.asks("GET /x HTTP/1.1\r\nX: y\r\n\r\n");
        chain.s.lost(lost.into());
        chain.asks("GET /admin HTTP/1.1\r\n\r\n");
        chain.answers(&format!("{OK}{OK}"));
        chain.delivers(OK);
        chain.findings()
    };
    assert!(run(0)[0].starts_with("http.request_smuggling confirmed: "), "{:?}", run(0));
    assert!(is_but_suspicious(&run(1)), "{:?}", run(1));
}

/// A client that was answered without its content sends that all the same; who takes it for content has no answer to
/// deliver, and who takes it for the next request has.
#[test]
fn content_that_is_sent_after_all() {
    let head = format!(
        "POST /a HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n",
        EVIL.len()
    );
    let run = |answered: bool, delivered: bool| {
        let mut chain = Chain::new(&head);
        chain.asks(&head);
        chain.answers(OK);
        chain.delivers(OK);
        chain.s.wait(400);
        chain.s.recv(F, chain.inbound, Server, EVIL);
        chain.asks(EVIL);
        if answered {
            chain.s.send(S, chain.upstream, Server, OTHER);
        }
        if delivered {
            chain.s.recv(F, chain.upstream, Client, OTHER);
            chain.delivers(OTHER);
        }
        chain.s.wait(400);
        chain.s.eof(F, chain.inbound, Server);
        chain.s.closed(chain.inbound, Server);
        let found = chain.findings().into_iter();
        found.filter(|found| found.starts_with("http.request_smuggling")).collect::<Vec<_>>()
    };
    assert_eq!(
        run(true, false),
        ["http.request_smuggling probable: POST /a carried GET /admin, which was answered 200"]
    );
    assert_eq!(run(true, true), [""; 0]);
    assert_eq!(run(false, false), [""; 0]);
}
