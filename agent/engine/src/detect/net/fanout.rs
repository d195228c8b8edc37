//! `net.fanout`: one request makes its server turn to many peers that it never called before.

use super::Peer;
use crate::{
    cases::{Case, Subject},
    detect::{Habit, Seen},
    finding::{Confidence, Severity},
    graph::NodeId,
    world::World,
};
use rustc_hash::FxHashMap;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

/// New peers of one request that are too many.
const MANY: usize = 8;
/// Most peers that are noted of one request.
const MAX_PEERS: usize = 64;
/// Most requests of which peers are noted, some kilobytes each at most. Past it the oldest is forgotten.
const MAX_REQUESTS: usize = 1024;

/// New peers, by the request or launch that all began with, and whether each was there.
#[derive(Debug, Default)]
pub struct Fans {
    known: FxHashMap<NodeId, BTreeMap<Arc<str>, bool>>,
    oldest: VecDeque<NodeId>,
    /// Requests that were forgotten for want of room, and peers past the most of one.
    pub dropped: u64,
}

impl Fans {
    /// Notes a peer; gives how many there are by now, if it is a further one.
    fn add(&mut self, root: NodeId, peer: &Arc<str>, lives: bool) -> Option<usize> {
        if !self.known.contains_key(&root) {
            if self.known.len() >= MAX_REQUESTS
                && let Some(oldest) = self.oldest.pop_front()
            {
                self.known.remove(&oldest);
                self.dropped += 1;
            }
            self.oldest.push_back(root);
        }
        let peers = self.known.entry(root).or_default();
        if peers.contains_key(peer) {
            return None;
        }
        if peers.len() >= MAX_PEERS {
            self.dropped += 1;
            return None;
        }
        peers.insert(Arc::clone(peer), lives);
        Some(peers.len())
    }

    /// The same, once they are too many.
    fn too_many(&mut self, root: NodeId, peer: &Arc<str>, lives: bool) -> Option<usize> {
        self.add(root, peer, lives).filter(|count| *count >= MANY)
    }

    /// Whether most of a request's new peers were there.
    fn most_live(&self, root: NodeId) -> bool {
        let peers = &self.known[&root];
        2 * peers.values().filter(|lives| **lives).count() > peers.len()
    }
}

/// Whether the service that `owner` is of never called a peer.
pub fn is_new(world: &mut World, peer: &Peer, owner: u32) -> bool {
    let service = world.service(owner);
    world.baseline.edge(&service, &peer.name) != Seen::Known
}

/// A new peer was turned to, for `root`, in a process of the service that `owner` is of, and has not answered in HTTP:
/// who gathers from many does so from those that answer. Where most of them were there, `lives`, it may look after
/// them: who looks for what there is finds closed doors.
pub fn probed(world: &mut World, peer: &Peer, lives: bool, root: NodeId, owner: u32) {
    if lives {
        // Nothing is ever sent there that would make it known.
        let (service, now) = (world.service(owner), world.now);
        world.baseline.observe(Subject::Node(root), &service, Habit::edge(&peer.name), now);
    }
    let Some(count) = world.net.fans.too_many(root, &peer.name, lives) else { return };
    let (service, time) = (world.service(owner), world.now);
    let all: Vec<_> = world.net.fans.known[&root].keys().cloned().collect();
    let attributes = super::attributes(world, root, peer, all.iter().map(|peer| Habit::edge(peer)));
    let title = format!("{service} turns to {MANY} or more new peers, {}", super::name(world, root));
    let fact =
        |peer: &Arc<str>| (time, format!("connects to {peer}, a new peer, which gave no answer in HTTP"));
    let facts = match count {
        MANY => all.iter().map(fact).collect(),
        _ => vec![fact(&peer.name)],
    };
    world.raise(Case {
        rule: "net.fanout",
        subject: Subject::Node(root),
        severity: if world.net.fans.most_live(root) { Severity::Medium } else { Severity::High },
        confidence: Confidence::Probable,
        title,
        time,
        pid: owner,
        attributes,
        facts,
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::node_id;

    /// How often a request that turns to these peers is told of, and what found no room.
    fn told(peers: impl IntoIterator<Item = usize>, requests: u64) -> (usize, u64) {
        let mut fans = Fans::default();
        let peers = peers.into_iter().enumerate();
        let told = peers.filter_map(|(n, peer)| {
            let root = node_id(n as u64 % requests);
            fans.too_many(root, &Arc::from(format!("10.0.0.{peer}:80")), false)
        });
        (told.count(), fans.dropped)
    }

    #[test]
    fn eight_new_peers_of_one_request_are_too_many() {
        assert_eq!(told(0..8, 1), (1, 0), "a scan");
        assert_eq!(told(0..7, 1), (0, 0), "some");
        assert_eq!(told(0..20, 1), (13, 0), "each further one is a fact more");
        assert_eq!(told((0..40).map(|n| n % 7), 1), (0, 0), "the same again");
        assert_eq!(told(0..40, 10), (0, 0), "of many requests");
    }

    #[test]
    fn what_finds_no_room_is_counted() {
        assert_eq!(told(0..100, 1), (57, 36));
        assert_eq!(told(0..1030, 1030), (0, 6));
    }
}
