//! Bounds, gaps, the helpers.

use super::*;
use crate::budget::Shrink;

fn parsed(stream: &[u8]) -> (Parser, Vec<Event>) {
    run(&request(b"", ""), [stream])
}

fn gap(parser: &mut Parser, mut len: u64) -> Vec<Event> {
    let mut events = Vec::new();
    loop {
        let (consumed, event) = parser.gap(len);
        len -= consumed;
        match event {
            Some(event) => add(&mut events, event),
            None if len == 0 => return events,
            None => {}
        }
    }
}

#[test]
fn gaps() {
    let post = "POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nab";
    let chunked = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (stream, len, events) in [
        (post.to_string(), 6, "Content(6)"),
        (post.to_string(), 7, "Content(7) End"),
        (post.to_string(), 8, "Content(7) End Lost(Gap)"),
        (chunked.to_string(), 1, "Lost(Gap)"),
        (format!("{chunked}5\r\n"), 5, "Content(5)"),
        (format!("{chunked}5\r\na"), 5, "Content(4)"),
        (format!("{chunked}5\r\na"), 6, "Content(4)"),
        (format!("{chunked}5\r\na"), 7, "Content(4) Lost(Gap)"),
        (format!("{chunked}5\r\nabcde"), 2, ""),
        (format!("{chunked}5\r\nabcde\r"), 1, ""),
        (format!("{chunked}5\r\nabcde\r"), 2, "Lost(Gap)"),
        (format!("{chunked}5"), 1, "Lost(Gap)"),
        ("GET /a HTT".to_string(), 1, "Lost(Gap)"),
        ("GET /a HTTP/1.1\r\nHo".to_string(), 1, "[GET /a Unknown] Lost(Gap)"),
        ("GET / HTTP/1.1\r\n\r\n".to_string(), 1, "Lost(Gap)"),
        ("\0".to_string(), 1, ""),
    ] {
        assert_eq!(render(&gap(&mut parsed(stream.as_bytes()).0, len)), events, "{len} behind {stream:?}");
    }
    let (mut parser, _) = run(&response(b"", ""), [&b"HTTP/1.1 200 OK\r\n\r\na"[..]]);
    assert_eq!(render(&gap(&mut parser, u64::MAX)), format!("Content({})", u64::MAX));
    assert_eq!(parser.eof(), Some(Event::End));
    assert_eq!(parser.eof(), None);
}

#[test]
fn a_head_without_its_end_tells_what_came() {
    let (mut parser, _) = parsed(b"GET /a HTTP/1.1\r\nHost: x\r\nContent-Length: 1");
    let (_, Some(Event::Head(head))) = parser.gap(9) else { panic!("no head") };
    assert_eq!(head.field("host"), Some(&b"x"[..]));
    assert_eq!(head.field("content-length"), None, "who knows how it goes on");
    assert_eq!(parser.gap(0), (0, Some(Event::Lost(Loss::Gap))));
}

#[test]
fn chunks_go_on_behind_a_gap_that_ends_one() {
    let (mut parser, _) = parsed(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\na");
    gap(&mut parser, 6);
    let mut events = Vec::new();
    feed(&mut parser, b"2\r\nab\r\n0\r\n\r\n", Answering::default(), &mut events);
    assert_eq!(render(&events), "Content(2) End");
}

#[test]
fn a_chunk_goes_on_behind_a_gap() {
    let (mut parser, _) = parsed(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\na");
    assert_eq!(parser.content_ahead(), 4);
    gap(&mut parser, 4);
    let mut events = Vec::new();
    feed(&mut parser, b"\r\n0\r\n\r\n", Answering::default(), &mut events);
    assert_eq!(render(&events), "End");
}

#[test]
fn a_head_has_a_bound() {
    let head = |line: usize| format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "a".repeat(line));
    let longest = MAX_HEAD - head(0).len();
    assert_eq!(render(&parsed(head(longest).as_bytes()).1), "Begin [GET / None] End");
    assert_eq!(render(&parsed(head(longest + 1).as_bytes()).1), "Begin Lost(HeadTooLong)");
    assert_eq!(render(&parsed(&b"a ".repeat(MAX_HEAD)).1), "Begin NotHttp");
    for size in [1, 1000] {
        let (parser, events) = run(&request(b"", ""), head(longest + 1).as_bytes().chunks(size));
        assert_eq!(render(&events), "Begin Lost(HeadTooLong)");
        assert_eq!(parser.buffered(), 0);
    }
}

#[test]
fn a_shrunk_head_keeps_its_begin() {
    let shrunk = |target: usize| {
        let target = "a".repeat(target);
        let stream = format!("GET /{target} HTTP/1.1\r\nHost: x\r\n{}\r\n", "X: y\r\n".repeat(200));
        let Some(Event::Head(mut head)) = parsed(stream.as_bytes()).1.into_iter().nth(1) else {
            panic!("no head")
        };
        head.shrink();
        assert!(head.footprint() < 1024);
        head
    };
    let head = shrunk(9);
    assert_eq!(head.start(), Start::Request { method: "GET", target: b"/aaaaaaaaa" });
    assert_eq!(head.field("host"), Some(&b"x"[..]));
    assert!(head.iter().all(|(name, value)| !name.is_empty() && !value.is_empty()));
    let head = shrunk(2000);
    let Start::Request { method: "GET", target } = head.start() else { panic!("{head:?}") };
    assert_eq!(target.len(), 512 - "GET ".len());
    assert_eq!(head.field("host"), None);
}

#[test]
fn field_lines_have_a_bound() {
    let head = |lines: usize| format!("GET / HTTP/1.1\r\n{}\r\n", "X: a\r\n".repeat(lines));
    assert_eq!(render(&parsed(head(MAX_FIELDS).as_bytes()).1), "Begin [GET / None] End");
    let many = head(5000).replace("\r\n\r\n", "\r\nContent-Length: 2\r\nX: b\r\n\r\nok");
    let events = parsed(many.as_bytes()).1;
    assert_eq!(render(&events), "Begin [GET / Length(2)] Content(2) End");
    let Some(Event::Head(head)) = events.iter().find(|event| matches!(event, Event::Head(_))) else {
        panic!("no head")
    };
    assert_eq!((head.iter().count(), head.field("content-length")), (MAX_FIELDS + 1, Some(&b"2"[..])));
}

#[test]
fn framing_of_chunks_has_a_bound() {
    let start = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
    let zeros = "0".repeat(usize::from(MAX_CHUNK_LINE) + 1);
    assert_eq!(render(&parsed(format!("{start}{zeros}").as_bytes()).1), "Begin [POST / Chunked] Lost(Chunk)");
    let trailers = "a: b\r\n".repeat(usize::from(MAX_TRAILER) / 6 + 1);
    let stream = format!("{start}0\r\n{trailers}");
    assert_eq!(render(&parsed(stream.as_bytes()).1), "Begin [POST / Chunked] Lost(Chunk)");
}

#[test]
fn fields_are_found_by_name() {
    let (_, events) =
        parsed(b"GET /a%20b HTTP/1.0\r\nhost:\t a b \r\nX: 1\r\nx: 2\r\nE:\r\nF: 1 \r\n  \r\n\t2\r\n\r\n");
    let Some(Event::Head(head)) = events.get(1) else { panic!("{events:?}") };
    assert_eq!(head.start(), Start::Request { method: "GET", target: b"/a%20b" });
    assert_eq!((head.version(), head.status()), (Version::Http10, None));
    assert_eq!(head.field("Host"), Some(&b"a b"[..]));
    assert_eq!(head.fields("X").collect::<Vec<_>>(), [b"1", b"2"]);
    assert_eq!(head.field("e"), Some(&b""[..]));
    assert_eq!(head.field("f"), Some(&b"1 \r\n  \r\n\t2"[..]));
    assert_eq!(head.field("g"), None);
    assert_eq!(head.iter().count(), 5);
}

#[test]
fn deviations_of_chunks_are_the_message_s() {
    let (mut parser, _) =
        parsed(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2 \r\nab\r\n0\r\n\r\n");
    assert_eq!(parser.deviations(), Deviations::ODD_CHUNK);
    feed(&mut parser, b"GET", Answering::default(), &mut Vec::new());
    assert!(parser.deviations().is_empty());
}

#[test]
fn guesses() {
    for (bytes, guess) in [
        (&b""[..], Guess::More),
        (b"\r\n", Guess::More),
        (b"GET / HT", Guess::More),
        (b"\r\nGET / HTTP/1.1\r\n", Guess::Yes),
        (b"GET / HTTP/1.1\n", Guess::Yes),
        (b"GET / HTTP/2.0\r\n", Guess::No),
        (b"\x16\x03", Guess::No),
        (b" GET", Guess::No),
    ] {
        assert_eq!(looks_like_request(bytes), guess, "{}", bytes.escape_ascii());
    }
    for (bytes, guess) in [
        (&b""[..], Guess::More),
        (b"HTTP/1.1 20", Guess::More),
        (b"HTTP/1.1 200 ", Guess::Yes),
        (b"HTTP/1.1 200\r\n", Guess::Yes),
        (b"HTTP/1.x", Guess::No),
        (b"SSH-2.0", Guess::No),
    ] {
        assert_eq!(looks_like_response(bytes), guess, "{}", bytes.escape_ascii());
    }
}

#[test]
fn each_oddity_of_chunks_has_a_name() {
    let cases: [(&str, Deviations); 12] = [
        ("1;x=y\r\na\r\n0\r\nX: y\r\n\r\n", Deviations::NONE),
        ("1 \r\na\r\n0\r\n\r\n", Deviations::ODD_CHUNK),
        ("1;\rx\r\na\r\n0\r\n\r\n", Deviations::ODD_CHUNK),
        ("0x1\r\na\r\n0\r\n\r\n", Deviations::CHUNK_SIZE),
        ("+1\r\na\r\n0\r\n\r\n", Deviations::CHUNK_SIZE),
        ("-1\r\na\r\n0\r\n\r\n", Deviations::CHUNK_SIZE),
        ("10000000000000001\r\na\r\n0\r\n\r\n", Deviations::CHUNK_SIZE),
        ("1\na\r\n0\r\n\r\n", Deviations::CHUNK_LF),
        ("1;x\na\r\n0\r\n\r\n", Deviations::CHUNK_LF),
        ("1\r\na\n0\r\n\r\n", Deviations::CHUNK_END),
        ("1\r\naX0\r\n\r\n", Deviations::CHUNK_END),
        ("0\r\nno colon\r\n\r\n", Deviations::ODD_TRAILER),
    ];
    for (chunks, expected) in cases {
        let head = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
        let (parser, _) = parsed(format!("{head}{chunks}").as_bytes());
        assert_eq!(parser.deviations(), expected, "{chunks:?}");
    }
}
