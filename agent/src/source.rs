//! Where live records come from.

use crate::{
    kernel::{Kernel, Options},
    trace::say,
};
use std::time::Duration;
use tracer_common::lost;

/// Numbers of lost records, one for each cause of [`tracer_common::lost`].
pub type Lost = [u64; lost::CAUSES as usize];

/// Attached kernel programs, as the live loop sees them. What they give is already in order.
pub trait Source {
    /// Hands over the records that are there, at most `budget`, in the order in which they were written.
    /// Never waits. Gives their number.
    fn drain(&mut self, budget: usize, sink: &mut dyn FnMut(&[u8])) -> usize;

    /// Waits so long, or less when the records that came should not wait.
    fn wait(&mut self, timeout: Duration);

    /// Records lost since the last call, by cause.
    fn take_lost(&mut self) -> Lost;

    /// Wants no more bytes of the socket with this [`tracer_common::Sock::id`] and inode.
    fn mute(&mut self, id: u64, inode: u64, turns: bool);

    /// Wants to know which threads of this process wake each other.
    fn watch(&mut self, pid: u32);

    /// Does not want to know that any more.
    fn unwatch(&mut self, pid: u32);
}

/// What the kernel side has to know before it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceOptions {
    /// Bytes to copy of one socket operation.
    pub snap: u32,
    /// Bytes of the ring buffer; a power of two.
    pub ring_bytes: u32,
}

/// What became of the hooks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hooks {
    /// How many there are, attached or not.
    pub all: usize,
    /// Names of those that this kernel refused.
    pub missing: Vec<&'static str>,
}

/// Loads and attaches the kernel programs. Hooks that this kernel refuses are left out, each with a word on
/// stderr.
///
/// # Errors
/// When nothing can be traced: no privilege, no BTF, an essential hook refused.
pub fn open(options: SourceOptions) -> anyhow::Result<(Box<dyn Source>, Hooks)> {
    let kernel = Kernel::start(Options { snap: options.snap, ring_bytes: options.ring_bytes })?;
    let mut hooks = Hooks { all: kernel.hooks().len(), missing: Vec::new() };
    for attached in kernel.hooks() {
        if let Some(problem) = &attached.problem {
            say(&format!("tracer: without {} ({}): {problem}", attached.hook.gives, attached.hook.name));
            hooks.missing.push(attached.hook.name);
        }
    }
    Ok((Box::new(kernel), hooks))
}

impl Source for Kernel {
    fn drain(&mut self, budget: usize, sink: &mut dyn FnMut(&[u8])) -> usize {
        Kernel::drain(self, budget, sink)
    }

    fn wait(&mut self, timeout: Duration) {
        Kernel::wait(self, timeout);
    }

    fn take_lost(&mut self) -> Lost {
        Kernel::take_lost(self)
    }

    fn mute(&mut self, id: u64, inode: u64, turns: bool) {
        Kernel::mute(self, id, inode, turns);
    }

    fn watch(&mut self, pid: u32) {
        if let Err(problem) = Kernel::watch(self, pid) {
            say(&format!("tracer: without work that one thread hands to another: {problem:#}"));
        }
    }

    fn unwatch(&mut self, pid: u32) {
        Kernel::unwatch(self, pid);
    }
}

/// Tests' own source: hands out what it was given, and remembers what it was told.
#[cfg(test)]
#[derive(Debug, Default)]
pub struct FakeSource {
    /// Records still to be handed out.
    pub records: std::collections::VecDeque<Vec<u8>>,
    /// Losses still to be reported.
    pub lost: Lost,
    /// Sockets that were muted.
    pub muted: Vec<(u64, u64)>,
    /// Processes that were watched.
    pub watched: Vec<u32>,
}

#[cfg(test)]
impl Source for FakeSource {
    fn drain(&mut self, budget: usize, sink: &mut dyn FnMut(&[u8])) -> usize {
        let count = budget.min(self.records.len());
        self.records.drain(..count).for_each(|record| sink(&record));
        count
    }

    fn wait(&mut self, timeout: Duration) {
        std::thread::sleep(timeout);
    }

    fn take_lost(&mut self) -> Lost {
        std::mem::take(&mut self.lost)
    }

    fn mute(&mut self, id: u64, inode: u64, _: bool) {
        self.muted.push((id, inode));
    }

    fn watch(&mut self, pid: u32) {
        self.watched.push(pid);
    }

    fn unwatch(&mut self, pid: u32) {
        self.watched.retain(|watched| *watched != pid);
    }
}
