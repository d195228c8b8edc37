//! `net.fanout`: one request makes its server turn to many peers that it never called before.

use super::Peer;
use crate::{
    detect::{Habit, Seen},
    finding::{Case, Confidence, Severity, Subject},
    graph::NodeId,
    world::{Op, World},
};
use rustc_hash::FxHashMap;
use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
};

/// New peers of one request that are too many.
const MANY: usize = 8;
/// Most peers that are noted of one request.
const MAX_PEERS: usize = 64;
/// Most requests of which peers are noted, some kilobytes each at most. Past it the oldest is forgotten.
const MAX_REQUESTS: usize = 1024;

/// New peers, by the request or launch that all began with.
#[derive(Debug, Default)]
pub struct Fans {
    known: FxHashMap<NodeId, BTreeSet<Arc<str>>>,
    oldest: VecDeque<NodeId>,
}

impl Fans {
    /// Notes a peer; gives how many there are by now, if it is a further one.
    fn add(&mut self, root: NodeId, peer: &Arc<str>) -> Option<usize> {
        if !self.known.contains_key(&root) {
            if self.known.len() >= MAX_REQUESTS
                && let Some(oldest) = self.oldest.pop_front()
            {
                self.known.remove(&oldest);
            }
            self.oldest.push_back(root);
        }
        let peers = self.known.entry(root).or_default();
        (peers.len() < MAX_PEERS && peers.insert(Arc::clone(peer))).then_some(peers.len())
    }
}

/// A connect begins, for `root`, in a process of the service that `owner` is of.
pub fn connecting(world: &mut World, peer: &Peer, root: NodeId, owner: u32, op: Op) {
    let service = world.service(owner);
    if world.baseline.edge(&service, &peer.name) == Seen::Known {
        return;
    }
    let Some(count) = world.net.fans.add(root, &peer.name).filter(|count| *count >= MANY) else { return };
    let all: Vec<_> = world.net.fans.known[&root].iter().cloned().collect();
    let attributes = super::attributes(world, root, peer, all.iter().map(|peer| Habit::edge(peer)));
    let title = format!("{service} turns to {MANY} or more new peers, {}", super::name(world, root));
    let facts = match count {
        MANY => all.iter().map(|peer| (op.time, format!("connects to {peer}, a new peer"))).collect(),
        _ => vec![(op.time, format!("connects to {peer}, a new peer"))],
    };
    world.raise(Case {
        rule: "net.fanout",
        subject: Subject::Node(root),
        severity: Severity::High,
        confidence: Confidence::Probable,
        title,
        time: op.time,
        pid: owner,
        attributes,
        facts,
    });
}
