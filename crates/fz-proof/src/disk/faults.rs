//! Which faults a generation meets.

use std::time::Duration;

use fz_sim::{Errno, Fault, FaultPlan, FaultRule, Op, OpSet, PageFate};

use crate::random::Random;

/// What goes wrong in one generation.
#[derive(Clone, Debug)]
pub(crate) struct Faults {
    pub(crate) plan: FaultPlan,
    /// The power goes in this operation, counted from the generation's first.
    pub(crate) cut_at: Option<u64>,
    /// Those in the plan that entitle the pipeline to fail: all but signals, short transfers, delays.
    pub(crate) harmful: Vec<Fault>,
    /// The plan holds from before the file is opened; else from when the pipe runs.
    pub(crate) from_the_start: bool,
    /// A write may be seen, or end, at any of its bytes, not only between sectors.
    pub(crate) splits_writes: bool,
    /// What becomes of pages that a failed sync was to write, for each such fault in the plan.
    pub(crate) page_fates: Vec<&'static str>,
    /// Some call hangs until the workload releases it.
    pub(crate) hangs: bool,
}

/// Where a rule applies, and what happens there.
type Choice = (OpSet, Fault);

impl Faults {
    pub(crate) fn none() -> Self {
        Self {
            plan: FaultPlan::new(),
            cut_at: None,
            harmful: Vec::new(),
            from_the_start: false,
            splits_writes: false,
            page_fates: Vec::new(),
            hangs: false,
        }
    }

    /// Nothing entitles the pipeline to fail.
    pub(crate) fn is_harmless(&self) -> bool {
        self.harmful.is_empty() && self.cut_at.is_none()
    }

    /// `pauses`: whether calls may take time, which only several threads notice.
    pub(crate) fn draw(random: &mut Random, pauses: bool) -> Self {
        let mut faults = Self::none();
        faults.from_the_start = random.chance(0.25);
        if random.chance(0.25) {
            faults.cut_at = Some(random.within(1, if faults.from_the_start { 40 } else { 90 }));
        }
        for _ in 0..random.pick(&[0, 0, 1, 1, 2]) {
            let (ops, fault) = if random.chance(0.3) { harmless(random) } else { harmful(random) };
            faults.harmful.extend((!is_harmless(ops, fault)).then_some(fault));
            faults.splits_writes |= matches!(fault, Fault::Short | Fault::ErrorAfterPart(_));
            faults.page_fates.extend(match fault {
                Fault::SyncFailed(_, PageFate::Dropped) => Some("dropped and marked clean"),
                Fault::SyncFailed(_, PageFate::Reverted) => Some("reverted"),
                Fault::SyncFailed(_, PageFate::Kept) => Some("kept dirty"),
                _ => None,
            });
            faults.plan = faults.plan.with(place(random, FaultRule::new(ops, fault), fault));
        }
        if pauses && random.chance(0.5) {
            let ops = random.pick(&[OpSet::SYNCS, OpSet::SYNCS, Op::Write.into()]);
            let delay = Fault::Delay(Duration::from_micros(random.within(10, 300)));
            faults.plan = faults.plan.with(FaultRule::new(ops, delay).probability(0.3).times(10));
            faults.splits_writes |= ops.contains(Op::Write);
        }
        if pauses && random.chance(0.1) {
            let ops = random.pick(&[OpSet::SYNCS, Op::Write.into()]);
            faults.plan = faults.plan.with(FaultRule::new(ops, Fault::Hang).nth(random.within(1, 6)));
            faults.splits_writes |= ops.contains(Op::Write);
            faults.hangs = true;
            // While the file is opened, no other thread runs that would release it.
            faults.from_the_start = false;
        }
        faults
    }
}

fn harmless(random: &mut Random) -> Choice {
    match random.index(6) {
        0 => (Op::Write.into(), Fault::Error(Errno::Eintr)),
        1 => (OpSet::SYNCS, Fault::Error(Errno::Eintr)),
        2 => (OpSet::ALL, Fault::Error(Errno::Eintr)),
        3 => (Op::Read.into(), Fault::Short),
        4 => (Op::Allocate.into(), Fault::Error(Errno::Eopnotsupp)),
        _ => (Op::Write.into(), Fault::Short),
    }
}

fn is_harmless(ops: OpSet, fault: Fault) -> bool {
    match fault {
        Fault::Short | Fault::Error(Errno::Eintr) => true,
        Fault::Error(Errno::Eopnotsupp) => ops == OpSet::of(Op::Allocate),
        _ => false,
    }
}

fn harmful(random: &mut Random) -> Choice {
    let write = OpSet::of(Op::Write);
    let full = random.pick(&[Errno::Eio, Errno::Enospc, Errno::Edquot]);
    match random.index(17) {
        0 | 1 => (write, Fault::Error(random.pick(&[full, Errno::Eagain, Errno::Erofs]))),
        2 => (write, random.pick(&[Fault::ErrorAfterPart(full), Fault::TornWrite(full)])),
        3 => (write, Fault::Zero),
        4 | 5 => (write, Fault::LostInBackground(full)),
        6..=9 => (OpSet::SYNCS, Fault::SyncFailed(full, page_fate(random))),
        10 => (OpSet::SYNCS, Fault::Error(random.pick(&[Errno::Eio, Errno::Enospc, Errno::Edquot, Errno::Erofs]))),
        11 => (Op::SyncDirectory.into(), Fault::SyncFailed(Errno::Eio, page_fate(random))),
        12 => (Op::SetLength | Op::Allocate, Fault::Error(full)),
        13 => (Op::RenameNew | Op::Create, Fault::Error(random.pick(&[Errno::Eio, Errno::Enospc, Errno::Erofs]))),
        14 => (Op::Read.into(), random.pick(&[Fault::Error(Errno::Eio), Fault::Zero])),
        15 => {
            let fails = Fault::SyncFailed(full, page_fate(random));
            (Op::WriteBack.into(), random.pick(&[fails, fails, Fault::LostInBackground(full)]))
        }
        _ => {
            let ops = Op::Open | Op::Lock | Op::Length | Op::Remove | Op::PathIdentity | Op::FileIdentity;
            (ops, Fault::Error(random.pick(&[Errno::Eio, Errno::Enomem, Errno::Emfile, Errno::Eacces])))
        }
    }
}

/// The error that the system call returns, then or later.
pub(crate) fn errno(fault: Fault) -> Option<Errno> {
    match fault {
        Fault::Error(errno)
        | Fault::ErrorAfterPart(errno)
        | Fault::TornWrite(errno)
        | Fault::SyncFailed(errno, _)
        | Fault::LostInBackground(errno) => Some(errno),
        _ => None,
    }
}

fn page_fate(random: &mut Random) -> PageFate {
    random.pick(&[PageFate::Dropped, PageFate::Dropped, PageFate::Reverted, PageFate::Kept])
}

fn place(random: &mut Random, rule: FaultRule, fault: Fault) -> FaultRule {
    // A call that is interrupted for ever makes no progress, and must make none.
    let times = if fault == Fault::Error(Errno::Eintr) { random.within(1, 6) } else { u64::MAX };
    let rule = rule.times(times);
    match random.index(4) {
        0 | 1 => rule.nth(random.within(1, 12)),
        2 => rule.from_nth(random.within(1, 20)),
        _ => rule.probability(random.pick(&[0.05, 0.2, 0.5])),
    }
}

/// The name of an error number.
pub(crate) fn name(errno: i32) -> String {
    const KNOWN: [Errno; 10] = [
        Errno::Eio,
        Errno::Enospc,
        Errno::Edquot,
        Errno::Eintr,
        Errno::Erofs,
        Errno::Eagain,
        Errno::Eacces,
        Errno::Emfile,
        Errno::Eopnotsupp,
        Errno::Enomem,
    ];
    let known = KNOWN.iter().find(|known| known.raw() == errno);
    known.map_or_else(|| format!("errno {errno}"), |known| format!("{known:?}").to_uppercase())
}
