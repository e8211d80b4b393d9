//! How long a round waits for company.
//!
//! Whoever waited for the last round tends to write again at once. A round that begins at the first
//! of these writes makes all others wait for the round after it; so it waits until as many writes
//! have come as there are waiters, but only while they keep coming: a pause of a third of what a
//! sync takes ends it (threads that do other work between two writes are not waited for), and so
//! does one and a half times that, which is about what a missed round costs them.
//!
//! All of this is advice: a stale value makes a round begin early or late, and no more. Hence the
//! `Relaxed` orderings, which pair with nothing.

use std::time::Duration;

use crate::core::nanos;
use crate::sync::{AtomicU64, Ordering};

#[derive(Debug)]
pub(crate) struct Gathering {
    /// Threads that are blocked on a ticket.
    waiters: AtomicU64,
    /// The position that the queue reaches when all are back; 0 if nobody is expected.
    position: AtomicU64,
    /// When to wait no longer, in nanoseconds of the pipe's life.
    until: AtomicU64,
    /// How long a pause between two writes may be, in nanoseconds.
    pause_max: AtomicU64,
    /// The position that was last seen, and when the next must have come.
    seen: AtomicU64,
    next_until: AtomicU64,
}

impl Gathering {
    pub(crate) fn new() -> Self {
        Self {
            waiters: AtomicU64::new(0),
            position: AtomicU64::new(0),
            until: AtomicU64::new(0),
            pause_max: AtomicU64::new(0),
            seen: AtomicU64::new(0),
            next_until: AtomicU64::new(0),
        }
    }

    /// Counts the caller among the blocked threads until the guard is dropped.
    pub(crate) fn count_me(&self) -> Counted<'_> {
        self.waiters.fetch_add(1, Ordering::Relaxed);
        Counted(self)
    }

    /// Whether a round may begin: everybody is back, or nobody else seems to come. `queued` is the
    /// queue's last position, `now` the age of the pipe.
    pub(crate) fn is_complete(&self, queued: u64, now: impl FnOnce() -> Duration) -> bool {
        if queued >= self.position.load(Ordering::Relaxed) {
            return true;
        }
        let now = nanos(now());
        if queued > self.seen.load(Ordering::Relaxed) {
            self.seen.store(queued, Ordering::Relaxed);
            self.next_until.store(now + self.pause_max.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        now >= self.until.load(Ordering::Relaxed).min(self.next_until.load(Ordering::Relaxed))
    }

    /// After the round that made `target` durable and woke `tasks`, when a sync takes `sync`: whom to
    /// expect for the next, for `limit` at most.
    pub(crate) fn plan(&self, target: u64, tasks: usize, now: Duration, sync: Duration, limit: Duration) {
        let company = self.waiters.load(Ordering::Relaxed) + u64::try_from(tasks).unwrap_or(u64::MAX);
        let pause_max = (sync / 3).min(limit);
        self.pause_max.store(nanos(pause_max), Ordering::Relaxed);
        self.next_until.store(nanos(now + pause_max), Ordering::Relaxed);
        self.until.store(nanos(now + (sync * 3 / 2).min(limit)), Ordering::Relaxed);
        self.position.store(if company > 1 { target + company } else { 0 }, Ordering::Relaxed);
    }
}

#[derive(Debug)]
pub(crate) struct Counted<'a>(&'a Gathering);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.waiters.fetch_sub(1, Ordering::Relaxed);
    }
}
