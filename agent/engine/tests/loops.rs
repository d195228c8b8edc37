//! An event loop whose calls share no word with the requests that they are for, but an id among each other: the order
//! of what it does still tells, where it answers a request as soon as the last call for it is done.

mod scene;

use scene::{Client, Conn, Scene, Server, Thread, get, text};
use std::collections::{BTreeMap, BTreeSet};
use tracer_engine::SpanKind;

const MAIN: Thread = Thread(20, 20);
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const REQUESTS: usize = 600;
const US: u64 = 1_000;
const WAIT: u64 = 3_000 * US;

/// Numbers that look random: xorshift.
struct Random(u64);

impl Random {
    fn upto(&mut self, most: u64) -> u64 {
        for (left, by) in [(true, 13), (false, 7), (true, 17)] {
            self.0 ^= if left { self.0 << by } else { self.0 >> by };
        }
        self.0 % most
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Request(usize),
    Call(usize),
    Return(usize, usize),
    Answer(usize),
}

/// How requests are worked on: calls at the same time or in turn, with a wait before the answer or none.
#[derive(Clone, Copy)]
struct How {
    parallel: bool,
    waits: bool,
}

/// In percent of the calls: right, wrong; and in percent of those given as 0.9 and better, wrong.
fn run(clients: usize, how: How) -> [f64; 3] {
    let (mut s, mut random) = (Scene::new(), Random(88_172_645_463_325_252 + clients as u64));
    let downs: Vec<Conn> = (0..clients).map(|_| s.accept(80)).collect();
    let mut idle: Vec<Conn> = (0..4 * clients).map(|_| s.old(81)).collect();
    let (mut ups, mut truth) = (Vec::new(), BTreeMap::new());
    // Of each client's request: its number, its calls, those begun, those done.
    let mut current = vec![(0, 0, 0, 0); clients];
    let (mut started, mut last) = (0, 0);
    let mut events: BTreeSet<(u64, Event)> =
        (0..clients).map(|client| (random.upto(WAIT), Event::Request(client))).collect();
    while let Some((due, event)) = events.pop_first() {
        last = due.max(last + 20 * US);
        s.time_ns = last + WAIT;
        let mut later = |wait, event| {
            events.insert((last + wait, event));
        };
        match event {
            Event::Request(_) if started >= REQUESTS => {}
            Event::Request(client) => {
                started += 1;
                let calls = 1 + random.upto(3);
                current[client] = (started, calls, 0, 0);
                s.recv(MAIN, downs[client], Server, &get(&format!("/in/{}", name(started))));
                let at_once = if how.parallel { calls } else { 1 };
                (0..at_once).for_each(|_| later(random.upto(WAIT), Event::Call(client)));
            }
            Event::Call(client) => {
                let (number, _, begun, _) = &mut current[client];
                *begun += 1;
                let up = idle.pop().expect("more than calls at a time");
                s.send(MAIN, up, Client, &get(&format!("/out/{}/{begun}", *number * 48_271 % 2_147_483_647)));
                truth.insert(format!("/out/{}/{begun}", *number * 48_271 % 2_147_483_647), name(*number));
                ups.push(up);
                later(50 * US + random.upto(WAIT), Event::Return(client, ups.len() - 1));
            }
            Event::Return(client, up) => {
                s.recv(MAIN, ups[up], Client, OK);
                idle.push(ups[up]);
                let (_, calls, begun, done) = &mut current[client];
                *done += 1;
                if *done == *calls {
                    later(if how.waits { random.upto(WAIT) } else { 0 }, Event::Answer(client));
                } else if !how.parallel && *begun < *calls {
                    later(random.upto(WAIT), Event::Call(client));
                }
            }
            Event::Answer(client) => {
                s.send(MAIN, downs[client], Server, OK);
                later(100 * US + random.upto(200 * US), Event::Request(client));
            }
        }
    }
    s.settle();
    let spans = s.spans();
    let (mut right, mut wrong, mut sure, mut sure_wrong) = (0, 0, 0, 0);
    for call in spans.iter().filter(|span| span.kind == SpanKind::Client) {
        let Some(parent) = spans.iter().find(|span| Some(span.span_id) == call.parent_span_id) else {
            continue;
        };
        let path = text(call, "url.full").unwrap_or_default();
        let request = text(parent, "url.path").unwrap_or_default();
        let is_right = truth
            .iter()
            .any(|(call, number)| path.ends_with(call.as_str()) && request.ends_with(&number.to_string()));
        let is_sure = text(call, "tracer.link.confidence").is_some_and(|c| c.parse::<f64>().unwrap() >= 0.9);
        right += usize::from(is_right);
        wrong += usize::from(!is_right);
        sure += usize::from(is_sure);
        sure_wrong += usize::from(is_sure && !is_right);
    }
    let percent = |part: usize, all: usize| part as f64 * 100.0 / all.max(1) as f64;
    [percent(right, truth.len()), percent(wrong, truth.len()), percent(sure_wrong, sure)]
}

fn name(number: usize) -> usize {
    number.wrapping_mul(2_654_435_761) % 4_294_967_291
}

#[test]
fn an_answer_that_follows_the_last_call_tells_what_the_calls_were_for() {
    for parallel in [false, true] {
        for clients in [2, 3, 8] {
            let [right, wrong, sure_wrong] = run(clients, How { parallel, waits: false });
            assert!(
                right > 80.0 && wrong < 1.0 && sure_wrong < 1.0,
                "{clients} {right} {wrong} {sure_wrong}"
            );
        }
    }
}

#[test]
fn where_the_order_shows_nothing_nothing_is_told() {
    for parallel in [false, true] {
        for clients in [3, 8, 16] {
            let [_, wrong, _] = run(clients, How { parallel, waits: true });
            assert!(wrong < 1.0, "{clients} {wrong}");
        }
    }
}
