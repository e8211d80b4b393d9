//! The one place that chooses between std and a model checker.
//!
//! Everything else in the crate takes its atomics and locks from here, so that the code which runs in production is
//! the code that loom and shuttle explore.

#[cfg(fz_loom)]
pub(crate) use loom::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicU32, AtomicU64, Ordering},
};

#[cfg(fz_shuttle)]
pub(crate) use shuttle::{
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    thread, thread_local,
};

#[cfg(not(any(fz_loom, fz_shuttle)))]
pub(crate) use std::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicU32, AtomicU64, Ordering},
};

// loom holds single types, never a whole committer: what only the whole uses stays std's there.
#[cfg(not(fz_shuttle))]
pub(crate) use std::{thread, thread_local};

/// Locks whose holders sleep on a condition variable.
pub(crate) mod blocking {
    #[cfg(fz_shuttle)]
    pub(crate) use shuttle::sync::{Condvar, Mutex, MutexGuard};
    #[cfg(not(fz_shuttle))]
    pub(crate) use std::sync::{Condvar, Mutex, MutexGuard};

    use std::sync::PoisonError;
    use std::time::Duration;

    pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
        mutex.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sleeps until `condvar` is notified, or for `limit`, or for no reason. A model has no clock: its limits never
    /// come.
    pub(crate) fn wait<'a, T>(
        condvar: &Condvar,
        guard: MutexGuard<'a, T>,
        limit: Option<Duration>,
    ) -> MutexGuard<'a, T> {
        match limit {
            #[cfg(not(fz_shuttle))]
            Some(limit) => condvar.wait_timeout(guard, limit).unwrap_or_else(PoisonError::into_inner).0,
            _ => condvar.wait(guard).unwrap_or_else(PoisonError::into_inner),
        }
    }
}

use std::sync::PoisonError;
use std::time::Duration;

/// Locks, whatever became of earlier holders: no foreign code runs under a lock of this crate, except the medium's
/// under the leader's, and its panic stops the committer, so that the lock needs no poison of its own.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A duration in nanoseconds, as the atomic words hold it.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
