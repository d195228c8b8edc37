//! The kernel programs of tracer: raw tracepoints that report facts about sockets, connections and
//! processes. They know no protocol. Entry points only dispatch; what they do is in the modules.
#![no_std]
#![no_main]

mod connection;
mod handover;
mod kernel;
mod maps;
mod process;
mod socket;
mod syscall;

use aya_ebpf::{macros::raw_tracepoint, programs::RawTracePointContext};
use tracer_common::direction;

#[raw_tracepoint(tracepoint = "sock_send_length")]
fn sock_send_length(ctx: RawTracePointContext) -> i32 {
    socket::moved(ctx.arg(0), ctx.arg(1), ctx.arg(2), direction::SEND);
    0
}

#[raw_tracepoint(tracepoint = "sock_recv_length")]
fn sock_recv_length(ctx: RawTracePointContext) -> i32 {
    socket::moved(ctx.arg(0), ctx.arg(1), ctx.arg(2), direction::RECEIVE);
    0
}

#[raw_tracepoint(tracepoint = "inet_sock_set_state")]
fn inet_sock_set_state(ctx: RawTracePointContext) -> i32 {
    connection::state_changed(ctx.arg(0), ctx.arg(1), ctx.arg(2));
    0
}

#[raw_tracepoint(tracepoint = "sched_process_fork")]
fn sched_process_fork(ctx: RawTracePointContext) -> i32 {
    process::forked(ctx.arg(1));
    0
}

#[raw_tracepoint(tracepoint = "sched_process_exec")]
fn sched_process_exec(ctx: RawTracePointContext) -> i32 {
    process::executed(ctx.arg(0), ctx.arg(1), ctx.arg(2));
    0
}

#[raw_tracepoint(tracepoint = "sched_process_exit")]
fn sched_process_exit(ctx: RawTracePointContext) -> i32 {
    process::exited(ctx.arg(0));
    0
}

#[raw_tracepoint(tracepoint = "sched_waking")]
fn sched_waking(ctx: RawTracePointContext) -> i32 {
    handover::waking(ctx.arg(0));
    0
}

#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

// bpf_get_current_task_btf and others are for GPL-compatible programs only.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
