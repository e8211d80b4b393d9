//! Which buffers are free: one bit each, 1 = free.
//!
//! A *word* covers 64 buffers. A word is *tracked* while the pool's [`RunTree`](crate::run_tree::RunTree) knows it more
//! precisely than "any of its buffers may be free". Only the release of a buffer can make that knowledge wrong, so the
//! release of a buffer in a tracked word takes the pool's lock and corrects it. An untracked word is released without.

use crate::run_tree::Runs;
use crate::sync::{AtomicU64, Ordering};

/// Buffers per word.
pub(crate) const WORD_BUFFERS: u32 = 64;

/// Words that share a cache line.
const LINE_WORDS: usize = 8;

/// Words that a claimer visits before it takes the lock and asks the tree: two cache lines, or three.
pub(crate) const WINDOW_WORDS: u32 = 16;

/// So aligned, two threads that work in different lines never share one.
#[derive(Debug)]
#[repr(align(64))]
struct Line([AtomicU64; LINE_WORDS]);

#[derive(Debug)]
pub(crate) struct Bitmap {
    lines: Box<[Line]>,
    /// A bit for each word, 1 = tracked. Set and cleared under the pool's lock, read by each release.
    tracked: Box<[AtomicU64]>,
    capacity: u32,
}

impl Bitmap {
    /// The most buffers: all arithmetic on indices and ends of runs stays within a `u32`.
    pub(crate) const CAPACITY_MAX: u32 = 1 << 31;

    /// A bitmap of `capacity` free buffers, no word of it tracked; `None` if there is no memory for it.
    pub(crate) fn new(capacity: u32) -> Option<Self> {
        assert!((1..=Self::CAPACITY_MAX).contains(&capacity), "the pool checks its capacity");
        let words = capacity.div_ceil(WORD_BUFFERS) as usize;
        let line_count = words.div_ceil(LINE_WORDS);
        let mut lines = Vec::new();
        lines.try_reserve_exact(line_count).ok()?;
        for line in 0..line_count {
            lines.push(Line(std::array::from_fn(|at| {
                let first = ((line * LINE_WORDS + at) as u64) * u64::from(WORD_BUFFERS);
                // Bits beyond the capacity stay 0 for ever: never free, never claimed.
                let valid = u64::from(capacity).saturating_sub(first).min(u64::from(WORD_BUFFERS));
                AtomicU64::new(if valid == 0 { 0 } else { u64::MAX >> (u64::from(WORD_BUFFERS) - valid) })
            })));
        }
        let mut tracked = Vec::new();
        let tracked_count = words.div_ceil(u64::BITS as usize);
        tracked.try_reserve_exact(tracked_count).ok()?;
        tracked.extend((0..tracked_count).map(|_| AtomicU64::new(0)));
        Some(Self { lines: lines.into_boxed_slice(), tracked: tracked.into_boxed_slice(), capacity })
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
        crate::cost::count_visit();
        &self.lines[word as usize / LINE_WORDS].0[word as usize % LINE_WORDS]
    }

    /// Claims `count` (at most 64) neighbours within one word: `near`, or one of the words after it. Lock-free, and of
    /// a bounded cost. `None` proves nothing.
    #[inline]
    pub(crate) fn claim_nearby(&self, near: u32, count: u32) -> Option<u32> {
        self.claim_in(near, count).or_else(|| self.claim_after(near, count))
    }

    #[cold]
    fn claim_after(&self, near: u32, count: u32) -> Option<u32> {
        let words = self.words();
        (1..words.min(WINDOW_WORDS)).find_map(|step| {
            let word = near + step;
            self.claim_in(if word < words { word } else { word - words }, count)
        })
    }

    /// Claims the first `count` neighbours (at most 64) within `word`.
    #[inline]
    pub(crate) fn claim_in(&self, word: u32, count: u32) -> Option<u32> {
        let cell = self.word(word);
        // Relaxed: the exchange below decides, this is where to begin.
        let mut bits = cell.load(Ordering::Relaxed);
        loop {
            let low = first_run(bits, count)?;
            // Acquire pairs with the release of these buffers (`set_free`): what their last owner did to them happened
            // before what the new one does.
            match cell.compare_exchange_weak(bits, bits & !claim_mask(low, count), Ordering::Acquire, Ordering::Relaxed)
            {
                Ok(_) => return Some(word * WORD_BUFFERS + low),
                Err(seen) => bits = seen,
            }
        }
    }

    /// Claims exactly `first..first + count`, or nothing. The caller holds the pool's lock, so that only one claim at
    /// a time crosses words.
    pub(crate) fn claim_run(&self, first: u32, count: u32) -> bool {
        for (word, low, length) in segments_of(first, count) {
            if !self.claim_segment(word, low, length) {
                self.roll_back(first, word * WORD_BUFFERS + low - first);
                return false;
            }
        }
        true
    }

    fn claim_segment(&self, word: u32, low: u32, count: u32) -> bool {
        let mask = run_mask(low, count);
        let cell = self.word(word);
        // Orderings: as in `claim_in`.
        let mut bits = cell.load(Ordering::Relaxed);
        while bits & mask == mask {
            match cell.compare_exchange_weak(bits, bits & !claim_mask(low, count), Ordering::Acquire, Ordering::Relaxed)
            {
                Ok(_) => return true,
                Err(seen) => bits = seen,
            }
        }
        false
    }

    /// Returns what `claim_run` had claimed of a run. No waiter needs to be told: the lock has been held since, so no
    /// search found these buffers taken, and the tree's bounds still count them as free.
    fn roll_back(&self, first: u32, count: u32) {
        for (word, low, length) in segments_of(first, count) {
            self.set_free_in(word, run_mask(low, length));
        }
    }

    /// Whether the release of `first..first + count` needs the lock.
    #[inline]
    pub(crate) fn is_tracked(&self, first: u32, count: u32) -> bool {
        let word = first / WORD_BUFFERS;
        self.is_word_tracked(word) || (is_long(first, count) && self.is_rest_tracked(word + 1, first + count))
    }

    #[cold]
    fn is_rest_tracked(&self, from_word: u32, end: u32) -> bool {
        (from_word..end.div_ceil(WORD_BUFFERS)).any(|word| self.is_word_tracked(word))
    }

    #[inline]
    pub(crate) fn is_word_tracked(&self, word: u32) -> bool {
        // Relaxed: the attention that the releaser read before, and reads again after, orders this (`WaitList`).
        self.tracked[(word / u64::BITS) as usize].load(Ordering::Relaxed) & (1 << (word % u64::BITS)) != 0
    }

    /// Tracks `words`, siblings in the tree. The caller holds the lock, has raised the attention, and reads their runs
    /// afterwards.
    pub(crate) fn track(&self, words: &std::ops::Range<u32>) {
        // A parent's words have their bits in one cell: 8 divides 64.
        let bits = run_mask(words.start % u64::BITS, words.end - words.start);
        // Relaxed: ordered by the attention, as above.
        self.tracked[(words.start / u64::BITS) as usize].fetch_or(bits, Ordering::Relaxed);
    }

    /// Lets the buffers of `word` be released without the lock. The caller holds it, and has told the tree that any
    /// buffer of the word may be free.
    pub(crate) fn untrack(&self, word: u32) {
        // Relaxed: a releaser that misses it takes the lock in vain.
        self.tracked[(word / u64::BITS) as usize].fetch_and(!(1 << (word % u64::BITS)), Ordering::Relaxed);
    }

    /// The runs of free buffers of `word` as they are now.
    pub(crate) fn runs(&self, word: u32) -> Runs {
        // SeqCst pairs with the `SeqCst` release: a releaser that did not see the raised attention is seen here.
        Runs::of_word(self.word(word).load(Ordering::SeqCst), self.width(word))
    }

    /// How many buffers `word` covers.
    pub(crate) fn width(&self, word: u32) -> u32 {
        (self.capacity - word * WORD_BUFFERS).min(WORD_BUFFERS)
    }

    /// Releases `first..first + count` but for its last word; returns that word and its bits to set. After the caller
    /// has set them, nothing keeps the pool alive.
    #[inline]
    pub(crate) fn release_all_but_last(&self, first: u32, count: u32) -> (&AtomicU64, u64) {
        let (word, low) = (first / WORD_BUFFERS, first % WORD_BUFFERS);
        if is_long(first, count) {
            return self.release_long(first, count);
        }
        (self.word(word), run_mask(low, count))
    }

    #[cold]
    fn release_long(&self, first: u32, count: u32) -> (&AtomicU64, u64) {
        let mut segments = segments_of(first, count);
        let (mut word, mut low, mut length) = segments.next().expect("no allocation is empty");
        for next in segments {
            self.set_free_in(word, run_mask(low, length));
            (word, low, length) = next;
        }
        (self.word(word), run_mask(low, length))
    }

    fn set_free_in(&self, word: u32, mask: u64) {
        check_released(set_free(self.word(word), mask), mask);
    }

    /// The first word from `word` on that is not entirely free.
    pub(crate) fn first_used_word(&self, mut word: u32) -> Option<u32> {
        while word < self.words() {
            // SeqCst pairs with the `SeqCst` release, as in `runs`; it also acquires, so that a thread which finds all
            // buffers free comes after all that was done to them.
            if self.word(word).load(Ordering::SeqCst) != run_mask(0, self.width(word)) {
                return Some(word);
            }
            word += 1;
        }
        None
    }

    /// Buffers claimed now.
    pub(crate) fn used(&self) -> u32 {
        // Relaxed: a statistic.
        let free = |word| self.word(word).load(Ordering::Relaxed).count_ones();
        self.capacity - (0..self.words()).map(free).sum::<u32>()
    }
}

/// Sets the bits `mask`, which are clear; returns the word as it was.
#[inline(always)]
pub(crate) fn set_free(word: &AtomicU64, mask: u64) -> u64 {
    // The bits are clear, so adding sets them, in one instruction where `fetch_or` with a result is a loop. It must
    // stay a read-modify-write: then the word's releases form one release sequence, and a thread that reads the last of
    // them synchronizes with all.
    // SeqCst: the release half pairs with the acquire of the next claim (`claim_in`) and of `first_used_word`; its
    // place in the total order pairs with the search after the attention was raised (`WaitList::raise_attention`).
    word.fetch_add(mask, Ordering::SeqCst)
}

/// Panics if the bits were not clear: a buffer was released twice.
#[inline(always)]
pub(crate) fn check_released(before: u64, mask: u64) {
    assert!(before & mask == 0, "buffers {mask:#x} of a word were released twice, a bug in fz-bufpool");
}

/// The words that a run lies in.
pub(crate) fn words_of(first: u32, count: u32) -> std::ops::Range<u32> {
    first / WORD_BUFFERS..(first + count).div_ceil(WORD_BUFFERS)
}

/// Whether a run lies in more than one word.
#[inline]
fn is_long(first: u32, count: u32) -> bool {
    first % WORD_BUFFERS + count > WORD_BUFFERS
}

/// The parts of a run, word by word: the word, the lowest bit, the number of bits.
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

/// `count` (1 to 64) ones from bit `low` on.
#[inline]
fn run_mask(low: u32, count: u32) -> u64 {
    debug_assert!((1..=WORD_BUFFERS).contains(&count) && low + count <= WORD_BUFFERS);
    (u64::MAX >> (WORD_BUFFERS - count)) << low
}

/// The bits that a claim of `count` buffers from `low` on clears.
#[inline]
fn claim_mask(low: u32, count: u32) -> u64 {
    if fz_error::mutants::active("overlapping_allocation") && count > 1 {
        return run_mask(low, count - 1);
    }
    run_mask(low, count)
}

/// The lowest bit at which `count` ones begin.
#[inline]
fn first_run(bits: u64, count: u32) -> Option<u32> {
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
    fn a_run_of_which_a_part_is_taken_is_returned_whole() {
        let bitmap = Bitmap::new(192).unwrap();
        for taken in [128, 5] {
            assert!(bitmap.claim_run(taken, 1));
            let used = bitmap.used();
            assert!(!bitmap.claim_run(5, 130), "buffer {taken} is taken");
            assert_eq!(bitmap.used(), used);
        }
        assert!(bitmap.claim_run(6, 122));
        assert_eq!(bitmap.used(), 124);
    }

    #[test]
    fn a_buffer_that_is_free_already_is_not_released() {
        check_released(0b010, 0b101);
        std::panic::catch_unwind(|| check_released(0b010, 0b011)).expect_err("one of them is free");
    }
}
