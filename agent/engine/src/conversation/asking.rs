//! Requests.

use super::{Conversation, Moved, Open, Peers, Phase};
use crate::{
    cause::{Clue, Origin},
    detect::smuggling::Unread,
    exchange::{Exchange, Problem, Side},
    http1::{Event, Guess, Head, Loss, Role},
    ids::{self, Identity},
    protocol::Answering,
    wire::Wire,
    world::{Begun, Op, World},
};
use tracer_common::AF_UNIX;

/// Most requests that wait for their responses: servers and clients pipeline a few; those of one that
/// sends more are not followed past this.
const MAX_PIPELINED: usize = 256;

impl Conversation {
    pub(super) fn request(
        &mut self,
        offset: u64,
        moved: Moved<'_>,
        op: Op,
        peers: Peers<'_>,
        world: &mut World,
    ) {
        if let (None, Moved::Bytes(bytes)) = (self.protocol, moved) {
            self.speak(self.speaks(bytes));
        }
        self.skip_refused_content(offset, moved, world);
        let mut place = offset;
        let mut rest = moved;
        loop {
            let before = rest;
            let stepped = self.requests.step(&mut rest, Answering::default());
            let Some((used, event)) = stepped else { break };
            let from = place;
            place = place.wrapping_add(used);
            match event {
                Some(Event::Begin) if self.unproven.is_some() && !self.open.is_empty() => {
                    return self.disprove(world);
                }
                Some(Event::Begin) => {
                    self.take_back(op, world);
                    self.ledger.begins(self.turned());
                    let origin = self.origin(op, world);
                    self.asking = Some((op, place, origin));
                }
                Some(Event::Head(head)) => {
                    self.tentative = None;
                    let expects = head.fields("expect").any(|v| v.eq_ignore_ascii_case(b"100-continue"));
                    self.withheld = expects && matches!(rest, Moved::Bytes([]));
                    self.asked(head, op, (place, rest), peers, world);
                    self.replay_early(world);
                }
                Some(Event::Content(bytes)) => {
                    if let Some(node) = self.current {
                        let seen = match before {
                            Moved::Bytes(all) => all.get(..bytes as usize),
                            Moved::Gap(_) | Moved::Jump => None,
                        };
                        world.graph.asked_more(node, bytes, seen.unwrap_or_default());
                    }
                    self.passed(from, before.first(bytes), world);
                    self.brought(before.first(bytes), op, world);
                }
                Some(Event::End | Event::Incomplete) => {
                    self.trailed(from, before.first(used), world);
                    self.content_ended(place, world);
                    self.current = None;
                }
                None if self.requests.parser.in_trailer() => self.trailed(from, before.first(used), world),
                Some(Event::Tunnel) | None => {}
                Some(Event::NotHttp) => return self.no_request(place.wrapping_sub(used), world),
                Some(Event::Lost(loss)) => {
                    match loss {
                        Loss::Framing => self.passed(place, rest, world),
                        Loss::Chunk => {
                            self.passed(from, before, world);
                            self.content_broke(world);
                        }
                        Loss::Gap | Loss::HeadTooLong | Loss::TooManyFields | Loss::Multiplexed => {
                            self.ledger.missed(Unread::Bytes(from, used.max(1)))
                        }
                    }
                    return self.lose_requests(world);
                }
            }
            if self.phase != Phase::Spoken || self.requests.lost {
                return;
            }
        }
    }

    /// A request brought in some content.
    fn brought(&self, moved: Moved<'_>, op: Op, world: &mut World) {
        if let (Some(Side::Server), Some(node), Moved::Bytes(bytes)) = (self.side, self.current, moved) {
            world.net.contents.add(node, world.tasks.family(op.pid), bytes);
        }
    }

    /// RFC 9110, 10.1.1: a client that gets a final status code instead of 100 need not send the content:
    /// what reads like a request behind such an answer is the next one. So it is where the framing is odd, and its sender
    /// had stopped, and waited for an answer, where another reading ends.
    fn skip_refused_content(&mut self, place: u64, moved: Moved<'_>, world: &mut World) {
        let refused = std::mem::take(&mut self.withheld) && std::mem::take(&mut self.refused)
            || self.turned() && self.open.is_empty() && self.ledger.may_end_at(place);
        if let Moved::Bytes(bytes) = moved
            && refused
            && self.turned()
            && self.speaks(bytes).looks_like_request(bytes) == Guess::Yes
        {
            self.passed(place, moved, world);
            self.requests = self.anew(Role::Request);
            self.current = None;
            self.ledger.reread = true;
        }
    }

    /// Who goes on to ask had no answer to wait for: what was taken for a request was the content after all; or it is
    /// content in another reading, and its sender has waited for no more than the one answer.
    fn take_back(&mut self, op: Op, world: &mut World) {
        let turned = self.turned();
        let contested = |open: &Open| {
            let exchange = open.node.and_then(|node| world.graph.get(node)?.exchange());
            exchange.and_then(|exchange| exchange.contested).is_some_and(|contested| contested.whole)
        };
        let vain = |open: &mut Open| {
            !open.answered && open.asked != op && (open.reread || turned && contested(open))
        };
        if let Some(node) = self.open.pop_back_if(vain).and_then(|open| open.node) {
            self.undelivered(&[node], Problem::NoResponse, world);
            world.retract(node);
        }
    }

    /// A request's head is complete.
    fn asked(
        &mut self,
        head: Box<Head>,
        op: Op,
        behind: (u64, Moved<'_>),
        peers: Peers<'_>,
        world: &mut World,
    ) {
        let Some(side) = self.side else { return };
        let (first, place, origin) = self.asking.take().unwrap_or((op, 0, Origin::Nothing));
        self.exchanges += 1;
        if self.open.len() >= MAX_PIPELINED {
            self.ledger.missed(Unread::Bytes(place, head.raw().len() as u64));
            world.stats.dropped_requests += 1;
            return self.lose_requests(world);
        }
        self.expect_response(world);
        let answering = self.requests.parser.answering(&head);
        let wire = wire(side, peers, place, &head);
        let began = first.time.0.saturating_add(world.config.boot_to_unix_ns);
        let identity = identity(side, peers, place, wire, began);
        let protocol = self.protocol.unwrap_or_default();
        let mut exchange = Exchange { protocol, ..Exchange::new(side, head, peers.endpoints.clone()) };
        exchange.split = self.split(&exchange, place, op, world);
        let reread = self.ledger.reread;
        exchange.content_of = self.ledger.carriers.back().filter(|_| reread).and_then(|carrier| carrier.node);
        let node =
            world.begin(Begun { op: first, identity, wire, origin, behind: !self.open.is_empty(), exchange });
        self.current = node;
        if let Some(node) = node.filter(|_| side == Side::Client) {
            self.tell_split(node, None, op, world);
        }
        let lost = world.stats.lost;
        self.open.push_back(Open { node, answering, answered: false, asked: op, lost, reread });
        self.enter(node, first, place, behind, world);
    }

    /// What a request that begins is for. Who began the connect for something, and is not at something else
    /// of its own, asks for that.
    fn origin(&mut self, op: Op, world: &World) -> Origin {
        if self.side != Some(Side::Client) {
            return Origin::Nothing;
        }
        let connect = self
            .connect
            .take()
            .filter(|(node, _)| world.graph.is_call(*node) || world.graph.is_active(*node));
        let mut origin = world.origin(op);
        if let (Origin::Serving(evidence), Some(connect)) = (&mut origin, connect)
            && !matches!(evidence.thread, Some((_, Clue::OwnThread)))
        {
            evidence.thread = Some(connect);
        }
        origin
    }

    /// A request comes: what answered none before it, or no longer can be told from it, is over.
    fn expect_response(&mut self, world: &mut World) {
        let ended = |open: &mut Open| open.answered;
        if self.responses.lost
            && let Some(open) = self.open.pop_front_if(ended)
        {
            let end = self.last_answer().unwrap_or(world.now);
            if let Some(node) = open.node {
                world.end(node, end, Some(Problem::Unseen));
            }
        }
        if self.open.is_empty() && !self.responses.lost && !self.responses.parser.is_idle() {
            self.responses = self.anew(Role::Response);
        }
    }
}

/// What this end's ids derive from.
fn identity(side: Side, peers: Peers<'_>, place: u64, wire: Wire, began: u64) -> Identity {
    let sock = peers.sock;
    match (wire, ids::first_bytes(sock, side)) {
        (Wire::Tcp { seq, head }, Some(first)) => Identity::Tcp { first, seq, head, side },
        _ => Identity::Local {
            subject: sock.id,
            inode: sock.inode,
            place: place << 1 | u64::from(side == Side::Client),
            began,
        },
    }
}

/// How the other end knows this request.
fn wire(side: Side, peers: Peers<'_>, place: u64, head: &Head) -> Wire {
    let head = twox_hash::XxHash3_64::oneshot(head.raw());
    if peers.sock.family != AF_UNIX {
        // The low 32 bits of a TCP offset are the sequence number.
        return Wire::Tcp { seq: place as u32, head };
    }
    let (client, server) = match side {
        Side::Client => (peers.sock.id, peers.sock.peer),
        Side::Server => (peers.sock.peer, peers.sock.id),
    };
    Wire::Unix { client, server, head }
}
