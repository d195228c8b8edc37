//! How findings of request smuggling are told: once, of whom, with what.

mod scene;

use scene::{
    Client, Scene, Server, Thread,
    chain::{Chain, F, S},
    get,
    smuggling::*,
};

#[test]
fn who_comes_later_on_the_connection_may_have_been_hit() {
    let mut s = Scene::new();
    let conn = s.accept(80);
    s.recv(S, conn, Server, CL0);
    s.send(S, conn, Server, &format!("{OK}{OK}"));
    for n in 0..12 {
        s.recv(S, conn, Server, &get(&format!("/later/{n}")));
        s.send(S, conn, Server, OK);
        // Some come long after the finding has left.
        s.wait(1_000);
    }
    s.wait(5_000);
    let hit = |span: &&&tracer_engine::Span| scene::text(span, "tracer.smuggling.hit").is_some();
    assert_eq!(s.spans().iter().filter(hit).count(), 8);
    let [finding] = s.found()[..] else { panic!("{:?}", s.findings()) };
    let fact = "GET /later/0 came later on the same connection: it may have got the answer of another";
    assert!(finding.evidence.iter().any(|evidence| evidence.text == fact), "{:?}", finding.evidence);

    let mut s = Scene::new();
    let conn = s.accept(80);
    s.recv(S, conn, Server, CL0);
    s.send(S, conn, Server, OK);
    s.recv(S, conn, Server, &get("/later"));
    s.send(S, conn, Server, OK);
    s.wait(5_000);
    assert_eq!(s.spans().iter().filter(hit).count(), 0);
}

#[test]
fn odd_framing_that_is_the_way_of_all_is_no_flood() {
    const ODD: &str = "POST /a HTTP/1.1\nContent-Length: 2\r\n\r\nhi";
    let mut s = Scene::new();
    for n in 0..200u8 {
        let conn = s.old(80);
        s.end_mut(conn, Server).sock.remote = scene::records::mapped([10, 0, 0, n]);
        s.accepted(conn);
        for _ in 0..3 {
            s.recv(S, conn, Server, ODD);
            s.send(S, conn, Server, OK);
        }
    }
    s.wait(5_000);
    let found = s.found();
    let count = |finding: &&tracer_engine::Finding| {
        let (_, value) =
            finding.attributes.iter().find(|(key, _)| *key == "tracer.finding.count").expect("it");
        let tracer_engine::Value::Int(count) = value else { panic!("{value:?}") };
        *count
    };
    assert_eq!(found.len(), 17, "16 clients, and all others as one");
    assert!(found.iter().all(|finding| finding.rule == "http.ambiguous_framing"));
    assert_eq!(found.iter().take(16).map(count).collect::<Vec<_>>(), [3; 16]);
    assert!(found.last().map(count) > Some(3));
}

/// Kinds of oddity combine: a client that goes through all tells no more than of each, and hides no attack by it.
#[test]
fn no_number_of_odd_requests_hides_an_attack() {
    const ODDITIES: [&str; 8] = [
        "X : y\r\n",
        "X\u{85}: y\r\n",
        "X: \u{b}y\r\n",
        "X: y\n",
        "X: a\rb\r\n",
        "X: y\r\n z\r\n",
        "no colon\r\n",
        "Content-Length: 2\r\n",
    ];
    let mut s = Scene::new();
    let attacked = s.accept(80);
    play(&mut s, attacked, &[Recv(CL0), Send(OK), Send(OK)]);
    let conn = s.accept(80);
    for n in 0..5_000u32 {
        let fields: String =
            (0..8).filter(|bit| n >> bit & 1 == 1).map(|bit| ODDITIES[bit as usize]).collect();
        let odd = format!("POST /{n} HTTP/1.1\r\nTransfer-Encoding: chunked\r\n{fields}\r\n0\r\n\r\n");
        s.recv(S, conn, Server, &odd);
        s.time_ns -= 900_000;
    }
    s.wait(5_000);
    let found = s.findings();
    let attacks =
        found.iter().filter(|found| found.starts_with("http.request_smuggling confirmed: ")).count();
    assert_eq!((attacks, s.stats().dropped_findings), (1, 0), "{found:?}");
    assert!((2..=20).contains(&found.len()), "{found:?}");
}

/// Workers of one server, and the same client again and again: one finding for each kind.
#[test]
fn what_was_told_of_a_client_is_not_told_again() {
    let odd = |field: &str| format!("POST /a HTTP/1.1\r\n{field}Content-Length: 2\r\n\r\nhi");
    let mut s = Scene::new();
    let ask = |s: &mut Scene, worker: u32, field: &str| {
        let conn = s.accept(80);
        s.recv(Thread(worker, worker), conn, Server, &odd(field));
        s.send(Thread(worker, worker), conn, Server, OK);
        s.wait(10_000);
    };
    for n in 0..64 {
        ask(&mut s, 20 + n % 8, "X : y\r\n");
    }
    let space =
        "http.ambiguous_framing suspicious: POST /a can be framed in more than one way: space before colon";
    assert_eq!(s.findings(), [space]);
    ask(&mut s, 20, "X: y\n");
    assert_eq!(s.findings(), [space, &space.replace("space before colon", "bare lf")]);
    assert_eq!(told(&s, "tracer.finding.count"), ["Int(65)"]);
    assert_eq!(
        told(&s, "tracer.framing.deviations")[1],
        r#"Strings(["space before colon", "bare lf"])"#,
        "a list of all"
    );
    // A server that began anew knows nobody.
    (20..28).for_each(|pid| s.exit(pid, 0));
    ask(&mut s, 40, "X : y\r\n");
    assert_eq!(s.findings().len(), 3);
}

/// What may as well be something else wakes nobody.
#[test]
fn how_bad_it_is_depends_on_how_sure_it_is() {
    let form = "POST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\na=b";
    for (request, expected) in [(CL0, ("confirmed", "critical")), (form, ("suspicious", "medium"))] {
        let mut s = Scene::new();
        let conn = s.accept(80);
        play(&mut s, conn, &[Recv(request), Send(OK), Send(OK)]);
        s.wait(5_000);
        let [finding] = s.found()[..] else { panic!("{:?}", s.findings()) };
        assert_eq!((finding.confidence.name(), finding.severity.name()), expected, "{}", finding.title);
    }
}

#[test]
fn a_finding_says_whether_what_came_in_could_be_read() {
    let post = format!("POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{EVIL}", EVIL.len());
    for (inbound, readable) in [(post.as_str(), true), ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", false)] {
        let mut chain = Chain::new(inbound);
        chain.asks(&post);
        chain.answers(&format!("{OK}{OK}"));
        chain.s.wait(5_000);
        let [finding] = chain.s.found()[..] else { panic!("{:?}", chain.s.findings()) };
        assert_eq!(finding.confidence.name(), "confirmed");
        let says = finding.attributes.iter().find(|(key, _)| *key == "tracer.smuggling.inbound_readable");
        assert_eq!(says.map(|(_, value)| value), Some(&tracer_engine::Value::Bool(readable)), "{inbound}");
    }
}

/// The verdict comes with a later request, when the spans of the attack have left: it still names the attacker.
#[test]
fn a_late_verdict_knows_where_the_carrier_came_from() {
    let post = format!("POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{EVIL}", EVIL.len());
    let mut chain = Chain::new(&post);
    chain.asks(&post);
    chain.answers(OK);
    chain.delivers(OK);
    chain.s.wait(5_000);
    let victim = chain.s.accept(80);
    chain.s.recv(F, victim, Server, &get("/victim"));
    chain.asks(&get("/victim"));
    chain.answers(&format!("{OK}{OK}"));
    chain.s.send(F, victim, Server, OK);
    chain.s.wait(5_000);
    let findings = chain.s.found();
    let finding =
        findings.iter().find(|finding| finding.rule == "http.request_smuggling").expect("it is found");
    assert_eq!(finding.confidence.name(), "confirmed");
    let came_in = |text: &str| text.starts_with("one request came in, POST /a from 127.0.0.1:");
    assert!(finding.evidence.iter().any(|evidence| came_in(&evidence.text)), "{:?}", finding.evidence);
}

#[test]
fn one_attack_seen_from_both_ends_is_one_finding() {
    let mut chain = Chain::new(CL0);
    chain.s.pass((F, Client), S, chain.upstream, CL0);
    chain.s.pass((S, Server), F, chain.upstream, &format!("{OK}{OK}"));
    chain.s.send(F, chain.inbound, Server, OK);
    let expected = "http.request_smuggling confirmed: POST /a carried GET /admin, which was answered 200";
    let mut spans = chain.s;
    let lines = spans.settle();
    assert_eq!(spans.findings(), [expected]);
    assert_eq!(
        lines,
        [
            "SERVER POST /a 200 @10",
            "CLIENT POST /a 200 @10 < SERVER /a by thread",
            "SERVER POST /a 200 @20 < CLIENT /a by socket",
            "SERVER GET /admin 200 @20 < SERVER /a by content",
        ]
    );
    let smuggled: Vec<_> =
        spans.spans().into_iter().filter(|span| scene::text(span, "tracer.smuggled").is_some()).collect();
    assert_eq!(smuggled.len(), 1);
    let rules = |span: &&tracer_engine::Span| scene::text(span, "tracer.finding.rules").is_some();
    assert_eq!(spans.spans().into_iter().filter(rules).count(), 1, "the carrier's span has the event");
}

#[test]
fn a_front_end_that_is_seen_alone_reads_more_answers_than_it_asked_for() {
    let mut s = Scene::new();
    let conn = s.begin_connect(F, 81);
    s.established(conn, F);
    s.send(F, conn, Client, CL0);
    s.recv(F, conn, Client, &format!("{OK}{OK}"));
    s.wait(5_000);
    let expected = "http.request_smuggling confirmed: POST /a carried GET /admin, which was answered 200";
    assert_eq!(s.findings(), [expected]);
}

/// What an attack explains is the message that it was, not what the same client sent besides.
#[test]
fn an_attack_explains_no_other_message() {
    let prefix = "POST /b HTTP/1.1\r\nContent-Length: 25\r\n\r\nGET /admin HTTP/1.1\r\nX: y";
    let run = |others: usize| {
        let mut s = Scene::new();
        for _ in 0..others {
            let conn = s.accept(80);
            play(&mut s, conn, &[Recv(prefix), Send(OK)]);
        }
        let conn = s.accept(80);
        play(&mut s, conn, &[Recv(CL0), Send(OK), Send(OK)]);
        s.wait(5_000);
        s.finish();
        s.findings()
    };
    let attack = "http.request_smuggling confirmed: POST /a carried GET /admin, which was answered 200";
    let other = "http.ambiguous_framing suspicious: the content of POST /b ends within a request";
    assert_eq!(run(0), [attack]);
    for others in 1..3 {
        let mut found = run(others);
        found.sort();
        assert_eq!(found, [other, attack], "{others}");
    }
}

/// What is but suspicious is no flood either, and hides no attack.
#[test]
fn what_is_suspicious_is_told_once_for_a_client() {
    // An application that answers twice.
    const PLAIN: &str = "POST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\na=b";
    let mut s = Scene::new();
    for n in 0..500 {
        let conn = s.accept(80);
        play(&mut s, conn, &[Recv(PLAIN), Send(OK), Send(OK)]);
        if n == 250 {
            s.wait(10_000);
        }
    }
    s.wait(5_000);
    let twice = "http.request_smuggling suspicious: POST /a carried a request that was not captured, which was answered 200";
    assert_eq!(s.findings(), [twice]);
    assert_eq!(told(&s, "tracer.finding.count"), ["Int(251)"]);
    let conn = s.accept(80);
    play(&mut s, conn, &[Recv(CL0), Send(OK), Send(OK)]);
    s.wait(5_000);
    let attack = "http.request_smuggling confirmed: POST /a carried GET /admin, which was answered 200";
    assert_eq!(s.findings(), [twice, attack]);
}

/// Both readings, who is who, and what was smuggled.
#[test]
fn findings_say_all_that_is_known() {
    let run = |inbound: &str, sent: &str| {
        let mut chain = Chain::new(inbound);
        chain.asks(sent);
        chain.answers(&format!("{OK}{OK}"));
        chain.delivers(OK);
        chain.s.wait(5_000);
        chain.s.finish();
        chain.s
    };
    let says = |s: &Scene, key: &str, expected: &str| {
        assert_eq!(told(s, key), [format!("Str({expected:?})")], "{key}");
    };
    let fact = |s: &Scene, text: &str| {
        let facts: Vec<_> = s.found()[0].evidence.iter().map(|fact| fact.text.clone()).collect();
        assert!(facts.iter().any(|fact| fact == text), "{text}: {facts:?}");
    };

    let s = run(CL0, CL0);
    says(&s, "tracer.smuggling.technique", "CL.0: content left unread");
    says(&s, "tracer.smuggling.framing", "Content-Length (38)");
    says(&s, "tracer.smuggling.back_end", "127.0.0.1:81");
    assert!(told(&s, "tracer.smuggling.front_end")[0].starts_with("Str(\"127.0.0.1:"));
    says(&s, "tracer.smuggled.text", EVIL);
    says(&s, "client.address", "127.0.0.1");
    fact(&s, "a reader that leaves content unread comes to GET /admin HTTP/1.1 there");

    let s = run(CL_TE, CL_TE);
    says(&s, "tracer.smuggling.technique", "CL.TE: length against coding");
    says(&s, "tracer.smuggling.framing", "the chunked coding");
    says(&s, "tracer.smuggling.back_end", "127.0.0.1:81");
    assert!(told(&s, "tracer.smuggling.front_end")[0].starts_with("Str(\"127.0.0.1:"));
    says(&s, "tracer.smuggled.method", "GET");
    says(&s, "tracer.smuggled.target", "/admin");
    says(&s, "tracer.smuggled.text", EVIL);
    says(&s, "client.address", "127.0.0.1");
    fact(
        &s,
        "read by Content-Length (43), GET /admin is part of POST /a; as it went out, by the chunked coding, it follows that",
    );

    let split = "GET /x HTTP/1.1\r\nHost: h\r\n\r\nGET /admin HTTP/1.1\r\nCookie: secret\r\n\r\n";
    let s = run(
        &get("/x%20HTTP/1.1%0d%0aHost:%20h%0d%0a%0d%0aGET%20/admin%20HTTP/1.1%0d%0aCookie:%20secret"),
        split,
    );
    says(&s, "tracer.smuggling.technique", "request splitting");
    says(&s, "tracer.smuggling.framing", "no length and no coding (no content)");
    says(&s, "tracer.smuggled.text", "GET /admin HTTP/1.1\r\nCookie: REDACTED\r\n\r\n");
}
