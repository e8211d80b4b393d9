//! The rounds: who may do what to the file, and in which order.
//!
//! # Ownership
//!
//! ```text
//! WritePipe ──Arc──► Core ──┬── sender     the queue's open end: every accepted write
//!     │               ▲     ├── intake     Mutex: the queue's other end
//!     │               │     ├── writer     RwLock: the file, to write
//!     └─ flusher ─Arc─┤     ├── syncer     Mutex: the file, to sync; only who leads locks it
//!        thread       │     │
//! WriteTicket ─Arc─► Completion             what is durable, who waits, and who runs the round
//!                     (weak link to Core)
//! ```
//!
//! # A round
//!
//! With the lead: gather, write a batch of what is queued, and then, without any lock that others need, sync,
//! publish, and give the lead back. So while one sync runs, the next batch forms in
//! the queue, and a reader may write it ahead; so does a thread that waits behind much of it
//! ([`Core::write_ahead`]).
//!
//! A batch is written in pieces, and two threads may take turns with them, see [`batches`].
//!
//! A thread that blocks on a ticket gives way in turn for a while before it sleeps
//! ([`Core::linger`]), because the wake-up of an idle processor costs about as much as a fast sync.
//! Such threads gather without the lead: each looks whether everybody whom the last round settled
//! has written again ([`Gathering`](crate::gathering::Gathering)), and the one whose write was the last
//! of them takes the lead. Of tasks, the last one keeps its executor awake
//! ([`TaskTurns`](crate::turns::TaskTurns)), and the flusher thread stays awake for the next round.
//!
//! # Locks
//!
//! `syncer` before `intake` before `writer` before the locks of the queue, the pool and the completion, which are
//! leaves. The submission path takes none.
//!
//! The tasks of tickets are woken when the lead and all locks are given back (by a failure: with
//! the lead held, and no lock). Those that wait for
//! room in the queue or for memory are woken in the middle of a round, when it makes some, with the
//! intake's or the writer's lock held, or both, and often the lead: their wakers may do anything but wait for this
//! pipe, which [`Core::assert_outside`] turns from a deadlock into a panic.
//!
//! # The promise that somebody leads
//!
//! A blocked thread leads itself if the lead is free, else it lingers, and leaves a wish with the
//! holder before it sleeps. A
//! task's poll and a filling queue call the flusher thread. Whoever gives the lead back passes the
//! wishes on ([`Core::hand_over`]): to the flusher thread for tasks, to one of the sleepers for
//! threads.

mod batches;
mod flusher;
#[cfg(all(test, not(any(fz_loom, fz_shuttle))))]
mod tests;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use crossbeam_utils::CachePadded;
use fz_file::SlotFile;
use fz_mpsc::{Receiver, Sender};

use self::batches::Next;
use crate::bell::Bell;
use crate::completion::{Completion, Published, wake_each_once};
use crate::gathering::RoundEnd;
use crate::intake::Intake;
use crate::lead::{Asker, Wishes};
use crate::stats::Counters;
use crate::sync::{AtomicU64, Mutex, Ordering, RwLock, lock, thread};
use crate::turns::Turns;
use crate::writer::Writer;
use crate::{PipeError, PipeErrorKind, Result, SyncMode, WritePipeConfig, WriteRequest, observe, rounds};

/// What only the leader touches.
#[derive(Debug)]
struct Syncer {
    /// `None` once the pipe is closed.
    file: Option<Arc<SlotFile>>,
    /// The highest epoch that a sync has covered.
    synced: u64,
    /// How long a sync takes, smoothed.
    sync_mean: Duration,
}

/// What a round leaves.
#[derive(Default)]
struct Outcome {
    /// A batch was closed by its limits, or tasks wait for more than the round covered: only the
    /// flusher thread is sure to go on.
    work_remains: bool,
    wakers: Vec<Waker>,
    /// What there is to tell observers, who are foreign code, when those who waited are woken.
    synced: Option<(observe::Left, observe::Synced)>,
}

/// How many rounds' time a thread lingers before it sleeps: its round may be the next, and others'
/// turns come between.
const LINGERS_ROUNDS: u32 = 4;
/// For how many rounds' time a thread must be allowed to linger if it is to linger at all: the rest of
/// the one in flight, and its own.
const LINGERS_ROUNDS_MIN: u32 = 2;

#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) completion: Arc<Completion>,
    pub(crate) sender: Sender<WriteRequest>,
    pub(crate) bell: Arc<Bell>,
    pub(crate) counters: Counters,
    config: WritePipeConfig,
    intake: Mutex<Intake>,
    writer: RwLock<Writer>,
    syncer: Mutex<Syncer>,
    /// The highest epoch handed to the kernel; a copy of the writer's, to be read without its lock.
    written: CachePadded<AtomicU64>,
    /// When the last round began to drain, in nanoseconds of the pipe's life: what has been waiting in
    /// the queue since then came later.
    round_began: AtomicU64,
}

impl Core {
    pub(crate) fn new(
        config: WritePipeConfig,
        file: &Arc<SlotFile>,
        bell: Arc<Bell>,
        sender: Sender<WriteRequest>,
        receiver: Receiver<WriteRequest>,
    ) -> Arc<Self> {
        let core = Arc::new(Self {
            completion: Arc::new(Completion::new()),
            sender,
            bell,
            counters: Counters::default(),
            intake: Mutex::new(Intake::new(receiver, Arc::clone(file), &config)),
            writer: RwLock::new(Writer::new(Arc::clone(file), &config)),
            config,
            syncer: Mutex::new(Syncer { file: Some(Arc::clone(file)), synced: 0, sync_mean: Duration::ZERO }),
            written: CachePadded::new(AtomicU64::new(0)),
            round_began: AtomicU64::new(0),
        });
        core.completion.link(Arc::downgrade(&core));
        core
    }

    pub(crate) fn module_id(&self) -> u8 {
        self.config.module_id
    }

    fn error(&self, operation: &'static str, kind: PipeErrorKind) -> PipeError {
        PipeError::new(self.module_id(), operation, kind)
    }

    /// Blocks until `epoch` is settled.
    ///
    /// # Panics
    ///
    /// In a waker that is called from within a round of this pipe, because the round made room or
    /// gave memory back: the wait would be for its own caller.
    pub(crate) fn wait(&self, epoch: u64) -> Result<u64> {
        self.assert_outside("waited for a ticket of");
        let _waits = self.completion.gathering.wait();
        self.completion.lead.arrive();
        loop {
            if let Some(status) = self.completion.status(epoch) {
                return status;
            }
            self.wait_once(epoch);
        }
    }

    /// One step of it: leads a round, or lingers or sleeps while somebody else does.
    fn wait_once(&self, epoch: u64) {
        self.write_ahead();
        if self.linger(epoch) {
            return;
        }
        if !self.completion.lead.try_acquire() {
            self.completion.sleep(epoch, || self.completion.lead.ask(Asker::Thread));
            return;
        }
        if self.completion.status(epoch).is_none() {
            self.lead_round(|work_remains, wishes| self.hand_over(work_remains, wishes));
        } else {
            self.hand_over(false, self.completion.lead.release());
        }
    }

    /// Gives way in turn until `epoch` is settled, which is true, or until it is time to lead or to
    /// sleep.
    ///
    /// A processor that goes idle and is woken by another costs more than a fast disk's sync, so
    /// for about as long as rounds take, a thread that has nothing to do lets the others run
    /// instead of sleeping; and it leads when *everybody* is back, which the last one to come is
    /// the first to see.
    fn linger(&self, epoch: u64) -> bool {
        if self.completion.lead.is_free() && self.is_gathered() {
            return false;
        }
        let Some(limit) = self.linger_limit() else { return false };
        let mut turns = Turns::new(limit);
        loop {
            thread::yield_now();
            if self.completion.status(epoch).is_some() {
                return true;
            }
            if self.completion.lead.is_free() && self.is_gathered() || turns.are_over() {
                return false;
            }
        }
    }

    /// For how long to linger, if at all.
    fn linger_limit(&self) -> Option<Duration> {
        let (round, limit) = (self.bell.round_mean(), self.config.linger_max);
        (round * LINGERS_ROUNDS_MIN <= limit).then(|| limit.min(round * LINGERS_ROUNDS))
    }

    fn is_gathered(&self) -> bool {
        self.completion.gathering.is_complete(self.completion.lead.arrivals())
    }

    /// Sees to it that what is queued, if anything is, is written and its memory released.
    pub(crate) fn give_memory_back(&self) {
        if self.sender.last_position() > self.written() {
            self.bell.alarm.demand();
        }
    }

    fn hand_over(&self, work_remains: bool, wishes: Wishes) {
        if wishes.need_the_flusher(work_remains) {
            self.bell.alarm.demand();
        } else if wishes.of_flusher() {
            // What it came for is durable now, or younger than this round.
            self.bell.alarm.set(self.time_until_due());
        }
        // Beside a demand too: the flusher thread may itself be among the sleepers (in `finish`, or in
        // a waker that waits for the pipe), and hears none there.
        if wishes.of_threads() {
            self.completion.wake_a_leader();
        }
    }

    /// One round by the caller, who holds the lead; `hand_over` is called when it is given back, and
    /// after that the tasks are woken, and after them the observers told.
    fn lead_round<R>(&self, hand_over: impl FnOnce(bool, Wishes) -> R) -> R {
        let mut outcome = Outcome::default();
        if self.completion.failure().is_none() {
            outcome = self.guarded("flush", || self.round(&mut lock(&self.syncer))).unwrap_or_default();
        }
        let handed_over = hand_over(outcome.work_remains, self.completion.lead.release());
        wake_each_once(outcome.wakers);
        if let Some((round, synced)) = outcome.synced {
            round.synced(&synced, || (self.completion.durable(), self.sender.len()));
        }
        handed_over
    }

    fn round(&self, syncer: &mut Syncer) -> Result<Outcome> {
        let Some(file) = syncer.file.clone() else { return Ok(Outcome::default()) };
        self.gather();
        let observed = observe::Round::enter(self.module_id());
        let began = self.completion.gathering.age();
        self.completion.gathering.account(self.completion.lead.arrivals(), began);
        self.round_began.store(nanos(began), Ordering::Relaxed);
        if fz_error::mutants::active("sync_before_last_write") {
            let _ = file.sync();
        }
        let taken = self.completion.lead.arrivals();
        let (target, is_cut) = self.write_batch(u64::MAX, Next::Sync)?;
        if target == syncer.synced {
            // Nothing was cut either: what is cut was written in part.
            return Ok(Outcome { work_remains: self.completion.tasks() > 0, ..Outcome::default() });
        }
        self.completion.begin_round(target);
        if fz_error::mutants::active("ack_before_sync") {
            wake_each_once(self.completion.publish(target).unwrap_or_default().wakers);
        }
        let written_at = self.completion.gathering.age();
        if !fz_error::mutants::active("sync_before_last_write") {
            self.sync(&file, target)?;
        }
        let synced_at = self.completion.gathering.age();
        let target = if fz_error::mutants::active("ack_what_was_written_ahead") { self.written() } else { target };
        let writes = target - syncer.synced;
        syncer.synced = target;
        self.account(syncer, synced_at - began, synced_at - written_at);

        // Before those who wait are told: they may come back at once.
        self.completion.gathering.plan(&RoundEnd {
            taken,
            arrivals: self.completion.lead.arrivals(),
            tasks: self.completion.tasks(),
            is_cut,
            at: synced_at,
            sync: syncer.sync_mean,
            gather_max: self.config.linger_max,
            linger: self.linger_limit(),
        });
        // Refused: the pipe failed meanwhile, and what this sync covered is not declared durable.
        let Some(Published { wakers, tasks_left }) = self.completion.publish(target) else {
            return Ok(Outcome::default());
        };
        let synced = observe::Synced {
            writes,
            epoch: target,
            queue_depth: self.sender.len(),
            write: written_at - began,
            sync: synced_at - written_at,
        };
        Ok(Outcome { work_remains: is_cut || tasks_left > 0, wakers, synced: Some((observed.leave(), synced)) })
    }

    fn account(&self, syncer: &mut Syncer, round: Duration, sync: Duration) {
        syncer.sync_mean = smooth(syncer.sync_mean, sync);
        self.bell.account(round);
        self.counters.syncs.add(1);
        self.counters.sync_nanos.add(nanos(sync));
        self.counters.sync_nanos_last.set(nanos(sync));
    }

    /// Gives those whom the last round woke the time to write again, so that they share this
    /// round's sync instead of waiting for the next one's. A thread that lingers did so already,
    /// without the lead.
    fn gather(&self) {
        while !cfg!(fz_shuttle) && !self.is_gathered() {
            thread::yield_now();
        }
    }

    fn sync(&self, file: &SlotFile, written: u64) -> Result<()> {
        let sync = || match self.config.sync_mode {
            _ if fz_error::mutants::active("write_back_taken_for_sync") => file.sync_range(0, file.slots()),
            SyncMode::Data => file.sync(),
            SyncMode::Full => file.sync_all(),
            SyncMode::DangerouslyNone => Ok(()),
        };
        let outcome = match sync() {
            Err(_) if fz_error::mutants::active("retry_failed_sync") => sync().or(Ok(())),
            outcome => outcome,
        };
        outcome.map_err(|source| {
            let durable = self.completion.durable();
            self.error("sync", PipeErrorKind::SyncFailed { written, durable }).with_source(source)
        })
    }

    /// Runs `body`; its error or panic stops the pipe for good.
    fn guarded<R>(&self, operation: &'static str, body: impl FnOnce() -> Result<R>) -> Option<R> {
        let outcome = {
            let _entered = rounds::enter(self);
            catch_unwind(AssertUnwindSafe(body))
        };
        match outcome {
            Ok(Ok(value)) => return Some(value),
            Ok(Err(error)) => self.poison(&error),
            Err(panic) => self.poison_by_panic(operation, &*panic),
        }
        None
    }

    pub(crate) fn poison_by_panic(&self, operation: &'static str, panic: &(dyn Any + Send)) {
        self.poison(&self.panicked(operation, panic));
    }

    fn panicked(&self, operation: &'static str, panic: &(dyn Any + Send)) -> PipeError {
        self.error(operation, PipeErrorKind::Panicked { message: message(panic) })
    }

    /// Stops the pipe: settles every ticket, refuses every later write, gives the memory of the
    /// queued ones back.
    ///
    /// Takes the intake's and the writer's lock; call it without.
    pub(crate) fn poison(&self, error: &PipeError) {
        self.completion.freeze(error.clone());
        #[cfg(fz_mutants)]
        if fz_error::mutants::active("clear_error_on_success") {
            // Broken on purpose: some hear of it, and the next batch makes up for it.
            self.completion.tell();
            self.completion.forget_failure();
            self.at_rest().1.forget_failure();
            return;
        }
        {
            // Before anybody is told: who heard of the failure finds every later write refused. This
            // wakes tasks that wait for room, and the lead may be ours.
            let _entered = rounds::enter(self);
            self.close_queue();
        }
        let is_first = self.completion.tell();
        {
            // This wakes tasks that wait for memory.
            let _entered = rounds::enter(self);
            let (mut intake, mut writer) = self.at_rest();
            writer.stop();
            intake.discard();
        }
        if is_first && let Some(reason) = self.completion.reason() {
            // Last of all: a subscriber is foreign code. Not `error`, which may be a consequence.
            observe::stopped(reason);
        }
    }

    /// Refuses every later write.
    pub(crate) fn close_queue(&self) {
        // This wakes tasks that wait for room; the panic of a waker, which is foreign code, must
        // not keep the caller from what comes next.
        let _ = catch_unwind(AssertUnwindSafe(|| self.sender.close()));
    }

    /// The error that stopped the pipe, if accepted writes were lost to it. Takes the intake's and the writer's lock;
    /// call it without.
    pub(crate) fn loss(&self) -> Option<PipeError> {
        if fz_error::mutants::active("read_trusts_a_failed_batch") {
            return None;
        }
        // Whether it happened, not whether it was told: what it has undone is undone before that.
        let reason = self.completion.reason()?;
        // Who hears of it must find every later write refused, so we do not wait until it is told.
        self.poison(reason);
        // Asked last: since the queue is closed, neither moves.
        (self.sender.last_position() > self.completion.durable()).then(|| reason.clone())
    }

    /// The flusher thread, at the end: settles what is left, if who closed the pipe could not wait.
    pub(crate) fn finish(&self) {
        // A failure is told by the tickets; here only the end counts.
        let _ = self.wait(self.sender.last_position());
        self.let_go();
    }

    /// Whether this thread is in a round of this pipe, and so holds the lead or locks: true only in
    /// a waker, or in a user's `Storage`, that the round calls.
    pub(crate) fn is_inside(&self) -> bool {
        rounds::contain(self)
    }

    pub(crate) fn assert_outside(&self, what: &str) {
        assert!(!self.is_inside(), "a waker {what} the pipe that called it; leave that to a task or another thread");
    }

    /// Lets the file go: after everything is settled.
    pub(crate) fn let_go(&self) {
        lock(&self.syncer).file = None;
        let (mut intake, mut writer) = self.at_rest();
        intake.let_go();
        writer.let_go();
    }
}

/// One more measurement of something that changes slowly.
pub(crate) fn smooth(mean: Duration, new: Duration) -> Duration {
    if mean.is_zero() { new } else { (mean * 7 + new) / 8 }
}

pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("(no message)").to_owned()
}
