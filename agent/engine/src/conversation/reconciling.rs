//! What was asked held against what was answered, for [`smuggling`], which has the rules.

use super::{Conversation, Moved, Open};
use crate::{
    Time,
    detect::smuggling::{self, Carrier, Ghost, Way},
    exchange::{Exchange, Problem, Side},
    finding::Case,
    graph::NodeId,
    http1::{Answering, Event, Guess, Head, Parser, Role, Start, looks_like_response},
    protocol,
    world::{Op, World},
};

/// Longest line of a request within a content that an exchange keeps, in bytes.
const MAX_LINE: usize = 256;
/// Most open requests that are looked at for the one that a call came with: the latest ones.
const MAX_INBOUND: usize = 64;
/// Most later requests that are told as possibly hit.
const MAX_HIT: u8 = 5;

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
        if let Some((case, told)) = &mut self.ledger.case
            && *told < MAX_HIT
            && let Some(exchange) = exchange
        {
            *told += 1;
            let text = smuggling::hit(exchange);
            world.cases.append(case.rule, case.subject, (first.time, text));
        }
        (self.ledger.refused_upgrade, self.ledger.reread) = (None, false);
        let contested = self.ledger.asked(place, node, carrier, behind);
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
    pub(super) fn passed(&mut self, moved: Moved<'_>, world: &mut World) {
        if let Some(carrier) = self.ledger.content(moved)
            && let Some(exchange) = carrier.node.and_then(|node| world.graph.exchange_mut(node))
        {
            let short = |line: &[u8]| line[..line.len().min(MAX_LINE)].into();
            exchange.hidden = carrier.content.found().iter().map(|hidden| short(hidden.line())).collect();
        }
    }

    /// The content of a request is complete.
    pub(super) fn content_ended(&mut self, place: u64, world: &mut World) {
        let deviations = self.requests.parser.deviations();
        if let Some(carrier) = self.ledger.ended(place, deviations) {
            smuggling::ambiguous(carrier, world);
        }
    }

    /// Whether it may still be answered though all that was asked is.
    pub fn may_be_answered(&self) -> bool {
        self.ledger.suspect().is_some_and(|carrier| carrier.side == Side::Server || !carrier.joined)
    }

    /// Whether a request was seen in the content of another.
    pub fn holds_a_request(&self) -> bool {
        self.ledger.suspect().is_some_and(|carrier| carrier.suspicion().0)
    }

    /// What a response answers for which no request is open.
    pub(super) fn unframed(&self) -> protocol::Answering {
        let head = self.ledger.suspect().and_then(|carrier| carrier.carried()?.head());
        match head.as_ref().map(|head| head.start()) {
            Some(Start::Request { method, .. }) => {
                Answering { head: method == "HEAD", connect: method == "CONNECT" }.into()
            }
            _ => protocol::Answering::default(),
        }
    }

    /// A final response began though no request is open: opens the one that it answers, if a carrier brought it.
    pub(super) fn unasked(&mut self, status: u16, op: Op, failed: bool, world: &mut World) {
        world.stats.orphan_responses += 1;
        let may_be = self.may_be_answered();
        let Some(carrier) = self.ledger.suspect().filter(|_| may_be) else { return };
        let ghost = Ghost { status, op, failed };
        let Some(case) = smuggling::extra_answer(carrier, ghost, world) else { return };
        let node = smuggled(carrier, op, world);
        let answering = self.unframed();
        self.open.push_front(Open { node, answering, answered: true, asked: op, split: None });
        if let Some(carrier) = self.ledger.suspect_mut() {
            carrier.served += 1;
        }
        self.found(case, world);
    }

    /// Bytes where an answer should begin, or that only the end of the connection ends, are something else.
    pub(super) fn odd_answer(&mut self, bytes: &[u8], op: Op, world: &mut World) {
        let until_close = self.responses.parser.reads_until_close();
        let begins = until_close && looks_like_response(bytes) == Guess::Yes;
        if !begins && (until_close || !self.open.is_empty()) || !self.may_be_answered() {
            return;
        }
        if let Some(carrier) = self.ledger.suspect().filter(|carrier| carrier.suspicion().0) {
            let status = if begins { status_of(bytes) } else { None };
            let case = smuggling::odd_answer(carrier, status, op, world);
            self.found(case, world);
        }
    }

    /// A response has its head: holds it against what was asked.
    pub(super) fn reconcile(&mut self, head: &Head, op: Op, world: &mut World) {
        let Some(open) = self.open.front() else { return };
        let (Some(node), split, Some(status)) = (open.node, open.split, head.status()) else { return };
        if let Some(split) = split {
            self.tell_split(split, node, Some(status), op, world);
        }
        self.upgraded(node, status, op, world);
        let carrier = self.ledger.carriers.iter_mut().find(|carrier| carrier.node == Some(node));
        if let Some(carrier) = carrier {
            carrier.answered = Some((op.time, status));
            carrier.joined = world.graph.get(node).is_some_and(|node| node.partner.is_some());
        }
        if let Some(case) = self.in_other_reading(node, status, op, world) {
            self.found(case, world);
        }
        if let Some(case) = self.second_status_line(node, head, op, world) {
            self.found(case, world);
        }
    }

    /// A request that is answered may be content for another reader.
    fn in_other_reading(&self, node: NodeId, status: u16, op: Op, world: &mut World) -> Option<Case> {
        let readings = |carrier: &'_ Carrier| -> Option<crate::http1::Framing> {
            Some(carrier.readings.iter().find(|reading| reading.swallows(node))?.framing)
        };
        let carriers = self.ledger.carriers.iter().filter(|carrier| carrier.side == Side::Server);
        let (carrier, framing) = carriers.filter_map(|carrier| Some((carrier, readings(carrier)?))).next()?;
        // The end that sent it has told it.
        let sent = world.graph.get(node)?.partner.and_then(|node| world.graph.get(node)?.exchange());
        if sent.is_some_and(|sent| sent.smuggled) {
            return None;
        }
        let exchange = world.graph.exchange_mut(node)?;
        exchange.smuggled = true;
        let name = smuggling::name(exchange);
        Some(smuggling::swallowed(carrier, framing, name, status, op, world))
    }

    /// A server that fails half way through a head may go on with the next answer.
    fn second_status_line(&self, node: NodeId, head: &Head, op: Op, world: &mut World) -> Option<Case> {
        let mut carriers = self.ledger.carriers.iter().filter(|_| self.side == Some(Side::Server));
        let carrier = carriers.find(|carrier| carrier.node == Some(node))?;
        let line = head.raw().split(|b| *b == b'\n').skip(1).find(|line| is_status_line(line))?;
        let ghost = Ghost { status: status_of(line)?, op, failed: false };
        let case = smuggling::two_status_lines(carrier, line, ghost, world)?;
        if let Some(node) = smuggled(carrier, op, world) {
            let at = line.as_ptr().addr() - head.raw().as_ptr().addr();
            if let Some(answer) = response(&head.raw()[at..]) {
                world.graph.answered(node, answer);
            }
            world.end(node, op.time, None);
        }
        Some(case)
    }

    /// A send failed: what it tried to say may be an answer to a request that nobody framed.
    pub fn failed_send(&mut self, bytes: &[u8], op: Op, world: &mut World) {
        let begun = self.responses.parser.partial();
        let bytes = if begun.is_empty() { bytes } else { &[begun, bytes].concat() };
        self.unfinished_answer(bytes, op, true, world);
    }

    /// Nothing more will come of a response whose head began like this.
    pub(super) fn unfinished_answer(&mut self, head: &[u8], op: Op, failed: bool, world: &mut World) {
        let begins = self.open.is_empty() && looks_like_response(head) == Guess::Yes;
        let status = status_of(head).filter(|status| begins && (*status >= 200 || *status == 101));
        let Some(status) = status.filter(|_| self.may_be_answered()) else { return };
        self.responses = self.anew(Role::Response);
        self.unasked(status, op, failed, world);
        for node in self.open.drain(..).filter_map(|open| open.node) {
            if let Some(answer) = response(head) {
                world.graph.answered(node, answer);
            }
            world.end(node, op.time, Some(Problem::CutShort));
        }
    }

    /// The connection is over: what came of responses that nobody asked for.
    pub(super) fn last_answers(&mut self, at: Time, world: &mut World) {
        let Some(op) = self.last.iter().flatten().max_by_key(|op| op.time).copied() else { return };
        let mut begun = self.responses.parser.partial().to_vec();
        if let Some((_, early)) = self.early.first() {
            begun = early.to_vec();
        }
        self.unfinished_answer(&begun, Op { time: op.time.min(at), ..op }, false, world);
    }

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
                return Some(Split { way, first, inbound: inbound.contested.or(Some(node)) });
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
    fn upgraded(&mut self, node: NodeId, status: u16, op: Op, world: &mut World) {
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

    fn found(&mut self, case: Case, world: &mut World) {
        smuggling::explains(&case, world);
        self.ledger.case = Some((case.clone(), 0));
        world.raise(case);
    }
}

/// The exchange of a request that came inside another; nothing when its bytes were not seen.
fn smuggled(carrier: &Carrier, op: Op, world: &mut World) -> Option<NodeId> {
    let head = carrier.carried()?.head()?;
    let exchange =
        Exchange { smuggled: true, ..Exchange::new(carrier.side, head, carrier.endpoints.clone()) };
    world.smuggled(exchange, carrier.node?, op)
}

fn is_status_line(line: &[u8]) -> bool {
    looks_like_response(&[line, b"\n"].concat()) == Guess::Yes
}

/// The code of a status line.
fn status_of(line: &[u8]) -> Option<u16> {
    str::from_utf8(line.get(9..12)?).ok()?.parse().ok()
}

fn response(bytes: &[u8]) -> Option<Box<Head>> {
    let mut parser = Parser::new(Role::Response);
    let mut rest = bytes;
    loop {
        let (used, event) = parser.step(rest, Answering::default());
        rest = &rest[used..];
        match event {
            Some(Event::Head(head)) => return Some(head),
            Some(Event::Begin) => {}
            _ => return None,
        }
    }
}
