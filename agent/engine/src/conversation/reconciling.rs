//! What was asked held against what was answered, for [`smuggling`], which has the rules.

use super::{
    Conversation, Moved,
    ledger::Told,
    unasked::{is_status_line, response, smuggled, status_of},
};
use crate::{
    Time,
    cases::Case,
    detect::smuggling::{self, Asked, Carrier, Ghost, SMUGGLING, Way, Write},
    exchange::{Contested, Side},
    finding::Confidence,
    graph::NodeId,
    http1::Head,
    world::{Op, World},
};

/// Longest line of a request within a content that an exchange keeps, in bytes.
const MAX_LINE: usize = 256;
/// Most later requests that are told as possibly hit: front ends close a connection that is out of step, at the
/// latest when they find an answer too many on it.
const MAX_HIT: u8 = 8;

impl Conversation {
    /// A request has its head: takes note if it may carry another.
    pub(super) fn enter(
        &mut self,
        node: Option<NodeId>,
        first: Op,
        place: u64,
        behind: (u64, Moved<'_>),
        world: &mut World,
    ) {
        let exchange = node.and_then(|node| world.graph.get(node)).and_then(|node| node.exchange());
        let carrier = exchange.and_then(|exchange| Carrier::of(exchange, node, first, world.stats.lost));
        let known = self.ledger.told.as_mut().filter(|told| told.confidence > Confidence::Suspicious);
        if let Some(told) = known.filter(|told| told.hits < MAX_HIT)
            && let Some(exchange) = node.and_then(|node| world.graph.exchange_mut(node))
        {
            told.hits += 1;
            exchange.hit = true;
            let text = smuggling::hit(exchange);
            world.cases.append(SMUGGLING, told.subject, (first.time, text));
        }
        for carrier in &mut self.ledger.carriers {
            carrier.meets(&world.graph);
        }
        let exchange = node.and_then(|node| world.graph.get(node)?.exchange());
        let tunnelled = exchange
            .and_then(|exchange| exchange.split.as_ref())
            .is_some_and(|split| split.way == Way::Tunnel);
        if !tunnelled {
            self.ledger.tunnel = None;
        }
        self.ledger.reread = false;
        let contested = self.ledger.asked(place, node, carrier, behind);
        world.stats.forgotten_evidence += std::mem::take(&mut self.ledger.forgotten);
        if let Some(exchange) = node.and_then(|node| world.graph.exchange_mut(node)) {
            exchange.contested = contested;
        }
        if let Some(carrier) = self.ledger.carriers.back().filter(|carrier| carrier.node == node)
            && smuggling::is_ambiguous(carrier.deviations)
        {
            smuggling::ambiguous(carrier, world);
        }
    }

    /// Content of a request, or what may be some.
    pub(super) fn passed(&mut self, place: u64, moved: Moved<'_>, world: &mut World) {
        if let Some(carrier) = self.ledger.content(place, moved) {
            note_hidden(carrier, world);
        }
    }

    /// What follows the last chunk of a request.
    pub(super) fn trailed(&mut self, place: u64, moved: Moved<'_>, world: &mut World) {
        if let Moved::Bytes(bytes) = moved
            && let Some(carrier) = self.ledger.trailer(place, bytes)
        {
            note_hidden(carrier, world);
        }
    }

    /// The chunks of a request cannot be read on.
    pub(super) fn content_broke(&mut self, world: &mut World) {
        let deviations = self.requests.parser.deviations();
        if let Some(carrier) = self.ledger.broke(deviations) {
            smuggling::ambiguous(carrier, world);
        }
    }

    /// The content of a request is complete.
    pub(super) fn content_ended(&mut self, place: u64, world: &mut World) {
        let deviations = self.requests.parser.deviations();
        if let Some(carrier) = self.ledger.ended(place, deviations) {
            smuggling::ambiguous(carrier, world);
        }
    }

    /// A response has its head: holds it against what was asked.
    pub(super) fn reconcile(&mut self, head: &Head, op: Op, world: &mut World) {
        let Some(open) = self.open.front() else { return };
        let (Some(node), Some(status)) = (open.node, head.status()) else { return };
        self.tell_split(node, Some(status), op, world);
        self.upgraded(node, head, op, world);
        let carrier = self.ledger.carriers.iter_mut().find(|carrier| carrier.node == Some(node));
        if let Some(carrier) = carrier {
            carrier.answer_begins(op.time, status, world);
        }
        match self.in_other_reading(node, status, op, world) {
            Some((case, lost)) => self.found(case, lost, world),
            None => self.await_delivery(node, status, op, world),
        }
        if let Some((case, lost)) = self.second_status_line(node, head, op, world) {
            self.found(case, lost, world);
        }
    }

    /// A request that is answered may be content for another reader.
    fn in_other_reading(&self, node: NodeId, status: u16, op: Op, world: &mut World) -> Option<(Case, u64)> {
        let (carrier, contested) = self.swallowing(node, world)?;
        let request = Asked::of(world.graph.get(node)?.exchange()?);
        let case = smuggling::swallowed(carrier, contested, &request, status, op, world);
        if case.confidence > Confidence::Suspicious
            && let Some(exchange) = world.graph.exchange_mut(node)
        {
            exchange.smuggled = true;
        }
        Some((case, carrier.lost))
    }

    /// The carrier whose content a request is in another reading that is a whole one. The end that sent both knows
    /// where it stopped and for what it waited; where it is not seen, the order of what was read must do.
    fn swallowing(&self, node: NodeId, world: &World) -> Option<(&Carrier, Contested)> {
        let graph = &world.graph;
        let partner = |node: NodeId| graph.get(node)?.partner;
        // What came in says more of it already.
        if graph.get(node)?.exchange()?.split.is_some() {
            return None;
        }
        let Some(sent) = partner(node).filter(|_| self.side == Some(Side::Server)) else {
            let own = |carrier: &'_ Carrier| carrier.contests(node).filter(|contested| contested.whole);
            let alone = self.ledger.carriers.iter().filter(|carrier| !carrier.joined);
            return alone.filter_map(|carrier| Some((carrier, own(carrier)?))).next();
        };
        let sent = graph.get(sent)?.exchange()?;
        // The end that sent it has told it.
        let contested = sent.contested.filter(|contested| contested.whole && sent.split.is_none())?;
        let own = |carrier: &&Carrier| carrier.node.and_then(partner) == Some(contested.carrier);
        Some((self.ledger.carriers.iter().find(own)?, contested))
    }

    /// It is known by now of these requests that another reader takes them for content.
    pub(super) fn note_whole(&mut self, world: &mut World) {
        for (node, contested) in self.ledger.whole() {
            if let Some(exchange) = world.graph.exchange_mut(node) {
                exchange.contested = Some(contested);
            }
        }
    }

    /// A server that fails half way through a head may go on with the next answer.
    fn second_status_line(
        &mut self,
        node: NodeId,
        head: &Head,
        op: Op,
        world: &mut World,
    ) -> Option<(Case, u64)> {
        let mut carriers = self.ledger.carriers.iter_mut().filter(|_| self.side == Some(Side::Server));
        let carrier = carriers.find(|carrier| carrier.node == Some(node))?;
        let line = head.raw().split(|b| *b == b'\n').skip(1).find(|line| is_status_line(line))?;
        let ghost = Ghost { status: status_of(line)?, op, write: Write::Done, farewell: false };
        let case = smuggling::two_status_lines(carrier, line, ghost, world)?;
        let known = case.confidence > Confidence::Suspicious;
        if let Some(node) = if known { smuggled(carrier, op, world) } else { None } {
            let at = line.as_ptr().addr() - head.raw().as_ptr().addr();
            if let Some(answer) = response(&head.raw()[at..]) {
                world.graph.answered(node, answer);
            }
            world.end(node, op.time, None);
        }
        carrier.served += 1;
        Some((case, carrier.lost))
    }

    /// Something is found, of what began when so many records had been lost: one that was lost since may explain it.
    pub(super) fn found(&mut self, case: Case, lost: u64, world: &mut World) {
        let about = case.subject;
        let Some(case) = smuggling::once(case, world) else { return };
        smuggling::explains(about, world);
        let Case { subject, confidence, .. } = case;
        world.raise(case);
        let lost = world.stats.lost - lost;
        if lost > 0 {
            world.cases.doubt_one(SMUGGLING, subject, lost);
        }
        let joined_on = [Some(Time::default()); 2];
        self.ledger.told = Some(Told { subject, confidence, hits: 0, joined_on });
    }

    /// Bytes of a direction moved after something was found. What was lost was none of this connection's where the next
    /// bytes of both directions join on to those before.
    pub(super) fn assure(&mut self, direction: u8, moved: Moved<'_>, op: Op, world: &mut World) {
        let Some(told) = &mut self.ledger.told else { return };
        let joined_on = &mut told.joined_on[usize::from(direction)];
        *joined_on = joined_on.filter(|_| matches!(moved, Moved::Bytes(_))).map(|_| op.time);
        if told.joined_on.iter().all(|at| at.is_some_and(|at| at > world.lost_at)) {
            let text = "the connection's next bytes joined on: none of its own was lost";
            world.cases.assure(SMUGGLING, told.subject, (op.time, text), world.now);
        }
    }
}

/// The exchange says which lines of its content begin a request.
fn note_hidden(carrier: &Carrier, world: &mut World) {
    let short = |line: &[u8]| line[..line.len().min(MAX_LINE)].into();
    let Some(node) = carrier.node else { return };
    let lines = carrier.content.found().iter().map(|hidden| short(hidden.line())).collect();
    world.graph.grow_exchange(node, |exchange| exchange.hidden = lines);
}
