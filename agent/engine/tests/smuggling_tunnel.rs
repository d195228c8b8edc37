//! Connections that one side takes for a tunnel.

mod scene;

use scene::{
    Client, Server, answer,
    chain::{Chain, F, S},
    get,
    smuggling::*,
};

#[test]
fn an_upgrade_is_a_way_past_the_front_end() {
    let upgrade = |protocol: &str, own: &str| {
        format!("GET /a HTTP/1.1\r\n{own}Upgrade: {protocol}\r\nConnection: Upgrade\r\n\r\n")
    };
    let run = |protocol: &str, status: u16, then: [&str; 2]| {
        let mut chain = Chain::new(&upgrade(protocol, ""));
        chain.s.pass((F, Client), S, chain.upstream, &upgrade(protocol, "Via: f\r\n"));
        let answer = if status == 101 {
            format!("HTTP/1.1 101 Switching Protocols\r\nUpgrade: {protocol}\r\n\r\n")
        } else {
            answer(status, "")
        };
        chain.s.pass((S, Server), F, chain.upstream, &answer);
        chain.s.send(F, chain.inbound, Server, &answer);
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
        ["http.request_smuggling probable: GET /a carried GET /admin, which went to 127.0.0.1:81 by itself"]
    );
    assert_eq!(run("websocket", 426, [raw, rewritten]), [""; 0], "a front end that goes on reading");
    assert_eq!(
        run("h2c", 101, ["", ""]),
        [
            "http.request_smuggling suspicious: GET /a opened a tunnel of HTTP/2 to 127.0.0.1:81 through its front end"
        ],
        "clients of their own ask for that"
    );
    assert_eq!(run("websocket", 101, ["", ""]), [""; 0]);
}

const PLAIN: &str = "GET /admin HTTP/1.1\r\nHost: h\r\n\r\n";

/// A front end that copies bytes behind a request that asks for more than HTTP, and marks what it takes for a request.
#[test]
fn a_tunnel_that_only_the_front_end_believes_in() {
    let upgrade = "Upgrade: x\r\nConnection: Upgrade\r\n";
    let run = |method: &str, fields: &str, mark: &str, at_once: bool| {
        let head = format!("{method} /a HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
        let marked = format!("{method} /a HTTP/1.1\r\nHost: h\r\n{fields}{mark}\r\n");
        if at_once {
            let mut chain = Chain::new(&format!("{head}{PLAIN}"));
            chain.asks(&format!("{marked}{PLAIN}"));
            chain.answers(&(answer(400, "") + OK));
            chain.delivers(&(answer(400, "") + OK));
            return chain.findings();
        }
        let mut chain = Chain::new(&head);
        chain.asks(&marked);
        chain.answers(&answer(405, ""));
        chain.delivers(&answer(405, ""));
        for _ in 0..2 {
            chain.s.recv(F, chain.inbound, Server, PLAIN);
            chain.asks(PLAIN);
            chain.answers(OK);
            chain.delivers(OK);
        }
        chain.findings()
    };
    for (method, fields) in [("GET", upgrade), ("CONNECT", ""), ("FOO", "")] {
        for at_once in [false, true] {
            let found = run(method, fields, "Via: f\r\n", at_once);
            let expected = format!(
                "http.request_smuggling probable: {method} /a carried GET /admin, which went to 127.0.0.1:81 by itself"
            );
            assert!(found.contains(&expected), "{method}: {found:?}");
            // What leaves no mark on anything passes a head that needs no change as it is.
            assert_eq!(run(method, fields, "", at_once), [""; 0], "{method}");
        }
    }
    assert_eq!(run("GET", "", "Via: f\r\n", false), [""; 0], "asks for no more than HTTP");
}

/// The back end says 101, and goes on to speak HTTP.
#[test]
fn a_switch_that_the_back_end_does_not_make() {
    let run = |upgrade: &str, then: &str, back: &str, fronted: bool| {
        let head = format!("GET /a HTTP/1.1\r\nHost: h\r\nUpgrade: {upgrade}\r\nConnection: Upgrade\r\n\r\n");
        let switch = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n";
        let mut chain = if fronted { Chain::new(&head) } else { Chain::new(&get("/x")) };
        if !fronted {
            chain.delivers(OK);
        }
        chain.asks(&head);
        chain.answers(switch);
        if fronted {
            chain.delivers(switch);
        }
        chain.s.wait(3_000);
        chain.asks(then);
        chain.answers(back);
        chain.findings()
    };
    let found = [
        "http.request_smuggling probable: GET /a opened a tunnel for GET /admin, which 127.0.0.1:81 answered 200",
    ];
    assert_eq!(run("websocket", PLAIN, OK, true), found);
    assert_eq!(run("tcp", PLAIN, OK, true), [""; 0], "it may carry anything");
    assert_eq!(run("websocket", "\u{1}\u{2}GET /admin HTTP/1.1\r\n\r\n", OK, true), [""; 0]);
    assert_eq!(run("websocket", PLAIN, "no HTTP", true), [""; 0]);
    assert_eq!(run("websocket", PLAIN, OK, false), [""; 0], "nobody is in between");
}

/// A client that asks for h2c and goes on to ask in it, past the front end.
#[test]
fn an_upgrade_to_http2_that_is_used() {
    let head = "GET /a HTTP/1.1\r\nHost: h\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n";
    let switch = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n";
    let settings = "\0\0\0\u{4}\0\0\0\0\0";
    let run = |headers: &str| {
        let mut chain = Chain::new(head);
        chain.asks(head);
        chain.answers(switch);
        chain.delivers(switch);
        chain.answers(settings);
        chain.asks(&format!("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n{settings}"));
        chain.answers(settings);
        chain.asks(headers);
        chain.findings()
    };
    let opened = "GET /a opened a tunnel of HTTP/2 to 127.0.0.1:81 through its front end";
    let another = run("\0\0\u{1}\u{1}\u{4}\0\0\0\u{3}x");
    assert_eq!(another, [format!("http.request_smuggling probable: {opened}, and went on to ask")]);
    assert_eq!(run("\0\0\0\u{4}\u{1}\0\0\0\0"), [format!("http.request_smuggling suspicious: {opened}")]);
}
