//! Two lives of one file on one mount, recorded below it.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::disk::device::{LoopDevice, Room};
use crate::disk::image::{Base, Image};
use crate::disk::log::{Interval, Promise, intervals};
use crate::disk::recorder::{DiskFault, Recorder};
use crate::modes::power::{NAME, Recording};
use crate::modes::reopen::{Mounted, Process};
use crate::oracle::history::History;
use crate::os::resources::Directory;
use crate::subject::child::{self, Line};
use crate::subject::content::Accepted;
use crate::subject::plan::Plan;
use crate::subject::workload::{self, Observer};

/// A new file system on a recorded disk, for run after run.
#[derive(Debug)]
pub(crate) struct Disk<'a> {
    mounted: Mounted,
    base: Arc<Base>,
    device: LoopDevice,
    directory: &'a Path,
}

/// What both lives left behind.
#[derive(Debug)]
pub(crate) struct Reopened {
    pub(crate) recording: Recording,
    /// Whether the second life had the file open.
    pub(crate) opened: bool,
    /// The errors of each life.
    pub(crate) first: Vec<Line>,
    pub(crate) second: Vec<Line>,
}

/// What was promised so far.
#[derive(Debug, Default)]
struct State {
    /// By epoch. A write that is made again has its epoch again.
    accepted: BTreeMap<u64, Accepted>,
    durable: u64,
    opened: bool,
}

/// Hears one life, and notes its promises in the disk's log.
struct Life<'a> {
    recorder: &'a Recorder,
    /// What the disk refuses once the file is open.
    fault: DiskFault,
    /// The writes that earlier lives acknowledged: the first epoch of this life is one more.
    before: u64,
    state: &'a Mutex<State>,
}

impl Life<'_> {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hear(&self, line: &Line) {
        match line {
            Line::Slots(slots) if self.state().opened => self.grown(*slots),
            Line::Slots(slots) => self.opened(*slots),
            Line::Accepted(write) => self.accepted(*write),
            Line::Durable(epoch) => self.durable(*epoch),
            Line::Error(..) | Line::Broken(_) | Line::Interrupted(_) | Line::Ended => {}
        }
    }
}

impl Observer for Life<'_> {
    fn opened(&self, slots: u64) {
        self.state().opened = true;
        self.recorder.promise(Promise::Slots(slots));
        self.recorder.fail(self.fault);
    }

    fn accepted(&self, write: Accepted) {
        let write = Accepted { epoch: self.before + write.epoch, ..write };
        self.state().accepted.insert(write.epoch, write);
    }

    fn durable(&self, epoch: u64) {
        let durable = self.before + epoch;
        self.state().durable = durable;
        self.recorder.promise(Promise::Durable(durable));
    }

    fn grown(&self, slots: u64) {
        self.recorder.promise(Promise::Slots(slots));
    }
}

impl<'a> Disk<'a> {
    /// `variant` chooses among block sizes where there is a choice.
    pub(crate) fn new(mounted: Mounted, variant: u64, directory: &'a Path) -> io::Result<Self> {
        let place = Directory::new(directory)?;
        let base = mounted.file_system.make(&place, variant, Room::All)?;
        let device = LoopDevice::new(Image::new(Arc::clone(&base)), directory)?;
        Ok(Self { mounted, base, device, directory })
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory
    }

    /// Runs `plan` up to its write number `writes` on the disk as it was made, with `fault` from the file's opening
    /// on, and then in `process` from the first write on that was not acknowledged. None if the fault was not met.
    pub(crate) fn record(
        &self,
        plan: &Plan,
        writes: u32,
        fault: DiskFault,
        process: Process,
    ) -> io::Result<Option<Reopened>> {
        let recorder = self.device.recorder();
        recorder.fail(DiskFault::default());
        self.device.insert(Image::new(Arc::clone(&self.base)), true)?;
        let mount = self.device.mount_with(self.mounted.file_system, self.mounted.options)?;
        let path = self.device.target().join(NAME);
        let state = Mutex::default();
        let life = |fault, before| Life { recorder, fault, before, state: &state };
        let one = life(fault, 0);
        let first = workload::run(&Plan { writes, ..plan.clone() }, &path, &one);
        let first: Vec<Line> = first.errors.iter().map(Line::of).collect();
        let refused = recorder.refused();
        if refused == 0 {
            mount.unmount()?;
            return Ok(None);
        }
        one.state().opened = false;
        let durable = one.state().durable;
        let again = Plan { first: u32::try_from(durable).map_err(io::Error::other)?, ..plan.clone() };
        let second = self.run(&again, &path, process, &life(DiskFault::default(), durable))?;
        // What the file system writes when it is unmounted is no part of the run: the power is gone.
        let log = recorder.take_log();
        recorder.fail(DiskFault::default());
        mount.unmount()?;
        let State { accepted, opened, .. } = state.into_inner().unwrap_or_else(PoisonError::into_inner);
        let intervals = intervals(&log);
        let is_later = |interval: &Interval| interval.promised.durable > durable;
        let recording = Recording {
            file_system: self.mounted.file_system,
            plan: plan.clone(),
            base: Arc::clone(&self.base),
            examined_from: intervals.iter().position(is_later).unwrap_or(intervals.len() - 1),
            intervals,
            history: History::of(plan.slot_size, Vec::new(), accepted.into_values()),
            errors: Vec::new(),
            refused,
        };
        Ok(Some(Reopened { recording, opened, first, second }))
    }

    /// One life of the file. Returns its errors.
    fn run(&self, plan: &Plan, path: &Path, process: Process, life: &Life<'_>) -> io::Result<Vec<Line>> {
        if process == Process::Same {
            return Ok(workload::run(plan, path, life).errors.iter().map(Line::of).collect());
        }
        let (_running, mut child) = child::start(&child::command_line(plan, path, &[])?)?;
        let output = child.stdout.take().expect("it is piped");
        let mut said = child::listen(output, |line| life.hear(line))?;
        // It watches itself, and its output ended.
        child.wait()?;
        if said.last() != Some(&Line::Ended) {
            said.push(Line::Broken("the second life did not come to its end".to_owned()));
        }
        said.retain(|line| matches!(line, Line::Error(..) | Line::Broken(_)));
        Ok(said)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::log::{Event, Promised};

    #[test]
    fn a_write_that_is_made_again_has_its_epoch_again_and_promises_are_of_both_lives() {
        let image = || Image::new(Arc::new(Base::empty(512)));
        let recorder = Recorder::new(image());
        recorder.insert(image(), true);
        let state = Mutex::default();
        let life = |before| Life { recorder: &recorder, fault: DiskFault::default(), before, state: &state };
        let write = |tag, epoch| Line::Accepted(Accepted { tag, epoch, slot: tag, count: 1 });
        let first = [Line::Slots(4), write(10, 1), write(11, 2), Line::Durable(1)];
        first.iter().for_each(|line| life(0).hear(line));
        let second = [Line::Slots(4), write(11, 1), write(12, 2), Line::Durable(2), Line::Slots(6)];
        second.iter().for_each(|line| life(1).hear(line));
        let state = state.into_inner().unwrap();
        let accepted: Vec<_> = state.accepted.values().map(|write| (write.epoch, write.tag)).collect();
        assert_eq!(accepted, [(1, 10), (2, 11), (3, 12)]);
        let log = recorder.take_log();
        assert!(log.iter().all(|event| matches!(event, Event::Promise(_))));
        assert_eq!(intervals(&log)[0].promised, Promised { slots: Some(6), durable: 3 });
    }
}
