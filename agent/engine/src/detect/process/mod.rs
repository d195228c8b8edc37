//! What is launched below a process that serves requests: web shells, reverse shells, programs that no request
//! asked for.
//!
//! A server is a process that has read a request. What it forks, and all that descends from that through whatever
//! forks, sessions and images, is one [`Incident`] until it turns out to be harmless. Each image in it is shown to the
//! [`RULES`]; what they say is told as one finding about the request that it was launched for, led by the rule that
//! says the worst, its evidence growing while the programs run. The finding is about the first launch when no request
//! is known, and about the first of them all when a server launches the same again and again without one.

mod command_from_request;
mod fileless;
mod in_request;
mod incident;
mod launched;
mod preload;
mod program;
mod pty_shell;
mod remote_shell;
mod requests;
mod said;
mod shell;
mod shell_in_request;
mod without_request;

use crate::{
    Time,
    cause::Origin,
    detect::shape,
    graph::NodeId,
    launch::Image,
    world::{Op, World},
};
use command_from_request::{Order, order};
use incident::{Incident, Line, Program as Known};
use launched::{Below, Hit, Launched, When};
use program::Program;
use requests::Requests;
use rustc_hash::{FxHashMap, FxHashSet};
use std::collections::{BTreeMap, BTreeSet};
use tracer_common::{Exec, Exit, Sock};
use twox_hash::XxHash3_64;

/// Most processes below servers that are followed: as many as are known at all. More are not, which is counted.
const MAX_LINES: usize = 16_384;
/// Most incidents; past it the oldest is forgotten, which is counted.
const MAX_INCIDENTS: usize = 4096;
/// Open requests that a launch is compared with, the newest first.
const MAX_COMPARED: usize = 16;
/// Programs that are remembered of processes that have not read a request yet; past it all are forgotten.
const MAX_EARLY: usize = 8192;
/// Servers whose last connect, and last shell on pipes, is remembered; past it all are forgotten.
const MAX_SERVERS: usize = 4096;
/// How long what caused a launch may stay undecided, or its server unknown, before it is told.
const DECIDE_MS: u64 = 1_000;
/// How often that is looked at.
const LOOK_MS: u64 = 50;
/// A shell on pipes whose server connected so shortly before is meant for that connection.
const PUMP_MS: u64 = 5_000;

/// The rules.
const RULES: &[fn(&Launched<'_>) -> Option<Hit>] = &[
    command_from_request::judge,
    remote_shell::judge,
    fileless::judge,
    shell_in_request::judge,
    without_request::judge,
    in_request::judge,
    pty_shell::judge,
    preload::judge,
];

/// See the module.
#[derive(Debug, Default)]
pub struct Launches {
    /// By process.
    lines: FxHashMap<u32, Line>,
    incidents: BTreeMap<u64, Incident>,
    due: BTreeSet<(Time, u64)>,
    requests: Requests,
    /// What was launched by whom before that had read a request.
    early: FxHashSet<(u32, u64)>,
    /// What servers connected to last.
    connects: FxHashMap<u32, (Time, String)>,
    /// The last shell on pipes that each of them launched.
    fed: FxHashMap<u32, (Time, u64)>,
    /// What was first launched without a request, by server and program.
    series: FxHashMap<(u32, u64), NodeId>,
    next: u64,
    /// Processes and incidents that were not followed for want of room.
    pub forgotten: u64,
}

impl Launches {
    /// When something is due.
    pub fn deadline(&self) -> Option<Time> {
        self.due.first().map(|(time, _)| *time)
    }

    /// The process has read a request: from now on it is a server of its own.
    pub fn serves(&mut self, pid: u32) {
        self.leave(pid);
    }

    /// The open requests that say what a process just executed, with the bits that says.
    pub fn named(&self, pid: u32) -> Vec<(NodeId, f64)> {
        self.lines.get(&pid).map_or_else(Vec::new, |line| line.named.clone())
    }

    fn open(&mut self, incident: Incident) -> u64 {
        if self.incidents.len() >= MAX_INCIDENTS
            && let Some((oldest, _)) = self.incidents.pop_first()
        {
            self.forgotten += 1;
            self.lines.retain(|_, line| line.incident != oldest);
        }
        self.next += 1;
        self.incidents.insert(self.next, incident);
        self.next
    }

    fn enter(&mut self, pid: u32, line: Line) {
        self.leave(pid);
        if self.lines.len() >= MAX_LINES {
            self.forgotten += 1;
            return;
        }
        if let Some(incident) = self.incidents.get_mut(&line.incident) {
            incident.alive += 1;
            self.lines.insert(pid, line);
        }
    }

    fn leave(&mut self, pid: u32) -> Option<Line> {
        let line = self.lines.remove(&pid)?;
        if let Some(incident) = self.incidents.get_mut(&line.incident) {
            incident.alive -= 1;
            if incident.is_over() {
                self.incidents.remove(&line.incident);
            }
        }
        Some(line)
    }

    fn line(&mut self, pid: u32) -> Option<(&mut Line, &mut Incident)> {
        let line = self.lines.get_mut(&pid)?;
        let incident = self.incidents.get_mut(&line.incident)?;
        Some((line, incident))
    }

    /// Something was added to an incident: it is told soon, or again.
    fn schedule(&mut self, id: u64, at: Time) {
        if let Some(incident) = self.incidents.get_mut(&id)
            && incident.due.is_none()
            && incident.worst.is_some()
        {
            incident.due = Some(at);
            self.due.insert((at, id));
        }
    }
}

/// A process was forked, for what `origin` says.
pub fn forked(world: &mut World, child: u32, origin: &Origin, op: Op) {
    let launches = &mut world.launches;
    if let Some(parent) = launches.lines.get(&op.pid) {
        let line = parent.child(op.pid);
        return launches.enter(child, line);
    }
    launches.leave(child);
    if let Some(incident) = begins(world, origin, op) {
        world.launches.enter(child, Line::new(incident, op.pid, Below::Child));
    }
}

/// A server does something that may begin an incident.
fn begins(world: &mut World, origin: &Origin, op: Op) -> Option<u64> {
    let (when, candidates) = match origin {
        Origin::Serving(evidence) if evidence.pid == op.pid => {
            let told = evidence.thread.map(|(node, _)| match world.graph.is_call(node) {
                true => world.graph.cause(node).unwrap_or(node),
                false => node,
            });
            let open = world.causes.open_requests(op.pid).take(MAX_COMPARED);
            let mut candidates: Vec<_> = told.into_iter().chain(evidence.sole).collect();
            candidates.extend(open);
            let mut known = FxHashSet::default();
            candidates.retain(|node| known.insert(*node));
            (When::InFlight(evidence.open.max(1)), candidates)
        }
        Origin::Idle(idle) if idle.pid == op.pid => {
            (When::Idle(idle.last.map(|(_, at)| op.time.since(at) / 1_000_000)), Vec::new())
        }
        _ => return None,
    };
    for candidate in &candidates {
        world.launches.requests.keep(*candidate, &world.graph);
    }
    Some(world.launches.open(Incident::new(op, when, candidates)))
}

/// A process is about to be shown with a new image: finds the requests that say what it runs.
pub fn executes(world: &mut World, image: &Image, origin: &Origin, op: Op) {
    if !world.launches.lines.contains_key(&op.pid) {
        let Some(incident) = begins(world, origin, op) else { return early(world, image) };
        world.launches.enter(op.pid, Line::new(incident, image.parent_pid, Below::Same));
    }
    let Some((_, incident)) = world.launches.line(op.pid) else { return };
    let (reader, forked, mut nodes) = (incident.reader, incident.began, incident.candidates.clone());
    if let When::InFlight(_) = incident.when {
        let began = |node: &NodeId| world.graph.times(*node).is_some_and(|times| times.start <= forked);
        let open: Vec<_> = world.causes.open_requests(reader).filter(began).collect();
        let newest = open.into_iter().rev().take(MAX_COMPARED);
        nodes.extend(newest.filter(|node| !incident.candidates.contains(node)).collect::<Vec<_>>());
    }
    let mut named: Vec<(NodeId, Order)> = Vec::new();
    for node in nodes {
        world.launches.requests.keep(node, &world.graph);
        let Some(exchange) = world.launches.requests.get(node) else { continue };
        named.extend(order(&said::said(exchange), image).map(|order| (node, order)));
    }
    let Some((line, incident)) = world.launches.line(op.pid) else { return };
    line.named = named.iter().map(|(node, order)| (*node, order.bits)).collect();
    // Of several that say the same, others than the words decide.
    line.order = named.into_iter().reduce(|best, next| if next.1.bits > best.1.bits { next } else { best });
    for (node, _) in &line.named {
        if !incident.candidates.contains(node) {
            incident.candidates.push(*node);
        }
    }
}

/// A program that nobody's request can have asked for yet.
fn early(world: &mut World, image: &Image) {
    if world.tasks.served(image.parent_pid).is_some() {
        return;
    }
    let early = &mut world.launches.early;
    if early.len() >= MAX_EARLY {
        early.clear();
    }
    early.insert((image.parent_pid, kind_of(image)));
}

/// What is launched, whatever its arguments say.
fn kind_of(image: &Image) -> u64 {
    XxHash3_64::oneshot(format!("{}\0{}", image.file, shape(&image.args)).as_bytes())
}

/// A process has a new image; `launch` is its span.
pub fn executed(world: &mut World, exec: &Exec, image: &Image, launch: Option<NodeId>, op: Op) {
    let Some((line, incident)) = world.launches.line(op.pid) else { return };
    let (id, reader, when, below) = (line.incident, incident.reader, incident.when, line.below);
    let program = Program::of(image);
    let kind = kind_of(image);
    let text = launched::line(image);
    let known = Known {
        itself: XxHash3_64::oneshot(image.args.join("\0").as_bytes()),
        shell: matches!(program.kind, program::Kind::Shell(_)),
        ordered: program.takes_orders(),
        line: text.clone(),
    };
    let itself = line.program.as_ref().is_some_and(|before| before.itself == known.itself);
    let parent = line.parent;
    incident.top = incident.top.or(launch);
    let order = line.order.as_ref().map(|(node, order)| (*node, order.clone()));
    let sole = match incident.candidates[..] {
        [sole] => Some(sole),
        _ => None,
    };
    let request = order.as_ref().map(|(node, _)| *node).or(sole);
    let route = request.map(|node| world.launches.requests.route(node)).unwrap_or_default();
    let service = world.service(reader);
    let server = world.tasks.resource(reader, &world.config);
    let launched = Launched {
        image,
        program,
        flags: exec.flags,
        descriptors: exec.descriptors,
        itself,
        server: &server.facts,
        stamp: match below {
            Below::Same => world.tasks.stamp(op.pid),
            Below::Child | Below::Deeper { .. } => world.tasks.stamp(reader),
        },
        below,
        when,
        order: order.as_ref().map(|(_, order)| order),
        seen: world.baseline.launch(&service, &route, &image.file, &shape(&image.args)),
        since_start: world.launches.early.contains(&(reader, kind)),
        unreadable: world.tasks.serves_unreadable(reader),
    };
    let mut hits: Vec<Hit> = RULES.iter().filter_map(|rule| rule(&launched)).collect();
    let fed = program.reads_commands() && launched.is_fed();
    if fed {
        hits.extend(pumped(world, reader, id, &text, op));
        if world.launches.fed.len() >= MAX_SERVERS {
            world.launches.fed.clear();
        }
        world.launches.fed.insert(reader, (op.time, id));
    }
    if launched.is_server_again() || launched.is_helper() {
        hits.retain(|hit| hit.severity > crate::Severity::Low);
    }
    let below_whom = match world.launches.lines.get(&parent).and_then(|parent| parent.program.as_ref()) {
        Some(program) => format!("pid {parent} `{}`", program.line),
        None if parent == reader => format!("pid {reader} `{}`", server_line(&server.facts)),
        None => format!("pid {}", image.parent_pid),
    };
    let fact = format!("pid {} ran `{text}` as user {}, below {below_whom}", op.pid, image.uid);
    let habit = (route, image.file.clone(), shape(&image.args));
    let Some((line, incident)) = world.launches.line(op.pid) else { return };
    line.program = Some(known);
    incident.fed |= fed;
    incident.kind.get_or_insert(kind);
    incident.add(op.time, fact);
    incident.habits(habit);
    let named = order.map(|(node, _)| node);
    for hit in hits {
        incident.add(op.time, hit.fact.clone());
        incident.hit(hit, image, op.pid, named);
    }
    let now = world.now;
    world.launches.schedule(id, now);
}

/// A server's command line.
fn server_line(facts: &crate::ProcessFacts) -> String {
    let image = Image {
        file: facts.exe.clone(),
        args: facts.args.clone(),
        comm: String::new(),
        parent_pid: 0,
        uid: 0,
        fileless: None,
    };
    launched::line(&image)
}

/// A shell that takes its commands from a pipe, while its server, or a program beside it, has just connected to
/// someone.
fn pumped(world: &World, reader: u32, id: u64, line: &str, op: Op) -> Option<Hit> {
    let incident = world.launches.incidents.get(&id)?;
    let beside = incident.connected.as_ref().map(|to| (to.clone(), "a program beside it"));
    let by_server = world.launches.connects.get(&reader);
    let by_server = by_server
        .filter(|(at, _)| op.time.since(*at) <= PUMP_MS * 1_000_000)
        .map(|(_, to)| (to.clone(), "its server"));
    let (to, whom) = beside.or(by_server)?;
    Some(on_pipes(line, whom, &to))
}

fn on_pipes(line: &str, whom: &str, to: &str) -> Hit {
    remote_shell::hit(
        format!("ran `{line}` on pipes while it talks to {to}"),
        format!("a shell takes its commands from a pipe, and {whom} has connected to {to}"),
        crate::Confidence::Probable,
    )
}

/// A thread begins to connect.
pub fn connects(world: &mut World, sock: &Sock, op: Op) {
    let to = crate::exchange::Endpoints::tcp(sock).map(|ends| ends.remote.to_string()).unwrap_or_default();
    let Some((line, incident)) = world.launches.line(op.pid) else { return server_connects(world, to, op) };
    let Some(program) = line.program.clone() else { return };
    incident.add(op.time, format!("pid {} `{}` connects to {to}", op.pid, program.line));
    incident.connected = Some(to.clone());
    let hit = if program.shell {
        // Other programs have the network; a shell has it only as a redirection, `/dev/tcp`.
        Some(remote_shell::hit(
            format!("ran `{}`, which connects to {to} itself", program.line),
            format!("the shell itself connects to {to}"),
            crate::Confidence::Confirmed,
        ))
    } else {
        incident.fed.then(|| on_pipes("a shell", "a program beside it", &to))
    };
    let id = line.incident;
    told_more(world, id, hit, op);
}

/// A thread of a server begins to connect: the shell that it has just launched may be meant for that.
fn server_connects(world: &mut World, to: String, op: Op) {
    if world.tasks.served(op.pid).is_none() {
        return;
    }
    let launches = &mut world.launches;
    let fed = launches.fed.remove(&op.pid).filter(|(at, _)| op.time.since(*at) <= PUMP_MS * 1_000_000);
    if let Some((_, id)) = fed {
        return told_more(world, id, Some(on_pipes("a shell", "its server", &to)), op);
    }
    if launches.connects.len() >= MAX_SERVERS {
        launches.connects.clear();
    }
    launches.connects.insert(op.pid, (op.time, to));
}

/// A process begins to listen.
pub fn listens(world: &mut World, sock: &Sock, op: Op) {
    let Some((line, incident)) = world.launches.line(op.pid) else { return };
    let Some(program) = line.program.clone() else { return };
    let port = sock.local_port;
    incident.add(op.time, format!("pid {} `{}` listens on port {port}", op.pid, program.line));
    let hit = (program.shell || program.ordered || incident.fed).then(|| {
        remote_shell::hit(
            format!("ran `{}`, which listens on port {port}", program.line),
            format!("what was told to run by its arguments or its input listens on port {port}"),
            crate::Confidence::Probable,
        )
    });
    let id = line.incident;
    told_more(world, id, hit, op);
}

/// Something else was done than to execute a program.
fn told_more(world: &mut World, id: u64, hit: Option<Hit>, op: Op) {
    let now = world.now;
    let Some(incident) = world.launches.incidents.get_mut(&id) else { return };
    if let Some(hit) = hit {
        incident.add(op.time, hit.fact.clone());
        incident.hit_again(hit);
    }
    world.launches.schedule(id, now);
}

/// A process ended.
pub fn exited(world: &mut World, exit: &Exit, op: Op) {
    let now = world.now;
    let Some((line, incident)) = world.launches.line(op.pid) else { return };
    let id = line.incident;
    if let Some(program) = &line.program {
        let (code, signal) = (exit.status >> 8 & 0xff, exit.status & 0x7f);
        let how = if signal == 0 { format!("exit code {code}") } else { format!("signal {signal}") };
        incident.add(op.time, format!("pid {} `{}` ended with {how}", op.pid, program.line));
    }
    world.launches.schedule(id, now);
    world.launches.leave(op.pid);
}

/// Tells what is due.
pub fn settle(world: &mut World, until: Time) {
    while let Some(&(time, id)) = world.launches.due.first().filter(|(time, _)| *time <= until) {
        world.launches.due.remove(&(time, id));
        let Some(incident) = world.launches.incidents.get_mut(&id) else { continue };
        incident.due = None;
        let patience = incident.began.plus_ms(DECIDE_MS).max(incident.first.plus_ms(DECIDE_MS));
        let undecided = incident.top.is_some_and(|top| world.graph.is_undecided(top))
            || !world.tasks.is_known(incident.reader);
        if undecided && world.now < patience && until <= world.now {
            let next = world.now.plus_ms(LOOK_MS);
            world.launches.schedule(id, next);
            continue;
        }
        incident::tell(world, id);
        let launches = &mut world.launches;
        if launches.incidents.get(&id).is_some_and(Incident::is_over) {
            launches.incidents.remove(&id);
        }
    }
}
