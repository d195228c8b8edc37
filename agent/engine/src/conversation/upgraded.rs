//! What goes on behind a response that switched to a WebSocket (RFC 6455): no exchanges, but what comes in may go
//! on to someone else.

use super::{Conversation, Moved};
use crate::{
    detect::net::{About, websocket::Frames},
    exchange::Side,
    graph::NodeId,
    http1::Head,
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
    frames: Frames,
    looked_at: u64,
}

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
        let mut protocols = exchange.request.fields("upgrade");
        if protocols.any(|value| value.trim_ascii().eq_ignore_ascii_case(b"websocket")) {
            world.net.contents.describe(node, pid, About::of(exchange));
            self.upgraded = Some(Box::new(Upgraded { node, frames: Frames::default(), looked_at: 0 }));
        }
    }

    /// Whether what the client says is still looked at.
    pub fn is_relayed(&self) -> bool {
        let open = |upgraded: &Upgraded| upgraded.looked_at < MAX_LOOKED_AT && !upgraded.frames.is_lost();
        self.upgraded.as_deref().is_some_and(open)
    }

    pub(super) fn moved_upgraded(&mut self, direction: u8, moved: Moved<'_>, op: Op, world: &mut World) {
        let Some(upgraded) = self.upgraded.as_mut().filter(|_| direction == direction::RECEIVE) else {
            return;
        };
        match moved {
            Moved::Bytes(bytes) => {
                upgraded.looked_at += bytes.len() as u64;
                let payload = upgraded.frames.read(bytes);
                world.net.contents.add(upgraded.node, op.pid, &payload);
            }
            Moved::Gap(len) => upgraded.frames.pass(len),
            Moved::Jump => upgraded.frames.pass(u64::MAX),
        }
    }

    pub(super) fn close_upgraded(&mut self, world: &mut World) {
        if let Some(upgraded) = self.upgraded.take() {
            world.net.contents.over(upgraded.node, world.now);
        }
    }
}
