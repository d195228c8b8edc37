//! Processes: what each is, and what it was forked for.

use crate::{
    Config, Output, ProcessFacts, Resource, Time,
    budget::{ALLOCATION, Budget, Shrink},
    cause::Origin,
    graph::NodeId,
    launch::Image,
    resource::resource,
};
use rustc_hash::FxHashMap;
use std::{collections::VecDeque, sync::Arc};
use tracer_common::Exec;

/// Most serving processes of which it is known that something unreadable came in: all that a big node has.
const MAX_UNREADABLE: usize = 16_384;
/// Most processes that are known: more than a big node runs. Past it all are forgotten, and asked about
/// anew.
const MAX_PROCESSES: usize = 16_384;
/// Most bytes that are known of all processes, and as much again in their resources: a kilobyte of each. Past it
/// only the begin of each command line is kept.
const MAX_FACTS: usize = 16 << 20;
/// What is kept of a command line that finds no room, and bytes of each argument and path: what a service is named
/// by.
const FEW_ARGS: usize = 8;
const SHORT: usize = 128;
/// An ended process is known this much longer: its spans leave a moment after it.
const KEEP_MS: u64 = 10_000;

/// A process as spans and rules speak of it.
type Named = (Arc<Resource>, Arc<str>);

/// What is known of a process.
#[derive(Debug, Default)]
struct Process {
    /// What its image, or later `/proc`, says of it.
    facts: Option<ProcessFacts>,
    /// Its resource and the name of its service, once a span had them.
    resource: Option<Named>,
    /// Whether its facts were asked for.
    asked: bool,
    /// Whether its threads' wake-ups were.
    watched: bool,
    /// What it was forked for.
    origin: Origin,
    /// What its image was launched with.
    stamp: Option<Stamp>,
    /// The requests that it has read, if any.
    served: Option<Served>,
    /// Its launch, when it is a span.
    launch: Option<NodeId>,
    /// Until when it is known, once it ended.
    ended: Option<Time>,
}

/// What an image was launched with, which its forks have too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// Bits of [`exec_flag`](tracer_common::exec_flag).
    pub flags: u32,
    /// Devices on descriptors 0, 1 and 2.
    pub devices: [u32; 3],
    /// A hash of its arguments: [`Image::itself`].
    pub itself: u64,
    /// A hash of its file: [`Image::file_itself`].
    pub file: u64,
    /// When that was.
    pub at: Time,
}

/// Requests that a process has read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Served {
    /// When the first one came.
    pub first: Time,
    /// The last one that was answered, and when that was.
    pub last: Option<(NodeId, Time)>,
}

/// All processes.
#[derive(Debug)]
pub struct Tasks {
    processes: FxHashMap<u32, Process>,
    /// Bytes of all facts.
    held: Budget,
    ended: VecDeque<(Time, u32)>,
    /// Launches whose process was forgotten: nobody will hear of their end.
    abandoned: Vec<NodeId>,
    /// Processes that were sent what is no HTTP/1 on connections that they accepted, and whether any of these may have
    /// several requests open at once.
    unreadable: FxHashMap<u32, bool>,
    /// Processes that were forgotten for want of room.
    pub forgotten: u64,
    /// Command lines of which only the begin was kept.
    pub truncated: u64,
}

impl Default for Tasks {
    fn default() -> Self {
        Self {
            processes: FxHashMap::default(),
            held: Budget::new(MAX_FACTS),
            ended: VecDeque::new(),
            abandoned: Vec::new(),
            unreadable: FxHashMap::default(),
            forgotten: 0,
            truncated: 0,
        }
    }
}

impl Process {
    fn footprint(&self) -> usize {
        self.facts.as_ref().map_or(0, Shrink::footprint)
    }
}

impl Shrink for ProcessFacts {
    fn footprint(&self) -> usize {
        let texts = [&self.exe, &self.comm, &self.cgroup, &self.cwd].into_iter();
        let pairs = self.environment.iter().flat_map(|(key, value)| [key, value]);
        let all = texts.chain(&self.args).chain(pairs);
        all.map(|text| size_of::<String>() + ALLOCATION + text.len()).sum()
    }

    fn shrink(&mut self) {
        self.args.truncate(FEW_ARGS);
        self.args.shrink_to_fit();
        let pairs = self.environment.iter_mut().map(|(_, value)| value);
        let texts = [&mut self.exe, &mut self.cgroup, &mut self.cwd].into_iter();
        for text in texts.chain(&mut self.args).chain(pairs) {
            text.truncate(text.floor_char_boundary(SHORT));
            text.shrink_to_fit();
        }
    }
}

impl Tasks {
    /// A process was forked for what `origin` says; its number may have been another's.
    pub fn forked(&mut self, child: u32, parent: u32, origin: Origin) {
        let stamp = self.stamp(parent);
        self.remove(child);
        if stamp.is_some() || !matches!(origin, Origin::Nothing) {
            *self.process(child) = Process { origin, stamp, ..Process::default() };
        }
    }

    /// A process has read a request.
    pub fn serves(&mut self, pid: u32, at: Time) {
        self.process(pid).served.get_or_insert(Served { first: at, last: None });
    }

    /// A request that it has read was answered.
    pub fn has_served(&mut self, pid: u32, request: NodeId, at: Time) {
        if let Some(served) = self.processes.get_mut(&pid).and_then(|process| process.served.as_mut()) {
            served.last = Some((request, at));
        }
    }

    /// The requests that a process has read, if it has read any.
    pub fn served(&self, pid: u32) -> Option<Served> {
        self.processes.get(&pid)?.served
    }

    /// Whether anything is known of what a process is.
    pub fn is_known(&self, pid: u32) -> bool {
        self.processes.get(&pid).is_some_and(|process| process.facts.is_some())
    }

    /// Where a process works, as `/proc` says: nothing of one that ended before that was read.
    pub fn directory(&self, pid: u32) -> Option<&str> {
        let facts = self.processes.get(&pid)?.facts.as_ref()?;
        Some(facts.cwd.as_str()).filter(|directory| !directory.is_empty())
    }

    /// Whether two processes are of one family: one is the other's child, or both are another one's that is not the
    /// first of all. Nothing while that is not known.
    pub fn are_kin(&self, a: u32, b: u32) -> Option<bool> {
        let parent = |pid| {
            let facts = self.processes.get(&pid)?.facts.as_ref()?;
            Some(facts.ppid).filter(|parent| *parent != 0)
        };
        match (parent(a), parent(b)) {
            (Some(of), _) if of == b => Some(true),
            (_, Some(of)) if of == a => Some(true),
            (Some(of_a), Some(of_b)) => Some(of_a == of_b && of_a != 1),
            _ => None,
        }
    }

    /// What its image was launched with, where that was seen.
    pub fn stamp(&self, pid: u32) -> Option<Stamp> {
        self.processes.get(&pid)?.stamp
    }

    /// Names a process with all others of the same image and arguments: the workers of one server.
    pub fn family(&self, pid: u32) -> u64 {
        self.stamp(pid).map_or(pid.into(), |stamp| stamp.itself ^ stamp.file.rotate_left(32))
    }

    /// What a process was forked for.
    pub fn origin(&self, pid: u32) -> Origin {
        self.processes.get(&pid).map_or(Origin::Nothing, |process| process.origin.clone())
    }

    /// Its launch, when it is a span.
    pub fn launch(&self, pid: u32) -> Option<NodeId> {
        self.processes.get(&pid)?.launch
    }

    /// A process changed its image: what was known of it is void, the new image says who it is until
    /// `/proc` says more. `launch` is its span.
    pub fn executed(&mut self, pid: u32, exec: &Exec, image: &Image, launch: Option<NodeId>) {
        let process = self.process(pid);
        let devices = exec.descriptors.map(|descriptor| descriptor.rdev);
        let stamp = Stamp {
            flags: exec.flags,
            devices,
            itself: image.itself(),
            file: image.file_itself(),
            at: Time(exec.header.time_ns),
        };
        (process.stamp, process.served) = (Some(stamp), None);
        process.launch = launch;
        process.asked = false;
        self.learn(ProcessFacts {
            pid,
            ppid: image.parent_pid,
            exe: image.file.clone(),
            args: image.args.clone(),
            comm: image.comm.clone(),
            uid: image.uid,
            ..ProcessFacts::default()
        });
    }

    /// Keeps what is said of a process that is known.
    fn learn(&mut self, mut facts: ProcessFacts) {
        if let Some(process) = self.processes.get_mut(&facts.pid) {
            self.held.settle(process.footprint(), 0);
            self.truncated += u64::from(!self.held.fit(&mut facts));
            process.resource = None;
            process.facts = Some(facts);
        }
    }

    fn remove(&mut self, pid: u32) {
        if let Some(process) = self.processes.remove(&pid) {
            self.held.settle(process.footprint(), 0);
        }
    }

    /// What `/proc` said. Of a process that is already gone it says nothing new.
    pub fn described(&mut self, facts: ProcessFacts) {
        if facts.exe.is_empty() && facts.comm.is_empty() {
            return;
        }
        self.learn(facts);
    }

    /// Asks once for what `/proc` says of a process.
    pub fn ask(&mut self, pid: u32) -> Option<Output> {
        let process = self.process(pid);
        (!std::mem::replace(&mut process.asked, true)).then_some(Output::DescribeProcess(pid))
    }

    /// The wake-ups of a process's threads were asked for.
    pub fn watch(&mut self, pid: u32) {
        self.process(pid).watched = true;
    }

    /// They are not wanted any more; whether they were.
    pub fn unwatch(&mut self, pid: u32) -> bool {
        self.processes.get_mut(&pid).is_some_and(|process| std::mem::take(&mut process.watched))
    }

    /// A process's resource; of an unknown one, hardly more than its number.
    pub fn resource(&mut self, pid: u32, config: &Config) -> Arc<Resource> {
        self.named(pid, config, |(resource, _)| Arc::clone(resource))
    }

    /// The name of the service that a process is part of.
    pub fn service(&mut self, pid: u32, config: &Config) -> Arc<str> {
        self.named(pid, config, |(_, service)| Arc::clone(service))
    }

    fn named<T>(&mut self, pid: u32, config: &Config, get: impl FnOnce(&Named) -> T) -> T {
        let made = |facts: Option<ProcessFacts>| {
            let facts = facts.unwrap_or_else(|| ProcessFacts { pid, ..ProcessFacts::default() });
            let resource = resource(facts, config);
            let service = resource.service_name().into();
            (Arc::new(resource), service)
        };
        match self.processes.get_mut(&pid) {
            Some(Process { resource, facts, .. }) => get(resource.get_or_insert_with(|| made(facts.clone()))),
            None => get(&made(None)),
        }
    }

    /// A process ended.
    pub fn exited(&mut self, pid: u32, now: Time) {
        self.unreadable.remove(&pid);
        let Some(known) = self.processes.get_mut(&pid).filter(|known| known.ended.is_none()) else { return };
        if !known.asked && known.launch.is_none() {
            // Nothing that it did became a span.
            self.remove(pid);
        } else {
            (known.launch, known.origin) = (None, Origin::Nothing);
            known.ended = Some(now.plus_ms(KEEP_MS));
            self.ended.push_back((now.plus_ms(KEEP_MS), pid));
        }
    }

    /// The process was sent what is no HTTP/1 on a connection that it accepted.
    pub fn unreadable(&mut self, pid: u32, multiplexed: bool) {
        if self.unreadable.len() < MAX_UNREADABLE || self.unreadable.contains_key(&pid) {
            *self.unreadable.entry(pid).or_default() |= multiplexed;
        } else {
            self.forgotten += 1;
        }
    }

    /// Whether it was.
    pub fn serves_unreadable(&self, pid: u32) -> bool {
        self.unreadable.contains_key(&pid)
    }

    /// Whether it was on one that may have several requests open at once.
    pub fn serves_multiplexed(&self, pid: u32) -> bool {
        self.unreadable.get(&pid).is_some_and(|multiplexed| *multiplexed)
    }

    /// Forgets processes that ended a while ago.
    pub fn forget(&mut self, now: Time) {
        while let Some((time, pid)) = self.ended.pop_front_if(|(time, _)| *time <= now) {
            // Its number may be another's by now.
            if self.processes.get(&pid).is_some_and(|process| process.ended == Some(time)) {
                self.remove(pid);
            }
        }
    }

    /// The next launch whose process was forgotten.
    pub fn pop_abandoned(&mut self) -> Option<NodeId> {
        self.abandoned.pop()
    }

    fn process(&mut self, pid: u32) -> &mut Process {
        if self.processes.len() >= MAX_PROCESSES && !self.processes.contains_key(&pid) {
            self.forgotten += self.processes.len() as u64;
            self.abandoned.extend(self.processes.values().filter_map(|process| process.launch));
            self.abandoned.sort_unstable();
            self.processes.clear();
            self.held.settle(self.held.held(), 0);
            self.ended.clear();
        }
        self.processes.entry(pid).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_of_processes_is_bounded_in_bytes() {
        let mut tasks = Tasks::default();
        for pid in 1..5000 {
            let image = Image::of(&tracer_common::Exec::default(), b"/bin/sh", &[b'x'; 4096]);
            tasks.executed(pid, &Exec::default(), &image, None);
            tasks.ask(pid);
        }
        assert!(tasks.held.held() <= MAX_FACTS + 5000 * (FEW_ARGS + 4) * (SHORT + 64));
        assert!(tasks.truncated > 500);
        for pid in 1..5000 {
            tasks.exited(pid, Time(0));
        }
        tasks.forget(Time(u64::MAX));
        assert_eq!(tasks.held.held(), 0);
    }

    #[test]
    fn a_process_is_asked_about_once_for_each_image() {
        let mut tasks = Tasks::default();
        assert!(tasks.ask(5).is_some());
        assert!(tasks.ask(5).is_none());
        let image = Image::of(&tracer_common::Exec::default(), b"/bin/sh", b"");
        tasks.executed(5, &Exec::default(), &image, None);
        assert!(tasks.ask(5).is_some());
    }
}
