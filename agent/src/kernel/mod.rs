//! The kernel side as the agent sees it: programs loaded, records drained.

pub mod hooks;
mod layout;
mod object;

use anyhow::{Context, Result};
use aya::{
    maps::{HashMap, MapData, PerCpuArray, RingBuf},
    programs::{ProgramFd, raw_trace_point::RawTracePointLinkId},
};
pub use hooks::{Attached, Hook, Options};
use rustix::{event::epoll, fs::Timespec};
use std::{
    fs,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    time::Duration,
};
use tracer_common::{MUTED_BUT_TURNS, lost};

/// Attached programs and their maps.
pub struct Kernel {
    hooks: Vec<Attached>,
    ring: RingBuf<MapData>,
    muted: HashMap<MapData, u64, u64>,
    lost: PerCpuArray<MapData, u64>,
    lost_before: [u64; lost::CAUSES as usize],
    programs: Vec<(&'static str, ProgramFd)>,
    missed_before: [u64; lost::CAUSES as usize],
    bursts: OwnedFd,
    watched: HashMap<MapData, u32, u8>,
    /// Hooks that attach only while they are wanted, and are not.
    on_demand: Vec<&'static Hook>,
    /// Those that are.
    demanded: Vec<(&'static Hook, RawTracePointLinkId)>,
    // Last: the programs detach when it is dropped.
    ebpf: aya::Ebpf,
}

impl Kernel {
    /// Loads and attaches all that this kernel allows.
    ///
    /// # Errors
    /// When nothing can be loaded, or a hook without which tracing is worthless did not attach.
    pub fn start(options: Options) -> Result<Self> {
        let hooks::Loaded { mut ebpf, hooks } = hooks::load(options)?;
        if let Some(Attached { hook, problem: Some(problem) }) =
            hooks.iter().find(|attached| attached.hook.essential && attached.problem.is_some())
        {
            anyhow::bail!("cannot attach {} ({}): {problem}", hook.name, hook.gives);
        }
        let programs = hooks
            .iter()
            .filter_map(|a| Some((a.hook.name, ebpf.program(a.hook.name)?.fd().ok()?.try_clone().ok()?)))
            .collect();
        let mut take =
            |name: &str| ebpf.take_map(name).with_context(|| format!("no map {name} in this binary"));
        let ring: RingBuf<MapData> = take("RECORDS")?.try_into()?;
        Ok(Self {
            bursts: watch(&ring).context("cannot wait for the ring buffer")?,
            ring,
            muted: take("MUTED")?.try_into()?,
            watched: take("WATCHED")?.try_into()?,
            lost: take("LOST")?.try_into()?,
            lost_before: Default::default(),
            programs,
            missed_before: Default::default(),
            on_demand: hooks
                .iter()
                .filter(|a| a.hook.on_demand && a.problem.is_none())
                .map(|a| a.hook)
                .collect(),
            demanded: Vec::new(),
            hooks,
            ebpf,
        })
    }

    /// What became of each hook.
    pub fn hooks(&self) -> &[Attached] {
        &self.hooks
    }

    /// Hands over the records that are there, at most `budget`, in the order in which they were written.
    /// Gives their number.
    pub fn drain(&mut self, budget: usize, sink: &mut dyn FnMut(&[u8])) -> usize {
        for n in 0..budget {
            match self.ring.next() {
                Some(record) => sink(&record),
                None => return n,
            }
        }
        budget
    }

    /// Waits so long, or until a burst has filled a good part of the ring buffer, or a signal came.
    pub fn wait(&self, timeout: Duration) {
        let mut events =
            [epoll::Event { flags: epoll::EventFlags::empty(), data: epoll::EventData::new_u64(0) }];
        let timeout = Timespec { tv_sec: timeout.as_secs() as i64, tv_nsec: timeout.subsec_nanos().into() };
        // Woken early or not at all: the caller looks at the ring either way.
        let _ = epoll::wait(&self.bursts, &mut events, Some(&timeout));
    }

    /// Records lost since the last call, by cause. What cannot be read counts with the next call.
    pub fn take_lost(&mut self) -> [u64; lost::CAUSES as usize] {
        let missed = self.missed();
        std::array::from_fn(|cause| {
            let before = self.lost_before[cause];
            let full = self.lost.get(&(cause as u32), 0).map_or(before, |cpus| cpus.iter().sum());
            self.lost_before[cause] = full.max(before);
            let missed_before = std::mem::replace(&mut self.missed_before[cause], missed[cause]);
            full.saturating_sub(before) + missed[cause].saturating_sub(missed_before)
        })
    }

    /// Times that a program did not run because it was running already, by what that loses.
    fn missed(&self) -> [u64; lost::CAUSES as usize] {
        let mut missed = self.missed_before;
        let mut total = [0; lost::CAUSES as usize];
        for attached in &self.hooks {
            let cause = attached.hook.cause as usize;
            let Some(n) = self.programs.iter().find(|(name, _)| *name == attached.hook.name) else {
                continue;
            };
            total[cause] += recursion_misses(&n.1).unwrap_or_default();
        }
        for (known, total) in missed.iter_mut().zip(total) {
            *known = total.max(*known);
        }
        missed
    }

    /// Wants to know which threads of a process wake each other.
    ///
    /// # Errors
    /// When the kernel does not attach what is needed for it.
    pub fn watch(&mut self, pid: u32) -> Result<()> {
        for hook in std::mem::take(&mut self.on_demand) {
            self.demanded.push((hook, hooks::attach_loaded(&mut self.ebpf, hook)?));
        }
        // A full or failing map means a few links less.
        let _ = self.watched.insert(pid, 1, 0);
        Ok(())
    }

    /// Does not want that any more: what only that needs goes with the last such process.
    pub fn unwatch(&mut self, pid: u32) {
        // One that had no room is not there.
        let _ = self.watched.remove(&pid);
        if self.watched.keys().next().is_none() {
            for (hook, link) in std::mem::take(&mut self.demanded) {
                hooks::detach(&mut self.ebpf, hook, link);
                self.on_demand.push(hook);
            }
        }
    }

    /// Wants no more bytes of a socket, or only the begin of what moves in each of its turns.
    pub fn mute(&mut self, id: u64, inode: u64, turns: bool) {
        // A full or failing map means records that nobody needs, not a loss.
        let _ = self.muted.insert(id, inode | if turns { MUTED_BUT_TURNS } else { 0 }, 0);
    }
}

/// Watches for wake-ups. Edge-triggered: data alone, without a wake-up, must not end a wait.
fn watch(ring: &RingBuf<MapData>) -> rustix::io::Result<OwnedFd> {
    let bursts = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
    epoll::add(&bursts, ring, epoll::EventData::new_u64(0), flags)?;
    Ok(bursts)
}

/// What the kernel says of a program in its `fdinfo` (Linux 5.12 and later).
fn recursion_misses(program: &ProgramFd) -> Option<u64> {
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", program.as_fd().as_raw_fd())).ok()?;
    info.lines().find_map(|line| line.strip_prefix("recursion_misses:")?.trim().parse().ok())
}
