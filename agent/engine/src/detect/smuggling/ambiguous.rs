//! Framing that readers may take differently: a lesser rule, of what attacks are made of.

use super::{Carrier, origin::inbound, reading::AMBIGUOUS, words};
use crate::{
    Value,
    exchange::Side,
    finding::{Case, Confidence, Severity, Subject},
    http1::Deviations,
    world::World,
};
use rustc_hash::{FxHashMap, FxHashSet};
use std::hash::{Hash, Hasher};

/// The rule of framing that readers may read differently.
const RULE: &str = "http.ambiguous_framing";
/// Most clients of one process that are told each by itself, of one kind of oddity: past it, it is the way of all.
const MAX_CLIENTS: usize = 16;
/// Most kinds of processes whose clients are known: past it all are forgotten, and told again.
const MAX_KINDS: usize = 1024;

/// Who was told of, by process and kind of oddity.
#[derive(Debug, Default)]
pub struct Ambiguities {
    clients: FxHashMap<(u32, u64), FxHashSet<u64>>,
}

impl Ambiguities {
    /// What one finding is about: a client, or once these are many, all others.
    fn subject(&mut self, pid: u32, kind: &str, client: &str) -> Subject {
        let (of_kind, of_client) = (hash(kind), hash(client));
        if self.clients.len() >= MAX_KINDS && !self.clients.contains_key(&(pid, of_kind)) {
            self.clients.clear();
        }
        let clients = self.clients.entry((pid, of_kind)).or_default();
        let single = clients.contains(&of_client) || clients.len() < MAX_CLIENTS && clients.insert(of_client);
        Subject::Other(hash((pid, of_kind, single.then_some(of_client))))
    }

    /// A process ended.
    pub fn forget(&mut self, pid: u32) {
        self.clients.retain(|(of, _), _| *of != pid);
    }
}

fn hash(of: impl Hash) -> u64 {
    let mut hasher = twox_hash::XxHash3_64::new();
    of.hash(&mut hasher);
    hasher.finish()
}

/// Tells of a message that can be read in more than one way, unless the end that sent it was told of.
pub fn ambiguous(carrier: &Carrier, world: &mut World) {
    let Some(node) = carrier.node.filter(|_| carrier.side == Side::Server) else { return };
    let Some(pid) = world.graph.get(node).map(|node| node.pid) else { return };
    if inbound(node, world).is_some() {
        return;
    }
    let odd = |kind: &Deviations| carrier.deviations.contains(*kind);
    let kinds = AMBIGUOUS.into_iter().filter(odd).flat_map(Deviations::names);
    let names: Vec<_> = kinds.map(|name| name.replace('_', " ")).collect();
    let content = if carrier.content.is_cut() { "ends within a request" } else { "begins with a request" };
    let (kind, title) = match names.as_slice() {
        [] => (format!("its content {content}"), format!("the content of {} {content}", carrier.name())),
        names => {
            let names = names.join(", ");
            let title = format!("{} can be framed in more than one way: {names}", carrier.name());
            (names, title)
        }
    };
    let remote = &carrier.endpoints.remote;
    let subject = world.ambiguities.subject(pid, &kind, &words::address(remote));
    let mut attributes = carrier.attributes();
    words::client(&carrier.endpoints, &mut attributes);
    attributes.push(("tracer.framing.deviations", Value::Strings(names)));
    world.raise(Case {
        rule: RULE,
        subject,
        severity: Severity::Medium,
        confidence: Confidence::Suspicious,
        title,
        time: carrier.op.time,
        pid,
        attributes,
        facts: vec![(carrier.op.time, format!("{} from {remote}: {kind}", carrier.name()))],
    });
    if let Some(exchange) = world.graph.exchange_mut(node) {
        exchange.ambiguity = Some(subject);
    }
}

/// What is worse than odd framing explains it: it needs no finding of its own.
pub fn explains(case: &Case, world: &mut World) {
    let Subject::Node(node) = case.subject else { return };
    let above = inbound(node, world);
    for node in [Some(node), above].into_iter().flatten() {
        let exchange = world.graph.get(node).and_then(|node| node.exchange());
        if let Some(subject) = exchange.and_then(|exchange| exchange.ambiguity) {
            world.cases.withdraw(RULE, subject);
        }
    }
}
