//! How many records a second the engine takes: keep-alive connections with both of their ends here,
//! request and response, so that every four records are two linked spans.
//!
//! `cargo run --release -p tracer-engine --example throughput [EXCHANGES]`

#[expect(dead_code, reason = "the tests tell more kinds")]
#[path = "../tests/scene/records.rs"]
mod records;

use records::{Moved, Thread};
use std::time::Instant;
use tracer_common::{direction, tcp_state};
use tracer_engine::{Config, Engine, Input, Output, Time};

const CONNECTIONS: u64 = 64;
/// A node with 100,000 socket operations a second.
const STEP_NS: u64 = 10_000;
/// What nginx and a browser exchange for a small file.
const REQUEST: &str = "GET /assets/logo.svg?v=3 HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: Mozilla/5.0 \
    (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\nAccept: */*\r\nAccept-Encoding: gzip, \
    deflate, br\r\nConnection: keep-alive\r\nCookie: session=0123456789abcdef\r\n\r\n";
const RESPONSE: &str = "HTTP/1.1 200 OK\r\nServer: nginx/1.27.2\r\nDate: Thu, 14 Nov 2024 10:00:00 GMT\r\n\
    Content-Type: image/svg+xml\r\nContent-Length: 12\r\nConnection: keep-alive\r\n\r\n<svg></svg>\n";

/// The records, and when the last of them was told.
fn workload(exchanges: u64) -> (Vec<Vec<u8>>, u64) {
    let mut records = Vec::new();
    let mut time = 0;
    let mut tell = |record: &mut dyn FnMut(u64) -> Vec<u8>| {
        time += STEP_NS;
        records.push(record(time));
    };
    let mut ends: Vec<_> =
        (0..CONNECTIONS).map(|n| records::tcp_pair(n, 40_000 + n as u16, 80, [n as u32 * 77, 5])).collect();
    let threads = |n: u64| [Thread(10, 10), Thread(20, 20 + n as u32 % 8)];
    for (n, [client, server]) in ends.iter().enumerate() {
        let [c, _] = threads(n as u64);
        tell(&mut |time| client.state(time, c, tcp_state::CLOSE, tcp_state::SYN_SENT));
        tell(&mut |time| client.state(time, c, tcp_state::SYN_SENT, tcp_state::ESTABLISHED));
        tell(&mut |time| server.state(time, Thread(0, 0), tcp_state::SYN_RECV, tcp_state::ESTABLISHED));
    }
    for n in 0..exchanges {
        let [client, server] = &mut ends[(n % CONNECTIONS) as usize];
        let [c, s] = threads(n % CONNECTIONS);
        let moved = |direction, text: &'static str| Moved {
            direction,
            ret: text.len() as i32,
            bytes: text.as_bytes(),
        };
        tell(&mut |time| client.data(time, c, moved(direction::SEND, REQUEST)));
        tell(&mut |time| server.data(time, s, moved(direction::RECEIVE, REQUEST)));
        tell(&mut |time| server.data(time, s, moved(direction::SEND, RESPONSE)));
        tell(&mut |time| client.data(time, c, moved(direction::RECEIVE, RESPONSE)));
    }
    (records, time)
}

fn main() {
    let exchanges = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(250_000);
    let (records, end) = workload(exchanges);
    let mut engine = Engine::new(Config::default());
    let (mut spans, mut linked) = (0u64, 0u64);
    let mut take = |engine: &mut Engine| {
        while let Some(output) = engine.poll_output() {
            if let Output::Span(span) = output {
                spans += 1;
                linked += u64::from(span.parent_span_id.is_some());
            }
        }
    };
    let begun = Instant::now();
    for (n, record) in records.iter().enumerate() {
        engine.handle(Input::Record(record), Time(n as u64 * STEP_NS));
        take(&mut engine);
    }
    engine.finish(Time(end));
    take(&mut engine);
    let taken = begun.elapsed();
    let each = taken.as_nanos() as f64 / records.len() as f64;
    println!(
        "{} records in {taken:.2?}: {:.0} records/s, {each:.0} ns each, {:.2} us per exchange; {spans} spans, {linked} linked",
        records.len(),
        1e9 / each,
        taken.as_micros() as f64 / exchanges as f64,
    );
}
