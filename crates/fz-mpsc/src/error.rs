//! Why a queue cannot be made, or does not act.

use fz_error::{Kind, Reason};

/// Why [`channel`](crate::channel) made no queue, or a wait could not begin.
///
/// ```
/// use fz_mpsc::{QueueConfig, QueueErrorKind, channel};
///
/// let error = channel::<u8>(QueueConfig::new(0)).unwrap_err();
/// assert!(matches!(error.kind(), QueueErrorKind::ZeroCapacity));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QueueErrorKind {
    /// A queue without room cannot transfer a value.
    #[error("a queue for 0 values was asked for; ask for 1 or more")]
    ZeroCapacity,
    /// More than [`QueueConfig::CAPACITY_MAX`](crate::QueueConfig::CAPACITY_MAX) values.
    #[error("a queue for {capacity} values was asked for; the most is {capacity_max}")]
    CapacityTooLarge {
        /// The capacity asked for, in values.
        capacity: usize,
        /// The largest capacity, in values.
        capacity_max: usize,
    },
    /// The allocator refused the memory for the values.
    #[error(
        "a queue for {capacity} values needs {cells} cells of {cell_bytes} bytes, and there is no memory for them; \
         ask for a smaller capacity"
    )]
    OutOfMemory {
        /// The capacity asked for, in values.
        capacity: usize,
        /// The capacity, rounded up to a power of two.
        cells: usize,
        /// The memory of one cell, in bytes.
        cell_bytes: usize,
    },
    /// `fork(2)` copied the queue: it belongs to the process that made it.
    #[error("the queue belongs to the process that made it, and this one is its child; make a new queue here")]
    ForkedCopy,
}

impl Kind for QueueErrorKind {
    const DOMAIN: u8 = fz_error::domain::MPSC;
    const REASONS: &'static [Reason] = &[
        Reason::new(1, "ZeroCapacity", "a queue without room cannot be made"),
        Reason::new(2, "CapacityTooLarge", "the capacity is above the limit"),
        Reason::new(3, "OutOfMemory", "the allocator refused the memory for the values"),
        Reason::new(4, "ForkedCopy", "the queue was copied by a fork and belongs to another process"),
    ];

    fn reason(&self) -> u16 {
        match self {
            Self::ZeroCapacity => 1,
            Self::CapacityTooLarge { .. } => 2,
            Self::OutOfMemory { .. } => 3,
            Self::ForkedCopy => 4,
        }
    }
}

/// A failed [`channel`](crate::channel) or wait: the envelope with id, operation and reason.
pub type QueueError = fz_error::Error<QueueErrorKind>;

/// `std::result::Result` with a [`QueueError`].
pub type Result<T> = std::result::Result<T, QueueError>;
