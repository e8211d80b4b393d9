//! A gate before each sync, so that tickets stay undecided as long as wanted, and the time of the last sync.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Instant;

use crate::disk::SyncHook;

/// Open at first.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    shut: Mutex<bool>,
    opened: Condvar,
    /// When the last sync of data ended.
    synced: Mutex<Option<Instant>>,
}

impl Gate {
    /// When the last sync of data ended, if there was one.
    pub(crate) fn synced(&self) -> Option<Instant> {
        *self.synced.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_shut(&self, shut: bool) {
        *self.shut.lock().unwrap_or_else(PoisonError::into_inner) = shut;
        self.opened.notify_all();
    }
}

impl SyncHook for Gate {
    fn before(&self) {
        let mut shut = self.shut.lock().unwrap_or_else(PoisonError::into_inner);
        while *shut {
            shut = self.opened.wait(shut).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn after(&self) {
        *self.synced.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }
}
