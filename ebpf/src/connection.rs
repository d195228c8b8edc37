//! The life of TCP connections.

use crate::{
    kernel::{self, Address, header},
    layout,
    maps::{OWN_SOCKETS, OWN_STREAMS, SOCKETS, count_lost, deliver},
};
use tracer_common::{Sock, TcpState, kind, lost, tcp_state};

/// `inet_sock_set_state`: `sk` goes from state `old` to `new`.
#[inline(always)]
pub fn state_changed(sk: u64, old: i32, new: i32) {
    let (old, new) = (old as u8, new as u8);
    if !matters(old, new) {
        return;
    }
    if !is_sending_end(new) {
        // Another connection begins or ends at this address.
        let _ = SOCKETS.remove(sk);
    }
    let sk = Address(sk);
    let Some(head) = kernel::stream_socket(sk) else { return };
    if is_own(sk, &head, new) {
        return;
    }
    if report(sk, &head, old, new).is_none() {
        count_lost(lost::UNREADABLE);
    }
}

/// Whether the socket is the agent's own; notes how the other end will know its connection.
///
/// A connect is known by the thread that begins it, the rest may run in any thread. The peer's socket is
/// established only after this one, and moves bytes only after that.
#[inline(always)]
fn is_own(sk: Address, head: &kernel::SockHead, new: u8) -> bool {
    if new == tcp_state::SYN_SENT && kernel::is_agent() {
        let _ = OWN_SOCKETS.insert(sk.0, 0, 0);
        return true;
    }
    if OWN_SOCKETS.get_ptr(sk.0).is_none() {
        return false;
    }
    match new {
        tcp_state::ESTABLISHED => {
            if let Some(seq) = sk.read::<u32>(layout!(tcp_write_seq)) {
                let _ = OWN_STREAMS.insert(seq, head.local_port(), 0);
            }
        }
        tcp_state::CLOSE => drop(OWN_SOCKETS.remove(sk.0)),
        _ => {}
    }
    true
}

/// Begin, establishment, local end of sending, end; of a listener its begin.
#[inline(always)]
fn matters(old: u8, new: u8) -> bool {
    match new {
        tcp_state::SYN_SENT | tcp_state::ESTABLISHED | tcp_state::LISTEN => true,
        tcp_state::CLOSE => old != tcp_state::LISTEN,
        _ => is_sending_end(new),
    }
}

/// The process will send nothing more.
#[inline(always)]
fn is_sending_end(new: u8) -> bool {
    new == tcp_state::FIN_WAIT1 || new == tcp_state::LAST_ACK
}

#[inline(always)]
fn report(sk: Address, head: &kernel::SockHead, old: u8, new: u8) -> Option<()> {
    let mut record = TcpState {
        header: header(kind::TCP_STATE, size_of::<TcpState>()),
        sock: Sock::default(),
        bytes_sent: sk.read(layout!(tcp_bytes_acked))?,
        bytes_received: sk.read(layout!(tcp_bytes_received))?,
        write_seq: sk.read(layout!(tcp_write_seq))?,
        copied_seq: sk.read(layout!(tcp_copied_seq))?,
        old,
        new,
        pad: [0; 6],
    };
    kernel::describe(sk, head, &mut record.sock)?;
    // SAFETY: a value on the stack, and its own size.
    unsafe { deliver((&raw const record).cast(), size_of::<TcpState>(), lost::CONNECTION) };
    Some(())
}
