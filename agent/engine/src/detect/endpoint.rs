//! `http.new_endpoint`: a service serves a route for the first time.

use super::{Habit, Seen, route};
use crate::{
    cases::{Case, Subject},
    exchange::{Exchange, Side},
    finding::{Confidence, Severity},
    graph::{Node, NodeId},
    span,
    world::World,
};

/// A request was served.
pub fn served(world: &mut World, id: NodeId) {
    let is_served = |node: &&Node| node.exchange().is_some_and(|exchange| exchange.side == Side::Server);
    let node = world.graph.get(id).filter(is_served);
    let Some((pid, time)) = node.map(|node| (node.owner, node.start)) else { return };
    let service = world.service(pid);
    let Some(exchange) = world.graph.get(id).and_then(Node::exchange) else { return };
    world.baseline.served(&service, world.now);
    // What an attack asks for is not what a service is there to serve.
    let bad = exchange.smuggled || world.cases.worst(Subject::Node(id)) >= Some(Severity::High);
    let Some(status) = is_endpoint(exchange).filter(|_| !bad) else { return };
    let route = route(exchange.method(), exchange.target());
    let seen = world.baseline.observe(Subject::Node(id), &service, Habit::endpoint(&route), world.now);
    if seen != Seen::New {
        return;
    }
    let attributes = span::exchange(exchange).attributes;
    world.raise(Case {
        rule: "http.new_endpoint",
        subject: Subject::Node(id),
        severity: Severity::Info,
        confidence: Confidence::Confirmed,
        title: format!("{service} serves {route} for the first time"),
        time,
        pid,
        attributes,
        facts: vec![(time, format!("{route} was answered with {status}"))],
    });
}

/// The status that says that there is something at this route: a stranger can ask for anything.
fn is_endpoint(exchange: &Exchange) -> Option<u16> {
    let status = exchange.response.as_ref()?.status()?;
    is_served(status, exchange.problem.is_some_and(|problem| problem.is_error())).then_some(status)
}

/// What is refused, not there, failed or broke off is no endpoint.
fn is_served(status: u16, broken: bool) -> bool {
    !broken && (100..400).contains(&status)
}

#[cfg(test)]
mod tests {
    use super::is_served;

    #[test]
    fn a_stranger_makes_no_endpoint_by_asking() {
        let served = [101, 200, 204, 206, 301, 304, 399];
        let asked = [400, 401, 403, 404, 405, 429, 500, 502, 599];
        assert!(served.iter().all(|status| is_served(*status, false)));
        assert!(!asked.iter().any(|status| is_served(*status, false)));
        assert!(!served.iter().any(|status| is_served(*status, true)), "it broke off");
    }
}
