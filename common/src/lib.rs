//! Wire records: what the kernel programs write into the ring buffer and the agent reads.
//!
//! Layouts are fixed: `repr(C)`, little-endian hosts, padding spelt out, sizes asserted. A record is a
//! fixed part, which begins with a [`Header`], and for some kinds a tail of bytes. [`Header::len`] is
//! the length of both. Any change of a layout or of a field's meaning raises [`WIRE_VERSION`]:
//! recordings keep records as they are and say which version wrote them.
#![no_std]

mod layout;
mod process;
mod socket;

pub use layout::*;
pub use process::*;
pub use socket::*;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Version of all layouts in this crate; written into every recording.
pub const WIRE_VERSION: u16 = 3;

/// The kinds of record, as they stand in [`Header::kind`].
pub mod kind {
    /// [`Data`](super::Data): bytes moved over a socket.
    pub const DATA: u16 = 1;
    /// [`TcpState`](super::TcpState): a TCP socket changed its state.
    pub const TCP_STATE: u16 = 2;
    /// [`UnixSeen`](super::UnixSeen): a unix stream socket moved its first bytes.
    pub const UNIX_SEEN: u16 = 3;
    /// [`Fork`](super::Fork): a process was forked, or a thread began.
    pub const FORK: u16 = 4;
    /// [`Exec`](super::Exec): a process changed its image.
    pub const EXEC: u16 = 5;
    /// [`Exit`](super::Exit): a thread ended, maybe its process with it.
    pub const EXIT: u16 = 6;
    /// [`Wake`](super::Wake): a thread woke another one of its process.
    pub const WAKE: u16 = 7;
}

/// The start of every record.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Header {
    /// One of [`kind`].
    pub kind: u16,
    /// [`WIRE_VERSION`] of the writer.
    pub version: u16,
    /// Length of the whole record in bytes, this header and the tail included.
    pub len: u32,
    /// When the hook fired: nanoseconds since boot, suspend included (`bpf_ktime_get_boot_ns`). For
    /// socket data that is when the operation ended.
    pub time_ns: u64,
    /// Process (thread group) that was running, in the initial pid namespace; 0 when none was.
    pub pid: u32,
    /// Thread that was running, in the initial pid namespace.
    pub tid: u32,
}
const _: () = assert!(size_of::<Header>() == 24);

/// Causes for which the kernel side has no record to show, indexes into its counters.
pub mod lost {
    // Each but the last counts the times, too, that the kernel left a program out because the same
    // program was running already on that CPU (an interrupt in the middle of it).
    /// The ring buffer had no room for a socket's data.
    pub const DATA: u32 = 0;
    /// The ring buffer had no room for a connection's change of state.
    pub const CONNECTION: u32 = 1;
    /// The ring buffer had no room for a fork, exec or exit.
    pub const PROCESS: u32 = 2;
    /// The ring buffer had no room for a thread that woke another one.
    pub const WAKE: u32 = 3;
    /// A kernel field could not be read, so the record was not written.
    pub const UNREADABLE: u32 = 4;
    /// Number of causes.
    pub const CAUSES: u32 = 5;
    /// Names for people, in the order of the indexes.
    pub const NAMES: [&str; CAUSES as usize] = ["data", "connection", "process", "wake", "unreadable"];
}
