//! What holds for the parser of uwsgi and SCGI whatever it reads.
//!
//! Input: a byte of options (bit 0: SCGI), a byte that says how to split and where bytes are missing, then the
//! stream.

use tracer_engine::http1::{Event, Guess, Loss, MAX_HEAD};
use tracer_engine::uwsgi::{Format, Parser};

/// Most bytes around a block: SCGI has five digits, a colon and a comma.
const AROUND: usize = 7;

/// Panics where something does not hold.
pub fn check(data: &[u8]) {
    let [options, split, stream @ ..] = data else { return };
    let format = if options & 1 == 0 { Format::Uwsgi } else { Format::Scgi };
    let whole = run(format, &[stream], 0);
    let size = usize::from(*split) % 61 + 1;
    let parts: Vec<_> = stream.chunks(size).collect();
    assert_eq!(whole, run(format, &parts, 0), "split into parts of {size} bytes");
    let bytes: Vec<_> = stream.chunks(1).collect();
    assert_eq!(whole, run(format, &bytes, 0), "byte by byte");
    if matches!(whole[..], [Event::Begin, Event::Head(_), ..]) {
        assert_eq!(format.looks_like_request(stream), Guess::Yes);
    }

    let from = stream.len() * usize::from(*split) / 256;
    let to = stream.len().min(from + size);
    let gapped = run(format, &[&stream[..from], &stream[to..]], (to - from) as u64);
    if !gapped.contains(&Event::Lost(Loss::Gap)) {
        assert_eq!(whole, gapped, "a gap of {from}..{to} that hides nothing");
    }
}

/// What a parser makes of a stream with a gap behind the first part, contents in a row added up.
fn run(format: Format, parts: &[&[u8]], gap: u64) -> Vec<Event> {
    let mut parser = Parser::new(format);
    let mut events = Vec::new();
    for (n, part) in parts.iter().enumerate() {
        let mut rest = *part;
        loop {
            let (used, event) = parser.step(rest);
            rest = &rest[used..];
            assert!(parser.buffered() <= MAX_HEAD + AROUND);
            assert!(used > 0 || event.is_some() || rest.is_empty(), "progress");
            match event {
                Some(event) => add(&mut events, event),
                None if rest.is_empty() => break,
                None => {}
            }
        }
        let mut left = if n == 0 { gap } else { 0 };
        while left > 0 {
            let (used, event) = parser.gap(left);
            assert!(used > 0 || event.is_some(), "progress");
            left -= used;
            event.into_iter().for_each(|event| add(&mut events, event));
        }
    }
    while let Some(event) = parser.eof() {
        add(&mut events, event);
    }
    events
}

/// Adds an event that may follow the one before.
fn add(events: &mut Vec<Event>, event: Event) {
    use Event::{Begin, Content, End, Head, Incomplete, Lost, NotHttp};
    let fits = matches!(
        (events.last(), &event),
        (None | Some(End), Begin | Lost(Loss::Gap))
            | (Some(Begin), Head(_) | NotHttp | Lost(_) | Incomplete)
            | (Some(Head(_) | Content(_)), Content(_) | End | Lost(_) | Incomplete)
    );
    assert!(fits, "{event:?} after {events:?}");
    match (events.last_mut(), event) {
        (Some(Content(sum)), Content(len)) => *sum += len,
        (_, event) => events.push(event),
    }
}
