//! Who told a launched program to run: the server, the program above it, or someone elsewhere.

mod scene;

use scene::{Client, Conn, Scene, Server, Thread, answer, get};
use tracer_common::{AF_INET, Descriptor, Exec};

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
