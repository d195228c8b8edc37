//! A small world of processes, threads and sockets, told to an engine record by record, and what the
//! engine made of it as lines of text.
//!
//! ```text
//! SERVER GET /a 200 @20                                  a root, in process 20
//! CLIENT GET /b 502 @20 < SERVER /a by thread            its parent, and how that was found
//! SERVER GET /b !no_response @30 < CLIENT /b by socket   how it ended, when not well
//! INTERNAL sh -c id = 0 @40 < SERVER /b by thread        a launch with its arguments and exit code
//! ```
//!
//! Lines are in the order of begin, a client's before others. A parent of which no span came is written as its id.

#![allow(dead_code, reason = "each test file uses its own part of this module")]

pub mod chain;
mod check;
pub mod records;
pub mod smuggling;

pub use check::check;
pub use records::Thread;
use records::{End, Moved};
use std::fmt::Write;
use tracer_common::{Exec, direction, tcp_state};
use tracer_engine::{
    Config, Engine, Finding, Input, Output, ProcessFacts, Span, SpanKind, Stats, Time, Value,
};

/// A connection; both of its ends are on this node, as far as their records are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conn(usize);

/// Which end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    Client,
    Server,
}
pub use At::{Client, Server};

/// Time that passes with every record.
const STEP_NS: u64 = 1_000_000;

/// See the module.
pub struct Scene {
    pub engine: Engine,
    pub time_ns: u64,
    pub outputs: Vec<Output>,
    ends: Vec<[End; 2]>,
    lose: u32,
}

impl Scene {
    pub fn new() -> Self {
        let config = Config { boot_to_unix_ns: 0, host_name: "node".into(), host_id: None };
        Self { engine: Engine::new(config), time_ns: 0, outputs: Vec::new(), ends: Vec::new(), lose: 0 }
    }

    /// Tells a record, unless it is to be lost.
    pub fn tell(&mut self, record: &[u8]) {
        self.time_ns += STEP_NS;
        if self.lose > 0 {
            self.lose -= 1;
        } else {
            self.engine.handle(Input::Record(record), Time(self.time_ns));
        }
        self.outputs.extend(std::iter::from_fn(|| self.engine.poll_output()));
    }

    /// The next `n` records find no room in the ring buffer.
    pub fn lose(&mut self, n: u32) {
        self.lose = n;
    }

    /// The agent says that so many records of moved bytes found no room.
    pub fn lost(&mut self, n: u64) {
        let mut lost = [0; tracer_common::lost::CAUSES as usize];
        lost[0] = n;
        self.engine.handle(Input::Lost(lost), Time(self.time_ns));
    }

    /// Time passes, with a tick whenever one is due.
    pub fn wait(&mut self, ms: u64) {
        let until = self.time_ns + ms * 1_000_000;
        while let Some(due) = self.engine.poll_timeout().filter(|due| due.0 <= until) {
            self.engine.handle(Input::Tick, due);
            let next = self.engine.poll_timeout();
            assert!(next.is_none_or(|next| next > due), "a tick must settle what was due at {due:?}");
        }
        self.time_ns = until;
        self.engine.handle(Input::Tick, Time(until));
        self.outputs.extend(std::iter::from_fn(|| self.engine.poll_output()));
    }

    fn add(&mut self, ends: [End; 2]) -> Conn {
        self.ends.push(ends);
        Conn(self.ends.len() - 1)
    }

    /// A TCP connection to a port, not yet told to the engine: one older than the tracer.
    pub fn old(&mut self, port: u16) -> Conn {
        let n = self.ends.len() as u32 + 1;
        self.old_at(port, [n << 20, 0x8000_0000 + (n << 20)])
    }

    /// The same, with these initial sequence numbers.
    pub fn old_at(&mut self, port: u16, iss: [u32; 2]) -> Conn {
        let n = self.ends.len();
        self.add(records::tcp_pair(n as u64, 40_000 + n as u16, port, iss))
    }

    /// A connection seen from its start by both ends.
    pub fn connect(&mut self, client: Thread, port: u16) -> Conn {
        let conn = self.begin_connect(client, port);
        self.established(conn, client);
        self.accepted(conn);
        conn
    }

    /// A connection seen from its start by the server only: the client is elsewhere.
    pub fn accept(&mut self, port: u16) -> Conn {
        let conn = self.old(port);
        self.accepted(conn);
        conn
    }

    pub fn begin_connect(&mut self, client: Thread, port: u16) -> Conn {
        let conn = self.old(port);
        self.state(conn, Client, client, tcp_state::CLOSE, tcp_state::SYN_SENT);
        conn
    }

    pub fn established(&mut self, conn: Conn, running: Thread) {
        self.state(conn, Client, running, tcp_state::SYN_SENT, tcp_state::ESTABLISHED);
    }

    pub fn accepted(&mut self, conn: Conn) {
        self.state(conn, Server, Thread(0, 0), tcp_state::SYN_RECV, tcp_state::ESTABLISHED);
    }

    pub fn state(&mut self, conn: Conn, at: At, running: Thread, old: u8, new: u8) {
        let record = self.ends[conn.0][at as usize].state(self.time_ns + STEP_NS, running, old, new);
        self.tell(&record);
    }

    /// A unix connection of which no record was told.
    pub fn unix(&mut self) -> Conn {
        self.add(records::unix_pair(self.ends.len() as u64))
    }

    /// The kernel's first sight of a unix socket.
    pub fn unix_seen(&mut self, conn: Conn, at: At, thread: Thread) {
        let names = if at == Client { ["", "/run/app"] } else { ["/run/app", ""] };
        let record = self.ends[conn.0][at as usize].unix_seen(self.time_ns + STEP_NS, thread, names);
        self.tell(&record);
    }

    fn data(&mut self, conn: Conn, at: At, thread: Thread, moved: Moved<'_>) {
        let record = self.ends[conn.0][at as usize].data(self.time_ns + STEP_NS, thread, moved);
        self.tell(&record);
    }

    pub fn send(&mut self, thread: Thread, conn: Conn, at: At, bytes: &str) {
        self.part(thread, conn, at, direction::SEND, bytes.len(), bytes.as_bytes());
    }

    pub fn recv(&mut self, thread: Thread, conn: Conn, at: At, bytes: &str) {
        self.part(thread, conn, at, direction::RECEIVE, bytes.len(), bytes.as_bytes());
    }

    /// An operation that moved `len` bytes, of which `bytes` were copied.
    pub fn part(&mut self, thread: Thread, conn: Conn, at: At, direction: u8, len: usize, bytes: &[u8]) {
        self.data(conn, at, thread, Moved { direction, ret: len as i32, bytes });
    }

    /// A send that failed with this error.
    pub fn failed_send(&mut self, thread: Thread, conn: Conn, at: At, error: i32, bytes: &str) {
        self.data(
            conn,
            at,
            thread,
            Moved { direction: direction::SEND, ret: -error, bytes: bytes.as_bytes() },
        );
    }

    /// Bytes that one end sends and the other receives.
    pub fn pass(&mut self, from: (Thread, At), to: Thread, conn: Conn, bytes: &str) {
        self.send(from.0, conn, from.1, bytes);
        self.recv(to, conn, if from.1 == Client { Server } else { Client }, bytes);
    }

    /// The end of the peer's stream is read: a FIN takes a sequence number.
    pub fn eof(&mut self, thread: Thread, conn: Conn, at: At) {
        self.ends[conn.0][at as usize].next[usize::from(direction::RECEIVE)] += 1;
        self.empty(thread, conn, at);
    }

    /// A receive of nothing.
    pub fn empty(&mut self, thread: Thread, conn: Conn, at: At) {
        self.data(conn, at, thread, Moved { direction: direction::RECEIVE, ret: 0, bytes: b"" });
    }

    /// The first end to close.
    pub fn shut(&mut self, thread: Thread, conn: Conn, at: At) {
        self.state(conn, at, thread, tcp_state::ESTABLISHED, tcp_state::FIN_WAIT1);
    }

    /// The other end's close.
    pub fn shut_after(&mut self, thread: Thread, conn: Conn, at: At) {
        self.state(conn, at, thread, tcp_state::CLOSE_WAIT, tcp_state::LAST_ACK);
    }

    /// The socket is gone: after its own close, or by a reset.
    pub fn closed(&mut self, conn: Conn, at: At) {
        self.state(conn, at, Thread(0, 0), tcp_state::LAST_ACK, tcp_state::CLOSE);
    }

    pub fn reset(&mut self, conn: Conn, at: At) {
        self.state(conn, at, Thread(0, 0), tcp_state::ESTABLISHED, tcp_state::CLOSE);
    }

    /// What the kernel counts as sent when the connection ends.
    pub fn total(&mut self, conn: Conn, at: At, sent: u64) {
        self.ends[conn.0][at as usize].sent = sent;
    }

    /// To change a connection behind the kernel's back.
    pub fn end_mut(&mut self, conn: Conn, at: At) -> &mut End {
        &mut self.ends[conn.0][at as usize]
    }

    pub fn fork(&mut self, thread: Thread, child: u32) {
        self.tell(&records::fork(self.time_ns + STEP_NS, thread, child));
    }

    /// A thread begins another one of its process.
    pub fn begin_thread(&mut self, thread: Thread, tid: u32) {
        self.tell(&records::began(self.time_ns + STEP_NS, thread, tid));
    }

    /// A thread wakes another one of its process, which waited at `futex`.
    pub fn wake(&mut self, thread: Thread, woken: Thread, futex: u64) {
        self.tell(&records::wake(self.time_ns + STEP_NS, thread, woken.1, futex));
    }

    pub fn exec(&mut self, thread: Thread, args: &[&str]) {
        let file = format!("/bin/{}", args[0]);
        self.tell(&records::exec(self.time_ns + STEP_NS, thread, 1, &file, args));
    }

    /// The same of an image with these standard streams, or whatever else `given` says.
    pub fn exec_as(&mut self, given: Exec, thread: Thread, file: &str, args: &[&str]) {
        self.tell(&records::exec_as(given, self.time_ns + STEP_NS, thread, file, args));
    }

    /// What `/proc` says of a process.
    pub fn described(&mut self, pid: u32, exe: &str, args: &[&str]) {
        let facts = ProcessFacts {
            pid,
            exe: exe.into(),
            comm: exe.rsplit('/').next().unwrap_or_default().into(),
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            ..ProcessFacts::default()
        };
        self.engine.handle(Input::Process(facts), Time(self.time_ns));
    }

    /// The findings so far, with all that they say.
    pub fn found(&self) -> Vec<&Finding> {
        let findings = self.outputs.iter().filter_map(|output| match output {
            Output::Finding(finding) => Some(&**finding),
            _ => None,
        });
        findings.collect()
    }

    /// The last thread of a process ends.
    pub fn exit(&mut self, pid: u32, status: u32) {
        self.tell(&records::exit(self.time_ns + STEP_NS, Thread(pid, pid), status, true));
    }

    /// All spans so far and those that `finish` brings, as text; the engine must be done then.
    pub fn finish(&mut self) -> Vec<String> {
        self.engine.finish(Time(self.time_ns));
        self.outputs.extend(std::iter::from_fn(|| self.engine.poll_output()));
        assert_eq!(self.engine.poll_timeout(), None, "nothing is left to wait for");
        self.lines(|_| String::new())
    }

    /// Spans that came by themselves when all waiting is over, as text.
    pub fn settle(&mut self) -> Vec<String> {
        self.wait(2_000);
        self.lines(|_| String::new())
    }

    /// The same with begin and end in milliseconds.
    pub fn timed(&mut self) -> Vec<String> {
        self.wait(2_000);
        let ms = |nano: u64| nano / 1_000_000;
        self.lines(|span| format!("{}..{} ", ms(span.start_unix_nano), ms(span.end_unix_nano)))
    }

    pub fn spans(&self) -> Vec<&Span> {
        self.outputs
            .iter()
            .filter_map(|output| match output {
                Output::Span(span) => Some(&**span),
                _ => None,
            })
            .collect()
    }

    /// The findings so far: rule, confidence, title.
    pub fn findings(&self) -> Vec<String> {
        let text =
            |finding: &Finding| format!("{} {}: {}", finding.rule, finding.confidence.name(), finding.title);
        self.outputs
            .iter()
            .filter_map(|output| match output {
                Output::Finding(finding) => Some(text(finding)),
                _ => None,
            })
            .collect()
    }

    /// How many sockets the engine asked to be muted.
    pub fn muted(&self) -> usize {
        self.outputs.iter().filter(|output| matches!(output, Output::Mute { .. })).count()
    }

    pub fn stats(&self) -> Stats {
        self.engine.stats()
    }

    fn lines(&self, prefix: impl Fn(&Span) -> String) -> Vec<String> {
        let mut spans = self.spans();
        check(&spans);
        spans.sort_by_key(|span| (span.start_unix_nano, span.kind != SpanKind::Client));
        spans.iter().map(|span| prefix(span) + &line(span, &spans)).collect()
    }
}

fn line(span: &Span, all: &[&Span]) -> String {
    let mut line = label(span, true);
    for (key, mark) in
        [("http.response.status_code", " "), ("process.exit.code", " = "), ("tracer.incomplete", " !")]
    {
        if let Some(value) = text(span, key) {
            let _ = write!(line, "{mark}{value}");
        }
    }
    let _ = write!(line, " @{}", span.resource.pid);
    if let Some(parent) = span.parent_span_id {
        let found = all.iter().find(|other| other.span_id == parent);
        let parent = found.map_or(parent.to_string(), |parent| label(parent, false));
        let _ = write!(line, " < {parent} by {}", text(span, "tracer.link.method").unwrap_or_default());
    }
    line
}

fn label(span: &Span, full: bool) -> String {
    let path = text(span, "url.path").or_else(|| {
        let url = text(span, "url.full")?;
        Some(url.splitn(4, '/').nth(3).map_or(String::new(), |path| format!("/{path}")))
    });
    match (span.kind, full) {
        (SpanKind::Internal, true) => {
            format!("INTERNAL {}", text(span, "process.command_args").unwrap_or_default())
        }
        (SpanKind::Internal, false) => format!("INTERNAL {}", span.name),
        (SpanKind::Server, true) => format!("SERVER {} {}", span.name, path.unwrap_or_default()),
        (SpanKind::Server, false) => format!("SERVER {}", path.unwrap_or_default()),
        (SpanKind::Client, true) => format!("CLIENT {} {}", span.name, path.unwrap_or_default()),
        (SpanKind::Client, false) => format!("CLIENT {}", path.unwrap_or_default()),
    }
}

/// An attribute as text.
pub fn text(span: &Span, key: &str) -> Option<String> {
    Some(match &span.attributes.iter().find(|(k, _)| *k == key)?.1 {
        Value::Str(value) => value.clone(),
        Value::Word(value) => (*value).to_owned(),
        Value::Int(value) => value.to_string(),
        Value::Float(value) => value.to_string(),
        Value::Bool(value) => value.to_string(),
        Value::Strings(values) => values.join(" "),
    })
}

/// A request without content.
pub fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n")
}

/// A response with content.
pub fn answer(status: u16, content: &str) -> String {
    format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{content}", content.len())
}
