//! Threads that hand work to each other.

use crate::{
    kernel::{Address, header},
    layout,
    maps::{WATCHED, deliver},
    syscall,
};
use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use tracer_common::{Wake, kind, lost};

/// `sched_waking`, in the context of whoever wakes `task`: of interest when that is a thread of the same
/// process, by a futex. Queues, conditions, semaphores and futures of every runtime end there.
#[inline(always)]
pub fn waking(task: u64) {
    let pid = (bpf_get_current_pid_tgid() >> 32) as u32;
    // SAFETY: the value is not used.
    if unsafe { WATCHED.get(pid) }.is_none() {
        return;
    }
    let task = Address(task);
    if task.read::<u32>(layout!(task_tgid)) != Some(pid) {
        return;
    }
    let (Some(futex), Some(woken_tid)) = (syscall::futex(), task.read::<u32>(layout!(task_pid))) else {
        return;
    };
    let record = Wake { header: header(kind::WAKE, size_of::<Wake>()), futex, woken_tid, pad: 0 };
    // SAFETY: a value on the stack, and its own size.
    unsafe { deliver((&raw const record).cast(), size_of::<Wake>(), lost::WAKE) };
}
