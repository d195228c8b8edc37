//! Calls with rare words in common speak for each other.

mod scene;

use scene::{Client, Conn, Scene, Server, Thread, get, text};
use tracer_engine::SpanKind;

/// Threads that read requests, and those of a pool that make the calls.
const ONE: Thread = Thread(20, 21);
const TWO: Thread = Thread(20, 22);
const POOL: [Thread; 3] = [Thread(20, 31), Thread(20, 32), Thread(20, 33)];
/// Where they wait to be woken.
const DONE: [u64; 2] = [0x1000, 0x2000];
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn read(s: &mut Scene, by: Thread, path: &str) -> Conn {
    let conn = s.accept(80);
    s.recv(by, conn, Server, &get(path));
    conn
}

fn call(s: &mut Scene, by: Thread, path: &str) {
    let conn = s.old(81);
    s.send(by, conn, Client, &get(path));
    s.recv(by, conn, Client, OK);
}

/// Each call with the target of its parent, and how that was found.
fn links(s: &mut Scene) -> Vec<String> {
    assert!(!s.settle().is_empty());
    let spans = s.spans();
    let mut calls: Vec<_> = spans.iter().filter(|span| span.kind == SpanKind::Client).collect();
    calls.sort_by_key(|span| span.start_unix_nano);
    let target = |span: &tracer_engine::Span| {
        let url = text(span, "url.path").or_else(|| text(span, "url.full")).unwrap_or_default();
        url.trim_start_matches("http://h:81").to_owned()
    };
    let line = |call: &&&tracer_engine::Span| {
        let parent = spans.iter().find(|span| Some(span.span_id) == call.parent_span_id);
        let parent = parent.map_or("-".to_owned(), |parent| target(parent));
        format!("{} < {parent} {}", target(call), text(call, "tracer.link.method").unwrap_or_default())
    };
    calls.iter().map(line).collect()
}

#[test]
fn what_one_call_is_known_to_be_for_so_are_those_with_the_same_id() {
    let mut s = Scene::new();
    let (one, two) = (read(&mut s, ONE, "/one"), read(&mut s, TWO, "/two"));
    // Of those that are for one request, only the last is waited for by then.
    call(&mut s, POOL[0], "/item/58213170/1");
    call(&mut s, POOL[2], "/item/77124660/1");
    s.wake(POOL[2], TWO, DONE[1]);
    call(&mut s, POOL[1], "/item/58213170/2");
    s.wake(POOL[1], ONE, DONE[0]);
    s.send(TWO, two, Server, OK);
    s.send(ONE, one, Server, OK);
    assert_eq!(
        links(&mut s),
        [
            "/item/58213170/1 < /one next_answer",
            "/item/77124660/1 < /two next_answer",
            "/item/58213170/2 < /one next_answer"
        ]
    );
}

#[test]
fn a_job_is_handed_back_with_all_its_calls_and_no_other() {
    let mut s = Scene::new();
    let (one, two) = (read(&mut s, ONE, "/one"), read(&mut s, TWO, "/two"));
    // Nobody waited for the first.
    for path in ["/item/77124660/1", "/item/58213170/1", "/item/58213170/2"] {
        call(&mut s, POOL[0], path);
    }
    s.wake(POOL[0], ONE, DONE[0]);
    s.send(ONE, one, Server, OK);
    s.send(TWO, two, Server, OK);
    assert_eq!(
        links(&mut s),
        [
            "/item/77124660/1 < - ",
            "/item/58213170/1 < /one next_answer",
            "/item/58213170/2 < /one next_answer"
        ]
    );
}

#[test]
fn two_requests_may_look_up_the_same_at_once() {
    let mut s = Scene::new();
    let (one, two) = (read(&mut s, ONE, "/one"), read(&mut s, TWO, "/two"));
    call(&mut s, POOL[0], "/item/58213170");
    call(&mut s, POOL[1], "/item/58213170");
    s.wake(POOL[0], ONE, DONE[0]);
    s.send(ONE, one, Server, OK);
    s.send(TWO, two, Server, OK);
    assert_eq!(links(&mut s), ["/item/58213170 < /one next_answer", "/item/58213170 < - "]);
}

/// Each lookup is made by both requests: that two calls have an id in common says nothing here, which shows in time.
#[test]
fn where_requests_share_what_they_look_up_siblings_are_not_believed() {
    let mut s = Scene::new();
    for round in 0..60 {
        let (one, two) = (read(&mut s, ONE, "/one"), read(&mut s, TWO, "/two"));
        let id = 58_213_170 + round * 7;
        call(&mut s, POOL[0], &format!("/price/{id}"));
        call(&mut s, POOL[1], &format!("/stock/{id}"));
        s.wake(POOL[0], ONE, DONE[0]);
        if round < 59 {
            s.wake(POOL[1], TWO, DONE[1]);
        }
        s.send(ONE, one, Server, OK);
        s.send(TWO, two, Server, OK);
    }
    let links = links(&mut s);
    let wrong = |line: &&String| line.contains("price") == line.contains("/two");
    let linked: Vec<_> = links.iter().filter(|line| !line.contains('-')).collect();
    assert!(linked.iter().all(|line| !wrong(line)), "{linked:?}");
    assert!(linked.len() > 90, "{}", linked.len());
    assert!(links[119].starts_with("/stock/58213583 < - "), "{}", links[119]);
}

/// One thread that has read several requests makes all calls: that it does the same for each is one observation, however
/// often.
#[test]
fn an_event_loop_is_no_surer_for_many_calls() {
    let mut s = Scene::new();
    let conns = ["/one", "/two", "/three"].map(|path| read(&mut s, ONE, path));
    let calls = [1, 2, 3].map(|n| {
        let conn = s.old(81);
        s.send(ONE, conn, Client, &get(&format!("/item/58213170/{n}")));
        conn
    });
    calls.iter().for_each(|conn| s.recv(ONE, *conn, Client, OK));
    conns.iter().for_each(|conn| s.send(ONE, *conn, Server, OK));
    assert!(links(&mut s).iter().all(|line| line.ends_with("< - ")));
}

#[test]
fn a_call_that_began_before_a_request_is_not_for_it() {
    let mut s = Scene::new();
    let (two, three) = (read(&mut s, TWO, "/two"), read(&mut s, Thread(20, 23), "/three"));
    let early = s.old(81);
    s.send(POOL[0], early, Client, &get("/item/58213170/1"));
    let one = read(&mut s, ONE, "/one");
    s.recv(POOL[0], early, Client, OK);
    call(&mut s, POOL[1], "/item/58213170/2");
    s.wake(POOL[1], ONE, DONE[0]);
    s.send(ONE, one, Server, OK);
    s.send(TWO, two, Server, OK);
    s.send(Thread(20, 23), three, Server, OK);
    assert_eq!(links(&mut s), ["/item/58213170/1 < - ", "/item/58213170/2 < /one next_answer"]);
}
