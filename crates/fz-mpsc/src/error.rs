//! Why a queue cannot be made, or does not act.

fz_error::catalogue! {
    /// Why [`channel`](crate::channel) made no queue, or a wait could not begin.
    ///
    /// ```
    /// use fz_mpsc::{QueueConfig, QueueErrorKind, channel};
    ///
    /// let error = channel::<u8>(QueueConfig::new(0)).unwrap_err();
    /// assert!(matches!(error.kind(), QueueErrorKind::ZeroCapacity));
    /// ```
    #[derive(PartialEq, Eq)]
    #[non_exhaustive]
    pub enum QueueErrorKind in fz_error::domain::MPSC {
        /// A queue without room cannot transfer a value.
        ZeroCapacity = 1, "a queue without room cannot be made",
            "a queue for 0 values was asked for; ask for 1 or more";
        /// More than [`QueueConfig::CAPACITY_MAX`](crate::QueueConfig::CAPACITY_MAX) values.
        CapacityTooLarge {
            /// The capacity asked for, in values.
            capacity: usize,
            /// The largest capacity, in values.
            capacity_max: usize,
        } = 2, "the capacity is above the limit",
            "a queue for {capacity} values was asked for; the most is {capacity_max}";
        OutOfMemory {
            /// The capacity asked for, in values.
            capacity: usize,
            /// The capacity, rounded up to a power of two.
            cells: usize,
            /// The memory of one cell, in bytes.
            cell_bytes: usize,
        } = 3, "the allocator refused the memory for the values",
            "a queue for {capacity} values needs {cells} cells of {cell_bytes} bytes, and there is no memory for \
             them; ask for a smaller capacity";
        /// `fork(2)` copied the queue: it belongs to the process that made it.
        ForkedCopy = 4, "the queue was copied by a fork and belongs to another process",
            "the queue belongs to the process that made it, and this one is its child; make a new queue here";
    }
}

/// A failed [`channel`](crate::channel) or wait: the envelope with id, operation and reason.
pub type QueueError = fz_error::Error<QueueErrorKind>;

/// `std::result::Result` with a [`QueueError`].
pub type Result<T> = std::result::Result<T, QueueError>;
