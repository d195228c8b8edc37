//! Spans arrive: in a sink of the tests, exactly, and in a receiver that others wrote.

use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tracer_tests::process::PATIENCE;
use tracer_tests::servers::{self, Workers};
use tracer_tests::sink::Takes;
use tracer_tests::stage::free_port;
use tracer_tests::{Connection, Daemon, Report, Sink, Stage, Tracer, environment};

/// Two servers, a proxied request and a launch.
fn traffic(stage: &Stage, variables: &[(&str, &str)]) -> Result<Report> {
    let app = servers::gunicorn(stage, Workers::Sync(2))?;
    let front = servers::nginx_before(stage, &app)?;
    let tracer = Tracer::watch_with(stage, &["--otlp"], variables)?;
    for n in 0..10 {
        Connection::open(&front.address)?.get(&format!("/exported/{n}"))?;
    }
    Connection::open(&front.address)?.get("/exported/launch-id")?;
    let agent = tracer.pid();
    let report = tracer.stop()?;
    let own: Vec<_> = report.spans.iter().filter(|span| span.pid() == agent).collect();
    ensure!(own.is_empty(), "the agent's own traffic: {own:?}");
    let exported: Vec<_> = report.spans.iter().filter(|span| span.target().starts_with("/v1/")).collect();
    ensure!(exported.is_empty(), "the agent's deliveries became spans: {exported:?}");
    Ok(report)
}

/// By trace and span id, without what only the JSON line has.
fn by_id(spans: impl Iterator<Item = Value>) -> Result<BTreeMap<String, Value>> {
    let mut map = BTreeMap::new();
    for mut span in spans {
        let object = span.as_object_mut().context("a span is an object")?;
        for only_there in ["type", "links", "status", "trace_state"] {
            object.remove(only_there);
        }
        let parent = object.entry("parent_span_id").or_insert(Value::Null);
        if parent.is_null() {
            *parent = Value::from("");
        }
        object["attributes"] = sorted(&object["attributes"]);
        object["resource"] = sorted(&object["resource"]);
        object.entry("events").or_insert_with(|| Value::Array(Vec::new()));
        let id = format!("{} {}", object["trace_id"], object["span_id"]);
        ensure!(map.insert(id.clone(), span).is_none(), "{id} was delivered twice");
    }
    Ok(map)
}

fn sorted(object: &Value) -> Value {
    let pairs: BTreeMap<_, _> = object.as_object().into_iter().flatten().collect();
    Value::Object(pairs.into_iter().map(|(key, value)| (key.clone(), value.clone())).collect::<Map<_, _>>())
}

fn ensure_intact(report: &Report, sink: &Sink, gzip: bool) -> Result<()> {
    let deliveries = sink.deliveries();
    ensure!(!deliveries.is_empty() && deliveries.iter().all(|delivery| delivery.gzip == gzip), "compression");
    let arrived = by_id(deliveries.iter().flat_map(|delivery| delivery.spans()))?;
    let printed = by_id(report.spans.iter().map(|span| span.json.clone()))?;
    ensure!(printed.len() >= 4 * 11, "only {} spans", printed.len());
    for (id, span) in &printed {
        let twin = arrived.get(id).with_context(|| format!("not delivered: {span}"))?;
        ensure!(twin == span, "printed  {span}\narrived  {twin}");
    }
    ensure!(arrived.len() == printed.len(), "{} arrived, {} printed", arrived.len(), printed.len());

    let mut resources: BTreeMap<u64, Value> = BTreeMap::new();
    for span in deliveries.iter().flat_map(|delivery| delivery.spans()) {
        let resource = sorted(&span["resource"]);
        let pid = resource["process.pid"].as_u64().context("a resource without process.pid")?;
        let first = resources.entry(pid).or_insert_with(|| resource.clone());
        ensure!(*first == resource, "two resources of process {pid}: {first} and {resource}");
    }
    Ok(())
}

#[test]
fn over_grpc_with_gzip() -> Result<()> {
    let stage = Stage::new()?;
    let sink = Sink::grpc(Takes::All)?;
    let report = traffic(
        &stage,
        &[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &sink.endpoint),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
        ],
    )?;
    ensure_intact(&report, &sink, true)
}

#[test]
fn over_http() -> Result<()> {
    let stage = Stage::new()?;
    let sink = Sink::http(Takes::All)?;
    let report = traffic(
        &stage,
        &[("OTEL_EXPORTER_OTLP_ENDPOINT", &sink.endpoint), ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")],
    )?;
    ensure_intact(&report, &sink, false)
}

/// A receiver that others wrote, and that logs what it got.
fn into_rotel(protocol: &str, compression: &str) -> Result<()> {
    let stage = Stage::new()?;
    let (grpc, http) = (free_port()?, free_port()?);
    let mut command = Command::new(environment::rotel()?);
    command.args(["start", "--exporter", "blackhole", "--debug-log", "traces"]);
    command.args(["--debug-log-verbosity", "detailed"]);
    command.args(["--otlp-grpc-endpoint", &format!("127.0.0.1:{grpc}")]);
    command.args(["--otlp-http-endpoint", &format!("127.0.0.1:{http}")]);
    command.arg("--pid-file").arg(stage.path("rotel.pid"));
    let mut rotel = Daemon::start(&stage, "rotel", command)?;
    let port = if protocol == "grpc" { grpc } else { http };
    rotel.wait_until("listener", |_| std::net::TcpStream::connect(("127.0.0.1", port)).is_ok())?;
    let endpoint = format!("http://127.0.0.1:{port}");
    let report = traffic(
        &stage,
        &[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", compression),
        ],
    )?;
    rotel.wait_until("log of every span", |rotel| {
        let log = rotel.stdout() + &rotel.stderr();
        report.spans.iter().all(|span| log.contains(&span.span_id) && log.contains(&span.trace_id))
    })
}

#[test]
fn into_rotel_over_grpc_with_gzip() -> Result<()> {
    into_rotel("grpc", "gzip")
}

#[test]
fn into_rotel_over_http() -> Result<()> {
    into_rotel("http/protobuf", "none")
}

/// Nobody listens: the spans are printed all the same, the complaint is clear, and it ends.
#[test]
fn into_nothing() -> Result<()> {
    let stage = Stage::new()?;
    let app = servers::node(&stage)?;
    for protocol in ["grpc", "http/protobuf"] {
        let endpoint = format!("http://127.0.0.1:{}", free_port()?);
        let mut command = Command::new(environment::tracer()?);
        command.args(["watch", "--no-baseline", "--output", "json", "--otlp", "--for", "2s"]);
        command.env("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint).env("OTEL_EXPORTER_OTLP_PROTOCOL", protocol);
        let begin = Instant::now();
        let mut tracer = Daemon::start(&stage, "tracer", command)?;
        tracer.wait_until("ready", |tracer| tracer.stdout().contains("ready"))?;
        Connection::open(&app.address)?.get("/undelivered")?;
        let status = tracer.wait_end()?;
        let stderr = tracer.stderr();
        ensure!(status.code() == Some(1), "{protocol}: {status}: {stderr}");
        ensure!(stderr.contains(&endpoint) && !stderr.contains("panicked"), "{protocol}: {stderr}");
        let report = Report::parse(&tracer.stdout(), stderr)?;
        ensure!(report.of(&app.pids()).len() == 1, "{protocol}: {:?}", report.spans);
        ensure!(begin.elapsed() < PATIENCE, "{protocol}: it hung");
    }
    Ok(())
}

/// The reader of standard output has what it wanted: no complaint, and what is queued is still delivered.
#[test]
fn after_the_output_was_closed() -> Result<()> {
    let stage = Stage::new()?;
    let (server, sink) = (servers::node(&stage)?, Sink::http(Takes::All)?);
    let mut command = Command::new(environment::tracer()?);
    command.args(["watch", "--no-baseline", "--output", "json", "--otlp", "--for", "10s"]);
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", &sink.endpoint);
    command.env("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf");
    let mut tracer = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let mut line = String::new();
    // Dropped with the statement: that closes the pipe.
    BufReader::new(tracer.stdout.take().context("no stdout")?).read_line(&mut line)?;
    ensure!(line.contains("ready"), "{line}");
    let (begin, mut connection) = (Instant::now(), Connection::open(&server.address)?);
    while tracer.try_wait()?.is_none() {
        connection.get("/closed")?;
        std::thread::sleep(Duration::from_millis(20));
    }
    ensure!(begin.elapsed() < Duration::from_secs(9), "the closed output did not end it");
    let ended = tracer.wait_with_output()?;
    let stderr = String::from_utf8_lossy(&ended.stderr);
    ensure!(ended.status.success() && stderr.is_empty(), "{}: {stderr}", ended.status);
    let delivered = sink.deliveries().iter().flat_map(|delivery| delivery.spans()).count();
    ensure!(delivered > 0, "what was queued was lost");
    Ok(())
}

/// A service that is set up wrongly must not be started again and again: that is what exit code 2 says.
#[test]
fn settings_that_make_no_sense_are_wrong_usage() -> Result<()> {
    let _stage = Stage::new()?;
    for (variable, value) in [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "pigeon"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "notaurl"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "ftp://localhost"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "abc"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nope"),
    ] {
        let mut command = Command::new(environment::tracer()?);
        if variable.ends_with("CERTIFICATE") {
            command.env("OTEL_EXPORTER_OTLP_ENDPOINT", "https://localhost:1");
        }
        let output = command.arg("run").env(variable, value).output()?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.code() == Some(2), "{variable}={value}: {}: {stderr}", output.status);
        ensure!(stderr.contains(&format!("{variable} is {value:?}")), "{variable}={value}: {stderr}");
    }
    Ok(())
}

#[test]
fn a_certificate_that_is_not_used_is_remarked() -> Result<()> {
    let _stage = Stage::new()?;
    let mut command = Command::new(environment::tracer()?);
    command.args(["watch", "--otlp", "--for", "100ms"]).env("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nope");
    let output = command.env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:1").output()?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    let remark = r#"OTEL_EXPORTER_OTLP_CERTIFICATE is "/nope", and not used"#;
    ensure!(stderr.matches(remark).count() == 1, "{}: {stderr}", output.status);
    Ok(())
}

/// Something answers, and does not know the path: to ask whether anything runs there would mislead.
#[test]
fn a_wrong_path_is_called_one() -> Result<()> {
    let stage = Stage::new()?;
    let (app, nginx) = (servers::node(&stage)?, servers::nginx(&stage)?);
    let mut command = Command::new(environment::tracer()?);
    command.args(["watch", "--no-baseline", "--output", "json", "--otlp", "--for", "2s"]);
    command.env("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", format!("http://{}/status-404", app.address));
    let mut tracer = Daemon::start(&stage, "tracer", command)?;
    tracer.wait_until("ready", |tracer| tracer.stdout().contains("ready"))?;
    Connection::open(&nginx.address)?.get("/undelivered")?;
    let (status, stderr) = (tracer.wait_end()?, tracer.stderr());
    ensure!(status.code() == Some(1) && stderr.contains("it answered 404 Not Found"), "{status}: {stderr}");
    ensure!(stderr.contains("takes no spans at this path") && !stderr.contains("running there?"), "{stderr}");
    Ok(())
}
