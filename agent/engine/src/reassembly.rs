//! One direction of a byte stream, put in order by stream offset.
//!
//! A hook fires when its operation ends, so the records of two threads may come out of order by the
//! length of an operation. What comes early is held for a moment; what is in order passes through with
//! neither copy nor allocation.
//!
//! ```text
//!              behind            expected            ahead
//!   ──────────────┼──────────────────┼──────────────────┼──────────► offset
//!        Jump     │  cut: was told   │  held, then told │   Jump
//!            MAX_BEHIND              └─ told at once    MAX_AHEAD
//! ```
//!
//! Every byte of the stream is told once, in order: as part of a [`Piece::Chunk`] when it was captured,
//! of a [`Piece::Gap`] when it was not. Where two operations claim the same place, who came first in the
//! stream counts, even where it brought only the length and the other the bytes. Only a [`Piece::Jump`]
//! breaks the sequence.

use crate::Time;

#[cfg(test)]
mod tests;

/// Most captured bytes held per direction: four operations of the largest snap length
/// ([`tracer_common::MAX_SNAP`]), about what a receive buffer lets a second thread run ahead.
pub const MAX_HELD_BYTES: usize = 4 * tracer_common::MAX_SNAP;
/// Most operations held per direction. Threads that write to one connection at once are few.
pub const MAX_HELD_PIECES: usize = 16;
/// How long an early operation waits for what is missing before it, in milliseconds: far above the
/// length of an operation that does not block, far below what a person notices in a live view.
pub const MAX_WAIT_MS: u64 = 50;
/// Farthest that the end of an operation may lie behind the expected offset and still count as told
/// before: more than what other threads can send between the end of an operation and its record.
pub const MAX_BEHIND: u64 = 16 << 20;
/// Farthest that an operation may lie ahead and still count as the same stream: half the space of TCP's
/// sequence numbers, beyond which ahead and behind cannot be told apart.
pub const MAX_AHEAD: u64 = 1 << 31;

/// How the offsets of a stream are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetWidth {
    /// TCP sequence numbers: only the low 32 bits are given, and they wrap. Told offsets go on beyond
    /// 2^32; their low 32 bits are always the sequence number.
    Tcp32,
    /// Bytes counted in 64 bits.
    Count64,
}

/// What the stream had at the next offset. `meta` is that of the operation that moved the bytes, or, for
/// bytes of which no record came, that of the next operation after them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a, M> {
    /// Captured bytes, at least one.
    Chunk {
        /// Offset of the first.
        offset: u64,
        /// The bytes.
        bytes: &'a [u8],
        /// Operation.
        meta: M,
    },
    /// `len` bytes, at least one, that passed without being captured.
    Gap {
        /// Offset of the first.
        offset: u64,
        /// How many.
        len: u64,
        /// Operation.
        meta: M,
    },
    /// An operation lies so far from the expected offset that the distance means nothing: records of
    /// gigabytes were lost, or it is another stream than we think. An unknown number of bytes is missing;
    /// the stream goes on at `offset`.
    Jump {
        /// Offset of the next byte.
        offset: u64,
        /// Operation.
        meta: M,
    },
}

/// Puts one direction of a stream in order.
#[derive(Debug)]
pub struct Reassembler<M> {
    width: OffsetWidth,
    /// Offset of the next byte to tell; none before anything is known.
    expected: Option<u64>,
    /// What came early, in stream order; within the bounds above.
    held: Vec<Held<M>>,
}

/// Where an operation's bytes stand in the stream. `offset` is a told one.
#[derive(Clone, Copy, Debug)]
struct Operation<M> {
    offset: u64,
    len: u64,
    meta: M,
}

/// An operation that waits for what is missing before it.
#[derive(Debug)]
struct Held<M> {
    operation: Operation<M>,
    bytes: Box<[u8]>,
    since: Time,
}

impl<M: Copy> Reassembler<M> {
    /// A stream of which nothing was seen. Without [`start_at`](Self::start_at) it begins with the first
    /// operation pushed.
    #[must_use]
    pub fn new(width: OffsetWidth) -> Self {
        Self { width, expected: None, held: Vec::new() }
    }

    /// Tells where the stream begins, as its establishment shows it. Ignored once it has begun.
    pub fn start_at(&mut self, offset: u64) {
        self.expected.get_or_insert(self.width.cut(offset));
    }

    /// Offset of the next byte to tell; none before the stream has begun.
    #[must_use]
    pub fn expected(&self) -> Option<u64> {
        self.expected
    }

    /// Captured bytes that are held now.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.held.iter().map(|held| held.bytes.len()).sum()
    }

    /// Takes one operation: it moved `len` bytes at `offset`, of which `bytes` are the first.
    ///
    /// An operation of no bytes tells nothing: the offset of an end of stream may count the FIN. A length
    /// beyond `i32::MAX`, which no operation has, counts as that; surplus bytes are ignored.
    pub fn push(
        &mut self,
        offset: u64,
        len: u64,
        bytes: &[u8],
        meta: M,
        now: Time,
        sink: &mut impl FnMut(Piece<'_, M>),
    ) {
        let len = len.min(i32::MAX as u64);
        if len == 0 {
            return;
        }
        let bytes = &bytes[..bytes.len().min(len as usize)];
        let expected = *self.expected.get_or_insert(self.width.cut(offset));
        let distance = self.width.distance(expected, offset);
        if distance < 0 && distance + (len as i64) < -(MAX_BEHIND as i64) || distance > MAX_AHEAD as i64 {
            self.jump(offset, meta, sink);
        }
        let operation = Operation { offset: self.place(offset), len, meta };
        if ahead(operation.offset, self.next()) {
            self.hold(operation, bytes, now, sink);
        } else {
            self.tell(operation, bytes, sink);
            self.tell_reached(sink);
        }
    }

    /// When [`expire`](Self::expire) is due, if anything is held.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        self.held.iter().map(|held| held.since.plus_ms(MAX_WAIT_MS)).min()
    }

    /// Gives up waiting for what should have come by `now`.
    pub fn expire(&mut self, now: Time, sink: &mut impl FnMut(Piece<'_, M>)) {
        while self.deadline().is_some_and(|due| due <= now) {
            self.give_up(sink);
        }
    }

    /// Gives up waiting: for the end of a stream.
    pub fn flush(&mut self, sink: &mut impl FnMut(Piece<'_, M>)) {
        while !self.held.is_empty() {
            self.give_up(sink);
        }
    }

    /// Offset of the next byte; only asked for when the stream has begun.
    fn next(&self) -> u64 {
        self.expected.unwrap_or_default()
    }

    /// The told offset for a given one, which is not farther away than the bounds allow.
    fn place(&self, offset: u64) -> u64 {
        let expected = self.next();
        expected.wrapping_add_signed(self.width.distance(expected, offset))
    }

    /// Goes on elsewhere. What is held belongs to where the stream was.
    fn jump(&mut self, offset: u64, meta: M, sink: &mut impl FnMut(Piece<'_, M>)) {
        self.flush(sink);
        let offset = match self.width {
            OffsetWidth::Tcp32 => {
                let forward = (offset as u32).wrapping_sub(self.next() as u32);
                self.next().wrapping_add(u64::from(forward))
            }
            OffsetWidth::Count64 => offset,
        };
        self.expected = Some(offset);
        sink(Piece::Jump { offset, meta });
    }

    /// Tells of an operation that begins at or behind the expected offset what was not told yet.
    fn tell(&mut self, operation: Operation<M>, bytes: &[u8], sink: &mut impl FnMut(Piece<'_, M>)) {
        let Operation { offset, len, meta } = operation;
        let expected = self.next();
        let told = expected.wrapping_sub(offset);
        if told >= len {
            return;
        }
        let bytes = bytes.get(told as usize..).unwrap_or_default();
        if !bytes.is_empty() {
            sink(Piece::Chunk { offset: expected, bytes, meta });
        }
        let missing = len - told - bytes.len() as u64;
        if missing > 0 {
            sink(Piece::Gap { offset: expected.wrapping_add(bytes.len() as u64), len: missing, meta });
        }
        self.expected = Some(offset.wrapping_add(len));
    }

    /// Tells what is held and no longer early.
    fn tell_reached(&mut self, sink: &mut impl FnMut(Piece<'_, M>)) {
        while let Some(first) = self.held.first()
            && !ahead(first.operation.offset, self.next())
        {
            let Held { operation, bytes, .. } = self.held.remove(0);
            self.tell(operation, &bytes, sink);
        }
    }

    /// Tells what is missing before the first held operation, and what that makes reachable.
    fn give_up(&mut self, sink: &mut impl FnMut(Piece<'_, M>)) {
        if let Some(Held { operation, .. }) = self.held.first() {
            self.tell_missing(operation.offset, operation.meta, sink);
            self.tell_reached(sink);
        }
    }

    /// Tells that nothing came up to `offset`, which lies ahead.
    fn tell_missing(&mut self, offset: u64, meta: M, sink: &mut impl FnMut(Piece<'_, M>)) {
        let expected = self.next();
        sink(Piece::Gap { offset: expected, len: offset.wrapping_sub(expected), meta });
        self.expected = Some(offset);
    }

    /// Holds an early operation, giving up on others before it where there is no room.
    fn hold(&mut self, op: Operation<M>, bytes: &[u8], since: Time, sink: &mut impl FnMut(Piece<'_, M>)) {
        while !self.has_room(bytes.len()) && !self.held.is_empty() && ahead(op.offset, self.next()) {
            self.give_up(sink);
        }
        if ahead(op.offset, self.next()) && self.has_room(bytes.len()) {
            let at = self.held.partition_point(|held| !ahead(held.operation.offset, op.offset));
            self.held.insert(at, Held { operation: op, bytes: bytes.into(), since });
            return;
        }
        if ahead(op.offset, self.next()) {
            self.tell_missing(op.offset, op.meta, sink);
        }
        self.tell(op, bytes, sink);
        self.tell_reached(sink);
    }

    fn has_room(&self, bytes: usize) -> bool {
        self.held.len() < MAX_HELD_PIECES && self.held_bytes().saturating_add(bytes) <= MAX_HELD_BYTES
    }
}

/// Whether one told offset lies ahead of another.
fn ahead(offset: u64, of: u64) -> bool {
    offset.wrapping_sub(of) as i64 > 0
}

impl OffsetWidth {
    /// An offset as the stream's first.
    fn cut(self, offset: u64) -> u64 {
        match self {
            Self::Tcp32 => u64::from(offset as u32),
            Self::Count64 => offset,
        }
    }

    /// How far `offset` lies ahead of `expected`, or, negative, behind it.
    fn distance(self, expected: u64, offset: u64) -> i64 {
        match self {
            Self::Tcp32 => i64::from((offset as u32).wrapping_sub(expected as u32) as i32),
            Self::Count64 => offset.wrapping_sub(expected) as i64,
        }
    }
}
