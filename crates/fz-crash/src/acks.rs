//! Every acknowledgement after its sync, as the kernel's own interface saw it.

use std::io;
use std::path::Path;
use std::time::Instant;

use crate::child::Line;
use crate::history::Accepted;
use crate::plan::Plan;
use crate::random::Random;
use crate::report::Findings;
use crate::resources::Directory;
use crate::{strace, trace};

/// Acknowledgements of one child at most: the trace of a million would not fit in memory.
const ACKS_OF_CHILD: u64 = 25_000;

/// Traces children until `acks` acknowledgements were checked.
///
/// With `storm` a third of all writes and syncs of the slot file is interrupted.
pub(crate) fn check(
    seed: u64,
    acks: u64,
    storm: bool,
    until: Option<Instant>,
    directory: &Path,
) -> io::Result<Findings> {
    let mut findings = Findings::default();
    let injections: Vec<String> = if storm {
        ["pwritev", "fdatasync", "fsync"].map(|call| format!("{call}:error=EINTR:when=2+3")).into()
    } else {
        Vec::new()
    };
    for round in 0_u16.. {
        let left = acks.saturating_sub(findings.counted("acks"));
        if left == 0 || until.is_some_and(|until| Instant::now() >= until) {
            break;
        }
        let plan = plan(&mut Random::part(seed, u64::from(round)), round, left.min(ACKS_OF_CHILD));
        let place = Directory::new(directory)?;
        let traced = strace::run(&plan, place.path(), &injections)?;
        if let Err(failure) = verdict(&plan, &traced, &mut findings) {
            let kept = place.keep();
            findings.fail(format!("{failure}\nthe trace is kept in {}", kept.display()));
            break;
        }
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

fn verdict(plan: &Plan, traced: &strace::Traced, findings: &mut Findings) -> Result<(), String> {
    if let Some(line) = traced.said.iter().find(|line| matches!(line, Line::Error(..) | Line::Broken(_))) {
        return Err(format!("the run failed on a disk without faults: {line:?}"));
    }
    if !traced.said.contains(&Line::Ended) {
        return Err(format!("the child did not come to its end: {}", traced.errors));
    }
    let accepted = accepted(&traced.said);
    let proved = trace::check(&traced.events, &accepted, plan.slot_size)?;
    let said = traced.said.iter().filter(|line| matches!(line, Line::Durable(_))).count() as u64;
    if proved.acks != said || said == 0 {
        return Err(format!("{said} acknowledgements were made and {} are in the trace", proved.acks));
    }
    findings.count("acks", proved.acks);
    findings.count("writes covered", proved.writes);
    findings.count("syncs", proved.syncs);
    findings.count("interrupted calls", proved.failed_calls);
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
