//! How long a round waits for company.
//!
//! Whoever waited for the last round tends to write and wait again at once. A round that begins with
//! the first of them makes all others wait for the round after it; so it waits until as many wait
//! again, but only while they keep coming: a pause of a third of what a sync takes ends it (threads
//! that do other work between two writes are not waited for), and so does one and a half times a
//! sync, which is about what a missed round costs them.
//!
//! All of this is advice: a stale value makes a round begin early or late, and no more. Hence the
//! `Relaxed` orderings, which pair with nothing.

use std::time::Duration;

use crate::core::nanos;
use crate::sync::{AtomicU64, Ordering};

#[derive(Debug)]
pub(crate) struct Gathering {
    /// Threads that are blocked on a ticket now.
    waiters: AtomicU64,
    /// How often a thread or a task began to wait.
    arrivals: AtomicU64,
    /// The arrivals at which all are back; 0 if nobody is expected.
    complete_at: AtomicU64,
    /// When to wait no longer, in nanoseconds of the pipe's life.
    until: AtomicU64,
    /// How long a pause between two arrivals may be, in nanoseconds.
    pause_max: AtomicU64,
    /// The arrivals that were last seen, and when the next must have come.
    seen: AtomicU64,
    next_until: AtomicU64,
}

impl Gathering {
    pub(crate) fn new() -> Self {
        Self {
            waiters: AtomicU64::new(0),
            arrivals: AtomicU64::new(0),
            complete_at: AtomicU64::new(0),
            until: AtomicU64::new(0),
            pause_max: AtomicU64::new(0),
            seen: AtomicU64::new(0),
            next_until: AtomicU64::new(0),
        }
    }

    /// A thread begins to wait; it does until the guard is dropped.
    pub(crate) fn arrive_and_wait(&self) -> Waits<'_> {
        self.waiters.fetch_add(1, Ordering::Relaxed);
        self.arrive();
        Waits(self)
    }

    /// A task begins to wait.
    pub(crate) fn arrive(&self) {
        self.arrivals.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn arrivals(&self) -> u64 {
        self.arrivals.load(Ordering::Relaxed)
    }

    /// Whether a round may begin: everybody is back, or nobody else seems to come. `now` is the age
    /// of the pipe.
    pub(crate) fn is_complete(&self, now: impl FnOnce() -> Duration) -> bool {
        let arrivals = self.arrivals();
        if arrivals >= self.complete_at.load(Ordering::Relaxed) {
            return true;
        }
        let now = nanos(now());
        if arrivals > self.seen.load(Ordering::Relaxed) {
            self.seen.store(arrivals, Ordering::Relaxed);
            self.next_until.store(now + self.pause_max.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        now >= self.until.load(Ordering::Relaxed).min(self.next_until.load(Ordering::Relaxed))
    }

    /// After a round: whom to expect for the next. There had been `arrivals` when it took its batch,
    /// so who came later waits already; `tasks` were woken or still wait; a sync takes `sync`; and
    /// nothing is waited for longer than `limit`.
    pub(crate) fn plan(&self, arrivals: u64, tasks: usize, now: Duration, sync: Duration, limit: Duration) {
        let company = self.waiters.load(Ordering::Relaxed) + u64::try_from(tasks).unwrap_or(u64::MAX);
        let pause_max = (sync / 3).min(limit);
        self.pause_max.store(nanos(pause_max), Ordering::Relaxed);
        self.next_until.store(nanos(now + pause_max), Ordering::Relaxed);
        self.until.store(nanos(now + (sync * 3 / 2).min(limit)), Ordering::Relaxed);
        self.complete_at.store(if company > 1 { arrivals + company } else { 0 }, Ordering::Relaxed);
    }
}

#[derive(Debug)]
pub(crate) struct Waits<'a>(&'a Gathering);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.waiters.fetch_sub(1, Ordering::Relaxed);
    }
}
