//! A pusher's place in the line for room.

use std::fmt;
use std::task::Waker;

use crate::gate::Gate;
use crate::room::{Step, WaiterId};
use crate::sync::Arc;
use crate::wake::{Wake, Wakes};

/// A task's place in the line for room, between two calls of
/// [`Sender::poll_push`](crate::Sender::poll_push).
///
/// It borrows nothing and knows nothing of the values, so a `Sink` or a hand-written future can
/// keep it in a field. Dropping it leaves the line and passes on the room it was granted, if any;
/// forgetting it, or keeping it without polling, holds up the pushes behind it.
///
/// ```
/// use std::task::{Context, Poll, Waker};
/// use fz_mpsc::{QueueConfig, RoomWaiter, channel};
///
/// let (sender, mut receiver) = channel(QueueConfig::new(1))?;
/// sender.try_push("first").unwrap();
///
/// let mut context = Context::from_waker(Waker::noop());
/// let (mut value, mut waiter) = (Some("second"), RoomWaiter::default());
/// assert!(sender.poll_push(&mut value, &mut waiter, &mut context).is_pending());
/// assert!(waiter.is_waiting());
///
/// receiver.drain(&mut Vec::new(), 1); // wakes the task, which polls again
/// assert_eq!(sender.poll_push(&mut value, &mut waiter, &mut context), Poll::Ready(Ok(2)));
/// assert!(!waiter.is_waiting());
/// # Ok::<(), fz_mpsc::QueueError>(())
/// ```
#[derive(Default)]
pub struct RoomWaiter {
    place: Option<(Arc<Gate>, WaiterId)>,
}

impl RoomWaiter {
    /// Whether it stands in line.
    ///
    /// ```
    /// assert!(!fz_mpsc::RoomWaiter::default().is_waiting());
    /// ```
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.place.is_some()
    }

    /// Joins the line, or looks whether it moved. The caller makes the returned wake-ups after it has filled the claim.
    ///
    /// # Panics
    ///
    /// If it stands in the line of another queue.
    pub(crate) fn step(&mut self, gate: &Arc<Gate>, wake: Option<Wake>) -> (Step, Wakes) {
        let (step, wakes) = if let Some((own, id)) = &self.place {
            assert!(
                Arc::ptr_eq(own, gate),
                "a RoomWaiter stands in one line at a time; drop it, and take another for this queue"
            );
            gate.room.resume(&gate.sequencer, *id, wake)
        } else if let Some(wake) = wake {
            gate.room.enter(&gate.sequencer, wake)
        } else {
            unreachable!("a waiter joins the line with a way to be woken")
        };
        match &step {
            Step::Waiting(id) if self.place.is_none() => self.place = Some((Arc::clone(gate), *id)),
            Step::Waiting(_) => {}
            // Not `leave`: the place is gone, and nothing but the fill may follow a claim.
            Step::Claimed(_) | Step::Closed => self.place = None,
        }
        (step, wakes)
    }

    /// Whether it stands in line and the waker of its task is known there, or it was granted room.
    pub(crate) fn is_registered(&self, waker: &Waker) -> bool {
        self.place.as_ref().is_some_and(|(gate, id)| gate.room.is_registered(*id, waker))
    }

    /// Leaves the line, if it stands in one.
    pub(crate) fn leave(&mut self) {
        match self.place.take() {
            Some((gate, id)) if gate.is_ours() => gate.room.leave(&gate.sequencer, id).wake_all(),
            // A forked copy frees nothing.
            Some((gate, _)) => std::mem::forget(gate),
            None => {}
        }
    }
}

impl Drop for RoomWaiter {
    fn drop(&mut self) {
        self.leave();
    }
}

impl fmt::Debug for RoomWaiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RoomWaiter").field("is_waiting", &self.is_waiting()).finish()
    }
}
