//! Who asked whom for what: every attribute of one request, by the names of the semantic conventions.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use tracer_tests::servers::{self, Workers};
use tracer_tests::{Address, Connection, Report, Span, Stage, Tracer, environment};

/// Fails with every attribute that is not as expected; `null` stands for one that must not be there.
fn ensure_attributes(span: &Span, expected: &Value) -> Result<()> {
    let expected = expected.as_object().context("an object")?;
    let wrong: Vec<_> = expected
        .iter()
        .filter(|(key, value)| span.json["attributes"][key.as_str()] != **value)
        .map(|(key, value)| format!("{key} is {}, not {value}", span.json["attributes"][key.as_str()]))
        .collect();
    ensure!(wrong.is_empty(), "{}:\n  {}\nin {}", span.kind, wrong.join("\n  "), span.json);
    Ok(())
}

fn only<'a>(report: &'a Report, pids: &BTreeSet<u32>, kind: &str) -> Result<&'a Span> {
    let mut spans = report.of(pids);
    spans.retain(|span| span.kind == kind);
    ensure!(spans.len() == 1, "{} {kind} spans of {pids:?}", spans.len());
    Ok(spans[0])
}

const REQUEST: &[u8] = b"GET /a%20b/status-404?q=1&token=t HTTP/1.1\r\nHost: shop.example:8080\r\n\
    User-Agent: tests/1.0\r\n\r\n";

#[test]
fn of_a_proxied_request() -> Result<()> {
    let stage = Stage::new()?;
    let app = servers::gunicorn(&stage, Workers::Sync(1))?;
    let front = servers::nginx_before(&stage, &app)?;
    let (Address::Tcp(at_front), Address::Tcp(at_app)) = (&front.address, &app.address) else {
        unreachable!("both listen on TCP")
    };
    let tracer = Tracer::watch(&stage, &[])?;
    let mut connection = Connection::open(&front.address)?;
    connection.send(REQUEST)?;
    ensure!(connection.response("GET")?.status == 404);
    let report = tracer.stop()?;

    let client = only(&report, &BTreeSet::from([std::process::id()]), "CLIENT")?;
    let front_server = only(&report, &front.pids(), "SERVER")?;
    let front_client = only(&report, &front.pids(), "CLIENT")?;
    let app_server = only(&report, &app.pids(), "SERVER")?;
    let same = json!({
        "http.request.method": "GET",
        "http.request.method_original": null,
        "http.response.status_code": 404,
        "network.protocol.version": "1.1",
        "network.peer.address": "127.0.0.1",
        "user_agent.original": "tests/1.0",
    });
    for span in [client, front_server, front_client, app_server] {
        ensure!(span.name == "GET", "the name is {:?}", span.name);
        // 404 is an error of the client's, and none of the server's.
        let code = if span.kind == "CLIENT" { "ERROR" } else { "UNSET" };
        ensure!(span.json["status"]["code"] == code, "{}", span.json);
        let error = if span.kind == "CLIENT" { json!("404") } else { Value::Null };
        ensure_attributes(span, &json!({ "error.type": error }))?;
    }
    // gunicorn answers nginx's HTTP/1.1 with HTTP/1.1, so all four are alike.
    [client, front_server, front_client, app_server]
        .iter()
        .try_for_each(|span| ensure_attributes(span, &same))?;
    let asked = json!({
        "url.path": "/a%20b/status-404",
        "url.scheme": "http",
        "server.address": "shop.example",
        "server.port": 8080,
        "client.address": "127.0.0.1",
    });
    ensure_attributes(front_server, &asked)?;
    ensure!(front_server.text("url.query").is_some_and(|query| query.starts_with("q=1&token=")));
    ensure_attributes(client, &json!({ "network.peer.port": at_front.port(), "url.path": null }))?;
    ensure_attributes(front_client, &json!({ "network.peer.port": at_app.port(), "url.path": null }))?;
    ensure_attributes(app_server, &json!({ "url.path": "/a%20b/status-404", "url.full": null }))?;
    ensure!(client.text("url.full").is_some_and(|url| url.starts_with("http://") && url.contains("/a%20b/")));
    Ok(())
}

#[test]
fn of_the_processes() -> Result<()> {
    let stage = Stage::new()?;
    let app = servers::werkzeug(&stage)?;
    let front = servers::nginx_before(&stage, &app)?;
    let tracer = Tracer::watch(&stage, &[])?;
    Connection::open(&front.address)?.get("/")?;
    let report = tracer.stop()?;
    for (server, executable) in [(&front, "nginx"), (&app, "python3")] {
        let span = only(&report, &server.pids(), "SERVER")?;
        let resource = &span.json["resource"];
        let path = std::fs::read_link(format!("/proc/{}/exe", span.pid()))?;
        ensure!(resource["process.executable.path"] == path.to_string_lossy().as_ref(), "{resource}");
        let name = resource["process.executable.name"].as_str().unwrap_or("");
        ensure!(name.starts_with(executable), "{resource}");
        ensure!(!resource["service.name"].as_str().unwrap_or("").starts_with("unknown"), "{resource}");
    }
    Ok(())
}

/// A client that lived for one request is as well known as one that stays: its launch was seen.
#[test]
fn of_a_client_that_is_gone() -> Result<()> {
    let stage = Stage::new()?;
    let server = servers::node(&stage)?;
    let fetch = r#"exec 3<>"/dev/tcp/${1/://}"; printf 'GET /short HTTP/1.0\r\n\r\n' >&3; read -r <&3"#;
    let tracer = Tracer::watch(&stage, &[])?;
    for _ in 0..10 {
        let mut command = std::process::Command::new("bash");
        let status = command.args(["-c", fetch, "bash", &server.address.to_string()]).status()?;
        ensure!(status.success());
    }
    let report = tracer.stop()?;
    let own: Vec<_> = report.spans.iter().filter(|s| s.kind == "CLIENT" && s.target() == "/short").collect();
    ensure!(own.len() == 10, "{} CLIENT spans", own.len());
    let unknown = own.iter().find(|span| span.json["resource"]["process.executable.name"] != "bash");
    ensure!(unknown.is_none(), "not known to be bash: {:?}", unknown.map(|span| &span.json["resource"]));
    Ok(())
}

/// Whoever has a parent says how it was found, in a word that README.md explains, and how sure that is.
#[test]
fn of_the_links() -> Result<()> {
    let stage = Stage::new()?;
    let app = servers::werkzeug(&stage)?;
    let front = servers::nginx_before(&stage, &app)?;
    let tracer = Tracer::watch(&stage, &[])?;
    Connection::open(&front.address)?.get("/linked/launch-id")?;
    let report = tracer.stop()?;
    let readme = std::fs::read_to_string(environment::workspace().join("README.md"))?;
    let linked: Vec<_> = report.spans.iter().filter(|span| span.parent.is_some()).collect();
    ensure!(linked.len() >= 4, "{linked:?}");
    for span in linked {
        let method = span.text("tracer.link.method").context("no method")?;
        ensure!(readme.contains(&format!("\n| `{method}` | ")), "README.md does not explain {method}");
        let confidence = span.json["attributes"]["tracer.link.confidence"].as_f64();
        ensure!(confidence.is_some_and(|sure| (0.8..=1.0).contains(&sure)), "{}", span.json);
        ensure!(span.number("tracer.link.candidates").is_none_or(|many| many > 1), "{}", span.json);
    }
    Ok(())
}
