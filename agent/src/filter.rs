//! Which spans and findings a person asked for.
//!
//! Each matches by itself: when it meets every condition given. Views that print whole traces print those with
//! a span or a finding that matches.

use crate::attributes::{Attributed, int, service_name, strings};
use std::{collections::HashSet, str::FromStr, time::Duration};
use tracer_common::{Fork, kind};
use tracer_engine::{Finding, Span};
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
    /// Findings alone.
    pub findings: bool,
}

/// What is to become of a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Not asked for.
    No,
    /// Not by itself, but its trace is, where whole traces are shown.
    Trace,
    /// Asked for.
    Yes,
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
    pub fn span(&self, span: &Span) -> Asked {
        let Conditions { port, status, slow, findings, .. } = &self.conditions;
        let meets = self.is_of_asked_process(span)
            && port.is_none_or(|port| ports(span).any(|p| p == i64::from(port)))
            && status.is_none_or(|wanted| status_code(span).is_some_and(|code| wanted.matches(code)))
            && slow.is_none_or(|least| duration(span) >= least);
        match (meets, findings) {
            (false, _) => Asked::No,
            (true, false) => Asked::Yes,
            (true, true) if strings(span, "tracer.finding.rules").is_empty() => Asked::No,
            (true, true) => Asked::Trace,
        }
    }

    /// Whether this finding was asked for. A condition on what it says nothing of does not hide it.
    pub fn finding(&self, finding: &Finding) -> bool {
        let Conditions { port, status, .. } = &self.conditions;
        self.is_of_asked_process(finding)
            && port.is_none_or(|port| !says_where(finding) || ports(finding).any(|p| p == i64::from(port)))
            && status.is_none_or(|wanted| status_code(finding).is_none_or(|code| wanted.matches(code)))
    }

    fn is_of_asked_process(&self, item: &impl Attributed) -> bool {
        let Conditions { pids, service, .. } = &self.conditions;
        (pids.is_empty() || processes(item).any(|pid| pids.contains(&pid)))
            && self.tree.as_ref().is_none_or(|tree| processes(item).any(|pid| tree.pids.contains(&pid)))
            && service.as_ref().is_none_or(|name| service_name(item) == Some(name.as_str()))
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

/// How long a span took.
pub fn duration(span: &Span) -> Duration {
    Duration::from_nanos(span.end_unix_nano.saturating_sub(span.start_unix_nano))
}

/// Whose it is, and of a launch the process that was launched.
fn processes(item: &impl Attributed) -> impl Iterator<Item = u32> {
    let launched = int(item, "process.pid").and_then(|pid| u32::try_from(pid).ok());
    std::iter::once(item.resource().pid).chain(launched)
}

fn ports(item: &impl Attributed) -> impl Iterator<Item = i64> {
    const PORTS: [&str; 4] = ["server.port", "network.local.port", "network.peer.port", "client.port"];
    PORTS.iter().filter_map(|key| int(item, key))
}

/// Whether it names the port of a server: its client's alone does not tell which was asked.
fn says_where(item: &impl Attributed) -> bool {
    int(item, "server.port").or_else(|| int(item, "network.local.port")).is_some()
}

fn status_code(item: &impl Attributed) -> Option<i64> {
    int(item, "http.response.status_code")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{finding, fork, found_span, server_span};
    use tracer_engine::Value;

    fn matches(conditions: Conditions) -> bool {
        Filter::new(conditions).span(&server_span()) == Asked::Yes
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
        let asked = [9443, 8080, 80].map(|port| filter(port).span(&span));
        assert_eq!(asked, [Asked::Yes, Asked::Yes, Asked::No]);
    }

    #[test]
    fn a_launch_belongs_to_its_own_process_too() {
        let mut launch = server_span();
        launch.attributes.push(("process.pid", Value::Int(931)));
        let filter = |pid| Filter::new(Conditions { pids: vec![pid], ..Default::default() });
        assert_eq!([931, 812, 1].map(|pid| filter(pid).span(&launch)), [Asked::Yes, Asked::Yes, Asked::No]);
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
        assert_eq!(filter.span(&server_span()), Asked::No);
        filter.learn(&fork(std::process::id(), 100));
        filter.learn(&fork(100, 200));
        filter.learn(&fork(1, 300));
        filter.learn(&fork(200, 812));
        assert_eq!(filter.span(&server_span()), Asked::Yes);
        assert!(filter.finding(&finding()));
        filter.learn(&fork(300, 812));
        assert_eq!(filter.span(&server_span()), Asked::No, "the id went to a stranger");
        assert!(!filter.finding(&finding()));
    }

    #[test]
    fn a_finding_is_hidden_only_by_what_it_says() {
        let told = |conditions, finding: &Finding| Filter::new(conditions).finding(finding);
        let (ours, mut answered) = (finding(), finding());
        answered.attributes.push(("http.response.status_code", Value::Int(404)));
        answered.attributes.push(("server.port", Value::Int(8080)));
        assert!(told(Conditions::default(), &ours));
        assert!(told(Conditions { pids: vec![812], ..Default::default() }, &ours));
        assert!(!told(Conditions { pids: vec![1], ..Default::default() }, &ours));
        assert!(!told(Conditions { service: Some("other".into()), ..Default::default() }, &ours));
        assert!(told(Conditions { slow: Some(Duration::from_secs(9)), ..Default::default() }, &ours));
        let port = |port| Conditions { port: Some(port), ..Default::default() };
        assert!(told(port(80), &ours), "it says no port but its client's");
        assert!(told(port(8080), &answered) && told(port(51234), &answered) && !told(port(80), &answered));
        let status = |class| Conditions { status: Some(StatusFilter::Class(class)), ..Default::default() };
        assert!(told(status(5), &ours), "it says no status");
        assert!(told(status(4), &answered) && !told(status(5), &answered));
    }

    #[test]
    fn where_findings_alone_are_asked_for_spans_come_with_them() {
        let filter = |pids: &[u32]| {
            Filter::new(Conditions { findings: true, pids: pids.to_vec(), ..Default::default() })
        };
        assert_eq!(filter(&[]).span(&server_span()), Asked::No);
        assert_eq!(filter(&[]).span(&found_span()), Asked::Trace);
        assert_eq!(filter(&[1]).span(&found_span()), Asked::No);
        assert!(filter(&[]).finding(&finding()) && !filter(&[1]).finding(&finding()));
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
