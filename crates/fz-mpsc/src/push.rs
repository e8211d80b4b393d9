//! The future of an asynchronous push.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::{PushError, RoomWaiter, Sender};

/// A push that waits for room; made by [`Sender::push_async`](crate::Sender::push_async). Polled after it resolved, it
/// panics.
///
/// ```
/// use fz_mpsc::{QueueConfig, channel};
///
/// let (sender, _receiver) = channel(QueueConfig::new(1))?;
/// let push = sender.push_async("value");
/// assert_eq!(sender.last_position(), 0, "nothing happens before the first poll");
/// assert_eq!(pollster::block_on(push), Ok(1));
/// # Ok::<(), fz_mpsc::QueueError>(())
/// ```
#[must_use = "a push does nothing until it is polled"]
pub struct Push<'a, T> {
    sender: &'a Sender<T>,
    value: Option<T>,
    waiter: RoomWaiter,
}

impl<'a, T> Push<'a, T> {
    pub(crate) fn new(sender: &'a Sender<T>, value: T) -> Self {
        Self { sender, value: Some(value), waiter: RoomWaiter::default() }
    }
}

// The value is moved, never pinned.
impl<T> Unpin for Push<'_, T> {}

impl<T> Future for Push<'_, T> {
    type Output = Result<u64, PushError<T>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { sender, value, waiter } = &mut *self;
        sender.poll_push(value, waiter, cx)
    }
}

impl<T> fmt::Debug for Push<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Push").field("is_done", &self.value.is_none()).field("waiter", &self.waiter).finish()
    }
}
