//! What the tracer did not see: it says so, and goes on.

use anyhow::{Result, ensure};
use rustix::process::Signal;
use std::thread;
use std::time::{Duration, Instant};
use tracer_tests::process::PATIENCE;
use tracer_tests::{Connection, Stage, Tracer, servers};

/// The smallest ring buffer, and a reader that is stopped while the servers go on: something must be lost.
#[test]
fn are_counted_and_survived() -> Result<()> {
    let stage = Stage::new()?;
    let server = servers::nginx(&stage)?;
    let tracer = Tracer::watch(&stage, &["--ring-size", "64K"])?;
    let mut older = Connection::open(&server.address)?;
    older.get("/before")?;
    tracer.signal(Signal::STOP)?;
    let load = thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|client| {
                let address = &server.address;
                scope.spawn(move || -> Result<()> {
                    let mut connection = Connection::open(address)?;
                    (0..500).try_for_each(|n| connection.get(&format!("/load/{client}/{n}")).map(drop))
                })
            })
            .collect();
        clients.into_iter().try_for_each(|client| client.join().expect("the client did not panic"))
    });
    tracer.signal(Signal::CONT)?;
    load?;
    // Once the ring has room again, the old connection and new ones are traced as before.
    thread::sleep(Duration::from_millis(500));
    older.get("/after/older")?;
    Connection::open(&server.address)?.get("/after/newer")?;
    let report = tracer.stop()?;
    ensure!(report.stats["lost"].as_u64().is_some_and(|lost| lost > 0), "nothing was lost: {}", report.stats);

    let sent: Vec<_> = server.served()?.into_iter().map(|served| served.target).collect();
    let spans = report.of(&server.pids());
    let made_up = spans.iter().find(|span| !sent.contains(&span.target()) && !span.target().is_empty());
    ensure!(made_up.is_none(), "made up: {made_up:?}");
    for target in ["/after/older", "/after/newer"] {
        let found = spans.iter().filter(|span| span.target() == target && span.status() == 200).count();
        ensure!(found == 1, "{found} spans for {target} after the loss");
    }
    Ok(())
}

/// Under a load that the usual buffer holds, nothing is lost and nothing is left out.
#[test]
fn are_none_under_a_usual_load() -> Result<()> {
    let stage = Stage::new()?;
    let mut server = servers::nginx(&stage)?;
    let tracer = Tracer::watch(&stage, &[])?;
    let begin = Instant::now();
    let mut connection = Connection::open(&server.address)?;
    (0..5000).try_for_each(|n| connection.get(&format!("/load/{n}")).map(drop))?;
    let took = begin.elapsed();
    let report = tracer.stop()?;
    report.ensure_nothing_lost()?;
    let served = server.served_all(5000)?.len();
    let spans = report.of(&server.pids()).len();
    ensure!(spans == served, "{spans} spans for {served} requests in {took:?}");
    Ok(())
}

/// An agent that is busy with its output to the full does not see itself.
#[test]
fn leave_out_the_agent_itself() -> Result<()> {
    let stage = Stage::new()?;
    let server = servers::node(&stage)?;
    let tracer = Tracer::watch(&stage, &[])?;
    let agent = tracer.pid();
    let begin = Instant::now();
    while begin.elapsed() < PATIENCE / 20 {
        Connection::open(&server.address)?.get("/seen")?;
    }
    let report = tracer.stop()?;
    ensure!(report.spans.iter().all(|span| span.pid() != agent), "the agent traced itself");
    ensure!(report.spans.iter().any(|span| span.target() == "/seen"), "nothing was traced at all");
    Ok(())
}
