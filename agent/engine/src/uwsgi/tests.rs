//! Requests, whole and in every split.

use super::*;
use crate::http1::{Event, Guess, Start};
use proptest::prelude::*;

const VARIABLES: &[(&str, &str)] =
    &[("CONTENT_LENGTH", "3"), ("REQUEST_METHOD", "POST"), ("REQUEST_URI", "/a")];

fn uwsgi(variables: &[(&str, &str)], content: &str) -> Vec<u8> {
    let text = |text: &str| [&(text.len() as u16).to_le_bytes()[..], text.as_bytes()].concat();
    let block: Vec<u8> =
        variables.iter().flat_map(|(name, value)| [text(name), text(value)].concat()).collect();
    let [size0, size1] = (block.len() as u16).to_le_bytes();
    [&[0, size0, size1, 0][..], &block, content.as_bytes()].concat()
}

fn scgi(variables: &[(&str, &str)], content: &str) -> Vec<u8> {
    let block: String = variables.iter().map(|(name, value)| format!("{name}\0{value}\0")).collect();
    format!("{}:{block},{content}", block.len()).into_bytes()
}

fn write(format: Format, variables: &[(&str, &str)], content: &str) -> Vec<u8> {
    match format {
        Format::Uwsgi => uwsgi(variables, content),
        Format::Scgi => scgi(variables, content),
    }
}

fn feed<'a>(format: Format, parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut parser = Parser::new(format);
    let mut events: Vec<Event> = Vec::new();
    let mut add = |event| match (events.last_mut(), event) {
        (Some(Event::Content(sum)), Event::Content(len)) => *sum += len,
        (_, event) => events.push(event),
    };
    for mut part in parts {
        loop {
            let (used, event) = parser.step(part);
            part = &part[used..];
            match event {
                Some(event) => add(event),
                None if used == 0 => break,
                None => {}
            }
        }
        assert!(part.is_empty(), "all of it is consumed");
        assert!(parser.buffered() <= 1 << 17);
    }
    while let Some(event) = parser.eof() {
        add(event);
    }
    let text = |event: &Event| match event {
        Event::Head(head) => match head.start() {
            Start::Request { method, target } => format!("[{method} {}]", target.escape_ascii()),
            Start::Response { .. } => "a response".to_owned(),
        },
        event => format!("{event:?}"),
    };
    events.iter().map(text).collect::<Vec<_>>().join(" ")
}

#[track_caller]
fn check(format: Format, stream: &[u8], expected: &str) {
    assert_eq!(feed(format, [stream]), expected);
    for at in 0..=stream.len() {
        let (left, right) = stream.split_at(at);
        assert_eq!(feed(format, [left, right]), expected, "split at {at}");
    }
    assert_eq!(feed(format, stream.chunks(1)), expected, "byte by byte");
}

#[test]
fn requests() {
    for format in [Format::Uwsgi, Format::Scgi] {
        let one = write(format, VARIABLES, "x=1");
        check(format, &one, "Begin [POST /a] Content(3) End");
        check(
            format,
            &[&one[..], &one].concat(),
            "Begin [POST /a] Content(3) End Begin [POST /a] Content(3) End",
        );
        check(format, &one[..one.len() - 1], "Begin [POST /a] Content(2) Incomplete");
        check(format, &one[..20], "Begin Incomplete");
        let none = [("CONTENT_LENGTH", ""), ("REQUEST_METHOD", "GET"), ("REQUEST_URI", "/")];
        check(format, &write(format, &none, ""), "Begin [GET /] End");
        let odd = [("CONTENT_LENGTH", "many"), ("REQUEST_METHOD", "GET")];
        check(format, &write(format, &odd, ""), "Begin [GET ] Lost(Framing)");
    }
}

#[test]
fn what_is_none() {
    for format in [Format::Uwsgi, Format::Scgi] {
        check(format, &write(format, &[("CONTENT_LENGTH", "0"), ("A", "B")], ""), "Begin NotHttp");
        check(format, &write(format, &[], ""), "Begin NotHttp");
    }
    check(Format::Uwsgi, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "Begin NotHttp");
    check(Format::Uwsgi, b"\0\0\0\x08\x04\xd2\x16\x2f", "Begin NotHttp");
    check(Format::Scgi, b"220 mail.example ESMTP\r\n", "Begin NotHttp");
    check(Format::Scgi, b"70:REQUEST_METHOD\0", "Begin NotHttp");
    check(Format::Scgi, b"700000:CONTENT_LENGTH\0", "Begin NotHttp");
}

#[test]
fn how_soon_one_is_known() {
    for format in [Format::Uwsgi, Format::Scgi] {
        let stream = write(format, VARIABLES, "x=1");
        let known = (0..stream.len()).find(|len| format.looks_like_request(&stream[..*len]) != Guess::More);
        let name = stream.windows(14).position(|part| part == b"CONTENT_LENGTH").expect("the first name");
        let end = name + 14 + usize::from(format == Format::Scgi);
        assert_eq!(known, Some(end));
        assert_eq!(format.looks_like_request(&stream), Guess::Yes);
    }
}

#[test]
fn gaps() {
    let stream = uwsgi(VARIABLES, "");
    let mut parser = Parser::new(Format::Uwsgi);
    assert_eq!(parser.step(&stream), (0, Some(Event::Begin)));
    assert!(matches!(parser.step(&stream), (used, Some(Event::Head(_))) if used == stream.len()));
    assert_eq!(parser.gap(9), (3, Some(Event::Content(3))));
    assert_eq!(parser.gap(6), (0, Some(Event::End)));
    assert_eq!(parser.gap(6), (6, Some(Event::Lost(crate::http1::Loss::Gap))));
}

proptest! {
    #[test]
    fn anything_is_read_without_panic(
        bytes in prop::collection::vec(prop_oneof![any::<u8>(), 0..9_u8, Just(b'A')], 0..100),
        part in 1..9_usize,
    ) {
        for format in [Format::Uwsgi, Format::Scgi] {
            for stream in [bytes.clone(), [write(format, VARIABLES, "x=1"), bytes.clone()].concat()] {
                prop_assert_eq!(feed(format, [&stream[..]]), feed(format, stream.chunks(part)));
            }
        }
    }
}
