//! Whom to wake, and the one sleeping consumer.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Waker;

use crate::sync::{Mutex, Thread, lock};

/// A thread or a task that sleeps.
pub(crate) enum Wake {
    Thread(Thread),
    Task(Waker),
}

impl Wake {
    pub(crate) fn wake(self) {
        match self {
            Self::Thread(thread) => thread.unpark(),
            // Foreign code. Its panic, which the hook has reported, must neither keep others asleep nor reach whoever
            // pushes, drains or closes.
            Self::Task(waker) => drop(catch_unwind(AssertUnwindSafe(|| waker.wake()))),
        }
    }
}

impl fmt::Debug for Wake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Thread(_) => "Thread",
            Self::Task(_) => "Task",
        })
    }
}

/// Wake-ups that are owed: collected under a lock, made outside of it, when this is dropped.
///
/// Dropping makes the wake-ups, so an unwinding thread makes them too; and whoever holds a claim
/// keeps this until the claim is filled.
#[derive(Debug, Default)]
#[must_use = "the wake-ups are made when this is dropped: after the lock, after the claim is filled"]
pub(crate) struct Wakes {
    due: Vec<Wake>,
    /// Needs no wake-up; kept because a waker's drop is user code too.
    spent: Option<Wake>,
}

impl Wakes {
    pub(crate) fn push(&mut self, wake: Wake) {
        self.due.push(wake);
    }

    /// Keeps `wake` to be dropped with the rest.
    pub(crate) fn retire(&mut self, wake: Option<Wake>) {
        debug_assert!(self.spent.is_none() || wake.is_none(), "one call retires one wake");
        if wake.is_some() {
            self.spent = wake;
        }
    }

    pub(crate) fn wake_all(self) {
        drop(self);
    }
}

impl Drop for Wakes {
    fn drop(&mut self) {
        self.due.drain(..).for_each(Wake::wake);
    }
}

/// Where the consumer leaves word of how to wake it, before it announces its sleep.
///
/// Only a consumer that goes to sleep and the one caller that clears `ASLEEP` take the lock.
///
/// A late `ring` for an earlier sleep may take the word left for a later one. Nothing is lost by
/// that: the consumer is woken, finds nothing, and leaves word again before it sleeps again.
pub(crate) struct Alarm {
    sleeper: Mutex<Option<Wake>>,
    /// What the owner of the queue wants called as well.
    own: Option<Box<dyn Fn() + Send + Sync>>,
}

impl Alarm {
    pub(crate) fn new(own: Option<Box<dyn Fn() + Send + Sync>>) -> Self {
        Self { sleeper: Mutex::new(None), own }
    }

    pub(crate) fn set(&self, wake: Wake) {
        let old = lock(&self.sleeper).replace(wake);
        // Outside the lock: a waker's drop is user code.
        drop(old);
    }

    pub(crate) fn clear(&self) {
        let old = lock(&self.sleeper).take();
        drop(old);
    }

    #[cold]
    pub(crate) fn ring(&self) {
        let wake = lock(&self.sleeper).take();
        if let Some(wake) = wake {
            wake.wake();
        }
        if let Some(own) = &self.own {
            own();
        }
    }
}
