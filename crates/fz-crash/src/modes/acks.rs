//! Every acknowledgement after its sync, as the kernel's own interface saw it.

use std::io;
use std::path::Path;
use std::time::Instant;

use crate::modes::strace::{Job, Traced};
use crate::oracle::history::check_order;
use crate::oracle::trace;
use crate::os::resources::Directory;
use crate::random::Random;
use crate::report::Findings;
use crate::subject::child::Line;
use crate::subject::content::Accepted;
use crate::subject::plan::Plan;

/// Acknowledgements of one child at most: the trace of a million would not fit in memory.
const ACKS_OF_CHILD: u64 = 25_000;
/// Where the calls in which threads wait are traced as well, which are many more.
const ACKS_OF_CHILD_UNDER_SIGNALS: u64 = 2_000;

/// What disturbs the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Disturbance {
    /// Nothing.
    None,
    /// A third of all writes and syncs of the slot file is not made and returns `EINTR`.
    Injected,
    /// Real signals: the kernel decides what they interrupt.
    Signals,
}

/// Traces children that write a file in `on` until `acks` acknowledgements were checked.
pub(crate) fn check(
    seed: u64,
    acks: u64,
    disturbance: Disturbance,
    until: Option<Instant>,
    on: &Path,
    directory: &Path,
) -> io::Result<Findings> {
    let mut findings = Findings::default();
    let injections: Vec<String> = if disturbance == Disturbance::Injected {
        ["pwritev", "fdatasync", "fsync"].map(|call| format!("{call}:error=EINTR:when=2+3")).into()
    } else {
        Vec::new()
    };
    let signals = disturbance == Disturbance::Signals;
    let acks_of_child = if signals { ACKS_OF_CHILD_UNDER_SIGNALS } else { ACKS_OF_CHILD };
    for round in 0_u16.. {
        let left = acks.saturating_sub(findings.counted("acks"));
        if left == 0 || findings.is_over(until) {
            break;
        }
        let plan = plan(&mut Random::part(seed, u64::from(round)), round, left.min(acks_of_child));
        let (place, notes) = (Directory::new(on)?, Directory::new(directory)?);
        let job = Job { plan: &plan, directory: place.path(), notes: notes.path(), injections: &injections, signals };
        let traced = job.run()?;
        if let Err(failure) = verdict(&plan, &traced, disturbance, &mut findings) {
            let kept = notes.keep();
            findings.fail(format!("{failure}\nthe trace is kept in {}", kept.display()));
            break;
        }
    }
    findings.require(until, &["acks"]);
    if disturbance == Disturbance::Injected {
        findings.require(until, &["interrupted calls"]);
    }
    Ok(findings)
}

/// Writers that wait for most of what they write, each in slots of its own.
fn plan(random: &mut Random, round: u16, acks: u64) -> Plan {
    let writers = random.pick(&[2_u8, 4, 8]);
    let wait_every = random.pick(&[1, 1, 2]);
    let writes = u32::try_from(acks * wait_every / u64::from(writers) + 1).expect("a child makes fewer");
    let count_max = random.pick(&[1, 3]);
    Plan {
        writers,
        writes,
        wait_every,
        count_max,
        slots: u64::from(writers) * u64::from(writes) * count_max,
        slot_size: 64,
        distinct: true,
        grow_every: 0,
        preallocation: 2,
        full_sync: random.chance(0.2),
        ..Plan::small(random, round)
    }
}

fn verdict(plan: &Plan, traced: &Traced, disturbance: Disturbance, findings: &mut Findings) -> Result<(), String> {
    if let Some(line) = traced.said.iter().find(|line| matches!(line, Line::Error(..) | Line::Broken(_))) {
        return Err(format!("the run failed on a disk without faults: {line:?}"));
    }
    if !traced.said.contains(&Line::Ended) {
        return Err(format!("the child did not come to its end: {}", traced.errors));
    }
    let accepted = accepted(&traced.said);
    check_order(&accepted, 0)?;
    let proved = trace::check(&traced.events, &accepted, plan.slot_size)?;
    let said = traced.said.iter().filter(|line| matches!(line, Line::Durable(_))).count() as u64;
    if proved.acks != said || said == 0 {
        return Err(format!("{said} acknowledgements were made and {} are in the trace", proved.acks));
    }
    findings.count("acks", proved.acks);
    findings.count("writes covered", proved.writes);
    findings.count("syncs", proved.syncs);
    findings.count("interrupted calls", proved.interrupted_calls);
    if disturbance != Disturbance::Signals {
        return Ok(());
    }
    let reads = traced.said.iter().find_map(|line| match line {
        Line::Interrupted(times) => Some(*times),
        _ => None,
    });
    // Else it would be a check of nothing.
    let (Some(reads @ 1..), 1.., 1..) = (reads, proved.interrupted_waits, proved.signals_in_calls) else {
        return Err(format!("the signals interrupted nothing: {proved:?}, {reads:?} reads"));
    };
    findings.count("signals", proved.signals);
    findings.count("signals in calls", proved.signals_in_calls);
    findings.count("interrupted waits", proved.interrupted_waits);
    findings.count("EINTRs of a read", reads);
    Ok(())
}

/// The writes that a child said were accepted.
pub(crate) fn accepted(said: &[Line]) -> Vec<Accepted> {
    let accepted = said.iter().filter_map(|line| match line {
        Line::Accepted(write) => Some(*write),
        _ => None,
    });
    accepted.collect()
}
