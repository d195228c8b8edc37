//! The command line: what it answers, on which stream, with which exit code.

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use std::process::{Command, Output};
use tracer_tests::{Address, Connection, Daemon, Report, Stage, Tracer, environment, servers, tracer};

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn ensure_code(output: &Output, code: i32) -> Result<()> {
    let (out, err) = (stdout(output), stderr(output));
    ensure!(output.status.code() == Some(code), "{}, not {code}:\n{out}{err}", output.status);
    ensure!(!err.contains("panicked"), "{err}");
    Ok(())
}

/// Runs the tracer as an ordinary user.
///
/// From a copy that he can reach: the workspace may lie in a folder of root's.
fn run_unprivileged(stage: &Stage, arguments: &[&str]) -> Result<Output> {
    let copy = stage.path("tracer");
    std::fs::copy(environment::tracer()?, &copy)?;
    let mut command = Command::new(environment::program("setpriv")?);
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all"]);
    Ok(command.arg(copy).args(arguments).current_dir(stage.folder()).output()?)
}

#[test]
fn doctor_names_every_hook() -> Result<()> {
    let _stage = Stage::new()?;
    let output = tracer::run(&["doctor"])?;
    ensure_code(&output, 0)?;
    let text = stdout(&output);
    for hook in [
        "sock_send_length",
        "sock_recv_length",
        "inet_sock_set_state",
        "sched_process_fork",
        "sched_process_exec",
        "sched_process_exit",
    ] {
        ensure!(text.contains(hook), "doctor does not name {hook}:\n{text}");
    }
    let json = tracer::run(&["doctor", "--json"])?;
    ensure_code(&json, 0)?;
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).context("doctor --json")?;
    let checks = json["checks"].as_array().context("no checks")?;
    let lines: Vec<_> = text.lines().collect();
    ensure!(checks.len() == lines.len() && json["ready"] == true, "{json}\n{text}");
    for (check, line) in checks.iter().zip(lines) {
        ensure!(
            check["blocks"] == false && line.starts_with(check["state"].as_str().unwrap_or("?")),
            "{check}"
        );
    }
    Ok(())
}

/// What is refused is said once, in words that do not change, and with nothing left dangling.
#[test]
fn doctor_explains_what_an_ordinary_user_lacks() -> Result<()> {
    let stage = Stage::new()?;
    let output = run_unprivileged(&stage, &["doctor"])?;
    ensure_code(&output, 3)?;
    let text = stdout(&output);
    for line in text.lines() {
        ensure!(line.starts_with("ok ") || line.starts_with("missing "), "another word: {line}");
        ensure!(!line.trim_end().ends_with(';'), "dangling: {line}");
        ensure!(line.matches("not permitted").count() <= 1, "said twice: {line}");
    }
    ensure!(stdout(&run_unprivileged(&stage, &["doctor"])?) == text, "another time it says something else");
    Ok(())
}

#[test]
fn an_ordinary_user_hears_which_privilege_is_missing() -> Result<()> {
    let stage = Stage::new()?;
    for arguments in
        [&["doctor"] as &[_], &["watch", "--for", "1s"], &["record", "-o", "f.trc", "--for", "1s"]]
    {
        let output = run_unprivileged(&stage, arguments)?;
        ensure_code(&output, 3)?;
        let text = stdout(&output) + &stderr(&output);
        ensure!(text.contains("CAP_BPF"), "{arguments:?} does not name the privilege:\n{text}");
    }
    Ok(())
}

#[test]
fn wrong_usage_is_refused() -> Result<()> {
    for arguments in [
        &["watch", "--no-such-flag"] as &[_],
        &["watch", "--output", "yaml"],
        &["watch", "--for", "soon"],
        &["watch", "--ring-size", "3M"],
        &["watch", "--for", "-1s"],
        &["no-such-command"],
        &["record"],
        &[],
    ] {
        let output = tracer::run(arguments)?;
        ensure_code(&output, 2)?;
        ensure!(output.stdout.is_empty() && !output.stderr.is_empty(), "{arguments:?}: {output:?}");
    }
    Ok(())
}

#[test]
fn watch_ends_by_itself_after_its_time() -> Result<()> {
    let stage = Stage::new()?;
    let server = servers::node(&stage)?;
    let tracer = Tracer::watch(&stage, &["--for", "1s"])?;
    Connection::open(&server.address)?.get("/within")?;
    let report = tracer.finish()?;
    let spans = report.of(&server.pids());
    ensure!(spans.len() == 1 && spans[0].target() == "/within", "{spans:?}");
    for counter in ["records", "lost", "spans", "findings", "rss_bytes"] {
        ensure!(report.stats[counter].is_u64(), "no {counter} in {}", report.stats);
    }
    ensure!(report.stats["cpu_seconds"].is_number(), "no cpu_seconds in {}", report.stats);
    ensure!(report.stats["spans"].as_u64() == Some(report.spans.len() as u64), "{}", report.stats);
    Ok(())
}

/// The command's requests and those of its children are traced, those of others are not.
#[test]
fn watch_traces_just_a_command() -> Result<()> {
    let stage = Stage::new()?;
    let server = servers::node(&stage)?;
    let url = format!("http://{}", server.address);
    let python = environment::venv("python")?;
    let fetch = "import sys, urllib.request; urllib.request.urlopen(sys.argv[1]).read()";
    let script = r#""$0" -c "$1" "$2/by-child"; "$0" -c "$1" "$2/by-another""#;
    let mut others = Connection::open(&server.address)?;
    others.get("/before")?;
    let mut command = Command::new(environment::tracer()?);
    command
        .args(["watch", "--no-baseline", "--output", "json", "--", "sh", "-c", script])
        .arg(python)
        .args([fetch, &url]);
    let mut daemon = Daemon::start(&stage, "tracer", command)?;
    while daemon.wait_until("the command's request", |_| true).is_ok() {
        others.get("/by-others")?;
        if server.served()?.iter().any(|served| served.target == "/by-another") {
            break;
        }
    }
    let status = daemon.wait_end()?;
    ensure!(status.success(), "{status}: {}", daemon.stderr());
    let report = Report::parse(&daemon.stdout(), daemon.stderr())?;
    let mut clients: Vec<_> =
        report.spans.iter().filter(|span| span.kind == "CLIENT").map(|span| span.target()).collect();
    clients.sort_unstable();
    ensure!(clients == ["/by-another", "/by-child"], "{clients:?}");
    ensure!(report.spans.iter().all(|span| span.target() != "/by-others"), "a request of another process");
    Ok(())
}

/// As with other programs that run one: a script may go on by what the command says.
#[test]
fn the_exit_code_of_a_command_is_passed_on() -> Result<()> {
    let _stage = Stage::new()?;
    for (script, code, words) in [
        ("exit 0", 0, ""),
        ("exit 7", 7, "tracer: the command ended with exit code 7"),
        ("kill -9 $$", 137, "tracer: the command was killed by signal 9"),
    ] {
        let output = tracer::run(&["watch", "--no-baseline", "--", "sh", "-c", script])?;
        ensure_code(&output, code)?;
        let said: Vec<_> =
            stderr(&output).lines().filter(|l| l.contains("the command")).map(str::to_owned).collect();
        ensure!(said.concat() == words, "{script}: {said:?}");
    }
    // Ended by the tracer: what it makes of that is not its result.
    let output = tracer::run(&[
        "watch",
        "--no-baseline",
        "--for",
        "300ms",
        "--",
        "sh",
        "-c",
        "trap 'exit 9' TERM; sleep 9 & wait",
    ])?;
    ensure_code(&output, 0)
}

#[test]
fn a_command_that_does_not_exist_is_named() -> Result<()> {
    let _stage = Stage::new()?;
    let output = tracer::run(&["watch", "--no-baseline", "--", "/no/such/program"])?;
    ensure_code(&output, 1)?;
    ensure!(stderr(&output).contains("/no/such/program"), "{}", stderr(&output));
    Ok(())
}

#[test]
fn watch_filters_by_port_and_status() -> Result<()> {
    let stage = Stage::new()?;
    let server = servers::node(&stage)?;
    let other = servers::nginx(&stage)?;
    let Address::Tcp(address) = &server.address else { unreachable!("node listens on TCP") };
    let tracer = Tracer::watch(&stage, &["--port", &address.port().to_string(), "--status", "4xx"])?;
    for target in ["/fine", "/status-404"] {
        Connection::open(&server.address)?.get(target)?;
        Connection::open(&other.address)?.get(target)?;
        // Where it arrives counts, not only what it names.
        let mut foreign = Connection::open(&server.address)?;
        foreign.send(format!("GET {target} HTTP/1.1\r\nHost: shop.example:1\r\n\r\n").as_bytes())?;
        foreign.response("GET")?;
    }
    let report = tracer.stop()?;
    let targets: Vec<_> = report.spans.iter().map(|span| (span.kind.as_str(), span.target())).collect();
    ensure!(targets.len() == 4 && targets.iter().all(|(_, target)| target == "/status-404"), "{targets:?}");
    Ok(())
}

/// The pretty view for a person: the tree of a request, without colours when they are not wanted.
#[test]
fn the_pretty_view_shows_the_tree() -> Result<()> {
    let stage = Stage::new()?;
    let app = servers::werkzeug(&stage)?;
    let front = servers::nginx_before(&stage, &app)?;
    let mut command = Command::new(environment::tracer()?);
    command.args(["watch", "--no-baseline", "--for", "3s"]).env("NO_COLOR", "1");
    let mut daemon = Daemon::start(&stage, "tracer", command)?;
    daemon.wait_until("request in the view", |daemon| {
        let sent = Connection::open(&front.address).and_then(|mut c| c.get("/tree/launch-id"));
        sent.is_ok() && daemon.stdout().contains("/tree/launch-id")
    })?;
    daemon.signal(Signal::INT)?;
    let status = daemon.wait_end()?;
    ensure!(status.success(), "{status}: {}", daemon.stderr());
    let text = daemon.stdout();
    ensure!(!text.contains('\u{1b}'), "colours in spite of NO_COLOR:\n{text}");
    for part in ["GET", "/tree/launch-id", "200", "nginx", "sh -c id"] {
        ensure!(text.contains(part), "no {part:?} in\n{text}");
    }
    // Deeper lines are those that the upper ones caused.
    let depth = |needle: &str| {
        let line = text.lines().find(|line| line.contains(needle))?;
        line.find(|c: char| c.is_ascii_alphanumeric())
    };
    let [request, launch] = ["GET /tree/launch-id  200", "─ $ sh -c id"].map(depth);
    ensure!(request.is_some() && request < launch, "no tree:\n{text}");
    Ok(())
}
