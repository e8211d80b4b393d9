//! The one place that chooses between std and a model checker, so that the code which runs in production is the code
//! that shuttle explores.

#[cfg(fz_shuttle)]
pub(crate) use shuttle::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicU64, Ordering},
};

#[cfg(not(fz_shuttle))]
pub(crate) use std::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicU64, Ordering},
};

use std::sync::PoisonError;

/// Locks, whatever became of earlier holders: a panic under the batch lock leaves the batch marked as broken, and stops
/// the pipe; the lock needs no poison of its own.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
