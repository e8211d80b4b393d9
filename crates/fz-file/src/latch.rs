//! The first failed sync, for good.

use std::io;
use std::sync::{Mutex, OnceLock, PoisonError};

use fz_error::mutants;

use crate::transfer::uninterrupted;
use crate::{FileError, FileErrorKind};

/// Remembers the first failed sync for good.
///
/// After a failed `fsync(2)` the kernel may drop the pages that it could not write and mark them
/// clean, so that the next call succeeds and means nothing. It also reports a write-back error to
/// *one* call per open file: of two calls that run at the same time one may get the error and the
/// other an `Ok` that is wrong. Hence syncs run one at a time, and each asks the latch after its
/// predecessor has set it.
#[derive(Debug, Default)]
pub(crate) struct SyncLatch {
    running: Mutex<()>,
    failed: OnceLock<FileError>,
}

impl SyncLatch {
    /// The error with which a sync failed, if one did.
    pub(crate) fn failed(&self) -> Option<&FileError> {
        if mutants::active("retry_failed_sync") { None } else { self.failed.get() }
    }

    /// Runs `attempt` unless a sync failed before; `describe` makes the error of an `io::Error`.
    ///
    /// Returns the first failure, this call's or an earlier one's.
    pub(crate) fn sync(
        &self,
        attempt: impl FnMut() -> io::Result<()>,
        describe: impl FnOnce(io::Error) -> FileError,
    ) -> Result<(), SyncRefused<'_>> {
        // A panic below would be a bug in a Storage; the latch itself is whole at every point.
        let _running =
            (!mutants::active("syncs_overlap")).then(|| self.running.lock().unwrap_or_else(PoisonError::into_inner));
        self.sync_beside_others(attempt, describe)
    }

    /// As [`sync`](Self::sync), but may run while a sync runs. Only for a call that leaves the
    /// error for that sync to see.
    pub(crate) fn sync_beside_others(
        &self,
        attempt: impl FnMut() -> io::Result<()>,
        describe: impl FnOnce(io::Error) -> FileError,
    ) -> Result<(), SyncRefused<'_>> {
        if let Some(first) = self.failed() {
            return Err(SyncRefused::Earlier(first));
        }
        match uninterrupted(attempt) {
            Ok(()) => Ok(()),
            Err(cause) => {
                let is_first = self.failed.set(describe(cause)).is_ok();
                let first = self.failed.get().expect("set just now, or before");
                // Of two that ran beside each other and failed, one was first.
                Err(if is_first { SyncRefused::Now(first) } else { SyncRefused::Earlier(first) })
            }
        }
    }
}

/// A sync that did not happen, with the first failure.
#[derive(Debug)]
pub(crate) enum SyncRefused<'a> {
    /// This call failed.
    Now(&'a FileError),
    /// An earlier one failed, and the kernel was not called.
    Earlier(&'a FileError),
}

/// The kind for a sync that failed in `operation`.
pub(crate) fn sync_failed(operation: &'static str, cause: &io::Error) -> FileErrorKind {
    FileErrorKind::SyncFailed { failed_in: operation, cause: cause.to_string() }
}

#[cfg(test)]
mod tests {
    use super::{SyncLatch, SyncRefused, sync_failed};
    use crate::FileError;

    /// Each got the same error as if it were its own, so that a `sync_range` said that a `sync` had failed.
    #[test]
    fn c_of_two_syncs_that_fail_beside_each_other_one_is_the_first() {
        let latch = SyncLatch::default();
        let describe = |operation| move |cause| FileError::new(7, operation, sync_failed(operation, &cause));
        let refused = || Err(std::io::Error::from(nix::errno::Errno::EIO));
        let attempt = || {
            let Err(SyncRefused::Now(first)) = latch.sync_beside_others(refused, describe("sync_range")) else {
                panic!("the first is a failure of its own");
            };
            assert_eq!(first.operation(), "sync_range");
            refused()
        };
        let Err(SyncRefused::Earlier(first)) = latch.sync(attempt, describe("sync")) else {
            panic!("the second is the first one's consequence");
        };
        assert_eq!(first.operation(), "sync_range");
    }
}
