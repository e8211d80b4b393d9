//! Counts the words of the bitmap and the nodes of the tree that an operation visits. Nothing but in unit tests.

#[cfg(test)]
thread_local! {
    static VISITS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// A word or a node is about to be read or written.
#[inline(always)]
pub(crate) fn count_visit() {
    #[cfg(test)]
    VISITS.set(VISITS.get() + 1);
}

/// The visits of this thread during `operation`.
#[cfg(all(test, not(any(fz_loom, fz_shuttle))))]
pub(crate) fn visits(operation: impl FnOnce()) -> usize {
    let before = VISITS.get();
    operation();
    VISITS.get() - before
}
