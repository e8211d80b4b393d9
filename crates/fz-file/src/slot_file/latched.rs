//! What the first failed sync does to everything after it.

use std::io;

use super::SlotFile;
use crate::latch::{SyncRefused, sync_failed};
use crate::{FileError, Result};

impl SlotFile {
    /// The first failed sync, if there was one: from then on every write, sync and growth is refused, and the
    /// file is of use to readers only. Does not touch the file and never blocks.
    ///
    /// ```
    /// # use fz_file::{SlotFile, SlotFileConfig};
    /// # let directory = tempfile::tempdir()?;
    /// # let file = SlotFile::open(SlotFileConfig::new(directory.path().join("x"), 128).initial_slots(8))?;
    /// file.sync()?;
    /// assert!(file.sync_failure().is_none()); // or drop the file, open it anew, and check its content
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn sync_failure(&self) -> Option<&FileError> {
        self.latch.failed()
    }

    pub(super) fn latched(&self, operation: &'static str, attempt: impl FnMut() -> io::Result<()>) -> Result<()> {
        self.latch
            .sync(attempt, |cause| self.error(operation, sync_failed(operation, &cause)).with_source(cause))
            .map_err(|refused| self.refused(operation, &refused))
    }

    pub(super) fn check_latch(&self, operation: &'static str) -> Result<()> {
        match self.latch.failed() {
            None => Ok(()),
            Some(first) => Err(self.refused(operation, &SyncRefused::Earlier(first))),
        }
    }

    pub(super) fn refused(&self, operation: &'static str, refused: &SyncRefused<'_>) -> FileError {
        match *refused {
            SyncRefused::Now(first) => first.clone(),
            SyncRefused::Earlier(first) => self.error(operation, first.kind().clone()).with_source(first.clone()),
        }
    }
}
