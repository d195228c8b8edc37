//! nginx in front of an application: each request is one chain of four spans in a trace of its own,
//! client CLIENT -> nginx SERVER -> nginx CLIENT -> application SERVER, at the times the logs say.

use anyhow::{Context, Result, ensure};
use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use tracer_tests::servers::{self, Workers};
use tracer_tests::span::brief;
use tracer_tests::truth::Served;
use tracer_tests::{Address, Connection, Report, Server, Span, Stage, Tracer};

const SEQUENTIAL: usize = 20;
const CONNECTIONS: usize = 8;
const EACH: usize = 50;

/// One span in twenty may differ from a log by more than this: the kernel's record of an operation comes when it
/// ends, nginx reads its clock once a wake-up and cuts to milliseconds, and threads get preempted.
const FEW_MAY_DIFFER: i64 = 40_000_000;
/// The median must not.
const MEDIAN_MAY_DIFFER: i64 = 2_000_000;

fn drive(address: &Address) -> Result<()> {
    let mut connection = Connection::open(address)?;
    for n in 0..SEQUENTIAL {
        ensure!(connection.get(&format!("/sequential/{n}?ms=50"))?.status == 200);
    }
    let clients: Vec<_> = (0..CONNECTIONS)
        .map(|client| {
            let address = address.clone();
            thread::spawn(move || -> Result<()> {
                let mut connection = Connection::open(&address)?;
                for n in 0..EACH {
                    ensure!(connection.get(&format!("/concurrent/{client}/{n}?ms=3"))?.status == 200);
                }
                Ok(())
            })
        })
        .collect();
    clients.into_iter().try_for_each(|client| client.join().expect("the client did not panic"))
}

/// The stages of a request, from the outside in.
struct Chain<'a> {
    stages: [(&'static str, BTreeSet<u32>); 4],
    report: &'a Report,
}

impl<'a> Chain<'a> {
    fn new(report: &'a Report, front: &Server, app: &Server) -> Self {
        let own = BTreeSet::from([std::process::id()]);
        let (front, app) = (front.pids(), app.pids());
        let stages = [("CLIENT", own), ("SERVER", front.clone()), ("CLIENT", front), ("SERVER", app)];
        Self { stages, report }
    }

    /// The four spans of each target; whatever is not exactly one chain for each is an error.
    fn by_target(&self, expected: &BTreeSet<String>) -> Result<BTreeMap<String, [&'a Span; 4]>> {
        let ours = self.stages.iter().flat_map(|(_, pids)| pids).copied().collect();
        let mut found: BTreeMap<String, Vec<&Span>> = BTreeMap::new();
        for span in self.report.of(&ours) {
            found.entry(span.target()).or_default().push(span);
        }
        let extra: Vec<_> = found.iter().filter(|(target, _)| !expected.contains(*target)).collect();
        ensure!(extra.is_empty(), "spans of requests that nobody sent:\n{extra:?}");
        let mut chains = BTreeMap::new();
        let mut wrong = Vec::new();
        for target in expected {
            let spans = found.remove(target).unwrap_or_default();
            match self.chain(&spans) {
                Ok(chain) => drop(chains.insert(target.clone(), chain)),
                Err(error) => wrong.push(format!("{target}: {error}\n{}", brief(spans))),
            }
        }
        let examples = wrong.iter().take(5).cloned().collect::<String>();
        ensure!(wrong.is_empty(), "{} of {} chains are wrong:\n{examples}", wrong.len(), expected.len());
        Ok(chains)
    }

    fn chain(&self, spans: &[&'a Span]) -> Result<[&'a Span; 4]> {
        ensure!(spans.len() == 4, "{} spans instead of 4", spans.len());
        let mut chain = Vec::new();
        for (kind, pids) in &self.stages {
            let mut here = spans.iter().filter(|span| span.kind == *kind && pids.contains(&span.pid()));
            chain.push(*here.next().with_context(|| format!("no {kind} span of {pids:?}"))?);
            ensure!(here.next().is_none(), "two {kind} spans of {pids:?}");
        }
        ensure!(chain[0].parent.is_none(), "the client's span has a parent");
        for pair in chain.windows(2) {
            ensure!(pair[1].parent.as_ref() == Some(&pair[0].span_id), "wrong parent: {}", pair[1].brief());
            ensure!(pair[1].trace_id == pair[0].trace_id, "another trace: {}", pair[1].brief());
            ensure!(pair[1].start >= pair[0].start, "begins before its cause: {}", pair[1].brief());
            let beyond = nanos(pair[1].end) - nanos(pair[0].end);
            ensure!(beyond <= 0, "ends {beyond} ns after its cause: {}", pair[1].brief());
            let methods: &[&str] = match pair[1].kind.as_str() {
                "SERVER" => &["socket"],
                _ => &["thread", "content", "next_answer", "only"],
            };
            let method = pair[1].text("tracer.link.method").context("no method")?;
            ensure!(methods.contains(&method), "by another way: {}", pair[1].brief());
        }
        ensure!(chain.iter().all(|span| span.status() == 200 && span.method() == "GET"), "wrong facts");
        chain.try_into().ok().context("four spans")
    }
}

fn one_trace_each(chains: &BTreeMap<String, [&Span; 4]>) -> Result<()> {
    let traces: BTreeSet<_> = chains.values().map(|chain| &chain[0].trace_id).collect();
    ensure!(traces.len() == chains.len(), "{} traces for {} requests", traces.len(), chains.len());
    Ok(())
}

/// Fails unless nearly all differences, and their median, are small.
fn ensure_close(what: &str, mut differences: Vec<i64>) -> Result<()> {
    differences.sort_unstable_by_key(|difference| difference.abs());
    let (median, worst) = (differences[differences.len() / 2], differences[differences.len() * 19 / 20]);
    ensure!(median.abs() <= MEDIAN_MAY_DIFFER, "{what}: the median differs by {median} ns");
    ensure!(worst.abs() <= FEW_MAY_DIFFER, "{what}: one in twenty differs by {worst} ns");
    Ok(())
}

fn nanos(value: u64) -> i64 {
    i64::try_from(value).expect("a time of this century")
}

/// Compares the spans' times with what the servers wrote down, in nanoseconds.
fn times_agree(chains: &BTreeMap<String, [&Span; 4]>, front: &Server, app: &Server) -> Result<()> {
    let log = |server: &Server| -> Result<BTreeMap<String, Served>> {
        Ok(server.served()?.into_iter().map(|served| (served.target.clone(), served)).collect())
    };
    let (front, app) = (log(front)?, log(app)?);
    let (mut served, mut proxied, mut ended, mut handled) = (vec![], vec![], vec![], vec![]);
    for (target, [_, server, client, inner]) in chains {
        let (front, app) = (&front[target], &app[target]);
        ensure!(server.pid() == front.pid && client.pid() == front.pid, "{target}: another nginx process");
        ensure!(inner.pid() == app.pid, "{target}: served by {}, span of {}", app.pid, inner.pid());
        served.push(nanos(server.duration()) - nanos(front.end - front.begin));
        ended.push(nanos(server.end) - nanos(front.end));
        let upstream_ms = front.upstream_ms.context("no upstream time")?;
        #[expect(clippy::cast_possible_truncation, reason = "milliseconds of a request")]
        proxied.push(nanos(client.duration()) - (upstream_ms * 1e6) as i64);
        handled.push(nanos(inner.duration()) - nanos(app.end - app.begin));
        // A handler's own time lies within its request's; the clocks may be a little apart.
        let apart = 1_000_000;
        ensure!(inner.start <= app.begin + apart && app.end <= inner.end + apart, "{target}: not within");
    }
    ensure_close("nginx $request_time", served)?;
    ensure_close("nginx $msec", ended)?;
    ensure_close("nginx $upstream_response_time", proxied)?;
    ensure_close("the application's own time", handled)
}

fn holds_for(stage: &Stage, front: &Server, app: &Server) -> Result<()> {
    let tracer = Tracer::watch(stage, &[])?;
    drive(&front.address)?;
    let report = tracer.stop()?;
    report.ensure_nothing_lost()?;
    let expected: BTreeSet<_> = front.served()?.into_iter().map(|served| served.target).collect();
    ensure!(expected.len() == SEQUENTIAL + CONNECTIONS * EACH, "nginx served {}", expected.len());
    let chains = Chain::new(&report, front, app).by_target(&expected)?;
    one_trace_each(&chains)?;
    times_agree(&chains, front, app)
}

#[test]
fn before_werkzeug() -> Result<()> {
    let stage = Stage::new()?;
    let app = servers::werkzeug(&stage)?;
    holds_for(&stage, &servers::nginx_before(&stage, &app)?, &app)
}

#[test]
fn before_gunicorn_with_processes() -> Result<()> {
    let stage = Stage::new()?;
    let app = servers::gunicorn(&stage, Workers::Sync(3))?;
    holds_for(&stage, &servers::nginx_before(&stage, &app)?, &app)
}

#[test]
fn before_gunicorn_with_threads() -> Result<()> {
    let stage = Stage::new()?;
    let app = servers::gunicorn(&stage, Workers::Threads(8))?;
    holds_for(&stage, &servers::nginx_before(&stage, &app)?, &app)
}

#[test]
fn over_a_unix_socket_upstream() -> Result<()> {
    let stage = Stage::new()?;
    let app = servers::gunicorn_unix(&stage, Workers::Threads(8))?;
    holds_for(&stage, &servers::nginx_before(&stage, &app)?, &app)
}

#[test]
fn over_unix_sockets_all_the_way() -> Result<()> {
    let stage = Stage::new()?;
    let app = servers::gunicorn_unix(&stage, Workers::Sync(3))?;
    holds_for(&stage, &servers::nginx_unix_before(&stage, &app)?, &app)
}

/// Both connections, the client's and nginx's to the application, have been in use before the start.
#[test]
fn on_connections_older_than_the_tracer() -> Result<()> {
    let stage = Stage::new()?;
    let app = servers::gunicorn(&stage, Workers::Threads(4))?;
    let front = servers::nginx_before(&stage, &app)?;
    let mut connection = Connection::open(&front.address)?;
    connection.get("/before/0")?;
    connection.get("/before/1")?;
    let tracer = Tracer::watch(&stage, &[])?;
    let expected: BTreeSet<_> = (0..10).map(|n| format!("/after/{n}")).collect();
    for target in &expected {
        connection.get(target)?;
    }
    let report = tracer.stop()?;
    report.ensure_nothing_lost()?;
    one_trace_each(&Chain::new(&report, &front, &app).by_target(&expected)?)
}
