//! Threads and tasks to wake, and the one sleeping consumer.

use std::fmt;
use std::task::Waker;

use fz_process::foreign;

use crate::sync::{Mutex, Thread, lock};

/// A thread or a task that sleeps.
pub(crate) enum Wake {
    Thread(Thread),
    Task(TaskWaker),
}

impl Wake {
    /// The task of `waker`, which is cloned: call this without a lock.
    pub(crate) fn task(waker: &Waker) -> Self {
        Self::Task(TaskWaker(Some(waker.clone())))
    }

    pub(crate) fn wake(self) {
        match self {
            Self::Thread(thread) => thread.unpark(),
            Self::Task(mut task) => task.0.take().into_iter().for_each(foreign::wake),
        }
    }

    pub(crate) fn will_wake(&self, waker: &Waker) -> bool {
        matches!(self, Self::Task(TaskWaker(Some(own))) if own.will_wake(waker))
    }
}

/// A waker of the user's. A panic in its `wake` or its drop ends here: neither may keep another task asleep, nor reach
/// a thread that pushes, drains or closes.
pub(crate) struct TaskWaker(Option<Waker>);

impl Drop for TaskWaker {
    fn drop(&mut self) {
        foreign::discard(self.0.take());
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
/// Dropping makes the wake-ups, so an unwinding thread makes them too. The holder of a claim keeps this until the claim
/// is filled.
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

/// Wakes the consumer. The consumer registers its thread or task here before it announces its sleep.
///
/// Only a consumer that goes to sleep and the one caller that clears `ASLEEP` take the lock.
///
/// A late `wake` for an earlier sleep may take the registration for a later one. Nothing is lost by that: the consumer
/// is woken, finds nothing, and registers again before it sleeps again.
pub(crate) struct ConsumerWaker {
    sleeper: Mutex<Option<Wake>>,
    /// The user's function, called as well.
    callback: Option<Box<dyn Fn() + Send + Sync>>,
}

impl ConsumerWaker {
    pub(crate) fn new(callback: Option<Box<dyn Fn() + Send + Sync>>) -> Self {
        Self { sleeper: Mutex::new(None), callback }
    }

    pub(crate) fn register(&self, wake: Wake) {
        let old = lock(&self.sleeper).replace(wake);
        // Outside the lock: a waker's drop is user code.
        drop(old);
    }

    /// Registers the task of `waker`, which is cloned only if it is another one than before.
    pub(crate) fn register_task(&self, waker: &Waker) {
        let is_registered = lock(&self.sleeper).as_ref().is_some_and(|wake| wake.will_wake(waker));
        if !is_registered {
            self.register(Wake::task(waker));
        }
    }

    pub(crate) fn clear(&self) {
        let old = lock(&self.sleeper).take();
        drop(old);
    }

    #[cold]
    pub(crate) fn wake(&self) {
        let wake = lock(&self.sleeper).take();
        if let Some(wake) = wake {
            wake.wake();
        }
        if let Some(callback) = &self.callback {
            let _ = foreign::call(callback);
        }
    }
}

impl Drop for ConsumerWaker {
    fn drop(&mut self) {
        foreign::discard(self.callback.take());
    }
}
