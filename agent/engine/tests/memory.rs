//! What strangers can make the engine hold, measured at the allocator.

mod scene;

use scene::{
    Client, Conn, Scene, Server, Thread, answer, get,
    records::{self, End, Moved},
    text,
};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};
use tracer_common::{MAX_SNAP, direction, tcp_state};

const MIB: isize = 1 << 20;
const S: Thread = Thread(20, 20);
const C: Thread = Thread(30, 30);

/// Counts what the thread holds: each test has one of its own.
struct Counting;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
}

fn held() -> isize {
    HELD.with(Cell::get)
}

fn count(add: usize, less: usize) {
    // Nobody asks any more when the thread ends.
    let _ = HELD.try_with(|held| held.set(held.get() + add as isize - less as isize));
}

// SAFETY: the system's allocator does all of the work.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: what the caller promises holds for the system's allocator too.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        count(0, layout.size());
        // SAFETY: as above.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A server's end of connection `n`.
fn end(n: u64) -> End {
    let [_, mut end] = records::tcp_pair(n, 1024 + n as u16, 80, [n as u32 * 70_000, n as u32 * 70_000]);
    end.sock.inode = 1_000_000 + n;
    end.sock.id += 1_000_000;
    end
}

/// The server moves bytes, as many at once as can be captured.
fn moves(s: &mut Scene, end: &mut End, direction: u8, bytes: &str) {
    for bytes in bytes.as_bytes().chunks(MAX_SNAP) {
        s.tell(&end.data(s.time_ns, S, Moved { direction, ret: bytes.len() as i32, bytes }));
    }
}

/// A field that takes `len` bytes.
fn padding(len: usize) -> String {
    format!("X-Padding: {}\r\n", "a".repeat(len - 13))
}

/// An exchange beside an attack, on a connection of its own; `meanwhile` its head comes, in two parts.
fn beside(s: &mut Scene, conn: Conn, meanwhile: impl FnOnce(&mut Scene)) {
    let request = get("/beside");
    let (begin, rest) = request.split_at(20);
    s.send(C, conn, Client, begin);
    s.recv(S, conn, Server, begin);
    meanwhile(s);
    s.send(C, conn, Client, rest);
    s.recv(S, conn, Server, rest);
    s.send(S, conn, Server, &answer(200, ""));
    s.recv(C, conn, Client, &answer(200, ""));
}

#[test]
fn thousands_of_unfinished_heads() {
    let mut s = Scene::new();
    let conn = s.connect(C, 80);
    let head = format!("GET /a HTTP/1.1\r\n{}", padding(60_000));
    let attack = |s: &mut Scene, some: std::ops::Range<u64>| {
        some.for_each(|n| moves(s, &mut end(n), direction::RECEIVE, &head));
    };
    let before = held();
    let mut most = 0;
    for n in 0..50 {
        beside(&mut s, conn, |s| attack(s, n * 60..(n + 1) * 60));
        most = most.max(held() - before);
    }
    // Twice the budget, as buffers grow by doubling, and the connections.
    assert!(most < 2 * 16 * MIB + 6 * MIB, "{most} of {} bytes", 3000 * head.len());
    assert!((2_700..2_900).contains(&s.stats().shed_connections), "{:?}", s.stats());
    let spans = s.settle();
    assert_eq!(spans.len(), 100, "all that was well-behaved: {spans:?}");
    assert!(spans.iter().all(|span| span.contains("GET /beside 200")), "{spans:?}");
}

#[test]
fn thousands_of_pipelined_requests() {
    let mut s = Scene::new();
    let before = held();
    for n in 0..3_000 {
        let mut end = end(n);
        s.tell(&end.state(s.time_ns, S, tcp_state::SYN_RECV, tcp_state::ESTABLISHED));
        moves(&mut s, &mut end, direction::RECEIVE, &"GET /a HTTP/1.1\r\n\r\n".repeat(255));
        s.outputs.clear();
    }
    let most = held() - before;
    assert!(most < 75 * MIB, "{most} bytes");
    assert!(s.stats().shed_connections > 0 && s.stats().dropped_exchanges > 0, "{:?}", s.stats());
}

#[test]
fn thousands_of_open_exchanges_with_long_heads() {
    let mut s = Scene::new();
    let conn = s.connect(C, 80);
    let request = format!("GET /a HTTP/1.1\r\nHost: h\r\n{}\r\n", padding(15_000));
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n{}\r\n", padding(15_000));
    let mut ends: Vec<_> = (0..5_000).map(end).collect();
    let before = held();
    ends.iter_mut().for_each(|end| moves(&mut s, end, direction::RECEIVE, &request));
    ends.iter_mut().for_each(|end| moves(&mut s, end, direction::SEND, &head));
    let most = held() - before;
    assert!(most < 32 * MIB + 5_000 * 3_072, "{most} of {} bytes", 5_000 * (request.len() + head.len()));
    let truncated = s.stats().truncated;
    assert!(truncated > 5_000, "requests, then responses: {:?}", s.stats());
    beside(&mut s, conn, |_| {});
    assert_eq!(s.stats().truncated, truncated, "a short head stays whole");
    ends.iter_mut().for_each(|end| moves(&mut s, end, direction::SEND, "123456789"));
    s.settle();
    let spans = s.spans();
    assert_eq!(spans.len(), 5_002);
    let whole = |span: &&&tracer_engine::Span| {
        text(span, "http.response.status_code").as_deref() == Some("200")
            && text(span, "server.address").as_deref() == Some("h")
    };
    assert_eq!(spans.iter().filter(whole).count(), 5_002, "what a span says stands at the begin of a head");
    // All of it was given back.
    for end in &mut ends[..1_000] {
        moves(&mut s, end, direction::RECEIVE, &request);
    }
    assert_eq!(s.stats().truncated, truncated);
}

/// A content may hold requests, and its framing may be odd in every way: what is kept of it has a bound.
#[test]
fn long_contents_full_of_requests_in_odd_framing() {
    // Its head, 8 KiB of its content, four requests of a kilobyte and the line that is coming, its finding.
    const EACH: isize = 40 << 10;
    // What is compared with what goes out.
    const CONTENTS: isize = 4 * MIB;
    let mut s = Scene::new();
    let before = held();
    let line = format!("GET /{} HTTP/1.1\r\nX: y\r\n", "a".repeat(900));
    let lengths: String = (0..200).map(|n| format!("Content-Length: {n}\r\n")).collect();
    let head = format!("POST /a HTTP/1.1\r\n{lengths}Transfer-Encoding : chunked\r\n\r\n");
    let mut ends: Vec<_> = (0..100).map(end).collect();
    for end in &mut ends {
        s.tell(&end.state(s.time_ns, S, tcp_state::SYN_RECV, tcp_state::ESTABLISHED));
        moves(&mut s, end, direction::RECEIVE, &head);
        for _ in 0..1000 {
            moves(&mut s, end, direction::RECEIVE, &format!("{:x};x\n{line}\n", line.len()));
        }
    }
    let most = held() - before;
    assert!(most < CONTENTS + ends.len() as isize * EACH, "{most} of {} bytes", 100_000 * line.len());
}

/// A thousand launches a second, each with another command line as long as it may be, beside shells that stay: what is
/// kept of them has a bound, and all that end are told.
#[test]
fn launches_without_end() {
    let mut s = Scene::new();
    s.exec(S, &["shop"]);
    let conn = s.accept(80);
    s.recv(S, conn, Server, &get("/run"));
    let long = "x".repeat(4000);
    let launch = |s: &mut Scene, n: u32, ends: bool| {
        let pid = 1_000 + n;
        s.fork(S, pid);
        s.exec(Thread(pid, pid), &["sh", "-c", &format!("make {n}"), &long]);
        if ends {
            s.exit(pid, 0);
        }
        s.wait(1);
        s.outputs.clear();
    };
    (0..5_000).for_each(|n| launch(&mut s, n, true));
    let before = held();
    (5_000..25_000).for_each(|n| launch(&mut s, n, true));
    let more = held() - before;
    assert!(more < 12 * MIB, "{more} bytes");
    assert_eq!(s.stats().forgotten_tasks, 0, "{:?}", s.stats());
    (25_000..45_000).for_each(|n| launch(&mut s, n, false));
    let more = held() - before;
    assert!(more < 160 * MIB, "{more} bytes");
    assert!(s.stats().forgotten_tasks > 0, "{:?}", s.stats());
}
