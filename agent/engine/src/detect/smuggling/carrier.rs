//! Requests that may carry another one: those with content, and those whose framing is odd.

use super::{
    Origin,
    hand::{forwarded_for, is_marked},
    hidden::{Hidden, Scanner},
    missing::Missing,
    reading::Reading,
    words::without_secrets,
};
use crate::{
    Time, Value,
    exchange::{Contested, Endpoints, Exchange, Side},
    graph::{Graph, NodeId},
    http1::{Deviations, Framing},
    protocol::Protocol,
    world::{Op, World},
};

/// Longest target that is kept, in bytes.
const MAX_TARGET: usize = 512;

/// A request that may carry another one.
#[derive(Debug)]
pub struct Carrier {
    /// Its exchange, when there was room for it.
    pub node: Option<NodeId>,
    /// Which end of the connection this is.
    pub side: Side,
    /// The operation that moved its first byte.
    pub op: Op,
    /// Method.
    pub method: String,
    /// Target, at most 512 bytes.
    pub target: String,
    /// Who says that it came on behalf of whom (`Forwarded`, `X-Forwarded-For`).
    pub forwarded_for: Option<String>,
    /// Whether an intermediary says that it was there.
    pub is_marked: bool,
    /// Both ends of the connection.
    pub endpoints: Endpoints,
    /// What the parser went by.
    pub framing: Framing,
    /// In what the message departs from the grammar.
    pub deviations: Deviations,
    /// What its content holds.
    pub content: Scanner,
    /// Other readings of where it ends.
    pub readings: Vec<Reading>,
    /// Other readings of its chunks, while these are in order.
    chunks: Vec<Reading>,
    /// Records that the kernel side had lost when it began.
    pub lost: u64,
    /// What was not read since then of what was sent behind it.
    pub missing: Missing,
    /// Where in the stream it begins.
    pub place: u64,
    /// Whether the other end of the connection is seen too: what happens there is told there.
    pub joined: bool,
    /// Where it came from, once it was answered.
    pub origin: Option<Origin>,
    /// How many of the requests in its content were answered.
    pub served: usize,
    /// The first request behind it, if its content ends within one.
    pub next: Option<NodeId>,
    /// Whether its own answer names the target of the request in it.
    pub names_hidden: bool,
    /// Requests behind it whose sender had waited for an answer.
    pub turns: u8,
    /// When its answer began, and with which status.
    pub answered: Option<(Time, u16)>,
}

impl Carrier {
    /// A request as one, if it can be one: other protocols than HTTP/1 can be read in one way only.
    pub fn of(exchange: &Exchange, node: Option<NodeId>, op: Op, lost: u64) -> Option<Self> {
        if exchange.protocol != Protocol::Http1 {
            return None;
        }
        let head = &exchange.request;
        let readings = Reading::others(head);
        let mut content = Scanner::default();
        if super::is_ambiguous(head.deviations()) {
            // Other readers may find the end of a line, and of the head, where this one finds none.
            let line = head.raw().iter().position(|b| matches!(b, b'\r' | b'\n')).unwrap_or_default();
            content.around(0, &head.raw()[line..]);
        }
        let bare = matches!(head.framing(), Framing::None | Framing::Length(0));
        if bare && readings.is_empty() && content.found().is_empty() {
            return None;
        }
        let crate::http1::Start::Request { method, target } = head.start() else { return None };
        let text = |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(MAX_TARGET)]).into_owned();
        Some(Self {
            node,
            side: exchange.side,
            op,
            method: method.to_owned(),
            target: without_secrets(&text(target)),
            forwarded_for: forwarded_for(head).map(text),
            is_marked: is_marked(head),
            endpoints: exchange.endpoints.clone(),
            framing: head.framing(),
            deviations: head.deviations(),
            content,
            readings,
            chunks: Reading::of_chunks(head),
            lost,
            missing: Missing::default(),
            place: 0,
            joined: false,
            origin: None,
            served: 0,
            next: None,
            names_hidden: false,
            turns: 0,
            answered: None,
        })
    }

    /// Its answer begins, with this status.
    pub fn answer_begins(&mut self, at: Time, status: u16, world: &mut World) {
        self.answered = Some((at, status));
        self.meets(&world.graph);
        // Of most there will never be a word to say.
        let to_come = matches!(self.framing, Framing::Length(length) if self.content.passed() < length);
        if self.suspicion() != (false, false) || to_come {
            self.origin = self.node.and_then(|node| Origin::of(node, world));
        }
    }

    /// Sees whether the other end of the connection is known by now.
    pub fn meets(&mut self, graph: &Graph) {
        self.joined |= self.node.and_then(|node| graph.get(node)?.partner).is_some();
    }

    /// How likely it is the one of several that carried something: most of all, what shows a request inside. Of two
    /// alike it is the later one.
    pub fn suspicion(&self) -> (bool, bool) {
        (!self.content.found().is_empty(), !self.readings.is_empty())
    }

    /// Whether what its sender did is told by its other end, which is seen too.
    pub fn is_told_elsewhere(&self) -> bool {
        self.joined && self.side == Side::Server
    }

    /// Reads on in all readings; those that do not go on so are out.
    pub fn read(&mut self, mut goes_on: impl FnMut(&mut Reading) -> bool) {
        self.readings.retain_mut(&mut goes_on);
        self.chunks.retain_mut(&mut goes_on);
    }

    /// Where another reading ends a request may begin, however many are kept already.
    pub fn expect(&mut self) {
        let readings = self.readings.iter().chain(&self.chunks);
        self.content.expect(readings.filter_map(Reading::end));
    }

    /// The parser has found these deviations in the content, which ends there for it, if it does: odd chunks are
    /// read in other ways from now on.
    pub fn has_content(&mut self, deviations: Deviations, end: Option<u64>) {
        self.deviations |= deviations;
        let chunks = std::mem::take(&mut self.chunks);
        if deviations.has_any(&Deviations::OF_CHUNKS) {
            self.readings.extend(chunks.into_iter().filter(|reading| end.is_none() || reading.end() != end));
        }
    }

    /// Whether what is at `place` is content of it in another reading.
    pub fn takes_in(&self, place: u64) -> bool {
        self.readings.iter().any(|reading| reading.end().is_none_or(|end| end > place))
    }

    /// Whether it shows nothing that another reader could take for a request.
    pub fn is_plain(&self) -> bool {
        !self.is_seen_inside() && self.content.unseen() == 0
    }

    /// Whether it shows something that another reader could take for a request, or has another end.
    pub fn is_seen_inside(&self) -> bool {
        !self.content.found().is_empty() || self.readings.iter().any(|reading| !reading.is_of_head())
    }

    /// What a request is that came behind it, in another reading of this one: the first that is a whole one.
    pub fn contests(&self, request: NodeId) -> Option<Contested> {
        let readings = self.readings.iter().filter(|reading| reading.contests(request));
        let reading = readings.max_by_key(|reading| reading.is_whole())?;
        Some(reading.contested(self.node?))
    }

    /// The request in it that is answered next.
    pub fn carried(&self) -> Option<&Hidden> {
        let found = self.content.found();
        // Where another reading ends, the next request begins.
        let ends = |place| self.readings.iter().any(|reading| reading.end() == Some(place));
        let first = found.iter().position(|hidden| ends(hidden.place)).unwrap_or_default();
        found.get(first + self.served).or(found.last())
    }

    /// Whether who leaves the content unread finds a request there at once, so that what he refuses may be that one.
    pub fn begins_with_request(&self) -> bool {
        let raw = matches!(self.framing, Framing::Length(_));
        raw && self.content.found().first().is_some_and(|hidden| hidden.first)
    }

    /// Method and target, as one says it.
    pub fn name(&self) -> String {
        format!("{} {}", self.method, self.target)
    }

    /// What it says of itself, for the attributes of a finding.
    pub fn attributes(&self) -> Vec<(&'static str, Value)> {
        let mut attributes = vec![("http.request.method", Value::Str(self.method.clone()))];
        let (path, query) = match self.target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (self.target.as_str(), None),
        };
        attributes.push(("url.path", Value::Str(path.to_owned())));
        if let Some(query) = query {
            attributes.push(("url.query", Value::Str(query.to_owned())));
        }
        if let Some(forwarded) = &self.forwarded_for {
            attributes.push(("tracer.forwarded_for", Value::Str(forwarded.clone())));
        }
        attributes
    }

    /// Memory that it takes elsewhere.
    pub fn held(&self) -> usize {
        let texts =
            self.method.len() + self.target.len() + self.forwarded_for.as_ref().map_or(0, String::len);
        size_of::<Self>()
            + texts
            + self.content.held()
            + self.missing.held()
            + self.readings.iter().chain(&self.chunks).map(Reading::held).sum::<usize>()
    }
}
