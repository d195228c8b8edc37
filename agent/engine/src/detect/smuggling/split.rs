//! Requests that a front end sent without having got them as such.

use super::{
    Origin, SMUGGLING, decoded, is_of_the_same_hand, name,
    words::{self, by, by_reader, client, of_request, refuses, severity, technique_of},
};
use crate::{
    Value,
    cases::{Case, Subject},
    exchange::{Endpoints, Exchange, Side},
    finding::Confidence,
    graph::NodeId,
    world::{Op, World},
};

/// How a request went out that did not come in as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Behind another one that had no answer yet.
    Behind,
    /// As the content of one that was answered before it was sent.
    Reread,
    /// Behind one that asked for more than HTTP, in vain.
    Tunnel,
}

impl Way {
    pub(super) const fn technique(self) -> &'static str {
        match self {
            Self::Behind => "request splitting",
            Self::Reread => "content behind an early answer",
            Self::Tunnel => "tunnel that only the front end believes in",
        }
    }
}

/// A request that went out without having come in as one, as it seems.
#[derive(Clone, Debug)]
pub struct Split {
    /// How.
    pub way: Way,
    /// The request before it on its connection.
    pub first: NodeId,
    /// Its method and target.
    pub first_name: String,
    /// The request that holds it, if what came in could be read.
    pub inbound: Option<NodeId>,
    /// How it shows there.
    pub within: Within,
    /// Where that came from.
    pub origin: Option<Origin>,
    /// Records that the kernel side had lost when the first was sent.
    pub lost: u64,
}

impl Split {
    /// Memory that it takes elsewhere.
    pub fn held(&self) -> usize {
        self.first_name.capacity() + self.origin.as_ref().map_or(0, Origin::held)
    }
}

/// How it shows that a request came in within another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Within {
    /// Its line stands there.
    Alone,
    /// So does that of the one before it, so that it may be one of a list.
    Listed,
}

/// Whether a request that goes out came in with `inbound`, though not as one; `at_once` with the one before it.
pub fn came_with(
    way: Way,
    at_once: bool,
    inbound: &Exchange,
    [first, request]: [&Exchange; 2],
) -> Option<Within> {
    let (raw, own) = (request.request.raw(), inbound.request.raw());
    let before = line_of(first.request.raw());
    let line = line_of(raw);
    let within = |text: &[u8]| memchr::memmem::find(text, line).is_some();
    // What takes apart a list of requests sends each of them, and writes all alike; who merely mentions the one that
    // is sent anyway cannot have the other written like it.
    let mentioned =
        || inbound.hidden.iter().any(|line| **line == *before) || decoded::mentions(&inbound.content, before);
    let alike = || is_of_the_same_hand([first, request]) && is_of_the_same_hand([request, first]);
    let in_list = || match mentioned() {
        true if alike() => None,
        true => Some(Within::Listed),
        false => Some(Within::Alone),
    };
    let alone = |is_so: bool| is_so.then_some(Within::Alone);
    let in_content =
        || decoded::holds(&inbound.content, line) || inbound.hidden.iter().any(|line| within(line));
    match way {
        Way::Behind if line == line_of(own) => alone(inbound.contested.is_some_and(|it| it.whole)),
        Way::Behind if at_once && decoded::holds(own, line) => Some(Within::Alone),
        Way::Behind if at_once && in_content() => in_list(),
        Way::Behind | Way::Tunnel => None,
        Way::Reread => alone(inbound.hidden.iter().any(|line| within(line))),
    }
}

/// What [`came_with`] costs at most for one that came in, in bytes that are decoded.
pub fn cost(inbound: &Exchange) -> usize {
    decoded::cost(inbound.request.raw()) + decoded::cost(&inbound.content)
}

/// A request went out without having come in as one; `status` once it was answered.
pub fn split(split: &Split, second: NodeId, status: Option<u16>, op: Op, world: &mut World) -> Option<Case> {
    let Split { way, first, ref first_name, inbound, within, ref origin, .. } = *split;
    let two = world.graph.get(second)?.exchange()?;
    let (method, target) = name(two);
    let second = format!("{method} {target}");
    let Endpoints { local, remote } = &two.endpoints;
    let (front, back) = match two.side {
        Side::Client => (local.to_string(), remote.to_string()),
        Side::Server => (remote.to_string(), local.to_string()),
    };
    let (contested, text) = (two.contested, words::text(two.request.raw()));
    let framing = world.graph.get(first).and_then(|node| Some(node.exchange()?.request.framing()));
    let served = status.is_some_and(|status| !refuses(status));
    let confidence = match (way, inbound) {
        _ if within == Within::Listed => Confidence::Suspicious,
        (Way::Behind | Way::Reread, Some(_)) if served => Confidence::Confirmed,
        (Way::Tunnel, _) | (_, None) if served => Confidence::Probable,
        _ => Confidence::Suspicious,
    };
    let mut attributes = of_request(&method, &target, status);
    let technique = match (contested, framing) {
        (Some(contested), Some(own)) if way == Way::Behind => technique_of(contested.framing, own),
        _ => way.technique(),
    };
    attributes.push(("tracer.smuggled.text", Value::Str(text)));
    attributes.push(("tracer.smuggling.technique", Value::Str(technique.into())));
    attributes.push(("tracer.smuggling.front_end", Value::Str(front)));
    attributes.push(("tracer.smuggling.back_end", Value::Str(back.clone())));
    attributes.push(("tracer.smuggling.inbound_readable", Value::Bool(inbound.is_some())));
    let mut facts = Vec::new();
    let (since, title) = match origin {
        Some(Origin::Request { start, endpoints, name }) => {
            client(endpoints, &mut attributes);
            facts.push((*start, format!("one request came in, {name} from {}", endpoints.remote)));
            let (method, target) = name.split_once(' ').unwrap_or((name, ""));
            attributes.push(("http.request.method", Value::Str(method.to_owned())));
            attributes.push(("url.path", Value::Str(target.to_owned())));
            (*start, format!("{name} carried {second}, which went to {back} by itself"))
        }
        _ => {
            facts.push((op.time, "what came in could not be read (TLS or HTTP/2)".to_owned()));
            (op.time, format!("{second} went to {back} behind {first_name}, as one message"))
        }
    };
    let how = match way {
        Way::Behind => format!("{second} was sent behind {first_name}, which had no answer yet"),
        Way::Reread => format!("{second} was sent where {first_name} was answered without its content"),
        Way::Tunnel => format!(
            "{second} was sent as it came in, without what the front end adds, behind {first_name}, which asked for more than HTTP"
        ),
    };
    facts.push((op.time, how));
    if let Some(framing) = framing.filter(|_| way != Way::Tunnel) {
        let one = match contested {
            Some(contested) => format!("read by {}", by_reader(contested.framing, contested.leniency)),
            None => "as it came in".to_owned(),
        };
        attributes.push(("tracer.smuggling.framing", Value::Str(by(framing))));
        let two = by(framing);
        let text =
            format!("{one}, {second} is part of {first_name}; as it went out, by {two}, it follows that");
        facts.push((op.time, text));
    }
    if within == Within::Listed {
        let text = format!("what came in names {first_name}, too: it may be a list of requests");
        facts.push((op.time, text));
    }
    if let Some(status) = status {
        facts.push((op.time, format!("{second} was answered {status}")));
    }
    Some(Case {
        rule: SMUGGLING,
        subject: Subject::Node(inbound.unwrap_or(first)),
        severity: severity(confidence),
        confidence,
        title,
        time: since,
        pid: op.pid,
        attributes,
        facts,
    })
}

fn line_of(raw: &[u8]) -> &[u8] {
    let line = raw.split(|b| *b == b'\n').next().unwrap_or_default();
    line.strip_suffix(b"\r").unwrap_or(line)
}
