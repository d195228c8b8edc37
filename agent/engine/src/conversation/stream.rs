//! One direction of a connection.

use crate::{
    http1::{Event, Loss, Role},
    protocol::{Answering, Parser, Protocol},
};

/// What moved in one direction.
#[derive(Clone, Copy, Debug)]
pub enum Moved<'a> {
    /// Bytes.
    Bytes(&'a [u8]),
    /// So many that were not captured.
    Gap(u64),
    /// An unknown number.
    Jump,
}

impl Moved<'_> {
    /// The first of them.
    pub fn first(self, len: u64) -> Self {
        match self {
            Self::Bytes(bytes) => Self::Bytes(&bytes[..bytes.len().min(len as usize)]),
            Self::Gap(all) => Self::Gap(all.min(len)),
            Self::Jump => Self::Jump,
        }
    }
}

/// One direction's parser, and whether it lost where messages begin.
#[derive(Debug)]
pub(super) struct Stream {
    pub parser: Parser,
    pub lost: bool,
}

impl Stream {
    pub fn new(protocol: Protocol, role: Role) -> Self {
        Self { parser: Parser::new(protocol, role), lost: false }
    }

    /// One step of the parser over what is left of `rest`; nothing when nothing is left to say.
    pub fn step(&mut self, rest: &mut Moved<'_>, answering: Answering) -> Option<(u64, Option<Event>)> {
        match rest {
            Moved::Bytes(bytes) => {
                let (used, event) = self.parser.step(bytes, answering);
                let done = used == 0 && event.is_none();
                *bytes = &bytes[used..];
                (!done).then_some((used as u64, event))
            }
            Moved::Gap(len) => {
                let (used, event) = self.parser.gap(*len);
                let done = used == 0 && event.is_none();
                *len -= used;
                (!done).then_some((used, event))
            }
            Moved::Jump => {
                *rest = Moved::Gap(0);
                Some((0, Some(Event::Lost(Loss::Gap))))
            }
        }
    }
}
