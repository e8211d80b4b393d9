use std::time::Duration;

/// A failed pool operation; its [`kind`](fz_error::Error::kind) is a [`BufPoolErrorKind`].
pub type BufPoolError = fz_error::Error<BufPoolErrorKind>;

/// `std::result::Result` with a [`BufPoolError`].
pub type Result<T> = std::result::Result<T, BufPoolError>;

fz_error::catalogue! {
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
    #[derive(PartialEq, Eq)]
    #[non_exhaustive]
    pub enum BufPoolErrorKind in fz_error::domain::BUFPOOL {
        /// No buffers were asked for.
        ZeroCount {
            /// Buffers in the pool.
            capacity: usize,
        } = 1, "an allocation of no buffers was asked for",
            "an allocation of 0 buffers was asked for; ask for 1 to {capacity}";
        /// More buffers were asked for than the pool has, so that waiting would never end.
        CountBeyondCapacity {
            /// Buffers asked for.
            count: usize,
            /// Buffers in the pool.
            capacity: usize,
        } = 2, "more buffers were asked for than the pool has",
            "{count} buffers were asked for, the pool has {capacity} in all; ask for fewer or make the pool larger";
        /// There is no such [`BufferSize`](crate::BufferSize).
        InvalidBufferSize {
            /// Bytes asked for.
            bytes: usize,
        } = 3, "a buffer size must be a power of two from 8 bytes to 1 MiB",
            "{bytes} bytes is no buffer size; choose a power of two from 8 to 1048576";
        /// The pool's bytes do not make up whole buffers.
        BytesNotMultiple {
            /// Bytes asked for.
            bytes: usize,
            /// Bytes in one buffer.
            buffer_size: usize,
        } = 4, "a pool's bytes must make up whole buffers",
            "{bytes} bytes are no multiple of the buffer size {buffer_size}; round them to one";
        /// The pool's bytes do not make up a single buffer.
        TooFewBytes {
            /// Bytes asked for.
            bytes: usize,
            /// Bytes in one buffer.
            buffer_size: usize,
        } = 5, "a pool must have at least one buffer",
            "{bytes} bytes hold no buffer of {buffer_size} bytes; give the pool at least one";
        /// The pool would have more buffers or bytes than it can count.
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
        } = 6, "a pool has a largest number of buffers and of bytes",
            "{bytes} bytes are {capacity} buffers of {buffer_size} bytes; a pool has at most {capacity_max} buffers \
             and {bytes_max} bytes, choose larger buffers or fewer bytes";
        /// The memory allocator refused the arena or its bitmap.
        OutOfMemory {
            /// Bytes asked for.
            bytes: usize,
        } = 7, "the allocator refused the pool's memory",
            "the allocator refused memory for an arena of {bytes} bytes; make the pool smaller or free memory";
        /// Not enough consecutive buffers are free now, and no request waits for some.
        Exhausted {
            /// Buffers asked for.
            count: usize,
            /// Buffers in the pool.
            capacity: usize,
        } = 8, "not enough consecutive buffers are free",
            "{count} consecutive buffers of {capacity} are not free now; release some, wait with allocate, or try \
             again";
        /// The request's turn did not come in time.
        TimedOut {
            /// Buffers asked for.
            count: usize,
            /// Buffers in the pool.
            capacity: usize,
            /// How long the caller was willing to wait.
            timeout: Duration,
        } = 9, "not enough consecutive buffers became free in time",
            "{count} consecutive buffers of {capacity} did not become free within {timeout:?}; release some or wait \
             longer";
        /// The bytes to copy are more than the allocation holds.
        CopyTooLong {
            /// Bytes to copy.
            source_bytes: usize,
            /// Bytes in the allocation.
            allocation_bytes: usize,
        } = 10, "more bytes than the allocation holds",
            "{source_bytes} bytes do not fit an allocation of {allocation_bytes}; allocate more buffers or copy \
             fewer bytes";
        /// More buffers were asked for than the pool's config allows for one request.
        CountBeyondLimit {
            /// Buffers asked for.
            count: usize,
            /// The most buffers of a request.
            limit: usize,
        } = 11, "more buffers were asked for than the config allows for one request",
            "{count} buffers were asked for, a request of this pool has at most {limit}; ask for fewer or raise the \
             limit";
        /// Earlier requests wait, and this one must not pass them, even if enough buffers for it are free.
        RequestsWaiting {
            /// Buffers asked for.
            count: usize,
            /// Buffers in the pool.
            capacity: usize,
        } = 12, "earlier requests wait for buffers",
            "earlier requests wait, so {count} buffers of {capacity} cannot be had now; wait with allocate, or try \
             again";
        /// An allocation is to be cut where one of its parts would have no buffer.
        CutOutside {
            /// Buffers of the first part.
            at: usize,
            /// Buffers in the allocation.
            count: usize,
        } = 13, "each part of an allocation must have a buffer",
            "an allocation of {count} buffers cannot be cut at {at}; each part must have a buffer";
        /// The request would have to wait, in a copy of the pool that `fork(2)` made.
        ForkedProcess = 14, "no request can wait in a forked copy of a pool",
            "this process is a forked copy, in which no request can wait; make a pool of its own after the fork";
    }
}
