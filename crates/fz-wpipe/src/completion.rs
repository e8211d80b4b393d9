//! What is durable, whether the pipe failed, and everybody who waits to hear of it.
//!
//! # Purpose
//!
//! One `Completion` is shared by a pipe and all of its tickets. It outlives the pipe as long as a
//! ticket does, and is small: it holds no buffer and no file, and only a weak link to the pipe.
//!
//! # Parts
//!
//! - `state`: the durable epoch and the failure flag in one word, so that "the durable epoch never
//!   moves after a failure" is a property of one compare-exchange.
//! - `is_told`: whether tickets resolve to the failure. Apart from the flag, so that the queue can
//!   be closed in between: who heard of the failure finds every later write refused.
//! - `tasks`: wakers by epoch, for polled tickets and for waits with a time limit. A publisher
//!   moves the word first and takes the lock second; a registrant takes the lock first and looks
//!   at the word second. So either the registrant sees the new word, or the publisher finds the
//!   waker.
//! - `lead`: who runs the round.
//! - `beds`: two [`WaitWord`]s for blocked threads, used in turn by successive rounds. A thread
//!   whose epoch the round in flight covers sleeps on that round's bed, every other one on the
//!   next round's: a round wakes the threads that it covers, with one system call, and no others.
//!
//! # Which bed
//!
//! `round` holds the in-flight (or last) round's highest epoch `t` and its parity `p`. A thread
//! that waits for `e` reads `(t, p)`, prepares on bed `p` if `e <= t`, else on the other, and reads
//! `round` again: if it changed, it begins anew. Let it have been stable.
//!
//! 1. `e <= t`: that round publishes `t` and then calls `wake_all` on bed `p`. If the call came
//!    before the `prepare`, the thread's look at `state` finds `t`; if after, it wakes the thread.
//! 2. `e > t`: the next round's call on the other bed wakes it, whatever that round covers. Had
//!    that call come before the `prepare`, then `prepare` would have acquired the next round's
//!    store to `round`, and the second reading would have differed.
//!
//! Whether there *is* a next round is [`Lead`]'s matter.
//!
//! # Locks
//!
//! The lock of `tasks` is a leaf: under it no waker is called, cloned or dropped.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{OnceLock, Weak};
use std::task::Waker;

use crossbeam_utils::CachePadded;

use crate::PipeError;
use crate::core::Core;
use crate::gathering::Gathering;
use crate::lead::Lead;
use crate::sync::{AtomicU32, AtomicU64, Mutex, Ordering, lock};
use crate::wait_word::WaitWord;
use crate::waiting::{Registration, Waiting};

/// The lowest bit of `state`; the durable epoch is above it.
const FAILED: u64 = 1;

/// Whom a round settled.
#[derive(Debug, Default)]
#[must_use = "the wakers must be called"]
pub(crate) struct Published {
    /// The wakers of tasks, and of threads with a time limit. To be called, by
    /// [`wake_each_once`], when the lead is given back: a waker may do anything, even close the
    /// pipe, which needs the lead.
    pub(crate) wakers: Vec<Waker>,
    /// How many tasks wait for more than this round covered.
    pub(crate) tasks_left: usize,
}

#[derive(Debug)]
pub(crate) struct Completion {
    /// `durable epoch << 1 | FAILED`.
    state: CachePadded<AtomicU64>,
    /// `highest epoch of the round in flight << 1 | parity`. Written by the leader only.
    round: AtomicU64,
    /// Here and not in the core, because a task that begins to wait needs nothing else of the pipe.
    pub(crate) lead: CachePadded<Lead>,
    pub(crate) gathering: CachePadded<Gathering>,
    beds: [WaitWord; 2],
    tasks: Mutex<Waiting>,
    failure: OnceLock<PipeError>,
    /// 1 once the failure is told.
    is_told: AtomicU32,
    /// The pipe, for whoever waits and finds that nobody leads a round.
    core: OnceLock<Weak<Core>>,
}

impl Completion {
    pub(crate) fn new() -> Self {
        Self {
            state: CachePadded::new(AtomicU64::new(0)),
            round: AtomicU64::new(0),
            lead: CachePadded::new(Lead::new()),
            gathering: CachePadded::new(Gathering::new()),
            beds: [WaitWord::new(), WaitWord::new()],
            tasks: Mutex::new(Waiting::default()),
            failure: OnceLock::new(),
            is_told: AtomicU32::new(0),
            core: OnceLock::new(),
        }
    }

    pub(crate) fn link(&self, core: Weak<Core>) {
        // Only the constructor of the pipe calls this, once.
        let _ = self.core.set(core);
    }

    pub(crate) fn core(&self) -> Option<std::sync::Arc<Core>> {
        self.core.get().and_then(Weak::upgrade)
    }

    fn state(&self) -> u64 {
        // Acquire: pairs with the Release half in `advance` and `freeze`.
        self.state.load(Ordering::Acquire)
    }

    #[inline]
    pub(crate) fn durable(&self) -> u64 {
        self.state() >> 1
    }

    /// The error that stopped the pipe, if one did and was told.
    pub(crate) fn failure(&self) -> Option<&PipeError> {
        // Acquire: pairs with the Release in `tell`.
        if self.is_told.load(Ordering::Acquire) == 0 { None } else { self.reason() }
    }

    /// The error that stopped, or is just stopping, the pipe. For whom the closed queue refused.
    pub(crate) fn reason(&self) -> Option<&PipeError> {
        // The cell is set before the flag; asked in this order it cannot be empty.
        if self.state() & FAILED == 0 { None } else { self.failure.get() }
    }

    /// How it stands with `epoch`: durable, lost, or neither yet.
    #[inline]
    pub(crate) fn status(&self, epoch: u64) -> Option<Result<u64, PipeError>> {
        let state = self.state();
        let durable = state >> 1;
        if durable >= epoch {
            return Some(Ok(durable));
        }
        if state & FAILED != 0 { self.failure().cloned().map(Err) } else { None }
    }

    /// Announces that the sync about to begin will cover every epoch up to `target`.
    ///
    /// Only the leader calls it, once a round, with `target` above every earlier one.
    pub(crate) fn begin_round(&self, target: u64) {
        let parity = self.round.load(Ordering::Relaxed) & 1 ^ 1;
        // Release: pairs with the Acquire in `read_round`. What makes a stale reading harmless is
        // the wake word, see the module's header.
        self.round.store(target << 1 | parity, Ordering::Release);
    }

    fn read_round(&self) -> u64 {
        self.round.load(Ordering::Acquire)
    }

    /// Moves the durable epoch to `target`, unless the pipe has failed. False if it has.
    fn advance(&self, target: u64) -> bool {
        let mut now = self.state.load(Ordering::Relaxed);
        loop {
            if now & FAILED != 0 {
                return false;
            }
            debug_assert!(now >> 1 <= target, "the durable epoch would go back from {} to {target}", now >> 1);
            // Release: pairs with the Acquire in `state`: whoever sees the epoch durable sees the
            // round that made it so. Acquire is not needed: nothing is read through the old value.
            match self.state.compare_exchange_weak(now, target << 1, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(other) => now = other,
            }
        }
    }

    /// Declares every epoch up to `target` durable, wakes the threads that wait for one of them, and
    /// returns the wakers of the tasks that do. Only the leader calls it, after the sync that
    /// [`begin_round`](Self::begin_round) announced. `None` if the pipe has failed: nothing is
    /// declared.
    pub(crate) fn publish(&self, target: u64) -> Option<Published> {
        if !self.advance(target) {
            return None;
        }
        let parity = usize::from(self.read_round() & 1 == 1);
        self.beds[parity].wake_all();
        let mut tasks = lock(&self.tasks);
        let mut wakers = tasks.take_through(target);
        if fz_error::mutants::active("wake_first_waiter_only") {
            wakers.truncate(1);
        }
        Some(Published { wakers, tasks_left: tasks.len() })
    }

    /// Stops the durable epoch for good. The first call's error is the reason.
    ///
    /// Nobody hears of it before [`tell`](Self::tell). A later error is a consequence of the first, and
    /// forgotten.
    pub(crate) fn freeze(&self, error: PipeError) {
        let _ = self.failure.set(error);
        // Release: pairs with the Acquire in `state`, for the cell.
        self.state.fetch_or(FAILED, Ordering::Release);
    }

    /// After [`freeze`](Self::freeze): resolves each ticket above the durable epoch to the error. True
    /// for the first call.
    pub(crate) fn tell(&self) -> bool {
        // Release: pairs with the Acquire in `failure`: who hears of it finds the queue closed.
        let is_first = self.is_told.swap(1, Ordering::Release) == 0;
        if fz_error::mutants::active("forget_waiters_on_poison") {
            return is_first;
        }
        for bed in &self.beds {
            bed.wake_all();
        }
        let wakers = lock(&self.tasks).take_through(u64::MAX - 1);
        wake_each_once(wakers);
        is_first
    }

    /// For the mutant `clear_error_on_success`.
    #[cfg(fz_mutants)]
    pub(crate) fn forget_failure(&self) {
        self.is_told.store(0, Ordering::Release);
        self.state.fetch_and(!FAILED, Ordering::Release);
    }

    /// Leaves `waker` to be woken when `epoch` is settled, in place of what `registration` left
    /// before. Returns the status instead if it is settled already.
    pub(crate) fn register(
        &self,
        epoch: u64,
        registration: &mut Registration,
        waker: &Waker,
    ) -> Option<Result<u64, PipeError>> {
        let waker = waker.clone();
        let mut tasks = lock(&self.tasks);
        // After the lock: see the module's header.
        let status = self.status(epoch);
        let unused = if status.is_none() { tasks.insert(epoch, registration, waker) } else { Some(waker) };
        drop(tasks);
        drop(unused);
        status
    }

    /// For a task that has left a waker and begins to wait: sees to it that a round which has not begun yet
    /// will be led, by the flusher thread. Which arrival that was.
    pub(crate) fn ask_for_round(&self) -> u64 {
        let (is_heard, arrival) = self.lead.arrive_and_ask();
        if !is_heard && let Some(core) = self.core() {
            core.bell.alarm.demand();
        }
        arrival
    }

    /// Takes a waker back.
    pub(crate) fn cancel(&self, epoch: u64, registration: Registration) {
        let waker = lock(&self.tasks).remove(epoch, registration);
        drop(waker);
    }

    /// How many tasks wait.
    pub(crate) fn tasks(&self) -> usize {
        lock(&self.tasks).len()
    }

    /// Sleeps until `epoch` may be settled, or returns at once if it may be already or nobody
    /// leads. `ask_for_round` is asked if the round in flight does not cover `epoch`: it leaves
    /// word with the leader, and is false if there is none.
    pub(crate) fn sleep(&self, epoch: u64, ask_for_round: impl FnOnce() -> bool) {
        let round = self.read_round();
        let covered = epoch <= round >> 1;
        let parity = usize::from((round & 1 == 1) == covered);
        let bed = &self.beds[parity];
        let seen = bed.prepare();
        if self.read_round() != round || self.status(epoch).is_some() || !(covered || ask_for_round()) {
            return;
        }
        bed.sleep(seen);
    }

    /// Wakes one of the threads that the last round did not cover, to lead the next.
    pub(crate) fn wake_a_leader(&self) {
        let next = usize::from(self.read_round() & 1 == 0);
        self.beds[next].wake_one();
    }
}

/// Calls each waker, but one task only once if its tickets lie side by side. Without any lock.
pub(crate) fn wake_each_once(wakers: Vec<Waker>) {
    let mut wakers = wakers.into_iter().peekable();
    while let Some(waker) = wakers.next() {
        if wakers.peek().is_some_and(|next| next.will_wake(&waker)) {
            continue;
        }
        // A waker is foreign code; its panic must not keep the others asleep, nor stop the pipe. The
        // hook has reported it; there is nobody here to hand it to.
        let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
    }
}
