//! What a reason to fail must say, and the catalogue of them.

use std::error::Error as StdError;

/// One entry of a crate's catalogue of reasons.
///
/// ```
/// # use fz_error::Reason;
/// const FULL: Reason = Reason::new(4, "QueueFull", "the queue is full");
/// assert_eq!((FULL.code(), FULL.name()), (4, "QueueFull"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reason {
    code: u16,
    name: &'static str,
    meaning: &'static str,
}

impl Reason {
    /// An entry: its number (never reused), the variant's name, and one line of meaning.
    ///
    /// ```
    /// # use fz_error::Reason;
    /// const FULL: Reason = Reason::new(4, "QueueFull", "the queue is full");
    /// assert_eq!(FULL.meaning(), "the queue is full");
    /// ```
    #[must_use]
    pub const fn new(code: u16, name: &'static str, meaning: &'static str) -> Self {
        Self { code, name, meaning }
    }

    /// The low 16 bits of the [`ErrorId`](crate::ErrorId).
    ///
    /// ```
    /// # use fz_error::Reason;
    /// const FULL: Reason = Reason::new(4, "QueueFull", "the queue is full");
    /// assert_eq!(FULL.code(), 4);
    /// ```
    #[must_use]
    pub const fn code(&self) -> u16 {
        self.code
    }

    /// The variant's name.
    ///
    /// ```
    /// # use fz_error::Reason;
    /// const FULL: Reason = Reason::new(4, "QueueFull", "the queue is full");
    /// assert_eq!(FULL.name(), "QueueFull");
    /// ```
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// What it means, in one line.
    ///
    /// ```
    /// # use fz_error::Reason;
    /// const FULL: Reason = Reason::new(4, "QueueFull", "the queue is full");
    /// assert_eq!(FULL.meaning(), "the queue is full");
    /// ```
    #[must_use]
    pub const fn meaning(&self) -> &'static str {
        self.meaning
    }
}

/// A crate's enum of reasons to fail, as an [`Error`](crate::Error) carries it.
///
/// The `Display` text says what was asked, what is, and what to do; it names the values.
/// [`catalogue!`](crate::catalogue) writes the implementation; by hand it looks like this:
///
/// ```
/// use fz_error::{Kind, Reason};
///
/// #[derive(Clone, Debug, thiserror::Error)]
/// #[non_exhaustive]
/// enum CacheError {
///     #[error("page {page} is pinned {pins} times; unpin it before it is evicted")]
///     Pinned { page: u64, pins: u32 },
///     #[error("page {page} is not in the cache; read it first")]
///     Absent { page: u64 },
/// }
///
/// impl Kind for CacheError {
///     const DOMAIN: u8 = 0x40;
///     const REASONS: &'static [Reason] = &[
///         Reason::new(1, "Pinned", "a pinned page cannot be evicted"),
///         Reason::new(2, "Absent", "the page is not in the cache"),
///     ];
///     fn reason(&self) -> u16 {
///         match self {
///             CacheError::Pinned { .. } => 1,
///             CacheError::Absent { .. } => 2,
///         }
///     }
/// }
/// assert_eq!(CacheError::Absent { page: 3 }.reason(), 2);
/// ```
pub trait Kind: StdError + Clone + Send + Sync + 'static {
    /// The crate's number in an [`ErrorId`](crate::ErrorId), see [`domain`](crate::domain).
    const DOMAIN: u8;

    /// Every reason of this crate, in ascending order of its code: [`Error::new`](crate::Error::new) does not compile
    /// with another order, or with a code that stands twice.
    const REASONS: &'static [Reason];

    /// The code of this value's entry in [`REASONS`](Self::REASONS). Debug builds check that there is one.
    ///
    /// ```
    /// use fz_error::{Kind, Reason};
    ///
    /// #[derive(Clone, Debug, thiserror::Error)]
    /// #[error("page {page} is not in the cache; read it first")]
    /// struct Absent {
    ///     page: u64,
    /// }
    ///
    /// impl Kind for Absent {
    ///     const DOMAIN: u8 = 0x40;
    ///     const REASONS: &'static [Reason] = &[Reason::new(2, "Absent", "the page is not in the cache")];
    ///     fn reason(&self) -> u16 {
    ///         2
    ///     }
    /// }
    /// assert_eq!(Absent { page: 3 }.reason(), Absent::REASONS[0].code());
    /// ```
    fn reason(&self) -> u16;
}
