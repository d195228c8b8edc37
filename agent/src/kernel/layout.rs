//! Field offsets of the running kernel, from its BTF.
//!
//! rustc emits no CO-RE relocations, so the agent resolves what the programs read and sets it as their
//! global. A field that this kernel does not have switches off the hooks that need it, nothing else.

use anyhow::{Context, Result, anyhow, bail};
use btf_rs::{Backend, Btf, Type};
use tracer_common::KernelLayout;

/// Where a kernel describes its own types.
pub const VMLINUX_BTF: &str = "/sys/kernel/btf/vmlinux";

/// Resolved offsets, and what could not be resolved.
#[derive(Debug, Default)]
pub struct Resolved {
    /// The offsets; 0 where a field is missing.
    pub layout: KernelLayout,
    /// Missing fields, as `struct.path`.
    pub missing: Vec<&'static str>,
}

/// How a field of [`KernelLayout`] is found: a sum of offsets of paths in structs, one of them maybe to
/// be subtracted (from a member back to its container). A path may have other names in other kernels, the newest
/// first, with `|` between them.
struct Rule {
    set: fn(&mut KernelLayout, u32),
    name: &'static str,
    plus: &'static [(&'static str, &'static str)],
    minus: &'static [(&'static str, &'static str)],
}

macro_rules! rules {
    ($($field:ident = $(+ $kstruct:literal . $path:literal)+ $(- $mstruct:literal . $mpath:literal)*;)*) => {
        const RULES: &[Rule] = &[$(Rule {
            set: |layout, offset| layout.$field = offset,
            name: concat!($($kstruct, ".", $path, " "),+),
            plus: &[$(($kstruct, $path)),+],
            minus: &[$(($mstruct, $mpath)),*],
        }),*];
    };
}

rules! {
    sock_net = + "sock" . "__sk_common.skc_net";
    sock_v6_daddr = + "sock" . "__sk_common.skc_v6_daddr";
    sock_v6_rcv_saddr = + "sock" . "__sk_common.skc_v6_rcv_saddr";
    sock_type = + "sock" . "sk_type";
    sock_protocol = + "sock" . "sk_protocol";
    sock_socket = + "sock" . "sk_socket";
    net_inum = + "net" . "ns.inum";
    socket_ino = + "socket_alloc" . "vfs_inode" + "inode" . "i_ino" - "socket_alloc" . "socket";
    socket_sk = + "socket" . "sk";
    tcp_write_seq = + "tcp_sock" . "write_seq";
    tcp_copied_seq = + "tcp_sock" . "copied_seq";
    tcp_rcv_nxt = + "tcp_sock" . "rcv_nxt";
    tcp_snd_una = + "tcp_sock" . "snd_una";
    tcp_bytes_acked = + "tcp_sock" . "bytes_acked";
    tcp_bytes_received = + "tcp_sock" . "bytes_received";
    unix_peer = + "unix_sock" . "peer";
    unix_addr = + "unix_sock" . "addr";
    unix_address_len = + "unix_address" . "len";
    unix_address_path = + "unix_address" . "name" + "sockaddr_un" . "sun_path";
    task_tgid = + "task_struct" . "tgid";
    task_pid = + "task_struct" . "pid";
    task_real_parent = + "task_struct" . "real_parent";
    task_mm = + "task_struct" . "mm";
    task_files = + "task_struct" . "files";
    task_cred = + "task_struct" . "cred";
    task_exit_code = + "task_struct" . "exit_code";
    task_signal = + "task_struct" . "signal";
    signal_live = + "signal_struct" . "live";
    signal_group_exit_code = + "signal_struct" . "group_exit_code";
    signal_flags = + "signal_struct" . "flags";
    cred_euid = + "cred" . "euid";
    mm_arg_start = + "mm_struct" . "arg_start";
    mm_arg_end = + "mm_struct" . "arg_end";
    mm_env_start = + "mm_struct" . "env_start";
    mm_env_end = + "mm_struct" . "env_end";
    mm_exe_file = + "mm_struct" . "exe_file";
    files_fdt = + "files_struct" . "fdt";
    fdtable_fd = + "fdtable" . "fd";
    file_inode = + "file" . "f_inode";
    file_private_data = + "file" . "private_data";
    inode_mode = + "inode" . "i_mode";
    inode_ino = + "inode" . "i_ino";
    inode_rdev = + "inode" . "i_rdev";
    inode_nlink = + "inode" . "i_nlink";
    inode_sb = + "inode" . "i_sb";
    inode_mtime = + "inode" . "i_mtime_sec|__i_mtime|i_mtime";
    super_block_flags = + "super_block" . "s_flags";
    binprm_filename = + "linux_binprm" . "filename";
}

/// What the programs take for granted: `struct sock` begins like this on every kernel so far.
const FIXED: &[(&str, u32)] = &[
    ("__sk_common.skc_daddr", 0),
    ("__sk_common.skc_rcv_saddr", 4),
    ("__sk_common.skc_dport", 12),
    ("__sk_common.skc_num", 14),
    ("__sk_common.skc_family", 16),
    ("__sk_common.skc_state", 18),
];

/// Resolves all offsets in the running kernel.
///
/// # Errors
/// When the kernel has no BTF, it cannot be read, or a struct begins otherwise than the programs know.
pub fn resolve() -> Result<Resolved> {
    let btf = Btf::from_file_with_backend(VMLINUX_BTF, Backend::Mmap)
        .or_else(|_| Btf::from_file(VMLINUX_BTF))
        // Its text has that of its source in it already.
        .map_err(|error| {
            anyhow!(
                "cannot read {VMLINUX_BTF}, the kernel's description of its own types: this kernel must \
                 be built with CONFIG_DEBUG_INFO_BTF=y and /sys must be mounted: {error}"
            )
        })?;
    for (path, expected) in FIXED {
        match offset_of(&btf, "sock", path) {
            Ok(offset) if offset == *expected => {}
            Ok(offset) => bail!("struct sock has {path} at {offset}, the programs know it at {expected}"),
            Err(error) => return Err(error.context(format!("struct sock has no {path}"))),
        }
    }
    let mut resolved = Resolved::default();
    for rule in RULES {
        match sum(&btf, rule) {
            Ok(offset) => (rule.set)(&mut resolved.layout, offset),
            Err(_) => resolved.missing.push(rule.name.trim_end()),
        }
    }
    Ok(resolved)
}

fn sum(btf: &Btf, rule: &Rule) -> Result<u32> {
    let total = |paths: &[(&str, &str)]| -> Result<u32> {
        paths.iter().map(|(name, path)| offset_of_first(btf, name, path)).sum()
    };
    total(rule.plus)?.checked_sub(total(rule.minus)?).context("a member before its container")
}

/// Byte offset of the first of several members that there is.
fn offset_of_first(btf: &Btf, name: &str, paths: &str) -> Result<u32> {
    let mut known = paths.split('|').map(|path| offset_of(btf, name, path));
    let last = known.next_back().context("no path")?;
    known.find(Result::is_ok).unwrap_or(last)
}

/// Byte offset of a member, by a path of names; members of anonymous structs count as the outer's own.
fn offset_of(btf: &Btf, name: &str, path: &str) -> Result<u32> {
    let mut current = btf
        .resolve_types_by_name(name)?
        .into_iter()
        .find(|t| matches!(t, Type::Struct(s) if !s.members.is_empty()))
        .with_context(|| format!("no struct {name}"))?;
    let mut offset = 0;
    for step in path.split('.') {
        let (Type::Struct(outer) | Type::Union(outer)) = &current else { bail!("{step} is in no struct") };
        let (at, member) = find(btf, outer, step)?.with_context(|| format!("struct {name} has no {step}"))?;
        offset += at;
        current = member;
    }
    Ok(offset)
}

/// A member's offset and type, looked for in anonymous members too.
fn find(btf: &Btf, outer: &btf_rs::Struct, name: &str) -> Result<Option<(u32, Type)>> {
    for member in &outer.members {
        let at = member.bit_offset() / 8;
        let member_name = btf.resolve_name(member).unwrap_or_default();
        if member_name == name {
            return Ok(Some((at, plain_type(btf, member)?)));
        }
        if member_name.is_empty()
            && let Type::Struct(inner) | Type::Union(inner) = plain_type(btf, member)?
            && let Some((inner_at, found)) = find(btf, &inner, name)?
        {
            return Ok(Some((at + inner_at, found)));
        }
    }
    Ok(None)
}

/// A member's type without typedefs and qualifiers.
fn plain_type(btf: &Btf, member: &btf_rs::Member) -> Result<Type> {
    let mut current = btf.resolve_chained_type(member)?;
    loop {
        current = match &current {
            Type::Typedef(t) => btf.resolve_chained_type(t)?,
            Type::Const(t) | Type::Volatile(t) => btf.resolve_chained_type(t)?,
            Type::TypeTag(t) => btf.resolve_chained_type(t)?,
            _ => return Ok(current),
        };
    }
}
