//! Evidence weighed: how probable each open request is as the cause.
//!
//! Every clue multiplies the odds of the request that it points to by how much more often it points there
//! rightly than by chance: Bayes' rule, with the clues taken as independent. What shares words with the call
//! gains by how improbable that is; what a sibling says counts as far as siblings are for the same. Against all stands that the call is for none of them, against which only
//! shared words speak.

use super::{
    evidence::{CLEAR, Evidence, Method},
    habits::{Clue, Habits, SEQUENTIAL},
};
use crate::graph::NodeId;

/// What is less sure than this is not told: a wrong parent is worse than none.
pub const MIN_CONFIDENCE: f64 = 0.85;
/// What is so sure need not wait for more evidence.
pub const SURE: f64 = 0.99;
/// No evidence is so good that it could not be wrong.
const MAX_CONFIDENCE: f64 = 0.999;
/// That it can be no other request does not say that it is for any.
const MAX_ONLY: f64 = 0.89;
/// What one such clue says that was never seen to be right is not told.
const UNSHOWN: f64 = 0.84;
/// Who calls mostly waits for the answer before it gives its own: bits that speak against a request that the call does
/// not lie inside, or what is for the same as the call.
const OUTSIDE: f64 = 5.0;
/// A call that is for none as likely as that is not told as if it were surely for a request.
const OFTEN: f64 = 0.02;
/// What words can say at most, in bits.
const MAX_CONTENT: f64 = 40.0;

/// The most probable cause.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Verdict {
    /// The request.
    pub node: NodeId,
    /// What says most for it.
    pub method: Method,
    /// Its probability.
    pub confidence: f64,
}

/// What a sibling says of a call.
#[derive(Clone, Copy, Debug)]
pub struct Voice {
    /// What the two have in common.
    pub clue: Clue,
    /// The thread that made the sibling.
    pub tid: u32,
    /// What the sibling is for.
    pub said: Verdict,
}

#[derive(Clone, Copy, Debug)]
struct Suspect {
    node: NodeId,
    bits: f64,
    most: (f64, Method),
}

/// Each request's probability.
#[derive(Debug, Default)]
pub struct Weighed {
    suspects: Vec<Suspect>,
    /// The odds of all together, also of those that nothing points to.
    all: f64,
    /// The odds that it is none, to that it is the best.
    none: f64,
    /// How sure it can be at most.
    at_most: f64,
}

/// Weighs evidence, with `thread` for what it says of the thread. `outside` says of a request whether what it is to
/// have caused does not lie inside it.
pub fn weigh(
    evidence: &Evidence,
    thread: Option<(NodeId, Clue)>,
    voices: &[Voice],
    habits: &Habits,
    outside: impl Fn(NodeId) -> bool,
) -> Weighed {
    let mut weighed = Weighed { suspects: Vec::with_capacity(4), ..Weighed::default() };
    let open = f64::from(evidence.open.max(1));
    if let Some(sole) = evidence.sole {
        weighed.add(sole, 0.0, Method::Only);
    }
    let most = evidence.content.iter().map(|(_, bits)| *bits).fold(0.0, f64::max);
    for (node, bits) in &evidence.content {
        // By how much the others say less counts in full.
        weighed.add(*node, bits - (most - MAX_CONTENT).max(0.0), Method::Content);
    }
    // The only one is answered next whatever was called before, also for one that was just answered.
    let open_to_others = |(node, clue): &(NodeId, Clue)| {
        evidence.open > 1
            || !evidence.elsewhere
            || matches!(clue, Clue::Woke | Clue::WokeLater | Clue::AfterExit)
            || evidence.sole == Some(*node)
            || thread.is_some_and(|(of, _)| of == *node)
    };
    // Nor is a child of who launches of himself waited for by who is asked something.
    let waited = |(_, clue): &(NodeId, Clue)| !(evidence.alone && *clue == Clue::AfterExit);
    let answer = evidence.answer.filter(open_to_others).filter(waited);
    for (node, clue) in thread.into_iter().chain(answer) {
        let mut bits = bits(habits.reliability(clue), open);
        if matches!(clue, Clue::LastRead | Clue::EarlierRead | Clue::Connect) && habits.are_contradictory() {
            bits = bits.min(0.0);
        }
        // Where there is but one, a clue cannot point elsewhere, and says nothing against it.
        weighed.add(node, if evidence.open > 1 { bits } else { bits.max(0.0) }, method(clue));
    }
    weighed.listen(evidence, voices, habits);
    for suspect in weighed.suspects.iter_mut().filter(|suspect| outside(suspect.node)) {
        suspect.bits -= OUTSIDE;
    }
    let others = (open - weighed.suspects.len() as f64).max(0.0);
    weighed.all = weighed.suspects.iter().map(|suspect| suspect.bits.exp2()).sum::<f64>() + others;
    // A thread is busy with something whatever it calls: only words say that it is for a request at all.
    let words = |best: Suspect| evidence.content.iter().find(|(node, _)| *node == best.node);
    let words = weighed.best().and_then(words).map_or(0.0, |(_, bits)| *bits);
    weighed.none = evidence.background / (1.0 - evidence.background) * (-words).exp2();
    // Of a thread that may turn from any request to any other, what points to the only one says no more than that.
    let firm = |clue| matches!(clue, Clue::OwnThread | Clue::Begun) || habits.reliability(clue) > SEQUENTIAL;
    let woke = matches!(evidence.answer, Some((_, Clue::Woke)));
    let supported = evidence.open > 1 || words > CLEAR || woke || thread.is_some_and(|(_, clue)| firm(clue));
    // What was made while none was open, even once, may be made so again.
    let supported = supported && (evidence.background < OFTEN || words > CLEAR);
    // What follows by chance now and then follows so for all siblings.
    let woken = matches!(evidence.answer, Some((_, Clue::Woke | Clue::WokeLater | Clue::OwnAnswer)));
    let guessed = habits.is_guessed(Clue::NextAnswer)
        && !(woken || words > CLEAR || thread.is_some_and(|(_, clue)| firm(clue)));
    weighed.at_most = if supported && !guessed { MAX_CONFIDENCE } else { MAX_ONLY };
    // Before it was seen that order tells anything here, it does where what came before and what came after agree.
    let points = |clue: &&(NodeId, Clue)| weighed.best().is_some_and(|best| best.node == clue.0);
    let clues = thread.iter().chain(&evidence.answer).filter(points).map(|(_, clue)| *clue);
    if evidence.open > 1 && words <= CLEAR && !clues.clone().any(|clue| habits.is_shown(clue)) {
        let at_most = match clues.collect::<Vec<_>>().as_slice() {
            [] => MAX_CONFIDENCE,
            [one] if one.is_order() => UNSHOWN,
            _ => MAX_ONLY,
        };
        weighed.at_most = weighed.at_most.min(at_most);
    }
    weighed
}

impl Weighed {
    fn add(&mut self, node: NodeId, bits: f64, method: Method) {
        match self.suspects.iter_mut().find(|suspect| suspect.node == node) {
            Some(suspect) => {
                suspect.bits += bits;
                if bits > suspect.most.0 {
                    suspect.most = (bits, method);
                }
            }
            None => self.suspects.push(Suspect { node, bits, most: (bits, method) }),
        }
    }

    /// What siblings say. Of one thread that says the same of several calls it counts once, at its surest: it may have
    /// done all of them for the same wrong reason.
    fn listen(&mut self, evidence: &Evidence, voices: &[Voice], habits: &Habits) {
        if voices.is_empty() || evidence.open < 2 {
            return;
        }
        let open = f64::from(evidence.open);
        let mut heard: Vec<(u32, NodeId, f64)> =
            self.suspects.iter().map(|suspect| (evidence.tid, suspect.node, suspect.bits)).collect();
        for Voice { clue, tid, said } in voices {
            // It is for the same and right, or for another one, as likely for any.
            let same = habits.reliability(*clue);
            let bits = bits(same * said.confidence + (1.0 - same) / open, open);
            let before = heard.iter_mut().find(|(by, node, _)| (*by, *node) == (*tid, said.node));
            let more = match before {
                Some((.., most)) => {
                    let more = (bits - *most).max(0.0);
                    *most += more;
                    more
                }
                None => {
                    heard.push((*tid, said.node, bits));
                    bits
                }
            };
            self.add(said.node, more, said.method);
        }
    }

    /// Of equals the oldest, so that the order of the clues does not matter.
    fn best(&self) -> Option<Suspect> {
        self.suspects.iter().copied().reduce(|a, b| if (b.bits, a.node) > (a.bits, b.node) { b } else { a })
    }

    /// The most probable request.
    pub fn verdict(&self) -> Option<Verdict> {
        let best = self.best()?;
        let confidence = (best.bits.exp2() / self.all / (1.0 + self.none)).min(self.at_most);
        Some(Verdict { node: best.node, method: best.most.1, confidence: rounded(confidence) })
    }

    /// How probably it is this one, if it is any.
    pub fn probability(&self, node: NodeId) -> f64 {
        let suspect = self.suspects.iter().find(|suspect| suspect.node == node);
        suspect.map_or(0.0, |suspect| rounded(suspect.bits.exp2() / self.all))
    }
}

/// What lies beyond differs between mathematical libraries, and a replay must not.
fn rounded(probability: f64) -> f64 {
    (probability * 1000.0).round() / 1000.0
}

/// What something says that is right so often, in bits: by how much more often it points to the right one of those that
/// are open than to another one.
fn bits(right: f64, open: f64) -> f64 {
    let by_chance = (1.0 - right) / (open - 1.0).max(1.0);
    (right / by_chance).log2()
}

fn method(clue: Clue) -> Method {
    match clue {
        Clue::OwnAnswer
        | Clue::Woke
        | Clue::WokeLater
        | Clue::NextAnswer
        | Clue::LaterAnswer
        | Clue::AfterExit => Method::NextAnswer,
        _ => Method::Thread,
    }
}
