//! Responses.

use super::{Conversation, Moved, Phase, ledger::Vain, unasked::goes_on};
use crate::{
    Time,
    budget::ALLOCATION,
    detect::smuggling::Write,
    exchange::{Exchange, Problem, Side},
    fastcgi,
    graph::NodeId,
    http1::{Event, Framing, Guess, Head, Role},
    protocol::Protocol,
    world::{Op, World},
};

/// Most memory for the bytes of a response that are kept because the record of its request has not come yet:
/// more than an answer has in the moment that the record takes.
const MAX_EARLY: usize = 64 * 1024;

impl Conversation {
    pub(super) fn response(&mut self, moved: Moved<'_>, op: Op, world: &mut World) {
        let moved = self.skip_careless(moved);
        if matches!(moved, Moved::Bytes([])) {
            return;
        }
        if self.open.is_empty() && self.responses.parser.is_idle() {
            let guess = match moved {
                Moved::Bytes(bytes) => self.speaks(bytes).looks_like_response(bytes),
                _ => Guess::More,
            };
            // Who speaks first, and does not answer, speaks something else.
            if guess == Guess::No && self.early.is_empty() && self.exchanges == 0 {
                self.early = Vec::new();
                self.phase = Phase::Opaque;
                return;
            }
            // A client's sender and receiver may be two threads: the answer's record can come first.
            // What came with the answer before is none that is still to be asked for.
            let late = self.ledger.answered == Some(op.time) && self.may_be_answered();
            if let (Some(Side::Client), Moved::Bytes(bytes)) = (self.side, moved)
                && !late
            {
                return self.keep_early(bytes, op, world);
            }
        }
        let answered = self.answer(moved, op, world);
        if self.side == Some(Side::Client)
            && let Some(node) = answered
        {
            world.causes.threads.turn(op.tid, Some(node), op.time);
        }
    }

    /// RFC 9110, 9.3.2: "The server MUST NOT send content in the response" to HEAD. Those that do send what they have
    /// announced; the next answer begins behind that.
    fn skip_careless<'a>(&mut self, moved: Moved<'a>) -> Moved<'a> {
        let Moved::Bytes(bytes) = moved else { return moved };
        if self.ledger.careless == 0 || bytes.is_empty() || !self.responses.parser.is_idle() {
            return moved;
        }
        if self.speaks(bytes).looks_like_response(bytes) != Guess::No {
            self.ledger.careless = 0;
            return moved;
        }
        let skipped = bytes.len().min(usize::try_from(self.ledger.careless).unwrap_or(usize::MAX));
        self.ledger.careless -= skipped as u64;
        Moved::Bytes(&bytes[skipped..])
    }

    /// Gives the exchange that was answered last.
    fn answer(&mut self, moved: Moved<'_>, op: Op, world: &mut World) -> Option<NodeId> {
        let mut rest = moved;
        let mut answered = None;
        if let Moved::Bytes(bytes) = moved
            && self.responses.parser.reads_until_close()
        {
            self.odd_answer(bytes, op, world);
        }
        loop {
            rest = self.skip_careless(rest);
            let front = self.open.front();
            answered = front.and_then(|open| open.node).or(answered);
            let answering = front.map_or_else(|| self.unframed(), |open| open.answering);
            let before = rest;
            let Some((_, event)) = self.responses.step(&mut rest, answering) else { break };
            match event {
                Some(Event::Head(head)) => self.answer_head(head, op, world),
                Some(Event::Content(bytes)) => {
                    self.hear(before.first(bytes));
                    if let Some(exchange) = self.answering(world) {
                        exchange.response_content += bytes;
                    }
                }
                Some(Event::End) => {
                    self.heard(op, world);
                    self.answer_end(op.time, Some(op.tid), None, world);
                }
                Some(Event::Incomplete) => {
                    self.answer_end(op.time, Some(op.tid), Some(Problem::CutShort), world);
                }
                Some(Event::Tunnel) => {
                    self.give_up(Problem::Unseen, op.time, world);
                    self.phase = Phase::Opaque;
                    break;
                }
                Some(event @ (Event::NotHttp | Event::Lost(_))) => {
                    if let (Event::NotHttp, Moved::Bytes(bytes)) = (event, rest) {
                        self.odd_answer(bytes, op, world);
                    }
                    self.lose_responses(world);
                    break;
                }
                Some(Event::Begin) | None => {}
            }
        }
        answered
    }

    /// The exchange that a response belongs to.
    fn answering<'w>(&self, world: &'w mut World) -> Option<&'w mut Exchange> {
        if self.informational {
            return None;
        }
        world.graph.exchange_mut(self.open.front()?.node?)
    }

    fn answer_head(&mut self, head: Box<Head>, op: Op, world: &mut World) {
        self.unproven = None;
        // RFC 9110, 15.2: "A client MUST be able to parse one or more 1xx responses received prior to a
        // final response". 101 is final for HTTP.
        self.ledger.vain = Vain::default();
        self.ledger.bodiless = head.framing() == Framing::None;
        let announced = head.field("content-length").filter(|_| self.ledger.bodiless);
        let number = |text: &[u8]| str::from_utf8(text).ok()?.trim().parse().ok();
        self.ledger.careless = announced.and_then(number).unwrap_or(0);
        self.informational =
            head.status().is_some_and(|status| (100..200).contains(&status) && status != 101);
        if self.informational {
            // RFC 9110, 15.2.1: "the server intends to send a final response after the request has been fully received
            // and acted upon": so the content comes.
            self.withheld &= head.status() != Some(100);
            return;
        }
        match self.open.front_mut() {
            Some(open) => open.answered = true,
            None => {
                self.unasked(head.status().unwrap_or_default(), !goes_on(&head), op, Write::Done, world);
            }
        }
        self.reconcile(&head, op, world);
        self.listen(&head, world);
        self.upgrades(&head, world);
        if let Some(node) = self.open.front().and_then(|open| open.node) {
            world.graph.answered(node, head);
        }
        if let (Some(Side::Server), Some(node)) = (self.side, self.open.front().and_then(|open| open.node)) {
            world.answer(op.tid, node);
        }
    }

    fn answer_end(&mut self, end: Time, tid: Option<u32>, problem: Option<Problem>, world: &mut World) {
        if std::mem::take(&mut self.informational) {
            return;
        }
        let Some(open) = self.open.pop_front() else { return };
        self.ledger.answered = Some(end);
        self.refused = self.withheld && self.open.is_empty();
        if let Some(node) = open.node {
            world.end(node, end, problem);
            if let (Some(Side::Client), Some(tid)) = (self.side, tid) {
                world.causes.threads.completed(tid, node, end);
            }
        }
        // The next one was read already: who sent this answer turns to it.
        if let (Some(Side::Server), Some(tid)) = (self.side, tid)
            && let Some(next) = self.open.front().and_then(|open| open.node)
        {
            world.causes.threads.turn(tid, Some(next), end);
        }
    }

    fn keep_early(&mut self, bytes: &[u8], op: Op, world: &mut World) {
        if self.early_bytes() + early_cost(bytes) > MAX_EARLY {
            world.stats.orphan_responses += 1;
            self.early = Vec::new();
            return self.lose_responses(world);
        }
        self.early.push((op, bytes.into()));
    }

    /// Memory that early bytes take, in bytes.
    pub(super) fn early_bytes(&self) -> usize {
        self.early.iter().map(|(_, bytes)| early_cost(bytes)).sum()
    }

    pub(super) fn replay_early(&mut self, world: &mut World) {
        for (op, bytes) in std::mem::take(&mut self.early) {
            if self.phase == Phase::Spoken {
                self.response(Moved::Bytes(&bytes), op, world);
            }
        }
        if let Some(at) = self.over {
            self.no_more_responses(None, at, world);
        }
    }

    /// Whether who failed to send these bytes has nothing more to say: in FastCGI he tells when he is done with a
    /// request, though nobody hears it.
    pub fn is_done_with(&self, bytes: &[u8]) -> bool {
        self.protocol != Some(Protocol::FastCgi) || fastcgi::ends_request(bytes)
    }

    /// One direction has ended, at `at`, as `op` noticed.
    pub fn ended(&mut self, direction: u8, op: Option<Op>, at: Time, world: &mut World) {
        if self.phase == Phase::Spoken && self.role(direction) == Role::Response {
            self.no_more_responses(op, at, world);
        }
    }

    fn no_more_responses(&mut self, op: Option<Op>, at: Time, world: &mut World) {
        let Some(answered) = self.open.front().map(|open| open.node) else {
            self.over = Some(at);
            return;
        };
        // The response ended with its last byte, however late the end of the connection was noticed.
        let last = self.last_answer().unwrap_or(at);
        while let Some(event) = self.responses.parser.eof() {
            match event {
                Event::End => self.answer_end(last, None, None, world),
                Event::Incomplete => self.answer_end(last, None, Some(Problem::CutShort), world),
                _ => {}
            }
        }
        if self.responses.lost {
            self.give_up(Problem::Unseen, last, world);
        }
        self.give_up(Problem::NoResponse, at, world);
        if let (Some(Side::Client), Some(op), Some(node)) = (self.side, op, answered) {
            world.causes.threads.turn(op.tid, Some(node), op.time);
        }
    }
}

fn early_cost(bytes: &[u8]) -> usize {
    size_of::<(Op, Box<[u8]>)>() + ALLOCATION + bytes.len()
}
