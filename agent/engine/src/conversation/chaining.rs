//! What a back end answered held against what its front end delivered.
//!
//! Where a front end takes two requests for one message, it has one answer to deliver. So a request that is content in
//! some reading, was answered by the back end, and never got its answer on the connection that it came in on, was
//! none for the front end.

use super::Conversation;
use crate::{
    detect::smuggling::{self, Asked},
    exchange::{Contested, Exchange, Problem, Side},
    finding::Confidence,
    graph::NodeId,
    world::{Op, World},
};

impl Conversation {
    /// A back end answers a request of which it is not known whether its sender took it for one: remembers what it
    /// would mean if the answer is not delivered.
    pub(super) fn await_delivery(&mut self, node: NodeId, status: u16, op: Op, world: &mut World) {
        if self.side != Some(Side::Server) {
            return;
        }
        self.await_content(node, status, op, world);
        let Some((sent, contested)) = contested(node, world) else { return };
        let graph = &world.graph;
        let own = |node: NodeId| graph.get(node)?.partner;
        let mut carriers = self.ledger.carriers.iter();
        let carrier = carriers.find(|carrier| carrier.node.and_then(own) == Some(contested.carrier));
        let Some(carrier) = carrier else { return };
        let exchange = world.graph.get(node).and_then(|node| node.exchange());
        let Some(request) = exchange.map(Asked::of) else { return };
        let mut case = smuggling::swallowed(carrier, contested, &request, status, op, world);
        let lost = carrier.lost;
        match came_in(sent, world, |inbound| inbound.contested.is_some()) {
            Some(inbound) => {
                world
                    .graph
                    .grow_exchange(inbound, |exchange| exchange.undelivered = Some(Box::new((case, lost))));
            }
            // It cannot be seen what is delivered; hardly any front end sends one behind the other.
            None if is_unreadable(sent, world) => {
                case.confidence = case.confidence.min(Confidence::Probable);
                self.found(case, lost, world);
            }
            None => {}
        }
    }

    /// Likewise of what may be the content of a request that was answered without it: its sender may have sent that all
    /// the same, and who takes it for content has no answer to deliver.
    fn await_content(&self, node: NodeId, status: u16, op: Op, world: &mut World) {
        let exchange = |node: NodeId| world.graph.get(node)?.exchange();
        let Some(own) = exchange(node).filter(|own| own.content_of.is_some()) else { return };
        let sent = world.graph.get(node).and_then(|node| node.partner);
        let Some(sent) = sent.filter(|sent| exchange(*sent).is_some_and(|sent| sent.content_of.is_some()))
        else {
            return;
        };
        let carrier = self.ledger.carriers.iter().find(|carrier| carrier.node == own.content_of);
        let (Some(carrier), request) = (carrier, Asked::of(own)) else { return };
        if let Some(inbound) = came_in(sent, world, |inbound| inbound.content_of.is_some()) {
            let case = smuggling::unread(carrier, &request, status, op, world);
            let lost = carrier.lost;
            world.graph.grow_exchange(inbound, |exchange| {
                exchange.undelivered = Some(Box::new((case, lost)));
            });
        }
    }

    /// These requests got no answer.
    pub(super) fn undelivered(&mut self, nodes: &[NodeId], problem: Problem, world: &mut World) {
        if self.side != Some(Side::Server) || problem != Problem::NoResponse {
            return;
        }
        for node in nodes {
            let mut case = None;
            world.graph.grow_exchange(*node, |exchange| case = exchange.undelivered.take());
            let Some((mut case, lost)) = case.map(|case| *case) else { continue };
            let text = "its answer was never delivered: the front end took it for content".to_owned();
            case.facts.push((world.now, text));
            self.found(case, lost, world);
        }
    }
}

/// What a request is for the end that sent it, which that end's boundaries do not decide, and that end's call.
fn contested(node: NodeId, world: &World) -> Option<(NodeId, Contested)> {
    let sent = world.graph.get(node)?.partner?;
    let exchange = world.graph.get(sent)?.exchange()?;
    let contested = exchange.contested.filter(|contested| !contested.whole && exchange.split.is_none())?;
    Some((sent, contested))
}

/// Whether what comes in at the end that sent this cannot be read.
fn is_unreadable(sent: NodeId, world: &World) -> bool {
    world.graph.get(sent).is_some_and(|call| world.tasks.serves_unreadable(call.pid))
}

/// The request that came in which a call passes on: one that may be content, too.
fn came_in(sent: NodeId, world: &World, may_be: impl Fn(&Exchange) -> bool) -> Option<NodeId> {
    let call = world.graph.get(sent)?;
    let target = call.exchange()?.target();
    world.causes.open_requests(call.pid).find(|node| {
        let inbound = world.graph.get(*node).and_then(|node| node.exchange());
        inbound.is_some_and(|inbound| may_be(inbound) && inbound.target() == target)
    })
}
