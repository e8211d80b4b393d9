//! Every call of a small run fails once, in every way, then and for good: on a file system in memory, through
//! the kernel.

use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::disk::log::Promised;
use crate::modes::fault::mounted::Mounted;
use crate::modes::fault::store::{CallFault, Failing};
use crate::modes::power::judge;
use crate::oracle::history::{History, check_order};
use crate::random::Random;
use crate::report::Findings;
use crate::subject::content::Accepted;
use crate::subject::plan::Plan;
use crate::subject::workload::{self, Failure, Observer, Outcome};

const EINTR: i32 = 4;
const EIO: i32 = 5;
const ENOSPC: i32 = 28;
const EDQUOT: i32 = 122;

/// In how many ways a call fails.
pub(crate) const WAYS: [Failing; 7] = [
    Failing::Error(EIO),
    Failing::Error(ENOSPC),
    Failing::Error(EDQUOT),
    Failing::Error(EINTR),
    Failing::Short(0),
    Failing::Short(1),
    Failing::Short(700),
];

/// An interruption that never ended would be waited out for ever, and one byte at a time takes its time.
const PERSISTENT_CALLS: u64 = 40;

/// Hears everything, in a single process.
#[derive(Default)]
struct Witness {
    promised: Mutex<Promised>,
    accepted: Mutex<Vec<Accepted>>,
}

impl Witness {
    fn slots(&self, slots: u64) {
        let mut promised = self.promised.lock().unwrap_or_else(PoisonError::into_inner);
        promised.slots = Some(promised.slots.unwrap_or(0).max(slots));
    }
}

impl Observer for Witness {
    fn opened(&self, slots: u64) {
        self.slots(slots);
    }

    fn accepted(&self, write: Accepted) {
        self.accepted.lock().unwrap_or_else(PoisonError::into_inner).push(write);
    }

    fn durable(&self, epoch: u64) {
        let mut promised = self.promised.lock().unwrap_or_else(PoisonError::into_inner);
        promised.durable = promised.durable.max(epoch);
    }

    fn grown(&self, slots: u64) {
        self.slots(slots);
    }
}

/// Lets each call of a small run fail; only one case in `step`, drawn at random, if it is not 1.
pub(crate) fn check(seed: u64, step: u64, until: Option<Instant>, directory: &Path) -> io::Result<Findings> {
    let mounted = Mounted::new(directory)?;
    let mut findings = Findings::default();
    for preallocation in 0..3 {
        let plan = plan(seed, preallocation);
        // Without a fault: all is well, and the number of calls is known.
        let calls = one_run(&plan, CallFault::NONE, &mounted, &mut findings);
        for (number, from) in (1..=calls).enumerate() {
            for (way, failing) in WAYS.into_iter().enumerate() {
                for persistent in [false, true] {
                    let place = number * WAYS.len() * 2 + way * 2 + usize::from(persistent);
                    // Drawn and not counted off, so that no way of failing is left out.
                    let chosen = Random::part(seed, place as u64).below(step) == 0;
                    if !chosen || findings.is_over(until) {
                        continue;
                    }
                    let through = match (persistent, failing) {
                        (false, _) => from,
                        (true, Failing::Error(EINTR) | Failing::Short(1..)) => from + PERSISTENT_CALLS,
                        (true, _) => u64::MAX,
                    };
                    one_run(&plan, CallFault { from, through, failing }, &mounted, &mut findings);
                }
            }
        }
    }
    findings.require(until, &["faults met", "acks checked", "slots acknowledged"]);
    Ok(findings)
}

fn plan(seed: u64, preallocation: u8) -> Plan {
    Plan {
        slot_size: 512,
        slots: 8,
        // One, so that the n-th call is nearly the same in each run.
        writers: 1,
        writes: 14,
        count_max: 3,
        wait_every: 2,
        grow_every: 6,
        preallocation,
        queue_capacity: 16,
        interval_micros: 200,
        full_sync: false,
        ..Plan::small(&mut Random::new(seed), 1)
    }
}

/// Runs the plan with `fault`, and checks what it said, what is there after a restart of the process, and
/// what is there after a power cut. Returns the number of calls.
fn one_run(plan: &Plan, fault: CallFault, mounted: &Mounted, findings: &mut Findings) -> u64 {
    let path = mounted.path().join("slots");
    mounted.store().begin(fault);
    let witness = Witness::default();
    let outcome = workload::run(plan, &path, &witness);
    let (calls, hits, hit_call) = mounted.store().counts();
    mounted.store().heal();
    let writes = witness.accepted.into_inner().unwrap_or_else(PoisonError::into_inner);
    let promised = witness.promised.into_inner().unwrap_or_else(PoisonError::into_inner);
    let history = History::of(plan.slot_size, Vec::new(), writes);
    let mut failures = Vec::new();
    if let Err(failure) = check_words(&outcome, fault, hits, history.writes().len() as u64) {
        failures.push(failure);
    }
    if let Err(failure) = check_order(history.writes(), 0) {
        failures.push(failure);
    }
    let at_the_end = mounted.store().clone();
    for (after, power_cut) in [("a restart", false), ("a power cut", true)] {
        *mounted.store() = at_the_end.clone();
        if power_cut {
            mounted.store().cut_power();
        }
        match judge(&path, plan, &history, promised) {
            Ok((_, checked)) => findings.count("slots acknowledged", checked.acknowledged),
            Err(failure) => failures.push(format!("after {after}: {failure}")),
        }
    }
    findings.count("runs", 1);
    findings.count("faults met", u64::from(hits > 0));
    findings.count("acks checked", history.writes_through(promised.durable) * 2);
    for failure in failures {
        findings.fail(format!("{fault:?} ({hit_call}), preallocation {}: {failure}", plan.preallocation));
    }
    calls
}

/// Whether the run said what it had to say.
fn check_words(outcome: &Outcome, fault: CallFault, hits: u64, accepted: u64) -> Result<(), String> {
    if let Some(broken) = outcome.errors.iter().find(|failure| failure.is_broken()) {
        return Err(format!("an error that no disk may cause: {broken}"));
    }
    let harmless = hits == 0 || matches!(fault.failing, Failing::Error(EINTR) | Failing::Short(1..));
    if harmless {
        return match (outcome.errors.first(), outcome.closed) {
            (Some(error), _) => Err(format!("what is no failure was taken for one: {error}")),
            (None, Some(epoch)) if epoch == accepted => Ok(()),
            (None, closed) => Err(format!("closed at epoch {closed:?}, with {accepted} writes accepted")),
        };
    }
    let named = |failure: &Failure| match fault.failing {
        Failing::Error(number) => failure.raw_os_error() == Some(number),
        Failing::Short(_) => true,
    };
    match outcome.errors.iter().find(|error| !named(error)) {
        Some(error) => Err(format!("the error does not name its cause: {error}")),
        None if outcome.errors.is_empty() => Err("a failure that no caller heard of".to_owned()),
        None => Ok(()),
    }
}
