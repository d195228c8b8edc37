//! The two ends of a connection on two nodes, each with an engine that is told of one end only.

mod scene;

use scene::{At, Client, Conn, Scene, Server, Thread, get, records::mapped};
use tracer_common::{
    direction::{RECEIVE, SEND},
    tcp_state,
};
use tracer_engine::{Span, SpanId, TraceId, Value};

const C: Thread = Thread(10, 10);
const P: Thread = Thread(20, 20);
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const CONTEXT: &str =
    "GET /a HTTP/1.1\r\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01\r\n\r\n";
const CLIENT_AT: [u8; 4] = [10, 0, 0, 1];
const SERVICE_AT: [u8; 4] = [10, 96, 0, 7];
const SERVER_AT: [u8; 4] = [10, 0, 1, 2];

/// What a node sees of a connection: its own end, under its own addresses and socket numbers.
struct Node {
    scene: Scene,
    conn: Conn,
    at: At,
}

impl Node {
    /// `others` connections were there before, so that sockets have other numbers.
    fn new(at: At, iss: [u32; 2], others: usize, [local, remote]: [[u8; 4]; 2]) -> Self {
        let mut scene = Scene::new();
        scene.time_ns = others as u64 * 3_600_000_000_000;
        for _ in 0..others {
            scene.old(80);
        }
        let conn = scene.old_at(80, iss);
        let end = scene.end_mut(conn, at);
        (end.sock.local, end.sock.remote) = (mapped(local), mapped(remote));
        Self { scene, conn, at }
    }

    /// A request and its answer, as this end sees them.
    fn exchange(&mut self, request: &str) {
        let (thread, order) = if self.at == Client { (C, [SEND, RECEIVE]) } else { (P, [RECEIVE, SEND]) };
        for (direction, bytes) in order.into_iter().zip([request, OK]) {
            self.scene.part(thread, self.conn, self.at, direction, bytes.len(), bytes.as_bytes());
        }
    }

    fn spans(&mut self) -> Vec<Span> {
        self.scene.settle();
        self.scene.spans().into_iter().cloned().collect()
    }
}

/// The two nodes of a connection to a service's address, which is translated.
fn nodes(iss: [u32; 2]) -> [Node; 2] {
    [Node::new(Client, iss, 0, [CLIENT_AT, SERVICE_AT]), Node::new(Server, iss, 5, [SERVER_AT, CLIENT_AT])]
}

fn id(span: &Span) -> (TraceId, SpanId) {
    (span.trace_id, span.span_id)
}

#[track_caller]
fn link(span: &Span) -> (TraceId, SpanId) {
    let [link] = &span.links[..] else { panic!("{:?}", span.links) };
    assert_eq!(link.attributes, [("tracer.link.method", Value::Str("sequence".into()))]);
    (link.trace_id, link.span_id)
}

#[track_caller]
fn ensure_met(client: &Span, server: &Span) {
    assert_eq!(link(client), id(server));
    assert_eq!(link(server), id(client), "both are roots here, of the same trace");
    assert_ne!(client.span_id, server.span_id);
}

#[test]
fn they_meet() {
    for iss in [[77, 88], [u32::MAX - 1, u32::MAX - 1], [u32::MAX - 20, 5]] {
        let [client, server] = &mut nodes(iss);
        for node in [&mut *client, server] {
            node.exchange(&get("/a"));
            node.exchange(&get("/a"));
        }
        let (client, server) = (client.spans(), server.spans());
        assert_eq!((client.len(), server.len()), (2, 2));
        ensure_met(&client[0], &server[0]);
        ensure_met(&client[1], &server[1]);
        assert_ne!(id(&client[0]), id(&client[1]), "the same request again is another exchange");
        assert_ne!(client[0].trace_id, client[1].trace_id);
    }
}

/// The server's node joins when the connection is old, and sees the second of the same two requests only.
#[test]
fn they_meet_whenever_an_engine_joins() {
    let [client, server] = &mut nodes([77, 88]);
    client.exchange(&get("/a"));
    client.exchange(&get("/a"));
    let end = server.scene.end_mut(server.conn, Server);
    (end.next[usize::from(RECEIVE)], end.next[usize::from(SEND)]) =
        (78 + get("/a").len() as u64, 89 + OK.len() as u64);
    server.exchange(&get("/a"));
    let (client, server) = (client.spans(), server.spans());
    assert_eq!(server.len(), 1);
    ensure_met(&client[1], &server[0]);
}

#[test]
fn a_birth_changes_nothing() {
    let [client, server] = &mut nodes([77, 88]);
    client.scene.state(client.conn, Client, C, tcp_state::CLOSE, tcp_state::SYN_SENT);
    client.scene.established(client.conn, C);
    server.scene.accepted(server.conn);
    client.exchange(&get("/a"));
    server.exchange(&get("/a"));
    ensure_met(&client.spans()[0], &server.spans()[0]);
}

#[test]
fn another_connection_has_other_ids() {
    let ids: Vec<_> = [[77, 88], [78, 88], [77, 89]]
        .map(|iss| {
            let [client, _] = &mut nodes(iss);
            client.exchange(&get("/a"));
            id(&client.spans()[0])
        })
        .into();
    assert!(ids[0] != ids[1] && ids[0] != ids[2] && ids[1] != ids[2], "{ids:?}");
}

#[test]
fn a_call_in_a_trace_stays_in_it() {
    let [client, server] = &mut nodes([77, 88]);
    let front = client.scene.accept(81);
    client.scene.recv(C, front, Server, &get("/front"));
    client.exchange(&get("/a"));
    client.scene.send(C, front, Server, OK);
    server.exchange(&get("/a"));
    let (spans, server) = (client.spans(), server.spans());
    let call = spans.iter().find(|span| span.parent_span_id.is_some()).expect("a call with its cause");
    assert_eq!(link(call), id(&server[0]));
    assert_eq!(
        link(&server[0]),
        (server[0].trace_id, call.span_id),
        "of the call's own trace nothing is known"
    );
    assert_ne!(call.trace_id, server[0].trace_id);
}

fn links_of(addresses: [[u8; 4]; 2], request: &str) -> usize {
    let mut node = Node::new(Server, [77, 88], 0, addresses);
    node.exchange(request);
    node.spans().iter().map(|span| span.links.len()).sum()
}

#[test]
fn only_to_neighbours() {
    let neighbours = [
        [10, 9, 9, 9],
        [172, 16, 0, 1],
        [172, 31, 0, 1],
        [192, 168, 0, 1],
        [100, 64, 0, 1],
        [100, 127, 0, 1],
    ];
    for peer in neighbours {
        assert_eq!(links_of([SERVER_AT, peer], &get("/a")), 1, "{peer:?}");
    }
    let others =
        [[127, 0, 0, 1], [8, 8, 8, 8], [172, 32, 0, 1], [192, 169, 0, 1], [100, 63, 0, 1], [100, 128, 0, 1]];
    for peer in others {
        assert_eq!(links_of([SERVER_AT, peer], &get("/a")), 0, "{peer:?}");
    }
    assert_eq!(links_of([SERVER_AT, SERVER_AT], &get("/a")), 0, "a node's own address");
}

#[test]
fn a_context_says_more() {
    assert_eq!(links_of([SERVER_AT, CLIENT_AT], CONTEXT), 0);
}

#[test]
fn what_is_not_known_is_not_guessed() {
    let mut node = Node::new(Server, [77, 88], 0, [SERVER_AT, CLIENT_AT]);
    node.scene.end_mut(node.conn, Server).sock.sent_from = 0;
    node.exchange(&get("/a"));
    let spans = node.spans();
    assert_eq!((spans.len(), spans[0].links.len()), (1, 0));
}

#[test]
fn ends_on_one_node_need_no_link() {
    let mut s = Scene::new();
    let conn = s.old(80);
    for (at, ends) in [(Client, [CLIENT_AT, SERVICE_AT]), (Server, [SERVER_AT, CLIENT_AT])] {
        let end = s.end_mut(conn, at);
        (end.sock.local, end.sock.remote) = (mapped(ends[0]), mapped(ends[1]));
    }
    s.pass((C, Client), P, conn, &get("/a"));
    s.pass((P, Server), C, conn, OK);
    assert_eq!(s.settle(), ["CLIENT GET /a 200 @10", "SERVER GET /a 200 @20 < CLIENT /a by socket"]);
    assert!(s.spans().iter().all(|span| span.links.is_empty()));
}
