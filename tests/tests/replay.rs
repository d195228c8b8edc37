//! A recording: the same traffic gives the same spans, and a file that is none is refused in words.

use anyhow::{Context, Result, ensure};
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};
use tracer_tests::recording::Recorder;
use tracer_tests::servers::{self, Workers};
use tracer_tests::{Connection, Report, Stage, Tracer, environment, tracer};

fn replay(file: &Path) -> Result<Output> {
    tracer::run(&["replay", "--output", "json", &file.to_string_lossy()])
}

fn report(output: &Output) -> Result<Report> {
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{}: {stderr}", output.status);
    Report::parse(&String::from_utf8_lossy(&output.stdout), stderr)
}

/// All of a span of this test's traffic but its ids and its times, with its ancestors: two agents see the same,
/// each at its own nanosecond. What else goes on on the machine one of them may have missed the begin of. Nor does a
/// working directory count: `/proc` tells of it as long as the process is there, whoever of them asks in time.
fn essence(report: &Report) -> Vec<String> {
    let mut all: Vec<_> = report
        .spans
        .iter()
        .map(|span| {
            let mut line = String::new();
            let mut next = Some(span);
            while let Some(span) = next {
                let mut attributes = span.json["attributes"].clone();
                attributes.as_object_mut().map(|all| all.remove("process.working_directory"));
                line += &format!("{} {} {attributes} ", span.pid(), span.kind);
                next = report.parent(span);
            }
            line
        })
        .filter(|line| PATHS.iter().any(|path| line.contains(path)))
        .collect();
    all.sort_unstable();
    all
}

const EACH: usize = 20;
/// What all targets of [`traffic`] begin with.
const PATHS: [&str; 3] = ["/before", "/kept/", "/fresh/"];

/// Traffic with everything in it: a proxy, an application, launches, and a connection older than the agents
/// that `start` gives.
fn traffic<Agents>(stage: &Stage, start: impl FnOnce() -> Result<Agents>) -> Result<Agents> {
    let app = servers::gunicorn(stage, Workers::Threads(4))?;
    let front = servers::nginx_before(stage, &app)?;
    let mut connection = Connection::open(&front.address)?;
    connection.get("/before")?;
    let agents = start()?;
    for n in 0..EACH {
        connection.get(&format!("/kept/{n}?ms=1"))?;
        Connection::open(&front.address)?.get(&format!("/fresh/{n}/launch-says?say={n}"))?;
    }
    Ok(agents)
}

/// A recording of some traffic.
fn recorded(stage: &Stage) -> Result<PathBuf> {
    let file = stage.path("f.trc");
    traffic(stage, || Recorder::start(stage, &file))?.stop()?;
    Ok(file)
}

#[test]
fn a_recording_gives_what_live_gave() -> Result<()> {
    let stage = Stage::new()?;
    let file = stage.path("f.trc");
    let start = || Ok((Recorder::start(&stage, &file)?, Tracer::watch(&stage, &[])?));
    let (recorder, watcher) = traffic(&stage, start)?;
    // Neither may see the other's last moments, so both end after the traffic has settled.
    recorder.stop()?;
    let live = watcher.stop()?;
    live.ensure_nothing_lost()?;

    let first = replay(&file)?;
    let again = replay(&file)?;
    // The stats tell of the agent's own time and memory; all before them follows from the recording.
    let spans = |output: &Output| {
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.lines().filter(|line| line.contains(r#""type":"span""#)).map(str::to_owned).collect::<Vec<_>>()
    };
    ensure!(spans(&first) == spans(&again), "two replays differ");

    let replayed = report(&first)?;
    let named = |report: &Report, path: &str| {
        report.spans.iter().filter(|span| span.kind == "SERVER" && span.target().starts_with(path)).count()
    };
    // nginx's and the application's.
    ensure!(named(&replayed, "/kept/") + named(&replayed, "/fresh/") == 4 * EACH, "spans are missing");
    let (live, replayed) = (essence(&live), essence(&replayed));
    let missing: Vec<_> = live.iter().filter(|line| !replayed.contains(line)).collect();
    let more: Vec<_> = replayed.iter().filter(|line| !live.contains(line)).collect();
    ensure!(live == replayed, "only live: {missing:#?}\nonly replayed: {more:#?}");
    Ok(())
}

#[test]
fn replay_needs_no_privilege() -> Result<()> {
    let stage = Stage::new()?;
    let file = recorded(&stage)?;
    let expected = report(&replay(&file)?)?;
    let copy = stage.path("tracer");
    fs::copy(environment::tracer()?, &copy)?;
    std::os::unix::fs::chown(&file, Some(65534), None)?;
    let mut command = Command::new(environment::program("setpriv")?);
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all"]);
    let output = command.arg(copy).args(["replay", "--output", "json"]).arg(&file).output()?;
    ensure!(report(&output)?.spans == expected.spans, "an ordinary user sees something else");
    Ok(())
}

/// Fails unless the file is refused with these words and without a panic.
fn ensure_refused(stage: &Stage, name: &str, bytes: &[u8], words: &str) -> Result<String> {
    let file = stage.path(name);
    fs::write(&file, bytes)?;
    let output = replay(&file)?;
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.code() == Some(1), "{name}: {}, not 1: {stderr}", output.status);
    ensure!(!stderr.contains("panicked"), "{name}: {stderr}");
    ensure!(stderr.contains(words) && stderr.contains(name), "{name}: {words:?} is not in {stderr:?}");
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn what_is_no_recording_is_refused() -> Result<()> {
    let stage = Stage::new()?;
    ensure_refused(&stage, "empty.trc", b"", "is not a tracer recording")?;
    ensure_refused(&stage, "foreign.trc", b"\x7fELF and so on, for some time", "is not a tracer recording")?;
    let missing = tracer::run(&["replay", "/no/such/file.trc"])?;
    let stderr = String::from_utf8_lossy(&missing.stderr);
    ensure!(missing.status.code() == Some(1) && stderr.contains("/no/such/file.trc"), "{stderr}");
    Ok(())
}

#[test]
fn a_damaged_recording_is_read_as_far_as_it_goes() -> Result<()> {
    let stage = Stage::new()?;
    let whole = fs::read(recorded(&stage)?)?;
    // The format: 8 bytes of magic, then its version.
    let mut newer = whole.clone();
    newer[8..10].copy_from_slice(&u16::MAX.to_le_bytes());
    ensure_refused(&stage, "newer.trc", &newer, "65535")?;
    ensure_refused(&stage, "head.trc", &whole[..12], "")?;
    let early = ensure_refused(&stage, "cut.trc", &whole[..whole.len() / 2], "ends early")?;
    ensure!(early.contains(r#""type":"stats""#), "nothing of what it holds was shown");
    for at in [whole.len() / 3, whole.len() / 2, whole.len() - 1] {
        let mut bent = whole.clone();
        bent[at] ^= 0xff;
        let file = stage.path("bent.trc");
        fs::write(&file, &bent)?;
        let output = replay(&file)?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        ensure!(matches!(output.status.code(), Some(0 | 1)), "byte {at}: {} {stderr}", output.status);
        ensure!(!stderr.contains("panicked"), "byte {at}: {stderr}");
    }
    Ok(())
}

/// `-` stands for standard output and standard input.
#[test]
fn a_recording_goes_through_a_pipe() -> Result<()> {
    let stage = Stage::new()?;
    let server = servers::node(&stage)?;
    let recorder = Recorder::start(&stage, Path::new("-"))?;
    Connection::open(&server.address)?.get("/piped")?;
    recorder.stop()?;
    let mut replay = Command::new(environment::tracer()?);
    replay.args(["replay", "--output", "json", "-"]);
    let piped = replay.stdin(fs::File::open(stage.path("recorder.stdout"))?).output()?;
    let report = report(&piped)?;
    let spans = report.of(&server.pids());
    ensure!(spans.len() == 1 && spans[0].target() == "/piped", "{spans:?}");
    ensure!(!stage.path("-").exists(), "a file named - was made");
    Ok(())
}

/// Whoever reads the recording has enough: that ends it, without a complaint.
#[test]
fn a_closed_pipe_ends_a_recording() -> Result<()> {
    let _stage = Stage::new()?;
    let mut command = Command::new(environment::tracer()?);
    command
        .args(["record", "--no-baseline", "-o", "-", "--for", "10s"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut recorder = command.spawn()?;
    let mut magic = [0; 8];
    // Dropped with the statement: that closes the pipe.
    recorder.stdout.take().context("no stdout")?.read_exact(&mut magic)?;
    let begin = Instant::now();
    // Something to record: what finds nobody to write to is told by writing.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    while recorder.try_wait()?.is_none() {
        TcpStream::connect(listener.local_addr()?)?.write_all(b"GET / HTTP/1.1\r\n\r\n")?;
        drop(listener.accept()?);
        sleep(Duration::from_millis(50));
    }
    let ended = recorder.wait_with_output()?;
    let stderr = String::from_utf8_lossy(&ended.stderr);
    ensure!(ended.status.success() && !stderr.contains("cannot"), "{}: {stderr}", ended.status);
    ensure!(begin.elapsed() < Duration::from_secs(9), "the closed pipe did not end it");
    Ok(())
}

/// Python's `pty` gives it a terminal: there a recording would only be noise, and none can be typed.
#[test]
fn a_terminal_is_refused() -> Result<()> {
    let _stage = Stage::new()?;
    let in_terminal = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))";
    for (arguments, words) in [
        (["record", "-o", "-"].as_slice(), "standard output is a terminal"),
        (&["replay", "-"], "standard input is"),
    ] {
        let mut command = Command::new(environment::venv("python")?);
        command.args(["-c", in_terminal]).arg(environment::tracer()?).args(arguments);
        let output = command.stdin(Stdio::null()).output()?;
        let said = String::from_utf8_lossy(&output.stdout);
        ensure!(output.status.code() == Some(2) && said.contains(words), "{}: {said}", output.status);
    }
    Ok(())
}

#[test]
fn a_recording_that_is_there_is_kept_unless_forced() -> Result<()> {
    let stage = Stage::new()?;
    let file = stage.path("kept.trc");
    fs::write(&file, "precious")?;
    let path = file.to_string_lossy().into_owned();
    let refused = tracer::run(&["record", "--no-baseline", "-o", &path, "--for", "100ms"])?;
    let stderr = String::from_utf8_lossy(&refused.stderr);
    ensure!(refused.status.code() == Some(2) && stderr.contains("--force"), "{}: {stderr}", refused.status);
    ensure!(fs::read(&file)? == b"precious", "it was replaced");
    let forced = tracer::run(&["record", "--no-baseline", "--force", "-o", &path, "--for", "100ms"])?;
    ensure!(forced.status.success() && report(&replay(&file)?)?.stats["lost"] == 0, "{forced:?}");
    Ok(())
}
