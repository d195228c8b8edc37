//! Every map and global of the programs, and the one way out for a record.

use aya_ebpf::{
    bindings::{BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP},
    helpers::generated::bpf_ringbuf_output,
    macros::map,
    maps::{Array, HashMap, LruHashMap, PerCpuArray, RingBuf},
};
use core::ptr::addr_of;
use tracer_common::{KernelLayout, Settings, Sock, lost};

/// Set by the agent before loading; read only through [`layout`] and [`settings`].
#[unsafe(no_mangle)]
pub static LAYOUT: KernelLayout = KernelLayout::ZERO;
#[unsafe(no_mangle)]
static SETTINGS: Settings = Settings { id_mask: 0, own_pid: 0, snap: 0, wake_at: 0, pad: 0 };

/// Where every record goes, of all CPUs in one order. The agent sets its size.
#[map]
static RECORDS: RingBuf = RingBuf::with_byte_size(8 << 20, 0);

/// Records that could not be delivered, by [`lost`] cause.
#[map]
static LOST: PerCpuArray<u64> = PerCpuArray::with_max_entries(lost::CAUSES, 0);

/// What stays true of a stream socket while it lives, by its address: read from the kernel once, not at
/// every operation. An entry of a TCP socket ends with the socket (`inet_sock_set_state`, while that is
/// attached), one of a unix socket is checked against the inode. Past the bound, twice the connections of a busy node, the least
/// used one is read anew.
#[map]
pub static SOCKETS: LruHashMap<u64, Known> = LruHashMap::with_max_entries(32768, 0);

/// Sockets whose bytes nobody wants: [`Sock::id`] to inode, with [`MUTED_BUT_TURNS`](tracer_common::MUTED_BUT_TURNS)
/// where its turns are wanted, written by the agent. Past the bound the
/// least used one is reported again, and muted again.
#[map]
pub static MUTED: LruHashMap<u64, u64> = LruHashMap::with_max_entries(16384, 0);

/// Processes whose threads' wake-ups are reported, written by the agent. Past the bound the least used one
/// is reported no more.
#[map]
pub static WATCHED: LruHashMap<u32, u8> = LruHashMap::with_max_entries(1024, 0);

/// 1 once the programs see the birth and the end of every TCP socket, so that what [`SOCKETS`] says of one
/// may be believed. Set by the agent.
#[map]
pub static ENDS_SEEN: Array<u32> = Array::with_max_entries(1, 0);

/// The agent's own TCP sockets, by address: a few connections to a receiver.
#[map]
pub static OWN_SOCKETS: LruHashMap<u64, u8> = LruHashMap::with_max_entries(256, 0);

/// The same connections as the other end knows them: the sequence number of the first byte that the agent
/// sends, to its port. Tracing a receiver's side of our own export would export what that gives, without
/// end.
#[map]
pub static OWN_STREAMS: LruHashMap<u32, u16> = LruHashMap::with_max_entries(256, 0);

/// Which message of a `sendmmsg` a thread has reached. An entry lives during one call.
#[map]
pub static SENDMMSG: HashMap<u32, SendMmsg> = HashMap::with_max_entries(1024, 0);

/// See [`SOCKETS`].
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Known {
    pub sock: Sock,
    /// Bytes sent since it was first seen; unix sockets only.
    pub sent: u64,
    /// Bytes received since it was first seen; unix sockets only.
    pub received: u64,
    /// TCP sequence number behind what was received last.
    pub receive_next: u32,
    /// Operations so far, wrapping.
    pub operations: u32,
    /// Which of its operations are told.
    pub told: Told,
    /// The direction of the last operation, while turns are told.
    pub direction: u8,
    /// Operations that were told since it turned to that.
    pub in_turn: u16,
    /// Bytes sent since it is muted and it was last told, at most what is told.
    pub untold: u32,
    /// When an operation was told last, while turns are told: nanoseconds since boot.
    pub told_at: u64,
}

/// Which operations of a socket are told.
#[repr(u8)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// All.
    All,
    /// Its turns.
    Turns,
    /// Hardly any: nobody wants its bytes.
    Few,
}

/// See [`SENDMMSG`].
#[repr(C)]
#[derive(Clone, Copy)]
pub struct SendMmsg {
    pub sk: u64,
    pub vector: u64,
    pub next: u64,
}

/// The offset of a kernel field.
#[macro_export]
macro_rules! layout {
    ($field:ident) => {
        $crate::maps::constant(&$crate::maps::LAYOUT.$field) as usize
    };
}

/// Reads a global that the agent sets between compilation and loading.
#[inline(always)]
pub fn constant<T: Copy>(global: &'static T) -> T {
    // SAFETY: a reference to an initialised static that nobody writes after loading.
    unsafe { core::ptr::read_volatile(global) }
}

/// What the agent decided for this run.
#[inline(always)]
pub fn settings() -> Settings {
    constant(&SETTINGS)
}

/// Hands `len` bytes at `record` to the agent, or counts them as lost for `cause`.
///
/// No wake-up as a rule: the agent looks at the ring every few milliseconds, which costs the traced
/// application nothing. Only a burst that fills a good part of the ring wakes it.
///
/// # Safety
/// `record` must point to `len` readable bytes of a map value or of the stack.
#[inline(always)]
pub unsafe fn deliver(record: *const u8, len: usize, cause: u32) {
    let wake = RECORDS.query(BPF_RB_AVAIL_DATA.into()) > u64::from(settings().wake_at);
    let flags = if wake { BPF_RB_FORCE_WAKEUP } else { BPF_RB_NO_WAKEUP };
    // SAFETY: the caller's promise; the ring is a map of that type.
    let failed = unsafe {
        bpf_ringbuf_output(addr_of!(RECORDS) as *mut _, record as *mut _, len as u64, flags.into())
    };
    if failed != 0 {
        count_lost(cause);
    }
}

/// Counts a record that could not be delivered.
#[inline(always)]
pub fn count_lost(cause: u32) {
    if let Some(n) = LOST.get_ptr_mut(cause) {
        // SAFETY: a per-CPU map value; programs on one CPU do not interrupt each other between the
        // load and the store other than by an interrupt, which may lose one count.
        unsafe { *n += 1 };
    }
}
