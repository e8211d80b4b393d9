use std::fmt;
use std::ptr::NonNull;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::arena::Arena;
use crate::bitmap::Bitmap;
use crate::inner::{Claim, Inner, Place};
use crate::lot::Wake;
use crate::sync::{Arc, current, deadline_after, has_passed, park_until};
use crate::{
    AllocateFuture, Allocation, BufPoolConfig, BufPoolError, BufPoolErrorKind, BufPoolStats, BufferSize, Result,
};

/// A bounded pool of equal buffers; `Clone` gives another handle to the same pool.
///
/// Its limit is exact. At the limit a request waits ([`allocate`](Self::allocate)), waits for so
/// long ([`allocate_timeout`](Self::allocate_timeout)), is refused ([`try_allocate`](Self::try_allocate))
/// or suspends its task ([`allocate_async`](Self::allocate_async)). Requests that wait are served in the
/// order in which they came, whatever their size: while one stands in line, every later one goes behind it.
///
/// Handles and [`Allocation`]s may be dropped in any order and on any thread; the memory is freed
/// with the last of them.
///
/// ```
/// use fz_bufpool::{BufPool, BufPoolConfig, BufferSize};
///
/// let pool = BufPool::new(BufPoolConfig::new(BufferSize::S128, 1024 * 128))?;
/// let mut allocation = pool.allocate(2)?;
/// allocation.as_mut_slice().fill(0xAA);
/// drop(pool);
/// assert_eq!(allocation.len(), 256);
/// # Ok::<(), fz_bufpool::BufPoolError>(())
/// ```
#[derive(Clone)]
pub struct BufPool {
    /// Beside the handle that keeps it alive, to spare each allocation a hop.
    inner: NonNull<Inner>,
    _handle: Arc<Handle>,
}

/// What all `BufPool`s of one pool share; the pool is orphaned with the last.
#[derive(Debug)]
struct Handle(NonNull<Inner>);

// SAFETY: `Inner` is `Send` and `Sync`; the pointer is only dereferenced while a handle keeps it
// valid, and orphaning may happen on any thread.
unsafe impl Send for Handle {}
// SAFETY: as above.
unsafe impl Sync for Handle {}
// SAFETY: as above.
unsafe impl Send for BufPool {}
// SAFETY: as above.
unsafe impl Sync for BufPool {}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: the pointer came from `Inner::allocate`, this is the last handle, and a request
        // that stands in line holds or borrows one.
        unsafe { Inner::orphan(self.0) };
    }
}

impl BufPool {
    /// Makes a pool: reserves its memory, zeroed, and touches it unless the config says otherwise.
    ///
    /// Blocks for the page faults of [`BufPoolConfig::prefault`], some 0.1 ms per MiB.
    ///
    /// # Errors
    /// [`TooFewBytes`](BufPoolErrorKind::TooFewBytes), [`BytesNotMultiple`](BufPoolErrorKind::BytesNotMultiple) and
    /// [`TooManyBytes`](BufPoolErrorKind::TooManyBytes) (above 2^31 buffers) for a size that is none,
    /// [`OutOfMemory`](BufPoolErrorKind::OutOfMemory) if the allocator refuses.
    ///
    /// ```
    /// # use fz_bufpool::{BufPool, BufPoolConfig, BufPoolErrorKind, BufferSize};
    /// let pool = BufPool::new(BufPoolConfig::new(BufferSize::S64, 4 * 64))?;
    /// assert_eq!(pool.capacity(), 4);
    /// let error = BufPool::new(BufPoolConfig::new(BufferSize::S64, 100)).unwrap_err();
    /// assert!(matches!(error.kind(), BufPoolErrorKind::BytesNotMultiple { bytes: 100, buffer_size: 64 }));
    /// # Ok::<(), fz_bufpool::BufPoolError>(())
    /// ```
    pub fn new(config: BufPoolConfig) -> Result<Self> {
        let BufPoolConfig { buffer_size, bytes, module_id, prefault } = config;
        let refused = |kind| BufPoolError::new(module_id, "new", kind);
        let capacity = check_bytes(buffer_size, bytes).map_err(refused)?;
        let out_of_memory = || refused(BufPoolErrorKind::OutOfMemory { bytes });
        let arena = Arena::new(buffer_size, bytes, prefault).ok_or_else(out_of_memory)?;
        let bitmap = Bitmap::new(capacity).ok_or_else(out_of_memory)?;
        let inner = Inner::allocate(arena, bitmap, module_id);
        Ok(Self { inner, _handle: Arc::new(Handle(inner)) })
    }

    /// `count` consecutive buffers, contiguous in memory; blocks the thread until it is this
    /// request's turn and so many are free. Not for async code: use [`allocate_async`](Self::allocate_async).
    ///
    /// Calls the heap only if it has to wait. A thread that waits for buffers while it holds others
    /// can wait for itself: no pool can tell.
    ///
    /// # Errors
    /// [`ZeroCount`](BufPoolErrorKind::ZeroCount) and [`CountBeyondCapacity`](BufPoolErrorKind::CountBeyondCapacity),
    /// at once.
    ///
    /// ```
    /// # use fz_bufpool::{BufPool, BufPoolConfig, BufferSize};
    /// let pool = BufPool::new(BufPoolConfig::new(BufferSize::S64, 4 * 64))?;
    /// let full = pool.allocate(4)?;
    /// let waiter = std::thread::spawn({
    ///     let pool = pool.clone();
    ///     move || pool.allocate(1).map(|allocation| allocation.len())
    /// });
    /// drop(full);
    /// assert_eq!(waiter.join().unwrap()?, 64);
    /// # Ok::<(), fz_bufpool::BufPoolError>(())
    /// ```
    #[expect(clippy::inline_always, reason = "so that the allocation stays in registers")]
    #[inline(always)]
    pub fn allocate(&self, count: usize) -> Result<Allocation> {
        self.allocate_for("allocate", count)
    }

    #[expect(clippy::inline_always, reason = "so that the allocation stays in registers")]
    #[inline(always)]
    fn allocate_for(&self, operation: &'static str, count: usize) -> Result<Allocation> {
        let wanted = self.check_count(operation, count)?;
        match self.inner().claim_quickly(wanted) {
            Some(claim) => Ok(self.allocation(claim)),
            None => Ok(self.wait(wanted, None).expect("who waits for ever does not time out")),
        }
    }

    /// Like [`allocate`](Self::allocate), but waits at most `timeout`; a timeout that the clock
    /// cannot express is for ever. Its turn, if it leaves the line, passes on at once.
    ///
    /// # Errors
    /// As for [`allocate`](Self::allocate), and [`TimedOut`](BufPoolErrorKind::TimedOut).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use fz_bufpool::{BufPool, BufPoolConfig, BufPoolErrorKind, BufferSize};
    /// let pool = BufPool::new(BufPoolConfig::new(BufferSize::S64, 4 * 64))?;
    /// let full = pool.allocate(4)?;
    /// let error = pool.allocate_timeout(1, Duration::from_millis(1)).unwrap_err();
    /// assert!(matches!(error.kind(), BufPoolErrorKind::TimedOut { count: 1, .. }));
    /// # Ok::<(), fz_bufpool::BufPoolError>(())
    /// ```
    pub fn allocate_timeout(&self, count: usize, timeout: Duration) -> Result<Allocation> {
        const OPERATION: &str = "allocate_timeout";
        let wanted = self.check_count(OPERATION, count)?;
        if let Some(claim) = self.inner().claim_quickly(wanted) {
            return Ok(self.allocation(claim));
        }
        self.wait(wanted, deadline_after(timeout)).ok_or_else(|| {
            self.error(OPERATION, BufPoolErrorKind::TimedOut { count, capacity: self.capacity(), timeout })
        })
    }

    /// `count` consecutive buffers now or not at all; never waits, so fit for async code.
    ///
    /// Refused, too, while other requests stand in line, even if this one would fit: else large requests
    /// would starve behind small ones. If it is refused for want of buffers, there was an instant
    /// during the call at which no such run was free.
    ///
    /// # Errors
    /// As for [`allocate`](Self::allocate), and [`Exhausted`](BufPoolErrorKind::Exhausted).
    ///
    /// ```
    /// # use fz_bufpool::{BufPool, BufPoolConfig, BufPoolErrorKind, BufferSize};
    /// let pool = BufPool::new(BufPoolConfig::new(BufferSize::S64, 4 * 64))?;
    /// let three = pool.try_allocate(3)?;
    /// let error = pool.try_allocate(2).unwrap_err();
    /// assert!(matches!(error.kind(), BufPoolErrorKind::Exhausted { count: 2, capacity: 4, .. }));
    /// # Ok::<(), fz_bufpool::BufPoolError>(())
    /// ```
    #[expect(clippy::inline_always, reason = "so that the allocation stays in registers")]
    #[inline(always)]
    pub fn try_allocate(&self, count: usize) -> Result<Allocation> {
        self.try_allocate_for("try_allocate", count)
    }

    #[expect(clippy::inline_always, reason = "so that the allocation stays in registers")]
    #[inline(always)]
    fn try_allocate_for(&self, operation: &'static str, count: usize) -> Result<Allocation> {
        let wanted = self.check_count(operation, count)?;
        let claimed = self.inner().claim_quickly(wanted).or_else(|| self.inner().claim_now(wanted));
        match claimed {
            Some(claim) => Ok(self.allocation(claim)),
            None => Err(self.error(operation, BufPoolErrorKind::Exhausted { count, capacity: self.capacity() })),
        }
    }

    /// `count` consecutive buffers as a future, for any executor. It takes its place in line when
    /// it is first polled; dropped, it gives up its place, or the buffers it was just handed, to the next.
    ///
    /// # Errors
    /// The future resolves to those of [`allocate`](Self::allocate).
    ///
    /// ```
    /// # use fz_bufpool::{BufPool, BufPoolConfig, BufferSize};
    /// let pool = BufPool::new(BufPoolConfig::new(BufferSize::S64, 4 * 64))?;
    /// let allocation = pollster::block_on(pool.allocate_async(3))?;
    /// assert_eq!(allocation.count(), 3);
    /// # Ok::<(), fz_bufpool::BufPoolError>(())
    /// ```
    pub fn allocate_async(&self, count: usize) -> AllocateFuture {
        AllocateFuture::new(self.clone(), count)
    }

    /// As many buffers as `source` needs, filled with a copy of it; the rest of the last one is zero. Blocks the
    /// thread like [`allocate`](Self::allocate).
    ///
    /// A copy, because the bytes of others lie where their owner put them: not in this pool's arena, not aligned to its
    /// buffers, and not counted by its limit. To spare it, fill an [`Allocation`] in the first place.
    ///
    /// # Errors
    /// As for [`allocate`](Self::allocate): [`ZeroCount`](BufPoolErrorKind::ZeroCount) if `source` is empty,
    /// [`CountBeyondCapacity`](BufPoolErrorKind::CountBeyondCapacity) if it is larger than the pool.
    ///
    /// ```
    /// # use fz_bufpool::{BufPool, BufPoolConfig, BufferSize};
    /// let pool = BufPool::new(BufPoolConfig::new(BufferSize::S8, 64))?;
    /// let allocation = pool.allocate_copy(b"eleven long")?;
    /// assert_eq!(allocation.as_slice(), b"eleven long\0\0\0\0\0");
    /// # Ok::<(), fz_bufpool::BufPoolError>(())
    /// ```
    pub fn allocate_copy(&self, source: &[u8]) -> Result<Allocation> {
        filled(self.allocate_for("allocate_copy", self.buffer_size().buffers_for(source.len()))?, source)
    }

    /// Like [`allocate_copy`](Self::allocate_copy), now or not at all; never waits, so fit for async code.
    ///
    /// # Errors
    /// As for [`allocate_copy`](Self::allocate_copy), and [`Exhausted`](BufPoolErrorKind::Exhausted).
    ///
    /// ```
    /// # use fz_bufpool::{BufPool, BufPoolConfig, BufPoolErrorKind, BufferSize};
    /// let pool = BufPool::new(BufPoolConfig::new(BufferSize::S8, 8))?;
    /// let allocation = pool.try_allocate_copy(b"record")?;
    /// assert_eq!(allocation.as_slice(), b"record\0\0");
    /// let error = pool.try_allocate_copy(b"another").unwrap_err();
    /// assert!(matches!(error.kind(), BufPoolErrorKind::Exhausted { .. }));
    /// # Ok::<(), fz_bufpool::BufPoolError>(())
    /// ```
    pub fn try_allocate_copy(&self, source: &[u8]) -> Result<Allocation> {
        filled(self.try_allocate_for("try_allocate_copy", self.buffer_size().buffers_for(source.len()))?, source)
    }

    /// A snapshot of the pool's counters. Reads the whole bitmap (a quarter byte per buffer) and
    /// takes a short lock: for monitoring, not for each allocation.
    ///
    /// ```
    /// # use fz_bufpool::{BufPool, BufPoolConfig, BufferSize};
    /// let pool = BufPool::new(BufPoolConfig::new(BufferSize::S64, 4 * 64))?;
    /// let three = pool.allocate(3)?;
    /// let stats = pool.stats();
    /// assert_eq!((stats.capacity, stats.in_use, stats.waiters, stats.allocations), (4, 3, 0, 1));
    /// # Ok::<(), fz_bufpool::BufPoolError>(())
    /// ```
    #[must_use]
    pub fn stats(&self) -> BufPoolStats {
        let inner = self.inner();
        let (waiters, waits) = inner.line_stats();
        BufPoolStats {
            buffer_size: self.buffer_size(),
            capacity: self.capacity(),
            in_use: inner.bitmap.used() as usize,
            waiters,
            allocations: inner.bitmap.allocations(),
            waits,
        }
    }

    /// The size of one buffer.
    ///
    /// ```
    /// # use fz_bufpool::{BufPool, BufPoolConfig, BufferSize};
    /// let pool = BufPool::new(BufPoolConfig::new(BufferSize::S64, 4 * 64))?;
    /// assert_eq!(pool.buffer_size().bytes(), 64);
    /// # Ok::<(), fz_bufpool::BufPoolError>(())
    /// ```
    #[must_use]
    pub fn buffer_size(&self) -> BufferSize {
        self.inner().arena.buffer_size()
    }

    /// How many buffers the pool has: the exact limit.
    ///
    /// ```
    /// # use fz_bufpool::{BufPool, BufPoolConfig, BufferSize};
    /// let pool = BufPool::new(BufPoolConfig::new(BufferSize::S64, 4 * 64))?;
    /// assert_eq!(pool.capacity(), 4);
    /// # Ok::<(), fz_bufpool::BufPoolError>(())
    /// ```
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.inner().bitmap.capacity() as usize
    }

    /// The owner's number, as the config gave it.
    ///
    /// ```
    /// # use fz_bufpool::{BufPool, BufPoolConfig, BufferSize};
    /// let pool = BufPool::new(BufPoolConfig::new(BufferSize::S64, 4 * 64).module_id(7))?;
    /// assert_eq!(pool.module_id(), 7);
    /// # Ok::<(), fz_bufpool::BufPoolError>(())
    /// ```
    #[must_use]
    pub fn module_id(&self) -> u8 {
        self.inner().module_id
    }

    #[inline]
    fn inner(&self) -> &Inner {
        // SAFETY: a pool lives at least as long as its handles, of which `self` is one.
        unsafe { self.inner.as_ref() }
    }

    #[inline]
    fn allocation(&self, claim: Claim) -> Allocation {
        let (first, count) = claim.into_run();
        // SAFETY: a claim is made in this pool's `Inner`, and passed on whole.
        unsafe { Allocation::from_claim(self.inner, first, count) }
    }

    #[inline]
    pub(crate) fn check_count(&self, operation: &'static str, count: usize) -> Result<u32> {
        let capacity = self.capacity();
        match u32::try_from(count) {
            Ok(wanted) if wanted > 0 && count <= capacity => Ok(wanted),
            _ => Err(self.refuse_count(operation, count, capacity)),
        }
    }

    #[cold]
    fn refuse_count(&self, operation: &'static str, count: usize, capacity: usize) -> BufPoolError {
        self.error(
            operation,
            match count {
                0 => BufPoolErrorKind::ZeroCount { capacity },
                _ => BufPoolErrorKind::CountBeyondCapacity { count, capacity },
            },
        )
    }

    #[cold]
    fn error(&self, operation: &'static str, kind: BufPoolErrorKind) -> BufPoolError {
        BufPoolError::new(self.module_id(), operation, kind)
    }

    /// Stands in line; `None` if `deadline` passed first.
    #[cold]
    fn wait(&self, wanted: u32, deadline: Option<Instant>) -> Option<Allocation> {
        let inner = self.inner();
        let place = match inner.claim_or_join(wanted, Wake::Thread(current())) {
            Ok(claim) => return Some(self.allocation(claim)),
            Err(place) => place,
        };
        loop {
            if let Some(claim) = place.granted() {
                return Some(self.allocation(claim));
            }
            if has_passed(deadline) {
                return inner.leave(&place).map(|claim| self.allocation(claim));
            }
            park_until(deadline);
        }
    }

    /// What is free without a search, if `count` is right.
    #[inline]
    pub(crate) fn allocate_quickly(&self, count: usize) -> Option<Allocation> {
        let wanted = u32::try_from(count).ok().filter(|&wanted| wanted > 0 && count <= self.capacity())?;
        self.inner().claim_quickly(wanted).map(|claim| self.allocation(claim))
    }

    /// The first poll of a future: claims, or joins the line.
    pub(crate) fn poll_join(&self, wanted: u32, context: &Context<'_>) -> std::result::Result<Allocation, Place> {
        let claimed = match self.inner().claim_quickly(wanted) {
            Some(claim) => Ok(claim),
            None => self.inner().claim_or_join(wanted, Wake::Task(context.waker().clone())),
        };
        claimed.map(|claim| self.allocation(claim))
    }

    /// A later poll.
    pub(crate) fn poll_place(&self, place: &Place, context: &Context<'_>) -> Poll<Allocation> {
        let granted = place.granted().or_else(|| self.inner().rewake(place, Wake::Task(context.waker().clone())));
        granted.map_or(Poll::Pending, |claim| Poll::Ready(self.allocation(claim)))
    }

    /// The end of a future that is not finished; what it was handed goes to the next in line.
    pub(crate) fn leave(&self, place: &Place) {
        drop(self.inner().leave(place).map(|claim| self.allocation(claim)));
    }
}

impl fmt::Debug for BufPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BufPool")
            .field("buffer_size", &self.buffer_size())
            .field("capacity", &self.capacity())
            .field("module_id", &self.module_id())
            .finish_non_exhaustive()
    }
}

fn filled(mut allocation: Allocation, source: &[u8]) -> Result<Allocation> {
    allocation.copy_from_slice(source)?;
    Ok(allocation)
}

/// How many buffers `bytes` are.
fn check_bytes(buffer_size: BufferSize, bytes: usize) -> std::result::Result<u32, BufPoolErrorKind> {
    let size = buffer_size.bytes();
    if bytes < size {
        return Err(BufPoolErrorKind::TooFewBytes { bytes, buffer_size: size });
    }
    if !bytes.is_multiple_of(size) {
        return Err(BufPoolErrorKind::BytesNotMultiple { bytes, buffer_size: size });
    }
    match u32::try_from(bytes / size) {
        Ok(capacity) if capacity <= Bitmap::CAPACITY_MAX && bytes <= Arena::BYTES_MAX => Ok(capacity),
        _ => Err(BufPoolErrorKind::TooManyBytes {
            bytes,
            buffer_size: size,
            capacity: bytes / size,
            capacity_max: Bitmap::CAPACITY_MAX as usize,
            bytes_max: Arena::BYTES_MAX,
        }),
    }
}
