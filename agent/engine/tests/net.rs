//! What services say to others, and what a baseline knows of it.

mod scene;

use scene::{Client, Conn, Scene, Server, Thread, answer, get};
use tracer_common::direction;
use tracer_engine::{Output, Value};

const S: Thread = Thread(20, 20);
/// Another thread of the same process.
const T: Thread = Thread(20, 21);

/// Rules, severities and titles of the findings, in order of their time.
fn findings(s: &mut Scene) -> Vec<String> {
    s.wait(10_000);
    let findings = s.outputs.iter().filter_map(|output| match output {
        Output::Finding(finding) => {
            let severity = finding.severity.name();
            let confidence = finding.confidence.name();
            Some(format!("{} {severity} {confidence}: {}", finding.rule, finding.title))
        }
        _ => None,
    });
    findings.collect()
}

/// An attribute of the only finding.
fn attribute(s: &Scene, key: &str) -> Option<Value> {
    s.outputs.iter().find_map(|output| match output {
        Output::Finding(finding) => {
            finding.attributes.iter().find(|(name, _)| *name == key).map(|(_, value)| value.clone())
        }
        _ => None,
    })
}

fn post(path: &str, content: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{content}", content.len())
}

fn chunk(content: &str) -> String {
    format!("{:x}\r\n{content}\r\n", content.len())
}

fn outbound(s: &mut Scene, thread: Thread, port: u16) -> Conn {
    let conn = s.begin_connect(thread, port);
    s.established(conn, thread);
    conn
}

#[test]
fn what_a_chunked_request_brings_in_is_relayed() {
    let mut s = Scene::new();
    let inbound = s.accept(80);
    s.recv(S, inbound, Server, "POST /up HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
    let database = outbound(&mut s, S, 5432);
    s.send(S, inbound, Server, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (asked, answered) in [("startup user postgres", "AuthenticationOk"), ("select 1 from x;", "row")] {
        s.recv(S, inbound, Server, &chunk(asked));
        s.send(S, database, Client, asked);
        s.recv(S, database, Client, answered);
        s.send(S, inbound, Server, &chunk(answered));
    }
    assert_eq!(s.muted(), 0, "what relays is heard further");
    assert_eq!(
        findings(&mut s),
        ["net.tunnel high probable: unknown_service relays what POST /up brings in to 127.0.0.1:5432"]
    );
    assert_eq!(attribute(&s, "url.path"), Some(Value::Str("/up".into())));
    assert_eq!(attribute(&s, "network.peer.port"), Some(Value::Int(5432)));
    assert_eq!(attribute(&s, "tracer.baseline"), Some(Value::Str("cold".into())));
    assert_eq!(
        attribute(&s, "tracer.baseline.habits"),
        Some(Value::Strings(vec!["relay POST /up | 127.0.0.1:5432".into()]))
    );
}

#[test]
fn a_relay_of_one_request_for_each_turn_by_another_thread() {
    let mut s = Scene::new();
    let inbound = s.accept(80);
    s.recv(S, inbound, Server, &get("/open"));
    let ssh = outbound(&mut s, T, 22);
    s.recv(T, ssh, Client, "SSH-2.0-OpenSSH_9.2\r\n");
    s.send(S, inbound, Server, &answer(200, "ok"));
    for turn in 0..5 {
        let said = format!("client says {turn}");
        s.recv(S, inbound, Server, &post("/poll", &said));
        s.send(T, ssh, Client, &said);
        s.recv(T, ssh, Client, "server says");
        s.send(S, inbound, Server, &answer(200, "server says"));
    }
    assert_eq!(
        findings(&mut s),
        ["net.tunnel high confirmed: unknown_service relays what POST /poll brings in to 127.0.0.1:22"]
    );
}

#[test]
fn a_relay_by_several_workers_of_one_server() {
    let mut s = Scene::new();
    let workers = [S, Thread(30, 30)];
    s.exec(Thread(10, 10), &["/srv/shop", "--workers=2"]);
    workers.iter().for_each(|worker| s.fork(Thread(10, 10), worker.0));
    let tunnel = s.accept(80);
    s.recv(S, tunnel, Server, &get("/connect?to=ssh"));
    let ssh = outbound(&mut s, S, 22);
    for turn in 0..4 {
        let said = format!("client says {turn}");
        let inbound = s.accept(80);
        s.recv(workers[1], inbound, Server, &post("/forward", &said));
        s.send(workers[1], inbound, Server, &answer(200, "ok"));
        s.send(S, ssh, Client, &said);
        s.recv(S, ssh, Client, "server says");
    }
    assert_eq!(
        findings(&mut s),
        ["net.tunnel high confirmed: unknown_service relays what POST /forward brings in to 127.0.0.1:22"]
    );
}

#[test]
fn what_a_websocket_brings_in_is_relayed() {
    let mut s = Scene::new();
    let inbound = s.accept(80);
    s.recv(
        S,
        inbound,
        Server,
        "GET /ws HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: WebSocket\r\n\r\n",
    );
    s.send(
        S,
        inbound,
        Server,
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    );
    s.wait(1_000);
    let database = outbound(&mut s, S, 5432);
    for said in ["startup user postgres", "select 1 from x;", "select 2 from x;"] {
        let mask = *b"MASK";
        let mut frame = vec![0x82, 0x80 | said.len() as u8];
        frame.extend(mask);
        frame.extend(said.bytes().enumerate().map(|(n, byte)| byte ^ mask[n % 4]));
        s.part(S, inbound, Server, direction::RECEIVE, frame.len(), &frame);
        s.send(S, database, Client, said);
        s.recv(S, database, Client, "row");
    }
    assert_eq!(
        findings(&mut s),
        ["net.tunnel high probable: unknown_service relays what GET /ws brings in to 127.0.0.1:5432"]
    );
}

#[test]
fn who_speaks_to_a_database_himself_is_none() {
    let mut s = Scene::new();
    let inbound = s.accept(80);
    s.recv(S, inbound, Server, &post("/search", "name=a long value that is looked for"));
    let database = outbound(&mut s, S, 5432);
    for said in ["startup user shop", "select x where name = 'a long value that is looked for'", "commit it"]
    {
        s.send(S, database, Client, said);
        s.recv(S, database, Client, "ok");
    }
    s.send(S, inbound, Server, &answer(200, "ok"));
    assert_eq!(findings(&mut s), [""; 0]);
    assert_eq!(s.muted(), 1, "a driver's connection is soon of no interest");
}

#[test]
fn who_keeps_what_came_in_behind_a_command_is_none() {
    let mut s = Scene::new();
    let inbound = s.accept(80);
    let cache = outbound(&mut s, S, 11211);
    for turn in 0..5 {
        let value = format!("{turn} {}", "value ".repeat(100));
        s.recv(S, inbound, Server, &post("/keep", &value));
        s.send(S, cache, Client, &format!("set {turn} 0 0 602\r\n"));
        s.send(S, cache, Client, &value);
        s.recv(S, cache, Client, "STORED\r\n");
        s.send(S, inbound, Server, &answer(200, "ok"));
    }
    assert_eq!(findings(&mut s), [""; 0]);
}

#[test]
fn one_request_that_sends_much_out() {
    let mut s = Scene::new();
    let inbound = s.accept(80);
    s.recv(S, inbound, Server, &get("/export"));
    let sink = outbound(&mut s, S, 9999);
    for _ in 0..50 {
        s.part(S, sink, Client, direction::SEND, 1 << 20, b"\x16\x03\x01 no HTTP");
    }
    s.send(S, inbound, Server, &answer(200, "done"));
    assert_eq!(
        findings(&mut s),
        [
            "net.egress_spike high probable: unknown_service sends more than 10 MB to 127.0.0.1:9999, for GET /export"
        ]
    );
    assert_eq!(attribute(&s, "url.path"), Some(Value::Str("/export".into())));
}

#[test]
fn an_upload_is_worth_a_look_but_no_more() {
    let mut s = Scene::new();
    let (inbound, size) = (s.accept(80), 50 << 20);
    s.recv(S, inbound, Server, &get("/backup"));
    let upstream = outbound(&mut s, S, 8080);
    s.send(S, upstream, Client, &format!("PUT /f HTTP/1.1\r\nHost: h\r\nContent-Length: {size}\r\n\r\n"));
    for _ in 0..50 {
        s.part(S, upstream, Client, direction::SEND, 1 << 20, b"");
    }
    s.recv(S, upstream, Client, &answer(201, ""));
    s.send(S, inbound, Server, &answer(200, ""));
    assert_eq!(
        findings(&mut s),
        [
            "net.egress_spike medium probable: unknown_service sends more than 10 MB to 127.0.0.1:8080, for GET /backup"
        ]
    );
}

#[test]
fn who_passes_on_what_came_in_sends_nothing_of_his_own() {
    let mut s = Scene::new();
    let (inbound, size) = (s.accept(80), 50 << 20);
    s.recv(S, inbound, Server, &format!("PUT /f HTTP/1.1\r\nHost: h\r\nContent-Length: {size}\r\n\r\n"));
    let upstream = outbound(&mut s, S, 8080);
    s.send(S, upstream, Client, &format!("PUT /f HTTP/1.1\r\nHost: h\r\nContent-Length: {size}\r\n\r\n"));
    for _ in 0..50 {
        s.part(S, inbound, Server, direction::RECEIVE, 1 << 20, b"");
        s.part(S, upstream, Client, direction::SEND, 1 << 20, b"");
    }
    s.recv(S, upstream, Client, &answer(201, ""));
    s.send(S, inbound, Server, &answer(201, ""));
    assert_eq!(findings(&mut s), [""; 0]);
}

#[test]
fn a_large_response_is_no_egress() {
    let mut s = Scene::new();
    let inbound = s.accept(80);
    s.recv(S, inbound, Server, &get("/file"));
    s.send(S, inbound, Server, &format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 50 << 20));
    for _ in 0..50 {
        s.part(S, inbound, Server, direction::SEND, 1 << 20, b"");
    }
    assert_eq!(findings(&mut s), [""; 0]);
}

#[test]
fn what_a_muted_connection_sent_is_known_from_its_end() {
    let mut s = Scene::new();
    let inbound = s.accept(80);
    s.recv(S, inbound, Server, &get("/export"));
    let sink = outbound(&mut s, S, 9999);
    for _ in 0..4 {
        s.send(S, sink, Client, "\x16\x03\x01 no HTTP");
        s.recv(S, sink, Client, "\x16\x03\x01");
    }
    assert_eq!(s.muted(), 1);
    s.total(sink, Client, 50_000_000);
    s.reset(sink, Client);
    s.send(S, inbound, Server, &answer(200, "done"));
    assert_eq!(
        findings(&mut s),
        [
            "net.egress_spike medium probable: unknown_service sends more than 10 MB to 127.0.0.1:9999, for GET /export"
        ]
    );
}

#[test]
fn one_request_that_turns_to_many() {
    let mut s = Scene::new();
    let inbound = s.accept(80);
    s.recv(S, inbound, Server, &get("/look?at=10.0.0.0"));
    for port in [9000, 9000, 9000, 9000].into_iter().chain(9001..9010) {
        let probe = s.begin_connect(S, port);
        s.state(probe, Client, S, tracer_common::tcp_state::SYN_SENT, tracer_common::tcp_state::CLOSE);
    }
    s.send(S, inbound, Server, &answer(200, "done"));
    assert_eq!(
        findings(&mut s),
        ["net.fanout high probable: unknown_service turns to 8 or more new peers, for GET /look"]
    );
    let facts = s.outputs.iter().find_map(|output| match output {
        Output::Finding(finding) => Some(finding.evidence.len()),
        _ => None,
    });
    assert_eq!(facts, Some(10), "each peer is told");
}

#[test]
fn who_gathers_from_many_that_answer_is_no_fan() {
    let redis = "*1\r\n$4\r\nPING\r\n";
    for (asks, fires) in
        [(get("/health"), 0), ("\x16\x03\x01 hello".into(), 0), (redis.into(), 0), ("\n".into(), 1)]
    {
        let mut s = Scene::new();
        let inbound = s.accept(80);
        s.recv(S, inbound, Server, &get("/all"));
        let peers: Vec<_> = (9000..9012).map(|port| outbound(&mut s, S, port)).collect();
        for peer in &peers {
            s.send(S, *peer, Client, &asks);
        }
        for peer in peers {
            s.recv(S, peer, Client, &answer(200, "ok"));
            s.shut(S, peer, Client);
        }
        s.send(S, inbound, Server, &answer(200, "done"));
        assert_eq!(findings(&mut s).len(), fires, "{asks:?}");
    }
}

#[test]
fn who_knocks_where_most_are_there_may_look_after_them() {
    for (closed, severity) in [(0, "medium"), (3, "medium"), (6, "high")] {
        let mut s = Scene::new();
        let inbound = s.accept(80);
        s.recv(S, inbound, Server, &get("/status"));
        for port in 9000..9012 {
            if port < 9000 + closed {
                let probe = s.begin_connect(S, port);
                s.state(
                    probe,
                    Client,
                    S,
                    tracer_common::tcp_state::SYN_SENT,
                    tracer_common::tcp_state::CLOSE,
                );
            } else {
                let peer = outbound(&mut s, S, port);
                s.shut(S, peer, Client);
            }
        }
        s.send(S, inbound, Server, &answer(200, "done"));
        let found = findings(&mut s);
        assert!(
            matches!(&found[..], [one] if one.starts_with(&format!("net.fanout {severity}"))),
            "{closed}: {found:?}"
        );
    }
}

#[test]
fn a_pool_that_a_request_began_is_no_fan_when_it_ends() {
    let mut s = Scene::new();
    let inbound = s.accept(80);
    s.recv(S, inbound, Server, &get("/first"));
    let peers: Vec<_> = (9000..9012).map(|port| outbound(&mut s, S, port)).collect();
    s.send(S, inbound, Server, &answer(200, "done"));
    s.wait(1_000);
    for peer in peers {
        s.shut(S, peer, Client);
        s.reset(peer, Client);
    }
    assert_eq!(findings(&mut s), [""; 0]);
}

#[test]
fn many_requests_that_each_turn_to_one_are_no_fan() {
    let mut s = Scene::new();
    for port in 9000..9020 {
        let inbound = s.accept(80);
        s.recv(S, inbound, Server, &get("/a"));
        outbound(&mut s, S, port);
        s.send(S, inbound, Server, &answer(200, "done"));
    }
    assert_eq!(findings(&mut s), [""; 0]);
}

#[test]
fn a_scan_by_what_a_request_launched_is_that_requests() {
    let mut s = Scene::new();
    let inbound = s.accept(80);
    s.recv(S, inbound, Server, &get("/shell"));
    s.fork(S, 40);
    s.exec(Thread(40, 40), &["scan"]);
    for port in 9000..9008 {
        let probe = outbound(&mut s, Thread(40, 40), port);
        s.shut(Thread(40, 40), probe, Client);
    }
    s.exit(40, 0);
    s.send(S, inbound, Server, &answer(200, "done"));
    assert_eq!(
        findings(&mut s),
        [
            "net.fanout high probable: unknown_service turns to 8 or more new peers, for GET /shell",
            "process.in_request low suspicious: unknown_service ran `scan` for a request",
        ]
    );
}
