//! What the kernel side reports, as a recording has it: of a launched process its descriptors, user, image and
//! cgroup, of a connection who began it and what it moved.

use anyhow::{Context, Result, ensure};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use tracer_common::{AF_INET, AF_UNIX, Exec, TcpState, exec_flag, kind, tcp_state};
use tracer_tests::recording::{Recorder, records};
use tracer_tests::{Stage, environment};
use zerocopy::FromBytes;

const FILE_TYPE: u16 = 0o170_000;
const SOCKET: u16 = 0o140_000;
const FIFO: u16 = 0o010_000;
const REGULAR: u16 = 0o100_000;
const DEVICE: u16 = 0o020_000;
/// `nobody` of Debian.
const NOBODY: u32 = 65_534;

/// What the process with this id executed last.
fn exec_of(recording: &Path, pid: u32) -> Result<Exec> {
    let mut of_it = records(&fs::read(recording)?)?.into_iter().filter_map(|record| {
        let (exec, _) = Exec::read_from_prefix(&record).ok()?;
        (exec.header.kind == kind::EXEC && exec.header.pid == pid).then_some(exec)
    });
    of_it.next_back().with_context(|| format!("no exec of {pid}"))
}

/// Runs a command to its end; gives its process id.
fn run(command: &mut Command) -> Result<u32> {
    let mut child = command.spawn()?;
    ensure!(child.wait()?.success(), "{command:?} failed");
    Ok(child.id())
}

#[test]
fn descriptors_user_and_cgroup() -> Result<()> {
    let stage = Stage::new()?;
    let file = stage.path("execs.trc");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let socket = TcpStream::connect(listener.local_addr()?)?;
    let (unix, _peer) = std::os::unix::net::UnixStream::pair()?;
    let recorder = Recorder::start(&stage, &file)?;
    let mut command = Command::new("/bin/true");
    command.stdin(OwnedFd::from(socket)).stdout(OwnedFd::from(unix)).stderr(Stdio::piped());
    let sockets = run(&mut command)?;
    let mut command = Command::new("/bin/true");
    let input = File::open("/etc/passwd")?;
    command.stdin(input).stdout(Stdio::null()).stderr(Stdio::null()).uid(NOBODY).gid(NOBODY);
    let files = run(&mut command)?;
    recorder.stop()?;

    let exec = exec_of(&file, sockets)?;
    let kinds = exec.descriptors.map(|descriptor| descriptor.mode & FILE_TYPE);
    ensure!(kinds == [SOCKET, SOCKET, FIFO], "{:?}", exec.descriptors);
    ensure!([exec.descriptors[0].family, exec.descriptors[1].family] == [AF_INET, AF_UNIX], "{exec:?}");
    ensure!(exec.descriptors[0].sock != 0 && exec.descriptors[0].inode != 0, "{exec:?}");
    ensure!((exec.uid, exec.gid, exec.euid, exec.flags) == (0, 0, 0, 0), "{exec:?}");
    ensure!(exec.ppid == std::process::id() && exec.cgroup_id != 0, "{exec:?}");

    let exec = exec_of(&file, files)?;
    let kinds = exec.descriptors.map(|descriptor| descriptor.mode & FILE_TYPE);
    ensure!(kinds == [REGULAR, DEVICE, DEVICE], "{:?}", exec.descriptors);
    // /dev/null is device 1:3, 20 bits of which are the minor number.
    ensure!(exec.descriptors[1].rdev == 1 << 20 | 3, "{:?}", exec.descriptors);
    ensure!((exec.uid, exec.gid, exec.euid) == (NOBODY, NOBODY, NOBODY), "{exec:?}");
    Ok(())
}

/// What an environment says of who launched an image; what lies behind a long variable counts as well.
#[test]
fn environments() -> Result<()> {
    let stage = Stage::new()?;
    let file = stage.path("environments.trc");
    let library = stage.path("none.so");
    fs::write(&library, "")?;
    let long = "x".repeat(3000);
    let recorder = Recorder::start(&stage, &file)?;
    let launch = |variables: &[(&str, &str)]| {
        run(Command::new("/bin/true").env_clear().envs(variables.iter().copied()).stderr(Stdio::null()))
    };
    let library = library.to_str().context("a path")?;
    let preloaded = launch(&[("AAA", &long), ("LD_PRELOAD", library)])?;
    let audited = launch(&[("LD_AUDIT", library)])?;
    let script = launch(&[("GATEWAY_INTERFACE", "CGI/1.1"), ("LD_PRELOADED", "1"), ("X", "LD_PRELOAD=1")])?;
    let emptied = launch(&[("LD_PRELOAD", "")])?;
    let many: Vec<_> = (0..500).map(|n| (format!("N{n}"), n.to_string())).collect();
    let many: Vec<_> = many.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let crowded = launch(&many)?;
    recorder.stop()?;
    let flags = |pid| exec_of(&file, pid).map(|exec| exec.flags);
    ensure!(flags(preloaded)? == exec_flag::PRELOAD);
    ensure!(flags(audited)? == exec_flag::PRELOAD);
    ensure!(flags(script)? == exec_flag::CGI);
    ensure!(flags(emptied)? == 0);
    ensure!(flags(crowded)? == exec_flag::ENVIRONMENT_CUT);
    Ok(())
}

/// A process begins to listen, in its own name.
#[test]
fn listeners() -> Result<()> {
    let stage = Stage::new()?;
    let file = stage.path("listeners.trc");
    let recorder = Recorder::start(&stage, &file)?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = listener.local_addr()?.port();
    recorder.stop()?;
    let pid = std::process::id();
    let listens = records(&fs::read(&file)?)?.into_iter().filter_map(|record| {
        let (state, _) = TcpState::read_from_prefix(&record).ok()?;
        (state.header.kind == kind::TCP_STATE && state.new == tcp_state::LISTEN).then_some(state)
    });
    let own = listens.filter(|state| state.header.pid == pid && state.sock.local_port == port).count();
    ensure!(own == 1, "{own} records of a listener on port {port}");
    Ok(())
}

/// An image without a name, in memory or on a disk.
#[test]
fn images_without_a_file() -> Result<()> {
    const RUN: &str = "
import os, sys
image = open('/bin/true', 'rb').read()
if sys.argv[1] == 'memfd':
    descriptor = os.memfd_create('any')
    os.write(descriptor, image)
else:
    descriptor = os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY, 0o700)
    os.write(descriptor, image)
    os.close(descriptor)
    descriptor = os.open(sys.argv[1], os.O_RDONLY)
    os.unlink(sys.argv[1])
os.execve(descriptor, ['true'], {})
";
    let stage = Stage::new()?;
    let file = stage.path("images.trc");
    let recorder = Recorder::start(&stage, &file)?;
    let python = environment::venv("python")?;
    let memfd = run(Command::new(&python).args(["-c", RUN, "memfd"]))?;
    let unlinked = run(Command::new(&python).args(["-c", RUN]).arg(stage.path("image")))?;
    recorder.stop()?;
    ensure!(exec_of(&file, memfd)?.flags & exec_flag::MEMFD != 0, "a memfd");
    ensure!(exec_of(&file, unlinked)?.flags & exec_flag::UNLINKED != 0, "an unlinked file");
    Ok(())
}

#[test]
fn a_connection_from_its_begin_to_its_totals() -> Result<()> {
    let stage = Stage::new()?;
    let file = stage.path("connection.trc");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = listener.local_addr()?.port();
    let recorder = Recorder::start(&stage, &file)?;
    let mut client = TcpStream::connect(listener.local_addr()?)?;
    let own_port = client.local_addr()?.port();
    let (mut server, _) = listener.accept()?;
    client.write_all(b"12345")?;
    server.read_exact(&mut [0; 5])?;
    server.write_all(b"1234567")?;
    client.read_exact(&mut [0; 7])?;
    drop(client);
    ensure!(server.read(&mut [0])? == 0);
    drop(server);
    recorder.stop()?;

    let states: Vec<TcpState> = records(&fs::read(&file)?)?
        .into_iter()
        .filter_map(|record| Some(TcpState::read_from_prefix(&record).ok()?.0))
        .filter(|state| state.header.kind == kind::TCP_STATE && state.sock.remote_port == port)
        .collect();
    let begun = states.iter().find(|state| state.new == tcp_state::SYN_SENT).context("no begin")?;
    let thread = rustix::thread::gettid().as_raw_nonzero().get();
    ensure!(i64::from(begun.header.tid) == i64::from(thread), "begun by {}", begun.header.tid);
    let of_it = |new| states.iter().find(|state| state.sock.local_port == own_port && state.new == new);
    ensure!(of_it(tcp_state::ESTABLISHED).context("not established")?.old == tcp_state::SYN_SENT);
    let id = begun.sock.id;
    let closed = states.iter().find(|state| state.sock.id == id && state.new == tcp_state::CLOSE);
    let closed = closed.context("not closed")?;
    // The kernel counts the SYN that was acknowledged, and the FIN each way.
    ensure!((closed.bytes_sent, closed.bytes_received) == (5 + 2, 7 + 1), "{closed:?}");
    Ok(())
}
