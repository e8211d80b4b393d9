//! Which buffers are free: one bit each, 1 = free.
//!
//! A *word* covers 32 buffers: their bits below, and above them a count of the claims made in the
//! word, which costs nothing there and saves a shared counter of allocations.
//!
//! A *mark* says that a word probably has a free bit. Marks only save time: they may be wrong in
//! both directions, and nothing is declared exhausted on their word.

use crate::sync::{AtomicU64, Ordering};

/// Buffers per word.
pub(crate) const WORD_BUFFERS: u32 = 32;

/// One claim, in the upper half of a word.
const CLAIM: u64 = 1 << 32;

/// Words that share a cache line.
const LINE_WORDS: usize = 8;

/// Words that one word of marks covers.
const GROUP_WORDS: u32 = 64;

/// So aligned, two threads that work in different lines never share one.
#[derive(Debug)]
#[repr(align(64))]
struct Line([AtomicU64; LINE_WORDS]);

#[derive(Debug)]
pub(crate) struct Bitmap {
    lines: Box<[Line]>,
    marks: Box<[AtomicU64]>,
    capacity: u32,
    /// Claims that the 32-bit counts have forgotten, in units of 2^32.
    counts_wrapped: AtomicU64,
    /// Claims of words that are no allocation of their own: those after the first of a long one, and those rolled back.
    counts_surplus: AtomicU64,
}

/// What one look over a range of words found.
struct Scan {
    /// The first buffer of the run that was claimed.
    claimed: Option<u32>,
    /// A run was seen, and somebody else took a part of it first.
    lost_race: bool,
}

impl Bitmap {
    /// The most buffers: all arithmetic on indices and ends of runs stays within a `u32`.
    pub(crate) const CAPACITY_MAX: u32 = 1 << 31;

    /// A bitmap of `capacity` free buffers; `None` if there is no memory for it.
    pub(crate) fn new(capacity: u32) -> Option<Self> {
        assert!((1..=Self::CAPACITY_MAX).contains(&capacity), "the pool checks its capacity");
        let words = capacity.div_ceil(WORD_BUFFERS);
        let line_count = (words as usize).div_ceil(LINE_WORDS);
        let mut lines = Vec::new();
        lines.try_reserve_exact(line_count).ok()?;
        for line in 0..line_count {
            lines.push(Line(std::array::from_fn(|at| {
                let first = ((line * LINE_WORDS + at) as u64) * u64::from(WORD_BUFFERS);
                // Bits beyond the capacity stay 0 for ever: never free, never claimed.
                let valid = u64::from(capacity).saturating_sub(first).min(u64::from(WORD_BUFFERS));
                AtomicU64::new((1 << valid) - 1)
            })));
        }
        let mut marks = Vec::new();
        let group_count = words.div_ceil(GROUP_WORDS) as usize;
        marks.try_reserve_exact(group_count).ok()?;
        for group in 0..group_count {
            let valid = (words as usize - group * GROUP_WORDS as usize).min(GROUP_WORDS as usize);
            marks.push(AtomicU64::new(u64::MAX >> (GROUP_WORDS as usize - valid)));
        }
        Some(Self {
            lines: lines.into_boxed_slice(),
            marks: marks.into_boxed_slice(),
            capacity,
            counts_wrapped: AtomicU64::new(0),
            counts_surplus: AtomicU64::new(0),
        })
    }

    #[inline]
    pub(crate) fn capacity(&self) -> u32 {
        self.capacity
    }

    #[inline]
    pub(crate) fn words(&self) -> u32 {
        self.capacity.div_ceil(WORD_BUFFERS)
    }

    #[inline]
    fn word(&self, word: u32) -> &AtomicU64 {
        &self.lines[word as usize / LINE_WORDS].0[word as usize % LINE_WORDS]
    }

    /// Claims `count` (at most 32) neighbours within one word, `near` if it has them, else in the
    /// next marked word that does. Lock-free. `None` proves nothing: ask `claim_settled`.
    #[inline]
    pub(crate) fn claim_in_word(&self, near: u32, count: u32) -> Option<u32> {
        match self.claim_in(near, count) {
            Ok(first) => Some(first),
            Err(_) => self.claim_in_marked(near, count),
        }
    }

    /// Claims in `word`, or returns the free bits that did not do.
    #[inline]
    fn claim_in(&self, word: u32, count: u32) -> Result<u32, u32> {
        let cell = self.word(word);
        // Relaxed: the exchange below decides, this is where to begin.
        let mut value = cell.load(Ordering::Relaxed);
        loop {
            let bits = free_bits(value);
            let Some(low) = first_run(bits, count) else { return Err(bits) };
            let next = self.value_after_claim(value, low, count);
            // Acquire pairs with the release of these buffers (`Release::perform`): what their last
            // owner did to them happened before what the new one does.
            match cell.compare_exchange_weak(value, next, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return Ok(word * WORD_BUFFERS + low),
                Err(seen) => value = seen,
            }
        }
    }

    /// The word's value without the claimed bits and with one claim more.
    #[inline]
    fn value_after_claim(&self, value: u64, low: u32, count: u32) -> u64 {
        let mut mask = run_mask(low, count);
        if fz_error::mutants::active("overlapping_allocation") && count > 1 {
            mask = run_mask(low, count - 1);
        }
        let next = (value & !mask).wrapping_add(CLAIM);
        if next < CLAIM {
            self.count_wrap();
        }
        next
    }

    /// Counts the wrap before the exchange that may yet fail: statistics may be 2^32 off for ever after a lost race at
    /// that very claim, once in 2^32 of them per word.
    #[cold]
    fn count_wrap(&self) {
        // Relaxed: a statistic.
        self.counts_wrapped.fetch_add(1, Ordering::Relaxed);
    }

    #[cold]
    fn claim_in_marked(&self, near: u32, count: u32) -> Option<u32> {
        let groups = self.marks.len();
        let near_bit = 1u64 << (near % GROUP_WORDS);
        let above_near = !(near_bit | (near_bit - 1));
        // The group of `near` comes first for the words above it, and again last for the others.
        for step in 0..=groups {
            let group = (near / GROUP_WORDS) as usize + step;
            let group = if group < groups { group } else { group - groups };
            // Relaxed: marks are hints.
            let mut marked = self.marks[group].load(Ordering::Relaxed);
            if step == 0 {
                marked &= above_near;
            } else if step == groups {
                marked &= !above_near;
            }
            while marked != 0 {
                let at = marked.trailing_zeros();
                marked &= marked - 1;
                #[expect(clippy::cast_possible_truncation, reason = "there are at most 2^20 groups")]
                let word = group as u32 * GROUP_WORDS + at;
                match self.claim_in(word, count) {
                    Ok(first) => return Some(first),
                    Err(0) => self.unmark(word),
                    Err(_) => {}
                }
            }
        }
        None
    }

    /// Says that `word` probably has free buffers.
    #[inline]
    fn mark(&self, word: u32) {
        let (group, bit) = (&self.marks[(word / GROUP_WORDS) as usize], 1u64 << (word % GROUP_WORDS));
        // Relaxed: marks are hints, and a wrong one costs time only.
        if group.load(Ordering::Relaxed) & bit == 0 {
            group.fetch_or(bit, Ordering::Relaxed);
        }
    }

    /// Says that `word` has none, and looks again, because one may have come meanwhile.
    #[cold]
    fn unmark(&self, word: u32) {
        // Relaxed, all three: as in `mark`.
        self.marks[(word / GROUP_WORDS) as usize].fetch_and(!(1u64 << (word % GROUP_WORDS)), Ordering::Relaxed);
        if free_bits(self.word(word).load(Ordering::Relaxed)) != 0 {
            self.mark(word);
        }
    }

    /// Claims `count` neighbours within the words `from..to`, across words too. After `None`, any such
    /// run there includes a buffer that was released after the call began.
    ///
    /// The caller holds the pool's lot lock, so that only one claim at a time crosses words, and has
    /// raised `attention`, so that no new claim within a word begins: the loop then ends after the
    /// claims that had begun.
    pub(crate) fn claim_settled(&self, from: u32, to: u32, count: u32) -> Option<u32> {
        loop {
            let scan = self.scan(from, to, count);
            // After a lost race the rest of the run that was seen may do for another claim.
            if scan.claimed.is_some() || !scan.lost_race {
                return scan.claimed;
            }
        }
    }

    /// Claims the first `count` neighbours seen in the words `from..to`, across words too. `None`
    /// proves nothing. The caller holds the pool's lot lock.
    pub(crate) fn claim_at_first_sight(&self, from: u32, to: u32, count: u32) -> Option<u32> {
        self.scan(from, to, count).claimed
    }

    /// One look over the words `from..to`, claiming the first run of `count` it can.
    fn scan(&self, from: u32, to: u32, count: u32) -> Scan {
        let mut scan = Scan { claimed: None, lost_race: false };
        // The run of free bits that ends where the scan stands.
        let mut run = 0..0;
        for word in from..to {
            // SeqCst pairs with the `SeqCst` release: one that did not see our attention is seen here.
            let value = self.word(word).load(Ordering::SeqCst);
            let (bits, base) = (free_bits(value), word * WORD_BUFFERS);
            let mut low = 0;
            while low < WORD_BUFFERS {
                let free = (bits >> low).trailing_ones();
                if run.end != base + low || run.is_empty() {
                    run = base + low..base + low;
                }
                run.end += free;
                if run.end - run.start >= count {
                    if self.claim_run(run.start, count) {
                        scan.claimed = Some(run.start);
                        return scan;
                    }
                    scan.lost_race = true;
                    run = 0..0;
                }
                low += free;
                // Skips the used bits; beyond the top of the word `checked_shr` says that none are left.
                low += bits.checked_shr(low).map_or(0, u32::trailing_zeros).min(WORD_BUFFERS - low);
            }
        }
        scan
    }

    /// Claims exactly `first..first + count`, or nothing.
    fn claim_run(&self, first: u32, count: u32) -> bool {
        let mut segments = 0;
        for (word, low, length) in segments_of(first, count) {
            if !self.claim_segment(word, low, length) {
                self.roll_back(first, word * WORD_BUFFERS + low - first);
                self.count_surplus(segments);
                return false;
            }
            segments += 1;
        }
        self.count_surplus(segments - 1);
        true
    }

    fn claim_segment(&self, word: u32, low: u32, count: u32) -> bool {
        let mask = run_mask(low, count);
        let cell = self.word(word);
        // Orderings: as in `claim_in`.
        let mut value = cell.load(Ordering::Relaxed);
        while value & mask == mask {
            let next = self.value_after_claim(value, low, count);
            match cell.compare_exchange_weak(value, next, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(seen) => value = seen,
            }
        }
        false
    }

    /// Gives back what `claim_run` had claimed of a run. Nobody needs to be told: who looked for
    /// these buffers meanwhile found them taken, and now comes for the lock that we hold.
    fn roll_back(&self, first: u32, count: u32) {
        if count > 0 {
            self.prepare_release(first, count).perform();
        }
    }

    fn count_surplus(&self, claims: u64) {
        if claims > 0 {
            // Release pairs with the acquire in `allocations`.
            self.counts_surplus.fetch_add(claims, Ordering::Release);
        }
    }

    /// Releases `first..first + count` but for its last word, which [`Release::perform`] does: after
    /// that, nothing keeps the pool alive.
    #[inline]
    pub(crate) fn prepare_release(&self, first: u32, count: u32) -> Release<'_> {
        let mut segments = segments_of(first, count);
        let (mut word, mut low, mut length) = segments.next().expect("no allocation is empty");
        for next in segments {
            self.mark(word);
            Release { word: self.word(word), mask: run_mask(low, length) }.perform();
            (word, low, length) = next;
        }
        // Before the buffers, not after: afterwards there may be no marks any more.
        self.mark(word);
        Release { word: self.word(word), mask: run_mask(low, length) }
    }

    /// The first word from `word` on that is not entirely free.
    pub(crate) fn first_used_word(&self, mut word: u32) -> Option<u32> {
        while word < self.words() {
            let valid = (self.capacity - word * WORD_BUFFERS).min(WORD_BUFFERS);
            // SeqCst pairs with the `SeqCst` release, as in `scan`; it also acquires, so that whoever
            // finds all buffers free comes after all that was done to them.
            if self.word(word).load(Ordering::SeqCst) & (CLAIM - 1) != run_mask(0, valid) {
                return Some(word);
            }
            word += 1;
        }
        None
    }

    /// Buffers claimed now.
    pub(crate) fn used(&self) -> u32 {
        // Relaxed: a statistic.
        let free = |word| free_bits(self.word(word).load(Ordering::Relaxed)).count_ones();
        self.capacity - (0..self.words()).map(free).sum::<u32>()
    }

    /// Allocations made so far.
    pub(crate) fn allocations(&self) -> u64 {
        // Acquire, and first, pairs with the release in `count_surplus`: the claims that are subtracted are
        // among those added up below.
        let surplus = self.counts_surplus.load(Ordering::Acquire);
        // Relaxed, both: a statistic.
        let claims: u64 = (0..self.words()).map(|word| self.word(word).load(Ordering::Relaxed) / CLAIM).sum();
        let wrapped = self.counts_wrapped.load(Ordering::Relaxed);
        // Saturating, because a word may wrap between the two lines.
        (claims + wrapped * CLAIM).saturating_sub(surplus)
    }
}

/// The last step of a release, which needs nothing of the pool but one word.
#[derive(Debug)]
#[must_use]
pub(crate) struct Release<'bitmap> {
    word: &'bitmap AtomicU64,
    mask: u64,
}

impl<'bitmap> Release<'bitmap> {
    /// The word and the bits to set in it.
    #[inline]
    pub(crate) fn into_parts(self) -> (&'bitmap AtomicU64, u64) {
        (self.word, self.mask)
    }

    #[inline]
    fn perform(self) {
        let (word, mask) = self.into_parts();
        let before = set_free(word, mask);
        check_released(before, mask);
    }
}

/// Sets the bits `mask`, which are clear; returns the word as it was.
#[inline(always)]
pub(crate) fn set_free(word: &AtomicU64, mask: u64) -> u64 {
    // The bits are clear, so adding sets them, in one instruction where `fetch_or` with a result
    // is a loop. It must stay a read-modify-write: then the word's releases form one release
    // sequence, and who reads the last of them synchronizes with all.
    // SeqCst: the release half pairs with the acquire of the next claim (`claim_in`) and of
    // `first_used_word`; its place in the total order pairs with the scan of whoever raised
    // `attention` (`Lot::raise_attention`), which we read next.
    word.fetch_add(mask, Ordering::SeqCst)
}

/// Panics if the bits were not clear: a buffer was released twice.
#[inline(always)]
pub(crate) fn check_released(before: u64, mask: u64) {
    assert!(before & mask == 0, "buffers {mask:#x} of a word were released twice, a bug in fz-bufpool");
}

/// The parts of a run, word by word: the word, the lowest bit, the number of bits.
#[inline]
fn segments_of(first: u32, count: u32) -> impl Iterator<Item = (u32, u32, u32)> {
    let end = first + count;
    let mut at = first;
    std::iter::from_fn(move || {
        let (word, low) = (at / WORD_BUFFERS, at % WORD_BUFFERS);
        let length = (WORD_BUFFERS - low).min(end - at);
        at += length;
        (length > 0).then_some((word, low, length))
    })
}

#[inline]
fn free_bits(value: u64) -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "the lower half is what is wanted")]
    let bits = value as u32;
    bits
}

/// `count` (1 to 32) ones from bit `low` on.
#[inline]
fn run_mask(low: u32, count: u32) -> u64 {
    debug_assert!((1..=WORD_BUFFERS).contains(&count) && low + count <= WORD_BUFFERS);
    (u64::MAX >> (64 - count)) << low
}

/// The lowest bit at which `count` ones begin.
#[inline]
fn first_run(bits: u32, count: u32) -> Option<u32> {
    // `starts` has a one wherever `have` ones begin; each round joins two such runs into a longer one.
    let (mut starts, mut have) = (bits, 1);
    while have < count {
        let step = have.min(count - have);
        starts &= starts >> step;
        have += step;
    }
    (starts != 0).then(|| starts.trailing_zeros())
}

#[cfg(test)]
#[cfg(not(any(fz_loom, fz_shuttle)))]
mod tests {
    use super::*;

    #[test]
    fn a_run_of_which_a_part_is_taken_is_given_back_whole() {
        let bitmap = Bitmap::new(96).unwrap();
        for taken in [64, 5] {
            assert!(bitmap.claim_run(taken, 1));
            let (used, allocations) = (bitmap.used(), bitmap.allocations());
            assert!(!bitmap.claim_run(5, 60), "buffer {taken} is taken");
            assert_eq!((bitmap.used(), bitmap.allocations()), (used, allocations));
        }
        assert!(bitmap.claim_run(6, 58));
        assert_eq!((bitmap.used(), bitmap.allocations()), (60, 3));
    }

    #[test]
    fn allocations_are_counted_beyond_what_a_word_can_hold() {
        let bitmap = Bitmap::new(2).unwrap();
        bitmap.word(0).fetch_add(CLAIM * u64::from(u32::MAX), Ordering::Relaxed);
        assert_eq!(bitmap.allocations(), u64::from(u32::MAX));
        for more in 1..=2 {
            bitmap.claim_in_word(0, 1).unwrap();
            assert_eq!(bitmap.allocations(), u64::from(u32::MAX) + more);
        }
    }

    #[test]
    fn a_buffer_that_is_free_already_is_not_released() {
        check_released(0b010, 0b101);
        std::panic::catch_unwind(|| check_released(0b010, 0b011)).expect_err("one of them is free");
    }
}
