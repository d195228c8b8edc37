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

/// A back end has switched to HTTP/2 for a front end that only passed the wish on: what follows is hidden from it
/// (RFC 9113 has no such upgrade any more; RFC 7540, 3.2).
pub fn cleartext_http2(inbound: NodeId, call: NodeId, op: Op, world: &mut World) -> Option<Case> {
    let back = world.graph.get(call)?.exchange()?.endpoints.remote.to_string();
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
    Some(case((inbound, start), Confidence::Probable, title, op, (attributes, facts)))
}

/// An upgrade that a front end has passed on: kept, since what it leads to may come when its span has long left.
#[derive(Debug)]
pub struct PassedOn {
    inbound: NodeId,
    start: Time,
    endpoints: Endpoints,
    name: String,
    back: String,
}

impl PassedOn {
    /// That which a back end grants; nothing where what came in is not known.
    pub fn of(node: NodeId, world: &mut World) -> Option<Self> {
        let back = world.graph.get(node)?.exchange()?.endpoints.local.to_string();
        match (Origin::of(node, world)?, inbound(node, world)?) {
            (Origin::Request { start, endpoints, name }, inbound) => {
                Some(Self { inbound, start, endpoints, name, back })
            }
            _ => None,
        }
    }

    /// The back end goes on to answer requests of HTTP/1, the first of which begins like this.
    pub fn spoke_on(&self, request: &[u8], status: u16, op: Op) -> Case {
        let Self { inbound, start, endpoints, name, back } = self;
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
