//! Requests that go out without having come in as one.

use super::Conversation;
use crate::{
    detect::smuggling::{self, Split, Way},
    exchange::{Exchange, Side},
    finding::Confidence,
    graph::NodeId,
    world::{Op, World},
};

/// Most open requests that are looked at for the one that a call came with: the latest ones.
const MAX_INBOUND: usize = 64;

impl Conversation {
    /// A request is sent: is it one that came in within another?
    pub(super) fn split(&self, exchange: &Exchange, place: u64, op: Op, world: &World) -> Option<Split> {
        if self.side != Some(Side::Client) {
            return None;
        }
        let (way, first) = match (self.ledger.refused_upgrade, self.open.back()) {
            (Some(first), _) => (Way::Upgrade, first),
            // Without a word in between.
            (None, Some(before)) if self.last_answer().is_none_or(|answer| answer < before.asked.time) => {
                (Way::Behind, before.node?)
            }
            (None, None) if self.ledger.reread => (Way::Reread, self.ledger.carriers.back()?.node?),
            _ => return None,
        };
        let pair = [world.graph.get(first)?.exchange()?, exchange];
        let mut readable = false;
        for node in world.causes.open_requests(op.pid).rev().take(MAX_INBOUND) {
            let inbound = world.graph.get(node).and_then(|node| node.exchange());
            readable |= inbound.is_none_or(|inbound| inbound.unread.is_none());
            let Some(inbound) = inbound else { continue };
            if smuggling::came_with(way, inbound, pair) {
                let inbound = inbound.contested.map(|contested| contested.carrier).or(Some(node));
                return Some(Split { way, first, inbound });
            }
        }
        // Who asks two things at once, in two sends, may be a client like any other: then they look alike.
        let before = self.open.back().map(|open| open.asked);
        let at_once = before == Some(op)
            || before.is_some_and(|before| before.tid == op.tid) && !smuggling::is_of_the_same_hand(pair);
        // Where the framing is odd, its readings decide.
        let contested = || self.ledger.carriers.iter().any(|carrier| carrier.takes_in(place));
        let hidden = way == Way::Behind && !readable && at_once && world.tasks.serves_unreadable(op.pid);
        let hidden = hidden && !contested();
        hidden.then_some(Split { way, first, inbound: None })
    }

    /// A request went out without having come in as one; `status` once it was answered.
    pub(super) fn tell_split(&mut self, second: NodeId, status: Option<u16>, op: Op, world: &mut World) {
        let partner = world.graph.get(second).and_then(|node| node.partner);
        let ends = [Some(second), partner].into_iter().flatten();
        // The end that sent it knows.
        let own = |node: NodeId| Some((node, world.graph.get(node)?.exchange()?.split?));
        let Some((sent, split)) = ends.clone().find_map(own) else { return };
        let Some(case) = smuggling::split(split, sent, status, op, world) else { return };
        for node in ends.filter(|_| case.confidence > Confidence::Suspicious) {
            if let Some(exchange) = world.graph.exchange_mut(node) {
                exchange.smuggled = true;
            }
        }
        self.found(case, world);
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
