//! What becomes usual, and what that changes.

mod scene;

use scene::{Client, Scene, Server, Thread, answer, get};
use tracer_common::direction;
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
    let conn = s.accept(80);
    s.recv(S, conn, Server, &get("/export"));
    let sink = s.begin_connect(S, 9999);
    s.established(sink, S);
    for _ in 0..50 {
        s.part(S, sink, Client, direction::SEND, 1 << 20, b"\x01\x02 no HTTP");
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
