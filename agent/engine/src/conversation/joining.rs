//! Where requests begin on a connection, and where they are found again.

use super::{Conversation, Moved, Open, Phase, Stream};
use crate::{
    exchange::{Problem, Side},
    http1::{Guess, Role},
    protocol::Protocol,
    world::{Op, World},
};
use tracer_common::direction;

/// Turns of a connection, one direction to the other, that may pass without a request before it is given up.
const MAX_TURNS: u8 = 8;
/// The same of a connection that had some: what streams both ways at once turns often.
const MAX_LOST_TURNS: u8 = 64;

/// Most bytes of what may be a request that are kept until that is known: an everyday start line.
const MAX_BEGUN: usize = 1024;

impl Conversation {
    /// What is spoken, where that is known, or else what would be by who begins with these bytes.
    pub(super) fn speaks(&self, bytes: &[u8]) -> Protocol {
        let guess = || bytes.first().map(|first| Protocol::beginning_with(*first));
        self.protocol.or_else(guess).unwrap_or_default()
    }

    /// It is known what is spoken, or no longer.
    pub(super) fn speak(&mut self, protocol: impl Into<Option<Protocol>>) {
        self.protocol = protocol.into();
        (self.requests, self.responses) = (self.anew(Role::Request), self.anew(Role::Response));
    }

    /// A direction that is between two messages.
    pub(super) fn anew(&self, role: Role) -> Stream {
        Stream::new(self.protocol.unwrap_or_default(), role)
    }

    /// Whether a request begins here, on a connection of which it is not known what is spoken.
    pub(super) fn join(&mut self, direction: u8, moved: Moved<'_>, turns: u8) -> bool {
        let Moved::Bytes(bytes) = moved else { return false };
        let (asks, answers) = match direction {
            direction::SEND => (Side::Client, Side::Server),
            _ => (Side::Server, Side::Client),
        };
        let protocol = self.speaks(bytes);
        let guess = match self.side_seen && self.side != Some(asks) {
            true => Guess::No,
            false => protocol.looks_like_request(bytes),
        };
        if guess != Guess::No && !self.turned() && !self.first {
            // More of what was no request before: a content may read like anything.
            return false;
        }
        if guess != Guess::No {
            self.unproven = (!self.turned()).then_some((turns, self.side));
            self.tentative = (guess == Guess::More).then_some((turns, self.side));
            self.side = Some(asks);
            self.phase = Phase::Spoken;
            self.speak(protocol);
            return true;
        }
        if !self.side_seen && protocol.looks_like_response(bytes) == Guess::Yes {
            self.side = Some(answers);
        } else if self.turned() {
            self.turned_in_vain(turns);
        }
        false
    }

    fn turned_in_vain(&mut self, turns: u8) {
        self.phase = match turns.saturating_add(1) {
            MAX_TURNS.. => Phase::Opaque,
            turns => Phase::Undecided { turns },
        };
    }

    /// What might have been a request was none.
    pub(super) fn retract(&mut self) {
        let Some((turns, side)) = self.tentative.take() else { return };
        self.side = side;
        self.speak(None);
        self.asking = None;
        self.turned_in_vain(turns);
    }

    /// What was taken for a request was part of a content: forgets all that came of it.
    pub(super) fn disprove(&mut self, world: &mut World) {
        let Some((turns, side)) = self.unproven.take() else { return };
        for node in std::mem::take(&mut self.open).into_iter().filter_map(|open| open.node) {
            world.retract(node);
        }
        self.tentative = None;
        self.side = side;
        self.speak(None);
        (self.asking, self.current, self.early) = (None, None, Vec::new());
        self.phase = Phase::Undecided { turns };
    }

    /// Bytes that it keeps of what is unfinished: heads, responses whose request has not come yet, and
    /// requests that wait behind the first.
    pub fn unfinished(&self) -> usize {
        let heads = self.requests.parser.buffered() + self.responses.parser.buffered();
        heads
            + self.early_bytes()
            + self.ledger.held()
            + self.open.len().saturating_sub(1) * size_of::<Open>()
    }

    /// Gives up what is unfinished. The connection goes on as one of which nothing was seen so far.
    pub fn shed(&mut self, world: &mut World) {
        self.give_up(Problem::Unseen, self.last_answer().unwrap_or(world.now), world);
        self.speak(None);
        (self.tentative, self.unproven) = (None, None);
        (self.withheld, self.refused) = (false, false);
        self.ledger.forget();
        self.maybe = None;
        self.side = self.side.filter(|_| self.side_seen);
        if self.phase == Phase::Spoken {
            self.phase = Phase::Undecided { turns: 0 };
        }
    }

    /// What stands at `place`, where a request should begin, is none.
    pub(super) fn no_request(&mut self, place: u64, world: &mut World) {
        if self.unproven.is_some() && !self.open.is_empty() {
            self.disprove(world);
        } else if self.tentative.is_some() {
            self.retract();
        } else if self.exchanges > 0 {
            // What answers it is no answer to anything that a carrier brought.
            self.ledger.strange(place);
            self.lose_requests(world);
        } else {
            self.early = Vec::new();
            self.phase = Phase::Opaque;
        }
    }

    /// Where requests begin is no longer known.
    pub(super) fn lose_requests(&mut self, world: &mut World) {
        if self.tentative.is_some() {
            return self.retract();
        }
        world.stats.boundaries_lost += 1;
        (self.asking, self.current) = (None, None);
        self.requests.lost = true;
        self.lost_turns = 0;
        self.doubt_side(world);
    }

    /// Where responses begin and end is no longer known.
    pub(super) fn lose_responses(&mut self, world: &mut World) {
        if self.unproven.is_some() {
            return self.disprove(world);
        }
        world.stats.boundaries_lost += 1;
        self.informational = false;
        self.responses.lost = true;
        self.doubt_side(world);
    }

    /// What makes sense in neither direction may be the wrong way round, unless its birth was seen.
    fn doubt_side(&mut self, world: &mut World) {
        if self.side_seen || !self.requests.lost || !self.responses.lost {
            return;
        }
        self.give_up(Problem::Unseen, self.last_answer().unwrap_or(world.now), world);
        self.speak(None);
        self.side = None;
        self.phase = Phase::Undecided { turns: 0 };
    }

    /// Whether requests can be read here: always, unless they were lost. Gives what belongs before these bytes,
    /// and its place, where a request came in small pieces.
    pub(super) fn finds_requests(
        &mut self,
        offset: u64,
        moved: Moved<'_>,
        world: &mut World,
    ) -> Option<Option<(u64, Vec<u8>)>> {
        if !self.requests.lost {
            return Some(None);
        }
        // A body goes on while nothing answers it.
        let owed = self.open.front().is_some_and(|open| !open.answered) && !self.responses.lost;
        let begun = self.maybe.take();
        let Moved::Bytes(bytes) = moved else { return None };
        let begun = if self.turned() && begun.is_none() { Some((offset, Vec::new())) } else { begun };
        if let Some((place, begun)) = begun.filter(|_| !owed) {
            let all = [&begun, bytes].concat();
            match self.speaks(&all).looks_like_request(&all) {
                Guess::Yes => {
                    self.give_up(Problem::Unseen, self.last_answer().unwrap_or(world.now), world);
                    self.speak(self.protocol);
                    return Some((!begun.is_empty()).then_some((place, begun)));
                }
                Guess::More if begun.len() + bytes.len() <= MAX_BEGUN => {
                    self.maybe = Some((place, all));
                }
                _ => {}
            }
        }
        self.lost_turns += u8::from(self.turned());
        if self.lost_turns >= MAX_LOST_TURNS {
            self.give_up(Problem::Unseen, self.last_answer().unwrap_or(world.now), world);
            self.phase = Phase::Opaque;
        }
        None
    }

    /// Whether responses can be read here: always, unless they were lost.
    ///
    /// A status line behind unseen bytes answers the last request: those before it had their answers in
    /// these bytes, or else their client would not have gone on to ask.
    pub(super) fn finds_responses(&mut self, moved: Moved<'_>, op: Op, world: &mut World) -> bool {
        if !self.responses.lost {
            return true;
        }
        let bytes = match moved {
            Moved::Bytes(bytes) => bytes,
            Moved::Gap(len) => {
                self.ledger.unheard += len;
                return false;
            }
            Moved::Jump => return false,
        };
        if self.speaks(bytes).looks_like_response(bytes) != Guess::Yes {
            return false;
        }
        let Some(last) = self.open.back().filter(|last| !last.answered) else {
            self.maybe_unasked(bytes, op, world);
            return false;
        };
        let asked = last.asked;
        let pipelined = self.open.iter().rev().skip(1).any(|open| open.asked == asked);
        let answered = if pipelined { None } else { self.open.pop_back() };
        let (asking, current) = (self.asking.take(), self.current);
        self.give_up(Problem::Unseen, self.last_answer().unwrap_or(world.now), world);
        (self.asking, self.current) = (asking, current);
        self.open.extend(answered);
        if pipelined {
            // Which of them it answers cannot be known.
            return false;
        }
        self.responses = self.anew(Role::Response);
        self.ledger.unheard = 0;
        true
    }
}
