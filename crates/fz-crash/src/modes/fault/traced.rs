//! The kernel's calls fail without being made: under strace.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::Instant;

use nix::errno::Errno;

use crate::disk::log::Promised;
use crate::modes::acks::accepted;
use crate::modes::power::judge;
use crate::modes::strace::{CALLS, Job, Traced};
use crate::oracle::history::{History, check_order};
use crate::oracle::trace::{self, Call, Event};
use crate::os::resources::Directory;
use crate::random::Random;
use crate::report::Findings;
use crate::subject::child::Line;
use crate::subject::plan::Plan;

const ERRORS: [&str; 4] = ["EIO", "ENOSPC", "EDQUOT", "EINTR"];

/// A call that fails.
#[derive(Clone, Copy, Debug)]
struct Injection {
    call: &'static str,
    /// The name of the error.
    error: &'static str,
    /// Which of a thread's calls of this name, counted from 1.
    number: u64,
    /// All that follow fail as well.
    persistent: bool,
}

impl Injection {
    /// As strace has it.
    fn words(self) -> String {
        let Self { call, error, number, persistent } = self;
        format!("{call}:error={error}:when={number}{}", if persistent { "+" } else { "" })
    }
}

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
                    let injection = Injection { call, error, number, persistent };
                    one_run(&plan, Some(injection), directory, &mut findings)?;
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
    injection: Option<Injection>,
    directory: &Path,
    findings: &mut Findings,
) -> io::Result<BTreeMap<&'static str, u64>> {
    let place = Directory::new(directory)?;
    let injections: Vec<String> = injection.into_iter().map(Injection::words).collect();
    let job = Job { plan, directory: place.path(), notes: place.path(), injections: &injections, signals: false };
    let traced = job.run()?;
    let verdict = verdict(plan, &traced, injection, &job.slots(), findings);
    if let Err(failure) = verdict {
        let words = job.command_line()?;
        let words: Vec<_> = words.iter().map(|word| format!("'{}'", word.to_string_lossy())).collect();
        findings.fail(format!("{failure}\nwith {injections:?}; to see it: {}", words.join(" ")));
    }
    findings.count("runs", 1);
    Ok(calls_of_busiest_thread(&traced.events))
}

fn verdict(
    plan: &Plan,
    traced: &Traced,
    injection: Option<Injection>,
    path: &Path,
    findings: &mut Findings,
) -> Result<(), String> {
    let mut promised = Promised::default();
    let mut errors = Vec::new();
    for line in &traced.said {
        match line {
            Line::Slots(slots) => promised.slots = Some(*slots),
            Line::Durable(epoch) => promised.durable = promised.durable.max(*epoch),
            Line::Error(number, words) => errors.push((*number, words.as_str())),
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
    findings.count("faults met", u64::from(traced.injected > 0));
    check_words(&errors, injection.filter(|_| traced.injected > 0))
}

/// Whether the run said what it had to say of the `fault` that it met.
fn check_words(errors: &[(Option<i32>, &str)], fault: Option<Injection>) -> Result<(), String> {
    let Some(fault) = fault.filter(|fault| fault.error != "EINTR") else {
        return match errors.first() {
            Some((_, words)) => Err(format!("what is no failure was taken for one: {words}")),
            None => Ok(()),
        };
    };
    let named =
        |number: Option<i32>| number.is_some_and(|number| format!("{:?}", Errno::from_raw(number)) == fault.error);
    match errors.iter().find(|(number, _)| !named(*number)) {
        Some((_, words)) => Err(format!("the error does not name its cause: {words}")),
        // The unlock at the end may fail unheard, since closing unlocks as well.
        None if errors.is_empty() && fault.call != "flock" => Err("a failure that no caller heard of".to_owned()),
        None => Ok(()),
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever number the first of all errors had was taken for the one that had been asked for.
    #[test]
    fn every_error_must_name_the_fault_that_was_injected() {
        let fault = |error| Some(Injection { call: "fdatasync", error, number: 1, persistent: false });
        let (eio, enospc, none) = ((Some(5), "a"), (Some(28), "b"), (None, "c"));
        assert_eq!(check_words(&[eio, eio], fault("EIO")), Ok(()));
        for wrong in [&[][..], &[enospc], &[eio, enospc], &[eio, none]] {
            check_words(wrong, fault("EIO")).unwrap_err();
        }
        for harmless in [fault("EINTR"), None] {
            assert_eq!(check_words(&[], harmless), Ok(()));
            check_words(&[eio], harmless).unwrap_err();
        }
        assert_eq!(check_words(&[], Some(Injection { call: "flock", ..fault("EIO").unwrap() })), Ok(()));
    }
}
