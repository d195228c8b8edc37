//! Processes: what each is, and what it was forked for.

use crate::{
    Config, Output, ProcessFacts, Resource, Time, cause::Origin, graph::NodeId, launch::Image,
    resource::resource,
};
use rustc_hash::FxHashMap;
use std::{collections::VecDeque, sync::Arc};

/// Most processes that are known: more than a big node runs. Past it all are forgotten, and asked about
/// anew.
const MAX_PROCESSES: usize = 16_384;
/// An ended process is known this much longer: its spans leave a moment after it.
const KEEP_MS: u64 = 10_000;

/// What is known of a process.
#[derive(Debug, Default)]
struct Process {
    /// What its image, or later `/proc`, says of it.
    facts: Option<ProcessFacts>,
    /// Its resource, once a span had it.
    resource: Option<Arc<Resource>>,
    /// Whether its facts were asked for.
    asked: bool,
    /// What it was forked for.
    origin: Origin,
    /// Its launch, when it is a span.
    launch: Option<NodeId>,
    /// Until when it is known, once it ended.
    ended: Option<Time>,
}

/// All processes.
#[derive(Debug, Default)]
pub struct Tasks {
    processes: FxHashMap<u32, Process>,
    ended: VecDeque<(Time, u32)>,
    /// Launches whose process was forgotten: nobody will hear of their end.
    abandoned: Vec<NodeId>,
    /// Processes that were forgotten for want of room.
    pub forgotten: u64,
}

impl Tasks {
    /// A process was forked for what `origin` says; its number may have been another's.
    pub fn forked(&mut self, child: u32, origin: Origin) {
        match origin {
            Origin::Nothing => drop(self.processes.remove(&child)),
            origin => *self.process(child) = Process { origin, ..Process::default() },
        }
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
    pub fn executed(&mut self, pid: u32, image: &Image, launch: Option<NodeId>) {
        let process = self.process(pid);
        process.launch = launch;
        process.asked = false;
        process.resource = None;
        process.facts = Some(ProcessFacts {
            pid,
            ppid: image.parent_pid,
            exe: image.file.clone(),
            args: image.args.clone(),
            comm: image.comm.clone(),
            uid: image.uid,
            ..ProcessFacts::default()
        });
    }

    /// What `/proc` said. Of a process that is already gone it says nothing new.
    pub fn described(&mut self, facts: ProcessFacts) {
        if facts.exe.is_empty() && facts.comm.is_empty() {
            return;
        }
        if let Some(process) = self.processes.get_mut(&facts.pid) {
            process.resource = None;
            process.facts = Some(facts);
        }
    }

    /// Asks once for what `/proc` says of a process.
    pub fn ask(&mut self, pid: u32) -> Option<Output> {
        let process = self.process(pid);
        (!std::mem::replace(&mut process.asked, true)).then_some(Output::DescribeProcess(pid))
    }

    /// A process's resource; of an unknown one, hardly more than its number.
    pub fn resource(&mut self, pid: u32, config: &Config) -> Arc<Resource> {
        let made = |facts: Option<ProcessFacts>| {
            let facts = facts.unwrap_or_else(|| ProcessFacts { pid, ..ProcessFacts::default() });
            Arc::new(resource(facts, config))
        };
        match self.processes.get_mut(&pid) {
            Some(Process { resource, facts, .. }) => {
                Arc::clone(resource.get_or_insert_with(|| made(facts.clone())))
            }
            None => made(None),
        }
    }

    /// A process ended.
    pub fn exited(&mut self, pid: u32, now: Time) {
        let Some(known) = self.processes.get_mut(&pid).filter(|known| known.ended.is_none()) else { return };
        if !known.asked && known.launch.is_none() {
            // Nothing that it did became a span.
            self.processes.remove(&pid);
        } else {
            (known.launch, known.origin) = (None, Origin::Nothing);
            known.ended = Some(now.plus_ms(KEEP_MS));
            self.ended.push_back((now.plus_ms(KEEP_MS), pid));
        }
    }

    /// Forgets processes that ended a while ago.
    pub fn forget(&mut self, now: Time) {
        while let Some((time, pid)) = self.ended.pop_front_if(|(time, _)| *time <= now) {
            // Its number may be another's by now.
            if self.processes.get(&pid).is_some_and(|process| process.ended == Some(time)) {
                self.processes.remove(&pid);
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
            self.ended.clear();
        }
        self.processes.entry(pid).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_asked_about_once_for_each_image() {
        let mut tasks = Tasks::default();
        assert!(tasks.ask(5).is_some());
        assert!(tasks.ask(5).is_none());
        let image = Image::of(&tracer_common::Exec::default(), b"/bin/sh", b"");
        tasks.executed(5, &image, None);
        assert!(tasks.ask(5).is_some());
    }
}
