//! Bytes of a record into its parts. The bytes may be a stranger's: a recording from anywhere.

use tracer_common::{Data, Exec, Exit, Fork, Header, TcpState, UnixSeen, WIRE_VERSION, Wake, kind};
use zerocopy::FromBytes;

/// One record, its tail cut to what its own lengths say.
#[derive(Clone, Copy, Debug)]
pub enum Record<'a> {
    /// Bytes moved; the tail is what was copied of them.
    Data(Data, &'a [u8]),
    /// A TCP socket changed its state.
    TcpState(TcpState),
    /// A unix socket was first seen.
    UnixSeen(UnixSeen),
    /// A process was forked, or a thread began.
    Fork(Fork),
    /// A process changed its image; file name and arguments.
    Exec(Exec, &'a [u8], &'a [u8]),
    /// A thread ended.
    Exit(Exit),
    /// A thread woke another one.
    Wake(Wake),
}

/// Decodes a record; nothing when it is cut short, of an unknown kind or of another version.
#[must_use]
pub fn decode(bytes: &[u8]) -> Option<Record<'_>> {
    let (header, _) = Header::read_from_prefix(bytes).ok()?;
    if header.version != WIRE_VERSION || header.len as usize != bytes.len() {
        return None;
    }
    match header.kind {
        kind::DATA => {
            let (data, tail) = Data::read_from_prefix(bytes).ok()?;
            let moved = usize::try_from(data.ret).unwrap_or(usize::MAX);
            let consistent = data.captured as usize <= tail.len().min(moved) && data.direction <= 1;
            consistent.then(|| Record::Data(data, &tail[..data.captured as usize]))
        }
        kind::TCP_STATE => Some(Record::TcpState(TcpState::read_from_prefix(bytes).ok()?.0)),
        kind::UNIX_SEEN => Some(Record::UnixSeen(UnixSeen::read_from_prefix(bytes).ok()?.0)),
        kind::FORK => Some(Record::Fork(Fork::read_from_prefix(bytes).ok()?.0)),
        kind::EXEC => {
            let (exec, tail) = Exec::read_from_prefix(bytes).ok()?;
            let (filename, tail) = tail.split_at_checked(exec.filename_len.into())?;
            Some(Record::Exec(exec, filename, tail.get(..exec.args_len.into())?))
        }
        kind::WAKE => Some(Record::Wake(Wake::read_from_prefix(bytes).ok()?.0)),
        kind::EXIT => Some(Record::Exit(Exit::read_from_prefix(bytes).ok()?.0)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zerocopy::IntoBytes;

    fn data(ret: i32, captured: u32, tail: &[u8]) -> Vec<u8> {
        let header = Header {
            kind: kind::DATA,
            version: WIRE_VERSION,
            len: (size_of::<Data>() + tail.len()) as u32,
            ..Header::default()
        };
        let mut bytes = Data { header, ret, captured, ..Data::default() }.as_bytes().to_vec();
        bytes.extend_from_slice(tail);
        bytes
    }

    #[test]
    fn a_record_gives_its_tail() {
        let bytes = data(5, 3, b"abc");
        assert!(matches!(decode(&bytes), Some(Record::Data(d, b"abc")) if d.ret == 5));
    }

    #[test]
    fn every_prefix_of_a_record_is_refused() {
        let bytes = data(5, 3, b"abc");
        for n in 0..bytes.len() {
            assert!(decode(&bytes[..n]).is_none(), "{n} bytes");
        }
    }

    #[test]
    fn lengths_that_contradict_each_other_are_refused() {
        assert!(decode(&data(5, 4, b"abc")).is_none(), "more captured than there is");
        assert!(decode(&data(2, 3, b"abc")).is_none(), "more captured than moved");
        let mut other_version = data(3, 3, b"abc");
        other_version[2] = 99;
        assert!(decode(&other_version).is_none());
        let mut other_kind = data(3, 3, b"abc");
        other_kind[0] = 99;
        assert!(decode(&other_kind).is_none());
    }

    #[test]
    fn a_failed_send_may_have_a_tail() {
        assert!(matches!(decode(&data(-32, 3, b"abc")), Some(Record::Data(_, b"abc"))));
    }
}
