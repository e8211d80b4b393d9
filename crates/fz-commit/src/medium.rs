use std::fmt;
use std::time::Duration;

/// What a [`Committer`](crate::Committer) commits to: a file, a log, a socket, an object store.
///
/// The medium keeps its own queue: accepting a piece of work gives it the next position, 1, 2, 3, …, without a gap and
/// in the order in which the pieces are written. The committer decides when what was accepted is written and synced,
/// and tells the callers that wait.
///
/// One thread at a time calls [`write`](Self::write) and [`sync`](Self::sync): the leader of a round. It is a caller's
/// own thread, blocked on its ticket, or the flusher thread. All other methods may be called by any thread at any
/// time, also beside those two. A panic of `write` or `sync` stops the committer, as an error does.
///
/// # Examples
///
/// Lines that are "written" into one vector and "made durable" in another:
///
/// ```
/// use std::sync::{Arc, Mutex};
/// use fz_commit::{CommitConfig, Committer, Fault, Medium};
///
/// #[derive(Default)]
/// struct Lines {
///     state: Mutex<State>,
/// }
///
/// #[derive(Default)]
/// struct State {
///     accepted: u64,
///     queue: Vec<String>,
///     written: Vec<String>,
///     is_idle: bool,
///     is_closed: bool,
/// }
///
/// impl Medium for Lines {
///     type Error = String;
///     fn accepted(&self) -> u64 {
///         self.state.lock().unwrap().accepted
///     }
///     fn write(&self, through: u64) -> Result<u64, String> {
///         let mut state = self.state.lock().unwrap();
///         let queue = std::mem::take(&mut state.queue);
///         state.written.extend(queue);
///         Ok(state.written.len() as u64) // the position reached, here also beyond `through`
///     }
///     fn sync(&self, _through: u64) -> Result<(), String> {
///         Ok(())
///     }
///     fn announce_idle(&self) -> bool {
///         let mut state = self.state.lock().unwrap();
///         state.is_idle = state.queue.is_empty();
///         state.is_idle
///     }
///     fn refuse(&self) {
///         self.state.lock().unwrap().is_closed = true;
///     }
///     fn discard(&self) {
///         self.state.lock().unwrap().queue.clear();
///     }
///     fn fault(&self, fault: Fault) -> String {
///         fault.to_string()
///     }
/// }
///
/// let committer = Committer::new(Lines::default(), CommitConfig::new())?;
/// let position = {
///     let mut state = committer.medium().state.lock().unwrap();
///     assert!(!state.is_closed);
///     state.queue.push("a line".to_owned());
///     state.accepted += 1;
///     let was_idle = std::mem::take(&mut state.is_idle);
///     let position = state.accepted;
///     drop(state);
///     if was_idle {
///         committer.work_arrived();
///     }
///     position
/// };
/// assert_eq!(committer.ticket(position).wait(), Ok(1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Medium: Send + Sync + 'static {
    /// Why the medium failed. Tickets share it.
    type Error: Clone + fmt::Debug + Send + Sync + 'static;

    /// The position of the last accepted piece of work; 0 before the first. It only grows.
    fn accepted(&self) -> u64;

    /// Writes accepted work, in order, up to `through` or beyond. Returns the position reached.
    ///
    /// Less than `through` if a batch has a limit, or if a piece has its position and not yet its content: what is
    /// missing is asked for again at once, so this should wait for a moment where it would return without progress.
    ///
    /// # Errors
    ///
    /// The error that stops the committer: what was accepted and is not durable is lost.
    fn write(&self, through: u64) -> Result<u64, Self::Error>;

    /// Makes all that was written up to `through` durable. Never called again after an error.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    fn sync(&self, through: u64) -> Result<(), Self::Error>;

    /// The flusher thread wants to sleep: true if all accepted work is written, and then the medium calls
    /// [`Committer::work_arrived`](crate::Committer::work_arrived) when it accepts the next piece.
    fn announce_idle(&self) -> bool;

    /// Refuses every later piece of work. Called when the committer is closed, abandoned and when it fails, more than
    /// once. It must not wait for a call of [`write`](Self::write) or [`sync`](Self::sync): that may hang.
    fn refuse(&self);

    /// Drops what was accepted and not written, after a failure. [`refuse`](Self::refuse) was called before.
    fn discard(&self);

    /// The error of a fault that is not the medium's own.
    fn fault(&self, fault: Fault) -> Self::Error;

    /// Told of each round and of the end; for tracing and metrics. Its panic ends in it. Nothing by default.
    fn observe(&self, event: Event<'_, Self::Error>) {
        let _ = event;
    }
}

/// A fault that is not the medium's own.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// `write` or `sync` panicked. The committer has stopped.
    Panicked {
        /// What it was doing.
        operation: &'static str,
        /// The panic's message.
        message: String,
    },
    /// The committer belongs to another process: this one is a copy of it, made by `fork`.
    OtherProcess,
    /// The committer was abandoned before the work was durable.
    Abandoned,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panicked { operation, message } => write!(f, "the medium panicked in {operation}: {message}"),
            Self::OtherProcess => f.write_str("the committer belongs to the process that this one was forked from"),
            Self::Abandoned => f.write_str("the committer was abandoned before the work was durable"),
        }
    }
}

impl std::error::Error for Fault {}

/// What [`Medium::observe`] is told of.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a, E> {
    /// A round begins, on this thread.
    RoundBegan,
    /// The round's sync returned, or the round failed, or there was nothing to write. On the thread of `RoundBegan`.
    RoundLeft,
    /// A round made work durable, and the waiters were told. On the thread of `RoundBegan`.
    RoundEnded(&'a RoundReport),
    /// The committer has stopped for good.
    Stopped(&'a E),
}

/// What a round did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RoundReport {
    /// The durable position before.
    pub from: u64,
    /// The durable position now.
    pub through: u64,
    /// How long [`Medium::write`] took.
    pub write: Duration,
    /// How long [`Medium::sync`] took.
    pub sync: Duration,
}
