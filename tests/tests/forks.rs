//! Each way in which a process comes to be: what is launched belongs to the request that it was launched for, though
//! four are open and nothing that is launched says for which.

use anyhow::{Context, Result, ensure};
use std::thread;
use tracer_tests::{Connection, Server, Span, Stage, Tracer, servers};

/// As in `forks.c`.
const WAYS: [&str; 7] =
    ["fork", "vfork", "posix-spawn", "clone-parent", "double-fork", "other-thread", "begun-thread"];
const AT_ONCE: usize = 4;

/// Asks; gives what the server says that it launched.
fn ask(server: &Server, target: &str) -> Result<String> {
    let response = Connection::open(&server.address)?.get(target)?;
    ensure!(response.status == 200, "{target}: {response:?}");
    Ok(String::from_utf8(response.body)?)
}

#[test]
fn a_launch_is_its_requests_however_it_was_forked() -> Result<()> {
    let stage = Stage::new()?;
    let server = servers::forks(&stage)?;
    let tracer = Tracer::watch(&stage, &[])?;
    let mut asked = Vec::new();
    for way in WAYS {
        let answers = thread::scope(|scope| {
            let target = |n| format!("/{way}?n={n}");
            let clients: Vec<_> = (0..AT_ONCE)
                .map(|n| {
                    let (target, server) = (target(n), &server);
                    scope.spawn(move || ask(server, &target).map(|number| (target, number)))
                })
                .collect();
            clients.into_iter().map(|client| client.join().expect("no panic")).collect::<Result<Vec<_>>>()
        })?;
        asked.extend(answers);
    }
    let pids = server.pids();
    let report = tracer.stop()?;
    report.ensure_nothing_lost()?;
    for (target, number) in asked {
        let is_it = |span: &&Span| span.list("process.command_args") == ["echo", number.as_str()];
        let launch = report.spans.iter().find(is_it).with_context(|| format!("{target}: no launch"))?;
        let parent = report.parent(launch).with_context(|| format!("{target}: {}", launch.brief()))?;
        let text = || format!("{target} launched {number}: {} is below {}", launch.brief(), parent.brief());
        ensure!(parent.kind == "SERVER" && pids.contains(&parent.pid()), "{}", text());
        ensure!(parent.target() == target, "{}", text());
        ensure!(launch.number("process.exit.code") == Some(0), "{}", text());
    }
    Ok(())
}
