//! Records of processes.

use crate::Header;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Upper bound of the bytes of arguments in an [`Exec`].
pub const MAX_ARGS: usize = 4096;
/// Upper bound of the bytes of the file name in an [`Exec`].
pub const MAX_FILENAME: usize = 256;

/// A process was forked, or a thread began (`sched_process_fork`). The header names the thread that did it,
/// also under `CLONE_PARENT`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Fork {
    /// Header.
    pub header: Header,
    /// The new process; of a thread the header's own.
    pub child_pid: u32,
    /// The new thread; of a process its number.
    pub child_tid: u32,
}
const _: () = assert!(size_of::<Fork>() == 32);

/// A thread in a `futex` call woke another thread of its process (`sched_waking`). Reported for processes of
/// which the agent wants to know.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Wake {
    /// Header; names the waking thread.
    pub header: Header,
    /// Place in the process's memory that the two meet at.
    pub futex: u64,
    /// The woken thread.
    pub woken_tid: u32,
    /// Zero.
    pub pad: u32,
}
const _: () = assert!(size_of::<Wake>() == 40);

/// What an open file descriptor leads to, in the kernel's own terms; all zero when it is closed.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Descriptor {
    /// Inode number.
    pub inode: u64,
    /// For a socket, its [`Sock::id`](crate::Sock::id).
    pub sock: u64,
    /// For a device, its number as the kernel keeps it (12 bits major, 20 bits minor).
    pub rdev: u32,
    /// `st_mode`: the type in the high four bits.
    pub mode: u16,
    /// For a socket, its address family.
    pub family: u16,
}
const _: () = assert!(size_of::<Descriptor>() == 24);

/// Bits of [`Exec::flags`].
pub mod exec_flag {
    /// The image has no name in any directory (its inode has no link).
    pub const UNLINKED: u32 = 1;
    /// The image lies in the kernel's own shared-memory mount: a memfd.
    pub const MEMFD: u32 = 2;
    /// The arguments are longer than what stands in the tail.
    pub const ARGS_CUT: u32 = 4;
    /// Its environment has the dynamic linker load a library before all others: `LD_PRELOAD` or `LD_AUDIT` is set.
    pub const PRELOAD: u32 = 8;
    /// It was launched as a CGI script: `GATEWAY_INTERFACE` is set (RFC 3875, 4.1.4).
    pub const CGI: u32 = 16;
    /// The environment has more variables than were looked at: the two bits above may be missing.
    pub const ENVIRONMENT_CUT: u32 = 32;
}

/// A process changed its image (`sched_process_exec`), in the new image's own context.
///
/// The tail: `filename_len` bytes as given to `execve` (maybe relative), then `args_len` bytes of
/// arguments, each ended by NUL.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Exec {
    /// Header; `tid` is already the process's id.
    pub header: Header,
    /// cgroup v2 id (`bpf_get_current_cgroup_id`).
    pub cgroup_id: u64,
    /// Descriptors 0, 1 and 2.
    pub descriptors: [Descriptor; 3],
    /// The id that the calling thread had before.
    pub old_tid: u32,
    /// Parent process.
    pub ppid: u32,
    /// Real user.
    pub uid: u32,
    /// Real group.
    pub gid: u32,
    /// Effective user.
    pub euid: u32,
    /// Bits of [`exec_flag`].
    pub flags: u32,
    /// Bytes of the file name.
    pub filename_len: u16,
    /// Bytes of arguments.
    pub args_len: u16,
    /// When the image's file was written last (`i_mtime` of its inode), in seconds since the epoch; 0 where that is
    /// not known. Of a script it is the file of its interpreter.
    pub image_written: u32,
    /// `task_struct.comm`, NUL-padded.
    pub comm: [u8; 16],
}
const _: () = assert!(size_of::<Exec>() == 152);

/// A thread ended (`sched_process_exit`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Exit {
    /// Header.
    pub header: Header,
    /// Status as `wait` gives it: exit code in bits 8 to 15, or the signal in bits 0 to 6.
    pub status: u32,
    /// 1 when it was the last thread of its process.
    pub process_ended: u32,
}
const _: () = assert!(size_of::<Exit>() == 32);
