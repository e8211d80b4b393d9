use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use crossbeam_utils::CachePadded;

use crate::sync::blocking::{Condvar, Mutex, lock, wait};
use crate::waiters::{Notice, Progress, Registration};

/// The promise that a piece of work, and every piece before it, will be durable; or the error why not.
///
/// A ticket is a [`Future`] on any executor, and can be waited for by a blocked thread. Both resolve to the durable
/// position, which is at least [`position`](Self::position), or to the error that stopped the committer. They can be
/// asked again and give the same kind of answer. A ticket wakes its task once, when it is settled.
///
/// Dropping a ticket changes nothing about the work. A ticket may outlive its committer, which settles every ticket
/// before it is gone. Each clone waits on its own.
#[must_use = "accepted work is not yet durable; wait for its ticket, or drop it to go on without waiting"]
pub struct Ticket<E: Clone + Send + Sync + 'static> {
    position: u64,
    progress: Share<E>,
    registration: Registration,
}

/// Why [`Ticket::wait_timeout`] did not return a durable position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WaitError<E> {
    /// The time was over before the work was durable. It goes on, and can be waited for again.
    TimedOut {
        /// The ticket's position.
        position: u64,
        /// The durable position at the end of the wait.
        durable: u64,
        /// How long the wait was to be.
        waited: Duration,
    },
    /// The committer has stopped.
    Failed(E),
}

impl<E: fmt::Display> fmt::Display for WaitError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut { position, durable, waited } => {
                write!(f, "position {position} was not durable after {waited:?}, the durable one is {durable}")
            }
            Self::Failed(error) => error.fmt(f),
        }
    }
}

impl<E: std::error::Error> std::error::Error for WaitError<E> {}

impl<E: Clone + Send + Sync + 'static> Ticket<E> {
    #[inline]
    pub(crate) fn new(position: u64, shares: &Shares<E>) -> Self {
        Self { position, progress: shares.share(), registration: 0 }
    }

    fn progress(&self) -> &Progress<E> {
        &self.progress
    }

    /// The position of the work in the committer's order.
    #[must_use]
    #[inline]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The committer's [`tag`](crate::CommitConfig::tag).
    #[must_use]
    pub fn tag(&self) -> u64 {
        self.progress().tag()
    }

    /// The durable position of the committer now. Does not wait.
    #[must_use]
    #[inline]
    pub fn durable(&self) -> u64 {
        self.progress().durable()
    }

    /// The outcome, if there is one: the durable position, or the error that stopped the committer before the work was
    /// durable. Does not wait, and asks for nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// # use fz_commit::{CommitConfig, Committer};
    /// # include!("../examples/lines/medium.rs");
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let committer = Committer::new(Lines::default(), CommitConfig::new())?;
    /// let ticket = append(&committer, "a line");
    /// ticket.wait()?;
    /// assert_eq!(ticket.status(), Some(Ok(1)));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn status(&self) -> Option<Result<u64, E>> {
        self.progress().status(self.position)
    }

    /// Blocks the thread until the work is durable; then the durable position.
    ///
    /// If no other thread is running a round just then, this thread does it itself, which saves two context switches,
    /// see [`waiters_lead`](crate::CommitConfig::waiters_lead). Not for async code: `.await` the ticket there.
    ///
    /// # Errors
    ///
    /// The error that stopped the committer before the work was durable.
    ///
    /// # Panics
    ///
    /// Inside a round of the same committer: in foreign code that the medium's `write` or `sync` calls. The wait would
    /// be for its own caller.
    ///
    /// # Examples
    ///
    /// ```
    /// # use fz_commit::{CommitConfig, Committer};
    /// # include!("../examples/lines/medium.rs");
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let committer = Committer::new(Lines::default(), CommitConfig::new())?;
    /// assert_eq!(append(&committer, "a line").wait()?, 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn wait(&self) -> Result<u64, E> {
        let progress = self.progress();
        loop {
            if let Some(status) = progress.status(self.position) {
                return status;
            }
            match progress.rounds() {
                Some(rounds) => return rounds.wait(self.position),
                // The committer settles every ticket before it goes, and tells the sleepers.
                None => progress.sleep(self.position),
            }
        }
    }

    /// Blocks the thread until the work is durable, but not longer than `timeout`.
    ///
    /// The flusher thread is asked for a round at once; this thread never runs one itself, since a sync could outlast
    /// the limit. Not for async code.
    ///
    /// # Errors
    ///
    /// [`WaitError::TimedOut`], after which the work goes on and the ticket can be waited for again; else as
    /// [`wait`](Self::wait).
    ///
    /// # Panics
    ///
    /// As [`wait`](Self::wait).
    ///
    /// # Examples
    ///
    /// ```
    /// # use fz_commit::{CommitConfig, Committer};
    /// # include!("../examples/lines/medium.rs");
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let committer = Committer::new(Lines::default(), CommitConfig::new())?;
    /// let ticket = append(&committer, "a line");
    /// match ticket.wait_timeout(std::time::Duration::from_secs(60)) {
    ///     Ok(durable) => assert_eq!(durable, 1),
    ///     Err(error) => println!("{error}"), // and wait again, or give up
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn wait_timeout(&self, timeout: Duration) -> Result<u64, WaitError<E>> {
        let signal = Arc::new(Signal::default());
        let waker = Waker::from(Arc::clone(&signal));
        let deadline = Instant::now().checked_add(timeout);
        let mut ticket = self.clone();
        loop {
            if let Poll::Ready(status) = Pin::new(&mut ticket).poll(&mut Context::from_waker(&waker)) {
                return status.map_err(WaitError::Failed);
            }
            if let Some(rounds) = self.progress().rounds() {
                rounds.assert_outside("waited for a ticket of");
            }
            if !signal.wait_until(deadline) {
                // Once more: it may have come with the end of the time.
                return self.status().map_or_else(
                    || {
                        let durable = self.durable();
                        Err(WaitError::TimedOut { position: self.position, durable, waited: timeout })
                    },
                    |status| status.map_err(WaitError::Failed),
                );
            }
        }
    }

    /// Calls `callback` with the outcome, once: at once if it is known, else on the thread that settles it.
    ///
    /// Asks for a round, as an await does. The callback is called without locks, like a waker: it must not block, and
    /// its panic ends in it. No task and no thread waits meanwhile. The callback is kept until the work is settled,
    /// also when the ticket is dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// # use fz_commit::{CommitConfig, Committer};
    /// # include!("../examples/lines/medium.rs");
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let committer = Committer::new(Lines::default(), CommitConfig::new())?;
    /// let (told, is_told) = std::sync::mpsc::channel();
    /// append(&committer, "a line").on_durable(move |settled| told.send(settled).expect("it is received"));
    /// assert_eq!(is_told.recv()?, Ok(1));
    /// # Ok(())
    /// # }
    /// ```
    pub fn on_durable(&self, callback: impl FnOnce(Result<u64, E>) + Send + 'static) {
        let progress = self.progress();
        match progress.register_notice(self.position, &mut 0, Notice::Call(Box::new(callback))) {
            (Some(settled), Some(Notice::Call(callback))) => {
                let _ = fz_process::foreign::call(|| callback(settled));
            }
            _ => progress.ask_for_round(),
        }
    }
}

impl<E: Clone + Send + Sync + 'static> Future for Ticket<E> {
    type Output = Result<u64, E>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let progress = &this.progress;
        if let Some(status) = progress.status(this.position) {
            // The thread that settled the position has taken the waker, or is about to.
            this.registration = 0;
            return Poll::Ready(status);
        }
        let is_new = this.registration == 0;
        if let Some(status) = progress.register(this.position, &mut this.registration, context.waker()) {
            this.registration = 0;
            return Poll::Ready(status);
        }
        if is_new {
            progress.ask_for_round();
        }
        Poll::Pending
    }
}

impl<E: Clone + Send + Sync + 'static> Clone for Ticket<E> {
    /// A ticket for the same work, which waits on its own.
    fn clone(&self) -> Self {
        Self { position: self.position, progress: Arc::clone(&self.progress), registration: 0 }
    }
}

impl<E: Clone + Send + Sync + 'static> Drop for Ticket<E> {
    #[inline]
    fn drop(&mut self) {
        if self.registration != 0 {
            self.progress.cancel(self.position, self.registration);
        }
    }
}

impl<E: Clone + Send + Sync + 'static> fmt::Debug for Ticket<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket").field("position", &self.position).field("durable", &self.durable()).finish()
    }
}

/// What a thread with a time limit sleeps on. Not the thread's own park token, which belongs to the program.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    is_given: Mutex<bool>,
    given: Condvar,
}

impl Signal {
    /// False if the time was over first.
    pub(crate) fn wait_until(&self, deadline: Option<Instant>) -> bool {
        let mut is_given = lock(&self.is_given);
        while !std::mem::take(&mut *is_given) {
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return false;
            }
            is_given = wait(&self.given, is_given, left);
        }
        true
    }
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        *lock(&self.is_given) = true;
        self.given.notify_one();
    }
}

/// References to a progress, each with a count of its own.
///
/// A reference count is one cache line that all producers write, twice for each ticket. So a committer has several
/// references, and each thread makes its tickets from one of them.
#[derive(Debug)]
pub(crate) struct Shares<E>([Share<E>; SHARES]);

type Share<E> = Arc<CachePadded<Arc<Progress<E>>>>;

/// How many references a committer has. With more producers than this, some share a count.
const SHARES: usize = 8;

static THREADS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// Which of the references this thread uses: threads take them in turn, from the first ticket that each makes.
    static SHARE: usize = THREADS.fetch_add(1, Ordering::Relaxed) % SHARES;
}

impl<E> Shares<E> {
    pub(crate) fn new(progress: &Arc<Progress<E>>) -> Self {
        Self(std::array::from_fn(|_| Arc::new(CachePadded::new(Arc::clone(progress)))))
    }

    #[inline]
    fn share(&self) -> Share<E> {
        // Fails while the thread's locals are being destroyed.
        let index = SHARE.try_with(|share| *share).unwrap_or(0);
        Arc::clone(&self.0[index % SHARES])
    }
}

const _: () = {
    const fn assert<T: Future + Send + Sync + Unpin + Clone + 'static>() {}
    assert::<Ticket<std::io::ErrorKind>>();
};
