//! Whom to wake, and the one sleeping consumer.

use std::fmt;
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
            Self::Task(waker) => waker.wake(),
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

/// Wake-ups that are owed: collected under a lock, made outside of it.
#[derive(Debug, Default)]
#[must_use = "dropping wake-ups loses them"]
pub(crate) struct Wakes(Vec<Wake>);

impl Wakes {
    pub(crate) fn push(&mut self, wake: Wake) {
        self.0.push(wake);
    }

    pub(crate) fn wake_all(self) {
        for wake in self.0 {
            wake.wake();
        }
    }
}

/// Where the consumer leaves word of how to wake it, before it announces its sleep.
///
/// Only a consumer that goes to sleep and the one pusher that clears `ASLEEP` take the lock.
pub(crate) struct Alarm(Mutex<Option<Wake>>);

impl Alarm {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(None))
    }

    pub(crate) fn set(&self, wake: Wake) {
        let old = lock(&self.0).replace(wake);
        // Outside the lock: a waker's drop is user code.
        drop(old);
    }

    pub(crate) fn clear(&self) {
        let old = lock(&self.0).take();
        drop(old);
    }

    pub(crate) fn ring(&self) {
        let wake = lock(&self.0).take();
        if let Some(wake) = wake {
            wake.wake();
        }
    }
}
