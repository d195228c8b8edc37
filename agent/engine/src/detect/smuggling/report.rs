//! What an answer says of the request that may have carried another one.

use super::{
    Carrier, Origin,
    hand::is_marked,
    hidden::Hidden,
    reading::is_ambiguous,
    words::{
        by, by_reader, client, excerpt, line, of_request, refuses, severity, smuggled, start, technique,
        technique_of,
    },
};
use crate::{
    Time, Value,
    cases::{Case, Subject},
    exchange::{Contested, Endpoints, Exchange, Side},
    finding::Confidence,
    world::{Op, World},
};

/// The rule of what is served though nobody framed it.
pub const SMUGGLING: &str = "http.request_smuggling";

/// An answer to a request that nobody framed.
#[derive(Clone, Copy, Debug)]
pub struct Ghost {
    /// Its status line's code.
    pub status: u16,
    /// Who wrote or read it, and when.
    pub op: Op,
    /// What became of it.
    pub write: Write,
    /// Whether it may be no answer, but the last word of a server that closes an idle connection.
    pub farewell: bool,
}

/// What became of a write that begins an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// It left.
    Done,
    /// It left, behind bytes of answers that were not seen.
    Unsure {
        /// How many at least.
        unheard: u64,
    },
    /// It failed; it still shows what the server did.
    Failed,
    /// It failed as the one before had: who cannot say one thing may say so, or say it again.
    FailedAgain {
        /// Whether it says the same.
        same: bool,
    },
}

/// A final response began though every request had its own. Nothing where that has other explanations.
pub fn extra_answer(carrier: &Carrier, ghost: Ghost, world: &mut World) -> Option<Case> {
    let Ghost { status, op, write, farewell } = ghost;
    let (refused, hidden) = (refuses(status), carrier.carried());
    let sender = Sender::of(carrier, world);
    // Who sent both by himself may have meant two, or nothing that could be read.
    let unsure = refused || is_ambiguous(carrier.deviations);
    let confidence = match status {
        // RFC 9110, 15.5.9: sent to a client that said nothing for a while.
        408 => return None,
        _ if refused && hidden.is_none() => return None,
        // An application that answers twice.
        _ if carrier.is_plain() => Confidence::Suspicious,
        500.. if !carrier.is_seen_inside() => Confidence::Suspicious,
        _ if matches!(write, Write::Unsure { .. }) => Confidence::Suspicious,
        500.. if matches!(write, Write::FailedAgain { .. }) => Confidence::Suspicious,
        _ if farewell => Confidence::Suspicious,
        _ if unsure && sender == Sender::Client => Confidence::Suspicious,
        // Whoever reads on there does not find that request first: what is refused is something else.
        _ if refused && !carrier.begins_with_request() => Confidence::Suspicious,
        // No method at all.
        501 if !hidden.is_some_and(Hidden::is_in_capitals) => Confidence::Suspicious,
        _ if refused || write == (Write::FailedAgain { same: true }) => Confidence::Probable,
        // A turn later, what was not seen is less likely to have been a request.
        _ if !carrier.is_seen_inside() && carrier.turns > 0 => Confidence::Suspicious,
        _ if !carrier.is_seen_inside() => Confidence::Probable,
        _ if unsure && sender == Sender::Unseen => Confidence::Probable,
        _ => Confidence::Confirmed,
    };
    let title = format!("{} carried {}, which was answered {status}", carrier.name(), request(carrier));
    let mut case = case(carrier, confidence, title, op, world);
    let how = match carrier.side {
        Side::Server if matches!(write, Write::Failed | Write::FailedAgain { .. }) => {
            "was written, in vain as the connection was closed,"
        }
        Side::Server => "was written",
        Side::Client => "was read",
    };
    case.facts.push((op.time, format!("a further answer, {status}, {how} though every request had its own")));
    if let Write::Unsure { unheard } = write {
        let text = format!("{unheard} bytes of answers before it were not seen: it may be part of one");
        case.facts.push((op.time, text));
    }
    if farewell {
        let text =
            "it says that the connection closes, which was idle: it may be about that alone".to_owned();
        case.facts.push((op.time, text));
    }
    case.attributes.extend(smuggled(carrier, Some(status)));
    Some(case)
}

/// The answer to a carrier has a second status line among its fields.
pub fn two_status_lines(carrier: &Carrier, line: &[u8], ghost: Ghost, world: &mut World) -> Option<Case> {
    let confidence = match refuses(ghost.status) {
        true if carrier.carried().is_none() => return None,
        true if !carrier.begins_with_request() => Confidence::Suspicious,
        true => Confidence::Probable,
        // An application that passes on what it was answered itself.
        false if !carrier.is_seen_inside() => Confidence::Suspicious,
        false => Confidence::Confirmed,
    };
    let title =
        format!("{} carried {}, which was answered within its answer", carrier.name(), request(carrier));
    let mut case = case(carrier, confidence, title, ghost.op, world);
    let text =
        format!("its answer has a second status line among its fields: {}", excerpt(line.trim_ascii_end()));
    case.facts.push((ghost.op.time, text));
    case.attributes.extend(smuggled(carrier, Some(ghost.status)));
    Some(case)
}

/// What follows the answers to all requests is none, or an answer begins in a content that only the end of the
/// connection ends; and the carrier's content holds a request.
pub fn odd_answer(carrier: &Carrier, status: Option<u16>, op: Op, world: &mut World) -> Case {
    let title = format!("{} carried {}, which seems to have been answered", carrier.name(), request(carrier));
    let confidence = match Sender::of(carrier, world) {
        Sender::Client => Confidence::Suspicious,
        _ if status.is_none() && !carrier.begins_with_request() => Confidence::Suspicious,
        _ => Confidence::Probable,
    };
    let mut case = case(carrier, confidence, title, op, world);
    let text = match status {
        Some(status) => format!("an answer, {status}, was written where the one before had not ended"),
        None => "bytes were written behind the answers to all requests".to_owned(),
    };
    case.facts.push((op.time, text));
    case.attributes.extend(smuggled(carrier, status));
    case
}

/// A request, as far as a verdict about it needs it.
#[derive(Debug)]
pub struct Asked {
    method: String,
    target: String,
    /// Whether an intermediary says that it was there.
    is_marked: bool,
}

impl Asked {
    /// That of an exchange.
    pub fn of(exchange: &Exchange) -> Self {
        let (method, target) = super::name(exchange);
        Self { method, target, is_marked: is_marked(&exchange.request) }
    }
}

/// A request was answered that is content of the carrier in another reading.
pub fn swallowed(
    carrier: &Carrier,
    contested: Contested,
    request: &Asked,
    status: u16,
    op: Op,
    world: &mut World,
) -> Case {
    let Asked { method, target, is_marked } = request;
    // Only who passes on what came in can have read it otherwise: whoever asks for himself asked twice. One that is
    // elsewhere leaves his mark on what he takes for a request.
    let marked = carrier.is_marked && !is_marked;
    let confidence = match Sender::of(carrier, world) {
        _ if refuses(status) => Confidence::Suspicious,
        Sender::FrontEnd => Confidence::Confirmed,
        _ if marked => Confidence::Probable,
        _ => Confidence::Suspicious,
    };
    let title = format!("{} carried {method} {target}, which was answered {status}", carrier.name());
    let mut case = case(carrier, confidence, title, op, world);
    let end = if contested.whole { "ends where its sender stopped" } else { "goes on" };
    let by_other = by_reader(contested.framing, contested.leniency);
    let read = format!("read by {by_other}, the message {end}, and holds {method} {target}");
    let answer = format!("the answer {status} shows that it was read by {}", by(carrier.framing));
    case.facts.extend([(op.time, read), (op.time, answer)]);
    case.attributes.retain(|(key, _)| *key != "tracer.smuggling.technique");
    let technique = technique_of(contested.framing, carrier.framing).into();
    case.attributes.push(("tracer.smuggling.technique", Value::Str(technique)));
    case.attributes.extend(of_request(method, target, Some(status)));
    case
}

/// A request was answered that may be the content of the carrier, which was answered without it.
pub fn unread(carrier: &Carrier, request: &Asked, status: u16, op: Op, world: &mut World) -> Case {
    let Asked { method, target, .. } = request;
    let confidence = match Sender::of(carrier, world) {
        Sender::FrontEnd if !refuses(status) => Confidence::Probable,
        _ => Confidence::Suspicious,
    };
    let title = format!("{} carried {method} {target}, which was answered {status}", carrier.name());
    let mut case = case(carrier, confidence, title, op, world);
    let text = format!(
        "{method} {target} came where that was answered without its content, and was answered {status}"
    );
    case.facts.push((op.time, text));
    case.attributes.retain(|(key, _)| *key != "tracer.smuggling.technique");
    let technique = super::Way::Reread.technique().into();
    case.attributes.push(("tracer.smuggling.technique", Value::Str(technique)));
    case.attributes.extend(of_request(method, target, Some(status)));
    case
}

/// The answer to the first request behind a carrier whose content ends within a request names that one's target. Nothing
/// where both came from who asks for himself: a front end passes on such an answer as it got it.
pub fn swapped(
    carrier: &Carrier,
    (instead_of, how): (&str, &str),
    status: u16,
    op: Op,
    world: &mut World,
) -> Option<Case> {
    if Sender::of(carrier, world) == Sender::Client {
        return None;
    }
    let request = carrier.content.found().last().map_or_else(String::new, line);
    let title = format!(
        "{} carried {request}, which seems to have been answered in the place of {instead_of}",
        carrier.name()
    );
    // Who could not read them ran neither.
    let confidence = if refuses(status) { Confidence::Suspicious } else { Confidence::Probable };
    let mut case = case(carrier, confidence, title, op, world);
    let text = format!("{request} seems to have taken in {instead_of}: the answer {status} to that {how}");
    case.facts.push((op.time, text));
    case.attributes.extend(smuggled(carrier, Some(status)));
    Some(case)
}

/// A later request on the connection, in words: it may have got an answer that was not its own.
pub fn hit(exchange: &Exchange) -> String {
    let (method, target) = super::name(exchange);
    format!("{method} {target} came later on the same connection: it may have got the answer of another")
}

/// Who sent a carrier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sender {
    /// Who passes on what came in.
    FrontEnd,
    /// Who asks for himself.
    Client,
    /// It is not known.
    Unseen,
}

impl Sender {
    fn of(carrier: &Carrier, world: &mut World) -> Self {
        match origin(carrier, world) {
            Some(origin) if origin.is_front_end() => Self::FrontEnd,
            Some(_) => Self::Client,
            None => Self::Unseen,
        }
    }
}

/// Where a carrier came from, as far as that is still known.
fn origin(carrier: &Carrier, world: &mut World) -> Option<Origin> {
    carrier.node.and_then(|node| Origin::of(node, world)).or_else(|| carrier.origin.clone())
}

/// What all findings about a carrier say.
fn case(carrier: &Carrier, confidence: Confidence, title: String, op: Op, world: &mut World) -> Case {
    let mut attributes = carrier.attributes();
    let Endpoints { local, remote } = &carrier.endpoints;
    let (front, back) = match carrier.side {
        Side::Server => (remote, local),
        Side::Client => (local, remote),
    };
    attributes.push(("tracer.smuggling.technique", Value::Str(technique(carrier).into())));
    attributes.push(("tracer.smuggling.framing", Value::Str(by(carrier.framing))));
    attributes.push(("tracer.smuggling.front_end", Value::Str(front.to_string())));
    attributes.push(("tracer.smuggling.back_end", Value::Str(back.to_string())));
    if !carrier.deviations.is_empty() {
        let names = carrier.deviations.names().map(str::to_owned).collect();
        attributes.push(("tracer.framing.deviations", Value::Strings(names)));
    }
    let mut facts = Vec::new();
    let origin = origin(carrier, world);
    match &origin {
        Some(Origin::Request { start, endpoints, name }) => {
            client(endpoints, &mut attributes);
            facts.push((*start, format!("one request came in, {name} from {}", endpoints.remote)));
        }
        _ if carrier.side == Side::Server => client(&carrier.endpoints, &mut attributes),
        _ => {}
    }
    if let Some(origin) = origin.filter(Origin::is_front_end) {
        let readable = matches!(origin, Origin::Request { .. });
        attributes.push(("tracer.smuggling.inbound_readable", Value::Bool(readable)));
    }
    facts.extend(carried(carrier, back));
    // What all verdicts rest on: who asked what, and how often.
    facts.extend(carrier.missing.facts(carrier.place).map(|text| (op.time, text)));
    let confidence = if carrier.missing.is_empty() { confidence } else { Confidence::Suspicious };
    Case {
        rule: SMUGGLING,
        subject: carrier.node.map_or(Subject::Other(carrier.op.time.0), Subject::Node),
        severity: severity(confidence),
        confidence,
        title,
        time: carrier.op.time,
        pid: op.pid,
        attributes,
        facts,
    }
}

/// What is known of the carrier, as facts.
fn carried(carrier: &Carrier, back: &crate::exchange::Endpoint) -> Vec<(Time, String)> {
    let begun = carrier.op.time;
    let (passed, unseen) = (carrier.content.passed(), carrier.content.unseen());
    let name = carrier.name();
    let mut facts = vec![(
        begun,
        format!("{back} got {name} with {passed} bytes of content, framed by {}", by(carrier.framing)),
    )];
    for reading in &carrier.readings {
        let by = by_reader(reading.framing, reading.leniency);
        facts.push((begun, format!("another reader may frame it by {by}")));
    }
    for hidden in carrier.content.found() {
        let text = format!("at byte {} of its content begins {}", hidden.offset, line(hidden));
        facts.push((begun, text));
    }
    // The other reading, where it is none of the framing: that of who leaves the content where it is.
    if let (true, Some(hidden)) = (carrier.readings.is_empty(), carrier.carried()) {
        facts.push((begun, format!("a reader that leaves content unread comes to {} there", line(hidden))));
    }
    if carrier.content.more() > 0 {
        facts.push((begun, format!("so do {} more", carrier.content.more())));
    }
    if unseen > 0 {
        facts.push((begun, format!("{unseen} of the {passed} bytes of content were not seen")));
    }
    if let Some((time, status)) = carrier.answered {
        facts.push((time, format!("{name} was answered {status}")));
    }
    facts
}

/// The request that a carrier brought, as one says it.
fn request(carrier: &Carrier) -> String {
    match carrier.carried() {
        Some(hidden) => hidden.head().map_or_else(|| line(hidden), |head| start(&head)),
        None => "a request that was not captured".to_owned(),
    }
}
