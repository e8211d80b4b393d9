//! Where each thread looks for free buffers first.
//!
//! Threads that start in different words of the bitmap do not fight over one cache line, and a
//! thread that stays in its word gets neighbours, which its consumer can merge.

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, Ordering};

/// How many pools a thread remembers its place in.
const POOLS_REMEMBERED: usize = 4;

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
    // Reversed bits, read as a fraction, spread 0, 1, 2, … evenly however many there are: 0, 1/2, 1/4, 3/4, …
    let fraction = u64::from((number - 1).reverse_bits());
    ((fraction * u64::from(words)) >> 32) as u32
}
