//! A file that is opened anew after a failure, in the same process or in a new one.
//!
//! A disk refuses one write or flush, and the pipe stops. The file is opened again on the same mount, the
//! writes that were not acknowledged are made again with more behind them, and then the power is cut:
//! every acknowledged write must be there, those of either life. After a failed write a kernel
//! may mark the page clean and keep state beside it that a later write trusts; only the cut shows it.

mod record;

use std::io;
use std::path::Path;
use std::time::Instant;

use crate::disk::device::FileSystem;
use crate::disk::recorder::DiskFault;
use crate::modes::power::{Budget, explore};
use crate::modes::reopen::record::Disk;
use crate::random::Random;
use crate::report::Findings;
use crate::subject::child::Line;
use crate::subject::plan::Plan;

/// States that are checked after each run, of its second life.
const STATES: u64 = 6;

/// Writes of the first life, and of both.
const WRITES: [u32; 2] = [12, 24];

/// The most slots of one write.
const COUNT_MAX: u64 = 2;

/// Runs in a row that made fewer requests than the one that was to fail.
const UNMET_MAX: u64 = 2;

/// The latest request with which a sample begins.
const SAMPLE_FIRST_MAX: u64 = 6;

/// A file system and how it is mounted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mounted {
    pub(crate) file_system: FileSystem,
    /// Of the phases' names.
    pub(crate) name: &'static str,
    pub(crate) options: &'static str,
}

impl Mounted {
    /// The ways in which a file system orders data and metadata and answers errors of its own. The last way of
    /// ext4 differs only once its journal has failed: it is left to `every` fault.
    pub(crate) fn of(file_system: FileSystem, every: bool) -> Vec<Self> {
        let mounted = |name, options| Self { file_system, name, options };
        match file_system {
            FileSystem::Ext4 if every => {
                vec![
                    mounted("ext4", ""),
                    mounted("ext4 writeback", "data=writeback"),
                    mounted("ext4 remount-ro", "errors=remount-ro"),
                ]
            }
            FileSystem::Ext4 => vec![mounted("ext4", ""), mounted("ext4 writeback", "data=writeback")],
            FileSystem::Xfs => vec![mounted("xfs", "")],
            FileSystem::Btrfs => vec![mounted("btrfs", "")],
        }
    }
}

/// The state of the blocks that the failing writes meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blocks {
    Sparse,
    Allocated,
    Zeroed,
    /// Zeroed by growths, which fail as well.
    Grown,
}

impl Blocks {
    pub(crate) const ALL: [Self; 4] = [Self::Sparse, Self::Allocated, Self::Zeroed, Self::Grown];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sparse => "sparse",
            Self::Allocated => "allocated",
            Self::Zeroed => "zeroed",
            Self::Grown => "grown",
        }
    }

    /// Both lives of a file: one writer, so that the n-th write has epoch n, and no slot written twice.
    fn plan(self, random: &mut Random) -> Plan {
        let plan = Plan {
            slot_size: random.pick(&[512, 4096, 4096]),
            slots: u64::from(WRITES[1]) * COUNT_MAX,
            writers: 1,
            writes: WRITES[1],
            count_max: COUNT_MAX,
            wait_every: random.pick(&[1, 1, 2]),
            grow_every: 0,
            distinct: true,
            // As `Plan::preallocation` numbers them.
            preallocation: match self {
                Self::Sparse => 0,
                Self::Allocated => 1,
                Self::Zeroed | Self::Grown => 2,
            },
            ..Plan::small(random, 1)
        };
        if self == Self::Grown {
            // Two slots more for each two writes: all but the first few writes lie in slots of a growth.
            return Plan { slots: 4, count_max: 1, grow_every: 2, ..plan };
        }
        plan
    }
}

/// Where the file is opened anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Process {
    Same,
    New,
}

/// What the disk refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Request {
    Write,
    Flush,
}

impl Request {
    /// The requests in a row that fail where not every one does: among the writes that make one batch of a file
    /// durable is the data itself.
    fn sample(self) -> u64 {
        match self {
            Self::Write => 5,
            Self::Flush => 1,
        }
    }

    fn fault(self, number: u64) -> DiskFault {
        match self {
            Self::Write => DiskFault { write: number, ..DiskFault::default() },
            Self::Flush => DiskFault { flush: number, ..DiskFault::default() },
        }
    }
}

/// Lets writes and then flushes of the disk fail, one in each run, from the file's opening on: `every` one in
/// front of either process, or a few in a row.
pub(crate) fn check(
    mounted: Mounted,
    blocks: Blocks,
    seed: u64,
    every: bool,
    until: Option<Instant>,
    directory: &Path,
) -> io::Result<Findings> {
    let mut findings = Findings::default();
    let mut random = Random::part(seed, blocks as u64);
    let disk = Disk::new(mounted, random.word(), directory)?;
    for request in [Request::Write, Request::Flush] {
        let first = if every { 1 } else { 1 + random.below(SAMPLE_FIRST_MAX) };
        let mut unmet = 0;
        for number in first.. {
            // A sample goes on until a file was written again, which a file system that has stopped refuses.
            let sampled = !every && number >= first + request.sample() && findings.counted("reopened") > 0;
            if sampled || unmet >= UNMET_MAX || findings.is_over(until) {
                break;
            }
            let process = random.pick(&[Process::Same, Process::New]);
            for process in if every { vec![Process::Same, Process::New] } else { vec![process] } {
                let plan = blocks.plan(&mut random);
                let met = one_run(&disk, &plan, request.fault(number), process, &mut random, until, &mut findings)?;
                unmet = if met { 0 } else { unmet + 1 };
            }
        }
    }
    findings.require(until, &["pipes stopped", "reopened", "acks checked"]);
    Ok(findings)
}

/// One life that meets `fault`, the next one, and the cut. False if the fault was not met.
fn one_run(
    disk: &Disk<'_>,
    plan: &Plan,
    fault: DiskFault,
    process: Process,
    random: &mut Random,
    until: Option<Instant>,
    findings: &mut Findings,
) -> io::Result<bool> {
    let Some(run) = disk.record(plan, WRITES[0], fault, process)? else { return Ok(false) };
    findings.count("runs", 1);
    if let Err(failure) = judge(&run.first, &run.second, run.opened, findings) {
        findings.fail(format!("{fault:?} {process:?} {plan:?}: {failure}"));
    }
    let found = explore(&run.recording, random, Budget { states: STATES, until }, disk.directory())?;
    if found.failed() > 0 {
        let lost = match process {
            Process::Same => "states lost after the same process",
            Process::New => "states lost after a new one",
        };
        findings.count(lost, found.failed());
        findings.fail(format!("{fault:?}, opened anew by the {process:?} process, {plan:?}:"));
    }
    findings.merge(found);
    Ok(true)
}

/// Counts how two lives ended, by the errors of each. Every error must have a cause.
///
/// # Errors
///
/// What is wrong, in words.
fn judge(first: &[Line], second: &[Line], opened: bool, findings: &mut Findings) -> Result<(), String> {
    if let Some(broken) = first.iter().chain(second).find(|line| !matches!(line, Line::Error(Some(_), _))) {
        return Err(format!("an error without a cause, or one that no disk may cause: {broken:?}"));
    }
    let outcome = match (opened, second.is_empty()) {
        (true, true) => "reopened",
        (true, false) => "stopped again",
        (false, false) => "refused to open",
        (false, true) => return Err("the file was not opened anew, and no error says why".to_owned()),
    };
    findings.count("pipes stopped", u64::from(!first.is_empty()));
    findings.count(outcome, 1);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_slot_is_written_twice_and_each_is_there_when_it_is_written() {
        for (blocks, seed) in Blocks::ALL.into_iter().flat_map(|blocks| (0..20).map(move |seed| (blocks, seed))) {
            let plan = blocks.plan(&mut Random::new(seed));
            let (mut slots, mut next) = (plan.slots, 0);
            for sequence in 0..plan.writes {
                slots += if plan.grows_before(0, sequence) { plan.slots_added() } else { 0 };
                let operation = plan.operation(0, sequence, slots);
                assert!(operation.slot >= next, "{plan:?}: write {sequence} overwrites");
                next = operation.slot + operation.count;
                assert!(next <= slots, "{plan:?}: write {sequence} finds {slots} slots");
                assert_eq!(operation, plan.operation(0, sequence, slots + 1), "a life finds other slots");
            }
        }
    }

    #[test]
    fn a_life_without_a_cause_for_its_failure_is_wrong() {
        let refused = || vec![Line::Error(Some(5), "no luck".to_owned())];
        let mut findings = Findings::default();
        for (second, opened, outcome) in
            [(vec![], true, "reopened"), (refused(), true, "stopped again"), (refused(), false, "refused to open")]
        {
            assert_eq!(judge(&refused(), &second, opened, &mut findings), Ok(()));
            assert_eq!(findings.counted(outcome), 1);
        }
        judge(&refused(), &[], false, &mut findings).unwrap_err();
        for wrong in [Line::Error(None, "a closed pipe".to_owned()), Line::Broken("a hang".to_owned())] {
            judge(&refused(), std::slice::from_ref(&wrong), true, &mut findings).unwrap_err();
            judge(&[wrong], &[], true, &mut findings).unwrap_err();
        }
    }
}
