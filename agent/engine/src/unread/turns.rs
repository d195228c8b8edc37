//! The turns of one accepted connection whose requests are not read.

use super::{Carrier, Recognised, Unread, records::Records};
use crate::{
    Time,
    conversation::Peers,
    exchange::{Exchange, Problem},
    graph::NodeId,
    ids::Identity,
    world::{Op, World},
};
use tracer_common::{AF_UNIX, Data, direction};

/// A response has ended when so long nothing more of it was written.
const QUIET_MS: u64 = 2_000;

/// What an accepted connection carries.
#[derive(Debug, Default)]
pub enum Turns {
    /// Not known yet: what the client has sent so far.
    #[default]
    New,
    /// Likewise.
    Begun(Vec<u8>),
    /// Requests that cannot be read.
    Of(Box<Talk>),
    /// Orders to a service of this node.
    Orders,
    /// Anything else.
    Other,
}

/// See the module.
#[derive(Debug)]
pub struct Talk {
    carrier: Carrier,
    multiplexed: bool,
    records: Records,
    /// The direction of the last operation.
    last: u8,
    /// Whether a request was received, or more of one, that has not begun yet.
    request: bool,
    open: Option<Turn>,
}

#[derive(Debug)]
struct Turn {
    node: Option<NodeId>,
    /// When something was written last.
    written: Option<Time>,
}

impl Turns {
    /// `len` bytes were moved, of which `bytes` were captured. `unreadable` says whether nothing else reads them.
    pub fn moved(
        &mut self,
        (data, len): (&Data, u64),
        bytes: &[u8],
        unreadable: bool,
        (op, peers): (Op, Peers<'_>),
        world: &mut World,
    ) {
        let receives = data.direction == direction::RECEIVE;
        match self {
            Self::Orders | Self::Other => {}
            Self::New | Self::Begun(_) if receives => {
                self.begin(data, len, bytes);
                // Who need not wait for an answer sends a request with what begins the connection.
                if let Self::Of(talk) = self {
                    talk.receives(data.offset, unreadable, op, peers, world);
                }
            }
            Self::New => *self = Self::Other,
            Self::Begun(_) => {}
            Self::Of(talk) => {
                let turned = std::mem::replace(&mut talk.last, data.direction) != data.direction;
                if !receives {
                    talk.writes(op, world);
                } else {
                    talk.request |= talk.records.received(data.offset, len, bytes, turned);
                    talk.receives(data.offset, unreadable, op, peers, world);
                }
            }
        }
    }

    /// Bytes of the client, while it is not known what they begin.
    fn begin(&mut self, data: &Data, len: u64, bytes: &[u8]) {
        let mut begun = match std::mem::take(self) {
            Self::Begun(begun) => begun,
            _ => Vec::new(),
        };
        begun.extend_from_slice(bytes);
        let cut = len > bytes.len() as u64;
        *self = match Carrier::of(&begun, cut) {
            Recognised::More => Self::Begun(begun),
            Recognised::No => Self::Other,
            // Nobody comes from the network on a unix socket but through a front end, which has other protocols for
            // that: this is how the runtimes and builders of containers are steered, which launch what they are told.
            Recognised::Carrier(Carrier::Http2, _) if data.sock.family == AF_UNIX => Self::Orders,
            Recognised::Carrier(carrier, multiplexed) => {
                let mut records = Records::new(carrier);
                let all = begun.len() as u64 + (len - bytes.len() as u64);
                let offset = data.offset.wrapping_add(len).wrapping_sub(all);
                let request = records.received(offset, all, &begun, true);
                Self::Of(Box::new(Talk {
                    carrier,
                    multiplexed,
                    records,
                    last: direction::RECEIVE,
                    request,
                    open: None,
                }))
            }
        };
    }

    /// Bytes that it keeps.
    pub fn held(&self) -> usize {
        if let Self::Begun(begun) = self { begun.capacity() } else { 0 }
    }

    /// Whether only its turns are of interest from now on.
    pub fn are_all(&self) -> bool {
        matches!(self, Self::Of(talk) if talk.records.is_established())
    }

    /// Whether it is known what it carries, though it cannot be read.
    pub fn are_known(&self) -> bool {
        matches!(self, Self::Of(_) | Self::Orders)
    }

    /// Whether several requests may be open on it at once.
    pub fn are_multiplexed(&self) -> bool {
        matches!(self, Self::Of(talk) if talk.multiplexed)
    }

    /// Whether it carries requests that cannot be read, as far as is known.
    pub fn may_be(&self) -> bool {
        matches!(self, Self::Begun(_) | Self::Of(_))
    }

    /// Whether a request waits for its answer.
    pub fn are_owed(&self) -> bool {
        matches!(self, Self::Of(talk) if talk.open.as_ref().is_some_and(|turn| turn.written.is_none()))
    }

    /// When an answer has ended that nobody says the end of.
    pub fn deadline(&self) -> Option<Time> {
        let Self::Of(talk) = self else { return None };
        talk.open.as_ref()?.written.map(|written| written.plus_ms(QUIET_MS))
    }

    /// See [`deadline`](Self::deadline).
    pub fn expire(&mut self, world: &mut World) {
        if self.deadline().is_some_and(|due| due <= world.now)
            && let Self::Of(talk) = self
        {
            talk.over(None, world);
        }
    }

    /// The connection is followed no more.
    pub fn closed(&mut self, at: Time, world: &mut World) {
        if let Self::Of(talk) = self {
            talk.over(Some(at), world);
        }
        *self = Self::Other;
    }
}

impl Talk {
    /// Something was received; `unreadable` says whether nothing else reads it, by now.
    fn receives(&mut self, offset: u64, unreadable: bool, op: Op, peers: Peers<'_>, world: &mut World) {
        if unreadable && std::mem::take(&mut self.request) {
            self.reads(offset, op, peers, world);
        }
    }

    fn reads(&mut self, offset: u64, op: Op, peers: Peers<'_>, world: &mut World) {
        if self.open.as_ref().is_some_and(|turn| turn.written.is_some()) {
            self.over(None, world);
        }
        if self.open.is_none() {
            self.open = Some(Turn { node: self.begins(offset, op, peers, world), written: None });
        }
        world.causes.threads.turn(op.tid, self.open.as_ref().and_then(|turn| turn.node), op.time);
    }

    fn begins(&self, offset: u64, op: Op, peers: Peers<'_>, world: &mut World) -> Option<NodeId> {
        let unread = Unread { carrier: self.carrier, multiplexed: self.multiplexed, wanted: false };
        let identity = Identity::Local {
            subject: peers.sock.id,
            inode: peers.sock.inode,
            place: offset << 1,
            began: op.time.0.saturating_add(world.config.boot_to_unix_ns),
        };
        world.begin_unread(op, identity, Exchange::unread(unread, peers.endpoints.clone()))
    }

    fn writes(&mut self, op: Op, world: &mut World) {
        let Some(turn) = &mut self.open else { return };
        if turn.written.replace(op.time).is_none()
            && let Some(node) = turn.node
        {
            world.answer(op.tid, node);
        }
    }

    /// What is open has ended, by what was written or else `at`.
    fn over(&mut self, at: Option<Time>, world: &mut World) {
        let Some(Turn { node: Some(node), written }) = self.open.take() else { return };
        let problem = if written.is_some() { None } else { Some(Problem::NoResponse) };
        world.end(node, written.or(at).unwrap_or(world.now), problem);
    }
}
