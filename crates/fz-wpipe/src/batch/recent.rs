//! Which slots the last batches wrote, so that a reader needs no lock while it reads.
//!
//! A reader takes a mark, reads the file, and then asks whether a batch that was under way at the mark, or began after
//! it, has touched its slots. Only then may it have seen a part of a write, and it reads again under the batch lock.

use std::ops::Range;

/// How many batches are remembered. A reader that was slower than that reads again.
const KEPT: usize = 16;

/// How many batches had ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark(u64);

#[derive(Debug, Default)]
pub(super) struct Recent {
    begun: u64,
    ended: u64,
    /// The bounds of the batch number `n` (the first is 1) are at `n % KEPT`.
    bounds: [Range<u64>; KEPT],
}

fn place(number: u64) -> usize {
    usize::try_from(number % KEPT as u64).unwrap_or(0)
}

impl Recent {
    /// A batch begins to write slots within `bounds`.
    pub(super) fn begin(&mut self, bounds: Range<u64>) {
        self.begun += 1;
        self.bounds[place(self.begun)] = bounds;
    }

    /// It has written them. A batch that failed or panicked never ends.
    pub(super) fn end(&mut self) {
        self.ended = self.begun;
    }

    pub(super) fn mark(&self) -> Mark {
        Mark(self.ended)
    }

    /// Whether a batch that had not ended at the mark, or began after it, may have written one of `slots`.
    pub(super) fn has_touched(&self, mark: Mark, slots: Range<u64>) -> bool {
        if self.begun - mark.0 > KEPT as u64 {
            return true;
        }
        (mark.0 + 1..=self.begun).any(|number| {
            let bounds = &self.bounds[place(number)];
            bounds.start < slots.end && slots.start < bounds.end
        })
    }
}

#[cfg(test)]
#[cfg(not(any(fz_loom, fz_shuttle)))]
mod tests {
    use super::*;

    #[test]
    fn k_a_batch_that_overlaps_is_seen_whenever_it_ran() {
        let mut recent = Recent::default();
        let before = recent.mark();
        assert!(!recent.has_touched(before, 0..100), "there was none");
        recent.begin(10..20);
        let under_way = recent.mark();
        recent.end();
        let after = recent.mark();
        for (mark, touches) in [(before, true), (under_way, true), (after, false)] {
            assert_eq!(recent.has_touched(mark, 19..30), touches, "{mark:?}");
            assert!(!recent.has_touched(mark, 20..30) && !recent.has_touched(mark, 0..10), "{mark:?}");
        }
    }

    #[test]
    fn k_a_batch_that_never_ended_is_under_way_for_every_reader() {
        let mut recent = Recent::default();
        recent.begin(10..20);
        let mark = recent.mark();
        assert!(recent.has_touched(mark, 10..11));
    }

    #[test]
    fn k_a_reader_slower_than_the_memory_reads_again() {
        let mut recent = Recent::default();
        let mark = recent.mark();
        for batch in 1..=KEPT {
            recent.begin(10..20);
            recent.end();
            assert!(!recent.has_touched(mark, 30..31), "batch {batch}");
        }
        recent.begin(10..20);
        recent.end();
        assert!(recent.has_touched(mark, 30..31));
        assert!(!recent.has_touched(recent.mark(), 10..20));
    }
}
