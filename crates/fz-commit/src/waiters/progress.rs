//! What is durable, whether the committer failed, and the waiters that are to be told.
//!
//! One `Progress` is shared by a committer and all of its tickets. It outlives the committer as long as a ticket does,
//! and holds only a weak link to it.
//!
//! # Parts
//!
//! - `state`: the durable position and two final flags in one word, so that "the durable position never moves after a
//!   failure" is a property of one compare-exchange.
//! - `baton`: which thread leads the next round.
//! - `sleepers`: the word on which blocked threads sleep. A publisher changes `state` first and wakes second; a sleeper
//!   prepares first and looks at `state` second. So either the sleeper sees the new state, or it is woken.
//! - `notices`: wakers and callbacks by position. A publisher changes `state` first and takes the lock second; a
//!   registrant takes the lock first and looks at `state` second. So either the registrant sees the new state, or the
//!   publisher finds its notice.
//!
//! # Locks
//!
//! The lock of `notices` is a leaf: under it no waker is called, cloned or dropped.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock, Weak};
use std::task::Waker;

use crossbeam_utils::CachePadded;
use fz_process::{Process, foreign};

use super::WaitWord;
use super::notices::{Notice, Notices, Registration, Settled, give};
use crate::round::{Arrival, Baton, MayLead, PickUp, Plan};
use crate::sync::{AtomicU64, Mutex, Ordering, lock};

/// The committer has failed: no position becomes durable any more.
const FAILED: u64 = 1 << 0;
/// The committer is closed and all that it accepted is settled.
const ENDED: u64 = 1 << 1;
/// One position; the bits from here on hold the durable one.
const POSITION: u64 = 1 << 2;

/// What a ticket needs of the committer, whatever its medium.
pub(crate) trait Rounds<E>: Send + Sync {
    /// Blocks until `position` is settled.
    fn wait(&self, position: u64) -> Settled<E>;
    /// Rings the flusher thread.
    fn ring(&self);
    /// Panics if this thread is inside a round of the committer, and so would wait for itself.
    fn assert_outside(&self, what: &str);
}

/// The waiters that a round settled.
#[derive(Debug)]
#[must_use = "the waiters must be told"]
pub(crate) struct Published<E> {
    notices: BTreeMap<(u64, Registration), Notice<E>>,
    durable: u64,
}

pub(crate) struct Progress<E> {
    /// `durable position << 2 | ENDED | FAILED`.
    state: CachePadded<AtomicU64>,
    pub(crate) baton: CachePadded<Baton>,
    /// The plan of the next round. Advice, written by the leader before it ends its round.
    complete_at: AtomicU64,
    taken: AtomicU64,
    gather_until: AtomicU64,
    sleepers: WaitWord,
    notices: Mutex<Notices<E>>,
    failure: OnceLock<E>,
    /// The answer in a forked copy, made beforehand: there, the medium is not to be touched.
    other_process: E,
    process: Process,
    tag: u64,
    rounds: OnceLock<Weak<dyn Rounds<E>>>,
}

impl<E> std::fmt::Debug for Progress<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Progress").field("durable", &self.durable()).finish_non_exhaustive()
    }
}

impl<E: Clone> Progress<E> {
    pub(crate) fn new(other_process: E, tag: u64) -> Self {
        Self {
            state: CachePadded::new(AtomicU64::new(0)),
            baton: CachePadded::new(Baton::new()),
            complete_at: AtomicU64::new(0),
            taken: AtomicU64::new(0),
            gather_until: AtomicU64::new(0),
            sleepers: WaitWord::new(),
            notices: Mutex::new(Notices::default()),
            failure: OnceLock::new(),
            other_process,
            process: Process::current(),
            tag,
            rounds: OnceLock::new(),
        }
    }

    pub(crate) fn link(&self, rounds: Weak<dyn Rounds<E>>) {
        // Only the committer's constructor calls this, once.
        let _ = self.rounds.set(rounds);
    }

    pub(crate) fn rounds(&self) -> Option<Arc<dyn Rounds<E>>> {
        self.rounds.get().and_then(Weak::upgrade)
    }

    pub(crate) fn tag(&self) -> u64 {
        self.tag
    }

    /// The answer in a forked copy.
    pub(crate) fn other_process(&self) -> E {
        self.other_process.clone()
    }

    /// Whether this is a copy that `fork` made.
    pub(crate) fn is_forked(&self) -> bool {
        !self.process.is_current() && !fz_error::mutants::active("a_forked_committer_acts")
    }

    /// The error that stopped the committer, if one did.
    pub(crate) fn failure(&self) -> Option<&E> {
        // The cell is set before the flag; asked in this order it cannot be empty.
        if self.state() & FAILED == 0 { None } else { self.failure.get() }
    }

    /// The answer for `position`: durable, lost, or neither yet.
    #[inline]
    pub(crate) fn status(&self, position: u64) -> Option<Settled<E>> {
        let state = self.state();
        let durable = state / POSITION;
        if durable >= position {
            return Some(Ok(durable));
        }
        if self.is_forked() {
            return Some(Err(self.other_process.clone()));
        }
        if state & FAILED != 0 { self.failure.get().cloned().map(Err) } else { None }
    }

    /// Whether no position above the durable one will ever be settled.
    pub(crate) fn has_ended(&self) -> bool {
        self.state() & (ENDED | FAILED) != 0 || self.is_forked()
    }

    /// The count at which the gather of the last plan is complete.
    fn complete_at(&self) -> u64 {
        // Relaxed: the baton's change, made before this, acquired the plan.
        self.complete_at.load(Ordering::Relaxed)
    }

    /// When the gather of the last plan is over, in nanoseconds of the committer's life.
    pub(crate) fn gather_until(&self) -> u64 {
        self.gather_until.load(Ordering::Relaxed)
    }

    /// The flusher thread, when the gather of the last plan is over: whether it ends without a round.
    pub(crate) fn relinquish(&self) -> bool {
        self.complete_at() != 0 && self.baton.relinquish(self.taken.load(Ordering::Relaxed))
    }

    /// The flusher thread takes the baton, as [`Baton::pick_up`].
    pub(crate) fn pick_up(&self, is_over: bool) -> PickUp {
        self.baton.pick_up(is_over, || self.complete_at())
    }

    /// The leader, before it ends its round.
    pub(crate) fn set_plan(&self, plan: Plan) {
        // Relaxed: the baton's `end` releases it.
        self.complete_at.store(plan.complete_at, Ordering::Relaxed);
        self.taken.store(plan.taken, Ordering::Relaxed);
        self.gather_until.store(plan.until, Ordering::Relaxed);
    }

    /// A caller begins to wait, as [`Baton::arrive`].
    pub(crate) fn arrive(&self, lead: MayLead) -> Arrival {
        self.baton.arrive(lead, || self.complete_at())
    }

    /// For a task or a callback that was registered: ensures that a round which has not begun yet will be led.
    pub(crate) fn ask_for_round(&self) {
        if self.arrive(MayLead::Never) == Arrival::Ring
            && let Some(rounds) = self.rounds()
        {
            rounds.ring();
        }
    }

    /// Moves the durable position to `target` and takes the notices of the waiters that it settles. Only the leader
    /// calls it, after the sync. `None` if the committer has failed: nothing is declared durable.
    pub(crate) fn publish(&self, target: u64) -> Option<Published<E>> {
        let mut now = self.state.load(Ordering::Relaxed);
        loop {
            if now & FAILED != 0 {
                return None;
            }
            debug_assert!(now / POSITION <= target, "the durable position would go back from {now} to {target}");
            let next = (target * POSITION) | (now & ENDED);
            // Release: pairs with the Acquire in `state`: a thread that sees the position durable sees the round that
            // made it so. Acquire is not needed: nothing is read through the old value.
            match self.state.compare_exchange_weak(now, next, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => break,
                Err(other) => now = other,
            }
        }
        let notices = lock(&self.notices).take_through(target);
        Some(Published { notices, durable: target })
    }

    /// Wakes the blocked threads, and then the tasks that were settled. Without any lock and without the baton.
    pub(crate) fn tell(&self, published: Published<E>) {
        self.sleepers.wake_all();
        if fz_error::mutants::active("wake_first_waiter_only") {
            let first = published.notices.into_iter().take(1).collect();
            return give(first, &Ok(published.durable));
        }
        give(published.notices, &Ok(published.durable));
    }

    /// Has every blocked thread look again.
    pub(crate) fn wake_sleepers(&self) {
        self.sleepers.wake_all();
    }

    /// Stops the durable position for good and resolves every ticket above it to `error`. The first call's error is the
    /// reason; true for that call. The caller has made the medium refuse later work.
    pub(crate) fn fail(&self, error: E) -> bool {
        let is_first = self.failure.set(error).is_ok();
        // Release: pairs with the Acquire in `state`, for the cell, and for the refusal: a thread that hears of the
        // failure finds every later piece of work refused.
        self.state.fetch_or(FAILED, Ordering::Release);
        if fz_error::mutants::active("forget_waiters_on_poison") {
            return is_first;
        }
        self.tell_all();
        is_first
    }

    /// Closed, and all accepted work is settled: ends the watches.
    pub(crate) fn finish(&self) {
        // Release: as in `publish`.
        self.state.fetch_or(ENDED, Ordering::Release);
        self.tell_all();
    }

    fn tell_all(&self) {
        self.sleepers.wake_all();
        let notices = lock(&self.notices).take_through(u64::MAX);
        let settled = self.failure().map_or_else(|| Ok(self.durable()), |error| Err(error.clone()));
        give(notices, &settled);
    }

    /// For the mutant `clear_error_on_success`.
    #[cfg(fz_mutants)]
    pub(crate) fn forget_failure(&self) {
        self.state.fetch_and(!FAILED, Ordering::Release);
    }

    /// Registers `waker` for `position`, in place of the one that `registration` names. Returns the status instead if
    /// the position is settled.
    pub(crate) fn register(&self, position: u64, registration: &mut Registration, waker: &Waker) -> Option<Settled<E>> {
        if *registration != 0 && lock(&self.notices).will_wake(position, *registration, waker) {
            // Its notice is still there, so no publisher has passed the position.
            return None;
        }
        // Foreign code, and the caller's own: its panic is the caller's.
        let waker = waker.clone();
        let (status, unused) = self.register_notice(position, registration, Notice::Wake(waker));
        foreign::discard(unused);
        status
    }

    /// Registers `notice` for `position`, unless that is settled; then returns the status and the notice.
    pub(crate) fn register_notice(
        &self,
        position: u64,
        registration: &mut Registration,
        notice: Notice<E>,
    ) -> (Option<Settled<E>>, Option<Notice<E>>) {
        if let Some(status) = self.status(position) {
            // Also in a forked copy, where the lock may be held by a thread that is not here.
            return (Some(status), Some(notice));
        }
        let mut notices = lock(&self.notices);
        // After the lock: see the module's header.
        let status = self.status(position);
        if status.is_some() {
            drop(notices);
            return (status, Some(notice));
        }
        let replaced = notices.insert(position, registration, notice);
        drop(notices);
        foreign::discard(replaced);
        (None, None)
    }

    /// Takes a notice back.
    pub(crate) fn cancel(&self, position: u64, registration: Registration) {
        if self.is_forked() {
            // The lock may have been held when the process was copied, by a thread that is not here.
            return;
        }
        let notice = lock(&self.notices).remove(position, registration);
        foreign::discard(notice);
    }

    /// How many tasks and callbacks wait.
    #[cfg(all(test, fz_loom))]
    pub(crate) fn waiting(&self) -> usize {
        lock(&self.notices).len()
    }

    /// Sleeps until `position` may be settled; returns at once if it is.
    pub(crate) fn sleep(&self, position: u64) {
        let seen = self.sleepers.prepare();
        if self.status(position).is_none() {
            self.sleepers.sleep(seen);
        }
    }

    /// As [`sleep`](Self::sleep), for a thread that takes the baton when the leader hands it over: returns at once if
    /// that has happened.
    pub(crate) fn sleep_while_led(&self, position: u64) {
        let seen = self.sleepers.prepare();
        // After `prepare`: a leader that hands the baton over wakes the sleepers afterwards.
        if self.status(position).is_none() && self.baton.is_led() {
            self.sleepers.sleep(seen);
        }
    }
}

impl<E> Progress<E> {
    fn state(&self) -> u64 {
        // Acquire: pairs with the Release in `publish`, `fail` and `finish`.
        self.state.load(Ordering::Acquire)
    }

    #[inline]
    pub(crate) fn durable(&self) -> u64 {
        self.state() / POSITION
    }
}
