//! All that descends from one fork of a server, and what is said of it.

use super::{
    asked::Order,
    command_from_request,
    launched::{Below, Hit, When},
    requests,
};
use crate::{
    Time, Value,
    cases::{Case, Subject, TECHNIQUES},
    detect::{Habit, Seen, route},
    exchange::Exchange,
    finding::{Confidence, Severity},
    graph::NodeId,
    launch::Image,
    span,
    world::World,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Most facts that wait to be told, and most of them that are told at once: those of a dozen programs.
const MAX_FACTS: usize = 48;
/// Most bytes of them: as much as all of a finding's evidence holds, in each of some thousand incidents.
const MAX_FACT_BYTES: usize = 12 << 10;
/// Most of an incident that say little: what was launched again, and how that ended.
const MAX_NOTES: usize = 8;
/// Rules that say little of what is usual for its service.
const ASK_THE_BASELINE: &[&str] =
    &["process.in_request", "process.shell_in_request", "process.without_request"];
/// Most different programs that are held against the baseline; of more not all can be usual.
const MAX_HABITS: usize = 16;
/// Facts that stay of what is usual so far: those that show what comes next.
const MAX_USUAL_FACTS: usize = 16;
/// Most requests that a launch may be for that are named.
const MAX_CANDIDATES: usize = 8;
/// What is said of a launch whose request cannot be read.
const NOT_COMPARED: &str = "what the request says could not be compared with what was run";
/// What is said of a process that launched something for another one.
const TOLD: &str =
    ", which forked it, had read from a unix socket what the server wrote while it worked on the request";
/// Most programs of servers of which the first launch without a request is known; past it all are forgotten.
const MAX_SERIES: usize = 1024;

/// A process below a server.
#[derive(Clone, Debug)]
pub struct Line {
    /// What it belongs to.
    pub incident: u64,
    /// Who forked it.
    pub parent: u32,
    /// Where it stands.
    pub below: Below,
    /// Whether it is below a script that its server is there to run (RFC 3875).
    pub scripted: bool,
    /// Whether a program above it was chosen by one of the application's, so that all below is that one's business.
    pub chosen: bool,
    /// The words of the program that forked it, if that was launched itself.
    pub above: Option<Arc<str>>,
    /// What it runs, once it has executed anything.
    pub program: Option<Program>,
    /// The request that says what it runs, and how.
    pub order: Option<(NodeId, Order)>,
    /// All that do, with the bits that says.
    pub named: Vec<(NodeId, f64)>,
    /// Whether a program above it is one that its server launched before its first request, and that does what it always does.
    pub since_start: bool,
    /// Whether it was typed into a terminal that people have said is normal, or is one.
    pub accepted: bool,
}

/// What a process runs.
#[derive(Clone, Debug)]
pub struct Program {
    /// A hash of its arguments.
    pub itself: u64,
    /// Whether it is a shell.
    pub shell: bool,
    /// Whether it is a shell or an interpreter.
    pub interprets: bool,
    /// Whether it takes orders.
    pub ordered: bool,
    /// Whether that are commands on its standard input.
    pub typed_into: bool,
    /// Whether it is the first of its kind in its incident, or a rule says much of it: how it ends is worth telling.
    pub matters: bool,
    /// Whether it is what its server is there to run (RFC 3875).
    pub script: bool,
    /// A hash of its file.
    pub file: u64,
    /// Its command line.
    pub line: String,
    /// All its arguments.
    pub words: Arc<str>,
}

impl Line {
    /// A process that has executed nothing yet.
    pub fn new(incident: u64, parent: u32, below: Below) -> Self {
        Self {
            incident,
            parent,
            below,
            scripted: false,
            chosen: false,
            above: None,
            program: None,
            order: None,
            named: Vec::new(),
            since_start: false,
            accepted: false,
        }
    }

    /// A child of this one.
    pub fn child(&self, pid: u32) -> Self {
        let below = match &self.program {
            Some(program) if program.script => Below::Child,
            Some(program) => Below::Deeper { ordered: program.ordered && !self.chosen || program.typed_into },
            // It goes on as what its parent was.
            None => self.below,
        };
        let chosen = self.chosen && !self.program.as_ref().is_some_and(|program| program.typed_into);
        let above =
            self.program.as_ref().map(|program| Arc::clone(&program.words)).or_else(|| self.above.clone());
        let scripted = self.scripted || self.program.as_ref().is_some_and(|program| program.script);
        let (since_start, accepted) = (self.since_start, self.accepted);
        Self { above, scripted, chosen, since_start, accepted, ..Self::new(self.incident, pid, below) }
    }
}

/// See the module.
#[derive(Debug)]
pub struct Incident {
    /// The server.
    pub reader: u32,
    /// Who forked it, where that was told by the server what to work on.
    pub via: Option<u32>,
    /// When it was forked.
    pub began: Time,
    /// What was open then.
    pub when: When,
    /// Whether a thread forked it that is older than the first request, and reads none.
    pub timer: bool,
    /// The WebSocket that it is for, when there is no request that is open.
    pub session: Option<NodeId>,
    /// The requests that it may be for, the most likely ones first.
    pub candidates: Vec<NodeId>,
    /// The first launch.
    pub top: Option<NodeId>,
    /// What that is, whatever its arguments.
    pub kind: Option<u64>,
    /// Processes that are alive.
    pub alive: u32,
    /// Whether people have said of all that was launched in it that it is normal.
    pub accepted: bool,
    /// Whether anything in it lets someone in, which is usual nowhere.
    pub enters: bool,
    /// Whether a shell in it takes its commands from a pipe.
    pub fed: bool,
    /// What a program in it connected to last.
    pub connected: Option<String>,
    /// The worst that was said of it, of what, and the request that was named.
    pub worst: Option<Worst>,
    /// All that rules said of it, the worst of each.
    said: BTreeMap<&'static str, Hit>,
    /// When the first of that was said.
    pub first: Time,
    /// When it is told.
    pub due: Option<Time>,
    /// What was seen and not told yet.
    facts: Vec<(Time, String)>,
    /// How many of all that was seen say little.
    notes: usize,
    /// Whether they say much.
    much: bool,
    /// Facts that found no room.
    pub left_out: u64,
    /// Programs, with the routes that they are for.
    habits: BTreeSet<(String, String, String)>,
    /// Whether there were more of them.
    habits_cut: bool,
    /// Techniques of all that was said.
    techniques: BTreeSet<&'static str>,
    /// What it is told about, once it was.
    subject: Option<Subject>,
}

/// The worst that was said.
#[derive(Clone, Debug)]
pub struct Worst {
    hit: Hit,
    image: Image,
    pid: u32,
    named: Option<NodeId>,
}

impl Incident {
    /// One that begins.
    pub fn new((reader, via): (u32, Option<u32>), began: Time, when: When, candidates: Vec<NodeId>) -> Self {
        Self {
            reader,
            via,
            began,
            when,
            timer: false,
            session: None,
            candidates,
            top: None,
            kind: None,
            alive: 0,
            accepted: true,
            enters: false,
            fed: false,
            connected: None,
            worst: None,
            said: BTreeMap::new(),
            first: Time::default(),
            due: None,
            facts: Vec::new(),
            notes: 0,
            much: false,
            left_out: 0,
            habits: BTreeSet::new(),
            habits_cut: false,
            techniques: BTreeSet::new(),
            subject: None,
        }
    }

    /// Whether nothing more can come of it.
    pub fn is_over(&self) -> bool {
        self.alive == 0 && self.due.is_none()
    }

    /// Something was seen that says much.
    pub fn add(&mut self, time: Time, fact: String) {
        self.much = true;
        self.keep(time, fact);
    }

    fn keep(&mut self, time: Time, fact: String) {
        let held: usize = self.facts.iter().map(|(_, fact)| fact.len()).sum();
        if self.facts.len() < MAX_FACTS && held + fact.len() <= MAX_FACT_BYTES {
            self.facts.push((time, fact));
        } else {
            self.left_out += 1;
        }
    }

    /// Something was seen that says little by itself: it leaves room for what says more.
    pub fn note(&mut self, time: Time, fact: String) {
        if self.notes < MAX_NOTES {
            self.notes += 1;
            self.keep(time, fact);
        } else {
            self.left_out += 1;
        }
    }

    /// A program, with the route that it is for. Whether it is the first such one.
    pub fn habits(&mut self, habit: (String, String, String)) -> bool {
        if self.habits.contains(&habit) {
            return false;
        }
        if self.habits.len() < MAX_HABITS {
            self.habits.insert(habit)
        } else {
            self.habits_cut = true;
            false
        }
    }

    /// A rule says something of an image.
    pub fn hit(&mut self, hit: Hit, image: &Image, pid: u32, named: Option<NodeId>) {
        let strength = |hit: &Hit| (hit.severity, hit.confidence);
        self.techniques.extend(hit.techniques);
        let said = self.said.entry(hit.rule).or_insert_with(|| hit.clone());
        if strength(&hit) > strength(said) {
            *said = hit.clone();
        }
        match &mut self.worst {
            Some(worst) if strength(&hit) <= strength(&worst.hit) => {
                worst.named = worst.named.or(named);
            }
            worst => {
                let named = named.or(worst.as_ref().and_then(|worst| worst.named));
                self.first = worst
                    .as_ref()
                    .map_or(self.facts.last().map_or(self.began, |(at, _)| *at), |_| self.first);
                *worst = Some(Worst { hit, image: image.clone(), pid, named });
            }
        }
    }

    /// A rule says something of what was launched before.
    pub fn hit_again(&mut self, mut hit: Hit) {
        if self.accepted {
            accept(&mut hit);
        }
        if let Some(Worst { image, pid, named, .. }) = self.worst.clone() {
            self.hit(hit, &image, pid, named);
        }
    }
}

/// People have said that a launch is normal: whatever it is, it is told low; not that a stranger says what it runs.
pub fn accept(hit: &mut Hit) {
    if hit.rule != command_from_request::RULE {
        hit.severity = hit.severity.min(Severity::Low);
    }
}

/// Tells an incident, or what is new of it.
pub fn tell(world: &mut World, id: u64) {
    let Some(top) = world.launches.incidents.get(&id).map(|incident| incident.top) else { return };
    if let Some(top) = top.filter(|top| world.graph.is_undecided(*top)) {
        world.causes.decide(top, &mut world.graph);
    }
    let Some(incident) = world.launches.incidents.get_mut(&id) else { return };
    // What another service launches because a server asked it to is its own business: it is there for that, though not
    // for what a request says (`COPY ... FROM PROGRAM` in a query).
    if incident.via.is_some_and(|via| world.tasks.are_kin(incident.reader, via) != Some(true)) {
        incident.worst = incident.worst.take().filter(|worst| worst.hit.rule == command_from_request::RULE);
        incident.said.retain(|rule, _| *rule == command_from_request::RULE);
    }
    let Some(worst) = incident.worst.clone() else { return };
    let decided = top.and_then(|top| world.graph.cause(top));
    let known = |node: &NodeId| world.launches.requests.get(*node).is_some();
    let request = decided.filter(known).or(worst.named).or(incident.session).filter(known);
    let subject = incident.subject.unwrap_or(match (request, incident.when, top) {
        (Some(request), ..) => Subject::Node(request),
        (None, When::Idle(_), Some(top)) => {
            let series = &mut world.launches.series;
            if series.len() >= MAX_SERIES {
                series.clear();
                world.launches.dropped += 1;
            }
            let key = (incident.reader, incident.kind.unwrap_or_default());
            Subject::Node(*series.entry(key).or_insert(top))
        }
        (None, _, Some(top)) => Subject::Node(top),
        (None, _, None) => Subject::Other(id),
    });
    incident.subject = Some(subject);
    let (habits, reader, candidates) =
        (incident.habits.clone(), incident.reader, incident.candidates.clone());
    let (began, all) = (incident.began, !incident.habits_cut && !incident.habits.is_empty());
    let asks = |hit: &Hit| ASK_THE_BASELINE.contains(&hit.rule);
    let asks = incident.said.values().all(asks) && asks(&worst.hit) && !incident.enters;
    let service = world.service(reader);
    let of_route = |(fallback, file, shape): (String, String, String)| {
        let route = request.map_or(fallback, |node| world.launches.requests.route(node));
        Habit::launch(&route, &file, &shape)
    };
    let habits: BTreeSet<_> = habits.into_iter().map(of_route).collect();
    let mut new = false;
    for habit in &habits {
        new |= world.baseline.observe(subject, &service, habit.clone(), world.now) != Seen::Known;
    }
    // Who serves may have been unknown when the rules were asked.
    let usual = |habit| world.baseline.seen(&service, habit) == Seen::Known;
    let accepted = |habit| world.baseline.accepts(&service, habit);
    let accepted = all && habits.iter().all(accepted);
    let mut worst = worst;
    if accepted || all && asks && habits.iter().all(usual) {
        accept(&mut worst.hit);
    }
    let Some(incident) = world.launches.incidents.get_mut(&id) else { return };
    if accepted {
        incident.said.values_mut().for_each(accept);
    }
    if worst.hit.severity <= Severity::Low && !new {
        let usual = incident.facts.len().saturating_sub(MAX_USUAL_FACTS);
        incident.facts.drain(..usual);
        incident.notes = incident.facts.len();
        return;
    }
    let (mut facts, said) = (std::mem::take(&mut incident.facts), std::mem::take(&mut incident.said));
    let grew = (std::mem::take(&mut incident.much), std::mem::take(&mut incident.left_out));
    if let Some(via) = incident.via.filter(|_| request.is_some()) {
        facts.push((incident.began, format!("pid {via}{TOLD}")));
    }
    let techniques = incident.techniques.iter().map(|id| (*id).to_owned()).collect();
    let lead = worst.hit.rule;
    let case = case(
        world,
        Told {
            worst,
            subject,
            request,
            candidates,
            began,
            reader,
            facts,
            habits,
            techniques,
            service: &service,
        },
    );
    let also: Vec<_> = (said.into_values())
        .filter(|hit| hit.rule != lead)
        .map(|hit| Case {
            rule: hit.rule,
            severity: hit.severity,
            confidence: hit.confidence,
            title: format!("{service} {}", hit.title),
            attributes: Vec::new(),
            facts: Vec::new(),
            ..case.clone()
        })
        .collect();
    world.raise(case);
    world.cases.grew(lead, subject, grew, world.now);
    also.into_iter().for_each(|case| world.raise(case));
}

/// What a finding is made of.
struct Told<'a> {
    worst: Worst,
    subject: Subject,
    request: Option<NodeId>,
    candidates: Vec<NodeId>,
    began: Time,
    reader: u32,
    facts: Vec<(Time, String)>,
    habits: BTreeSet<Habit>,
    techniques: Vec<String>,
    service: &'a str,
}

fn case(world: &World, told: Told<'_>) -> Case {
    let Worst { hit, image, pid, .. } = told.worst;
    let text = |text: &str| Value::Str(text.to_owned());
    let mut attributes = vec![
        ("process.pid", Value::Int(pid.into())),
        ("process.parent_pid", Value::Int(image.parent_pid.into())),
        ("process.executable.path", text(&image.file)),
        ("process.executable.name", text(super::program::name(&image.file))),
        ("process.command_args", Value::Strings(image.args.clone())),
        ("process.real_user.id", Value::Int(image.uid.into())),
        ("process.user.id", Value::Int(image.euid.into())),
        (TECHNIQUES, Value::Strings(told.techniques)),
    ];
    if let Some(directory) = world.tasks.directory(pid) {
        attributes.push(("process.working_directory", text(directory)));
    }
    // That a stranger says what runs is never normal.
    if hit.rule != command_from_request::RULE {
        let habits = told.habits.iter().map(ToString::to_string).collect();
        attributes.push(("tracer.baseline.habits", Value::Strings(habits)));
    }
    let requests = &world.launches.requests;
    let (mut facts, mut confidence) = (told.facts, hit.confidence);
    match told.request.and_then(|node| requests.get(node)) {
        Some(exchange) => {
            attributes.extend(span::exchange(exchange).attributes);
            facts.insert(0, (told.began, format!("forked for {}", requests::line(exchange))));
            if let Some(unread) = exchange.unread {
                facts.push((told.began, NOT_COMPARED.to_owned()));
                // It may be another one's of those that were open on its connection.
                confidence = if unread.multiplexed { Confidence::Suspicious } else { confidence };
            }
        }
        None if told.candidates.is_empty() => {}
        None => {
            let lines: Vec<_> = (told.candidates.iter())
                .filter_map(|node| requests.get(*node))
                .take(MAX_CANDIDATES)
                .map(requests::line)
                .collect();
            let all = told.candidates.len();
            facts.push((told.began, format!("forked for one of {all} requests: {}", lines.join("; "))));
            attributes.push(("tracer.link.candidates", Value::Int(i64::try_from(all).unwrap_or(i64::MAX))));
        }
    }
    Case {
        rule: hit.rule,
        subject: told.subject,
        severity: hit.severity,
        confidence,
        title: format!("{} {}", told.service, hit.title),
        time: told.began,
        pid: told.reader,
        attributes,
        facts,
    }
}

impl requests::Requests {
    /// Method and route of a request.
    pub fn route(&self, node: NodeId) -> String {
        let route = |exchange: &Exchange| match exchange.unread {
            Some(unread) => unread.carrier.title().to_owned(),
            None => route(exchange.method(), exchange.target()),
        };
        self.get(node).map_or(super::SOME_REQUEST.to_owned(), route)
    }
}
