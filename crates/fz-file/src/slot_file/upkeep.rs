//! What an engine may ask for now and then: nothing on the path of a write.

use std::io;

use super::SlotFile;
use crate::extend::reserve;
use crate::latch::sync_failed;
use crate::open::means;
use crate::transfer::uninterrupted;
use crate::{FileErrorKind, Result};

impl SlotFile {
    /// Asks whether the path still means this file and the file still has its slots. Blocks for the disk.
    ///
    /// An open file goes on taking writes and syncs when another program has removed, replaced or cut it, and its bytes
    /// are gone when it is closed. The lock keeps out only programs that take it: ask now and then, and before you rely
    /// on the file for good (say, at the end of the process).
    ///
    /// # Errors
    ///
    /// [`PathReplaced`](FileErrorKind::PathReplaced), [`FileCut`](FileErrorKind::FileCut);
    /// [`OpenFailed`](FileErrorKind::OpenFailed) if the system does not say.
    ///
    /// ```
    /// # use fz_file::{FileErrorKind, SlotFile, SlotFileConfig};
    /// # let directory = tempfile::tempdir()?;
    /// let file = SlotFile::open(SlotFileConfig::new(directory.path().join("x"), 128).initial_slots(8))?;
    /// file.check_place()?;
    /// std::fs::remove_file(file.path())?;
    /// assert!(matches!(file.check_place().unwrap_err().kind(), FileErrorKind::PathReplaced));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn check_place(&self) -> Result<()> {
        let operation = "check_place";
        let failed =
            |step| move |cause: io::Error| self.error(operation, FileErrorKind::OpenFailed { step }).with_source(cause);
        // Before the length: a growth may come in between, and then the file is longer.
        let length_expected = self.slots() * self.slot_size() as u64;
        if !means(&*self.volume, self.path(), &*self.storage).map_err(failed("ask what the path means"))? {
            return Err(self.error(operation, FileErrorKind::PathReplaced));
        }
        let length = uninterrupted(|| self.storage.length()).map_err(failed("ask for the file's length"))?;
        if length < length_expected {
            return Err(self.error(operation, FileErrorKind::FileCut { length, length_expected }));
        }
        Ok(())
    }

    /// Reserves the blocks that slots of the file lack, so that no later write finds the disk full; `false` where
    /// blocks cannot be reserved. What the slots hold does not change. The next sync makes the blocks durable.
    /// Waits for the disk.
    ///
    /// Slots lack their blocks if the file is [sparse](crate::Preallocation::Sparse), after a restore that turned zeros
    /// into holes (`cp --sparse`, `rsync -S`), and after a growth that was interrupted. An open does not reserve them,
    /// because it could not open a file on a full disk then.
    ///
    /// # Errors
    ///
    /// [`GrowFailed`](FileErrorKind::GrowFailed) (a full disk: may be tried again),
    /// [`ReadOnly`](FileErrorKind::ReadOnly), [`SyncFailed`](FileErrorKind::SyncFailed) (an earlier one),
    /// [`OtherProcess`](FileErrorKind::OtherProcess).
    ///
    /// ```
    /// # use fz_file::{Preallocation, SlotFile, SlotFileConfig};
    /// # let directory = tempfile::tempdir()?;
    /// let config = SlotFileConfig::new(directory.path().join("x"), 4096).initial_slots(8);
    /// let file = SlotFile::open(config.preallocation(Preallocation::Sparse))?;
    /// let _ = file.reserve()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn reserve(&self) -> Result<bool> {
        let operation = "reserve";
        self.check_writable(operation)?;
        self.check_latch(operation)?;
        let slots = self.slots();
        reserve(&*self.storage, 0, slots * self.slot_size() as u64).map_err(|cause| {
            let step = "reserve blocks";
            self.error(operation, FileErrorKind::GrowFailed { slots, slots_asked: slots, step }).with_source(cause)
        })
    }

    /// Makes the call of [`sync_range`](Self::sync_range) once, over all of the file, so that a system or a sandbox
    /// that answers it in an unforeseen way does so now, and not under load. Right after an open
    /// there is nothing to write.
    ///
    /// # Errors
    ///
    /// Those of [`sync_range`](Self::sync_range).
    ///
    /// ```
    /// # use fz_file::{SlotFile, SlotFileConfig};
    /// # let directory = tempfile::tempdir()?;
    /// let file = SlotFile::open(SlotFileConfig::new(directory.path().join("x"), 128))?;
    /// file.probe_sync_range()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn probe_sync_range(&self) -> Result<()> {
        let operation = "probe_sync_range";
        self.check_writable(operation)?;
        let ran = self.latch.sync_beside_others(
            || self.storage.write_back(0, 0),
            |cause| self.error(operation, sync_failed(operation, &cause)).with_source(cause),
        );
        ran.map_err(|refused| self.refused(operation, &refused))
    }
}
