//! The findings in words.

use super::{Carrier, hidden::Hidden, reading::AMBIGUOUS};
use crate::{
    Time, Value,
    exchange::{Endpoint, Endpoints, Exchange, Side},
    finding::{Case, Confidence, Severity, Subject},
    graph::{Graph, NodeId},
    http1::{Deviations, Framing, Head},
    world::{Op, World},
};
use std::hash::{Hash, Hasher};

const SMUGGLING: &str = "http.request_smuggling";
const AMBIGUOUS_FRAMING: &str = "http.ambiguous_framing";
/// Longest excerpt of a stranger's bytes, in bytes.
const MAX_EXCERPT: usize = 200;

/// An answer to a request that nobody framed.
#[derive(Clone, Copy, Debug)]
pub struct Ghost<'a> {
    /// Its status line's code.
    pub status: u16,
    /// Who wrote it, and when.
    pub op: Op,
    /// Whether the write failed.
    pub failed: bool,
    /// What it answers, if that was captured.
    pub hidden: Option<&'a Hidden>,
}

/// A final response began though every request had its own. Nothing where that has other explanations.
pub fn extra_answer(carrier: &Carrier, ghost: Ghost<'_>, world: &mut World) -> Option<Case> {
    let refused = refuses(ghost.status);
    let confidence = match ghost.status {
        // RFC 9110, 15.5.9: sent to a client that said nothing for a while.
        408 => return None,
        _ if world.stats.lost > carrier.lost => Confidence::Suspicious,
        _ if refused && ghost.hidden.is_none() => return None,
        _ if refused => Confidence::Probable,
        _ => Confidence::Confirmed,
    };
    let request = ghost.hidden.map_or("a request that was not captured".to_owned(), name);
    let title = format!("{} carried {request}, which was answered {}", carrier.name(), ghost.status);
    let mut case = case(carrier, confidence, title, ghost.op, world);
    case.facts.extend(carried(carrier));
    let write =
        if ghost.failed { "was written, in vain as the connection was closed," } else { "was written" };
    let text = format!("a further answer, {}, {write} though every request had its own", ghost.status);
    case.facts.push((ghost.op.time, text));
    if world.stats.lost > carrier.lost {
        let lost = world.stats.lost - carrier.lost;
        case.facts
            .push((ghost.op.time, format!("{lost} records were lost meanwhile: it may answer one of them")));
    }
    case.attributes.extend(smuggled(ghost.hidden, Some(ghost.status)));
    Some(case)
}

/// The answer to a carrier has a second status line among its fields.
pub fn two_status_lines(carrier: &Carrier, line: &[u8], ghost: Ghost<'_>, world: &mut World) -> Case {
    let request = ghost.hidden.map_or("a request that was not captured".to_owned(), name);
    let title = format!("{} carried {request}, which was answered within its answer", carrier.name());
    let mut case = case(carrier, Confidence::Confirmed, title, ghost.op, world);
    case.facts.extend(carried(carrier));
    let text = format!("its answer has a second status line among its fields: {}", excerpt(line));
    case.facts.push((ghost.op.time, text));
    case.attributes.extend(smuggled(ghost.hidden, Some(ghost.status)));
    case
}

/// A request was answered that is content of the carrier in another reading.
pub fn swallowed(
    carrier: &Carrier,
    framing: Framing,
    request: &Exchange,
    status: u16,
    op: Op,
    world: &mut World,
) -> Case {
    let target = String::from_utf8_lossy(request.target()).into_owned();
    let title =
        format!("{} carried {} {target}, which was answered {status}", carrier.name(), request.method());
    let mut case = case(carrier, Confidence::Confirmed, title, op, world);
    case.facts.extend(carried(carrier));
    let text = format!(
        "read by {}, the message ends where its sender stopped, and holds {} {target}; the answer {status} shows that it was read by {}",
        by(framing),
        request.method(),
        by(carrier.framing),
    );
    case.facts.push((op.time, text));
    case.attributes.extend(of_request(request.method(), &target, Some(status)));
    case
}

/// A request was sent behind another before that was answered, as no front end does; `inbound` is the request
/// that holds its line.
pub fn split(
    (first, second): (NodeId, NodeId),
    inbound: Option<NodeId>,
    status: Option<u16>,
    op: Op,
    world: &mut World,
) -> Option<Case> {
    let exchange = |node| world.graph.get(node)?.exchange();
    let (one, two) = (exchange(first)?, exchange(second)?);
    let text =
        |exchange: &Exchange| format!("{} {}", exchange.method(), String::from_utf8_lossy(exchange.target()));
    let (one, name) = (text(one), text(two));
    let (method, target) = (two.method().to_owned(), String::from_utf8_lossy(two.target()).into_owned());
    let endpoints = two.endpoints.clone();
    let subject = inbound.unwrap_or(first);
    let served = status.is_some_and(|status| !refuses(status));
    let confidence = match inbound {
        Some(_) if served => Confidence::Confirmed,
        None if served => Confidence::Probable,
        _ => Confidence::Suspicious,
    };
    let inbound = inbound.and_then(|node| world.graph.get(node)).filter(|node| node.exchange().is_some());
    let carrier = inbound.and_then(|node| node.exchange()).map(|exchange| {
        (
            text(exchange),
            (exchange.method().to_owned(), excerpt(exchange.target()), exchange.endpoints.clone()),
        )
    });
    let since = inbound.map_or(op.time, |node| node.start);
    let title = match &carrier {
        Some((carrier, _)) => format!("{carrier} was split: {name} went upstream with it"),
        None => format!("{one} went upstream with a second request behind it, {name}"),
    };
    let mut facts = vec![(
        op.time,
        format!("to {}: {name} was sent behind {one}, which had no answer yet", endpoints.remote),
    )];
    match &carrier {
        Some((carrier, _)) => facts.push((
            since,
            format!("one request came in, {carrier}, which holds the line {name} when decoded"),
        )),
        None => facts.push((op.time, "what came in could not be read (TLS or HTTP/2)".to_owned())),
    }
    if let Some(status) = status {
        facts.push((op.time, format!("{name} was answered {status}")));
    }
    let mut attributes = vec![
        ("tracer.smuggling.technique", Value::Str("request splitting".into())),
        ("tracer.smuggling.back_end", Value::Str(endpoints.remote.to_string())),
        ("tracer.smuggling.inbound_readable", Value::Bool(carrier.is_some())),
    ];
    if let Some((_, (method, path, ends))) = carrier {
        attributes.push(("http.request.method", Value::Str(method)));
        attributes.push(("url.path", Value::Str(path)));
        client(&ends, &mut attributes);
    }
    attributes.extend(of_request(&method, &target, status));
    Some(Case {
        rule: SMUGGLING,
        subject: Subject::Node(subject),
        severity: Severity::Critical,
        confidence,
        title,
        time: since,
        pid: op.pid,
        attributes,
        facts,
    })
}

/// A later request on the connection, which may have got an answer that was not its own.
pub fn hit(case: &Case, exchange: &Exchange, time: Time) -> Case {
    let target = String::from_utf8_lossy(exchange.target());
    let name = excerpt(format!("{} {target}", exchange.method()).as_bytes());
    let text = format!("{name} came later on the same connection: it may have got the answer of another");
    Case { facts: vec![(time, text)], ..case.clone() }
}

/// A message that can be read in more than one way.
pub fn ambiguous(carrier: &Carrier, deviations: Deviations, pid: u32) -> Case {
    let names: Vec<_> = AMBIGUOUS
        .into_iter()
        .filter(|kind| deviations.contains(*kind))
        .flat_map(Deviations::names)
        .map(|name| name.replace('_', " "))
        .collect();
    let (kind, title) = match names.as_slice() {
        [] => (
            "request in content".to_owned(),
            format!("the content of {} begins with a request", carrier.name()),
        ),
        names => (
            names.join(", "),
            format!("{} can be framed in more than one way: {}", carrier.name(), names.join(", ")),
        ),
    };
    let Endpoints { remote, .. } = &carrier.endpoints;
    let mut hasher = twox_hash::XxHash3_64::new();
    (address(remote), pid, &kind).hash(&mut hasher);
    let mut attributes = carrier.attributes();
    client(&carrier.endpoints, &mut attributes);
    attributes.push(("tracer.framing.deviations", Value::Strings(names)));
    Case {
        rule: AMBIGUOUS_FRAMING,
        subject: Subject::Other(hasher.finish()),
        severity: Severity::Medium,
        confidence: Confidence::Suspicious,
        title,
        time: carrier.op.time,
        pid,
        attributes,
        facts: vec![(carrier.op.time, format!("{} from {remote}: {kind}", carrier.name()))],
    }
}

/// Whether a status says that the server could not read a request: it ran nothing then.
fn refuses(status: u16) -> bool {
    matches!(status, 400 | 414 | 431 | 501 | 505)
}

/// What all smuggling findings about a carrier say.
fn case(carrier: &Carrier, confidence: Confidence, title: String, op: Op, world: &mut World) -> Case {
    let mut attributes = carrier.attributes();
    let Endpoints { local, remote } = &carrier.endpoints;
    attributes.push(("tracer.smuggling.technique", Value::Str(technique(carrier).into())));
    attributes.push(("tracer.smuggling.framing", Value::Str(by(carrier.framing))));
    attributes.push(("tracer.smuggling.front_end", Value::Str(remote.to_string())));
    attributes.push(("tracer.smuggling.back_end", Value::Str(local.to_string())));
    if !carrier.deviations.is_empty() {
        let names = carrier.deviations.names().map(str::to_owned).collect();
        attributes.push(("tracer.framing.deviations", Value::Strings(names)));
    }
    let mut facts = Vec::new();
    let origin = carrier.node.and_then(|node| inbound(node, world));
    match origin.and_then(|node| world.graph.get(node)).and_then(|node| node.exchange()) {
        Some(exchange) => {
            client(&exchange.endpoints, &mut attributes);
            let target = excerpt(exchange.target());
            let from = &exchange.endpoints.remote;
            let text = format!("one request came in, {} {target} from {from}", exchange.method());
            facts.push((carrier.op.time, text));
        }
        None => client(&carrier.endpoints, &mut attributes),
    }
    Case {
        rule: SMUGGLING,
        subject: carrier.node.map_or(Subject::Other(carrier.op.time.0), Subject::Node),
        severity: Severity::Critical,
        confidence,
        title,
        time: carrier.op.time,
        pid: op.pid,
        attributes,
        facts,
    }
}

/// The request that came in at the front end for a request at the back end.
fn inbound(server: NodeId, world: &mut World) -> Option<NodeId> {
    let client = world.graph.get(server)?.partner?;
    if world.graph.is_undecided(client) {
        world.causes.decide(client, &mut world.graph);
    }
    world.graph.cause(client).filter(|cause| is_server(*cause, &world.graph))
}

fn is_server(node: NodeId, graph: &Graph) -> bool {
    graph.get(node).and_then(|node| node.exchange()).is_some_and(|exchange| exchange.side == Side::Server)
}

/// What is known of the carrier, as facts.
fn carried(carrier: &Carrier) -> Vec<(Time, String)> {
    let start = carrier.op.time;
    let Endpoints { local, remote } = &carrier.endpoints;
    let (passed, unseen) = (carrier.content.passed(), carrier.content.unseen());
    let mut facts = vec![(
        start,
        format!(
            "{local} got {} from {remote}, with {passed} bytes of content by {}",
            carrier.name(),
            by(carrier.framing)
        ),
    )];
    for hidden in carrier.content.found() {
        facts.push((
            start,
            format!("byte {} of the content begins a request: {}", hidden.offset, excerpt(hidden.line())),
        ));
    }
    for reading in &carrier.readings {
        facts.push((start, format!("another reader may frame it by {}", by(reading.framing))));
    }
    if unseen > 0 {
        facts.push((start, format!("{unseen} of the {passed} bytes of content were not seen")));
    }
    if let Some((time, Some(status))) = carrier.answered {
        facts.push((time, format!("{} was answered {status}", carrier.name())));
    }
    facts
}

/// How the two readers disagree, in the words of those who study it.
fn technique(carrier: &Carrier) -> &'static str {
    let other =
        |framing: fn(&Framing) -> bool| carrier.readings.iter().any(|reading| framing(&reading.framing));
    let length = other(|framing| matches!(framing, Framing::Length(_)));
    match carrier.framing {
        Framing::Length(_) if other(|framing| *framing == Framing::Chunked) => "CL.TE: length against coding",
        Framing::Chunked | Framing::Unknown if length => "TE.CL: coding against length",
        Framing::Length(_) => "CL.0: content left unread",
        Framing::Chunked if carrier.deviations.contains(Deviations::BARE_LF) => "TE.TE: line ends of chunks",
        Framing::Chunked => "TE.0: content left unread",
        _ => "ambiguous framing",
    }
}

fn by(framing: Framing) -> String {
    match framing {
        Framing::None => "no length and no coding (no content)".into(),
        Framing::Length(length) => format!("Content-Length ({length})"),
        Framing::Chunked => "the chunked coding".into(),
        Framing::UntilClose | Framing::Tunnel => "the end of the connection".into(),
        Framing::Unknown => "nothing that RFC 9112 allows".into(),
    }
}

fn client(endpoints: &Endpoints, attributes: &mut Vec<(&'static str, Value)>) {
    attributes.push(("client.address", Value::Str(address(&endpoints.remote))));
    if let Endpoint::Tcp(_, port) = endpoints.remote {
        attributes.push(("client.port", Value::Int(port.into())));
    }
}

fn address(endpoint: &Endpoint) -> String {
    match endpoint {
        Endpoint::Tcp(address, _) => address.to_string(),
        Endpoint::Unix(_) => endpoint.to_string(),
    }
}

fn name(hidden: &Hidden) -> String {
    match hidden.head() {
        Some(head) => start(&head),
        None => excerpt(hidden.line()),
    }
}

fn start(head: &Head) -> String {
    match head.start() {
        crate::http1::Start::Request { method, target } => format!("{method} {}", excerpt(target)),
        crate::http1::Start::Response { status, .. } => status.to_string(),
    }
}

fn smuggled(hidden: Option<&Hidden>, status: Option<u16>) -> Vec<(&'static str, Value)> {
    let head = hidden.and_then(Hidden::head);
    let mut attributes = match head.as_ref().map(|head| head.start()) {
        Some(crate::http1::Start::Request { method, target }) => of_request(method, &excerpt(target), status),
        _ => of_request("", "", status),
    };
    if let Some(hidden) = hidden {
        attributes
            .push(("tracer.smuggled.text", Value::Str(String::from_utf8_lossy(&hidden.text).into_owned())));
    }
    attributes
}

fn of_request(method: &str, target: &str, status: Option<u16>) -> Vec<(&'static str, Value)> {
    let mut attributes = Vec::new();
    if !method.is_empty() {
        attributes.push(("tracer.smuggled.method", Value::Str(method.to_owned())));
        attributes.push(("tracer.smuggled.target", Value::Str(target.to_owned())));
    }
    if let Some(status) = status {
        attributes.push(("tracer.smuggled.status_code", Value::Int(status.into())));
    }
    attributes
}

fn excerpt(bytes: &[u8]) -> String {
    bytes[..bytes.len().min(MAX_EXCERPT)].escape_ascii().to_string()
}
