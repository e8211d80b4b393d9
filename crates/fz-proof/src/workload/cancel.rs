//! Cancellation: futures that are dropped before they are ready.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// A future that is dropped after its last permitted poll, wherever it is then: a task that is cancelled.
#[derive(Debug)]
pub(crate) struct Cancelled<F> {
    inner: Option<Pin<Box<F>>>,
    polls: u32,
}

impl<F: Future> Cancelled<F> {
    pub(crate) fn new(inner: F, polls: u32) -> Self {
        Self { inner: Some(Box::pin(inner)), polls }
    }
}

impl<F: Future> Future for Cancelled<F> {
    /// `None` if it was cancelled.
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(inner) = self.inner.as_mut() else { return Poll::Ready(None) };
        if let Poll::Ready(output) = inner.as_mut().poll(context) {
            return Poll::Ready(Some(output));
        }
        self.polls = self.polls.saturating_sub(1);
        if self.polls == 0 {
            self.inner = None;
            return Poll::Ready(None);
        }
        // Polled again without a reason, as a task in a `select!` is.
        context.waker().wake_by_ref();
        Poll::Pending
    }
}
