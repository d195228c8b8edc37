//! What goes on behind a response that switched to a WebSocket (RFC 6455): no exchanges, but what comes in may go
//! on to someone else.

use super::{Conversation, Moved, unasked::status_of};
use crate::{
    detect::{
        net::{About, websocket::Frames},
        smuggling::{self, PassedOn},
    },
    exchange::Side,
    graph::NodeId,
    http1::{Guess, Head, looks_like_request, looks_like_response},
    world::{Op, World},
};
use tracer_common::direction;

/// Bytes from the client that are looked at: who is to be relayed says so in his first words.
const MAX_LOOKED_AT: u64 = 64 << 10;

/// See the module.
#[derive(Debug)]
pub struct Upgraded {
    /// The request that asked for it.
    node: NodeId,
    /// Who read that.
    pid: u32,
    frames: Frames,
    looked_at: u64,
    /// Where it came from through a front end, until it is known what is spoken.
    passed_on: Option<PassedOn>,
    /// The first bytes that came behind the switch.
    begun: Vec<u8>,
}

/// Most bytes of these: an everyday request line.
const MAX_BEGUN: usize = 1024;

impl Conversation {
    /// A response switches to what its request asked for.
    pub(super) fn upgrades(&mut self, head: &Head, world: &mut World) {
        let Some(node) = self.open.front().and_then(|open| open.node) else { return };
        if head.status() != Some(101) || self.side != Some(Side::Server) {
            return;
        }
        let Some((pid, exchange)) = world.graph.get(node).and_then(|node| Some((node.pid, node.exchange()?)))
        else {
            return;
        };
        if ![&b"websocket"[..], b"h2c"].iter().any(|protocol| smuggling::upgrades_to(exchange, protocol)) {
            return;
        }
        world.net.contents.describe(node, world.tasks.family(pid), About::of(exchange));
        if smuggling::upgrades_to(exchange, b"websocket") {
            world.launches.requests.upgraded(pid, node, exchange, head);
        }
        let (passed_on, frames) = (PassedOn::of(node, world), Frames::default());
        self.upgraded =
            Some(Box::new(Upgraded { node, pid, frames, looked_at: 0, passed_on, begun: Vec::new() }));
    }

    /// Whether what the client says is still looked at.
    pub fn is_relayed(&self) -> bool {
        let open = |upgraded: &Upgraded| {
            upgraded.looked_at < MAX_LOOKED_AT && (upgraded.passed_on.is_some() || !upgraded.frames.is_lost())
        };
        self.upgraded.as_deref().is_some_and(open)
    }

    pub(super) fn moved_upgraded(&mut self, direction: u8, moved: Moved<'_>, op: Op, world: &mut World) {
        self.speaks_on(direction, moved, op, world);
        let Some(upgraded) = self.upgraded.as_mut().filter(|_| direction == direction::RECEIVE) else {
            return;
        };
        match moved {
            Moved::Bytes(bytes) => {
                upgraded.looked_at += bytes.len() as u64;
                let payload = upgraded.frames.read(bytes);
                world.net.contents.add(upgraded.node, world.tasks.family(op.pid), &payload);
                world.launches.requests.says(upgraded.node, &payload);
            }
            Moved::Gap(len) => upgraded.frames.pass(len),
            Moved::Jump => upgraded.frames.pass(u64::MAX),
        }
    }

    /// Whether a server goes on to answer requests of HTTP/1 though it has switched to something else: then it is a
    /// front end alone that believes in the switch. Or whether its client goes on to ask in HTTP/2, past the front end.
    fn speaks_on(&mut self, direction: u8, moved: Moved<'_>, op: Op, world: &mut World) {
        let Some(upgraded) = self.upgraded.as_mut() else { return };
        let Upgraded { passed_on, begun, .. } = &mut **upgraded;
        let Some(from) = passed_on else { return };
        match (direction, moved) {
            (direction::RECEIVE, Moved::Bytes(bytes)) => {
                begun.extend_from_slice(&bytes[..bytes.len().min(MAX_BEGUN.saturating_sub(begun.len()))]);
                if let Some(stream) = smuggling::another_request(begun) {
                    let case = from.asked_on(stream, op);
                    *passed_on = None;
                    self.found(case, world.stats.lost, world);
                } else if begun.len() >= MAX_BEGUN || !from.is_h2c() && looks_like_request(begun) == Guess::No
                {
                    *passed_on = None;
                }
            }
            (_, Moved::Bytes(bytes))
                if looks_like_request(begun) == Guess::Yes && looks_like_response(bytes) == Guess::Yes =>
            {
                let case = from.spoke_on(begun, status_of(bytes).unwrap_or_default(), op);
                *passed_on = None;
                self.found(case, world.stats.lost, world);
            }
            // There the server speaks, too, unasked.
            _ if from.is_h2c() => {}
            _ => *passed_on = None,
        }
    }

    pub(super) fn close_upgraded(&mut self, world: &mut World) {
        if let Some(upgraded) = self.upgraded.take() {
            world.net.contents.over(upgraded.node, world.now);
            world.launches.requests.closed(upgraded.pid, upgraded.node);
        }
    }
}
