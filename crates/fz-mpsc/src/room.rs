//! The pushers that wait for room, first come, first served.
//!
//! While the line is not empty, `CONTENDED` in the claim word turns newcomers away, so that room belongs to
//! the waiters. The consumer *grants* room to as many of the longest waiters as there is room for;
//! a grant is one waiter's right to one claim. Invariant, under the lock: `granted <= room`.
//! A waiter that gives up with a grant in hand passes it on.
//!
//! Lock order: this lock is a leaf. Under it no waker is called, cloned or dropped, and no
//! value is touched. Wakers to drop go into the [`Wakes`], which the caller drops after it
//! has filled its claim.

use std::collections::{BTreeMap, BTreeSet};
use std::task::Waker;

use crate::sequencer::{Claim, Refusal, Sequencer};
use crate::sync::{Mutex, MutexGuard, lock};
use crate::wake::{Wake, Wakes};

/// A waiter's place in the line.
pub(crate) type WaiterId = u64;

/// Where a waiter stands after one look.
#[derive(Debug)]
pub(crate) enum Step {
    /// It is out of the line and has its position.
    Claimed(Claim),
    /// It stands in line and will be woken.
    Waiting(WaiterId),
    /// It is out of the line for good.
    Closed,
}

#[derive(Default)]
struct Line {
    next_id: WaiterId,
    waiting: BTreeMap<WaiterId, Wake>,
    granted: BTreeSet<WaiterId>,
}

impl Line {
    /// Whether there is room that no waiter was granted. Exact while `CONTENDED` is set.
    fn has_spare(&self, sequencer: &Sequencer) -> bool {
        u64::try_from(self.granted.len()).is_ok_and(|granted| granted < sequencer.room())
    }

    /// Grants room to the front of the line. `own` is the caller's own id: it needs no wake-up.
    fn grant(&mut self, sequencer: &Sequencer, own: Option<WaiterId>) -> Wakes {
        let mut wakes = Wakes::default();
        while !self.waiting.is_empty() && self.has_spare(sequencer) {
            let Some((id, wake)) = self.waiting.pop_first() else { break };
            self.granted.insert(id);
            if own == Some(id) {
                wakes.retire(Some(wake));
            } else {
                wakes.push(wake);
            }
            if fz_error::mutants::active("wake_one_pusher_only") {
                break;
            }
        }
        wakes
    }

    /// Opens the ring to newcomers again once the line is empty.
    fn disperse(&self, sequencer: &Sequencer) {
        if self.waiting.is_empty() && self.granted.is_empty() {
            sequencer.uncontend();
        }
    }

    /// Turns a grant of `id` into a claim, if it has one.
    fn claim(&mut self, sequencer: &Sequencer, id: WaiterId) -> Step {
        if !self.granted.remove(&id) {
            return Step::Waiting(id);
        }
        let step = sequencer.claim_granted().map_or(Step::Closed, Step::Claimed);
        self.disperse(sequencer);
        step
    }
}

pub(crate) struct Room(Mutex<Line>);

impl Room {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Line::default()))
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        lock(&self.0)
    }

    /// A claim for a push that will not stand in line, on room that the line does not need.
    #[cold]
    pub(crate) fn claim_spare(&self, sequencer: &Sequencer) -> Result<Claim, Refusal> {
        let line = self.line();
        if sequencer.is_closed() {
            return Err(Refusal::Closed);
        }
        if !line.waiting.is_empty() {
            return Err(Refusal::Full);
        }
        if line.granted.is_empty() {
            // The line dispersed in the meantime, so a claim need not hold this lock any more. It cannot form again
            // before the lock is released.
            return sequencer.try_claim();
        }
        if line.has_spare(sequencer) { sequencer.claim_granted() } else { Err(Refusal::Full) }
    }

    /// Joins the end of the line. The wake-ups are other waiters'; make them after filling the claim.
    pub(crate) fn enter(&self, sequencer: &Sequencer, wake: Wake) -> (Step, Wakes) {
        let mut wakes = Wakes::default();
        let mut line = self.line();
        if sequencer.is_closed() {
            drop(line);
            wakes.retire(Some(wake));
            return (Step::Closed, wakes);
        }
        let id = line.next_id;
        line.next_id += 1;
        line.waiting.insert(id, wake);
        sequencer.contend();
        wakes = line.grant(sequencer, Some(id));
        let step = line.claim(sequencer, id);
        drop(line);
        (step, wakes)
    }

    /// Looks again after a wake-up, which may have been for nothing. `wake` replaces the one given
    /// before.
    pub(crate) fn resume(&self, sequencer: &Sequencer, id: WaiterId, wake: Option<Wake>) -> (Step, Wakes) {
        let mut wakes = Wakes::default();
        let mut spent = wake;
        let mut abandoned = None;
        let mut line = self.line();
        let step = if let Some(place) = line.waiting.get_mut(&id) {
            if sequencer.is_closed() {
                abandoned = line.waiting.remove(&id);
                line.disperse(sequencer);
                Step::Closed
            } else {
                if let Some(new) = &mut spent {
                    std::mem::swap(place, new);
                }
                Step::Waiting(id)
            }
        } else if line.granted.contains(&id) {
            line.claim(sequencer, id)
        } else {
            // `close` emptied the line.
            Step::Closed
        };
        drop(line);
        drop(abandoned);
        wakes.retire(spent);
        (step, wakes)
    }

    /// Whether the waiter `id` need not give its waker: it is known, or will not be used any more.
    pub(crate) fn is_registered(&self, id: WaiterId, waker: &Waker) -> bool {
        self.line().waiting.get(&id).is_none_or(|wake| wake.will_wake(waker))
    }

    /// Leaves the line without a position. A grant in hand goes to the next in line.
    pub(crate) fn leave(&self, sequencer: &Sequencer, id: WaiterId) -> Wakes {
        let mut line = self.line();
        let own = line.waiting.remove(&id);
        let had_grant = line.granted.remove(&id);
        let mut wakes = if had_grant { line.grant(sequencer, None) } else { Wakes::default() };
        if own.is_some() || had_grant {
            line.disperse(sequencer);
        }
        drop(line);
        wakes.retire(own);
        wakes
    }

    /// Grants new room to the line. For the consumer, after it has published its head.
    pub(crate) fn grant(&self, sequencer: &Sequencer) -> Wakes {
        self.line().grant(sequencer, None)
    }

    /// Wakes and removes every waiter. After [`Sequencer::close`], past which no push enters.
    pub(crate) fn close(&self, sequencer: &Sequencer) -> Wakes {
        let mut line = self.line();
        let waiting = std::mem::take(&mut line.waiting);
        line.disperse(sequencer);
        drop(line);
        let mut wakes = Wakes::default();
        for wake in waiting.into_values() {
            wakes.push(wake);
        }
        wakes
    }
}
