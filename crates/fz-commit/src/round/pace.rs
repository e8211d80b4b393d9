//! When a round waits for company: the one policy, with one rule to stop and one memory.
//!
//! Callers that were settled together tend to write and wait again at once. A round that begins with the first of them
//! makes all others wait for the round after it, so the flusher thread sleeps until as many callers wait again as took
//! part in the last two batches. The arrival that completes the number rings. The gather ends at the latest after one
//! and a half times a sync, which is about what a missed round costs a caller, and after
//! [`gather_max`](crate::CommitConfig::gather_max).
//!
//! Where callers do other work between two writes, a gather ends without them. After such a miss the next rounds do not
//! gather: 1, then 2, 4 … up to 64 of them, until a gather is complete again.
//!
//! All of this is advice: a stale value makes a round begin early or late, and no more.

use std::time::Duration;

use crate::sync::nanos;

/// The most rounds that begin at once after a miss.
const SKIPPED_MAX: u32 = 64;

/// What the end of a round leaves to plan the next one with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RoundEnd {
    /// How many callers had arrived when the round took its work.
    pub(crate) taken: u64,
    /// How many have arrived now.
    pub(crate) arrivals: u64,
    /// Whether accepted work is left, which the next round begins with at once.
    pub(crate) is_cut: bool,
    /// The age of the committer.
    pub(crate) now: Duration,
    /// How long a sync takes.
    pub(crate) sync: Duration,
    /// The longest gather.
    pub(crate) gather_max: Duration,
}

/// The plan of the next round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// The count of arrivals at which the gather is complete; 0 if the round begins as soon as it is wanted.
    pub(crate) complete_at: u64,
    /// The count of arrivals whose work was in the last round: with no more than these, no round is needed.
    pub(crate) taken: u64,
    /// When the gather is over, in nanoseconds of the committer's life.
    pub(crate) until: u64,
}

/// The leader's memory.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    plan: Plan,
    /// How many callers had arrived when the round before the last took its work.
    taken_before: u64,
    /// How many rounds are still to begin at once.
    skips: u32,
    /// How many rounds the next miss makes begin at once.
    skips_next: u32,
}

impl Pace {
    /// A round has ended: the plan of the next one.
    pub(crate) fn plan(&mut self, end: &RoundEnd) -> Plan {
        if self.plan.complete_at != 0 {
            if end.taken >= self.plan.complete_at {
                self.skips_next = 1;
            } else {
                self.skips = self.skips_next.max(1);
                self.skips_next = (self.skips * 2).min(SKIPPED_MAX);
            }
        }
        let company = end.arrivals - self.taken_before;
        self.taken_before = end.taken;
        let limit = (end.sync * 3 / 2).min(end.gather_max);
        self.plan = Plan::default();
        if company > 1 && !end.is_cut && !limit.is_zero() {
            if self.skips > 0 {
                self.skips -= 1;
            } else {
                self.plan = Plan { complete_at: end.taken + company, taken: end.taken, until: nanos(end.now + limit) };
            }
        }
        self.plan
    }
}

#[cfg(test)]
#[cfg(not(any(fz_loom, fz_shuttle)))]
mod tests {
    use super::*;

    const SYNC: Duration = Duration::from_micros(100);

    /// The callers that a round took, and those that arrived while it ran, one after the other.
    #[derive(Default)]
    struct Rounds {
        pace: Pace,
        arrivals: u64,
    }

    impl Rounds {
        /// Whether the next round gathers, and for how many arrivals after this one's take.
        fn round(&mut self, arrived_before: u64, arrive_during: u64) -> Option<u64> {
            let taken = self.arrivals + arrived_before;
            self.arrivals = taken + arrive_during;
            let end = RoundEnd {
                taken,
                arrivals: self.arrivals,
                is_cut: false,
                now: Duration::ZERO,
                sync: SYNC,
                gather_max: Duration::from_millis(1),
            };
            let plan = self.pace.plan(&end);
            plan.complete_at.checked_sub(taken).filter(|_| plan.complete_at != 0)
        }
    }

    #[test]
    fn all_callers_of_the_last_batch_are_waited_for() {
        let mut rounds = Rounds::default();
        assert_eq!(rounds.round(4, 0), Some(4));
        assert_eq!(rounds.round(4, 0), Some(4));
    }

    #[test]
    fn two_halves_become_one() {
        let mut rounds = Rounds::default();
        assert_eq!(rounds.round(2, 2), Some(4), "the two that were settled, and the two that came meanwhile");
        assert_eq!(rounds.round(2, 0), Some(4));
    }

    #[test]
    fn one_caller_alone_is_not_waited_for() {
        let mut rounds = Rounds::default();
        for _ in 0..3 {
            assert_eq!(rounds.round(1, 0), None);
        }
    }

    #[test]
    fn a_caller_that_stays_away_is_missed_once_and_then_expected_no_more() {
        let mut rounds = Rounds::default();
        assert_eq!(rounds.round(3, 0), Some(3));
        assert_eq!(rounds.round(2, 0), None, "a miss");
        assert_eq!(rounds.round(2, 0), Some(2));
        assert_eq!(rounds.round(2, 0), Some(2));
    }

    #[test]
    fn callers_that_come_at_random_are_soon_waited_for_no_more() {
        let mut rounds = Rounds::default();
        let gathers = (0..1000).filter(|_| rounds.round(1, 1).is_some()).count();
        assert!(gathers < 30, "{gathers} of 1000 rounds wait for callers that don't come");
        // As soon as they come together again, each round gathers, after the rounds that are still skipped.
        let late = (0..SKIPPED_MAX + 1).map(|_| rounds.round(2, 0)).last().flatten();
        assert_eq!(late, Some(2));
    }

    #[test]
    fn a_round_that_left_work_is_followed_at_once() {
        let end = RoundEnd {
            taken: 4,
            arrivals: 4,
            is_cut: true,
            now: SYNC,
            sync: SYNC,
            gather_max: Duration::from_millis(1),
        };
        assert_eq!(Pace::default().plan(&end), Plan::default());
        let plan = Pace::default().plan(&RoundEnd { is_cut: false, ..end });
        assert_eq!(plan, Plan { complete_at: 8, taken: 4, until: 250_000 });
        let off = Pace::default().plan(&RoundEnd { is_cut: false, gather_max: Duration::ZERO, ..end });
        assert_eq!(off, Plan::default());
    }
}
