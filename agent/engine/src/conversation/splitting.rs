//! Requests that go out without having come in as one.

use super::{Conversation, ledger::Tunnel};
use crate::{
    detect::smuggling::{self, Split, Way},
    exchange::{Exchange, Side},
    finding::Confidence,
    graph::NodeId,
    http1::Head,
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
        if let Some(split) = self.tunnelled(exchange, op, world) {
            return Some(split);
        }
        let (way, first, lost) = match self.open.back() {
            // Without a word in between.
            Some(before) if self.last_answer().is_none_or(|answer| answer < before.asked.time) => {
                (Way::Behind, before.node?, before.lost)
            }
            None if self.ledger.reread => {
                let carrier = self.ledger.carriers.back()?;
                (Way::Reread, carrier.node?, carrier.lost)
            }
            _ => return None,
        };
        let pair = [world.graph.get(first)?.exchange()?, exchange];
        // Who asks two things at once, in two sends, may be a client like any other: then they look alike.
        let before = self.open.back().map(|open| open.asked);
        let at_once = before == Some(op)
            || before.is_some_and(|before| before.tid == op.tid) && !smuggling::is_of_the_same_hand(pair);
        let mut readable = false;
        for (node, inbound) in came_in(op, world) {
            readable |= inbound.unread.is_none();
            if smuggling::came_with(way, at_once, inbound, pair) {
                let inbound = inbound.contested.map(|contested| contested.carrier).or(Some(node));
                return Some(Split { way, first, inbound, lost });
            }
        }
        // Where the framing is odd, its readings decide.
        let contested = || self.ledger.carriers.iter().any(|carrier| carrier.takes_in(place));
        let hidden = way == Way::Behind && !readable && at_once && world.tasks.serves_unreadable(op.pid);
        let hidden = hidden && !contested();
        hidden.then_some(Split { way, first, inbound: None, lost })
    }

    /// Whether a request passes a front end as through a tunnel: behind one that asked for more than HTTP.
    fn tunnelled(&self, exchange: &Exchange, op: Op, world: &World) -> Option<Split> {
        let mut open = self.open.iter().filter_map(|open| Some((open.node?, open.lost)));
        let asking = || open.find_map(|(call, lost)| leaving(call, lost, op, world));
        let Tunnel { call, inbound, lost } = self.ledger.tunnel.or_else(asking)?;
        let of = |node| world.graph.get(node)?.exchange();
        let raw = exchange.request.raw();
        came_in(op, world).find(|(node, other)| *node != inbound && other.request.raw() == raw)?;
        let unmarked = smuggling::passes_unmarked(of(inbound)?, of(call)?, exchange);
        unmarked.then_some(Split { way: Way::Tunnel, first: call, inbound: Some(inbound), lost })
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

    /// A request that asks for more than HTTP was answered.
    pub(super) fn upgraded(&mut self, node: NodeId, head: &Head, op: Op, world: &mut World) {
        let status = head.status().unwrap_or_default();
        let lost = self.open.front().map_or(0, |open| open.lost);
        let Some(tunnel) = leaving(node, lost, op, world) else { return };
        let Some(call) = world.graph.get(node).and_then(|node| node.exchange()) else { return };
        if status == 101 && smuggling::upgrades_to(call, b"h2c") && smuggling::switches_to(head, b"h2c") {
            if let Some(case) = smuggling::cleartext_http2(tunnel.inbound, node, op, world) {
                self.found(case, world);
            }
        } else if status != 101 {
            self.ledger.tunnel = Some(tunnel);
        }
    }
}

/// The requests that a process has open, the latest first.
fn came_in(op: Op, world: &World) -> impl Iterator<Item = (NodeId, &Exchange)> {
    let open = world.causes.open_requests(op.pid).rev().take(MAX_INBOUND);
    open.filter_map(|node| Some((node, world.graph.get(node)?.exchange()?)))
}

/// A call that asks for more than HTTP, with the request that it passes on.
fn leaving(call: NodeId, lost: u64, op: Op, world: &World) -> Option<Tunnel> {
    let exchange = world.graph.get(call)?.exchange().filter(|call| call.side == Side::Client)?;
    if !smuggling::asks_for_more(exchange) {
        return None;
    }
    let upgrade = |exchange: &Exchange| exchange.request.field("upgrade").map(<[u8]>::to_vec);
    let same = |other: &Exchange| other.method() == exchange.method() && upgrade(other) == upgrade(exchange);
    let (inbound, _) = came_in(op, world).find(|(_, other)| same(other))?;
    Some(Tunnel { call, inbound, lost })
}
