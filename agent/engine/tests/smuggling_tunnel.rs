//! Connections that one side takes for a tunnel.

mod scene;

use scene::{
    Client, Server, answer,
    chain::{Chain, F, S},
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
