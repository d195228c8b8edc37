//! HTTP on one connection: which side asks, what is asked, what answers it.
//!
//! ```text
//!  seen from its start ──────────────► Http ──► Opaque (no HTTP, or a tunnel)
//!                                      ▲  │        ▲
//!  older than the tracer ─► Undecided ─┘  │        │
//!                               ▲  └──────┼────────┘ after some turns that are no HTTP
//!                               └─────────┘ boundaries lost
//! ```
//!
//! From Undecided it joins where bytes in one direction begin with a request line; after boundaries were
//! lost, only where that follows bytes of the other direction: a clean turn.

use crate::{
    exchange::{Endpoints, Exchange, Problem, Side},
    graph::NodeId,
    http1::{Answering, Event, Guess, Head, Parser, Role, Start, looks_like_request, looks_like_response},
    wire::Wire,
    world::{Begun, Op, World},
};
use std::collections::VecDeque;
use tracer_common::{Sock, direction};

/// Most requests that wait for their responses: servers and clients pipeline a few; one that sends more
/// is not followed past this.
const MAX_PIPELINED: usize = 256;
/// Turns of a connection, one direction to the other, that may pass without HTTP before it is given up.
const MAX_TURNS: u8 = 8;
/// Most bytes of a response that are kept because the record of its request has not come yet.
const MAX_EARLY: usize = 64 * 1024;

/// What moved in one direction.
#[derive(Clone, Copy, Debug)]
pub enum Moved<'a> {
    /// Bytes.
    Bytes(&'a [u8]),
    /// So many that were not captured.
    Gap(u64),
    /// An unknown number.
    Jump,
}

/// What is known of the connection.
#[derive(Clone, Copy, Debug)]
pub struct Peers<'a> {
    /// The socket.
    pub sock: &'a Sock,
    /// Both ends.
    pub endpoints: &'a Endpoints,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    /// Not known, or no longer known where messages begin.
    Undecided {
        /// Turns that were no HTTP.
        turns: u8,
        /// Only a turn will do.
        lost: bool,
    },
    Http,
    /// Nothing for us.
    Opaque,
}

/// A request that waits for the end of its response.
#[derive(Debug)]
struct Open {
    node: Option<NodeId>,
    answering: Answering,
    /// Whether a final response has begun.
    answered: bool,
}

/// See the module.
#[derive(Debug)]
pub struct Conversation {
    protocol: Protocol,
    /// Which end the process is; unknown until bytes or the connection's birth say it.
    side: Option<Side>,
    requests: Parser,
    responses: Parser,
    open: VecDeque<Open>,
    /// The message that is being asked: operation, place and cause of its first byte.
    asking: Option<(Op, u64, Option<NodeId>)>,
    /// Whose content is coming in the direction of requests.
    current: Option<NodeId>,
    /// What the thread that began the connect was busy with.
    connect: Option<NodeId>,
    /// Whether the response that is coming is an informational one.
    informational: bool,
    /// Bytes of a response that came before the record of its request.
    early: Vec<(Op, Box<[u8]>)>,
    last: Option<(Role, Op)>,
    exchanges: u64,
}

impl Conversation {
    /// A connection; `side` is known when its birth was seen.
    pub fn new(side: Option<Side>, seen_from_start: bool) -> Self {
        let protocol = match (side, seen_from_start) {
            (Some(_), true) => Protocol::Http,
            _ => Protocol::Undecided { turns: 0, lost: false },
        };
        Self {
            protocol,
            side,
            requests: Parser::new(Role::Request),
            responses: Parser::new(Role::Response),
            open: VecDeque::new(),
            asking: None,
            current: None,
            connect: None,
            informational: false,
            early: Vec::new(),
            last: None,
            exchanges: 0,
        }
    }

    /// Its connect was begun by a thread that was busy with `cause`.
    pub fn connecting(&mut self, cause: Option<NodeId>) {
        self.connect = cause;
    }

    /// Whether nothing of it is of interest any more.
    pub fn is_opaque(&self) -> bool {
        self.protocol == Protocol::Opaque
    }

    /// Bytes moved in one direction ([`direction`]), in order.
    pub fn moved(
        &mut self,
        direction: u8,
        offset: u64,
        moved: Moved<'_>,
        op: Op,
        peers: Peers<'_>,
        world: &mut World,
    ) {
        if self.protocol == Protocol::Opaque {
            return;
        }
        if let Protocol::Undecided { turns, lost } = self.protocol
            && !self.join(direction, moved, turns, lost, world)
        {
            self.remember(direction, op);
            return;
        }
        match self.role(direction) {
            Role::Request => self.request(offset, moved, op, peers, world),
            Role::Response => self.response(moved, op, peers, world),
        }
        self.remember(direction, op);
    }

    fn remember(&mut self, direction: u8, op: Op) {
        self.last = Some((self.role(direction), op));
    }

    /// What a direction carries; of an unknown side, a guess that only turns are counted by.
    fn role(&self, direction: u8) -> Role {
        let asks = if self.side == Some(Side::Client) { direction::SEND } else { direction::RECEIVE };
        if direction == asks { Role::Request } else { Role::Response }
    }

    /// Whether HTTP begins here.
    fn join(&mut self, direction: u8, moved: Moved<'_>, turns: u8, lost: bool, world: &mut World) -> bool {
        let turned = self.last.is_some_and(|(role, _)| role != self.role(direction));
        let Moved::Bytes(bytes) = moved else { return false };
        let may_ask = self.side.is_none() || self.role(direction) == Role::Request;
        let asks = may_ask && (turned || !lost) && looks_like_request(bytes) != Guess::No;
        if asks {
            self.give_up(Problem::Unseen, world);
            self.side = Some(if direction == direction::SEND { Side::Client } else { Side::Server });
            self.requests = Parser::new(Role::Request);
            self.responses = Parser::new(Role::Response);
            self.protocol = Protocol::Http;
            return true;
        }
        if self.side.is_none() && looks_like_response(bytes) == Guess::Yes {
            self.side = Some(if direction == direction::SEND { Side::Server } else { Side::Client });
        } else if turned && !lost {
            self.protocol = match turns + 1 {
                MAX_TURNS.. => Protocol::Opaque,
                turns => Protocol::Undecided { turns, lost },
            };
        }
        false
    }

    /// Ends what is open, as the connection's messages can no longer be told apart or are over.
    fn give_up(&mut self, problem: Problem, world: &mut World) {
        let end = self.last.map_or(world.now, |(_, op)| op.time);
        for open in std::mem::take(&mut self.open) {
            if let Some(node) = open.node {
                world.end(node, end, Some(problem));
            }
        }
        (self.asking, self.current, self.informational) = (None, None, false);
        self.early = Vec::new();
    }

    fn lose(&mut self, world: &mut World) {
        world.stats.boundaries_lost += 1;
        self.give_up(Problem::Unseen, world);
        self.protocol = Protocol::Undecided { turns: 0, lost: true };
    }

    /// What stands where a request should begin is none.
    fn no_request(&mut self, world: &mut World) {
        if self.exchanges > 0 {
            return self.lose(world);
        }
        self.early = Vec::new();
        self.protocol = Protocol::Opaque;
    }

    fn request(&mut self, offset: u64, moved: Moved<'_>, op: Op, peers: Peers<'_>, world: &mut World) {
        let mut place = offset;
        let mut rest = moved;
        while let Some((used, event)) = step(&mut self.requests, &mut rest, Answering::default()) {
            place += used;
            match event {
                Some(Event::Begin) => {
                    let cause = self.connect.take().filter(|node| world.graph.is_active(*node));
                    self.asking = Some((op, place, cause.or_else(|| world.activity(op))));
                }
                Some(Event::Head(head)) => {
                    self.asked(head, op, peers, world);
                    self.replay_early(peers, world);
                }
                Some(Event::Content(bytes)) => {
                    if let Some(exchange) = self.current.and_then(|node| world.graph.exchange_mut(node)) {
                        exchange.request_content += bytes;
                    }
                }
                Some(Event::End | Event::Incomplete) => self.current = None,
                Some(Event::Tunnel) | None => {}
                Some(Event::NotHttp) => return self.no_request(world),
                Some(Event::Lost(_)) => return self.lose(world),
            }
            if self.protocol != Protocol::Http {
                return;
            }
        }
        if self.side == Some(Side::Server) {
            world.tasks.set_activity(op.tid, self.open.front().and_then(|open| open.node));
        }
    }

    /// A request's head is complete.
    fn asked(&mut self, head: Box<Head>, op: Op, peers: Peers<'_>, world: &mut World) {
        let Some(side) = self.side else { return };
        let (first, place, cause) = self.asking.take().unwrap_or((op, 0, None));
        let answering = match head.start() {
            Start::Request { method, .. } => {
                Answering { head: method == "HEAD", connect: method == "CONNECT" }
            }
            Start::Response { .. } => Answering::default(),
        };
        self.exchanges += 1;
        let node = world.begin(Begun {
            op: first,
            identity: (peers.sock.id, peers.sock.inode, place),
            wire: Some(wire(side, peers, place, &head)),
            cause: cause.filter(|_| side == Side::Client),
            exchange: Exchange {
                side,
                request: head,
                response: None,
                request_content: 0,
                response_content: 0,
                endpoints: peers.endpoints.clone(),
                problem: None,
            },
        });
        self.current = node;
        if self.open.len() >= MAX_PIPELINED {
            return self.lose(world);
        }
        self.open.push_back(Open { node, answering, answered: false });
    }

    fn response(&mut self, moved: Moved<'_>, op: Op, peers: Peers<'_>, world: &mut World) {
        if self.open.is_empty() && self.responses.is_idle() {
            match (self.side, moved) {
                // A client's sender and receiver may be two threads: the answer's record can come first.
                (Some(Side::Client), Moved::Bytes(bytes)) => return self.keep_early(bytes, op, world),
                // A server that speaks first speaks something else.
                (Some(Side::Server), _) if self.exchanges == 0 => {
                    self.protocol = Protocol::Opaque;
                    return;
                }
                _ => {}
            }
        }
        let answered = self.open.front().and_then(|open| open.node);
        self.answer(moved, op, world);
        if self.side == Some(Side::Client)
            && let Some(node) = answered
        {
            let cause = world.cause_of(node);
            world.tasks.set_activity(op.tid, cause);
        }
        if self.is_opaque() {
            self.requests.enter_tunnel();
        }
        let _ = peers;
    }

    fn answer(&mut self, moved: Moved<'_>, op: Op, world: &mut World) {
        let mut rest = moved;
        loop {
            let answering = self.open.front().map_or(Answering::default(), |open| open.answering);
            let Some((_, event)) = step(&mut self.responses, &mut rest, answering) else { return };
            match event {
                Some(Event::Head(head)) => self.answer_head(head, world),
                Some(Event::Content(bytes)) => {
                    if let Some(exchange) = self.answering(world) {
                        exchange.response_content += bytes;
                    }
                }
                Some(Event::End) => self.answer_end(op, None, world),
                Some(Event::Incomplete) => self.answer_end(op, Some(Problem::CutShort), world),
                Some(Event::Tunnel) => {
                    self.give_up(Problem::Unseen, world);
                    self.protocol = Protocol::Opaque;
                    return;
                }
                Some(Event::NotHttp | Event::Lost(_)) => return self.lose(world),
                Some(Event::Begin) | None => {}
            }
        }
    }

    /// The exchange that a response belongs to.
    fn answering<'w>(&self, world: &'w mut World) -> Option<&'w mut Exchange> {
        if self.informational {
            return None;
        }
        world.graph.exchange_mut(self.open.front()?.node?)
    }

    fn answer_head(&mut self, head: Box<Head>, world: &mut World) {
        // RFC 9110, 15.2: "A client MUST be able to parse one or more 1xx responses received prior to a
        // final response". 101 is final for HTTP.
        self.informational =
            head.status().is_some_and(|status| (100..200).contains(&status) && status != 101);
        if self.informational {
            return;
        }
        match self.open.front_mut() {
            Some(open) => open.answered = true,
            None => world.stats.orphan_responses += 1,
        }
        if let Some(exchange) = self.answering(world) {
            exchange.response = Some(head);
        }
    }

    fn answer_end(&mut self, op: Op, problem: Option<Problem>, world: &mut World) {
        if std::mem::take(&mut self.informational) {
            return;
        }
        let Some(open) = self.open.pop_front() else { return };
        if let Some(node) = open.node {
            world.end(node, op.time, problem);
        }
        // The next one was read already: who sent this answer turns to it.
        if self.side == Some(Side::Server)
            && let Some(next) = self.open.front().and_then(|open| open.node)
        {
            world.tasks.set_activity(op.tid, Some(next));
        }
    }

    fn keep_early(&mut self, bytes: &[u8], op: Op, world: &mut World) {
        let kept: usize = self.early.iter().map(|(_, bytes)| bytes.len()).sum();
        if kept + bytes.len() > MAX_EARLY {
            world.stats.orphan_responses += 1;
            return self.lose(world);
        }
        self.early.push((op, bytes.into()));
    }

    fn replay_early(&mut self, peers: Peers<'_>, world: &mut World) {
        for (op, bytes) in std::mem::take(&mut self.early) {
            if self.protocol == Protocol::Http {
                self.response(Moved::Bytes(&bytes), op, peers, world);
            }
        }
    }

    /// One direction has ended.
    pub fn ended(&mut self, direction: u8, op: Option<Op>, world: &mut World) {
        if self.protocol != Protocol::Http || self.role(direction) == Role::Request {
            return;
        }
        let answered = self.open.front().and_then(|open| open.node);
        // The response ended with its last byte, however late the end of the connection was noticed.
        let last = self.last.filter(|(role, _)| *role == Role::Response).map(|(_, op)| op).or(op);
        while let Some(event) = self.responses.eof() {
            let Some(op) = last else { break };
            match event {
                Event::End => self.answer_end(op, None, world),
                Event::Incomplete => self.answer_end(op, Some(Problem::CutShort), world),
                _ => {}
            }
        }
        if let (Some(Side::Client), Some(op), Some(node)) = (self.side, op, answered) {
            let cause = world.cause_of(node);
            world.tasks.set_activity(op.tid, cause);
        }
    }

    /// The connection is over, or the tracer is (`stopping`).
    pub fn closed(&mut self, stopping: bool, world: &mut World) {
        if !stopping {
            self.ended(direction::SEND, None, world);
            self.ended(direction::RECEIVE, None, world);
        }
        let problem = match self.protocol {
            _ if stopping => Problem::StillOpen,
            Protocol::Http => Problem::NoResponse,
            _ => Problem::Unseen,
        };
        let first_answered = self.open.front().is_some_and(|open| open.answered);
        self.give_up(if first_answered && !stopping { Problem::CutShort } else { problem }, world);
        self.protocol = Protocol::Opaque;
    }
}

/// One step of a parser over what is left of `rest`; nothing when nothing is left to say.
fn step(parser: &mut Parser, rest: &mut Moved<'_>, answering: Answering) -> Option<(u64, Option<Event>)> {
    match rest {
        Moved::Bytes(bytes) => {
            let (used, event) = parser.step(bytes, answering);
            let done = used == 0 && event.is_none();
            *bytes = &bytes[used..];
            (!done).then_some((used as u64, event))
        }
        Moved::Gap(len) => {
            let (used, event) = parser.gap(*len);
            let done = used == 0 && event.is_none();
            *len -= used;
            (!done).then_some((used, event))
        }
        Moved::Jump => {
            *rest = Moved::Gap(0);
            Some((0, Some(Event::Lost(crate::http1::Loss::Gap))))
        }
    }
}

/// How the other end knows this request.
fn wire(side: Side, peers: Peers<'_>, place: u64, head: &Head) -> Wire {
    use crate::exchange::Endpoint::Tcp;
    let (client, server) = match side {
        Side::Client => (&peers.endpoints.local, &peers.endpoints.remote),
        Side::Server => (&peers.endpoints.remote, &peers.endpoints.local),
    };
    match (client, server) {
        // The low 32 bits of a TCP offset are the sequence number.
        (Tcp(client, client_port), Tcp(server, server_port)) => {
            Wire::Tcp { client: (*client, *client_port), server: (*server, *server_port), seq: place as u32 }
        }
        _ => {
            let (client, server) = match side {
                Side::Client => (peers.sock.id, peers.sock.peer),
                Side::Server => (peers.sock.peer, peers.sock.id),
            };
            Wire::Unix { client, server, head: twox_hash::XxHash3_64::oneshot(head.raw()) }
        }
    }
}
