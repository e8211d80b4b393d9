//! Where the releasers of a pool find those who wait for it.
//!
//! A lot outlives every pool: it is never freed, only let to the next pool. So a releaser, whose
//! pool may be gone the moment its buffers are free, can still look here.

use std::collections::BTreeMap;
use std::ptr::NonNull;
use std::sync::Weak;
use std::task::Waker;

use crossbeam_utils::CachePadded;

use crate::inner::Inner;
use crate::sync::{Arc, AtomicU32, AtomicU64, Mutex, MutexGuard, Ordering, Thread, lock, seq_cst_accesses_around};

/// Nobody waits: claimers and releasers need no lock.
const NONE: u32 = 0;
/// Somebody stands in line, or is about to: claimers must go to the back of the line, releasers come for the lock.
const LINE: u32 = 1;
/// The pool awaits its end: releasers come for the lock. There are no claimers.
const END: u32 = 2;

#[derive(Debug)]
pub(crate) struct Lot {
    /// One of `NONE`, `LINE` and `END`. Read by all, written under the lock.
    attention: CachePadded<AtomicU32>,
    tenant: CachePadded<Mutex<Option<Tenant>>>,
}

/// What the pool that holds the lot keeps here.
#[derive(Debug)]
pub(crate) struct Tenant {
    /// Never reused: a releaser that comes late recognises that its pool is gone.
    pub(crate) id: u64,
    pub(crate) inner: InnerPointer,
    /// Those who wait, by their place in line.
    pub(crate) line: BTreeMap<u64, Entry>,
    pub(crate) next_place: u64,
    /// Whether the whole bitmap was searched for the head of the line: only buffers released since can serve it.
    pub(crate) head_searched: bool,
    /// The word where the search for the next run longer than a word begins; past the last word, at none.
    pub(crate) across_from: u32,
    /// Once all handles are gone: the first word that may still have buffers in use.
    pub(crate) orphan_from: Option<u32>,
    /// How many had to stand in line.
    pub(crate) waits: u64,
    /// Whom to call when somebody has to; some may be gone.
    pub(crate) alarms: Vec<Weak<dyn Fn() + Send + Sync>>,
}

/// A pool's state, alive while its tenant is in the lot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InnerPointer(pub(crate) NonNull<Inner>);

// SAFETY: `Inner` is `Send` and `Sync` (asserted beside it); the pointer is dereferenced under the
// rules of `Inner`, on whichever thread.
unsafe impl Send for InnerPointer {}

/// One who waits.
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
        // Release pairs with the acquire in `take`: the claim, made by the giver, and through it the
        // release of these buffers, happened before the waiter uses them.
        self.first_plus_one.store(u64::from(first) + 1, Ordering::Release);
    }

    /// The first buffer, once handed over, and once only: two owners of one run would write over each other.
    pub(crate) fn take(&self) -> Option<u32> {
        // Relaxed: what is handed over is taken below. A look that finds nothing must not write: it would only be in
        // the giver's way.
        if self.first_plus_one.load(Ordering::Relaxed) == 0 {
            return None;
        }
        // Acquire pairs with the release in `give`.
        let first = self.first_plus_one.swap(0, Ordering::Acquire).checked_sub(1)?;
        Some(u32::try_from(first).expect("a grant is the index of a buffer"))
    }
}

/// How to tell a waiter.
#[derive(Debug)]
pub(crate) enum Wake {
    Thread(Thread),
    Task(Waker),
}

impl Wake {
    pub(crate) fn wake(self) {
        match self {
            Self::Thread(thread) => thread.unpark(),
            Self::Task(waker) => waker.wake(),
        }
    }
}

impl Lot {
    fn new() -> Self {
        Self { attention: CachePadded::new(AtomicU32::new(NONE)), tenant: CachePadded::new(Mutex::new(None)) }
    }

    /// A vacant lot: one that an earlier pool left, or a new one.
    pub(crate) fn rent() -> &'static Self {
        let left = lock_vacant().pop();
        left.unwrap_or_else(|| Box::leak(Box::new(Self::new())))
    }

    /// Leaves the lot to the next pool. Its tenant has moved out.
    pub(crate) fn vacate(&'static self) {
        lock_vacant().push(self);
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Option<Tenant>> {
        lock(&self.tenant)
    }

    /// Whether a claimer must join the line. A claimer that just misses the news goes ahead of a
    /// waiter that came at the same time, once: relaxed will do.
    #[inline]
    pub(crate) fn has_line(&self) -> bool {
        self.attention.load(Ordering::Relaxed) != NONE
    }

    /// Whether a releaser, its buffers free, must come for the lock.
    #[inline]
    pub(crate) fn wants_releaser(&self) -> bool {
        self.settled_attention() != NONE
    }

    /// Whether somebody stands in line, for one who has just put memory where an alarm finds it.
    #[inline]
    pub(crate) fn has_line_for_holders(&self) -> bool {
        self.settled_attention() == LINE
    }

    #[inline]
    fn settled_attention(&self) -> u32 {
        seq_cst_accesses_around();
        // SeqCst pairs with `raise`: whoever raised it before this saw our buffers, or our memory when
        // it called us; or we see it. Neither can miss the other.
        self.attention.load(Ordering::SeqCst)
    }

    /// From here on every releaser comes for the lock; the releases before are visible to a scan
    /// that begins now. Called under the lock.
    pub(crate) fn raise_attention(&self) {
        self.raise(LINE);
    }

    /// As [`raise_attention`](Self::raise_attention), for good: the pool's last handle is gone.
    pub(crate) fn announce_end(&self) {
        self.raise(END);
    }

    fn raise(&self, attention: u32) {
        // SeqCst pairs with `settled_attention`; the scan that follows reads `SeqCst`.
        self.attention.store(attention, Ordering::SeqCst);
        seq_cst_accesses_around();
    }

    /// Nobody waits. Called under the lock.
    pub(crate) fn lower_attention(&self) {
        // Relaxed: who still sees it raised comes for the lock in vain.
        self.attention.store(NONE, Ordering::Relaxed);
    }
}

/// The lots whose pools are gone. Models have a world of their own per run and leave nothing behind.
fn lock_vacant() -> std::sync::MutexGuard<'static, Vec<&'static Lot>> {
    static VACANT: std::sync::Mutex<Vec<&'static Lot>> = std::sync::Mutex::new(Vec::new());
    let mut vacant = VACANT.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if cfg!(any(fz_loom, fz_shuttle)) {
        vacant.clear();
    }
    vacant
}

#[cfg(all(test, not(any(fz_loom, fz_shuttle))))]
mod tests {
    use super::Grant;

    #[test]
    fn h_a_grant_has_one_taker() {
        let grant = Grant::new();
        assert_eq!(grant.take(), None);
        grant.give(0);
        assert_eq!(grant.take(), Some(0));
        assert_eq!(grant.take(), None, "two owners of one run");
    }
}
