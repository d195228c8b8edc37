//! Answers that may be those of an unfinished request in the content of the one before.

use super::{Conversation, Moved};
use crate::{
    detect::smuggling::{self, Carrier, Swapped},
    exchange::Side,
    http1::Head,
    world::{Op, World},
};

impl Conversation {
    /// An answer begins: is it one to listen to?
    pub(super) fn listen(&mut self, head: &Head, world: &World) {
        let node = self.open.front().and_then(|open| open.node);
        let told_here = |carrier: &&Carrier| carrier.side == Side::Server || !carrier.joined;
        let swallowing = |carrier: &&Carrier| {
            let next = carrier.next.is_some() && carrier.next == node && !carrier.names_hidden;
            next || carrier.content.is_unfinished() && carrier.node == node
        };
        let carrier = self.ledger.carriers.iter().filter(told_here).find(swallowing);
        let exchange = node.and_then(|node| world.graph.get(node)?.exchange());
        self.ledger.swapped =
            carrier.zip(exchange).and_then(|(carrier, exchange)| Swapped::of(carrier, exchange, head));
    }

    /// More of the answer.
    pub(super) fn hear(&mut self, moved: Moved<'_>) {
        if let (Some(swapped), Moved::Bytes(bytes)) = (&mut self.ledger.swapped, moved) {
            swapped.hears(bytes);
        }
    }

    /// The answer is complete.
    pub(super) fn heard(&mut self, op: Op, world: &mut World) {
        let Some(swapped) = self.ledger.swapped.take() else { return };
        let node = self.open.front().and_then(|open| open.node);
        let of_carrier = |carrier: &&mut Carrier| carrier.node == node;
        if let Some(carrier) = self.ledger.carriers.iter_mut().find(of_carrier).filter(|_| node.is_some()) {
            carrier.names_hidden |= swapped.names_hidden();
        }
        let carrier = self.ledger.carriers.iter().find(|carrier| carrier.next == node);
        let Some((carrier, instead_of)) = carrier.zip(swapped.instead_of()) else { return };
        let Some(case) = smuggling::swapped(carrier, instead_of, swapped.status, op, world) else { return };
        let lost = carrier.lost;
        self.found(case, lost, world);
        if let Some(exchange) = node.and_then(|node| world.graph.exchange_mut(node)) {
            exchange.hit = true;
        }
    }
}
