//! Messages that can be read in more than one way, and what decides between these.

mod scene;

use scene::{
    Client, Scene, Server, answer,
    chain::{Chain, F, S},
    get,
    smuggling::{CL_TE, EVIL, OK, is_but_suspicious},
};

const HEAD: &str = "POST /a HTTP/1.1\r\nContent-Length: 43\r\nTransfer-Encoding: chunked\r\n\r\n";
const LAST_CHUNK: &str = "0\r\n\r\n";

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
        assert!(is_but_suspicious(&found), "{content:?} answered once: {found:?}");
        let found = run(&format!("{OK}{OK}"));
        assert_eq!(found.len(), 1, "{content:?}: {found:?}");
        assert!(
            found[0].starts_with("http.request_smuggling confirmed: POST /a carried GET /admin"),
            "{content:?}: {found:?}"
        );
    }
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
    let suspicious = |found: Vec<String>| is_but_suspicious(&found);
    let swallowed = end(chain(OK));
    assert_eq!(swallowed.iter().filter(|found| **found == confirmed[0]).count(), 1, "{swallowed:?}");
    assert!(suspicious(end(chain(&answer(400, "")))), "refused");
    let mut delivered = chain(OK);
    delivered.delivers(OK);
    assert!(suspicious(end(delivered)), "two requests, two answers");
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
            let plain = *name == "nothing but a length";
            let odd = plain && once.is_empty() || is_but_suspicious(&once);
            assert!(odd, "{name} at {split}: {once:?}");
            let twice = run(&format!("{OK}{OK}"));
            let sure = twice.iter().filter(|f| f.starts_with("http.request_smuggling confirmed")).count();
            assert_eq!((twice.len(), sure), (1, 1), "{name} at {split}: {twice:?}");
        }
    }
}

#[test]
fn a_front_end_goes_by_length_and_the_back_end_by_coding() {
    let mut chain = Chain::new(CL_TE);
    chain.s.pass((F, Client), S, chain.upstream, CL_TE);
    chain.s.pass((S, Server), F, chain.upstream, &format!("{OK}{OK}"));
    chain.s.send(F, chain.inbound, Server, OK);
    chain.s.wait(5_000);
    let found = chain.s.findings();
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].starts_with("http.request_smuggling confirmed: POST /a carried GET /admin"),
        "{found:?}"
    );
}

#[test]
fn a_front_end_that_reads_two_as_its_back_end_does() {
    let mut chain = Chain::new(CL_TE);
    chain.s.pass(
        (F, Client),
        S,
        chain.upstream,
        "POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    );
    chain.s.pass((S, Server), F, chain.upstream, OK);
    chain.s.send(F, chain.inbound, Server, OK);
    chain.s.pass((F, Client), S, chain.upstream, EVIL);
    chain.s.pass((S, Server), F, chain.upstream, &answer(403, ""));
    chain.s.send(F, chain.inbound, Server, &answer(403, ""));
    let found = chain.findings();
    assert!(is_but_suspicious(&found), "{found:?}");
}

#[test]
fn a_front_end_goes_by_length_and_drops_it_on_the_way() {
    let mut chain = Chain::new(CL_TE);
    let sent = CL_TE.replace("Content-Length: 43\r\n", "");
    chain.s.pass((F, Client), S, chain.upstream, &sent);
    chain.s.pass((S, Server), F, chain.upstream, &format!("{OK}{OK}"));
    chain.s.send(F, chain.inbound, Server, OK);
    let findings = chain.findings();
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert!(findings[0].starts_with("http.request_smuggling confirmed: "), "{findings:?}");
}

/// A head ends elsewhere for who ends lines otherwise: one request with a long field, or two.
#[test]
fn the_end_of_a_head_has_more_than_one_reading() {
    let cases = [
        ("LF LF", "GET /a HTTP/1.1\r\nHost: h\r\nX: a\n\nGET /admin HTTP/1.1\r\nHost: h\r\n\r\n"),
        ("CR CR", "GET /a HTTP/1.1\r\nHost: h\r\nX: a\r\rGET /admin HTTP/1.1\rHost: h\r\r\n\r\n"),
        ("CR everywhere", "GET /a HTTP/1.1\rHost: h\r\rGET /admin HTTP/1.1\r\nHost: h\r\n\r\n"),
        ("CR LF CR", "GET /a HTTP/1.1\r\nHost: h\r\n\rX: GET /admin HTTP/1.1\r\nHost: h\r\n\r\n"),
        ("a space", "GET /a HTTP/1.1\r\nHost: h\r\n \r\nGET /admin HTTP/1.1\r\nHost: h\r\n\r\n"),
    ];
    for (name, sent) in cases {
        let run = |answers: &str, delivered: &str| {
            let mut chain = Chain::new(sent);
            chain.asks(sent);
            chain.answers(answers);
            chain.delivers(delivered);
            chain.findings()
        };
        let two = format!("{OK}{OK}");
        let found = run(&two, OK);
        assert_eq!(found.len(), 1, "{name}: {found:?}");
        let expected = "http.request_smuggling confirmed: GET /a";
        assert!(
            found[0].starts_with(expected) && found[0].contains(" carried GET /admin"),
            "{name}: {found:?}"
        );
        let found = run(OK, OK);
        assert!(is_but_suspicious(&found), "{name}: {found:?}");
        assert!(!found.is_empty(), "{name} is told");
    }
    // A client that ends all lines so, and waits.
    let mut chain = Chain::new("GET /a HTTP/1.1\nHost: h\n\n");
    chain.asks(&get("/a"));
    chain.answers(OK);
    chain.delivers(OK);
    chain.s.recv(F, chain.inbound, Server, "GET /b HTTP/1.1\nHost: h\n\n");
    chain.asks(&get("/b"));
    chain.answers(OK);
    chain.delivers(OK);
    let found = chain.findings();
    assert!(found.iter().all(|found| found.starts_with("http.ambiguous_framing")), "{found:?}");
}

/// Where the content has a request that is no more than a lure, the one behind the end of a reading is named.
#[test]
fn the_request_is_named_that_another_reading_leaves() {
    let lure = "34\r\nGET /health HTTP/1.1\r\n";
    let chunk = format!("{}{}", &lure[4..], EVIL);
    let content = format!("{:x}\r\n{chunk}\r\n0\r\n\r\n", chunk.len());
    let sent = format!(
        "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\nTransfer-Encoding: chunked\r\n\r\n{content}",
        lure.len()
    );
    let mut chain = Chain::new(&sent);
    chain.asks(&sent);
    chain.answers(&format!("{OK}{OK}"));
    chain.delivers(OK);
    let found = chain.findings();
    assert_eq!(
        found,
        ["http.request_smuggling confirmed: POST /a carried GET /admin, which was answered 200"]
    );
}
