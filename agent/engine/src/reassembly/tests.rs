//! Streams in pieces: in order, out of order, with losses, anything.

use super::*;
use proptest::prelude::*;

type Stream = Reassembler<u32>;

/// What was told, as text: `10+3` for a chunk, `10-3` for a gap, `10!` for a jump.
fn told(piece: Piece<'_, u32>) -> String {
    match piece {
        Piece::Chunk { offset, bytes, .. } => format!("{offset}+{}", bytes.len()),
        Piece::Gap { offset, len, .. } => format!("{offset}-{len}"),
        Piece::Jump { offset, .. } => format!("{offset}!"),
    }
}

/// Pushes operations (offset, length, captured), one a millisecond, and says what was told.
fn push(stream: &mut Stream, operations: &[(u64, u64, usize)]) -> String {
    let mut pieces = Vec::new();
    for (ms, (offset, len, captured)) in operations.iter().enumerate() {
        let now = Time(0).plus_ms(ms as u64);
        stream.push(*offset, *len, &vec![0; *captured], 0, now, &mut |piece| pieces.push(told(piece)));
    }
    pieces.join(" ")
}

fn flush(stream: &mut Stream) -> String {
    let mut pieces = Vec::new();
    stream.flush(&mut |piece| pieces.push(told(piece)));
    pieces.join(" ")
}

const WRAP: u64 = 1 << 32;

#[test]
fn in_order_and_cut() {
    for (operations, expected) in [
        (&[(10, 5, 5), (15, 5, 5)][..], "10+5 15+5"),
        // Captured in part, not at all, more than there was.
        (&[(10, 5, 3), (15, 5, 0), (20, 5, 9)], "10+3 13-2 15-5 20+5"),
        (&[(10, 0, 0), (12, 0, 3), (20, 5, 5)], "20+5"),
        // Told before: all of it, a part, a part that had not been captured.
        (&[(10, 5, 5), (10, 5, 5), (8, 4, 4), (12, 5, 5)], "10+5 15+2"),
        (&[(10, 5, 5), (12, 9, 4), (8, 20, 3)], "10+5 15+1 16-5 21-7"),
        // Early, in whatever order.
        (&[(10, 5, 5), (20, 5, 5), (15, 5, 5)], "10+5 15+5 20+5"),
        (&[(10, 5, 5), (25, 5, 5), (20, 5, 5), (20, 5, 5), (15, 5, 5)], "10+5 15+5 20+5 25+5"),
        (&[(10, 5, 5), (20, 5, 5), (22, 9, 9), (15, 10, 10)], "10+5 15+10 25+6"),
    ] {
        for width in [OffsetWidth::Tcp32, OffsetWidth::Count64] {
            assert_eq!(push(&mut Stream::new(width), operations), expected, "{operations:?}");
        }
    }
}

#[test]
fn sequence_numbers_wrap() {
    let mut stream = Stream::new(OffsetWidth::Tcp32);
    let operations = [(WRAP - 10, 10, 10), (5, 5, 5), (0, 5, 5), (WRAP - 3, 16, 16)];
    assert_eq!(push(&mut stream, &operations), "4294967286+10 4294967296+5 4294967301+5 4294967306+3");
    let mut stream = Stream::new(OffsetWidth::Tcp32);
    stream.start_at(WRAP - 10);
    assert_eq!(push(&mut stream, &[(5, 5, 5)]), "");
    assert_eq!(flush(&mut stream), "4294967286-15 4294967301+5");
}

#[test]
fn four_gigabytes_pass() {
    let mut stream = Stream::new(OffsetWidth::Tcp32);
    let step = 1_u64 << 30;
    for n in 0..12 {
        let expected = format!("{}-{step}", 7 + n * step);
        assert_eq!(push(&mut stream, &[((7 + n * step) % WRAP, step, 0)]), expected);
    }
}

#[test]
fn a_start_is_told_once() {
    let mut stream = Stream::new(OffsetWidth::Count64);
    stream.start_at(10);
    stream.start_at(12);
    assert_eq!(push(&mut stream, &[(12, 3, 3), (10, 2, 2)]), "10+2 12+3");
    assert_eq!(stream.expected(), Some(15));
}

#[test]
fn waiting_has_an_end() {
    let mut stream = Stream::new(OffsetWidth::Tcp32);
    assert_eq!(push(&mut stream, &[(0, 5, 5), (20, 5, 5), (10, 5, 5)]), "0+5");
    assert_eq!(stream.deadline(), Some(Time(0).plus_ms(1 + MAX_WAIT_MS)));
    let mut pieces = Vec::new();
    stream.expire(Time(0).plus_ms(MAX_WAIT_MS), &mut |piece| pieces.push(told(piece)));
    assert!(pieces.is_empty());
    stream.expire(Time(0).plus_ms(1 + MAX_WAIT_MS), &mut |piece| pieces.push(told(piece)));
    assert_eq!(pieces.join(" "), "5-5 10+5 15-5 20+5");
    assert_eq!((stream.deadline(), stream.held_bytes()), (None, 0));
}

#[test]
fn a_gap_has_the_meta_of_what_follows() {
    let mut stream = Stream::new(OffsetWidth::Count64);
    let mut metas = Vec::new();
    let mut sink = |piece: Piece<'_, u32>| match piece {
        Piece::Chunk { meta, .. } | Piece::Gap { meta, .. } | Piece::Jump { meta, .. } => metas.push(meta),
    };
    stream.push(0, 2, b"a", 1, Time(0), &mut sink);
    stream.push(5, 1, b"a", 2, Time(0), &mut sink);
    stream.flush(&mut sink);
    assert_eq!(metas, [1, 1, 2, 2]);
}

#[test]
fn holding_has_bounds() {
    let mut stream = Stream::new(OffsetWidth::Count64);
    stream.start_at(0);
    let early: Vec<_> = (1..=MAX_HELD_PIECES as u64).map(|n| (n * 10, 5, 5)).collect();
    assert_eq!(push(&mut stream, &early), "");
    assert_eq!(push(&mut stream, &[(1000, 5, 5)]), "0-10 10+5");
    flush(&mut stream);

    let mut stream = Stream::new(OffsetWidth::Count64);
    stream.start_at(0);
    let half = MAX_HELD_BYTES / 2;
    assert_eq!(push(&mut stream, &[(1, 1 << 20, half), (1 << 21, 9, 9), (1 << 22, 1 << 20, half - 9)]), "");
    assert_eq!(stream.held_bytes(), MAX_HELD_BYTES);
    // Room for one byte is made by giving up the first hole, and no other.
    let first = format!("0-1 1+{half} {}-{}", 1 + half, (1 << 20) - half);
    assert_eq!(push(&mut stream, &[(1 << 23, 1, 1)]), first);
    // One that is too large by itself is told at once, behind all that waits.
    let huge = MAX_HELD_BYTES + 1;
    let pieces = push(&mut stream, &[(1 << 24, huge as u64, huge)]);
    assert!(pieces.ends_with(&format!(" 8388608+1 8388609-8388607 16777216+{huge}")), "{pieces}");
    assert_eq!(stream.deadline(), None);
}

#[test]
fn far_away_is_a_jump() {
    for (width, operations, expected) in [
        // What is held belongs to where the stream was.
        (
            OffsetWidth::Count64,
            &[(1 << 40, 5, 5), ((1 << 40) + 9, 1, 1), (3, 5, 5), (8, 1, 1)][..],
            "1099511627776+5 1099511627781-4 1099511627785+1 3! 3+5 8+1",
        ),
        (
            OffsetWidth::Count64,
            &[(0, 1, 1), (1 << 63, 5, 5)],
            "0+1 9223372036854775808! 9223372036854775808+5",
        ),
        // Told offsets of TCP never go back.
        (
            OffsetWidth::Tcp32,
            &[(1 << 30, 5, 5), (3, 5, 5), (8, 1, 1)],
            "1073741824+5 4294967299! 4294967299+5 4294967304+1",
        ),
    ] {
        assert_eq!(push(&mut Stream::new(width), operations), expected);
    }
}

/// A stream cut into operations that arrive out of order by a few places: (start, end, captured, lost).
#[derive(Clone, Debug)]
struct Plan {
    width: OffsetWidth,
    base: u64,
    operations: Vec<(usize, usize, usize, bool)>,
    order: Vec<usize>,
    length: usize,
}

fn plan(losses: bool) -> impl Strategy<Value = Plan> {
    let operation = (
        1..300_usize,
        if losses { 0..300_usize } else { 300..301 },
        prop::bool::weighted(if losses { 0.2 } else { 0.0 }),
    );
    let operations = prop::collection::vec((operation, 0..6_usize), 1..60);
    let base = prop_oneof![Just(0_u64), Just(WRAP - 1000), any::<u32>().prop_map(u64::from)];
    (operations, base, any::<bool>()).prop_map(|(drawn, base, narrow)| {
        let mut length = 0;
        let mut operations = Vec::new();
        let mut order: Vec<_> = (0..drawn.len()).collect();
        for (n, ((len, captured, lost), delay)) in drawn.iter().enumerate() {
            operations.push((length, length + len, *len.min(captured), *lost));
            length += len;
            order[n] += delay * 2;
        }
        // Sorting by place plus delay moves nothing by more than the largest delay.
        let mut places: Vec<_> = (0..drawn.len()).collect();
        places.sort_by_key(|n| order[*n]);
        let width = if narrow { OffsetWidth::Tcp32 } else { OffsetWidth::Count64 };
        Plan { width, base, operations, order: places, length }
    })
}

/// Runs a plan: for every byte of the stream, the byte, or none where a gap was told.
fn result(plan: &Plan) -> Vec<Option<u8>> {
    let content: Vec<u8> = (0..plan.length).map(|n| (n * 7 + n / 251) as u8).collect();
    let mut stream = Stream::new(plan.width);
    stream.start_at(plan.base);
    let mut bytes = Vec::new();
    let mut sink = |piece: Piece<'_, u32>| match piece {
        Piece::Chunk { offset, bytes: chunk, .. } => {
            assert_eq!(offset, plan.base + bytes.len() as u64);
            bytes.extend(chunk.iter().copied().map(Some));
        }
        Piece::Gap { offset, len, .. } => {
            assert_eq!(offset, plan.base + bytes.len() as u64);
            bytes.extend((0..len).map(|_| None));
        }
        Piece::Jump { .. } => panic!("nothing is far away"),
    };
    for n in &plan.order {
        let (start, end, captured, lost) = plan.operations[*n];
        if !lost {
            let offset = plan.base + start as u64;
            let offset = if plan.width == OffsetWidth::Tcp32 { offset % WRAP } else { offset };
            stream.push(
                offset,
                (end - start) as u64,
                &content[start..start + captured],
                0,
                Time(0),
                &mut sink,
            );
        }
    }
    stream.flush(&mut sink);
    bytes
}

/// What [`result`] must be: the stream up to the last byte of which anything came.
fn truth(plan: &Plan) -> Vec<Option<u8>> {
    let mut bytes = vec![None; plan.length];
    let mut last = 0;
    for (start, end, captured, _) in plan.operations.iter().filter(|operation| !operation.3) {
        (*start..start + captured).for_each(|n| bytes[n] = Some((n * 7 + n / 251) as u8));
        last = *end;
    }
    bytes.truncate(last);
    bytes
}

proptest! {
    #[test]
    fn any_order_gives_the_stream(plan in plan(false)) {
        let result = result(&plan);
        prop_assert!(result.iter().all(Option::is_some));
        prop_assert_eq!(result, truth(&plan));
    }

    #[test]
    fn what_is_lost_is_a_gap_and_nothing_else(plan in plan(true)) {
        prop_assert_eq!(result(&plan), truth(&plan));
    }

    #[test]
    fn anything_can_be_pushed(
        narrow: bool,
        operations in prop::collection::vec((any::<u64>(), 0..64_u32, any::<u64>(), 0..64_u32, 0..100_usize, any::<u16>()), 0..60),
    ) {
        let mut stream = Stream::new(if narrow { OffsetWidth::Tcp32 } else { OffsetWidth::Count64 });
        let mut next = None;
        let mut sink = |piece: Piece<'_, u32>| {
            let (offset, len) = match piece {
                Piece::Chunk { offset, bytes, .. } => (offset, bytes.len() as u64),
                Piece::Gap { offset, len, .. } => (offset, len),
                Piece::Jump { offset, .. } => { next = Some(offset); return },
            };
            assert!(len > 0);
            assert_eq!(offset, next.unwrap_or(offset));
            next = Some(offset.wrapping_add(len));
        };
        for (offset, less, len, shorter, captured, ms) in operations {
            let now = Time(0).plus_ms(ms.into());
            stream.push(offset >> less, len >> shorter, &vec![0; captured], 0, now, &mut sink);
            prop_assert!(stream.held_bytes() <= MAX_HELD_BYTES);
        }
        stream.flush(&mut sink);
        prop_assert_eq!(stream.deadline(), None);
    }
}
