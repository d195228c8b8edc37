//! A finding from a real attack, told everywhere: a server leaves content unread and answers what stands there.

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Output};
use tracer_tests::recording::Recorder;
use tracer_tests::sink::Takes;
use tracer_tests::{Connection, Daemon, Finding, Report, Server, Sink, Stage, Tracer};
use tracer_tests::{environment, servers, tracer};

const SMUGGLING: &str = "http.request_smuggling";

/// What the log records' numbers are.
const SEVERITIES: [(&str, u64); 5] =
    [("info", 9), ("low", 10), ("medium", 13), ("high", 17), ("critical", 21)];

/// Sends a request with another one as its content, and takes as many answers as there should be.
fn send_two_in_one(server: &Server, answers: usize) -> Result<Vec<String>> {
    let inside = "GET /inside HTTP/1.1\r\nHost: tests\r\n\r\n";
    let length = inside.len();
    let request = format!("GET /outside HTTP/1.1\r\nHost: tests\r\nContent-Length: {length}\r\n\r\n{inside}");
    let mut connection = Connection::open(&server.address)?;
    connection.send(request.as_bytes())?;
    (0..answers).map(|_| Ok(String::from_utf8(connection.response("GET")?.body)?)).collect()
}

/// An attack that works: the server says so itself.
fn attack(server: &Server) -> Result<()> {
    let answers = send_two_in_one(server, 2)?;
    ensure!(answers == ["/outside", "/inside"], "the server did not take the bait: {answers:?}");
    Ok(())
}

/// What a rule says of a server; of what else goes on on the machine the tests know nothing.
fn found<'a>(report: &'a Report, server: &Server, rule: &str) -> Vec<&'a Finding> {
    let pids = server.pids();
    let is_ours = |finding: &&Finding| {
        let pid = finding.json["resource"]["process.pid"].as_u64().and_then(|pid| u32::try_from(pid).ok());
        finding.rule == rule && pid.is_some_and(|pid| pids.contains(&pid))
    };
    report.findings.iter().filter(is_ours).collect()
}

fn otlp<'a>(sink: &'a Sink, protocol: &'a str) -> [(&'a str, &'a str); 2] {
    [("OTEL_EXPORTER_OTLP_ENDPOINT", &sink.endpoint), ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)]
}

/// Its line, its span, the span of the request that was smuggled, the stats, the exit code.
fn ensure_told(report: &Report, server: &Server) -> Result<()> {
    let [finding] = found(report, server, SMUGGLING)[..] else {
        anyhow::bail!("not one finding: {:?}", report.findings)
    };
    ensure!((finding.severity.as_str(), finding.confidence.as_str()) == ("critical", "confirmed"));
    ensure!(finding.json["attributes"]["url.path"] == "/outside", "{}", finding.json);
    ensure!(finding.json["attributes"]["client.address"] == "127.0.0.1", "{}", finding.json);
    ensure!(finding.json["resource"]["service.name"].is_string(), "{}", finding.json);
    let (trace, span) = finding.span.as_ref().context("a finding without a span")?;
    let carrier = report.spans.iter().find(|s| s.span_id == *span && s.trace_id == *trace);
    let carrier = carrier.context("its span was not told")?;
    ensure!(carrier.target() == "/outside" && carrier.list("tracer.finding.rules") == [SMUGGLING]);
    let event = &carrier.json["events"][0];
    ensure!(event["name"] == "finding" && event["attributes"]["security_rule.name"] == SMUGGLING, "{event}");
    let inside = report.spans.iter().find(|span| span.target() == "/inside").context("the hidden request")?;
    ensure!(inside.json["attributes"]["tracer.smuggled"] == true, "{}", inside.brief());
    ensure!(inside.parent.as_ref() == Some(span), "{}", inside.brief());
    let told = report.findings.len() as u64;
    ensure!(report.stats["findings"] == told && report.stats["findings_shown"] == told, "{}", report.stats);
    ensure!(report.stats["unused"]["dropped_findings"] == 0, "{}", report.stats);
    Ok(())
}

/// Log records say what the lines say.
fn ensure_exported(report: &Report, sink: &Sink) -> Result<()> {
    let mut arrived: Vec<Value> = sink.deliveries().iter().flat_map(|delivery| delivery.findings()).collect();
    for finding in &mut arrived {
        let known = SEVERITIES.iter().find(|(name, _)| finding["severity"] == *name);
        let number = json!(known.with_context(|| format!("of no severity: {finding}"))?.1);
        let object = finding.as_object_mut().context("an object")?;
        ensure!(object.remove("severity_number") == Some(number), "{object:?}");
        ensure!(object.remove("security_rule.name").as_ref() == object.get("rule"), "{object:?}");
        ensure!(object.remove("tracer.finding.severity").as_ref() == object.get("severity"), "{object:?}");
        for id in ["trace_id", "span_id"] {
            if object[id] == "" {
                object[id] = Value::Null;
            }
        }
        object.insert("type".into(), "finding".into());
    }
    let printed: Vec<&Value> = report.findings.iter().map(|finding| &finding.json).collect();
    for line in &printed {
        ensure!(arrived.contains(line), "printed {line}\narrived {arrived:?}");
    }
    ensure!(arrived.len() == printed.len(), "{} arrived, {} printed", arrived.len(), printed.len());
    let delivery = json!({"exported": printed.len(), "failed": 0, "dropped": 0});
    ensure!(report.stats["export_findings"] == delivery, "{}", report.stats);
    // Events go with their spans.
    let events = |span: &Value| span["events"].as_array().map_or(0, Vec::len);
    let printed: usize = report.spans.iter().map(|span| events(&span.json)).sum();
    let spans = sink.deliveries().iter().flat_map(|delivery| delivery.spans()).collect::<Vec<_>>();
    ensure!(spans.iter().map(events).sum::<usize>() == printed && printed > 0, "{printed} events printed");
    Ok(())
}

fn told_everywhere(sink: &Sink, protocol: &str) -> Result<()> {
    let stage = Stage::new()?;
    let server = servers::unread(&stage)?;
    let options = ["--otlp", "--fail-on", "critical"];
    let mut tracer = Tracer::watch_with(&stage, &options, &otlp(sink, protocol))?;
    attack(&server)?;
    tracer.wait_for_findings(SMUGGLING, 1)?;
    let report = tracer.stop_with(4)?;
    ensure_told(&report, &server)?;
    ensure_exported(&report, sink)?;
    let own: Vec<_> = report.spans.iter().filter(|span| span.target().starts_with("/v1/")).collect();
    ensure!(own.is_empty(), "the agent's deliveries became spans: {own:?}");
    Ok(())
}

#[test]
fn told_in_json_by_exit_code_and_over_http() -> Result<()> {
    told_everywhere(&Sink::http(Takes::All)?, "http/protobuf")
}

#[test]
fn told_in_json_by_exit_code_and_over_grpc() -> Result<()> {
    told_everywhere(&Sink::grpc(Takes::All)?, "grpc")
}

/// Most receivers of spans take no logs: that must cost neither a span nor an exit code, and be said once.
fn without_logs(sink: &Sink, protocol: &str) -> Result<()> {
    let stage = Stage::new()?;
    let server = servers::unread(&stage)?;
    let mut tracer = Tracer::watch_with(&stage, &["--otlp"], &otlp(sink, protocol))?;
    // Each is a delivery of its own.
    for count in 1..=3 {
        attack(&server)?;
        tracer.wait_for_findings(SMUGGLING, count)?;
    }
    let report = tracer.stop()?;
    ensure!(found(&report, &server, SMUGGLING).len() == 3, "{:?}", report.findings);
    let failed = json!({"exported": 0, "failed": report.findings.len(), "dropped": 0});
    ensure!(report.stats["export_findings"] == failed, "{}", report.stats);
    ensure!(report.stats["export"]["failed"] == 0, "{}", report.stats);
    let spans = sink.deliveries().iter().flat_map(|delivery| delivery.spans()).count();
    ensure!(spans == report.spans.len() && spans >= 6, "{spans} of {} arrived", report.spans.len());
    let stderr = &report.stderr;
    ensure!(stderr.matches("cannot deliver findings").count() == 1, "{stderr}");
    ensure!(stderr.contains("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT"), "{stderr}");
    ensure!(!stderr.contains("cannot deliver spans"), "{stderr}");
    Ok(())
}

#[test]
fn a_receiver_without_logs_over_http() -> Result<()> {
    without_logs(&Sink::http(Takes::Traces)?, "http/protobuf")
}

#[test]
fn a_receiver_without_logs_over_grpc() -> Result<()> {
    without_logs(&Sink::grpc(Takes::Traces)?, "grpc")
}

fn replay(file: &Path, options: &[&str], code: i32) -> Result<Output> {
    let file = file.to_string_lossy();
    let output = tracer::run(&[&["replay", &file], options].concat())?;
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.code() == Some(code), "{options:?}: {}, not {code}:\n{out}{err}", output.status);
    Ok(output)
}

fn replay_json(file: &Path, options: &[&str], code: i32) -> Result<Report> {
    let output = replay(file, &[&["--output", "json"], options].concat(), code)?;
    Report::parse(&String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?)
}

#[test]
fn a_recording_tells_the_same_each_time() -> Result<()> {
    let stage = Stage::new()?;
    let server = servers::unread(&stage)?;
    let file = stage.path("f.trc");
    let recorder = Recorder::start(&stage, &file)?;
    Connection::open(&server.address)?.get("/harmless")?;
    attack(&server)?;
    recorder.stop()?;
    let report = replay_json(&file, &["--fail-on", "critical"], 4)?;
    ensure_told(&report, &server)?;
    let again = replay_json(&file, &[], 0)?;
    ensure!(again.findings == report.findings && again.spans == report.spans, "another time something else");

    // Findings alone, in each view.
    let alone = replay_json(&file, &["--findings"], 0)?;
    ensure!(alone.findings == report.findings && alone.spans.is_empty(), "{:?}", alone.spans);
    let other = replay_json(&file, &["--findings", "--service", "another"], 0)?;
    ensure!(other.findings.is_empty() && other.stats["findings"] == report.stats["findings"]);
    let pretty = String::from_utf8(replay(&file, &["--findings"], 0)?.stdout)?;
    ensure!(!pretty.contains("/harmless"), "{pretty}");
    let line =
        |needle: &str| pretty.lines().position(|line| line.contains(needle)).context(needle.to_owned());
    ensure!(line(" CRITICAL ")? < line("! http.request_smuggling")?, "{pretty}");
    let mark = line("! http.request_smuggling")?;
    ensure!(line("  GET /outside  200")? <= mark && mark < line("└─ GET /inside  200")?, "{pretty}");
    Ok(())
}

/// The same bytes before a server that reads content: one answer, and no more than a suspicion.
#[test]
fn what_is_harmless_fails_nothing() -> Result<()> {
    let stage = Stage::new()?;
    let server = servers::node(&stage)?;
    let file = stage.path("f.trc");
    let recorder = Recorder::start(&stage, &file)?;
    send_two_in_one(&server, 1)?;
    recorder.stop()?;
    let report = replay_json(&file, &["--fail-on", "high"], 0)?;
    ensure!(found(&report, &server, SMUGGLING).is_empty(), "{:?}", report.findings);
    ensure!(
        report.findings.iter().all(|finding| finding.confidence == "suspicious"),
        "{:?}",
        report.findings
    );
    ensure!(!report.findings.is_empty(), "that bytes can be read in two ways is worth a word");
    replay_json(&file, &["--fail-on", "medium"], 4)?;
    Ok(())
}

/// For a person: above its trace, while it goes on, without a trace of all else.
#[test]
fn the_pretty_view_shows_a_finding_and_its_trace() -> Result<()> {
    let stage = Stage::new()?;
    let server = servers::unread(&stage)?;
    let mut command = Command::new(environment::tracer()?);
    command.args(["watch", "--no-baseline", "--findings", "--fail-on", "high"]).env("NO_COLOR", "1");
    let mut daemon = Daemon::start(&stage, "tracer", command)?;
    daemon.wait_until("ready", |daemon| daemon.stderr().contains("Ctrl-C"))?;
    Connection::open(&server.address)?.get("/harmless")?;
    attack(&server)?;
    daemon.wait_until("the trace", |daemon| daemon.stdout().contains("└─ GET /inside"))?;
    let text = daemon.stdout();
    ensure!(text.contains(" CRITICAL ") && text.contains("http.request_smuggling  confirmed"), "{text}");
    ensure!(text.contains("│ trace ") && text.contains("from 127.0.0.1:"), "{text}");
    ensure!(text.find(" CRITICAL ") < text.find("! http.request_smuggling"), "{text}");
    ensure!(!text.contains('\u{1b}') && !text.contains("/harmless"), "{text}");
    daemon.signal(Signal::INT)?;
    let status = daemon.wait_end()?;
    ensure!(status.code() == Some(4), "{status}: {}", daemon.stderr());
    ensure!(daemon.stdout().lines().last().is_some_and(|line| line.contains(" finding")), "{text}");
    Ok(())
}
