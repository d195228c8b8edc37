//! Records of sockets.

use crate::Header;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// `AF_UNIX`.
pub const AF_UNIX: u16 = 1;
/// `AF_INET`.
pub const AF_INET: u16 = 2;
/// `AF_INET6`.
pub const AF_INET6: u16 = 10;

/// Upper bound of the bytes copied from one operation: the largest snap length that can be asked for.
///
/// Heads of requests fit (servers refuse them beyond 8 to 16 KiB), and a record in the making, with room
/// for one more copy, fits the largest per-CPU map value of the kernel (32 KiB).
pub const MAX_SNAP: usize = 16 * 1024 - 64;

/// Set in the inode of a muted socket whose turns are still told.
pub const MUTED_BUT_TURNS: u64 = 1 << 63;

/// Direction of an operation, seen from the process that did it.
pub mod direction {
    /// Bytes sent.
    pub const SEND: u8 = 0;
    /// Bytes received.
    pub const RECEIVE: u8 = 1;
}

/// Bits of [`Data::flags`].
pub mod data_flag {
    /// The system call showed no buffer that could be read (`sendfile`, `splice`, `io_uring`,
    /// `recvmmsg`, 32-bit callers): only the length is known.
    pub const NO_BUFFER: u8 = 1;
    /// A buffer was there, but not all of what should have been copied could be read.
    pub const UNREADABLE: u8 = 2;
    /// More buffers were given than are followed: the tail is shorter for it.
    pub const MANY_BUFFERS: u8 = 4;
}

/// Which socket, and what it is connected to.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Sock {
    /// Identity of the kernel's socket while it lives (its address, masked by a secret of the run).
    pub id: u64,
    /// The same of the unix socket at the other end; 0 when unknown or not a unix socket.
    pub peer: u64,
    /// Inode of the socket's file; 0 when it has none yet, or no longer.
    pub inode: u64,
    /// Inode of the network namespace.
    pub netns: u32,
    /// [`AF_UNIX`], [`AF_INET`] or [`AF_INET6`].
    pub family: u16,
    /// Zero.
    pub pad: u16,
    /// Local port, host order; 0 for unix sockets.
    pub local_port: u16,
    /// Remote port, host order; 0 for unix sockets.
    pub remote_port: u16,
    /// TCP: the sequence number from which the kernel counts what the peer has acknowledged (`snd_una` less
    /// `bytes_acked`). At the end that connected that is its SYN, which counts; at the end that accepted, its
    /// first byte. 0 when unknown, and in a [`TcpState`], which has the number of the next byte itself.
    pub sent_from: u32,
    /// TCP: the sequence number of the first byte from the peer (`rcv_nxt` less `bytes_received`); 0 likewise.
    pub received_from: u32,
    /// Zero.
    pub pad2: u32,
    /// Local address, network order; IPv4 as `::ffff:a.b.c.d`.
    pub local: [u8; 16],
    /// Remote address, like `local`.
    pub remote: [u8; 16],
}
const _: () = assert!(size_of::<Sock>() == 80);

/// One send or receive on a stream socket. The tail is what was copied of its bytes.
///
/// Hooks: `sock_send_length`, `sock_recv_length`. Peeks, empty sends and operations that would have
/// blocked are not reported. A receive of 0 bytes is: it is the end of the peer's stream. Of a socket whose bytes
/// nobody wants one send in about a megabyte is, with no tail; of one whose turns are of interest, the first operations in
/// one direction after the other, and later ones now and then, with a short tail.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Data {
    /// Header.
    pub header: Header,
    /// The socket.
    pub sock: Sock,
    /// Place of the first byte in its direction's stream. TCP: its sequence number, 32 bits, equal at
    /// both ends. Unix: bytes counted before it since the socket was first seen.
    pub offset: u64,
    /// Bytes moved, or the negative error of a failed send (then the tail is what it tried to send and
    /// the stream did not advance).
    pub ret: i32,
    /// Length of the tail in bytes: the first `captured` bytes of the operation.
    pub captured: u32,
    /// One of [`direction`].
    pub direction: u8,
    /// Bits of [`data_flag`].
    pub flags: u8,
    /// Number of the system call the thread was in, as its architecture numbers it; `u16::MAX` when it
    /// was in none.
    pub syscall: u16,
    /// Zero.
    pub pad: u32,
}
const _: () = assert!(size_of::<Data>() == 128);

/// A change of a TCP socket's state (`inet_sock_set_state`).
///
/// Reported: the begin of a connect (to `SYN_SENT`, in the thread that called it), of listening (to `LISTEN`,
/// likewise), the establishment, the local end of sending (`FIN_WAIT1`, `LAST_ACK`), the end (`CLOSE`). Only the
/// begins and, usually, the local end run in the thread that caused them: elsewhere header.pid means nothing.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct TcpState {
    /// Header.
    pub header: Header,
    /// The socket; its local port may be 0 while a connect begins.
    pub sock: Sock,
    /// Bytes acknowledged by the peer (`tcp_sock.bytes_acked`); the SYN of the end that connects counts as one,
    /// and the FIN.
    pub bytes_sent: u64,
    /// Bytes received in order (`tcp_sock.bytes_received`); the FIN counts as one.
    pub bytes_received: u64,
    /// Sequence number of the next byte to be sent (`tcp_sock.write_seq`).
    pub write_seq: u32,
    /// Sequence number of the next byte to be read (`tcp_sock.copied_seq`).
    pub copied_seq: u32,
    /// Former state.
    pub old: u8,
    /// New state.
    pub new: u8,
    /// Zero.
    pub pad: [u8; 6],
}
const _: () = assert!(size_of::<TcpState>() == 136);

/// States of [`TcpState`] (`include/net/tcp_states.h`).
pub mod tcp_state {
    #![expect(missing_docs, reason = "the names are RFC 9293's")]
    pub const ESTABLISHED: u8 = 1;
    pub const SYN_SENT: u8 = 2;
    pub const SYN_RECV: u8 = 3;
    pub const FIN_WAIT1: u8 = 4;
    pub const FIN_WAIT2: u8 = 5;
    pub const TIME_WAIT: u8 = 6;
    pub const CLOSE: u8 = 7;
    pub const CLOSE_WAIT: u8 = 8;
    pub const LAST_ACK: u8 = 9;
    pub const LISTEN: u8 = 10;
    pub const CLOSING: u8 = 11;
    pub const NEW_SYN_RECV: u8 = 12;
}

/// Longest name of a unix socket (`sun_path`).
pub const UNIX_PATH: usize = 108;

/// The names of a unix stream socket, sent before the first [`Data`] of it.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct UnixSeen {
    /// Header.
    pub header: Header,
    /// The socket.
    pub sock: Sock,
    /// Its own name: of an accepted socket, that of the listener. Abstract names begin with NUL.
    pub local: [u8; UNIX_PATH],
    /// The peer's name.
    pub remote: [u8; UNIX_PATH],
    /// Bytes of `local` that count.
    pub local_len: u16,
    /// Bytes of `remote` that count.
    pub remote_len: u16,
    /// Zero.
    pub pad: u32,
}
const _: () = assert!(size_of::<UnixSeen>() == 328);
