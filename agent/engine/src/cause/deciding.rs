//! When a cause is decided, and what is learned from that.
//!
//! A call waits until the thread has answered a request after it, and so have those of its siblings that are not
//! decided: what they say by themselves is weighed with what it says itself, so that nothing counts twice.

use super::{
    AT_ONCE_NS, Causes,
    evidence::{Cause, Evidence, Link, Method, Sibling},
    habits::{Clue, Habits},
    siblings::MAX_SIBLINGS,
    threads::Next,
    weigh::{MIN_CONFIDENCE, SURE, Verdict, Voice, Weighed, weigh},
};
use crate::{
    Time,
    graph::{Graph, NodeId},
};

/// How often siblings must be for the same before a call's speak against what does not contain them.
const TOGETHER: f64 = 0.9;

/// From when to when a call lasts, and those that are for the same.
#[derive(Clone, Copy, Debug)]
struct Group {
    begin: Time,
    end: Option<Time>,
    /// Whether one of the others is not answered yet.
    goes_on: bool,
}

impl Group {
    fn is_outside(&self, cause: NodeId, graph: &Graph) -> bool {
        let Some(times) = graph.times(cause) else { return false };
        times.start > self.begin
            || times
                .answered
                .is_some_and(|answered| self.goes_on || self.end.is_some_and(|end| answered < end))
    }
}

impl Causes {
    /// A thread handed back what it did, calls in the order of their answers, to the one that works on a request: the last one,
    /// and what is alike. Others may have been for whoever did not wait.
    pub(super) fn handed_back(&mut self, calls: &[NodeId], request: NodeId, graph: &mut Graph) {
        for call in calls {
            let like = |other: &NodeId| match graph.get(*call).map(|node| &node.cause) {
                Some(Cause::Open(evidence)) => evidence.siblings.iter().any(|own| own.call == *other),
                _ => false,
            };
            let same = calls.last().is_some_and(|last| last == call || like(last));
            let clue = if same { Clue::Woke } else { Clue::WokeLater };
            self.follows(Next { call: *call, clue, chance: 0.0 }, request, graph);
        }
    }

    /// What came after a call points to a request.
    pub(super) fn follows(&mut self, next: Next, request: NodeId, graph: &mut Graph) {
        let began = graph.times(request).map(|times| times.start);
        let Some(node) = graph.get_mut(next.call) else { return };
        match &mut node.cause {
            Cause::Open(evidence) if began.is_none_or(|began| began > evidence.at) => {
                if next.clue == Clue::NextAnswer
                    && let Some(workload) = self.workloads.get_mut(&evidence.pid)
                {
                    workload.habits.test(next.clue, next.chance, false);
                }
            }
            Cause::Open(evidence) => {
                evidence.answer.get_or_insert((request, next.clue));
                if evidence.open > 1
                    && next.clue == Clue::NextAnswer
                    && let Some(workload) = self.workloads.get_mut(&evidence.pid)
                {
                    workload.habits.test(next.clue, next.chance, true);
                }
                // What siblings say is still to come.
                if evidence.siblings.is_empty()
                    && let Some(workload) = self.workloads.get_mut(&evidence.pid)
                {
                    let mut evidence = evidence.clone();
                    evidence.thread = decided(&evidence, graph);
                    let weighed = weigh(&evidence, evidence.thread, &[], &workload.habits, |_| false);
                    if learn(&mut workload.habits, &evidence, &[], &weighed)
                        && let Some(Cause::Open(kept)) = graph.get_mut(next.call).map(|node| &mut node.cause)
                    {
                        kept.learned = true;
                    }
                }
            }
            Cause::Known(cause, Link { method: Method::Content, candidates: 2.., .. }) => {
                let right = *cause == request;
                if let Some(workload) = self.workloads.get_mut(&node.pid) {
                    workload.habits.learn(next.clue, right);
                }
            }
            _ => {}
        }
    }

    /// Decides what can be decided of what a span hangs on: what was answered. Whether that is all.
    pub fn settle(&mut self, id: NodeId, graph: &mut Graph) -> bool {
        while let Some(undecided) = graph.undecided(id) {
            if !self.is_ripe(undecided, graph) {
                return false;
            }
            self.decide(undecided, graph);
        }
        true
    }

    /// Whether nothing more is to be waited for.
    fn is_ripe(&self, id: NodeId, graph: &Graph) -> bool {
        let Some(Cause::Open(evidence)) = graph.get(id).map(|node| &node.cause) else { return true };
        if evidence.siblings.is_empty() {
            return evidence.answer.is_some();
        }
        let heard = |sibling: &Sibling| match graph.get(sibling.call).map(|node| &node.cause) {
            Some(Cause::Open(evidence)) => evidence.answer.is_some(),
            _ => true,
        };
        let confidence =
            || self.weighed(id, graph).and_then(|weighed| weighed.verdict()).map_or(0.0, |v| v.confidence);
        match evidence.siblings.iter().all(heard) {
            true => evidence.answer.is_some() || confidence() >= MIN_CONFIDENCE,
            false => confidence() >= SURE,
        }
    }

    /// Decides what is still open, with what is known by now.
    pub fn decide(&mut self, id: NodeId, graph: &mut Graph) {
        let Some(node) = graph.get_mut(id).filter(|node| node.cause.is_open()) else { return };
        let Cause::Open(mut evidence) = std::mem::take(&mut node.cause) else { return };
        turn_to_what_it_was_for(&mut evidence, graph);
        let thread = evidence.thread.filter(|(node, _)| !graph.is_call(*node));
        evidence.thread = thread;
        let (voices, group) = (self.voices(&evidence, graph), self.group(id, &evidence, graph));
        let nothing = &mut super::Workload::default();
        let workload = self.workloads.get_mut(&evidence.pid).unwrap_or(nothing);
        let outside = |cause| group.is_outside(cause, graph);
        let alone = weigh(&evidence, thread, &[], &workload.habits, outside).verdict();
        let weighed = weigh(&evidence, thread, &voices, &workload.habits, outside);
        let end = end_of_call(id, graph);
        let over = |cause| answered_before(cause, end, graph);
        if let Some((node, clue)) = evidence.thread.filter(|_| evidence.open > 1 && end.is_some()) {
            let like = evidence.alike(node);
            let chance =
                like.clone().filter(|other| over(*other)).count() as f64 / like.count().max(1) as f64;
            workload.habits.test(clue, chance, !over(node));
        }
        if !evidence.thread.is_some_and(|(node, _)| over(node)) {
            learn(&mut workload.habits, &evidence, &voices, &weighed);
        }
        let verdict = weighed.verdict().filter(|verdict| verdict.confidence >= MIN_CONFIDENCE);
        self.undecided += u64::from(verdict.is_none());
        if let Some(node) = graph.get_mut(id) {
            node.cause = verdict
                .map_or(Cause::Nothing, |verdict| Cause::Known(verdict.node, link(&evidence, verdict)));
        }
        said(id, alone, &evidence.siblings, graph);
    }

    /// What all evidence of something that is still to be decided says.
    fn weighed(&self, id: NodeId, graph: &Graph) -> Option<Weighed> {
        let Cause::Open(evidence) = &graph.get(id)?.cause else { return None };
        let (thread, group) = (decided(evidence, graph), self.group(id, evidence, graph));
        let habits = &self.workloads.get(&evidence.pid)?.habits;
        let voices = self.voices(evidence, graph);
        Some(weigh(evidence, thread, &voices, habits, |cause| group.is_outside(cause, graph)))
    }

    /// When a call and what is for the same were made. Where siblings are mostly right, all of them lie inside of what
    /// caused one.
    fn group(&self, id: NodeId, evidence: &Evidence, graph: &Graph) -> Group {
        let workload = self.workloads.get(&evidence.pid);
        let together = workload.is_some_and(|workload| workload.habits.reliability(Clue::Sibling) > TOGETHER);
        let mut group = Group { begin: evidence.at, end: end_of_call(id, graph), goes_on: false };
        let siblings = evidence.siblings.iter().filter(|sibling| together && sibling.clue == Clue::Sibling);
        for times in siblings.filter_map(|sibling| graph.times(sibling.call)) {
            group.begin = group.begin.min(times.start);
            group.end = group.end.max(times.end);
            group.goes_on |= times.end.is_none();
        }
        group
    }

    /// What the siblings of a call say, each by itself, of requests that can be its cause.
    fn voices(&self, evidence: &Evidence, graph: &Graph) -> Vec<Voice> {
        let Some(workload) = self.workloads.get(&evidence.pid) else { return Vec::new() };
        let by_itself = |call: NodeId| {
            let Cause::Open(evidence) = &graph.get(call)?.cause else { return None };
            let (thread, group) = (decided(evidence, graph), self.group(call, evidence, graph));
            weigh(evidence, thread, &[], &workload.habits, |cause| group.is_outside(cause, graph)).verdict()
        };
        let voice = |sibling: &Sibling| {
            let said = sibling.said.or_else(|| by_itself(sibling.call))?;
            was_open(said.node, evidence.at, graph).then_some(Voice {
                clue: sibling.clue,
                tid: sibling.tid,
                said,
            })
        };
        evidence.siblings.iter().filter_map(voice).collect()
    }
}

/// Makes a call and those that are like it speak for each other.
pub(super) fn introduce((id, tid): (NodeId, u32), cause: &mut Cause, found: Vec<Sibling>, graph: &mut Graph) {
    for mut sibling in found {
        let Some(node) = graph.get_mut(sibling.call) else { continue };
        sibling.said = told(&node.cause);
        let own = Sibling { call: id, tid, said: told(cause), ..sibling };
        if let Cause::Open(other) = &mut node.cause
            && other.siblings.len() < MAX_SIBLINGS
        {
            other.siblings.push(own);
        }
        if let Cause::Open(evidence) = cause
            && !matches!(node.cause, Cause::Nothing)
        {
            evidence.siblings.push(sibling);
        }
    }
}

fn told(cause: &Cause) -> Option<Verdict> {
    match cause {
        Cause::Known(node, Link { method, confidence, .. }) => {
            Some(Verdict { node: *node, method: *method, confidence: *confidence })
        }
        _ => None,
    }
}

/// A call is decided: its siblings keep what it said by itself.
fn said(id: NodeId, alone: Option<Verdict>, siblings: &[Sibling], graph: &mut Graph) {
    for sibling in siblings {
        let Some(Cause::Open(other)) = graph.get_mut(sibling.call).map(|node| &mut node.cause) else {
            continue;
        };
        match alone {
            Some(_) => {
                let own = other.siblings.iter_mut().filter(|own| own.call == id);
                own.for_each(|own| own.said = alone);
            }
            None => other.siblings.retain(|own| own.call != id),
        }
    }
}

pub(super) fn link(evidence: &Evidence, verdict: Verdict) -> Link {
    Link { method: verdict.method, confidence: verdict.confidence, candidates: evidence.open }
}

/// What the thread was busy with, once that is decided.
pub(super) fn decided(evidence: &Evidence, graph: &Graph) -> Option<(NodeId, Clue)> {
    resolve(evidence, graph).filter(|(node, _)| !graph.is_call(*node))
}

/// What the thread was busy with: of a call, what that was for, once it is decided.
pub(super) fn resolve(evidence: &Evidence, graph: &Graph) -> Option<(NodeId, Clue)> {
    let (node, clue) = evidence.thread?;
    if !graph.is_call(node) || graph.is_undecided(node) {
        return Some((node, clue));
    }
    let cause = graph.cause(node)?;
    was_open(cause, evidence.at, graph).then_some((cause, clue))
}

/// Puts in the place of a call that the thread was busy with what that was for. What follows at once from one that
/// was for none is for none either, though just one may wait.
pub(super) fn turn_to_what_it_was_for(evidence: &mut Evidence, graph: &Graph) {
    let before = evidence.thread;
    evidence.thread = resolve(evidence, graph);
    let at_once = |(call, _): (NodeId, Clue)| {
        let answered = graph.times(call).and_then(|times| times.end);
        answered.is_some_and(|end| evidence.at.since(end) <= AT_ONCE_NS)
    };
    if evidence.thread.is_none() && before.is_some_and(at_once) {
        evidence.sole = None;
    }
}

fn was_open(request: NodeId, at: Time, graph: &Graph) -> bool {
    graph.times(request).is_some_and(|times| times.start <= at && times.end.is_none_or(|end| end >= at))
}

/// Who calls waits for the answer, as a rule; what was launched may be meant to go on.
fn end_of_call(id: NodeId, graph: &Graph) -> Option<Time> {
    graph.get(id).filter(|node| node.is_call())?.end
}

fn answered_before(cause: NodeId, end: Option<Time>, graph: &Graph) -> bool {
    let answered = graph.times(cause).and_then(|times| times.answered);
    matches!((answered, end), (Some(answered), Some(end)) if answered < end)
}

/// Learns, once, from what has more than one witness: each clue is as right as all together say. Whether there was
/// anything to learn.
pub(super) fn learn(habits: &mut Habits, evidence: &Evidence, voices: &[Voice], weighed: &Weighed) -> bool {
    if evidence.open < 2 || evidence.learned {
        return false;
    }
    if let (
        Some((read, Clue::LastRead | Clue::EarlierRead | Clue::Connect)),
        Some((answered, Clue::NextAnswer)),
    ) = (evidence.thread, evidence.answer)
    {
        habits.agree(read == answered);
    }
    // What is mostly wrong is no witness, nor is what a thread does with one call for what it does with the next.
    let weak = |clue| matches!(clue, Clue::LaterAnswer | Clue::WokeLater | Clue::AfterExit);
    let independent = |voice: &Voice| voice.tid != evidence.tid || voice.said.method == Method::Content;
    let clues =
        || evidence.thread.into_iter().chain(evidence.answer).map(|(node, clue)| (node, clue, weak(clue)));
    let voices =
        || voices.iter().filter(|voice| voice.said.confidence >= MIN_CONFIDENCE && independent(voice));
    let said = || voices().map(|voice| (voice.said.node, voice.clue, false));
    let content = usize::from(evidence.content_decides().is_some());
    let witnesses = content + clues().chain(said()).filter(|(.., weak)| !weak).count();
    let clear = weighed.verdict().is_some_and(|verdict| verdict.confidence >= MIN_CONFIDENCE);
    let mut learned = false;
    for (node, clue, weak) in clues().chain(said()) {
        if witnesses > usize::from(!weak)
            && clue != Clue::WokeLater
            && (clear || clue != Clue::NextAnswer && !habits.is_tested(clue))
        {
            habits.learn_likely(clue, weighed.probability(node));
            learned = true;
        }
    }
    learned
}
