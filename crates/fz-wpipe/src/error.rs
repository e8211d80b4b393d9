use std::time::Duration;

/// What every fallible call of this crate returns; with [`RejectedWrite`](crate::RejectedWrite) in
/// place of the error if it has a request to give back.
pub type Result<T, E = PipeError> = std::result::Result<T, E>;

/// An error of this crate: the operation, a [`PipeErrorKind`], and the cause.
pub type PipeError = fz_error::Error<PipeErrorKind>;

fz_error::catalogue! {
    /// Why the pipe refused or failed.
    ///
    /// The kinds that end a pipe for good are told apart by [`is_poison`](Self::is_poison).
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use fz_bufpool::{BufPool, BufPoolConfig, BufferSize};
    /// # use fz_file::{SlotFile, SlotFileConfig};
    /// # use fz_wpipe::{PipeErrorKind, WritePipe, WritePipeConfig, WriteRequest};
    /// # let directory = tempfile::tempdir()?;
    /// # let file = SlotFile::open(SlotFileConfig::new(directory.path().join("x"), 128).initial_slots(8))?;
    /// # let pool = BufPool::new(BufPoolConfig::new(BufferSize::S128, 8 * 128))?;
    /// # let pipe = WritePipe::new(WritePipeConfig::new(), Arc::new(file))?;
    /// let rejected = pipe.write(WriteRequest { allocation: pool.allocate(2)?, slot_index: 7 }).unwrap_err();
    /// match rejected.error.kind() {
    ///     PipeErrorKind::OutOfRange { slot_index: 7, count: 2, slots: 8 } => {}
    ///     kind if kind.is_poison() => panic!("the pipe has stopped: {kind}"),
    ///     other => panic!("{other}"),
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[derive(PartialEq, Eq)]
    #[non_exhaustive]
    pub enum PipeErrorKind in fz_error::domain::WPIPE {
        /// The slots of the request are not all in the file.
        OutOfRange {
            /// The first slot asked for.
            slot_index: u64,
            /// How many slots were asked for.
            count: u64,
            /// How many slots the file has.
            slots: u64,
        } = 1, "the request's slots are not all in the file",
            "slots {slot_index} to {slot_index}+{count} are outside the file, which has {slots}; grow it, or write \
             lower";
        BufferSizeMismatch {
            /// The buffers' size in bytes.
            buffer_size: usize,
            /// The file's slot size in bytes.
            slot_size: usize,
        } = 2, "the allocation's buffers are not as large as the file's slots",
            "buffers of {buffer_size} bytes do not fit slots of {slot_size}; use a pool of the file's slot size";
        /// The file was opened to read only.
        ReadOnly = 3, "the file is open to read only", "the file is open to read only; open it for writing";
        QueueFull {
            /// The queue's capacity in writes.
            capacity: usize,
        } = 4, "the queue is full and the caller did not want to wait",
            "all {capacity} places of the queue are taken; wait, or give the queue more";
        Closed = 5, "the pipe was closed before the call", "the pipe is closed; it takes no more writes";
        /// The wait ended before the write was durable; the write goes on.
        TimedOut {
            /// The ticket's epoch.
            epoch: u64,
            /// The durable epoch at the end of the wait.
            durable: u64,
            /// How long the wait was to be.
            waited: Duration,
        } = 6, "the write was not durable in time; it goes on",
            "epoch {epoch} was not durable after {waited:?}, the durable epoch is {durable}; wait again, or longer";
        WriteFailed {
            /// The lowest epoch of what was being written; or the first that is not durable, if the device refused to
            /// begin with what was written since the last sync.
            first: u64,
            /// The highest epoch of what was being written.
            last: u64,
        } = 7, "a write to the file failed; the pipe is poisoned",
            "writing epochs {first} to {last} failed and the pipe has stopped; what is not durable is lost";
        SyncFailed {
            /// The highest epoch that the sync was to cover; or the one before a batch that the file
            /// refused because a sync had failed.
            written: u64,
            /// The durable epoch, for good.
            durable: u64,
        } = 8, "a sync failed; the pipe is poisoned",
            "the sync after epoch {written} failed and the pipe has stopped; epochs above {durable} may be lost, \
             and no later sync could tell";
        /// The flusher thread, or a thread that wrote a batch in its place, panicked. The pipe is
        /// poisoned.
        Panicked {
            /// The panic's message.
            message: String,
        } = 9, "the flusher panicked; the pipe is poisoned", "the flusher panicked and the pipe has stopped: {message}";
        Thread = 10, "the flusher thread could not be started", "no flusher thread could be started";
        ReadFailed {
            /// The first slot asked for.
            slot_index: u64,
            /// How many slots were asked for.
            count: u64,
        } = 11, "the file could not be read", "reading {count} slots from {slot_index} failed";
        NotWholeSlots {
            /// The buffer's length in bytes.
            bytes: usize,
            /// The file's slot size in bytes.
            slot_size: usize,
        } = 12, "a read buffer is empty or no whole number of slots",
            "a read of {bytes} bytes is no whole number of slots of {slot_size}; use a multiple, and not zero";
        ZeroLimit {
            /// The config's method.
            option: &'static str,
        } = 13, "a limit of the config is zero", "{option} is 0; it must be at least 1";
        Queue {
            /// The capacity asked for.
            capacity: usize,
        } = 14, "the queue could not be made", "a queue of {capacity} writes could not be made";
        /// The pipe belongs to another process: this one is a copy of it, made by `fork`. Nothing is written.
        OtherProcess = 15, "the pipe belongs to the process that this one was forked from",
            "the pipe belongs to the process that this one was forked from; open the file in this process";
        /// The pipe was abandoned. The pipe is poisoned.
        Abandoned {
            /// The durable epoch, for good.
            durable: u64,
        } = 16, "the pipe was abandoned beside a disk that hangs; the pipe is poisoned",
            "the pipe was abandoned beside a disk that hangs; epochs above {durable} may be lost";
        /// The file's slots have no pool's buffer size, so that no write could succeed.
        SlotSize {
            /// The file's slot size in bytes.
            slot_size: usize,
        } = 17, "the file's slots have no pool's buffer size",
            "slots of {slot_size} bytes fit no pool's buffers; make the file with a power of two from 8 to 1048576";
    }
}

impl PipeErrorKind {
    /// Whether this error ended the pipe for good: nothing more will be written, the durable epoch
    /// stays, and every ticket above it resolves to this error.
    ///
    /// ```
    /// # use fz_wpipe::PipeErrorKind;
    /// assert!(!PipeErrorKind::Closed.is_poison());
    /// ```
    #[must_use]
    pub fn is_poison(&self) -> bool {
        matches!(
            self,
            Self::WriteFailed { .. } | Self::SyncFailed { .. } | Self::Panicked { .. } | Self::Abandoned { .. }
        )
    }
}
