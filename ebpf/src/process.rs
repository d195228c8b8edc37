//! The life of processes.

use crate::{
    kernel::{Address, copy_from_user, header, sock_id},
    layout,
    maps::{count_lost, deliver},
};
use aya_ebpf::{
    helpers::{
        bpf_get_current_comm, bpf_get_current_uid_gid,
        generated::{bpf_get_current_cgroup_id, bpf_probe_read_kernel_str, bpf_probe_read_user_str},
    },
    macros::map,
    maps::PerCpuArray,
};
use tracer_common::{Descriptor, Exec, Exit, Fork, MAX_ARGS, MAX_FILENAME, exec_flag, kind, lost};

/// An exec record in the making.
#[repr(C)]
struct Scratch {
    exec: Exec,
    tail: [u8; MAX_FILENAME + MAX_ARGS],
    /// A piece of the environment: not delivered, it holds secrets.
    variable: [u8; PIECE],
}

#[map]
static EXEC_SCRATCH: PerCpuArray<Scratch> = PerCpuArray::with_max_entries(1, 0);

/// Bytes of the environment that are looked at with one read.
const PIECE: usize = 256;
/// Most such reads: variables, where none is longer. In Kubernetes with many services there are some hundred.
const MAX_PIECES: usize = 384;

const S_IFMT: u16 = 0o170_000;
const S_IFSOCK: u16 = 0o140_000;
/// `SB_KERNMOUNT`: a mount that only the kernel made and sees, such as that of memfds.
const SB_KERNMOUNT: u64 = 1 << 22;
/// `SIGNAL_GROUP_EXIT`.
const SIGNAL_GROUP_EXIT: u32 = 4;

/// `sched_process_fork`, in the thread that forked or began another.
#[inline(always)]
pub fn forked(child: u64) {
    let child = Address(child);
    let ids = (child.read::<u32>(layout!(task_tgid)), child.read::<u32>(layout!(task_pid)));
    let (Some(child_pid), Some(child_tid)) = ids else { return count_lost(lost::UNREADABLE) };
    let record = Fork { header: header(kind::FORK, size_of::<Fork>()), child_pid, child_tid };
    // SAFETY: a value on the stack, and its own size.
    unsafe { deliver((&raw const record).cast(), size_of::<Fork>(), lost::PROCESS) };
}

/// `sched_process_exit`, in the thread that ends.
#[inline(always)]
pub fn exited(task: u64) {
    match exit_of(Address(task)) {
        // SAFETY: a value on the stack, and its own size.
        Some(record) => unsafe { deliver((&raw const record).cast(), size_of::<Exit>(), lost::PROCESS) },
        None => count_lost(lost::UNREADABLE),
    }
}

#[inline(always)]
fn exit_of(task: Address) -> Option<Exit> {
    let signal = task.follow(layout!(task_signal))?;
    let ended = signal.read::<u32>(layout!(signal_live))? == 0;
    let group = signal.read::<u32>(layout!(signal_flags))? & SIGNAL_GROUP_EXIT != 0;
    let status = if group {
        signal.read(layout!(signal_group_exit_code))?
    } else {
        task.read(layout!(task_exit_code))?
    };
    Some(Exit { header: header(kind::EXIT, size_of::<Exit>()), status, process_ended: u32::from(ended) })
}

/// `sched_process_exec`, in the process with its new image; `old_pid` is the thread's former id.
#[inline(always)]
pub fn executed(task: u64, old_pid: i32, binprm: u64) {
    let Some(scratch) = EXEC_SCRATCH.get_ptr_mut(0) else { return };
    // SAFETY: a value of a per-CPU map; the tracepoint runs with preemption off and the program
    // does not nest with itself.
    let len = unsafe { fill(scratch, Address(task), old_pid as u32, Address(binprm)) };
    match len {
        // SAFETY: len is at most the size of a Scratch.
        Some(len) => unsafe { deliver(scratch.cast(), len, lost::PROCESS) },
        None => count_lost(lost::UNREADABLE),
    }
}

/// # Safety
/// `scratch` must be valid and used by nobody else.
#[inline(always)]
unsafe fn fill(scratch: *mut Scratch, task: Address, old_tid: u32, binprm: Address) -> Option<usize> {
    // SAFETY: the caller's promise.
    let tail = unsafe { &raw mut (*scratch).tail }.cast::<u8>();
    let filename = binprm.follow(layout!(binprm_filename))?;
    // SAFETY: the tail has room for the longest name.
    let n = unsafe { bpf_probe_read_kernel_str(tail.cast(), MAX_FILENAME as u32, filename.0 as *const _) };
    // The count includes the NUL; a failure is a name of no bytes.
    let filename_len = if n > 0 && n <= MAX_FILENAME as i64 { n as usize - 1 } else { 0 };

    let mm = task.follow(layout!(task_mm))?;
    let start: u64 = mm.read(layout!(mm_arg_start))?;
    let total = mm.read::<u64>(layout!(mm_arg_end))?.saturating_sub(start);
    let args_len = total.min(MAX_ARGS as u64) as u32;
    let place = filename_len.min(MAX_FILENAME);
    // SAFETY: place is at most MAX_FILENAME and args_len at most MAX_ARGS: the tail has room for both.
    let readable = unsafe { copy_from_user(tail.add(place), args_len, start) };
    let args_len = if readable { args_len } else { 0 };

    let image = mm.follow(layout!(mm_exe_file))?.follow(layout!(file_inode))?;
    let mut flags = image_flags(image)?;
    if u64::from(args_len) < total {
        flags |= exec_flag::ARGS_CUT;
    }
    // SAFETY: the caller's promise.
    flags |= environment_flags(mm, unsafe { &mut (*scratch).variable })?;
    let files = task.follow(layout!(task_files))?.follow(layout!(files_fdt))?.follow(layout!(fdtable_fd))?;
    let ids = bpf_get_current_uid_gid();
    let len = size_of::<Exec>() + place + args_len as usize;
    // SAFETY: the caller's promise; the cgroup helper takes no arguments.
    unsafe {
        (*scratch).exec = Exec {
            header: header(kind::EXEC, len),
            cgroup_id: bpf_get_current_cgroup_id(),
            descriptors: [descriptor(files, 0), descriptor(files, 1), descriptor(files, 2)],
            old_tid,
            ppid: task.follow(layout!(task_real_parent))?.read(layout!(task_tgid))?,
            uid: ids as u32,
            gid: (ids >> 32) as u32,
            euid: task.follow(layout!(task_cred))?.read(layout!(cred_euid))?,
            flags,
            filename_len: place as u16,
            args_len: args_len as u16,
            image_written: image.read::<u64>(layout!(inode_mtime))?.try_into().unwrap_or(0),
            comm: bpf_get_current_comm().unwrap_or_default(),
        };
    }
    Some(len)
}

/// Bits of [`exec_flag`] that the image's inode tells.
#[inline(always)]
fn image_flags(inode: Address) -> Option<u32> {
    if inode.read::<u32>(layout!(inode_nlink))? != 0 {
        return Some(0);
    }
    let mount = inode.follow(layout!(inode_sb))?.read::<u64>(layout!(super_block_flags))?;
    Some(exec_flag::UNLINKED | if mount & SB_KERNMOUNT != 0 { exec_flag::MEMFD } else { 0 })
}

/// Bits of [`exec_flag`] that the image's environment tells.
#[inline(always)]
fn environment_flags(mm: Address, piece: &mut [u8; PIECE]) -> Option<u32> {
    let (mut at, end): (u64, u64) = (mm.read(layout!(mm_env_start))?, mm.read(layout!(mm_env_end))?);
    let (mut flags, mut begins) = (0, true);
    for _ in 0..MAX_PIECES {
        if at >= end {
            return Some(flags);
        }
        // SAFETY: the piece has room for its own size; the source may be any address.
        let n = unsafe { bpf_probe_read_user_str(piece.as_mut_ptr().cast(), PIECE as u32, at as *const _) };
        if n <= 0 {
            break;
        }
        if begins {
            flags |= flag_of(piece);
        }
        // The count includes the NUL, also that of a piece that was cut.
        begins = n < PIECE as i64;
        at += n as u64 - u64::from(!begins);
    }
    Some(flags | exec_flag::ENVIRONMENT_CUT)
}

/// What the variable says that begins here.
#[inline(always)]
fn flag_of(variable: &[u8; PIECE]) -> u32 {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, ..] = *variable;
    match [a, b, c, d, e, f, g, h] {
        [b'L', b'D', b'_', b'P', b'R', b'E', b'L', b'O'] if [i, j, k] == *b"AD=" && l != 0 => {
            exec_flag::PRELOAD
        }
        [b'L', b'D', b'_', b'A', b'U', b'D', b'I', b'T'] if i == b'=' && j != 0 => exec_flag::PRELOAD,
        [b'G', b'A', b'T', b'E', b'W', b'A', b'Y', b'_']
            if [i, j, k, l, m, n, o, p, q, r] == *b"INTERFACE=" =>
        {
            exec_flag::CGI
        }
        _ => 0,
    }
}

/// What descriptor `n` leads to.
#[inline(always)]
fn descriptor(table: Address, n: usize) -> Descriptor {
    let Some(file) = table.follow(8 * n) else { return Descriptor::default() };
    describe_file(file).unwrap_or_default()
}

#[inline(always)]
fn describe_file(file: Address) -> Option<Descriptor> {
    let inode = file.follow(layout!(file_inode))?;
    let mut descriptor = Descriptor {
        inode: inode.read(layout!(inode_ino))?,
        rdev: inode.read(layout!(inode_rdev))?,
        mode: inode.read(layout!(inode_mode))?,
        ..Descriptor::default()
    };
    if descriptor.mode & S_IFMT == S_IFSOCK {
        let sk = file.follow(layout!(file_private_data))?.follow(layout!(socket_sk))?;
        descriptor.sock = sock_id(sk);
        descriptor.family = sk.read::<[u16; 10]>(0)?[8];
    }
    Some(descriptor)
}
