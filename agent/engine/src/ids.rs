//! Trace and span ids. They are hashes of what identifies the exchange, not random: the same inputs
//! give the same ids.

use crate::{SpanId, TraceId};
use twox_hash::XxHash3_128;

/// What makes one exchange or launch different from every other on a node.
#[derive(Clone, Copy, Debug)]
pub struct Identity {
    /// The socket, or the process.
    pub subject: u64,
    /// Its inode, or 0.
    pub inode: u64,
    /// Place in the stream, or 0.
    pub place: u64,
    /// When it began, nanoseconds since the Unix epoch.
    pub began: u64,
}

fn hash(identity: Identity, purpose: u64) -> [u8; 16] {
    let mut bytes = [0; 32];
    for (to, from) in
        bytes.chunks_exact_mut(8).zip([identity.subject, identity.inode, identity.place, identity.began])
    {
        to.copy_from_slice(&from.to_le_bytes());
    }
    XxHash3_128::oneshot_with_seed(purpose, &bytes).to_be_bytes()
}

/// The id of the trace that this begins, when it is a root.
#[must_use]
pub fn trace_id(identity: Identity) -> TraceId {
    let mut id = hash(identity, 1);
    id[15] |= u8::from(id == [0; 16]); // all zero is invalid (W3C Trace Context, 3.2.2.3)
    TraceId(id)
}

/// The id of its span.
#[must_use]
pub fn span_id(identity: Identity) -> SpanId {
    let mut id = [0; 8];
    id.copy_from_slice(&hash(identity, 2)[..8]);
    id[7] |= u8::from(id == [0; 8]); // all zero is invalid (3.2.2.4)
    SpanId(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_depend_on_every_part() {
        let base = Identity { subject: 1, inode: 2, place: 3, began: 4 };
        let others = [
            Identity { subject: 9, ..base },
            Identity { inode: 9, ..base },
            Identity { place: 9, ..base },
            Identity { began: 9, ..base },
        ];
        for other in others {
            assert_ne!(trace_id(base), trace_id(other));
            assert_ne!(span_id(base), span_id(other));
        }
        assert_eq!(trace_id(base), trace_id(base));
    }
}
