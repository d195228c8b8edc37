//! Every message of the tables, whole, at every prefix, in every split, and with another behind it.

use super::*;
use proptest::prelude::*;
use std::fmt::Write;

mod cases;
mod parts;

/// A stream and what happens in it.
struct Case {
    role: Role,
    answering: Answering,
    stream: &'static [u8],
    /// Events as [`render`] writes them; behind `|` those of the end of the stream.
    events: &'static str,
}

const fn request(stream: &'static [u8], events: &'static str) -> Case {
    Case { role: Role::Request, answering: Answering { head: false, connect: false }, stream, events }
}

const fn response(stream: &'static [u8], events: &'static str) -> Case {
    Case { role: Role::Response, ..request(stream, events) }
}

const fn to_head(stream: &'static [u8], events: &'static str) -> Case {
    Case { answering: Answering { head: true, connect: false }, ..response(stream, events) }
}

const fn to_connect(stream: &'static [u8], events: &'static str) -> Case {
    Case { answering: Answering { head: false, connect: true }, ..response(stream, events) }
}

/// Feeds `input` and adds what happens, contents in a row added up.
fn feed(parser: &mut Parser, mut input: &[u8], answering: Answering, events: &mut Vec<Event>) {
    loop {
        let (consumed, event) = parser.step(input, answering);
        assert!(consumed > 0 || event.is_some() || input.is_empty(), "progress");
        input = &input[consumed..];
        match event {
            Some(event) => add(events, event),
            None if input.is_empty() => break,
            None => {}
        }
    }
}

fn add(events: &mut Vec<Event>, event: Event) {
    match (events.last_mut(), event) {
        (Some(Event::Content(sum)), Event::Content(len)) => *sum += len,
        (_, event) => events.push(event),
    }
}

fn run<'a>(case: &Case, parts: impl IntoIterator<Item = &'a [u8]>) -> (Parser, Vec<Event>) {
    let mut parser = Parser::new(case.role);
    let mut events = Vec::new();
    parts.into_iter().for_each(|part| feed(&mut parser, part, case.answering, &mut events));
    (parser, events)
}

/// As in the tables: `GET /x` or the status for a head, its framing, its deviations.
fn render(events: &[Event]) -> String {
    let mut text = String::new();
    for event in events {
        let separator = if text.is_empty() { "" } else { " " };
        let _ = match event {
            Event::Head(head) => {
                let start = match head.start() {
                    Start::Request { method, target } => format!("{method} {}", target.escape_ascii()),
                    Start::Response { status, .. } => status.to_string(),
                };
                let odd: String = head.deviations().names().map(|name| format!(" {name}")).collect();
                write!(text, "{separator}[{start} {:?}{odd}]", head.framing())
            }
            event => write!(text, "{separator}{event:?}"),
        };
    }
    text
}

/// All of a case's events as text.
fn render_to_end((mut parser, events): (Parser, Vec<Event>)) -> String {
    let mut text = render(&events);
    while let Some(event) = parser.eof() {
        let _ = write!(text, " | {}", render(&[event]));
    }
    text
}

fn cases() -> impl Iterator<Item = &'static Case> {
    cases::REQUESTS.iter().chain(cases::ODD_REQUESTS).chain(cases::RESPONSES)
}

#[test]
fn whole_and_in_every_split() {
    for case in cases() {
        let text = case.stream.escape_ascii();
        assert_eq!(render_to_end(run(case, [case.stream])), case.events, "{text}");
        for at in 0..=case.stream.len() {
            let (left, right) = case.stream.split_at(at);
            assert_eq!(render_to_end(run(case, [left, right])), case.events, "{text} split at {at}");
        }
        assert_eq!(render_to_end(run(case, case.stream.chunks(1))), case.events, "{text} byte by byte");
    }
}

#[test]
fn at_every_prefix() {
    for case in cases() {
        let (_, whole) = run(case, [case.stream]);
        for end in 0..case.stream.len() {
            let (_, mut events) = run(case, [&case.stream[..end]]);
            // The last content may be cut.
            if let Some(Event::Content(part)) = events.last()
                && let Some(Event::Content(all)) = whole.get(events.len() - 1)
                && part <= all
            {
                events.pop();
            }
            assert!(whole.starts_with(&events), "{} at {end}: {events:?}", case.stream.escape_ascii());
        }
    }
}

#[test]
fn with_another_message_behind() {
    for case in cases().filter(|case| run(case, [case.stream]).0.is_idle()) {
        let next: &[u8] = match case.role {
            Role::Request => b"GET /next HTTP/1.1\r\nHost: n\r\n\r\n",
            Role::Response => b"HTTP/1.1 204 No Content\r\n\r\n",
        };
        let (parser, events) = run(case, [&[case.stream, next].concat()[..]]);
        assert!(parser.is_idle());
        let (_, mut apart) = run(case, [case.stream]);
        apart.extend(run(case, [next]).1);
        assert_eq!(events, apart);
    }
}

#[test]
fn what_conforms_reads_the_same_line_by_line() {
    for case in cases() {
        if let Some((head, length)) = parse::strict(case.role, case.stream) {
            let raw = &case.stream[..length];
            let start = parse::start_line(case.role, raw).expect("it was read before");
            assert_eq!(parse::lenient(start, raw.into()), head, "{}", raw.escape_ascii());
        }
    }
}

proptest! {
    #[test]
    fn in_random_parts(which in 0..1000_usize, cuts in prop::collection::vec(1..40_usize, 1..60)) {
        let case = cases().nth(which % cases().count()).expect("within the count");
        let mut rest = case.stream;
        let mut parts = Vec::new();
        for cut in cuts {
            let (part, behind) = rest.split_at(cut.min(rest.len()));
            parts.push(part);
            rest = behind;
        }
        parts.push(rest);
        prop_assert_eq!(render_to_end(run(case, parts)), case.events);
    }

    #[test]
    fn any_field_reads_the_same_both_ways(lines in prop::collection::vec("[a-zA-Z-]{0,9} ?:?[ \t]?[ -~]{0,12}(\r\n[ \t][a-z]?)?", 0..6), lf in "\r?\n") {
        let raw = format!("GET / HTTP/1.1{lf}{}{lf}", lines.iter().map(|line| format!("{line}{lf}")).collect::<String>());
        if let Some((head, length)) = parse::strict(Role::Request, raw.as_bytes()) {
            let raw = &raw.as_bytes()[..length];
            let start = parse::start_line(Role::Request, raw).expect("it was read before");
            prop_assert_eq!(parse::lenient(start, raw.into()), head);
        }
    }

    #[test]
    fn anything_is_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), part in 1..9_usize) {
        for role in [Role::Request, Role::Response] {
            let case = Case { role, ..request(b"", "") };
            let whole = render_to_end(run(&case, [&bytes[..]]));
            prop_assert_eq!(whole, render_to_end(run(&case, bytes.chunks(part))));
        }
    }
}
