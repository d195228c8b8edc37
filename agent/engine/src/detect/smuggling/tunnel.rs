//! Upgrades that hide from a front end what its back end is asked.

use super::{
    Origin, SMUGGLING, Way, name, named,
    origin::inbound,
    words::{client, excerpt, of_request, refuses, severity, without_secrets},
};
use crate::{
    Time, Value,
    cases::{Case, Subject},
    exchange::{Endpoints, Exchange},
    finding::Confidence,
    graph::NodeId,
    http1::Head,
    world::{Op, World},
};

/// Methods that every intermediary knows (RFC 9110, 9.3; RFC 5789): one that takes another for a tunnel is none of
/// HTTP's.
const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"];
/// Fields that are about one connection or one message, which each end says for itself.
const OWN: [&[u8]; 9] = [
    b"connection",
    b"keep-alive",
    b"host",
    b"content-length",
    b"transfer-encoding",
    b"upgrade",
    b"te",
    b"trailer",
    b"expect",
];

/// Most fields that a front end adds of which is known: proxies add a handful.
const MAX_MARKS: usize = 16;

/// Whether a request asks for more than HTTP, so that an intermediary may take the connection for a tunnel.
pub fn asks_for_more(request: &Exchange) -> bool {
    request.request.field("upgrade").is_some() || !METHODS.contains(&request.method())
}

/// Whether a request asks for an upgrade to this protocol.
pub fn upgrades_to(request: &Exchange, protocol: &[u8]) -> bool {
    switches_to(&request.request, protocol)
}

/// Whether a head names this protocol as one to switch to (RFC 9110, 7.8).
pub fn switches_to(head: &Head, protocol: &[u8]) -> bool {
    let mut asked = head.fields("upgrade").flat_map(|value| value.split(|b| *b == b','));
    asked.any(|asked| asked.trim_ascii().eq_ignore_ascii_case(protocol))
}

/// A request of a front end that may have made it take the connection for a tunnel. Kept, since what comes through may
/// come when its span has long left.
#[derive(Clone, Debug)]
pub struct Tunnel {
    /// Its exchange.
    pub call: NodeId,
    /// Method and target.
    pub name: String,
    /// The request that it passed on.
    pub inbound: NodeId,
    /// Where that came from.
    pub origin: Origin,
    /// Names of fields that the front end had added.
    marks: Vec<Box<[u8]>>,
    /// Records that the kernel side had lost when it was sent.
    pub lost: u64,
}

impl Tunnel {
    /// A call and what it passes on.
    pub fn of(
        (call, sent): (NodeId, &Exchange),
        (inbound, start, came): (NodeId, Time, &Exchange),
        lost: u64,
    ) -> Self {
        let is_own = |name: &[u8]| OWN.iter().any(|own| own.eq_ignore_ascii_case(name));
        let names = sent.request.iter().map(|(name, _)| name);
        let added = names.filter(|name| !is_own(name) && !has(came, name));
        let marks = added.take(MAX_MARKS).map(Into::into).collect();
        Self { call, name: named(sent), inbound, origin: Origin::request(start, came), marks, lost }
    }

    /// Whether the front end, which adds fields to what it passes on, has added none of them to this request.
    pub fn leaves_unmarked(&self, request: &Exchange) -> bool {
        !self.marks.is_empty() && self.marks.iter().all(|mark| !has(request, mark))
    }

    /// Memory that it takes elsewhere.
    pub fn held(&self) -> usize {
        self.name.len() + self.marks.iter().map(|mark| size_of::<Box<[u8]>>() + mark.len()).sum::<usize>()
    }
}

fn has(exchange: &Exchange, name: &[u8]) -> bool {
    exchange.request.iter().any(|(other, _)| other.eq_ignore_ascii_case(name))
}

/// How a client begins HTTP/2 (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// What begins a request there, and the stream of the one that asked for the upgrade (RFC 9113, 6.2; RFC 7540, 3.2).
const HEADERS: u8 = 1;
const UPGRADED: u32 = 1;

/// The stream of the first request behind an upgrade to h2c, in what a client says from its preface on.
pub fn another_request(said: &[u8]) -> Option<u32> {
    let mut frames = said.strip_prefix(PREFACE)?;
    // RFC 9113, 4.1: length, type, flags, stream.
    while let [a, b, c, kind, _, stream @ ..] = frames {
        let stream = u32::from_be_bytes(*stream.first_chunk()?) & 0x7fff_ffff;
        if *kind == HEADERS && stream != UPGRADED {
            return Some(stream);
        }
        frames = frames.get(9 + u32::from_be_bytes([0, *a, *b, *c]) as usize..)?;
    }
    None
}

/// A back end has switched to HTTP/2 for a front end that only passed the wish on: what follows is hidden from it
/// (RFC 9113 has no such upgrade any more; RFC 7540, 3.2). Clients of their own ask for it, too, for one request: where
/// the back end is seen, it is worse only when another one follows.
pub fn cleartext_http2(inbound: NodeId, call: NodeId, op: Op, world: &mut World) -> Option<Case> {
    let (back, joined) = world
        .graph
        .get(call)
        .and_then(|node| Some((node.exchange()?.endpoints.remote.to_string(), node.partner.is_some())))?;
    let (start, exchange) = world.graph.get(inbound).and_then(|node| Some((node.start, node.exchange()?)))?;
    let (method, target) = name(exchange);
    let name = format!("{method} {target}");
    let mut attributes = vec![("http.request.method", Value::Str(method)), ("url.path", Value::Str(target))];
    client(&exchange.endpoints, &mut attributes);
    attributes.push(("tracer.smuggling.technique", Value::Str("upgrade to h2c through a proxy".into())));
    attributes.push(("tracer.smuggling.back_end", Value::Str(back.clone())));
    let facts = vec![
        (start, format!("{name} asks for an upgrade to h2c")),
        (op.time, format!("{back} answered 101: what follows passes the front end unread")),
    ];
    let title = format!("{name} opened a tunnel of HTTP/2 to {back} through its front end");
    let confidence = if joined { Confidence::Suspicious } else { Confidence::Probable };
    Some(case((inbound, start), confidence, title, op, (attributes, facts)))
}

/// An upgrade that a front end has passed on: kept, since what it leads to may come when its span has long left.
#[derive(Debug)]
pub struct PassedOn {
    inbound: NodeId,
    start: Time,
    endpoints: Endpoints,
    name: String,
    back: String,
    h2c: bool,
}

impl PassedOn {
    /// That which a back end grants; nothing where what came in is not known.
    pub fn of(node: NodeId, world: &mut World) -> Option<Self> {
        let exchange = world.graph.get(node)?.exchange()?;
        let (back, h2c) = (exchange.endpoints.local.to_string(), upgrades_to(exchange, b"h2c"));
        match (Origin::of(node, world)?, inbound(node, world)?) {
            (Origin::Request { start, endpoints, name }, inbound) => {
                Some(Self { inbound, start, endpoints, name, back, h2c })
            }
            _ => None,
        }
    }

    /// Whether it is one to HTTP/2.
    pub fn is_h2c(&self) -> bool {
        self.h2c
    }

    /// The client goes on to ask, in HTTP/2, on this stream.
    pub fn asked_on(&self, stream: u32, op: Op) -> Case {
        let Self { inbound, start, endpoints, name, back, .. } = self;
        let mut attributes =
            vec![("tracer.smuggling.technique", Value::Str("upgrade to h2c through a proxy".into()))];
        attributes.push(("tracer.smuggling.back_end", Value::Str(back.clone())));
        client(endpoints, &mut attributes);
        let fact = format!("a request followed, on stream {stream} of HTTP/2: no front end has read it");
        let title =
            format!("{name} opened a tunnel of HTTP/2 to {back} through its front end, and went on to ask");
        case((*inbound, *start), Confidence::Probable, title, op, (attributes, vec![(op.time, fact)]))
    }

    /// The back end goes on to answer requests of HTTP/1, the first of which begins like this.
    pub fn spoke_on(&self, request: &[u8], status: u16, op: Op) -> Case {
        let Self { inbound, start, endpoints, name, back, .. } = self;
        let line = request.split(|b| *b == b'\n').next().unwrap_or_default();
        let mut words = line.split(|b| *b == b' ').map(excerpt);
        let [method, target] = [words.next().unwrap_or_default(), words.next().unwrap_or_default()];
        let target = without_secrets(&target);
        let mut attributes = of_request(&method, &target, Some(status));
        attributes.push(("tracer.smuggling.technique", Value::Str(Way::Tunnel.technique().into())));
        attributes.push(("tracer.smuggling.back_end", Value::Str(back.clone())));
        client(endpoints, &mut attributes);
        let facts = vec![
            (*start, format!("{name} asks for an upgrade, which {back} granted with 101")),
            (
                op.time,
                format!("{method} {target} followed, and was answered {status}: {back} still speaks HTTP/1"),
            ),
        ];
        let title = format!("{name} opened a tunnel for {method} {target}, which {back} answered {status}");
        let confidence = if refuses(status) { Confidence::Suspicious } else { Confidence::Probable };
        case((*inbound, *start), confidence, title, op, (attributes, facts))
    }
}

type Told = (Vec<(&'static str, Value)>, Vec<(Time, String)>);

/// A case about a request that came in then; its attributes and facts.
fn case(inbound: (NodeId, Time), confidence: Confidence, title: String, op: Op, told: Told) -> Case {
    let (attributes, facts) = told;
    Case {
        rule: SMUGGLING,
        subject: Subject::Node(inbound.0),
        severity: severity(confidence),
        confidence,
        title,
        time: inbound.1,
        pid: op.pid,
        attributes,
        facts,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_behind_the_one_that_was_upgraded() {
        let frame = |kind: u8, stream: u8, len: u8| {
            [&[0, 0, len, kind, 4, 0, 0, 0, stream][..], &vec![7; usize::from(len)]].concat()
        };
        let said = |frames: &[Vec<u8>]| another_request(&[PREFACE, &frames.concat()].concat());
        let settings = frame(4, 0, 12);
        assert_eq!(said(&[settings.clone(), frame(8, 0, 4), frame(1, 3, 20)]), Some(3));
        assert_eq!(said(&[settings.clone(), frame(1, 1, 20)]), None, "the one that asked for it");
        assert_eq!(said(&[settings.clone(), frame(0, 3, 20)]), None, "no begin");
        assert_eq!(said(&[settings, frame(1, 5, 200)[..9].to_vec()]), Some(5));
        assert_eq!(said(&[]), None);
        assert_eq!(another_request(b"GET / HTTP/1.1\r\n\r\n"), None);
    }
}
