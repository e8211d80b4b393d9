//! The one place that chooses between std and a model checker.
//!
//! Everything else in the crate takes its atomics, locks, threads and cells from here, so that the
//! code which runs in production is the code that loom and shuttle explore.

#[cfg(fz_loom)]
pub(crate) use loom::{
    cell::UnsafeCell,
    hint::spin_loop,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence},
    },
    thread::{Thread, current, park, yield_now},
};

#[cfg(fz_shuttle)]
pub(crate) use shuttle::{
    hint::spin_loop,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence},
    },
    thread::{Thread, current, park, yield_now},
};

#[cfg(not(any(fz_loom, fz_shuttle)))]
pub(crate) use std::{
    hint::spin_loop,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence},
    },
    thread::{Thread, current, park, yield_now},
};

use std::sync::PoisonError;
use std::time::{Duration, Instant};

/// How often a wait for another thread's next few instructions spins before it yields.
///
/// A model checker explores every spin as a step of its own, so there it yields at the second.
pub(crate) const SPINS_MAX: u32 = if cfg!(any(fz_loom, fz_shuttle)) { 1 } else { 64 };

/// Locks, whatever became of earlier holders: no user code runs under a lock of this crate, so a
/// poisoned one still holds consistent state.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
        // A model has no clock: let the others run, then look again.
        #[cfg(any(fz_loom, fz_shuttle))]
        Some(_) => yield_now(),
    }
}

/// `std::cell::UnsafeCell` with loom's interface; loom's own version reports every access that
/// races.
#[cfg(not(fz_loom))]
#[derive(Debug)]
pub(crate) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

#[cfg(not(fz_loom))]
impl<T> UnsafeCell<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(std::cell::UnsafeCell::new(value))
    }

    #[inline(always)]
    pub(crate) fn with<R>(&self, body: impl FnOnce(*const T) -> R) -> R {
        body(self.0.get())
    }

    #[inline(always)]
    pub(crate) fn with_mut<R>(&self, body: impl FnOnce(*mut T) -> R) -> R {
        body(self.0.get())
    }
}
