//! One socket: its two streams put in order and handed to its conversation.

use crate::{
    Output, Time,
    cause::Clue,
    conversation::{Closing, Conversation, Moved, Peers},
    detect::net::Outbound,
    exchange::{Endpoint, Endpoints, Side},
    graph::NodeId,
    reassembly::{OffsetWidth, Piece, Reassembler},
    unread::Turns,
    world::{Op, World},
};
use tracer_common::{AF_UNIX, Data, Sock, direction};

/// How long a client may still read what came before its socket was closed under it.
const READ_MS: u64 = 1_000;
/// How long a server may still work on a request whose client is gone; mostly it finds out when it
/// writes.
const WORK_MS: u64 = 10_000;

/// What a send to a closed socket fails with.
const EPIPE: i32 = -32;
const ECONNRESET: i32 = -104;

/// A socket is muted again when so many records came though it was: more than are on their way when it was.
const MUTE_AGAIN: u32 = 256;

/// What of a connection is of interest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    /// All of it.
    All,
    /// Nothing that is said on it, but maybe when.
    Undecided,
    /// When it turns from one direction to the other.
    Turns,
    /// Nothing.
    Nothing,
}

/// A socket that is connected.
#[derive(Debug)]
pub struct Conn {
    sock: Sock,
    endpoints: Endpoints,
    /// By [`direction`].
    streams: [Reassembler<Op>; 2],
    /// The thread of each direction's last operation.
    threads: [u32; 2],
    conversation: Conversation,
    /// Requests on it that cannot be read.
    turns: Turns,
    /// When it last moved anything.
    pub last: Time,
    /// When the engine looks at it again.
    pub wakes: Option<Time>,
    /// Who ended its sending, and when: by a close, or by half of one.
    shut: Option<Op>,
    /// When the socket was closed, and until when it is followed though it was.
    gone: Option<(Time, Time)>,
    from_start: bool,
    wanted: Wanted,
    /// Records that came all the same.
    heard: u32,
    /// What goes out on it, when this end began it.
    outbound: Option<Box<Outbound>>,
    /// Bytes of it that the budget of what is unfinished counts.
    counted: usize,
}

/// A connection's birth, as far as it was seen.
#[derive(Debug, Default)]
pub struct Birth {
    /// Which end it is, when that is known.
    pub side: Option<Side>,
    /// Whether no byte of it can have been missed.
    pub from_start: bool,
    /// The names of a unix socket, own first.
    pub names: Option<[Endpoint; 2]>,
}

impl Conn {
    /// A socket.
    pub fn new(sock: Sock, birth: Birth, now: Time) -> Self {
        let Birth { side, from_start, names } = birth;
        let width = if sock.family == AF_UNIX { OffsetWidth::Count64 } else { OffsetWidth::Tcp32 };
        let unix = |names: Option<[Endpoint; 2]>| {
            let [local, remote] = names.unwrap_or_else(|| [Endpoint::unix(b""), Endpoint::unix(b"")]);
            Endpoints { local, remote }
        };
        Self {
            endpoints: Endpoints::tcp(&sock).unwrap_or_else(|| unix(names)),
            sock,
            streams: [Reassembler::new(width), Reassembler::new(width)],
            threads: [0, 0],
            conversation: Conversation::new(side, from_start),
            turns: Turns::default(),
            last: now,
            wakes: None,
            shut: None,
            gone: None,
            from_start,
            wanted: Wanted::All,
            heard: 0,
            outbound: None,
            counted: 0,
        }
    }

    /// Whether a record with this socket's identity is about another one: an address in kernel memory is
    /// used again, a file's inode only later.
    pub fn is_other(&self, sock: &Sock) -> bool {
        let differ = |a: u64, b: u64| a != 0 && b != 0 && a != b;
        differ(self.sock.inode, sock.inode)
            || differ(self.sock.remote_port.into(), sock.remote_port.into())
            || self.sock.family != sock.family
    }

    /// Whether this end began it.
    pub fn is_outbound(&self) -> bool {
        self.outbound.is_some()
    }

    /// Whether a request came on it.
    pub fn has_served(&self) -> bool {
        self.conversation.has_served()
    }

    /// Whether its end may go unreported: a unix socket's has no hook, and who did not see a connection's
    /// birth may see what is left of a dead one.
    pub fn may_end_silently(&self) -> bool {
        !self.from_start
    }

    /// A later record knows more: the port that a connect chose, the file of an accepted socket, where
    /// the streams begin.
    pub fn update(&mut self, sock: &Sock) {
        let stale = self.sock.local_port != sock.local_port
            || self.sock.peer != sock.peer
            || self.sock.received_from != sock.received_from
            || self.sock.inode == 0;
        // A closing socket has lost its port and its file.
        if stale && sock.inode != 0 {
            self.sock = *sock;
            if let Some(endpoints) = Endpoints::tcp(sock) {
                self.endpoints = endpoints;
            }
        }
    }

    /// Where its streams begin.
    pub fn starts_at(&mut self, sent: u32, received: u32) {
        self.streams[usize::from(direction::SEND)].start_at(sent.into());
        self.streams[usize::from(direction::RECEIVE)].start_at(received.into());
    }

    /// A thread that was busy with something began its connect.
    pub fn connecting(&mut self, busy: Option<(NodeId, Clue)>) {
        self.conversation.connecting(busy);
    }

    /// This end began it, in a thread.
    pub fn begun(&mut self, op: Op, world: &mut World) {
        self.outbound = Some(Box::new(Outbound::connecting(&self.endpoints.remote, op, world)));
    }

    /// The other end took it.
    pub fn established(&mut self) {
        if let Some(outbound) = &mut self.outbound {
            outbound.established();
        }
    }

    /// The kernel's count of the bytes sent and received, when the connection ends.
    pub fn total(&mut self, sent: u64, received: u64, world: &mut World) {
        if let Some(mut outbound) = self.outbound.take() {
            outbound.ended(Some((sent, received)), world);
        }
    }

    /// An operation moved bytes, met the end of the stream, or failed.
    pub fn data(&mut self, data: &Data, bytes: &[u8], op: Op, world: &mut World) {
        self.last = op.time;
        if self.wanted == Wanted::Nothing {
            if let Ok(len @ 1..) = u64::try_from(data.ret) {
                self.account(data, len, &[], op, world);
            }
            return self.heard_though_muted(world);
        }
        self.update(&data.sock);
        match u64::try_from(data.ret) {
            Err(_) => self.failed_send(data.ret, bytes, op, world),
            Ok(0) => self.met_end(data, op, world),
            Ok(len) => {
                if self.wanted != Wanted::Turns {
                    self.bytes(data, len, bytes, op, world);
                }
                self.turn(data, len, bytes, op, world);
                self.hop(data, bytes, op, world);
                self.account(data, len, bytes, op, world);
            }
        }
        if self.conversation.was_never_read() && self.conversation.is_inbound() {
            world.tasks.unreadable(op.pid, self.turns.are_multiplexed());
        }
        if self.wanted == Wanted::Turns {
            return self.heard_though_muted(world);
        }
        self.mute(world);
        self.settle(world);
    }

    fn bytes(&mut self, data: &Data, len: u64, bytes: &[u8], op: Op, world: &mut World) {
        world.stats.bytes_unseen += len - bytes.len() as u64;
        let (now, direction) = (world.now, data.direction);
        // Who turns from one direction to the other has all of what it acts on: what is still missing was
        // lost.
        self.flush(1 - direction, world);
        self.with_stream(direction, world, |stream, mut sink| {
            stream.push(data.offset, len, bytes, op, now, &mut sink);
        });
        // A thread's own records come in order: what is missing between two of them was lost.
        if std::mem::replace(&mut self.threads[usize::from(direction)], op.tid) == op.tid {
            self.flush(direction, world);
        }
    }

    /// What the requests want to know that cannot be read.
    fn turn(&mut self, data: &Data, len: u64, bytes: &[u8], op: Op, world: &mut World) {
        if !self.conversation.is_inbound() || self.conversation.is_http() {
            return;
        }
        let Self { turns, conversation, sock, endpoints, .. } = self;
        let peers = Peers { sock, endpoints };
        turns.moved((data, len), bytes, conversation.was_never_read(), (op, peers), world);
    }

    /// What a message may tell whoever reads it, where nobody knows how to read it.
    fn hop(&self, data: &Data, bytes: &[u8], op: Op, world: &mut World) {
        if self.sock.family == AF_UNIX && self.conversation.is_unknown() && !self.turns.are_known() {
            world.passed_on(&self.sock, data.direction, bytes, op);
        }
    }

    /// Whether it is a pair of sockets that nobody can connect to: one process passed it to another.
    fn is_private(&self) -> bool {
        let unnamed = |end: &Endpoint| matches!(end, Endpoint::Unix(name) if name.is_empty());
        unnamed(&self.endpoints.local) && unnamed(&self.endpoints.remote)
    }

    /// What the rules about what goes out want to know.
    fn account(&mut self, data: &Data, len: u64, bytes: &[u8], op: Op, world: &mut World) {
        let Some(outbound) = &mut self.outbound else { return };
        match data.direction {
            direction::SEND => {
                outbound.sent((data.offset, len), bytes, self.conversation.is_http(), op, world);
            }
            _ => outbound.received(self.conversation.is_http(), op, world),
        }
    }

    /// A receive of 0 bytes. RFC 9293, 3.4: a FIN takes a sequence number, so that where the next byte is
    /// still expected nothing has ended: the buffer had no room.
    fn met_end(&mut self, data: &Data, op: Op, world: &mut World) {
        let next = self.streams[usize::from(direction::RECEIVE)].expected();
        let tcp = self.sock.family != AF_UNIX;
        let no_room = tcp && next.is_some_and(|next| next as u32 == data.offset as u32);
        if data.direction == direction::RECEIVE && !no_room {
            self.flush(direction::RECEIVE, world);
            self.conversation.ended(direction::RECEIVE, Some(op), op.time, world);
        }
    }

    fn failed_send(&mut self, error: i32, bytes: &[u8], op: Op, world: &mut World) {
        world.stats.failed_sends += 1;
        // No hook tells the end of a unix socket, but who writes to one that is closed hears of it.
        if self.sock.family == AF_UNIX && matches!(error, EPIPE | ECONNRESET) {
            self.gone(op, false, world.now);
        }
        self.conversation.failed_send(bytes, op, world);
        if self.gone.is_some() && self.conversation.is_done_with(bytes) {
            self.conversation.ended(direction::SEND, None, op.time, world);
        }
    }

    /// When something is due though nothing moves.
    pub fn deadline(&self) -> Option<Time> {
        let streams = self.streams.iter().filter_map(Reassembler::deadline).min();
        let gone = self.gone.map(|(_, until)| until);
        [streams, gone, self.conversation.deadline(), self.turns.deadline()].into_iter().flatten().min()
    }

    /// Stops waiting for what should have come by now.
    pub fn expire(&mut self, world: &mut World) {
        let now = world.now;
        for direction in [direction::SEND, direction::RECEIVE] {
            self.with_stream(direction, world, |stream, mut sink| stream.expire(now, &mut sink));
        }
        self.conversation.expire(world);
        self.turns.expire(world);
        self.mute(world);
        self.settle(world);
    }

    /// The process will send nothing more.
    pub fn shut(&mut self, op: Op, world: &mut World) {
        self.shut.get_or_insert(op);
        if let Some(outbound) = &mut self.outbound {
            outbound.done(world);
        }
        self.flush(direction::SEND, world);
        // Not in the thread's own name: a close may come from anywhere.
        self.conversation.ended(direction::SEND, None, op.time, world);
        self.settle(world);
    }

    /// The socket is closed, maybe under the process's hands: by a reset, or when both ends have ended
    /// their sending. What had come before can still be read, and who works on a request works on; unless
    /// `abandoned`, when no process holds the socket any more.
    pub fn gone(&mut self, op: Op, abandoned: bool, now: Time) {
        let at = match self.shut {
            // The process had let go before, at the latest operation that is known of it: the kernel only
            // waited for the peer's acknowledgement (40 ms where that is delayed) before it said so.
            Some(shut) if abandoned && shut.pid != op.pid => shut.time.max(self.last),
            _ => op.time,
        };
        let more = match self.conversation.waits_as() {
            _ if abandoned => 0,
            Some(Side::Client) => READ_MS,
            Some(Side::Server) => WORK_MS,
            None if self.conversation.holds_a_request() || self.turns.are_owed() => WORK_MS,
            None if self.conversation.may_be_answered() => READ_MS,
            None => 0,
        };
        self.gone.get_or_insert((at, now.plus_ms(more)));
    }

    /// Whether it is closed, and nothing is expected of it any more.
    pub fn is_over(&self, now: Time) -> bool {
        let waits = self.conversation.waits_as().is_some()
            || self.conversation.may_be_answered()
            || self.turns.are_owed();
        self.gone.is_some_and(|(_, until)| until <= now || !waits)
    }

    /// It is followed no more.
    pub fn close(&mut self, closing: Closing, world: &mut World) {
        self.flush(direction::SEND, world);
        self.flush(direction::RECEIVE, world);
        let closing = match self.gone {
            Some((at, _)) if closing == Closing::Unseen => Closing::Gone(at),
            _ => closing,
        };
        self.conversation.closed(closing, world);
        let at = if let Closing::Gone(at) = closing { at } else { self.last };
        self.turns.closed(at, world);
        if let Some(mut outbound) = self.outbound.take() {
            outbound.ended(None, world);
        }
        world.unfinished.settle(std::mem::take(&mut self.counted), 0);
    }

    /// Whether it keeps anything of what is unfinished.
    pub fn is_unfinished(&self) -> bool {
        self.counted > 0
    }

    /// Gives up what it keeps of what is unfinished.
    pub fn shed(&mut self, world: &mut World) {
        self.flush(direction::SEND, world);
        self.flush(direction::RECEIVE, world);
        self.conversation.shed(world);
        self.settle(world);
    }

    /// Counts what it keeps of what is unfinished.
    fn settle(&mut self, world: &mut World) {
        let held: usize = self.streams.iter().map(Reassembler::held_bytes).sum();
        let now = held + self.conversation.unfinished() + self.turns.held();
        world.unfinished.settle(std::mem::replace(&mut self.counted, now), now);
    }

    fn flush(&mut self, direction: u8, world: &mut World) {
        if self.streams[usize::from(direction & 1)].deadline().is_some() {
            self.with_stream(direction, world, |stream, mut sink| stream.flush(&mut sink));
        }
    }

    /// Lets `act` work on one stream, and hands what comes out to the conversation.
    fn with_stream(
        &mut self,
        direction: u8,
        world: &mut World,
        act: impl FnOnce(&mut Reassembler<Op>, &mut dyn FnMut(Piece<'_, Op>)),
    ) {
        let Self { streams, conversation, sock, endpoints, .. } = self;
        let peers = Peers { sock, endpoints };
        act(&mut streams[usize::from(direction & 1)], &mut |piece| match piece {
            Piece::Chunk { offset, bytes, meta } => {
                conversation.moved(direction, offset, Moved::Bytes(bytes), meta, peers, world);
            }
            Piece::Gap { offset, len, meta } => {
                conversation.moved(direction, offset, Moved::Gap(len), meta, peers, world);
            }
            Piece::Jump { offset, meta } => {
                conversation.moved(direction, offset, Moved::Jump, meta, peers, world);
            }
        });
    }

    /// The kernel side keeps a bounded number of mutes and may forget one.
    fn heard_though_muted(&mut self, world: &mut World) {
        self.heard = self.heard.wrapping_add(1);
        if self.heard.is_multiple_of(MUTE_AGAIN) {
            self.ask_to_mute(world);
        }
    }

    fn ask_to_mute(&self, world: &mut World) {
        let Sock { id, inode, .. } = self.sock;
        world.output(Output::Mute { id, inode, turns: self.wanted == Wanted::Turns });
    }

    /// Asks for silence once nothing of it is of interest, or for no more than its turns.
    fn mute(&mut self, world: &mut World) {
        let relayed = self.conversation.is_relayed()
            || self.outbound.as_ref().is_some_and(|outbound| outbound.is_of_interest(world));
        let settled = matches!(self.wanted, Wanted::Turns | Wanted::Nothing);
        if !self.conversation.is_opaque() || relayed || settled || self.sock.inode == 0 {
            return;
        }
        world.stats.opaque_connections += u64::from(self.wanted == Wanted::All);
        let private = self.is_private() && self.conversation.is_unknown();
        self.wanted = match private || self.turns.may_be() && self.conversation.was_never_read() {
            true if private || self.turns.are_all() => Wanted::Turns,
            true => Wanted::Undecided,
            false => Wanted::Nothing,
        };
        if self.wanted != Wanted::Undecided {
            self.ask_to_mute(world);
        }
    }
}
