use crate::{BufPoolError, BufPoolErrorKind};

/// The size of one buffer: a power of two from 8 bytes to 1 MiB. The number of each variant is its bytes.
///
/// ```
/// use fz_bufpool::BufferSize;
///
/// assert_eq!(BufferSize::S4096.bytes(), 4096);
/// assert_eq!(BufferSize::S4096 as usize, 4096);
/// assert_eq!(BufferSize::try_from(4096)?, BufferSize::S4096);
/// assert_eq!(BufferSize::from_bytes(5000), None);
/// # Ok::<(), fz_bufpool::BufPoolError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u32)]
pub enum BufferSize {
    /// 8 bytes.
    S8 = 8,
    /// 16 bytes.
    S16 = 16,
    /// 32 bytes.
    S32 = 32,
    /// 64 bytes.
    S64 = 64,
    /// 128 bytes.
    S128 = 128,
    /// 256 bytes.
    S256 = 256,
    /// 512 bytes.
    S512 = 512,
    /// 1 KiB.
    S1024 = 1024,
    /// 2 KiB.
    S2048 = 2048,
    /// 4 KiB, a page of memory on most machines.
    S4096 = 4096,
    /// 8 KiB.
    S8192 = 8192,
    /// 16 KiB.
    S16384 = 16384,
    /// 32 KiB.
    S32768 = 32768,
    /// 64 KiB.
    S65536 = 65536,
    /// 128 KiB.
    S131072 = 131072,
    /// 256 KiB.
    S262144 = 262144,
    /// 512 KiB.
    S524288 = 524288,
    /// 1 MiB.
    S1048576 = 1048576,
}

impl BufferSize {
    /// Every size, in ascending order.
    pub const ALL: [Self; 18] = [
        Self::S8,
        Self::S16,
        Self::S32,
        Self::S64,
        Self::S128,
        Self::S256,
        Self::S512,
        Self::S1024,
        Self::S2048,
        Self::S4096,
        Self::S8192,
        Self::S16384,
        Self::S32768,
        Self::S65536,
        Self::S131072,
        Self::S262144,
        Self::S524288,
        Self::S1048576,
    ];

    /// The size in bytes.
    ///
    /// ```
    /// # use fz_bufpool::BufferSize;
    /// assert_eq!(BufferSize::S1048576.bytes(), 1 << 20);
    /// ```
    #[must_use]
    #[inline]
    pub const fn bytes(self) -> usize {
        self as usize
    }

    /// The size of exactly `bytes` bytes, if there is one.
    ///
    /// ```
    /// # use fz_bufpool::BufferSize;
    /// assert_eq!(BufferSize::from_bytes(512), Some(BufferSize::S512));
    /// assert_eq!(BufferSize::from_bytes(500), None);
    /// ```
    #[must_use]
    pub const fn from_bytes(bytes: usize) -> Option<Self> {
        let mut at = 0;
        while at < Self::ALL.len() {
            if Self::ALL[at].bytes() == bytes {
                return Some(Self::ALL[at]);
            }
            at += 1;
        }
        None
    }

    /// How many buffers of this size hold `bytes` bytes; 0 for 0.
    ///
    /// ```
    /// # use fz_bufpool::BufferSize;
    /// assert_eq!(BufferSize::S128.buffers_for(128), 1);
    /// assert_eq!(BufferSize::S128.buffers_for(129), 2);
    /// ```
    #[must_use]
    #[inline]
    pub const fn buffers_for(self, bytes: usize) -> usize {
        bytes.div_ceil(self.bytes())
    }
}

impl TryFrom<usize> for BufferSize {
    type Error = BufPoolError;

    /// # Errors
    /// [`BufPoolErrorKind::InvalidBufferSize`] unless `bytes` is a power of two from 8 to 1 MiB; it
    /// carries module id 0, because no pool is involved yet.
    fn try_from(bytes: usize) -> Result<Self, Self::Error> {
        let refused = || BufPoolError::new(0, "try_from", BufPoolErrorKind::InvalidBufferSize { bytes });
        Self::from_bytes(bytes).ok_or_else(refused)
    }
}
