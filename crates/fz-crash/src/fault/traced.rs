//! The kernel's calls fail without being made: under strace.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::Instant;

use crate::acks::accepted;
use crate::child::Line;
use crate::disk::log::Promised;
use crate::history::{History, check_order};
use crate::plan::Plan;
use crate::power::judge;
use crate::random::Random;
use crate::report::Findings;
use crate::resources::Directory;
use crate::strace::{CALLS, Job, Traced};
use crate::trace::{self, Call, Event};

const ERRORS: [&str; 4] = ["EIO", "ENOSPC", "EDQUOT", "EINTR"];

/// Lets calls of a small run fail: each of them, or one in `step`.
pub(crate) fn check(seed: u64, step: u64, until: Option<Instant>, directory: &Path) -> io::Result<Findings> {
    let mut findings = Findings::default();
    let plan = plan(seed);
    let counts = one_run(&plan, None, directory, &mut findings)?;
    let mut place = 0;
    for (call, count) in counts {
        for number in 1..=count {
            for error in ERRORS {
                for persistent in [false, true] {
                    place += 1;
                    // Interrupted for ever, it would be tried for ever.
                    let endless = error == "EINTR" && persistent;
                    if Random::part(seed, place).below(step) != 0 || endless || findings.is_over(until) {
                        continue;
                    }
                    let when = format!("{number}{}", if persistent { "+" } else { "" });
                    let injection = format!("{call}:error={error}:when={when}");
                    one_run(&plan, Some(&injection), directory, &mut findings)?;
                }
            }
        }
    }
    findings.require(until, &["faults met", "acks checked"]);
    Ok(findings)
}

fn plan(seed: u64) -> Plan {
    let writes = 12;
    Plan {
        slot_size: 512,
        slots: 3 * writes,
        writers: 1,
        writes: u32::try_from(writes).expect("it is small"),
        count_max: 3,
        wait_every: 2,
        grow_every: 0,
        distinct: true,
        preallocation: 2,
        full_sync: false,
        ..Plan::small(&mut Random::new(seed), 1)
    }
}

/// Runs the plan; returns how often each call was made by the thread that made it most: strace counts
/// the calls of each thread by itself.
fn one_run(
    plan: &Plan,
    injection: Option<&str>,
    directory: &Path,
    findings: &mut Findings,
) -> io::Result<BTreeMap<&'static str, u64>> {
    let place = Directory::new(directory)?;
    let injections: Vec<String> = injection.iter().map(|&injection| injection.to_owned()).collect();
    let job = Job { plan, directory: place.path(), notes: place.path(), injections: &injections, signals: false };
    let traced = job.run()?;
    let verdict = verdict(plan, &traced, injection, &job.slots(), findings);
    if let Err(failure) = verdict {
        let words = job.command_line()?;
        let words: Vec<_> = words.iter().map(|word| format!("'{}'", word.to_string_lossy())).collect();
        findings.fail(format!("{failure}\nwith {injection:?}; to see it: {}", words.join(" ")));
    }
    findings.count("runs", 1);
    Ok(calls_of_busiest_thread(&traced.events))
}

fn verdict(
    plan: &Plan,
    traced: &Traced,
    injection: Option<&str>,
    path: &Path,
    findings: &mut Findings,
) -> Result<(), String> {
    let mut promised = Promised::default();
    let mut errors = Vec::new();
    for line in &traced.said {
        match line {
            Line::Slots(slots) => promised.slots = Some(*slots),
            Line::Durable(epoch) => promised.durable = promised.durable.max(*epoch),
            Line::Error(number, words) => errors.push((*number, words)),
            Line::Broken(words) => return Err(format!("an error that no disk may cause: {words}")),
            Line::Accepted(_) | Line::Interrupted(_) | Line::Ended => {}
        }
    }
    if !traced.said.contains(&Line::Ended) {
        return Err(format!("the child did not come to its end: {}", traced.errors));
    }
    let accepted = accepted(&traced.said);
    check_order(&accepted, 0)?;
    let proved = trace::check(&traced.events, &accepted, plan.slot_size)?;
    let history = History::of(plan.slot_size, Vec::new(), accepted);
    judge(path, plan, &history, promised)?;
    findings.count("acks checked", proved.acks);
    findings.count("calls failed", proved.failed_calls);
    let harmless = injection.is_none_or(|injection| injection.contains("EINTR"));
    // The unlock at the end may fail unheard, since closing unlocks as well; and the first openat asks for a file
    // that is not there yet, so that its failure may hide in that.
    match (harmless, proved.failed_calls, errors.first()) {
        (true, _, Some((_, words))) => Err(format!("what is no failure was taken for one: {words}")),
        (false, 1.., None) if !injection.is_some_and(|injection| injection.starts_with("flock")) => {
            Err("a failure that nobody heard of".to_owned())
        }
        (false, _, Some((None, words))) => Err(format!("the error does not name its cause: {words}")),
        _ => Ok(()),
    }
}

fn calls_of_busiest_thread(events: &[Event]) -> BTreeMap<&'static str, u64> {
    let mut counts: BTreeMap<(&'static str, u32), u64> = BTreeMap::new();
    for event in events {
        let Event::Begin(thread, call) = event else { continue };
        let name = match call {
            Call::Write { .. } => "pwritev",
            // Which of the two it was, the trace does not keep; both are tried as often.
            Call::Sync { .. } => "fdatasync",
            Call::Other(name) => match CALLS.iter().find(|known| *known == name) {
                Some(known) => known,
                None => continue,
            },
            Call::Say(_) => continue,
        };
        *counts.entry((name, *thread)).or_default() += 1;
        if name == "fdatasync" {
            *counts.entry(("fsync", *thread)).or_default() += 1;
        }
    }
    let mut most = BTreeMap::new();
    for ((name, _), count) in counts {
        let entry = most.entry(name).or_insert(0);
        *entry = count.max(*entry);
    }
    most
}
