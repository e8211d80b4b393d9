//! Disks that refuse requests, or are full, under a real file system; then the power is cut as well.

use std::io;
use std::path::Path;
use std::time::Instant;

use crate::disk::device::FileSystem;
use crate::disk::recorder::DiskFault;
use crate::plan::Plan;
use crate::power::{Budget, explore, record_with};
use crate::random::Random;
use crate::report::Findings;

const ENOSPC: i32 = 28;

/// States that are checked after each run.
const STATES: u64 = 25;

/// Lets the n-th write or flush of the disk fail, for `runs` different n.
pub(crate) fn check_refusing(
    file_system: FileSystem,
    seed: u64,
    runs: u64,
    until: Option<Instant>,
    directory: &Path,
) -> io::Result<Findings> {
    let mut findings = Findings::default();
    for round in 0..runs {
        if until.is_some_and(|until| Instant::now() >= until) {
            break;
        }
        let mut random = Random::part(seed, round);
        let plan = Plan::small(&mut random, u16::try_from(round % 0xFFFF).expect("less than 2^16"));
        // Creation takes some twenty of each.
        let most = random.pick(&[20, 60, 150]);
        let number = 1 + random.below(most);
        let persistent = random.chance(0.5);
        let fault = match random.below(3) {
            0 => DiskFault { write: number, flush: 0, persistent },
            1 => DiskFault { write: 0, flush: number, persistent },
            _ => DiskFault { write: number, flush: number, persistent },
        };
        let recording = record_with(file_system, &plan, directory, fault, None)?;
        if let Some(broken) = recording.failure.as_ref().filter(|failure| failure.is_broken()) {
            findings.fail(format!("{fault:?} {plan:?}: an error that no disk may cause: {broken}"));
        }
        if let Some(failure) = recording.failure.as_ref().filter(|failure| failure.raw_os_error().is_none()) {
            findings.fail(format!("{fault:?} {plan:?}: the error does not name its cause: {failure}"));
        }
        findings.count("runs", 1);
        findings.count("requests refused", recording.refused);
        findings.count("pipes stopped", u64::from(recording.failure.is_some()));
        findings.merge(explore(&recording, &mut random, Budget { states: STATES, until }, directory)?);
    }
    Ok(findings)
}

/// Writes until the file system is full.
pub(crate) fn check_full(seed: u64, runs: u64, until: Option<Instant>, directory: &Path) -> io::Result<Findings> {
    let mut findings = Findings::default();
    for round in 0..runs {
        if until.is_some_and(|until| Instant::now() >= until) {
            break;
        }
        let mut random = Random::part(seed, round);
        let preallocation = u8::try_from(round % 3).expect("less than 3");
        let plan = Plan {
            slot_size: 4096,
            slots: 4096,
            writers: 2,
            writes: 4_000,
            count_max: 6,
            wait_every: 16,
            grow_every: 0,
            queue_capacity: 1024,
            preallocation,
            ..Plan::small(&mut random, 1)
        };
        // Smaller than the slots alone; blocks of 4 KiB, so that the journal leaves room.
        let plan = Plan { seed: plan.seed & !1, ..plan };
        let recording = record_with(FileSystem::Ext4, &plan, directory, DiskFault::default(), Some(12 << 20))?;
        match &recording.failure {
            Some(failure) if failure.raw_os_error() == Some(ENOSPC) => {}
            Some(failure) => findings.fail(format!("the error does not name its cause: {failure}")),
            None => findings.fail("16 MiB fit on a disk of 12 MiB"),
        }
        findings.count("runs", 1);
        findings.merge(explore(&recording, &mut random, Budget { states: STATES, until }, directory)?);
    }
    Ok(findings)
}
