//! Requests that ask for more than HTTP, behind which a front end may pass on whatever comes.

use super::{Conversation, splitting::came_in};
use crate::{
    detect::smuggling::{self, Split, Tunnel, Way, Within},
    exchange::{Exchange, Side},
    graph::NodeId,
    http1::Head,
    world::{Op, World},
};

impl Conversation {
    /// Whether a request passes a front end as through a tunnel: behind one that asked for more than HTTP.
    pub(super) fn tunnelled(&self, exchange: &Exchange, op: Op, world: &World) -> Option<Split> {
        let mut open = self.open.iter().filter_map(|open| Some((open.node?, open.lost)));
        let asking = || open.find_map(|(call, lost)| leaving(call, lost, op, world));
        let tunnel = self.ledger.tunnel.clone().or_else(asking)?;
        let raw = exchange.request.raw();
        came_in(op, world).find(|(node, other)| *node != tunnel.inbound && other.request.raw() == raw)?;
        let Tunnel { call, inbound, lost, ref origin, ref name, .. } = tunnel;
        let (origin, first_name) = (Some(origin.clone()), name.clone());
        let split = Split {
            way: Way::Tunnel,
            first: call,
            first_name,
            inbound: Some(inbound),
            within: Within::Alone,
            origin,
            lost,
        };
        tunnel.leaves_unmarked(exchange).then_some(split)
    }

    /// A request that asks for more than HTTP was answered.
    pub(super) fn upgraded(&mut self, node: NodeId, head: &Head, op: Op, world: &mut World) {
        let status = head.status().unwrap_or_default();
        let lost = self.open.front().map_or(0, |open| open.lost);
        let Some(tunnel) = leaving(node, lost, op, world) else { return };
        let Some(call) = world.graph.get(node).and_then(|node| node.exchange()) else { return };
        if status == 101 && smuggling::upgrades_to(call, b"h2c") && smuggling::switches_to(head, b"h2c") {
            if let Some(case) = smuggling::cleartext_http2(tunnel.inbound, node, op, world) {
                self.found(case, lost, world);
            }
        } else if status != 101 {
            self.ledger.tunnel = Some(tunnel);
        }
    }
}

/// A call that asks for more than HTTP, with the request that it passes on.
fn leaving(call: NodeId, lost: u64, op: Op, world: &World) -> Option<Tunnel> {
    let exchange = world.graph.get(call)?.exchange().filter(|call| call.side == Side::Client)?;
    if !smuggling::asks_for_more(exchange) {
        return None;
    }
    let upgrade = |exchange: &Exchange| exchange.request.field("upgrade").map(<[u8]>::to_vec);
    let same = |other: &Exchange| other.method() == exchange.method() && upgrade(other) == upgrade(exchange);
    let (inbound, came) = came_in(op, world).find(|(_, other)| same(other))?;
    let start = world.graph.get(inbound)?.start;
    Some(Tunnel::of((call, exchange), (inbound, start, came), lost))
}
