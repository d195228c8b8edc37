//! Where a carrier came from: what came in at the front end that passed it on.

use super::words;
use crate::{
    Time,
    exchange::{Endpoints, Exchange, Side},
    graph::{Graph, NodeId},
    world::World,
};

/// See the module. Carriers keep it, since a later request may bring the verdict when the spans have long left.
#[derive(Clone, Debug)]
pub enum Origin {
    /// A request.
    Request {
        /// When it came.
        start: Time,
        /// On which connection.
        endpoints: Endpoints,
        /// Method and target.
        name: String,
    },
    /// Something that could not be read.
    Unreadable,
    /// Nothing: the end that sent it serves nobody.
    Nowhere,
}

impl Origin {
    /// Memory that it takes elsewhere.
    pub fn held(&self) -> usize {
        match self {
            Self::Request { name, .. } => name.capacity(),
            Self::Unreadable | Self::Nowhere => 0,
        }
    }

    /// That of a request at the back end, or of its front end's call; nothing when the end that sent it is not seen, or
    /// may serve something else.
    pub fn of(node: NodeId, world: &mut World) -> Option<Self> {
        let inbound = inbound(node, world).and_then(|node| world.graph.get(node));
        if let Some((start, exchange)) = inbound.and_then(|node| Some((node.start, node.exchange()?))) {
            return Some(Self::request(start, exchange));
        }
        let own = world.graph.get(node)?;
        let client = if own.is_call() { own } else { world.graph.get(own.partner?)? };
        if world.tasks.serves_unreadable(client.pid) {
            return Some(Self::Unreadable);
        }
        (!world.causes.serves(client.pid)).then_some(Self::Nowhere)
    }

    /// A request that came in.
    pub fn of_request(node: NodeId, graph: &Graph) -> Option<Self> {
        let node = graph.get(node)?;
        Some(Self::request(node.start, node.exchange()?))
    }

    /// Likewise, then.
    pub fn request(start: Time, exchange: &Exchange) -> Self {
        Self::Request { start, endpoints: exchange.endpoints.clone(), name: words::named(exchange) }
    }

    /// Whether a front end passed it on.
    pub const fn is_front_end(&self) -> bool {
        !matches!(self, Self::Nowhere)
    }
}

/// The request that came in at the front end for a request at the back end, or for that front end's call.
pub fn inbound(node: NodeId, world: &mut World) -> Option<NodeId> {
    let own = world.graph.get(node)?;
    let client = match own.exchange()?.side {
        Side::Server => own.partner?,
        Side::Client => node,
    };
    if world.graph.is_undecided(client) {
        world.causes.decide(client, &mut world.graph);
    }
    world.graph.cause(client).filter(|cause| is_server(*cause, &world.graph))
}

fn is_server(node: NodeId, graph: &Graph) -> bool {
    let readable = |exchange: &Exchange| exchange.side == Side::Server && exchange.unread.is_none();
    graph.get(node).and_then(|node| node.exchange()).is_some_and(readable)
}
