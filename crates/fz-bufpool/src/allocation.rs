use std::fmt;
use std::iter::FusedIterator;
use std::mem;
use std::ptr::NonNull;
use std::slice;

use crate::inner::{self, Inner};
use crate::{BufPoolError, BufPoolErrorKind, BufferSize, PoolLine, Result};

/// One or more consecutive buffers, contiguous in memory, owned; dropping it releases them and
/// serves the requests that wait for them.
///
/// The bytes are always initialised: zero at first, later as the last owner of the buffers, of the same pool, left
/// them. An allocation keeps its pool's memory alive. Forgotten ([`mem::forget`]), it keeps its
/// buffers for ever.
///
/// ```
/// use fz_bufpool::{BufPool, BufPoolConfig, BufferSize};
///
/// let pool = BufPool::new(BufPoolConfig::new(BufferSize::S8, 64))?;
/// let mut allocation = pool.allocate(2)?;
/// for (index, buffer) in (1..).zip(allocation.buffers_mut()) {
///     buffer.fill(index);
/// }
/// assert_eq!(allocation.as_slice(), [1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2]);
/// # Ok::<(), fz_bufpool::BufPoolError>(())
/// ```
#[must_use = "dropping an allocation releases its buffers at once"]
pub struct Allocation {
    // Two words: such a pair is passed and returned in registers. Three would go through memory, where a value that
    // is written field by field and at once loaded as a whole waits until the writes are through.
    inner: NonNull<Inner>,
    /// `count << 32 | first`.
    range: u64,
}

// SAFETY: it owns its bytes, which have no tie to a thread; `Inner` is `Send` and `Sync`.
unsafe impl Send for Allocation {}
// SAFETY: through `&Allocation` the bytes can only be read.
unsafe impl Sync for Allocation {}

impl Allocation {
    /// # Safety
    /// The buffers `first..first + count` of the pool are claimed, and the claim is not used otherwise.
    #[inline]
    pub(crate) unsafe fn from_claim(inner: NonNull<Inner>, first: u32, count: u32) -> Self {
        Self { inner, range: range(first, count) }
    }

    /// All bytes.
    ///
    /// ```
    /// # use fz_bufpool::{BufPool, BufPoolConfig, BufferSize};
    /// let pool = BufPool::new(BufPoolConfig::new(BufferSize::S8, 64))?;
    /// let allocation = pool.allocate(2)?;
    /// assert_eq!(allocation.as_slice(), [0; 16]);
    /// # Ok::<(), fz_bufpool::BufPoolError>(())
    /// ```
    #[must_use]
    #[inline]
    pub fn as_slice(&self) -> &[u8] {
        self.inner().touch(self.first(), self.count_u32(), false);
        let (start, length) = (self.start(), self.len());
        // SAFETY: the claim makes the bytes ours alone; they are inside the arena, initialised, and
        // borrowed as `self` is. The last owner's writes happened before the claim.
        unsafe { slice::from_raw_parts(start.as_ptr(), length) }
    }

    /// All bytes, to write.
    ///
    /// ```
    /// # use fz_bufpool::{BufPool, BufPoolConfig, BufferSize};
    /// let pool = BufPool::new(BufPoolConfig::new(BufferSize::S8, 64))?;
    /// let mut allocation = pool.allocate(2)?;
    /// allocation.as_mut_slice()[..5].copy_from_slice(b"hello");
    /// assert!(allocation.as_slice().starts_with(b"hello"));
    /// # Ok::<(), fz_bufpool::BufPoolError>(())
    /// ```
    #[must_use]
    #[inline]
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        self.inner().touch(self.first(), self.count_u32(), true);
        let (start, length) = (self.start(), self.len());
        // SAFETY: as in `as_slice`, and `self` is borrowed exclusively.
        unsafe { slice::from_raw_parts_mut(start.as_ptr(), length) }
    }

    /// The buffers one by one, each a slice of [`buffer_size`](Self::buffer_size) bytes.
    ///
    /// ```
    /// # use fz_bufpool::{BufPool, BufPoolConfig, BufferSize};
    /// let pool = BufPool::new(BufPoolConfig::new(BufferSize::S8, 64))?;
    /// let allocation = pool.allocate(2)?;
    /// assert!(allocation.buffers().all(|buffer| buffer == [0; 8]));
    /// assert_eq!(allocation.buffers().len(), 2);
    /// # Ok::<(), fz_bufpool::BufPoolError>(())
    /// ```
    #[must_use = "an iterator does nothing unless it is used"]
    pub fn buffers(
        &self,
    ) -> impl ExactSizeIterator<Item = &[u8]> + DoubleEndedIterator + FusedIterator + fmt::Debug + Clone {
        self.as_slice().chunks_exact(self.buffer_size().bytes())
    }

    /// The buffers one by one, to write.
    ///
    /// ```
    /// # use fz_bufpool::{BufPool, BufPoolConfig, BufferSize};
    /// let pool = BufPool::new(BufPoolConfig::new(BufferSize::S8, 64))?;
    /// let mut allocation = pool.allocate(2)?;
    /// for (number, buffer) in (1..).zip(allocation.buffers_mut()) {
    ///     buffer.fill(number);
    /// }
    /// assert_eq!(allocation.as_slice()[7..9], [1, 2]);
    /// # Ok::<(), fz_bufpool::BufPoolError>(())
    /// ```
    #[must_use = "an iterator does nothing unless it is used"]
    pub fn buffers_mut(
        &mut self,
    ) -> impl ExactSizeIterator<Item = &mut [u8]> + DoubleEndedIterator + FusedIterator + fmt::Debug {
        let size = self.buffer_size().bytes();
        self.as_mut_slice().chunks_exact_mut(size)
    }

    /// Copies `source` to the front and fills the rest with zeros: no byte of an earlier record is left.
    ///
    /// # Errors
    /// [`BufPoolErrorKind::CopyTooLong`] if `source` is longer than the allocation, which is left as it was.
    ///
    /// ```
    /// # use fz_bufpool::{BufPool, BufPoolConfig, BufferSize};
    /// let pool = BufPool::new(BufPoolConfig::new(BufferSize::S8, 8))?;
    /// let mut allocation = pool.allocate(1)?;
    /// allocation.copy_from_slice(b"record")?;
    /// assert_eq!(allocation.as_slice(), b"record\0\0");
    /// assert!(allocation.copy_from_slice(b"too long a record").is_err());
    /// # Ok::<(), fz_bufpool::BufPoolError>(())
    /// ```
    #[inline]
    pub fn copy_from_slice(&mut self, source: &[u8]) -> Result<()> {
        match self.as_mut_slice().split_at_mut_checked(source.len()) {
            Some((front, rest)) => {
                front.copy_from_slice(source);
                rest.fill(0);
                Ok(())
            }
            None => Err(self.refuse_copy(source.len())),
        }
    }

    /// Takes `next` in, if it is of the same pool and begins in memory exactly where this one ends:
    /// many allocations can then be written with one I/O vector and released at once.
    ///
    /// # Errors
    /// Returns `next` unchanged if it does not follow.
    ///
    /// ```
    /// # use fz_bufpool::{BufPool, BufPoolConfig, BufferSize};
    /// let pool = BufPool::new(BufPoolConfig::new(BufferSize::S8, 64))?;
    /// let (mut first, second) = (pool.allocate(1)?, pool.allocate(2)?);
    /// if first.as_slice().as_ptr_range().end == second.as_slice().as_ptr() {
    ///     first.try_append(second).unwrap();
    ///     assert_eq!(first.count(), 3);
    /// }
    /// # Ok::<(), fz_bufpool::BufPoolError>(())
    /// ```
    #[inline]
    pub fn try_append(&mut self, next: Self) -> std::result::Result<(), Self> {
        if next.inner != self.inner || next.first() != self.first() + self.count_u32() {
            return Err(next);
        }
        self.range += u64::from(next.count_u32()) << u32::BITS;
        // Its claim is part of ours now.
        mem::forget(next);
        Ok(())
    }

    /// Splits the allocation in two: it keeps the first `at` buffers, and the rest is returned. The inverse of
    /// [`try_append`](Self::try_append).
    ///
    /// # Errors
    /// [`BufPoolErrorKind::CutOutside`] unless both parts have a buffer; the allocation is left as it was.
    ///
    /// ```
    /// # use fz_bufpool::{BufPool, BufPoolConfig, BufferSize};
    /// let pool = BufPool::new(BufPoolConfig::new(BufferSize::S8, 64))?;
    /// let mut header = pool.allocate(3)?;
    /// let body = header.split_off(1)?;
    /// assert_eq!((header.count(), body.count()), (1, 2));
    /// header.try_append(body).unwrap();
    /// assert_eq!(header.count(), 3);
    /// # Ok::<(), fz_bufpool::BufPoolError>(())
    /// ```
    pub fn split_off(&mut self, at: usize) -> Result<Self> {
        self.cut("split_off", at)
    }

    fn cut(&mut self, operation: &'static str, at: usize) -> Result<Self> {
        let count = self.count_u32();
        match u32::try_from(at) {
            Ok(kept) if kept > 0 && kept < count => {
                let first = self.first();
                self.range = range(first, kept);
                // SAFETY: the buffers are claimed, and the line above takes them out of this allocation.
                Ok(unsafe { Self::from_claim(self.inner, first + kept, count - kept) })
            }
            _ => Err(self.refuse_cut(operation, at)),
        }
    }

    /// Releases all but the first `count` buffers, which may serve waiting requests. Does nothing if there are no more.
    ///
    /// # Errors
    /// [`BufPoolErrorKind::CutOutside`] for 0, because an allocation is never empty: drop it instead.
    ///
    /// ```
    /// # use fz_bufpool::{BufPool, BufPoolConfig, BufferSize};
    /// let pool = BufPool::new(BufPoolConfig::new(BufferSize::S8, 64))?;
    /// let mut allocation = pool.allocate(8)?;
    /// allocation.truncate(3)?;
    /// assert_eq!((allocation.count(), pool.stats().in_use), (3, 3));
    /// # Ok::<(), fz_bufpool::BufPoolError>(())
    /// ```
    pub fn truncate(&mut self, count: usize) -> Result<()> {
        if count < self.count() {
            drop(self.cut("truncate", count)?);
        }
        Ok(())
    }

    /// Bytes.
    ///
    /// ```
    /// # use fz_bufpool::{BufPool, BufPoolConfig, BufferSize};
    /// let pool = BufPool::new(BufPoolConfig::new(BufferSize::S8, 64))?;
    /// assert_eq!(pool.allocate(2)?.len(), 16);
    /// # Ok::<(), fz_bufpool::BufPoolError>(())
    /// ```
    #[expect(clippy::len_without_is_empty, reason = "an allocation is never empty")]
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.count() * self.buffer_size().bytes()
    }

    /// Buffers; at least one.
    ///
    /// ```
    /// # use fz_bufpool::{BufPool, BufPoolConfig, BufferSize};
    /// let pool = BufPool::new(BufPoolConfig::new(BufferSize::S8, 64))?;
    /// assert_eq!(pool.allocate(2)?.count(), 2);
    /// # Ok::<(), fz_bufpool::BufPoolError>(())
    /// ```
    #[must_use]
    #[inline]
    pub fn count(&self) -> usize {
        self.count_u32() as usize
    }

    /// The size of one buffer.
    ///
    /// ```
    /// # use fz_bufpool::{BufPool, BufPoolConfig, BufferSize};
    /// let pool = BufPool::new(BufPoolConfig::new(BufferSize::S8, 64))?;
    /// assert_eq!(pool.allocate(2)?.buffer_size(), BufferSize::S8);
    /// # Ok::<(), fz_bufpool::BufPoolError>(())
    /// ```
    #[must_use]
    #[inline]
    pub fn buffer_size(&self) -> BufferSize {
        self.inner().arena.buffer_size()
    }

    /// The line for this pool's memory: whether requests wait, and which holders to call when one has to. For a holder
    /// that could release its allocations early.
    ///
    /// ```
    /// # use fz_bufpool::{BufPool, BufPoolConfig, BufferSize};
    /// let pool = BufPool::new(BufPoolConfig::new(BufferSize::S8, 64))?;
    /// assert!(!pool.allocate(2)?.line().is_waiting());
    /// # Ok::<(), fz_bufpool::BufPoolError>(())
    /// ```
    #[must_use]
    #[inline]
    pub fn line(&self) -> PoolLine {
        self.inner().public_line()
    }

    #[expect(clippy::cast_possible_truncation, reason = "the lower half")]
    #[inline]
    fn first(&self) -> u32 {
        self.range as u32
    }

    #[inline]
    fn count_u32(&self) -> u32 {
        (self.range >> u32::BITS) as u32
    }

    #[inline]
    fn inner(&self) -> &Inner {
        // SAFETY: a claimed buffer keeps its pool alive.
        unsafe { self.inner.as_ref() }
    }

    #[inline]
    fn start(&self) -> NonNull<u8> {
        // SAFETY: `first` is the index of a buffer of this arena.
        unsafe { self.inner().arena.buffer(self.first()) }
    }

    #[cold]
    fn refuse_cut(&self, operation: &'static str, at: usize) -> BufPoolError {
        let kind = BufPoolErrorKind::CutOutside { at, count: self.count() };
        BufPoolError::new(self.inner().module_id, operation, kind)
    }

    #[cold]
    fn refuse_copy(&self, source_bytes: usize) -> BufPoolError {
        let kind = BufPoolErrorKind::CopyTooLong { source_bytes, allocation_bytes: self.len() };
        BufPoolError::new(self.inner().module_id, "copy_from_slice", kind)
    }
}

#[inline]
fn range(first: u32, count: u32) -> u64 {
    u64::from(count) << u32::BITS | u64::from(first)
}

impl Drop for Allocation {
    #[inline]
    fn drop(&mut self) {
        if fz_error::mutants::active("release_twice") {
            // SAFETY: none, that is the point of a broken twin.
            unsafe { inner::release(self.inner, self.first(), self.count_u32()) };
        }
        // SAFETY: the claim is this allocation's, which is not used any more.
        unsafe { inner::release(self.inner, self.first(), self.count_u32()) };
    }
}

impl AsRef<[u8]> for Allocation {
    fn as_ref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl AsMut<[u8]> for Allocation {
    fn as_mut(&mut self) -> &mut [u8] {
        self.as_mut_slice()
    }
}

impl fmt::Debug for Allocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Allocation")
            .field("buffer_size", &self.buffer_size())
            .field("first", &self.first())
            .field("count", &self.count())
            .finish_non_exhaustive()
    }
}
