use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use fz_process::Process;

use crate::medium::Fault;
use crate::round::Core;
use crate::sync::{AtomicU32, Ordering};
use crate::waiters::Rounds;
use crate::watch::{Failed, Watch};
use crate::{CommitConfig, CommitStats, Flusher, Medium, Ticket, WaitError};

/// Group commit for a [`Medium`]: decides when accepted work is written and synced, by which thread, and tells every
/// caller that waits.
///
/// The medium accepts work and gives out positions; the committer turns a position into a [`Ticket`]. All methods take
/// `&self`. Dropping a committer closes it, which may block; [`close`](Self::close) also reports the outcome.
///
/// # Examples
///
/// ```
/// # use fz_commit::{CommitConfig, Committer};
/// # include!("../examples/lines/medium.rs");
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // `Lines` and `append` are in the crate's example `lines`: a medium that is no file.
/// let committer = Committer::new(Lines::default(), CommitConfig::new())?;
/// let first = append(&committer, "first");
/// let second = append(&committer, "second");
/// assert!(second.wait()? >= second.position());
/// assert_eq!(first.status(), Some(Ok(2)), "there is one order");
/// assert_eq!(committer.close()?, 2);
/// # Ok(())
/// # }
/// ```
pub struct Committer<M: Medium> {
    core: Arc<Core<M>>,
    process: Process,
    has_own_flusher: bool,
    /// 1 once `abandon` was called.
    is_abandoned: AtomicU32,
}

impl<M: Medium> Committer<M> {
    /// Starts to commit what `medium` accepts, and the flusher's first thread. Does not block.
    ///
    /// # Errors
    ///
    /// The operating system's, if the thread cannot be started; the medium is dropped.
    pub fn new(medium: M, mut config: CommitConfig) -> io::Result<Self> {
        let has_own_flusher = config.flusher.is_none();
        let flusher = config.flusher.take().unwrap_or_else(|| Flusher::new(1));
        let core = Core::new(medium, config, flusher.place()?);
        let serve: Arc<Core<M>> = Arc::clone(&core);
        core.duty.begin(serve);
        // Else the medium would not call `work_arrived` for its first piece of work.
        let _ = fz_process::foreign::call(|| core.rest());
        Ok(Self { core, process: Process::current(), has_own_flusher, is_abandoned: AtomicU32::new(0) })
    }

    /// The medium.
    ///
    /// # Examples
    ///
    /// ```
    /// # use fz_commit::{CommitConfig, Committer};
    /// # include!("../examples/lines/medium.rs");
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let committer = Committer::new(Lines::default(), CommitConfig::new())?;
    /// append(&committer, "a line").wait()?;
    /// assert_eq!(committer.medium().state().durable, ["a line"]);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    #[inline]
    pub fn medium(&self) -> &M {
        &self.core.medium
    }

    /// A ticket for the work up to `position`, which the medium has accepted. Costs no round: only a wait does.
    ///
    /// # Examples
    ///
    /// ```
    /// # use fz_commit::{CommitConfig, Committer};
    /// # include!("../examples/lines/medium.rs");
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let committer = Committer::new(Lines::default(), CommitConfig::new())?;
    /// let of_append = append(&committer, "a line");
    /// let the_same = committer.ticket(of_append.position());
    /// assert_eq!(the_same.wait()?, 1);
    /// # Ok(())
    /// # }
    /// ```
    #[inline]
    pub fn ticket(&self, position: u64) -> Ticket<M::Error> {
        Ticket::new(position, &self.core.shares)
    }

    /// The medium accepted work after it had announced that it is idle: sets the timer after which unawaited work is
    /// written. One system call; never blocks for the medium.
    pub fn work_arrived(&self) {
        self.core.duty.set_timer(self.core.patience());
    }

    /// Asks for a round at once, without waiting for it: the accepted work is written and synced whether a caller waits
    /// or not.
    ///
    /// # Examples
    ///
    /// ```
    /// # use fz_commit::{CommitConfig, Committer};
    /// # include!("../examples/lines/medium.rs");
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let committer = Committer::new(Lines::default(), CommitConfig::new())?;
    /// let mut watch = committer.watch();
    /// drop(append(&committer, "a line"));
    /// committer.demand();
    /// assert_eq!(watch.wait(), Some(Ok(1)), "though no caller waits for a ticket");
    /// # Ok(())
    /// # }
    /// ```
    pub fn demand(&self) {
        self.core.demand();
    }

    /// What asks for a round as [`demand`](Self::demand) does, and does not keep the committer alive. It does nothing
    /// while all accepted work is written, and after the committer is gone.
    pub fn demand_later(&self) -> impl Fn() + Send + Sync + 'static
    where
        M: Medium,
    {
        let core = Arc::downgrade(&self.core);
        move || {
            if let Some(core) = core.upgrade()
                && !core.progress.is_forked()
                && core.medium.accepted() > core.progress.durable()
            {
                core.demand();
            }
        }
    }

    /// The durable position: it and all before it are durable. It only grows.
    ///
    /// # Examples
    ///
    /// ```
    /// # use fz_commit::{CommitConfig, Committer};
    /// # include!("../examples/lines/medium.rs");
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let committer = Committer::new(Lines::default(), CommitConfig::new())?;
    /// append(&committer, "a line").wait()?;
    /// assert_eq!(committer.durable(), 1);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn durable(&self) -> u64 {
        self.core.progress.durable()
    }

    /// The error that stopped the committer for good, if one did. Does not block.
    ///
    /// # Examples
    ///
    /// ```
    /// # use fz_commit::{CommitConfig, Committer};
    /// # include!("../examples/lines/medium.rs");
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let committer = Committer::new(Lines::default(), CommitConfig::new())?;
    /// assert_eq!(committer.failure(), None);
    /// committer.fail(Fault::Abandoned);
    /// assert_eq!(committer.failure(), Some(Fault::Abandoned));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn failure(&self) -> Option<M::Error> {
        self.core.progress.failure().cloned()
    }

    /// The durable position as it grows, see [`Watch`].
    #[must_use]
    pub fn watch(&self) -> Watch<M::Error> {
        Watch::new(&self.core.progress)
    }

    /// A future of the committer's end, see [`Failed`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use fz_commit::{CommitConfig, Committer};
    /// # include!("../examples/lines/medium.rs");
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let committer = Committer::new(Lines::default(), CommitConfig::new())?;
    /// let failed = committer.failed();
    /// committer.fail(Fault::Abandoned);
    /// assert_eq!(futures_executor::block_on(failed), Some(Fault::Abandoned));
    /// # Ok(())
    /// # }
    /// ```
    pub fn failed(&self) -> Failed<M::Error> {
        Failed::new(&self.core.progress)
    }

    /// What it has done so far. Does not block.
    ///
    /// # Examples
    ///
    /// ```
    /// # use fz_commit::{CommitConfig, Committer};
    /// # include!("../examples/lines/medium.rs");
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let committer = Committer::new(Lines::default(), CommitConfig::new())?;
    /// append(&committer, "a line").wait()?;
    /// assert_eq!(committer.stats().syncs, 1);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn stats(&self) -> CommitStats {
        self.core.counters.stats(self.durable())
    }

    /// Runs the medium's own code, which may fail, outside a round: its error or panic stops the committer as that of
    /// [`Medium::write`] does. For reads that first write what they are to see. `None` if it failed, and
    /// in a forked copy, where `body` is not called.
    ///
    /// # Panics
    ///
    /// As [`Ticket::wait`].
    pub fn guarded<R>(&self, operation: &'static str, body: impl FnOnce() -> Result<R, M::Error>) -> Option<R> {
        self.assert_outside(operation);
        if self.is_forked() { None } else { self.core.guarded(operation, body) }
    }

    /// Stops the committer for `error`, unless it has stopped: what is not durable is lost.
    pub fn fail(&self, error: M::Error) {
        if !self.is_forked() {
            self.core.fail(error);
        }
    }

    /// Panics if this thread is inside a round of this committer: in foreign code that the medium calls. What it was
    /// about to do, which `what` says, would wait for its own caller.
    ///
    /// # Panics
    ///
    /// See above.
    pub fn assert_outside(&self, what: &str) {
        self.core.assert_outside(what);
    }

    /// Whether this process is a copy of the one that made the committer: then nothing is written, and every wait
    /// returns [`Fault::OtherProcess`].
    #[must_use]
    #[inline]
    pub fn is_forked(&self) -> bool {
        !self.process.is_current() && !fz_error::mutants::active("a_forked_committer_acts")
    }

    /// Refuses all later work, makes everything accepted durable, and ends the flusher thread if it is the committer's
    /// own. Returns the durable position, which is then the last.
    ///
    /// Blocks until all is done; not for async code. Calling it again, from any thread, returns the same.
    ///
    /// # Errors
    ///
    /// The error that stopped the committer before everything was durable.
    ///
    /// # Panics
    ///
    /// As [`Ticket::wait`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use fz_commit::{CommitConfig, Committer};
    /// # include!("../examples/lines/medium.rs");
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let committer = Committer::new(Lines::default(), CommitConfig::new())?;
    /// let ticket = append(&committer, "a line");
    /// assert_eq!(committer.close()?, 1);
    /// assert_eq!(ticket.status(), Some(Ok(1)));
    /// # Ok(())
    /// # }
    /// ```
    pub fn close(&self) -> Result<u64, M::Error> {
        let ticket = self.refuse_work();
        let settled = if fz_error::mutants::active("close_skips_tail") { Ok(self.durable()) } else { ticket.wait() };
        if !self.is_forked() {
            self.end();
        }
        settled
    }

    /// As [`close`](Self::close), but waits no longer than `timeout` for the medium. After that the committer goes on
    /// to make durable what it accepted; call this again, or [`abandon`](Self::abandon).
    ///
    /// # Errors
    ///
    /// [`WaitError::TimedOut`]; else as [`close`](Self::close).
    ///
    /// # Panics
    ///
    /// As [`Ticket::wait`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use fz_commit::{CommitConfig, Committer};
    /// # include!("../examples/lines/medium.rs");
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let committer = Committer::new(Lines::default(), CommitConfig::new())?;
    /// let _ = append(&committer, "a line");
    /// assert_eq!(committer.close_timeout(std::time::Duration::from_secs(60))?, 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn close_timeout(&self, timeout: Duration) -> Result<u64, WaitError<M::Error>> {
        let settled = self.refuse_work().wait_timeout(timeout);
        if !matches!(settled, Err(WaitError::TimedOut { .. })) && !self.is_forked() {
            self.end();
        }
        settled
    }

    fn refuse_work(&self) -> Ticket<M::Error> {
        if self.is_forked() {
            // The medium is not to be touched: its lock may be held by a thread that is not here. This is never
            // durable.
            return self.ticket(u64::MAX);
        }
        self.assert_outside("closed");
        self.core.refuse();
        self.ticket(self.core.medium.accepted())
    }

    /// Gives up beside a medium that hangs: refuses all later work and resolves every ticket that is not durable to
    /// [`Fault::Abandoned`]. Returns the durable position, which is then the last. Neither this nor the drop after it
    /// waits for the medium; a call that hangs goes on to hang in its thread, and what it writes may become durable.
    ///
    /// # Examples
    ///
    /// ```
    /// # use fz_commit::{CommitConfig, Committer};
    /// # include!("../examples/lines/medium.rs");
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let committer = Committer::new(Lines::default(), CommitConfig::new())?;
    /// append(&committer, "a line").wait()?;
    /// assert_eq!(committer.abandon(), 1);
    /// assert_eq!(committer.failure(), Some(Fault::Abandoned));
    /// # Ok(())
    /// # }
    /// ```
    pub fn abandon(&self) -> u64 {
        if !self.is_forked() {
            self.is_abandoned.store(1, Ordering::Relaxed);
            self.core.abandon(self.core.medium.fault(Fault::Abandoned));
        }
        self.durable()
    }

    fn end(&self) {
        self.core.progress.finish();
        self.core.duty.end(self.has_own_flusher);
    }
}

impl<M: Medium> Drop for Committer<M> {
    fn drop(&mut self) {
        if self.is_forked() {
            return;
        }
        if self.core.is_inside() || self.is_abandoned.load(Ordering::Relaxed) != 0 {
            // The last handle went in foreign code that a round calls, or the medium hangs: the round cannot be waited
            // for. The flusher thread does the rest.
            self.core.refuse();
            self.core.duty.end_later();
            return;
        }
        // A caller that wants to know calls `close` first.
        let _ = self.close();
    }
}

impl<M: Medium> fmt::Debug for Committer<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Committer").field("stats", &self.stats()).finish_non_exhaustive()
    }
}
