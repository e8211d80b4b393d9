//! A medium that the tests script, and a watchdog: a lost wake-up must fail a test, not hang the suite.

#![allow(clippy::allow_attributes, dead_code, reason = "each test file uses a part")]

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::task::{Wake, Waker};
use std::thread::{self, ThreadId};
use std::time::Duration;

use fz_commit::{CommitConfig, Committer, Fault, Medium, Ticket};

/// Far beyond what any test here takes on a busy machine. Where hangs are expected, less.
const PATIENCE: Duration = Duration::from_secs(if cfg!(fz_mutants) { 8 } else { 20 });

/// An interval that no test lives to see: unawaited work stays unwritten.
pub(crate) const NEVER: Duration = Duration::from_secs(1 << 20);

/// Runs `body` on a thread of its own; panics if it panics or is stuck.
#[track_caller]
pub(crate) fn finishes<R: Send + 'static>(body: impl FnOnce() -> R + Send + 'static) -> R {
    let (done, is_done) = mpsc::channel();
    let worker = thread::spawn(move || {
        // The receiver is gone only if it has lost patience.
        let _ = done.send(body());
    });
    match is_done.recv_timeout(PATIENCE) {
        Ok(result) => {
            worker.join().expect("it has said that it is done");
            result
        }
        Err(mpsc::RecvTimeoutError::Disconnected) => std::panic::resume_unwind(worker.join().expect_err("it panicked")),
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("stuck: a wake-up was lost"),
    }
}

/// Yields until `is_so`; for changes that no call waits for. Within [`finishes`].
pub(crate) fn until(is_so: impl Fn() -> bool) {
    while !is_so() {
        thread::yield_now();
    }
}

/// A call that the script holds or fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Write,
    Sync,
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    Error,
    Panic,
    /// A panic whose payload panics when it is dropped.
    Bomb,
}

/// Why the scripted medium failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// The call, and how many of its kind came before.
    Scripted(Call, u64),
    Given(&'static str),
    Fault(Fault),
}

/// A panic's payload whose drop panics with another one, without end.
pub(crate) struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        if !thread::panicking() {
            std::panic::panic_any(Bomb);
        }
    }
}

#[derive(Default)]
struct State {
    accepted: u64,
    written: u64,
    /// What would survive a power cut.
    stable: u64,
    is_idle: bool,
    is_closed: bool,
    discards: u64,
    refusals: u64,
    entered: [u64; 2],
    is_held: [bool; 2],
    fault: Option<(Call, u64, How)>,
    /// The threads that called `write`, each call.
    leaders: Vec<ThreadId>,
    /// The most that one `write` takes; 0 is no limit.
    batch_max: u64,
    in_write: Option<Box<dyn FnOnce() + Send>>,
}

/// The test's hand on a medium.
#[derive(Default)]
pub(crate) struct Script {
    state: Mutex<State>,
    changed: Condvar,
}

impl Script {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The calls of this kind do not return before [`release`](Self::release).
    pub(crate) fn hold(&self, call: Call) {
        self.state().is_held[call as usize] = true;
    }

    pub(crate) fn release(&self, call: Call) {
        self.state().is_held[call as usize] = false;
        self.changed.notify_all();
    }

    /// Of the calls of this kind, the one after `skip` more comes to grief.
    pub(crate) fn fail(&self, call: Call, skip: u64, how: How) {
        let mut state = self.state();
        let nth = state.entered[call as usize] + skip;
        state.fault = Some((call, nth, how));
    }

    /// The next `write` begins with `body`.
    pub(crate) fn in_write(&self, body: impl FnOnce() + Send + 'static) {
        self.state().in_write = Some(Box::new(body));
    }

    pub(crate) fn batch_max(&self, batch_max: u64) {
        self.state().batch_max = batch_max;
    }

    /// Blocks until `n` calls of this kind have begun.
    pub(crate) fn until_entered(&self, call: Call, n: u64) {
        let mut state = self.state();
        while state.entered[call as usize] < n {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    pub(crate) fn entered(&self, call: Call) -> u64 {
        self.state().entered[call as usize]
    }

    pub(crate) fn accepted(&self) -> u64 {
        self.state().accepted
    }

    pub(crate) fn stable(&self) -> u64 {
        self.state().stable
    }

    pub(crate) fn discards(&self) -> u64 {
        self.state().discards
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.state().is_closed
    }

    pub(crate) fn leaders(&self) -> Vec<ThreadId> {
        self.state().leaders.clone()
    }

    /// Runs `body` while the medium's lock is held.
    pub(crate) fn locked<R>(&self, body: impl FnOnce() -> R) -> R {
        let _state = self.state();
        body()
    }

    fn enter(&self, call: Call) -> Result<(), Reason> {
        let mut state = self.state();
        let nth = state.entered[call as usize];
        state.entered[call as usize] += 1;
        if call == Call::Write {
            state.leaders.push(thread::current().id());
        }
        self.changed.notify_all();
        while state.is_held[call as usize] {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let hook = if call == Call::Write { state.in_write.take() } else { None };
        let how = state.fault.filter(|fault| (fault.0, fault.1) == (call, nth)).map(|fault| fault.2);
        drop(state);
        if let Some(hook) = hook {
            hook();
        }
        match how {
            None => Ok(()),
            Some(How::Error) => Err(Reason::Scripted(call, nth)),
            Some(How::Panic) => panic!("scripted"),
            Some(How::Bomb) => std::panic::panic_any(Bomb),
        }
    }
}

/// The medium.
pub(crate) struct Scripted(pub(crate) Arc<Script>);

impl Medium for Scripted {
    type Error = Reason;

    fn accepted(&self) -> u64 {
        self.0.accepted()
    }

    fn write(&self, through: u64) -> Result<u64, Reason> {
        self.0.enter(Call::Write)?;
        let mut state = self.0.state();
        let limit = if state.batch_max == 0 { through } else { state.written + state.batch_max };
        state.written = state.written.max(limit.min(state.accepted));
        Ok(state.written)
    }

    fn sync(&self, _through: u64) -> Result<(), Reason> {
        // A sync makes durable the writes that ended before it began.
        let written = self.0.state().written;
        self.0.enter(Call::Sync)?;
        let mut state = self.0.state();
        state.stable = state.stable.max(written);
        Ok(())
    }

    fn announce_idle(&self) -> bool {
        let mut state = self.0.state();
        state.is_idle = state.accepted == state.written;
        state.is_idle
    }

    fn refuse(&self) {
        let mut state = self.0.state();
        state.is_closed = true;
        state.refusals += 1;
    }

    fn discard(&self) {
        self.0.state().discards += 1;
    }

    fn fault(&self, fault: Fault) -> Reason {
        Reason::Fault(fault)
    }
}

/// A committer on a fresh medium.
pub(crate) fn committer(config: CommitConfig) -> (Arc<Script>, Committer<Scripted>) {
    let script = Arc::new(Script::default());
    let committer = Committer::new(Scripted(Arc::clone(&script)), config).expect("a thread more");
    (script, committer)
}

/// Accepts a piece of work, unless the committer has been closed.
pub(crate) fn try_append(committer: &Committer<Scripted>) -> Option<Ticket<Reason>> {
    let mut state = committer.medium().0.state();
    if state.is_closed {
        return None;
    }
    state.accepted += 1;
    let (position, was_idle) = (state.accepted, std::mem::take(&mut state.is_idle));
    drop(state);
    if was_idle {
        committer.work_arrived();
    }
    Some(committer.ticket(position))
}

pub(crate) fn append(committer: &Committer<Scripted>) -> Ticket<Reason> {
    try_append(committer).expect("the committer is open")
}

/// A waker that runs `body`, once.
pub(crate) struct Once(Mutex<Option<Box<dyn FnOnce() + Send>>>);

impl Once {
    pub(crate) fn waker(body: impl FnOnce() + Send + 'static) -> Waker {
        Waker::from(Arc::new(Self(Mutex::new(Some(Box::new(body))))))
    }
}

impl Wake for Once {
    fn wake(self: Arc<Self>) {
        let body = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(body) = body {
            body();
        }
    }
}
