//! RFC 6455: what a client says in a WebSocket, without its masks.

/// Longest head of a frame from a client: two bytes, eight of length, four of mask.
const MAX_HEAD: usize = 14;

/// Reads the frames that a client sends.
#[derive(Debug, Default)]
pub struct Frames {
    head: Vec<u8>,
    mask: [u8; 4],
    /// Bytes of payload that are still to come.
    left: u64,
    /// Bytes of payload that came, for the place in the mask.
    place: usize,
    lost: bool,
}

impl Frames {
    /// The payloads in some bytes of the stream.
    pub fn read(&mut self, mut bytes: &[u8]) -> Vec<u8> {
        let mut payload = Vec::with_capacity(bytes.len());
        while !bytes.is_empty() && !self.lost {
            if self.left == 0 {
                self.head.push(bytes[0]);
                bytes = &bytes[1..];
                self.read_head();
                continue;
            }
            let taken = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
            let masked = bytes[..taken].iter().enumerate();
            payload.extend(masked.map(|(n, byte)| byte ^ self.mask[(self.place + n) % 4]));
            self.left -= taken as u64;
            self.place = (self.place + taken) % 4;
            bytes = &bytes[taken..];
        }
        payload
    }

    /// Whether where frames begin is no longer known.
    pub fn is_lost(&self) -> bool {
        self.lost
    }

    /// So many bytes of the stream were not captured.
    pub fn pass(&mut self, len: u64) {
        self.lost |= len > self.left || !self.head.is_empty();
        self.left = self.left.saturating_sub(len);
        self.place = (self.place + (len % 4) as usize) % 4;
    }

    /// Takes a frame's head, once it is whole.
    fn read_head(&mut self) {
        let [_, second, rest @ ..] = &self.head[..] else { return };
        // RFC 6455, 5.1: "a client MUST mask all frames that it sends to the server".
        if second & 0x80 == 0 {
            self.lost = true;
            return;
        }
        let extended = match second & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        if rest.len() < extended + 4 {
            debug_assert!(self.head.len() < MAX_HEAD);
            return;
        }
        let (length, mask) = rest.split_at(extended);
        self.left = match extended {
            0 => u64::from(second & 0x7f),
            _ => length.iter().fold(0, |length, byte| length << 8 | u64::from(*byte)),
        };
        self.mask.copy_from_slice(&mask[..4]);
        self.place = 0;
        self.head.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(payload: &[u8], extended: bool) -> Vec<u8> {
        let mask = [1, 2, 3, 4];
        let mut frame = vec![0x82];
        if extended {
            frame.push(0x80 | 126);
            frame.extend(u16::try_from(payload.len()).expect("a short one").to_be_bytes());
        } else {
            frame.push(0x80 | payload.len() as u8);
        }
        frame.extend(mask);
        frame.extend(payload.iter().enumerate().map(|(n, byte)| byte ^ mask[n % 4]));
        frame
    }

    #[test]
    fn payloads_at_every_split() {
        let stream = [frame(b"hello", false), frame(b"", false), frame(&[b'x'; 300], true)].concat();
        let expected = [&b"hello"[..], &[b'x'; 300]].concat();
        for split in 0..=stream.len() {
            let mut frames = Frames::default();
            let read = [frames.read(&stream[..split]), frames.read(&stream[split..])].concat();
            assert_eq!(read, expected, "{split}");
        }
    }

    #[test]
    fn what_was_not_captured_is_passed_within_a_payload_only() {
        let stream = [frame(b"hello world", false), frame(b"more", false)].concat();
        let mut frames = Frames::default();
        assert_eq!(frames.read(&stream[..8]), b"he");
        frames.pass(3);
        assert_eq!(frames.read(&stream[11..]), b" worldmore");
        frames.pass(1);
        assert_eq!(frames.read(&frame(b"x", false)), b"");
        let mut unmasked = Frames::default();
        assert_eq!(unmasked.read(&[0x82, 5, b'h', b'e', b'l', b'l', b'o']), b"");
        let mut huge = Frames::default();
        assert_eq!(huge.read(&[&[0x82, 0xff][..], &[0xff; 8], &[0; 4], b"ab"].concat()), b"ab");
    }
}
