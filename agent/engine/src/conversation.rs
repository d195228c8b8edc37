//! Requests and responses on one connection: which side asks, what is asked, what answers it.
//!
//! ```text
//!  seen from its start ───────────────► Spoken ──► Opaque (nothing that can be read, or a tunnel)
//!                                       ▲  │        ▲
//!                      a request begins │  │ it was none after all
//!                                       │  ▼        │
//!  older than the tracer ─────────► Undecided ──────┘ after some turns
//! ```
//!
//! Which [`Protocol`] is spoken, the first byte of the first request says; from there on all are alike. In Spoken
//! each direction by itself may lose where its messages begin: bytes that were not seen. What is
//! open stays so, since the other direction may tell its end. Requests are found again where a request
//! line follows bytes of the other direction, which is a clean turn; responses where a status line
//! follows a request.

mod answering;
mod asking;
mod chaining;
mod joining;
mod ledger;
mod reconciling;
mod splitting;
mod stream;
mod swapping;
mod tunnelling;
mod unasked;
mod upgraded;

use crate::{
    Time,
    cause::{Clue, Origin},
    exchange::{Endpoints, Problem, Side},
    graph::NodeId,
    http1::Role,
    protocol::{Answering, Protocol},
    world::{Op, World},
};
use ledger::Ledger;
use std::collections::VecDeque;
pub use stream::Moved;
use stream::Stream;
use tracer_common::{Sock, direction};
use upgraded::Upgraded;

/// A response whose end cannot be seen has ended when so long nothing more of it came.
const QUIET_MS: u64 = 2_000;

/// What is known of the connection.
#[derive(Clone, Copy, Debug)]
pub struct Peers<'a> {
    /// The socket.
    pub sock: &'a Sock,
    /// Both ends.
    pub endpoints: &'a Endpoints,
}

/// Why a connection is followed no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closing {
    /// It ended then.
    Gone(Time),
    /// Nobody knows what became of it.
    Unseen,
    /// The tracer stops.
    Stopping,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// It is not known what is spoken; so many turns, one direction to the other, were nothing known.
    Undecided {
        turns: u8,
    },
    Spoken,
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
    /// The operation that completed its head.
    asked: Op,
    /// Records that the kernel side had lost by then.
    lost: u64,
    /// Whether it came where a content was to come which need not.
    reread: bool,
}

/// See the module.
#[derive(Debug)]
pub struct Conversation {
    phase: Phase,
    /// What is spoken, once a byte said it.
    protocol: Option<Protocol>,
    /// Which end the process is; unknown until bytes or the connection's birth say it.
    side: Option<Side>,
    /// Whether its birth said it.
    side_seen: bool,
    /// It joined where bytes only might begin a request: the turns and the side that it goes back to.
    tentative: Option<(u8, Option<Side>)>,
    /// What was before, while the message joined at may be the middle of a content: it was the first thing
    /// seen of the connection, and no response has begun yet.
    unproven: Option<(u8, Option<Side>)>,
    /// Whether the last operation was the first one seen.
    first: bool,
    requests: Stream,
    responses: Stream,
    open: VecDeque<Open>,
    /// The message that is being asked: operation, place and origin of its first byte.
    asking: Option<(Op, u64, Origin)>,
    /// Whose content is coming in the direction of requests.
    current: Option<NodeId>,
    /// The last request expects 100-continue, and nothing came behind its head.
    withheld: bool,
    /// It was answered for good in the meantime, so that its content need not come.
    refused: bool,
    /// What the thread that began the connect was busy with.
    connect: Option<(NodeId, Clue)>,
    /// Whether the response that is coming is an informational one.
    informational: bool,
    /// Bytes of a response that came before the record of its request.
    early: Vec<(Op, Box<[u8]>)>,
    /// When the direction of responses ended while nothing was open.
    over: Option<Time>,
    /// The last operation of each [`direction`].
    last: [Option<Op>; 2],
    /// The last operation's direction, and whether it followed one of the other.
    turn: Option<(u8, Op, bool)>,
    /// Turns without a request since requests were lost.
    lost_turns: u8,
    /// Where bytes began that may turn out to be a request, since requests were lost, and these bytes.
    maybe: Option<(u64, Vec<u8>)>,
    exchanges: u64,
    /// Requests that may be more than they seem.
    ledger: Ledger,
    /// What goes on behind a response that switched to a WebSocket.
    upgraded: Option<Box<Upgraded>>,
}

impl Conversation {
    /// A connection; `side` is known when its birth was seen.
    pub fn new(side: Option<Side>, seen_from_start: bool) -> Self {
        let from_start = side.is_some() && seen_from_start;
        Self {
            phase: if from_start { Phase::Spoken } else { Phase::Undecided { turns: 0 } },
            protocol: None,
            side,
            side_seen: side.is_some(),
            tentative: None,
            unproven: None,
            first: false,
            requests: Stream::new(Protocol::default(), Role::Request),
            responses: Stream::new(Protocol::default(), Role::Response),
            open: VecDeque::new(),
            asking: None,
            current: None,
            withheld: false,
            refused: false,
            connect: None,
            informational: false,
            early: Vec::new(),
            over: None,
            last: [None, None],
            turn: None,
            lost_turns: 0,
            maybe: None,
            exchanges: 0,
            ledger: Ledger::default(),
            upgraded: None,
        }
    }

    /// Its connect was begun by a thread that was busy with something.
    pub fn connecting(&mut self, busy: Option<(NodeId, Clue)>) {
        self.connect = busy;
    }

    /// Whether nothing of it is of interest any more.
    pub fn is_opaque(&self) -> bool {
        self.phase == Phase::Opaque
    }

    /// Whether it was accepted from someone.
    pub fn is_inbound(&self) -> bool {
        self.side == Some(Side::Server)
    }

    /// Whether it was accepted, and a request came on it.
    pub fn has_served(&self) -> bool {
        self.side == Some(Side::Server) && self.exchanges > 0
    }

    /// Whether it has carried HTTP, and still does.
    pub fn is_http(&self) -> bool {
        self.exchanges > 0 && !self.is_opaque()
    }

    /// Whether it has carried no request that is read so far.
    pub fn is_unknown(&self) -> bool {
        self.exchanges == 0
    }

    /// Whether nothing on it could ever be read.
    pub fn was_never_read(&self) -> bool {
        self.is_opaque() && self.exchanges == 0
    }

    /// Which end the process is, of a connection with requests that wait for their responses.
    pub fn waits_as(&self) -> Option<Side> {
        self.side.filter(|_| !self.open.is_empty())
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
        self.note(direction, op);
        if self.tentative.is_some() && self.role(direction) == Role::Response {
            self.retract();
        }
        let joined = match self.phase {
            Phase::Opaque => {
                if self.side == Some(Side::Server) && direction == direction::RECEIVE {
                    world.causes.threads.turn(op.tid, None, op.time);
                }
                return self.moved_upgraded(direction, moved, op, world);
            }
            Phase::Undecided { turns } => self.join(direction, moved, turns),
            Phase::Spoken => true,
        };
        if !joined {
            return;
        }
        self.assure(direction, moved, op, world);
        if self.role(direction) == Role::Request {
            self.ledger.moved(offset, moved);
        }
        match self.role(direction) {
            Role::Request => match self.finds_requests(offset, moved, world) {
                Some(begun) => {
                    if let Some((place, begun)) = begun {
                        self.request(place, Moved::Bytes(&begun), op, peers, world);
                    }
                    self.request(offset, moved, op, peers, world);
                    self.note_whole(world);
                }
                None => self.passed(offset, moved, world),
            },
            Role::Response if self.finds_responses(moved, op, world) => self.response(moved, op, world),
            _ => {}
        }
        if self.side == Some(Side::Server) && self.role(direction) == Role::Request {
            world.causes.threads.turn(op.tid, self.open.front().and_then(|open| open.node), op.time);
        }
    }

    /// Notes an operation, of which this may be one piece of several.
    fn note(&mut self, direction: u8, op: Op) {
        self.first = match self.turn {
            None => true,
            Some((same, before, _)) => self.first && (same, before) == (direction, op),
        };
        let turned = match self.turn {
            Some((same, before, turned)) if (same, before) == (direction, op) => turned,
            Some((before, ..)) => before != direction,
            None => false,
        };
        self.turn = Some((direction, op, turned));
        self.last[usize::from(direction & 1)] = Some(op);
    }

    /// Whether the last operation followed one of the other direction.
    fn turned(&self) -> bool {
        self.turn.is_some_and(|(_, _, turned)| turned)
    }

    /// What a direction carries; of an unknown side, a guess that only turns are counted by.
    fn role(&self, direction: u8) -> Role {
        let asks = if self.side == Some(Side::Client) { direction::SEND } else { direction::RECEIVE };
        if direction == asks { Role::Request } else { Role::Response }
    }

    /// When the last byte of a response moved.
    fn last_answer(&self) -> Option<Time> {
        let answers = if self.side == Some(Side::Client) { direction::RECEIVE } else { direction::SEND };
        self.last[usize::from(answers)].map(|op| op.time)
    }

    /// Ends what is open.
    fn give_up(&mut self, problem: Problem, end: Time, world: &mut World) {
        let nodes: Vec<_> = self.open.drain(..).filter_map(|open| open.node).collect();
        self.undelivered(&nodes, problem, world);
        for node in nodes {
            world.end(node, end, Some(problem));
        }
        (self.asking, self.current, self.informational) = (None, None, false);
        world.stats.orphan_responses += u64::from(!self.early.is_empty());
        self.early = Vec::new();
    }

    /// When a response has ended whose end cannot be seen.
    pub fn deadline(&self) -> Option<Time> {
        let lost = self.responses.lost && !self.open.is_empty();
        self.last_answer().filter(|_| lost).map(|time| time.plus_ms(QUIET_MS))
    }

    /// See [`deadline`](Self::deadline).
    pub fn expire(&mut self, world: &mut World) {
        if self.deadline().is_some_and(|due| due <= world.now) {
            self.give_up(Problem::Unseen, self.last_answer().unwrap_or(world.now), world);
        }
    }

    /// The connection is followed no more.
    pub fn closed(&mut self, closing: Closing, world: &mut World) {
        let last = self.last.iter().flatten().map(|op| op.time).max().unwrap_or(world.now);
        if closing != Closing::Stopping {
            self.last_answers(last, world);
        }
        match closing {
            Closing::Gone(at) => {
                self.ended(direction::SEND, None, at, world);
                self.ended(direction::RECEIVE, None, at, world);
                self.give_up(Problem::NoResponse, at, world);
            }
            Closing::Unseen => self.give_up(Problem::Unseen, last, world),
            Closing::Stopping => self.give_up(Problem::StillOpen, last, world),
        }
        self.phase = Phase::Opaque;
        self.close_upgraded(world);
    }
}
