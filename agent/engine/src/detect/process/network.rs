//! What programs and servers do on the network, beside what they launch.

use super::{launched::Hit, remote_shell};
use crate::{
    Confidence,
    exchange::Endpoints,
    world::{Op, World},
};
use tracer_common::Sock;

/// A shell on pipes whose server connected so shortly before is meant for that connection.
const PUMP_MS: u64 = 5_000;

/// A shell that takes its commands from a pipe, while its server, or a program beside it, has just connected to
/// someone.
pub fn pumped(world: &World, reader: u32, id: u64, line: &str, op: Op) -> Option<Hit> {
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
        Confidence::Probable,
    )
}

/// A thread begins to connect.
pub fn connects(world: &mut World, sock: &Sock, op: Op) {
    let to = Endpoints::tcp(sock).map(|ends| ends.remote.to_string()).unwrap_or_default();
    let Some((line, incident)) = world.launches.line(op.pid) else { return server_connects(world, to, op) };
    let Some(program) = line.program.clone() else { return };
    incident.add(op.time, format!("pid {} `{}` connects to {to}", op.pid, program.line));
    incident.connected = Some(to.clone());
    let hit = if program.shell {
        // Other programs have the network; a shell has it only as a redirection, `/dev/tcp`.
        Some(remote_shell::hit(
            format!("ran `{}`, which connects to {to} itself", program.line),
            format!("the shell itself connects to {to}"),
            Confidence::Confirmed,
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
    launches.connected(op.pid, op.time, to);
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
