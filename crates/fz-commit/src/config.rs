use std::time::Duration;

use crate::Flusher;

/// How a [`Committer`](crate::Committer) works. The defaults suit a server with a fast disk and other work to do.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// let config = fz_commit::CommitConfig::new().flush_interval(Duration::from_millis(5));
/// # let _ = config;
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct CommitConfig {
    pub(crate) flush_interval: Duration,
    pub(crate) gather_max: Duration,
    pub(crate) linger_max: Duration,
    pub(crate) waiters_lead: bool,
    pub(crate) flusher: Option<Flusher>,
    pub(crate) tag: u64,
}

impl Default for CommitConfig {
    fn default() -> Self {
        Self::new()
    }
}

impl CommitConfig {
    /// The defaults: an interval of 1 ms, gathers of at most 1 ms, no lingering, waiters lead, a flusher thread of its
    /// own.
    pub const fn new() -> Self {
        Self {
            flush_interval: Duration::from_millis(1),
            gather_max: Duration::from_millis(1),
            linger_max: Duration::ZERO,
            waiters_lead: true,
            flusher: None,
            tag: 0,
        }
    }

    /// How long accepted work that no caller waits for may stay unwritten: its round begins at the latest this long
    /// after it was accepted, less the time that rounds have been taking. Zero: as soon as possible.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::time::Duration;
    /// let config = fz_commit::CommitConfig::new().flush_interval(Duration::from_secs(1)); // for callers that wait
    /// # let _ = config;
    /// ```
    pub const fn flush_interval(mut self, interval: Duration) -> Self {
        self.flush_interval = interval;
        self
    }

    /// The longest that a round waits until the callers of the last one wait again, so that they share a sync. It ends
    /// as soon as they do, and after one and a half times a sync in any case. Zero: rounds begin at once.
    ///
    /// The flusher thread sleeps meanwhile.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::time::Duration;
    /// let config = fz_commit::CommitConfig::new().gather_max(Duration::ZERO); // more syncs, smaller batches
    /// # let _ = config;
    /// ```
    pub const fn gather_max(mut self, gather: Duration) -> Self {
        self.gather_max = gather;
        self
    }

    /// For how long a thread that is blocked on a ticket yields its processor again and again before it sleeps. Zero,
    /// the default: it sleeps at once.
    ///
    /// On a machine with idle processors, where waking one takes about as long as a fast sync, lingering commits more
    /// with several threads, and takes more processor time a commit. Beside other work it is
    /// ruinous: each yield may give a whole time slice away. A yield that comes back late therefore ends it for a
    /// while.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::time::Duration;
    /// let config = fz_commit::CommitConfig::new().linger_max(Duration::from_millis(1)); // nothing else runs here
    /// # let _ = config;
    /// ```
    pub const fn linger_max(mut self, linger: Duration) -> Self {
        self.linger_max = linger;
        self
    }

    /// Whether a thread that is blocked on a ticket runs a round itself when no other thread does, which saves a lone
    /// writer two context switches. True by default.
    ///
    /// A leader works for all at its own priority. Turn this off where threads of lower priority than others commit:
    /// then the flusher thread, which has the priority of the thread that created it, leads every round.
    ///
    /// # Examples
    ///
    /// ```
    /// let config = fz_commit::CommitConfig::new().waiters_lead(false);
    /// # let _ = config;
    /// ```
    pub const fn waiters_lead(mut self, waiters_lead: bool) -> Self {
        self.waiters_lead = waiters_lead;
        self
    }

    /// A flusher shared with other committers, in place of a thread of its own.
    ///
    /// # Examples
    ///
    /// ```
    /// let flusher = fz_commit::Flusher::new(2);
    /// let config = fz_commit::CommitConfig::new().flusher(&flusher);
    /// # let _ = config;
    /// ```
    pub fn flusher(mut self, flusher: &Flusher) -> Self {
        self.flusher = Some(flusher.clone());
        self
    }

    /// A number of the caller's that every ticket carries, see [`Ticket::tag`](crate::Ticket::tag).
    ///
    /// # Examples
    ///
    /// ```
    /// let config = fz_commit::CommitConfig::new().tag(7);
    /// # let _ = config;
    /// ```
    pub const fn tag(mut self, tag: u64) -> Self {
        self.tag = tag;
        self
    }
}
