//! A timer that is set no more often than it must be.
//!
//! Setting a timer is a system call, and in a virtual machine one of the dear ones: it leaves the
//! machine. So who needs a deadline leaves one that comes sooner alone.
//!
//! Any thread sets the deadline; one thread, the sleeper, hears it come and then looks for work. What
//! must not happen is that work is known, nobody has looked for it since, and no timer is set: whoever
//! finds a deadline on record and leaves must be sure that the sleeper's next look comes after.
//!
//! The record is cleared when the timer has rung, before the look. So who still finds it recorded,
//! and has made its work known before, comes before that look. Two that set the deadline beside each other may leave
//! the time of one on record and that of the other in the timer, and it is the clearing that ends this too.

use std::time::Duration;

use crate::core::nanos;
use crate::sync::{AtomicU64, Ordering};

/// What rings.
pub(crate) trait Timer {
    /// To ring once, at that time of its clock, and not when it was to ring before. Not zero.
    fn set(&self, at: Duration);
}

#[derive(Debug)]
pub(crate) struct Deadline<T> {
    timer: T,
    /// What the timer was set to last, in nanoseconds of its clock; 0 since it has rung.
    rings_at: AtomicU64,
}

impl<T: Timer> Deadline<T> {
    pub(crate) fn new(timer: T) -> Self {
        Self { timer, rings_at: AtomicU64::new(0) }
    }

    #[cfg(test)]
    pub(crate) fn timer(&self) -> &T {
        &self.timer
    }

    /// Has the timer ring at `at`, if not sooner. The work must be known before: to whoever looks for it
    /// after the timer has rung, by a read-modify-write of what that look changes too.
    ///
    /// Where two do this beside each other it may ring at the later of the two times instead.
    pub(crate) fn set(&self, at: Duration) {
        let at = at.max(Duration::from_nanos(1));
        // Relaxed: if this reads what `clear` overwrote, that `clear` did not happen before the caller's
        // work became known; so neither did the look that follows it, which therefore finds the work.
        if (1..=nanos(at)).contains(&self.rings_at.load(Ordering::Relaxed)) {
            return;
        }
        // Before the timer, or it could follow the clearing for that very timer. Relaxed: what carries it
        // to the sleeper before `clear` is the timer.
        self.rings_at.store(nanos(at), Ordering::Relaxed);
        self.timer.set(at);
    }

    /// The sleeper's, when the timer has rung and before it looks for work.
    pub(crate) fn clear(&self) {
        self.rings_at.store(0, Ordering::Relaxed);
    }
}
