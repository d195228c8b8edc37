//! The two ends of one connection on one node, and the exchanges that both of them saw.

use crate::graph::NodeId;
use rustc_hash::FxHashMap;
use std::collections::VecDeque;

/// Most exchanges that wait for their other end: those of the last moments, as most have none here.
const MAX_WAITING: usize = 8192;

/// Which exchange of which connection, as both ends know it. Both kinds hold a hash of the request's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wire {
    /// The TCP sequence number of the request's first byte. Addresses and network namespaces are left
    /// out: they differ at the two ends where addresses are translated, sequence numbers do not.
    Tcp {
        /// Sequence number.
        seq: u32,
        /// Hash.
        head: u64,
    },
    /// The sockets of the client and the server. Bytes are counted from when the tracer first saw each
    /// socket, which need not be the same moment.
    Unix {
        /// Client's socket.
        client: u64,
        /// Server's socket.
        server: u64,
        /// Hash.
        head: u64,
    },
}

/// One end that waits for the other.
#[derive(Debug, Default)]
struct Waiting {
    client: VecDeque<NodeId>,
    server: VecDeque<NodeId>,
}

/// Exchanges that wait for their other end.
#[derive(Debug, Default)]
pub struct Wires {
    waiting: FxHashMap<Wire, Waiting>,
    order: VecDeque<(Wire, NodeId)>,
}

impl Wires {
    /// One end of an exchange; gives client and server when it is the second. `fits` says of one that
    /// waits whether it still can be the other: where an end was missed, the same request on the same
    /// connection later is another exchange.
    pub fn meet(
        &mut self,
        wire: Wire,
        node: NodeId,
        is_client: bool,
        fits: impl Fn(NodeId) -> bool,
    ) -> Option<(NodeId, NodeId)> {
        let entry = self.waiting.entry(wire).or_default();
        let (own, other) = if is_client {
            (&mut entry.client, &mut entry.server)
        } else {
            (&mut entry.server, &mut entry.client)
        };
        let found = std::iter::from_fn(|| other.pop_front()).find(|found| fits(*found));
        if let Some(found) = found {
            if entry.client.is_empty() && entry.server.is_empty() {
                self.waiting.remove(&wire);
            }
            return Some(if is_client { (node, found) } else { (found, node) });
        }
        own.push_back(node);
        self.order.push_back((wire, node));
        None
    }

    /// Past the bound: the exchange that has waited longest, which from now on does not.
    pub fn shed(&mut self) -> Option<NodeId> {
        let (wire, node) = (self.order.len() > MAX_WAITING).then(|| self.order.pop_front())??;
        let entry = self.waiting.get_mut(&wire)?;
        let before = entry.client.len() + entry.server.len();
        entry.client.retain(|n| *n != node);
        entry.server.retain(|n| *n != node);
        let left = entry.client.len() + entry.server.len();
        if left == 0 {
            self.waiting.remove(&wire);
        }
        (left < before).then_some(node)
    }
}
