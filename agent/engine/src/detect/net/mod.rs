//! What services say to others: connections that they begin, and what goes out on them.

mod contents;
mod edge;
mod egress;
mod fanout;
mod tunnel;
pub mod websocket;

use crate::{
    Value,
    detect::{Habit, process},
    exchange::Endpoint,
    graph::{Body, NodeId},
    span,
    world::{Op, World},
};
pub use contents::About;
use contents::Contents;
use egress::Senders;
use fanout::Fans;
use std::{fmt, net::IpAddr, sync::Arc};
use tunnel::Relay;

pub use egress::ended;

/// Bytes after which what was sent on a connection is accounted for.
const ACCOUNT: u64 = 1 << 20;

/// Digits of a number in the name of a unix socket that is taken for one of many.
const MIN_NUMBER: usize = 3;

/// What the rules remember of all connections.
#[derive(Debug, Default)]
pub struct Net {
    /// What requests brought in.
    pub contents: Contents,
    fans: Fans,
    senders: Senders,
}

impl Net {
    /// Senders that were forgotten for want of room.
    pub fn dropped(&self) -> u64 {
        self.senders.dropped + self.fans.dropped + self.contents.dropped
    }
}

/// The other end of a connection.
#[derive(Debug)]
pub struct Peer {
    /// As it stands in the baseline.
    name: Arc<str>,
    endpoint: Endpoint,
}

impl Peer {
    fn new(endpoint: &Endpoint) -> Self {
        let name = match endpoint {
            Endpoint::Tcp(address @ IpAddr::V4(_), port) => span::written(*address) + ":" + &port.to_string(),
            Endpoint::Tcp(address, port) => format!("[{address}]:{port}"),
            Endpoint::Unix(name) => format!("unix:{}", without_numbers(name)),
        };
        Self { name: name.into(), endpoint: endpoint.clone() }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// A connection that an observed process began.
#[derive(Debug)]
pub struct Outbound {
    pid: u32,
    /// The incident that the process is part of, if it was launched by a server.
    incident: Option<u64>,
    peer: Peer,
    /// What the process began it for.
    root: Option<NodeId>,
    /// Bytes sent in all, and those of them that were accounted for.
    sent: u64,
    accounted: u64,
    /// Place behind the last byte that was sent.
    place: Option<u64>,
    called: bool,
    /// Whether the peer was known before that.
    known: bool,
    /// Whether the peer has said anything, or need not yet: a request is sent.
    heard: bool,
    /// Whether the peer took the connection.
    reached: bool,
    /// Whether anything was asked: who only knocks, or waits for a banner, asks nothing.
    asked: bool,
    /// Whether the peer has said anything since.
    answered: bool,
    /// Whether the peer was new when it was turned to, and no end of that was seen yet.
    probes: bool,
    relay: Relay,
}

impl Outbound {
    /// A thread begins to connect to `remote`.
    pub fn connecting(remote: &Endpoint, op: Op, world: &mut World) -> Self {
        let (root, peer) = (world.root(op), Peer::new(remote));
        let owner = root.and_then(|_| world.owner(op.pid));
        let probes = owner.is_some_and(|owner| fanout::is_new(world, &peer, owner));
        Self {
            pid: op.pid,
            incident: world.launches.incident(op.pid),
            peer,
            root,
            sent: 0,
            accounted: 0,
            place: None,
            called: false,
            known: false,
            heard: false,
            reached: false,
            asked: false,
            answered: false,
            probes,
            relay: Relay::default(),
        }
    }

    /// The peer takes the connection.
    pub fn established(&mut self) {
        self.reached = true;
    }

    /// Whether its bytes are of interest though it is no HTTP.
    pub fn is_of_interest(&self, world: &World) -> bool {
        self.relay.is_open() && world.owner(self.pid).is_some()
    }

    /// Bytes were received; `http` says whether they are of a message.
    pub fn received(&mut self, http: bool, op: Op, world: &mut World) {
        if !http && world.launches.may_pump() {
            process::talks(world, &self.peer.name, true, op);
        }
        self.heard = true;
        self.answered |= self.asked;
        self.relay.received();
    }

    /// `len` bytes were sent from `place` on, a sequence number of 32 bits on TCP, of which `bytes` were
    /// captured. `http` says whether they are a message.
    pub fn sent(&mut self, (place, len): (u64, u64), bytes: &[u8], http: bool, op: Op, world: &mut World) {
        self.heard |= http;
        self.asked |= http || !bytes.trim_ascii().is_empty();
        // What moved unseen counts too.
        let before = self.place.unwrap_or(place);
        let skipped = u64::from((place as u32).wrapping_sub(before as u32));
        let skipped = if skipped > u64::from(u32::MAX / 2) { 0 } else { skipped };
        self.place = Some(place.wrapping_add(len));
        self.sent = self.sent.saturating_add(skipped + len);
        if !http && world.launches.may_pump() {
            process::talks(world, &self.peer.name, false, op);
        }
        let Some(owner) = world.owner(op.pid) else { return };
        if !std::mem::replace(&mut self.called, true) {
            let root = self.root.or_else(|| world.root(op));
            self.known = edge::called(world, &self.peer, root, owner, op);
        }
        if !http && self.relay.is_open() {
            tunnel::wrote(world, self, bytes, op);
        }
        if self.sent - self.accounted >= ACCOUNT {
            let root = self.root.filter(|root| world.graph.is_active(*root)).or_else(|| world.root(op));
            self.account(root, owner, world);
        }
    }

    /// This side is done with it: a peer that was asked in HTTP, and answered, was not probed.
    pub fn done(&mut self, world: &mut World) {
        if let Some(root) = self.root.filter(|_| std::mem::take(&mut self.probes) && !self.answered)
            && let Some(owner) = world.owner(self.pid)
            // What a server keeps for other requests is a pool's.
            && (owner != self.pid || world.graph.is_active(root))
        {
            // What looks whether others are there finds most of them.
            let lives = self.reached && owner == self.pid;
            fanout::probed(world, &self.peer, lives, root, owner);
        }
    }

    /// The connection ended; so many bytes were sent and received in all, if that is known.
    pub fn ended(&mut self, total: Option<(u64, u64)>, world: &mut World) {
        if let Some((sent, received)) = total {
            self.sent = self.sent.max(sent);
            // The FIN counts as a byte.
            self.heard |= received > 1;
            self.answered |= self.asked && received > 1;
        }
        self.done(world);
        if let Some(incident) = self.incident.filter(|_| self.sent > 0) {
            super::process::sent(world, self.pid, incident, &self.peer.name, self.sent);
        }
        if let Some(owner) = world.owner(self.pid) {
            self.account(self.root, owner, world);
        }
    }

    fn account(&mut self, root: Option<NodeId>, owner: u32, world: &mut World) {
        let bytes = self.sent - std::mem::replace(&mut self.accounted, self.sent);
        if bytes > 0 {
            egress::sent(world, self, root, owner, bytes);
        }
    }
}

/// What a finding says of a request, as long as that is known.
fn about(world: &World, request: NodeId) -> Option<About> {
    let exchange = world.graph.get(request).and_then(|node| node.exchange());
    exchange.map(About::of).or_else(|| world.net.contents.about(request))
}

/// What a finding says of the request or launch that all began with, and of the peer.
fn attributes(
    world: &World,
    root: NodeId,
    peer: &Peer,
    habits: impl IntoIterator<Item = Habit>,
) -> Vec<(&'static str, Value)> {
    let mut attributes = match world.graph.get(root).map(|node| (node, &node.body)) {
        Some((_, Body::Exchange(exchange))) => span::exchange(exchange).attributes,
        Some((node, Body::Launch(launch))) => {
            span::launch(node, launch, world.tasks.directory(node.pid)).attributes
        }
        None => Vec::new(),
    };
    turn_to(&mut attributes, peer, habits);
    attributes
}

/// Says of the peer what was said of the request's own connection.
fn turn_to(
    attributes: &mut Vec<(&'static str, Value)>,
    peer: &Peer,
    habits: impl IntoIterator<Item = Habit>,
) {
    attributes.retain(|(key, _)| !key.starts_with("network."));
    attributes.extend(peer_attributes(peer, habits));
}

fn peer_attributes(peer: &Peer, habits: impl IntoIterator<Item = Habit>) -> Vec<(&'static str, Value)> {
    let habits = habits.into_iter().map(|habit| habit.to_string()).collect();
    let mut attributes = vec![("tracer.baseline.habits", Value::Strings(habits))];
    match &peer.endpoint {
        Endpoint::Tcp(address, port) => {
            attributes.push(("network.peer.address", Value::Str(address.to_string())));
            attributes.push(("network.peer.port", Value::Int((*port).into())));
            attributes.push(("network.transport", Value::Str("tcp".into())));
        }
        Endpoint::Unix(name) => {
            attributes.push(("network.peer.address", Value::Str(name.to_string())));
            attributes.push(("network.transport", Value::Str("unix".into())));
        }
    }
    attributes
}

/// For what something is done, in words.
fn name(world: &World, root: NodeId) -> String {
    match world.graph.get(root).map(|node| &node.body) {
        Some(Body::Exchange(exchange)) => {
            format!("for {}", super::route(exchange.method(), exchange.target()))
        }
        Some(Body::Launch(launch)) => {
            let program = launch.images.last().map_or("", |image| &image.comm);
            format!("by {program}, which it launched for no request")
        }
        None => "for a request that has ended".into(),
    }
}

/// A socket's name without the process ids and other numbers that change with every start.
fn without_numbers(name: &str) -> String {
    let mut without = String::with_capacity(name.len());
    for part in name.split_inclusive(|c: char| !c.is_ascii_digit()) {
        let digits = part.bytes().take_while(u8::is_ascii_digit).count();
        let (number, rest) = part.split_at(digits);
        without.push_str(if digits >= MIN_NUMBER { "{n}" } else { number });
        without.push_str(rest);
    }
    without
}

/// Names a case that is about a process and a peer.
fn subject(rule: &str, pid: u32, peer: &str) -> u64 {
    twox_hash::XxHash3_64::oneshot(format!("{rule} {pid} {peer}").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_outlives_a_restart() {
        let cases = [
            ("/run/cgisock.14719", "/run/cgisock.{n}"),
            ("/run/php8.2-fpm.sock", "/run/php8.2-fpm.sock"),
            ("@/tmp/1234/x567", "@/tmp/{n}/x{n}"),
            ("", ""),
        ];
        for (name, expected) in cases {
            assert_eq!(without_numbers(name), expected);
        }
    }
}
