//! Reads through the pipe.

use crate::{PipeError, PipeErrorKind, Result, WritePipe};

impl WritePipe {
    /// Reads consecutive slots as every write accepted before this call left them, durable or not.
    ///
    /// `buffer` is a whole number of slots. The read never sees a part of one of this pipe's writes
    /// (those of another pipe, or of [`SlotFile::write`](fz_file::SlotFile::write), it may): queued writes are handed
    /// to the kernel first, and slots that a batch touched meanwhile are read again between two batches. Blocks for
    /// that, and for the disk if the slots are not in memory; neither producers nor commits wait for it. Not for async
    /// code.
    ///
    /// A read that runs *while* a sync fails, on a file system that then shows the old bytes again,
    /// may see them; a later one returns the error.
    ///
    /// # Errors
    ///
    /// [`PipeErrorKind::NotWholeSlots`], [`PipeErrorKind::OutOfRange`],
    /// [`PipeErrorKind::ReadFailed`]; or the error that stopped the pipe, if accepted writes were
    /// lost to it.
    ///
    /// # Panics
    ///
    /// As [`close`](Self::close), and in a user's [`Storage`](fz_file::Storage) that the pipe calls.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use fz_bufpool::{BufPool, BufPoolConfig, BufferSize};
    /// # use fz_file::{SlotFile, SlotFileConfig};
    /// # use fz_wpipe::{WritePipe, WritePipeConfig, WriteRequest};
    /// # let directory = tempfile::tempdir()?;
    /// # let file = SlotFile::open(SlotFileConfig::new(directory.path().join("x"), 128).initial_slots(8))?;
    /// # let pool = BufPool::new(BufPoolConfig::new(BufferSize::S128, 8 * 128))?;
    /// # let pipe = WritePipe::new(WritePipeConfig::new(), Arc::new(file))?;
    /// // Accepted, and not durable yet.
    /// drop(pipe.write(WriteRequest { allocation: pool.allocate_copy(b"record")?, slot_index: 3 })?);
    /// let mut slot = [0; 128];
    /// pipe.read(3, &mut slot)?;
    /// assert!(slot.starts_with(b"record"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn read(&self, slot_index: u64, buffer: &mut [u8]) -> Result<()> {
        let slot_size = self.file.slot_size();
        let error = |kind| PipeError::new(self.slots().module_id(), "read", kind);
        if buffer.is_empty() || !buffer.len().is_multiple_of(slot_size) {
            return Err(error(PipeErrorKind::NotWholeSlots { bytes: buffer.len(), slot_size }));
        }
        let count = u64::try_from(buffer.len() / slot_size).unwrap_or(u64::MAX);
        self.check_range(slot_index, count).map_err(error)?;
        if self.committer.is_forked() {
            return Err(error(PipeErrorKind::OtherProcess));
        }
        let slots = self.slots();
        let accepted = slots.sender.last_position();
        if slots.written_epoch() < accepted && !fz_error::mutants::active("read_past_the_queue") {
            // A failure stops the pipe, and is found below.
            let _ = self.committer.guarded("read", || slots.write_through(accepted));
        }
        slots
            .read(slot_index, buffer)
            .map_err(|source| error(PipeErrorKind::ReadFailed { slot_index, count }).with_source(source))?;
        // After the read: a batch that failed may have left a part of a write, and with a failed sync
        // some file systems take back what the kernel had already shown.
        self.loss().map_or(Ok(()), Err)
    }

    /// The error that stopped the pipe, if accepted writes were lost to it.
    fn loss(&self) -> Option<PipeError> {
        if fz_error::mutants::active("read_trusts_a_failed_batch") {
            return None;
        }
        // Whether it happened, not whether it was told: what it has undone is undone before that.
        let reason = self.reason()?;
        // A caller that hears of it finds every later write refused, so the queue is closed first.
        self.committer.fail(reason.clone());
        // Asked last: since the queue is closed, neither moves.
        (self.slots().sender.last_position() > self.committer.durable()).then_some(reason)
    }
}
