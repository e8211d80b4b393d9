//! Who runs the next round: the lead, and who asked for one while it was taken.
//!
//! A round (write, sync, publish) has one *leader*: a thread that blocks on a ticket, or the
//! flusher thread. Whoever wants a round and finds the lead taken leaves a mark; whoever gives the
//! lead back reads the marks and sees to it that somebody leads the next round. Mark and release
//! are read-modify-writes of one word, so no wish falls between them.
//!
//! The same word counts how often somebody began to wait, so that a task which does changes one word,
//! and so that who gathers looks at one ([`Gathering`](crate::gathering::Gathering)).

use crate::sync::{AtomicU64, Ordering};

const HELD: u64 = 1 << 0;
/// A blocked thread sleeps and waits for a round that has not begun.
const THREAD_WAITS: u64 = 1 << 1;
/// A task waits for a round that has not begun, and only the flusher thread can lead for it.
const TASK_WAITS: u64 = 1 << 2;
/// The flusher thread came to lead for writes that nobody awaits; it sleeps without a deadline.
const FLUSHER_WAITS: u64 = 1 << 3;
/// All of them; the others stand only beside `HELD`.
const FLAGS: u64 = HELD | THREAD_WAITS | TASK_WAITS | FLUSHER_WAITS;
/// One arrival; the bits from here on count them.
const ARRIVAL: u64 = 1 << 4;

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
pub(crate) struct Wishes(u64);

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

/// `arrivals << 4 | flags`.
#[derive(Debug)]
pub(crate) struct Lead(AtomicU64);

impl Lead {
    pub(crate) fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Takes the lead if it is free.
    pub(crate) fn try_acquire(&self) -> bool {
        // Acquire: pairs with the Release half of `release`: a leader sees what the one before it
        // left. (Arrivals in between are read-modify-writes, which hand it on.) SeqCst would not be
        // stronger here: success and failure are decided on one word.
        self.0.fetch_or(HELD, Ordering::Acquire) & HELD == 0
    }

    pub(crate) fn is_free(&self) -> bool {
        self.0.load(Ordering::Relaxed) & HELD == 0
    }

    /// Asks the holder to see to a next round. False if nobody holds the lead: take it yourself.
    pub(crate) fn ask(&self, asker: Asker) -> bool {
        let mark = match asker {
            Asker::Thread => THREAD_WAITS,
            Asker::Task => TASK_WAITS,
            Asker::Flusher => FLUSHER_WAITS,
        };
        self.mark(|now| (now & HELD != 0).then_some(now | mark))
    }

    /// A task begins to wait, and asks as in [`ask`](Self::ask). Also tells which arrival it is, the first
    /// being 1.
    pub(crate) fn arrive_and_ask(&self) -> (bool, u64) {
        let (mut is_held, mut arrival) = (false, 0);
        self.mark(|now| {
            is_held = now & HELD != 0;
            arrival = now / ARRIVAL + 1;
            Some((if is_held { now | TASK_WAITS } else { now }) + ARRIVAL)
        });
        (is_held, arrival)
    }

    /// Changes the word as `marked` says, if it says anything.
    #[inline]
    fn mark(&self, mut marked: impl FnMut(u64) -> Option<u64>) -> bool {
        let mut now = self.0.load(Ordering::Relaxed);
        while let Some(next) = marked(now) {
            // Release: pairs with the Acquire half of `release`: whoever reads the mark sees what
            // the asker did before (its write, its place among the sleepers). Made even if the
            // mark stands already, or a later asker's writes would have nothing to pair with.
            match self.0.compare_exchange_weak(now, next, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(other) => now = other,
            }
        }
        false
    }

    /// A thread begins to wait. Relaxed: a count, that orders nothing.
    pub(crate) fn arrive(&self) {
        self.0.fetch_add(ARRIVAL, Ordering::Relaxed);
    }

    /// How often a thread or a task began to wait.
    pub(crate) fn arrivals(&self) -> u64 {
        self.0.load(Ordering::Relaxed) / ARRIVAL
    }

    /// Gives the lead back. The caller must serve the wishes.
    #[must_use = "wishes that nobody serves are lost wake-ups"]
    pub(crate) fn release(&self) -> Wishes {
        // AcqRel: pairs with `try_acquire` and `ask`.
        Wishes(self.0.fetch_and(!FLAGS, Ordering::AcqRel) & FLAGS & !HELD)
    }
}
