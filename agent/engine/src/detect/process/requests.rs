//! Requests that may have made a server launch something, as they were: a program may run long after its request's
//! span has left.

use super::{room::room, said::MESSAGE_END};
use crate::{
    Budget,
    budget::Shrink,
    exchange::{Endpoint, Exchange, MAX_CONTENT},
    graph::{Body, Graph, Node, NodeId},
    http1::Head,
};
use rustc_hash::FxHashMap;
use std::collections::VecDeque;

/// Most requests that are kept: a second of a server that forks for each.
const MAX_REQUESTS: usize = 1024;
/// Most bytes of them; past it only their begin is kept.
const MAX_BYTES: usize = 8 << 20;
/// Requests of one server, all its workers, that have ended, and may have said what it launches later: the latest with
/// parameters or a content, and as many others. What a request leaves for later is mostly done in moments; who is so busy
/// that it is not was told by many.
const MAX_ENDED: usize = 16;
/// Most servers of which they are kept; past it all are forgotten.
const MAX_SERVERS: usize = 1024;

/// Most WebSockets of a process that are taken for what it launches, the latest; and most processes, past which all are
/// forgotten.
const MAX_SESSIONS: usize = 16;

/// See the module.
#[derive(Debug)]
pub struct Requests {
    known: FxHashMap<NodeId, Body>,
    order: VecDeque<NodeId>,
    held: Budget,
    servers: FxHashMap<u64, Ended>,
    /// Those that ended; nothing of one whose span has not left yet.
    ended: FxHashMap<NodeId, Option<Body>>,
    /// Those that became a WebSocket which is still open, by process.
    sessions: FxHashMap<u32, Vec<NodeId>>,
    /// Requests that were forgotten for want of room while something might have been launched for them.
    pub dropped: u64,
}

/// Requests of a server that ended.
#[derive(Debug, Default)]
struct Ended {
    latest: VecDeque<NodeId>,
    /// Those that have neither parameters nor a content, and can say something in fields only, or in their path.
    plain: VecDeque<NodeId>,
    /// The most room that one had of those before.
    room: usize,
    /// The process that has read the last one.
    reader: u32,
}

impl Default for Requests {
    fn default() -> Self {
        Self {
            known: FxHashMap::default(),
            order: VecDeque::new(),
            held: Budget::new(MAX_BYTES),
            servers: FxHashMap::default(),
            ended: FxHashMap::default(),
            sessions: FxHashMap::default(),
            dropped: 0,
        }
    }
}

impl Requests {
    /// Keeps a request that is still open, or has just ended.
    pub fn keep(&mut self, node: NodeId, graph: &Graph) {
        let Some(exchange) = self.find(node, graph) else { return };
        if let Some(Body::Exchange(known)) = self.known.get(&node)
            && known.content.len() >= exchange.content.len()
        {
            return;
        }
        self.put(node, exchange.clone());
    }

    fn put(&mut self, node: NodeId, exchange: Exchange) {
        if !self.known.contains_key(&node) {
            self.order.push_back(node);
        }
        if self.order.len() > MAX_REQUESTS {
            self.dropped += 1;
            let oldest = self.order.pop_front();
            oldest.into_iter().for_each(|oldest| self.forget(oldest));
        }
        self.forget(node);
        let mut body = Body::Exchange(Box::new(exchange));
        self.held.fit(&mut body);
        self.known.insert(node, body);
    }

    /// A request becomes a WebSocket: what is launched while that is open may be for it.
    pub fn upgraded(&mut self, pid: u32, node: NodeId, exchange: &Exchange, head: &Head) {
        self.put(node, Exchange { response: Some(Box::new(head.clone())), ..exchange.clone() });
        if self.sessions.len() >= MAX_SERVERS {
            self.dropped += self.sessions.len() as u64;
            self.sessions.clear();
        }
        let sessions = self.sessions.entry(pid).or_default();
        sessions.push(node);
        if sessions.len() > MAX_SESSIONS {
            sessions.remove(0);
        }
    }

    /// A client says something in a WebSocket.
    pub fn says(&mut self, node: NodeId, message: &[u8]) {
        let Some(Body::Exchange(exchange)) = self.known.get_mut(&node) else { return };
        let before = exchange.content.capacity();
        if exchange.content.len() + message.len() >= MAX_CONTENT {
            exchange.content.clear();
        }
        exchange.content.extend_from_slice(&message[..message.len().min(MAX_CONTENT)]);
        exchange.content.push(MESSAGE_END);
        self.held.settle(before, exchange.content.capacity());
    }

    /// A WebSocket ended.
    pub fn closed(&mut self, pid: u32, node: NodeId) {
        if let Some(sessions) = self.sessions.get_mut(&pid) {
            sessions.retain(|session| *session != node);
            if sessions.is_empty() {
                self.sessions.remove(&pid);
            }
        }
    }

    /// The WebSockets that a process has open, the latest first.
    pub fn sessions(&self, pid: u32) -> impl Iterator<Item = NodeId> {
        self.sessions.get(&pid).into_iter().flatten().rev().copied()
    }

    /// A request that a server has read ended.
    pub fn ended(&mut self, (server, pid): (u64, u32), node: NodeId, exchange: &Exchange) {
        let plain = !exchange.target().contains(&b'?') && exchange.content.is_empty();
        if self.servers.len() >= MAX_SERVERS && !self.servers.contains_key(&server) {
            self.dropped += self.ended.len() as u64;
            self.servers.keys().copied().collect::<Vec<_>>().into_iter().for_each(|server| self.gone(server));
        }
        let ended = self.servers.entry(server).or_default();
        ended.reader = pid;
        let kept = if plain { &mut ended.plain } else { &mut ended.latest };
        kept.push_back(node);
        let oldest = if kept.len() > MAX_ENDED { kept.pop_front() } else { None };
        self.ended.insert(node, None);
        if plain {
            oldest.into_iter().for_each(|oldest| drop(self.drop_ended(oldest)));
        } else if let Some(Body::Exchange(exchange)) = oldest.and_then(|oldest| self.drop_ended(oldest))
            && let Some(ended) = self.servers.get_mut(&server)
        {
            ended.room = ended.room.max(room(&exchange, |_| false));
        }
    }

    /// The span of a node left.
    pub fn left(&mut self, node: NodeId, mut body: Body) {
        if let Some(ended) = self.ended.get_mut(&node) {
            self.held.fit(&mut body);
            *ended = Some(body);
        }
    }

    /// What a server read is forgotten.
    fn gone(&mut self, server: u64) {
        let ended = self.servers.remove(&server).unwrap_or_default();
        ended.latest.into_iter().chain(ended.plain).for_each(|node| drop(self.drop_ended(node)));
    }

    fn drop_ended(&mut self, node: NodeId) -> Option<Body> {
        let body = self.ended.remove(&node)??;
        self.held.settle(body.footprint(), 0);
        Some(body)
    }

    /// Requests that ended and may have said something, the latest first; behind all those that have parameters or a
    /// content the others.
    pub fn latest(&self, server: u64) -> impl Iterator<Item = NodeId> {
        let ended = self.servers.get(&server).into_iter();
        ended.flat_map(|ended| ended.latest.iter().rev().chain(ended.plain.iter().rev()).copied())
    }

    /// The process that has read a server's last request.
    pub fn reader(&self, server: u64) -> Option<u32> {
        self.servers.get(&server).map(|ended| ended.reader)
    }

    /// The most room that a request had which has ended.
    pub fn room(&self, server: u64, graph: &Graph) -> usize {
        let Some(ended) = self.servers.get(&server) else { return 0 };
        let (before, all) = (ended.room, ended.latest.iter().chain(&ended.plain).copied());
        all.filter_map(|node| self.find(node, graph))
            .map(|request| room(request, |_| false))
            .fold(before, usize::max)
    }

    /// A request, wherever it is.
    pub fn find<'a>(&'a self, node: NodeId, graph: &'a Graph) -> Option<&'a Exchange> {
        let ended = || match self.ended.get(&node)? {
            Some(Body::Exchange(exchange)) => Some(&**exchange),
            _ => None,
        };
        graph.get(node).and_then(Node::exchange).or_else(ended)
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
