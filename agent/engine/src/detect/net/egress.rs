//! `net.egress_spike`: one request, or one minute of a process, sends far more out than is usual.
//!
//! Whom data is sent to for keeping says at least that he has it. One request that pushes it to a peer that is not
//! known and says nothing at all is worse than an upload.

use super::Outbound;
use crate::{
    Time, Value,
    detect::{Habit, Seen},
    finding::{Case, Confidence, Severity, Subject},
    graph::{Node, NodeId},
    world::World,
};
use rustc_hash::FxHashMap;
use std::{collections::VecDeque, sync::Arc};

/// Bytes that are worth a look.
const NOTICED: u64 = 10_000_000;
/// How many times as much as usual is far more.
const FAR: u64 = 4;
/// What a process sends for no request is counted for so long.
const WINDOW_MS: u64 = 60_000;
/// Most senders that are counted at once, some hundred bytes each. Past it the oldest is counted anew.
const MAX_SENDERS: usize = 4096;

/// Who sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Sender {
    /// A request, or a launch that none caused, and all that they caused.
    Root(NodeId),
    /// A process, of itself.
    Process(u32),
}

/// What was sent by whom to whom.
#[derive(Debug, Default)]
pub struct Senders {
    known: FxHashMap<(Sender, Arc<str>), Sent>,
    oldest: VecDeque<(Sender, Arc<str>)>,
}

#[derive(Clone, Copy, Debug)]
struct Sent {
    bytes: u64,
    since: Time,
}

impl Senders {
    /// Counts; gives the sum so far.
    fn add(&mut self, sender: Sender, peer: &Arc<str>, bytes: u64, now: Time) -> u64 {
        let key = (sender, Arc::clone(peer));
        if !self.known.contains_key(&key) {
            if self.known.len() >= MAX_SENDERS
                && let Some(oldest) = self.oldest.pop_front()
            {
                self.known.remove(&oldest);
            }
            self.oldest.push_back(key.clone());
        }
        let sent = self.known.entry(key).or_insert(Sent { bytes: 0, since: now });
        if matches!(sender, Sender::Process(_)) && now.since(sent.since) > WINDOW_MS * 1_000_000 {
            *sent = Sent { bytes: 0, since: now };
        }
        sent.bytes = sent.bytes.saturating_add(bytes);
        sent.bytes
    }
}

/// Bytes were sent on a connection, by a process of the service that `owner` is of, for `root`.
pub fn sent(world: &mut World, outbound: &Outbound, root: Option<NodeId>, owner: u32, bytes: u64) {
    let (peer, pid, now) = (&outbound.peer, outbound.pid, world.now);
    let sender = root.map_or(Sender::Process(pid), Sender::Root);
    let sum = world.net.senders.add(sender, &peer.name, bytes, now);
    // Who passes on what came in is no source of it.
    let brought = root.and_then(|root| world.graph.get(root)).and_then(Node::exchange);
    let out = sum.saturating_sub(brought.map_or(0, |exchange| exchange.request_content));
    let Some(habit) = Habit::egress(&peer.name, out) else { return };
    let service = world.service(owner);
    let usual = world.baseline.egress(&service, &peer.name);
    let subject = match sender {
        Sender::Root(root) => Subject::Node(root),
        Sender::Process(pid) => Subject::Other(super::subject("net.egress_spike", pid, &peer.name)),
    };
    world.baseline.observe(subject, &service, habit.clone(), now);
    let first = out - bytes.min(out) <= NOTICED || (out - bytes).ilog2() != out.ilog2();
    if out <= NOTICED || out <= usual.saturating_mul(FAR) || !first {
        return;
    }
    let who = match sender {
        Sender::Root(root) => super::name(world, root),
        Sender::Process(_) => "within a minute, for no request".into(),
    };
    let mut attributes = match root {
        Some(root) => super::attributes(world, root, peer, [habit]),
        None => super::peer_attributes(peer, [habit]),
    };
    attributes.push(("tracer.egress.bytes", Value::Int(i64::try_from(out).unwrap_or(i64::MAX))));
    let usually = match usual {
        0 => "nothing of that size is known of this peer".into(),
        usual => format!("at most {} MB are usual", usual / 1_000_000),
    };
    let pushed =
        root.is_some() && !outbound.heard && world.baseline.edge(&service, &peer.name) != Seen::Known;
    let usually = if pushed { format!("{usually}; the peer has said nothing") } else { usually };
    world.raise(Case {
        rule: "net.egress_spike",
        subject,
        severity: if pushed { Severity::High } else { Severity::Medium },
        confidence: Confidence::Probable,
        title: format!("{service} sends more than {} MB to {peer}, {who}", NOTICED / 1_000_000),
        time: now,
        pid: owner,
        attributes,
        facts: vec![(now, format!("{} MB sent to {peer} so far; {usually}", out / 1_000_000))],
    });
}
