//! The producers' end.

use std::fmt;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::gate::Gate;
use crate::push::Push;
use crate::ring::Ring;
use crate::room::Step;
use crate::sequencer::{Claim, Refusal};
use crate::sync::{Arc, current, deadline_after, has_passed, park_until};
use crate::wake::Wake;
use crate::{PushError, RoomWaiter};

/// The producers' end of a queue: clone it for every producer, or share it by reference.
///
/// Dropping the last one closes the queue; accepted values are still delivered.
///
/// In a child that `fork(2)` made, every push returns [`PushError::ForkedCopy`] with its value, and closing and
/// dropping do nothing: the queue belongs to the process that made it.
///
/// ```
/// use fz_mpsc::{QueueConfig, channel};
///
/// let (sender, mut receiver) = channel(QueueConfig::new(8))?;
/// let other = sender.clone();
/// std::thread::scope(|scope| {
///     scope.spawn(move || other.push("from a thread").unwrap());
///     scope.spawn(move || sender.push("from another").unwrap());
/// });
/// let mut values = Vec::new();
/// while receiver.wait()? {
///     receiver.drain(&mut values, usize::MAX);
/// }
/// assert_eq!(values.len(), 2);
/// # Ok::<(), fz_mpsc::QueueError>(())
/// ```
pub struct Sender<T> {
    gate: Arc<Gate>,
    ring: Arc<Ring<T>>,
}

impl<T> Sender<T> {
    pub(crate) fn new(gate: Arc<Gate>, ring: Arc<Ring<T>>) -> Self {
        Self { gate, ring }
    }

    /// Pushes without waiting and returns the value's position in the total order: 1, 2, 3, …
    ///
    /// Positions have no gap and no twin, and follow the order in which the consumer gets the
    /// values. Takes no lock unless other pushes wait for room or the consumer sleeps, and allocates nothing. If the
    /// consumer slept, the call also wakes it.
    /// May be called from async code.
    ///
    /// # Errors
    ///
    /// [`PushError::Full`] if every place is taken or promised to a push that waits already,
    /// [`PushError::Closed`] if the queue is closed, [`PushError::ForkedCopy`] in a forked child. Each holds the value.
    ///
    /// ```
    /// use fz_mpsc::{PushError, QueueConfig, channel};
    ///
    /// let (sender, _receiver) = channel(QueueConfig::new(2))?;
    /// assert_eq!(sender.try_push('a'), Ok(1));
    /// assert_eq!(sender.try_push('b'), Ok(2));
    /// assert_eq!(sender.try_push('c'), Err(PushError::Full('c')));
    /// # Ok::<(), fz_mpsc::QueueError>(())
    /// ```
    #[expect(clippy::inline_always, reason = "so that a small value goes to its cell from registers")]
    #[inline(always)]
    pub fn try_push(&self, value: T) -> Result<u64, PushError<T>> {
        match self.gate.try_claim() {
            Ok(claim) => Ok(self.fill(claim, value)),
            Err(Refusal::Closed) => Err(PushError::Closed(value)),
            Err(Refusal::ForkedCopy) => Err(PushError::ForkedCopy(value)),
            Err(Refusal::Full | Refusal::Contended) => Err(PushError::Full(value)),
        }
    }

    /// Pushes, and blocks the thread while the queue is full. Waiting pushes get room in the
    /// order in which they came. Returns the position as [`try_push`](Self::try_push) does.
    ///
    /// Not for async code, nor for the consumer's own thread, which would not drain meanwhile.
    ///
    /// # Errors
    ///
    /// [`PushError::Closed`] if the queue is closed, before the call or during the wait;
    /// [`PushError::ForkedCopy`] in a forked child.
    ///
    /// ```
    /// use fz_mpsc::{QueueConfig, channel};
    ///
    /// let (sender, mut receiver) = channel(QueueConfig::new(1))?;
    /// let producer = std::thread::spawn(move || (1..=100).map(|n| sender.push(n).unwrap()).sum::<u64>());
    /// let mut values = Vec::new();
    /// while receiver.wait()? {
    ///     receiver.drain(&mut values, usize::MAX);
    /// }
    /// assert_eq!(producer.join().unwrap(), 5050);
    /// assert!(values.into_iter().eq(1..=100));
    /// # Ok::<(), fz_mpsc::QueueError>(())
    /// ```
    #[inline]
    pub fn push(&self, value: T) -> Result<u64, PushError<T>> {
        match self.try_push(value) {
            Err(PushError::Full(value)) => self.push_until(value, None),
            decided => decided,
        }
    }

    /// Pushes, and blocks the thread for at most `timeout` while the queue is full. A timeout too
    /// long for the clock is none. Otherwise as [`push`](Self::push).
    ///
    /// # Errors
    ///
    /// [`PushError::TimedOut`] if no room came to this push in time, [`PushError::Closed`] if the
    /// queue is closed, [`PushError::ForkedCopy`] in a forked child.
    ///
    /// ```
    /// use std::time::Duration;
    /// use fz_mpsc::{PushError, QueueConfig, channel};
    ///
    /// let (sender, _receiver) = channel(QueueConfig::new(1))?;
    /// let timeout = Duration::from_millis(1);
    /// assert_eq!(sender.push_timeout("fits", timeout), Ok(1));
    /// assert_eq!(sender.push_timeout("does not", timeout), Err(PushError::TimedOut("does not")));
    /// # Ok::<(), fz_mpsc::QueueError>(())
    /// ```
    #[inline]
    pub fn push_timeout(&self, value: T, timeout: Duration) -> Result<u64, PushError<T>> {
        match self.try_push(value) {
            Err(PushError::Full(value)) => self.push_until(value, deadline_after(timeout)),
            decided => decided,
        }
    }

    /// Pushes, and lets the task wait while the queue is full. Tasks and threads stand in one
    /// line. On any executor.
    ///
    /// Cancel-safe: a future that is dropped before it is ready has pushed nothing, and its place
    /// in line or the room it was granted goes to the next. The value is dropped with it; use
    /// [`poll_push`](Self::poll_push) to keep it.
    ///
    /// # Errors
    ///
    /// [`PushError::Closed`] if the queue is closed, before the first poll or while waiting;
    /// [`PushError::ForkedCopy`] in a forked child.
    ///
    /// ```
    /// use fz_mpsc::{QueueConfig, channel};
    ///
    /// let (sender, mut receiver) = channel(QueueConfig::new(1))?;
    /// pollster::block_on(async {
    ///     assert_eq!(sender.push_async("over to you").await, Ok(1));
    ///     assert!(receiver.wait_async().await.unwrap());
    /// });
    /// # Ok::<(), fz_mpsc::QueueError>(())
    /// ```
    pub fn push_async(&self, value: T) -> Push<'_, T> {
        Push::new(self, value)
    }

    /// One poll of an asynchronous push, for `Sink`s and hand-written futures: the value and the
    /// place in line are the caller's, and nothing is borrowed between two polls.
    ///
    /// On `Ready` the value was taken (or is in the error) and `waiter` is out of the line. On
    /// `Pending` the value is still in `value`, and the waker of the latest call is woken once
    /// when it is this waiter's turn, or when the queue closes. To give up, drop the waiter. Give the same `waiter` to
    /// each poll of one push.
    ///
    /// # Errors
    ///
    /// [`PushError::Closed`] if the queue is closed, [`PushError::ForkedCopy`] in a forked child.
    ///
    /// # Panics
    ///
    /// If `value` is `None`, `waiter` waits in another queue, or the clone of the task's waker panics. The value is
    /// still in `value` then, and the waiter where it was.
    ///
    /// ```
    /// use std::future::poll_fn;
    /// use fz_mpsc::{QueueConfig, RoomWaiter, channel};
    ///
    /// let (sender, _receiver) = channel(QueueConfig::new(1))?;
    /// let (mut value, mut waiter) = (Some("value"), RoomWaiter::default());
    /// let pushed = pollster::block_on(poll_fn(|cx| sender.poll_push(&mut value, &mut waiter, cx)));
    /// assert_eq!(pushed, Ok(1));
    /// assert_eq!(value, None);
    /// # Ok::<(), fz_mpsc::QueueError>(())
    /// ```
    pub fn poll_push(
        &self,
        value: &mut Option<T>,
        waiter: &mut RoomWaiter,
        cx: &mut Context<'_>,
    ) -> Poll<Result<u64, PushError<T>>> {
        let Some(own) = value.take() else { panic!("poll_push was called without a value to push") };
        if !self.gate.is_ours() {
            waiter.leave();
            return Poll::Ready(Err(PushError::ForkedCopy(own)));
        }
        if waiter.is_waiting() {
            *value = Some(own);
        } else {
            match self.try_push(own) {
                Err(PushError::Full(own)) => *value = Some(own),
                decided => return Poll::Ready(decided),
            }
        }
        // The value is the caller's again: cloning a waker may panic, and so does `step` if the
        // waiter stands in another line.
        let wake = (!waiter.is_registered(cx.waker())).then(|| Wake::task(cx.waker()));
        let (step, wakes) = waiter.step(&self.gate, wake);
        match (step, value.take()) {
            (Step::Claimed(claim), Some(own)) => {
                let position = self.fill(claim, own);
                wakes.wake_all();
                Poll::Ready(Ok(position))
            }
            (Step::Closed, Some(own)) => Poll::Ready(Err(PushError::Closed(own))),
            (_, own) => {
                *value = own;
                Poll::Pending
            }
        }
    }

    /// Closes the queue for good: it refuses every later push, waiting pushes return their values in
    /// the error, and the consumer gets the accepted values and then the end. True for the one
    /// call that closed. Does not block; may be called from async code.
    ///
    /// Atomic with the pushes: each is either before the close and delivered, or returns its value.
    ///
    /// ```
    /// use fz_mpsc::{PushError, QueueConfig, channel};
    ///
    /// let (sender, mut receiver) = channel(QueueConfig::new(4))?;
    /// sender.try_push("accepted").unwrap();
    /// assert!(sender.close());
    /// assert!(!sender.close());
    /// assert_eq!(sender.try_push("late"), Err(PushError::Closed("late")));
    /// assert_eq!(receiver.drain(&mut Vec::new(), usize::MAX), 1);
    /// # Ok::<(), fz_mpsc::QueueError>(())
    /// ```
    pub fn close(&self) -> bool {
        self.gate.close()
    }

    /// Whether no push will be accepted any more.
    ///
    /// ```
    /// # use fz_mpsc::{QueueConfig, channel};
    /// let (sender, receiver) = channel::<u8>(QueueConfig::new(4))?;
    /// assert!(!sender.is_closed());
    /// drop(receiver);
    /// assert!(sender.is_closed());
    /// # Ok::<(), fz_mpsc::QueueError>(())
    /// ```
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.gate.sequencer.is_closed()
    }

    /// How many values the queue holds at most: the capacity of its config.
    ///
    /// ```
    /// # use fz_mpsc::{QueueConfig, channel};
    /// let (sender, _receiver) = channel::<u8>(QueueConfig::new(5))?;
    /// assert_eq!(sender.capacity(), 5);
    /// # Ok::<(), fz_mpsc::QueueError>(())
    /// ```
    #[must_use]
    pub fn capacity(&self) -> usize {
        to_usize(self.gate.sequencer.capacity())
    }

    /// How many values are accepted and not yet drained, at some moment during the call.
    ///
    /// ```
    /// # use fz_mpsc::{QueueConfig, channel};
    /// let (sender, _receiver) = channel(QueueConfig::new(5))?;
    /// sender.try_push('x').unwrap();
    /// assert_eq!(sender.len(), 1);
    /// # Ok::<(), fz_mpsc::QueueError>(())
    /// ```
    #[must_use]
    pub fn len(&self) -> usize {
        to_usize(self.gate.sequencer.len())
    }

    /// Whether nothing is accepted and not yet drained.
    ///
    /// ```
    /// # use fz_mpsc::{QueueConfig, channel};
    /// let (sender, _receiver) = channel::<u8>(QueueConfig::new(5))?;
    /// assert!(sender.is_empty());
    /// # Ok::<(), fz_mpsc::QueueError>(())
    /// ```
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The highest position that was ever accepted, 0 before the first.
    ///
    /// ```
    /// # use fz_mpsc::{QueueConfig, channel};
    /// let (sender, _receiver) = channel(QueueConfig::new(5))?;
    /// assert_eq!(sender.last_position(), 0);
    /// sender.try_push('x').unwrap();
    /// assert_eq!(sender.last_position(), 1);
    /// # Ok::<(), fz_mpsc::QueueError>(())
    /// ```
    #[must_use]
    pub fn last_position(&self) -> u64 {
        self.gate.sequencer.last_position()
    }

    #[expect(clippy::inline_always, reason = "as `try_push`")]
    #[inline(always)]
    fn fill(&self, claim: Claim, value: T) -> u64 {
        let consumer_was_asleep = claim.consumer_was_asleep;
        let position = self.ring.fill(claim, value);
        if consumer_was_asleep {
            self.gate.wake_consumer();
        }
        position
    }

    /// Stands in line until it is this push's turn, the deadline passes, or the queue closes.
    #[cold]
    #[inline(never)]
    fn push_until(&self, value: T, deadline: Option<Instant>) -> Result<u64, PushError<T>> {
        let mut waiter = RoomWaiter::default();
        let mut wake = Some(Wake::Thread(current()));
        loop {
            // Asked before the look: room granted by the deadline is still taken.
            let overdue = has_passed(deadline);
            let (step, wakes) = waiter.step(&self.gate, wake.take());
            match step {
                Step::Claimed(claim) => {
                    let position = self.fill(claim, value);
                    wakes.wake_all();
                    return Ok(position);
                }
                Step::Closed => return Err(PushError::Closed(value)),
                Step::Waiting(_) if overdue => return Err(PushError::TimedOut(value)),
                Step::Waiting(_) => {
                    wakes.wake_all();
                    park_until(deadline);
                }
            }
        }
    }
}

/// For numbers of values: none is above the capacity, which was a `usize`.
pub(crate) fn to_usize(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.gate.add_sender();
        Self { gate: Arc::clone(&self.gate), ring: Arc::clone(&self.ring) }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        if self.gate.is_ours() {
            self.gate.remove_sender();
        } else {
            // A forked copy frees nothing.
            std::mem::forget((Arc::clone(&self.gate), Arc::clone(&self.ring)));
        }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender")
            .field("capacity", &self.capacity())
            .field("len", &self.len())
            .field("last_position", &self.last_position())
            .field("is_closed", &self.is_closed())
            .finish()
    }
}
