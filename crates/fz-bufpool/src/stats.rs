use crate::BufferSize;

/// A snapshot of a pool, from [`BufPool::stats`](crate::BufPool::stats).
///
/// While other threads allocate and release, the fields are each right at some instant of the
/// call, not all at the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BufPoolStats {
    /// The size of one buffer.
    pub buffer_size: BufferSize,
    /// Buffers in the pool: the exact limit.
    pub capacity: usize,
    /// Buffers in live allocations now, including those handed to a waiter that has not resumed yet.
    pub in_use: usize,
    /// Requests that stand in line now.
    pub waiters: usize,
    /// Allocations handed out since the pool was made.
    pub allocations: u64,
    /// Requests that had to stand in line since the pool was made.
    pub waits: u64,
}
