//! What a shell is told on its standard input, where that is a unix socket: a pipe shows nothing. It is judged as if it
//! were the shell's argument.

use super::{Streams, executed, executes};
use crate::{
    cause::Origin,
    graph::NodeId,
    launch::Image,
    world::{Op, World},
};
use rustc_hash::FxHashMap;
use tracer_common::{AF_UNIX, Exec};

/// Most shells whose input is known: more than a node has at once. Past it all are forgotten.
const MAX_SHELLS: usize = 1024;
/// Most bytes of what is told at once that are looked at.
const MAX_TEXT: usize = 4096;

/// A shell that takes its commands from a unix socket.
#[derive(Clone, Debug)]
struct Shell {
    pid: u32,
    exec: Exec,
    image: Image,
    launch: Option<NodeId>,
}

/// All of them, by the socket that is their standard input.
#[derive(Debug, Default)]
pub struct Fed {
    known: FxHashMap<u64, Box<Shell>>,
    /// Those that were forgotten for want of room.
    pub dropped: u64,
}

impl Fed {
    /// A shell that takes commands was launched.
    pub fn add(&mut self, pid: u32, exec: &Exec, image: &Image, launch: Option<NodeId>) {
        let input = exec.descriptors[0];
        if input.family == AF_UNIX && input.sock != 0 {
            if self.known.len() >= MAX_SHELLS {
                self.dropped += self.known.len() as u64;
                self.known.clear();
            }
            self.known.insert(input.sock, Box::new(Shell { pid, exec: *exec, image: image.clone(), launch }));
        }
    }

    /// A process ended.
    pub fn exited(&mut self, pid: u32) {
        self.known.retain(|_, shell| shell.pid != pid);
    }
}

/// Bytes are sent to a socket.
pub fn told(world: &mut World, to: u64, bytes: &[u8], op: Op) {
    let Some(shell) = world.launches.shells.known.get(&to).cloned() else { return };
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(MAX_TEXT)]);
    let text = text.trim();
    let op = Op { pid: shell.pid, tid: shell.pid, ..op };
    let Some((_, incident)) = world.launches.line(op.pid).filter(|_| !text.is_empty()) else { return };
    incident.add(
        op.time,
        format!("pid {} was told on its standard input, a unix socket, what it runs next", op.pid),
    );
    let name = shell.image.args.first().unwrap_or(&shell.image.file).clone();
    let image = Image { args: vec![name, "-c".into(), text.into()], ..shell.image };
    executes(world, &image, &Origin::Nothing, op);
    executed(world, &shell.exec, &image, Streams::default(), shell.launch, op);
}
