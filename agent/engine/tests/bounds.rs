//! More than there is room for, and what no kernel would say.

mod scene;

use proptest::prelude::*;
use scene::{
    Client, Scene, Server, Thread, answer, check, get,
    records::{self, End, Moved},
};
use tracer_common::{WIRE_VERSION, direction, tcp_state};
use tracer_engine::{Config, Engine, Input, Output, Span, Time};

const S: Thread = Thread(20, 20);

/// A server's end of connection `n`, by its number alone.
fn end(n: u64) -> End {
    let [_, mut end] = records::tcp_pair(n, 1024 + (n % 60_000) as u16, 80, [n as u32 * 7, n as u32 * 11]);
    end.sock.inode = 1_000_000 + n;
    end
}

fn receive(bytes: &str) -> Moved<'_> {
    Moved { direction: direction::RECEIVE, ret: bytes.len() as i32, bytes: bytes.as_bytes() }
}

#[test]
fn more_connections_than_are_followed() {
    let mut s = Scene::new();
    for n in 0..70_000 {
        s.tell(&end(n).state(s.time_ns, S, tcp_state::SYN_RECV, tcp_state::ESTABLISHED));
    }
    assert_eq!(s.stats().dropped_connections, 65_536 / 8);
    let mut last = end(69_999);
    s.tell(&last.data(s.time_ns, S, receive(&get("/a"))));
    assert_eq!(s.finish(), ["SERVER GET /a !still_open @20"], "the youngest are kept");
}

#[test]
fn more_requests_in_flight_than_are_followed() {
    let mut s = Scene::new();
    for n in 0..40_000 {
        s.tell(&end(n).data(s.time_ns, S, receive("GET /a HTTP/1.1\r\n\r\n")));
    }
    assert_eq!(s.stats().dropped_exchanges, 40_000 - 32_768);
    s.engine.finish(Time(s.time_ns));
    while let Some(output) = s.engine.poll_output() {
        s.outputs.push(output);
    }
    assert_eq!(s.spans().len(), 32_768);
}

#[test]
fn more_pipelined_requests_than_are_followed() {
    let mut s = Scene::new();
    let conn = s.accept(80);
    for _ in 0..3 {
        s.recv(S, conn, Server, &get("/a").repeat(300));
        for _ in 0..300 {
            s.send(S, conn, Server, &answer(200, ""));
        }
    }
    assert_eq!(s.settle().len(), 3 * 256);
    assert_eq!(s.stats().dropped_requests, 3, "the first past the bound, then the next turn");
    assert_eq!(s.finish().len(), 3 * 256, "none was left open");
}

#[test]
fn more_threads_and_processes_than_are_known() {
    let mut s = Scene::new();
    for n in 0..70_000 {
        let mut end = end(n % 30_000);
        end.sock.inode += n;
        let thread = Thread(100 + n as u32 % 20_000, 100 + n as u32);
        s.tell(&end.data(s.time_ns, thread, receive("GET /a HTTP/1.1\r\n\r\n")));
    }
    assert!(s.stats().forgotten_tasks > 65_536);
}

#[test]
fn launches_of_processes_that_are_forgotten_still_end() {
    let mut s = Scene::new();
    let conn = s.accept(80);
    s.recv(S, conn, Server, &get("/a"));
    for child in 0..20_000 {
        s.fork(S, 1000 + child);
        s.exec(Thread(1000 + child, 1000 + child), &["true"]);
    }
    s.send(S, conn, Server, &answer(200, ""));
    s.settle();
    assert!(s.spans().len() >= 16_384, "{}", s.spans().len());
}

#[test]
fn a_head_and_an_answer_without_end() {
    let mut s = Scene::new();
    let conn = s.accept(80);
    s.recv(S, conn, Server, "GET /a HTTP/1.1\r\n");
    for _ in 0..10_000 {
        s.recv(S, conn, Server, "X-Padding: 0123456789012345678901234567890123456789\r\n");
    }
    let conn = s.connect(S, 81);
    s.recv(S, conn, Client, "HTTP/1.1 200 OK\r\n");
    for _ in 0..10_000 {
        s.recv(S, conn, Client, "X-Padding: 0123456789012345678901234567890123456789\r\n");
    }
    assert_eq!(s.settle(), [""; 0]);
    assert_eq!(s.stats().boundaries_lost, 2);
}

/// One thing told to the engine, by numbers that each stand for one of a few.
#[derive(Clone, Copy, Debug)]
struct Step {
    what: u8,
    conn: u8,
    thread: u8,
    text: u8,
    offset: u8,
    time: u8,
}

const TEXTS: &[&str] = &[
    "GET /a HTTP/1.1\r\n\r\n",
    "GET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\n",
    "POST /c HTTP/1.1\r\nContent-Length: 5\r\n\r\n",
    "POST /d HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    "0\r\n\r\n",
    "hello",
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "HTTP/1.1 100 Continue\r\n\r\n",
    "HTTP/1.1 101 S\r\n\r\n",
    "HTTP/1.0 200 OK\r\n\r\n",
    "GET /e HTTP/1.1\r\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01\r\n\r\n",
    "GE",
    "\x16\x03\x01",
    "HEAD /f HTTP/1.1\r\n\r\n",
    "CONNECT h:1 HTTP/1.1\r\n\r\n",
];

/// Tells a step; offsets mostly go on where they were, so that much of it makes sense.
fn record(step: Step, ends: &mut [[End; 2]], time_ns: u64) -> Vec<u8> {
    let Step { what, conn, thread, text, offset, .. } = step;
    let thread = Thread(20 + u32::from(thread % 3), 20 + u32::from(thread % 5));
    let pair = &mut ends[usize::from(conn >> 1) % 4];
    let end = &mut pair[usize::from(conn & 1)];
    let bytes = TEXTS[usize::from(text) % TEXTS.len()].as_bytes();
    let direction = what & 1;
    match offset {
        0..8 => end.next[usize::from(direction)] = u64::from(offset) << 29,
        8..16 => end.next[usize::from(direction)] += u64::from(offset),
        _ => {}
    }
    match what % 32 {
        0..18 => end.data(time_ns, thread, Moved { direction, ret: bytes.len() as i32, bytes }),
        18 => end.data(time_ns, thread, Moved { direction, ret: 20_000, bytes }),
        19 => end.data(time_ns, thread, Moved { direction, ret: 0, bytes: b"" }),
        20 => end.data(time_ns, thread, Moved { direction, ret: -32, bytes }),
        21 => end.state(time_ns, thread, tcp_state::CLOSE, tcp_state::SYN_SENT),
        22 => end.state(time_ns, thread, tcp_state::SYN_SENT, tcp_state::ESTABLISHED),
        23 => end.state(time_ns, thread, tcp_state::SYN_RECV, tcp_state::ESTABLISHED),
        24 => end.state(time_ns, thread, tcp_state::ESTABLISHED, tcp_state::FIN_WAIT1),
        25 => end.state(time_ns, thread, tcp_state::ESTABLISHED, tcp_state::CLOSE),
        26 => end.unix_seen(time_ns, thread, ["/run/x", ""]),
        27 => {
            end.sock.inode += 1;
            end.unix_seen(time_ns, thread, ["", "/run/x"])
        }
        28 => records::fork(time_ns, thread, 20 + u32::from(text % 6)),
        29 => records::exec(time_ns, thread, 1, "/bin/sh", &["sh", "-c", "id"]),
        30 => records::exit(time_ns, thread, u32::from(text), true),
        _ => records::exit(time_ns, thread, u32::from(text), false),
    }
}

/// A run of steps; some time passes with each, and a record may be older than the one before it.
fn run(steps: &[Step]) -> Vec<Output> {
    let mut engine = Engine::new(Config { boot_to_unix_ns: 1 << 60, ..Config::default() });
    let tcp = |n| records::tcp_pair(n, 40_000 + n as u16, 80, [1 << 30, u32::MAX - 20]);
    let mut ends = [tcp(0), tcp(1), records::unix_pair(2), records::unix_pair(3)];
    // Streams go back to where they were here, as none of TCP does: ids that derive from it would come again.
    ends.iter_mut().flatten().for_each(|end| end.sock.sent_from = 0);
    let mut now = 1 << 30;
    let mut outputs = Vec::new();
    for (n, step) in steps.iter().enumerate() {
        now += u64::from(step.time) * if step.time > 240 { 1 << 28 } else { 1 << 16 };
        let back = if step.time % 5 == 0 { 1 << 22 } else { 0 };
        // The lowest bits keep two records apart.
        let time_ns = ((now - back) & !0xffff) | n as u64;
        let record = record(*step, &mut ends, time_ns);
        engine.handle(Input::Record(&record), Time(now));
        outputs.extend(std::iter::from_fn(|| engine.poll_output()));
    }
    engine.finish(Time(now));
    outputs.extend(std::iter::from_fn(|| engine.poll_output()));
    assert_eq!(engine.poll_timeout(), None);
    outputs
}

fn spans(outputs: &[Output]) -> Vec<&Span> {
    let spans = outputs.iter().map(|output| match output {
        Output::Span(span) => Some(&**span),
        _ => None,
    });
    spans.flatten().collect()
}

fn step() -> impl Strategy<Value = Step> {
    any::<[u8; 6]>().prop_map(|[what, conn, thread, text, offset, time]| Step {
        what,
        conn,
        thread,
        text,
        offset,
        time,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn whatever_is_told_spans_keep_their_promises(steps in prop::collection::vec(step(), 1..120)) {
        let outputs = run(&steps);
        check(&spans(&outputs));
        prop_assert_eq!(outputs, run(&steps), "the same again");
    }

    #[test]
    fn arbitrary_bytes_are_no_reason_to_fail(
        records in prop::collection::vec((0u16..8, prop::collection::vec(any::<u8>(), 0..400)), 1..40)
    ) {
        let mut engine = Engine::new(Config::default());
        for (kind, mut bytes) in records {
            // A header that is believed, so that the rest is looked at.
            if let Some(header) = bytes.get_mut(..8) {
                header[..2].copy_from_slice(&kind.to_le_bytes());
                header[2..4].copy_from_slice(&WIRE_VERSION.to_le_bytes());
            }
            let len = (bytes.len() as u32).to_le_bytes();
            if let Some(place) = bytes.get_mut(4..8) {
                place.copy_from_slice(&len);
            }
            engine.handle(Input::Record(&bytes), Time(1));
        }
        engine.finish(Time(u64::MAX));
        prop_assert_eq!(engine.poll_timeout(), None);
    }
}
