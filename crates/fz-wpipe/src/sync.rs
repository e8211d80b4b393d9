//! The one place that chooses between std and a model checker.
//!
//! The types whose orderings matter ([`Completion`](crate::completion::Completion),
//! [`Lead`](crate::lead::Lead), [`WaitWord`](crate::wait_word::WaitWord), `Deadline`) take their atomics and
//! locks from here, so that the code which runs in production is the code that loom explores.

#[cfg(fz_loom)]
pub(crate) use loom::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicU32, AtomicU64, Ordering},
};

#[cfg(fz_shuttle)]
pub(crate) use shuttle::{
    sync::{
        Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    thread, thread_local,
};

#[cfg(not(any(fz_loom, fz_shuttle)))]
pub(crate) use std::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicU32, AtomicU64, Ordering},
};

// loom holds single types, never the whole pipe: what only the whole pipe uses stays std's there.
#[cfg(not(fz_shuttle))]
pub(crate) use std::{
    sync::{RwLock, RwLockReadGuard, RwLockWriteGuard},
    thread, thread_local,
};

use std::sync::PoisonError;

/// Locks, whatever became of earlier holders. A panic while a lock is held is caught by
/// [`Core::guarded`](crate::core::Core::guarded), which poisons the pipe itself; the lock needs no
/// poison of its own.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
