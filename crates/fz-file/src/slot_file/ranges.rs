//! Whether an operation may change the file, and where in it a transfer lies.

use fz_error::mutants;

use super::SlotFile;
use crate::open::bytes_of;
use crate::{FileErrorKind, Result};

impl SlotFile {
    /// Before anything else, a lock included: in a child of `fork(2)` no thread may be there that would release it.
    pub(super) fn check_writable(&self, operation: &'static str) -> Result<()> {
        if !self.owner.is_current() && !mutants::active("act_in_a_forked_copy") {
            return Err(self.error(operation, FileErrorKind::OtherProcess));
        }
        if self.config.read_only { Err(self.error(operation, FileErrorKind::ReadOnly)) } else { Ok(()) }
    }

    /// The bytes of all slices together.
    pub(super) fn total(
        &self,
        operation: &'static str,
        slot_index: u64,
        lengths: impl Iterator<Item = usize>,
    ) -> Result<usize> {
        // Slices may overlap, so their lengths can be more than there is memory.
        let mut lengths = lengths;
        lengths.try_fold(0_usize, usize::checked_add).ok_or_else(|| {
            let slot_size = self.config.slot_size;
            self.error(operation, FileErrorKind::OffsetOverflow { slot_index, slot_size })
        })
    }

    /// The byte at which a transfer starts, if it is whole slots of this file.
    pub(super) fn offset(&self, operation: &'static str, slot_index: u64, bytes: usize) -> Result<u64> {
        let slot_size = self.config.slot_size;
        if bytes == 0 {
            return Err(self.error(operation, FileErrorKind::ZeroBytes { slot_index }));
        }
        if !bytes.is_multiple_of(slot_size) {
            return Err(self.error(operation, FileErrorKind::BytesNotMultiple { slot_index, bytes, slot_size }));
        }
        self.slots_offset(operation, slot_index, (bytes / slot_size) as u64)
    }

    /// The byte at which `slots` slots start, if they are in the file.
    pub(super) fn slots_offset(&self, operation: &'static str, slot_index: u64, slots: u64) -> Result<u64> {
        let slot_size = self.config.slot_size;
        let Some(end) = slot_index.checked_add(slots).filter(|&end| bytes_of(end, slot_size).is_some()) else {
            return Err(self.error(operation, FileErrorKind::OffsetOverflow { slot_index, slot_size }));
        };
        let slots_in_file = self.slots();
        if end > slots_in_file {
            return Err(self.error(operation, FileErrorKind::OutOfRange { slot_index, slots, slots_in_file }));
        }
        Ok(slot_index * slot_size as u64)
    }
}
