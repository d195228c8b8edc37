//! Requests that may have made a server launch something, as they were: a program may run long after its request's
//! span has left.

use crate::{
    Budget,
    budget::Shrink,
    exchange::{Endpoint, Exchange},
    graph::{Body, Graph, Node, NodeId},
};
use rustc_hash::FxHashMap;
use std::collections::VecDeque;

/// Most requests that are kept: a second of a server that forks for each.
const MAX_REQUESTS: usize = 1024;
/// Most bytes of them; past it only their begin is kept.
const MAX_BYTES: usize = 8 << 20;

/// See the module.
#[derive(Debug)]
pub struct Requests {
    known: FxHashMap<NodeId, Body>,
    order: VecDeque<NodeId>,
    held: Budget,
}

impl Default for Requests {
    fn default() -> Self {
        Self { known: FxHashMap::default(), order: VecDeque::new(), held: Budget::new(MAX_BYTES) }
    }
}

impl Requests {
    /// Keeps a request that is still open.
    pub fn keep(&mut self, node: NodeId, graph: &Graph) {
        let Some(exchange) = graph.get(node).and_then(Node::exchange) else { return };
        if let Some(Body::Exchange(known)) = self.known.get(&node)
            && known.content.len() >= exchange.content.len()
        {
            return;
        }
        if !self.known.contains_key(&node) {
            self.order.push_back(node);
        }
        if self.order.len() > MAX_REQUESTS {
            let oldest = self.order.pop_front();
            oldest.into_iter().for_each(|oldest| self.forget(oldest));
        }
        self.forget(node);
        let mut body = Body::Exchange(Box::new(exchange.clone()));
        self.held.fit(&mut body);
        self.known.insert(node, body);
    }

    fn forget(&mut self, node: NodeId) {
        if let Some(body) = self.known.remove(&node) {
            self.held.settle(body.footprint(), 0);
        }
    }

    /// A request.
    pub fn get(&self, node: NodeId) -> Option<&Exchange> {
        match self.known.get(&node)? {
            Body::Exchange(exchange) => Some(exchange),
            Body::Launch(_) => None,
        }
    }
}

/// A request in one line.
pub fn line(exchange: &Exchange) -> String {
    const MOST: usize = 300;
    if let Some(unread) = exchange.unread {
        let carrier = unread.carrier.title();
        return format!("a request in {carrier} from {}, which cannot be read", exchange.endpoints.remote);
    }
    let target = String::from_utf8_lossy(exchange.target());
    let (path, query) = target.split_once('?').map_or((&*target, None), |(path, query)| (path, Some(query)));
    let mut line = format!("{} {path}", exchange.method());
    if let Some(query) = query {
        line.push('?');
        line.push_str(&crate::span::redact(query));
    }
    line.truncate(line.floor_char_boundary(MOST));
    match &exchange.endpoints.remote {
        Endpoint::Tcp(address, port) => format!("{line} from {}", std::net::SocketAddr::new(*address, *port)),
        Endpoint::Unix(_) => line,
    }
}
