//! The flusher thread: what it does when its alarm wakes it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::Core;
use crate::alarm::Cause;
use crate::flood::{Left, Look};
use crate::lead::Asker;
use crate::sync::{Ordering, lock, read};

impl Core {
    /// The whole of the thread, until the pipe is closed or it panics.
    pub(crate) fn run_flusher(&self) {
        let panic = catch_unwind(AssertUnwindSafe(|| {
            let mut before = Look::default();
            loop {
                let cause = self.bell.alarm.wait();
                self.counters.wakeups.add(1);
                before = match cause {
                    Cause::Stop => return self.finish(),
                    Cause::Demand => self.serve_demand(),
                    Cause::Filling => self.serve_filling(before),
                    Cause::Deadline => self.serve_deadline(before),
                };
            }
        }));
        if let Err(panic) = panic {
            self.poison_by_panic("flush", &*panic);
        }
    }

    /// After it woke for a demand. What it sees then is returned.
    fn serve_demand(&self) -> Look {
        let left = self.lead_as(Asker::Task);
        self.look(left)
    }

    /// After it woke because the queue fills; what it saw `before` may have been a flood.
    pub(crate) fn serve_filling(&self, before: Look) -> Look {
        if before.left == Left::Flood && self.has_room() {
            // It has yet to go on for as long as was set.
            return before;
        }
        self.leave_flood_or(before, || self.lead_as(Asker::Task))
    }

    /// After it woke for a deadline; likewise.
    pub(crate) fn serve_deadline(&self, before: Look) -> Look {
        let until_due = self.time_until_due();
        if until_due.is_zero() || before.left == Left::Flood {
            return self.leave_flood_or(before, || self.lead_as(Asker::Flusher));
        }
        if cfg!(fz_shuttle) {
            // A model has no clock: what is set has come.
            let left = self.rest();
            return self.look(left);
        }
        // Rounds go on. To rest would have the next write set the timer.
        self.bell.alarm.set(until_due);
        self.look(Left::Filling)
    }

    /// What it sees of the queue.
    fn look(&self, left: Left) -> Look {
        Look { last: self.sender.last_position(), at: self.completion.gathering.age(), left }
    }

    /// Leaves what is queued to gather if that is better, see [`flood`](crate::flood), and sees to it that it looks
    /// again.
    fn leave_flood_or(&self, before: Look, lead: impl FnOnce() -> Left) -> Look {
        let patience = self.bell.patience();
        let now = self.look(Left::Flood);
        if !patience.is_zero()
            && now.finds_flood(&before, patience)
            && self.has_room()
            // Else a reader, or who waited behind a sync, wrote some of it, which nobody may come to sync.
            && self.written() == self.completion.durable()
            && let Some(after) = lock(&self.intake).looks_again_after()
        {
            if !fz_error::mutants::active("flood_is_left_for_good") {
                self.bell.alarm.set(after);
            }
            return now;
        }
        let left = lead();
        self.look(left)
    }

    /// Who waits for room waits for the flusher thread.
    fn has_room(&self) -> bool {
        self.sender.len() < self.sender.capacity()
    }

    /// Leads for as long as only it can, or leaves word with who leads now.
    fn lead_as(&self, mut asker: Asker) -> Left {
        while self.completion.failure().is_none() {
            if !self.completion.lead.try_acquire() {
                if self.completion.lead.ask(asker) {
                    // The holder will call.
                    return Left::Filling;
                }
                continue;
            }
            let go_on = self.lead_round(|work_remains, wishes| {
                // A task that lingered is awake, and may be about to write again.
                let lingered = self.completion.gathering.take_lingered();
                let go_on = wishes.need_the_flusher(work_remains) || lingered;
                if !go_on && wishes.of_threads() {
                    self.completion.wake_a_leader();
                }
                go_on
            });
            if !go_on {
                return self.rest();
            }
            // The wishes are taken, and this thread alone knows of them: who leads meanwhile must hear of more
            // than a deadline.
            asker = Asker::Task;
        }
        Left::Filling
    }

    /// Arranges the next wake-up: none if there is nothing to do.
    pub(super) fn rest(&self) -> Left {
        if self.sender.is_closed() {
            // Who closed the pipe waits for the rest, and leads.
            return Left::Filling;
        }
        let is_idle = {
            let mut intake = lock(&self.intake);
            let written = if fz_error::mutants::active("a_piece_is_overlooked") {
                self.written()
            } else {
                // With the lock: else what another thread has taken would be written when nobody looks any more.
                read(&self.writer).written()
            };
            written == self.completion.durable() && intake.announce_sleep()
        };
        if !is_idle || fz_error::mutants::active("wake_without_work") {
            self.bell.alarm.set(self.time_until_due());
        }
        if is_idle { Left::Empty } else { Left::Filling }
    }

    /// How long what came after the last round began may still wait.
    pub(super) fn time_until_due(&self) -> Duration {
        let began = Duration::from_nanos(self.round_began.load(Ordering::Relaxed));
        (began + self.bell.patience()).saturating_sub(self.completion.gathering.age())
    }
}
