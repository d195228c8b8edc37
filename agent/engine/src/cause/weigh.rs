//! Evidence weighed: how probable each open request is as the cause.
//!
//! Every clue multiplies the odds of the request that it points to by how much more often it points there
//! rightly than by chance: Bayes' rule, with the clues taken as independent. What shares words with the call
//! gains by how improbable that is. Against all stands that the call is for none of them, against which only
//! shared words speak.

use super::{
    evidence::{Evidence, Method},
    habits::{Clue, Habits},
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
/// Who calls mostly waits for the answer before it gives its own: bits that speak against a request that was
/// answered before.
const ANSWERED_BEFORE: f64 = 5.0;
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

struct Suspect {
    node: NodeId,
    bits: f64,
    most: (f64, Method),
}

/// Weighs evidence. `answered_before` says of a request whether it was answered before what it is to have
/// caused had ended.
pub fn weigh(
    evidence: &Evidence,
    habits: &Habits,
    answered_before: impl Fn(NodeId) -> bool,
) -> Option<Verdict> {
    let mut suspects: Vec<Suspect> = Vec::with_capacity(4);
    let mut add = |node: NodeId, bits: f64, method: Method| match suspects.iter_mut().find(|s| s.node == node)
    {
        Some(suspect) => {
            suspect.bits += bits;
            if bits > suspect.most.0 {
                suspect.most = (bits, method);
            }
        }
        None => suspects.push(Suspect { node, bits, most: (bits, method) }),
    };
    let open = f64::from(evidence.open.max(1));
    if let Some(sole) = evidence.sole {
        add(sole, 0.0, Method::Only);
    }
    let most = evidence.content.iter().map(|(_, bits)| *bits).fold(0.0, f64::max);
    for (node, bits) in &evidence.content {
        // By how much the others say less counts in full.
        add(*node, bits - (most - MAX_CONTENT).max(0.0), Method::Content);
    }
    for (node, clue) in evidence.thread.into_iter().chain(evidence.answer) {
        let right = habits.reliability(clue);
        let by_chance = (1.0 - right) / (open - 1.0).max(1.0);
        let bits = (right / by_chance).log2();
        // Where there is but one, a clue cannot point elsewhere, and says nothing against it.
        add(node, if evidence.open > 1 { bits } else { bits.max(0.0) }, method(clue));
    }
    for suspect in suspects.iter_mut().filter(|suspect| answered_before(suspect.node)) {
        suspect.bits -= ANSWERED_BEFORE;
    }
    let others = (open - suspects.len() as f64).max(0.0);
    let all: f64 = suspects.iter().map(|suspect| suspect.bits.exp2()).sum::<f64>() + others;
    // Of equals the oldest, so that the order of the clues does not matter.
    let best = suspects.into_iter().reduce(|a, b| if (b.bits, a.node) > (a.bits, b.node) { b } else { a })?;
    // A thread is busy with something whatever it calls: only words say that it is for a request at all.
    let words = evidence.content.iter().find(|(node, _)| *node == best.node).map_or(0.0, |(_, bits)| *bits);
    let none = evidence.background / (1.0 - evidence.background) * (-words).exp2();
    let most = if best.most.1 == Method::Only { MAX_ONLY } else { MAX_CONFIDENCE };
    let confidence = (best.bits.exp2() / all / (1.0 + none)).min(most);
    // What lies beyond differs between mathematical libraries, and a replay must not.
    let confidence = (confidence * 1000.0).round() / 1000.0;
    Some(Verdict { node: best.node, method: best.most.1, confidence })
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
