//! The two ends of one connection on one node, and the exchanges that both of them saw.

use crate::graph::NodeId;
use rustc_hash::FxHashMap;
use std::{collections::VecDeque, net::IpAddr};

/// Most exchanges that wait for their other end: those of the last moments, as most have none here.
const MAX_WAITING: usize = 8192;

/// Which exchange of which connection, as both ends know it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Wire {
    /// The client's address and port, the server's, and the TCP sequence number of the request's first
    /// byte, which is the same at both ends. Network namespaces are left out: a connection between two
    /// of them is one connection.
    Tcp {
        /// Client.
        client: (IpAddr, u16),
        /// Server.
        server: (IpAddr, u16),
        /// Sequence number.
        seq: u32,
    },
    /// The sockets of the client and the server, and which request on this connection it is, by a hash
    /// of its head: bytes are counted from when the tracer first saw each socket, which need not be the
    /// same moment.
    Unix {
        /// Client's socket.
        client: u64,
        /// Server's socket.
        server: u64,
        /// Hash of the request's head.
        head: u64,
    },
}

/// One end that waits for the other.
#[derive(Debug)]
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
    /// One end of an exchange; gives client and server when it is the second.
    pub fn meet(&mut self, wire: Wire, node: NodeId, is_client: bool) -> Option<(NodeId, NodeId)> {
        let entry = self
            .waiting
            .entry(wire.clone())
            .or_insert_with(|| Waiting { client: VecDeque::new(), server: VecDeque::new() });
        let (own, other) = if is_client {
            (&mut entry.client, &mut entry.server)
        } else {
            (&mut entry.server, &mut entry.client)
        };
        if let Some(found) = other.pop_front() {
            if entry.client.is_empty() && entry.server.is_empty() {
                self.waiting.remove(&wire);
            }
            return Some(if is_client { (node, found) } else { (found, node) });
        }
        own.push_back(node);
        self.order.push_back((wire, node));
        if self.order.len() > MAX_WAITING {
            self.forget_oldest();
        }
        None
    }

    fn forget_oldest(&mut self) {
        let Some((wire, node)) = self.order.pop_front() else { return };
        if let Some(entry) = self.waiting.get_mut(&wire) {
            entry.client.retain(|n| *n != node);
            entry.server.retain(|n| *n != node);
            if entry.client.is_empty() && entry.server.is_empty() {
                self.waiting.remove(&wire);
            }
        }
    }
}
