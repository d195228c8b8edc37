//! What was sent behind a carrier and not read: a request in it may be what an answer is for.

/// Most stretches of bytes that are told one by one.
const MAX_STRETCHES: usize = 4;

/// What was not read.
#[derive(Clone, Copy, Debug)]
pub enum Unread {
    /// So many bytes from there in the stream on.
    Bytes(u64, u64),
    /// Nobody knows how many.
    Some,
    /// From there on, it is no HTTP/1.
    Strange(u64),
}

/// All of it.
#[derive(Debug, Default)]
pub struct Missing {
    stretches: Vec<Unread>,
    /// Stretches past these.
    more: u64,
}

impl Missing {
    /// This as well.
    pub fn add(&mut self, unread: Unread) {
        if let (Some(Unread::Bytes(place, len)), Unread::Bytes(next, more)) =
            (self.stretches.last_mut(), unread)
            && place.wrapping_add(*len) == next
        {
            *len += more;
        } else if self.stretches.len() < MAX_STRETCHES {
            self.stretches.push(unread);
        } else {
            self.more += 1;
        }
    }

    /// Whether all was read.
    pub fn is_empty(&self) -> bool {
        self.stretches.is_empty()
    }

    /// Memory that it takes elsewhere.
    pub fn held(&self) -> usize {
        self.stretches.capacity() * size_of::<Unread>()
    }

    /// What it was, for who counts bytes from `begin` of the stream.
    pub fn facts(&self, begin: u64) -> impl Iterator<Item = String> {
        let more = (self.more > 0).then(|| format!("so were {} stretches more", self.more));
        let stretches = self.stretches.iter().map(move |unread| match *unread {
            Unread::Bytes(place, len) => {
                let at = place.wrapping_sub(begin);
                let to = at.wrapping_add(len);
                format!("bytes {at} to {to} from its begin were not read: there may be a request in them")
            }
            Unread::Some => {
                "an unknown number of bytes behind it was not seen: there may be a request in them".to_owned()
            }
            Unread::Strange(place) => {
                let at = place.wrapping_sub(begin);
                format!("at byte {at} from its begin follows what is no HTTP/1: the answer may be to that")
            }
        });
        stretches.chain(more)
    }
}
