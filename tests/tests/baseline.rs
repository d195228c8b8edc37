//! What a tracer learned is known to the next one, and what people say about it counts at once.

use anyhow::{Context, Result, ensure};
use std::{fs, path::Path, process::Stdio, thread::sleep, time::Duration};
use tracer_tests::{Connection, Server, Stage, Tracer, environment, servers, tracer};

/// What a habit must have waited at least to be learned at the end of a run.
const LEARNED_AFTER: Duration = Duration::from_millis(3_500);

fn get(server: &Server, target: &str) -> Result<()> {
    let response = Connection::open(&server.address)?.get(target)?;
    ensure!(response.status == 200, "{target}: {response:?}");
    Ok(())
}

/// Runs `tracer baseline` and gives what it prints.
fn baseline(file: &str, arguments: &[&str]) -> Result<String> {
    let output = tracer::run(&[&["baseline", "--baseline", file], arguments].concat())?;
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    ensure!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    Ok(text(&output.stdout))
}

/// Takes one service of the file, which was observed for a minute, as learned.
fn end_the_learning(file: &str) -> Result<String> {
    let mut document: serde_json::Value = serde_json::from_str(&fs::read_to_string(file)?)?;
    let services = document["services"].as_array_mut().context("no services")?;
    let served = |service: &&mut serde_json::Value| service["requests"].as_u64() > Some(0);
    let service = services.iter_mut().find(served).context("no service that serves")?;
    service["learned"] = true.into();
    let name = service["service"].as_str().context("no name")?.to_owned();
    fs::write(file, document.to_string())?;
    Ok(name)
}

/// The routes of which it was said that they are new.
fn new_routes(report: &tracer_tests::Report) -> Vec<&str> {
    let new = report.findings.iter().filter(|finding| finding.rule == "http.new_endpoint");
    new.filter_map(|finding| finding.json["attributes"]["url.path"].as_str()).collect()
}

#[test]
fn a_restart_forgets_nothing() -> Result<()> {
    let stage = Stage::new()?;
    let server = servers::werkzeug(&stage)?;
    let path = stage.path("kept/baseline.json");
    let file = path.to_str().context("an odd folder")?;

    let first = Tracer::watch(&stage, &["--baseline", file])?;
    get(&server, "/known?a=1")?;
    sleep(LEARNED_AFTER);
    let report = first.stop()?;
    ensure!(new_routes(&report).is_empty(), "the learning is quiet: {:?}", report.findings);
    let listed = baseline(file, &["list"])?;
    ensure!(listed.contains("  endpoint GET /known\n"), "{listed}");
    let service = end_the_learning(file)?;

    let second = Tracer::watch(&stage, &["--baseline", file])?;
    get(&server, "/known?a=2")?;
    get(&server, "/new")?;
    baseline(file, &["allow", &service, "endpoint GET /allowed"])?;
    // It looks at the file every second.
    sleep(LEARNED_AFTER);
    get(&server, "/allowed")?;
    let report = second.stop()?;
    ensure!(new_routes(&report) == ["/new"], "{:?}", report.findings);
    let listed = baseline(file, &["list", "--service", &service])?;
    for route in ["/allowed (accepted)", "/known", "/new"] {
        ensure!(listed.contains(&format!("  endpoint GET {route}\n")), "{listed}");
    }
    Ok(())
}

#[test]
fn a_baseline_can_be_shipped() -> Result<()> {
    let stage = Stage::new()?;
    let path = |name| stage.path(name).to_str().map(ToOwned::to_owned).context("an odd folder");
    let (here, there, shipped) = (path("a.json")?, path("b.json")?, path("reviewed.json")?);
    baseline(&here, &["allow", "shop", "relay GET /terminal | 10.0.0.9:22"])?;
    baseline(&here, &["export", &shipped])?;
    let again = tracer::run(&["baseline", "export", &shipped, "--baseline", &here])?;
    ensure!(again.status.code() == Some(2), "it replaces a file without a word: {}", again.status);
    baseline(&here, &["export", &shipped, "--force"])?;
    baseline(&there, &["import", &shipped])?;
    ensure!(baseline(&there, &["list"])? == baseline(&here, &["list"])?);
    baseline(&there, &["forget", "shop"])?;
    ensure!(baseline(&there, &["list"])?.is_empty());
    Ok(())
}

/// What a run over two launches that no one expects says, worst first.
fn launched(stage: &Stage, server: &Server, file: &str) -> Result<Vec<tracer_tests::Finding>> {
    let tracer = Tracer::watch(stage, &["--baseline", file])?;
    get(server, "/launch-id")?;
    sleep(LEARNED_AFTER);
    let pids = server.pids();
    let ours = |finding: &tracer_tests::Finding| {
        finding.json["resource"]["process.pid"]
            .as_u64()
            .is_some_and(|pid| pids.iter().any(|p| u64::from(*p) == pid))
    };
    Ok(tracer.stop()?.findings.into_iter().filter(ours).collect())
}

#[test]
fn what_was_accepted_here_is_quiet_there() -> Result<()> {
    let stage = Stage::new()?;
    let server = servers::werkzeug(&stage)?;
    let path = |name| stage.path(name).to_str().map(ToOwned::to_owned).context("an odd folder");
    let (here, there, shipped) = (path("here.json")?, path("there.json")?, path("reviewed.json")?);

    let told = launched(&stage, &server, &here)?;
    let [finding] = told.as_slice() else { anyhow::bail!("not one finding: {told:?}") };
    ensure!(finding.severity == "high", "{finding:?}");
    // It was told, so it is not learned, however often it comes.
    let again = launched(&stage, &server, &here)?;
    ensure!(again.iter().all(|finding| finding.severity == "high") && again.len() == 1, "{again:?}");

    let listed = accept(Path::new(&here), &finding.json.to_string())?;
    ensure!(listed.contains("GET /launch-id"), "{listed}");
    baseline(&here, &["export", &shipped])?;
    baseline(&there, &["import", &shipped])?;
    let quiet = launched(&stage, &server, &there)?;
    ensure!(quiet.iter().all(|finding| ["info", "low"].contains(&finding.severity.as_str())), "{quiet:?}");
    Ok(())
}

#[test]
fn what_makes_no_sense_is_refused_and_stays() -> Result<()> {
    let stage = Stage::new()?;
    let file = stage.path("b.json");
    for (content, complaint) in [("{", "is damaged"), (r#"{"tracer_baseline":99}"#, "has version 99")] {
        fs::write(&file, content)?;
        let path = file.to_str().context("an odd folder")?;
        for arguments in [
            &["watch", "--for", "1s"] as &[_],
            &["baseline", "list"],
            &["baseline", "allow", "a", "edge b:1"],
        ] {
            let output = tracer::run(&[arguments, &["--baseline", path]].concat())?;
            let stderr = String::from_utf8_lossy(&output.stderr);
            ensure!(output.status.code() == Some(2), "{arguments:?}: {}", output.status);
            ensure!(stderr.contains(complaint) && stderr.contains("b.json"), "{arguments:?}: {stderr}");
        }
        ensure!(fs::read_to_string(&file)? == content);
    }
    Ok(())
}

#[test]
fn findings_are_accepted_as_they_are_printed() -> Result<()> {
    let stage = Stage::new()?;
    let file = stage.path("b.json");
    let lines = concat!(
        r#"{"type":"ready"}"#,
        "\n",
        r#"{"type":"finding","rule":"net.tunnel","resource":{"service.name":"shop"},"attributes":{"#,
        r#""tracer.baseline.habits":["relay GET /ws | 10.0.0.9:22"]}}"#,
        "\n",
        r#"{"type":"finding","rule":"http.request_smuggling","resource":{"service.name":"shop"},"attributes":{}}"#,
    );
    let listed = accept(&file, lines)?;
    ensure!(listed == "normal for shop: relay GET /ws | 10.0.0.9:22\n", "{listed}");
    Ok(())
}

fn accept(file: &Path, lines: &str) -> Result<String> {
    use std::io::Write;
    let mut command = std::process::Command::new(environment::tracer()?);
    command.args(["baseline", "accept", "-", "--baseline"]).arg(file);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    child.stdin.take().context("no standard input")?.write_all(lines.as_bytes())?;
    Ok(String::from_utf8(child.wait_with_output()?.stdout)?)
}
