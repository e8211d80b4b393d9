//! A refused push returns the value.

use std::fmt;

/// Why a value was not accepted, and the value.
///
/// ```
/// use fz_mpsc::{PushError, QueueConfig, channel};
///
/// let (sender, _receiver) = channel(QueueConfig::new(1))?;
/// sender.try_push("first").unwrap();
/// match sender.try_push("second") {
///     Err(PushError::Full(value)) => assert_eq!(value, "second"),
///     other => panic!("{other:?}"),
/// }
/// # Ok::<(), fz_mpsc::QueueError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PushError<T> {
    /// The queue is full, or its room is promised to pushes that wait for it already.
    Full(T),
    /// The queue stayed full for as long as the caller would wait.
    TimedOut(T),
    /// The queue is closed for good.
    Closed(T),
    /// `fork(2)` copied the queue, and this is the child: the queue belongs to the process that made it.
    ForkedCopy(T),
}

impl<T> PushError<T> {
    /// The value that was not accepted.
    ///
    /// ```
    /// use fz_mpsc::{QueueConfig, channel};
    ///
    /// let (sender, receiver) = channel(QueueConfig::new(1))?;
    /// drop(receiver);
    /// let refused = sender.try_push(String::from("kept")).unwrap_err();
    /// assert_eq!(refused.into_value(), "kept");
    /// # Ok::<(), fz_mpsc::QueueError>(())
    /// ```
    #[must_use]
    pub fn into_value(self) -> T {
        match self {
            Self::Full(value) | Self::TimedOut(value) | Self::Closed(value) | Self::ForkedCopy(value) => value,
        }
    }

    /// Whether the queue is closed, so that no later push can succeed either.
    ///
    /// ```
    /// use fz_mpsc::{QueueConfig, channel};
    ///
    /// let (sender, _receiver) = channel(QueueConfig::new(1))?;
    /// sender.try_push(1).unwrap();
    /// assert!(!sender.try_push(2).unwrap_err().is_closed());
    /// sender.close();
    /// assert!(sender.try_push(3).unwrap_err().is_closed());
    /// # Ok::<(), fz_mpsc::QueueError>(())
    /// ```
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(self, Self::Closed(_))
    }
}

// By hand, so that a value that cannot be shown does not keep `unwrap` and `?` from working.
impl<T> fmt::Debug for PushError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "Full(..)",
            Self::TimedOut(_) => "TimedOut(..)",
            Self::Closed(_) => "Closed(..)",
            Self::ForkedCopy(_) => "ForkedCopy(..)",
        })
    }
}

impl<T> fmt::Display for PushError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "the queue is full; push again later, or use a push that waits",
            Self::TimedOut(_) => "the queue stayed full until the timeout; push again later",
            Self::Closed(_) => "the queue is closed and accepts nothing any more",
            Self::ForkedCopy(_) => {
                "the queue belongs to the process that made it, and this one is its child; make a new queue here"
            }
        })
    }
}

impl<T> std::error::Error for PushError<T> {}
