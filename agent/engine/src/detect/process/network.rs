//! What programs and servers do on the network, beside what they launch.

use super::{launched::Hit, remote_shell};
use crate::{
    Confidence,
    exchange::Endpoints,
    world::{Op, World},
};
use std::sync::Arc;
use tracer_common::Sock;

/// A shell on pipes whose server connected so shortly before is meant for that connection.
const PUMP_MS: u64 = 5_000;

/// A shell that takes its commands from a pipe, of a server that has just connected to someone, or does so now.
#[derive(Clone, Debug)]
pub struct Pump {
    incident: u64,
    /// Whom it connected to.
    to: Arc<str>,
    /// Whether that has said anything since.
    heard: bool,
}

/// A shell that takes its commands from a pipe, while a program beside it has just connected to someone. If its server
/// has, what is said there next tells whether they are meant for each other: who only asked a database is told
/// nothing while the shell runs.
pub fn pumped(world: &mut World, reader: u32, id: u64, line: &str, op: Op) -> Option<Hit> {
    let launches = &mut world.launches;
    if let Some(to) = &launches.incidents.get(&id)?.connected {
        return Some(on_pipes(line, "a program beside it", to));
    }
    let (at, to) = launches.connects.get(&reader)?;
    if op.time.since(*at) <= PUMP_MS * 1_000_000 {
        let pump = Pump { incident: id, to: to.as_str().into(), heard: false };
        launches.pumps.insert(reader, pump);
    }
    None
}

/// A server has read from, or written to, a peer that speaks no HTTP.
pub fn talks(world: &mut World, peer: &str, reads: bool, op: Op) {
    let Some(pump) = world.launches.pumps.get_mut(&op.pid).filter(|pump| *pump.to == *peer) else { return };
    if reads || !pump.heard {
        pump.heard |= reads;
        return;
    }
    let Some(Pump { incident, to, .. }) = world.launches.pumps.remove(&op.pid) else { return };
    told_more(world, incident, Some(on_pipes("a shell", "its server", &to)), op);
}

fn on_pipes(line: &str, whom: &str, to: &str) -> Hit {
    remote_shell::hit(
        format!("ran `{line}` on pipes while it talks to {to}"),
        format!("a shell takes its commands from a pipe, and {whom} talks to {to}"),
        Confidence::Probable,
    )
}

/// A thread begins to connect.
pub fn connects(world: &mut World, sock: &Sock, op: Op) {
    let to = Endpoints::tcp(sock).map(|ends| ends.remote.to_string()).unwrap_or_default();
    let Some((line, incident)) = world.launches.line(op.pid) else { return server_connects(world, to, op) };
    let line_of = line.program.as_ref().map_or("a fork of its server", |program| &program.line);
    incident.add(op.time, format!("pid {} `{line_of}` connects to {to}", op.pid));
    let hit = match &line.program {
        // Other programs have the network; a shell has it only as a redirection, `/dev/tcp`.
        Some(program) if program.shell => Some(remote_shell::hit(
            format!("ran `{}`, which connects to {to} itself", program.line),
            format!("the shell itself connects to {to}"),
            Confidence::Confirmed,
        )),
        _ => incident.fed.then(|| on_pipes("a shell", "a program beside it", &to)),
    };
    incident.connected = Some(to);
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
    if let Some((_, incident)) = fed {
        let pump = Pump { incident, to: to.as_str().into(), heard: false };
        launches.pumps.insert(op.pid, pump);
    }
    launches.connected(op.pid, op.time, to);
}

/// A connection of a program ended on which it has sent something.
pub fn sent(world: &mut World, pid: u32, incident: u64, to: &str, bytes: u64) {
    let now = world.now;
    if let Some(incident) = world.launches.incidents.get_mut(&incident) {
        incident.add(now, format!("pid {pid} has sent {bytes} bytes to {to}"));
    }
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
            Confidence::Probable,
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
