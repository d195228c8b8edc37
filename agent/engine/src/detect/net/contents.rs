//! The last bytes of what requests brought in, to find them again in what their process writes elsewhere.

use crate::{Time, Value, detect::route, exchange::Exchange, graph::NodeId, span};
use memchr::memmem;
use rustc_hash::FxHashMap;
use std::collections::{BTreeMap, VecDeque};

/// Bytes kept of one request's content, the latest: what a relay has read is written in moments.
const WINDOW: usize = 64 << 10;
/// Most bytes of all. Past it the content of the oldest request is forgotten.
const MAX_HELD: usize = 4 << 20;
/// Most requests of a server whose content is searched, the latest.
const MAX_SEARCHED: usize = 16;
/// What came in is looked for so long after its request has ended: who polls hands it to another thread.
const KEEP_MS: u64 = 5_000;
/// What an entry takes beyond its bytes, about.
const ENTRY: usize = 256;
/// Most requests that have ended and wait to be forgotten: as many as are known at most.
const MAX_ENDED: usize = MAX_HELD / ENTRY;

/// See the module.
#[derive(Debug, Default)]
pub struct Contents {
    /// In order of the requests.
    known: BTreeMap<NodeId, Content>,
    by_server: FxHashMap<u64, Vec<NodeId>>,
    ended: VecDeque<(Time, NodeId)>,
    held: usize,
    /// Contents that were forgotten for want of room.
    pub dropped: u64,
}

#[derive(Debug)]
struct Content {
    /// The process that read it, with all others of one server: one worker may hand it to another.
    server: u64,
    /// At most twice a [`WINDOW`], so that moving it is rare.
    bytes: Vec<u8>,
    /// What is to be said of a request that has ended, though its content goes on.
    about: Option<About>,
}

/// What a finding says of a request.
#[derive(Clone, Debug)]
pub struct About {
    /// Method and route.
    pub route: String,
    /// As of its span.
    pub attributes: Vec<(&'static str, Value)>,
}

impl About {
    /// A request.
    pub fn of(exchange: &Exchange) -> Self {
        let route = route(exchange.method(), exchange.target());
        Self { route, attributes: span::exchange(exchange).attributes }
    }
}

impl Contents {
    /// A server has read some of a request's content.
    pub fn add(&mut self, node: NodeId, server: u64, bytes: &[u8]) {
        let bytes = &bytes[bytes.len().saturating_sub(WINDOW)..];
        let held = self.content(node, server).bytes.capacity();
        self.held -= held;
        let content = self.content(node, server);
        if content.bytes.len() + bytes.len() > 2 * WINDOW {
            content.bytes.drain(..content.bytes.len() - WINDOW);
        }
        content.bytes.extend_from_slice(bytes);
        self.held += content.bytes.capacity();
        while self.held > MAX_HELD
            && let Some((&oldest, _)) = self.known.first_key_value()
        {
            self.crowded_out(oldest);
        }
    }

    /// A request ends, though its content goes on.
    pub fn describe(&mut self, node: NodeId, server: u64, about: About) {
        self.content(node, server).about = Some(about);
    }

    /// What was said of a request.
    pub fn about(&self, node: NodeId) -> Option<About> {
        self.known.get(&node)?.about.clone()
    }

    fn content(&mut self, node: NodeId, server: u64) -> &mut Content {
        self.known.entry(node).or_insert_with(|| {
            self.by_server.entry(server).or_default().push(node);
            self.held += ENTRY;
            Content { server, bytes: Vec::new(), about: None }
        })
    }

    /// The latest request of a server that brought all of `bytes` in.
    pub fn find(&self, server: u64, bytes: &[u8]) -> Option<NodeId> {
        let requests = self.by_server.get(&server)?;
        let finder = memmem::Finder::new(bytes);
        let brought = |node: &&NodeId| {
            self.known.get(node).is_some_and(|content| finder.find(&content.bytes).is_some())
        };
        requests.iter().rev().take(MAX_SEARCHED).find(brought).copied()
    }

    /// A request has ended.
    pub fn ended(&mut self, node: NodeId, now: Time) {
        if self.known.get(&node).is_some_and(|content| content.about.is_none()) {
            self.over(node, now);
        }
    }

    /// What went on behind a request has ended.
    pub fn over(&mut self, node: NodeId, now: Time) {
        self.ended.push_back((now.plus_ms(KEEP_MS), node));
        if self.ended.len() > MAX_ENDED
            && let Some((_, oldest)) = self.ended.pop_front()
        {
            self.crowded_out(oldest);
        }
    }

    fn crowded_out(&mut self, node: NodeId) {
        self.dropped += u64::from(self.known.contains_key(&node));
        self.remove(node);
    }

    /// Forgets what came in with requests that ended a while ago.
    pub fn forget(&mut self, now: Time) {
        while let Some((_, node)) = self.ended.pop_front_if(|(due, _)| *due <= now) {
            self.remove(node);
        }
    }

    fn remove(&mut self, node: NodeId) {
        let Some(content) = self.known.remove(&node) else { return };
        self.held -= ENTRY + content.bytes.capacity();
        if let Some(requests) = self.by_server.get_mut(&content.server) {
            requests.retain(|known| *known != node);
            if requests.is_empty() {
                self.by_server.remove(&content.server);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::node_id as node;

    #[test]
    fn what_came_in_is_found_in_its_process_for_a_while() {
        let mut contents = Contents::default();
        contents.add(node(1), 20, b"hello ");
        contents.add(node(1), 20, b"world");
        contents.add(node(2), 20, b"world");
        contents.add(node(3), 21, b"hello world");
        assert_eq!(contents.find(20, b"o wo"), Some(node(1)), "over the border of two pieces");
        assert_eq!(contents.find(20, b"world"), Some(node(2)), "the latest");
        assert_eq!(contents.find(20, b"worlds"), None);
        assert_eq!(contents.find(22, b"hello"), None);
        contents.ended(node(1), Time(0));
        contents.forget(Time(0));
        assert!(contents.find(20, b"hello").is_some());
        contents.forget(Time(0).plus_ms(KEEP_MS));
        assert_eq!(contents.find(20, b"hello"), None);
        for last in [2, 3] {
            contents.remove(node(last));
        }
        assert_eq!((contents.held, contents.by_server.len()), (0, 0));
    }

    #[test]
    fn what_is_kept_has_a_bound() {
        let mut contents = Contents::default();
        for n in 0..1000 {
            contents.add(node(n), 20, &[b'x'; 3 * WINDOW]);
            contents.add(node(n), 20, &[b'x'; 1000]);
            contents.add(node(n), 20, &[b'y'; WINDOW]);
            assert!(contents.known.get(&node(n)).expect("the latest stays").bytes.len() <= 2 * WINDOW);
        }
        assert!(contents.held <= MAX_HELD && contents.known.len() > 10);
        assert!(contents.find(20, &[b'y'; WINDOW]).is_some());
        assert_eq!(contents.dropped + contents.known.len() as u64, 1000);
    }
}
