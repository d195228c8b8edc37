//! What spans say of where a request went: by its target, by `Host` and by the connection.

mod scene;

use scene::{Client, Scene, Server, Thread};
use tracer_engine::{Span, SpanKind};

const C: Thread = Thread(10, 10);
const S: Thread = Thread(20, 20);

/// The client's and the server's span of one request on port 3128.
fn spans(head: &str) -> [Span; 2] {
    let mut s = Scene::new();
    let conn = s.connect(C, 3128);
    s.pass((C, Client), S, conn, head);
    s.pass((S, Server), C, conn, &scene::answer(200, ""));
    s.settle();
    let one = |kind| s.spans().into_iter().find(|span| span.kind == kind).expect("a span").clone();
    [one(SpanKind::Client), one(SpanKind::Server)]
}

fn ensure(span: &Span, expected: &[(&str, Option<&str>)]) {
    for (key, value) in expected {
        assert_eq!(
            scene::text(span, key).as_deref(),
            *value,
            "{key} of {:?}: {:?}",
            span.kind,
            span.attributes
        );
    }
}

#[test]
fn the_own_end_is_named_whatever_host_says() {
    let [client, server] = spans("GET /a HTTP/1.1\r\nHost: shop:8443\r\n\r\n");
    let address = ("network.local.address", Some("127.0.0.1"));
    ensure(&server, &[("server.port", Some("8443")), address, ("network.local.port", Some("3128"))]);
    ensure(&client, &[("server.port", Some("8443")), address, ("network.peer.port", Some("3128"))]);
    let (local, peer) = ("network.local.port", "network.peer.port");
    assert_eq!(scene::text(&client, local), scene::text(&server, peer));
}

#[test]
fn a_target_in_absolute_form_says_where_it_goes() {
    for (target, full, path, scheme, port) in [
        ("http://example.com/abs", "http://example.com/abs", "/abs", "http", Some("80")),
        ("HTTPS://example.com/abs", "https://example.com/abs", "/abs", "https", Some("443")),
        ("http://example.com", "http://example.com/", "/", "http", Some("80")),
        ("http://example.com?q", "http://example.com/?q", "/", "http", Some("80")),
        ("http://example.com:8080/x", "http://example.com:8080/x", "/x", "http", Some("8080")),
        ("ftp://example.com/x", "ftp://example.com/x", "/x", "ftp", None),
    ] {
        let [client, server] = spans(&format!("GET {target} HTTP/1.1\r\nHost: other:99\r\n\r\n"));
        let named = [("server.address", Some("example.com")), ("server.port", port)];
        ensure(&client, &named);
        ensure(&client, &[("url.full", Some(full))]);
        ensure(&server, &named);
        ensure(&server, &[("url.path", Some(path)), ("url.scheme", Some(scheme))]);
    }
}

#[test]
fn the_target_of_connect_is_no_path() {
    let [client, server] = spans("CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n");
    let named = [("server.address", Some("h")), ("server.port", Some("443")), ("url.path", None)];
    ensure(&client, &named);
    ensure(&client, &[("url.full", Some("http://h:443"))]);
    ensure(&server, &named);
}

#[test]
fn a_server_without_a_name_has_no_address() {
    let mut s = Scene::new();
    let conn = s.unix();
    s.pass((C, Client), S, conn, "GET /a HTTP/1.1\r\n\r\n");
    s.pass((S, Server), C, conn, &scene::answer(200, ""));
    s.settle();
    assert_eq!(s.spans().len(), 2);
    for span in s.spans() {
        ensure(span, &[("server.address", None)]);
    }
}
