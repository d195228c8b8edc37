//! Work on a request that a process was told of by the one that has it open.

mod scene;

use scene::{Client, Conn, Scene, Server, Thread, answer, get};
use tracer_common::{AF_UNIX, Descriptor, Exec, exec_flag};
use tracer_engine::{Input, ProcessFacts, Time, Value};

/// A worker that serves, its helper, and what both have as parent.
const S: Thread = Thread(20, 20);
const HELPER: Thread = Thread(30, 30);
const MASTER: u32 = 10;

fn facts(s: &mut Scene, pid: u32, ppid: u32, exe: &str) {
    let facts =
        ProcessFacts { pid, ppid, exe: exe.into(), args: vec![exe.into()], ..ProcessFacts::default() };
    s.engine.handle(Input::Process(facts), Time(s.time_ns));
}

/// A server and its helper, whose parent is `parent`.
fn served(parent: u32) -> (Scene, Conn) {
    let mut s = Scene::new();
    let conn = s.accept(80);
    s.recv(S, conn, Server, &get("/first"));
    facts(&mut s, 20, MASTER, "/srv/shop");
    s.send(S, conn, Server, &answer(200, "ok"));
    s.wait(1_000);
    s.recv(S, conn, Server, &get("/run"));
    let socket = s.unix();
    s.unix_seen(socket, Client, S);
    s.unix_seen(socket, Server, HELPER);
    tell(&mut s, socket, "\x01\0\0\0hello");
    facts(&mut s, 30, parent, "/srv/helper");
    (s, conn)
}

fn tell(s: &mut Scene, socket: Conn, bytes: &str) {
    s.send(S, socket, Client, bytes);
    s.recv(HELPER, socket, Server, bytes);
}

fn launch(s: &mut Scene, pid: u32, args: &[&str]) {
    s.fork(HELPER, pid);
    s.exec(Thread(pid, pid), args);
    s.exit(pid, 0);
}

/// Rule, severity and path of each finding.
fn told(s: &mut Scene) -> Vec<String> {
    s.wait(4_000);
    let text = |pairs: &[(&'static str, Value)]| {
        pairs.iter().find_map(|(key, value)| match (*key, value) {
            ("url.path", Value::Str(path)) => Some(path.clone()),
            _ => None,
        })
    };
    let line = |finding: &&tracer_engine::Finding| {
        let path = text(&finding.attributes).unwrap_or_default();
        format!("{} {} {path}", finding.rule, finding.severity.name())
    };
    s.found().iter().map(line).collect()
}

#[test]
fn what_a_helper_launches_is_for_the_request_that_it_was_told_of() {
    for parent in [MASTER, 20] {
        let (mut s, conn) = served(parent);
        launch(&mut s, 40, &["sh", "-c", "id; uname -a"]);
        s.send(S, conn, Server, &answer(200, "uid=0"));
        assert_eq!(told(&mut s), ["process.shell_in_request high /run"], "{parent}");
        let finding = s.found()[0];
        assert_eq!(finding.resource.pid, 20, "the service is the one that was asked");
        let hop = "pid 30, which forked it, had read from a unix socket what the server wrote";
        assert!(finding.evidence.iter().any(|fact| fact.text.starts_with(hop)), "{:?}", finding.evidence);
        let lines = s.finish();
        assert_eq!(
            lines[1..],
            ["SERVER GET /run 200 @20", "INTERNAL sh -c id; uname -a = 0 @20 < SERVER /run by thread"]
        );
    }
}

#[test]
fn another_service_is_asked_to_launch_things() {
    // Both are children of the first process of all; the helper belongs to someone else.
    for (own, parent) in [(1, 1), (MASTER, 11)] {
        let (mut s, conn) = served(parent);
        facts(&mut s, 20, own, "/srv/shop");
        launch(&mut s, 40, &["sh", "-c", "id; uname -a"]);
        s.send(S, conn, Server, &answer(200, "ok"));
        assert_eq!(told(&mut s), [""; 0], "{own} {parent}");
        assert_eq!(
            s.finish()[2],
            "INTERNAL sh -c id; uname -a = 0 @20 < SERVER /run by thread",
            "the link stays"
        );
    }
}

#[test]
fn it_works_on_the_last_one_it_was_told_of_until_it_answers() {
    let (mut s, conn) = served(MASTER);
    s.send(S, conn, Server, &answer(200, "ok"));
    s.recv(S, conn, Server, &get("/second"));
    let other = s.unix();
    tell(&mut s, other, "{\"run\":2}");
    launch(&mut s, 40, &["convert", "a"]);
    // It was done with the first one, and with the second one when it has answered.
    s.send(HELPER, other, Server, "done");
    s.recv(S, other, Client, "done");
    let silent = s.unix();
    s.send(S, conn, Server, &answer(200, "ok"));
    // The server has nothing open: what it says now is for none.
    tell(&mut s, silent, "idle");
    launch(&mut s, 50, &["convert", "b"]);
    let lines = s.finish();
    let launches: Vec<_> = lines.iter().filter(|line| line.starts_with("INTERNAL")).collect();
    assert_eq!(launches, ["INTERNAL convert a = 0 @20 < SERVER /second by next_answer"]);
}

#[test]
fn who_answers_nobody_does_not_work_for_its_last_request_for_ever() {
    for (wait, first) in [(100, true), (5_000, false)] {
        let (mut s, conn) = served(MASTER);
        s.send(S, conn, Server, &answer(200, "ok"));
        s.wait(wait);
        launch(&mut s, 40, &["convert", "a"]);
        s.wait(500);
        launch(&mut s, 50, &["convert", "b"]);
        let lines = s.finish();
        let launches: Vec<_> = lines.iter().filter(|line| line.starts_with("INTERNAL")).collect();
        assert_eq!(launches.len(), usize::from(first), "{wait}: {launches:?}");
    }
}

#[test]
fn of_two_at_once_what_they_say_decides() {
    let (mut s, conn) = served(MASTER);
    s.send(S, conn, Server, &answer(200, "ok"));
    let socket = s.unix();
    let conns: Vec<_> = ["/thumb/4711a", "/thumb/4712b"]
        .iter()
        .map(|path| {
            let conn = s.accept(80);
            s.recv(S, conn, Server, &get(path));
            s.send(S, socket, Client, path);
            conn
        })
        .collect();
    s.recv(HELPER, socket, Server, "/thumb/4711a/thumb/4712b");
    launch(&mut s, 40, &["convert", "4711a"]);
    launch(&mut s, 50, &["convert", "4712b"]);
    for conn in conns {
        s.send(S, conn, Server, &answer(200, "ok"));
    }
    let lines = s.finish();
    let launches: Vec<_> = lines.iter().filter(|line| line.starts_with("INTERNAL")).collect();
    assert_eq!(
        launches,
        [
            "INTERNAL convert 4711a = 0 @20 < SERVER /thumb/4711a by content",
            "INTERNAL convert 4712b = 0 @20 < SERVER /thumb/4712b by content"
        ]
    );
}

#[test]
fn who_was_told_nothing_works_on_nothing() {
    // A helper that no request was told to, and one that reads requests itself.
    let (mut s, conn) = served(MASTER);
    s.fork(Thread(31, 31), 40);
    s.exec(Thread(40, 40), &["sh", "-c", "id; uname -a"]);
    let socket = s.unix();
    s.unix_seen(socket, Client, S);
    s.unix_seen(socket, Server, Thread(32, 32));
    s.send(S, socket, Client, &get("/upstream"));
    s.recv(Thread(32, 32), socket, Server, &get("/upstream"));
    s.send(Thread(32, 32), socket, Server, &answer(200, ""));
    s.recv(S, socket, Client, &answer(200, ""));
    s.wait(3_000);
    s.fork(Thread(32, 32), 50);
    s.exec(Thread(50, 50), &["sh", "-c", "ls; uname -a"]);
    s.send(S, conn, Server, &answer(200, "ok"));
    assert_eq!(told(&mut s), ["process.without_request high "], "it is a server of its own");
}

#[test]
fn a_script_that_reads_its_content_from_the_same_socket_stays_what_it_is() {
    let (mut s, conn) = served(MASTER);
    let socket = s.unix();
    tell(&mut s, socket, "\x02\0\0\0run");
    s.fork(HELPER, 40);
    s.exec(Thread(40, 40), &["report"]);
    s.send(S, socket, Client, "content");
    s.recv(Thread(40, 40), socket, Server, "content");
    s.fork(Thread(40, 40), 41);
    let script = Exec { flags: exec_flag::CGI, ..Exec::default() };
    s.exec_as(script, Thread(41, 41), "/bin/sh", &["sh", "-c", "id; uname -a"]);
    for pid in [41, 40] {
        s.exit(pid, 0);
    }
    s.send(S, conn, Server, &answer(200, "ok"));
    // How bad that is is another rule's business.
    let told = told(&mut s);
    assert!(matches!(&told[..], [one] if one.starts_with("process.") && one.ends_with(" /run")), "{told:?}");
}

/// A shell on a pair of unix sockets, and what its server writes there.
fn fed(target: &str, text: &str) -> Vec<String> {
    let (mut s, conn) = served(MASTER);
    s.send(S, conn, Server, &answer(200, "ok"));
    s.recv(S, conn, Server, &get(target));
    let input = s.unix();
    let sock = s.end_mut(input, Server).sock.id;
    let stdin = Descriptor { mode: 0o140_777, family: AF_UNIX, inode: 9, sock, rdev: 0 };
    s.fork(S, 40);
    let given =
        Exec { descriptors: [stdin, Descriptor::default(), Descriptor::default()], ..Exec::default() };
    s.exec_as(given, Thread(40, 40), "/bin/sh", &["sh"]);
    s.send(S, input, Client, text);
    s.recv(Thread(40, 40), input, Server, text);
    s.exit(40, 0);
    s.send(S, conn, Server, &answer(200, "ok"));
    told(&mut s)
}

#[test]
fn what_a_shell_is_told_over_a_unix_socket_is_compared_with_the_request() {
    let written = fed("/run?c=id%3B+uname+-a", "id; uname -a\n");
    assert_eq!(written, ["process.command_from_request critical /run"]);
    let other = fed("/run?c=4711", "/srv/shop/report 4711\n");
    assert!(!other.iter().any(|finding| finding.contains("command_from_request")), "{other:?}");
}
