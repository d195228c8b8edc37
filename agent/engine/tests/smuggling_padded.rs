//! What is padded, repeated or mentioned to hide a request.

mod scene;

use scene::{
    Scene, Server, answer,
    chain::{Chain, S},
    get,
    smuggling::*,
};

const CONFIRMED: &str =
    "http.request_smuggling confirmed: POST /a carried GET /admin, which was answered 200";

/// What is found where a server answers twice what it got.
fn answered_twice(sent: &str) -> Scene {
    let mut s = Scene::new();
    let conn = s.accept(80);
    s.recv(S, conn, Server, sent);
    s.send(S, conn, Server, OK);
    s.send(S, conn, Server, OK);
    s.wait(5_000);
    s.finish();
    s
}

/// Servers take thousands of fields, and methods of any length.
#[test]
fn neither_many_fields_nor_a_long_method_hide_a_request() {
    for fields in [100, 256, 257, 1500] {
        let fields: String = (0..fields).map(|n| format!("a{n}:b\r\n")).collect();
        let carrier = format!("POST /a HTTP/1.1\r\nHost: h\r\n{fields}Content-Length: 38\r\n\r\n{EVIL}");
        assert_eq!(answered_twice(&carrier).findings(), [CONFIRMED]);
        let mut chain = Chain::new(&carrier);
        chain.asks(&carrier);
        chain.answers(&format!("{OK}{OK}"));
        chain.delivers(OK);
        assert_eq!(chain.findings(), [CONFIRMED]);
        // The same, read: nothing is left to be answered.
        let mut s = Scene::new();
        let conn = s.accept(80);
        s.recv(S, conn, Server, &carrier);
        s.send(S, conn, Server, OK);
        s.wait(5_000);
        assert!(!s.findings().iter().any(|found| found.starts_with("http.request_smuggling")));
        assert_eq!(s.stats().boundaries_lost, 0);
    }
    for length in [32, 33, 200] {
        let carrier = CL0.replace("POST", &"M".repeat(length));
        let found = answered_twice(&carrier).findings();
        assert_eq!(found.len(), 1, "{length}");
        assert!(found[0].starts_with("http.request_smuggling confirmed: MMM"), "{found:?}");
    }
}

/// The request that a reader comes to is named, however many stand before it.
#[test]
fn lures_take_no_place() {
    for lures in [0, 3, 4, 5, 40] {
        let lures: String = (0..lures).map(|n| format!("GET /lure{n} HTTP/1.1\r\n")).collect();
        let chunk = format!("{lures}\r\n{EVIL}");
        let size = format!("{:x}\r\n", chunk.len());
        let length = size.len() + lures.len() + 2;
        let te_cl = format!(
            "POST /a HTTP/1.1\r\nContent-Length: {length}\r\nTransfer-Encoding: chunked\r\n\r\n{size}{chunk}\r\n0\r\n\r\n"
        );
        let chunk = format!("{:x}\r\n{lures}\r\n0\r\n\r\n", lures.len());
        let cl_te = format!(
            "POST /a HTTP/1.1\r\nTransfer-Encoding: xchunked\r\nContent-Length: {}\r\n\r\n{chunk}{EVIL}",
            chunk.len() + EVIL.len()
        );
        for sent in [te_cl, cl_te] {
            let s = answered_twice(&sent);
            assert_eq!(told(&s, "tracer.smuggled.target"), ["Str(\"/admin\")"], "{sent}");
        }
    }
}

/// Whether a content lists requests that are sent one by one, or mentions the one that is sent anyway.
#[test]
fn a_note_excuses_nothing() {
    let run = |note: &str, sent: &str| {
        let content = format!(r#"{{"name":"x\r\n\r\nGET /admin HTTP/1.1\r\nX: y","note":"{note}"}}"#);
        let mut chain =
            Chain::new(&format!("POST /r HTTP/1.1\r\nContent-Length: {}\r\n\r\n{content}", content.len()));
        chain.asks(sent);
        chain.answers(&format!("{OK}{OK}"));
        chain.delivers(OK);
        let found = chain.findings().into_iter();
        found.filter(|found| found.starts_with("http.request_smuggling")).collect::<Vec<_>>()
    };
    let injected = "GET /user HTTP/1.1\r\nHost: b\r\nX-Name: x\r\n\r\nGET /admin HTTP/1.1\r\nX: y\r\n\r\n";
    for (note, sure) in [("", "confirmed"), ("GET /user", "suspicious"), ("GET /user HTTP/1.1", "suspicious")]
    {
        let found = run(note, injected);
        assert_eq!(found.len(), 1, "{note}: {found:?}");
        assert!(found[0].starts_with(&format!("http.request_smuggling {sure}: ")), "{note}: {found:?}");
    }
    let list = "GET /user HTTP/1.1\r\nHost: b\r\n\r\nGET /admin HTTP/1.1\r\nHost: b\r\n\r\n";
    assert_eq!(run("GET /user", list), [""; 0]);
}

/// What was not seen proves less than what was.
#[test]
fn unseen_bytes_are_no_proof() {
    let run = |seen: &str, ops: &[Op]| {
        let mut s = Scene::new();
        let conn = s.accept(80);
        let head = "POST /a HTTP/1.1\r\nContent-Length: 60000\r\n\r\n";
        let sent = format!("{head}{seen}");
        s.part(S, conn, Server, tracer_common::direction::RECEIVE, head.len() + 60_000, sent.as_bytes());
        play(&mut s, conn, ops);
        s.wait(5_000);
        s.finish();
        s.findings()
    };
    let says = |sure: &str, what: &str| {
        vec![format!("http.request_smuggling {sure}: POST /a carried {what}, which was answered 200")]
    };
    let unseen = "a request that was not captured";
    const NEXT: &str = "GET /next HTTP/1.1\r\n\r\n";
    assert_eq!(run("a=b", &[Send(OK), Send(OK)]), says("probable", unseen));
    assert_eq!(run(EVIL, &[Send(OK), Send(OK)]), says("confirmed", "GET /admin"));
    assert_eq!(run("a=b", &[Send(OK), Recv(NEXT), Send(OK), Send(OK)]), says("suspicious", unseen));
    assert_eq!(run("a=b", &[Send(OK), Recv(NEXT), Send(OK)]), [""; 0]);
}

/// Each hidden request is a span, also where one write answers several.
#[test]
fn spans_have_ids_of_their_own() {
    let inside = get("/one") + &get("/two");
    let mut s = Scene::new();
    let conn = s.accept(80);
    s.recv(S, conn, Server, &format!("POST /a HTTP/1.1\r\nContent-Length: {}\r\n\r\n{inside}", inside.len()));
    s.send(S, conn, Server, &(OK.to_owned() + &answer(201, "") + &answer(202, "") + &answer(203, "")));
    s.wait(5_000);
    let ids: std::collections::BTreeSet<_> = s.spans().iter().map(|span| span.span_id.0).collect();
    assert_eq!(ids.len(), 4);
}

/// What was lost, and where, says how far a verdict goes; the next turn, when all joins on, that it was nothing.
#[test]
fn what_was_lost_lowers_a_verdict_until_the_next_clean_turn() {
    let run = |ops: &[&str], lost_after: usize| {
        let mut s = Scene::new();
        let conn = s.accept(80);
        for (n, op) in ops.iter().enumerate() {
            match op.starts_with("HTTP") {
                true => s.send(S, conn, Server, op),
                false => s.recv(S, conn, Server, op),
            }
            if n + 1 == lost_after {
                s.lost(3);
            }
        }
        s.wait(5_000);
        s.findings()
    };
    let says = |sure: &str| {
        format!("http.request_smuggling {sure}: POST /a carried GET /admin, which was answered 200")
    };
    let next = get("/next");
    for lost_after in 1..=3 {
        assert_eq!(run(&[CL0, OK, OK], lost_after), [says("suspicious")], "{lost_after}");
        let told = run(&[CL0, OK, OK, &next, OK], lost_after);
        assert_eq!(told, [says("confirmed")], "{lost_after}");
    }
    assert_eq!(run(&[CL0, OK, OK, &next, OK], 4), [says("suspicious")]);
    assert_eq!(run(&[CL0, OK, OK, &next, OK, &next, OK], 4), [says("confirmed")]);
}

/// The finding says which bytes were not read.
#[test]
fn what_was_missing_is_told() {
    let run = |ops: &[Op]| {
        let mut s = Scene::new();
        let conn = s.accept(80);
        play(&mut s, conn, ops);
        s.wait(5_000);
        s.finish();
        let of = |finding: &&tracer_engine::Finding| finding.rule == "http.request_smuggling";
        let finding = s.found().into_iter().find(of).expect("one");
        assert_eq!(finding.confidence, tracer_engine::Confidence::Suspicious);
        finding.evidence.iter().map(|evidence| evidence.text.clone()).collect::<Vec<_>>()
    };
    let says =
        |facts: &[String], text: &str| assert!(facts.iter().any(|fact| fact.starts_with(text)), "{facts:?}");
    let unread = "bytes 87 to 105 from its begin were not read";
    says(&run(&[Recv(CL0), Lost("GET /x HTTP/1.1\r\n\r"), Recv("\nxx"), Send(OK), Send(OK)]), unread);
    let strange = "at byte 87 from its begin follows what is no HTTP/1";
    says(&run(&[Recv(CL0), Recv("\u{1}junk\r\n\r\n"), Send(OK), Send(OK)]), strange);
}

/// Some servers answer what a request brought only when more comes, when that one's span has long left.
#[test]
fn a_late_answer_is_a_span_below_the_carriers() {
    let mut s = Scene::new();
    let conn = s.accept(80);
    play(&mut s, conn, &[Recv(CL0), Send(OK)]);
    s.wait(5_000);
    let next = get("/next");
    s.recv(S, conn, Server, &next);
    s.send(S, conn, Server, OK);
    s.send(S, conn, Server, OK);
    s.wait(5_000);
    let spans = s.spans();
    let of = |path: &str| spans.iter().find(|span| scene::text(span, "url.path").as_deref() == Some(path));
    let (carrier, hidden) = (of("/a").expect("the carrier"), of("/admin").expect("the hidden one"));
    assert_eq!((hidden.trace_id, hidden.parent_span_id), (carrier.trace_id, Some(carrier.span_id)));
}

/// What is not copied of a long operation: a head that ends there is not known, and what it carries neither.
#[test]
fn a_head_beyond_what_is_copied_is_suspicious_at_most() {
    let fields = format!("X: {}\r\n", "y".repeat(10_000));
    let carrier = format!("POST /a HTTP/1.1\r\nHost: h\r\n{fields}Content-Length: 38\r\n\r\n{EVIL}");
    let run = |seen: usize| {
        let mut s = Scene::new();
        let conn = s.accept(80);
        s.part(
            S,
            conn,
            Server,
            tracer_common::direction::RECEIVE,
            carrier.len(),
            &carrier.as_bytes()[..seen],
        );
        s.send(S, conn, Server, OK);
        s.send(S, conn, Server, OK);
        s.wait(5_000);
        s.finish();
        s.findings()
    };
    assert_eq!(run(carrier.len()), [CONFIRMED]);
    let unseen = "POST /a carried a request that was not captured, which was answered 200";
    assert_eq!(run(8192), [format!("http.request_smuggling suspicious: {unseen}")]);
}
