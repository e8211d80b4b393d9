//! The rounds: one leader writes what was accepted, syncs once, and tells every waiter that is settled.
//!
//! # Ownership
//!
//! ```text
//! Committer ──Arc──► Core ──┬── medium        what is committed to
//!                     ▲     ├── leading       Mutex: what only the leader touches
//!                     │     └── duty ────────► Flusher: threads and timers, also of other committers
//! Flusher ───────Arc──┘
//! Ticket ────Arc──► Progress                  what is durable, which callers wait, which thread leads
//!                     (weak link to Core)
//! ```
//!
//! # A round
//!
//! The leader takes the accepted work, writes it, syncs, makes the plan of the next round, moves the durable position,
//! releases the baton, and only then calls foreign code: wakers, callbacks, observers. While one sync runs, the next
//! batch forms in the medium's queue.
//!
//! # The promise that a thread leads
//!
//! See [`Baton`]: no arrival is forgotten. A blocked thread that finds the baton free leads at once: a lone writer pays
//! one write and one sync. As soon as several callers wait, the flusher thread leads, round after round, sleeping until
//! they are gathered; it has one priority, and costs the callers nothing but their own wake-up.
//!
//! # Locks
//!
//! `leading` before the medium's; then the flusher's schedule and the notices, which are leaves.

mod baton;
mod flushing;
mod linger;
mod pace;
mod reentry;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fz_process::foreign;

pub(crate) use self::baton::{Arrival, Baton, MayLead, PickUp};
use self::linger::Linger;
pub(crate) use self::pace::Plan;
use self::pace::{Pace, RoundEnd};
use self::reentry::Within;
use crate::flusher::Duty;
use crate::medium::{Event, Fault, RoundReport};
use crate::stats::{Counters, smooth};
use crate::sync::{AtomicU64, Mutex, Ordering, lock, nanos};
use crate::ticket::Shares;
use crate::waiters::{Progress, Published, Rounds};
use crate::{CommitConfig, Medium};

/// What only the leader touches.
#[derive(Debug, Default)]
struct Leading {
    pace: Pace,
    /// The position that the last sync covered.
    synced: u64,
    /// How long a sync takes, smoothed.
    sync_mean: Duration,
}

/// What a round leaves to do when the baton is released.
struct Outcome<E> {
    /// Accepted work is left: the next round begins at once.
    is_cut: bool,
    is_gathering: bool,
    told: Option<(Published<E>, RoundReport)>,
}

impl<E> Default for Outcome<E> {
    fn default() -> Self {
        Self { is_cut: false, is_gathering: false, told: None }
    }
}

pub(crate) struct Core<M: Medium> {
    pub(crate) progress: Arc<Progress<M::Error>>,
    pub(crate) shares: Shares<M::Error>,
    pub(crate) medium: M,
    pub(crate) duty: Duty,
    pub(crate) counters: Counters,
    config: CommitConfig,
    born: Instant,
    leading: Mutex<Leading>,
    linger: Linger,
    /// When the last round began, in nanoseconds of the committer's life: work that waits since then came later.
    round_began: AtomicU64,
    /// 1 if the flusher thread left the next wake-up to the leader.
    is_left: AtomicU64,
}

impl<M: Medium> Core<M> {
    pub(crate) fn new(medium: M, config: CommitConfig, duty: Duty) -> Arc<Self> {
        let other_process = medium.fault(Fault::OtherProcess);
        let progress = Arc::new(Progress::new(other_process, config.tag));
        let core = Arc::new(Self {
            shares: Shares::new(&progress),
            progress,
            medium,
            duty,
            counters: Counters::new(),
            linger: Linger::new(config.linger_max),
            config,
            born: Instant::now(),
            leading: Mutex::new(Leading::default()),
            round_began: AtomicU64::new(0),
            is_left: AtomicU64::new(0),
        });
        let rounds: std::sync::Weak<Self> = Arc::downgrade(&core);
        core.progress.link(rounds);
        core
    }

    /// The age of the committer.
    fn age(&self) -> Duration {
        self.born.elapsed()
    }

    /// One round by the calling thread, which holds the baton. True if the baton was handed to the flusher thread, and
    /// with it the next round; `ring` is called then, before any waiter is told.
    fn lead(&self, ring: impl FnOnce()) -> bool {
        let mut outcome = Outcome::default();
        if self.progress.failure().is_none() {
            outcome = self.guarded("commit", || self.round(&mut lock(&self.leading))).unwrap_or_default();
        }
        if self.progress.failure().is_some() {
            // No round serves what was wanted any more: every caller has its answer.
            let _ = self.progress.baton.begin();
        }
        let is_handed = outcome.is_cut || outcome.is_gathering;
        let (is_handed, _) = self.progress.baton.end(is_handed && self.progress.failure().is_none());
        self.take_leave(is_handed);
        if is_handed {
            // First: a waker called below may wait for the round that was handed over.
            ring();
            if outcome.told.is_none() {
                // The flusher thread may be among the sleepers, see `wait_in_service`.
                self.progress.wake_sleepers();
            }
        }
        if let Some((published, report)) = outcome.told {
            self.progress.tell(published);
            self.observe(Event::RoundEnded(&report));
        }
        is_handed
    }

    fn round(&self, leading: &mut Leading) -> Result<Outcome<M::Error>, M::Error> {
        let taken = self.progress.baton.begin();
        self.observe(Event::RoundBegan);
        let written = self.write_and_sync(leading);
        self.observe(Event::RoundLeft);
        let (target, is_cut, report) = match written? {
            Ok(synced) => synced,
            Err(is_cut) => return Ok(Outcome { is_cut, ..Outcome::default() }),
        };
        // Before the waiters are told: they may be back at once.
        let plan = leading.pace.plan(&RoundEnd {
            taken,
            arrivals: self.progress.baton.arrivals(),
            is_cut,
            now: self.age(),
            sync: leading.sync_mean,
            gather_max: self.config.gather_max,
        });
        self.progress.set_plan(plan);
        let target =
            if fz_error::mutants::active("ack_what_was_written_ahead") { self.medium.accepted() } else { target };
        // Refused: the committer failed meanwhile, and what this sync covered is not declared durable.
        let told = self.progress.publish(target).map(|published| (published, report));
        Ok(Outcome { is_cut, is_gathering: plan != Plan::default(), told })
    }

    /// Writes and syncs. `Err(is_cut)` if nothing new was written.
    #[expect(clippy::type_complexity, reason = "a position, whether work is left, and the report")]
    fn write_and_sync(&self, leading: &mut Leading) -> Result<Result<(u64, bool, RoundReport), bool>, M::Error> {
        let began = self.age();
        self.round_began.store(nanos(began), Ordering::Relaxed);
        let accepted = self.medium.accepted();
        if fz_error::mutants::active("sync_before_last_write") {
            self.medium.sync(accepted)?;
        }
        let target = self.medium.write(accepted)?;
        let is_cut = target < accepted;
        if target == leading.synced {
            return Ok(Err(is_cut));
        }
        let written_at = self.age();
        if fz_error::mutants::active("ack_before_sync")
            && let Some(published) = self.progress.publish(target)
        {
            self.progress.tell(published);
        }
        if !fz_error::mutants::active("sync_before_last_write") {
            self.medium.sync(target)?;
        }
        let synced_at = self.age();
        let report = RoundReport {
            from: leading.synced,
            through: target,
            write: written_at - began,
            sync: synced_at - written_at,
        };
        leading.synced = target;
        leading.sync_mean = smooth(leading.sync_mean, report.sync);
        self.counters.account(synced_at - began, report.sync);
        Ok(Ok((target, is_cut, report)))
    }

    fn observe(&self, event: Event<'_, M::Error>) {
        let _ = foreign::call(|| self.medium.observe(event));
    }

    /// Runs `body`; its error or panic stops the committer for good.
    pub(crate) fn guarded<R>(&self, operation: &'static str, body: impl FnOnce() -> Result<R, M::Error>) -> Option<R> {
        let outcome = {
            let _inside = reentry::enter(Within::Round, self.name());
            catch_unwind(AssertUnwindSafe(body))
        };
        match outcome {
            Ok(Ok(value)) => return Some(value),
            Ok(Err(error)) => self.fail(error),
            Err(panic) => self.fail_by_panic(operation, panic),
        }
        None
    }

    pub(crate) fn fail_by_panic(&self, operation: &'static str, panic: Box<dyn Any + Send>) {
        let message = message(&*panic);
        foreign::dispose(panic);
        let fault = foreign::call(|| self.medium.fault(Fault::Panicked { operation, message }));
        // A medium that has no error to give has the one that it gave when the committer was made.
        self.fail(fault.unwrap_or_else(|| self.progress.other_process()));
    }

    /// Stops the committer: settles every ticket, refuses all later work, drops what was accepted and not written.
    pub(crate) fn fail(&self, error: M::Error) {
        #[cfg(fz_mutants)]
        if fz_error::mutants::active("clear_error_on_success") {
            // Broken on purpose: some callers hear of it, and the next batch makes up for it.
            let _ = self.progress.fail(error);
            self.progress.forget_failure();
            return;
        }
        // In this order: a caller that hears of the failure finds all later work refused.
        self.refuse();
        let is_first = self.progress.fail(error);
        {
            let _inside = reentry::enter(Within::Round, self.name());
            let _ = foreign::call(|| self.medium.discard());
        }
        if is_first && let Some(reason) = self.progress.failure() {
            self.observe(Event::Stopped(reason));
        }
    }

    /// Refuses all later work.
    pub(crate) fn refuse(&self) {
        let _inside = reentry::enter(Within::Round, self.name());
        let _ = foreign::call(|| self.medium.refuse());
    }

    /// Stops the committer without touching the medium, which may hang with its locks held.
    pub(crate) fn abandon(&self, error: M::Error) {
        self.refuse();
        if self.progress.fail(error)
            && let Some(reason) = self.progress.failure()
        {
            self.observe(Event::Stopped(reason));
        }
    }

    /// Asks for a round at once.
    pub(crate) fn demand(&self) {
        if self.progress.baton.demand() {
            self.duty.ring();
        }
    }

    /// What tells this committer from others, in the record of the rounds that a thread is in.
    fn name(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// Whether this thread is inside a round of this committer: only in foreign code that the round calls.
    pub(crate) fn is_inside(&self) -> bool {
        reentry::is_in(Within::Round, self.name())
    }

    /// When a blocked thread leads. Beside other work a waiter that completes a gather had better not: the flusher
    /// thread sleeps more than any caller, so the scheduler runs it sooner.
    fn may_lead(&self) -> MayLead {
        match (self.config.waiters_lead, self.linger.is_on()) {
            (false, _) => MayLead::Never,
            (true, false) => MayLead::Alone,
            (true, true) => MayLead::Gathered,
        }
    }

    /// The baton was handed to the flusher thread: it leads when the gather is over, or at once if there is none.
    fn call_flusher(&self) {
        match self.progress.gather_until() {
            0 => self.duty.ring(),
            _ if self.progress.baton.is_demanded() => self.duty.ring(),
            _ if fz_error::mutants::active("a_gather_forgets_its_timer") => {}
            until => self.duty.set_timer(Duration::from_nanos(until.saturating_sub(nanos(self.age())))),
        }
    }

    /// A caller that waits begins to: leads a round, or rings the flusher thread, or neither.
    fn arrive(&self, lead: MayLead) {
        match self.progress.arrive(lead) {
            Arrival::Lead => {
                let _ = self.lead(|| self.call_flusher());
            }
            Arrival::Ring => self.duty.ring(),
            Arrival::Wait => {}
        }
    }
}

impl<M: Medium> Rounds<M::Error> for Core<M> {
    fn wait(&self, position: u64) -> Result<u64, M::Error> {
        self.assert_outside("waited for a ticket of");
        if let Some(status) = self.progress.status(position) {
            return status;
        }
        if reentry::is_in_service() {
            return self.wait_in_service(position);
        }
        self.arrive(self.may_lead());
        if self.linger.waits_for(|| self.progress.status(position).is_some()) {
            self.linger.came_in_time();
        }
        loop {
            if let Some(status) = self.progress.status(position) {
                return status;
            }
            self.progress.sleep(position);
        }
    }

    fn ring(&self) {
        self.duty.ring();
    }

    fn assert_outside(&self, what: &str) {
        let advice = "leave that to a task or another thread";
        assert!(!self.is_inside(), "foreign code {what} the committer whose round called it; {advice}");
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("(no message)").to_owned()
}
