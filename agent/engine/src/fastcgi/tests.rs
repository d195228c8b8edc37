//! Streams, whole and in every split, and with a part that was not seen.

use super::*;
use crate::http1::{Event, Role, Start};
use proptest::prelude::*;

/// A record.
fn record(kind: u8, id: u8, content: &[u8], padding: u8) -> Vec<u8> {
    let [high, low] = (content.len() as u16).to_be_bytes();
    let head = [1, kind, 0, id, high, low, padding, 0];
    [&head[..], content, &vec![0xee; padding.into()]].concat()
}

fn begin(id: u8, role: u8) -> Vec<u8> {
    record(1, id, &[0, role, 1, 0, 0, 0, 0, 0], 0)
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<u8> {
    let length = |text: &str| match text.len() {
        short @ 0..128 => vec![short as u8],
        long => (long as u32 | 1 << 31).to_be_bytes().to_vec(),
    };
    let one = |(name, value): &(&str, &str)| {
        [length(name), length(value), name.as_bytes().to_vec(), value.as_bytes().to_vec()].concat()
    };
    pairs.iter().flat_map(one).collect()
}

const PARAMS: &[(&str, &str)] = &[("REQUEST_METHOD", "POST"), ("REQUEST_URI", "/a"), ("HTTP_HOST", "h")];

/// A request with parameters in two records.
fn request(id: u8, content: &[u8]) -> Vec<u8> {
    let params = pairs(PARAMS);
    let (one, two) = params.split_at(7);
    let stdin = if content.is_empty() { Vec::new() } else { record(5, id, content, 3) };
    let parts = [
        begin(id, 1),
        record(4, id, one, 1),
        record(4, id, two, 0),
        record(4, id, b"", 0),
        stdin,
        record(5, id, b"", 0),
    ];
    parts.concat()
}

const OUTPUT: &[u8] = b"Status: 404 Not Found\r\nContent-type: text/html\r\n\r\nhello";

fn response(id: u8, output: &[u8]) -> Vec<u8> {
    let (one, two) = output.split_at(output.len() / 3);
    let parts = [record(6, id, one, 5), record(7, id, b"PHP Notice", 0), record(6, id, two, 0), end(id)];
    parts.concat()
}

fn end(id: u8) -> Vec<u8> {
    record(3, id, &[0; 8], 0)
}

enum Part<'a> {
    Bytes(&'a [u8]),
    Gap(u64),
}

/// What a parser says of a stream, contents in a row added up.
fn run(role: Role, answering: Option<u16>, parts: &[Part<'_>]) -> String {
    let mut parser = Parser::new(role);
    let mut events: Vec<Event> = Vec::new();
    let mut add = |event| match (events.last_mut(), event) {
        (Some(Event::Content(sum)), Event::Content(len)) => *sum += len,
        (_, event) => events.push(event),
    };
    for part in parts {
        let mut at = 0;
        loop {
            let (used, event) = match part {
                Part::Bytes(bytes) => {
                    let (used, event) = parser.step(&bytes[at..], answering);
                    (used, event)
                }
                Part::Gap(len) => {
                    let (used, event) = parser.gap(len - at as u64);
                    (used as usize, event)
                }
            };
            at += used;
            assert!(parser.buffered() <= MAX_PARAMS);
            match event {
                Some(event) => add(event),
                None if used == 0 => break,
                None => {}
            }
        }
        let len = match part {
            Part::Bytes(bytes) => bytes.len(),
            Part::Gap(len) => *len as usize,
        };
        assert_eq!(at, len, "all of it is consumed");
    }
    while let Some(event) = parser.eof() {
        add(event);
    }
    let text = |event: &Event| match event {
        Event::Head(head) => match head.start() {
            Start::Request { method, target } => format!("[{method} {}]", target.escape_ascii()),
            Start::Response { status, .. } => format!("[{status}]"),
        },
        event => format!("{event:?}"),
    };
    events.iter().map(text).collect::<Vec<_>>().join(" ")
}

#[track_caller]
fn check(role: Role, stream: &[u8], expected: &str) {
    assert_eq!(run(role, None, &[Part::Bytes(stream)]), expected);
    for at in 0..=stream.len() {
        let (left, right) = stream.split_at(at);
        assert_eq!(run(role, None, &[Part::Bytes(left), Part::Bytes(right)]), expected, "split at {at}");
    }
    let bytes: Vec<_> = stream.chunks(1).map(Part::Bytes).collect();
    assert_eq!(run(role, None, &bytes), expected, "byte by byte");
}

#[test]
fn requests() {
    let one = "Begin [POST /a] End";
    check(Role::Request, &request(1, b""), one);
    check(Role::Request, &request(1, b"x=1"), "Begin [POST /a] Content(3) End");
    check(
        Role::Request,
        &[request(1, b""), request(2, b"x")].concat(),
        &format!("{one} Begin [POST /a] Content(1) End"),
    );
    let values = record(9, 0, &pairs(&[("FCGI_MAX_CONNS", "")]), 2);
    check(Role::Request, &[values, request(1, b"")].concat(), &format!("Begin {one}"));
    let authorizer = [begin(1, 2), record(4, 1, &pairs(PARAMS), 0), record(4, 1, b"", 0)].concat();
    check(Role::Request, &[authorizer, request(1, b"")].concat(), &format!("{one} {one}"));
}

#[test]
fn requests_that_do_not_come_to_their_end() {
    let whole = request(1, b"xyz");
    check(Role::Request, &whole[..whole.len() - 9], "Begin [POST /a] Content(3) Incomplete");
    check(Role::Request, &begin(1, 1), "Begin Incomplete");
    let aborted = [&whole[..whole.len() - 8], &record(2, 1, b"", 0), &request(1, b"")].concat();
    check(Role::Request, &aborted, "Begin [POST /a] Content(3) Incomplete Begin [POST /a] End");
}

#[test]
fn responses() {
    check(Role::Response, &response(1, OUTPUT), "Begin [404] Content(5) End");
    check(
        Role::Response,
        &[response(1, b"\r\n"), response(1, OUTPUT)].concat(),
        "Begin [200] End Begin [404] Content(5) End",
    );
    check(Role::Response, &response(1, b"Status: what\r\n\r\nhello"), "Begin Content(5) End");
    check(Role::Response, &end(1), "Begin Incomplete");
    check(Role::Response, &record(6, 1, OUTPUT, 0), "Begin [404] Content(5) Incomplete");
}

#[test]
fn what_is_none() {
    check(Role::Request, b"GET / HTTP/1.1\r\n\r\n", "NotHttp");
    check(Role::Request, &[2; 9], "NotHttp");
    check(Role::Request, &[1; 9], "Begin NotHttp");
    check(Role::Response, &[request(1, b""), begin(1, 1)].concat(), "Begin Lost(Framing)");
    check(Role::Request, &[begin(1, 1), begin(1, 1)].concat(), "Begin Lost(Framing)");
    check(Role::Request, &[&begin(1, 1)[..], b"GET / HTTP/1.1\r\n"].concat(), "Begin Lost(Framing)");
}

#[test]
fn several_requests_at_the_same_time() {
    check(Role::Request, &[begin(1, 1), begin(2, 1)].concat(), "Begin Lost(Multiplexed)");
    check(
        Role::Response,
        &[record(6, 1, OUTPUT, 0), record(6, 2, OUTPUT, 0)].concat(),
        "Begin [404] Content(5) Lost(Multiplexed)",
    );
    let stream = response(2, OUTPUT);
    assert_eq!(run(Role::Response, Some(2), &[Part::Bytes(&stream)]), "Begin [404] Content(5) End");
    assert_eq!(run(Role::Response, Some(1), &[Part::Bytes(&stream)]), "Begin Lost(Multiplexed)");
}

/// What is said of a stream of which some bytes were not seen.
fn with_gap(role: Role, stream: &[u8], gap: std::ops::Range<usize>) -> String {
    let parts =
        [Part::Bytes(&stream[..gap.start]), Part::Gap(gap.len() as u64), Part::Bytes(&stream[gap.end..])];
    run(role, None, &parts)
}

#[test]
fn gaps_inside_records_lose_what_these_held() {
    let stream = request(1, b"x=1");
    let params = 16 + 8 + 7 + 1 + 8;
    // The first pair lies in two records, of which the second is cut.
    assert_eq!(with_gap(Role::Request, &stream, params + 20..params + 22), "Begin [POST ] Content(3) End");
    assert_eq!(with_gap(Role::Request, &stream, params..params + 2), "Begin [ ] Content(3) End");
    let content = stream.len() - 8 - 3 - 3;
    assert_eq!(with_gap(Role::Request, &stream, content..content + 5), "Begin [POST /a] Content(3) End");
    assert_eq!(with_gap(Role::Request, &stream, content - 1..content + 5), "Begin [POST /a] Lost(Gap)");
    assert_eq!(with_gap(Role::Request, &stream, 0..1), "Lost(Gap)");
    let stream = response(1, OUTPUT);
    assert_eq!(
        with_gap(Role::Response, &stream, stream.len() - 8..stream.len()),
        "Begin [404] Content(5) End"
    );
    assert_eq!(with_gap(Role::Response, &stream, 9..10), "Begin Lost(Gap)");
}

#[test]
fn content_behind_a_gap_is_what_the_head_announced() {
    let params = pairs(&[&[("CONTENT_LENGTH", "6")], PARAMS].concat());
    let stdin = [record(5, 1, b"abc", 0), record(5, 1, b"def", 0), record(5, 1, b"", 0)].concat();
    let stream = [begin(1, 1), record(4, 1, &params, 0), record(4, 1, b"", 0), stdin].concat();
    let content = stream.len() - 3 * 8 - 6;
    let lost = "Begin [POST /a] Content(6) Lost(Gap)";
    assert_eq!(with_gap(Role::Request, &stream, content + 9..stream.len()), lost);
    assert_eq!(with_gap(Role::Request, &stream, content + 9..content + 20), lost);
    let not_between = "Begin [POST /a] Content(3) Lost(Gap)";
    assert_eq!(with_gap(Role::Request, &stream, content + 12..content + 20), not_between);
}

#[test]
fn parameters_have_a_bound() {
    let long = "x".repeat(60_000);
    let params = pairs(&[("REQUEST_METHOD", "GET"), ("REQUEST_URI", "/a"), ("A", &long), ("B", &long)]);
    let records: Vec<_> = params.chunks(40_000).flat_map(|part| record(4, 1, part, 0)).collect();
    let stream = [&begin(1, 1)[..], &records, &record(4, 1, b"", 0), &record(5, 1, b"", 0)].concat();
    assert_eq!(run(Role::Request, None, &[Part::Bytes(&stream)]), "Begin [GET /a] End");
}

#[test]
fn where_connections_are_joined() {
    use crate::http1::Guess;
    let (asked, answered) = (request(1, b""), response(1, OUTPUT));
    for len in 0..8 {
        assert_eq!(looks_like_request(&asked[..len]), Guess::More);
        assert_eq!(looks_like_response(&answered[..len]), Guess::More);
    }
    assert_eq!((looks_like_request(&asked), looks_like_response(&asked)), (Guess::Yes, Guess::No));
    assert_eq!((looks_like_request(&answered), looks_like_response(&answered)), (Guess::No, Guess::Yes));
    assert_eq!(looks_like_request(b"GET / HTTP/1.1"), Guess::No);
}

proptest! {
    #[test]
    fn anything_is_read_without_panic(
        bytes in prop::collection::vec(prop_oneof![any::<u8>(), 0..9_u8], 0..200),
        part in 1..9_usize,
        gap in 0..200_usize,
    ) {
        let stream = [request(1, b"x"), bytes].concat();
        for role in [Role::Request, Role::Response] {
            for stream in [&stream[..], &stream[stream.len().min(50)..]] {
                let parts: Vec<_> = stream.chunks(part).map(Part::Bytes).collect();
                prop_assert_eq!(run(role, None, &[Part::Bytes(stream)]), run(role, None, &parts));
                let gap = gap.min(stream.len());
                with_gap(role, stream, gap..stream.len().min(gap + part));
            }
        }
    }

    #[test]
    fn any_split_and_padding(content in 0..50_usize, cuts in prop::collection::vec(1..30_usize, 1..20)) {
        let stream = [request(3, &vec![b'x'; content]), request(3, b"")].concat();
        let mut rest = &stream[..];
        let mut parts = Vec::new();
        for cut in cuts {
            let (part, behind) = rest.split_at(cut.min(rest.len()));
            parts.push(Part::Bytes(part));
            rest = behind;
        }
        parts.push(Part::Bytes(rest));
        prop_assert_eq!(run(Role::Request, None, &parts), run(Role::Request, None, &[Part::Bytes(&stream)]));
    }
}
