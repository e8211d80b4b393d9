//! A run on a real file system, recorded below it.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use crate::disk::device::{FileSystem, LoopDevice, Room};
use crate::disk::image::{Base, Image};
use crate::disk::log::{Interval, Promise, intervals};
use crate::disk::recorder::{DiskFault, Recorder};
use crate::oracle::history::History;
use crate::os::resources::Directory;
use crate::subject::content::Accepted;
use crate::subject::plan::Plan;
use crate::subject::workload::{self, Failure, Observer};

/// The slot file's name on the recorded file system.
pub(crate) const NAME: &str = "slots";

/// What a run left behind, at every moment of it.
#[derive(Debug)]
pub(crate) struct Recording {
    pub(crate) file_system: FileSystem,
    pub(crate) plan: Plan,
    pub(crate) base: Arc<Base>,
    pub(crate) intervals: Vec<Interval>,
    /// The first interval whose states are of interest.
    pub(crate) examined_from: usize,
    pub(crate) history: History,
    /// What its writers and the closing heard of, in the order in which they ended.
    pub(crate) errors: Vec<Failure>,
    /// Requests that the disk refused.
    pub(crate) refused: u64,
}

/// Notes every promise in the disk's log, at the moment at which it was made.
struct Scribe<'a> {
    recorder: &'a Recorder,
    accepted: Mutex<Vec<Accepted>>,
}

impl Observer for Scribe<'_> {
    fn opened(&self, slots: u64) {
        self.recorder.promise(Promise::Slots(slots));
    }

    fn accepted(&self, write: Accepted) {
        self.accepted.lock().unwrap_or_else(PoisonError::into_inner).push(write);
    }

    fn durable(&self, epoch: u64) {
        self.recorder.promise(Promise::Durable(epoch));
    }

    fn grown(&self, slots: u64) {
        self.recorder.promise(Promise::Slots(slots));
    }
}

/// Runs `plan` on a new file system and records it.
pub(crate) fn record(file_system: FileSystem, plan: &Plan, directory: &Path) -> io::Result<Recording> {
    record_with(file_system, plan, directory, DiskFault::default(), Room::All)
}

/// As [`record`], on a file system that has `room`, whose disk refuses what `fault` says from the mount on: the
/// file's creation is hit, too.
pub(crate) fn record_with(
    file_system: FileSystem,
    plan: &Plan,
    directory: &Path,
    fault: DiskFault,
    room: Room,
) -> io::Result<Recording> {
    let place = Directory::new(directory)?;
    let base = file_system.make(&place, plan.seed, room)?;
    let device = LoopDevice::new(Image::new(Arc::clone(&base)), directory)?;
    device.insert(Image::new(Arc::clone(&base)), true)?;
    let mount = device.mount(file_system)?;
    let recorder = device.recorder();
    let scribe = Scribe { recorder, accepted: Mutex::default() };
    recorder.fail(fault);
    let outcome = workload::run(plan, &device.target().join(NAME), &scribe);
    // What the file system writes when it is unmounted is no part of the run: the power is gone.
    let log = recorder.take_log();
    let refused = recorder.refused();
    recorder.fail(DiskFault::default());
    drop(mount);
    let writes = scribe.accepted.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(Recording {
        file_system,
        plan: plan.clone(),
        base,
        intervals: intervals(&log),
        examined_from: 0,
        history: History::of(plan.slot_size, Vec::new(), writes),
        errors: outcome.errors,
        refused,
    })
}
