//! Something that a service does, and how it is written in a file that people review.
//!
//! ```text
//! endpoint GET /users/{n}
//! edge 10.0.0.7:5432
//! egress 10.0.0.7:443 64 MB
//! relay GET /terminal | 10.0.0.9:22
//! launch GET /thumb | /usr/bin/convert | convert {} -resize {} {}
//! ```

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// Longest text of a habit, in bytes; longer ones are cut.
const MAX_TEXT: usize = 256;
/// Least that counts as bytes sent.
const MEGABYTE: u64 = 1_000_000;
/// What stands between two texts.
const BAR: &str = " | ";

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Habit {
    /// It serves a route.
    Endpoint {
        /// Method and route.
        route: Box<str>,
    },
    /// It calls a peer.
    Edge {
        /// Address and port, or `unix:` and a name.
        peer: Box<str>,
    },
    /// It sends so much to a peer, for one request or within a minute.
    Egress {
        /// As of an edge.
        peer: Box<str>,
        /// At most so many millions of bytes: a power of two.
        megabytes: u32,
    },
    /// It relays to a peer what requests bring in.
    Relay {
        /// As of an endpoint.
        route: Box<str>,
        /// As of an edge.
        peer: Box<str>,
    },
    /// It launches a program.
    Launch {
        /// As of an endpoint; empty for no request.
        route: Box<str>,
        /// File of the program.
        executable: Box<str>,
        /// See the module `shape`.
        shape: Box<str>,
    },
}

impl Habit {
    /// An endpoint.
    pub fn endpoint(route: &str) -> Self {
        Self::Endpoint { route: text(route) }
    }

    /// A peer.
    pub fn edge(peer: &str) -> Self {
        Self::Edge { peer: text(peer) }
    }

    /// Bytes sent to a peer; nothing when that is less than a megabyte.
    pub fn egress(peer: &str, bytes: u64) -> Option<Self> {
        let megabytes = u32::try_from(bytes.div_ceil(MEGABYTE)).unwrap_or(u32::MAX);
        let megabytes = megabytes.checked_next_power_of_two().unwrap_or(1 << 31);
        (bytes >= MEGABYTE).then(|| Self::Egress { peer: text(peer), megabytes })
    }

    /// A peer to which what a route brings in is relayed.
    pub fn relay(route: &str, peer: &str) -> Self {
        Self::Relay { route: text(route), peer: text(peer) }
    }

    /// A launch.
    pub fn launch(route: &str, executable: &str, shape: &str) -> Self {
        Self::Launch { route: text(route), executable: text(executable), shape: last_text(shape) }
    }

    /// All that a service may have sent to a peer, from the least on.
    pub(super) fn all_egress(peer: &str) -> std::ops::RangeInclusive<Self> {
        let egress = |megabytes| Self::Egress { peer: text(peer), megabytes };
        egress(0)..=egress(u32::MAX)
    }

    /// Bytes that it says were sent at most.
    pub(super) fn bytes(&self) -> u64 {
        match self {
            Self::Egress { megabytes, .. } => u64::from(*megabytes) * MEGABYTE,
            _ => 0,
        }
    }

    /// How many kinds there are.
    pub(super) const KINDS: usize = 5;

    /// Which kind it is.
    pub(super) fn kind(&self) -> usize {
        match self {
            Self::Endpoint { .. } => 0,
            Self::Edge { .. } => 1,
            Self::Egress { .. } => 2,
            Self::Relay { .. } => 3,
            Self::Launch { .. } => 4,
        }
    }

    pub(super) fn footprint(&self) -> usize {
        let texts = match self {
            Self::Endpoint { route } => route.len(),
            Self::Edge { peer } | Self::Egress { peer, .. } => peer.len(),
            Self::Relay { route, peer } => route.len() + peer.len(),
            Self::Launch { route, executable, shape } => route.len() + executable.len() + shape.len(),
        };
        size_of::<Self>() + texts
    }
}

/// What strangers choose must neither grow without end, nor write on a terminal, nor look like two texts.
fn text(text: &str) -> Box<str> {
    match last_text(text) {
        text if text.contains(BAR) => text.replace(BAR, " \u{fffd} ").into(),
        text => text,
    }
}

/// The same of a text with none behind it.
fn last_text(text: &str) -> Box<str> {
    let text = text[..text.floor_char_boundary(MAX_TEXT)].trim();
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return text.into();
    }
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

impl fmt::Display for Habit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Endpoint { route } => write!(f, "endpoint {route}"),
            Self::Edge { peer } => write!(f, "edge {peer}"),
            Self::Egress { peer, megabytes } => write!(f, "egress {peer} {megabytes} MB"),
            Self::Relay { route, peer } => write!(f, "relay {route}{BAR}{peer}"),
            Self::Launch { route, executable, shape } => {
                write!(f, "launch {route}{BAR}{executable}{BAR}{shape}")
            }
        }
    }
}

/// A line that is no habit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoHabit(String);

impl fmt::Display for NoHabit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(line) = self;
        write!(
            f,
            "{line:?} is no habit: expected `endpoint ROUTE`, `edge PEER`, `egress PEER N MB`, `relay ROUTE | PEER` \
             or `launch ROUTE | EXECUTABLE | SHAPE`"
        )
    }
}

impl std::error::Error for NoHabit {}

impl FromStr for Habit {
    type Err = NoHabit;

    fn from_str(line: &str) -> Result<Self, NoHabit> {
        let habit = || {
            let (kind, rest) = line.split_once(' ')?;
            // A route may be none, and the last text is all that is left.
            let rest = if rest.starts_with(&BAR[1..]) { &line[kind.len()..] } else { rest };
            let mut texts = rest.splitn(if kind == "launch" { 3 } else { usize::MAX }, BAR);
            let mut next = || texts.next();
            let habit = match kind {
                "endpoint" => Self::endpoint(next()?),
                "edge" => Self::edge(next()?),
                "egress" => {
                    let (peer, megabytes) = next()?.strip_suffix(" MB")?.rsplit_once(' ')?;
                    Self::egress(peer, u64::from(megabytes.parse::<u32>().ok()?) * MEGABYTE)?
                }
                "relay" => Self::relay(next()?, next()?),
                // Earlier versions wrote another character there.
                "launch" => Self::launch(next()?, next()?, &next()?.replace(" \u{fffd} ", BAR)),
                _ => return None,
            };
            next().is_none().then_some(habit)
        };
        habit().ok_or_else(|| NoHabit(line.chars().take(MAX_TEXT).collect()))
    }
}

impl From<Habit> for String {
    fn from(habit: Habit) -> Self {
        habit.to_string()
    }
}

impl TryFrom<String> for Habit {
    type Error = NoHabit;

    fn try_from(line: String) -> Result<Self, NoHabit> {
        line.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_habit_is_read_as_it_is_written() {
        let strange = "a | b\n\x1b[31m";
        let habits = [
            Habit::endpoint("GET /users/{n}"),
            Habit::edge("[::1]:5432"),
            Habit::egress("unix:/run/a b", 50_000_000).expect("enough"),
            Habit::relay("GET /ws", "10.0.0.9:22"),
            Habit::launch("", "/bin/sh", "sh -c 'convert {} | tee {}'"),
            Habit::launch(strange, strange, strange),
            Habit::relay("", ""),
            Habit::endpoint(&"é".repeat(4 * MAX_TEXT)),
        ];
        for habit in habits {
            let line = habit.to_string();
            assert!(!line.contains(|c: char| c.is_control()), "{line:?}");
            assert_eq!(line.parse(), Ok(habit), "{line:?}");
        }
    }

    #[test]
    fn a_launch_is_read_as_one_writes_it() {
        let habit = Habit::launch("", "/bin/sh", "sh -c 'ls {} | wc -l'");
        for line in
            ["launch | /bin/sh | sh -c 'ls {} | wc -l'", "launch  | /bin/sh | sh -c 'ls {} \u{fffd} wc -l'"]
        {
            assert_eq!(line.parse(), Ok(habit.clone()), "{line}");
        }
        assert_eq!(habit.to_string(), "launch  | /bin/sh | sh -c 'ls {} | wc -l'");
    }

    #[test]
    fn what_is_no_habit_is_refused() {
        let lines = ["", "endpoint", "launch a | b", "egress x 5", "egress x -1 MB", "edgy a"];
        for line in lines {
            assert_eq!(line.parse::<Habit>(), Err(NoHabit(line.into())));
        }
    }

    #[test]
    fn what_is_sent_is_known_by_its_power_of_two() {
        assert_eq!(Habit::egress("p", 999_999), None);
        assert_eq!(Habit::egress("p", 1_000_000).map(|habit| habit.bytes()), Some(1_000_000));
        assert_eq!(Habit::egress("p", 50_000_000).map(|habit| habit.bytes()), Some(64_000_000));
        assert!(Habit::egress("p", u64::MAX).is_some());
    }
}
