//! Framing that readers may take differently: a lesser rule, of what attacks are made of.

use super::{
    Carrier,
    origin::inbound,
    reading::AMBIGUOUS,
    words::{address, client},
};
use crate::{
    Value,
    cases::{COUNT, Case, Cases, Subject},
    exchange::{Endpoints, Side},
    finding::{Confidence, Severity},
    http1::Deviations,
    world::World,
};
use rustc_hash::{FxHashMap, FxHashSet};
use std::hash::{Hash, Hasher};

/// The rule of framing that readers may read differently.
const RULE: &str = "http.ambiguous_framing";
/// Most clients of one server that are told each by itself: past it, it is the way of all.
const MAX_CLIENTS: usize = 16;
/// Most servers whose clients are known, by the endpoints that they listen on: all that a big node has. Past it they
/// are one.
const MAX_SERVERS: usize = 1024;

/// Who was told of, by the endpoint that he asked: workers share it.
#[derive(Debug, Default)]
pub struct Ambiguities {
    servers: FxHashMap<u64, Server>,
}

/// Who asked something odd there.
#[derive(Debug, Default)]
struct Server {
    /// The processes that he asked, all alive.
    pids: FxHashSet<u32>,
    clients: FxHashMap<Option<u64>, Client>,
}

/// A client, or all that are too many to be told each by itself.
#[derive(Debug, Default)]
struct Client {
    /// Kinds of oddity, each with the finding that tells of it; a handful, as kinds are built in.
    kinds: Vec<(&'static str, Subject)>,
    /// How often he was odd.
    times: u64,
    /// The latest finding about him, and of how many messages it tells that nothing else explains.
    latest: Option<(Subject, u64)>,
}

impl Ambiguities {
    /// A client was odd in these ways: the finding that tells of him now, with all his ways and how often he had any.
    /// Nothing where all was told.
    fn note(&mut self, rule: &'static str, odd: &Odd<'_>, cases: &Cases) -> Option<Told> {
        let Odd { pid, of_server, of_client, kinds, subject } = *odd;
        let known = self.servers.len() < MAX_SERVERS || self.servers.contains_key(&of_server);
        let of_server = if known { of_server } else { 0 };
        let server = self.servers.entry(of_server).or_default();
        server.pids.insert(pid);
        let of_client = Some(of_client);
        let single = server.clients.contains_key(&of_client) || server.clients.len() < MAX_CLIENTS;
        let of_client = of_client.filter(|_| single);
        let client = server.clients.entry(of_client).or_default();
        client.times += 1;
        let told = client.kinds.len();
        let open = client.kinds.last().map(|(_, subject)| *subject).filter(|s| cases.is_open(rule, *s));
        let own = || subject.unwrap_or_else(|| Subject::Other(hash((of_server, of_client, client.times))));
        let subject = open.unwrap_or_else(own);
        for kind in kinds {
            if client.kinds.iter().all(|(known, _)| known != kind) {
                client.kinds.push((kind, subject));
            }
        }
        let news = open.is_some() || client.kinds.len() > told;
        let kinds = client.kinds.iter().map(|(kind, _)| *kind).collect();
        news.then_some(Told { subject, kinds, times: client.times })
    }

    /// A finding tells of a message more.
    fn tells(&mut self, subject: Subject) {
        let clients = self.servers.values_mut().flat_map(|server| server.clients.values_mut());
        for client in clients.filter(|client| client.kinds.iter().any(|(_, by)| *by == subject)) {
            let before = client.latest.filter(|(latest, _)| *latest == subject);
            client.latest = Some((subject, before.map_or(1, |(_, messages)| messages + 1)));
        }
    }

    /// Something else explains one message that a finding tells of: whether there is no other.
    fn explained(&mut self, subject: Subject) -> bool {
        let clients = self.servers.values_mut().flat_map(|server| server.clients.values_mut());
        let mut latest = clients.filter_map(|client| client.latest.as_mut());
        let Some((_, messages)) = latest.find(|(latest, _)| *latest == subject) else { return true };
        *messages = messages.saturating_sub(1);
        *messages == 0
    }

    /// Something else explains what a finding was to tell: none has told it.
    fn withdrawn(&mut self, subject: Subject) {
        let clients = self.servers.values_mut().flat_map(|server| server.clients.values_mut());
        clients.for_each(|client| client.kinds.retain(|(_, by)| *by != subject));
    }

    /// A process ended: what its server's last one knows goes with it.
    pub fn forget(&mut self, pid: u32) {
        self.servers.retain(|_, server| !server.pids.remove(&pid) || !server.pids.is_empty());
    }
}

/// Something odd that a client did.
struct Odd<'a> {
    pid: u32,
    of_server: u64,
    of_client: u64,
    kinds: &'a [&'static str],
    /// What it is told about, where it is one message.
    subject: Option<Subject>,
}

/// What is to be told of a client.
struct Told {
    subject: Subject,
    kinds: Vec<&'static str>,
    times: u64,
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
    let mut kinds: Vec<_> = AMBIGUOUS.into_iter().filter(odd).flat_map(Deviations::names).collect();
    let kind = words(&kinds).join(", ");
    let mut title = format!("{} can be framed in more than one way: {kind}", carrier.name());
    if kinds.is_empty() {
        let [kind, way] = match carrier.content.is_cut() {
            true => ["its content ends within a request", "ends within a request"],
            false => ["its content begins with a request", "begins with a request"],
        };
        kinds = vec![kind];
        title = format!("the content of {} {way}", carrier.name());
    }
    let Endpoints { local, remote } = &carrier.endpoints;
    let (of_server, of_client) = (hash(local.to_string()), hash(address(remote)));
    let odd = Odd { pid, of_server, of_client, kinds: &kinds, subject: None };
    let told = world.ambiguities.note(RULE, &odd, &world.cases);
    let Some(Told { subject, kinds: all, times }) = told else { return };
    let mut attributes = carrier.attributes();
    client(&carrier.endpoints, &mut attributes);
    let facts = words(&kinds).into_iter().map(|kind| {
        (carrier.op.time, format!("{} from {}: {kind}", carrier.name(), carrier.endpoints.remote))
    });
    world.raise(Case {
        rule: RULE,
        subject,
        severity: Severity::Medium,
        confidence: Confidence::Suspicious,
        title,
        time: carrier.op.time,
        pid,
        attributes,
        facts: facts.collect(),
    });
    world.cases.set(RULE, subject, ("tracer.framing.deviations", Value::Strings(words(&all))));
    if times > 1 {
        world.cases.set(RULE, subject, (COUNT, Value::Int(i64::try_from(times).unwrap_or(i64::MAX))));
    }
    if let Some(exchange) = world.graph.exchange_mut(node)
        && exchange.ambiguity.replace(subject) != Some(subject)
    {
        world.ambiguities.tells(subject);
    }
}

/// What is but suspicious is told once for a client and technique, like odd framing, and counted: nothing where it was told.
pub fn once(mut case: Case, world: &mut World) -> Option<Case> {
    if case.confidence > Confidence::Suspicious || world.cases.knows(case.rule, case.subject) {
        return Some(case);
    }
    let of = |name: &str| case.attributes.iter().find(|(key, _)| *key == name)?.1.text();
    let of_server = hash((of("tracer.smuggling.back_end"), of("tracer.smuggling.technique")));
    let odd = Odd {
        pid: case.pid,
        of_server,
        of_client: hash(of("client.address")),
        kinds: &["suspicious"],
        subject: Some(case.subject),
    };
    let Told { subject, times, .. } = world.suspicions.note(case.rule, &odd, &world.cases)?;
    if times > 1 {
        world.cases.set(case.rule, subject, (COUNT, Value::Int(i64::try_from(times).unwrap_or(i64::MAX))));
    }
    case.subject = subject;
    Some(case)
}

fn words(kinds: &[&str]) -> Vec<String> {
    kinds.iter().map(|kind| kind.replace('_', " ")).collect()
}

/// What is worse than odd framing explains it: it needs no finding of its own.
pub fn explains(subject: Subject, world: &mut World) {
    let Subject::Node(node) = subject else { return };
    let above = inbound(node, world);
    for node in [Some(node), above].into_iter().flatten() {
        let told = world.graph.exchange_mut(node).and_then(|exchange| exchange.ambiguity.take());
        if let Some(subject) = told
            && world.ambiguities.explained(subject)
            && world.cases.withdraw(RULE, subject)
        {
            world.ambiguities.withdrawn(subject);
        }
    }
}
