//! Work on a request that travels to another process of the server: what a process that works on a request writes to
//! a unix socket tells whoever reads it what to work on.
//!
//! ```text
//!  a process with a request open          one that reads none itself
//!        │ sends on a unix socket ──────────► receives there: works on it from now on
//!        │                                        │ forks: that is for the request
//!        ◄──────────────────── sends there: done with what it was told first
//! ```
//!
//! A helper that a server had started before its first request (a daemon that launches CGI scripts, a runtime's
//! launcher of programs, a pool of workers) says nothing by its forks. Only what nobody reads counts: a request that is
//! read at the other end makes a server of that.

use crate::{
    Time,
    cause::{Clue, Evidence},
    graph::NodeId,
};
use rustc_hash::FxHashMap;
use std::collections::VecDeque;

/// Most sockets with something that was sent and not received yet, and most processes that were told of a request:
/// more than the helpers of a big node. Past it all are forgotten.
const MAX_KNOWN: usize = 4096;
/// Most messages that wait in one socket, and most requests that a process was told of: a burst. Past it the oldest is
/// forgotten.
const MAX_WAITING: usize = 16;

/// What a process was told to work on.
#[derive(Debug)]
struct Work {
    /// What is known of the request that it is for; nothing when the sender had none open.
    evidence: Option<Box<Evidence>>,
    /// The socket that it came on.
    on: u64,
    /// Whether anything was forked for it.
    forked: bool,
    /// When it came.
    at: Time,
}

/// What came so long ago for a request that was answered since was done, or dropped: a process that answers nobody says
/// neither.
const LATER_NS: u64 = 1_000_000_000;

/// See the module.
#[derive(Debug, Default)]
pub struct Hops {
    /// What was sent, by the socket that receives it.
    sent: FxHashMap<u64, VecDeque<Option<Box<Evidence>>>>,
    /// By process.
    told: FxHashMap<u32, VecDeque<Work>>,
    /// Messages and processes that were forgotten for want of room.
    pub forgotten: u64,
}

impl Hops {
    /// Something is sent to a socket, by who works on the request that `evidence` tells of, or on none.
    pub fn sent(&mut self, to: u64, evidence: Option<Box<Evidence>>) {
        if self.sent.len() >= MAX_KNOWN && !self.sent.contains_key(&to) {
            self.forgotten += self.sent.len() as u64;
            self.sent.clear();
        }
        let waiting = self.sent.entry(to).or_default();
        // Pieces of one message.
        let same =
            |before: &Option<Box<Evidence>>| request(before.as_deref()) == request(evidence.as_deref());
        if waiting.back().is_some_and(same) {
            waiting.pop_back();
        } else if waiting.len() >= MAX_WAITING {
            self.forgotten += 1;
            waiting.pop_front();
        }
        waiting.push_back(evidence);
    }

    /// A process receives what was sent to a socket; whether that tells it anything. It knows already that it works on
    /// its `own` requests.
    pub fn received(&mut self, pid: u32, on: u64, own: &[NodeId], at: Time) -> bool {
        let Some(mut sent) = self.sent.remove(&on) else { return false };
        let known = |evidence: &Evidence| nodes(evidence).any(|node| own.contains(&node));
        sent.retain(|evidence| !evidence.as_deref().is_some_and(known));
        if sent.is_empty() {
            return false;
        }
        if self.told.len() >= MAX_KNOWN && !self.told.contains_key(&pid) {
            self.forgotten += self.told.len() as u64;
            self.told.clear();
        }
        let works = self.told.entry(pid).or_default();
        for mut evidence in sent {
            if let Some(evidence) = &mut evidence {
                evidence.via = Some(pid);
                // How it is handed on says nothing of how its process calls others.
                evidence.learned = true;
            }
            // More of the same.
            let again = |work: &Work| {
                work.on == on && request(work.evidence.as_deref()) == request(evidence.as_deref())
            };
            if let Some(last) = works.back_mut().filter(|last| again(last)) {
                last.at = at;
                continue;
            }
            if works.len() >= MAX_WAITING {
                self.forgotten += 1;
                works.pop_front();
            }
            works.push_back(Work { evidence, on, forked: false, at });
        }
        true
    }

    /// A process answers on a socket: it is done with what it was told there first.
    pub fn answers(&mut self, pid: u32, on: u64) {
        let Some(works) = self.told.get_mut(&pid) else { return };
        if let Some(first) = works.iter().position(|work| work.on == on) {
            works.remove(first);
        }
        if works.is_empty() {
            self.told.remove(&pid);
        }
    }

    /// What a process was told to work on last; `open` says whether a request is. One that was answered is worked on
    /// for a moment still, by who has not begun.
    pub fn work(&self, pid: u32, now: Time, open: impl Fn(&Evidence) -> bool) -> Option<Evidence> {
        let works = self.told.get(&pid)?;
        let last = works.back()?;
        let begins = !last.forked && now.since(last.at) <= LATER_NS;
        if !begins && !last.evidence.as_deref().is_some_and(open) {
            return None;
        }
        let mut evidence = last.evidence.as_deref()?.clone();
        let others = works.iter().filter(|work| !work.forked && work.evidence.is_some()).count();
        // Which of several it begins with is its own choice: then what they say decides.
        if others > usize::from(!last.forked) {
            evidence.open = evidence.open.max(u32::try_from(works.len()).unwrap_or(u32::MAX));
            evidence.sole = None;
            evidence.thread = evidence.thread.map(|(node, _)| (node, Clue::EarlierRead));
        }
        Some(evidence)
    }

    /// It forks for that.
    pub fn forks(&mut self, pid: u32) {
        if let Some(work) = self.told.get_mut(&pid).and_then(VecDeque::back_mut) {
            work.forked = true;
        }
    }

    /// A process ended.
    pub fn exited(&mut self, pid: u32) {
        self.told.remove(&pid);
    }
}

/// The requests that evidence points to.
fn nodes(evidence: &Evidence) -> impl Iterator<Item = NodeId> {
    evidence.sole.into_iter().chain(evidence.thread.map(|(node, _)| node))
}

/// What a message is for, as far as it is known.
fn request(evidence: Option<&Evidence>) -> Option<impl PartialEq> {
    evidence.map(|evidence| (evidence.pid, evidence.sole, evidence.thread.map(|(node, _)| node)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_is_bounded_and_what_falls_off_is_counted() {
        let mut hops = Hops::default();
        for socket in 0..MAX_KNOWN as u64 + 1 {
            hops.sent(socket, None);
        }
        assert_eq!((hops.sent.len(), hops.forgotten), (1, MAX_KNOWN as u64));
        for pid in 0..MAX_KNOWN as u32 + 1 {
            hops.sent(1, None);
            assert!(hops.received(pid, 1, &[], Time(0)));
            assert!(!hops.received(pid, 1, &[], Time(0)), "once");
        }
        assert_eq!((hops.told.len(), hops.forgotten), (1, 2 * MAX_KNOWN as u64));
    }
}
