//! Threads and processes: what each is busy with, and what is known of it.

use crate::{Config, Output, ProcessFacts, Resource, Time, graph::NodeId, launch::Image, resource::resource};
use rustc_hash::FxHashMap;
use std::{collections::VecDeque, sync::Arc};

/// Most threads whose activity is kept: more than a big node runs. Past it all are forgotten, and links
/// by thread begin anew.
const MAX_THREADS: usize = 65_536;
/// Most processes that are known; the same.
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
    origin: Option<NodeId>,
    /// Its launch, when it is a span.
    launch: Option<NodeId>,
    /// Until when it is known, once it ended.
    ended: Option<Time>,
}

/// All threads and processes.
#[derive(Debug, Default)]
pub struct Tasks {
    activities: FxHashMap<u32, NodeId>,
    /// Open server exchanges by the thread that read their requests; at most as many as there are nodes.
    open: FxHashMap<u32, u32>,
    processes: FxHashMap<u32, Process>,
    ended: VecDeque<(Time, u32)>,
    /// Launches whose process was forgotten: nobody will hear of their end.
    abandoned: Vec<NodeId>,
    /// Processes and threads that were forgotten for want of room.
    pub forgotten: u64,
}

impl Tasks {
    /// The thread turns to something, or to nothing that is known.
    pub fn set_activity(&mut self, tid: u32, node: Option<NodeId>) {
        match node {
            Some(node) => {
                if self.activities.len() >= MAX_THREADS {
                    self.forgotten += self.activities.len() as u64;
                    self.activities.clear();
                }
                self.activities.insert(tid, node);
            }
            None => drop(self.activities.remove(&tid)),
        }
    }

    /// What the thread turned to last, if `active` still says so, else what its process lives for.
    pub fn activity(&self, pid: u32, tid: u32, active: impl Fn(NodeId) -> bool) -> Option<NodeId> {
        let own = self.activities.get(&tid).copied().filter(|node| active(*node));
        own.or_else(|| {
            let process = self.processes.get(&pid)?;
            process.launch.filter(|node| active(*node)).or(process.origin)
        })
    }

    /// A process was forked for `origin`.
    pub fn forked(&mut self, child: u32, origin: NodeId) {
        self.activities.remove(&child);
        *self.process(child) = Process { origin: Some(origin), ..Process::default() };
    }

    /// A process was forked for nothing that is known; its number may have been another's.
    pub fn forked_freely(&mut self, child: u32) {
        self.activities.remove(&child);
        self.processes.remove(&child);
    }

    /// What a process was forked for, and its launch.
    pub fn origin(&self, pid: u32) -> (Option<NodeId>, Option<NodeId>) {
        self.processes.get(&pid).map_or((None, None), |p| (p.origin, p.launch))
    }

    /// A process changed its image: what was known of it is void, the new image says who it is until
    /// `/proc` says more. `launch` is its span.
    pub fn executed(&mut self, pid: u32, old_tid: u32, image: &Image, launch: Option<NodeId>) {
        // The thread that called exec goes on under the process's number.
        if let Some(activity) = self.activities.remove(&old_tid) {
            self.activities.insert(pid, activity);
        }
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

    /// One more or one less open server exchange whose request the thread read; gives how many there are.
    pub fn count_open(&mut self, tid: u32, change: i32) -> u32 {
        let open = self.open.get(&tid).copied().unwrap_or_default().saturating_add_signed(change);
        match open {
            0 => drop(self.open.remove(&tid)),
            open => drop(self.open.insert(tid, open)),
        }
        open
    }

    /// A thread ended; with `process`, its process too.
    pub fn exited(&mut self, pid: u32, tid: u32, process: bool, now: Time) {
        self.activities.remove(&tid);
        let Some(known) = self.processes.get_mut(&pid).filter(|known| process && known.ended.is_none())
        else {
            return;
        };
        if !known.asked && known.launch.is_none() {
            // Nothing that it did became a span.
            self.processes.remove(&pid);
        } else {
            (known.launch, known.origin) = (None, None);
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
    use crate::{
        graph::{Body, Graph, Node},
        ids::Identity,
    };

    fn node(graph: &mut Graph) -> NodeId {
        let identity = Identity { subject: 1, inode: 0, place: 0, began: 0 };
        let image = Image::of(&tracer_common::Exec::default(), b"/bin/sh", b"");
        let body = Body::Launch(Box::new(crate::launch::Launch::new(image)));
        graph.add(Node::new(identity, (1, 1), Time(0), body)).expect("room")
    }

    #[test]
    fn a_thread_is_busy_with_what_it_turned_to_last() {
        let (mut tasks, mut graph) = (Tasks::default(), Graph::default());
        let (a, b) = (node(&mut graph), node(&mut graph));
        tasks.set_activity(7, Some(a));
        tasks.set_activity(7, Some(b));
        assert_eq!(tasks.activity(7, 7, |_| true), Some(b));
        assert_eq!(tasks.activity(7, 7, |n| n != b), None, "what has ended is no activity");
        tasks.set_activity(7, None);
        assert_eq!(tasks.activity(7, 7, |_| true), None);
    }

    #[test]
    fn a_child_acts_for_what_it_was_forked_for() {
        let (mut tasks, mut graph) = (Tasks::default(), Graph::default());
        let (a, launch) = (node(&mut graph), node(&mut graph));
        tasks.forked(8, a);
        assert_eq!(tasks.activity(8, 8, |_| true), Some(a));
        let image = Image::of(&tracer_common::Exec::default(), b"/bin/sh", b"");
        tasks.executed(8, 8, &image, Some(launch));
        assert_eq!(tasks.activity(8, 9, |_| true), Some(launch), "any thread of it");
        tasks.exited(8, 8, true, Time(0));
        assert_eq!(tasks.activity(8, 8, |_| true), None);
    }

    #[test]
    fn an_exec_by_another_thread_takes_its_activity_along() {
        let (mut tasks, mut graph) = (Tasks::default(), Graph::default());
        let a = node(&mut graph);
        tasks.set_activity(12, Some(a));
        let image = Image::of(&tracer_common::Exec::default(), b"/bin/sh", b"");
        tasks.executed(10, 12, &image, None);
        assert_eq!(tasks.activity(10, 10, |_| true), Some(a));
        assert_eq!(tasks.activity(10, 12, |_| true), None);
    }

    #[test]
    fn a_process_is_asked_about_once_for_each_image() {
        let mut tasks = Tasks::default();
        assert!(tasks.ask(5).is_some());
        assert!(tasks.ask(5).is_none());
        let image = Image::of(&tracer_common::Exec::default(), b"/bin/sh", b"");
        tasks.executed(5, 5, &image, None);
        assert!(tasks.ask(5).is_some());
    }
}
