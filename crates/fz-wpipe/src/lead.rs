//! Who runs the next round: the lead, and who asked for one while it was taken.
//!
//! A round (write, sync, publish) has one *leader*: a thread that blocks on a ticket, or the
//! flusher thread. Whoever wants a round and finds the lead taken leaves a mark; whoever gives the
//! lead back reads the marks and sees to it that somebody leads the next round. Mark and release
//! are read-modify-writes of one word, so no wish falls between them.

use crate::sync::{AtomicU32, Ordering};

const FREE: u32 = 0;
const HELD: u32 = 1 << 0;
/// A blocked thread sleeps and waits for a round that has not begun.
const THREAD_WAITS: u32 = 1 << 1;
/// A task waits for a round that has not begun, and only the flusher thread can lead for it.
const TASK_WAITS: u32 = 1 << 2;
/// The flusher thread came to lead for writes that nobody awaits; it sleeps without a deadline.
const FLUSHER_WAITS: u32 = 1 << 3;

/// Who asks for a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asker {
    /// A thread that sleeps and can lead when woken.
    Thread,
    /// Anybody for whom the flusher thread must lead.
    Task,
    /// The flusher thread, when the deadline of unawaited writes came.
    Flusher,
}

/// What was asked for while the lead was held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wishes(u32);

impl Wishes {
    pub(crate) fn of_threads(self) -> bool {
        self.0 & THREAD_WAITS != 0
    }

    pub(crate) fn of_tasks(self) -> bool {
        self.0 & TASK_WAITS != 0
    }

    /// Whether the flusher thread must lead the next round, because nobody else is sure to.
    pub(crate) fn need_the_flusher(self, work_remains: bool) -> bool {
        work_remains || self.of_tasks()
    }

    pub(crate) fn of_flusher(self) -> bool {
        self.0 & FLUSHER_WAITS != 0
    }
}

#[derive(Debug)]
pub(crate) struct Lead(AtomicU32);

impl Lead {
    pub(crate) fn new() -> Self {
        Self(AtomicU32::new(FREE))
    }

    /// Takes the lead if it is free.
    pub(crate) fn try_acquire(&self) -> bool {
        // Acquire: pairs with the Release half of `release`: a leader sees what the one before it
        // left. SeqCst would not be stronger here: success and failure are decided on one word.
        self.0.compare_exchange(FREE, HELD, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    pub(crate) fn is_free(&self) -> bool {
        self.0.load(Ordering::Relaxed) == FREE
    }

    /// Asks the holder to see to a next round. False if nobody holds the lead: take it yourself.
    pub(crate) fn ask(&self, asker: Asker) -> bool {
        let mark = match asker {
            Asker::Thread => THREAD_WAITS,
            Asker::Task => TASK_WAITS,
            Asker::Flusher => FLUSHER_WAITS,
        };
        let mut now = self.0.load(Ordering::Relaxed);
        while now != FREE {
            // Release: pairs with the Acquire half of `release`: whoever reads the mark sees what
            // the asker did before (its write, its place among the sleepers). Made even if the
            // mark stands already, or a later asker's writes would have nothing to pair with.
            match self.0.compare_exchange_weak(now, now | mark, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(other) => now = other,
            }
        }
        false
    }

    /// Gives the lead back. The caller must serve the wishes.
    #[must_use = "wishes that nobody serves are lost wake-ups"]
    pub(crate) fn release(&self) -> Wishes {
        // AcqRel: pairs with `try_acquire` and `ask`.
        Wishes(self.0.swap(FREE, Ordering::AcqRel) & !HELD)
    }
}
