//! One word on which any number of threads sleep and which one call wakes.
//!
//! A thread that wants to sleep calls [`prepare`](WaitWord::prepare), looks once more whether it
//! must, and calls [`sleep`](WaitWord::sleep) with what `prepare` gave it. A waker changes what the
//! sleepers look at, then calls [`wake_all`](WaitWord::wake_all). Either the sleeper's look comes
//! after the waker's change, and then it sees it; or its `prepare` comes before the waker's call,
//! which then finds it counted and makes its `sleep` return. On Linux the word is a futex.

use crate::sync::{AtomicU32, Ordering};

/// What [`WaitWord::prepare`] saw; changed by every wake-up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Generation(u32);

#[derive(Debug)]
pub(crate) struct WaitWord {
    generation: AtomicU32,
    /// Threads that prepared since the last `wake_all`. Never too few; too many when a thread went
    /// away on its own, which costs one needless system call.
    sleepers: AtomicU32,
    #[cfg(any(fz_loom, fz_shuttle))]
    model: model::Futex,
}

impl WaitWord {
    pub(crate) fn new() -> Self {
        Self {
            generation: AtomicU32::new(0),
            sleepers: AtomicU32::new(0),
            #[cfg(any(fz_loom, fz_shuttle))]
            model: model::Futex::new(),
        }
    }

    /// Announces a sleeper. Look again at what you wait for after this, before you sleep.
    pub(crate) fn prepare(&self) -> Generation {
        // Acquire: pairs with the Release half of the wakers' `fetch_add`: who sees the new
        // generation sees the change that it announces.
        let generation = Generation(self.generation.load(Ordering::Acquire));
        // SeqCst: pairs with the `swap` in `wake_all`, see the module's header. The sleeper's next
        // look must be SeqCst too, or behind a read-modify-write.
        self.sleepers.fetch_add(1, Ordering::SeqCst);
        generation
    }

    /// Sleeps until a wake-up that came after the `prepare` which returned `seen`; may also return
    /// for no reason.
    pub(crate) fn sleep(&self, seen: Generation) {
        #[cfg(not(any(fz_loom, fz_shuttle)))]
        atomic_wait::wait(&self.generation, seen.0);
        #[cfg(any(fz_loom, fz_shuttle))]
        self.model.sleep(|| self.generation.load(Ordering::Acquire) == seen.0);
    }

    /// Wakes every thread that prepared before. Returns how many those were (or a few more).
    pub(crate) fn wake_all(&self) -> u32 {
        // Release: pairs with the Acquire in `prepare`.
        self.generation.fetch_add(1, Ordering::AcqRel);
        // SeqCst: pairs with the `fetch_add` in `prepare`.
        let sleepers = self.sleepers.swap(0, Ordering::SeqCst);
        if sleepers > 0 {
            #[cfg(not(any(fz_loom, fz_shuttle)))]
            atomic_wait::wake_all(&self.generation);
            #[cfg(any(fz_loom, fz_shuttle))]
            self.model.wake_all();
        }
        sleepers
    }
}

/// The futex of a model checker: a lock and a condition variable.
#[cfg(any(fz_loom, fz_shuttle))]
mod model {
    #[cfg(fz_loom)]
    use loom::sync::{Condvar, Mutex};
    #[cfg(fz_shuttle)]
    use shuttle::sync::{Condvar, Mutex};
    use std::sync::PoisonError;

    use crate::sync::lock;

    #[derive(Debug)]
    pub(super) struct Futex {
        lock: Mutex<()>,
        waking: Condvar,
    }

    impl Futex {
        pub(super) fn new() -> Self {
            Self { lock: Mutex::new(()), waking: Condvar::new() }
        }

        pub(super) fn sleep(&self, unchanged: impl Fn() -> bool) {
            let guard = lock(&self.lock);
            if unchanged() {
                drop(self.waking.wait(guard).unwrap_or_else(PoisonError::into_inner));
            }
        }

        pub(super) fn wake_all(&self) {
            drop(lock(&self.lock));
            self.waking.notify_all();
        }
    }
}
