//! Where each thread looks for free buffers first.
//!
//! Threads that start in different cache lines of the bitmap do not compete for one, and a thread that stays in its
//! word gets neighbours, which its consumer can merge. The first words of all threads lie close together, at the
//! beginning of the pool: buffers that each of them holds for long leave the rest of the pool in one piece.

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, Ordering};

/// How many pools a thread remembers its place in.
const POOLS_REMEMBERED: usize = 4;

/// Words from one home to the next: two cache lines, because processors fetch them in pairs.
const HOME_WORDS: u32 = 16;

/// Homes in a large pool. More threads than that begin in the words between.
const HOMES_MAX: u32 = 64;

/// The part of the pool that homes lie in, as its divisor.
const HOMES_PART: u32 = 4;

thread_local! {
    /// Per pool (by its id modulo the length): the id, and the word of the last claim.
    static PLACES: [Cell<(u64, u32)>; POOLS_REMEMBERED] = const { [const { Cell::new((0, 0)) }; POOLS_REMEMBERED] };
    /// The thread's number plus one; 0 before it has one.
    static NUMBER: Cell<u32> = const { Cell::new(0) };
}

/// The word in which this thread starts to search the bitmap of pool `id`, below `words`.
#[inline]
pub(crate) fn get(id: u64, words: u32) -> u32 {
    // A model must not depend on which threads ran before it.
    if cfg!(any(fz_loom, fz_shuttle)) {
        return 0;
    }
    let (known, word) = PLACES.with(|places| places[index(id)].get());
    if known == id { word } else { home(words) }
}

/// Remembers that this thread found buffers of pool `id` in `word`.
#[inline]
pub(crate) fn set(id: u64, word: u32) {
    if cfg!(any(fz_loom, fz_shuttle)) {
        return;
    }
    PLACES.with(|places| places[index(id)].set((id, word)));
}

#[inline]
fn index(id: u64) -> usize {
    usize::from(id.to_le_bytes()[0]) % POOLS_REMEMBERED
}

/// The thread's first word in a pool that it does not remember.
#[cold]
fn home(words: u32) -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.with(|number| {
        if number.get() == 0 {
            // Relaxed: the numbers need to differ (until they wrap), and order nothing.
            number.set(NEXT.fetch_add(1, Ordering::Relaxed).wrapping_add(1).max(1));
        }
        number.get()
    });
    home_of(number - 1, words)
}

/// The first word of the thread with this number.
fn home_of(number: u32, words: u32) -> u32 {
    let part = (words / HOMES_PART).max(1);
    let homes = (part / HOME_WORDS).clamp(1, HOMES_MAX);
    let apart = HOME_WORDS.min(part);
    number % homes * HOME_WORDS + number / homes % apart
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::home_of;

    #[test]
    fn homes_differ_while_there_is_room_and_leave_three_quarters_of_the_pool() {
        for words in (1..300).chain([1 << 14, 1 << 25]) {
            let homes: Vec<_> = (0..2_000).map(|number| home_of(number, words)).collect();
            assert!(homes.iter().all(|home| *home == 0 || *home < words.div_ceil(4)), "{words} words");
            let room = (words as usize / 4).clamp(1, 1_024) / 16 * 16;
            let distinct: BTreeSet<_> = homes.iter().take(room).collect();
            assert_eq!(distinct.len(), room, "{words} words");
        }
    }

    #[test]
    fn homes_of_a_large_pool_lie_two_cache_lines_apart_in_its_first_1024_words() {
        let homes: Vec<_> = (0..64).map(|number| home_of(number, 1 << 20)).collect();
        assert_eq!(homes, (0..64).map(|number| number * 16).collect::<Vec<_>>());
    }
}
