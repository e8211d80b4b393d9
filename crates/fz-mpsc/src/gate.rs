//! All that a queue is but for its values: who may enter, who waits, who is woken.
//!
//! ```text
//!  Sender ──┬── Arc<Gate> ──────────┬── Receiver         Gate = Sequencer  the claim word, the head
//!  Sender ──┤   (not generic)       │                           Room       the line of pushers
//!  RoomWaiter ──┘                   │                           Alarm      the sleeping consumer
//!  Sender ──┴── Arc<Ring<T>> ── Outlet<T>                       senders    how many are left
//! ```
//!
//! The gate is apart from the ring so that a [`RoomWaiter`](crate::RoomWaiter), which knows no
//! `T`, can hold it and leave the line when it is dropped.

use crate::room::Room;
use crate::sequencer::{Claim, Refusal, Sequencer};
use crate::sync::{AtomicUsize, Ordering};
use crate::wake::Alarm;

pub(crate) struct Gate {
    pub(crate) sequencer: Sequencer,
    pub(crate) room: Room,
    pub(crate) alarm: Alarm,
    senders: AtomicUsize,
}

impl Gate {
    /// A gate with one sender.
    pub(crate) fn new(capacity: u64, alarm: Alarm) -> Self {
        Self { sequencer: Sequencer::new(capacity), room: Room::new(), alarm, senders: AtomicUsize::new(1) }
    }

    /// A claim without waiting. `Full` is exact: every place is taken or promised to a waiter.
    #[inline]
    pub(crate) fn try_claim(&self) -> Result<Claim, Refusal> {
        match self.sequencer.try_claim() {
            Err(Refusal::Contended) => self.room.claim_spare(&self.sequencer),
            decided => decided,
        }
    }

    /// Tells the consumer that there is something. For whoever cleared `ASLEEP`, after filling.
    #[cold]
    pub(crate) fn wake_consumer(&self) {
        self.alarm.ring();
    }

    /// Gives cells back to the pushers, those that wait for them first.
    pub(crate) fn release(&self, next: u64) {
        if self.sequencer.publish_head(next) {
            self.room.grant(&self.sequencer).wake_all();
        }
    }

    /// Closes for good; true for the one call that did.
    pub(crate) fn close(&self) -> bool {
        let closing = self.sequencer.close();
        if closing.was_open {
            // Held over the alarm, which is the owner's: should it panic, the pushers are woken all the same.
            let wakes = self.room.close(&self.sequencer);
            if closing.consumer_was_asleep {
                self.alarm.ring();
            }
            wakes.wake_all();
        }
        closing.was_open
    }

    pub(crate) fn add_sender(&self) {
        // Relaxed: the new sender comes from a living one, so the count cannot be at zero.
        self.senders.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn remove_sender(&self) {
        // AcqRel: pairs with itself in the other senders: all their claims come before the close.
        if self.senders.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.close();
        }
    }
}
