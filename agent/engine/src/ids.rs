//! Trace and span ids. They are hashes of what identifies the exchange or launch, not random: the same inputs
//! give the same ids. Of a TCP exchange that is what both of its ends see, so that two nodes that know nothing
//! of each other name the same spans: the algorithm is a contract between them.

use crate::{SpanId, TraceId, exchange::Side};
use tracer_common::{AF_UNIX, Sock};
use twox_hash::XxHash3_128;

/// What makes one exchange or launch different from every other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity {
    /// An exchange over TCP. Addresses are left out: they are translated on the way, sequence numbers are not.
    /// Only after 4 GiB, or a multiple, on one connection the same request can be the same again.
    Tcp {
        /// The connection: the sequence numbers of the client's first byte and of the server's.
        first: [u32; 2],
        /// Sequence number of the request's first byte.
        seq: u32,
        /// Hash of the request's head.
        head: u64,
        /// Which end of it this is.
        side: Side,
    },
    /// Any other exchange, and a launch, on this node.
    Local {
        /// The socket, or the process.
        subject: u64,
        /// Its inode, or 0.
        inode: u64,
        /// Place in the stream, or 0.
        place: u64,
        /// When it began, nanoseconds since the Unix epoch.
        began: u64,
    },
}

/// What a hash is made for. The words keep ids of one identity apart.
const TRACE: u64 = 1;
const SPAN: u64 = 2;
const CLIENT: u64 = 3;
const SERVER: u64 = 4;

impl Identity {
    /// The id of the trace that this begins, when it is a root; of an exchange over TCP, whichever end is one.
    pub fn trace_id(self) -> TraceId {
        let mut id = self.hash(TRACE);
        id[15] |= u8::from(id == [0; 16]); // all zero is invalid (W3C Trace Context, 3.2.2.3)
        TraceId(id)
    }

    /// The id of its span.
    pub fn span_id(self) -> SpanId {
        match self {
            Self::Tcp { side, .. } => self.end(side),
            Self::Local { .. } => self.span(SPAN),
        }
    }

    /// The id of the span at the other end, where that can be told.
    pub fn other_end(self) -> Option<SpanId> {
        match self {
            Self::Tcp { side: Side::Client, .. } => Some(self.end(Side::Server)),
            Self::Tcp { side: Side::Server, .. } => Some(self.end(Side::Client)),
            Self::Local { .. } => None,
        }
    }

    fn end(self, side: Side) -> SpanId {
        self.span(if side == Side::Client { CLIENT } else { SERVER })
    }

    fn span(self, purpose: u64) -> SpanId {
        let mut id = [0; 8];
        id.copy_from_slice(&self.hash(purpose)[..8]);
        id[7] |= u8::from(id == [0; 8]); // all zero is invalid (3.2.2.4)
        SpanId(id)
    }

    fn hash(self, purpose: u64) -> [u8; 16] {
        // Nothing local began at time 0.
        let words = match self {
            Self::Tcp { first: [client, server], seq, head, .. } => {
                [u64::from(client) << 32 | u64::from(server), seq.into(), head, 0]
            }
            Self::Local { subject, inode, place, began } => [subject, inode, place, began],
        };
        let mut bytes = [0; 32];
        for (to, from) in bytes.chunks_exact_mut(8).zip(words) {
            to.copy_from_slice(&from.to_le_bytes());
        }
        XxHash3_128::oneshot_with_seed(purpose, &bytes).to_be_bytes()
    }
}

/// A TCP connection as both of its ends know it, see [`Identity::Tcp`]; nothing for a unix socket, or when the
/// kernel did not tell. `side` is this end's: whoever asks is taken for who connected.
pub fn first_bytes(sock: &Sock, side: Side) -> Option<[u32; 2]> {
    if sock.family == AF_UNIX || sock.sent_from == 0 || sock.received_from == 0 {
        return None;
    }
    // The SYN takes a number (RFC 9293, 3.4), and of who connected the kernel counts it.
    Some(match side {
        Side::Client => [sock.sent_from.wrapping_add(1), sock.received_from],
        Side::Server => [sock.received_from, sock.sent_from],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local(subject: u64, inode: u64, place: u64, began: u64) -> Identity {
        Identity::Local { subject, inode, place, began }
    }

    fn tcp(first: [u32; 2], seq: u32, head: u64, side: Side) -> Identity {
        Identity::Tcp { first, seq, head, side }
    }

    #[test]
    fn ids_depend_on_every_part() {
        let all = [
            local(1, 2, 3, 4),
            local(9, 2, 3, 4),
            local(1, 9, 3, 4),
            local(1, 2, 9, 4),
            local(1, 2, 3, 9),
            tcp([1, 2], 3, 4, Side::Server),
            tcp([9, 2], 3, 4, Side::Server),
            tcp([1, 9], 3, 4, Side::Server),
            tcp([2, 1], 3, 4, Side::Server),
            tcp([1, 2], 9, 4, Side::Server),
            tcp([1, 2], 3, 9, Side::Server),
        ];
        for (n, one) in all.iter().enumerate() {
            assert_eq!((one.trace_id(), one.span_id()), (one.trace_id(), one.span_id()));
            for other in &all[..n] {
                assert_ne!(one.trace_id(), other.trace_id());
                assert_ne!(one.span_id(), other.span_id());
            }
        }
    }

    #[test]
    fn each_end_names_the_other() {
        let (client, server) = (tcp([1, 2], 3, 4, Side::Client), tcp([1, 2], 3, 4, Side::Server));
        assert_eq!(client.trace_id(), server.trace_id());
        assert_eq!(client.other_end(), Some(server.span_id()));
        assert_eq!(server.other_end(), Some(client.span_id()));
        assert_ne!(client.span_id(), server.span_id());
        assert_eq!(local(1, 2, 3, 4).other_end(), None);
    }
}
