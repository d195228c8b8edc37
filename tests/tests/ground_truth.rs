//! The servers' logs, without the tracer: what the other tests take for the truth must be true.

use anyhow::{Result, ensure};
use tracer_tests::servers::{self, Workers};
use tracer_tests::{Connection, Server, Stage};

fn ensure_log_agrees(server: &mut Server) -> Result<()> {
    let mut connection = Connection::open(&server.address)?;
    let first = connection.get("/a/hello?n=1")?;
    ensure!(first.status == 200 && first.body == b"hello\n", "{}: {first:?}", server.name);
    let second = Connection::open(&server.address)?.get("/b/status-404")?;
    ensure!(second.status == 404, "{}: {second:?}", server.name);
    let served = server.served_all(2)?;
    let seen: Vec<_> = served.iter().map(|s| (s.method.as_str(), s.target.as_str(), s.status)).collect();
    ensure!(
        seen == [("GET", "/a/hello?n=1", 200), ("GET", "/b/status-404", 404)],
        "{} wrote down {seen:?}",
        server.name
    );
    ensure!(served.iter().all(|s| s.begin <= s.end && server.pids().contains(&s.pid)), "{served:?}");
    Ok(())
}

#[test]
fn every_server_writes_down_what_it_was_asked() -> Result<()> {
    let stage = Stage::new()?;
    ensure_log_agrees(&mut servers::nginx(&stage)?)?;
    ensure_log_agrees(&mut servers::node(&stage)?)?;
    ensure_log_agrees(&mut servers::werkzeug(&stage)?)?;
    ensure_log_agrees(&mut servers::gunicorn(&stage, Workers::Sync(2))?)?;
    ensure_log_agrees(&mut servers::gunicorn_unix(&stage, Workers::Threads(4))?)
}

#[test]
fn a_proxy_and_its_application_write_down_the_same() -> Result<()> {
    let stage = Stage::new()?;
    let app = servers::gunicorn(&stage, Workers::Sync(2))?;
    let mut front = servers::nginx_before(&stage, &app)?;
    ensure_log_agrees(&mut front)?;
    let targets = |server: &Server| -> Result<Vec<_>> {
        Ok(server.served()?.into_iter().map(|served| served.target).collect())
    };
    ensure!(targets(&front)? == targets(&app)?);
    ensure!(front.served()?.iter().all(|served| served.upstream_ms.is_some()));
    Ok(())
}
