//! What leaves, and when.

use super::World;
use crate::{
    Output, Time, Value,
    cases::{Case, Subject},
    detect,
    detect::process,
    exchange::Side,
    finding::{Evidence, Finding},
    graph::{Body, Node, NodeId},
    span,
};

impl World {
    /// Lets spans leave whose time has come.
    pub fn tell(&mut self, until: Time) {
        while let Some(launch) = self.tasks.pop_abandoned() {
            self.graph.end(launch, self.now, self.now);
        }
        while let Some(id) = self.graph.pop_due(until) {
            if self.is_settled(id, until) {
                self.tell_one(id);
            }
        }
        process::settle(self, until);
        while let Some((case, more)) = self.cases.pop_due(until, self.now) {
            self.tell_case(case, more);
        }
        self.baseline.settle(&self.cases, self.now);
        self.net.contents.forget(self.now);
        self.graph.forget(self.now);
        self.tasks.forget(self.now);
    }

    /// Whether a span need not wait any longer for what decides its place. What it has waited for in vain is decided as
    /// it is; above that may be what is worth waiting for.
    fn is_settled(&mut self, id: NodeId, until: Time) -> bool {
        while !self.causes.settle(id, &mut self.graph) {
            if self.graph.delay(id, self.now, until) {
                return false;
            }
            let Some(undecided) = self.graph.undecided(id) else { break };
            self.causes.decide(undecided, &mut self.graph);
        }
        true
    }

    fn tell_case(&mut self, case: Case, more: u64) {
        let Case { rule, subject, severity, confidence, title, time, pid, mut attributes, facts } = case;
        let span = match subject {
            Subject::Node(node) => {
                while let Some(undecided) = self.graph.undecided(node) {
                    self.causes.decide(undecided, &mut self.graph);
                }
                self.graph.span_of(node)
            }
            Subject::Other(_) => None,
        };
        if more > 0 {
            let more = i64::try_from(more).unwrap_or(i64::MAX);
            attributes.push(("tracer.finding.evidence.dropped", Value::Int(more)));
        }
        let service = self.service(pid);
        let state = if self.baseline.is_learned(&service) { "learned" } else { "cold" };
        attributes.push(("tracer.baseline", Value::Str(state.into())));
        attributes.sort_by_key(|(key, _)| *key);
        attributes.dedup_by_key(|(key, _)| *key);
        let unix = |time: Time| time.0.saturating_add(self.config.boot_to_unix_ns);
        let evidence =
            facts.into_iter().map(|(time, text)| Evidence { time_unix_nano: unix(time), text }).collect();
        let finding = Finding {
            rule,
            severity,
            confidence,
            title,
            time_unix_nano: unix(time),
            span,
            resource: self.tasks.resource(pid, &self.config),
            attributes,
            evidence,
        };
        self.stats.findings += 1;
        self.outputs.push_back(Output::Finding(Box::new(finding)));
    }

    fn tell_one(&mut self, id: NodeId) {
        if self.graph.is_unwanted(id) {
            detect::ended(self, id);
            self.graph.remove(id);
            return;
        }
        self.order_in_time(id);
        while let Some(undecided) = self.graph.undecided(id) {
            self.causes.decide(undecided, &mut self.graph);
        }
        detect::ended(self, id);
        let Some(place) = self.graph.place(id) else { return };
        let Some(node) = self.graph.get(id) else { return };
        let content = match &node.body {
            Body::Exchange(exchange) => span::exchange(exchange),
            Body::Launch(launch) => span::launch(node, launch, self.tasks.directory(node.pid)),
        };
        let resource = self.tasks.resource(node.owner, &self.config);
        let cases = self.cases.about(id);
        let span = span::span(node, place, content, &cases, resource, &self.config);
        self.stats.spans += 1;
        self.outputs.push_back(Output::Span(Box::new(span)));
        if let Some(body) = self.graph.told(id, self.now) {
            self.launches.requests.left(id, body);
        }
    }

    /// A hook fires when its operation ends, after the bytes have moved: on one machine the other end's may
    /// come first. A request was sent before it was read, so that a client's span begins no later than that
    /// of the server it called; a response that was read whole had been sent, so that the server's ends no
    /// later than the client's.
    fn order_in_time(&mut self, id: NodeId) {
        let Some(exchange) = self.graph.get(id).and_then(Node::exchange) else { return };
        let (side, whole) = (exchange.side, exchange.problem.is_none());
        let Some(partner) = self.graph.get(id).and_then(|node| self.graph.times(node.partner?)) else {
            return;
        };
        let Some(node) = self.graph.get_mut(id) else { return };
        match side {
            Side::Client => node.start = node.start.min(partner.start),
            Side::Server if whole => {
                let end = node.end.into_iter().chain(partner.answered).min();
                node.end = end.map(|end| end.max(node.start));
            }
            Side::Server => {}
        }
    }
}
