use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::ticket::Signal;
use crate::waiters::{Progress, Registration};

/// The durable position as it grows, without ever asking for a round.
///
/// [`wait`](Self::wait) blocks; with the feature `stream`, on by default, this is also a `Stream`. Each item is the
/// durable position at that time, larger than the one before. The watch ends with the committer: with the error, once,
/// if it failed, and then with `None`.
///
/// # Examples
///
/// ```
/// # use fz_commit::{CommitConfig, Committer};
/// # include!("../examples/lines/medium.rs");
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let committer = Committer::new(Lines::default(), CommitConfig::new())?;
/// let mut watch = committer.watch();
/// let ticket = append(&committer, "a line");
/// ticket.wait()?;
/// assert_eq!(watch.wait(), Some(Ok(1)));
/// committer.close()?;
/// assert_eq!(watch.wait(), None);
/// # Ok(())
/// # }
/// ```
pub struct Watch<E: Clone + Send + Sync + 'static> {
    progress: Arc<Progress<E>>,
    seen: u64,
    registration: Registration,
    has_failed: bool,
}

impl<E: Clone + Send + Sync + 'static> Watch<E> {
    pub(crate) fn new(progress: &Arc<Progress<E>>) -> Self {
        Self { progress: Arc::clone(progress), seen: progress.durable(), registration: 0, has_failed: false }
    }

    /// The durable position that the last item was, or that there was when the watch began.
    #[must_use]
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// Blocks until the durable position is above [`seen`](Self::seen), and returns it; `None` when no more comes.
    /// Not for async code.
    ///
    /// # Errors
    ///
    /// The error that stopped the committer, once.
    pub fn wait(&mut self) -> Option<Result<u64, E>> {
        let signal = Arc::new(Signal::default());
        let waker = Waker::from(Arc::clone(&signal));
        loop {
            if let Poll::Ready(item) = self.poll_item(&mut Context::from_waker(&waker)) {
                return item;
            }
            let _ = signal.wait_until(None);
        }
    }

    fn poll_item(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<u64, E>>> {
        let next = self.seen + 1;
        let mut status = self.now(next);
        if status.is_pending() {
            status = match self.progress.register(next, &mut self.registration, context.waker()) {
                Some(status) => Poll::Ready(Some(status)),
                // The end may have come between the two looks, and then no publisher finds the waker.
                None => self.now(next),
            };
        }
        if status.is_pending() {
            return Poll::Pending;
        }
        self.cancel();
        Poll::Ready(match status {
            Poll::Ready(Some(Ok(durable))) => {
                self.seen = durable;
                Some(Ok(durable))
            }
            Poll::Ready(Some(Err(error))) if !std::mem::replace(&mut self.has_failed, true) => Some(Err(error)),
            _ => None,
        })
    }

    fn cancel(&mut self) {
        let registration = std::mem::take(&mut self.registration);
        if registration != 0 {
            self.progress.cancel(self.seen + 1, registration);
        }
    }

    /// Ready with the status of `next`, or with `None` at the end.
    fn now(&self, next: u64) -> Poll<Option<Result<u64, E>>> {
        // In this order: what became durable before the end is an item.
        let has_ended = self.progress.has_ended();
        match self.progress.status(next) {
            Some(status) => Poll::Ready(Some(status)),
            None if has_ended => Poll::Ready(None),
            None => Poll::Pending,
        }
    }
}

impl<E: Clone + Send + Sync + 'static> Drop for Watch<E> {
    fn drop(&mut self) {
        self.cancel();
    }
}

impl<E: Clone + Send + Sync + 'static> fmt::Debug for Watch<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("seen", &self.seen).finish_non_exhaustive()
    }
}

#[cfg(feature = "stream")]
impl<E: Clone + Send + Sync + 'static> futures_core::Stream for Watch<E> {
    type Item = Result<u64, E>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_item(context)
    }
}

/// Resolves when the committer stops: to the error, or to `None` if it was closed and all its work is durable.
#[must_use = "a future does nothing until it is awaited"]
pub struct Failed<E: Clone + Send + Sync + 'static> {
    progress: Arc<Progress<E>>,
    registration: Registration,
}

/// A position that never becomes durable: its waiters hear of the end only.
const NEVER: u64 = u64::MAX;

impl<E: Clone + Send + Sync + 'static> Failed<E> {
    pub(crate) fn new(progress: &Arc<Progress<E>>) -> Self {
        Self { progress: Arc::clone(progress), registration: 0 }
    }

    fn now(&self) -> Poll<Option<E>> {
        match self.progress.status(NEVER) {
            Some(status) => Poll::Ready(status.err()),
            None if self.progress.has_ended() => Poll::Ready(None),
            None => Poll::Pending,
        }
    }
}

impl<E: Clone + Send + Sync + 'static> Future for Failed<E> {
    type Output = Option<E>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Poll::Ready(ended) = this.now() {
            return Poll::Ready(ended);
        }
        match this.progress.register(NEVER, &mut this.registration, context.waker()) {
            Some(status) => Poll::Ready(status.err()),
            // As in `Watch`.
            None => this.now(),
        }
    }
}

impl<E: Clone + Send + Sync + 'static> Drop for Failed<E> {
    fn drop(&mut self) {
        if self.registration != 0 {
            self.progress.cancel(NEVER, self.registration);
        }
    }
}

impl<E: Clone + Send + Sync + 'static> fmt::Debug for Failed<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Failed").finish_non_exhaustive()
    }
}
