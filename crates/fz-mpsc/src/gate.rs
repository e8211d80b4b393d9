//! The state of a queue without its values: the claim word, the waiting pushers, the sleeping consumer.
//!
//! ```text
//!  Sender ──┬── Arc<Gate> ──────────┬── Receiver     Gate = Sequencer      the claim word, the head
//!  Sender ──┤   (not generic)       │                       Room           the line of pushers
//!  RoomWaiter ──┘                   │                       ConsumerWaker  the sleeping consumer
//!  Sender ──┴── Arc<Ring<T>> ── Outlet<T>                   senders        how many are left
//! ```
//!
//! The gate is apart from the ring so that a [`RoomWaiter`](crate::RoomWaiter), which knows no
//! `T`, can hold it and leave the line when it is dropped.

use fz_process::Process;

use crate::room::Room;
use crate::sequencer::{Claim, Refusal, Sequencer};
use crate::sync::{AtomicUsize, Ordering};
use crate::wake::ConsumerWaker;
use crate::{QueueError, QueueErrorKind};

pub(crate) struct Gate {
    pub(crate) sequencer: Sequencer,
    pub(crate) room: Room,
    pub(crate) consumer: ConsumerWaker,
    senders: AtomicUsize,
    process: Process,
    module_id: u8,
}

impl Gate {
    /// A gate with one sender.
    pub(crate) fn new(capacity: u64, module_id: u8, consumer: ConsumerWaker) -> Self {
        Self {
            sequencer: Sequencer::new(capacity),
            room: Room::new(),
            consumer,
            senders: AtomicUsize::new(1),
            process: Process::current(),
            module_id,
        }
    }

    /// Whether this process made the queue. If not, this is a copy that `fork(2)` made: a lock may be held by a thread
    /// that does not exist here, a claimed position is never filled, and values and wakers have a twin in the parent.
    /// So a copy takes no lock, wakes nothing, hands out no value, and frees nothing.
    #[inline]
    pub(crate) fn is_ours(&self) -> bool {
        self.process.is_current() || fz_error::mutants::active("a_forked_queue_acts")
    }

    pub(crate) fn error(&self, operation: &'static str, kind: QueueErrorKind) -> QueueError {
        QueueError::new(self.module_id, operation, kind)
    }

    /// A claim without waiting. `Full` is exact: every place is taken or promised to a waiter.
    #[inline]
    pub(crate) fn try_claim(&self) -> Result<Claim, Refusal> {
        if !self.is_ours() {
            return Err(Refusal::ForkedCopy);
        }
        match self.sequencer.try_claim() {
            Err(Refusal::Contended) => self.room.claim_spare(&self.sequencer),
            decided => decided,
        }
    }

    /// Wakes the consumer. For the caller that cleared `ASLEEP`, after its fill.
    #[cold]
    pub(crate) fn wake_consumer(&self) {
        self.consumer.wake();
    }

    /// Releases cells to the pushers, those that wait for them first.
    pub(crate) fn release(&self, next: u64) {
        if self.sequencer.publish_head(next) {
            self.room.grant(&self.sequencer).wake_all();
        }
    }

    /// Closes for good; true for the one call that did.
    pub(crate) fn close(&self) -> bool {
        if !self.is_ours() {
            return false;
        }
        let closing = self.sequencer.close();
        if closing.was_open {
            let wakes = self.room.close(&self.sequencer);
            if closing.consumer_was_asleep {
                self.consumer.wake();
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
