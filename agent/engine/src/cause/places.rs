//! Where threads of a process wait for each other: places in its memory (futexes).

use rustc_hash::FxHashMap;

/// Most places of a process that are known; past it all are found anew.
const MAX_PLACES: usize = 4096;
/// At a lock those who work on a request are woken by others that do about as often as by those that work on none;
/// where a thread waits for its answer, at most in one of so many cases.
const RARELY: u32 = 8;
/// Where several were woken, so many times must have been by those that work on none before it counts: a lock shows itself
/// in fewer.
const DOUBT: u32 = 3;

/// See the module.
#[derive(Debug, Default)]
pub struct Places(FxHashMap<u64, Place>);

/// Of the wake-ups of threads that work on requests of their own.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    /// Who was woken last.
    tid: u32,
    /// Whether others were as well: it is a lock, or its memory was used anew.
    several: bool,
    /// How often by one that works on another request, and by one that works on none.
    others: u32,
    idle: u32,
}

impl Place {
    fn is_lock(self) -> bool {
        let doubt = if self.several { DOUBT } else { 0 };
        self.idle < self.others.saturating_mul(RARELY).saturating_add(doubt)
    }
}

impl Places {
    /// A thread that works on a request was woken by one that works on another.
    pub fn met(&mut self, futex: u64, tid: u32) {
        let place = self.woken(futex, tid);
        place.others = place.others.saturating_add(1);
    }

    /// A thread that works on a request was woken by one that works on none: whether it has waited for that one, and
    /// not for whoever comes by.
    pub fn waited(&mut self, futex: u64, tid: u32) -> bool {
        let place = self.woken(futex, tid);
        place.idle = place.idle.saturating_add(1);
        !place.is_lock()
    }

    /// Whether it seems to be a lock.
    pub fn is_lock(&self, futex: u64) -> bool {
        self.0.get(&line(futex)).is_some_and(|place| place.is_lock())
    }

    fn woken(&mut self, futex: u64, tid: u32) -> &mut Place {
        if self.0.len() >= MAX_PLACES && !self.0.contains_key(&line(futex)) {
            self.0.clear();
        }
        let place = self.0.entry(line(futex)).or_insert(Place { tid, ..Place::default() });
        place.several |= std::mem::replace(&mut place.tid, tid) != tid;
        place
    }
}

/// The parts of one lock lie together.
fn line(futex: u64) -> u64 {
    futex >> 6
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waited(places: &mut Places, tids: &[u32]) -> usize {
        tids.iter().filter(|tid| places.waited(0x1000, **tid)).count()
    }

    #[test]
    fn where_threads_with_requests_wake_each_other_is_a_lock() {
        let mut places = Places::default();
        assert_eq!(waited(&mut places, &[1, 1]), 2);
        places.met(0x1010, 1);
        assert_eq!(waited(&mut places, &[1; 12]), 7, "unless that is rare");
        (0..9).for_each(|_| places.met(0x1010, 1));
        assert!(places.is_lock(0x1000) && !places.is_lock(0x2000));
        (0..3 * MAX_PLACES as u64).for_each(|n| places.met(n << 6, 1));
        assert!(places.0.len() <= MAX_PLACES);
    }

    #[test]
    fn where_several_are_woken_may_be_one() {
        let mut places = Places::default();
        assert_eq!(waited(&mut places, &[1, 2]), 1);
        assert_eq!(waited(&mut places, &[1, 2, 3]), 3, "never by others: its memory is used in turn");
    }
}
