//! Memory that many hold together, and how much that may be.
//!
//! A bound for each holder is none for all of them: who opens thousands of connections fills each a little.

/// What an allocator takes for an allocation beyond the bytes asked for, about.
pub(crate) const ALLOCATION: usize = 16;

/// Bytes that are held, counted against a limit.
#[derive(Debug)]
pub struct Budget {
    held: usize,
    limit: usize,
}

/// What takes a good deal of memory, and can do with less.
pub(crate) trait Shrink {
    /// Bytes of memory that it takes, about.
    fn footprint(&self) -> usize;

    /// Lets go of all but what matters most.
    fn shrink(&mut self);
}

impl Budget {
    /// Nothing is held, of at most `limit` bytes.
    #[must_use]
    pub const fn new(limit: usize) -> Self {
        Self { held: 0, limit }
    }

    /// Who held `before` bytes now holds `after`. It may be too much then: see [`Self::is_exceeded`].
    pub fn settle(&mut self, before: usize, after: usize) {
        self.held = self.held.saturating_sub(before).saturating_add(after);
    }

    /// Bytes that are held.
    #[must_use]
    pub const fn held(&self) -> usize {
        self.held
    }

    /// Whether that is more than the limit.
    #[must_use]
    pub const fn is_exceeded(&self) -> bool {
        self.held > self.limit
    }

    /// Counts one thing more, which is shrunk where the limit leaves no room for the whole of it. Gives
    /// whether it is still whole.
    pub(crate) fn fit(&mut self, thing: &mut impl Shrink) -> bool {
        let whole = thing.footprint();
        if self.held.saturating_add(whole) > self.limit {
            thing.shrink();
        }
        let kept = thing.footprint();
        self.held = self.held.saturating_add(kept);
        kept == whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Thing(usize);

    impl Shrink for Thing {
        fn footprint(&self) -> usize {
            self.0
        }

        fn shrink(&mut self) {
            self.0 = self.0.min(2);
        }
    }

    #[test]
    fn what_finds_no_room_is_shrunk_and_counted_as_what_is_left() {
        let mut budget = Budget::new(10);
        assert!(budget.fit(&mut Thing(10)));
        let mut large = Thing(3);
        assert!(!budget.fit(&mut large));
        assert_eq!((large.0, budget.held()), (2, 12));
        assert!(budget.fit(&mut Thing(1)), "what is small stays whole");
        assert!(budget.is_exceeded());
        budget.settle(10, 0);
        assert_eq!((budget.held(), budget.is_exceeded()), (3, false));
    }
}
