//! The state of a disk, and the life of one call on it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use fz_file::Access;

use crate::crash::instants::Recorder;
use crate::disk::history::{History, Operation, Outcome};
use crate::disk::stats::SimStats;
use crate::faults::plan::{ActivePlan, Verdict};
use crate::random::Random;
use crate::tree::Tree;
use crate::tree::inode::{Inode, SyncStart, Thinning};
use crate::{Fault, Op, PowerCut, SimDiskConfig};

/// Everything that changes on a disk.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) tree: Arc<Tree>,
    pub(crate) plan: ActivePlan,
    pub(crate) power_is_on: bool,
    pub(crate) cut_at: Option<u64>,
    /// Calls that began.
    pub(crate) operations: u64,
    /// Changes that were made.
    pub(crate) sequence: u64,
    /// The changes whose call has not returned.
    pub(crate) in_flight: BTreeSet<u64>,
    pub(crate) syncs_running: usize,
    /// By number, the calls that hang and are not released yet.
    pub(crate) hung: BTreeMap<u64, Op>,
    /// The inode of each open file.
    pub(crate) open: BTreeMap<u64, u64>,
    pub(crate) next_open: u64,
    /// By inode, the open files that hold its lock.
    pub(crate) locks: BTreeMap<u64, BTreeMap<u64, Access>>,
    /// Inodes that lost a name and may be left without use.
    pub(crate) unlinked: BTreeSet<u64>,
    pub(crate) history: History,
    pub(crate) stats: SimStats,
    /// Told of each operation while a crash test records the run.
    pub(crate) recorder: Option<Recorder>,
}

impl State {
    pub(crate) fn tree_mut(&mut self) -> &mut Tree {
        Arc::make_mut(&mut self.tree)
    }

    pub(crate) fn inode_mut(&mut self, inode: u64) -> &mut Inode {
        self.tree_mut().inode_mut(inode)
    }

    pub(crate) fn thinning(&self, config: &SimDiskConfig) -> Thinning {
        // The versions that a running sync covers are decided when it ends, so all that it may cover must stay.
        (self.syncs_running == 0 && self.in_flight.is_empty()).then_some(config.versions_max)
    }

    /// Forgets the files that have neither name nor user.
    pub(crate) fn collect(&mut self) {
        if self.unlinked.is_empty() {
            return;
        }
        let open: BTreeSet<u64> = self.open.values().copied().collect();
        let tree = Arc::clone(&self.tree);
        let gone = self.unlinked.iter().copied().filter(|inode| !open.contains(inode) && !tree.means(*inode));
        let gone: Vec<u64> = gone.collect();
        drop(tree);
        for inode in gone {
            self.unlinked.remove(&inode);
            self.tree_mut().inodes.remove(&inode);
        }
    }
}

/// A disk: the state that its handles and open files share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: SimDiskConfig,
    /// Held for the whole of a call, except while the call pauses. Nothing else is locked under it.
    state: Mutex<State>,
    /// Told of hung calls, releases and the power cut.
    pub(crate) changed: Condvar,
}

impl Shared {
    pub(crate) fn new(config: SimDiskConfig, tree: Tree) -> Self {
        let state = State {
            tree: Arc::new(tree),
            plan: ActivePlan::default(),
            power_is_on: true,
            cut_at: None,
            operations: 0,
            sequence: 0,
            in_flight: BTreeSet::new(),
            syncs_running: 0,
            hung: BTreeMap::new(),
            open: BTreeMap::new(),
            next_open: 1,
            locks: BTreeMap::new(),
            unlinked: BTreeSet::new(),
            history: History::new(config.history_max),
            stats: SimStats::default(),
            recorder: None,
        };
        Self { config, state: Mutex::new(state), changed: Condvar::new() }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        // A panic under the lock is a bug of the model and has been reported by its panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn wait<'a>(&self, guard: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait(guard).unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs one call: counts it, lets its fault happen or `body`, and records how it ended. `value`
    /// is the number that the history shows for a success.
    pub(crate) fn call<T>(
        &self,
        asked: Asked<'_>,
        body: impl FnOnce(&mut Call<'_>) -> io::Result<T>,
        value: impl FnOnce(&T) -> u64,
    ) -> io::Result<T> {
        let mut call = Call::begin(self, asked);
        if call.verdict.fault == Some(Fault::Panic) {
            call.panic();
        }
        let result = if !call.state().power_is_on {
            Err(PowerCut.to_io())
        } else if let Some(Fault::Error(errno)) = call.verdict.fault {
            call.pause().and_then(|()| Err(errno.to_io()))
        } else {
            body(&mut call)
        };
        call.end(result, value)
    }
}

/// The arguments of a call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) op: Op,
    pub(crate) path: &'a Arc<Path>,
    /// A rename's new path.
    pub(crate) to: Option<&'a Arc<Path>>,
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
}

impl Asked<'_> {
    /// Whether the call has a range of bytes that meets this one.
    pub(crate) fn touches(&self, range: &Range<u64>) -> bool {
        let has_range = matches!(self.op, Op::Read | Op::Write | Op::WriteBack | Op::Allocate);
        has_range && self.bytes > 0 && self.offset < range.end && range.start < self.offset.saturating_add(self.bytes)
    }
}

/// One call in progress, holding the disk's lock.
pub(crate) struct Call<'a> {
    shared: &'a Shared,
    /// `None` only inside [`pause`](Self::pause), while the condition variable has it.
    guard: Option<MutexGuard<'a, State>>,
    asked: Asked<'a>,
    number: u64,
    pub(crate) verdict: Verdict,
    /// The recorder has been told of it.
    recorded: bool,
    /// The power goes during this call: its change may or may not be on the media.
    pub(crate) cut: bool,
}

impl<'a> Call<'a> {
    fn begin(shared: &'a Shared, asked: Asked<'a>) -> Self {
        let mut state = shared.lock();
        state.operations += 1;
        let number = state.operations;
        state.stats.called(asked.op);
        let mut verdict = Verdict::default();
        let mut cut = false;
        if state.power_is_on {
            verdict = state.plan.judge(&asked, number);
            if state.cut_at.is_some_and(|at| number >= at) {
                verdict.fault = Some(Fault::PowerCut);
            }
            cut = verdict.fault == Some(Fault::PowerCut);
            for fault in verdict.pause.iter().chain(&verdict.fault) {
                state.stats.injected(fault.kind());
            }
        }
        Self { shared, guard: Some(state), asked, number, verdict, recorded: false, cut }
    }

    pub(crate) fn state(&mut self) -> &mut State {
        self.guard.as_mut().expect("the lock is held except while the call pauses")
    }

    pub(crate) fn config(&self) -> &'a SimDiskConfig {
        &self.shared.config
    }

    pub(crate) fn draws(&self) -> Random {
        Random::new(self.verdict.draw)
    }

    /// Draws of this call that no fault asked for.
    pub(crate) fn order(&self) -> Random {
        Random::of_call(self.shared.config.seed, self.number)
    }

    pub(crate) fn pauses(&self) -> bool {
        self.verdict.pause.is_some() && !self.cut
    }

    /// Waits if the call's fault says so, with the lock released meanwhile.
    pub(crate) fn pause(&mut self) -> io::Result<()> {
        if !self.pauses() {
            return Ok(());
        }
        let mut state = self.guard.take().expect("the lock is held when a call pauses");
        match self.verdict.pause {
            Some(Fault::Delay(delay)) => {
                let start = Instant::now();
                while let Some(left) =
                    delay.checked_sub(start.elapsed()).filter(|left| !left.is_zero() && state.power_is_on)
                {
                    state = self.shared.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
                }
            }
            _ => {
                let number = self.number;
                state.hung.insert(number, self.asked.op);
                self.shared.changed.notify_all();
                while state.power_is_on && state.hung.contains_key(&number) {
                    state = self.shared.wait(state);
                }
                state.hung.remove(&number);
            }
        }
        let power_is_on = state.power_is_on;
        self.guard = Some(state);
        if power_is_on { Ok(()) } else { Err(PowerCut.to_io()) }
    }

    /// Makes one change, which is in flight until the call returns.
    pub(crate) fn change<T>(&mut self, apply: impl FnOnce(&mut State, u64) -> io::Result<T>) -> io::Result<T> {
        let pauses = self.pauses();
        let state = self.state();
        let sequence = state.sequence + 1;
        let value = apply(state, sequence)?;
        state.sequence = sequence;
        if pauses {
            state.in_flight.insert(sequence);
            self.pause()?;
            self.state().in_flight.remove(&sequence);
        }
        Ok(value)
    }

    /// Tells the recorder, once, that the power could go now in the middle of this call.
    fn record(&mut self) {
        let number = self.number;
        let was_recorded = std::mem::replace(&mut self.recorded, true);
        let state = self.state();
        if let Some(recorder) = state.recorder.as_ref().filter(|_| state.power_is_on && !was_recorded) {
            recorder.offer(number, &state.tree);
        }
    }

    /// Runs a sync: `apply` settles it, given when it began and, if it fails, how.
    pub(crate) fn sync(
        &mut self,
        apply: impl FnOnce(&mut State, &SyncStart, Option<Fault>) -> io::Result<()>,
    ) -> io::Result<()> {
        let state = self.state();
        let start = SyncStart { sequence: state.sequence, in_flight: state.in_flight.clone() };
        state.syncs_running += 1;
        let paused = self.pause();
        let (cut, fault) = (self.cut, self.verdict.fault);
        let state = self.state();
        state.syncs_running -= 1;
        paused?;
        self.record();
        let state = self.state();
        if cut || fault == Some(Fault::SyncIgnored) { Ok(()) } else { apply(state, &start, fault) }
    }

    /// Panics as the fault plan says, once the call is recorded and the lock released.
    fn panic(mut self) -> ! {
        let (op, path) = (self.asked.op, Arc::clone(self.asked.path));
        let paused = self.pause();
        let _ = self.end(paused, |()| 0);
        panic!("the fault plan lets {op} of {} panic", path.display());
    }

    fn end<T>(mut self, result: io::Result<T>, value: impl FnOnce(&T) -> u64) -> io::Result<T> {
        let outcome = match &result {
            _ if self.cut => Outcome::PowerCut,
            _ if self.verdict.fault == Some(Fault::Panic) => Outcome::Panicked,
            Ok(done) => Outcome::Ok(value(done)),
            Err(error) => Outcome::of_error(error),
        };
        let fault = self.verdict.fault.or(self.verdict.pause).map(|fault| fault.kind());
        self.record();
        let (number, asked) = (self.number, self.asked);
        let state = self.state();
        if !matches!(outcome, Outcome::Ok(_)) {
            state.stats.failed(asked.op);
        }
        if outcome == Outcome::PowerCut {
            state.power_is_on = false;
            self.shared.changed.notify_all();
        }
        let Asked { op, path, to, offset, bytes } = asked;
        let (path, to) = (Arc::clone(path), to.map(Arc::clone));
        let operation = Operation { number, op, path, to, offset, bytes, outcome, fault };
        let state = self.state();
        if let Some(recorder) = &state.recorder {
            recorder.ended(operation.clone(), &state.tree);
        }
        state.history.push(operation);
        // Before the result: it can hold an open file, which takes the lock when it is dropped.
        self.guard = None;
        if outcome == Outcome::PowerCut { Err(PowerCut.to_io()) } else { result }
    }
}
