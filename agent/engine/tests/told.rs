//! Who told a launched program to run: the server, the program above it, or someone elsewhere.

mod scene;

use scene::{Client, Conn, Scene, Server, Thread, answer, get};
use tracer_common::{AF_INET, Descriptor, Exec, direction};

const S: Thread = Thread(20, 20);

/// A server that is known, with a request open or without.
fn server(open: bool) -> (Scene, Conn) {
    let mut s = Scene::new();
    let conn = s.accept(80);
    s.recv(S, conn, Server, &get("/first"));
    s.described(20, "/srv/shop", &["/srv/shop"]);
    s.send(S, conn, Server, &answer(200, "ok"));
    s.wait(1_000);
    if open {
        s.recv(S, conn, Server, &get("/x"));
    }
    (s, conn)
}

/// What is told of programs, each the child of the one before it.
fn told(open: bool, line: &[&[&str]]) -> Vec<String> {
    let (mut s, conn) = server(open);
    let mut parent = S;
    for (n, args) in (40..).zip(line) {
        s.fork(parent, n);
        parent = Thread(n, n);
        s.exec(parent, args);
    }
    (40..).zip(line).for_each(|(n, _)| s.exit(n, 0));
    if open {
        s.send(S, conn, Server, &answer(200, "ok"));
    }
    s.wait(4_000);
    s.found().iter().map(|finding| format!("{} {}", finding.rule, finding.severity.name())).collect()
}

#[test]
fn what_a_wrapper_runs_its_launcher_told_it_to() {
    const HIGH: [&str; 1] = ["process.in_request high"];
    assert_eq!(told(true, &[&["timeout", "5", "id"], &["id"]]), HIGH);
    assert_eq!(told(true, &[&["sudo", "-u", "app", "id"], &["id"]]), HIGH);
    assert_eq!(told(true, &[&["find", "/srv", "-exec", "id", ";"], &["id"]]), HIGH);
    assert_eq!(told(false, &[&["timeout", "5", "id"], &["id"]]), ["process.without_request high"]);
}

#[test]
fn what_a_program_asks_by_itself_nobody_told_it_to() {
    assert_eq!(told(true, &[&["soffice", "a.doc"], &["uname", "-a"]]), ["process.in_request low"]);
    assert_eq!(
        told(true, &[&["bash", "-lc", "convert a b"], &["groups"]]),
        ["process.shell_in_request medium"],
        "a login shell's profile"
    );
    assert_eq!(told(false, &[&["job", "--all"], &["id"]]), ["process.without_request medium"]);
}

#[test]
fn a_program_of_any_name_on_a_connection_to_elsewhere() {
    let (mut s, conn) = server(true);
    let call = s.begin_connect(S, 4444);
    s.established(call, S);
    let inet =
        |sock| Descriptor { mode: 0o140_777, family: AF_INET, inode: 1, sock, ..Descriptor::default() };
    let there = s.end_mut(call, Client).sock.id;
    let given = Exec { descriptors: [inet(there); 3], ..Exec::default() };
    s.fork(S, 40);
    s.exec_as(given, Thread(40, 40), "/srv/up/kworker", &["kworker"]);
    s.exit(40, 0);
    s.send(S, conn, Server, &answer(200, "ok"));
    s.wait(4_000);
    assert_eq!(s.found()[0].rule, "process.remote_shell");

    // The request's own connection is what a server gives a script.
    let (mut s, conn) = server(true);
    let here = s.end_mut(conn, Server).sock.id;
    let given = Exec { descriptors: [inet(here); 3], ..Exec::default() };
    s.fork(S, 40);
    s.exec_as(given, Thread(40, 40), "/srv/cgi/hello", &["hello"]);
    s.exit(40, 0);
    s.send(S, conn, Server, &answer(200, "ok"));
    s.wait(4_000);
    assert_eq!(s.found()[0].rule, "process.in_request");
}

/// A frame of a client (RFC 6455, 5.2).
fn frame(said: &str) -> Vec<u8> {
    let mask = *b"MASK";
    let mut frame = vec![0x81, 0x80 | said.len() as u8];
    frame.extend(mask);
    frame.extend(said.bytes().enumerate().map(|(n, byte)| byte ^ mask[n % 4]));
    frame
}

#[test]
fn what_is_said_in_a_websocket_is_an_order_like_any_other() {
    let (mut s, conn) = server(false);
    let upgrade = "GET /ws HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    s.recv(S, conn, Server, upgrade);
    let switches = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    s.send(S, conn, Server, switches);
    s.wait(5_000);
    for said in ["hello", "{\"run\": \"make -C /srv\"}"] {
        let bytes = frame(said);
        s.part(S, conn, Server, direction::RECEIVE, bytes.len(), &bytes);
    }
    s.fork(S, 40);
    s.exec(Thread(40, 40), &["sh", "-c", "make -C /srv"]);
    s.exit(40, 0);
    s.wait(4_000);
    let told: Vec<_> = s.found().iter().map(|finding| (finding.rule, finding.severity.name())).collect();
    assert_eq!(told, [("process.command_from_request", "critical")]);
    let path = s.found()[0].attributes.iter().find(|(key, _)| *key == "url.path").cloned();
    assert_eq!(path, Some(("url.path", tracer_engine::Value::Str("/ws".into()))));
}

#[test]
fn what_a_request_left_for_later_is_its_order() {
    let (mut s, conn) = server(false);
    s.recv(S, conn, Server, &get("/queue?job=make+-C+%2Fsrv"));
    s.send(S, conn, Server, &answer(200, "ok"));
    for ms in [20, 5_000] {
        s.wait(ms);
        s.fork(S, 40);
        s.exec(Thread(40, 40), &["sh", "-c", "make -C /srv"]);
        s.exit(40, 0);
    }
    // Another one asks for what was left.
    s.recv(S, conn, Server, &get("/run"));
    s.fork(S, 41);
    s.exec(Thread(41, 41), &["sh", "-c", "make -C /srv"]);
    s.exit(41, 0);
    s.send(S, conn, Server, &answer(200, "ok"));
    s.wait(4_000);
    let told: Vec<_> = s.found().iter().map(|finding| (finding.rule, finding.severity.name())).collect();
    // The first one has left again, with what was launched five seconds later.
    assert_eq!(told, [("process.command_from_request", "critical"); 3], "one of each request");
    let spans: Vec<_> = s.found().iter().map(|finding| finding.span).collect();
    assert!(spans[0] == spans[1] && spans[1] != spans[2], "{spans:?}");
    let facts: Vec<_> = s.found()[2].evidence.iter().map(|fact| fact.text.clone()).collect();
    assert!(
        facts.iter().any(|fact| fact.starts_with("an earlier request said so: GET /queue?job=")),
        "{facts:?}"
    );
}

#[test]
fn what_a_field_or_a_path_left_for_later_is_an_order_too() {
    for request in [
        "GET / HTTP/1.1\r\nHost: h\r\nX-Job: make -C /srv\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nCookie: j=make -C /srv\r\n\r\n",
        "GET /make%20-C%20%2Fsrv HTTP/1.1\r\nHost: h\r\n\r\n",
    ] {
        let (mut s, conn) = server(false);
        s.recv(S, conn, Server, request);
        s.send(S, conn, Server, &answer(200, "ok"));
        for _ in 0..20 {
            s.recv(S, conn, Server, &get("/other?q=1"));
            s.send(S, conn, Server, &answer(200, "ok"));
        }
        s.wait(2_000);
        s.fork(S, 40);
        s.exec(Thread(40, 40), &["sh", "-c", "make -C /srv"]);
        s.exit(40, 0);
        s.wait(4_000);
        let told: Vec<_> = s.found().iter().map(|finding| finding.rule).collect();
        assert_eq!(told, ["process.command_from_request"], "{request}");
    }
}

#[test]
fn what_a_worker_beside_the_server_launches_a_request_may_have_told_it() {
    const WORKER: Thread = Thread(30, 30);
    for (open, args, found) in [
        (true, ["sh", "-c", "make -C /srv"], 1),
        (false, ["sh", "-c", "make -C /srv"], 1),
        (false, ["sh", "-c", "make -C /opt"], 0),
    ] {
        let mut s = Scene::new();
        s.exec(Thread(10, 10), &["shop"]);
        s.fork(Thread(10, 10), 20);
        s.fork(Thread(10, 10), 30);
        let conn = s.accept(80);
        s.recv(S, conn, Server, &get("/first"));
        s.send(S, conn, Server, &answer(200, "ok"));
        s.recv(S, conn, Server, &get("/queue?job=make+-C+%2Fsrv"));
        if !open {
            s.send(S, conn, Server, &answer(202, "ok"));
            s.wait(1_000);
        }
        s.fork(WORKER, 40);
        s.exec_as(Exec { ppid: 30, ..Exec::default() }, Thread(40, 40), "/bin/sh", &args);
        s.fork(Thread(40, 40), 41);
        s.exec(Thread(41, 41), &["id"]);
        s.exit(41, 0);
        s.exit(40, 0);
        s.wait(4_000);
        let told: Vec<_> = s.found().iter().map(|finding| finding.rule).collect();
        assert_eq!(told, vec!["process.command_from_request"; found], "{open} {args:?}");
        let path = |finding: &&tracer_engine::Finding| {
            finding.attributes.iter().any(|(_, value)| *value == tracer_engine::Value::Str("/queue".into()))
        };
        assert!(s.found().iter().all(path));
    }
}

#[test]
fn an_address_that_a_page_was_given_is_no_order() {
    for (target, severity) in [
        ("/preview?url=http%3A%2F%2Fexample.org%2Fsome%2Fpage", "medium"),
        ("/preview?url=http%3A%2F%2Fexample.org%2Fsome%2Fpage&k=U2FsdGVkX18wMTIzNDU2Nzg5", "high"),
        ("/preview?url=http%3A%2F%2Fexample.org%2Fsome%2Fpage+-o+x.php", "high"),
    ] {
        let (mut s, conn) = server(false);
        s.recv(S, conn, Server, &get(target));
        let url = "http://example.org/some/page";
        let text = if target.contains(".php") {
            format!("curl -s {url} -o x.php")
        } else {
            format!("curl -s '{url}'")
        };
        s.fork(S, 40);
        s.exec(Thread(40, 40), &["sh", "-c", &text]);
        s.exec(Thread(40, 40), &["curl", "-s", url]);
        s.exit(40, 0);
        s.send(S, conn, Server, &answer(200, "ok"));
        s.wait(4_000);
        let told: Vec<_> = s.found().iter().map(|finding| finding.severity.name()).collect();
        assert_eq!(told, [severity], "{target}");
    }
}

#[test]
fn a_timer_is_older_than_the_first_request() {
    let told = |late: bool| {
        let mut s = Scene::new();
        s.exec(S, &["/srv/shop"]);
        if !late {
            s.begin_thread(S, 29);
        }
        let conn = s.accept(80);
        s.recv(S, conn, Server, &get("/first?q=something+to+look+for"));
        s.send(S, conn, Server, &answer(200, "ok"));
        if late {
            s.begin_thread(S, 29);
        }
        s.wait(1_000);
        s.fork(Thread(20, 29), 40);
        s.exec(Thread(40, 40), &["sh", "-c", "ls /srv; id"]);
        s.exit(40, 0);
        s.wait(4_000);
        s.found().iter().map(|finding| finding.severity.name()).collect::<Vec<_>>()
    };
    assert_eq!(told(false), ["medium"]);
    assert_eq!(told(true), ["high"]);
}
