//! When the flusher thread is to wake on its own.

use std::io;
use std::time::Duration;

use crate::alarm::Alarm;
use crate::core::{nanos, smooth};
use crate::sync::{AtomicU64, Ordering};

/// The alarm, and how long after the first write it is to ring.
///
/// Apart from the core because the queue calls it, and the core owns the queue.
#[derive(Debug)]
pub(crate) struct Bell {
    pub(crate) alarm: Alarm,
    interval: Duration,
    /// How long rounds take, smoothed, in nanoseconds. Written by the leader only.
    round_nanos: AtomicU64,
}

/// A longer interval is cut to this, 136 years: a deadline must be a time that the clock can express.
const INTERVAL_MAX: Duration = Duration::from_secs(u32::MAX as u64);

impl Bell {
    pub(crate) fn new(interval: Duration) -> io::Result<Self> {
        Ok(Self { alarm: Alarm::new()?, interval: interval.min(INTERVAL_MAX), round_nanos: AtomicU64::new(0) })
    }

    /// The queue's call: a write was accepted while the flusher had no deadline.
    pub(crate) fn first_write(&self) {
        self.alarm.set(self.patience());
    }

    /// How long a write may wait for company, so that it is durable within the interval: the
    /// interval less what a round takes, but at least half of it.
    pub(crate) fn patience(&self) -> Duration {
        self.interval.saturating_sub(self.round_mean()).max(self.interval / 2)
    }

    /// How long rounds have been taking.
    pub(crate) fn round_mean(&self) -> Duration {
        Duration::from_nanos(self.round_nanos.load(Ordering::Relaxed))
    }

    /// Takes note of how long a round took.
    pub(crate) fn account(&self, round: Duration) {
        self.round_nanos.store(nanos(smooth(self.round_mean(), round)), Ordering::Relaxed);
    }
}
