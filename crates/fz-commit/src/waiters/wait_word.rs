//! One word on which any number of threads sleep and which one call wakes.
//!
//! A thread that wants to sleep calls [`prepare`](WaitWord::prepare), looks once more whether it must, and calls
//! [`sleep`](WaitWord::sleep) with what `prepare` returned. A waker changes what the sleepers look at, then calls
//! [`wake_all`](WaitWord::wake_all). On Linux the word is a futex.
//!
//! # No sleeper is forgotten
//!
//! `prepare` counts the sleeper, and `wake_all` takes the count; both are read-modify-writes of one word.
//!
//! - The sleeper is counted before the count is taken: the waker finds it, and then changes the generation, which the
//!   sleeper has read before. So its `sleep` returns.
//! - The sleeper is counted after the count was taken: then its look, which follows, sees the waker's change. If it
//!   must sleep all the same, it stays counted for the next waker.
//!
//! The count is taken *before* the generation changes. In the other order a sleeper could read the new generation and
//! have its count taken by the same call; then the next waker would not find it.

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
        // Acquire: pairs with the Release in `wake_all`; no later read comes before it.
        let generation = Generation(self.generation.load(Ordering::Acquire));
        // AcqRel: pairs with the `swap` in `wake_all`, see the module's header.
        self.sleepers.fetch_add(1, Ordering::AcqRel);
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

    /// Wakes every thread that prepared before.
    pub(crate) fn wake_all(&self) {
        // AcqRel: pairs with the `fetch_add` in `prepare`.
        let is_first = fz_error::mutants::active("wake_takes_the_count_late");
        if is_first {
            self.generation.fetch_add(1, Ordering::AcqRel);
        }
        if self.sleepers.swap(0, Ordering::AcqRel) == 0 {
            return;
        }
        if !is_first {
            // Release: pairs with the Acquire in `prepare`.
            self.generation.fetch_add(1, Ordering::AcqRel);
        }
        #[cfg(not(any(fz_loom, fz_shuttle)))]
        atomic_wait::wake_all(&self.generation);
        #[cfg(any(fz_loom, fz_shuttle))]
        self.model.wake_all();
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
