//! A disk with one file, and the questions that several test files ask of both.

#![allow(clippy::allow_attributes, dead_code, reason = "each test file uses a part")]

use std::collections::BTreeSet;

use fz_sim::{Access, Errno, Fault, FaultPlan, FaultRule, OpSet, PageFate, SimDisk, Storage, Volume};

pub(crate) const FILE: &str = "/file";

/// A disk with one durable file of `bytes` zeros, open.
pub(crate) fn disk_with(bytes: usize) -> (SimDisk, Box<dyn Storage>) {
    let disk = SimDisk::new(1);
    let file = opened(&disk, bytes);
    (disk, file)
}

pub(crate) fn opened(disk: &SimDisk, bytes: usize) -> Box<dyn Storage> {
    disk.put(FILE, &vec![0; bytes]).unwrap();
    disk.open(FILE.as_ref(), Access::ReadWrite).unwrap()
}

pub(crate) fn on(disk: &SimDisk, rule: FaultRule) {
    disk.set_faults(FaultPlan::new().with(rule));
}

pub(crate) fn failing_sync(fate: PageFate) -> FaultRule {
    FaultRule::new(OpSet::SYNCS, Fault::SyncFailed(Errno::Eio, fate)).nth(1)
}

/// The lengths of the file in all possible images.
pub(crate) fn lengths(disk: &SimDisk) -> BTreeSet<usize> {
    disk.crash_space().all(1000).unwrap().map(|image| image.contents(FILE).unwrap().len()).collect()
}
