//! `net.tunnel`: what a request brings in is written, as it is, to a peer that does not speak HTTP.
//!
//! Who speaks to a database composes what he says, from its greeting on; who relays another one's talk copies it.
//! So it is told by turns, write after read: nearly all of them begin with a write of which every byte came in with
//! a request. That a value that came in is written behind something composed, or pushed out once, says nothing.

use super::{Outbound, Peer};
use crate::{
    Value,
    cases::{Case, Subject},
    detect::{Habit, Seen},
    finding::{Confidence, Severity},
    graph::NodeId,
    world::{Op, World},
};

/// Shorter writes say nothing: they may be anywhere in a content.
const MIN_WRITE: usize = 4;
/// Turns that begin with a copy, of a connection that is told,
const TURNS: u32 = 2;
/// and bytes that were copied: two short words may be chance.
const MIN_COPIED: u64 = 24;
/// Turns that leave no doubt.
const SURE_TURNS: u32 = 4;
/// Turns that begin otherwise, of a connection that is looked at no longer,
const MAX_MISSED: u32 = 2;
/// and operations after which it is looked at no longer, whatever they were.
const MAX_OPERATIONS: u32 = 512;

/// What is written on a connection, held against what came in.
#[derive(Debug, Default)]
pub struct Relay {
    operations: u32,
    /// Whether the last operation was a write.
    writing: bool,
    turns: u32,
    copied_turns: u32,
    bytes: u64,
    copied: u64,
    /// The request that it was copied from last,
    request: Option<NodeId>,
    /// and that the finding is about, once there is one.
    subject: Option<NodeId>,
}

impl Relay {
    /// Whether what comes next may still say something.
    pub fn is_open(&self) -> bool {
        self.operations < MAX_OPERATIONS && self.turns - self.copied_turns <= MAX_MISSED
    }

    /// The peer said something.
    pub fn received(&mut self) {
        self.operations += 1;
        self.writing = false;
    }

    /// Something was written, of which `request` brought every byte in. Whether that begins a turn.
    fn wrote(&mut self, len: u64, request: Option<NodeId>) -> bool {
        self.operations += 1;
        let begins = !std::mem::replace(&mut self.writing, true);
        self.turns += u32::from(begins);
        self.bytes += len;
        if let Some(request) = request {
            self.copied_turns += u32::from(begins);
            self.copied += len;
            self.request = Some(request);
        }
        begins
    }

    /// Whether this is a relay: more than nine in ten, of bytes and of turns.
    fn is_relay(&self) -> bool {
        self.copied_turns >= TURNS
            && self.copied >= MIN_COPIED
            && self.copied * 10 > self.bytes * 9
            && self.copied_turns * 10 > self.turns * 9
    }
}

/// Bytes were written on a connection that is no HTTP so far; it is none when the peer has answered twice.
pub fn wrote(world: &mut World, outbound: &mut Outbound, bytes: &[u8], op: Op) {
    if bytes.len() < MIN_WRITE {
        return;
    }
    let request = world.net.contents.find(world.tasks.family(op.pid), bytes);
    let begins = outbound.relay.wrote(bytes.len() as u64, request);
    let relay = &mut outbound.relay;
    if let Some(request) = relay.request
        && begins
        && relay.is_relay()
        && (relay.copied_turns == TURNS || relay.copied_turns.is_power_of_two())
    {
        let subject = *relay.subject.get_or_insert(request);
        tell(world, relay, &outbound.peer, subject, op);
    }
}

fn tell(world: &mut World, relay: &Relay, peer: &Peer, request: NodeId, op: Op) {
    let service = world.service(op.pid);
    let (route, mut attributes) =
        super::about(world, request).map_or_else(Default::default, |about| (about.route, about.attributes));
    let habit = Habit::relay(&route, &peer.name);
    if world.baseline.seen(&service, &habit) == Seen::Known {
        return;
    }
    let Relay { copied, bytes, copied_turns, turns, .. } = relay;
    super::turn_to(&mut attributes, peer, [habit]);
    attributes.push(("tracer.relay.bytes", Value::Int(i64::try_from(*copied).unwrap_or(i64::MAX))));
    world.raise(Case {
        rule: "net.tunnel",
        subject: Subject::Node(request),
        severity: Severity::High,
        confidence: if *copied_turns >= SURE_TURNS { Confidence::Confirmed } else { Confidence::Probable },
        title: format!("{service} relays what {} brings in to {peer}", name(&route)),
        time: op.time,
        pid: op.pid,
        attributes,
        facts: vec![(
            op.time,
            format!(
                "{copied} of {bytes} bytes written to {peer} were copied whole out of the content that came in, in \
                 {copied_turns} of {turns} turns of write after read; the peer does not speak HTTP"
            ),
        )],
    });
}

fn name(route: &str) -> &str {
    if route.is_empty() { "a request" } else { route }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::node_id;

    /// What is done on a connection: `r` a read, `c` a write of ten copied bytes, `w` one of ten others, `W` one
    /// of a thousand copied bytes.
    fn after(operations: &str) -> Relay {
        let mut relay = Relay::default();
        for operation in operations.chars() {
            match operation {
                'r' => relay.received(),
                'c' => drop(relay.wrote(10, Some(node_id(1)))),
                'W' => drop(relay.wrote(1000, Some(node_id(1)))),
                _ => drop(relay.wrote(10, None)),
            }
        }
        relay
    }

    #[test]
    fn who_relays_copies_turn_after_turn() {
        let relays = ["crcrc", "ccrc", "rcrcrc", "crcccrrc"];
        let others = [
            ("ccccc", "pushed out, without a turn: a log, a printer"),
            ("wrcrc", "who greets by himself"),
            ("wWrwWrwWrwW", "a value behind a command: a cache, a mail"),
            ("crc", "too little"),
            ("wrwrwrwrw", "a driver"),
            ("crcrww", "much that is composed"),
        ];
        for operations in relays {
            assert!(after(operations).is_relay(), "{operations}");
        }
        for (operations, why) in others {
            assert!(!after(operations).is_relay(), "{operations}: {why}");
        }
    }

    #[test]
    fn who_composes_is_soon_looked_at_no_longer() {
        assert!(after("wrwr").is_open());
        assert!(!after("wrwrw").is_open());
        assert!(after("crcrcrcrcrcrcr").is_open());
        assert!(!after(&"r".repeat(MAX_OPERATIONS as usize)).is_open());
    }
}
