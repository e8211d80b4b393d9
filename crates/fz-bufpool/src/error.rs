use std::time::Duration;

use fz_error::{Kind, Reason, domain};

/// A failed pool operation; its [`kind`](fz_error::Error::kind) is a [`BufPoolErrorKind`].
pub type BufPoolError = fz_error::Error<BufPoolErrorKind>;

/// `std::result::Result` with a [`BufPoolError`].
pub type Result<T> = std::result::Result<T, BufPoolError>;

/// Why a pool operation failed, with the values. Nothing was changed by it.
///
/// ```
/// use fz_bufpool::{BufPool, BufPoolConfig, BufPoolErrorKind, BufferSize};
///
/// let pool = BufPool::new(BufPoolConfig::new(BufferSize::S64, 4 * 64))?;
/// let error = pool.allocate(5).unwrap_err();
/// assert!(matches!(error.kind(), BufPoolErrorKind::CountBeyondCapacity { count: 5, capacity: 4 }));
/// # Ok::<(), fz_bufpool::BufPoolError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BufPoolErrorKind {
    /// No buffers were asked for.
    #[error("an allocation of 0 buffers was asked for; ask for 1 to {capacity}")]
    ZeroCount {
        /// Buffers in the pool.
        capacity: usize,
    },
    /// More buffers were asked for than the pool has, so that waiting would never end.
    #[error("{count} buffers were asked for, the pool has {capacity} in all; ask for fewer or make the pool larger")]
    CountBeyondCapacity {
        /// Buffers asked for.
        count: usize,
        /// Buffers in the pool.
        capacity: usize,
    },
    /// More buffers were asked for than the pool's config allows for one request.
    #[error(
        "{count} buffers were asked for, a request of this pool has at most {limit}; ask for fewer or raise the limit"
    )]
    CountBeyondLimit {
        /// Buffers asked for.
        count: usize,
        /// The most buffers of a request.
        limit: usize,
    },
    /// There is no such [`BufferSize`](crate::BufferSize).
    #[error("{bytes} bytes is no buffer size; choose a power of two from 8 to 1048576")]
    InvalidBufferSize {
        /// Bytes asked for.
        bytes: usize,
    },
    /// The pool's bytes do not make up whole buffers.
    #[error("{bytes} bytes are no multiple of the buffer size {buffer_size}; round them to one")]
    BytesNotMultiple {
        /// Bytes asked for.
        bytes: usize,
        /// Bytes in one buffer.
        buffer_size: usize,
    },
    /// The pool's bytes do not make up a single buffer.
    #[error("{bytes} bytes hold no buffer of {buffer_size} bytes; give the pool at least one")]
    TooFewBytes {
        /// Bytes asked for.
        bytes: usize,
        /// Bytes in one buffer.
        buffer_size: usize,
    },
    /// The pool would have more buffers or bytes than it can count.
    #[error(
        "{bytes} bytes are {capacity} buffers of {buffer_size} bytes; a pool has at most {capacity_max} buffers and \
         {bytes_max} bytes, choose larger buffers or fewer bytes"
    )]
    TooManyBytes {
        /// Bytes asked for.
        bytes: usize,
        /// Bytes in one buffer.
        buffer_size: usize,
        /// Buffers these would be.
        capacity: usize,
        /// The most buffers that a pool can have.
        capacity_max: usize,
        /// The most bytes that a pool can have.
        bytes_max: usize,
    },
    /// The memory allocator refused the arena or its bitmap.
    #[error("the allocator refused memory for an arena of {bytes} bytes; make the pool smaller or free memory")]
    OutOfMemory {
        /// Bytes asked for.
        bytes: usize,
    },
    /// Not enough consecutive buffers are free now, and no request waits for some.
    #[error(
        "{count} consecutive buffers of {capacity} are not free now; release some, wait with allocate, or try again"
    )]
    Exhausted {
        /// Buffers asked for.
        count: usize,
        /// Buffers in the pool.
        capacity: usize,
    },
    /// Earlier requests wait, and this one must not pass them, even if enough buffers for it are free.
    #[error(
        "earlier requests wait, so {count} buffers of {capacity} cannot be had now; wait with allocate, or try again"
    )]
    RequestsWaiting {
        /// Buffers asked for.
        count: usize,
        /// Buffers in the pool.
        capacity: usize,
    },
    /// The request's turn did not come in time.
    #[error(
        "{count} consecutive buffers of {capacity} did not become free within {timeout:?}; release some or wait longer"
    )]
    TimedOut {
        /// Buffers asked for.
        count: usize,
        /// Buffers in the pool.
        capacity: usize,
        /// How long the caller was willing to wait.
        timeout: Duration,
    },
    /// The bytes to copy are more than the allocation holds.
    #[error(
        "{source_bytes} bytes do not fit an allocation of {allocation_bytes}; allocate more buffers or copy fewer bytes"
    )]
    CopyTooLong {
        /// Bytes to copy.
        source_bytes: usize,
        /// Bytes in the allocation.
        allocation_bytes: usize,
    },
    /// An allocation is to be cut where one of its parts would have no buffer.
    #[error("an allocation of {count} buffers cannot be cut at {at}; each part must have a buffer")]
    CutOutside {
        /// Buffers of the first part.
        at: usize,
        /// Buffers in the allocation.
        count: usize,
    },
    /// The request would have to wait, in a copy of the pool that `fork(2)` made.
    #[error("this process is a forked copy, in which no request can wait; make a pool of its own after the fork")]
    ForkedProcess,
}

impl Kind for BufPoolErrorKind {
    const DOMAIN: u8 = domain::BUFPOOL;

    const REASONS: &'static [Reason] = &[
        Reason::new(1, "ZeroCount", "an allocation of no buffers was asked for"),
        Reason::new(2, "CountBeyondCapacity", "more buffers were asked for than the pool has"),
        Reason::new(3, "InvalidBufferSize", "a buffer size must be a power of two from 8 bytes to 1 MiB"),
        Reason::new(4, "BytesNotMultiple", "a pool's bytes must make up whole buffers"),
        Reason::new(5, "TooFewBytes", "a pool must have at least one buffer"),
        Reason::new(6, "TooManyBytes", "a pool has a largest number of buffers and of bytes"),
        Reason::new(7, "OutOfMemory", "the allocator refused the pool's memory"),
        Reason::new(8, "Exhausted", "not enough consecutive buffers are free"),
        Reason::new(9, "TimedOut", "not enough consecutive buffers became free in time"),
        Reason::new(10, "CopyTooLong", "more bytes than the allocation holds"),
        Reason::new(11, "CountBeyondLimit", "more buffers were asked for than the config allows for one request"),
        Reason::new(12, "RequestsWaiting", "earlier requests wait for buffers"),
        Reason::new(13, "CutOutside", "each part of an allocation must have a buffer"),
        Reason::new(14, "ForkedProcess", "no request can wait in a forked copy of a pool"),
    ];

    fn reason(&self) -> u16 {
        match self {
            Self::ZeroCount { .. } => 1,
            Self::CountBeyondCapacity { .. } => 2,
            Self::InvalidBufferSize { .. } => 3,
            Self::BytesNotMultiple { .. } => 4,
            Self::TooFewBytes { .. } => 5,
            Self::TooManyBytes { .. } => 6,
            Self::OutOfMemory { .. } => 7,
            Self::Exhausted { .. } => 8,
            Self::TimedOut { .. } => 9,
            Self::CopyTooLong { .. } => 10,
            Self::CountBeyondLimit { .. } => 11,
            Self::RequestsWaiting { .. } => 12,
            Self::CutOutside { .. } => 13,
            Self::ForkedProcess => 14,
        }
    }
}
