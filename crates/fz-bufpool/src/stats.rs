use crate::BufferSize;

/// A snapshot of a pool, from [`BufPool::stats`](crate::BufPool::stats).
///
/// While other threads allocate and release, counts are approximate: they are added up while they
/// change.
///
/// ```
/// # use fz_bufpool::{BufPool, BufPoolConfig, BufferSize};
/// let pool = BufPool::new(BufPoolConfig::new(BufferSize::S64, 4 * 64))?;
/// let two = pool.allocate(2)?;
/// assert_eq!(pool.stats().in_use, 2);
/// drop(two);
/// assert_eq!(pool.stats().in_use, 0);
/// # Ok::<(), fz_bufpool::BufPoolError>(())
/// ```
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
    /// Requests that had to stand in line since the pool was made.
    pub waits: u64,
}
