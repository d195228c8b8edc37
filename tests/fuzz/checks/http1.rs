//! What holds for the HTTP/1 parser whatever it reads.
//!
//! Input: a byte of options (bit 0: responses; bits 1 and 2: they answer HEAD, CONNECT), a byte that says
//! how to split and where bytes are missing, then the stream.

use tracer_engine::http1::{Answering, Deviations, Event, Loss, MAX_HEAD, Parser, Role};

/// Panics where something does not hold.
pub fn check(data: &[u8]) {
    let [options, split, stream @ ..] = data else { return };
    let role = if options & 1 == 0 { Role::Request } else { Role::Response };
    let answering = Answering { head: options & 2 != 0, connect: options & 4 != 0 };
    let run = |parts: &[Part<'_>]| Run::of(role, answering, parts);

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
    if !gapped.events.contains(&Event::Lost(Loss::Gap)) {
        assert_eq!(whole, gapped, "a gap of {from}..{to} that hides nothing");
    }
}

/// A part of a stream.
enum Part<'a> {
    Bytes(&'a [u8]),
    Gap(u64),
}

/// What a parser made of a stream, contents in a row added up.
#[derive(Debug, Default, PartialEq)]
struct Run {
    events: Vec<Event>,
    deviations: Deviations,
}

impl Run {
    fn of(role: Role, answering: Answering, parts: &[Part<'_>]) -> Self {
        let mut parser = Parser::new(role);
        let mut run = Self::default();
        for part in parts {
            match part {
                Part::Bytes(bytes) => run.step(&mut parser, bytes, answering),
                Part::Gap(len) => run.gap(&mut parser, *len),
            }
            assert!(parser.buffered() <= MAX_HEAD);
        }
        while let Some(event) = parser.eof() {
            run.add(event);
        }
        run.deviations = parser.deviations();
        run
    }

    fn step(&mut self, parser: &mut Parser, mut input: &[u8], answering: Answering) {
        loop {
            let (consumed, event) = parser.step(input, answering);
            if let Some(Event::Content(len)) = event {
                assert_eq!(len, consumed as u64, "content is what was consumed");
            }
            if let Some(Event::Head(head)) = &event {
                let end = &head.raw()[head.raw().len() - head.raw().len().min(consumed)..];
                assert!(input[..consumed].ends_with(end), "a head ends where it was told");
            }
            assert!(consumed > 0 || event.is_some() || input.is_empty(), "progress");
            input = &input[consumed..];
            match event {
                Some(event) => self.add(event),
                None if input.is_empty() => break,
                None => {}
            }
        }
    }

    fn gap(&mut self, parser: &mut Parser, mut len: u64) {
        loop {
            let (consumed, event) = parser.gap(len);
            assert!(consumed > 0 || event.is_some() || len == 0, "progress");
            len -= consumed;
            match event {
                Some(event) => self.add(event),
                None if len == 0 => break,
                None => {}
            }
        }
    }

    /// Adds an event that may follow the one before.
    fn add(&mut self, event: Event) {
        use Event::{Begin, Content, End, Head, Incomplete, Lost, NotHttp, Tunnel};
        let fits = matches!(
            (self.events.last(), &event),
            (None | Some(End), Begin | NotHttp | Lost(Loss::Gap))
                | (Some(Begin), Head(_) | NotHttp | Lost(_) | Incomplete)
                | (Some(Head(_) | Content(_)), Content(_) | End | Lost(_) | Incomplete)
                | (Some(End), Tunnel)
        );
        assert!(fits, "{event:?} after {:?}", self.events);
        match (self.events.last_mut(), event) {
            (Some(Content(sum)), Content(len)) => *sum += len,
            (_, event) => self.events.push(event),
        }
    }
}
