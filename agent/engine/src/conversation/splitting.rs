//! Requests that go out without having come in as one.

use super::Conversation;
use crate::{
    detect::smuggling::{self, Origin, Split, Way, Within},
    exchange::{Exchange, Side},
    finding::Confidence,
    graph::NodeId,
    world::{Op, World},
};

/// Most open requests that are looked at for the one that a call came with: the latest ones.
const MAX_INBOUND: usize = 64;
/// Most bytes of these that are decoded for one call: a millisecond's work, which is for those who send long escapes
/// to a process that asks without waiting.
const MAX_DECODED: usize = 64 * 1024;

impl Conversation {
    /// A request is sent: is it one that came in within another?
    pub(super) fn split(&self, exchange: &Exchange, place: u64, op: Op, world: &mut World) -> Option<Split> {
        let mut passed_over = 0;
        let split = self.came_within(exchange, place, op, world, &mut passed_over);
        world.stats.forgotten_evidence += passed_over;
        split
    }

    /// Likewise; counts what came in and was not looked at.
    fn came_within(
        &self,
        exchange: &Exchange,
        place: u64,
        op: Op,
        world: &World,
        passed_over: &mut u64,
    ) -> Option<Split> {
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
        let before = world.graph.get(first)?.exchange()?;
        let pair = [before, exchange];
        // Who asks two things at once, in two sends, may be a client like any other: then they look alike.
        let alike = smuggling::is_of_the_same_hand(pair);
        let last = self.open.back().map(|open| open.asked);
        let at_once = last == Some(op) || !alike && last.is_some_and(|last| last.tid == op.tid);
        let split = |inbound, within, origin| Split {
            way,
            first,
            first_name: smuggling::named(before),
            inbound,
            within,
            origin,
            lost,
        };
        let (mut readable, mut multiplexed, mut room) = (false, None, MAX_DECODED);
        for (node, inbound) in came_in(op, world) {
            match inbound.unread {
                Some(unread) => multiplexed = Some(multiplexed == Some(true) || unread.multiplexed),
                None => readable = true,
            }
            let cost = if at_once { smuggling::cost(inbound) } else { 0 };
            let Some(left) = room.checked_sub(cost) else {
                *passed_over += 1;
                continue;
            };
            room = left;
            if let Some(within) = smuggling::came_with(way, at_once, inbound, pair) {
                let node = inbound.contested.map_or(node, |contested| contested.carrier);
                return Some(split(Some(node), within, Origin::of_request(node, &world.graph)));
            }
        }
        // Who relays below HTTP passes on what its clients send without waiting for an answer, as one hand wrote it;
        // HTTP/1 out of HTTP/2 he cannot make.
        let multiplexed = multiplexed.unwrap_or_else(|| world.tasks.serves_multiplexed(op.pid));
        let may_be_relayed = !multiplexed && alike;
        // Where the framing is odd, its readings decide.
        let contested = || self.ledger.carriers.iter().any(|carrier| carrier.takes_in(place));
        let hidden = way == Way::Behind && !readable && at_once && world.tasks.serves_unreadable(op.pid);
        (hidden && !may_be_relayed && !contested()).then(|| split(None, Within::Alone, None))
    }

    /// A request went out without having come in as one; `status` once it was answered.
    pub(super) fn tell_split(&mut self, second: NodeId, status: Option<u16>, op: Op, world: &mut World) {
        let partner = world.graph.get(second).and_then(|node| node.partner);
        let ends = [Some(second), partner].into_iter().flatten();
        // The end that sent it knows.
        let own = |node: NodeId| Some((node, world.graph.get(node)?.exchange()?.split.clone()?));
        let Some((sent, split)) = ends.clone().find_map(own) else { return };
        let Some(case) = smuggling::split(&split, sent, status, op, world) else { return };
        for node in ends.filter(|_| case.confidence > Confidence::Suspicious) {
            if let Some(exchange) = world.graph.exchange_mut(node) {
                exchange.smuggled = true;
            }
        }
        self.found(case, split.lost, world);
    }
}

/// The requests that a process has open, the latest first.
pub(super) fn came_in(op: Op, world: &World) -> impl Iterator<Item = (NodeId, &Exchange)> {
    let open = world.causes.open_requests(op.pid).rev().take(MAX_INBOUND);
    open.filter_map(|node| Some((node, world.graph.get(node)?.exchange()?)))
}
