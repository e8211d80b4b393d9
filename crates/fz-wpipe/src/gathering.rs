//! How long a round waits for company.
//!
//! Whoever waited for the last round tends to write and wait again at once. A round that begins with
//! the first of them makes all others wait for the round after it; so it waits until as many wait
//! again, but only while they keep coming: a pause of a third of what a sync takes ends it (threads
//! that do other work between two writes are not waited for), and so does one and a half times a
//! sync, which is about what a missed round costs them.
//!
//! Where all of them together take longer to arrive than a sync does (a thousand tasks of one
//! executor), waiting for all would leave the disk idle meanwhile, and the sync then the executor. Such
//! a round begins when as many are there as arrive during a sync, and at the latest with half: the
//! executor goes on with the others. How long an arrival takes is measured by the gathers themselves,
//! of which every now and then one is for all again.
//!
//! Arrivals are counted by [`Lead`](crate::lead::Lead).
//!
//! The last of the tasks to wait again *lingers*, see [`TaskTurns`](crate::turns::TaskTurns), if it came in
//! time: where tasks write again and again, their executor is then awake when the sync ends, and the flusher
//! thread does not sleep before they are back. Where they don't, nobody lingers.
//!
//! All of this is advice: a stale value makes a round begin early or late, and no more. Hence the
//! `Relaxed` orderings, which pair with nothing.

use std::time::{Duration, Instant};

use crate::core::nanos;
use crate::sync::{AtomicU64, Ordering};

#[derive(Debug)]
pub(crate) struct Gathering {
    born: Instant,
    /// Threads that are blocked on a ticket now.
    waiters: AtomicU64,
    /// The arrivals at which all are back; 0 if nobody is expected.
    complete_at: AtomicU64,
    /// When to wait no longer, in nanoseconds of the pipe's life.
    until: AtomicU64,
    /// How long a pause between two arrivals may be, in nanoseconds.
    pause_max: AtomicU64,
    /// The arrivals that were last seen, and when the next must have come.
    seen: AtomicU64,
    next_until: AtomicU64,
    /// The arrivals when the last plan was made, if it expects tasks and no round has begun since; else `NONE`.
    planned_arrivals: AtomicU64,
    /// When the first of those whom it expects were seen, in nanoseconds of the pipe's life, 0 if none
    /// were; and the arrivals then. How long a processor takes to wake up is no part of what each takes.
    first_at: AtomicU64,
    first_arrivals: AtomicU64,
    /// How long tasks take to arrive, each, in nanoseconds, smoothed.
    arrival_mean: AtomicU64,
    /// How many plans there were with tasks.
    plans: AtomicU64,
    /// Until when a task lingers, in nanoseconds of the pipe's life; 0 if none may.
    linger_until: AtomicU64,
    /// 1 if a task has begun to linger since the flusher thread asked.
    lingered: AtomicU64,
}

/// What the end of a round leaves to plan the next one with.
#[derive(Debug)]
pub(crate) struct RoundEnd {
    /// How many arrivals there had been when the round took its batch, and now: who came in between
    /// waits already.
    pub(crate) taken: u64,
    pub(crate) arrivals: u64,
    /// How many tasks wait, settled or not.
    pub(crate) tasks: usize,
    /// Whether the batch's limits left some of the queue: the next round has its work, and waits for nobody.
    pub(crate) is_cut: bool,
    /// The age of the pipe.
    pub(crate) at: Duration,
    /// What a sync takes.
    pub(crate) sync: Duration,
    /// How long to wait for anybody at most.
    pub(crate) gather_max: Duration,
    /// For how long one of the tasks may linger.
    pub(crate) linger: Option<Duration>,
}

/// By what factor, a ratio, arriving must take longer than a sync before a round begins without all:
/// two halves in turn commit more than all at once as soon as it does, but with twice the syncs.
const LONGER_MIN: [u64; 2] = [5, 4];

/// More arrivals than there will ever be.
const NONE: u64 = u64::MAX;

/// Each so manyth plan is for all, whatever the measured times say.
const PLANS_PER_MEASUREMENT: u64 = 16;

impl Gathering {
    pub(crate) fn new() -> Self {
        Self {
            born: Instant::now(),
            waiters: AtomicU64::new(0),
            complete_at: AtomicU64::new(0),
            until: AtomicU64::new(0),
            pause_max: AtomicU64::new(0),
            seen: AtomicU64::new(0),
            next_until: AtomicU64::new(0),
            planned_arrivals: AtomicU64::new(NONE),
            first_at: AtomicU64::new(0),
            first_arrivals: AtomicU64::new(0),
            arrival_mean: AtomicU64::new(0),
            plans: AtomicU64::new(0),
            linger_until: AtomicU64::new(0),
            lingered: AtomicU64::new(0),
        }
    }

    /// The age of the pipe.
    pub(crate) fn age(&self) -> Duration {
        self.born.elapsed()
    }

    /// A thread begins to wait; it does until the guard is dropped.
    pub(crate) fn wait(&self) -> Waits<'_> {
        self.waiters.fetch_add(1, Ordering::Relaxed);
        Waits(self)
    }

    /// Whether a round may begin: everybody is back, or nobody else seems to come. There have been so many
    /// `arrivals`.
    pub(crate) fn is_complete(&self, arrivals: u64) -> bool {
        if arrivals >= self.complete_at.load(Ordering::Relaxed) {
            return true;
        }
        let now = nanos(self.age());
        if arrivals > self.seen.load(Ordering::Relaxed) {
            self.seen.store(arrivals, Ordering::Relaxed);
            self.next_until.store(now + self.pause_max.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        let is_first = arrivals > self.planned_arrivals.load(Ordering::Relaxed);
        if is_first && self.first_at.load(Ordering::Relaxed) == 0 {
            self.first_arrivals.store(arrivals, Ordering::Relaxed);
            self.first_at.store(now, Ordering::Relaxed);
        }
        now >= self.until.load(Ordering::Relaxed).min(self.next_until.load(Ordering::Relaxed))
    }

    /// When a round ends: whom to expect for the next.
    pub(crate) fn plan(&self, round: &RoundEnd) {
        let &RoundEnd { taken, arrivals, tasks, is_cut, at: now, sync, gather_max: limit, linger } = round;
        let tasks = u64::try_from(tasks).unwrap_or(u64::MAX);
        let company = self.waiters.load(Ordering::Relaxed) + tasks;
        let pause_max = (sync / 3).min(limit);
        self.pause_max.store(nanos(pause_max), Ordering::Relaxed);
        self.next_until.store(nanos(now + pause_max), Ordering::Relaxed);
        self.until.store(nanos(now + (sync * 3 / 2).min(limit)), Ordering::Relaxed);
        self.planned_arrivals.store(if tasks > 0 { arrivals } else { NONE }, Ordering::Relaxed);
        self.first_at.store(0, Ordering::Relaxed);
        let expected = if tasks > 0 { self.share_of(tasks, sync).unwrap_or(company) } else { company };
        // One thread alone leads itself, and waits for nobody. At 0 no task lingers either.
        let waits = (company > 1 || tasks > 0) && !is_cut;
        self.complete_at.store(if waits { taken + expected } else { 0 }, Ordering::Relaxed);
        let linger_until = linger.filter(|_| tasks > 0).map_or(0, |linger| nanos(now + linger));
        self.linger_until.store(linger_until, Ordering::Relaxed);
    }

    /// Until when the task that came as the `arrival`th lingers, in nanoseconds of the pipe's life: if it is
    /// the last of those who were expected, and came in time.
    pub(crate) fn begin_linger(&self, arrival: u64) -> Option<u64> {
        let until = self.linger_until.load(Ordering::Relaxed);
        let lingers = arrival == self.complete_at.load(Ordering::Relaxed)
            && until > 0
            && (cfg!(fz_shuttle) || nanos(self.age()) < self.until.load(Ordering::Relaxed));
        if lingers {
            self.lingered.store(1, Ordering::Relaxed);
        }
        lingers.then_some(until)
    }

    /// Whether a task has lingered since this was asked last. The flusher thread asks.
    pub(crate) fn take_lingered(&self) -> bool {
        self.lingered.swap(0, Ordering::Relaxed) != 0
    }

    /// How many of so many tasks to wait for, if not for all. Threads are too slow to arrive for it
    /// to matter: there the fewest rounds are best.
    fn share_of(&self, tasks: u64, sync: Duration) -> Option<u64> {
        if tasks < 2 {
            return None;
        }
        let plans = self.plans.load(Ordering::Relaxed) + 1;
        self.plans.store(plans, Ordering::Relaxed);
        let share = nanos(sync).checked_div(self.arrival_mean.load(Ordering::Relaxed))?;
        let is_share = tasks * LONGER_MIN[1] >= share * LONGER_MIN[0] && !plans.is_multiple_of(PLANS_PER_MEASUREMENT);
        is_share.then_some(share.min(tasks / 2))
    }

    /// As a round begins: how long those who were expected took to arrive, if tasks were.
    pub(crate) fn account(&self, arrivals: u64, now: Duration) {
        self.planned_arrivals.store(NONE, Ordering::Relaxed);
        let first_at = self.first_at.swap(0, Ordering::Relaxed);
        if first_at == 0 {
            return;
        }
        let came = arrivals.saturating_sub(self.first_arrivals.load(Ordering::Relaxed));
        if let Some(each) = nanos(now).saturating_sub(first_at).checked_div(came) {
            let mean = self.arrival_mean.load(Ordering::Relaxed);
            self.arrival_mean.store(if mean == 0 { each } else { (mean * 7 + each) / 8 }, Ordering::Relaxed);
        }
    }
}

#[derive(Debug)]
pub(crate) struct Waits<'a>(&'a Gathering);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.waiters.fetch_sub(1, Ordering::Relaxed);
    }
}
