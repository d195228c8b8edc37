//! Requests that go out without having come in as one.

use super::Conversation;
use crate::{
    detect::smuggling::{self, Way},
    exchange::{Exchange, Side},
    graph::NodeId,
    world::{Op, World},
};

/// Most open requests that are looked at for the one that a call came with: the latest ones.
const MAX_INBOUND: usize = 64;

/// A request that went out without having come in as one, as it seems.
#[derive(Clone, Copy, Debug)]
pub struct Split {
    /// How.
    pub way: Way,
    /// The request before it on its connection.
    pub first: NodeId,
    /// The request that holds it, if what came in could be read.
    pub inbound: Option<NodeId>,
}

impl Conversation {
    /// A request is sent: is it one that came in within another?
    pub(super) fn split(&self, exchange: &Exchange, op: Op, world: &World) -> Option<Split> {
        if self.side != Some(Side::Client) {
            return None;
        }
        let (way, first) = match (self.ledger.refused_upgrade, self.open.back()) {
            (Some(first), _) => (Way::Upgrade, first),
            // In one send with it: who only sends early has what he sends from somebody.
            (None, Some(before)) if before.asked == op => (Way::Behind, before.node?),
            (None, None) if self.ledger.reread => (Way::Reread, self.ledger.carriers.back()?.node?),
            _ => return None,
        };
        let mut readable = false;
        for node in world.causes.open_requests(op.pid).rev().take(MAX_INBOUND) {
            readable = true;
            let Some(inbound) = world.graph.get(node).and_then(|node| node.exchange()) else { continue };
            if smuggling::came_with(way, inbound, exchange) {
                return Some(Split {
                    way,
                    first,
                    inbound: inbound.contested.map(|contested| contested.carrier).or(Some(node)),
                });
            }
        }
        let hidden = way == Way::Behind && !readable && world.tasks.serves_unreadable(op.pid);
        hidden.then_some(Split { way, first, inbound: None })
    }

    /// A request went out without having come in as one.
    pub(super) fn tell_split(
        &mut self,
        split: Split,
        second: NodeId,
        status: Option<u16>,
        op: Op,
        world: &mut World,
    ) {
        let partner = world.graph.get(second).and_then(|node| node.partner);
        for node in [Some(second), partner].into_iter().flatten() {
            if let Some(exchange) = world.graph.exchange_mut(node) {
                exchange.smuggled = true;
            }
        }
        if let Some(case) = smuggling::split(split, second, status, op, world) {
            self.found(case, world);
        }
    }

    /// A request for another protocol was answered.
    pub(super) fn upgraded(&mut self, node: NodeId, status: u16, op: Op, world: &mut World) {
        let call = world.graph.get(node).and_then(|node| node.exchange());
        let Some(call) = call.filter(|call| call.side == Side::Client) else { return };
        let Some(protocol) = call.request.field("upgrade") else { return };
        let h2c = protocol.split(|b| *b == b',').any(|p| p.trim_ascii().eq_ignore_ascii_case(b"h2c"));
        let own = |inbound: &Exchange| inbound.request.field("upgrade").is_some();
        let inbound = world
            .causes
            .open_requests(op.pid)
            .find(|node| world.graph.get(*node).and_then(|node| node.exchange()).is_some_and(own));
        let Some(inbound) = inbound else { return };
        if status == 101 && h2c {
            if let Some(case) = smuggling::cleartext_http2(inbound, node, op, world) {
                self.found(case, world);
            }
        } else if status != 101 && smuggling::rewrites(inbound, node, &world.graph) {
            self.ledger.refused_upgrade = Some(node);
        }
    }
}
