//! Where the kernel keeps what the programs read.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Byte offsets of kernel fields, resolved by the agent from the running kernel's BTF and set as a
/// global of the programs before they load. A name is `struct_field`; where it names a path, the
/// offsets of its steps are added up.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[expect(missing_docs, reason = "each field is named after the kernel field whose offset it holds")]
pub struct KernelLayout {
    pub sock_net: u32,
    pub sock_v6_daddr: u32,
    pub sock_v6_rcv_saddr: u32,
    pub sock_type: u32,
    pub sock_protocol: u32,
    pub sock_socket: u32,
    pub net_inum: u32,
    /// From a `struct socket` to the `i_ino` of its inode (both lie in a `struct socket_alloc`).
    pub socket_ino: u32,
    pub socket_sk: u32,
    pub tcp_write_seq: u32,
    pub tcp_copied_seq: u32,
    pub tcp_rcv_nxt: u32,
    pub tcp_snd_una: u32,
    pub tcp_bytes_acked: u32,
    pub tcp_bytes_received: u32,
    pub unix_peer: u32,
    pub unix_addr: u32,
    pub unix_address_len: u32,
    /// The `sockaddr_un`'s `sun_path` in a `struct unix_address`.
    pub unix_address_path: u32,
    pub task_tgid: u32,
    pub task_pid: u32,
    pub task_real_parent: u32,
    pub task_mm: u32,
    pub task_files: u32,
    pub task_cred: u32,
    pub task_exit_code: u32,
    pub task_signal: u32,
    pub signal_live: u32,
    pub signal_group_exit_code: u32,
    pub signal_flags: u32,
    pub cred_euid: u32,
    pub mm_arg_start: u32,
    pub mm_arg_end: u32,
    pub mm_env_start: u32,
    pub mm_env_end: u32,
    pub mm_exe_file: u32,
    pub files_fdt: u32,
    pub fdtable_fd: u32,
    pub file_inode: u32,
    pub file_private_data: u32,
    pub inode_mode: u32,
    pub inode_ino: u32,
    pub inode_rdev: u32,
    pub inode_nlink: u32,
    pub inode_sb: u32,
    pub inode_mtime: u32,
    pub super_block_flags: u32,
    pub binprm_filename: u32,
}

/// What the agent decides for a run; a global of the programs beside [`KernelLayout`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Settings {
    /// Secret mask of [`Sock::id`](crate::Sock::id), so that no record tells a kernel address.
    pub id_mask: u64,
    /// Process whose own operations are left out: the agent.
    pub own_pid: u32,
    /// Bytes to copy from one operation, at most [`MAX_SNAP`](crate::MAX_SNAP).
    pub snap: u32,
    /// Bytes in the ring buffer from which on each record wakes the agent.
    pub wake_at: u32,
    /// Zero.
    pub pad: u32,
}
const _: () = assert!(size_of::<Settings>() == 24);

impl KernelLayout {
    /// All offsets zero: what stands in the programs until the agent sets them.
    pub const ZERO: Self = zerocopy::transmute!([0u8; size_of::<Self>()]);
}
