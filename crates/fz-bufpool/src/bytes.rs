use bytes::Bytes;

use crate::Allocation;

/// With the feature `bytes`: the allocation, all of it, as shared read-only bytes, without a copy.
///
/// The buffers are released when the last clone and the last slice of the [`Bytes`] is dropped; until then they count
/// against the pool's limit. One small heap allocation holds the reference count. The way back is a copy,
/// [`BufPool::allocate_copy`](crate::BufPool::allocate_copy): a pool owns all memory that it hands out.
///
/// ```
/// use bytes::Bytes;
/// use fz_bufpool::{BufPool, BufPoolConfig, BufferSize};
///
/// let pool = BufPool::new(BufPoolConfig::new(BufferSize::S8, 64))?;
/// let bytes = Bytes::from(pool.allocate_copy(b"for many readers")?);
/// let reader = bytes.slice(4..8);
/// drop(bytes);
/// assert_eq!(reader, "many");
/// assert_eq!(pool.stats().in_use, 2);
/// drop(reader);
/// assert_eq!(pool.stats().in_use, 0);
/// # Ok::<(), fz_bufpool::BufPoolError>(())
/// ```
impl From<Allocation> for Bytes {
    fn from(allocation: Allocation) -> Self {
        Self::from_owner(allocation)
    }
}
