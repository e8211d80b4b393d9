use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::inner::Place;
use crate::{Allocation, BufPool, Result};

/// The future of [`BufPool::allocate_async`]: resolves to the [`Allocation`] when its turn comes.
///
/// `'static`, for any executor, and cancel-safe: dropped before it resolved, it loses nothing and
/// passes its turn on. Polled, and then neither polled nor dropped, it keeps its place in line, and its
/// buffers once served. It holds a handle to the pool. Polled after it resolved, it panics.
///
/// ```
/// # use fz_bufpool::{BufPool, BufPoolConfig, BufferSize};
/// let pool = BufPool::new(BufPoolConfig::new(BufferSize::S64, 4 * 64))?;
/// let all = pool.allocate(4)?;
/// let waits = pool.allocate_async(2);
/// drop(all);
/// assert_eq!(pollster::block_on(waits)?.count(), 2);
/// # Ok::<(), fz_bufpool::BufPoolError>(())
/// ```
#[must_use = "a future does nothing unless it is polled"]
pub struct AllocateFuture {
    pool: BufPool,
    count: usize,
    state: State,
}

enum State {
    New,
    InLine(Place),
    Done,
}

impl AllocateFuture {
    pub(crate) fn new(pool: BufPool, count: usize) -> Self {
        Self { pool, count, state: State::New }
    }
}

impl Future for AllocateFuture {
    type Output = Result<Allocation>;

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if matches!(this.state, State::New)
            && let Some(allocation) = this.pool.allocate_quickly(this.count)
        {
            this.state = State::Done;
            return Poll::Ready(Ok(allocation));
        }
        this.poll_line(context)
    }
}

impl AllocateFuture {
    #[cold]
    fn poll_line(&mut self, context: &mut Context<'_>) -> Poll<Result<Allocation>> {
        match &self.state {
            State::New => {
                let wanted = match self.pool.check_count("allocate_async", self.count) {
                    Ok(wanted) => wanted,
                    Err(error) => {
                        self.state = State::Done;
                        return Poll::Ready(Err(error));
                    }
                };
                match self.pool.poll_join(wanted, context) {
                    Ok(Ok(allocation)) => {
                        self.state = State::Done;
                        Poll::Ready(Ok(allocation))
                    }
                    Ok(Err(place)) => {
                        self.state = State::InLine(place);
                        Poll::Pending
                    }
                    Err(error) => {
                        self.state = State::Done;
                        Poll::Ready(Err(error))
                    }
                }
            }
            State::InLine(place) => match self.pool.poll_place(place, context) {
                Poll::Ready(outcome) => {
                    self.state = State::Done;
                    Poll::Ready(outcome)
                }
                Poll::Pending => Poll::Pending,
            },
            State::Done => panic!("an AllocateFuture was polled after it had resolved"),
        }
    }
}

impl Drop for AllocateFuture {
    fn drop(&mut self) {
        if let State::InLine(place) = &self.state {
            self.pool.leave(place);
        }
    }
}

impl fmt::Debug for AllocateFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::New => "new",
            State::InLine(_) => "in line",
            State::Done => "done",
        };
        f.debug_struct("AllocateFuture").field("count", &self.count).field("state", &state).finish_non_exhaustive()
    }
}
