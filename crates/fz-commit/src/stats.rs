use std::time::Duration;

use crate::sync::{AtomicU64, Ordering, nanos};

/// What a committer has done so far, see [`Committer::stats`](crate::Committer::stats).
///
/// Each number is right by itself; they are read one after the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CommitStats {
    /// The durable position.
    pub durable: u64,
    /// Syncs made.
    pub syncs: u64,
    /// How long the last sync took.
    pub sync_last: Duration,
    /// How long syncs took on average.
    pub sync_mean: Duration,
    /// How often the flusher thread served this committer: for a demand, for a deadline, and for the end of a gather. A
    /// thread that wakes only to set its timer is not counted.
    pub wakeups: u64,
}

/// The numbers behind [`CommitStats`]. Each is written by one thread at a time: the leader, or the flusher thread. So
/// they need no read-modify-write. Relaxed: they order nothing.
#[derive(Debug)]
pub(crate) struct Counters {
    syncs: AtomicU64,
    sync_nanos: AtomicU64,
    sync_nanos_last: AtomicU64,
    /// How long rounds take, smoothed.
    round_nanos: AtomicU64,
    wakeups: AtomicU64,
}

fn add(counter: &AtomicU64, more: u64) {
    counter.store(counter.load(Ordering::Relaxed) + more, Ordering::Relaxed);
}

/// One more measurement of a quantity that changes slowly.
pub(crate) fn smooth(mean: Duration, new: Duration) -> Duration {
    if mean.is_zero() { new } else { (mean * 7 + new) / 8 }
}

impl Counters {
    pub(crate) fn new() -> Self {
        Self {
            syncs: AtomicU64::new(0),
            sync_nanos: AtomicU64::new(0),
            sync_nanos_last: AtomicU64::new(0),
            round_nanos: AtomicU64::new(0),
            wakeups: AtomicU64::new(0),
        }
    }

    pub(crate) fn account(&self, round: Duration, sync: Duration) {
        add(&self.syncs, 1);
        add(&self.sync_nanos, nanos(sync));
        self.sync_nanos_last.store(nanos(sync), Ordering::Relaxed);
        self.round_nanos.store(nanos(smooth(self.round_mean(), round)), Ordering::Relaxed);
    }

    pub(crate) fn woke(&self) {
        add(&self.wakeups, 1);
    }

    /// How long rounds have been taking.
    pub(crate) fn round_mean(&self) -> Duration {
        Duration::from_nanos(self.round_nanos.load(Ordering::Relaxed))
    }

    pub(crate) fn stats(&self, durable: u64) -> CommitStats {
        let syncs = self.syncs.load(Ordering::Relaxed);
        CommitStats {
            durable,
            syncs,
            sync_last: Duration::from_nanos(self.sync_nanos_last.load(Ordering::Relaxed)),
            sync_mean: Duration::from_nanos(self.sync_nanos.load(Ordering::Relaxed).checked_div(syncs).unwrap_or(0)),
            wakeups: self.wakeups.load(Ordering::Relaxed),
        }
    }
}
