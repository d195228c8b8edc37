//! `net.new_edge`: a service calls a peer for the first time.

use super::Peer;
use crate::{
    cases::{Case, Subject},
    detect::{Habit, Seen},
    finding::{Confidence, Severity},
    graph::NodeId,
    world::{Op, World},
};

/// The first bytes are sent on a connection, for `root`, by a process of the service that `owner` is of. Gives whether
/// the peer was known before.
pub fn called(world: &mut World, peer: &Peer, root: Option<NodeId>, owner: u32, op: Op) -> bool {
    let service = world.service(owner);
    let subject = match root {
        Some(root) => Subject::Node(root),
        None => Subject::Other(super::subject("net.new_edge", owner, &peer.name)),
    };
    let habit = Habit::edge(&peer.name);
    let known = world.baseline.edge(&service, &peer.name) == Seen::Known;
    if world.baseline.observe(subject, &service, habit.clone(), world.now) != Seen::New {
        return known;
    }
    let attributes = match root {
        Some(root) => super::attributes(world, root, peer, [habit]),
        None => super::peer_attributes(peer, [habit]),
    };
    world.raise(Case {
        rule: "net.new_edge",
        subject,
        severity: Severity::Info,
        confidence: Confidence::Confirmed,
        title: format!("{service} calls {peer} for the first time"),
        time: op.time,
        pid: owner,
        attributes,
        facts: vec![(op.time, format!("sends its first bytes to {peer}"))],
    });
    known
}
