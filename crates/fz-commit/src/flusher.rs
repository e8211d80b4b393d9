//! The flusher: threads that serve committers when they are rung, or when their timers are due.
//!
//! A committer has a flusher of its own, with one thread, or shares one with others. A schedule, under one lock, holds
//! the committers that were rung, in order, and the timers, by time. A thread takes the first of them, serves it
//! without the lock, and sleeps when there is none, until the next timer is due: one condition variable, and no
//! descriptor.
//!
//! No committer is served by two threads at a time: one that is rung while it is served is served again afterwards.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fz_process::{Process, foreign};

use crate::sync::blocking::{Condvar, Mutex, MutexGuard, lock, wait};
use crate::sync::thread;

/// A model has no clock: there, a timer of at least this time never comes, so that it mends no lost wake-up, and every
/// other one is due at once.
const MODEL_NEVER: Duration = Duration::from_secs(60);

/// What a flusher's thread does for a committer.
pub(crate) trait Serve: Send + Sync {
    /// The committer was rung, or its timer is due.
    fn serve(&self);
    /// The committer was closed by a caller that could not wait: settles what is left.
    fn finish(&self);
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Resting,
    Queued,
    Served,
    /// Rung while it is served.
    Again,
}

#[derive(Default)]
struct Job {
    serve: Option<Arc<dyn Serve>>,
    state: State,
    timer: Option<Instant>,
    /// The thread that serves it.
    server: Option<thread::ThreadId>,
    is_closing: bool,
}

#[derive(Default)]
struct Schedule {
    jobs: HashMap<u64, Job>,
    last_id: u64,
    ready: VecDeque<u64>,
    timers: BTreeSet<(Instant, u64)>,
    threads: Vec<thread::JoinHandle<()>>,
    sleeping: usize,
    /// Threads that serve a committer, whose medium may hang.
    serving: usize,
    /// The last handle is gone: the threads end when no job is left.
    is_stopping: bool,
}

impl Schedule {
    fn queue(&mut self, id: u64) -> bool {
        let Some(job) = self.jobs.get_mut(&id) else { return false };
        match job.state {
            State::Resting => {
                job.state = State::Queued;
                self.ready.push_back(id);
                true
            }
            State::Served => {
                job.state = State::Again;
                false
            }
            State::Queued | State::Again => false,
        }
    }

    fn set_timer(&mut self, id: u64, at: Option<Instant>) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        if let Some(before) = std::mem::replace(&mut job.timer, at) {
            self.timers.remove(&(before, id));
        }
        if let Some(at) = at {
            self.timers.insert((at, id));
        }
    }

    /// Takes a job off, with its timer: a timer without its job would be due for ever.
    fn remove(&mut self, id: u64) -> Option<Job> {
        if !fz_error::mutants::active("a_timer_outlives_its_committer") {
            self.set_timer(id, None);
        }
        self.jobs.remove(&id)
    }

    /// Queues the jobs whose timers are due.
    fn queue_due(&mut self, now: Instant) {
        while let Some(&(at, id)) = self.timers.first()
            // A model has no clock: a timer is always due, see `MODEL_NEVER`.
            && (at <= now || cfg!(fz_shuttle))
        {
            self.set_timer(id, None);
            self.queue(id);
        }
    }
}

struct Shared {
    schedule: Mutex<Schedule>,
    /// A job is ready, a timer is sooner than all others, or the end has come: for a sleeping thread.
    changed: Condvar,
    /// A job was left by the thread that served it: for [`Duty::end`].
    left: Condvar,
    threads_max: usize,
}

/// Shared by all handles of a flusher and the places of its committers: when it goes, the threads end.
struct Handle {
    shared: Arc<Shared>,
    process: Process,
}

impl Handle {
    /// The schedule, but not in a forked copy: there, its lock may be held by a thread that does not exist.
    fn schedule(&self) -> Option<MutexGuard<'_, Schedule>> {
        self.process.is_current().then(|| lock(&self.shared.schedule))
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if let Some(mut schedule) = self.schedule() {
            schedule.is_stopping = true;
            self.shared.changed.notify_all();
        }
    }
}

/// Threads that serve one or several committers. Clones are handles of the same flusher.
///
/// A committer without one in its config has a flusher of its own, with one thread. Many committers that share one cost
/// one thread and one timer in all, and none of their own when idle. A slow or failed medium does not hold the others
/// up: while one thread is inside a sync, another one serves them, up to the number given to [`new`](Self::new).
///
/// The threads end when the last handle and the last committer are gone.
///
/// # Examples
///
/// ```
/// let flusher = fz_commit::Flusher::new(2);
/// assert_eq!(flusher.threads(), 0); // started when the first committer comes
/// ```
#[derive(Clone)]
pub struct Flusher {
    handle: Arc<Handle>,
}

impl Flusher {
    /// A flusher that starts up to `threads_max` threads (at least one): one with the first committer, the others when
    /// a committer waits while all threads are busy with others.
    ///
    /// # Examples
    ///
    /// ```
    /// let flusher = fz_commit::Flusher::new(4); // up to four syncs of different files side by side
    /// # let _ = flusher;
    /// ```
    #[must_use]
    pub fn new(threads_max: usize) -> Self {
        let shared = Arc::new(Shared {
            schedule: Mutex::new(Schedule::default()),
            changed: Condvar::new(),
            left: Condvar::new(),
            threads_max: threads_max.max(1),
        });
        Self { handle: Arc::new(Handle { shared, process: Process::current() }) }
    }

    /// How many of its threads run now.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(fz_commit::Flusher::new(1).threads(), 0);
    /// ```
    #[must_use]
    pub fn threads(&self) -> usize {
        self.handle.schedule().map_or(0, |schedule| schedule.threads.len())
    }

    /// A place for a committer, which is served from [`Duty::begin`] on. Starts the first thread.
    pub(crate) fn place(&self) -> io::Result<Duty> {
        let Some(mut schedule) = self.handle.schedule() else {
            return Err(io::Error::other("the flusher belongs to the process that this one was forked from"));
        };
        if schedule.threads.is_empty() {
            self.handle.shared.start_thread(&mut schedule)?;
        }
        schedule.last_id += 1;
        let id = schedule.last_id;
        schedule.jobs.insert(id, Job::default());
        Ok(Duty { handle: Arc::clone(&self.handle), id })
    }
}

impl fmt::Debug for Flusher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flusher").field("threads_max", &self.handle.shared.threads_max).finish_non_exhaustive()
    }
}

/// A committer's place in the schedule of its flusher.
pub(crate) struct Duty {
    handle: Arc<Handle>,
    id: u64,
}

impl Duty {
    /// From now on the committer is served.
    pub(crate) fn begin(&self, serve: Arc<dyn Serve>) {
        if let Some(mut schedule) = self.handle.schedule()
            && let Some(job) = schedule.jobs.get_mut(&self.id)
        {
            job.serve = Some(serve);
        }
    }

    /// Has the committer served as soon as possible.
    pub(crate) fn ring(&self) {
        if let Some(mut schedule) = self.handle.schedule()
            && schedule.queue(self.id)
        {
            self.handle.shared.wake_a_thread(schedule);
        }
    }

    /// Has the committer served after `after`, if no timer of its own is due sooner. Serving it clears its timer.
    pub(crate) fn set_timer(&self, after: Duration) {
        if cfg!(fz_shuttle) && after >= MODEL_NEVER {
            return;
        }
        let Some(at) = Instant::now().checked_add(after) else { return };
        let Some(mut schedule) = self.handle.schedule() else { return };
        let Some(job) = schedule.jobs.get(&self.id) else { return };
        if job.timer.is_some_and(|before| before <= at) {
            return;
        }
        schedule.set_timer(self.id, Some(at));
        // Only a sleeper must hear of it: a thread that serves this committer looks at the timers before it sleeps. One
        // that serves another may hang in its medium.
        let serves = schedule.jobs.get(&self.id).is_some_and(|job| job.server == Some(thread::current().id()));
        if schedule.sleeping == 0 && serves {
            return;
        }
        if schedule.timers.first().is_some_and(|&(_, id)| id == self.id) {
            self.handle.shared.wake_a_thread(schedule);
        }
    }

    /// Whether other committers wait for a thread.
    pub(crate) fn others_wait(&self) -> bool {
        self.handle.schedule().is_some_and(|schedule| !schedule.ready.is_empty())
    }

    /// All work of the committer is settled: takes it off the schedule, and waits until no thread serves it, unless
    /// this thread does. Threads that serve no other committer and have no other handle end, and are waited for too.
    pub(crate) fn end(&self, is_own_flusher: bool) {
        let Some(mut schedule) = self.handle.schedule() else { return };
        schedule.set_timer(self.id, None);
        let this = thread::current().id();
        let mut removed = None;
        while let Some(job) = schedule.jobs.get(&self.id) {
            if job.server.is_none_or(|server| server == this) {
                removed = schedule.remove(self.id);
                break;
            }
            schedule = wait(&self.handle.shared.left, schedule, None);
        }
        let threads = if is_own_flusher { std::mem::take(&mut schedule.threads) } else { Vec::new() };
        schedule.is_stopping |= is_own_flusher;
        self.handle.shared.changed.notify_all();
        drop(schedule);
        drop(removed);
        for thread in threads {
            if thread.thread().id() != this {
                // It catches every panic.
                let _ = thread.join();
            }
        }
    }

    /// The committer was closed by a caller that cannot wait: the flusher settles what is left, and then ends it.
    pub(crate) fn end_later(&self) {
        let Some(mut schedule) = self.handle.schedule() else { return };
        if let Some(job) = schedule.jobs.get_mut(&self.id) {
            job.is_closing = true;
        }
        if schedule.queue(self.id) {
            self.handle.shared.wake_a_thread(schedule);
        }
    }
}

impl fmt::Debug for Duty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Duty").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Shared {
    fn wake_a_thread(self: &Arc<Self>, mut schedule: MutexGuard<'_, Schedule>) {
        if schedule.sleeping > 0 {
            drop(schedule);
            self.changed.notify_one();
        } else if schedule.serving == schedule.threads.len() && schedule.serving < self.threads_max {
            // If it cannot be started, the threads that run serve the committer when they come to it.
            let _ = self.start_thread(&mut schedule);
        }
    }

    fn start_thread(self: &Arc<Self>, schedule: &mut Schedule) -> io::Result<()> {
        let shared = Arc::clone(self);
        schedule.threads.push(spawn(move || shared.run())?);
        Ok(())
    }

    /// A thread is about to serve a committer, whose medium may hang: another thread takes what is ready, or looks at
    /// the timers meanwhile. A notified thread may have counted as asleep for several jobs, so each passes it on.
    fn leave_a_watch(self: &Arc<Self>, schedule: MutexGuard<'_, Schedule>) {
        if !schedule.ready.is_empty() || (schedule.sleeping == 0 && !schedule.timers.is_empty()) {
            self.wake_a_thread(schedule);
        }
    }

    /// The whole of a thread.
    fn run(self: &Arc<Self>) {
        let mut schedule = lock(&self.schedule);
        loop {
            schedule.queue_due(Instant::now());
            let Some(id) = schedule.ready.pop_front() else {
                if schedule.is_stopping {
                    return;
                }
                schedule = self.sleep(schedule);
                continue;
            };
            schedule.set_timer(id, None);
            let Some(job) = schedule.jobs.get_mut(&id) else { continue };
            job.state = State::Served;
            job.server = Some(thread::current().id());
            let (serve, is_closing) = (job.serve.clone(), job.is_closing);
            schedule.serving += 1;
            self.leave_a_watch(schedule);
            if let Some(serve) = serve {
                // Foreign code is contained where it is called; this is for our own bugs, and for the drop of the
                // medium with the last reference, so that one committer's panic does not end the thread of the others.
                let _ = foreign::call(move || if is_closing { serve.finish() } else { serve.serve() });
            }
            schedule = self.leave(id, is_closing);
        }
    }

    /// After a job was served.
    fn leave(&self, id: u64, is_closed: bool) -> MutexGuard<'_, Schedule> {
        let mut schedule = lock(&self.schedule);
        schedule.serving -= 1;
        let Some(job) = schedule.jobs.get_mut(&id) else { return schedule };
        job.server = None;
        let again = job.state == State::Again;
        job.state = State::Resting;
        if is_closed {
            let removed = schedule.remove(id);
            drop(schedule);
            // The last reference to the committer, perhaps: its drop takes the lock, and the medium's may panic.
            foreign::discard(removed);
            schedule = lock(&self.schedule);
        } else if again {
            schedule.queue(id);
        }
        self.left.notify_all();
        schedule
    }

    fn sleep<'a>(&'a self, mut schedule: MutexGuard<'a, Schedule>) -> MutexGuard<'a, Schedule> {
        schedule.sleeping += 1;
        let next = schedule.timers.first().map(|&(at, _)| at.saturating_duration_since(Instant::now()));
        let mut schedule = wait(&self.changed, schedule, next);
        schedule.sleeping -= 1;
        schedule
    }
}

/// A thread that takes none of the program's signals.
fn spawn(body: impl FnOnce() + Send + 'static) -> io::Result<thread::JoinHandle<()>> {
    #[cfg(not(fz_shuttle))]
    return fz_process::thread::spawn("fz-flusher", body);
    #[cfg(fz_shuttle)]
    Ok(thread::spawn(body))
}

#[cfg(test)]
#[cfg(not(any(fz_loom, fz_shuttle)))]
mod tests;
