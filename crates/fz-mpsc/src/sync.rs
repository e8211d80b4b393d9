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

/// How often a wait for another thread's next few instructions spins before it sleeps: a few microseconds.
///
/// A model checker explores every spin as a step of its own, so there it yields at the second.
pub(crate) const SPINS_MAX: u32 = if cfg!(any(fz_loom, fz_shuttle)) { 1 } else { 64 };

/// The sleeps of a wait that nothing ends but another thread's progress: 50 µs, then twice as long each time, up to 1
/// ms.
#[derive(Debug)]
pub(crate) struct Pause {
    /// How many times it does not sleep yet.
    free: u32,
    next: Duration,
}

impl Pause {
    const MIN: Duration = Duration::from_micros(50);
    const MAX: Duration = Duration::from_millis(1);

    /// Sleeps only after `free` calls that do not.
    pub(crate) fn after(free: u32) -> Self {
        Self { free, next: Self::MIN }
    }

    /// Sleeps, though not beyond `deadline`.
    pub(crate) fn sleep(&mut self, deadline: Option<Instant>) {
        let left = deadline.map_or(Duration::MAX, |at| at.saturating_duration_since(Instant::now()));
        let duration = self.advance().min(left);
        if !duration.is_zero() {
            sleep(duration);
        }
    }

    /// How long to sleep this time.
    fn advance(&mut self) -> Duration {
        if self.free > 0 {
            self.free -= 1;
            return Duration::ZERO;
        }
        let now = self.next;
        self.next = (now * 2).min(Self::MAX);
        now
    }
}

#[cfg(not(any(fz_loom, fz_shuttle)))]
use std::thread::sleep;

/// A model has no clock: the other threads run, then this one looks again.
#[cfg(any(fz_loom, fz_shuttle))]
fn sleep(_: Duration) {
    yield_now();
}

/// Locks, also if an earlier holder panicked: no user code runs under a lock of this crate, so a
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
        // A model has no clock: the other threads run, then this one looks again.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_for_a_stopped_producer_sleeps_longer_each_time_up_to_a_millisecond() {
        let mut pause = Pause::after(2);
        let micros: Vec<_> = (0..9).map(|_| pause.advance().as_micros()).collect();
        assert_eq!(micros, [0, 0, 50, 100, 200, 400, 800, 1000, 1000]);
    }
}
