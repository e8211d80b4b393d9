use crate::BufferSize;

/// The options of a [`BufPool`](crate::BufPool).
///
/// ```
/// use fz_bufpool::{BufPool, BufPoolConfig, BufferSize};
///
/// let config = BufPoolConfig::new(BufferSize::S128, 1024 * 128).module_id(7).prefault(false);
/// let pool = BufPool::new(config)?;
/// assert_eq!(pool.capacity(), 1024);
/// # Ok::<(), fz_bufpool::BufPoolError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct BufPoolConfig {
    pub(crate) buffer_size: BufferSize,
    pub(crate) bytes: usize,
    pub(crate) module_id: u8,
    pub(crate) prefault: bool,
    pub(crate) request_buffers_max: Option<usize>,
}

impl BufPoolConfig {
    /// A pool of `bytes` bytes in buffers of `buffer_size`; `bytes` is the exact limit and must be
    /// a multiple of the buffer size.
    ///
    /// ```
    /// # use fz_bufpool::{BufPool, BufPoolConfig, BufferSize};
    /// let pool = BufPool::new(BufPoolConfig::new(BufferSize::S4096, 1 << 20))?;
    /// assert_eq!(pool.capacity(), 256);
    /// # Ok::<(), fz_bufpool::BufPoolError>(())
    /// ```
    pub const fn new(buffer_size: BufferSize, bytes: usize) -> Self {
        Self { buffer_size, bytes, module_id: 0, prefault: true, request_buffers_max: None }
    }

    /// Your own number for the part of the program that owns the pool; its errors carry it. 0 unless set.
    ///
    /// ```
    /// # use fz_bufpool::{BufPool, BufPoolConfig, BufferSize};
    /// let pool = BufPool::new(BufPoolConfig::new(BufferSize::S8, 64).module_id(7))?;
    /// assert_eq!(pool.allocate(9).unwrap_err().module_id(), 7);
    /// # Ok::<(), fz_bufpool::BufPoolError>(())
    /// ```
    pub const fn module_id(mut self, module_id: u8) -> Self {
        self.module_id = module_id;
        self
    }

    /// Whether to touch every page at creation, so that no allocation pays for a page fault. True unless set.
    ///
    /// False makes creation cheap and leaves memory that is never used to the operating system.
    ///
    /// ```
    /// # use fz_bufpool::{BufPool, BufPoolConfig, BufferSize};
    /// let pool = BufPool::new(BufPoolConfig::new(BufferSize::S4096, 1 << 30).prefault(false))?;
    /// assert_eq!(pool.allocate(1)?.as_slice(), [0; 4096]);
    /// # Ok::<(), fz_bufpool::BufPoolError>(())
    /// ```
    pub const fn prefault(mut self, prefault: bool) -> Self {
        self.prefault = prefault;
        self
    }

    /// The most buffers of one request; a larger one is refused at once. The whole pool unless set.
    ///
    /// Requests are served in order, so a request for more consecutive buffers than are free stops all later ones,
    /// until the buffers between are released. If one buffer may be held for long, a request for the whole pool waits
    /// as long, and so do all later requests. With a limit of `buffers`, requests wait only while fewer than `buffers`
    /// are free in a row, for which at least `capacity / buffers`, rounded down, must be held.
    ///
    /// ```
    /// # use fz_bufpool::{BufPool, BufPoolConfig, BufPoolErrorKind, BufferSize};
    /// let config = BufPoolConfig::new(BufferSize::S8, 64 * 8).request_buffers_max(16);
    /// let pool = BufPool::new(config)?;
    /// let error = pool.allocate(17).unwrap_err();
    /// assert!(matches!(error.kind(), BufPoolErrorKind::CountBeyondLimit { count: 17, limit: 16 }));
    /// # Ok::<(), fz_bufpool::BufPoolError>(())
    /// ```
    pub const fn request_buffers_max(mut self, buffers: usize) -> Self {
        self.request_buffers_max = Some(buffers);
        self
    }
}
