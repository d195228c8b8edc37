//! Request smuggling seen from both sides of a front end: what it was sent, what it sent on, what came back.

mod scene;

use scene::{
    Client, Scene, Server, Thread, answer,
    chain::{Chain, F, S},
    get,
};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const HEAD: &str = "POST /a HTTP/1.1\r\nContent-Length: 43\r\nTransfer-Encoding: chunked\r\n\r\n";
const LAST_CHUNK: &str = "0\r\n\r\n";
const EVIL: &str = "GET /admin HTTP/1.1\r\nHost: lab.loc\r\n\r\n";

const CARRIED: &str =
    "http.request_smuggling confirmed: POST /a carried GET /admin, which went to 127.0.0.1:81 by itself";
const ODD: &str = "http.ambiguous_framing suspicious: POST /a can be framed in more than one way: cl and te";

/// A front end that goes by the length streams what it gets: the back end answers before it has read all.
#[test]
fn what_was_sent_without_waiting_is_one_message_whenever_it_was_read() {
    let mut chain = Chain::new(&format!("{HEAD}{LAST_CHUNK}"));
    chain.asks(&format!("{HEAD}{LAST_CHUNK}"));
    chain.s.recv(F, chain.inbound, Server, EVIL);
    chain.s.send(F, chain.upstream, Client, EVIL);
    // The back end answers the first before it reads the second, which had been sent.
    chain.s.send(S, chain.upstream, Server, OK);
    chain.s.recv(S, chain.upstream, Server, EVIL);
    chain.s.send(S, chain.upstream, Server, OK);
    chain.s.recv(F, chain.upstream, Client, OK);
    chain.delivers(OK);
    assert_eq!(chain.findings(), [CARRIED]);
}

/// The other way round: read at once, though the sender had waited for the first answer.
#[test]
fn who_waited_for_an_answer_has_asked_twice() {
    let mut chain = Chain::new(&format!("{HEAD}{LAST_CHUNK}"));
    chain.asks(&format!("{HEAD}{LAST_CHUNK}"));
    chain.answers(OK);
    chain.delivers(OK);
    chain.s.recv(F, chain.inbound, Server, EVIL);
    chain.asks(EVIL);
    chain.answers(OK);
    chain.delivers(OK);
    assert_eq!(chain.findings(), [ODD]);
}

/// Where a receive ends is no sign of where the sender stopped.
#[test]
fn the_senders_boundaries_count_not_the_receivers() {
    // Its length ends within the second request: nobody who goes by it could have sent that.
    let sent = format!("{HEAD}{LAST_CHUNK}{EVIL}{}", "x".repeat(20)).replace(": 43", ": 30");
    let cut = HEAD.len() + 30;
    let mut chain = Chain::new(&sent);
    chain.s.send(F, chain.upstream, Client, &sent);
    chain.s.recv(S, chain.upstream, Server, &sent[..cut]);
    chain.s.recv(S, chain.upstream, Server, &sent[cut..]);
    chain.answers(&format!("{OK}{OK}"));
    chain.delivers(OK);
    let found = chain.findings();
    assert!(found.iter().all(|finding| !finding.contains("confirmed")), "{found:?}");
}

/// Only the front end is on this node.
#[test]
fn the_front_end_alone_shows_the_other_reading_too() {
    let mut chain = Chain::new(&format!("{HEAD}{LAST_CHUNK}{EVIL}"));
    chain.s.send(F, chain.upstream, Client, HEAD);
    chain.s.send(F, chain.upstream, Client, &format!("{LAST_CHUNK}{EVIL}"));
    chain.s.recv(F, chain.upstream, Client, &format!("{OK}{OK}"));
    chain.delivers(OK);
    assert_eq!(chain.findings(), [CARRIED]);
}

/// Chunks that readers take differently: the front end takes all of it for one content, the back end stops earlier.
#[test]
fn chunks_have_more_than_one_reading() {
    let kind = |kind: &str| {
        format!("http.ambiguous_framing suspicious: POST /a can be framed in more than one way: {kind}")
    };
    // A request whose content takes up what the outer framing still has.
    let inner = "0\r\n\r\nGET /admin HTTP/1.1\r\nContent-Length: 7\r\n\r\n";
    let (size, end) = (inner.len(), "\r\n0\r\n\r\n");
    let text = "x".repeat(size);
    let cases = [
        // LF ends the line of the size: `text` is data, `inner` ends it. Or the line goes on to its CRLF.
        ("chunk lf", format!("{size:x};\n{text}\r\n{inner}{end}")),
        ("chunk lf", format!("{size:x}\n{text}\r\n{inner}{end}")),
        // LF ends the data, and a size of 0 follows; or two bytes are passed, and what follows is a size.
        ("chunk end", format!("1\r\nx\n0{size:x}\r\n{inner}{end}")),
        // Sizes that are none for a strict reader, with the rest for another.
        ("chunk size", format!("0x{size:x}\r\n{inner}{end}")),
        ("chunk size", format!("+{size:x}\r\n{inner}{end}")),
        ("chunk size", format!("-{size:x}\r\n{inner}{end}")),
        ("chunk size", format!(" {size:x}\r\n{inner}{end}")),
        ("chunk size", format!("1{size:016x}\r\n{inner}{end}")),
        ("odd chunk", format!("{size:x};\rx\r\n{inner}{end}")),
        ("odd chunk", format!("{size:x} \r\n{inner}{end}")),
        ("odd trailer", format!("0\r\n{}", &inner[5..])),
    ];
    for (odd, content) in &cases {
        let sent = format!("POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n{content}");
        let run = |answers: &str| {
            let mut chain = Chain::new(&sent);
            chain.asks(&sent);
            chain.answers(answers);
            chain.delivers(OK);
            chain.findings()
        };
        let mut alone = Scene::new();
        let conn = alone.accept(80);
        alone.recv(S, conn, Server, &sent);
        alone.send(S, conn, Server, OK);
        alone.wait(5_000);
        assert_eq!(alone.findings(), [kind(odd)], "{content:?}");
        let found = run(OK);
        assert!(found.iter().all(|f| f.contains(" suspicious: ")), "{content:?} answered once: {found:?}");
        let found = run(&format!("{OK}{OK}"));
        assert_eq!(found.len(), 1, "{content:?}: {found:?}");
        assert!(
            found[0].starts_with("http.request_smuggling confirmed: POST /a carried GET /admin"),
            "{content:?}: {found:?}"
        );
    }
}

/// A path, a parameter or a string that the front end decodes and writes where line ends count.
#[test]
fn what_is_decoded_may_split_a_request() {
    let post = |kind: &str, content: &str| {
        format!(
            "POST /x HTTP/1.1\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n{content}",
            content.len()
        )
    };
    let inbound = [
        get("/x/a%20HTTP/1.1%0d%0aHost:%20h%0d%0a%0d%0aGET%20/admin%20HTTP/1.1%0d%0aX:%20"),
        get("/x?name=a%250d%250a%250d%250aGET%2520/admin%2520HTTP/1.1%250d%250a"),
        post("application/x-www-form-urlencoded", "name=a%0D%0A%0D%0AGET+%2Fadmin+HTTP%2F1.1%0D%0AX%3A+y"),
        post("application/json", r#"{"name": "a\r\n\r\nGET /admin HTTP/1.1\r\nX: y"}"#),
        post("text/plain", "a\u{10d}\u{10a}\u{10d}\u{10a}GET\u{120}/admin\u{120}HTTP/1.1"),
    ];
    let sent = "GET /y HTTP/1.1\r\nX-Name: a\r\n\r\nGET /admin HTTP/1.1\r\nX: y\r\n\r\n";
    for inbound in inbound {
        let run = |answers: &str| {
            let mut chain = Chain::new(&inbound);
            chain.asks(sent);
            chain.answers(answers);
            chain.delivers(OK);
            chain.findings()
        };
        let served = run(&format!("{OK}{OK}"));
        assert_eq!(served.len(), 1, "{inbound}: {served:?}");
        assert!(served[0].starts_with("http.request_smuggling confirmed: "), "{inbound}: {served:?}");
        let refused = run(&(OK.to_owned() + &answer(400, "")));
        assert!(refused[0].starts_with("http.request_smuggling suspicious: "), "{inbound}: {refused:?}");
    }
}

/// The front end never reads the second answer: that the back end wrote it is enough.
#[test]
fn an_answer_counts_though_nobody_reads_it() {
    let mut chain = Chain::new(&get("/x%0d%0aX:%20y%0d%0a%0d%0aGET%20/admin"));
    chain.asks("GET /x\r\nX: y\r\n\r\nGET /admin HTTP/1.1\r\n\r\n".replace("/x\r", "/x HTTP/1.1\r").as_str());
    chain.s.send(S, chain.upstream, Server, OK);
    chain.s.send(S, chain.upstream, Server, OK);
    chain.s.recv(F, chain.upstream, Client, OK);
    chain.delivers(OK);
    let found = chain.findings();
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("http.request_smuggling confirmed: "), "{found:?}");
}

/// What is left of the content behind the second request is no request: it is explained by the other reading.
#[test]
fn what_is_left_over_is_content_for_another_reader() {
    let inner = "0\r\n\r\nGET /admin HTTP/1.1\r\nHost: h\r\n\r\n";
    let text = "x".repeat(inner.len());
    let head = "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
    let sent = format!("{head}{:x};\n{text}\r\n{inner}\r\n0\r\n\r\n", inner.len());
    let mut chain = Chain::new("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    for piece in sent.as_bytes().chunks(40) {
        chain.s.send(F, chain.upstream, Client, std::str::from_utf8(piece).unwrap());
    }
    chain.s.recv(S, chain.upstream, Server, &sent);
    chain.answers(&format!("{OK}{OK}{}", answer(400, "")));
    let found = chain.findings();
    assert_eq!(
        found,
        ["http.request_smuggling confirmed: POST /a carried GET /admin, which was answered 200"]
    );
}

/// A gateway that takes a list of requests apart sends each by itself, maybe without waiting.
#[test]
fn a_gateway_asks_for_each_request_of_a_list() {
    let list = "--b\r\nContent-Type: application/http\r\n\r\nGET /one HTTP/1.1\r\n\r\n\r\n--b\r\nContent-Type: application/http\r\n\r\nGET /two HTTP/1.1\r\n\r\n\r\n--b--\r\n";
    let batch = format!("POST /$batch HTTP/1.1\r\nContent-Length: {}\r\n\r\n{list}", list.len());
    for sends in [vec![get("/one"), get("/two")], vec![get("/one") + &get("/two")]] {
        let mut chain = Chain::new(&batch);
        sends.iter().for_each(|sent| chain.asks(sent));
        chain.answers(&format!("{OK}{OK}"));
        chain.delivers(OK);
        assert_eq!(chain.findings(), [""; 0]);
    }
    // In turn, and on connections of their own.
    let mut chain = Chain::new(&batch);
    chain.asks(&get("/one"));
    chain.answers(OK);
    chain.asks(&get("/two"));
    chain.answers(OK);
    chain.delivers(OK);
    assert_eq!(chain.findings(), [""; 0]);
}

/// A front end whose clients cannot be read passes a length of 0 on, with a content all the same.
#[test]
fn head_and_content_may_leave_in_two_sends() {
    let head = "POST /a HTTP/1.1\r\nHost: h\r\nVia: f\r\nContent-Length: 0\r\n\r\n";
    let run = |second: &str, thread: Thread| {
        let mut chain = Chain::new("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        chain.asks(head);
        chain.s.pass((thread, Client), S, chain.upstream, second);
        chain.answers(&format!("{OK}{OK}"));
        chain.findings()
    };
    assert_eq!(
        run(EVIL, F),
        ["http.request_smuggling probable: GET /admin went to 127.0.0.1:81 behind POST /a, as one message"]
    );
    let own = "GET /b HTTP/1.1\r\nHost: h\r\nVia: f\r\n\r\n";
    assert_eq!(run(own, F), [""; 0], "a client that does not wait");
    assert_eq!(run(EVIL, Thread(10, 11)), [""; 0], "another thread");
}

/// A length that goes beyond what was sent: the front end still waits for the rest, while the back end serves two.
#[test]
fn an_answer_that_is_never_delivered() {
    let sent = format!("{HEAD}{LAST_CHUNK}{EVIL}").replace(": 43", ": 1000");
    let chain = |answer: &str| {
        let mut chain = Chain::new(&sent);
        chain.s.send(F, chain.upstream, Client, &sent[..HEAD.len()]);
        chain.s.send(F, chain.upstream, Client, &sent[HEAD.len()..]);
        chain.s.recv(S, chain.upstream, Server, &sent);
        chain.answers(&format!("{OK}{answer}"));
        chain.delivers(OK);
        chain
    };
    let confirmed = ["http.request_smuggling confirmed: POST /a carried GET /admin, which was answered 200"];
    let end = |mut chain: Chain| {
        chain.s.reset(chain.inbound, Server);
        chain.s.wait(15_000);
        chain.s.findings()
    };
    let suspicious = |found: Vec<String>| found.iter().all(|finding| finding.contains(" suspicious: "));
    let swallowed = end(chain(OK));
    assert_eq!(swallowed.iter().filter(|found| **found == confirmed[0]).count(), 1, "{swallowed:?}");
    assert!(suspicious(end(chain(&answer(400, "")))), "refused");
    let mut delivered = chain(OK);
    delivered.delivers(OK);
    assert!(suspicious(end(delivered)), "two requests, two answers");
}

/// One request in, several out: each is a send of its own, with an answer of its own.
#[test]
fn one_in_and_several_out_is_usual() {
    let post = format!("POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{EVIL}", EVIL.len());
    let begins = "http.ambiguous_framing suspicious: the content of POST /a begins with a request";
    let quiet = |found: Vec<String>, name: &str| {
        assert!(found.iter().all(|finding| finding == begins), "{name}: {found:?}");
    };
    let asked = |chain: &mut Chain, request: &str| {
        chain.asks(request);
        chain.answers(OK);
    };

    let mut chain = Chain::new(&post);
    ["/auth", "/part/1", "/part/2"].iter().for_each(|path| asked(&mut chain, &get(path)));
    asked(&mut chain, &post);
    asked(&mut chain, &get("/log"));
    chain.delivers(OK);
    quiet(chain.findings(), "subrequests, includes, aggregation");

    let mut chain = Chain::new(&post);
    let mirror = chain.s.connect(F, 82);
    chain.asks(&post);
    chain.s.pass((F, Client), S, mirror, &post);
    chain.answers(OK);
    chain.delivers(OK);
    chain.s.pass((S, Server), F, mirror, OK);
    quiet(chain.findings(), "mirror");

    let mut chain = Chain::new(&post);
    chain.asks(&post);
    chain.s.shut(S, chain.upstream, Server);
    chain.s.eof(F, chain.upstream, Client);
    let again = chain.s.connect(F, 82);
    chain.s.pass((F, Client), S, again, &post);
    chain.s.pass((S, Server), F, again, OK);
    chain.delivers(OK);
    quiet(chain.findings(), "a retry elsewhere");

    let mut chain = Chain::new(&post);
    chain.asks(&post);
    chain.answers(&answer(503, ""));
    asked(&mut chain, &post);
    chain.delivers(OK);
    quiet(chain.findings(), "a retry on the same connection");

    let mut chain = Chain::new(&get("/x"));
    asked(&mut chain, &get("/x"));
    chain.delivers(OK);
    (0..3).for_each(|_| asked(&mut chain, &get("/health")));
    quiet(chain.findings(), "health checks");
}

/// RFC 9110, 10.1.1: a final answer instead of 100. Who sends the content all the same gives a server that dropped it
/// a request.
#[test]
fn content_behind_an_early_answer() {
    let head = format!(
        "POST /a HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n",
        EVIL.len()
    );
    let run = |second: &str| {
        let mut chain = Chain::new(&head);
        chain.asks(&head);
        chain.s.send(S, chain.upstream, Server, OK);
        chain.s.recv(F, chain.inbound, Server, EVIL);
        chain.s.recv(F, chain.upstream, Client, OK);
        chain.asks(EVIL);
        chain.answers(second);
        chain.delivers(OK);
        chain.findings()
    };
    let served = run(OK);
    assert!(served.iter().any(|finding| finding.contains("http.request_smuggling confirmed")), "{served:?}");
    let refused = run(&answer(400, ""));
    assert!(refused.iter().all(|finding| finding.contains(" suspicious: ")), "{refused:?}");
}

/// Every oddity of a head that lets two readers go by different framings, each in the place of front and back end.
#[test]
fn heads_have_more_than_one_reading() {
    let inner = format!("{LAST_CHUNK}{EVIL}");
    let all = inner.len();
    let cases = [
        ("length and coding", format!("Content-Length: {all}\r\nTransfer-Encoding: chunked\r\n")),
        ("coding and length", format!("Transfer-Encoding: chunked\r\nContent-Length: {all}\r\n")),
        ("a space behind a name", format!("Content-Length: {all}\r\nTransfer-Encoding : chunked\r\n")),
        ("a tab behind a name", format!("Content-Length: {all}\r\nTransfer-Encoding\t: chunked\r\n")),
        ("0x85 behind a name", format!("Content-Length: {all}\r\nTransfer-Encoding\u{85}: chunked\r\n")),
        ("a control before a name", format!("Content-Length: {all}\r\n\u{1}Transfer-Encoding: chunked\r\n")),
        ("_ for -", format!("Content-Length: {all}\r\nX\u{0}: y\r\nTransfer_Encoding: chunked\r\n")),
        ("a bare LF", format!("Content-Length: {all}\r\nX: y\nTransfer-Encoding: chunked\r\n")),
        ("a bare CR", format!("Content-Length: {all}\r\nX: y\rTransfer-Encoding: chunked\r\n")),
        ("a fold", format!("Content-Length: {all}\r\nTransfer-Encoding:\r\n chunked\r\n")),
        ("a fold of another", format!("Content-Length: {all}\r\nX: y\r\n Transfer-Encoding: chunked\r\n")),
        ("a space before the first", format!(" Transfer-Encoding: chunked\r\nContent-Length: {all}\r\n")),
        ("no colon", format!("Content-Length: {all}\r\nTransfer-Encoding\r\nTransfer-Encoding: chunked\r\n")),
        ("0x0b before a value", format!("Content-Length: {all}\r\nTransfer-Encoding: \u{b}chunked\r\n")),
        ("a word before", format!("Content-Length: {all}\r\nTransfer-Encoding: xchunked\r\n")),
        ("a word behind", format!("Content-Length: {all}\r\nTransfer-Encoding: chunked, identity\r\n")),
        ("capitals", format!("Content-Length: {all}\r\nTransfer-Encoding: CHUNKED\r\n")),
        ("quotes", format!("Content-Length: {all}\r\nTransfer-Encoding: \"chunked\"\r\n")),
        ("twice", format!("Content-Length: {all}\r\nTransfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n")),
        ("two lengths", format!("Content-Length: {all}\r\nContent-Length: 5\r\n")),
        ("two lengths, the other way", format!("Content-Length: 5\r\nContent-Length: {all}\r\n")),
        ("a list of lengths", format!("Content-Length: 5, {all}\r\n")),
        ("a sign", format!("Content-Length: +{all}\r\n")),
        ("another base", format!("Content-Length: 0x{all}\r\n")),
        ("a space within", format!("Content-Length: {all} 5\r\n")),
        ("nothing but a length", format!("Content-Length: {all}\r\n")),
    ];
    const UNREADABLE: &str = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    for (name, fields) in &cases {
        let sent = format!("POST /a HTTP/1.1\r\nHost: h\r\n{fields}\r\n{inner}");
        let splits = [sent.len(), sent.len() - all, sent.len() - EVIL.len()];
        let ways = [sent.as_str(), UNREADABLE].into_iter().flat_map(|way| splits.map(|split| (way, split)));
        for (inbound, split) in ways {
            let run = |answers: &str| {
                let mut chain = Chain::new(inbound);
                for part in [&sent[..split], &sent[split..]].iter().filter(|part| !part.is_empty()) {
                    chain.s.send(F, chain.upstream, Client, part);
                }
                chain.s.recv(S, chain.upstream, Server, &sent);
                chain.answers(answers);
                chain.delivers(OK);
                chain.findings()
            };
            let once = run(OK);
            assert!(once.iter().all(|f| f.contains(" suspicious: ")), "{name} at {split}: {once:?}");
            let twice = run(&format!("{OK}{OK}"));
            let sure = twice.iter().filter(|f| f.starts_with("http.request_smuggling confirmed")).count();
            assert_eq!((twice.len(), sure), (1, 1), "{name} at {split}: {twice:?}");
        }
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
