//! Bytes that moved over a stream socket.

use crate::{
    kernel::{self, Address, SockHead, copy_from_user, header},
    layout,
    maps::{ENDS_SEEN, Known, MUTED, OWN_STREAMS, SOCKETS, Told, count_lost, deliver, settings},
    syscall::{self, Buffers},
};
use aya_ebpf::{macros::map, maps::PerCpuArray};
use tracer_common::{
    AF_UNIX, Data, MAX_SNAP, MUTED_BUT_TURNS, Sock, UNIX_PATH, UnixSeen, data_flag, direction, kind, lost,
    tcp_state,
};

/// Buffers of one operation that are followed.
const MAX_BUFFERS: usize = 32;

/// A record in the making.
#[repr(C)]
struct Scratch {
    data: Data,
    tail: [u8; MAX_SNAP],
    /// Room for one more copy of the longest length behind the tail, since the verifier bounds the
    /// place and the length of a copy each by itself, not their sum.
    slack: [u8; MAX_SNAP],
}
// `PCPU_MIN_UNIT_SIZE`: no value of a per-CPU map is larger.
const _: () = assert!(size_of::<Scratch>() <= 32 << 10);

/// How far the copy of an operation's bytes has come. It lies in a map and is read and written there
/// at every step: what the verifier does not follow, it need not tell apart, and the loop stays cheap
/// to verify.
#[repr(C)]
struct Progress {
    /// What the call gave.
    buffers: Buffers,
    /// Bytes wanted, at most [`MAX_SNAP`].
    want: u32,
    /// Bytes copied.
    copied: u32,
    /// Bytes that the buffers looked at so far held.
    given: u64,
    /// Bits of [`data_flag`].
    problem: u32,
}

#[map]
static SCRATCH: PerCpuArray<Scratch> = PerCpuArray::with_max_entries(1, 0);
#[map]
static PROGRESS: PerCpuArray<Progress> = PerCpuArray::with_max_entries(1, 0);
#[map]
static UNIX_SCRATCH: PerCpuArray<UnixSeen> = PerCpuArray::with_max_entries(1, 0);

const MSG_OOB: i32 = 1;
const MSG_PEEK: i32 = 2;
const MSG_TRUNC: i32 = 0x20;
const MSG_ERRQUEUE: i32 = 0x2000;
const EAGAIN: i32 = -11;
const EINTR: i32 = -4;
/// `-ERESTARTSYS` to `-ERESTARTNOHAND`: the call is interrupted and will be made again.
const ERESTARTNOHAND: i32 = -514;
const ERESTARTSYS: i32 = -512;

/// A socket's mute is looked up at every so many of its operations: what was asked for takes a moment,
/// and the others cost nothing.
const MUTE_CHECK: u32 = 8;

/// Bytes that are sent on a muted socket between two records of it.
const TOLD_EVERY: u32 = 1 << 20;
/// Where turns are told: operations in one direction that are told before it turns,
const TURN_OPERATIONS: u16 = 8;
/// after them one in so many nanoseconds,
const TURN_EVERY_NS: u64 = 500_000_000;
/// and bytes that are copied of each: the head of a record or frame, whatever carries it.
const TURN_SNAP: u32 = 16;
/// In place of a number of such bytes, where not even that is told.
const NEVER_TOLD: u32 = u32::MAX;

/// `sock_send_length` and `sock_recv_length`: an operation on `sk` ended with `ret`.
#[inline(always)]
pub fn moved(sk: u64, ret: i32, flags: i32, direction: u8) {
    if !worth_reporting(ret, flags, direction) {
        if direction == direction::SEND {
            syscall::abandoned();
        }
        return;
    }
    if kernel::is_agent() {
        return;
    }
    let sk = Address(sk);
    let Some(known) = known(sk) else { return };
    // SAFETY: a map value of whole words. Two threads that use one socket at the same moment may miscount
    // what a unix socket moved (the target has no atomic addition that returns), which damages the place
    // of one operation.
    let known = unsafe { &mut *known };
    let told = match told(known) {
        Told::All => true,
        Told::Turns => is_told_in_turn(known, direction),
        Told::Few => is_told_though_muted(known, ret, direction),
    };
    if !told {
        return;
    }
    let (Some(scratch), Some(progress)) = (SCRATCH.get_ptr_mut(0), PROGRESS.get_ptr_mut(0)) else { return };
    // SAFETY: values of per-CPU maps; the tracepoint runs with preemption off and the program does
    // not nest with itself.
    let (data, progress) = unsafe { (&mut (*scratch).data, &mut *progress) };
    data.sock = known.sock;
    match offset(sk, known, ret, direction) {
        Some(offset) => data.offset = offset,
        None => return count_lost(lost::UNREADABLE),
    }
    data.ret = ret;
    data.direction = direction;
    data.pad = 0;
    let snap = match known.told {
        Told::All => settings().snap,
        Told::Turns => TURN_SNAP,
        Told::Few => 0,
    };
    // SAFETY: as above.
    unsafe { report(sk, scratch, progress, flags, snap) };
}

/// What is known of a stream socket; nothing for any other kind.
#[inline(always)]
fn known(sk: Address) -> Option<*mut Known> {
    if let Some(known) = SOCKETS.get_ptr_mut(sk.0) {
        // SAFETY: a map value.
        let sock = unsafe { &(*known).sock };
        // A unix socket ends without a hook, and its address may be another's.
        let believed = sock.family != AF_UNIX && ENDS_SEEN.get(0) == Some(&1);
        if believed || kernel::inode(sk) == Some(sock.inode) {
            return Some(known);
        }
    }
    let head = kernel::stream_socket(sk)?;
    let mut known = Known {
        sock: Sock::default(),
        sent: 0,
        received: 0,
        receive_next: 0,
        operations: 0,
        told: Told::All,
        direction: 0,
        in_turn: 0,
        untold: 0,
        told_at: 0,
    };
    if kernel::describe(sk, &head, &mut known.sock).is_none() {
        count_lost(lost::UNREADABLE);
        return None;
    }
    if head.family == AF_UNIX {
        unix_seen(sk, &known.sock);
    } else {
        let sock = &mut known.sock;
        sock.sent_from = kernel::counted_from(sk, layout!(tcp_snd_una), layout!(tcp_bytes_acked));
        sock.received_from = kernel::counted_from(sk, layout!(tcp_rcv_nxt), layout!(tcp_bytes_received));
        // SAFETY: the value is copied at once.
        let own = unsafe { OWN_STREAMS.get(sock.received_from) }.copied() == Some(known.sock.remote_port);
        if own {
            (known.told, known.untold) = (Told::Few, NEVER_TOLD);
        }
    }
    SOCKETS.insert(sk.0, known, 0).ok()?;
    SOCKETS.get_ptr_mut(sk.0)
}

#[inline(always)]
fn told(known: &mut Known) -> Told {
    known.operations = known.operations.wrapping_add(1);
    if known.told == Told::All && known.operations.is_multiple_of(MUTE_CHECK) {
        // SAFETY: the value is copied at once.
        let muted = unsafe { MUTED.get(known.sock.id) }.copied().unwrap_or(0);
        if muted == known.sock.inode {
            known.told = Told::Few;
        } else if muted == known.sock.inode | MUTED_BUT_TURNS {
            known.told = Told::Turns;
        }
    }
    known.told
}

/// Whether an operation is one of the first of a turn, or the first one for a while.
#[inline(always)]
fn is_told_in_turn(known: &mut Known, direction: u8) -> bool {
    if core::mem::replace(&mut known.direction, direction) != direction {
        known.in_turn = 0;
    }
    let now = kernel::now();
    let told = known.in_turn < TURN_OPERATIONS || now.wrapping_sub(known.told_at) >= TURN_EVERY_NS;
    if told {
        known.in_turn = known.in_turn.saturating_add(1);
        known.told_at = now;
    }
    told
}

/// Whether so much was sent on a muted socket that it is to be told, without its bytes: who sends much out is of
/// interest whatever he says.
#[inline(always)]
fn is_told_though_muted(known: &mut Known, ret: i32, direction: u8) -> bool {
    if direction != direction::SEND || ret <= 0 || known.untold == NEVER_TOLD {
        return false;
    }
    let untold = known.untold + (ret as u32).min(TOLD_EVERY);
    let told = untold >= TOLD_EVERY;
    known.untold = if told { 0 } else { untold };
    told
}

/// Peeks move nothing, and what will be tried again has not happened yet.
#[inline(always)]
fn worth_reporting(ret: i32, flags: i32, direction: u8) -> bool {
    if direction == direction::RECEIVE {
        ret >= 0 && flags & (MSG_PEEK | MSG_ERRQUEUE | MSG_OOB) == 0
    } else {
        ret > 0 || ret < 0 && ret != EAGAIN && ret != EINTR && !(ERESTARTNOHAND..=ERESTARTSYS).contains(&ret)
    }
}

/// The place of the operation's first byte in its stream.
#[inline(always)]
fn offset(sk: Address, known: &mut Known, ret: i32, direction: u8) -> Option<u64> {
    let moved = if ret > 0 { ret as u32 } else { 0 };
    if known.sock.family == AF_UNIX {
        let total = if direction == direction::SEND { &mut known.sent } else { &mut known.received };
        let before = *total;
        *total = before + u64::from(moved);
        return Some(before);
    }
    if direction == direction::SEND {
        return Some(u64::from(sk.read::<u32>(layout!(tcp_write_seq))?.wrapping_sub(moved)));
    }
    let mut end = sk.read::<u32>(layout!(tcp_copied_seq))?;
    // A FIN takes a sequence number, which tcp_recvmsg counts as read when it reaches it. It cannot have
    // when this follows right on what was received before.
    if end.wrapping_sub(moved) != known.receive_next && moved > 0 && is_at_fin(sk, end)? {
        end = end.wrapping_sub(1);
    }
    known.receive_next = end;
    Some(u64::from(end.wrapping_sub(moved)))
}

/// Whether all that the peer sent was read, and its FIN too.
#[inline(always)]
fn is_at_fin(sk: Address, copied: u32) -> Option<bool> {
    let state = sk.read::<SockHead>(0)?.state;
    let open =
        state == tcp_state::ESTABLISHED || state == tcp_state::FIN_WAIT1 || state == tcp_state::FIN_WAIT2;
    Some(!open && copied == sk.read::<u32>(layout!(tcp_rcv_nxt))?)
}

/// Tells the names of a unix socket and its peer.
#[inline(always)]
fn unix_seen(sk: Address, sock: &Sock) {
    let Some(record) = UNIX_SCRATCH.get_ptr_mut(0) else { return };
    // SAFETY: a value of a per-CPU map, see `moved`.
    unsafe {
        (*record).header = header(kind::UNIX_SEEN, size_of::<UnixSeen>());
        (*record).sock = *sock;
        (*record).pad = 0;
        (*record).local_len = unix_name(sk, &mut (*record).local);
        (*record).remote_len = match sk.follow(layout!(unix_peer)) {
            Some(peer) => unix_name(peer, &mut (*record).remote),
            None => 0,
        };
        deliver(record.cast(), size_of::<UnixSeen>(), lost::CONNECTION);
    }
}

/// Copies a unix socket's name; gives its length, 0 when it has none.
#[inline(always)]
fn unix_name(sk: Address, to: &mut [u8; UNIX_PATH]) -> u16 {
    let Some(address) = sk.follow(layout!(unix_addr)) else { return 0 };
    let Some(len) = address.read::<u32>(layout!(unix_address_len)) else { return 0 };
    // len counts the two bytes of sun_family.
    let len = len.saturating_sub(2).min(UNIX_PATH as u32);
    // SAFETY: `to` has room for the longest name, which is what is copied.
    if unsafe {
        Address(address.0 + layout!(unix_address_path) as u64).copy(to.as_mut_ptr(), UNIX_PATH as u32)
    } {
        len as u16
    } else {
        0
    }
}

/// Copies at most `snap` of the bytes into a record that is filled otherwise, and sends it.
///
/// # Safety
/// `scratch` must be valid and used by nobody else.
#[inline(always)]
unsafe fn report(sk: Address, scratch: *mut Scratch, progress: &mut Progress, flags: i32, snap: u32) {
    // SAFETY: the caller's promise.
    let (data, tail) = unsafe { (&mut (*scratch).data, (&raw mut (*scratch).tail).cast::<u8>()) };
    data.header = header(kind::DATA, size_of::<Data>());
    data.syscall = syscall::current(data.header.tid, sk, &mut progress.buffers);
    let discarded = data.direction == direction::RECEIVE && flags & MSG_TRUNC != 0;
    if discarded {
        progress.buffers.count = 0;
    }
    // A failed send moved nothing, but what it tried to say is a fact.
    let moved = if data.ret >= 0 { data.ret as u32 } else { u32::MAX };
    progress.want = moved.min(snap);
    progress.copied = 0;
    progress.given = 0;
    progress.problem =
        if progress.buffers.count == 0 && moved > 0 { u32::from(data_flag::NO_BUFFER) } else { 0 };
    // SAFETY: a valid pointer, and a tail of the size that is asked for.
    unsafe { copy(tail, progress) };
    // SAFETY: a valid reference.
    let (copied, given) = unsafe { (get(&raw const progress.copied), get(&raw const progress.given)) };
    syscall::finished(data.header.tid, data.syscall, data.ret >= 0 && given <= data.ret as u64);
    let captured = copied.min(MAX_SNAP as u32);
    data.captured = captured;
    data.flags = progress.problem as u8;
    let len = size_of::<Data>() + captured as usize;
    data.header.len = len as u32;
    // SAFETY: the caller's promise; len is at most the size of a Scratch.
    unsafe { deliver(scratch.cast(), len, lost::DATA) };
}

/// Copies at most `progress.want` bytes of the call's buffers.
///
/// # Safety
/// `tail` must have room for twice [`MAX_SNAP`].
#[inline(always)]
unsafe fn copy(tail: *mut u8, progress: *mut Progress) {
    for i in 0..MAX_BUFFERS {
        // SAFETY: the caller's promises.
        if !unsafe { copy_one(tail, progress, i) } {
            return;
        }
    }
    // SAFETY: as above.
    unsafe {
        if get(&raw const (*progress).copied) < get(&raw const (*progress).want) {
            put(&raw mut (*progress).problem, u32::from(data_flag::MANY_BUFFERS));
        }
    }
}

/// Copies what is wanted of buffer `i`; false when it was the last.
///
/// # Safety
/// As for [`copy`].
#[inline(always)]
unsafe fn copy_one(tail: *mut u8, progress: *mut Progress, i: usize) -> bool {
    // SAFETY: the caller's promises; place and n are each at most MAX_SNAP.
    unsafe {
        let copied = get(&raw const (*progress).copied);
        let want = get(&raw const (*progress).want);
        if i as u64 >= get(&raw const (*progress).buffers.count) || copied >= want {
            return false;
        }
        let given = syscall::buffer(&raw const (*progress).buffers, i as u64);
        let Some([address, len]) = given else {
            put(&raw mut (*progress).problem, u32::from(data_flag::UNREADABLE));
            return false;
        };
        put(&raw mut (*progress).given, get(&raw const (*progress).given).saturating_add(len));
        let n = len.min(u64::from(want - copied)).min(MAX_SNAP as u64) as u32;
        let place = copied.min(MAX_SNAP as u32);
        if !copy_from_user(tail.add(place as usize), n, address) {
            put(&raw mut (*progress).problem, u32::from(data_flag::UNREADABLE));
            return false;
        }
        put(&raw mut (*progress).copied, place + n);
        true
    }
}

/// Reads memory without the compiler remembering the value.
///
/// # Safety
/// `from` must be valid.
#[inline(always)]
unsafe fn get<T: Copy>(from: *const T) -> T {
    // SAFETY: the caller's promise.
    unsafe { core::ptr::read_volatile(from) }
}

/// Writes memory for [`get`] to read.
///
/// # Safety
/// `to` must be valid.
#[inline(always)]
unsafe fn put<T>(to: *mut T, value: T) {
    // SAFETY: the caller's promise.
    unsafe { core::ptr::write_volatile(to, value) }
}
