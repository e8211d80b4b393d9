//! The turns of a thread that gives way to others before it sleeps.

use std::time::{Duration, Instant};

/// How long a thread that lingers has been at it.
#[derive(Debug)]
pub(crate) struct Turns {
    limit: Duration,
    began: Instant,
    taken: u32,
}

impl Turns {
    pub(crate) fn new(limit: Duration) -> Self {
        Self { limit, began: Instant::now(), taken: 0 }
    }

    pub(crate) fn are_over(&mut self) -> bool {
        self.taken += 1;
        // A model has no clock.
        if cfg!(fz_shuttle) { self.taken > 2 } else { self.began.elapsed() > self.limit }
    }
}
