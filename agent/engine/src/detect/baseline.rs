//! What is usual: for each service the endpoints it serves, the peers it calls, what it launches.
//!
//! ```text
//!  observed ──► waits ──► learned        nothing bad was said about its subject in the meantime
//!                 └─────► not learned    a case of high or critical severity was: an attack that is repeated
//!                                        must not become usual by that
//! ```
//!
//! A service is cold until it was observed for [`LEARN_S`] or served [`LEARN_REQUESTS`] requests. Learning goes
//! on after that, so that each new thing is new once.

use super::Habit;
use crate::{
    Time,
    cases::{Cases, Subject},
    finding::Severity,
    resource::UNKNOWN_SERVICE,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

/// Most services that are known: more than a big node runs.
const MAX_SERVICES: usize = 1024;
/// Most bytes of the habits of one service: an application with a thousand routes has fewer.
const MAX_SERVICE_BYTES: usize = 256 << 10;
/// Most bytes of all habits together.
const MAX_BYTES: usize = 8 << 20;
/// No kind of habit has more than one part of so many: what strangers can make up, like routes, leaves room for others.
const MAX_PART: usize = 2;
/// Most habits that wait, some hundred bytes each; past it they are not learned until they are seen again.
const MAX_WAITING: usize = 4096;
/// Most subjects that a habit waits with, its latest: what is said of one is said within seconds.
const MAX_SUBJECTS: usize = 16;
/// How long a habit waits for something bad to be said: what grows into an attack does so in moments.
const WAIT_MS: u64 = 30_000;
/// How long what was learned can be taken back, since something bad is said of who did it: as long as its case may grow.
const KEEP_MS: u64 = 60_000;
/// What waited less when the tracer stops is not learned: as long as a finding takes to be told.
const MIN_WAIT_MS: u64 = 3_000;
/// A service is no longer cold after so long: a day has what happens daily,
const LEARN_S: u64 = 24 * 3600;
/// or after so many requests.
const LEARN_REQUESTS: u64 = 10_000;

/// Whether something is usual.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Too little is known of the service to say.
    Cold,
    /// It never was before.
    New,
    /// It is usual, or someone said so.
    Known,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Baseline {
    services: BTreeMap<Arc<str>, Service>,
    /// Habits that wait, with whom they are seen with.
    waiting: BTreeMap<(Arc<str>, Habit), Waiting>,
    /// The same in order of time.
    due: VecDeque<(Time, Arc<str>, Habit)>,
    /// What was learned just now, with whom it was seen with, and how long it is remembered.
    lately: VecDeque<(Time, Arc<str>, Habit, VecDeque<Subject>)>,
    /// Bytes of all habits that are learned.
    held: Held,
    /// How often anything was seen that is known.
    seen: u64,
    /// How often anything was learned or forgotten.
    pub changes: u64,
    /// Habits that found no room, or were forgotten for another one's sake.
    pub unlearned: u64,
}

/// A habit that is not learned yet.
#[derive(Debug)]
struct Waiting {
    subjects: VecDeque<Subject>,
    /// Something bad was said of one of them, and stays said when that case is forgotten.
    barred: bool,
}

impl Waiting {
    fn with(&mut self, subject: Subject) {
        if self.subjects.contains(&subject) {
            return;
        }
        if self.subjects.len() >= MAX_SUBJECTS {
            self.subjects.pop_front();
        }
        self.subjects.push_back(subject);
    }
}

/// What is known of a service.
#[derive(Debug)]
struct Service {
    /// Since when it is observed in this run,
    since: Time,
    /// and for how long it was before, in seconds.
    before_s: u64,
    requests: u64,
    learned: bool,
    /// Something of this kind found no room: what is not there may be usual all the same.
    full: [bool; Habit::KINDS],
    /// Its habits, and when each was seen last, in a count of all that was.
    habits: BTreeMap<Habit, u64>,
    /// Those of them that people said are normal.
    accepted: BTreeSet<Habit>,
    /// Bytes of the habits.
    held: Held,
}

/// What is usual for one service: one of a baseline that is kept, reviewed, shipped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usual {
    /// `service.name`.
    pub service: String,
    /// Seconds for which it was observed.
    pub observed_s: u64,
    /// Requests that it served in that time.
    pub requests: u64,
    /// Whether that was long enough, or someone said so, to call something new.
    pub learned: bool,
    /// What it was seen doing, in order.
    pub habits: Vec<Habit>,
    /// What people said is normal, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accepted: Vec<Habit>,
}

/// Bytes of habits, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Held([usize; Habit::KINDS]);

impl Held {
    fn has_room(&self, habit: &Habit, most: usize) -> bool {
        let footprint = habit.footprint();
        self.0[habit.kind()] + footprint <= most / MAX_PART && self.all() + footprint <= most
    }

    fn add(&mut self, habit: &Habit) {
        self.0[habit.kind()] += habit.footprint();
    }

    fn remove(&mut self, habit: &Habit) {
        self.0[habit.kind()] -= habit.footprint();
    }

    fn all(&self) -> usize {
        self.0.iter().sum()
    }
}

impl Service {
    /// Of a kind, what people did not accept and was not seen for longest.
    fn oldest(&self, kind: usize) -> Option<Habit> {
        let own =
            self.habits.iter().filter(|(habit, _)| habit.kind() == kind && !self.accepted.contains(*habit));
        own.min_by_key(|(_, seen)| **seen).map(|(habit, _)| habit.clone())
    }
}

impl Baseline {
    /// Whether a service usually launches this program, with arguments of this shape, for this route.
    pub fn launch(&self, service: &str, route: &str, executable: &str, shape: &str) -> Seen {
        self.seen(service, &Habit::launch(route, executable, shape))
    }

    /// Whether a service usually calls this peer.
    pub fn edge(&self, service: &str, peer: &str) -> Seen {
        self.seen(service, &Habit::edge(peer))
    }

    /// The most that a service usually sends to this peer, for one request or within a minute; 0 when that is
    /// not known.
    pub fn egress(&self, service: &str, peer: &str) -> u64 {
        let Some(known) = self.services.get(service) else { return 0 };
        known.habits.range(Habit::all_egress(peer)).next_back().map_or(0, |(habit, _)| habit.bytes())
    }

    /// Whether enough is known of a service to call something new.
    pub fn is_learned(&self, service: &str) -> bool {
        self.services.get(service).is_some_and(|known| known.learned)
    }

    /// Whether people have said that this is normal for a service.
    pub fn accepts(&self, service: &str, habit: &Habit) -> bool {
        self.services.get(service).is_some_and(|known| known.accepted.contains(habit))
    }

    /// Whether a service has this habit.
    pub fn seen(&self, service: &str, habit: &Habit) -> Seen {
        match self.services.get(service) {
            Some(known) if known.habits.contains_key(habit) => Seen::Known,
            Some(known) if known.learned && !known.full[habit.kind()] => Seen::New,
            _ => Seen::Cold,
        }
    }

    /// A service served a request.
    pub fn served(&mut self, service: &Arc<str>, now: Time) {
        if let Some(known) = self.service(service, now) {
            known.requests = known.requests.saturating_add(1);
            let observed_s = known.before_s + now.since(known.since) / 1_000_000_000;
            known.learned |= known.requests >= LEARN_REQUESTS || observed_s >= LEARN_S;
        }
    }

    /// A service did something, which is usual from now on unless something bad is said about `subject` soon.
    /// Gives what it was so far; what waits to be learned counts as known.
    pub fn observe(&mut self, subject: Subject, service: &Arc<str>, habit: Habit, now: Time) -> Seen {
        if **service == *UNKNOWN_SERVICE {
            return Seen::Cold;
        }
        let seen = self.seen(service, &habit);
        let key = (Arc::clone(service), habit);
        if let Some(waiting) = self.waiting.get_mut(&key) {
            waiting.with(subject);
            return Seen::Known;
        }
        if seen == Seen::Known {
            self.seen += 1;
            let last = self.services.get_mut(service).and_then(|known| known.habits.get_mut(&key.1));
            last.into_iter().for_each(|last| *last = self.seen);
            return seen;
        }
        if self.waiting.len() >= MAX_WAITING {
            self.unlearned += 1;
            return seen;
        }
        self.due.push_back((now.plus_ms(WAIT_MS), Arc::clone(&key.0), key.1.clone()));
        self.waiting.insert(key, Waiting { subjects: VecDeque::from([subject]), barred: false });
        seen
    }

    /// Something was said about a subject: when it is bad, what it was seen doing is not learned, nor stays so.
    pub fn said(&mut self, subject: Subject, severity: Severity) {
        if severity >= Severity::High {
            let with = self.waiting.values_mut().filter(|waiting| waiting.subjects.contains(&subject));
            with.for_each(|waiting| waiting.barred = true);
            let (bad, good) = std::mem::take(&mut self.lately)
                .into_iter()
                .partition(|(.., subjects)| subjects.contains(&subject));
            self.lately = good;
            let bad: VecDeque<_> = bad;
            bad.into_iter().for_each(|(_, service, habit, _)| self.unlearn(&service, &habit));
        }
    }

    /// Learns what has waited long enough and has nothing bad said about it.
    pub fn settle(&mut self, cases: &Cases, now: Time) {
        while self.lately.pop_front_if(|(until, ..)| *until <= now).is_some() {}
        while let Some((_, service, habit)) = self.due.pop_front_if(|(due, ..)| *due <= now) {
            let key = (service, habit);
            let Some(waiting) = self.waiting.remove(&key) else { continue };
            // A case may be older than what its subject was seen doing.
            let bad = |subject: &Subject| cases.worst(*subject) >= Some(Severity::High);
            let barred = waiting.barred || waiting.subjects.iter().any(bad);
            if !barred && self.learn(&key.0, key.1.clone(), now) {
                self.lately.push_back((now.plus_ms(KEEP_MS), key.0, key.1, waiting.subjects));
                let over = self.lately.len().saturating_sub(MAX_WAITING);
                self.lately.drain(..over);
            }
        }
    }

    /// The same at the end of a run: what has waited for a while is learned, and nothing waits any more.
    pub fn finish(&mut self, cases: &Cases, now: Time) {
        let due = std::mem::take(&mut self.due).into_iter();
        let until = now.plus_ms(WAIT_MS - MIN_WAIT_MS);
        self.due =
            due.filter(|(due, ..)| *due <= until).map(|(_, service, habit)| (now, service, habit)).collect();
        self.settle(cases, now);
        self.waiting.clear();
    }

    /// What is usual, service by service.
    pub fn usual(&self, now: Time) -> Vec<Usual> {
        let usual = |(service, known): (&Arc<str>, &Service)| Usual {
            service: service.to_string(),
            observed_s: known.before_s + now.since(known.since) / 1_000_000_000,
            requests: known.requests,
            learned: known.learned,
            habits: known.habits.keys().filter(|habit| !known.accepted.contains(habit)).cloned().collect(),
            accepted: known.accepted.iter().cloned().collect(),
        };
        self.services.iter().map(usual).collect()
    }

    /// What is usual for a service from now on, whatever was; with nothing in it the service is forgotten.
    pub fn replace(&mut self, usual: Usual, now: Time) {
        let Usual { service, observed_s, requests, learned, habits, accepted } = usual;
        let service: Arc<str> = service.into();
        if let Some(forgotten) = self.services.remove(&service) {
            forgotten.habits.keys().for_each(|habit| self.held.remove(habit));
        }
        self.changes += 1;
        if requests == 0 && !learned && habits.is_empty() && accepted.is_empty() {
            return;
        }
        if let Some(known) = self.service(&service, now) {
            (known.before_s, known.requests, known.learned) = (observed_s, requests, learned);
        }
        // What people said comes first where there is no room for all.
        for habit in accepted {
            self.learn(&service, habit.clone(), now);
            if let Some(known) =
                self.services.get_mut(&service).filter(|known| known.habits.contains_key(&habit))
            {
                known.accepted.insert(habit);
            }
        }
        for habit in habits {
            self.learn(&service, habit, now);
        }
    }

    fn unlearn(&mut self, service: &Arc<str>, habit: &Habit) {
        if let Some(known) = self.services.get_mut(service)
            && !known.accepted.contains(habit)
            && known.habits.remove(habit).is_some()
        {
            known.held.remove(habit);
            self.held.remove(habit);
            self.changes += 1;
        }
    }

    /// Gives whether it was not known before, and is now.
    fn learn(&mut self, service: &Arc<str>, habit: Habit, now: Time) -> bool {
        self.seen += 1;
        let (mut held, seen, mut gone) = (self.held, self.seen, 0);
        let added = match self.service(service, now) {
            Some(known) if known.habits.contains_key(&habit) => return false,
            Some(known) => loop {
                if held.has_room(&habit, MAX_BYTES) && known.held.has_room(&habit, MAX_SERVICE_BYTES) {
                    known.held.add(&habit);
                    known.habits.insert(habit.clone(), seen);
                    break true;
                }
                // What is new is more likely to come again than what was not seen for longest.
                known.full[habit.kind()] = true;
                let Some(oldest) = known.oldest(habit.kind()) else { break false };
                known.habits.remove(&oldest);
                known.held.remove(&oldest);
                held.remove(&oldest);
                gone += 1;
            },
            None => false,
        };
        (self.held, self.unlearned) = (held, self.unlearned + gone);
        self.changes += u64::from(added);
        self.unlearned += u64::from(!added);
        if added {
            self.held.add(&habit);
        }
        added
    }

    /// Nothing where there is no room, or nobody knows yet who it is.
    fn service(&mut self, service: &Arc<str>, now: Time) -> Option<&mut Service> {
        if **service == *UNKNOWN_SERVICE {
            return None;
        }
        if !self.services.contains_key(service) {
            if self.services.len() >= MAX_SERVICES {
                return None;
            }
            let new = Service {
                since: now,
                before_s: 0,
                requests: 0,
                learned: false,
                full: [false; Habit::KINDS],
                habits: BTreeMap::new(),
                accepted: BTreeSet::new(),
                held: Held::default(),
            };
            self.services.insert(Arc::clone(service), new);
        }
        self.services.get_mut(service)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cases::Case, finding::Confidence};

    fn at(ms: u64) -> Time {
        Time::default().plus_ms(ms)
    }

    fn observe(baseline: &mut Baseline, subject: u64, habit: &Habit, ms: u64) -> Seen {
        baseline.observe(Subject::Other(subject), &"shop".into(), habit.clone(), at(ms))
    }

    fn case(subject: u64, severity: Severity) -> Case {
        Case {
            rule: "test.rule",
            subject: Subject::Other(subject),
            severity,
            confidence: Confidence::Probable,
            title: String::new(),
            time: at(0),
            pid: 1,
            attributes: Vec::new(),
            facts: Vec::new(),
        }
    }

    #[test]
    fn what_is_seen_is_new_once_and_then_known() {
        let mut baseline = Baseline::default();
        let habit = Habit::launch("GET /thumb", "/usr/bin/convert", "convert {} -resize {}");
        assert_eq!(observe(&mut baseline, 1, &habit, 0), Seen::Cold);
        assert_eq!(observe(&mut baseline, 2, &habit, 1), Seen::Known, "it is told once");
        assert_eq!(baseline.seen("shop", &habit), Seen::Cold, "it is not learned yet");
        baseline.settle(&Cases::default(), at(WAIT_MS));
        assert_eq!(baseline.seen("shop", &habit), Seen::Known);
        assert_eq!(baseline.edge("shop", "db:5432"), Seen::Cold);
        for _ in 0..LEARN_REQUESTS {
            baseline.served(&"shop".into(), at(2));
        }
        assert_eq!(baseline.edge("shop", "db:5432"), Seen::New);
        assert_eq!(baseline.edge("till", "db:5432"), Seen::Cold, "another service's requests say nothing");
    }

    #[test]
    fn an_attack_does_not_teach_itself_away() {
        let (mut baseline, mut cases) = (Baseline::default(), Cases::default());
        let (bad, good) = (Habit::launch("GET /x", "/bin/sh", "sh -c {}"), Habit::endpoint("GET /x"));
        observe(&mut baseline, 1, &bad, 0);
        observe(&mut baseline, 2, &good, 0);
        cases.raise(case(1, Severity::Low), at(0));
        cases.raise(case(1, Severity::High), at(WAIT_MS - 1));
        cases.raise(case(2, Severity::Medium), at(0));
        baseline.settle(&cases, at(WAIT_MS));
        assert_eq!(baseline.seen("shop", &bad), Seen::Cold);
        assert_eq!(baseline.seen("shop", &good), Seen::Known);
    }

    #[test]
    fn what_was_said_of_any_who_did_it_bars_it_though_the_case_is_forgotten() {
        let mut baseline = Baseline::default();
        let (bad, good) = (Habit::launch("GET /x", "/bin/sh", "sh -c {}"), Habit::endpoint("GET /x"));
        for subject in 1..=2 {
            observe(&mut baseline, subject, &bad, 0);
        }
        observe(&mut baseline, 3, &good, 0);
        baseline.said(Subject::Other(2), Severity::High);
        baseline.said(Subject::Other(3), Severity::Medium);
        for subject in 4..100 {
            observe(&mut baseline, subject, &bad, 0);
        }
        assert_eq!(baseline.waiting.values().map(|waiting| waiting.subjects.len()).max(), Some(MAX_SUBJECTS));
        baseline.settle(&Cases::default(), at(WAIT_MS));
        assert_eq!(baseline.seen("shop", &bad), Seen::Cold);
        assert_eq!(baseline.seen("shop", &good), Seen::Known);
    }

    #[test]
    fn what_grows_bad_later_takes_back_what_it_taught() {
        let mut baseline = Baseline::default();
        let (bad, good) = (Habit::launch("GET /x", "/bin/sh", "sh -c {}"), Habit::endpoint("GET /x"));
        let allowed = Habit::edge("db:1");
        let accepted =
            Usual { accepted: vec![allowed.clone()], ..Usual { service: "shop".into(), ..Usual::default() } };
        baseline.replace(accepted, at(0));
        for (subject, habit) in [(1, &bad), (2, &good), (1, &allowed)] {
            observe(&mut baseline, subject, habit, 0);
        }
        baseline.settle(&Cases::default(), at(WAIT_MS));
        let seen = |baseline: &Baseline| [&bad, &good, &allowed].map(|habit| baseline.seen("shop", habit));
        assert_eq!(seen(&baseline), [Seen::Known; 3]);
        let held = baseline.held;
        baseline.said(Subject::Other(1), Severity::Critical);
        assert_eq!(seen(&baseline), [Seen::Cold, Seen::Known, Seen::Known]);
        assert_eq!(held.all() - baseline.held.all(), bad.footprint());
        baseline.settle(&Cases::default(), at(WAIT_MS + KEEP_MS));
        baseline.said(Subject::Other(2), Severity::Critical);
        assert_eq!(seen(&baseline)[1], Seen::Known, "it is too long ago");
    }

    #[test]
    fn what_people_said_is_told_apart_from_what_was_learned() {
        let mut baseline = Baseline::default();
        let [learned, accepted] = ["edge a:1", "edge b:1"].map(|habit| habit.parse::<Habit>().expect("one"));
        let usual = Usual {
            service: "shop".into(),
            habits: vec![learned.clone()],
            accepted: vec![accepted.clone()],
            ..Usual::default()
        };
        baseline.replace(usual.clone(), at(0));
        assert_eq!(baseline.usual(at(0)), [usual]);
        assert_eq!([&learned, &accepted].map(|habit| baseline.accepts("shop", habit)), [false, true]);
        assert_eq!([&learned, &accepted].map(|habit| baseline.seen("shop", habit)), [Seen::Known; 2]);
    }

    #[test]
    fn time_ends_the_cold() {
        let mut baseline = Baseline::default();
        baseline.served(&"shop".into(), at(0));
        baseline.served(&"shop".into(), at(LEARN_S * 1000 - 1));
        assert!(!baseline.is_learned("shop"));
        baseline.served(&"shop".into(), at(LEARN_S * 1000));
        assert!(baseline.is_learned("shop"));
    }

    #[test]
    fn what_is_kept_is_the_same_when_it_comes_back() {
        let mut baseline = Baseline::default();
        let habits = [Habit::edge("db:5432"), Habit::endpoint("GET /a")];
        habits.iter().for_each(|habit| assert_eq!(observe(&mut baseline, 1, habit, 0), Seen::Cold));
        baseline.served(&"shop".into(), at(0));
        observe(&mut baseline, 2, &Habit::endpoint("GET /late"), 60_000);
        baseline.settle(&Cases::default(), at(WAIT_MS));
        baseline.finish(&Cases::default(), at(60_000 + MIN_WAIT_MS - 1));
        let usual = baseline.usual(at(90_000));
        assert_eq!((usual.len(), usual[0].observed_s, usual[0].requests), (1, 90, 1));
        assert_eq!(usual[0].habits.len(), 2, "what came just before the end is not learned");
        let mut again = Baseline::default();
        usual.iter().for_each(|usual| again.replace(usual.clone(), at(5)));
        assert_eq!(again.usual(at(5)), usual);
        assert_eq!((again.held, again.changes > 0), (baseline.held, true));
        again.replace(Usual { service: "shop".into(), ..Usual::default() }, at(5));
        assert_eq!((again.usual(at(5)).len(), again.held.all()), (0, 0));
    }

    #[test]
    fn a_stranger_cannot_fill_it() {
        let mut baseline = Baseline::default();
        for n in 0..MAX_WAITING as u64 + 10 {
            let habit = Habit::endpoint(&format!("GET /{n}{}", "x".repeat(512)));
            observe(&mut baseline, n, &habit, 0);
        }
        assert_eq!(baseline.unlearned, 10);
        (0..LEARN_REQUESTS).for_each(|_| baseline.served(&"shop".into(), at(0)));
        baseline.settle(&Cases::default(), at(WAIT_MS));
        let known = &baseline.services["shop"];
        assert!(known.held.all() <= MAX_SERVICE_BYTES / MAX_PART && known.habits.len() > 100);
        assert!(known.learned);
        assert_eq!(baseline.seen("shop", &Habit::edge("db:1")), Seen::New, "routes say nothing of peers");
        assert_eq!(baseline.unlearned, 10 + (MAX_WAITING - known.habits.len()) as u64);
        assert_eq!(
            baseline.seen("shop", &Habit::endpoint("GET /never")),
            Seen::Cold,
            "what found no room may be usual"
        );
        let last = Habit::endpoint(&format!("GET /{}{}", MAX_WAITING - 1, "x".repeat(512)));
        assert_eq!(baseline.seen("shop", &last), Seen::Known, "the latest are learned");
        let first = known.habits.keys().next().cloned().expect("there are some");
        assert_eq!(observe(&mut baseline, 1, &first, WAIT_MS), Seen::Known);
        for n in 0..baseline.services["shop"].habits.len() as u64 - 1 {
            let habit = Habit::endpoint(&format!("POST /{n}{}", "x".repeat(512)));
            observe(&mut baseline, n, &habit, WAIT_MS);
        }
        baseline.settle(&Cases::default(), at(2 * WAIT_MS));
        assert_eq!(baseline.seen("shop", &first), Seen::Known, "what was seen again stays");
        assert_eq!(baseline.seen("shop", &last), Seen::Cold, "what was not goes");
        assert_eq!(baseline.held, baseline.services["shop"].held);
        for n in 0..MAX_SERVICES + 10 {
            baseline.served(&n.to_string().into(), at(0));
        }
        assert_eq!(baseline.services.len(), MAX_SERVICES);
    }
}
