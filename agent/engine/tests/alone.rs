//! What a process calls while just one request waits: that no other one does is no proof that a call is for it.

mod scene;

use scene::{Client, Conn, Scene, Server, Thread, get, text};
use tracer_engine::SpanKind;

const MAIN: Thread = Thread(20, 20);
const ONE: Thread = Thread(20, 21);
const TWO: Thread = Thread(20, 22);
/// A thread that reads no requests.
const OTHER: Thread = Thread(20, 30);
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const BEGUN: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

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

/// A pool of threads each of which answers what it has read.
fn pool() -> Scene {
    let mut s = Scene::new();
    for by in [ONE, TWO].repeat(100) {
        let conn = read(&mut s, by, "/warm");
        s.send(by, conn, Server, OK);
    }
    s
}

/// An event loop that has had two requests at a time.
fn event_loop() -> Scene {
    let mut s = Scene::new();
    let conns = ["/x", "/y"].map(|path| read(&mut s, MAIN, path));
    conns.iter().for_each(|conn| s.send(MAIN, *conn, Server, OK));
    s.wait(1_000);
    s
}

/// Of the calls to `path`: how many have a parent, how sure the surest is, and how many there are.
fn linked(s: &mut Scene, path: &str) -> (usize, f64, usize) {
    s.settle();
    let spans = s.spans();
    let calls = spans.iter().filter(|span| {
        span.kind == SpanKind::Client && text(span, "url.full").is_some_and(|url| url.ends_with(path))
    });
    let sure = calls.clone().filter(|call| call.parent_span_id.is_some()).map(|call| {
        text(call, "tracer.link.confidence").and_then(|confidence| confidence.parse().ok()).unwrap_or(0.0)
    });
    (sure.clone().count(), sure.fold(0.0, f64::max), calls.count())
}

#[test]
fn a_timer_of_an_event_loop_flushes_while_a_request_waits_for_an_hour() {
    let mut s = event_loop();
    let conn = read(&mut s, MAIN, "/wait");
    for _ in 0..360 {
        s.wait(10_000);
        call(&mut s, MAIN, "/flush");
    }
    s.send(MAIN, conn, Server, OK);
    let (count, _, all) = linked(&mut s, "/flush");
    assert!(count <= 1 && all == 360, "no trace grows without end: {count}");
}

#[test]
fn what_points_to_the_only_one_in_an_event_loop_is_not_told_as_sure() {
    let mut s = event_loop();
    let conn = read(&mut s, MAIN, "/page");
    call(&mut s, MAIN, "/stock");
    s.send(MAIN, conn, Server, OK);
    let (count, confidence, _) = linked(&mut s, "/stock");
    assert!(count == 1 && (0.85..0.9).contains(&confidence), "{count} {confidence}");
}

#[test]
fn an_exporters_thread_in_a_server_with_one_busy_client() {
    let mut s = pool();
    let conn = s.accept(80);
    for n in 0..40 {
        s.recv(ONE, conn, Server, &get(&format!("/work/{n}")));
        call(&mut s, OTHER, "/flush");
        s.send(ONE, conn, Server, OK);
    }
    assert_eq!(linked(&mut s, "/flush").0, 0);
}

#[test]
fn what_an_event_loop_does_after_an_answer_is_not_for_whoever_still_waits() {
    let mut s = Scene::new();
    for n in 0..50 {
        let conns = ["a", "b"].map(|name| read(&mut s, MAIN, &format!("/{name}{n}")));
        s.send(MAIN, conns[0], Server, OK);
        call(&mut s, MAIN, "/audit");
        s.send(MAIN, conns[1], Server, OK);
        s.wait(100);
    }
    assert_eq!(linked(&mut s, "/audit"), (0, 0.0, 50));
}

#[test]
fn what_is_polled_while_a_stream_is_open_is_known_as_a_poll() {
    for stream in [false, true] {
        let mut s = event_loop();
        if stream {
            let events = read(&mut s, MAIN, "/events");
            s.send(MAIN, events, Server, BEGUN);
        }
        let conn = s.accept(80);
        for n in 0..100 {
            (0..9).for_each(|_| call(&mut s, MAIN, "/poll"));
            s.recv(MAIN, conn, Server, &get(&format!("/page{n}")));
            call(&mut s, MAIN, "/poll");
            s.send(MAIN, conn, Server, OK);
        }
        assert_eq!(linked(&mut s, "/poll").0, 0, "{stream}");
    }
}

#[test]
fn calls_before_the_first_request_do_not_unlink_those_of_a_thread_with_one() {
    let mut s = Scene::new();
    (0..6).for_each(|_| call(&mut s, MAIN, "/products"));
    for by in [ONE, TWO].repeat(100) {
        let conn = read(&mut s, by, "/warm");
        s.send(by, conn, Server, OK);
    }
    for n in 0..50 {
        let conn = read(&mut s, ONE, &format!("/shop{n}"));
        call(&mut s, ONE, "/products");
        s.send(ONE, conn, Server, OK);
    }
    assert_eq!(linked(&mut s, "/products").0, 50);
}

#[test]
fn a_thread_of_its_own_works_on_a_request_until_the_last_byte() {
    for others in [0, 1] {
        let mut s = pool();
        let other: Vec<_> = (0..others).map(|_| read(&mut s, TWO, "/other")).collect();
        let conn = read(&mut s, ONE, "/stream");
        s.send(ONE, conn, Server, BEGUN);
        for _ in 0..3 {
            call(&mut s, ONE, "/rows");
            s.send(ONE, conn, Server, "2\r\nok\r\n");
        }
        s.send(ONE, conn, Server, "0\r\n\r\n");
        other.iter().for_each(|conn| s.send(TWO, *conn, Server, OK));
        assert_eq!(linked(&mut s, "/rows").0, 3);
    }
}

#[test]
fn a_worker_process_that_stays_is_not_the_first_requests_for_ever() {
    let mut s = pool();
    let conn = read(&mut s, ONE, "/first");
    s.fork(ONE, 90);
    call(&mut s, Thread(90, 90), "/job");
    s.send(ONE, conn, Server, OK);
    for n in 0..30 {
        s.wait(1_000);
        let conn = read(&mut s, TWO, &format!("/later{n}"));
        call(&mut s, Thread(90, 90), "/job");
        s.send(TWO, conn, Server, OK);
    }
    let (count, _, all) = linked(&mut s, "/job");
    assert_eq!((count, all, s.stats().causes_gone), (1, 31, 0));
}

/// The record of a response is lost: the thread is none that works on several requests for that.
#[test]
fn a_lost_record_makes_no_event_loop() {
    let mut s = pool();
    let lost = read(&mut s, TWO, "/x");
    s.lose(1);
    s.send(TWO, lost, Server, OK);
    let conn = read(&mut s, TWO, "/y");
    s.send(TWO, conn, Server, OK);
    s.recv(ONE, lost, Server, &get("/again"));
    s.send(ONE, lost, Server, OK);
    // Until it shows that the response is over.
    s.wait(1_000);
    for n in 0..20 {
        let conns = [(ONE, "/aa"), (TWO, "/bb")].map(|(by, path)| (by, read(&mut s, by, path)));
        s.begin_thread(TWO, 40 + n);
        call(&mut s, Thread(20, 40 + n), "/begun");
        conns.iter().for_each(|(by, conn)| s.send(*by, *conn, Server, OK));
    }
    assert!(linked(&mut s, "/begun").0 >= 10);
}

#[test]
fn a_thread_that_acts_of_itself_does_so_while_a_request_waits() {
    let mut s = Scene::new();
    let conn = s.accept(80);
    for n in 0..20 {
        s.recv(ONE, conn, Server, &get(&format!("/page{n}")));
        if n > 0 {
            call(&mut s, OTHER, &format!("/beat/{}", "x".repeat(n)));
            s.fork(OTHER, 90 + n as u32);
            s.exec(Thread(90 + n as u32, 90 + n as u32), &["date"]);
            s.exit(90 + n as u32, 0);
        }
        s.send(ONE, conn, Server, OK);
        s.wait(100);
        if n == 0 {
            call(&mut s, OTHER, "/first");
        }
    }
    s.settle();
    let of_its_own = |span: &&&tracer_engine::Span| span.kind != SpanKind::Server;
    let spans = s.spans();
    assert_eq!(spans.iter().filter(of_its_own).filter(|span| span.parent_span_id.is_some()).count(), 0);
    assert_eq!(spans.iter().filter(of_its_own).count(), 39);
}

#[test]
fn what_an_event_loop_read_when_it_connected_is_not_what_that_is_for() {
    let mut s = event_loop();
    let conns = ["/a", "/b", "/c", "/d"].map(|path| read(&mut s, MAIN, path));
    s.wait(3);
    let up = s.connect(MAIN, 81);
    s.send(MAIN, up, Client, &get("/stock"));
    s.recv(MAIN, up, Client, OK);
    s.wait(3);
    conns.iter().for_each(|conn| s.send(MAIN, *conn, Server, OK));
    assert_eq!(linked(&mut s, "/stock").0, 0);
}

#[test]
fn a_thread_that_always_works_on_what_it_read_does_so_whoever_asks_for_the_same() {
    let mut s = pool();
    let [one, two] = [(ONE, "/cart"), (TWO, "/item/9f8e7d6c5b4a")].map(|(by, path)| read(&mut s, by, path));
    call(&mut s, ONE, "/item/9f8e7d6c5b4a");
    s.send(ONE, one, Server, OK);
    s.send(TWO, two, Server, OK);
    s.settle();
    let spans = s.spans();
    let cart = spans.iter().find(|span| text(span, "url.path").as_deref() == Some("/cart")).expect("is told");
    let call = spans.iter().find(|span| span.kind == SpanKind::Client).expect("is told");
    assert_eq!(call.parent_span_id, Some(cart.span_id));
}
