//! What was asked on a connection and could be more than it seems.

use super::Moved;
use crate::{
    Time,
    cases::Subject,
    detect::smuggling::{self, Carrier, Swapped, Tunnel, Unread},
    exchange::Contested,
    finding::Confidence,
    graph::NodeId,
    http1::Deviations,
};
use std::collections::VecDeque;

/// Most requests that are kept since they may carry another: a back end may serve one only when later bytes
/// come, which are of other requests.
const MAX_CARRIERS: usize = 4;

/// Requests behind a carrier that may be asked and answered in turn before it is forgotten: some servers answer what it
/// brought only when more comes, and are one answer behind from then on.
const MAX_TURNS: u8 = 2;

/// See the module.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Requests that may carry another, oldest first.
    pub carriers: VecDeque<Carrier>,
    /// Whether the bytes that come are content of the last carrier.
    in_content: bool,
    /// Whether the request that is coming followed bytes of the other direction.
    turned: bool,
    /// Carriers that found no room though there is something in them.
    pub forgotten: u64,
    /// When the last answer ended.
    pub answered: Option<Time>,
    /// The last request that asked for more than HTTP, in vain, while those behind it come through as they came in.
    pub tunnel: Option<Tunnel>,
    /// What comes was taken for a request since the one before was answered without its content.
    pub reread: bool,
    /// The last answer must not have a content.
    pub bodiless: bool,
    /// Bytes of one that it has announced: careless applications write it all the same.
    pub careless: u64,
    /// Bytes of answers that were not seen since it was last known where one begins.
    pub unheard: u64,
    /// Answers that could not be sent.
    pub vain: Vain,
    /// The answer that is coming, if it may be that to an unfinished request.
    pub swapped: Option<Swapped>,
    /// The finding so far.
    pub told: Option<Told>,
}

/// What was told of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Told {
    /// The case.
    pub subject: Subject,
    /// How sure it was at last.
    pub confidence: Confidence,
    /// How many requests it says were hit.
    pub hits: u8,
    /// When bytes of each direction joined on last, while they all do.
    pub joined_on: [Option<Time>; 2],
}

/// Answers whose sends failed since the last that did not: they answer what is owed as any other.
#[derive(Debug, Default)]
pub struct Vain {
    /// How many.
    pub count: usize,
    /// Requests that had no answer when the first failed.
    pub owed: usize,
    /// A hash of the last one's first bytes.
    pub last: u64,
}

impl Ledger {
    /// Memory that it takes elsewhere.
    pub fn held(&self) -> usize {
        self.carriers.iter().map(Carrier::held).sum::<usize>()
            + self.swapped.as_ref().map_or(0, Swapped::held)
            + self.tunnel.as_ref().map_or(0, Tunnel::held)
    }

    /// Bytes of the requests' direction, from `place` on, before they are read as messages.
    pub fn moved(&mut self, place: u64, moved: Moved<'_>) {
        for carrier in &mut self.carriers {
            carrier.read(|reading| match moved {
                Moved::Bytes(bytes) => reading.bytes(place, bytes),
                Moved::Gap(len) => reading.gap(place, len),
                Moved::Jump => false,
            });
        }
    }

    /// The next byte begins a request.
    pub fn begins(&mut self, turned: bool) {
        self.turned = turned;
        self.in_content = false;
    }

    /// The request that began at `place` has its head; `behind` is what follows it in the same bytes. Gives
    /// the carrier whose content it is in another reading.
    pub fn asked(
        &mut self,
        place: u64,
        node: Option<NodeId>,
        carrier: Option<Carrier>,
        behind: (u64, Moved<'_>),
    ) -> Option<Contested> {
        for carrier in &mut self.carriers {
            // Whether its sender had waited for an answer before, he knows best.
            let turned = self.turned && !carrier.is_told_elsewhere();
            carrier.read(|reading| reading.request(place, node, turned));
        }
        if self.turned {
            // Whoever has answered that, and waited, has left nothing behind where nothing could be; nor has who answers
            // one by one what comes behind it.
            self.carriers.iter_mut().for_each(|carrier| carrier.turns += 1);
            self.carriers.retain(|carrier| !carrier.is_plain() && carrier.turns <= MAX_TURNS);
        }
        for carrier in self.carriers.iter_mut().filter(|carrier| carrier.content.is_unfinished()) {
            carrier.next = carrier.next.or(node);
        }
        let contested = node.and_then(|node| self.carriers.iter().find_map(|held| held.contests(node)));
        let Some(mut carrier) = carrier else { return contested };
        carrier.place = place;
        if let Moved::Bytes(bytes) = behind.1 {
            carrier.read(|reading| reading.bytes(behind.0, bytes));
        }
        if self.carriers.len() >= MAX_CARRIERS {
            // The least likely one, of several the oldest.
            let least =
                (0..self.carriers.len()).min_by_key(|n| self.carriers[*n].suspicion()).unwrap_or_default();
            let gone = self.carriers.remove(least);
            self.forgotten += u64::from(gone.is_some_and(|gone| !gone.is_plain()));
        }
        self.carriers.push_back(carrier);
        self.in_content = true;
        contested
    }

    /// Content, or what follows a head whose framing nobody knows. Gives the carrier when a request was found in
    /// it.
    pub fn content(&mut self, place: u64, moved: Moved<'_>) -> Option<&Carrier> {
        let carrier = self.carriers.back_mut().filter(|_| self.in_content)?;
        let before = carrier.content.found().len();
        carrier.expect();
        match moved {
            Moved::Bytes(bytes) => carrier.content.bytes_at(place, bytes),
            Moved::Gap(len) => carrier.content.gap(len),
            Moved::Jump => {
                self.missed(Unread::Some);
                return None;
            }
        }
        self.carriers.back().filter(|carrier| carrier.content.found().len() > before)
    }

    /// What follows the last chunk of a content, which may be a request for who reads no trailers.
    pub fn trailer(&mut self, place: u64, bytes: &[u8]) -> Option<&Carrier> {
        let carrier = self.carriers.back_mut().filter(|_| self.in_content)?;
        let before = carrier.content.found().len();
        carrier.expect();
        carrier.content.around(place, bytes);
        Some(carrier).filter(|carrier| carrier.content.found().len() > before).map(|carrier| &*carrier)
    }

    /// A message ends at `place`, in which the parser found these deviations. Gives the carrier when that says
    /// more than its head did.
    pub fn ended(&mut self, place: u64, deviations: Deviations) -> Option<&Carrier> {
        for carrier in &mut self.carriers {
            carrier.readings.iter_mut().for_each(|reading| reading.boundary(place));
        }
        let carrier = self.carriers.back_mut().filter(|_| std::mem::take(&mut self.in_content))?;
        carrier.content.ended();
        let odd = smuggling::is_ambiguous(deviations) && !smuggling::is_ambiguous(carrier.deviations);
        carrier.has_content(deviations, Some(place));
        let begins = carrier.content.found().first().is_some_and(|hidden| hidden.offset == 0);
        (odd || begins || carrier.content.is_cut()).then_some(carrier)
    }

    /// The chunks that are coming are none for the parser, which found these deviations. Gives the carrier.
    pub fn broke(&mut self, deviations: Deviations) -> Option<&Carrier> {
        let carrier = self.carriers.back_mut().filter(|_| self.in_content)?;
        carrier.has_content(deviations, None);
        Some(carrier)
    }

    /// Requests of which it is known since the last time that they are content in a reading that is a whole one.
    pub fn whole(&mut self) -> Vec<(NodeId, Contested)> {
        let mut news = Vec::new();
        for carrier in &mut self.carriers {
            let Some(node) = carrier.node else { continue };
            for reading in &mut carrier.readings {
                let contested = reading.contested(node);
                news.extend(reading.take_whole().iter().map(|request| (*request, contested)));
            }
        }
        news
    }

    /// Bytes were not seen that may have been requests: what follows may answer these.
    pub fn missed(&mut self, unread: Unread) {
        self.in_content = false;
        self.carriers.iter_mut().for_each(|carrier| carrier.missing.add(unread));
    }

    /// What begins at `place` is no request: what follows may answer that, unless it is content for another reader.
    pub fn strange(&mut self, place: u64) {
        self.in_content = false;
        for carrier in self.carriers.iter_mut().filter(|carrier| !carrier.takes_in(place)) {
            carrier.missing.add(Unread::Strange(place));
        }
    }

    /// What was before says nothing of what comes.
    pub fn forget(&mut self) {
        *self = Self::default();
    }

    /// Whether another reader has the whole content of the last carrier, up to `place`, though more of it is to come.
    pub fn may_end_at(&self, place: u64) -> bool {
        let carrier = self.carriers.back().filter(|carrier| self.in_content && carrier.answered.is_some());
        carrier.is_some_and(|carrier| carrier.readings.iter().any(|reading| reading.end() == Some(place)))
    }

    /// The one that has most likely carried what is answered now.
    pub fn suspect(&self) -> Option<&Carrier> {
        self.carriers.iter().max_by_key(|carrier| carrier.suspicion())
    }

    /// The same, to change.
    pub fn suspect_mut(&mut self) -> Option<&mut Carrier> {
        self.carriers.iter_mut().max_by_key(|carrier| carrier.suspicion())
    }

    /// Whether what is no answer may come of an older carrier: not where a later one has a content of its own.
    pub fn is_last(&self, carrier: &Carrier) -> bool {
        carrier.turns == 0 || self.carriers.back().is_some_and(|last| last.node == carrier.node)
    }
}
