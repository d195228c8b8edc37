//! What `/proc` says of a process.
//!
//! Everything read is bounded: a process chooses its own arguments and environment, and the agent reads
//! those of strangers. Of the environment only two variables are kept, which name the service; the rest
//! holds secrets.

use procfs::process::Process;
use std::{io::Read, os::unix::fs::MetadataExt, path::PathBuf};
use tracer_engine::{Given, ProcessFacts};

/// Arguments kept, and bytes of each, as [`ProcessFacts::args`] promises.
const MAX_ARGS: usize = 64;
const MAX_ARG_BYTES: usize = 1024;
/// Bytes read of `cmdline`: all that could be kept.
const MAX_CMDLINE: u64 = (MAX_ARGS * (MAX_ARG_BYTES + 1)) as u64;
/// Bytes read of `environ`: what follows is not looked at. Usual ones have a few KiB, in Kubernetes with
/// many services some tens.
const MAX_ENVIRON: u64 = 256 << 10;
/// Bytes kept of a value and of a path (`PATH_MAX`).
const MAX_TEXT: usize = 4096;
/// The variables that are kept.
const VARIABLES: [&str; 2] = ["OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES"];

/// Reads what can be read; what cannot, because the process is gone or not ours, stays empty.
pub fn describe(pid: u32) -> ProcessFacts {
    let mut facts = ProcessFacts { pid, ..ProcessFacts::default() };
    let Some(process) = i32::try_from(pid).ok().and_then(|pid| Process::new(pid).ok()) else { return facts };
    if let Ok(status) = process.status() {
        facts.ppid = status.ppid.try_into().unwrap_or_default();
        facts.comm = bounded(status.name, MAX_TEXT);
        facts.uid = status.ruid;
    }
    facts.exe = path(process.exe().ok());
    facts.cwd = path(process.cwd().ok());
    facts.args = arguments(&read(&process, "cmdline", MAX_CMDLINE));
    let environ = read(&process, "environ", MAX_ENVIRON);
    // Not even its own name is there of a process that may not be read.
    let whole = !environ.is_empty() && (environ.len() as u64) < MAX_ENVIRON;
    facts.given = whole.then(|| Given { preload: preloads(&environ), terminals: terminals(&process) });
    facts.environment = variables(&environ);
    facts.cgroup =
        String::from_utf8(read(&process, "cgroup", MAX_ENVIRON)).map_or(String::new(), |t| cgroup(&t));
    facts
}

fn read(process: &Process, file: &str, most: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Ok(file) = process.open_relative(file) {
        // What was read before an error is still true.
        let _ = file.take(most).read_to_end(&mut bytes);
    }
    bytes
}

fn path(path: Option<PathBuf>) -> String {
    path.map_or(String::new(), |p| bounded(p.to_string_lossy().into_owned(), MAX_TEXT))
}

/// Cut to at most `most` bytes, at the border of a character.
fn bounded(mut text: String, most: usize) -> String {
    text.truncate(text.floor_char_boundary(most));
    text
}

/// Arguments, each ended by NUL (the last may have been cut).
fn arguments(cmdline: &[u8]) -> Vec<String> {
    let cmdline = cmdline.strip_suffix(&[0]).unwrap_or(cmdline);
    if cmdline.is_empty() {
        return Vec::new();
    }
    let texts = cmdline.split(|b| *b == 0).take(MAX_ARGS);
    texts.map(|a| bounded(String::from_utf8_lossy(a).into_owned(), MAX_ARG_BYTES)).collect()
}

fn variables(environ: &[u8]) -> Vec<(String, String)> {
    let texts = environ.split(|b| *b == 0).filter_map(|v| std::str::from_utf8(v).ok());
    texts
        .filter_map(|v| v.split_once('='))
        .filter(|(name, _)| VARIABLES.contains(name))
        .map(|(name, value)| (name.to_owned(), bounded(value.to_owned(), MAX_TEXT)))
        .collect()
}

/// Whether the loader is told of a library (ld.so(8)).
fn preloads(environ: &[u8]) -> bool {
    let mut all = environ.split(|b| *b == 0);
    all.any(|variable| variable.starts_with(b"LD_PRELOAD=") || variable.starts_with(b"LD_AUDIT="))
}

/// The pseudo-terminals on the descriptors 0, 1 and 2. Nothing but these is asked what it is: a file may lie where
/// nobody answers.
fn terminals(process: &Process) -> [u32; 3] {
    [0, 1, 2].map(|n| {
        let link = PathBuf::from(format!("/proc/{}/fd/{n}", process.pid));
        let is_one = std::fs::read_link(&link).is_ok_and(|to| to.starts_with("/dev/pts"));
        let device = if is_one { std::fs::metadata(&link).map_or(0, |file| file.rdev()) } else { 0 };
        // As the kernel keeps it: 12 bits of major number, 20 of minor number.
        let (major, minor) = (device >> 8 & 0xfff, device & 0xff | device >> 12 & 0xf_ff00);
        u32::try_from(major << 20 | minor).unwrap_or_default()
    })
}

/// The path in the v2 hierarchy (`0::PATH`) unless that is the root while systemd's has one.
fn cgroup(table: &str) -> String {
    let lines = table.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':');
        Some((parts.next()?, parts.next()?, parts.next()?))
    });
    let (mut v2, mut systemd) = ("", "");
    for (_, controllers, path) in lines {
        match controllers {
            "" => v2 = path,
            "name=systemd" => systemd = path,
            _ => {}
        }
    }
    // In the hybrid layout of systemd the v2 hierarchy is there, but may hold every process in its root.
    let chosen = if v2.is_empty() || (v2 == "/" && !systemd.is_empty()) { systemd } else { v2 };
    bounded(chosen.to_owned(), MAX_TEXT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn describes_this_very_process() {
        let facts = describe(std::process::id());
        assert_eq!(facts.pid, std::process::id());
        assert_eq!(facts.ppid, std::os::unix::process::parent_id());
        assert_eq!(facts.exe, std::env::current_exe().unwrap().to_str().unwrap());
        assert_eq!(facts.cwd, std::env::current_dir().unwrap().to_str().unwrap());
        assert_eq!(facts.args, std::env::args().collect::<Vec<_>>());
        assert!(facts.exe.contains(&facts.comm[..5.min(facts.comm.len())]), "{}", facts.comm);
    }

    #[test]
    fn what_a_process_was_given() {
        assert!(preloads(b"A=1\0LD_PRELOAD=/x.so\0"));
        assert!(!preloads(b"A=LD_PRELOAD=1\0LD_PRELOADS=1\0"));
        let given = describe(std::process::id()).given.expect("its own environment can be read");
        assert!(given.terminals.iter().all(|device| *device == 0 || device >> 20 == 136), "{given:?}");
    }

    #[test]
    fn a_process_that_is_gone_is_empty() {
        assert_eq!(describe(u32::MAX), ProcessFacts { pid: u32::MAX, ..ProcessFacts::default() });
        assert_eq!(describe(0), ProcessFacts::default());
    }

    #[test]
    fn arguments_are_split_and_bounded() {
        assert_eq!(arguments(b""), Vec::<String>::new());
        assert_eq!(arguments(b"sh\0-c\0\0"), ["sh", "-c", ""]);
        assert_eq!(arguments(b"no end"), ["no end"]);
        assert_eq!(arguments(b"\xff\0"), ["\u{fffd}"]);
        let many = b"x\0".repeat(100);
        assert_eq!(arguments(&many).len(), MAX_ARGS);
        let long = "\u{e4}".repeat(1000);
        assert_eq!(arguments(long.as_bytes())[0].len(), MAX_ARG_BYTES);
        assert_eq!(bounded("a\u{e4}".into(), 2), "a");
    }

    #[test]
    fn only_the_variables_that_name_a_service_are_kept() {
        let environ =
            b"SECRET=1\0OTEL_SERVICE_NAME=shop=1\0OTEL_SERVICE_NAMES=no\0odd\0OTEL_RESOURCE_ATTRIBUTES=a=b";
        let kept = variables(environ);
        let pair = |k: &str, v: &str| (k.to_owned(), v.to_owned());
        assert_eq!(kept, [pair("OTEL_SERVICE_NAME", "shop=1"), pair("OTEL_RESOURCE_ATTRIBUTES", "a=b")]);
    }

    #[test]
    fn the_cgroup_is_that_of_v2_or_else_of_systemd() {
        assert_eq!(cgroup("0::/system.slice/nginx.service\n"), "/system.slice/nginx.service");
        assert_eq!(cgroup("4:memory:/x\n1:name=systemd:/kube/pod:1\n"), "/kube/pod:1");
        assert_eq!(cgroup("1:name=systemd:/kube\n0::/\n"), "/kube");
        assert_eq!(cgroup("0::/\n"), "/");
        assert_eq!(cgroup("junk"), "");
    }
}
