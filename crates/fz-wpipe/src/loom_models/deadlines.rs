//! Two producers, one timer, and the sleeper that it wakes.

use std::time::Duration;

use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;

use super::{DEADLOCK, canary, explore};
use crate::deadline::{Deadline, Timer};
use crate::sync::{AtomicU64, Ordering};

/// A mistake, for the canaries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    None,
    /// The sleeper leaves the record standing.
    ClearsNothing,
    /// The sleeper looks for work first and clears the record then.
    ClearsLate,
    /// The sleeper leaves what it finds to gather, and sets no deadline.
    LeavesForGood,
}

/// A clock that moves only to where the timer rings.
#[derive(Default)]
struct Bed {
    at: Mutex<Option<Duration>>,
    set: Condvar,
}

impl Timer for Bed {
    fn set(&self, at: Duration) {
        *self.at.lock().unwrap() = Some(at);
        self.set.notify_one();
    }
}

impl Bed {
    fn ring(&self) {
        let mut at = self.at.lock().unwrap();
        while at.is_none() {
            at = self.set.wait(at).unwrap();
        }
        *at = None;
    }
}

/// The queue's claim word: writes, and whether the sleeper is to be called by the next.
struct Pipe {
    word: AtomicU64,
    deadline: Deadline<Bed>,
    /// Others lead rounds when the first deadline comes, or it finds a flood: the sleeper sets the next one itself.
    sets_again: bool,
    flaw: Flaw,
}

const ASLEEP: u64 = 1 << 0;
const WRITE: u64 = 1 << 1;

impl Pipe {
    /// As a push, and `Bell::first_write`.
    fn write(&self, due: Duration) {
        let mut now = self.word.load(Ordering::Relaxed);
        loop {
            let next = (now & !ASLEEP) + WRITE;
            match self.word.compare_exchange(now, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => break,
                Err(other) => now = other,
            }
        }
        if now & ASLEEP != 0 {
            self.deadline.set(due);
        }
    }

    /// As `Core::serve_deadline` and `Core::rest`, until it has seen all `writes`.
    fn sleep(&self, writes: u64) {
        let mut seen = 0;
        if self.sets_again {
            self.deadline.timer().ring();
            self.deadline.clear();
            if self.flaw != Flaw::LeavesForGood {
                self.deadline.set(Duration::from_nanos(9));
            }
        }
        while seen < writes {
            self.deadline.timer().ring();
            if matches!(self.flaw, Flaw::None | Flaw::LeavesForGood) {
                self.deadline.clear();
            }
            loop {
                let now = self.word.load(Ordering::Acquire);
                seen = now / WRITE;
                // Release: who clears the bit sees that the record was cleared before.
                let announced = self.word.compare_exchange(now, now | ASLEEP, Ordering::AcqRel, Ordering::Relaxed);
                if announced.is_ok() {
                    break;
                }
            }
            if self.flaw == Flaw::ClearsLate {
                self.deadline.clear();
            }
        }
    }
}

fn two_producers(sets_again: bool, flaw: Flaw) {
    let deadline = Deadline::new(Bed::default());
    let pipe = Arc::new(Pipe { word: AtomicU64::new(ASLEEP), deadline, sets_again, flaw });
    // The sleeper set the one, as it does for what is left, when the other two come.
    pipe.deadline.set(Duration::from_nanos(5));
    let producer = {
        let pipe = Arc::clone(&pipe);
        thread::spawn(move || pipe.write(Duration::from_nanos(7)))
    };
    let other = {
        let pipe = Arc::clone(&pipe);
        thread::spawn(move || {
            // As who gives the lead back to a flusher that came in vain.
            pipe.deadline.set(Duration::from_nanos(6));
            pipe.write(Duration::from_nanos(4));
        })
    };
    pipe.sleep(2);
    producer.join().unwrap();
    other.join().unwrap();
}

#[test]
fn no_write_is_left_without_a_deadline() {
    explore(3, || two_producers(false, Flaw::None));
    explore(2, || two_producers(true, Flaw::None));
}

#[test]
fn canary_a_record_that_is_never_cleared() {
    canary("deadlines::canary_a_record_that_is_never_cleared", DEADLOCK, || two_producers(false, Flaw::ClearsNothing));
}

#[test]
fn canary_a_record_that_is_cleared_after_the_look() {
    canary("deadlines::canary_a_record_that_is_cleared_after_the_look", DEADLOCK, || {
        two_producers(false, Flaw::ClearsLate)
    });
}

#[test]
fn canary_a_flood_that_is_left_for_good() {
    canary("deadlines::canary_a_flood_that_is_left_for_good", DEADLOCK, || two_producers(true, Flaw::LeavesForGood));
}
