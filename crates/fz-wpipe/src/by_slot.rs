//! The order of a batch by slot.
//!
//! A write's slot and its place in the batch are packed into one word, and the words are sorted: by digits, the
//! least significant first, if there are many and their slots lie close enough together, else by comparison.
//! The memory is kept for the next batch.

/// How many bits of the slot a digit has: 2,048 counters stay in a processor's first cache.
const DIGIT_BITS: u32 = 11;
/// With more digits, or fewer words, comparing is as fast.
const DIGITS_MAX: u32 = 3;
const WORDS_MIN: usize = 1024;

#[derive(Debug, Default)]
pub(crate) struct BySlot {
    /// While it is sorted, `slot << bits | place`; then the places.
    words: Vec<u64>,
    /// What one pass over the words leaves.
    passed: Vec<u64>,
    /// For each digit, where the next word with each of its values goes.
    next: Vec<usize>,
}

/// What is known of a sorted batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sorted<'a> {
    /// The places of the writes in the batch, by slot; where the slot is the same, as they were.
    pub(crate) places: &'a [u64],
    /// How far two neighbours' first slots are apart at least.
    pub(crate) gap_min: u64,
}

impl BySlot {
    /// Sorts the writes that begin with those `slots`, of which `first` is the lowest and `last` the highest.
    pub(crate) fn sort(&mut self, slots: impl ExactSizeIterator<Item = u64>, first: u64, last: u64) -> Sorted<'_> {
        let place_bits = usize::BITS - slots.len().leading_zeros();
        let slot_bits = u64::BITS - (last - first).leading_zeros();
        self.words.clear();
        if place_bits + slot_bits > u64::BITS {
            return self.sort_far(slots);
        }
        self.words.extend(slots.zip(0..).map(|(slot, place): (u64, u64)| (slot - first) << place_bits | place));
        if self.words.len() < WORDS_MIN || slot_bits > DIGITS_MAX * DIGIT_BITS {
            self.words.sort_unstable();
        } else {
            self.sort_by_digits(place_bits, slot_bits);
        }
        let mut gap_min = u64::MAX;
        let mut last: Option<u64> = None;
        for word in &mut self.words {
            let slot = *word >> place_bits;
            gap_min = last.map_or(gap_min, |last| gap_min.min(slot - last));
            last = Some(slot);
            *word &= (1 << place_bits) - 1;
        }
        Sorted { places: &self.words, gap_min }
    }

    /// Slots so far apart that they and the places don't fit into one word.
    #[cold]
    fn sort_far(&mut self, slots: impl Iterator<Item = u64>) -> Sorted<'_> {
        let mut pairs: Vec<_> = slots.zip(0..).collect();
        pairs.sort_unstable();
        let gap_min = pairs.windows(2).map(|pair| pair[1].0 - pair[0].0).min().unwrap_or(u64::MAX);
        self.words.extend(pairs.iter().map(|&(_, place): &(u64, u64)| place));
        Sorted { places: &self.words, gap_min }
    }

    /// Sorts the words by the `slot_bits` bits above the lowest `place_bits`.
    fn sort_by_digits(&mut self, place_bits: u32, slot_bits: u32) {
        let digits = slot_bits.div_ceil(DIGIT_BITS).max(1);
        let width = slot_bits.div_ceil(digits);
        let values = 1_usize << width;
        #[expect(clippy::cast_possible_truncation, reason = "masked below the number of values, which is a usize")]
        let digit = |word: u64, number: u32| (word >> (place_bits + number * width)) as usize & (values - 1);
        self.next.clear();
        self.next.resize(values * digits as usize, 0);
        for &word in &self.words {
            for number in 0..digits {
                self.next[number as usize * values + digit(word, number)] += 1;
            }
        }
        self.passed.resize(self.words.len(), 0);
        for (number, next) in (0..digits).zip(self.next.chunks_exact_mut(values)) {
            let mut before = 0;
            for counted in next.iter_mut() {
                before += std::mem::replace(counted, before);
            }
            for &word in &self.words {
                let at = &mut next[digit(word, number)];
                self.passed[*at] = word;
                *at += 1;
            }
            std::mem::swap(&mut self.words, &mut self.passed);
        }
    }
}

#[cfg(test)]
#[cfg(not(any(fz_loom, fz_shuttle)))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Slots below `2^bits`, from `first` on; few enough of them that some are the same, if `bits` are few.
    fn slots() -> impl Strategy<Value = Vec<u64>> {
        let count = prop_oneof![2 => 0_usize..64, 1 => WORDS_MIN - 2..WORDS_MIN + 2, 1 => 2000_usize..4000];
        let bits = prop_oneof![0_u32..14, 20_u32..36, 48_u32..=62];
        (count, bits, 0_u64..1 << 62).prop_flat_map(|(count, bits, first)| {
            prop::collection::vec((0..1_u64 << bits).prop_map(move |slot| first + slot), count)
        })
    }

    proptest! {
        #[test]
        fn a_batch_is_sorted_as_a_stable_sort_does(batches in prop::collection::vec(slots(), 1..4)) {
            // One after the other in the same memory.
            let mut by_slot = BySlot::default();
            for slots in batches {
                let mut expected: Vec<_> = slots.iter().copied().zip(0_u64..).collect();
                expected.sort_by_key(|&(slot, _)| slot);
                let gap_min = expected.windows(2).map(|pair| pair[1].0 - pair[0].0).min();
                let (first, last) = (slots.iter().min().copied(), slots.iter().max().copied());
                let sorted = by_slot.sort(slots.iter().copied(), first.unwrap_or(0), last.unwrap_or(0));
                prop_assert_eq!(sorted.places, expected.iter().map(|&(_, place)| place).collect::<Vec<_>>());
                prop_assert_eq!(sorted.gap_min, gap_min.unwrap_or(u64::MAX));
            }
        }
    }
}
