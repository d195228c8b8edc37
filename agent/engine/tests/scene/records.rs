//! Records as the kernel programs would write them.

use tracer_common::{
    AF_INET, AF_UNIX, Data, Exec, Exit, Fork, Header, Sock, TcpState, UnixSeen, WIRE_VERSION, Wake,
    data_flag, kind, tcp_state,
};
use zerocopy::IntoBytes;

/// A thread of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thread(pub u32, pub u32);

/// One end of a connection: its socket, and where its two streams have come.
#[derive(Clone, Copy, Debug)]
pub struct End {
    pub sock: Sock,
    /// By [`direction`].
    pub next: [u64; 2],
    /// What the kernel counts as sent when it ends.
    pub sent: u64,
}

/// What one operation moved.
#[derive(Clone, Copy, Debug)]
pub struct Moved<'a> {
    pub direction: u8,
    pub ret: i32,
    pub bytes: &'a [u8],
}

pub fn header(kind: u16, len: usize, time_ns: u64, thread: Thread) -> Header {
    Header { kind, version: WIRE_VERSION, len: len as u32, time_ns, pid: thread.0, tid: thread.1 }
}

/// IPv4 as the kernel programs write it.
pub fn mapped(address: [u8; 4]) -> [u8; 16] {
    let mut mapped = [0; 16];
    (mapped[10], mapped[11]) = (0xff, 0xff);
    mapped[12..].copy_from_slice(&address);
    mapped
}

/// The two sockets of a TCP connection, client first; `iss` are their initial sequence numbers.
pub fn tcp_pair(number: u64, client_port: u16, server_port: u16, iss: [u32; 2]) -> [End; 2] {
    let first = |iss: u32| iss.wrapping_add(1);
    let end = |n: u64, local_port, remote_port, [own, other]: [u32; 2]| End {
        sock: Sock {
            id: 0xa000 + number * 2 + n,
            inode: 100 + number * 2 + n,
            netns: 1,
            family: AF_INET,
            local_port,
            remote_port,
            local: mapped([127, 0, 0, 1]),
            remote: mapped([127, 0, 0, 1]),
            sent_from: if n == 0 { own } else { first(own) },
            received_from: first(other),
            ..Sock::default()
        },
        next: [first(own).into(), first(other).into()],
        sent: 0,
    };
    [end(0, client_port, server_port, iss), end(1, server_port, client_port, [iss[1], iss[0]])]
}

/// The two sockets of a unix connection, client first.
pub fn unix_pair(number: u64) -> [End; 2] {
    let end = |n: u64| End {
        sock: Sock {
            id: 0xa000 + number * 2 + n,
            peer: 0xa000 + number * 2 + 1 - n,
            inode: 100 + number * 2 + n,
            netns: 1,
            family: AF_UNIX,
            ..Sock::default()
        },
        next: [0, 0],
        sent: 0,
    };
    [end(0), end(1)]
}

impl End {
    /// An operation's record; the stream goes on behind it.
    pub fn data(&mut self, time_ns: u64, thread: Thread, moved: Moved<'_>) -> Vec<u8> {
        let Moved { direction, ret, bytes } = moved;
        let next = &mut self.next[usize::from(direction)];
        let offset = *next;
        *next = next.wrapping_add(u64::try_from(ret).unwrap_or(0));
        if self.sock.family == AF_INET {
            *next &= u64::from(u32::MAX);
        }
        let data = Data {
            header: header(kind::DATA, size_of::<Data>() + bytes.len(), time_ns, thread),
            sock: self.sock,
            offset,
            ret,
            captured: bytes.len() as u32,
            direction,
            flags: if bytes.is_empty() && ret > 0 { data_flag::NO_BUFFER } else { 0 },
            ..Data::default()
        };
        [data.as_bytes(), bytes].concat()
    }

    /// A change of state; the socket of a record without a file has no inode.
    pub fn state(&self, time_ns: u64, thread: Thread, old: u8, new: u8) -> Vec<u8> {
        let mut sock = self.sock;
        (sock.sent_from, sock.received_from) = (0, 0);
        match (old, new) {
            (tcp_state::SYN_RECV, _) => sock.inode = 0,
            (_, tcp_state::SYN_SENT) => sock.local_port = 0,
            (tcp_state::LAST_ACK | tcp_state::FIN_WAIT2, _) => (sock.inode, sock.local_port) = (0, 0),
            _ => {}
        }
        let state = TcpState {
            header: header(kind::TCP_STATE, size_of::<TcpState>(), time_ns, thread),
            sock,
            bytes_sent: self.sent,
            write_seq: self.next[0] as u32,
            copied_seq: self.next[1] as u32,
            old,
            new,
            ..TcpState::default()
        };
        state.as_bytes().to_vec()
    }

    /// The first sight of a unix socket, whose counts begin now.
    pub fn unix_seen(&mut self, time_ns: u64, thread: Thread, names: [&str; 2]) -> Vec<u8> {
        self.next = [0, 0];
        let name = |name: &str| {
            let mut bytes = [0; tracer_common::UNIX_PATH];
            bytes[..name.len()].copy_from_slice(name.as_bytes());
            (bytes, name.len() as u16)
        };
        let [(local, local_len), (remote, remote_len)] = names.map(name);
        let header = header(kind::UNIX_SEEN, size_of::<UnixSeen>(), time_ns, thread);
        let seen = UnixSeen { header, sock: self.sock, local, remote, local_len, remote_len, pad: 0 };
        seen.as_bytes().to_vec()
    }
}

pub fn fork(time_ns: u64, thread: Thread, child_pid: u32) -> Vec<u8> {
    let header = header(kind::FORK, size_of::<Fork>(), time_ns, thread);
    Fork { header, child_pid, child_tid: child_pid }.as_bytes().to_vec()
}

pub fn began(time_ns: u64, thread: Thread, tid: u32) -> Vec<u8> {
    let header = header(kind::FORK, size_of::<Fork>(), time_ns, thread);
    Fork { header, child_pid: thread.0, child_tid: tid }.as_bytes().to_vec()
}

pub fn wake(time_ns: u64, thread: Thread, woken_tid: u32, futex: u64) -> Vec<u8> {
    let header = header(kind::WAKE, size_of::<Wake>(), time_ns, thread);
    Wake { header, futex, woken_tid, pad: 0 }.as_bytes().to_vec()
}

/// `thread` is the one that called exec; the record already has the process's number.
pub fn exec(time_ns: u64, thread: Thread, ppid: u32, file: &str, args: &[&str]) -> Vec<u8> {
    exec_as(Exec { ppid, ..Exec::default() }, time_ns, thread, file, args)
}

/// The same with what else `given` says.
pub fn exec_as(given: Exec, time_ns: u64, thread: Thread, file: &str, args: &[&str]) -> Vec<u8> {
    let args: String = args.iter().flat_map(|arg| [*arg, "\0"]).collect();
    let len = size_of::<Exec>() + file.len() + args.len();
    let exec = Exec {
        header: header(kind::EXEC, len, time_ns, Thread(thread.0, thread.0)),
        old_tid: thread.1,
        filename_len: file.len() as u16,
        args_len: args.len() as u16,
        ..given
    };
    [exec.as_bytes(), file.as_bytes(), args.as_bytes()].concat()
}

pub fn exit(time_ns: u64, thread: Thread, status: u32, process_ended: bool) -> Vec<u8> {
    let header = header(kind::EXIT, size_of::<Exit>(), time_ns, thread);
    Exit { header, status, process_ended: process_ended.into() }.as_bytes().to_vec()
}
