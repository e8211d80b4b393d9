//! The options of a queue.

/// The size of a queue and its owner's number.
///
/// ```
/// use fz_mpsc::{QueueConfig, channel};
///
/// let (sender, _receiver) = channel::<u32>(QueueConfig::new(1000).module_id(7))?;
/// assert_eq!(sender.capacity(), 1000);
/// # Ok::<(), fz_mpsc::QueueError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use = "a config does nothing until it is passed to `channel`"]
pub struct QueueConfig {
    pub(crate) capacity: usize,
    pub(crate) module_id: u8,
}

impl QueueConfig {
    /// The largest capacity that [`channel`](crate::channel) accepts, in values.
    ///
    /// ```
    /// use fz_mpsc::{QueueConfig, QueueErrorKind, channel};
    ///
    /// let too_large = channel::<u8>(QueueConfig::new(QueueConfig::CAPACITY_MAX + 1)).unwrap_err();
    /// assert!(matches!(too_large.kind(), QueueErrorKind::CapacityTooLarge { .. }));
    /// ```
    pub const CAPACITY_MAX: usize = 1 << 31;

    /// A queue for `capacity` values, exactly: any number from 1 to
    /// [`CAPACITY_MAX`](Self::CAPACITY_MAX), not only powers of two. The memory for the next power
    /// of two is taken at once and never grows.
    ///
    /// ```
    /// use fz_mpsc::{PushError, QueueConfig, channel};
    ///
    /// let (sender, _receiver) = channel(QueueConfig::new(3))?;
    /// for value in 0..3 {
    ///     sender.try_push(value).unwrap();
    /// }
    /// assert!(matches!(sender.try_push(3), Err(PushError::Full(3))));
    /// # Ok::<(), fz_mpsc::QueueError>(())
    /// ```
    pub const fn new(capacity: usize) -> Self {
        Self { capacity, module_id: 0 }
    }

    /// The caller's own number for the part of the program that owns the queue, 0 unless set. It
    /// is the first byte of the id of every error that [`channel`](crate::channel) returns.
    ///
    /// ```
    /// use fz_mpsc::{QueueConfig, channel};
    ///
    /// let error = channel::<u8>(QueueConfig::new(0).module_id(7)).unwrap_err();
    /// assert_eq!(error.module_id(), 7);
    /// ```
    pub const fn module_id(mut self, module_id: u8) -> Self {
        self.module_id = module_id;
        self
    }
}
