//! What holds for the FastCGI parser whatever it reads.
//!
//! Input: a byte of options (bit 0: responses; the others: the id of the request that they answer, 0 for one that
//! is not known), a byte that says how to split and where bytes are missing, then the stream.

use tracer_engine::fastcgi::{MAX_PARAMS, Parser};
use tracer_engine::http1::{Event, Loss, Role};

/// Panics where something does not hold.
pub fn check(data: &[u8]) {
    let [options, split, stream @ ..] = data else { return };
    let role = if options & 1 == 0 { Role::Request } else { Role::Response };
    let answering = Some(u16::from(options >> 1)).filter(|id| *id > 0);
    let run = |parts: &[Part<'_>]| run(role, answering, parts);

    let whole = run(&[Part::Bytes(stream)]);
    let size = usize::from(*split) % 61 + 1;
    let parts: Vec<_> = stream.chunks(size).map(Part::Bytes).collect();
    assert_eq!(whole, run(&parts), "split into parts of {size} bytes");
    let bytes: Vec<_> = stream.chunks(1).map(Part::Bytes).collect();
    assert_eq!(whole, run(&bytes), "byte by byte");

    let from = stream.len() * usize::from(*split) / 256;
    let to = stream.len().min(from + size);
    let gap = Part::Gap((to - from) as u64);
    let gapped = run(&[Part::Bytes(&stream[..from]), gap, Part::Bytes(&stream[to..])]);
    // A gap hides what a record holds, never where the next one begins.
    if !gapped.contains(&Event::Lost(Loss::Gap)) {
        assert_eq!(kinds(&whole), kinds(&gapped), "a gap of {from}..{to}");
    }
}

/// A part of a stream.
enum Part<'a> {
    Bytes(&'a [u8]),
    Gap(u64),
}

/// What happened, whatever the heads say.
fn kinds(events: &[Event]) -> Vec<String> {
    let kind = |event: &Event| match event {
        Event::Head(_) => "Head".to_owned(),
        // A head that goes beyond its bounds need not when a part of it was not seen.
        Event::Lost(Loss::HeadTooLong | Loss::TooManyFields) => "Head".to_owned(),
        event => format!("{event:?}"),
    };
    let lost = events.iter().position(|event| matches!(event, Event::Lost(_)));
    events[..lost.unwrap_or(events.len())].iter().map(kind).collect()
}

/// What a parser makes of a stream, contents in a row added up.
fn run(role: Role, answering: Option<u16>, parts: &[Part<'_>]) -> Vec<Event> {
    let mut parser = Parser::new(role);
    let mut events = Vec::new();
    for part in parts {
        let (mut bytes, mut len): (&[u8], u64) = match part {
            Part::Bytes(bytes) => (bytes, 0),
            Part::Gap(len) => (b"", *len),
        };
        loop {
            let (used, event) = match part {
                Part::Bytes(_) => parser.step(bytes, answering),
                Part::Gap(_) => {
                    let (used, event) = parser.gap(len);
                    (usize::try_from(used).expect("no more than there was"), event)
                }
            };
            match part {
                Part::Bytes(_) => bytes = &bytes[used..],
                Part::Gap(_) => len -= used as u64,
            }
            assert!(parser.buffered() <= MAX_PARAMS);
            let done = bytes.is_empty() && len == 0;
            assert!(used > 0 || event.is_some() || done, "progress");
            match event {
                Some(event) => add(&mut events, event),
                None if done => break,
                None => {}
            }
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
    let fits = match (events.last(), &event) {
        (None | Some(End | Incomplete), Begin | NotHttp | Lost(_)) => true,
        // What began was a record of the connection, or a response that names no status code.
        (Some(Begin), Begin | Head(_) | Content(_) | End | NotHttp | Lost(_) | Incomplete) => true,
        (Some(Head(_) | Content(_)), Content(_) | End | Lost(_) | Incomplete) => true,
        _ => false,
    };
    assert!(fits, "{event:?} after {events:?}");
    match (events.last_mut(), event) {
        (Some(Content(sum)), Content(len)) => *sum += len,
        (_, event) => events.push(event),
    }
}
