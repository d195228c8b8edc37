//! Loading and attaching, each hook by itself.

use super::{layout, object};
use anyhow::{Context, Result};
use aya::{
    Ebpf, EbpfLoader,
    maps::Array,
    programs::{ProgramError, RawTracePoint},
};
use std::{
    fs,
    hash::{BuildHasher, RandomState},
    io::ErrorKind,
};
use tracer_common::{KernelLayout, MAX_SNAP, Settings, lost};
use zerocopy::IntoBytes;

/// A hook: a program, where it attaches, and what is lost without it.
#[derive(Clone, Copy, Debug)]
pub struct Hook {
    /// Name of the program and of its raw tracepoint.
    pub name: &'static str,
    /// First kernel that has the tracepoint.
    pub since: &'static str,
    /// What the tracer does not see without it.
    pub gives: &'static str,
    /// Whether tracing is worthless without it.
    pub essential: bool,
    /// What is counted when it could not run: an index of [`lost`].
    pub cause: u32,
    /// Fields it reads, as prefixes of [`layout`]'s names.
    fields: &'static [&'static str],
}

const SOCKET_FIELDS: &[&str] = &["sock.", "net.", "socket_alloc.", "tcp_sock.", "unix_"];

/// All hooks, in the order in which they attach: births before bytes.
pub const HOOKS: &[Hook] = &[
    Hook {
        name: "sched_process_fork",
        since: "2.6",
        gives: "which thread forked a process",
        essential: false,
        cause: lost::PROCESS,
        fields: &["task_struct.tgid"],
    },
    Hook {
        name: "sched_process_exec",
        since: "3.4",
        gives: "process launches",
        essential: false,
        cause: lost::PROCESS,
        fields: &[
            "task_struct.",
            "cred.",
            "mm_struct.",
            "files_struct.",
            "fdtable.",
            "file.",
            "inode.",
            "super_block.",
            "linux_binprm.",
            "socket.",
        ],
    },
    Hook {
        name: "sched_process_exit",
        since: "2.6",
        gives: "exit codes",
        essential: false,
        cause: lost::PROCESS,
        fields: &["task_struct.signal", "task_struct.exit_code", "signal_struct."],
    },
    Hook {
        name: "inet_sock_set_state",
        since: "4.16",
        gives: "begin and end of connections, and which thread connected",
        essential: false,
        cause: lost::CONNECTION,
        fields: SOCKET_FIELDS,
    },
    Hook {
        name: "sock_send_length",
        since: "6.3",
        gives: "what is sent",
        essential: true,
        cause: lost::DATA,
        fields: SOCKET_FIELDS,
    },
    Hook {
        name: "sock_recv_length",
        since: "6.3",
        gives: "what is received",
        essential: true,
        cause: lost::DATA,
        fields: SOCKET_FIELDS,
    },
];

/// What became of one hook.
#[derive(Clone, Debug)]
pub struct Attached {
    /// The hook.
    pub hook: &'static Hook,
    /// Why it is not there, in words; nothing when it is.
    pub problem: Option<String>,
}

/// What the caller decides.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Bytes to copy of one operation, at most [`MAX_SNAP`].
    pub snap: u32,
    /// Size of the ring buffer in bytes: a power of two, at least a page.
    pub ring_bytes: u32,
}

/// The loaded programs: they detach when this is dropped.
#[derive(Debug)]
pub struct Loaded {
    /// Programs and maps.
    pub ebpf: Ebpf,
    /// Each hook's fate.
    pub hooks: Vec<Attached>,
}

/// Loads the programs and attaches every hook that this kernel lets attach.
///
/// # Errors
/// When nothing can be loaded at all: no BTF, no privilege, no programs in this binary.
pub fn load(options: Options) -> Result<Loaded> {
    let object = object::bytes()?;
    in_initial_pid_namespace()?;
    let resolved = layout::resolve()?;
    let settings = Settings {
        // Random keys of the process are secret enough for an address mask.
        id_mask: RandomState::new().hash_one("tracer"),
        own_pid: own_pid(),
        snap: options.snap.min(MAX_SNAP as u32),
        wake_at: options.ring_bytes / 4,
        pad: 0,
    };
    let mut ebpf = EbpfLoader::new()
        .btf(None)
        .override_global("LAYOUT", global(&resolved.layout), true)
        .override_global("SETTINGS", settings.as_bytes(), true)
        .map_max_entries("RECORDS", options.ring_bytes)
        .load(object)
        .context("cannot create the maps of the kernel programs")?;
    let hooks: Vec<_> = HOOKS
        .iter()
        .map(|hook| Attached {
            hook,
            problem: attach(&mut ebpf, hook, &resolved.missing).err().map(|e| format!("{e:#}")),
        })
        .collect();
    believe_sockets(&mut ebpf, &hooks)?;
    Ok(Loaded { ebpf, hooks })
}

/// Lets the programs keep what they know of a TCP socket for as long as it lives, if they see its end.
fn believe_sockets(ebpf: &mut Ebpf, hooks: &[Attached]) -> Result<()> {
    let seen = hooks.iter().any(|a| a.hook.name == "inet_sock_set_state" && a.problem.is_none());
    let mut map: Array<_, u32> =
        ebpf.map_mut("ENDS_SEEN").context("no map ENDS_SEEN in this binary")?.try_into()?;
    map.set(0, u32::from(seen), 0).context("cannot write the map ENDS_SEEN")
}

fn global(layout: &KernelLayout) -> &[u8] {
    layout.as_bytes()
}

/// Inode of the initial pid namespace (`PROC_PID_INIT_INO`).
const INITIAL_PID_NAMESPACE: &str = "pid:[4026531836]";

/// The programs report ids of the initial pid namespace: elsewhere they would name other processes, and
/// the agent would not know its own.
fn in_initial_pid_namespace() -> Result<()> {
    // Without /proc nothing is known: the look-ups of processes will say so.
    let Ok(own) = fs::read_link("/proc/self/ns/pid") else { return Ok(()) };
    anyhow::ensure!(
        own.as_os_str() == INITIAL_PID_NAMESPACE,
        "tracer runs in a pid namespace of its own, where the kernel's process ids mean other processes: run it \
         on the host, or with hostPID: true (Kubernetes) or --pid=host (containers)"
    );
    Ok(())
}

/// This process's id in the initial pid namespace, as the programs see it: `/proc` tells it where it is
/// mounted from there (a DaemonSet with `hostPID`).
fn own_pid() -> u32 {
    fs::read_link("/proc/self").ok().and_then(|p| p.to_str()?.parse().ok()).unwrap_or_else(std::process::id)
}

fn attach(ebpf: &mut Ebpf, hook: &'static Hook, missing: &[&'static str]) -> Result<()> {
    let needed: Vec<_> = missing
        .iter()
        .copied()
        .filter(|name| hook.fields.iter().any(|prefix| name.starts_with(prefix)))
        .collect();
    anyhow::ensure!(needed.is_empty(), "this kernel's BTF has no {}", needed.join(", "));
    let program: &mut RawTracePoint =
        ebpf.program_mut(hook.name).context("not in this binary")?.try_into().context("of another type")?;
    program.load().map_err(explain_load)?;
    program.attach(hook.name).map_err(|error| explain_attach(hook, error))?;
    Ok(())
}

fn explain_load(error: ProgramError) -> anyhow::Error {
    match error {
        ProgramError::LoadError { io_error, verifier_log } => {
            let log = verifier_log.to_string();
            let tail: Vec<_> = log.lines().rev().take(6).collect();
            let tail: Vec<_> = tail.into_iter().rev().collect();
            anyhow::anyhow!("the kernel refused the program: {io_error}; {}", tail.join(" | "))
        }
        other => anyhow::Error::new(other).context("the program did not load"),
    }
}

fn explain_attach(hook: &Hook, error: ProgramError) -> anyhow::Error {
    if let ProgramError::SyscallError(inner) = &error
        && inner.io_error.kind() == ErrorKind::NotFound
    {
        return anyhow::anyhow!(
            "this kernel has no such tracepoint (Linux {} and later have it)",
            hook.since
        );
    }
    anyhow::Error::new(error).context("the program did not attach")
}
