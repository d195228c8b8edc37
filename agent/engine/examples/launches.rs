//! How long the engine takes for a launch: a server has 16 requests open, of everyday size or as big as they are
//! kept, while it launches shells that none of them names.
//!
//! `cargo run --release -p tracer-engine --example launches [LAUNCHES]`

#[expect(dead_code, reason = "the tests tell more kinds")]
#[path = "../tests/scene/records.rs"]
mod records;

use records::{Moved, Thread};
use std::time::Instant;
use tracer_common::{direction, tcp_state};
use tracer_engine::{Config, Engine, Input, Time};

const OPEN: u64 = 16;
/// A thousand launches a second, of three records each.
const STEP_NS: u64 = 333_333;

/// A form with so many parameters.
fn request(parameters: usize) -> String {
    let form = "field=aGVsbG8gd29ybGQ%3D+and+more&".repeat(parameters);
    format!("POST /form?page=7&sort=name HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{form}", form.len())
}

fn microseconds_each(launches: u64, parameters: usize) -> f64 {
    let mut engine = Engine::new(Config::default());
    let mut time = 0;
    let mut tell = |engine: &mut Engine, record: &dyn Fn(u64) -> Vec<u8>| {
        time += STEP_NS;
        engine.handle(Input::Record(&record(time)), Time(time));
        while engine.poll_output().is_some() {}
    };
    let server = Thread(20, 20);
    let text = request(parameters);
    for n in 0..OPEN {
        let [_, mut end] = records::tcp_pair(n, 40_000 + n as u16, 80, [n as u32 * 77, 5]);
        tell(&mut engine, &|time| end.state(time, Thread(0, 0), tcp_state::SYN_RECV, tcp_state::ESTABLISHED));
        for bytes in text.as_bytes().chunks(4096) {
            let moved = Moved { direction: direction::RECEIVE, ret: bytes.len() as i32, bytes };
            let data = end.data(n * STEP_NS, server, moved);
            tell(&mut engine, &|_| data.clone());
        }
    }
    let begun = Instant::now();
    for n in 0..launches {
        let child = 1000 + (n % 30_000) as u32;
        let thread = Thread(child, child);
        tell(&mut engine, &|time| records::fork(time, server, child));
        tell(&mut engine, &|time| {
            records::exec(time, thread, 20, "/bin/sh", &["sh", "-c", "convert a.png b.png"])
        });
        tell(&mut engine, &|time| records::exit(time, thread, 0, true));
    }
    begun.elapsed().as_micros() as f64 / launches as f64
}

fn main() {
    let launches = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(5_000);
    for (what, parameters) in [("everyday", 10), ("as big as they are kept", 300)] {
        let each = microseconds_each(launches, parameters);
        println!("{OPEN} open requests, {what}: {each:.0} us for each of {launches} launches");
    }
}
