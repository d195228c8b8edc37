//! What a client sends on such a connection, record by record, as far as it stands there in clear.

use super::Carrier;

/// Types of TLS records (RFC 8446, 5.1; RFC 6520).
const CHANGE_CIPHER_SPEC: u8 = 20;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;
const TLS_TYPES: std::ops::RangeInclusive<u8> = CHANGE_CIPHER_SPEC..=24;
/// Frames of HTTP/2 that are part of a request (RFC 9113, 6): DATA, HEADERS, CONTINUATION.
const FRAMES: [u8; 3] = [0, 1, 9];
/// Types beyond it are extensions, which few have.
const MAX_FRAME_TYPE: u8 = 0x20;
/// The preface, which stands before the first frame.
const PREFACE: u64 = 24;
/// Longest head of a record.
const MAX_HEAD: usize = 9;

/// See the module.
#[derive(Debug)]
pub struct Records {
    carrier: Carrier,
    head: [u8; MAX_HEAD],
    /// Bytes of it that have come.
    have: usize,
    /// Bytes that are left of the record.
    left: u64,
    /// Where the next byte is expected, in 32 bits.
    next: Option<u32>,
    /// Whether it is not known where the next record begins.
    lost: bool,
    shake: Shake,
}

/// How far a handshake of TLS has come, as its client's records show it.
#[derive(Clone, Copy, Debug, Default)]
struct Shake {
    /// The client changed its cipher.
    changed: bool,
    /// It went on with the handshake then: TLS 1.2 or older. In TLS 1.3 that looks like data.
    old: bool,
    /// It has sent what looks like data.
    data: bool,
}

impl Records {
    /// Those of a connection from its start.
    pub fn new(carrier: Carrier) -> Self {
        let left = if carrier == Carrier::Http2 { PREFACE } else { 0 };
        let shake = Shake::default();
        Self { carrier, head: [0; MAX_HEAD], have: 0, left, next: None, lost: false, shake }
    }

    /// Whether the client has begun to send what is no handshake.
    pub fn is_established(&self) -> bool {
        self.carrier != Carrier::Tls || self.shake.data || self.lost
    }

    /// Takes what was received: `len` bytes from `offset` on, of which `bytes` were captured. Whether a request, or
    /// more of one, is in it: where that cannot be known, it is. A client that was answered begins a record.
    pub fn received(&mut self, offset: u64, len: u64, bytes: &[u8], turned: bool) -> bool {
        let continued = self.next.is_none_or(|next| next == offset as u32);
        self.next = Some((offset as u32).wrapping_add(len as u32));
        if !continued || self.lost {
            (self.have, self.left) = (0, 0);
            self.lost = !turned;
        }
        let mut request = false;
        let mut rest = bytes;
        while !rest.is_empty() && !self.lost {
            let skipped = self.left.min(rest.len() as u64);
            self.left -= skipped;
            rest = &rest[skipped as usize..];
            let size = head_size(self.carrier);
            let taken = (size - self.have).min(rest.len());
            self.head[self.have..self.have + taken].copy_from_slice(&rest[..taken]);
            self.have += taken;
            rest = &rest[taken..];
            if self.have == size {
                self.have = 0;
                request |= self.begins();
            }
        }
        let unseen = len.saturating_sub(bytes.len() as u64);
        if unseen > self.left || unseen > 0 && self.have > 0 {
            // What begins there is not known; most of what is long is a request.
            self.lost = true;
        }
        self.left = self.left.saturating_sub(unseen);
        request || self.lost
    }

    /// A record's head is there: whether it is part of a request.
    fn begins(&mut self) -> bool {
        let head = self.head;
        let short = |at: usize| u64::from(u16::from_be_bytes([head[at], head[at + 1]]));
        match self.carrier {
            Carrier::Tls if TLS_TYPES.contains(&head[0]) && head[1] == 3 => {
                self.left = short(3);
                self.shake.record(head[0])
            }
            Carrier::Http2 if head[3] < MAX_FRAME_TYPE => {
                self.left = u64::from(head[0]) << 16 | short(1);
                FRAMES.contains(&head[3])
            }
            Carrier::Ajp if head[..2] == [0x12, 0x34] => {
                self.left = short(2);
                // CPing and its like are one byte.
                self.left > 1
            }
            _ => {
                self.lost = true;
                true
            }
        }
    }
}

impl Shake {
    /// A client's record comes: whether it is data of the application. TLS 1.3 hides what ends the handshake among
    /// that (RFC 8446, D.4): the first such record.
    fn record(&mut self, kind: u8) -> bool {
        match kind {
            CHANGE_CIPHER_SPEC => self.changed = true,
            HANDSHAKE => self.old |= self.changed,
            APPLICATION_DATA => return std::mem::replace(&mut self.data, true) || self.old,
            _ => {}
        }
        false
    }
}

const fn head_size(carrier: Carrier) -> usize {
    match carrier {
        Carrier::Tls => 5,
        Carrier::Http2 => MAX_HEAD,
        Carrier::Ajp => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A name, what is received, and whether each of it holds a request.
    type Case = (&'static str, Carrier, Vec<Vec<u8>>, &'static [bool]);

    /// Records of TLS, 40 bytes each.
    fn tls(kinds: &[u8]) -> Vec<u8> {
        kinds.iter().flat_map(|kind| [&[*kind, 3, 3, 0, 40][..], &[*kind; 40]].concat()).collect()
    }

    /// Frames of HTTP/2.
    fn frames(kinds: &[u8]) -> Vec<u8> {
        kinds.iter().flat_map(|kind| [&[0, 0, 8, *kind, 0, 0, 0, 0, 1][..], &[9; 8]].concat()).collect()
    }

    /// What each receive says, whole or in pieces of any size.
    fn told(carrier: Carrier, receives: &[Vec<u8>]) -> Vec<bool> {
        let pieces = |size: usize| -> Vec<bool> {
            let (mut records, mut offset) = (Records::new(carrier), u64::from(u32::MAX) - 50);
            let mut told = Vec::new();
            for receive in receives {
                let mut any = false;
                for (n, piece) in receive.chunks(size).enumerate() {
                    any |= records.received(offset, piece.len() as u64, piece, n == 0);
                    offset += piece.len() as u64;
                }
                told.push(any);
            }
            told
        };
        let whole = pieces(usize::MAX);
        (1..20).for_each(|size| assert_eq!(pieces(size), whole, "in pieces of {size}"));
        whole
    }

    #[test]
    fn requests_and_what_is_none() {
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        let cases: [Case; 6] = [
            (
                "TLS 1.2",
                Carrier::Tls,
                vec![tls(&[22]), tls(&[22, 20, 22]), tls(&[23]), tls(&[21])],
                &[false, false, true, false],
            ),
            (
                "TLS 1.3",
                Carrier::Tls,
                vec![tls(&[22]), tls(&[20, 23]), tls(&[23]), tls(&[23, 23])],
                &[false, false, true, true],
            ),
            ("TLS 1.3, at once", Carrier::Tls, vec![tls(&[22]), tls(&[20, 23, 23])], &[false, true]),
            ("a scan", Carrier::Tls, vec![tls(&[22]), tls(&[21])], &[false, false]),
            (
                "HTTP/2",
                Carrier::Http2,
                vec![[preface, &frames(&[4])[..]].concat(), frames(&[4, 8, 1]), frames(&[6]), frames(&[0])],
                &[false, true, false, true],
            ),
            (
                "AJP",
                Carrier::Ajp,
                vec![b"\x12\x34\x00\x01\x0a".to_vec(), b"\x12\x34\x00\x03\x02\x02\x00".to_vec()],
                &[false, true],
            ),
        ];
        for (name, carrier, receives, expected) in cases {
            assert_eq!(told(carrier, &receives), expected, "{name}");
        }
    }

    #[test]
    fn what_was_not_captured() {
        let mut records = Records::new(Carrier::Tls);
        assert!(!records.received(0, 45, &tls(&[22]), true));
        assert!(!records.received(45, 135, &tls(&[22, 20, 22]), true));
        assert!(records.received(180, 45, &tls(&[23])[..16], true), "the rest of a record");
        assert!(!records.received(225, 45, &tls(&[21])[..16], true), "a record follows");
        assert!(records.received(270, 900, &tls(&[21])[..16], true), "more than a record");
        assert!(records.received(1170, 45, &tls(&[21]), false), "not known where");
        assert!(!records.received(1300, 45, &tls(&[21]), true), "behind an answer a record begins");
        assert!(records.received(5000, 45, b"", true), "nothing captured");
    }
}
