//! Name-value pairs: section 3.4.

use crate::cgi::Pair;

/// Most bytes of the parameters of one request: the bound of a head. What comes behind is passed over, and what
/// it said is not known.
pub const MAX_PARAMS: usize = crate::http1::MAX_HEAD;

/// The pairs of a stream; one that is not there to its end is none.
#[derive(Clone, Debug)]
pub(super) struct Pairs<'a>(pub &'a [u8]);

impl<'a> Iterator for Pairs<'a> {
    type Item = Pair<'a>;

    fn next(&mut self) -> Option<Pair<'a>> {
        let (name, rest) = length(self.0)?;
        let (value, rest) = length(rest)?;
        let (name, rest) = rest.split_at_checked(name)?;
        let (value, rest) = rest.split_at_checked(value)?;
        self.0 = rest;
        Some((name, value))
    }
}

/// "Lengths of 127 bytes and less can be encoded in one byte, while longer lengths are always encoded in four
/// bytes". "The high-order bit of the first byte of a length indicates the length's encoding."
fn length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    match bytes {
        [short @ 0..128, rest @ ..] => Some((usize::from(*short), rest)),
        [a, b, c, d, rest @ ..] => {
            let length = u32::from_be_bytes([a & 0x7f, *b, *c, *d]);
            Some((usize::try_from(length).ok()?, rest))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_one_and_four_bytes() {
        let long = [b'v'; 200];
        let stream = [&b"\x01\x02abb\x00\x00\x03\x80\x00\x00\xc8ccc"[..], &long].concat();
        let pairs: Vec<_> = Pairs(&stream).collect();
        assert_eq!(pairs, [(&b"a"[..], &b"bb"[..]), (b"", b""), (b"ccc", &long)]);
    }

    #[test]
    fn what_is_cut_is_no_pair() {
        let stream = b"\x01\x02abb\x01\x80\x00\x00\x04cdddd";
        for end in 0..=stream.len() {
            let whole = usize::from(end >= 5) + usize::from(end == stream.len());
            assert_eq!(Pairs(&stream[..end]).count(), whole, "{end} bytes");
        }
        assert_eq!(Pairs(b"\xff\xff\xff\xff\xff\xff\xff\xffab").count(), 0);
    }
}
