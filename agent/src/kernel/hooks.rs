//! Loading and attaching, each hook by itself.

use super::{layout, object};
use crate::reason::chain;
use anyhow::{Context, Result, anyhow};
use aya::{
    Ebpf, EbpfError, EbpfLoader,
    maps::{Array, MapError},
    programs::{ProgramError, RawTracePoint, raw_trace_point::RawTracePointLinkId},
};
use std::{
    fs,
    hash::{BuildHasher, RandomState},
    io::{self, ErrorKind},
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
    /// Whether it attaches only once it is wanted: it fires often, whoever is traced.
    pub on_demand: bool,
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
        on_demand: false,
        fields: &["task_struct.tgid", "task_struct.pid"],
    },
    Hook {
        name: "sched_process_exec",
        since: "3.4",
        gives: "process launches",
        essential: false,
        cause: lost::PROCESS,
        on_demand: false,
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
        on_demand: false,
        fields: &["task_struct.signal", "task_struct.exit_code", "signal_struct."],
    },
    Hook {
        name: "inet_sock_set_state",
        since: "4.16",
        gives: "begin and end of connections, and which thread connected",
        essential: false,
        cause: lost::CONNECTION,
        on_demand: false,
        fields: SOCKET_FIELDS,
    },
    Hook {
        name: "sock_send_length",
        since: "6.3",
        gives: "what is sent",
        essential: true,
        cause: lost::DATA,
        on_demand: false,
        fields: SOCKET_FIELDS,
    },
    Hook {
        name: "sock_recv_length",
        since: "6.3",
        gives: "what is received",
        essential: true,
        cause: lost::DATA,
        on_demand: false,
        fields: SOCKET_FIELDS,
    },
    Hook {
        name: "sched_waking",
        since: "4.3",
        gives: "work that one thread hands to another",
        essential: false,
        cause: lost::WAKE,
        on_demand: true,
        fields: &["task_struct.tgid", "task_struct.pid"],
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
        .map_err(explain_maps)?;
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
    if hook.on_demand { Ok(()) } else { attach_loaded(ebpf, hook).map(drop) }
}

/// Attaches a hook that is loaded.
///
/// # Errors
/// When the kernel refuses.
pub fn attach_loaded(ebpf: &mut Ebpf, hook: &Hook) -> Result<RawTracePointLinkId> {
    let program: &mut RawTracePoint =
        ebpf.program_mut(hook.name).context("not in this binary")?.try_into().context("of another type")?;
    program.attach(hook.name).map_err(|error| explain_attach(hook, error))
}

/// Detaches a hook, which stays loaded.
pub fn detach(ebpf: &mut Ebpf, hook: &Hook, link: RawTracePointLinkId) {
    let program =
        ebpf.program_mut(hook.name).and_then(|program| <&mut RawTracePoint>::try_from(program).ok());
    // Closing the link is all there is to it: that has no way to fail.
    let _ = program.map(|program| program.detach(link));
}

/// Which map is made first changes from run to run, so its name says nothing.
fn explain_maps(error: EbpfError) -> anyhow::Error {
    match error {
        EbpfError::MapError(MapError::CreateError { io_error, .. }) => {
            let hint = match io_error.kind() {
                ErrorKind::PermissionDenied => {
                    "; a privilege is missing, or a seccomp profile or the kernel's lockdown refuses bpf()"
                }
                _ => "",
            };
            anyhow!("the kernel refused the maps of the programs: {io_error}{hint}")
        }
        other => anyhow!("the kernel programs did not load: {}", chain(&other)),
    }
}

fn explain_load(error: ProgramError) -> anyhow::Error {
    match error {
        ProgramError::LoadError { io_error, verifier_log } => {
            anyhow!(refusal(&io_error, &verifier_log.to_string()))
        }
        other => anyhow!("the program did not load: {}", chain(&other)),
    }
}

/// The end of the verifier's log says what it could not accept; where the kernel did not get as far as the
/// verifier there is none.
fn refusal(error: &io::Error, log: &str) -> String {
    let lines: Vec<_> = log.lines().collect();
    let tail = lines[lines.len().saturating_sub(6)..].join(" | ");
    let separator = if tail.is_empty() { "" } else { "; " };
    format!("the kernel refused the program: {error}{separator}{tail}")
}

fn explain_attach(hook: &Hook, error: ProgramError) -> anyhow::Error {
    if let ProgramError::SyscallError(inner) = &error
        && inner.io_error.kind() == ErrorKind::NotFound
    {
        return anyhow!("this kernel has no such tracepoint (Linux {} and later have it)", hook.since);
    }
    anyhow!("the program did not attach: {}", chain(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denied() -> io::Error {
        io::Error::from_raw_os_error(1)
    }

    #[test]
    fn a_refusal_ends_with_the_end_of_the_log_if_there_is_one() {
        let said = "the kernel refused the program: Operation not permitted (os error 1)";
        assert_eq!(refusal(&denied(), ""), said);
        assert_eq!(refusal(&denied(), "1\n2\n3\n4\n5\n6\n7\n"), format!("{said}; 2 | 3 | 4 | 5 | 6 | 7"));
    }

    #[test]
    fn refused_maps_are_explained_once_and_always_alike() {
        let error = |name: &str| {
            let error = MapError::CreateError { name: name.into(), io_error: denied() };
            format!("{:#}", explain_maps(EbpfError::MapError(error)))
        };
        assert_eq!(error("LOST"), error("RECORDS"));
        assert_eq!(error("LOST").matches("Operation not permitted").count(), 1);
    }
}
