//! Which buffer the system call that is running was given.
//!
//! Only x86-64 so far: numbers and registers are the architecture's.

use crate::{
    kernel::{Address, read_user},
    maps::{SENDMMSG, SendMmsg},
};
use aya_ebpf::{
    bindings::pt_regs,
    helpers::bpf_get_current_pid_tgid,
    helpers::generated::{bpf_get_current_task_btf, bpf_task_pt_regs},
};

/// What a system call gave the kernel to read from or write to.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Buffers {
    /// How many; 0 when none can be found.
    pub count: u64,
    /// Address of the only buffer, or of an array of `struct iovec`.
    address: u64,
    /// Length of the only buffer, [`VECTOR`] for an array.
    len: u64,
}

/// No buffer is that long (`MAX_RW_COUNT`).
const VECTOR: u64 = u64::MAX;
/// [`current`] when no system call is running.
const NONE: u16 = u16::MAX;

const READ: u64 = 0;
const WRITE: u64 = 1;
const READV: u64 = 19;
const WRITEV: u64 = 20;
const SENDTO: u64 = 44;
const RECVFROM: u64 = 45;
const SENDMSG: u64 = 46;
const RECVMSG: u64 = 47;
const SENDMMSG_NR: u64 = 307;
const FUTEX: u64 = 202;
/// The part of a futex operation that is no flag: one of 16 commands.
const FUTEX_CMD: u64 = 0xf;
/// As bits: `FUTEX_WAKE`, `_REQUEUE`, `_CMP_REQUEUE`, `_WAKE_OP`, `_UNLOCK_PI`, `_WAKE_BITSET`.
const FUTEX_WAKES: u64 = 1 << 1 | 1 << 3 | 1 << 4 | 1 << 5 | 1 << 7 | 1 << 10;
const PREADV2: u64 = 327;
const PWRITEV2: u64 = 328;

/// `regs->cs` of 64-bit user code (`__USER_CS`).
const USER_CS: u64 = 0x33;
/// What the entry code puts into `regs->ax` until the system call has returned.
const ENOSYS: i64 = -38;

/// `struct msghdr` as far as its vector.
#[repr(C)]
#[derive(Clone, Copy)]
struct MsgHdr {
    name: u64,
    name_len: u64,
    iov: u64,
    iov_len: u64,
}
/// Size of a `struct mmsghdr`.
const MMSGHDR: u64 = 64;

/// The address that the running thread gave to the `futex` call by which it wakes others; nothing when it is in
/// none. An interrupt may wake somebody meanwhile, which is then taken for its doing; in one that waits it is not.
#[inline(always)]
pub fn futex() -> Option<u64> {
    // SAFETY: see `current`.
    let (ax, cs, number, first, second) = unsafe {
        let regs = bpf_task_pt_regs(bpf_get_current_task_btf()) as *const pt_regs;
        ((*regs).rax as i64, (*regs).cs, (*regs).orig_rax, (*regs).rdi, (*regs).rsi)
    };
    let wakes = FUTEX_WAKES & 1 << (second & FUTEX_CMD) != 0;
    (ax == ENOSYS && cs == USER_CS && number == FUTEX && wakes).then_some(first)
}

/// The number of the system call that the running thread is in, [`NONE`] for none, and its buffers.
///
/// Work that io_uring does on the way out of a call, or in a thread of its own, is in none: then the
/// registers still hold an older call's arguments, which is told by `ax` being overwritten.
#[inline(always)]
pub fn current(tid: u32, sk: Address, buffers: &mut Buffers) -> u16 {
    // SAFETY: helpers that return the running task and its registers; the verifier knows both types
    // and that these loads stay inside.
    let (ax, cs, number, second, third) = unsafe {
        let regs = bpf_task_pt_regs(bpf_get_current_task_btf()) as *const pt_regs;
        ((*regs).rax as i64, (*regs).cs, (*regs).orig_rax, (*regs).rsi, (*regs).rdx)
    };
    *buffers = Buffers { count: 0, address: second, len: VECTOR };
    if ax != ENOSYS || cs != USER_CS || number > 0xfff {
        return NONE;
    }
    match number {
        READ | WRITE | SENDTO | RECVFROM => {
            buffers.count = 1;
            buffers.len = third;
        }
        READV | WRITEV | PREADV2 | PWRITEV2 => buffers.count = third,
        SENDMSG | RECVMSG => message(second, buffers),
        SENDMMSG_NR => message(second + MMSGHDR * next_message(tid, sk, second), buffers),
        _ => {}
    }
    number as u16
}

/// The buffers of a `struct msghdr`.
#[inline(always)]
fn message(address: u64, buffers: &mut Buffers) {
    if let Some(hdr) = read_user::<MsgHdr>(address) {
        buffers.address = hdr.iov;
        buffers.count = hdr.iov_len;
    }
}

/// Address and length of buffer `i`; nothing when that cannot be read.
///
/// # Safety
/// `buffers` must be valid.
#[inline(always)]
pub unsafe fn buffer(buffers: *const Buffers, i: u64) -> Option<[u64; 2]> {
    // SAFETY: the caller's promise. Volatile, as for all that the copying loop reads.
    let (address, len) = unsafe {
        (
            core::ptr::read_volatile(&raw const (*buffers).address),
            core::ptr::read_volatile(&raw const (*buffers).len),
        )
    };
    if len == VECTOR { read_user(address + 16 * i) } else { Some([address, len]) }
}

/// The index of the message that a `sendmmsg` of this thread is at, and counts it.
///
/// The hook fires once for each message and is not told which. The call ends before its last message
/// only after a failure or a short send, which [`finished`] or [`abandoned`] is told.
#[inline(always)]
fn next_message(tid: u32, sk: Address, vector: u64) -> u64 {
    // SAFETY: only this thread uses its entry.
    let index = match unsafe { SENDMMSG.get(tid) } {
        Some(state) if state.sk == sk.0 && state.vector == vector => state.next,
        _ => 0,
    };
    let _ = SENDMMSG.insert(tid, SendMmsg { sk: sk.0, vector, next: index + 1 }, 0);
    index
}

/// A send failed in a way that is not reported: if it was a message of a `sendmmsg`, that ends there.
#[inline(always)]
pub fn abandoned() {
    // SAFETY: as in `current`.
    let number = unsafe { (*(bpf_task_pt_regs(bpf_get_current_task_btf()) as *const pt_regs)).orig_rax };
    if number == SENDMMSG_NR {
        let _ = SENDMMSG.remove(bpf_get_current_pid_tgid() as u32);
    }
}

/// Ends the count of a `sendmmsg` when this message was its last: `whole` says that all of it went out.
#[inline(always)]
pub fn finished(tid: u32, number: u16, whole: bool) {
    if u64::from(number) != SENDMMSG_NR {
        return;
    }
    // SAFETY: as in `current`.
    let count = unsafe { (*(bpf_task_pt_regs(bpf_get_current_task_btf()) as *const pt_regs)).rdx };
    // SAFETY: only this thread uses its entry.
    let done = match unsafe { SENDMMSG.get(tid) } {
        Some(state) => state.next >= count,
        None => false,
    };
    if done || !whole {
        let _ = SENDMMSG.remove(tid);
    }
}
