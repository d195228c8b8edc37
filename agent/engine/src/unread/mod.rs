//! Requests that cannot be read: what they come in is known, not what they say.
//!
//! Where a protocol carries requests and hides them, or is not read yet, the connection speaks for them. Bytes that
//! were read of a connection that was accepted, and have not been answered by any, are a request without a text: a
//! *turn*. It is open from the read on, until the last byte that is written before the next read; as nobody says
//! which byte that is, until nothing was written for a while.
//!
//! ```text
//!            request            written                 request
//!  ► Idle ───────────► Open ─────────────► Answered ─────────────► the next one is Open
//!      ▲                 │ closed             │ quiet, closed
//!      └─────────────────┴────────────────────┘
//! ```
//!
//! Only what carries requests of the web by its first bytes counts: see [`Carrier`]. Of anything else that is read of
//! an accepted connection (a database's protocol, SSH, a queue's) nobody could tell an order from a heartbeat, and who
//! speaks it launches programs as a trade: sessions, workers, hooks.

mod carrier;
mod records;
mod turns;

pub use carrier::{Carrier, Recognised};
pub use turns::Turns;

/// What is known of a request that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unread {
    /// What it comes in.
    pub carrier: Carrier,
    /// Whether several may be open at once on its connection, so that this may be any of them.
    pub multiplexed: bool,
    /// Whether anything was launched for it, so that its span is told.
    pub wanted: bool,
}
