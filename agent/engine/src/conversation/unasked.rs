//! Answers that no request asked for which was framed.

use super::{Conversation, Open};
use crate::{
    Time,
    detect::smuggling::{self, Carrier, Ghost, Write},
    exchange::{Exchange, Problem, Side},
    finding::Confidence,
    graph::NodeId,
    http1::{Answering, Event, Guess, Head, Parser, Role, Start, Version, looks_like_response},
    protocol,
    world::{Op, World},
};
use tracer_common::direction;
use twox_hash::XxHash3_64;

/// A server that finds a request on its connection answers it at once, or works on it. One that says that it closes, so
/// long after its last answer, may have grown tired of waiting.
const IDLE_MS: u64 = 200;

impl Conversation {
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
    pub(super) fn unasked(
        &mut self,
        status: u16,
        closes: bool,
        op: Op,
        write: Write,
        world: &mut World,
    ) -> bool {
        world.stats.orphan_responses += 1;
        // What has begun to be asked may be refused before its head is whole.
        let refused = self.asking.is_some() && smuggling::refuses(status);
        let may_be = self.may_be_answered() && !refused;
        let Some(carrier) = self.ledger.suspect().filter(|_| may_be) else { return false };
        let farewell = closes && status >= 400 && self.was_idle(op);
        let ghost = Ghost { status, op, write, farewell };
        let Some(case) = smuggling::extra_answer(carrier, ghost, world) else { return false };
        let known = case.confidence > Confidence::Suspicious;
        let node = if known { smuggled(carrier, op, world) } else { None };
        let answering = self.unframed();
        let (since, lost) = (carrier.lost, world.stats.lost);
        self.open.push_front(Open { node, answering, answered: true, asked: op, lost, reread: false });
        if let Some(carrier) = self.ledger.suspect_mut() {
            carrier.served += 1;
        }
        self.found(case, since, world);
        true
    }

    /// Whether nothing has moved for long since all was answered.
    fn was_idle(&self, op: Op) -> bool {
        let asks = if self.side == Some(Side::Client) { direction::SEND } else { direction::RECEIVE };
        let asked = self.last[usize::from(asks)].map(|op| op.time);
        let since = self.ledger.answered.filter(|answered| asked.is_none_or(|asked| asked <= *answered));
        since.is_some_and(|answered| answered.plus_ms(IDLE_MS) < op.time)
    }

    /// What reads like a final response was written though every request has begun to be answered, and where
    /// answers end is not known: it may be part of one.
    pub(super) fn maybe_unasked(&mut self, bytes: &[u8], op: Op, world: &mut World) {
        let Some(status) = final_status(bytes).filter(|_| self.may_be_answered()) else { return };
        let unheard = self.ledger.unheard.max(1);
        if let Some(carrier) = self.ledger.suspect().filter(|carrier| carrier.suspicion().0)
            && let Some(case) = smuggling::extra_answer(
                carrier,
                Ghost { status, op, write: Write::Unsure { unheard }, farewell: false },
                world,
            )
        {
            let lost = carrier.lost;
            self.found(case, lost, world);
        }
    }

    /// Bytes where an answer should begin, or that only the end of the connection ends, are something else.
    pub(super) fn odd_answer(&mut self, bytes: &[u8], op: Op, world: &mut World) {
        let until_close = self.responses.parser.reads_until_close();
        let begins = until_close && self.is_of_the_same_hand(bytes, world);
        // Applications give answers a content that must not have one.
        if !until_close && self.ledger.bodiless {
            return;
        }
        if !begins && (until_close || !self.open.is_empty()) || !self.may_be_answered() {
            return;
        }
        // Written together with an answer: more of its content than it announced.
        if !begins && self.ledger.answered == Some(op.time) {
            return;
        }
        let suspect = self.ledger.suspect().filter(|carrier| carrier.suspicion().0);
        if let Some(carrier) = suspect.filter(|carrier| self.ledger.is_last(carrier)) {
            let status = if begins { status_of(bytes) } else { None };
            let case = smuggling::odd_answer(carrier, status, op, world);
            let lost = carrier.lost;
            self.found(case, lost, world);
        }
    }

    /// Whether an answer begins that the server has written itself: a content may hold one of anybody.
    fn is_of_the_same_hand(&self, bytes: &[u8], world: &World) -> bool {
        let open =
            self.open.front().and_then(|open| world.graph.get(open.node?)?.exchange()?.response.as_deref());
        let (Some(open), Some(inner)) = (open, response(bytes)) else { return false };
        if !goes_on(open) {
            return false;
        }
        let own = |head: &Head| {
            let server = head.field("server").map(<[u8]>::to_vec);
            server.or_else(|| head.iter().next().map(|(name, _)| name.to_vec()))
        };
        own(open) == own(&inner)
    }

    /// A send failed: what it tried to say answers a request all the same, maybe one that nobody framed.
    pub fn failed_send(&mut self, bytes: &[u8], op: Op, world: &mut World) {
        let begun = self.responses.parser.partial();
        let in_head = !begun.is_empty();
        let bytes = if begun.is_empty() { bytes } else { &[begun, bytes].concat() };
        if self.side == Some(Side::Client) || final_status(bytes).is_none() {
            return;
        }
        let vain = &mut self.ledger.vain;
        if vain.count == 0 {
            // The first may be content of the answer that is coming.
            let coming = !self.responses.parser.is_idle() && !in_head;
            vain.owed = self.open.iter().filter(|open| !open.answered).count() + usize::from(coming);
        }
        let last = std::mem::replace(&mut vain.last, XxHash3_64::oneshot(bytes));
        vain.count += 1;
        if vain.count <= vain.owed {
            return;
        }
        let write = match vain.count {
            1 => Write::Failed,
            _ => Write::FailedAgain { same: last == vain.last },
        };
        self.unfinished_answer(bytes, op, write, world);
    }

    /// Nothing more will come of a response whose head began like this, and that answers nothing that is open.
    pub(super) fn unfinished_answer(&mut self, head: &[u8], op: Op, write: Write, world: &mut World) {
        let Some(status) = final_status(head).filter(|_| self.may_be_answered()) else { return };
        if self.open.is_empty() {
            self.responses = self.anew(Role::Response);
        }
        let answer = response(head);
        let closes = answer.as_ref().is_some_and(|answer| !goes_on(answer));
        if !self.unasked(status, closes, op, write, world) {
            return;
        }
        if let Some(node) = self.open.pop_front().and_then(|open| open.node) {
            if let Some(answer) = answer {
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
        if self.open.is_empty() {
            self.unfinished_answer(&begun, Op { time: op.time.min(at), ..op }, Write::Done, world);
        }
    }
}

/// Whether a server reads on behind an answer: RFC 9112, 9.3.
pub(super) fn goes_on(head: &Head) -> bool {
    let says = |option: &[u8]| {
        let mut options = head.fields("connection").flat_map(|value| value.split(|b| *b == b','));
        options.any(|other| other.trim_ascii().eq_ignore_ascii_case(option))
    };
    match head.version() {
        Version::Http10 => says(b"keep-alive"),
        Version::Http11 => !says(b"close"),
    }
}

/// The exchange of a request that came inside another; nothing when its bytes were not seen.
pub(super) fn smuggled(carrier: &Carrier, op: Op, world: &mut World) -> Option<NodeId> {
    let head = carrier.carried()?.head()?;
    let exchange =
        Exchange { smuggled: true, ..Exchange::new(carrier.side, head, carrier.endpoints.clone()) };
    world.smuggled(exchange, (carrier.node?, carrier.served), op)
}

pub(super) fn is_status_line(line: &[u8]) -> bool {
    looks_like_response(&[line, b"\n"].concat()) == Guess::Yes
}

/// The code of a final response that begins so.
fn final_status(head: &[u8]) -> Option<u16> {
    let begins = looks_like_response(head) == Guess::Yes;
    status_of(head).filter(|status| begins && (*status >= 200 || *status == 101))
}

/// The code of a status line.
pub(super) fn status_of(line: &[u8]) -> Option<u16> {
    str::from_utf8(line.get(9..12)?).ok()?.parse().ok()
}

pub(super) fn response(bytes: &[u8]) -> Option<Box<Head>> {
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
