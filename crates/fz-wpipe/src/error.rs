use std::time::Duration;

use fz_error::{Kind, Reason, domain};

/// What every fallible call of this crate returns; with [`RejectedWrite`](crate::RejectedWrite) in
/// place of the error if it has a request to give back.
pub type Result<T, E = PipeError> = std::result::Result<T, E>;

/// An error of this crate: the operation, a [`PipeErrorKind`], and the cause.
pub type PipeError = fz_error::Error<PipeErrorKind>;

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
///     PipeErrorKind::OutOfRange { slot_index, count, slots } => assert_eq!((*slot_index, *count, *slots), (7, 2, 8)),
///     kind if kind.is_poison() => panic!("the pipe has stopped: {kind}"),
///     other => panic!("{other}"),
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PipeErrorKind {
    /// The slots of the request are not all in the file.
    #[error(
        "slots {slot_index} to {slot_index}+{count} are outside the file, which has {slots}; grow it, or write lower"
    )]
    OutOfRange {
        /// The first slot asked for.
        slot_index: u64,
        /// How many slots were asked for.
        count: u64,
        /// How many slots the file has.
        slots: u64,
    },
    /// The allocation's buffers are not as large as the file's slots.
    #[error("buffers of {buffer_size} bytes do not fit slots of {slot_size}; use a pool of the file's slot size")]
    BufferSizeMismatch {
        /// The buffers' size in bytes.
        buffer_size: usize,
        /// The file's slot size in bytes.
        slot_size: usize,
    },
    /// The file was opened to read only.
    #[error("the file is open to read only; open it for writing")]
    ReadOnly,
    /// The queue is full, and the caller did not want to wait.
    #[error("all {capacity} places of the queue are taken; wait, or give the queue more")]
    QueueFull {
        /// The queue's capacity in writes.
        capacity: usize,
    },
    /// The pipe was closed before the call.
    #[error("the pipe is closed; it takes no more writes")]
    Closed,
    /// The wait ended before the write was durable; the write goes on.
    #[error("epoch {epoch} was not durable after {waited:?}, the durable epoch is {durable}; wait again, or longer")]
    TimedOut {
        /// The ticket's epoch.
        epoch: u64,
        /// The durable epoch at the end of the wait.
        durable: u64,
        /// How long the wait was to be.
        waited: Duration,
    },
    /// A write to the file failed. The pipe is poisoned.
    #[error("writing epochs {first} to {last} failed and the pipe has stopped; what is not durable is lost")]
    WriteFailed {
        /// The lowest epoch of what was being written; or the first that is not durable, if the device refused to
        /// begin with what was written since the last sync.
        first: u64,
        /// The highest epoch of what was being written.
        last: u64,
    },
    /// A sync failed. The pipe is poisoned.
    #[error(
        "the sync after epoch {written} failed and the pipe has stopped; epochs above {durable} may be lost, \
         and no later sync could tell"
    )]
    SyncFailed {
        /// The highest epoch that the sync was to cover; or the one before a batch that the file
        /// refused because a sync had failed.
        written: u64,
        /// The durable epoch, for good.
        durable: u64,
    },
    /// The flusher thread, or a thread that wrote a batch in its place, panicked. The pipe is
    /// poisoned.
    #[error("the flusher panicked and the pipe has stopped: {message}")]
    Panicked {
        /// The panic's message.
        message: String,
    },
    /// The flusher thread could not be started.
    #[error("no flusher thread could be started")]
    Thread,
    /// The file could not be read.
    #[error("reading {count} slots from {slot_index} failed")]
    ReadFailed {
        /// The first slot asked for.
        slot_index: u64,
        /// How many slots were asked for.
        count: u64,
    },
    /// A read buffer is empty or no whole number of slots.
    #[error("a read of {bytes} bytes is no whole number of slots of {slot_size}; use a multiple, and not zero")]
    NotWholeSlots {
        /// The buffer's length in bytes.
        bytes: usize,
        /// The file's slot size in bytes.
        slot_size: usize,
    },
    /// A limit of the config is zero.
    #[error("{option} is 0; it must be at least 1")]
    ZeroLimit {
        /// The config's method.
        option: &'static str,
    },
    /// The pipe belongs to another process: this one is a copy of it, made by `fork`. Nothing is written.
    #[error("the pipe belongs to the process that this one was forked from; open the file in this process")]
    OtherProcess,
    /// The pipe was abandoned. The pipe is poisoned.
    #[error("the pipe was abandoned beside a disk that hangs; epochs above {durable} may be lost")]
    Abandoned {
        /// The durable epoch, for good.
        durable: u64,
    },
    /// The file's slots have no pool's buffer size, so that no write could succeed.
    #[error("slots of {slot_size} bytes fit no pool's buffers; make the file with a power of two from 8 to 1048576")]
    SlotSize {
        /// The file's slot size in bytes.
        slot_size: usize,
    },
    /// The queue could not be made.
    #[error("a queue of {capacity} writes could not be made")]
    Queue {
        /// The capacity asked for.
        capacity: usize,
    },
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
        matches!(self, Self::WriteFailed { .. } | Self::SyncFailed { .. } | Self::Panicked { .. } | Self::Abandoned { .. })
    }
}

impl Kind for PipeErrorKind {
    const DOMAIN: u8 = domain::WPIPE;

    const REASONS: &'static [Reason] = &[
        Reason::new(1, "OutOfRange", "the request's slots are not all in the file"),
        Reason::new(2, "BufferSizeMismatch", "the allocation's buffers are not as large as the file's slots"),
        Reason::new(3, "ReadOnly", "the file is open to read only"),
        Reason::new(4, "QueueFull", "the queue is full and the caller did not want to wait"),
        Reason::new(5, "Closed", "the pipe was closed before the call"),
        Reason::new(6, "TimedOut", "the write was not durable in time; it goes on"),
        Reason::new(7, "WriteFailed", "a write to the file failed; the pipe is poisoned"),
        Reason::new(8, "SyncFailed", "a sync failed; the pipe is poisoned"),
        Reason::new(9, "Panicked", "the flusher panicked; the pipe is poisoned"),
        Reason::new(10, "Thread", "the flusher thread could not be started"),
        Reason::new(11, "ReadFailed", "the file could not be read"),
        Reason::new(12, "NotWholeSlots", "a read buffer is empty or no whole number of slots"),
        Reason::new(13, "ZeroLimit", "a limit of the config is zero"),
        Reason::new(14, "Queue", "the queue could not be made"),
        Reason::new(15, "OtherProcess", "the pipe belongs to the process that this one was forked from"),
        Reason::new(16, "Abandoned", "the pipe was abandoned beside a disk that hangs; the pipe is poisoned"),
        Reason::new(17, "SlotSize", "the file's slots have no pool's buffer size"),
    ];

    fn reason(&self) -> u16 {
        match self {
            Self::OutOfRange { .. } => 1,
            Self::BufferSizeMismatch { .. } => 2,
            Self::ReadOnly => 3,
            Self::QueueFull { .. } => 4,
            Self::Closed => 5,
            Self::TimedOut { .. } => 6,
            Self::WriteFailed { .. } => 7,
            Self::SyncFailed { .. } => 8,
            Self::Panicked { .. } => 9,
            Self::Thread => 10,
            Self::ReadFailed { .. } => 11,
            Self::NotWholeSlots { .. } => 12,
            Self::ZeroLimit { .. } => 13,
            Self::Queue { .. } => 14,
            Self::OtherProcess => 15,
            Self::Abandoned { .. } => 16,
            Self::SlotSize { .. } => 17,
        }
    }
}
