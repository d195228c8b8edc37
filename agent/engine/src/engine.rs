//! The engine's surface.

use crate::{
    Config, Input, Output, Time, Usual,
    conn::{Birth, Conn},
    conversation::Closing,
    detect::{process, smuggling},
    exchange::{Endpoint, Side},
    launch::Image,
    record::{self, Record},
    stats::Stats,
    world::{MAX_UNFINISHED, Op, World},
};
use rustc_hash::FxHashMap;
use std::collections::BTreeSet;
use tracer_common::{Data, Descriptor, Header, Sock, TcpState, UnixSeen, tcp_state};

/// Most connections that are followed: what a big node holds open. Past it the idlest eighth is dropped.
const MAX_CONNS: usize = 65_536;
/// What is due is looked for so often, which is a hundredth of what a span waits: not with every record.
const SETTLE_NS: u64 = 1_000_000;
/// How often connections are looked over for those whose end nobody reports.
const SWEEP_MS: u64 = 60_000;
/// A connection whose end may go unreported counts as over after so long without a byte.
const IDLE_MS: u64 = 900_000;

/// Inputs in, spans out.
#[derive(Debug)]
pub struct Engine {
    world: World,
    conns: FxHashMap<u64, Box<Conn>>,
    /// Connections that wait for bytes, by until when.
    waiting: BTreeSet<(Time, u64)>,
    next_sweep: Option<Time>,
    /// When it was last looked for what is due.
    settled: Time,
}

impl Engine {
    /// An engine that has seen nothing.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            world: World::new(config),
            conns: FxHashMap::default(),
            waiting: BTreeSet::new(),
            next_sweep: None,
            settled: Time::default(),
        }
    }

    /// Takes one input. `now` never goes back (an earlier one counts as the latest).
    pub fn handle(&mut self, input: Input<'_>, now: Time) {
        self.world.now = self.world.now.max(now);
        let settles = matches!(input, Input::Tick) || self.world.now.since(self.settled) >= SETTLE_NS;
        if self.world.began == Time::default() {
            self.world.began = now;
        }
        match input {
            Input::Record(bytes) => {
                self.world.stats.records += 1;
                match record::decode(bytes) {
                    Some(record) => self.record(record),
                    None => self.world.stats.undecodable += 1,
                }
            }
            Input::Lost(lost) => {
                let all = lost.iter().fold(0u64, |all, lost| all.saturating_add(*lost));
                if all > 0 {
                    self.world.lost_at = self.world.now;
                    self.world.cases.doubt(smuggling::SMUGGLING, all);
                }
                for (total, lost) in self.world.stats.lost_by_cause.iter_mut().zip(lost) {
                    *total = total.saturating_add(lost);
                    self.world.stats.lost = self.world.stats.lost.saturating_add(lost);
                }
            }
            Input::Process(facts) => self.world.described(facts),
            Input::Baseline(usual) => self.world.baseline.replace(usual, self.world.now),
            Input::Tick => {}
        }
        if settles {
            self.settled = self.world.now;
            self.expire();
        }
        if self.world.unfinished.is_exceeded() {
            self.shed_idlest();
        }
    }

    /// The next thing that follows from the inputs so far.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.world.pop_output()
    }

    /// When [`Input::Tick`] is due, if nothing else comes before.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        let waiting = self.waiting.first().map(|(time, _)| *time);
        let (spans, cases) = (self.world.graph.deadline(), self.world.cases.deadline());
        let launches = self.world.launches.deadline();
        [spans, cases, launches, waiting, self.next_sweep].into_iter().flatten().min()
    }

    /// Ends all that is open, as if its time was up: for the end of a recording or of a run.
    pub fn finish(&mut self, now: Time) {
        self.world.now = self.world.now.max(now);
        for key in self.keys(|_| true) {
            self.close(key, Closing::Stopping);
        }
        self.waiting.clear();
        self.next_sweep = None;
        for node in self.world.graph.open() {
            self.world.graph.end(node, self.world.now, self.world.now);
        }
        self.world.tell(Time(u64::MAX));
        self.world.baseline.finish(&self.world.cases, self.world.now);
    }

    /// What is usual for each service, in order of their names, as far as it is learned.
    #[must_use]
    pub fn baseline(&self) -> Vec<Usual> {
        self.world.baseline.usual(self.world.now)
    }

    /// How often anything in the baseline was learned or forgotten so far.
    #[must_use]
    pub fn baseline_changes(&self) -> u64 {
        self.world.baseline.changes
    }

    /// The counters.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats {
            dropped_findings: self.world.cases.dropped,
            dropped_exchanges: self.world.graph.stats.refused,
            truncated: self.world.graph.stats.truncated + self.world.tasks.truncated,
            late_links: self.world.graph.stats.late_links,
            causes_gone: self.world.graph.stats.causes_gone,
            forgotten_tasks: self.world.tasks.forgotten
                + self.world.causes.threads.forgotten
                + self.world.causes.forgotten
                + self.world.launches.forgotten
                + self.world.hops.forgotten,
            forgotten_evidence: self.world.stats.forgotten_evidence
                + self.world.launches.dropped()
                + self.world.net.dropped(),
            undecided_causes: self.world.causes.undecided,
            unlearned: self.world.baseline.unlearned,
            ..self.world.stats
        }
    }

    fn record(&mut self, record: Record<'_>) {
        match record {
            Record::Data(data, bytes) => self.data(&data, bytes),
            Record::TcpState(state) => self.tcp_state(&state),
            Record::UnixSeen(seen) => self.unix_seen(&seen),
            Record::Wake(wake) => self.world.woke(&wake),
            Record::Fork(fork) => self.world.forked(&fork, op(&fork.header)),
            Record::Exec(exec, file, args) => {
                let conn = |descriptor: Descriptor| self.conns.get(&descriptor.sock);
                let streams = process::Streams {
                    outbound: exec.descriptors.map(|of| conn(of).is_some_and(|conn| conn.is_outbound())),
                    serving: exec.descriptors.map(|of| conn(of).is_some_and(|conn| conn.has_served())),
                };
                let image = Image::of(&exec, file, args);
                self.world.executed(&exec, image, streams, op(&exec.header));
            }
            Record::Exit(exit) => self.world.exited(&exit, op(&exit.header)),
        }
    }

    fn data(&mut self, data: &Data, bytes: &[u8]) {
        let key = data.sock.id;
        let known = self.conns.get(&key).is_some_and(|conn| !conn.is_other(&data.sock));
        if !known {
            if data.ret <= 0 {
                // What a dead socket still says.
                return;
            }
            // Older than the tracer, or its birth was lost.
            self.open(data.sock, Birth::default());
        }
        let Some(conn) = self.conns.get_mut(&key) else { return };
        conn.data(data, bytes, op(&data.header), &mut self.world);
        self.settle(key);
    }

    fn tcp_state(&mut self, state: &TcpState) {
        let (key, op) = (state.sock.id, op(&state.header));
        match (state.old, state.new) {
            (_, tcp_state::LISTEN) => process::listens(&mut self.world, &state.sock, op),
            (_, tcp_state::SYN_SENT) => {
                process::connects(&mut self.world, &state.sock, op);
                let busy = self.world.connecting(op);
                self.open(state.sock, birth(Side::Client)).connecting(busy);
                if let Some(conn) = self.conns.get_mut(&key) {
                    conn.begun(op, &mut self.world);
                }
            }
            (old, tcp_state::ESTABLISHED) => self.established(old, state),
            (_, tcp_state::CLOSE) => {
                if let Some(conn) = self.conns.get_mut(&key) {
                    conn.total(state.bytes_sent, state.bytes_received, &mut self.world);
                    conn.gone(op, state.sock.inode == 0, self.world.now);
                    self.settle(key);
                }
            }
            _ => {
                if let Some(conn) = self.conns.get_mut(&key) {
                    conn.shut(op, &mut self.world);
                }
            }
        }
    }

    fn established(&mut self, old: u8, state: &TcpState) {
        let connected = old == tcp_state::SYN_SENT;
        let known = self.conns.get(&state.sock.id).is_some_and(|conn| !conn.is_other(&state.sock));
        if !connected {
            self.open(state.sock, birth(Side::Server));
        } else if !known {
            // The begin of its connect was lost.
            self.open(state.sock, birth(Side::Client));
        }
        if let Some(conn) = self.conns.get_mut(&state.sock.id) {
            conn.update(&state.sock);
            conn.established();
            conn.starts_at(state.write_seq, state.copied_seq);
        }
    }

    fn unix_seen(&mut self, seen: &UnixSeen) {
        let name = |bytes: &[u8], len: u16| Endpoint::unix(&bytes[..bytes.len().min(len.into())]);
        // An accepted socket has its listener's name; a connecting one has none, as a rule.
        let side = match (seen.local_len, seen.remote_len) {
            (1.., 0) => Some(Side::Server),
            (0, 1..) => Some(Side::Client),
            _ => None,
        };
        let names = Some([name(&seen.local, seen.local_len), name(&seen.remote, seen.remote_len)]);
        self.open(seen.sock, Birth { side, from_start: false, names });
        if let (Some(Side::Client), Some(conn)) = (side, self.conns.get_mut(&seen.sock.id)) {
            conn.begun(op(&seen.header), &mut self.world);
        }
    }

    /// A connection that is new to us; what became of one with the same identity nobody told.
    fn open(&mut self, sock: Sock, birth: Birth) -> &mut Conn {
        self.close(sock.id, Closing::Unseen);
        if self.conns.len() >= MAX_CONNS {
            self.drop_idlest();
        }
        self.next_sweep.get_or_insert(self.world.now.plus_ms(SWEEP_MS));
        let conn = Box::new(Conn::new(sock, birth, self.world.now));
        self.conns.entry(sock.id).insert_entry(conn).into_mut()
    }

    fn close(&mut self, key: u64, closing: Closing) {
        if let Some(mut conn) = self.conns.remove(&key) {
            conn.close(closing, &mut self.world);
        }
    }

    /// Forgets a connection that is over, or looks at it again when something is due.
    fn settle(&mut self, key: u64) {
        let Some(conn) = self.conns.get_mut(&key) else { return };
        if conn.is_over(self.world.now) {
            return self.close(key, Closing::Unseen);
        }
        if let Some(time) = conn.deadline()
            && conn.wakes.is_none_or(|wakes| time < wakes)
        {
            conn.wakes = Some(time);
            self.waiting.insert((time, key));
        }
    }

    fn drop_idlest(&mut self) {
        let mut by_age: Vec<_> = self.conns.iter().map(|(key, conn)| (conn.last, *key)).collect();
        by_age.sort_unstable();
        for (_, key) in by_age.into_iter().take(MAX_CONNS / 8) {
            self.world.stats.dropped_connections += 1;
            self.close(key, Closing::Unseen);
        }
    }

    /// Gives up what is unfinished on the idlest connections, until half of the room for it is free: whoever
    /// works finishes in moments.
    fn shed_idlest(&mut self) {
        let mut by_age: Vec<_> = (self.conns.iter())
            .filter(|(_, conn)| conn.is_unfinished())
            .map(|(key, conn)| (conn.last, *key))
            .collect();
        by_age.sort_unstable();
        for (_, key) in by_age {
            if self.world.unfinished.held() <= MAX_UNFINISHED / 2 {
                break;
            }
            if let Some(conn) = self.conns.get_mut(&key) {
                conn.shed(&mut self.world);
                self.world.stats.shed_connections += 1;
            }
        }
    }

    /// Keys in an order that does not depend on the table.
    fn keys(&self, wanted: impl Fn(&Conn) -> bool) -> Vec<u64> {
        let mut keys: Vec<_> =
            self.conns.iter().filter(|(_, conn)| wanted(conn)).map(|(key, _)| *key).collect();
        keys.sort_unstable();
        keys
    }

    fn expire(&mut self) {
        let now = self.world.now;
        while let Some(&(time, key)) = self.waiting.first().filter(|(time, _)| *time <= now) {
            self.waiting.remove(&(time, key));
            if let Some(conn) = self.conns.get_mut(&key) {
                conn.wakes = conn.wakes.filter(|wakes| *wakes != time);
                conn.expire(&mut self.world);
                self.settle(key);
            }
        }
        if self.next_sweep.is_some_and(|time| time <= now) {
            let over = |conn: &Conn| conn.may_end_silently() && now.since(conn.last) > IDLE_MS * 1_000_000;
            for key in self.keys(over) {
                self.close(key, Closing::Unseen);
            }
            self.next_sweep = (!self.conns.is_empty()).then(|| now.plus_ms(SWEEP_MS));
        }
        self.world.tell(now);
    }
}

/// A TCP connection seen from its start.
fn birth(side: Side) -> Birth {
    Birth { side: Some(side), from_start: true, names: None }
}

fn op(header: &Header) -> Op {
    Op { time: Time(header.time_ns), pid: header.pid, tid: header.tid }
}
