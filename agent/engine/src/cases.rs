//! What the rules have said.
//!
//! A rule raises a [`Case`]. What it raises again about the same subject makes that case stronger and its
//! evidence longer, not a second one: a moment is left for that before the finding leaves, and only a case
//! that grew worse leaves once more, or a bad one of which more is known that says much. So do the other rules of
//! its family, which is what stands before the dot in their names: one attack breaks several, and is one finding, led
//! by the rule that says the worst.

use crate::{
    Time, Value,
    detect::techniques,
    finding::{Confidence, Severity},
    graph::NodeId,
};
use rustc_hash::FxHashMap;
use std::collections::BTreeSet;

/// Most cases that are known, about a kilobyte each. Past it the least severe and least sure is forgotten, so that no
/// number of small ones hides a bad one.
const MAX_CASES: usize = 4096;
/// Most facts that one finding tells; later ones are counted.
const MAX_EVIDENCE: usize = 24;
/// Longest text of a fact, in bytes.
const MAX_TEXT: usize = 1024;
/// A finding leaves when nothing was added to it for so long,
const QUIET_MS: u64 = 500;
/// or so long after its first fact.
const PATIENCE_MS: u64 = 2_000;
/// A bad case of which more is known leaves again so long after it left first, each time twice as long,
const AGAIN_MS: u64 = 5_000;
/// and this at most.
const AGAIN_AT_MOST_MS: u64 = 80_000;
/// Facts of a case's beginning that stay, when later ones find no room in what has left before.
const OPENING: usize = 6;
/// A case is remembered so long after it left, so that it is not told again.
const KEEP_MS: u64 = 60_000;

/// How often it was said.
pub const COUNT: &str = "tracer.finding.count";
/// Techniques of MITRE ATT&CK, as OpenTelemetry names the field.
pub const TECHNIQUES: &str = "threat.technique.id";

/// What tells one case of a rule from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// An exchange or a launch: the finding belongs to its span.
    Node(NodeId),
    /// Whatever else, by a hash of it.
    Other(u64),
}

/// What a rule says.
#[derive(Clone, Debug)]
pub struct Case {
    /// [`Finding::rule`](crate::Finding::rule).
    pub rule: &'static str,
    /// What it is about.
    pub subject: Subject,
    /// [`Finding::severity`](crate::Finding::severity).
    pub severity: Severity,
    /// [`Finding::confidence`](crate::Finding::confidence).
    pub confidence: Confidence,
    /// [`Finding::title`](crate::Finding::title).
    pub title: String,
    /// When it was seen.
    pub time: Time,
    /// Process whose resource the finding has.
    pub pid: u32,
    /// [`Finding::attributes`](crate::Finding::attributes), in any order. Those of a stronger case replace those of a weaker one.
    pub attributes: Vec<(&'static str, Value)>,
    /// Facts. One that is there already is not added again.
    pub facts: Vec<(Time, String)>,
}

impl Case {
    /// Memory that it takes, at least.
    pub fn footprint(&self) -> usize {
        let attributes = self.attributes.iter().map(|(_, value)| value.text().map_or(0, str::len));
        let facts = self.facts.iter().map(|(_, text)| size_of::<(Time, String)>() + text.len());
        size_of::<Self>()
            + self.title.len()
            + self.attributes.len() * size_of::<(&str, Value)>()
            + attributes.sum::<usize>()
            + facts.sum::<usize>()
    }
}

/// What tells one case from another: the family of its rule, and its subject.
type Key = (&'static str, Subject);

fn family(rule: &'static str) -> &'static str {
    rule.split('.').next().unwrap_or(rule)
}

/// What is forgotten first: the least severe, of these the least sure, of these what was told, of these the oldest.
type Rank = (Severity, Confidence, bool, Time);

/// A case with its state.
#[derive(Debug)]
struct Known {
    case: Case,
    /// All rules that said so.
    rules: BTreeSet<&'static str>,
    /// Facts that found no room.
    more: u64,
    /// How often something was said.
    times: u64,
    /// When it leaves or, once it has left, is forgotten.
    due: Time,
    told: bool,
    /// When it left last.
    left: Option<Time>,
    /// How long after that it may leave again.
    again_ms: u64,
    /// How bad and how sure it was before records were lost that may explain it.
    undoubted: Option<(Severity, Confidence)>,
}

/// All cases.
#[derive(Debug, Default)]
pub struct Cases {
    known: FxHashMap<Key, Known>,
    /// Those that have not left, by when they do.
    due: BTreeSet<(Time, &'static str, Subject)>,
    /// Those that have, by when they are forgotten.
    fading: BTreeSet<(Time, &'static str, Subject)>,
    /// All, in the order in which they are forgotten when they are too many.
    ranks: BTreeSet<(Rank, Key)>,
    /// Families that ever said something: of the rules that are built in, a handful.
    families: BTreeSet<&'static str>,
    /// Cases forgotten before they left, since too many were known.
    pub dropped: u64,
}

impl Cases {
    /// A rule says something.
    pub fn raise(&mut self, mut case: Case, now: Time) {
        let key = (family(case.rule), case.subject);
        let facts = std::mem::take(&mut case.facts);
        let Some(mut known) = self.take(key) else {
            let rules = BTreeSet::from([case.rule]);
            let mut known = Known {
                case,
                rules,
                more: 0,
                times: 1,
                due: now.plus_ms(QUIET_MS),
                told: false,
                left: None,
                again_ms: AGAIN_MS,
                undoubted: None,
            };
            known.add(facts);
            self.families.insert(key.0);
            self.put(key, known);
            if self.known.len() > MAX_CASES {
                self.forget_one();
            }
            return;
        };
        known.times += 1;
        let worse = known.merge(case, facts);
        if worse || known.left.is_none() {
            known.due = match known.left {
                Some(_) => now.plus_ms(QUIET_MS),
                None => now.plus_ms(QUIET_MS).min(known.case.time.plus_ms(PATIENCE_MS)).max(now),
            };
            known.told = false;
        }
        self.put(key, known);
    }

    /// What was raised last of a case says much, and `more` facts found no room: a bad one leaves again for that.
    pub fn grew(&mut self, rule: &'static str, subject: Subject, (much, more): (bool, u64), now: Time) {
        let key = (family(rule), subject);
        let Some(mut known) = self.take(key) else { return };
        known.more += more;
        if let Some(left) = known.left.filter(|_| much && known.told && known.case.severity >= Severity::High)
        {
            known.due = left.plus_ms(known.again_ms).max(now.plus_ms(QUIET_MS));
            known.again_ms = (2 * known.again_ms).min(AGAIN_AT_MOST_MS);
            known.told = false;
        }
        self.put(key, known);
    }

    fn put(&mut self, key: Key, known: Known) {
        let queue = if known.told { &mut self.fading } else { &mut self.due };
        queue.insert((known.due, key.0, key.1));
        self.ranks.insert((known.rank(), key));
        self.known.insert(key, known);
    }

    fn take(&mut self, key: Key) -> Option<Known> {
        let known = self.known.remove(&key)?;
        let queue = if known.told { &mut self.fading } else { &mut self.due };
        queue.remove(&(known.due, key.0, key.1));
        self.ranks.remove(&(known.rank(), key));
        Some(known)
    }

    /// Records were lost, maybe those that would explain the cases of a rule.
    pub fn doubt(&mut self, rule: &'static str, lost: u64) {
        let of_rule = |known: &Known| !known.told && known.case.rule == rule;
        let keys: Vec<_> =
            self.known.iter().filter(|(_, known)| of_rule(known)).map(|(key, _)| *key).collect();
        for (_, subject) in keys {
            self.doubt_one(rule, subject, lost);
        }
    }

    /// The same of one case.
    pub fn doubt_one(&mut self, rule: &'static str, subject: Subject, lost: u64) {
        let key = (family(rule), subject);
        let Some(mut known) = self.take(key) else { return };
        let was = (known.case.severity, known.case.confidence);
        known.undoubted = known.undoubted.max(Some(was));
        (known.case.severity, known.case.confidence) = (was.0.min(Severity::Medium), Confidence::Suspicious);
        let records = if lost == 1 { "a record was" } else { &format!("{lost} records were") };
        known.add(vec![(known.case.time, format!("{records} lost meanwhile, which may explain it"))]);
        self.put(key, known);
    }

    /// What was lost does not explain this case: it is as bad and as sure as it was.
    pub fn assure(&mut self, rule: &'static str, subject: Subject, fact: (Time, &str), now: Time) {
        let key = (family(rule), subject);
        if self.known.get(&key).is_none_or(|known| known.undoubted.is_none()) {
            return;
        }
        let Some(mut known) = self.take(key) else { return };
        if let Some((severity, confidence)) = known.undoubted.take() {
            known.case.severity = known.case.severity.max(severity);
            known.case.confidence = known.case.confidence.max(confidence);
        }
        known.add(vec![(fact.0, fact.1.to_owned())]);
        if std::mem::take(&mut known.told) {
            known.due = now.plus_ms(QUIET_MS);
        }
        self.put(key, known);
    }

    /// A further fact of a case that has not left yet; of none other.
    pub fn append(&mut self, rule: &'static str, subject: Subject, fact: (Time, String)) {
        if let Some(known) = self.known.get_mut(&(family(rule), subject)).filter(|known| !known.told) {
            known.add(vec![fact]);
        }
    }

    /// An attribute of a case that has not left yet, as it is by now; of none other.
    pub fn set(&mut self, rule: &'static str, subject: Subject, attribute: (&'static str, Value)) {
        if let Some(known) = self.known.get_mut(&(family(rule), subject)).filter(|known| !known.told) {
            known.case.attributes.retain(|(key, _)| *key != attribute.0);
            known.case.attributes.push(attribute);
        }
    }

    /// Whether something was said of a subject, and is still known.
    pub fn knows(&self, rule: &'static str, subject: Subject) -> bool {
        self.known.contains_key(&(family(rule), subject))
    }

    /// Whether a case has not left yet.
    pub fn is_open(&self, rule: &'static str, subject: Subject) -> bool {
        self.known.get(&(family(rule), subject)).is_some_and(|known| !known.told)
    }

    /// Something worse explains what a rule said: by itself that is not told, unless it was already. Whether nothing
    /// is left of it.
    pub fn withdraw(&mut self, rule: &'static str, subject: Subject) -> bool {
        let key = (family(rule), subject);
        let Some(known) = self.known.get_mut(&key).filter(|known| !known.told) else { return false };
        if known.case.rule != rule {
            known.rules.remove(rule);
            false
        } else {
            known.rules.len() == 1 && self.take(key).is_some()
        }
    }

    /// Cases about a node, by rule, each with all rules that said so.
    pub fn about(&self, node: NodeId) -> Vec<(&Case, &BTreeSet<&'static str>)> {
        let mut about: Vec<_> =
            self.of(Subject::Node(node)).map(|known| (&known.case, &known.rules)).collect();
        about.sort_unstable_by_key(|(case, _)| case.rule);
        about
    }

    /// How bad the worst is that was said about a subject.
    pub fn worst(&self, subject: Subject) -> Option<Severity> {
        self.of(subject).map(|known| known.case.severity).max()
    }

    /// Cases about a subject: one for each family at most, so that a span costs the same however many are known.
    fn of(&self, subject: Subject) -> impl Iterator<Item = &Known> {
        self.families.iter().filter_map(move |family| self.known.get(&(*family, subject)))
    }

    /// When the next one leaves or is forgotten.
    pub fn deadline(&self) -> Option<Time> {
        [&self.due, &self.fading].into_iter().filter_map(|queue| Some(queue.first()?.0)).min()
    }

    /// The next case that leaves by `until`, and how many facts it has that found no room.
    pub fn pop_due(&mut self, until: Time, now: Time) -> Option<(Case, u64)> {
        while let Some((_, family, subject)) = self.fading.first().copied().filter(|(due, ..)| *due <= until)
        {
            self.take((family, subject));
        }
        let next = self.due.first().copied().filter(|(due, ..)| *due <= until);
        let (_, family, subject) = next?;
        let mut known = self.take((family, subject))?;
        (known.told, known.left) = (true, Some(now));
        known.due = now.plus_ms(KEEP_MS);
        let mut case = known.case.clone();
        if known.rules.len() > 1 {
            let rules = known.rules.iter().map(|rule| (*rule).to_owned()).collect();
            case.attributes.push(("tracer.finding.rules", Value::Strings(rules)));
        }
        if !case.attributes.iter().any(|(key, _)| *key == TECHNIQUES) {
            let ids: BTreeSet<_> = known.rules.iter().flat_map(|rule| techniques(rule)).collect();
            let ids: Vec<_> = ids.into_iter().map(|id| (*id).to_owned()).collect();
            case.attributes.extend((!ids.is_empty()).then_some((TECHNIQUES, Value::Strings(ids))));
        }
        let counted = case.attributes.iter().any(|(key, _)| *key == COUNT);
        if known.times > 1 && !counted && matches!(subject, Subject::Other(_)) {
            case.attributes.push((COUNT, Value::Int(i64::try_from(known.times).unwrap_or(i64::MAX))));
        }
        let (due, more) = (known.due, known.more);
        self.put((family, subject), known);
        // At the end of a run everything is due: what has left is not looked at again.
        if due <= until {
            self.fading.remove(&(due, family, subject));
        }
        Some((case, more))
    }

    /// Of what was told others know already.
    fn forget_one(&mut self) {
        if let Some((_, key)) = self.ranks.first().copied()
            && let Some(known) = self.take(key)
        {
            self.dropped += u64::from(!known.told);
        }
    }
}

impl Known {
    const fn rank(&self) -> Rank {
        (self.case.severity, self.case.confidence, !self.told, self.due)
    }

    /// Takes in what a rule said of the same subject. Whether that is worse.
    fn merge(&mut self, case: Case, facts: Vec<(Time, String)>) -> bool {
        let (lead, same) = (&self.case, self.case.rule == case.rule);
        let worse = (case.severity, case.confidence) > (lead.severity, lead.confidence)
            || same && case.confidence > lead.confidence;
        self.rules.insert(case.rule);
        self.add(facts);
        if worse {
            let (severity, confidence) = (self.case.severity, self.case.confidence);
            let (time, facts) = (self.case.time.min(case.time), std::mem::take(&mut self.case.facts));
            self.case = Case { time, facts, ..case };
            if same {
                self.case.severity = self.case.severity.max(severity);
                self.case.confidence = self.case.confidence.max(confidence);
            }
        }
        worse
    }

    fn add(&mut self, facts: Vec<(Time, String)>) {
        for (time, mut text) in facts {
            text.truncate(text.floor_char_boundary(MAX_TEXT));
            let facts = &mut self.case.facts;
            if facts.iter().any(|(_, known)| *known == text) {
                continue;
            }
            // What others know already.
            if facts.len() >= MAX_EVIDENCE && self.left.is_some() {
                facts.remove(OPENING);
                self.more += 1;
            }
            if facts.len() < MAX_EVIDENCE {
                let place = facts.partition_point(|(earlier, _)| *earlier <= time);
                facts.insert(place, (time, text));
            } else {
                self.more += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::node_id;

    fn case(severity: Severity, fact: &str, ms: u64) -> Case {
        let time = Time::default().plus_ms(ms);
        Case {
            rule: "test.rule",
            subject: Subject::Other(1),
            severity,
            confidence: Confidence::Probable,
            title: format!("{severity:?}"),
            time,
            pid: 1,
            attributes: Vec::new(),
            facts: vec![(time, fact.into())],
        }
    }

    fn at(ms: u64) -> Time {
        Time::default().plus_ms(ms)
    }

    #[test]
    fn what_is_raised_again_makes_one_finding_longer() {
        let mut cases = Cases::default();
        cases.raise(case(Severity::Low, "a", 0), at(0));
        cases.raise(case(Severity::High, "b", 400), at(400));
        cases.raise(case(Severity::Low, "b", 450), at(450));
        assert!(cases.pop_due(at(500), at(500)).is_none(), "more may come");
        let (told, more) = cases.pop_due(at(950), at(950)).expect("it is due");
        assert_eq!((told.severity, told.title.as_str(), more), (Severity::High, "High", 0));
        assert_eq!(told.facts.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        cases.raise(case(Severity::High, "c", 1000), at(1000));
        assert!(cases.pop_due(at(9000), at(9000)).is_none(), "it is told once");
        cases.raise(case(Severity::Critical, "d", 9100), at(9100));
        let (told, _) = cases.pop_due(at(9600), at(9600)).expect("it grew worse");
        assert_eq!((told.severity, told.facts.len()), (Severity::Critical, 4));
        assert!(cases.pop_due(Time(u64::MAX), at(9600)).is_none(), "the end tells nothing twice");
        assert_eq!(cases.deadline(), None);
    }

    #[test]
    fn a_bad_one_that_grows_leaves_again_ever_more_rarely() {
        let left = |severity, much, until| {
            let mut cases = Cases::default();
            let mut left = Vec::new();
            for ms in (0..until).step_by(100) {
                cases.raise(case(severity, &format!("{ms}"), ms), at(ms));
                cases.grew("test.rule", Subject::Other(1), (much, 0), at(ms));
                while let Some((told, _)) = cases.pop_due(at(ms), at(ms)) {
                    assert!(told.facts.len() <= MAX_EVIDENCE && told.facts[0].1 == "0", "{:?}", told.facts);
                    assert!(
                        ms < PATIENCE_MS + 500 || told.facts.iter().any(|(at, _)| *at > Time(ms * 900_000))
                    );
                    left.push(ms / 1000);
                }
            }
            left
        };
        assert_eq!(left(Severity::High, true, 600_000), [2, 7, 17, 37, 77, 157, 237, 317, 397, 477, 557]);
        assert_eq!(left(Severity::Medium, true, KEEP_MS), [2]);
        assert_eq!(left(Severity::High, false, KEEP_MS), [2]);
    }

    #[test]
    fn rules_of_one_family_make_one_finding_led_by_the_worst() {
        let mut cases = Cases::default();
        cases.raise(Case { rule: "test.first", ..case(Severity::Medium, "a", 0) }, at(0));
        cases.raise(Case { rule: "test.worst", ..case(Severity::High, "b", 1) }, at(1));
        let sure = Confidence::Confirmed;
        cases.raise(Case { rule: "test.sure", confidence: sure, ..case(Severity::Low, "c", 2) }, at(2));
        cases.raise(Case { rule: "other.rule", ..case(Severity::Low, "d", 3) }, at(3));
        let told: Vec<_> =
            std::iter::from_fn(|| cases.pop_due(at(9000), at(9000))).map(|(case, _)| case).collect();
        assert_eq!(told.iter().map(|case| case.rule).collect::<Vec<_>>(), ["test.worst", "other.rule"]);
        assert_eq!(
            (told[0].confidence, told[0].title.as_str(), told[0].time),
            (Confidence::Probable, "High", at(0))
        );
        assert_eq!(told[0].facts.len(), 3);
        let all = ["test.first", "test.sure", "test.worst"].map(str::to_owned).to_vec();
        let count = ("tracer.finding.count", Value::Int(3));
        assert_eq!(told[0].attributes, [("tracer.finding.rules", Value::Strings(all)), count]);
    }

    #[test]
    fn who_goes_on_for_ever_is_told_in_time() {
        let mut cases = Cases::default();
        for ms in (0..PATIENCE_MS).step_by(100) {
            cases.raise(case(Severity::Low, &ms.to_string(), ms), at(ms));
            assert!(cases.pop_due(at(ms), at(ms)).is_none());
        }
        assert_eq!(cases.deadline().map(|due| due <= at(PATIENCE_MS + QUIET_MS)), Some(true));
        (0..100).for_each(|n| cases.raise(case(Severity::Low, &format!("{n}x"), 1), at(PATIENCE_MS)));
        let (told, more) = cases.pop_due(at(2 * PATIENCE_MS), at(2 * PATIENCE_MS)).expect("it is due");
        assert_eq!((told.facts.len(), more), (MAX_EVIDENCE, 96), "evidence has a bound");
    }

    #[test]
    fn a_subject_has_what_every_family_says_of_it() {
        let mut cases = Cases::default();
        let subject = |n| Subject::Node(node_id(n));
        cases.raise(Case { subject: subject(1), rule: "test.rule", ..case(Severity::Low, "a", 0) }, at(0));
        cases.raise(Case { subject: subject(1), rule: "also.rule", ..case(Severity::High, "b", 0) }, at(0));
        cases.raise(Case { subject: subject(2), ..case(Severity::Critical, "c", 0) }, at(0));
        let rules = |n| cases.about(node_id(n)).iter().map(|(case, _)| case.rule).collect::<Vec<_>>();
        assert_eq!((rules(1), rules(3)), (vec!["also.rule", "test.rule"], Vec::new()));
        assert_eq!(cases.worst(subject(1)), Some(Severity::High));
        assert_eq!(cases.worst(subject(3)), None);
    }

    #[test]
    fn what_is_withdrawn_is_not_told() {
        let mut cases = Cases::default();
        cases.raise(case(Severity::Low, "a", 0), at(0));
        cases.withdraw("test.rule", Subject::Other(2));
        cases.withdraw("test.other", Subject::Other(1));
        assert!(cases.deadline().is_some());
        cases.withdraw("test.rule", Subject::Other(1));
        assert_eq!(cases.deadline(), None);
    }

    #[test]
    fn what_was_lost_lowers_what_it_may_explain() {
        let mut cases = Cases::default();
        cases.raise(case(Severity::Low, "a", 0), at(0));
        cases.raise(
            Case { subject: Subject::Other(2), rule: "test.counts", ..case(Severity::Low, "b", 0) },
            at(0),
        );
        cases.doubt("test.counts", 7);
        let told: Vec<_> = std::iter::from_fn(|| cases.pop_due(at(9000), at(9000))).collect();
        let mut confidences: Vec<_> =
            told.iter().map(|(case, _)| (case.confidence, case.facts.len())).collect();
        confidences.sort_unstable_by_key(|(_, facts)| *facts);
        assert_eq!(confidences, [(Confidence::Probable, 1), (Confidence::Suspicious, 2)]);
    }

    #[test]
    fn what_was_told_makes_room_first() {
        let mut cases = Cases::default();
        let of = |n| Case { subject: Subject::Other(n), ..case(Severity::Low, "x", 0) };
        (0..MAX_CASES as u64 / 2).for_each(|n| cases.raise(of(n), at(0)));
        while cases.pop_due(at(1000), at(1000)).is_some() {}
        (MAX_CASES as u64..MAX_CASES as u64 * 2).for_each(|n| cases.raise(of(n), at(1000)));
        assert_eq!((cases.known.len(), cases.dropped), (MAX_CASES, 0));
        let told = std::iter::from_fn(|| cases.pop_due(at(2000), at(2000))).count();
        assert_eq!(told, MAX_CASES);
    }

    #[test]
    fn what_many_do_is_counted() {
        let mut cases = Cases::default();
        (0..7).for_each(|_| cases.raise(case(Severity::Low, "a", 0), at(0)));
        let (told, _) = cases.pop_due(at(1000), at(1000)).expect("it is due");
        assert_eq!(told.attributes, [("tracer.finding.count", Value::Int(7))]);
    }

    #[test]
    fn the_table_is_bounded() {
        let mut cases = Cases::default();
        for n in 0..MAX_CASES as u64 + 10 {
            cases.raise(Case { subject: Subject::Other(n), ..case(Severity::Low, "x", 0) }, at(0));
        }
        assert_eq!((cases.known.len(), cases.due.len(), cases.dropped), (MAX_CASES, MAX_CASES, 10));
        assert_eq!(cases.ranks.len(), MAX_CASES);
    }

    #[test]
    fn no_number_of_small_ones_hides_a_bad_one() {
        let of = |n, severity| Case { subject: Subject::Other(n), ..case(severity, "x", 0) };
        for told in [false, true] {
            let mut cases = Cases::default();
            cases.raise(of(0, Severity::Critical), at(0));
            cases.raise(Case { confidence: Confidence::Confirmed, ..of(1, Severity::Medium) }, at(0));
            if told {
                while cases.pop_due(at(600), at(600)).is_some() {}
            }
            (2..3 * MAX_CASES as u64).for_each(|n| cases.raise(of(n, Severity::Medium), at(700)));
            let worst: Vec<_> = (0..2).map(|n| cases.worst(Subject::Other(n))).collect();
            assert_eq!(worst, [Some(Severity::Critical), Some(Severity::Medium)]);
            assert_eq!((cases.known.len(), cases.dropped), (MAX_CASES, 2 * MAX_CASES as u64));
        }
        // What is less than all that wait has no place.
        let mut cases = Cases::default();
        (0..MAX_CASES as u64).for_each(|n| cases.raise(of(n, Severity::High), at(0)));
        cases.raise(of(u64::MAX, Severity::Low), at(0));
        assert_eq!((cases.worst(Subject::Other(u64::MAX)), cases.dropped), (None, 1));
    }
}
