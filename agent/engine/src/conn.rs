//! One socket: its two streams put in order and handed to its conversation.

use crate::{
    Time,
    conversation::{Conversation, Moved, Peers},
    exchange::{Endpoint, Endpoints, Side},
    graph::NodeId,
    reassembly::{OffsetWidth, Piece, Reassembler},
    world::{Op, World},
};
use tracer_common::{AF_UNIX, Data, Sock, direction};

/// A socket that is connected.
#[derive(Debug)]
pub struct Conn {
    sock: Sock,
    names: [Endpoint; 2],
    endpoints: Endpoints,
    /// By [`direction`].
    streams: [Reassembler<Op>; 2],
    conversation: Conversation,
    /// When it last moved anything.
    pub last: Time,
    muted: bool,
}

impl Conn {
    /// A socket; `side` is known when its birth was seen, `names` are those of a unix socket.
    pub fn new(sock: Sock, side: Option<Side>, from_start: bool, names: [Endpoint; 2], now: Time) -> Self {
        let width = if sock.family == AF_UNIX { OffsetWidth::Count64 } else { OffsetWidth::Tcp32 };
        Self {
            endpoints: Endpoints::of(&sock, &names),
            sock,
            names,
            streams: [Reassembler::new(width), Reassembler::new(width)],
            conversation: Conversation::new(side, from_start),
            last: now,
            muted: false,
        }
    }

    /// Whether a record with this socket's identity is about another one: an address in kernel memory is
    /// used again, a file's inode only later.
    pub fn is_other(&self, sock: &Sock) -> bool {
        self.sock.inode != 0 && sock.inode != 0 && self.sock.inode != sock.inode
    }

    /// Whether it is a unix socket.
    pub fn is_unix(&self) -> bool {
        self.sock.family == AF_UNIX
    }

    /// A later record knows more: the port that a connect chose, the file of an accepted socket.
    pub fn update(&mut self, sock: &Sock) {
        let stale =
            self.sock.local_port != sock.local_port || self.sock.peer != sock.peer || self.sock.inode == 0;
        // A closing socket has lost its port and its file.
        if stale && sock.inode != 0 {
            self.sock = *sock;
            self.endpoints = Endpoints::of(sock, &self.names);
        }
    }

    /// Where its streams begin.
    pub fn starts_at(&mut self, sent: u32, received: u32) {
        self.streams[usize::from(direction::SEND)].start_at(sent.into());
        self.streams[usize::from(direction::RECEIVE)].start_at(received.into());
    }

    /// A thread that was busy with `cause` began its connect.
    pub fn connecting(&mut self, cause: Option<NodeId>) {
        self.conversation.connecting(cause);
    }

    /// An operation moved bytes, or met the end of the stream.
    pub fn data(&mut self, data: &Data, bytes: &[u8], op: Op, world: &mut World) {
        let Ok(len) = u64::try_from(data.ret) else {
            world.stats.failed_sends += 1;
            return;
        };
        self.last = op.time;
        self.update(&data.sock);
        let direction = data.direction;
        if len == 0 {
            self.flush(direction, world);
            self.conversation.ended(direction, Some(op), world);
        } else {
            world.stats.bytes_unseen += len - bytes.len() as u64;
            let now = world.now;
            self.with_stream(direction, world, |stream, mut sink| {
                stream.push(data.offset, len, bytes, op, now, &mut sink)
            });
        }
        self.mute(world);
    }

    /// When something waits for bytes that should have come.
    pub fn deadline(&self) -> Option<Time> {
        self.streams.iter().filter_map(Reassembler::deadline).min()
    }

    /// Stops waiting for what should have come by now.
    pub fn expire(&mut self, world: &mut World) {
        let now = world.now;
        for direction in [direction::SEND, direction::RECEIVE] {
            self.with_stream(direction, world, |stream, mut sink| stream.expire(now, &mut sink));
        }
        self.mute(world);
    }

    /// The process will send nothing more.
    pub fn shut(&mut self, op: Op, world: &mut World) {
        self.flush(direction::SEND, world);
        // Not in the thread's own name: a close may come from anywhere.
        let _ = op;
        self.conversation.ended(direction::SEND, None, world);
    }

    /// The connection is over, or the tracer is (`stopping`).
    pub fn close(&mut self, stopping: bool, world: &mut World) {
        self.flush(direction::SEND, world);
        self.flush(direction::RECEIVE, world);
        self.conversation.closed(stopping, world);
    }

    fn flush(&mut self, direction: u8, world: &mut World) {
        self.with_stream(direction, world, |stream, mut sink| stream.flush(&mut sink));
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

    /// Asks for silence once nothing of it is of interest.
    fn mute(&mut self, world: &mut World) {
        if self.conversation.is_opaque() && !self.muted && self.sock.inode != 0 {
            self.muted = true;
            world.stats.opaque_connections += 1;
            world.output(crate::Output::Mute { id: self.sock.id, inode: self.sock.inode });
        }
    }
}
