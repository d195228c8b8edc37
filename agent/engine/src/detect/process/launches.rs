//! The tables: who is below which server, and what it is part of.

use super::{
    fed::Fed,
    incident::{Incident, Line},
    names::SESSION,
    network::Pump,
    program::Program,
    requests::Requests,
    said::Recent,
};
use crate::{Time, graph::NodeId};
use rustc_hash::{FxHashMap, FxHashSet};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use twox_hash::XxHash3_64;

/// Most processes below servers that are followed: as many as are known at all. More are not, which is counted.
const MAX_LINES: usize = 16_384;
/// Most incidents; past it the oldest is forgotten, which is counted.
const MAX_INCIDENTS: usize = 4096;
/// Processes that have not read a request yet of which it is known what they launched; past it all are forgotten.
const MAX_EARLY: usize = 4096;
/// Programs of each: a timer has a handful.
const MAX_EARLY_KINDS: usize = 32;
/// Servers whose last connect, and last shell on pipes, is remembered; past it all are forgotten.
const MAX_SERVERS: usize = 4096;
/// Most files that were made by programs below servers and may be run: those of some seconds of a build.
const MAX_MADE: usize = 256;
/// Most threads of servers that are known to have begun after the first request; past it none is taken for a timer's.
const MAX_LATE: usize = 65_536;

/// See the module.
#[derive(Debug)]
pub struct Launches {
    /// By process.
    pub(super) lines: FxHashMap<u32, Line>,
    pub(super) incidents: BTreeMap<u64, Incident>,
    pub(super) due: BTreeSet<(Time, u64)>,
    pub requests: Requests,
    /// What those say that launches were just compared with.
    pub(super) said: Recent,
    /// What was launched by whom before that had read a request.
    pub(super) early: FxHashMap<u32, FxHashSet<u64>>,
    /// Threads of servers that began after the first request; nothing once there were too many.
    late: Option<FxHashSet<u32>>,
    /// What servers connected to last.
    pub(super) connects: FxHashMap<u32, (Time, String)>,
    /// Shells that take their commands from unix sockets.
    pub(super) shells: Fed,
    /// The last shell on pipes that each of them launched.
    pub(super) fed: FxHashMap<u32, (Time, u64)>,
    /// Shells on pipes that may be meant for a connection, by server.
    pub(super) pumps: FxHashMap<u32, Pump>,
    /// Files that programs below servers were told to make, the latest.
    made: VecDeque<(u32, u64)>,
    /// What was first launched without a request, by server and program.
    pub(super) series: FxHashMap<(u32, u64), NodeId>,
    pub(super) next: u64,
    /// Processes and incidents that were not followed for want of room.
    pub forgotten: u64,
    /// What was remembered of servers, and forgotten for want of room.
    pub(super) dropped: u64,
}

impl Default for Launches {
    fn default() -> Self {
        Self {
            lines: FxHashMap::default(),
            shells: Fed::default(),
            incidents: BTreeMap::new(),
            due: BTreeSet::new(),
            requests: Requests::default(),
            said: Recent::default(),
            early: FxHashMap::default(),
            late: Some(FxHashSet::default()),
            connects: FxHashMap::default(),
            fed: FxHashMap::default(),
            pumps: FxHashMap::default(),
            made: VecDeque::new(),
            series: FxHashMap::default(),
            next: 0,
            forgotten: 0,
            dropped: 0,
        }
    }
}

impl Launches {
    /// What was remembered of servers, their shells and requests, and forgotten for want of room.
    pub fn dropped(&self) -> u64 {
        self.dropped + self.shells.dropped + self.requests.dropped
    }

    /// A thread begins in a process that has read requests.
    pub fn begins_late(&mut self, tid: u32) {
        if let Some(late) = &mut self.late {
            late.insert(tid);
            if late.len() > MAX_LATE {
                self.late = None;
            }
        }
    }

    /// A thread ended.
    pub fn thread_ended(&mut self, tid: u32) {
        if let Some(late) = &mut self.late {
            late.remove(&tid);
        }
    }

    /// Whether a thread of a server began before its first request.
    pub(super) fn is_older(&self, tid: u32) -> bool {
        self.late.as_ref().is_some_and(|late| !late.contains(&tid))
    }

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

    /// The requests that a process may have been launched for.
    pub fn requests_of(&self, pid: u32) -> &[NodeId] {
        let incident = self.lines.get(&pid).and_then(|line| self.incidents.get(&line.incident));
        incident.map_or(&[], |incident| &incident.candidates)
    }

    /// Whether one more process can be followed; that it cannot is counted.
    pub(super) fn has_room(&mut self) -> bool {
        let room = self.lines.len() < MAX_LINES;
        self.forgotten += u64::from(!room);
        room
    }

    /// The oldest incident, when another one would find no room.
    pub(super) fn overflows(&self) -> Option<u64> {
        let full = self.incidents.len() >= MAX_INCIDENTS;
        self.incidents.first_key_value().map(|(oldest, _)| *oldest).filter(|_| full)
    }

    /// An incident is forgotten for want of room. What is known of its processes goes when they end.
    pub(super) fn close(&mut self, id: u64) {
        self.forgotten += u64::from(self.incidents.remove(&id).is_some());
    }

    /// An incident begins.
    pub(super) fn open(&mut self, incident: Incident) -> u64 {
        self.next += 1;
        self.incidents.insert(self.next, incident);
        self.next
    }

    /// A process becomes part of one.
    pub(super) fn enter(&mut self, pid: u32, line: Line) {
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

    /// A process is part of none any more.
    pub(super) fn leave(&mut self, pid: u32) -> Option<Line> {
        let line = self.lines.remove(&pid)?;
        if let Some(incident) = self.incidents.get_mut(&line.incident) {
            incident.alive -= 1;
            if incident.alive == 0 {
                self.pumps.remove(&incident.reader);
            }
            if incident.is_over() {
                self.incidents.remove(&line.incident);
            }
        }
        Some(line)
    }

    /// The incident that a process is part of.
    pub fn incident(&self, pid: u32) -> Option<u64> {
        self.lines.get(&pid).map(|line| line.incident)
    }

    /// A process, and what it is part of.
    pub(super) fn line(&mut self, pid: u32) -> Option<(&mut Line, &mut Incident)> {
        let line = self.lines.get_mut(&pid)?;
        let incident = self.incidents.get_mut(&line.incident)?;
        Some((line, incident))
    }

    /// Something was added to an incident: it is told soon, or again.
    pub(super) fn schedule(&mut self, id: u64, at: Time) {
        if let Some(incident) = self.incidents.get_mut(&id)
            && incident.due.is_none()
            && incident.worst.is_some()
        {
            incident.due = Some(at);
            self.due.insert((at, id));
        }
    }

    /// A process launched a program before it has read any request.
    pub(super) fn early(&mut self, pid: u32, kind: u64) {
        if self.early.len() >= MAX_EARLY && !self.early.contains_key(&pid) {
            self.early.clear();
            self.dropped += 1;
        }
        let early = self.early.entry(pid).or_default();
        if early.len() < MAX_EARLY_KINDS {
            early.insert(kind);
        } else {
            self.dropped += 1;
        }
    }

    /// A server connects to someone.
    pub(super) fn connected(&mut self, server: u32, at: Time, to: String) {
        if self.connects.len() >= MAX_SERVERS {
            self.connects.clear();
            self.dropped += 1;
        }
        self.connects.insert(server, (at, to));
    }

    /// A program below a server is told to make a file: `-o FILE`, as compilers and linkers have it (POSIX.1-2017,
    /// `c99`). What fetches things has that, too, and is none of them.
    pub(super) fn makes(&mut self, server: u32, program: &Program<'_>) {
        if SESSION.contains(&program.name) {
            return;
        }
        for pair in program.args.windows(2).filter(|pair| pair[0] == "-o") {
            if self.made.len() >= MAX_MADE {
                self.made.pop_front();
                self.dropped += 1;
            }
            self.made.push_back((server, file_hash(&pair[1])));
        }
    }

    /// Whether a program below a server was just told to make this file.
    pub(super) fn has_made(&self, server: u32, file: &str) -> bool {
        self.made.contains(&(server, file_hash(file)))
    }

    /// Whether any shell may be meant for a connection.
    pub fn may_pump(&self) -> bool {
        !self.pumps.is_empty()
    }

    /// A server launched a shell on pipes.
    pub(super) fn feeds(&mut self, server: u32, at: Time, incident: u64) {
        if self.fed.len() >= MAX_SERVERS {
            self.fed.clear();
            self.dropped += 1;
        }
        self.fed.insert(server, (at, incident));
    }
}

fn file_hash(file: &str) -> u64 {
    XxHash3_64::oneshot(file.trim_start_matches("./").as_bytes())
}
