//! Counts the forks between a process and its ancestor. The only module with `unsafe` in it.

use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

/// How many forks lie between this process and the one that registered the handler.
static GENERATION: AtomicU32 = AtomicU32::new(0);

static REGISTERED: Once = Once::new();

/// Runs in the child, before `fork` returns there.
extern "C" fn count_fork() {
    // Relaxed: the child has one thread, this one; each later thread is started by it.
    GENERATION.fetch_add(1, Ordering::Relaxed);
}

/// The generation of this process. Registers the handler first, so that a later fork is counted.
pub(crate) fn current() -> u32 {
    REGISTERED.call_once(|| {
        // SAFETY: `pthread_atfork(3)` takes functions that live as long as the program. `count_fork` does, and it
        // does one atomic addition, which is async-signal-safe, as a child of a process with threads requires.
        let outcome = unsafe { libc::pthread_atfork(None, None, Some(count_fork)) };
        // ENOMEM is its only error. A value whose forks go unnoticed would break its promise silently.
        assert_eq!(outcome, 0, "pthread_atfork(3) failed: no memory for its record");
    });
    generation()
}

/// The generation of this process, for a comparison with one that [`current`] returned.
#[inline]
pub(crate) fn generation() -> u32 {
    // Relaxed: see `count_fork`.
    GENERATION.load(Ordering::Relaxed)
}
