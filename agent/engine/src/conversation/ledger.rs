//! What was asked on a connection and could be more than it seems, held against what was answered.
//!
//! The rules are in [`smuggling`]; here is when they are asked.

use super::{Conversation, Moved, Open, Stream};
use crate::{
    detect::smuggling::{self, Carrier, Ghost},
    exchange::{Endpoints, Exchange, Problem, Side},
    finding::Case,
    graph::NodeId,
    http1::{Answering, Deviations, Event, Guess, Head, Parser, Role, Start, looks_like_response},
    world::{Op, World},
};
use std::collections::VecDeque;

/// Most requests that are kept since they may carry another: a back end may serve one only when later bytes
/// come, which are of other requests.
const MAX_CARRIERS: usize = 4;
/// Longest line of a request within a content that an exchange keeps, in bytes.
const MAX_LINE: usize = 256;
/// Most later requests that are told as possibly hit.
const MAX_HIT: u8 = 5;

/// See the module.
#[derive(Debug, Default)]
pub struct Ledger {
    carriers: VecDeque<Carrier>,
    /// Whether the bytes that come are content of the last carrier.
    in_content: bool,
    /// Whether the request that is coming followed bytes of the other direction.
    turned: bool,
    /// The finding so far, and how many requests it says were hit.
    case: Option<(Case, u8)>,
}

/// A request that was sent behind another one before that was answered.
#[derive(Clone, Copy, Debug)]
pub struct Split {
    first: NodeId,
    /// The request that holds its line, if what came in could be read.
    inbound: Option<NodeId>,
}

impl Ledger {
    /// Memory that it takes elsewhere.
    pub fn held(&self) -> usize {
        self.carriers.iter().map(Carrier::held).sum()
    }

    /// Whether a connection that has ended may still be written to in vain.
    pub fn may_be_answered(&self) -> bool {
        !self.carriers.is_empty()
    }

    /// Bytes of the requests' direction, from `place` on, before they are read as messages.
    pub fn moved(&mut self, place: u64, moved: Moved<'_>) {
        for carrier in &mut self.carriers {
            carrier.readings.retain_mut(|reading| match moved {
                Moved::Bytes(bytes) => reading.bytes(place, bytes),
                Moved::Gap(len) => reading.gap(place, len),
                Moved::Jump => false,
            });
        }
    }

    /// The next byte begins a request.
    pub fn begins(&mut self, turned: bool) {
        self.turned = turned;
        self.in_content = false;
    }

    /// The request that began at `place` has its head; `behind` is what follows it in the same bytes.
    fn asked(
        &mut self,
        place: u64,
        node: Option<NodeId>,
        carrier: Option<Carrier>,
        behind: (u64, Moved<'_>),
    ) {
        let turned = self.turned;
        for carrier in &mut self.carriers {
            carrier.readings.retain_mut(|reading| reading.request(place, node, turned));
        }
        let Some(mut carrier) = carrier else { return };
        if let Moved::Bytes(bytes) = behind.1 {
            carrier.readings.retain_mut(|reading| reading.bytes(behind.0, bytes));
        }
        if self.carriers.len() >= MAX_CARRIERS {
            self.carriers.pop_front();
        }
        self.carriers.push_back(carrier);
        self.in_content = true;
    }

    /// Content, or what follows a head whose framing nobody knows.
    ///
    /// Gives the carrier when a request was found in it.
    pub fn content(&mut self, moved: Moved<'_>) -> Option<&Carrier> {
        let carrier = self.carriers.back_mut().filter(|_| self.in_content)?;
        let before = carrier.content.found().len();
        match moved {
            Moved::Bytes(bytes) => carrier.content.bytes(bytes),
            Moved::Gap(len) => carrier.content.gap(len),
            Moved::Jump => {
                self.forget();
                return None;
            }
        }
        self.carriers.back().filter(|carrier| carrier.content.found().len() > before)
    }

    /// A message ends at `place`, in which the parser found these deviations.
    fn ended(&mut self, place: u64, deviations: Deviations) -> Option<&Carrier> {
        for carrier in &mut self.carriers {
            carrier.readings.iter_mut().for_each(|reading| reading.boundary(place));
        }
        let carrier = self.carriers.back_mut().filter(|_| std::mem::take(&mut self.in_content))?;
        carrier.content.ended();
        let odd = smuggling::is_ambiguous(deviations) && !smuggling::is_ambiguous(carrier.deviations);
        carrier.deviations |= deviations;
        let begins = carrier.content.found().first().is_some_and(|hidden| hidden.offset == 0);
        (odd || begins).then_some(carrier)
    }

    /// What was before says nothing of what comes.
    pub fn forget(&mut self) {
        *self = Self::default();
    }

    /// The one that has most likely carried what is answered now.
    fn suspect(&self) -> Option<&Carrier> {
        self.carriers.iter().max_by_key(|carrier| carrier.suspicion())
    }
}

impl Conversation {
    /// A request has its head: takes note if it may carry another, or is itself one.
    pub(super) fn enter(
        &mut self,
        node: Option<NodeId>,
        first: Op,
        place: u64,
        behind: (u64, Moved<'_>),
        world: &mut World,
    ) {
        let exchange = node.and_then(|node| world.graph.get(node)).and_then(|node| node.exchange());
        let carrier = exchange.and_then(|exchange| {
            Carrier::of(&exchange.request, node, first, &exchange.endpoints, world.stats.lost)
        });
        if let Some((case, told)) = &mut self.ledger.case
            && *told < MAX_HIT
            && let Some(exchange) = exchange
        {
            *told += 1;
            let case = smuggling::hit(case, exchange, first.time);
            world.raise(case);
        }
        if let Some(carrier) = &carrier
            && self.side == Some(Side::Server)
            && smuggling::is_ambiguous(carrier.deviations)
        {
            world.raise(smuggling::ambiguous(carrier, carrier.deviations, first.pid));
        }
        self.ledger.asked(place, node, carrier, behind);
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
    pub(super) fn content_ended(&mut self, place: u64, pid: u32, world: &mut World) {
        let deviations = self.requests.parser.deviations();
        let server = self.side == Some(Side::Server);
        if let Some(carrier) = self.ledger.ended(place, deviations).filter(|_| server) {
            world.raise(smuggling::ambiguous(carrier, deviations, pid));
        }
    }

    /// What a response answers for which no request is open.
    pub(super) fn unframed(&self) -> Answering {
        let head = self.ledger.suspect().and_then(|carrier| carrier.content.found().first()?.head());
        match head.as_ref().map(|head| head.start()) {
            Some(Start::Request { method, .. }) => {
                Answering { head: method == "HEAD", connect: method == "CONNECT" }
            }
            _ => Answering::default(),
        }
    }

    /// A final response began though no request is open: opens the one that it answers, if a carrier brought it.
    pub(super) fn unasked(&mut self, status: u16, op: Op, failed: bool, world: &mut World) {
        world.stats.orphan_responses += 1;
        let Some(carrier) = self.ledger.suspect().filter(|_| self.side == Some(Side::Server)) else { return };
        let hidden = carrier.content.found().first();
        let ghost = Ghost { status, op, failed, hidden };
        let Some(case) = smuggling::extra_answer(carrier, ghost, world) else { return };
        let head = hidden.and_then(|hidden| hidden.head());
        let (cause, endpoints) = (carrier.node, carrier.endpoints.clone());
        let node = head.and_then(|head| smuggled(head, cause, endpoints, op, world));
        let answering = self.unframed();
        self.open.push_front(Open { node, answering, answered: true, asked: op, split: None });
        self.found(case, world);
    }

    /// A response has its head: holds it against what was asked.
    pub(super) fn reconcile(&mut self, head: &Head, op: Op, world: &mut World) {
        let Some(open) = self.open.front() else { return };
        let (node, split) = (open.node, open.split);
        let Some(status) = head.status() else { return };
        if let (Some(split), Some(second)) = (split, node) {
            self.tell_split(split, second, Some(status), op, world);
        }
        let Some(node) = node else { return };
        let carrier = self.ledger.carriers.iter_mut().find(|carrier| carrier.node == Some(node));
        if let Some(carrier) = carrier {
            carrier.answered = Some((op.time, Some(status)));
        }
        if self.side != Some(Side::Server) {
            return;
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
        let mut readings = self
            .ledger
            .carriers
            .iter()
            .flat_map(|carrier| carrier.readings.iter().map(move |reading| (carrier, reading)));
        let (carrier, reading) = readings.find(|(_, reading)| reading.swallows(node))?;
        let exchange = world.graph.exchange_mut(node)?;
        exchange.smuggled = true;
        let exchange = exchange.clone();
        Some(smuggling::swallowed(carrier, reading.framing, &exchange, status, op, world))
    }

    /// A server that fails half way through a head may go on with the next answer.
    fn second_status_line(&self, node: NodeId, head: &Head, op: Op, world: &mut World) -> Option<Case> {
        let carrier = self.ledger.carriers.iter().find(|carrier| carrier.node == Some(node))?;
        let line = head.raw().split(|b| *b == b'\n').skip(1).find(|line| is_status_line(line))?;
        let status = status_of(line)?;
        let hidden = carrier.content.found().first();
        let ghost = Ghost { status, op, failed: false, hidden };
        let case = smuggling::two_status_lines(carrier, line, ghost, world);
        let (cause, endpoints) = (carrier.node, carrier.endpoints.clone());
        if let Some(request) = hidden.and_then(|hidden| hidden.head())
            && let Some(node) = smuggled(request, cause, endpoints, op, world)
        {
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
        self.responses = Stream::new(Role::Response);
        self.unasked(status, op, failed, world);
        for node in self.open.drain(..).filter_map(|open| open.node) {
            if let Some(answer) = response(head) {
                world.graph.answered(node, answer);
            }
            world.end(node, op.time, Some(Problem::CutShort));
        }
    }

    /// A request is sent behind another: is it one that came in with it?
    pub(super) fn split(&self, exchange: &Exchange, op: Op, world: &World) -> Option<Split> {
        let first = self.open.back().filter(|_| self.side == Some(Side::Client))?.node?;
        let line = exchange.request.raw().split(|b| *b == b'\n').next()?;
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let mut readable = false;
        for node in world.causes.open_requests(op.pid) {
            readable = true;
            if world
                .graph
                .get(node)
                .and_then(|node| node.exchange())
                .is_some_and(|inbound| holds(inbound, line))
            {
                return Some(Split { first, inbound: Some(node) });
            }
        }
        (!readable && world.tasks.serves_unreadable(op.pid)).then_some(Split { first, inbound: None })
    }

    /// A request was found to be part of another.
    pub(super) fn tell_split(
        &mut self,
        split: Split,
        second: NodeId,
        status: Option<u16>,
        op: Op,
        world: &mut World,
    ) {
        if let Some(exchange) = world.graph.exchange_mut(second) {
            exchange.smuggled = true;
        }
        let partner = world.graph.get(second).and_then(|node| node.partner);
        if let Some(exchange) = partner.and_then(|partner| world.graph.exchange_mut(partner)) {
            exchange.smuggled = true;
        }
        if let Some(case) = smuggling::split((split.first, second), split.inbound, status, op, world) {
            world.raise(case);
        }
    }

    fn found(&mut self, case: Case, world: &mut World) {
        self.ledger.case = Some((case.clone(), 0));
        world.raise(case);
    }
}

/// Whether a request that came in holds a request line in its head, as a server decodes it, or in its content.
fn holds(inbound: &Exchange, line: &[u8]) -> bool {
    let raw = inbound.request.raw();
    let own = raw.split(|b| *b == b'\n').next().unwrap_or_default();
    let decoded = crate::span::percent_decoded(raw);
    let within = |text: &[u8]| memchr::memmem::find(text, line).is_some();
    own.strip_suffix(b"\r").unwrap_or(own) != line && within(&decoded)
        || inbound.hidden.iter().any(|hidden| within(hidden))
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

/// The exchange of a request that came inside another.
fn smuggled(
    head: Box<Head>,
    cause: Option<NodeId>,
    endpoints: Endpoints,
    op: Op,
    world: &mut World,
) -> Option<NodeId> {
    let exchange = Exchange { smuggled: true, ..Exchange::new(Side::Server, head, endpoints) };
    world.smuggled(exchange, cause?, op)
}
