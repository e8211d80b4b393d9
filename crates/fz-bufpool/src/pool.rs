use std::fmt;
use std::ptr::NonNull;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::arena::Arena;
use crate::bitmap::Bitmap;
use crate::inner::{Claim, Forked, Inner, Joined, Place};
use crate::sync::{Ordering, current, deadline_after, has_passed, park_until};
use crate::wait_list::{Wake, assert_outside_of_wakers};
use crate::{
    AllocateFuture, Allocation, BufPoolConfig, BufPoolError, BufPoolErrorKind, BufPoolStats, BufferSize, Result,
};

/// A bounded pool of equal buffers; `Clone` gives another handle to the same pool.
///
/// Its limit is exact. At the limit a request waits ([`allocate`](Self::allocate)), waits for a
/// limited time ([`allocate_timeout`](Self::allocate_timeout)), is refused ([`try_allocate`](Self::try_allocate))
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
pub struct BufPool {
    inner: NonNull<Inner>,
}

// SAFETY: `Inner` is `Send` and `Sync`; the pointer is only dereferenced while a handle keeps it valid, and orphaning
// may happen on any thread.
unsafe impl Send for BufPool {}
// SAFETY: as above.
unsafe impl Sync for BufPool {}

impl Clone for BufPool {
    fn clone(&self) -> Self {
        // Relaxed: a new handle comes from one that lives.
        let handles = self.inner().handles.fetch_add(1, Ordering::Relaxed);
        // Only forgotten handles can reach this number; a count that wrapped would free the pool under its users.
        if handles > usize::MAX / 2 {
            std::process::abort();
        }
        Self { inner: self.inner }
    }
}

impl Drop for BufPool {
    fn drop(&mut self) {
        // AcqRel: the last handle comes after all that was done through the other ones.
        if self.inner().handles.fetch_sub(1, Ordering::AcqRel) == 1 {
            // SAFETY: the pointer came from `Inner::allocate`, this is the last handle, and a request that stands in
            // line holds or borrows one.
            unsafe { Inner::orphan(self.inner) };
        }
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
        let BufPoolConfig { buffer_size, bytes, module_id, prefault, request_buffers_max } = config;
        let refused = |kind| BufPoolError::new(module_id, "new", kind);
        let capacity = check_bytes(buffer_size, bytes).map_err(refused)?;
        let out_of_memory = || refused(BufPoolErrorKind::OutOfMemory { bytes });
        let arena = Arena::new(buffer_size, bytes, prefault).ok_or_else(out_of_memory)?;
        let request_max = request_buffers_max.map_or(capacity, |max| u32::try_from(max).unwrap_or(capacity));
        let request_max = request_max.min(capacity);
        let inner = Inner::allocate(arena, capacity, request_max, module_id).ok_or_else(out_of_memory)?;
        Ok(Self { inner })
    }

    /// `count` consecutive buffers, contiguous in memory; blocks the thread until it is this
    /// request's turn and they are free. Not for async code: use [`allocate_async`](Self::allocate_async).
    ///
    /// Calls the heap only if it has to wait. A thread that waits for buffers while it holds some
    /// can wait for itself: no pool can tell.
    ///
    /// # Errors
    /// [`ZeroCount`](BufPoolErrorKind::ZeroCount) and [`CountBeyondCapacity`](BufPoolErrorKind::CountBeyondCapacity)
    /// and [`CountBeyondLimit`](BufPoolErrorKind::CountBeyondLimit), at once;
    /// [`ForkedProcess`](BufPoolErrorKind::ForkedProcess) if it would wait in a forked copy of the pool.
    ///
    /// # Panics
    ///
    /// In a [`Waker`](std::task::Waker) that a pool calls, where nothing is free: the thread that calls it may hold the
    /// memory, and the wait would be for its own caller.
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
            None => match self.wait(wanted, None) {
                Ok(allocation) => Ok(allocation.expect("a request without a deadline does not time out")),
                Err(Forked) => Err(self.error(operation, BufPoolErrorKind::ForkedProcess)),
            },
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
        let waited = self.wait(wanted, deadline_after(timeout));
        let kind = match waited {
            Ok(Some(allocation)) => return Ok(allocation),
            Ok(None) => BufPoolErrorKind::TimedOut { count, capacity: self.capacity(), timeout },
            Err(Forked) => BufPoolErrorKind::ForkedProcess,
        };
        Err(self.error(OPERATION, kind))
    }

    /// `count` consecutive buffers now or not at all; never waits, so fit for async code.
    ///
    /// Refused, too, while other requests stand in line, even if this one would fit: else large requests
    /// would starve behind small ones. If it is refused for want of buffers, there was an instant
    /// during the call at which no such run was free. A refusal is repeated without a heap call.
    ///
    /// # Errors
    /// As for [`allocate`](Self::allocate), and [`Exhausted`](BufPoolErrorKind::Exhausted) or
    /// [`RequestsWaiting`](BufPoolErrorKind::RequestsWaiting).
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
        match self.inner().claim_quickly(wanted) {
            Some(claim) => Ok(self.allocation(claim)),
            None => Ok(self.allocation(self.inner().claim_now(operation, wanted)?)),
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
    /// A copy, because `source` lies where its owner put it: not in this pool's arena, not aligned to its buffers, and
    /// not counted by its limit. To spare it, fill an [`Allocation`] in the first place.
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
    /// As for [`allocate_copy`](Self::allocate_copy), and [`Exhausted`](BufPoolErrorKind::Exhausted) or
    /// [`RequestsWaiting`](BufPoolErrorKind::RequestsWaiting).
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

    /// A snapshot of the pool's counters. Reads the whole bitmap (a bit per buffer) and takes a short lock: for
    /// monitoring, not for each allocation. In a copy of the pool that `fork(2)` made, it counts no waiters.
    ///
    /// ```
    /// # use fz_bufpool::{BufPool, BufPoolConfig, BufferSize};
    /// let pool = BufPool::new(BufPoolConfig::new(BufferSize::S64, 4 * 64))?;
    /// let three = pool.allocate(3)?;
    /// let stats = pool.stats();
    /// assert_eq!((stats.capacity, stats.in_use, stats.waiters), (4, 3, 0));
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

    /// The memory of all buffers: its address and its length in bytes. For registering it with the system once, instead
    /// of with each request, as `io_uring_register(2)` does with `IORING_REGISTER_BUFFERS`.
    ///
    /// The memory stays where it is for as long as a handle or an allocation of the pool lives. Its bytes belong to the
    /// owners of the allocations: read and write them through those.
    ///
    /// ```
    /// # use fz_bufpool::{BufPool, BufPoolConfig, BufferSize};
    /// let pool = BufPool::new(BufPoolConfig::new(BufferSize::S64, 4 * 64))?;
    /// let arena = pool.arena();
    /// assert_eq!(arena.len(), 4 * 64);
    /// let allocation = pool.allocate(1)?;
    /// let offset = allocation.as_slice().as_ptr().addr() - arena.addr().get();
    /// assert!(offset <= 3 * 64);
    /// # Ok::<(), fz_bufpool::BufPoolError>(())
    /// ```
    #[must_use]
    pub fn arena(&self) -> NonNull<[u8]> {
        self.inner().arena.buffers(self.inner().bitmap.capacity())
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
        match u32::try_from(count) {
            Ok(wanted) if wanted > 0 && wanted <= self.inner().request_max => Ok(wanted),
            _ => Err(self.refuse_count(operation, count)),
        }
    }

    #[cold]
    fn refuse_count(&self, operation: &'static str, count: usize) -> BufPoolError {
        let (capacity, limit) = (self.capacity(), self.inner().request_max as usize);
        self.error(
            operation,
            match count {
                0 => BufPoolErrorKind::ZeroCount { capacity },
                _ if count > capacity => BufPoolErrorKind::CountBeyondCapacity { count, capacity },
                _ => BufPoolErrorKind::CountBeyondLimit { count, limit },
            },
        )
    }

    #[cold]
    fn error(&self, operation: &'static str, kind: BufPoolErrorKind) -> BufPoolError {
        BufPoolError::new(self.module_id(), operation, kind)
    }

    /// Waits in line; `None` if `deadline` passed first.
    #[cold]
    fn wait(&self, wanted: u32, deadline: Option<Instant>) -> std::result::Result<Option<Allocation>, Forked> {
        if deadline.is_none() {
            assert_outside_of_wakers();
        }
        let inner = self.inner();
        let place = match inner.claim_or_join(wanted, Wake::Thread(current()))? {
            Joined::Served(claim) => return Ok(Some(self.allocation(claim))),
            Joined::InLine(place) => place,
        };
        loop {
            if let Some(claim) = place.granted() {
                return Ok(Some(self.allocation(claim)));
            }
            if has_passed(deadline) {
                return Ok(inner.leave(&place).map(|claim| self.allocation(claim)));
            }
            // An alarm may have forked.
            if inner.is_forked() {
                return Err(Forked);
            }
            park_until(deadline);
        }
    }

    /// A claim without a search, if `count` is right.
    #[inline]
    pub(crate) fn allocate_quickly(&self, count: usize) -> Option<Allocation> {
        let wanted = u32::try_from(count).ok().filter(|&wanted| wanted > 0 && wanted <= self.inner().request_max)?;
        self.inner().claim_quickly(wanted).map(|claim| self.allocation(claim))
    }

    /// The first poll of a future, after `allocate_quickly`: claims, or joins the line.
    pub(crate) fn poll_join(
        &self,
        wanted: u32,
        context: &Context<'_>,
    ) -> Result<std::result::Result<Allocation, Place>> {
        // Foreign code, so before the lock. If it panics, the caller's own waker has failed the caller's own poll.
        let wake = Wake::Task(context.waker().clone());
        match self.inner().claim_or_join(wanted, wake) {
            Ok(Joined::Served(claim)) => Ok(Ok(self.allocation(claim))),
            Ok(Joined::InLine(place)) => Ok(Err(place)),
            Err(Forked) => Err(self.error("allocate_async", BufPoolErrorKind::ForkedProcess)),
        }
    }

    /// A later poll.
    pub(crate) fn poll_place(&self, place: &Place, context: &Context<'_>) -> Poll<Result<Allocation>> {
        let granted = match place.granted() {
            Some(claim) => Ok(Some(claim)),
            None => self.inner().rewake(place, context.waker()),
        };
        match granted {
            Ok(Some(claim)) => Poll::Ready(Ok(self.allocation(claim))),
            Ok(None) => Poll::Pending,
            Err(Forked) => Poll::Ready(Err(self.error("allocate_async", BufPoolErrorKind::ForkedProcess))),
        }
    }

    /// The end of a future that is not finished; buffers that it was handed go to the next in line.
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
