//! The one place that chooses between std and a model checker.
//!
//! Everything else in the crate takes its atomics, locks and threads from here, so that the code
//! which runs in production is the code that loom and shuttle explore.

#[cfg(fz_loom)]
pub(crate) use loom::{
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread::{Thread, current, park},
};

#[cfg(fz_shuttle)]
pub(crate) use shuttle::{
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread::{Thread, current, park},
};

#[cfg(not(any(fz_loom, fz_shuttle)))]
pub(crate) use std::{
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread::{Thread, current, park},
};

use std::sync::PoisonError;
use std::time::{Duration, Instant};

/// Locks, even after a panic under the lock: no user code runs under a lock of this crate, so a poisoned one still
/// holds consistent state.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Stands between a `SeqCst` write and a `SeqCst` read of another word, each of which must not
/// miss the other's partner.
///
/// The accesses themselves give that order in Rust's memory model, so this is nothing at all in
/// production. Loom treats a `SeqCst` access as acquire or release only and knows the total order
/// of fences alone, so there it is that fence.
#[inline(always)]
pub(crate) fn seq_cst_accesses_around() {
    #[cfg(fz_loom)]
    loom::sync::atomic::fence(Ordering::SeqCst);
}

/// The instant `timeout` from now; `None`, which is never, if the clock cannot express it.
pub(crate) fn deadline_after(timeout: Duration) -> Option<Instant> {
    Instant::now().checked_add(timeout)
}

/// Whether `deadline` has passed; `None` never does.
pub(crate) fn has_passed(deadline: Option<Instant>) -> bool {
    deadline.is_some_and(|at| Instant::now() >= at)
}

/// Parks the thread until it is unparked, `deadline` passes, or for no reason at all.
pub(crate) fn park_until(deadline: Option<Instant>) {
    match deadline {
        None => park(),
        #[cfg(not(any(fz_loom, fz_shuttle)))]
        Some(at) => std::thread::park_timeout(at.saturating_duration_since(Instant::now())),
        // A model has no clock: let the other threads run, then look again.
        #[cfg(fz_loom)]
        Some(_) => loom::thread::yield_now(),
        #[cfg(fz_shuttle)]
        Some(_) => shuttle::thread::yield_now(),
    }
}

/// A stand-in for memory that loom cannot watch: loom reports a `write` that races with a `read`
/// or another `write`. Nothing in production.
#[derive(Debug, Default)]
pub(crate) struct Probe {
    #[cfg(fz_loom)]
    cell: loom::cell::UnsafeCell<()>,
}

#[cfg(fz_loom)]
// SAFETY: there is no data to race on; finding out whether an access would race is the purpose.
unsafe impl Sync for Probe {}

impl Probe {
    #[inline(always)]
    pub(crate) fn read(&self) {
        #[cfg(fz_loom)]
        self.cell.with(|_| ());
    }

    #[inline(always)]
    pub(crate) fn write(&self) {
        #[cfg(fz_loom)]
        self.cell.with_mut(|_| ());
    }
}
