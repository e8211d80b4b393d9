//! Where a thread's buffers lie: neighbours for as long as there are some, so that a writer can merge them, in other
//! cache lines of the bitmap than those of other threads, and yet close to them, so that the rest of the pool stays in
//! one piece. `src/cursor.rs` and the order of the search ensure it; without them every promise would hold, slowly.
#![cfg(not(any(fz_loom, fz_shuttle)))]

use std::thread;

use fz_bufpool::{Allocation, BufPool, BufPoolConfig, BufferSize};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence::{Off, WithSource};

/// Buffers that one word of the bitmap covers.
const WORD: usize = 64;

/// Words that a claimer visits before it searches the whole pool.
const WINDOW: usize = 16;

/// A pool, and the address of its first buffer.
fn pool(buffers: usize) -> (BufPool, usize) {
    let pool = BufPool::new(BufPoolConfig::new(BufferSize::S8, buffers * 8)).unwrap();
    let base = pool.allocate(buffers).unwrap().as_slice().as_ptr().addr();
    (pool, base)
}

fn first(allocation: &Allocation, base: usize) -> usize {
    (allocation.as_slice().as_ptr().addr() - base) / 8
}

#[test]
fn threads_that_come_one_after_the_other_begin_in_words_of_their_own() {
    const THREADS: usize = 8;
    // Homes are 16 words apart and lie in a quarter of the pool.
    let (pool, base) = pool(THREADS * 16 * 4 * WORD);
    let begin = || {
        let pool = pool.clone();
        thread::spawn(move || pool.allocate(1).unwrap()).join().unwrap()
    };
    // The threads of the other test may come in between: then the eight are not consecutive.
    let spread = (0..100).any(|_| {
        let held: Vec<_> = (0..THREADS).map(|_| begin()).collect();
        let mut words: Vec<_> = held.iter().map(|allocation| first(allocation, base) / WORD).collect();
        words.sort_unstable();
        words.dedup();
        words.len() == THREADS
    });
    assert!(spread, "eight threads never had eight words");
}

#[test]
fn f_buffers_that_each_thread_holds_for_long_leave_three_quarters_of_the_pool_in_one_piece() {
    const BUFFERS: usize = 1 << 16;
    let (pool, _) = pool(BUFFERS);
    let begin = || {
        let pool = pool.clone();
        thread::spawn(move || pool.allocate(1).unwrap()).join().unwrap()
    };
    let held: Vec<_> = (0..100).map(|_| begin()).collect();
    let rest = pool.try_allocate(BUFFERS / 4 * 3).expect("each thread holds a buffer in the first quarter");
    drop((held, rest));
}

#[test]
fn a_thread_goes_on_where_it_was_in_each_of_its_pools() {
    let ((one, base), (other, _)) = (pool(4 * WORD), pool(4 * WORD));
    let whole_word = one.allocate(WORD).unwrap();
    let next = one.allocate(1).unwrap();
    drop(other.allocate(1).unwrap());
    let word = first(&whole_word, base) / WORD;
    drop(whole_word);
    let after = one.allocate(1).unwrap();
    assert_eq!(first(&next, base), (word + 1) % 4 * WORD, "the next word");
    assert_eq!(first(&after, base), first(&next, base) + 1, "its neighbour, though the first word is free again");
}

/// The search, the slow way.
struct Model {
    free: Vec<bool>,
    /// The word in which the thread found buffers last.
    place: usize,
    /// The word from which the pool looks for more than a word of buffers.
    beyond: usize,
}

impl Model {
    fn run_from(&self, from: usize, to: usize, count: usize) -> Option<usize> {
        (from..(to + 1).saturating_sub(count)).find(|at| self.free[*at..*at + count].iter().all(|free| *free))
    }

    /// The first buffer. In a word: the thread's, or one of the next ones; else wherever there is a run, and `found`
    /// says where. More than fits into a word: behind the last such run, else the first.
    fn claim(&mut self, count: usize, found: Option<usize>) -> Option<usize> {
        let words = self.free.len().div_ceil(WORD);
        if count > WORD {
            let behind = self.run_from(self.beyond * WORD, self.free.len(), count);
            let found = behind.or_else(|| self.run_from(0, self.free.len(), count));
            if let Some(first) = found {
                self.beyond = (first + count) / WORD;
            }
            self.take(found, count);
            return found;
        }
        let in_word = |word: usize| self.run_from(word * WORD, ((word + 1) * WORD).min(self.free.len()), count);
        let is_free = |first: usize| self.run_from(first, first + count, count).is_some();
        let found = (0..words.min(WINDOW))
            .find_map(|step| in_word((self.place + step) % words))
            .or_else(|| found.filter(|first| is_free(*first)))
            .or_else(|| self.run_from(0, self.free.len(), count));
        if let Some(first) = found {
            self.place = first / WORD;
        }
        self.take(found, count);
        found
    }

    fn take(&mut self, found: Option<usize>, count: usize) {
        if let Some(first) = found {
            self.free[first..first + count].fill(false);
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Claim(usize),
    /// The allocation at this place of those held.
    Release(prop::sample::Index),
}

fn step() -> impl Strategy<Value = Step> {
    let count = prop_oneof![Just(1_usize), 1..=WORD, Just(WORD), WORD..4 * WORD];
    prop_oneof![count.prop_map(Step::Claim), any::<prop::sample::Index>().prop_map(Step::Release)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_failure_persistence(
        if cfg!(fz_mutants) { Off } else { WithSource("proptest-regressions") }
    ))]

    /// Words by the hundred, so that the tree over them has three levels.
    #[test]
    fn an_allocation_lies_in_one_of_the_next_words_if_one_has_room_for_it(
        buffers in prop_oneof![1_usize..400, 4000_usize..24_000],
        is_full in any::<bool>(),
        steps in prop::collection::vec(step(), 1..200),
    ) {
        let (pool, base) = pool(buffers);
        // Where the thread begins is its own affair.
        let begin = first(&pool.allocate(1).unwrap(), base);
        // The first claim, of all that there is, was one of more than a word.
        let beyond = if buffers > WORD { buffers / WORD } else { 0 };
        let mut model = Model { free: vec![true; buffers], place: begin / WORD, beyond };
        let mut held = Vec::new();
        let full = std::iter::repeat_n(Step::Claim(WORD), if is_full { buffers / WORD } else { 0 });
        for step in full.chain(steps) {
            match step {
                Step::Claim(count) if count <= buffers => {
                    let allocation = pool.try_allocate(count).ok();
                    let found = allocation.as_ref().map(|one| first(one, base));
                    prop_assert_eq!(found, model.claim(count, found));
                    held.extend(allocation);
                }
                Step::Release(index) if !held.is_empty() => {
                    let allocation: Allocation = held.swap_remove(index.index(held.len()));
                    let at = first(&allocation, base);
                    model.free[at..at + allocation.count()].fill(true);
                }
                _ => {}
            }
        }
    }
}
