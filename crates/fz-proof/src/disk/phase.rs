//! The phase of the pipeline, noted where the disk can see it.

use std::cell::Cell;
use std::fmt;

/// The phase of the pipeline when the power went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Phase {
    /// A file is being created, or opened.
    Creating,
    /// More slots are being added.
    Growing,
    /// Writes are queued, and none of the batch has reached the kernel.
    Queued,
    /// A part of a batch has reached the kernel.
    Writing,
    /// All of it has, and the sync runs.
    Syncing,
    /// The sync has succeeded, no ticket has resolved yet.
    Publishing,
    /// A ticket has just resolved.
    Acknowledged,
    /// The pipe is being closed.
    Closing,
    /// A call has failed.
    Failing,
    /// Nothing is under way.
    Idle,
}

impl Phase {
    pub(crate) const ALL: [Self; 10] = [
        Self::Creating,
        Self::Growing,
        Self::Queued,
        Self::Writing,
        Self::Syncing,
        Self::Publishing,
        Self::Acknowledged,
        Self::Closing,
        Self::Failing,
        Self::Idle,
    ];
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Creating => "creating",
            Self::Growing => "growing",
            Self::Queued => "queued",
            Self::Writing => "writing",
            Self::Syncing => "syncing",
            Self::Publishing => "publishing",
            Self::Acknowledged => "acknowledged",
            Self::Closing => "closing",
            Self::Failing => "failing",
            Self::Idle => "idle",
        })
    }
}

thread_local! {
    static CONTEXT: Cell<Option<Phase>> = const { Cell::new(None) };
}

/// Runs `body`, whose calls to the disk all belong to `phase`.
pub(crate) fn during<R>(phase: Phase, body: impl FnOnce() -> R) -> R {
    let before = CONTEXT.replace(Some(phase));
    let result = body();
    CONTEXT.set(before);
    result
}

/// The phase that this thread is in, if it has said so.
pub(crate) fn context() -> Option<Phase> {
    CONTEXT.get()
}
