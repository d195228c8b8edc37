//! What holds for reassembly whatever is pushed.
//!
//! Input: a byte of options (bit 0: 64-bit offsets; bit 1: begin just before the offsets wrap; bit 2: the
//! start is told), then seven bytes for each operation: kind, place (two), length (two), captured, time.
//! Every byte of the stream has a value that its offset gives, so pieces can be checked by themselves.

use tracer_engine::Time;
use tracer_engine::reassembly::{MAX_HELD_BYTES, OffsetWidth, Piece, Reassembler};

/// Panics where something does not hold.
pub fn check(data: &[u8]) {
    let [options, operations @ ..] = data else { return };
    let width = if options & 1 == 0 { OffsetWidth::Tcp32 } else { OffsetWidth::Count64 };
    let wrap = if width == OffsetWidth::Tcp32 { 1 << 32 } else { 0_u64 };
    let base = if options & 2 == 0 { 0x1_0000 } else { wrap.wrapping_sub(0x1000) };
    let mut stream = Reassembler::new(width);
    let mut told = Told { width, next: None };
    if options & 4 != 0 {
        stream.start_at(base);
        told.next = stream.expected();
    }
    let mut now = Time(0);
    for operation in operations.as_chunks::<7>().0 {
        let [kind, place_0, place_1, len_0, len_1, captured, ms] = *operation;
        now = now.plus_ms(u64::from(ms) / 4);
        let place = i64::from(i16::from_le_bytes([place_0, place_1]));
        let offset = match kind % 8 {
            // As a rule, somewhere near; sometimes far away.
            0 => base.wrapping_add_signed(place << (len_0 % 48)),
            1..3 => base.wrapping_add_signed(place),
            _ => stream.expected().unwrap_or(base).wrapping_add_signed(place / 64),
        };
        let len = u64::from(u16::from_le_bytes([len_0, len_1])) << (kind / 64 * 8);
        let bytes: Vec<u8> = (0..u64::from(captured)).map(|n| value(width, offset.wrapping_add(n))).collect();
        stream.push(offset, len, &bytes, (), now, &mut |piece| told.piece(piece));
        assert!(stream.held_bytes() <= MAX_HELD_BYTES);
        if kind & 8 != 0 {
            stream.expire(now, &mut |piece| told.piece(piece));
            assert!(stream.deadline().is_none_or(|due| due > now), "nothing waits for longer than it should");
        }
        assert_eq!(told.next.or(stream.expected()), stream.expected());
    }
    stream.flush(&mut |piece| told.piece(piece));
    assert_eq!((stream.held_bytes(), stream.deadline()), (0, None));
}

/// The byte at an offset.
fn value(width: OffsetWidth, offset: u64) -> u8 {
    let offset = if width == OffsetWidth::Tcp32 { offset & 0xffff_ffff } else { offset };
    (offset.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8
}

/// What was told so far.
struct Told {
    width: OffsetWidth,
    next: Option<u64>,
}

impl Told {
    fn piece(&mut self, piece: Piece<'_, ()>) {
        let (at, len) = match piece {
            Piece::Chunk { offset, bytes, .. } => {
                for (n, byte) in (0..).zip(bytes) {
                    assert_eq!(*byte, value(self.width, offset.wrapping_add(n)), "the byte of its offset");
                }
                (offset, bytes.len() as u64)
            }
            Piece::Gap { offset, len, .. } => (offset, len),
            Piece::Jump { offset, .. } => {
                self.next = Some(offset);
                return;
            }
        };
        assert!(len > 0, "no empty piece");
        assert_eq!(at, self.next.unwrap_or(at), "one piece behind the other");
        self.next = Some(at.wrapping_add(len));
    }
}
