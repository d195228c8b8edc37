//! Every system call that moves bytes over a socket, on TCP over IPv4 and IPv6 and on unix sockets.

use anyhow::{Context, Result, ensure};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};
use tracer_tests::span::brief;
use tracer_tests::stage::free_port;
use tracer_tests::{Address, Connection, Daemon, Report, Span, Stage, Tracer, servers};

/// Bytes of each response's content; as in `moves.c`.
const CONTENT: i64 = 20_000;
/// The clock that records are stamped by and that of the day may be so far apart, in nanoseconds. The two
/// halves of a response are 20 ms apart, so a span that ends with the first is caught.
const CLOCKS: u64 = 2_000_000;

/// How the server receives and how it sends: each call at least once.
const WAYS: &[(&str, &str)] = &[
    ("read", "write"),
    ("recv", "send"),
    ("recvfrom", "sendto"),
    ("readv", "writev"),
    ("recvmsg", "sendmsg"),
    ("read", "sendmmsg"),
    ("peek", "write"),
    ("read", "sendfile"),
    ("read", "splice"),
    ("read", "uring"),
];

/// Ways that hand the kernel's hook no buffer or too many, or pass it by: not all can be read there.
const BLIND: &[(&str, &str)] =
    &[("splice", "write"), ("uring", "write"), ("recvmmsg", "write"), ("longv", "write"), ("read", "longv")];

const FAMILIES: &[&str] = &["4", "6", "unix"];

struct Mover {
    name: String,
    address: Address,
    daemon: Daemon,
    /// When the client had read each response.
    read: RefCell<Vec<u64>>,
}

impl Mover {
    fn start(stage: &Stage, program: &Path, family: &str, (receive, send): (&str, &str)) -> Result<Self> {
        let name = format!("{family}-{receive}-{send}");
        let (address, place) = match family {
            "unix" => {
                let path = stage.path(&format!("{name}.sock"));
                (Address::Unix(path.clone()), path.display().to_string())
            }
            _ => {
                let port = free_port()?;
                let tcp = if family == "4" {
                    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
                } else {
                    SocketAddr::from((Ipv6Addr::LOCALHOST, port))
                };
                (Address::Tcp(tcp), port.to_string())
            }
        };
        let mut command = Command::new(program);
        command.args([family, &place, receive, send]);
        let mut daemon = Daemon::start(stage, &name, command)?;
        daemon.wait_until("listener", |_| Connection::open(&address).is_ok())?;
        Ok(Self { name, address, daemon, read: RefCell::default() })
    }

    fn targets(&self) -> [String; 2] {
        [1, 2].map(|n| format!("/{}/{n}?q=1", self.name))
    }

    /// Two requests on one connection: the second shows whether the end of the first was found.
    fn drive(&self) -> Result<()> {
        let mut connection = Connection::open(&self.address)?;
        for target in self.targets() {
            let padding = "a field that makes the head long enough for many pieces";
            connection.send(
                format!("GET {target} HTTP/1.1\r\nHost: tests\r\nX-Padding: {padding}\r\n\r\n").as_bytes(),
            )?;
            let response = connection.response("GET").with_context(|| self.name.clone())?;
            ensure!(i64::try_from(response.body.len())? == CONTENT, "{}: {}", self.name, response.head);
            self.read
                .borrow_mut()
                .push(u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos())?);
        }
        Ok(())
    }

    /// When the server moved the last bytes of each response: from, to.
    fn ends(&self) -> Vec<(u64, u64)> {
        let text = self.daemon.stdout();
        let parse = |line: &str| {
            let (begin, end) = line.split_once(' ')?;
            Some((begin.parse().ok()?, end.parse().ok()?))
        };
        text.lines().filter_map(parse).collect()
    }

    fn spans<'a>(&self, report: &'a Report, pid: u32) -> Vec<&'a Span> {
        let prefix = format!("/{}/", self.name);
        let mut spans = report.of(&BTreeSet::from([pid]));
        spans.retain(|span| pid == self.daemon.pid() || span.target().starts_with(&prefix));
        spans
    }

    /// Fails unless these are the two requests, with their facts and their ends.
    fn ensure_right(&self, kind: &str, spans: &[&Span]) -> Result<()> {
        let text = || format!("{}: {kind} spans are wrong:\n{}", self.name, brief(spans.iter().copied()));
        let targets: Vec<_> = spans.iter().map(|span| span.target()).collect();
        ensure!(targets == self.targets() && self.ends().len() == 2, "{}", text());
        let read = self.read.borrow();
        ensure!(read.len() == 2, "{}", text());
        for ((span, (begin, _)), read) in spans.iter().zip(self.ends()).zip(read.iter()) {
            ensure!(span.kind == kind && span.method() == "GET" && span.status() == 200, "{}", text());
            ensure!(span.end + CLOCKS >= begin, "ends {} ns early. {}", begin - span.end, text());
            ensure!(span.end <= read + CLOCKS, "ends {} ns late. {}", span.end - read, text());
            let size = span.number("http.response.body.size");
            ensure!(size.is_none_or(|size| size == CONTENT), "a content of {size:?}. {}", text());
            let transport = if matches!(self.address, Address::Unix(_)) { "unix" } else { "tcp" };
            ensure!(span.text("network.transport").unwrap_or("tcp") == transport, "{}", span.json);
            if let Address::Tcp(address) = &self.address {
                ensure!(span.number("server.port") == Some(i64::from(address.port())), "{}", span.json);
                let peer = span.text("network.peer.address");
                ensure!(peer == Some(address.ip().to_string().as_str()), "{}", span.json);
            }
        }
        Ok(())
    }
}

fn start_all(stage: &Stage, ways: &[(&str, &str)]) -> Result<Vec<Mover>> {
    let program = servers::compiled(stage, "moves")?;
    let start = |family| ways.iter().map(move |way| (family, *way));
    FAMILIES.iter().flat_map(start).map(|(family, way)| Mover::start(stage, &program, family, way)).collect()
}

fn traced(stage: &Stage, movers: &[Mover]) -> Result<Report> {
    let tracer = Tracer::watch(stage, &[])?;
    movers.iter().try_for_each(Mover::drive)?;
    let report = tracer.stop()?;
    report.ensure_nothing_lost()?;
    Ok(report)
}

/// Fails unless each SERVER span hangs under its CLIENT span.
fn ensure_linked(name: &str, servers: &[&Span], clients: &[&Span]) -> Result<()> {
    let mut pairs = servers.iter().zip(clients);
    let linked = pairs.all(|(s, c)| s.parent.as_ref() == Some(&c.span_id) && s.trace_id == c.trace_id);
    ensure!(linked, "{name}: not linked:\n{}", brief(servers.iter().chain(clients).copied()));
    Ok(())
}

/// All complaints at once: which of the ways fail says more than that one does.
fn ensure_none(complaints: impl Iterator<Item = String>) -> Result<()> {
    let complaints: Vec<_> = complaints.collect();
    ensure!(complaints.is_empty(), "{}", complaints.join("\n"));
    Ok(())
}

#[test]
fn whichever_call_moves_the_bytes() -> Result<()> {
    let stage = Stage::new()?;
    let movers = start_all(&stage, WAYS)?;
    let report = traced(&stage, &movers)?;
    ensure_none(movers.iter().flat_map(|mover| {
        let servers = mover.spans(&report, mover.daemon.pid());
        let clients = mover.spans(&report, std::process::id());
        let linked = ensure_linked(&mover.name, &servers, &clients);
        [mover.ensure_right("SERVER", &servers), mover.ensure_right("CLIENT", &clients), linked]
            .into_iter()
            .filter_map(|result| result.err().map(|error| error.to_string()))
    }))
}

/// What cannot be read is a gap: the other side's spans are right, and nothing is made up.
#[test]
fn what_cannot_be_read_is_not_made_up() -> Result<()> {
    let stage = Stage::new()?;
    let movers = start_all(&stage, BLIND)?;
    let report = traced(&stage, &movers)?;
    ensure_none(movers.iter().flat_map(|mover| {
        let servers = mover.spans(&report, mover.daemon.pid());
        let made_up =
            servers.iter().any(|span| span.kind != "SERVER" || !mover.targets().contains(&span.target()));
        let made_up = made_up.then(|| format!("{}: made up:\n{}", mover.name, brief(servers)));
        let clients = mover.spans(&report, std::process::id());
        mover.ensure_right("CLIENT", &clients).err().map(|error| error.to_string()).into_iter().chain(made_up)
    }))
}

/// Without the tracer: the program moves what it says by every call.
#[test]
fn the_program_answers_by_every_call() -> Result<()> {
    let stage = Stage::new()?;
    for mover in &mut start_all(&stage, &[WAYS, BLIND].concat())? {
        mover.drive()?;
        let name = mover.name.clone();
        mover.daemon.wait_until(&name, |daemon| daemon.stdout().lines().count() == 2)?;
        ensure!(mover.ends().len() == 2, "{}: {:?}", mover.name, mover.ends());
    }
    Ok(())
}

/// A `sendmmsg` that finds no room ends before its last message; the next one begins anew.
#[test]
fn messages_of_an_interrupted_sendmmsg() -> Result<()> {
    let stage = Stage::new()?;
    let program = servers::compiled(&stage, "interrupted")?;
    let tracer = Tracer::watch(&stage, &[])?;
    let output = Command::new(&program).output()?;
    let text = String::from_utf8(output.stdout)?;
    let sent: Vec<usize> = text.lines().map(str::parse).collect::<Result<_, _>>()?;
    ensure!(matches!(sent[..], [1..12, 2]), "the first call was to be interrupted: {text}");
    let report = tracer.stop()?;
    let mut expected = vec!["/first".to_owned()];
    expected.extend((0..sent[0]).map(|n| format!("/m{n}")));
    expected.extend(["/z0".to_owned(), "/m1".to_owned()]);
    for kind in ["CLIENT", "SERVER"] {
        let spans = report
            .spans
            .iter()
            .filter(|s| s.kind == kind && s.json["resource"]["service.name"] == "interrupted");
        let found: Vec<_> = spans.map(Span::target).collect();
        ensure!(found == expected, "{kind}: {found:?}");
    }
    Ok(())
}
