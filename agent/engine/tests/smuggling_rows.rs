//! What is seen, and what it proves: for each kind of evidence a case that must be told, with how sure that is, and one
//! that must not.

mod scene;

use scene::{
    Client, Server, answer,
    chain::{Chain, F, S},
    get,
    smuggling::*,
};

/// A kind of evidence. A new one needs a case of each.
#[derive(Clone, Copy, Debug)]
enum Row {
    MoreAnswersThanRequests,
    TwoStatusLines,
    AnswersNeverDelivered,
    StandsInWhatCameIn,
    TwoInOneSend,
    RefusedThoughNothingWasAsked,
    NoHttpBehindAllAnswers,
    SpeaksOnAfterAnUpgrade,
    OddFraming,
}
use Row::*;

const ROWS: [Row; 9] = [
    MoreAnswersThanRequests,
    TwoStatusLines,
    AnswersNeverDelivered,
    StandsInWhatCameIn,
    TwoInOneSend,
    RefusedThoughNothingWasAsked,
    NoHttpBehindAllAnswers,
    SpeaksOnAfterAnUpgrade,
    OddFraming,
];

/// What a back end is sent for what came in, what it answers, and what of that is delivered.
fn chain(inbound: &str, sent: &str, answers: &str, delivered: &str) -> Vec<String> {
    let mut chain = Chain::new(inbound);
    chain.asks(sent);
    chain.answers(answers);
    chain.delivers(delivered);
    chain.findings()
}

/// What the client of a connection that is upgraded says behind that, and the back end to it.
fn upgraded(said: &str, answered: &str) -> Vec<String> {
    let asks = "GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let grants = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let mut chain = Chain::new(asks);
    chain.asks(asks);
    chain.answers(grants);
    chain.delivers(grants);
    chain.s.recv(F, chain.inbound, Server, said);
    chain.s.pass((F, Client), S, chain.upstream, said);
    chain.s.pass((S, Server), F, chain.upstream, answered);
    chain.s.send(F, chain.inbound, Server, answered);
    chain.findings()
}

fn inject() -> String {
    get("/x%20HTTP/1.1%0d%0aHost:%20h%0d%0a%0d%0aGET%20/admin%20HTTP/1.1%0d%0aX:%20")
}

impl Row {
    /// How sure it is, and what must be told.
    fn told(self) -> (&'static str, Vec<String>) {
        let (two, split) =
            (OK.repeat(2), "GET /x HTTP/1.1\r\nHost: h\r\n\r\nGET /admin HTTP/1.1\r\nX: y\r\n\r\n");
        match self {
            MoreAnswersThanRequests => ("confirmed", server(&[Recv(CL0), Send(OK), Send(OK)])),
            TwoStatusLines => ("confirmed", server(&[Recv(CL0), Send(HALF)])),
            AnswersNeverDelivered => ("confirmed", chain(CL_TE, CL_TE, &two, OK)),
            StandsInWhatCameIn => ("confirmed", chain(&inject(), split, &two, OK)),
            TwoInOneSend => {
                let sent = get("/a") + &get("/admin");
                ("probable", chain("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &sent, &two, ""))
            }
            RefusedThoughNothingWasAsked => ("probable", server(&[Recv(CL0), Send(OK), Send(BAD)])),
            NoHttpBehindAllAnswers => ("probable", server(&[Recv(CL0), Send(OK), Send("<html>no")])),
            SpeaksOnAfterAnUpgrade => ("probable", upgraded(EVIL, OK)),
            OddFraming => ("suspicious", server(&[Recv(CL_TE), Send(OK)])),
        }
    }

    /// What must not be told: the same without what proves it.
    fn quiet(self) -> Vec<String> {
        const QUOTED: &str = "HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\nHTTP/1.1 200 OK";
        match self {
            MoreAnswersThanRequests => server(&[Recv(CL0), Send(OK)]),
            TwoStatusLines => server(&[Recv(CL0), Send(QUOTED)]),
            AnswersNeverDelivered => chain(CL_TE, CL_TE, OK, OK),
            StandsInWhatCameIn => chain(&inject(), &inject(), OK, OK),
            TwoInOneSend => chain("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &get("/a"), OK, ""),
            RefusedThoughNothingWasAsked => {
                let tired = answer(408, "").replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
                chain(CL0, CL0, &format!("{OK}{tired}"), OK)
            }
            NoHttpBehindAllAnswers => server(&[
                Recv("POST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\na=b"),
                Send(OK),
                Send("<html>no"),
            ]),
            SpeaksOnAfterAnUpgrade => upgraded("\u{1}hello", "\u{1}hi"),
            OddFraming => server(&[Recv("POST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\na=b"), Send(OK)]),
        }
    }
}

#[test]
fn each_kind_of_evidence_is_told_and_nothing_without_it() {
    for row in ROWS {
        let (sure, told) = row.told();
        let rule =
            if matches!(row, OddFraming) { "http.ambiguous_framing" } else { "http.request_smuggling" };
        let begin = format!("{rule} {sure}: ");
        assert!(told.iter().any(|found| found.starts_with(&begin)), "{row:?}: {told:?}");
        let quiet = row.quiet();
        let more = |found: &String| {
            found.starts_with(&begin) || found.contains(" confirmed: ") || found.contains(" probable: ")
        };
        assert!(!quiet.iter().any(more), "{row:?}: {quiet:?}");
    }
}
