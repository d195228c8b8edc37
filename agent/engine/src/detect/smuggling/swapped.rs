//! An answer that names the target of an unfinished request instead of its own.
//!
//! A request that ends within its head takes in the next one on its connection, and is answered in its place: two
//! requests, two answers, nothing on the wire that does not fit. What is left is what the answer says: many an
//! application, and most error pages, name the target that they were asked for. So do those that tell what they got
//! before: what names the carrier too, or named the hidden one already in answer to that, says nothing. And who could
//! not read what the two make together may quote them as the one line that they were to him.

use super::{Carrier, words};
use crate::{exchange::Exchange, http1::Head};
use memchr::memmem;

/// Most bytes of an answer that are looked at: its head, and the begin of its content, which is what a short one has.
const MAX_SEEN: usize = 2048;
/// Shortest path that tells anything, in bytes.
const MIN_PATH: usize = 4;

/// The answer to the first request behind an unfinished one.
#[derive(Debug)]
pub struct Swapped {
    /// The path of the unfinished one.
    hidden: Vec<u8>,
    /// The path that was asked for.
    own: Vec<u8>,
    /// That of the carrier: what names it too tells of what has come in.
    carrier: Option<Vec<u8>>,
    /// How the unfinished one ends, with the line behind it that it takes in.
    joined: Vec<u8>,
    /// What was asked for, in words.
    name: String,
    /// Status of the answer.
    pub status: u16,
    seen: Vec<u8>,
}

impl Swapped {
    /// The answer with this head, to `exchange`, which is the carrier or the first behind it.
    pub fn of(carrier: &Carrier, exchange: &Exchange, head: &Head) -> Option<Self> {
        let unfinished = carrier.content.found().last()?;
        let hidden = path(unfinished.target()?);
        let own = path(exchange.target());
        let differ = memmem::find(own, hidden).or(memmem::find(hidden, own)).is_none();
        if hidden.len() < MIN_PATH || own.len() < MIN_PATH || !differ {
            return None;
        }
        let (method, target) = words::name(exchange);
        let mut swapped = Self {
            hidden: hidden.to_vec(),
            own: own.to_vec(),
            carrier: Some(path(carrier.target.as_bytes()))
                .filter(|path| memmem::find(hidden, path).is_none())
                .map(<[u8]>::to_vec),
            joined: joined(unfinished.last_line(), exchange.request.raw()),
            name: format!("{method} {target}"),
            status: head.status()?,
            seen: Vec::new(),
        };
        swapped.hears(head.raw());
        Some(swapped)
    }

    /// More of it came.
    pub fn hears(&mut self, bytes: &[u8]) {
        let room = MAX_SEEN.saturating_sub(self.seen.len());
        self.seen.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// What was asked for, when the answer is that to the other; and how it shows.
    pub fn instead_of(&self) -> Option<(&str, &'static str)> {
        let names = |path: &[u8]| path.len() >= MIN_PATH && memmem::find(&self.seen, path).is_some();
        let carrier = self.carrier.as_ref().is_some_and(|path| names(path));
        let mut named = memmem::find_iter(&self.seen, &self.hidden);
        let named = named.next().filter(|_| named.next().is_none()).is_some_and(|at| self.is_said_at(at));
        let quoted = !self.joined.is_empty() && memmem::find(&self.seen, &self.joined).is_some();
        let how = match quoted {
            true => "quotes both as one line",
            false if named && !names(&self.own) && !carrier => {
                "names its target, and not that of its own request"
            }
            false => return None,
        };
        Some((&self.name, how))
    }

    /// Memory that it takes elsewhere.
    pub fn held(&self) -> usize {
        let texts = [&self.hidden, &self.own, &self.joined, &self.seen].map(Vec::capacity);
        texts.iter().sum::<usize>() + self.carrier.as_ref().map_or(0, Vec::capacity) + self.name.capacity()
    }

    /// Whether the answer names the hidden one at all.
    pub fn names_hidden(&self) -> bool {
        memmem::find(&self.seen, &self.hidden).is_some()
    }

    /// Whether that is the path as a text has it: no part of a longer one, no link, no request line that is quoted.
    fn is_said_at(&self, at: usize) -> bool {
        let (before, after) = (&self.seen[..at], &self.seen[at + self.hidden.len()..]);
        let of_path = |b: &u8| b.is_ascii_alphanumeric() || b"/-_.~%\"'=#?&".contains(b);
        !before.last().is_some_and(of_path)
            && !after.first().is_some_and(|b| of_path(b) && *b != b'.' && *b != b'?')
            && !after.starts_with(b" HTTP/")
    }
}

/// The line that an unfinished one makes with the request line behind it; nothing where it does not end within one.
fn joined(unfinished: &[u8], behind: &[u8]) -> Vec<u8> {
    let line = behind.split(|b| matches!(b, b'\r' | b'\n')).next().unwrap_or_default();
    match unfinished {
        [] => Vec::new(),
        _ => [unfinished, line].concat(),
    }
}

fn path(target: &[u8]) -> &[u8] {
    target.split(|b| *b == b'?').next().unwrap_or_default()
}
