//! The flusher thread's part: what it does for a committer when it was rung, or when a timer is due.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::reentry::{self, Within};
use super::{Core, MayLead, PickUp};
use crate::Medium;
use crate::flusher::Serve;
use crate::sync::{Ordering, nanos};
use crate::waiters::Rounds;

/// The longest interval, 136 years: a deadline must be a time that the clock can express.
const INTERVAL_MAX: Duration = Duration::from_secs(u32::MAX as u64);

impl<M: Medium> Core<M> {
    /// Leads for as long as rounds are wanted, then arranges the next wake-up: none if there is nothing to do.
    fn serve_rounds(&self) {
        loop {
            let is_over = nanos(self.age()) >= self.progress.gather_until();
            if is_over && self.progress.relinquish() {
                // No caller came back. The next one finds the baton free.
                return self.rest();
            }
            match self.progress.pick_up(is_over) {
                PickUp::Lead => {}
                PickUp::Gathering if fz_error::mutants::active("a_gather_forgets_its_timer") => return,
                PickUp::Gathering => {
                    let left = self.progress.gather_until().saturating_sub(nanos(self.age()));
                    return self.duty.set_timer(Duration::from_nanos(left));
                }
                PickUp::Led => return self.leave_to_leader(),
                PickUp::Free if self.is_due() && self.progress.baton.try_lead() => {}
                PickUp::Free => return self.rest(),
            }
            // The flusher thread itself comes back for what it was handed.
            if !self.lead(|| ()) {
                return self.rest();
            }
            if self.duty.others_wait() {
                return self.duty.ring();
            }
        }
    }

    /// A wait of a flusher thread, in foreign code that its service of this or another committer called: it leads the
    /// rounds that the flusher was handed, since there may be no other thread to do it.
    pub(super) fn wait_in_service(&self, position: u64) -> Result<u64, M::Error> {
        self.arrive(MayLead::Alone);
        loop {
            if let Some(status) = self.progress.status(position) {
                return status;
            }
            match self.progress.pick_up(true) {
                PickUp::Lead => {
                    // What is handed over is the flusher's again: this thread may be in another committer's service.
                    let _ = self.lead(|| self.duty.ring());
                }
                PickUp::Led => self.progress.sleep_while_led(position),
                PickUp::Gathering | PickUp::Free => self.arrive(MayLead::Alone),
            }
        }
    }

    /// Another thread leads a round. It sets the next timer when it ends, see `take_leave`; meanwhile there is nothing
    /// to wake up for, however long its sync takes.
    fn leave_to_leader(&self) {
        // Relaxed: the baton's change, which follows, releases it.
        self.is_left.store(1, Ordering::Relaxed);
        let must_ring = if self.time_until_due().is_zero() {
            self.progress.baton.demand()
        } else {
            !self.progress.baton.confirm_led()
        };
        if must_ring {
            // The leader has just ended its round.
            self.duty.ring();
        }
    }

    /// A leader has ended its round: if the flusher thread left the next wake-up to it, sets the timer, unless the
    /// baton `is_handed`, after which the leader rings.
    pub(super) fn take_leave(&self, is_handed: bool) {
        // Relaxed: the baton's `end`, which came before, acquired it.
        if self.is_left.load(Ordering::Relaxed) != 0 {
            self.is_left.store(0, Ordering::Relaxed);
            if !is_handed {
                self.duty.set_timer(self.time_until_due());
            }
        }
    }

    /// Whether unawaited work has waited for as long as it may.
    fn is_due(&self) -> bool {
        self.medium.accepted() > self.progress.durable() && self.time_until_due().is_zero()
    }

    /// Arranges the next wake-up when no round is wanted.
    pub(crate) fn rest(&self) {
        if self.progress.has_ended() {
            return;
        }
        let is_idle = self.medium.announce_idle();
        // What was written without a sync, by a reader, is not durable.
        let is_durable = self.medium.accepted() == self.progress.durable();
        if !(is_idle && is_durable) || fz_error::mutants::active("wake_without_work") {
            self.duty.set_timer(self.time_until_due());
        }
    }

    /// How long work that came after the last round began may still wait.
    pub(crate) fn time_until_due(&self) -> Duration {
        let began = Duration::from_nanos(self.round_began.load(Ordering::Relaxed));
        (began + self.patience()).saturating_sub(self.age())
    }

    /// How long a piece of work may wait for company, so that it is durable within the interval: the interval less what
    /// a round takes, but at least half of it.
    pub(crate) fn patience(&self) -> Duration {
        let interval = self.config.flush_interval.min(INTERVAL_MAX);
        interval.saturating_sub(self.counters.round_mean()).max(interval / 2)
    }
}

impl<M: Medium> Serve for Core<M> {
    fn serve(&self) {
        self.counters.woke();
        let _service = reentry::enter(Within::Service, self.name());
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.serve_rounds())) {
            self.fail_by_panic("flush", panic);
        }
    }

    fn finish(&self) {
        let _service = reentry::enter(Within::Service, self.name());
        // A failure is told by the tickets; here only the end counts.
        let _ = self.wait(self.medium.accepted());
        self.progress.finish();
    }
}
