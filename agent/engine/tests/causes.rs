//! Which of several open requests caused a call: by words, by what the thread did, by what it answers
//! next; and what is left without a parent.

mod scene;

use scene::{Client, Conn, Scene, Server, Thread, get, text};
use tracer_engine::SpanKind;

/// A server's main thread, and two others of its threads.
const MAIN: Thread = Thread(20, 20);
const ONE: Thread = Thread(20, 21);
const TWO: Thread = Thread(20, 22);
/// Another server.
const BACK: Thread = Thread(30, 30);
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A request comes in.
fn read(s: &mut Scene, by: Thread, path: &str) -> Conn {
    let conn = s.accept(80);
    s.recv(by, conn, Server, &get(path));
    conn
}

/// A call and its answer, on a connection of its own.
fn call(s: &mut Scene, by: Thread, path: &str) {
    let conn = ask(s, by, path);
    s.recv(by, conn, Client, OK);
}

fn ask(s: &mut Scene, by: Thread, path: &str) -> Conn {
    let conn = s.old(81);
    s.send(by, conn, Client, &get(path));
    conn
}

/// Each call with its parent: target, parent's target or `-`, method, confidence.
fn calls(s: &mut Scene) -> Vec<(String, String, String, f64)> {
    let lines = s.settle();
    assert!(!lines.is_empty());
    let spans = s.spans();
    let target = |span: &tracer_engine::Span| {
        let full = text(span, "url.path").or_else(|| text(span, "url.full")).unwrap_or_default();
        full.trim_start_matches("http://h:81").to_owned()
    };
    let mut calls: Vec<_> = spans.iter().filter(|span| span.kind == SpanKind::Client).collect();
    calls.sort_by_key(|span| span.start_unix_nano);
    let described = calls.into_iter().map(|span| {
        let parent = spans.iter().find(|other| Some(other.span_id) == span.parent_span_id);
        let confidence = text(span, "tracer.link.confidence").and_then(|c| c.parse().ok()).unwrap_or(0.0);
        (
            target(span),
            parent.map_or("-".into(), |parent| target(parent)),
            text(span, "tracer.link.method").unwrap_or_default(),
            confidence,
        )
    });
    described.collect()
}

fn brief(s: &mut Scene) -> Vec<String> {
    calls(s).into_iter().map(|(call, parent, method, _)| format!("{call} < {parent} {method}")).collect()
}

#[test]
fn words_decide_where_a_thread_reads_several_requests_before_it_acts() {
    let mut s = Scene::new();
    let conns: Vec<_> = (0..4).map(|n| read(&mut s, MAIN, &format!("/order/58213{n}7"))).collect();
    for n in [2, 0, 3, 1] {
        call(&mut s, MAIN, &format!("/stock?item=58213{n}7&n=1"));
    }
    for conn in conns {
        s.send(MAIN, conn, Server, OK);
    }
    assert_eq!(
        brief(&mut s),
        [2, 0, 3, 1].map(|n| format!("/stock?item=58213{n}7&n=1 < /order/58213{n}7 content"))
    );
}

#[test]
fn words_of_a_content_count_as_those_of_a_target() {
    let mut s = Scene::new();
    let conns = [8, 9].map(|_| s.accept(80));
    let post = |id: &str| format!("POST /order HTTP/1.1\r\nContent-Length: 14\r\n\r\n{{\"id\":\"{id}\"}}");
    s.recv(MAIN, conns[0], Server, &post("58213"));
    s.recv(MAIN, conns[1], Server, &post("77124"));
    let call = s.connect(MAIN, 81);
    s.send(MAIN, call, Client, &get("/stock/58213?at=1763720000123"));
    s.recv(MAIN, call, Client, OK);
    conns.iter().rev().for_each(|conn| s.send(MAIN, *conn, Server, OK));
    let links = s.settle();
    assert!(links.iter().any(|line| line.starts_with("CLIENT GET /stock/58213")), "{links:?}");
    let call = s.spans().into_iter().find(|span| span.kind == SpanKind::Client).expect("a call");
    let parent =
        s.spans().into_iter().find(|span| Some(span.span_id) == call.parent_span_id).expect("a parent");
    assert_eq!(text(parent, "network.peer.port"), Some("40000".into()), "the first connection's");
    assert_eq!(text(call, "tracer.link.method"), Some("content".into()));
}

#[test]
fn words_decide_where_another_thread_makes_the_call() {
    let mut s = Scene::new();
    let (one, two) = (read(&mut s, ONE, "/order/5821317"), read(&mut s, TWO, "/order/5821327"));
    let pool = Thread(20, 30);
    for n in [2, 1, 2] {
        call(&mut s, pool, &format!("/stock/58213{n}7"));
    }
    s.send(ONE, one, Server, OK);
    s.send(TWO, two, Server, OK);
    assert_eq!(brief(&mut s), [2, 1, 2].map(|n| format!("/stock/58213{n}7 < /order/58213{n}7 content")));
}

#[test]
fn the_same_words_in_two_requests_decide_nothing() {
    let mut s = Scene::new();
    let conns = [read(&mut s, MAIN, "/order/5821317"), read(&mut s, MAIN, "/order/5821317")];
    let up = ask(&mut s, Thread(20, 30), "/stock/5821317");
    s.recv(Thread(20, 30), up, Client, OK);
    for conn in conns {
        s.send(MAIN, conn, Server, OK);
    }
    assert_eq!(brief(&mut s), ["/stock/5821317 < - "]);
    assert_eq!(s.stats().undecided_causes, 1);
}

#[test]
fn words_that_all_calls_have_decide_nothing() {
    let mut s = Scene::new();
    let pool = Thread(20, 30);
    for n in 0..40 {
        let path = if n < 39 { "/another" } else { "/v2024/1" };
        let conns = [read(&mut s, MAIN, path), read(&mut s, MAIN, "/other")];
        call(&mut s, pool, "/api/v2024/prices");
        for conn in conns {
            s.send(MAIN, conn, Server, OK);
        }
    }
    assert!(calls(&mut s).iter().all(|(_, parent, ..)| parent == "-"));
}

/// A proxy with an event loop: requests come in batches, each is passed on when it is read, and answered
/// when its answer is read.
fn proxy(s: &mut Scene, batches: usize) {
    let conns: Vec<_> = (0..4).map(|_| (s.accept(80), s.connect(MAIN, 81))).collect();
    for batch in 0..batches {
        for (n, (down, up)) in conns.iter().enumerate() {
            s.recv(MAIN, *down, Server, &get(&format!("/in/{}", (batch * 4 + n) % 7)));
            s.send(MAIN, *up, Client, &get("/out"));
        }
        for (down, up) in conns.iter().rev() {
            s.recv(MAIN, *up, Client, OK);
            s.send(MAIN, *down, Server, OK);
        }
    }
}

#[test]
fn clues_that_agree_are_believed_more_and_more() {
    let mut s = Scene::new();
    proxy(&mut s, 50);
    let calls = calls(&mut s);
    assert!(calls.iter().all(|(_, parent, ..)| parent != "-"));
    let confidence = |calls: &[(_, _, _, f64)]| calls.iter().map(|call| call.3).fold(1.0, f64::min);
    assert!(confidence(&calls[100..]) >= 0.99, "{:?}", &calls[190..]);
    let spans = s.spans();
    for call in spans.iter().filter(|span| span.kind == SpanKind::Client) {
        let parent = spans.iter().find(|span| Some(span.span_id) == call.parent_span_id).expect("a parent");
        assert!(parent.start_unix_nano <= call.start_unix_nano && call.end_unix_nano <= parent.end_unix_nano);
        assert!(call.start_unix_nano - parent.start_unix_nano <= 1_000_000, "the one that was just read");
    }
}

/// An event loop where each call waits for a timer first: what was read last, and what is answered next, are two
/// other requests than the one that a call is for.
#[test]
fn where_the_clues_mislead_nothing_is_told() {
    const OPEN: usize = 6;
    let mut s = Scene::new();
    let conns: Vec<_> = (0..OPEN).map(|_| (s.accept(80), s.old(81))).collect();
    for (down, _) in &conns {
        s.recv(MAIN, *down, Server, &get("/in"));
    }
    for round in 0..60_usize {
        let call = conns[round % OPEN].1;
        let (answered, _) = conns[(round + OPEN - 1) % OPEN];
        s.send(MAIN, call, Client, &get("/out"));
        s.recv(MAIN, call, Client, OK);
        s.send(MAIN, answered, Server, OK);
        s.recv(MAIN, answered, Server, &get("/in"));
    }
    let linked = calls(&mut s).iter().filter(|(_, parent, ..)| parent != "-").count();
    assert_eq!(linked, 0, "whatever is linked here is wrong");
}

#[test]
fn a_thread_that_is_handed_a_request_answers_it_next() {
    let mut s = Scene::new();
    // One thread reads all requests, others make the calls and answer.
    let (one, two) = (read(&mut s, MAIN, "/one"), read(&mut s, MAIN, "/two"));
    call(&mut s, TWO, "/a");
    call(&mut s, ONE, "/b");
    call(&mut s, TWO, "/c");
    s.send(ONE, one, Server, OK);
    s.send(TWO, two, Server, OK);
    assert_eq!(brief(&mut s), ["/a < /two next_answer", "/b < /one next_answer", "/c < /two next_answer"]);
}

/// Threads that read a request each, and a pool that makes the calls. `done` says at which place in memory
/// the pool's thread wakes the one that waits for it.
fn pool(s: &mut Scene, rounds: usize, done: impl Fn(usize) -> u64) -> Vec<(String, String, String, f64)> {
    let workers = [Thread(20, 30), Thread(20, 31)];
    for round in 0..rounds {
        let conns = [read(s, ONE, "/one"), read(s, TWO, "/two")];
        for (thread, worker) in [ONE, TWO].into_iter().zip(workers) {
            s.wake(thread, worker, 0x7000_0000);
        }
        for (n, (thread, worker)) in [ONE, TWO].into_iter().zip(workers).enumerate() {
            call(s, worker, if thread == ONE { "/for-one" } else { "/for-two" });
            s.wake(worker, thread, done(2 * round + n));
        }
        s.send(ONE, conns[0], Server, OK);
        s.send(TWO, conns[1], Server, OK);
    }
    calls(s)
}

#[test]
fn work_that_is_handed_to_another_thread_and_back() {
    let mut s = Scene::new();
    let calls = pool(&mut s, 20, |n| 0x1_0000 + 0x100 * n as u64);
    // The words say nothing: `for` is common, and so are `one` and `two`.
    let wrong = calls.iter().filter(|(call, parent, ..)| call.replace("/for-", "/") != *parent).count();
    assert_eq!(wrong, 0, "{calls:?}");
    assert!(calls[20..].iter().all(|(.., confidence)| *confidence > 0.95));
    assert!(s.outputs.contains(&tracer_engine::Output::WatchThreads(20)), "the engine asked for it");
    s.exit(20, 0);
    assert!(s.outputs.contains(&tracer_engine::Output::UnwatchThreads(20)), "until the process ended");
}

#[test]
fn threads_that_wake_each_other_at_a_lock_hand_nothing_over() {
    let mut s = Scene::new();
    const LOCK: u64 = 0x2000;
    let worker = Thread(20, 30);
    let conns = [read(&mut s, ONE, "/aa"), read(&mut s, TWO, "/bb")];
    s.wake(ONE, TWO, LOCK);
    for thread in [ONE, TWO, ONE] {
        s.wake(thread, worker, LOCK + 8);
        call(&mut s, worker, "/x");
        s.wake(worker, thread, LOCK);
    }
    s.send(ONE, conns[0], Server, OK);
    s.send(TWO, conns[1], Server, OK);
    assert_eq!(brief(&mut s), ["/x < - "; 3]);
}

#[test]
fn a_thread_that_was_begun_for_a_request() {
    let mut s = Scene::new();
    let conns = [read(&mut s, ONE, "/aa"), read(&mut s, TWO, "/bb")];
    s.begin_thread(TWO, 40);
    s.begin_thread(Thread(20, 40), 41);
    call(&mut s, Thread(20, 41), "/x");
    call(&mut s, Thread(20, 40), "/y");
    s.send(ONE, conns[0], Server, OK);
    s.send(TWO, conns[1], Server, OK);
    assert_eq!(brief(&mut s), ["/x < /bb thread", "/y < /bb thread"]);
}

/// The same where each of them has several requests open, which by itself may be an event loop.
#[test]
fn threads_that_answer_each_others_requests_hand_all_on() {
    const OTHER: Thread = Thread(20, 23);
    let mut s = Scene::new();
    for _ in 0..20 {
        let [one, two] = [ONE, TWO].map(|thread| [read(&mut s, thread, "/aa"), read(&mut s, thread, "/bb")]);
        call(&mut s, OTHER, "/x");
        s.send(OTHER, one[0], Server, OK);
        two.into_iter().for_each(|conn| s.send(ONE, conn, Server, OK));
        s.send(TWO, one[1], Server, OK);
    }
    let linked = brief(&mut s).into_iter().filter(|call| call != "/x < - ").count();
    assert!(linked <= 3, "{linked}");
}

/// Tasks that any thread goes on with: what a thread does next says nothing of what it did, nor whom it wakes.
#[test]
fn where_work_goes_from_thread_to_thread_no_thread_speaks_for_it() {
    const OTHER: Thread = Thread(20, 23);
    let mut s = Scene::new();
    for _ in 0..20 {
        let conn = read(&mut s, ONE, "/aa");
        s.send(TWO, conn, Server, OK);
    }
    for _ in 0..20 {
        let conns = [read(&mut s, ONE, "/aa"), read(&mut s, TWO, "/bb")];
        call(&mut s, OTHER, "/x");
        s.wake(OTHER, TWO, 0x2000);
        s.send(OTHER, conns[1], Server, OK);
        s.send(TWO, conns[0], Server, OK);
    }
    assert_eq!(brief(&mut s), ["/x < - "; 20]);
    assert!(!s.outputs.contains(&tracer_engine::Output::WatchThreads(20)), "it would be for nothing");
}

#[test]
fn the_only_open_request() {
    let mut s = Scene::new();
    let conn = read(&mut s, MAIN, "/one");
    call(&mut s, Thread(20, 30), "/a");
    s.send(MAIN, conn, Server, OK);
    assert_eq!(brief(&mut s), ["/a < /one only"]);
}

#[test]
fn who_calls_without_any_request_may_do_so_during_one() {
    let mut s = Scene::new();
    let poller = Thread(20, 30);
    let first = read(&mut s, MAIN, "/first");
    s.send(MAIN, first, Server, OK);
    for _ in 0..50 {
        call(&mut s, poller, "/poll");
    }
    let conn = read(&mut s, MAIN, "/one");
    call(&mut s, poller, "/poll");
    s.send(MAIN, conn, Server, OK);
    assert!(brief(&mut s).iter().all(|line| line == "/poll < - "));
}

#[test]
fn a_poller_is_known_by_what_it_calls_alone() {
    let mut s = Scene::new();
    let first = read(&mut s, MAIN, "/first");
    s.send(MAIN, first, Server, OK);
    for _ in 0..200 {
        call(&mut s, MAIN, "/health");
    }
    // The same thread, an event loop that has one request open.
    let conn = read(&mut s, MAIN, "/order");
    call(&mut s, MAIN, "/health");
    call(&mut s, MAIN, "/stock");
    s.send(MAIN, conn, Server, OK);
    let calls = brief(&mut s);
    assert!(calls[..201].iter().all(|line| line == "/health < - "), "{:?}", &calls[195..]);
    assert!(calls[201].starts_with("/stock < /order "), "{}", calls[201]);
}

#[test]
fn a_stream_is_not_the_cause_of_all_that_happens_meanwhile() {
    let mut s = Scene::new();
    let stream = read(&mut s, MAIN, "/events");
    s.send(MAIN, stream, Server, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    for _ in 0..50 {
        call(&mut s, MAIN, "/poll");
        call(&mut s, ONE, "/poll");
    }
    assert!(brief(&mut s).iter().all(|line| line == "/poll < - "));
}

#[test]
fn who_has_answered_its_own_request_does_not_work_for_anothers() {
    let mut s = Scene::new();
    for _ in 0..100 {
        for thread in [ONE, TWO] {
            let conn = read(&mut s, thread, "/warm");
            s.send(thread, conn, Server, OK);
        }
    }
    let (one, two) = (read(&mut s, ONE, "/one"), read(&mut s, TWO, "/two"));
    s.send(ONE, one, Server, OK);
    call(&mut s, ONE, "/audit");
    s.send(TWO, two, Server, OK);
    assert_eq!(brief(&mut s), ["/audit < - "]);
}

#[test]
fn what_two_requests_share_does_not_hide_what_one_has() {
    let mut s = Scene::new();
    let request = |path: &str| {
        format!("GET {path} HTTP/1.1\r\nHost: h\r\nCookie: session=9f86d081884c7d659a2feaa0c55ad015\r\n\r\n")
    };
    let conns = [s.accept(80), s.accept(80)];
    s.recv(MAIN, conns[0], Server, &request("/order/5821317"));
    s.recv(MAIN, conns[1], Server, &request("/order/6931428"));
    let up = s.old(81);
    s.send(Thread(20, 30), up, Client, &request("/stock/6931428"));
    s.recv(Thread(20, 30), up, Client, OK);
    for conn in conns {
        s.send(MAIN, conn, Server, OK);
    }
    assert_eq!(brief(&mut s), ["/stock/6931428 < /order/6931428 content"]);
}

#[test]
fn words_speak_against_a_thread_that_goes_on_with_another_request() {
    let mut s = Scene::new();
    let conns = [read(&mut s, ONE, "/order/5821317"), read(&mut s, TWO, "/order/6931428")];
    call(&mut s, ONE, "/stock/6931428");
    for conn in conns {
        s.send(MAIN, conn, Server, OK);
    }
    assert_eq!(brief(&mut s), ["/stock/6931428 < /order/6931428 content"]);
}

#[test]
fn a_decision_waits_for_the_answer_and_holds_back_what_hangs_on_it() {
    let mut s = Scene::new();
    let back = Thread(30, 30);
    let (one, two) = (read(&mut s, MAIN, "/one"), read(&mut s, MAIN, "/two"));
    let up = s.connect(ONE, 81);
    s.pass((ONE, Client), back, up, &get("/a"));
    s.pass((back, Server), ONE, up, OK);
    s.wait(500);
    assert_eq!(s.spans().len(), 0, "the call's and its server's spans wait");
    s.send(ONE, one, Server, OK);
    s.send(MAIN, two, Server, OK);
    let expected = [
        "SERVER GET /one 200 @20",
        "SERVER GET /two 200 @20",
        "CLIENT GET /a 200 @20 < SERVER /one by next_answer",
        "SERVER GET /a 200 @30 < CLIENT /a by socket",
    ];
    assert_eq!(s.settle(), expected);
}

/// Two requests are open; a call of one of them is passed on to `BACK`, which calls another server and has its answer at
/// once.
fn long_call_with_a_quick_one_below(s: &mut Scene) -> [Conn; 3] {
    const DEEP: Thread = Thread(40, 40);
    let (one, two) = (read(s, MAIN, "/one"), read(s, MAIN, "/two"));
    let up = s.connect(ONE, 81);
    s.pass((ONE, Client), BACK, up, &get("/long"));
    let below = s.connect(BACK, 82);
    s.pass((BACK, Client), DEEP, below, &get("/quick"));
    s.pass((DEEP, Server), BACK, below, OK);
    [one, two, up]
}

#[test]
fn a_decision_waits_for_a_call_in_flight() {
    let mut s = Scene::new();
    let [one, two, up] = long_call_with_a_quick_one_below(&mut s);
    s.wait(20_000);
    assert_eq!(s.spans().len(), 0, "which trace they are in shows the end of the call");
    s.pass((BACK, Server), ONE, up, OK);
    s.wait(500);
    s.send(ONE, one, Server, OK);
    s.send(MAIN, two, Server, OK);
    let expected = [
        "SERVER GET /one 200 @20",
        "SERVER GET /two 200 @20",
        "CLIENT GET /long 200 @20 < SERVER /one by next_answer",
        "SERVER GET /long 200 @30 < CLIENT /long by socket",
        "CLIENT GET /quick 200 @30 < SERVER /long by thread",
        "SERVER GET /quick 200 @40 < CLIENT /quick by socket",
    ];
    assert_eq!(s.settle(), expected);
}

#[test]
fn a_call_in_flight_is_not_waited_for_for_ever() {
    let mut s = Scene::new();
    let [one, two, up] = long_call_with_a_quick_one_below(&mut s);
    s.wait(40_000);
    assert_eq!(s.spans().len(), 2, "what is below leaves");
    s.pass((BACK, Server), ONE, up, OK);
    s.send(ONE, one, Server, OK);
    s.send(MAIN, two, Server, OK);
    let lines = s.settle();
    assert_eq!(lines[2], "CLIENT GET /long 200 @20", "it was decided when that left");
    assert_eq!(lines[4], "CLIENT GET /quick 200 @30 < SERVER /long by thread");
}

#[test]
fn what_a_process_calls_before_it_serves_anything_is_its_own() {
    let mut s = Scene::new();
    for _ in 0..6 {
        call(&mut s, MAIN, "/health");
    }
    let conn = read(&mut s, MAIN, "/order");
    call(&mut s, MAIN, "/health");
    call(&mut s, MAIN, "/stock");
    s.send(MAIN, conn, Server, OK);
    let calls = brief(&mut s);
    assert!(calls[..7].iter().all(|line| line == "/health < - "), "{calls:?}");
    assert!(calls[7].starts_with("/stock < /order "), "{}", calls[7]);
}

/// A proxy that checks on the path that everybody asks for, as bare as such checks are.
#[test]
fn a_check_is_told_from_a_request_that_is_passed_on() {
    let passed = "GET / HTTP/1.1\r\nHost: h\r\nUser-Agent: u\r\nAccept: */*\r\n\r\n";
    let ask = |s: &mut Scene, request: &str| {
        let up = s.old(81);
        s.send(MAIN, up, Client, request);
        s.recv(MAIN, up, Client, OK);
    };
    for check in ["OPTIONS / HTTP/1.0\r\n\r\n", "GET / HTTP/1.0\r\n\r\n"] {
        let mut s = Scene::new();
        (0..6).for_each(|_| ask(&mut s, check));
        for _ in 0..20 {
            let conn = s.accept(80);
            s.recv(MAIN, conn, Server, passed);
            ask(&mut s, check);
            ask(&mut s, passed);
            s.send(MAIN, conn, Server, OK);
        }
        let mut links = s.settle();
        links.retain(|line| line.starts_with("CLIENT"));
        let caused = links.iter().filter(|line| line.contains("< SERVER /")).count();
        assert_eq!((links.len(), caused), (46, 20), "{check}");
    }
}

#[test]
fn a_request_that_waits_for_long_is_not_the_cause_of_what_other_threads_do() {
    let mut s = Scene::new();
    read(&mut s, MAIN, "/poll-for-news");
    s.wait(20_000);
    for _ in 0..50 {
        call(&mut s, Thread(20, 30), "/refresh");
    }
    assert!(brief(&mut s).iter().all(|line| line == "/refresh < - "));
}

#[test]
fn a_decision_does_not_wait_for_ever() {
    let mut s = Scene::new();
    read(&mut s, MAIN, "/one");
    read(&mut s, MAIN, "/two");
    call(&mut s, ONE, "/a");
    assert_eq!(s.settle(), ["CLIENT GET /a 200 @20"], "after a second it is a root");
}
