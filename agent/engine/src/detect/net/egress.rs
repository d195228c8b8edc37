//! `net.egress_spike`: one request, or one minute of a process, sends far more out than is usual.
//!
//! Whom data is sent to for keeping says at least that he has it. One request that pushes it to a peer that is not
//! known and says nothing at all is worse than an upload.
//!
//! It is held against what was known when the sender began, and teaches when it is over: who sends slowly must not become
//! usual by what he has sent so far.

use super::Outbound;
use crate::{
    Time, Value,
    cases::{Case, Subject},
    detect::{Habit, Seen},
    finding::{Confidence, Severity},
    graph::{Node, NodeId},
    world::World,
};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

/// Bytes that are worth a look.
const NOTICED: u64 = 10_000_000;
/// How many times as much as usual is far more.
const FAR: u64 = 4;
/// What a process sends for no request is counted for so long.
const WINDOW_MS: u64 = 60_000;
/// Most senders that are counted at once, some hundred bytes each. Past it the oldest is counted anew.
const MAX_SENDERS: usize = 4096;

/// Who sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Sender {
    /// A request, or a launch that none caused, and all that they caused.
    Root(NodeId),
    /// A process, of itself.
    Process(u32),
}

/// What was sent by whom to whom.
#[derive(Debug, Default)]
pub struct Senders {
    known: BTreeMap<(Sender, Arc<str>), Sent>,
    oldest: VecDeque<(Sender, Arc<str>)>,
    /// Those that were forgotten for want of room.
    pub dropped: u64,
}

#[derive(Clone, Debug)]
struct Sent {
    bytes: u64,
    /// Bytes of them that did not come in with the request.
    out: u64,
    since: Time,
    /// The service, and what it usually sent then.
    service: Arc<str>,
    usual: u64,
    /// Whether the peer was known then.
    known: bool,
    /// Whether something bad was said of it: its case may be forgotten before it is over.
    bad: bool,
}

impl Senders {
    /// What a sender has sent so far, if that is counted already.
    fn get(&mut self, sender: Sender, peer: &Arc<str>) -> Option<&mut Sent> {
        self.known.get_mut(&(sender, Arc::clone(peer)))
    }

    /// A sender begins, or begins anew.
    fn begin(&mut self, sender: Sender, peer: &Arc<str>, sent: Sent) {
        let key = (sender, Arc::clone(peer));
        if self.known.insert(key.clone(), sent).is_none() {
            self.oldest.push_back(key);
        }
        if self.known.len() > MAX_SENDERS
            && let Some(oldest) = self.oldest.pop_front()
        {
            self.dropped += u64::from(self.known.remove(&oldest).is_some());
        }
    }

    /// What a request sent to each of its peers.
    fn of(&self, root: NodeId) -> Vec<(Arc<str>, Sent)> {
        let begin = (Sender::Root(root), Arc::from(""));
        let sent = self.known.range(begin..).take_while(|((sender, _), _)| *sender == Sender::Root(root));
        sent.map(|((_, peer), sent)| (Arc::clone(peer), sent.clone())).collect()
    }
}

impl Sender {
    fn subject(self, peer: &str) -> Subject {
        match self {
            Self::Root(root) => Subject::Node(root),
            Self::Process(pid) => Subject::Other(super::subject("net.egress_spike", pid, peer)),
        }
    }
}

/// A request or launch is over: what it sent becomes usual, unless something bad was said of it.
pub fn ended(world: &mut World, root: NodeId) {
    for (peer, sent) in world.net.senders.of(root) {
        learn(world, Sender::Root(root), &peer, &sent);
    }
}

fn learn(world: &mut World, sender: Sender, peer: &str, sent: &Sent) {
    if let Some(habit) = Habit::egress(peer, sent.out).filter(|_| !sent.bad) {
        let now = world.now;
        world.baseline.observe(sender.subject(peer), &sent.service, habit, now);
    }
}

/// Counts; gives what was sent so far.
fn count(world: &mut World, sender: Sender, outbound: &Outbound, owner: u32, bytes: u64) -> Option<Sent> {
    let (peer, now) = (&outbound.peer.name, world.now);
    let before = world.net.senders.get(sender, peer).cloned();
    let over =
        |sent: &Sent| matches!(sender, Sender::Process(_)) && now.since(sent.since) > WINDOW_MS * 1_000_000;
    if before.as_ref().is_none_or(over) {
        if let Some(before) = before {
            learn(world, sender, peer, &before);
        }
        let service = world.service(owner);
        let usual = world.baseline.egress(&service, peer);
        // What was begun for the sender itself may have become known by that.
        let own = matches!(sender, Sender::Root(root) if outbound.root == Some(root));
        let known = if own { outbound.known } else { world.baseline.edge(&service, peer) == Seen::Known };
        world.net.senders.begin(
            sender,
            peer,
            Sent { bytes: 0, out: 0, since: now, service, usual, known, bad: false },
        );
    }
    // Who passes on what came in is no source of it.
    let brought = match sender {
        Sender::Root(root) => world.graph.get(root).and_then(Node::exchange),
        Sender::Process(_) => None,
    };
    let brought = brought.map_or(0, |exchange| exchange.request_content);
    let sent = world.net.senders.get(sender, peer)?;
    sent.bytes = sent.bytes.saturating_add(bytes);
    sent.out = sent.bytes.saturating_sub(brought);
    Some(sent.clone())
}

/// How bad it is that with the latest `bytes` so much was sent: told when it becomes noticeable, and whenever it has
/// doubled.
fn judge(sent: &Sent, bytes: u64, pushed: bool) -> Option<Severity> {
    let before = sent.out.saturating_sub(bytes);
    let grown = before <= NOTICED || before.ilog2() != sent.out.ilog2();
    if sent.out <= NOTICED || sent.out <= sent.usual.saturating_mul(FAR) || !grown {
        return None;
    }
    Some(if pushed { Severity::High } else { Severity::Medium })
}

/// Bytes were sent on a connection, by a process of the service that `owner` is of, for `root`.
pub fn sent(world: &mut World, outbound: &Outbound, root: Option<NodeId>, owner: u32, bytes: u64) {
    let (peer, pid, now) = (&outbound.peer, outbound.pid, world.now);
    let sender = root.map_or(Sender::Process(pid), Sender::Root);
    let Some(sent) = count(world, sender, outbound, owner, bytes) else { return };
    if root.is_some_and(|root| world.graph.get(root).is_none()) {
        learn(world, sender, &peer.name, &sent);
    }
    let Sent { out, ref service, usual, known, .. } = sent;
    let subject = sender.subject(&peer.name);
    let Some(habit) = Habit::egress(&peer.name, out) else { return };
    let pushed = root.is_some() && !outbound.heard && !known;
    let Some(severity) = judge(&sent, bytes, pushed) else { return };
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
    if let Some(sent) = world.net.senders.get(sender, &peer.name) {
        sent.bad |= pushed;
    }
    let usually = if pushed { format!("{usually}; the peer has said nothing") } else { usually };
    world.raise(Case {
        rule: "net.egress_spike",
        subject,
        severity,
        confidence: Confidence::Probable,
        title: format!("{service} sends more than {} MB to {peer}, {who}", NOTICED / 1_000_000),
        time: now,
        pid: owner,
        attributes,
        facts: vec![(now, format!("{} MB sent to {peer} so far; {usually}", out / 1_000_000))],
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: u64 = 1_000_000;

    #[test]
    fn far_more_than_usual_is_told_as_it_doubles() {
        use Severity::{High, Medium};
        // What was sent before and then, what is usual, whether to an unknown peer that says nothing.
        let cases = [
            ((0, 50 * MB), 0, true, Some(High), "copied out"),
            ((0, 50 * MB), 0, false, Some(Medium), "an upload that is answered"),
            ((10 * MB, MB), 0, false, Some(Medium), "the last byte that makes it noticeable"),
            ((0, 10 * MB), 0, true, None, "not noticeable"),
            ((20 * MB, MB), 0, true, None, "told at 16.8 MB, when the count of bits grew"),
            ((30 * MB, 10 * MB), 0, true, Some(High), "doubled again"),
            ((0, 40 * MB), 10 * MB, true, None, "four times the usual"),
            ((0, 41 * MB), 10 * MB, true, Some(High), "more than that"),
            ((0, 50 * MB), u64::MAX, true, None, "always more"),
        ];
        for ((before, bytes), usual, pushed, severity, what) in cases {
            let (since, service) = (Time(0), Arc::from("shop"));
            let out = before + bytes;
            let sent = Sent { bytes: out, out, since, service, usual, known: false, bad: false };
            assert_eq!(judge(&sent, bytes, pushed), severity, "{what}");
        }
    }
}
