//! Where the releasers of a pool find the requests that wait for it.
//!
//! Wait lists are never freed; a new pool reuses a vacant one. So a releaser, whose pool may be gone the moment its
//! buffers are free, can still look here.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ptr::NonNull;
use std::sync::{OnceLock, Weak};
use std::task::Waker;

use crossbeam_queue::SegQueue;
use crossbeam_utils::CachePadded;
use fz_process::{Process, foreign};

use crate::BufPoolError;
use crate::inner::{Inner, leak, try_reserve};
use crate::run_tree::RunTree;
use crate::sync::{Arc, AtomicU64, Mutex, MutexGuard, Ordering, Thread, lock, seq_cst_accesses_around};

/// Requests wait, or one is about to: claimers join the list, releasers take the lock.
const LINE: u64 = 1;
/// The pool awaits its end: releasers take the lock. There are no claimers.
const END: u64 = 2;
/// The two above. The bits beyond them count how often the attention was lowered.
const FLAGS: u64 = LINE | END;
const LOWERED: u64 = FLAGS + 1;

/// How many refusals a pool keeps, by the count that was refused.
const REFUSALS: usize = 8;

#[derive(Debug)]
pub(crate) struct WaitList {
    /// `LINE`, `END` or neither, and the count. Read by all, written under the lock.
    attention: CachePadded<AtomicU64>,
    lease: CachePadded<Mutex<Option<Lease>>>,
    /// In a copy of it that `fork(2)` made, the lock may be held by a thread that does not exist.
    process: Process,
}

/// The part of the pool that uses the list.
#[derive(Debug)]
pub(crate) struct Lease {
    /// Never reused: a releaser that comes late recognises that its pool is gone.
    pub(crate) id: u64,
    pub(crate) inner: InnerPointer,
    /// Where buffers may be free.
    pub(crate) runs: RunTree,
    /// The requests that wait, by their place in line.
    pub(crate) line: BTreeMap<u64, Entry>,
    pub(crate) next_place: u64,
    /// The word where the search for the next run longer than a word begins.
    pub(crate) long_from: u32,
    /// The word in which buffers were released last under the lock: a short request may find its buffers there without
    /// a search.
    pub(crate) released_word: u32,
    /// A tracked word with buffers that the tree does not know to be free yet: a request that takes them at once spares
    /// it both corrections. Corrected before each search.
    pub(crate) uncorrected: Option<u32>,
    /// Whether a request needed the lock since buffers were released under it. Then the pool is short of buffers, and
    /// the tree's values will be asked for again.
    pub(crate) is_short: bool,
    /// Once all handles are gone: the first word that may still have buffers in use.
    pub(crate) orphan_from: Option<u32>,
    /// How many requests had to wait.
    pub(crate) waits: u64,
    /// Called when a request has to wait; some may be gone.
    pub(crate) alarms: Vec<Weak<Alarm>>,
    /// The latest refusals, so that the same one again needs no memory.
    refusals: [Option<BufPoolError>; REFUSALS],
}

/// Foreign code that a pool calls when a request has to wait.
pub(crate) type Alarm = dyn Fn() + Send + Sync;

/// A pool's state, alive while its lease is in the list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InnerPointer(pub(crate) NonNull<Inner>);

// SAFETY: `Inner` is `Send` and `Sync` (asserted beside it); the pointer is dereferenced under the rules of `Inner`,
// on any thread.
unsafe impl Send for InnerPointer {}

/// A request that waits.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) count: u32,
    pub(crate) grant: Arc<Grant>,
    pub(crate) wake: Wake,
}

/// Where a waiter's buffers are handed over.
#[derive(Debug)]
pub(crate) struct Grant {
    /// The first buffer plus one; 0 until it is granted.
    first_plus_one: AtomicU64,
}

impl Grant {
    pub(crate) fn new() -> Self {
        Self { first_plus_one: AtomicU64::new(0) }
    }

    /// Hands over the run that begins at `first`.
    pub(crate) fn give(&self, first: u32) {
        // Release pairs with the acquire in `take`: the claim, made by the giver, and through it the release of these
        // buffers, happened before the waiter uses them.
        self.first_plus_one.store(u64::from(first) + 1, Ordering::Release);
    }

    /// The first buffer, once handed over, and once only: two owners of one run would write over each other.
    pub(crate) fn take(&self) -> Option<u32> {
        // Relaxed: a grant is taken below. A look that finds nothing must not write: it would only be in the giver's
        // way.
        if self.first_plus_one.load(Ordering::Relaxed) == 0 {
            return None;
        }
        // Acquire pairs with the release in `give`.
        let first = self.first_plus_one.swap(0, Ordering::Acquire).checked_sub(1)?;
        Some(u32::try_from(first).expect("a grant is the index of a buffer"))
    }
}

thread_local! {
    static IN_A_WAKER: Cell<bool> = const { Cell::new(false) };
}

/// Panics in a waker that a release calls. The thread may hold more memory that it is about to release, a pipe's batch
/// for example: a waker that waits for memory there, without a limit, would wait for its own caller.
pub(crate) fn assert_outside_of_wakers() {
    assert!(!IN_A_WAKER.get(), "a waker that a pool calls waits for a pool's memory; leave that to a task or a thread");
}

/// How to tell a waiter.
#[derive(Debug)]
pub(crate) enum Wake {
    Thread(Thread),
    Task(Waker),
}

impl Wake {
    /// Wakes the waiter. A panic of its waker goes no further: this runs in the drop of an allocation, which has
    /// nothing to do with that waker. Called without the lock.
    pub(crate) fn wake(self) {
        match self {
            Self::Thread(thread) => thread.unpark(),
            Self::Task(waker) => {
                let before = IN_A_WAKER.replace(true);
                foreign::wake(waker);
                IN_A_WAKER.set(before);
            }
        }
    }

    /// Whether it wakes the task that `waker` does. Compares two pointers and calls no foreign code.
    pub(crate) fn will_wake(&self, waker: &Waker) -> bool {
        matches!(self, Self::Task(known) if known.will_wake(waker))
    }
}

impl Lease {
    pub(crate) fn new(id: u64, inner: InnerPointer, runs: RunTree) -> Self {
        Self {
            id,
            inner,
            runs,
            line: BTreeMap::new(),
            next_place: 0,
            long_from: 0,
            released_word: 0,
            uncorrected: None,
            is_short: false,
            orphan_from: None,
            waits: 0,
            alarms: Vec::new(),
            refusals: [const { None }; REFUSALS],
        }
    }

    /// The refusal of `count` buffers: the last one of that count, if `is_same` finds it so, else a new one.
    pub(crate) fn refusal(
        &mut self,
        count: u32,
        is_same: impl FnOnce(&BufPoolError) -> bool,
        new: impl FnOnce() -> BufPoolError,
    ) -> BufPoolError {
        let kept = &mut self.refusals[count as usize % REFUSALS];
        match kept {
            Some(error) if is_same(error) => error.clone(),
            _ => kept.insert(new()).clone(),
        }
    }
}

impl WaitList {
    fn new() -> Self {
        Self {
            attention: CachePadded::new(AtomicU64::new(0)),
            lease: CachePadded::new(Mutex::new(None)),
            process: Process::current(),
        }
    }

    /// A vacant list: one that an earlier pool left, or a new one; `None` if there is no memory for it.
    pub(crate) fn rent() -> Option<&'static Self> {
        if let Some(left) = vacant().and_then(SegQueue::pop) {
            return Some(left);
        }
        let room = try_reserve()?;
        Some(leak(room, Self::new()))
    }

    /// Leaves the list to the next pool. Its lease has ended.
    pub(crate) fn vacate(&'static self) {
        if let Some(vacant) = vacant() {
            vacant.push(self);
        }
    }

    /// The lease, under the lock. `None` in a copy of the list that `fork(2)` made: its lock may be held for ever.
    pub(crate) fn lock(&self) -> Option<MutexGuard<'_, Option<Lease>>> {
        self.process.is_current().then(|| lock(&self.lease))
    }

    /// Whether this is a copy that `fork(2)` made.
    pub(crate) fn is_forked(&self) -> bool {
        !self.process.is_current()
    }

    /// Whether a claimer must join the line. A claimer that just misses the news goes ahead of a waiter that came at
    /// the same time, once: relaxed will do.
    #[inline]
    pub(crate) fn has_line(&self) -> bool {
        self.attention.load(Ordering::Relaxed) & FLAGS != 0
    }

    /// The attention that a releaser reads before anything else of its pool.
    #[inline]
    pub(crate) fn before_release(&self) -> u64 {
        // Acquire pairs with `lower_attention`: a releaser that sees it sees each word that was tracked until then.
        // (One that comes too late for that, but before the attention is lowered, sees it changed in `wants_releaser`.)
        self.attention.load(Ordering::Acquire) & !FLAGS
    }

    /// Whether a releaser, its buffers free, must take the lock: requests wait, the pool awaits its end, or words came
    /// to be tracked since `before`.
    #[inline]
    pub(crate) fn wants_releaser(&self, before: u64) -> bool {
        let after = self.settled_attention();
        if fz_error::mutants::active("pool_forgets_searches") {
            return after & FLAGS != 0;
        }
        after != before
    }

    /// Whether requests wait, for a holder that has just put memory where an alarm finds it.
    #[inline]
    pub(crate) fn has_line_for_holders(&self) -> bool {
        self.settled_attention() & FLAGS == LINE && self.process.is_current()
    }

    #[inline]
    fn settled_attention(&self) -> u64 {
        seq_cst_accesses_around();
        // SeqCst pairs with `raise`: the thread that raised it before this saw our buffers, or our memory when it
        // called us; or we see it. Neither can miss the other.
        self.attention.load(Ordering::SeqCst)
    }

    /// From here on every releaser takes the lock; the releases before are visible to a search that begins now. Called
    /// under the lock.
    pub(crate) fn raise_attention(&self) {
        self.raise(LINE);
    }

    /// As [`raise_attention`](Self::raise_attention), for good: the pool's last handle is gone.
    pub(crate) fn announce_end(&self) {
        self.raise(END);
    }

    fn raise(&self, flag: u64) {
        // SeqCst pairs with `settled_attention`; the search that follows reads `SeqCst`. (Relaxed load: only the holder
        // of the lock writes.)
        let count = self.attention.load(Ordering::Relaxed) & !FLAGS;
        self.attention.store(count | flag, Ordering::SeqCst);
        seq_cst_accesses_around();
    }

    /// No request waits. Called under the lock.
    pub(crate) fn lower_attention(&self) {
        let before = self.attention.load(Ordering::Relaxed);
        if before & FLAGS != 0 {
            // Release pairs with `before_release`. A thread that still sees it raised takes the lock in vain. The count
            // lasts for 2^62 times.
            self.attention.store((before & !FLAGS) + LOWERED, Ordering::Release);
        }
    }
}

/// The lists whose pools are gone; `None` where there is none to share. A copy that `fork(2)` made of the queue may be
/// in the middle of a push for ever, so such a process makes a list for each pool. Models have a world of their own per
/// run and leave nothing behind.
fn vacant() -> Option<&'static SegQueue<&'static WaitList>> {
    static VACANT: SegQueue<&'static WaitList> = SegQueue::new();
    static OWNER: OnceLock<Process> = OnceLock::new();
    if cfg!(any(fz_loom, fz_shuttle)) {
        return None;
    }
    OWNER.get_or_init(Process::current).is_current().then_some(&VACANT)
}

#[cfg(all(test, not(any(fz_loom, fz_shuttle))))]
mod tests {
    use super::{Grant, WaitList};

    /// It may have tracked the releaser's word after the releaser found it untracked.
    #[test]
    fn f_a_releaser_takes_the_lock_if_a_search_came_between_its_two_looks() {
        let list = WaitList::new();
        let before = list.before_release();
        assert!(!list.wants_releaser(before), "no search");
        list.raise_attention();
        assert!(list.wants_releaser(before), "a search has begun");
        let amid = list.before_release();
        list.lower_attention();
        assert!(list.wants_releaser(before), "a search was over");
        assert!(list.wants_releaser(amid), "a search ended");
        assert!(!list.wants_releaser(list.before_release()), "no search since");
    }

    #[test]
    fn h_a_grant_has_one_taker() {
        let grant = Grant::new();
        assert_eq!(grant.take(), None);
        grant.give(0);
        assert_eq!(grant.take(), Some(0));
        assert_eq!(grant.take(), None, "two owners of one run");
    }
}
