/// The process that made a value.
///
/// A value that stands for something which one process owns (a thread, a queue, a lock, an open file) keeps the
/// `Process` of its creator. It refuses to act when that is no longer the current one: then it is a copy that
/// `fork(2)` made, whose threads do not exist and whose queue has a twin in the parent.
///
/// # Examples
///
/// ```
/// let owner = fz_process::Process::current();
/// assert!(owner.is_current());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    generation: u32,
}

impl Process {
    /// The process that calls this. Takes a lock on the first call only.
    ///
    /// # Panics
    ///
    /// If the C library has no memory to record the handler that detects a fork
    /// (`pthread_atfork(3)`, on the first call in a program).
    #[must_use]
    pub fn current() -> Self {
        #[cfg(unix)]
        let generation = crate::fork::current();
        #[cfg(not(unix))]
        let generation = 0;
        Self { generation }
    }

    /// Whether this is the process that runs now: false in a child that `fork(2)` made after
    /// [`current`](Self::current).
    ///
    /// One load and one comparison; never blocks.
    #[must_use]
    #[inline]
    pub fn is_current(self) -> bool {
        #[cfg(unix)]
        let generation = crate::fork::generation();
        #[cfg(not(unix))]
        let generation = 0;
        self.generation == generation
    }
}
