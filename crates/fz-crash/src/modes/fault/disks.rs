//! Disks that refuse requests, or are full, under a real file system; then the power is cut as well.

use std::io;
use std::path::Path;
use std::time::Instant;

use crate::disk::device::{FileSystem, Room};
use crate::disk::recorder::DiskFault;
use crate::modes::power::{Budget, Recording, explore, record_with};
use crate::random::Random;
use crate::report::Findings;
use crate::subject::plan::Plan;
use crate::subject::workload::Failure;

const ENOSPC: i32 = 28;
const EDQUOT: i32 = 122;

/// What there is room for on a disk that gets full. A run that fills it wants [more](too_large).
const ROOM_BYTES: u64 = 6 << 20;

/// States that are checked after each run.
const STATES: u64 = 25;
const STATES_OF_REQUEST: u64 = 8;

/// Runs in a row that made fewer requests than the one that was to fail.
const UNMET_MAX: u64 = 3;

/// Lets the n-th write or flush of the disk fail, for `runs` different runs and n.
pub(crate) fn check_refusing(
    file_system: FileSystem,
    seed: u64,
    runs: u64,
    until: Option<Instant>,
    directory: &Path,
) -> io::Result<Findings> {
    let mut findings = Findings::default();
    for round in 0..runs {
        if findings.is_over(until) {
            break;
        }
        let mut random = Random::part(seed, round);
        let plan = Plan::small(&mut random, u16::try_from(round % 0xFFFF).expect("less than 2^16"));
        // Creation takes some twenty of each. The first run meets its fault in any case.
        let most = if round == 0 { 1 } else { random.pick(&[20, 60, 150]) };
        let number = 1 + random.below(most);
        let persistent = random.chance(0.5);
        let fault = match random.below(3) {
            0 => DiskFault { write: number, flush: 0, persistent },
            1 => DiskFault { write: 0, flush: number, persistent },
            _ => DiskFault { write: number, flush: number, persistent },
        };
        let recording = refuse(file_system, &plan, fault, &mut findings, directory)?;
        findings.merge(explore(&recording, &mut random, Budget { states: STATES, until }, directory)?);
    }
    findings.require(until, &["requests refused", "states"]);
    Ok(findings)
}

/// Lets each write and each flush of the disk fail, once and then for good, during one small run.
///
/// How many requests a run makes differs a little from one to the next, since the kernel decides when it writes; so
/// it goes on until several runs in a row were over before their request came. What a deadline leaves of a kind of
/// request is left out, and counted.
pub(crate) fn check_every_request(
    file_system: FileSystem,
    preallocation: u8,
    seed: u64,
    until: Option<Instant>,
    directory: &Path,
) -> io::Result<Findings> {
    let mut findings = Findings::default();
    let plan = one_writer(seed, preallocation);
    for (kind, persistent) in [(0, false), (0, true), (1, false), (1, true)] {
        let fault_at = |number| match kind {
            0 => DiskFault { write: number, flush: 0, persistent },
            _ => DiskFault { write: 0, flush: number, persistent },
        };
        let mut unmet = 0;
        for number in 1.. {
            if findings.is_over(until) {
                findings.count("kinds cut short", 1);
                break;
            }
            let recording = refuse(file_system, &plan, fault_at(number), &mut findings, directory)?;
            let budget = Budget { states: STATES_OF_REQUEST, until };
            findings.merge(explore(&recording, &mut Random::part(seed, number), budget, directory)?);
            if recording.refused > 0 {
                unmet = 0;
                findings.count(["writes met", "flushes met"][kind], 1);
            } else {
                unmet += 1;
                if unmet == UNMET_MAX {
                    break;
                }
            }
        }
    }
    findings.require(until, &["writes met", "flushes met", "states"]);
    Ok(findings)
}

/// A run whose n-th request is nearly the same each time.
fn one_writer(seed: u64, preallocation: u8) -> Plan {
    Plan {
        slot_size: 512,
        slots: 8,
        writers: 1,
        writes: 24,
        count_max: 3,
        wait_every: 2,
        grow_every: 10,
        preallocation,
        queue_capacity: 16,
        interval_micros: 200,
        full_sync: false,
        ..Plan::small(&mut Random::new(seed), 1)
    }
}

/// Runs `plan` on a disk with `fault`; every error that it causes must name a cause.
fn refuse(
    file_system: FileSystem,
    plan: &Plan,
    fault: DiskFault,
    findings: &mut Findings,
    directory: &Path,
) -> io::Result<Recording> {
    let recording = record_with(file_system, plan, directory, fault, Room::All)?;
    if let Err(failure) = check_causes(&recording.errors, |_| true) {
        findings.fail(format!("{fault:?} {plan:?}: {failure}"));
    }
    findings.count("runs", 1);
    findings.count("requests refused", recording.refused);
    findings.count("pipes stopped", u64::from(!recording.errors.is_empty()));
    Ok(recording)
}

/// Every error must have a cause, and one that `may_be`. One that no disk may cause can be the last of many.
fn check_causes(errors: &[Failure], may_be: impl Fn(i32) -> bool) -> Result<(), String> {
    if let Some(broken) = errors.iter().find(|error| error.is_broken()) {
        return Err(format!("an error that no disk may cause: {broken}"));
    }
    match errors.iter().find(|error| !error.raw_os_error().is_some_and(&may_be)) {
        Some(error) => Err(format!("the error does not name its cause: {error}")),
        None => Ok(()),
    }
}

/// Why nothing more fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// The file system is full.
    Space,
    /// A quota is exceeded.
    Quota,
}

impl Full {
    /// Those that a file system can be.
    pub(crate) fn of(file_system: FileSystem) -> &'static [Self] {
        if file_system == FileSystem::Btrfs { &[Self::Space, Self::Quota] } else { &[Self::Space] }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Space => "full",
            Self::Quota => "quota",
        }
    }

    fn room(self) -> Room {
        match self {
            Self::Space => Room::Bytes(ROOM_BYTES),
            Self::Quota => Room::Quota(ROOM_BYTES),
        }
    }

    fn errno(self) -> i32 {
        match self {
            Self::Space => ENOSPC,
            Self::Quota => EDQUOT,
        }
    }
}

/// Writes, makes or grows a file until nothing more fits.
pub(crate) fn check_full(
    file_system: FileSystem,
    full: Full,
    seed: u64,
    runs: u64,
    until: Option<Instant>,
    directory: &Path,
) -> io::Result<Findings> {
    let mut findings = Findings::default();
    for round in 0..runs {
        if findings.is_over(until) {
            break;
        }
        let mut random = Random::part(seed, round);
        let plan = too_large(&mut random, round);
        let recording = record_with(file_system, &plan, directory, DiskFault::default(), full.room())?;
        if recording.errors.is_empty() {
            findings.fail(format!("{plan:?}: more fits than {ROOM_BYTES} bytes"));
        }
        if let Err(failure) = check_causes(&recording.errors, |number| number == full.errno()) {
            findings.fail(format!("{plan:?}: {failure}"));
        }
        let made = recording.intervals.last().is_some_and(|interval| interval.promised.slots.is_some());
        findings.count("runs", 1);
        findings.count("files made", u64::from(made));
        findings.merge(explore(&recording, &mut random, Budget { states: STATES, until }, directory)?);
    }
    findings.require(until, &["files made", "acks checked"]);
    Ok(findings)
}

/// A run that wants more than [`ROOM_BYTES`]: of writes to a sparse file, of a file from the start, or of one that
/// grows.
fn too_large(random: &mut Random, round: u64) -> Plan {
    // A sparse file does not fill a disk by growing.
    let (preallocation, grows) = match round % 5 {
        0 => (0, false),
        1 => (1, false),
        2 => (2, false),
        3 => (1, true),
        _ => (2, true),
    };
    let plan = Plan {
        slot_size: 4096,
        slots: if grows { 512 } else { 4096 },
        writers: 2,
        writes: if grows { 150 } else { 4_000 },
        count_max: 6,
        wait_every: 16,
        grow_every: if grows { 10 } else { 0 },
        queue_capacity: 1024,
        preallocation,
        ..Plan::small(random, 1)
    };
    // Blocks of 4 KiB, so that the journal leaves room.
    Plan { seed: plan.seed & !1, ..plan }
}

#[cfg(test)]
mod tests {
    use fz_wpipe::{PipeError, PipeErrorKind};

    use super::*;
    use crate::subject::plan::MODULE_ID;

    /// A legitimate `EIO` came first, and hid the hang that another writer reported a minute later.
    #[test]
    fn an_error_that_no_disk_may_cause_is_found_wherever_it_stands() {
        let failed = |number| {
            let kind = PipeErrorKind::SyncFailed { written: 9, durable: 7 };
            let error = PipeError::new(MODULE_ID, "wait", kind);
            Failure::Pipe(error.with_source(io::Error::from_raw_os_error(number)))
        };
        let broken = Failure::Broken("epoch 9 was heard of only after a minute".to_owned());
        let panicked = PipeErrorKind::Panicked { message: "no luck".to_owned() };
        let panicked = Failure::Pipe(PipeError::new(MODULE_ID, "close", panicked));
        let without = Failure::Pipe(PipeError::new(MODULE_ID, "write", PipeErrorKind::Closed));
        assert_eq!(check_causes(&[failed(5), failed(ENOSPC)], |_| true), Ok(()));
        for wrong in [broken, panicked, without] {
            check_causes(&[failed(5), wrong], |_| true).unwrap_err();
        }
        check_causes(&[failed(ENOSPC), failed(5)], |number| number == ENOSPC).unwrap_err();
    }

    #[test]
    fn an_error_of_another_module_is_one_that_no_disk_may_cause() {
        let kind = PipeErrorKind::WriteFailed { first: 1, last: 2 };
        let error = |module| PipeError::new(module, "wait", kind.clone()).with_source(io::Error::from_raw_os_error(5));
        assert_eq!(check_causes(&[Failure::Pipe(error(MODULE_ID))], |_| true), Ok(()));
        let errors = [MODULE_ID, MODULE_ID + 1].map(|module| Failure::Pipe(error(module)));
        check_causes(&errors, |_| true).unwrap_err();
    }

    #[test]
    fn no_run_that_is_to_fill_a_disk_fits_on_it() {
        for round in 0..5 {
            let plan = too_large(&mut Random::new(round), round);
            let growths = plan.writes.checked_div(plan.grow_every).unwrap_or(0);
            let slots = plan.slots + u64::from(growths) * plan.slots_added();
            assert!(slots * plan.slot_size as u64 > ROOM_BYTES, "{plan:?}");
        }
    }
}
