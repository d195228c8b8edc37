//! What is launched below a process that serves requests: web shells, reverse shells, programs that no request
//! asked for.
//!
//! A server is a process that has read a request. What it forks, and all that descends from that through whatever
//! forks, sessions and images, is one [`Incident`] until it turns out to be harmless. Each image in it is shown to the
//! [`RULES`]; what they say is told as one finding about the request that it was launched for, led by the rule that
//! says the worst, its evidence growing while the programs run. The finding is about the first launch when no request
//! is known, and about the first of them all when a server launches the same again and again without one.

mod asked;
mod below;
mod command_from_request;
mod decode;
mod fed;
mod fileless;
mod in_request;
mod incident;
mod launched;
mod launches;
mod names;
mod network;
mod orders;
mod preload;
mod program;
mod pty_shell;
mod remote_shell;
mod requests;
mod room;
mod said;
mod sealed;
mod shell;
mod shell_in_request;
mod standing;
mod told;
mod without_request;

pub use program::is_anyones;
pub use told::Told;

use crate::{
    Time,
    cause::Origin,
    detect::{Habit, shape},
    graph::NodeId,
    launch::Image,
    world::{Op, World},
};
use asked::{Order, order};
pub use fed::told as feeds;
use incident::{Incident, Line, Program as Known};
pub use launched::Streams;
use launched::{Below, Hit, Launched, Room, When};
pub use launches::Launches;
pub use network::{connects, listens, sent, talks};
use program::Program;
use rustc_hash::FxHashSet;
use tracer_common::{Exec, Exit, exec_flag};
use twox_hash::XxHash3_64;

/// Open requests that a launch is compared with, the newest first.
const MAX_COMPARED: usize = 16;
/// How long what caused a launch may stay undecided, or its server unknown, before it is told.
const DECIDE_MS: u64 = 1_000;
/// The route of a launch for one of several requests, nobody knows which.
pub const SOME_REQUEST: &str = "?";
/// How often that is looked at.
const LOOK_MS: u64 = 50;
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

/// A process was forked, for what `origin` says.
pub fn forked(world: &mut World, child: u32, origin: &Origin, op: Op) {
    let told = matches!(origin, Origin::Serving(evidence) if evidence.via == Some(op.pid));
    let launches = &mut world.launches;
    if let Some(parent) = launches.lines.get(&op.pid).filter(|_| !told) {
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
    if !matches!(origin, Origin::Serving(_) | Origin::Idle(_)) || !world.launches.has_room() {
        return None;
    }
    let mut server = (op.pid, None);
    let (when, candidates) = match origin {
        Origin::Serving(evidence) if evidence.pid == op.pid || evidence.via == Some(op.pid) => {
            let told = evidence.thread.map(|(node, _)| match world.graph.is_call(node) {
                true => world.graph.cause(node).unwrap_or(node),
                false => node,
            });
            let open = world.causes.open_requests(evidence.pid).rev().take(MAX_COMPARED);
            let mut candidates: Vec<_> = told.into_iter().chain(evidence.sole).collect();
            candidates.extend(open);
            candidates.extend(world.launches.requests.sessions(op.pid));
            let mut known = FxHashSet::default();
            candidates.retain(|node| known.insert(*node));
            server = (evidence.pid, evidence.via.filter(|_| !evidence.worker));
            (When::InFlight(evidence.open.max(1)), candidates)
        }
        Origin::Idle(idle) if idle.pid == op.pid => {
            let sessions: Vec<_> = world.launches.requests.sessions(op.pid).collect();
            let when = match u32::try_from(sessions.len()) {
                Ok(0) => When::Idle(idle.last.map(|(_, at)| op.time.since(at) / 1_000_000)),
                open => When::InFlight(open.unwrap_or(u32::MAX)),
            };
            (when, sessions)
        }
        _ => return None,
    };
    for candidate in &candidates {
        world.launches.requests.keep(*candidate, &world.graph);
    }
    if let Some(via) = server.1 {
        world.ask(via);
    }
    let reads = world.causes.threads.reads_requests(op.tid);
    let timer = matches!(when, When::Idle(_))
        && !reads
        && world.tasks.stamp(op.pid).is_some()
        && world.launches.is_older(op.tid);
    // What is known of the oldest one is told before it goes.
    if let Some(oldest) = world.launches.overflows() {
        incident::tell(world, oldest);
        world.launches.close(oldest);
    }
    let session = match (origin, &candidates[..]) {
        (Origin::Idle(_), [session]) => Some(*session),
        _ => None,
    };
    let mut incident = Incident::new(server, op.time, when, candidates);
    (incident.timer, incident.session) = (timer, session);
    Some(world.launches.open(incident))
}

/// A process that reads no requests, a worker that a server had forked before its first one, launches what a request to
/// that server says: whichever way it was told, it was told by that.
fn begins_beside(world: &mut World, image: &Image, op: Op) -> Option<u64> {
    world.tasks.stamp(image.parent_pid)?;
    let family = world.tasks.family(image.parent_pid);
    let reader = world.launches.requests.reader(family).filter(|reader| *reader != image.parent_pid)?;
    if !world.launches.has_room() {
        return None;
    }
    let open: Vec<_> = world.causes.open_requests(reader).rev().take(MAX_COMPARED).collect();
    let order = open.into_iter().find_map(|node| one_in(world, node, image));
    let (node, _) = order.or_else(|| said_before(world, reader, image))?;
    let (server, when) = ((reader, None), When::Idle(None));
    Some(world.launches.open(Incident::new(server, op.time, when, vec![node])))
}

/// A process is about to be shown with a new image: finds the requests that say what it runs.
pub fn executes(world: &mut World, image: &Image, origin: &Origin, op: Op) {
    if !world.launches.lines.contains_key(&op.pid) {
        let begun = begins(world, origin, op).or_else(|| begins_beside(world, image, op));
        let Some(incident) = begun else { return early(world, image, op) };
        world.launches.enter(op.pid, Line::new(incident, image.parent_pid, Below::Same));
    }
    let Some((_, incident)) = world.launches.line(op.pid) else { return };
    let (reader, forked, mut nodes) = (incident.reader, incident.began, incident.candidates.clone());
    if let When::InFlight(_) = incident.when {
        let began = |node: &NodeId| world.graph.times(*node).is_some_and(|times| times.start <= forked);
        let newest = world.causes.open_requests(reader).filter(began).rev().take(MAX_COMPARED);
        nodes.extend(newest.filter(|node| !incident.candidates.contains(node)).collect::<Vec<_>>());
    }
    let mut named: Vec<(NodeId, Order)> = Vec::new();
    for node in nodes {
        world.launches.requests.keep(node, &world.graph);
        let Some(exchange) = world.launches.requests.get(node) else { continue };
        named.extend(order(world.launches.said.of(node, exchange), image).map(|order| (node, order)));
    }
    let earlier = if named.is_empty() { said_before(world, reader, image) } else { None };
    let Some((line, incident)) = world.launches.line(op.pid) else { return };
    line.named = named.iter().map(|(node, order)| (*node, order.bits)).collect();
    // Of several that say the same, others than the words decide.
    line.order = named.into_iter().reduce(|best, next| if next.1.bits > best.1.bits { next } else { best });
    line.order = line.order.take().or(earlier);
    for (node, _) in &line.named {
        if !incident.candidates.contains(node) {
            incident.candidates.push(*node);
        }
    }
}

/// The order of a request that ended before: it was kept for later, or for another request.
fn said_before(world: &mut World, reader: u32, image: &Image) -> Option<(NodeId, Order)> {
    let latest: Vec<_> = world.launches.requests.latest(world.tasks.family(reader)).collect();
    latest.into_iter().find_map(|node| one_in(world, node, image))
}

/// The order that a request is, if it is one.
fn one_in(world: &mut World, node: NodeId, image: &Image) -> Option<(NodeId, Order)> {
    let launches = &mut world.launches;
    let exchange = launches.requests.find(node, &world.graph)?;
    let order = order(launches.said.of(node, exchange), image).filter(Order::is_one)?;
    launches.requests.keep(node, &world.graph);
    Some((node, order))
}

/// What the requests had room for that may have said what is launched. What stands in that as an argument says nothing
/// besides: a page that fetches an address which it was given has that in its request, and the rest was the application's.
fn room(world: &World, incident: &Incident, program: &Program<'_>) -> Room {
    let requests = &world.launches.requests;
    if let When::Idle(_) = incident.when {
        let seen = world.tasks.stamp(incident.reader).map(|_| world.tasks.family(incident.reader));
        return Room { open: seen.map(|family| requests.room(family, &world.graph)), opaque: 0 };
    }
    let open = incident.candidates.iter().map(|node| requests.get(*node));
    let readable = open.clone().map(|request| request.filter(|request| request.unread.is_none()));
    let script =
        program.text().filter(|_| matches!(program.kind, program::Kind::Shell(_))).map(shell::Script::of);
    let told = script.iter().flat_map(|script| script.programs()).flat_map(|(_, args)| args);
    let own = if script.is_some() { &[] } else { program.args };
    let arguments: FxHashSet<&[u8]> = told.chain(own).map(|word| word.as_bytes()).collect();
    let data = |value: &[u8]| arguments.contains(value);
    let room = readable.map(|request| request.map(|request| room::room(request, data)));
    Room {
        open: room.reduce(|most, next| Some(most?.max(next?))).flatten(),
        opaque: open.flatten().map(room::opaque).max().unwrap_or_default(),
    }
}

/// A program that nobody's request can have asked for yet. What it launched as the one that it was before is not its
/// own.
fn early(world: &mut World, image: &Image, op: Op) {
    world.launches.early.remove(&op.pid);
    if world.tasks.served(image.parent_pid).is_some() {
        return;
    }
    world.launches.early(image.parent_pid, kind_of(image));
}

/// What is launched, whatever its arguments say.
fn kind_of(image: &Image) -> u64 {
    XxHash3_64::oneshot(format!("{}\0{}", image.file, shape(&image.args)).as_bytes())
}

/// A process has a new image; `launch` is its span, `outbound` says which of its descriptors 0, 1 and 2 are
/// connections that this side began.
pub fn executed(
    world: &mut World,
    exec: &Exec,
    image: &Image,
    streams: Streams,
    launch: Option<NodeId>,
    op: Op,
) {
    let Some((line, incident)) = world.launches.line(op.pid) else { return };
    let (id, reader, when) = (line.incident, incident.reader, incident.when);
    let program = Program::of(image);
    let below = match line.below {
        below if line.chosen => below,
        below => below.told(line.above.as_deref(), &program),
    };
    line.chosen |= below == Below::Deeper { ordered: false };
    let above = line.above.as_ref().map_or(0, |above| above.len());
    let kind = kind_of(image);
    let text = launched::line(image);
    let typed_into = program.reads_commands();
    let known = Known {
        itself: image.itself(),
        shell: matches!(program.kind, program::Kind::Shell(_)),
        interprets: program.interprets(),
        ordered: program.is_free(),
        typed_into,
        matters: false,
        // All that descends from a script has its environment.
        script: exec.flags & exec_flag::CGI != 0
            && !line.scripted
            && !matches!(below, Below::Deeper { .. })
            && !program.takes_orders(),
        file: image.file_itself(),
        line: text.clone(),
        words: below::words(image).into(),
    };
    let itself = line.program.as_ref().is_some_and(|before| before.itself == known.itself);
    let wrapped =
        line.program.as_ref().is_some_and(|before| !before.interprets && !before.words.contains("LD_"));
    let (parent, line_accepted, since_start) = (line.parent, line.accepted, line.since_start);
    incident.top = incident.top.or(launch);
    let order = line.order.as_ref().map(|(node, order)| (*node, order.clone()));
    let sole = match incident.candidates[..] {
        [sole] => Some(sole),
        _ => None,
    };
    let said = order.as_ref().map(|(node, _)| *node);
    let request = said.filter(|said| incident.candidates.contains(said)).or(sole).or(said);
    let timer = incident.timer;
    let room =
        world.launches.incidents.get(&id).map(|incident| room(world, incident, &program)).unwrap_or_default();
    let route = match (request, when) {
        (Some(request), _) => world.launches.requests.route(request),
        (None, When::InFlight(_)) => SOME_REQUEST.to_owned(),
        (None, When::Idle(_)) => String::new(),
    };
    let early = world.launches.early.get(&reader).is_some_and(|early| early.contains(&kind));
    let (since_start, free) = (early || since_start, program.is_free());
    let service = world.service(reader);
    let server = world.tasks.resource(reader, &world.config);
    let launched = Launched {
        image,
        program,
        flags: exec.flags,
        descriptors: exec.descriptors,
        streams,
        began: world.began,
        boot_to_unix_ns: world.config.boot_to_unix_ns,
        itself,
        server: &server.facts,
        stamp: match below {
            Below::Same => world.tasks.stamp(op.pid),
            Below::Child | Below::Deeper { .. } => world.tasks.stamp(reader),
        },
        below,
        above,
        when,
        order: order.as_ref().map(|(_, order)| order),
        room,
        timer,
        seen: world.baseline.launch(&service, &route, &image.file, &shape(&image.args)),
        wrapped,
        beside: (world.launches.lines.get(&parent).and_then(|parent| parent.program.as_ref()))
            .is_some_and(|parent| parent.file == image.file_itself() || image.file == program::OWN_IMAGE),
        made: world.launches.has_made(reader, &image.file),
        since_start,
        unreadable: world.tasks.serves_unreadable(reader),
    };
    let mut hits: Vec<Hit> = RULES.iter().filter_map(|rule| rule(&launched)).collect();
    let fed = typed_into && launched.is_fed();
    let enters = launched.enters();
    world.launches.makes(reader, &launched.program);
    if fed {
        hits.extend(network::pumped(world, reader, id, &text, op));
        world.launches.feeds(reader, op.time, id);
        world.launches.shells.add(op.pid, exec, image, launch);
    }
    let accepted = line_accepted || world.baseline.accepts(&service, &habit_of(&route, image));
    if accepted {
        hits.iter_mut().for_each(incident::accept);
    }
    if launched.is_server_again() || launched.is_helper() {
        hits.retain(|hit| hit.severity > crate::Severity::Low);
    }
    let below_whom = match world.launches.lines.get(&parent).and_then(|parent| parent.program.as_ref()) {
        Some(program) => format!("pid {parent} `{}`", program.line),
        None if parent == reader && !server.facts.exe.is_empty() => {
            format!("pid {reader} `{}`", server_line(&server.facts))
        }
        None => format!("pid {}", image.parent_pid),
    };
    let user = match image.euid {
        own if own == image.uid => format!("user {own}"),
        other => format!("user {} with the rights of user {other}", image.uid),
    };
    let fact = format!("pid {} ran `{}` as {user}, below {below_whom}", op.pid, launched::long_line(image));
    let earlier = said.filter(|said| request != Some(*said));
    let earlier = earlier.and_then(|node| world.launches.requests.get(node)).map(requests::line);
    let habit = (route, image.file.clone(), shape(&image.args));
    // That a server launches the same again and again says little; what comes of it may say much.
    let again = matches!(when, When::Idle(_)) && world.launches.series.contains_key(&(reader, kind));
    let Some((line, incident)) = world.launches.line(op.pid) else { return };
    let is_bad = |hit: &Hit| hit.severity >= crate::Severity::High && !again;
    let matters = incident.habits(habit) && !again || hits.iter().any(is_bad);
    line.program = Some(Known { matters, ..known });
    line.since_start = since_start && !free;
    line.accepted |= accepted && typed_into;
    incident.accepted &= accepted;
    incident.fed |= fed;
    incident.enters |= enters;
    incident.kind.get_or_insert(kind);
    match matters {
        true => incident.add(op.time, fact),
        false => incident.note(op.time, fact),
    }
    let named = order.map(|(node, _)| node);
    if let Some(earlier) = earlier {
        incident.add(op.time, format!("an earlier request said so: {earlier}"));
    }
    for hit in hits {
        match is_bad(&hit) {
            true => incident.add(op.time, hit.fact.clone()),
            false => incident.note(op.time, hit.fact.clone()),
        }
        incident.hit(hit, image, op.pid, named);
    }
    let now = world.now;
    world.launches.schedule(id, now);
}

/// What a shell or an interpreter with these arguments, its own name first, is told to run.
pub fn told(args: &[String]) -> Option<Told<'_>> {
    match Program::told(args.first()?, args).kind {
        program::Kind::Shell(Told::Text(_)) | program::Kind::Other => None,
        program::Kind::Shell(told) | program::Kind::Interpreter(told) => Some(told),
    }
}

/// Whether a word is a file whose name says more than that it is one.
pub fn is_telling(word: &str) -> bool {
    program::is_secret(word) || program::is_dropped(word) && !is_anyones(word)
}

/// What it is in a baseline.
fn habit_of(route: &str, image: &Image) -> Habit {
    Habit::launch(route, &image.file, &shape(&image.args))
}

/// A server's command line.
fn server_line(facts: &crate::ProcessFacts) -> String {
    let image = Image {
        file: facts.exe.clone(),
        args: facts.args.clone(),
        comm: String::new(),
        parent_pid: 0,
        uid: 0,
        euid: 0,
        fileless: None,
        written: None,
    };
    launched::line(&image)
}

/// A process ended.
pub fn exited(world: &mut World, exit: &Exit, op: Op) {
    // Its connections end after it: what was sent on them is part of what it did.
    let soon = world.now.plus_ms(LOOK_MS);
    world.launches.early.remove(&op.pid);
    let Some((line, incident)) = world.launches.line(op.pid) else { return };
    let id = line.incident;
    if let Some(program) = &line.program {
        let (code, signal) = (exit.status >> 8 & 0xff, exit.status & 0x7f);
        let how = if signal == 0 { format!("exit code {code}") } else { format!("signal {signal}") };
        let fact = format!("pid {} `{}` ended with {how}", op.pid, program.line);
        match program.matters {
            true => incident.add(op.time, fact),
            false => incident.note(op.time, fact),
        }
    }
    world.launches.schedule(id, soon);
    world.launches.shells.exited(op.pid);
    world.launches.leave(op.pid);
}

/// Tells what is due.
pub fn settle(world: &mut World, until: Time) {
    while let Some(&(time, id)) = world.launches.due.first().filter(|(time, _)| *time <= until) {
        world.launches.due.remove(&(time, id));
        let Some(incident) = world.launches.incidents.get_mut(&id) else { continue };
        incident.due = None;
        let patience = incident.began.plus_ms(DECIDE_MS).max(incident.first.plus_ms(DECIDE_MS));
        let kin = |via| world.tasks.are_kin(incident.reader, via).is_some();
        let undecided = incident.top.is_some_and(|top| world.graph.is_undecided(top))
            || !world.tasks.is_known(incident.reader)
            || !incident.via.is_none_or(kin);
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
