//! The one door to kernel memory: each read is a helper call that fails, and does not fault, on a bad
//! address.

use crate::{layout, maps::settings};
use aya_ebpf::helpers::{
    bpf_get_current_pid_tgid, bpf_probe_read_kernel,
    generated::{bpf_ktime_get_boot_ns, bpf_probe_read_kernel as raw_read_kernel, bpf_probe_read_user},
};
use tracer_common::{AF_INET, AF_INET6, AF_UNIX, Header, Sock, WIRE_VERSION};

/// An address in kernel memory.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Address(pub u64);

impl Address {
    /// The value at `offset`, or nothing where the address cannot be read.
    #[inline(always)]
    pub fn read<T>(self, offset: usize) -> Option<T> {
        // SAFETY: the helper takes any address and fails on one that is not readable; every T read
        // here is plain data of integers.
        unsafe { bpf_probe_read_kernel((self.0 + offset as u64) as *const T).ok() }
    }

    /// The pointer at `offset`; a null pointer is nothing.
    #[inline(always)]
    pub fn follow(self, offset: usize) -> Option<Self> {
        match self.read::<u64>(offset) {
            Some(address) if address != 0 => Some(Self(address)),
            _ => None,
        }
    }

    /// Copies `len` bytes to `to`; false where they cannot be read.
    ///
    /// # Safety
    /// `to` must be valid for writes of `len` bytes.
    #[inline(always)]
    pub unsafe fn copy(self, to: *mut u8, len: u32) -> bool {
        // SAFETY: the caller's promise; the source may be any address.
        unsafe { raw_read_kernel(to.cast(), len, self.0 as *const _) == 0 }
    }
}

/// Copies `len` bytes of the running process's memory to `to`; false where a page is not resident.
///
/// # Safety
/// `to` must be valid for writes of `len` bytes.
#[inline(always)]
pub unsafe fn copy_from_user(to: *mut u8, len: u32, from: u64) -> bool {
    // SAFETY: the caller's promise; the source may be any address.
    unsafe { bpf_probe_read_user(to.cast(), len, from as *const _) == 0 }
}

/// The value at a user address.
#[inline(always)]
pub fn read_user<T>(from: u64) -> Option<T> {
    // SAFETY: the helper takes any address and fails on one that is not readable or not resident.
    unsafe { aya_ebpf::helpers::bpf_probe_read_user(from as *const T).ok() }
}

/// The start of a record of the running thread.
#[inline(always)]
pub fn header(kind: u16, len: usize) -> Header {
    let ids = bpf_get_current_pid_tgid();
    Header {
        kind,
        version: WIRE_VERSION,
        len: len as u32,
        time_ns: now(),
        pid: (ids >> 32) as u32,
        tid: ids as u32,
    }
}

/// Nanoseconds since boot, suspend included.
#[inline(always)]
pub fn now() -> u64 {
    // SAFETY: a helper without arguments.
    unsafe { bpf_ktime_get_boot_ns() }
}

/// Whether the agent itself is running.
#[inline(always)]
pub fn is_agent() -> bool {
    (bpf_get_current_pid_tgid() >> 32) as u32 == settings().own_pid
}

/// `struct sock_common` as far as `skc_state`. The agent checks these places in BTF before it loads
/// the programs.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct SockHead {
    daddr: [u8; 4],
    rcv_saddr: [u8; 4],
    hash: u32,
    dport: u16,
    num: u16,
    pub family: u16,
    pub state: u8,
    flags: u8,
}

impl SockHead {
    /// Local port, host order.
    #[inline(always)]
    pub fn local_port(&self) -> u16 {
        self.num
    }
}

const IPPROTO_TCP: u16 = 6;
const SOCK_STREAM: u16 = 1;

/// The head of a TCP or unix stream socket; nothing for any other.
#[inline(always)]
pub fn stream_socket(sk: Address) -> Option<SockHead> {
    let head: SockHead = sk.read(0)?;
    let wanted = match head.family {
        AF_INET | AF_INET6 => sk.read::<u16>(layout!(sock_protocol))? == IPPROTO_TCP,
        AF_UNIX => sk.read::<u16>(layout!(sock_type))? == SOCK_STREAM,
        _ => false,
    };
    wanted.then_some(head)
}

/// A [`Sock::id`]: hides the address, keeps the identity.
#[inline(always)]
pub fn sock_id(sk: Address) -> u64 {
    sk.0 ^ settings().id_mask
}

/// Who the socket is and what it is connected to, into `sock`; nothing when it cannot be read.
#[inline(always)]
pub fn describe(sk: Address, head: &SockHead, sock: &mut Sock) -> Option<()> {
    sock.id = sock_id(sk);
    sock.peer = 0;
    sock.netns = sk.follow(layout!(sock_net))?.read(layout!(net_inum))?;
    sock.family = head.family;
    sock.pad = 0;
    (sock.sent_from, sock.received_from) = (0, 0);
    sock.pad2 = 0;
    sock.inode = inode(sk)?;
    if head.family == AF_UNIX {
        if let Some(peer) = sk.follow(layout!(unix_peer)) {
            sock.peer = sock_id(peer);
        }
        (sock.local_port, sock.remote_port) = (0, 0);
        (sock.local, sock.remote) = ([0; 16], [0; 16]);
        return Some(());
    }
    sock.local_port = head.num;
    sock.remote_port = u16::from_be(head.dport);
    if head.family == AF_INET {
        (sock.local, sock.remote) = (mapped(head.rcv_saddr), mapped(head.daddr));
    } else {
        sock.local = sk.read(layout!(sock_v6_rcv_saddr))?;
        sock.remote = sk.read(layout!(sock_v6_daddr))?;
    }
    Some(())
}

/// Where the counting of a TCP stream's bytes began: the number behind the last one counted, less the count;
/// 0 when that cannot be said.
///
/// Both counters move with every segment and stay together, over retransmissions and the FIN too
/// (`tcp_snd_una_update`, `tcp_rcv_nxt_update`). A segment may come on another CPU between the two readings:
/// what is read twice alike is true.
#[inline(always)]
pub fn counted_from(sk: Address, next: usize, count: usize) -> u32 {
    let mut before = 0;
    for _ in 0..4 {
        let (Some(next), Some(count)) = (sk.read::<u32>(next), sk.read::<u64>(count)) else { return 0 };
        let from = next.wrapping_sub(count as u32);
        if from == before {
            return from;
        }
        before = from;
    }
    0
}

/// Inode of the socket's file: 0 when no process holds it (not accepted yet, or closed).
#[inline(always)]
pub fn inode(sk: Address) -> Option<u64> {
    match sk.follow(layout!(sock_socket)) {
        Some(socket) => socket.read(layout!(socket_ino)),
        None => Some(0),
    }
}

/// An IPv4 address as IPv6 writes it (RFC 4291, 2.5.5.2).
#[inline(always)]
fn mapped(v4: [u8; 4]) -> [u8; 16] {
    let [a, b, c, d] = v4;
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d]
}
