//! The future of a consumer that waits.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::{Receiver, Result};

/// A wait for something to drain; made by [`Receiver::wait_async`](crate::Receiver::wait_async).
///
/// ```
/// use fz_mpsc::{QueueConfig, channel};
///
/// let (sender, mut receiver) = channel::<u8>(QueueConfig::new(1))?;
/// drop(sender);
/// assert!(!pollster::block_on(receiver.wait_async())?, "the end");
/// # Ok::<(), fz_mpsc::QueueError>(())
/// ```
#[must_use = "a wait does nothing until it is polled"]
pub struct Wait<'a, T> {
    receiver: &'a mut Receiver<T>,
    is_asleep: bool,
}

impl<'a, T> Wait<'a, T> {
    pub(crate) fn new(receiver: &'a mut Receiver<T>) -> Self {
        Self { receiver, is_asleep: false }
    }
}

impl<T> Future for Wait<'_, T> {
    type Output = Result<bool>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<bool>> {
        let polled = self.receiver.poll_wait(cx);
        self.is_asleep = polled.is_pending();
        polled
    }
}

impl<T> Drop for Wait<'_, T> {
    fn drop(&mut self) {
        if self.is_asleep {
            self.receiver.stop_waiting();
        }
    }
}

impl<T> fmt::Debug for Wait<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wait").field("receiver", &self.receiver).finish()
    }
}
