//! The consumer's end.

use std::fmt;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use fz_process::foreign;

use crate::gate::Gate;
use crate::ring::Outlet;
use crate::sender::to_usize;
use crate::sync::{Arc, Pause, current, deadline_after, has_passed, park_until};
use crate::wait::Wait;
use crate::wake::Wake;
use crate::{QueueErrorKind, Result};

/// The consumer's end of a queue; there is one, and it takes the values in order of position.
///
/// Dropping it closes the queue and drops the values in it, without waiting: a value whose push is still under way is
/// dropped with the last sender. A panic in a value's drop ends there, and the other values are dropped all the same.
///
/// In a child that `fork(2)` made, its waits return an error, its drains take nothing, and its drop does nothing: the
/// values belong to the process that made the queue.
///
/// ```
/// use fz_mpsc::{QueueConfig, channel};
///
/// let (sender, mut receiver) = channel(QueueConfig::new(8))?;
/// sender.try_push("a").unwrap();
/// sender.try_push("b").unwrap();
/// let mut batch = Vec::new();
/// assert_eq!(receiver.drain(&mut batch, usize::MAX), 2);
/// assert_eq!(batch, ["a", "b"]);
/// assert_eq!(receiver.next_position(), 3);
/// # Ok::<(), fz_mpsc::QueueError>(())
/// ```
pub struct Receiver<T> {
    gate: Arc<Gate>,
    outlet: Outlet<T>,
    /// Between the polls of a task that waits for a stopped producer. Nothing wakes the task when the producer goes on,
    /// see `Ring::wait_filled`; and a queue, which has no thread and knows no executor, has no timer.
    pause: Pause,
}

/// The state of the next position.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    /// The next value is there.
    Ready,
    /// The next position is claimed, its value a few instructions away.
    Claimed,
    /// Nothing is claimed.
    Empty,
    /// Nothing is claimed and nothing will be.
    Finished,
}

/// How many polls of a task that waits for a producer stopped in the middle of a push only let other tasks run.
const FREE_POLLS: u32 = 8;

impl<T> Receiver<T> {
    pub(crate) fn new(gate: Arc<Gate>, outlet: Outlet<T>) -> Self {
        Self { gate, outlet, pause: Pause::after(FREE_POLLS) }
    }

    /// Moves up to `max` values to the end of `into`, in order, and frees their room at once.
    /// Returns how many. Stops at the first position whose push is still under way. Never waits;
    /// may be called from async code.
    ///
    /// The first value's position is [`next_position`](Self::next_position) as of before the call,
    /// and each later value's is one higher.
    ///
    /// ```
    /// use fz_mpsc::{QueueConfig, channel};
    ///
    /// let (sender, mut receiver) = channel(QueueConfig::new(8))?;
    /// for value in 10..15 {
    ///     sender.try_push(value).unwrap();
    /// }
    /// let mut batch = Vec::new();
    /// assert_eq!(receiver.drain(&mut batch, 3), 3);
    /// assert_eq!(receiver.drain(&mut batch, 3), 2);
    /// assert_eq!(batch, [10, 11, 12, 13, 14]);
    /// # Ok::<(), fz_mpsc::QueueError>(())
    /// ```
    pub fn drain(&mut self, into: &mut Vec<T>, max: usize) -> usize {
        let Some(ahead) = max.checked_sub(1) else { return 0 };
        let last = self.next_position().saturating_add(u64::try_from(ahead).unwrap_or(u64::MAX));
        self.drain_through(last, into)
    }

    /// Moves the values up to `position` to the end of `into`, in order, and frees their room at once. Returns how
    /// many. Never waits; may be called from async code.
    ///
    /// Stops at the first position whose push is still under way: its value and those after it are left for the next
    /// call. So a producer that loses its processor in the middle of a push holds up its own position and later ones,
    /// but no older value. If the count is 0 and the next position is accepted already,
    /// [`wait_ready`](Self::wait_ready) waits for that one.
    ///
    /// ```
    /// use fz_mpsc::{QueueConfig, channel};
    ///
    /// let (sender, mut receiver) = channel(QueueConfig::new(8))?;
    /// sender.try_push("a").unwrap();
    /// let seen = sender.try_push("b").unwrap();
    /// sender.try_push("c").unwrap();
    /// let mut batch = Vec::new();
    /// assert_eq!(receiver.drain_through(seen, &mut batch), 2);
    /// assert_eq!(batch, ["a", "b"]);
    /// # Ok::<(), fz_mpsc::QueueError>(())
    /// ```
    pub fn drain_through(&mut self, position: u64, into: &mut Vec<T>) -> usize {
        self.drain_until(position, into, |_| false)
    }

    /// As [`drain_through`](Self::drain_through), but stops behind the first value of which
    /// `is_last` says true: for a batch with a limit on the sum of its values' sizes, not on
    /// their number. Later values stay in the queue and keep their room.
    ///
    /// Calls `is_last` once for each value, in order, when the value is in `into` already.
    ///
    /// # Panics
    ///
    /// If `is_last` does. The values moved by then are in `into`, and their room is free.
    ///
    /// ```
    /// use fz_mpsc::{QueueConfig, channel};
    ///
    /// let (sender, mut receiver) = channel(QueueConfig::new(8))?;
    /// for record in ["one", "two", "three", "four"] {
    ///     sender.try_push(record).unwrap();
    /// }
    /// let (mut batch, mut bytes) = (Vec::new(), 0);
    /// let drained = receiver.drain_until(u64::MAX, &mut batch, |record| {
    ///     bytes += record.len();
    ///     bytes >= 10
    /// });
    /// assert_eq!(drained, 3);
    /// assert_eq!(batch, ["one", "two", "three"]);
    /// assert_eq!(receiver.len(), 1);
    /// # Ok::<(), fz_mpsc::QueueError>(())
    /// ```
    pub fn drain_until(&mut self, position: u64, into: &mut Vec<T>, is_last: impl FnMut(&T) -> bool) -> usize {
        if self.gate.is_ours() { self.outlet.drain(into, position, is_last) } else { 0 }
    }

    /// The value `ahead` places behind the next one to be drained, left where it is; `None` if it is not
    /// there yet. Never waits; may be called from async code.
    ///
    /// A push before it may still be under way, so a later value can be there when an earlier one is not.
    ///
    /// ```
    /// use fz_mpsc::{QueueConfig, channel};
    ///
    /// let (sender, mut receiver) = channel(QueueConfig::new(8))?;
    /// sender.try_push("a").unwrap();
    /// sender.try_push("b").unwrap();
    /// assert_eq!(receiver.peek(0), Some(&"a"));
    /// assert_eq!(receiver.peek(1), Some(&"b"));
    /// assert_eq!(receiver.peek(2), None);
    /// assert_eq!(receiver.len(), 2);
    /// # Ok::<(), fz_mpsc::QueueError>(())
    /// ```
    pub fn peek(&mut self, ahead: usize) -> Option<&T> {
        if self.gate.is_ours() { self.outlet.peek(ahead) } else { None }
    }

    /// The position of the value that will be drained next; 1 at first.
    ///
    /// ```
    /// # use fz_mpsc::{QueueConfig, channel};
    /// let (sender, mut receiver) = channel(QueueConfig::new(8))?;
    /// assert_eq!(receiver.next_position(), 1);
    /// sender.try_push('x').unwrap();
    /// receiver.drain(&mut Vec::new(), 1);
    /// assert_eq!(receiver.next_position(), 2);
    /// # Ok::<(), fz_mpsc::QueueError>(())
    /// ```
    #[must_use]
    pub fn next_position(&self) -> u64 {
        self.outlet.next()
    }

    /// The highest position that was ever accepted, 0 before the first.
    ///
    /// ```
    /// # use fz_mpsc::{QueueConfig, channel};
    /// let (sender, receiver) = channel(QueueConfig::new(8))?;
    /// sender.try_push('x').unwrap();
    /// assert_eq!(receiver.last_position(), 1);
    /// # Ok::<(), fz_mpsc::QueueError>(())
    /// ```
    #[must_use]
    pub fn last_position(&self) -> u64 {
        self.gate.sequencer.last_position()
    }

    /// Closes the queue for good, as [`Sender::close`](crate::Sender::close) does; accepted values
    /// can still be drained. True for the one call that closed.
    ///
    /// ```
    /// # use fz_mpsc::{QueueConfig, channel};
    /// let (sender, mut receiver) = channel(QueueConfig::new(8))?;
    /// sender.try_push('x').unwrap();
    /// assert!(receiver.close());
    /// assert!(sender.try_push('y').is_err());
    /// assert_eq!(receiver.drain(&mut Vec::new(), 8), 1);
    /// # Ok::<(), fz_mpsc::QueueError>(())
    /// ```
    pub fn close(&self) -> bool {
        self.gate.close()
    }

    /// Whether no push will be accepted any more. Values may be left to drain.
    ///
    /// ```
    /// # use fz_mpsc::{QueueConfig, channel};
    /// let (sender, receiver) = channel::<u8>(QueueConfig::new(8))?;
    /// drop(sender);
    /// assert!(receiver.is_closed());
    /// # Ok::<(), fz_mpsc::QueueError>(())
    /// ```
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.gate.sequencer.is_closed()
    }

    /// Whether the queue is closed and every accepted value was drained: the end.
    ///
    /// ```
    /// # use fz_mpsc::{QueueConfig, channel};
    /// let (sender, mut receiver) = channel(QueueConfig::new(8))?;
    /// sender.try_push('x').unwrap();
    /// sender.close();
    /// assert!(!receiver.is_finished());
    /// receiver.drain(&mut Vec::new(), 8);
    /// assert!(receiver.is_finished());
    /// # Ok::<(), fz_mpsc::QueueError>(())
    /// ```
    #[must_use]
    pub fn is_finished(&self) -> bool {
        let (last, closed) = self.gate.sequencer.last_position_and_closed();
        closed && last < self.outlet.next()
    }

    /// How many values are accepted and not yet drained, at some moment during the call.
    ///
    /// ```
    /// # use fz_mpsc::{QueueConfig, channel};
    /// let (sender, receiver) = channel(QueueConfig::new(8))?;
    /// sender.try_push('x').unwrap();
    /// assert_eq!(receiver.len(), 1);
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
    /// let (_sender, receiver) = channel::<u8>(QueueConfig::new(8))?;
    /// assert!(receiver.is_empty());
    /// # Ok::<(), fz_mpsc::QueueError>(())
    /// ```
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Blocks the thread until there is something to drain (true) or the queue is closed and
    /// drained (false). After true, [`drain`](Self::drain) gives at least one value. Not for async
    /// code.
    ///
    /// # Errors
    ///
    /// [`QueueErrorKind::ForkedCopy`] in a child that `fork(2)` made.
    ///
    /// ```
    /// use fz_mpsc::{QueueConfig, channel};
    ///
    /// let (sender, mut receiver) = channel(QueueConfig::new(8))?;
    /// let producer = std::thread::spawn(move || sender.push("value").unwrap());
    /// assert!(receiver.wait()?);
    /// receiver.drain(&mut Vec::new(), 1);
    /// producer.join().unwrap();
    /// assert!(!receiver.wait()?, "the last sender is gone");
    /// # Ok::<(), fz_mpsc::QueueError>(())
    /// ```
    pub fn wait(&mut self) -> Result<bool> {
        self.wait_until("wait", None)
    }

    /// Blocks the thread until there is something to drain (true), or for at most `timeout`, or
    /// until the queue is closed and drained (false for both; ask
    /// [`is_finished`](Self::is_finished) which). A timeout too long for the clock is none. Not
    /// for async code.
    ///
    /// # Errors
    ///
    /// [`QueueErrorKind::ForkedCopy`] in a child that `fork(2)` made.
    ///
    /// ```
    /// use std::time::Duration;
    /// use fz_mpsc::{QueueConfig, channel};
    ///
    /// let (sender, mut receiver) = channel(QueueConfig::new(8))?;
    /// assert!(!receiver.wait_timeout(Duration::from_millis(1))?);
    /// assert!(!receiver.is_finished());
    /// sender.try_push('x').unwrap();
    /// assert!(receiver.wait_timeout(Duration::from_millis(1))?);
    /// # Ok::<(), fz_mpsc::QueueError>(())
    /// ```
    pub fn wait_timeout(&mut self, timeout: Duration) -> Result<bool> {
        self.wait_until("wait_timeout", deadline_after(timeout))
    }

    /// Blocks the thread until the next value can be drained, if its position is accepted already: true. False at once
    /// if none is accepted. Not for async code.
    ///
    /// A position is accepted a few instructions before its value can be drained, so this spins for a few microseconds
    /// at most. If the producer lost its processor between the two, the call sleeps, for 50 µs at first and for 1 ms at
    /// most, until the producer went on. It sleeps instead of being woken so that no producer has to look for a waiting
    /// consumer.
    ///
    /// # Errors
    ///
    /// [`QueueErrorKind::ForkedCopy`] in a child that `fork(2)` made.
    ///
    /// ```
    /// use fz_mpsc::{QueueConfig, channel};
    ///
    /// let (sender, mut receiver) = channel(QueueConfig::new(8))?;
    /// assert!(!receiver.wait_ready()?, "no push has begun");
    /// let mut batch = Vec::new();
    /// sender.try_push('x').unwrap();
    /// let last = receiver.last_position();
    /// while receiver.next_position() <= last {
    ///     if receiver.drain_through(last, &mut batch) == 0 {
    ///         receiver.wait_ready()?;
    ///     }
    /// }
    /// assert_eq!(batch, ['x']);
    /// # Ok::<(), fz_mpsc::QueueError>(())
    /// ```
    pub fn wait_ready(&mut self) -> Result<bool> {
        self.wait_ready_until("wait_ready", None)
    }

    /// As [`wait_ready`](Self::wait_ready), for at most `timeout`: false also if the value was not there by then.
    /// A timeout too long for the clock is none. Not for async code.
    ///
    /// # Errors
    ///
    /// [`QueueErrorKind::ForkedCopy`] in a child that `fork(2)` made.
    ///
    /// ```
    /// use std::time::Duration;
    /// use fz_mpsc::{QueueConfig, channel};
    ///
    /// let (sender, mut receiver) = channel(QueueConfig::new(8))?;
    /// sender.try_push('x').unwrap();
    /// assert!(receiver.wait_ready_timeout(Duration::from_millis(1))?);
    /// # Ok::<(), fz_mpsc::QueueError>(())
    /// ```
    pub fn wait_ready_timeout(&mut self, timeout: Duration) -> Result<bool> {
        self.wait_ready_until("wait_ready_timeout", deadline_after(timeout))
    }

    fn wait_ready_until(&self, operation: &'static str, deadline: Option<Instant>) -> Result<bool> {
        Ok(match self.look(operation)? {
            Look::Ready => true,
            Look::Claimed => self.outlet.wait_ready(deadline),
            Look::Empty | Look::Finished => false,
        })
    }

    /// Lets the task wait until there is something to drain (true) or the queue is closed and drained (false). On any
    /// executor. Cancel-safe: dropping the future takes nothing. A panic in the clone of the task's waker unwinds that
    /// task's poll, and changes nothing.
    ///
    /// If the producer of the next value lost its processor in the middle of its push, the task wakes itself, so that
    /// other tasks run meanwhile. From the ninth time on each poll first sleeps, in the executor's thread, for 50 µs at
    /// first and for 1 ms at most: so the wait uses next to no processor time, also beside a producer of lower
    /// priority.
    ///
    /// # Errors
    ///
    /// [`QueueErrorKind::ForkedCopy`] in a child that `fork(2)` made.
    ///
    /// ```
    /// use fz_mpsc::{QueueConfig, channel};
    ///
    /// let (sender, mut receiver) = channel(QueueConfig::new(8))?;
    /// let producer = std::thread::spawn(move || sender.push("value").unwrap());
    /// pollster::block_on(async {
    ///     let mut values = Vec::new();
    ///     while receiver.wait_async().await? {
    ///         receiver.drain(&mut values, usize::MAX);
    ///     }
    ///     assert_eq!(values, ["value"]);
    ///     Ok::<(), fz_mpsc::QueueError>(())
    /// })?;
    /// # producer.join().unwrap();
    /// # Ok::<(), fz_mpsc::QueueError>(())
    /// ```
    pub fn wait_async(&mut self) -> Wait<'_, T> {
        Wait::new(self)
    }

    /// Asks to be called: true if nothing is left to drain and the queue is open. From then on,
    /// the first push or the close calls the function given to
    /// [`channel_with_wake`](crate::channel_with_wake), once. False if there is
    /// something to do at once.
    ///
    /// Check and announcement are one step; a push cannot fall in between. For consumers that
    /// sleep in a way of their own; the `wait` methods do all of this themselves.
    ///
    /// # Errors
    ///
    /// [`QueueErrorKind::ForkedCopy`] in a child that `fork(2)` made.
    ///
    /// ```
    /// use std::sync::mpsc;
    /// use fz_mpsc::{QueueConfig, channel_with_wake};
    ///
    /// let (wake, woken) = mpsc::channel();
    /// let (sender, mut receiver) = channel_with_wake(QueueConfig::new(8), move || wake.send(()).unwrap())?;
    /// assert!(receiver.announce_sleep()?);
    /// sender.try_push('a').unwrap();
    /// sender.try_push('b').unwrap();
    /// woken.recv().unwrap();
    /// assert!(woken.try_recv().is_err(), "once, not twice");
    /// assert!(!receiver.announce_sleep()?, "there is something to drain");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use = "false means that no call will come"]
    pub fn announce_sleep(&mut self) -> Result<bool> {
        self.check_process("announce_sleep")?;
        Ok(self.gate.sequencer.announce_sleep(self.outlet.next()))
    }

    /// Takes an announcement back. True if it still stood: no call was made and none will be.
    /// False if there was none, or a push or the close was faster: then its call was made or is about to be. False also
    /// in a forked copy.
    ///
    /// ```
    /// use fz_mpsc::{QueueConfig, channel_with_wake};
    ///
    /// let (sender, mut receiver) = channel_with_wake(QueueConfig::new(8), || ())?;
    /// assert!(receiver.announce_sleep()?);
    /// assert!(receiver.cancel_sleep());
    /// assert!(receiver.announce_sleep()?);
    /// sender.try_push('x').unwrap();
    /// assert!(!receiver.cancel_sleep());
    /// # Ok::<(), fz_mpsc::QueueError>(())
    /// ```
    pub fn cancel_sleep(&mut self) -> bool {
        self.gate.is_ours() && self.gate.sequencer.cancel_sleep()
    }

    fn check_process(&self, operation: &'static str) -> Result<()> {
        if self.gate.is_ours() { Ok(()) } else { Err(self.gate.error(operation, QueueErrorKind::ForkedCopy)) }
    }

    fn look(&self, operation: &'static str) -> Result<Look> {
        self.check_process(operation)?;
        if self.outlet.is_ready() {
            return Ok(Look::Ready);
        }
        let (last, closed) = self.gate.sequencer.last_position_and_closed();
        Ok(if last >= self.outlet.next() {
            Look::Claimed
        } else if closed {
            Look::Finished
        } else {
            Look::Empty
        })
    }

    fn wait_until(&mut self, operation: &'static str, deadline: Option<Instant>) -> Result<bool> {
        loop {
            // Asked before the look: a value that came by the deadline is still seen.
            let overdue = has_passed(deadline);
            match self.look(operation)? {
                Look::Ready => return Ok(true),
                Look::Claimed => return Ok(self.outlet.wait_ready(deadline)),
                Look::Finished => return Ok(false),
                Look::Empty if overdue => {
                    self.stop_waiting();
                    return Ok(false);
                }
                Look::Empty => {
                    self.gate.consumer.register(Wake::Thread(current()));
                    if self.announce_sleep()? {
                        park_until(deadline);
                    } else {
                        self.gate.consumer.clear();
                    }
                }
            }
        }
    }

    pub(crate) fn poll_wait(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool>> {
        loop {
            match self.look("wait_async")? {
                Look::Ready => {
                    self.pause = Pause::after(FREE_POLLS);
                    return Poll::Ready(Ok(true));
                }
                Look::Claimed => {
                    self.pause.sleep(None);
                    if self.outlet.is_ready() {
                        continue;
                    }
                    let _ = foreign::call(|| cx.waker().wake_by_ref());
                    return Poll::Pending;
                }
                Look::Finished => return Poll::Ready(Ok(false)),
                Look::Empty => {
                    self.gate.consumer.register_task(cx.waker());
                    if self.announce_sleep()? {
                        return Poll::Pending;
                    }
                    self.gate.consumer.clear();
                }
            }
        }
    }

    /// Takes back the announcement and the registration of a wait that ends early.
    pub(crate) fn stop_waiting(&mut self) {
        if self.gate.is_ours() {
            self.cancel_sleep();
            self.gate.consumer.clear();
        }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        if self.gate.is_ours() {
            self.gate.close();
            self.outlet.discard();
        } else {
            self.outlet.abandon();
        }
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver")
            .field("next_position", &self.next_position())
            .field("len", &self.len())
            .field("is_closed", &self.is_closed())
            .finish()
    }
}
