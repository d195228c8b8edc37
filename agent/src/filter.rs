//! Which spans a person asked for.
//!
//! A span matches by itself: when it meets every condition given. Views that print whole traces print
//! those with a span that matches.

use std::{collections::HashSet, str::FromStr, time::Duration};
use tracer_common::{Fork, kind};
use tracer_engine::{Span, Value};
use zerocopy::FromBytes;

/// What was asked for; nothing asked matches everything.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Conditions {
    /// Any of these processes; empty for all.
    pub pids: Vec<u32>,
    /// A port of the span: the server's, its own or its peer's.
    pub port: Option<u16>,
    /// `service.name`.
    pub service: Option<String>,
    /// `http.response.status_code`.
    pub status: Option<StatusFilter>,
    /// At least so long.
    pub slow: Option<Duration>,
}

/// A status code or a class of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusFilter {
    /// This code.
    Code(u16),
    /// This first digit.
    Class(u16),
}

impl FromStr for StatusFilter {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WRONG: &str = "must be a code like 404 or a class like 5xx";
        let parsed = match text.strip_suffix("xx") {
            Some(class) => class.parse().ok().filter(|c| (1..=5).contains(c)).map(Self::Class),
            None => text.parse().ok().filter(|c| (100..=599).contains(c)).map(Self::Code),
        };
        parsed.ok_or(WRONG)
    }
}

impl StatusFilter {
    fn matches(self, code: i64) -> bool {
        match self {
            Self::Code(wanted) => code == i64::from(wanted),
            Self::Class(class) => code / 100 == i64::from(class),
        }
    }
}

/// The conditions, and the process tree where only a command is traced.
#[derive(Debug, Default)]
pub struct Filter {
    conditions: Conditions,
    tree: Option<ProcessTree>,
}

impl Filter {
    /// A filter for these conditions.
    pub fn new(conditions: Conditions) -> Self {
        Self { conditions, tree: None }
    }

    /// Lets only this child of the agent and its descendants pass; forks are learned by [`Self::learn`].
    pub fn only_tree_of(&mut self, child: u32) {
        // The agent, which has no spans of its own, is in it too: the record of its fork is still to come.
        self.tree = Some(ProcessTree { pids: HashSet::from([std::process::id(), child]) });
    }

    /// Takes note of a raw record: of forks, who descends from whom.
    pub fn learn(&mut self, record: &[u8]) {
        if let Some(tree) = &mut self.tree
            && let Ok((fork, _)) = Fork::read_from_prefix(record)
            && fork.header.kind == kind::FORK
        {
            tree.forked(fork.header.pid, fork.child_pid);
        }
    }

    /// Whether this span was asked for.
    pub fn matches(&self, span: &Span) -> bool {
        let Conditions { pids, port, service, status, slow } = &self.conditions;
        (pids.is_empty() || processes(span).any(|pid| pids.contains(&pid)))
            && self.tree.as_ref().is_none_or(|tree| processes(span).any(|pid| tree.pids.contains(&pid)))
            && port.is_none_or(|port| has_port(span, port))
            && service.as_ref().is_none_or(|name| service_name(span) == Some(name))
            && status
                .is_none_or(|s| int(span, "http.response.status_code").is_some_and(|code| s.matches(code)))
            && slow.is_none_or(|least| duration(span) >= least)
    }
}

/// Processes that descend from a command.
///
/// Every fork says anew whether its child belongs, so an id that was given to a stranger later is taken
/// out, and one of an ended process may stay for its last spans. Its bound is the kernel's own `pid_max`.
#[derive(Debug)]
struct ProcessTree {
    pids: HashSet<u32>,
}

impl ProcessTree {
    fn forked(&mut self, parent: u32, child: u32) {
        if self.pids.contains(&parent) {
            self.pids.insert(child);
        } else {
            self.pids.remove(&child);
        }
    }
}

/// An attribute of a span.
pub fn attribute<'s>(span: &'s Span, key: &str) -> Option<&'s Value> {
    span.attributes.iter().find(|(k, _)| *k == key).map(|(_, value)| value)
}

/// An attribute that is a whole number.
pub fn int(span: &Span, key: &str) -> Option<i64> {
    match attribute(span, key)? {
        Value::Int(n) => Some(*n),
        _ => None,
    }
}

/// `service.name` of a span's resource.
pub fn service_name(span: &Span) -> Option<&String> {
    span.resource.attributes.iter().find_map(|(key, value)| match value {
        Value::Str(name) if key == "service.name" => Some(name),
        _ => None,
    })
}

/// How long a span took.
pub fn duration(span: &Span) -> Duration {
    Duration::from_nanos(span.end_unix_nano.saturating_sub(span.start_unix_nano))
}

/// Whose span it is, and of a launch the process that was launched.
fn processes(span: &Span) -> impl Iterator<Item = u32> {
    let launched = int(span, "process.pid").and_then(|pid| u32::try_from(pid).ok());
    std::iter::once(span.resource.pid).chain(launched)
}

fn has_port(span: &Span, port: u16) -> bool {
    const PORTS: [&str; 4] = ["server.port", "network.local.port", "network.peer.port", "client.port"];
    PORTS.iter().any(|key| int(span, key) == Some(i64::from(port)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{fork, server_span};

    fn matches(conditions: Conditions) -> bool {
        Filter::new(conditions).matches(&server_span())
    }

    #[test]
    fn each_condition_decides() {
        // The span: process 812 of "shop", GET on port 8080 answered 503 after 12.4 ms.
        assert!(matches(Conditions::default()));
        assert!(matches(Conditions { pids: vec![1, 812], ..Default::default() }));
        assert!(!matches(Conditions { pids: vec![1], ..Default::default() }));
        assert!(matches(Conditions { port: Some(8080), ..Default::default() }));
        assert!(!matches(Conditions { port: Some(80), ..Default::default() }));
        assert!(matches(Conditions { service: Some("shop".into()), ..Default::default() }));
        assert!(!matches(Conditions { service: Some("sho".into()), ..Default::default() }));
        assert!(matches(Conditions { status: Some(StatusFilter::Code(503)), ..Default::default() }));
        assert!(matches(Conditions { status: Some(StatusFilter::Class(5)), ..Default::default() }));
        assert!(!matches(Conditions { status: Some(StatusFilter::Class(4)), ..Default::default() }));
        assert!(matches(Conditions { slow: Some(Duration::from_micros(12_400)), ..Default::default() }));
        assert!(!matches(Conditions { slow: Some(Duration::from_micros(12_401)), ..Default::default() }));
    }

    #[test]
    fn the_port_of_the_connection_counts_whatever_host_says() {
        let mut span = server_span();
        span.attributes.push(("network.local.port", Value::Int(9443)));
        let filter = |port| Filter::new(Conditions { port: Some(port), ..Default::default() });
        assert!(filter(9443).matches(&span) && filter(8080).matches(&span) && !filter(80).matches(&span));
    }

    #[test]
    fn a_launch_belongs_to_its_own_process_too() {
        let mut launch = server_span();
        launch.attributes.push(("process.pid", Value::Int(931)));
        let filter = |pid| Filter::new(Conditions { pids: vec![pid], ..Default::default() });
        assert!(filter(931).matches(&launch) && filter(812).matches(&launch) && !filter(1).matches(&launch));
    }

    #[test]
    fn all_conditions_must_be_met_by_one_span() {
        let both = Conditions { port: Some(8080), service: Some("other".into()), ..Default::default() };
        assert!(!matches(both));
    }

    #[test]
    fn a_tree_is_its_root_and_all_descendants() {
        let mut filter = Filter::default();
        filter.only_tree_of(100);
        assert!(!filter.matches(&server_span()));
        filter.learn(&fork(std::process::id(), 100));
        filter.learn(&fork(100, 200));
        filter.learn(&fork(1, 300));
        filter.learn(&fork(200, 812));
        assert!(filter.matches(&server_span()));
        filter.learn(&fork(300, 812));
        assert!(!filter.matches(&server_span()), "the id went to a stranger");
    }

    #[test]
    fn statuses_parse() {
        assert_eq!("404".parse(), Ok(StatusFilter::Code(404)));
        assert_eq!("5xx".parse(), Ok(StatusFilter::Class(5)));
        for wrong in ["", "xx", "0xx", "6xx", "5XX", "99", "600", "5x", "-1"] {
            assert!(wrong.parse::<StatusFilter>().is_err(), "{wrong}");
        }
    }
}
