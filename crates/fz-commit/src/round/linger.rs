//! How a blocked thread stays awake, where the program asked for it.
//!
//! A yield that comes back late shows that other threads want the processor: there a sleeper is scheduled sooner than a
//! thread that yields. So a late yield ends the lingering of all threads for a while, twice as long each time, until
//! one ends as it should.

use std::time::{Duration, Instant};

use crate::sync::{AtomicU64, Ordering, nanos, thread};

/// A yield that took longer shows that other threads want the processor.
const LATE: Duration = Duration::from_micros(300);
/// For how long no thread lingers after a late yield, at first and at most.
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Linger {
    max: Duration,
    born: Instant,
    /// Until when no thread lingers, in nanoseconds of the committer's life.
    paused_until: AtomicU64,
    /// How long the next pause is, in nanoseconds.
    pause: AtomicU64,
}

// All words are advice, hence `Relaxed`: a stale value makes a thread sleep a little early or late.
impl Linger {
    pub(super) fn new(max: Duration) -> Self {
        let pause = AtomicU64::new(nanos(PAUSE_MIN));
        Self { max, born: Instant::now(), paused_until: AtomicU64::new(0), pause }
    }

    /// Whether threads linger now: the program asked for it, and no yield came back late of late.
    pub(super) fn is_on(&self) -> bool {
        !self.max.is_zero() && nanos(self.born.elapsed()) >= self.paused_until.load(Ordering::Relaxed)
    }

    /// Yields until `is_over`, which is true, or until it is time to sleep.
    pub(super) fn waits_for(&self, is_over: impl Fn() -> bool) -> bool {
        if self.max.is_zero() {
            return false;
        }
        if cfg!(fz_shuttle) {
            // A model has no clock.
            thread::yield_now();
            return is_over();
        }
        let began = self.born.elapsed();
        if nanos(began) < self.paused_until.load(Ordering::Relaxed) {
            return false;
        }
        let mut last = began;
        while last - began < self.max {
            thread::yield_now();
            if is_over() {
                return true;
            }
            let now = self.born.elapsed();
            if now - last > LATE {
                let pause = self.pause.load(Ordering::Relaxed);
                self.paused_until.store(nanos(now) + pause, Ordering::Relaxed);
                self.pause.store((pause * 2).min(nanos(PAUSE_MAX)), Ordering::Relaxed);
                return false;
            }
            last = now;
        }
        false
    }

    /// A thread that lingered was settled meanwhile.
    pub(super) fn came_in_time(&self) {
        if self.pause.load(Ordering::Relaxed) != nanos(PAUSE_MIN) {
            self.pause.store(nanos(PAUSE_MIN), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
#[cfg(not(any(fz_loom, fz_shuttle)))]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn a_late_yield_ends_it_for_all_and_for_a_while() {
        let linger = Linger::new(Duration::from_secs(3600));
        let looks = Cell::new(0);
        let late = || {
            looks.set(looks.get() + 1);
            std::thread::sleep(LATE * 2);
            false
        };
        assert!(!linger.waits_for(late));
        assert_eq!(looks.get(), 1);
        assert!(linger.paused_until.load(Ordering::Relaxed) > 0);
        assert_eq!(linger.pause.load(Ordering::Relaxed), nanos(PAUSE_MIN) * 2);
        linger.paused_until.store(u64::MAX, Ordering::Relaxed);
        assert!(!linger.waits_for(|| panic!("it lingers in the pause")));
        linger.came_in_time();
        assert_eq!(linger.pause.load(Ordering::Relaxed), nanos(PAUSE_MIN));
    }

    #[test]
    fn it_ends_when_the_wait_is_over_or_the_time_is() {
        assert!(Linger::new(Duration::from_secs(3600)).waits_for(|| true));
        assert!(!Linger::new(Duration::from_nanos(1)).waits_for(|| false));
        assert!(!Linger::new(Duration::ZERO).waits_for(|| panic!("it does not linger")));
    }
}
