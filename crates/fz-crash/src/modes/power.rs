//! Power cuts under a real file system.
//!
//! A run is recorded below the file system; then disks are made that a power cut could have left
//! ([`Loss`](crate::disk::loss::Loss)), each is mounted, which makes the kernel recover it, and the slot file is opened
//! and checked against what had been promised.

mod examine;
mod record;

pub(crate) use examine::{Case, Examiner, judge, replay};
pub(crate) use record::{NAME, Recording, record, record_with};

use std::collections::HashSet;
use std::io;
use std::path::Path;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use crate::disk::device::FileSystem;
use crate::disk::image::{Image, PAGE};
use crate::disk::log::{Interval, Write};
use crate::disk::loss::Loss;
use crate::oracle::history::check_order;
use crate::random::Random;
use crate::report::Findings;
use crate::subject::plan::Plan;

/// Mounts that wait for each other's grace periods while the processors idle; so more than processors.
const EXAMINERS: usize = 4;

/// Draws for one more state of an interval before it is taken to have no other.
const DRAWS_MAX: u32 = 12;

/// How much to do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    pub(crate) states: u64,
    pub(crate) until: Option<Instant>,
}

impl Budget {
    pub(crate) fn is_spent(self, states: u64) -> bool {
        states >= self.states || self.until.is_some_and(|until| Instant::now() >= until)
    }
}

/// Runs, cuts and checks until the budget is spent.
pub(crate) fn check(file_system: FileSystem, seed: u64, budget: Budget, directory: &Path) -> io::Result<Findings> {
    let mut findings = Findings::default();
    // More runs rather than more states of one: most of those are states of its creation.
    let states_of_recording = (budget.states / 20).clamp(200, 600);
    for round in 0.. {
        let done = findings.counted("states");
        if budget.is_spent(done) || findings.is_over(budget.until) {
            break;
        }
        let mut random = Random::part(seed, u64::from(round));
        let plan = Plan::small(&mut random, round);
        let recording = record(file_system, &plan, directory)?;
        for error in &recording.errors {
            findings.fail(format!("the run failed on a disk without faults: {error}"));
        }
        findings.count("runs", 1);
        let budget = Budget { states: states_of_recording.min(budget.states - done), ..budget };
        findings.merge(explore(&recording, &mut random, budget, directory)?);
    }
    findings.require(budget.until, &["states", "acks checked"]);
    Ok(findings)
}

/// Checks the order of one recording's writes, and its states.
pub(crate) fn explore(
    recording: &Recording,
    random: &mut Random,
    budget: Budget,
    directory: &Path,
) -> io::Result<Findings> {
    let mut findings = Findings::default();
    if let Err(failure) = check_order(recording.history.writes(), 0) {
        findings.fail(format!("{:?}: {failure}", recording.plan));
    }
    let findings = Mutex::new(findings);
    let (sender, receiver) = sync_channel::<Case>(2 * EXAMINERS);
    let receiver = Arc::new(Mutex::new(receiver));
    thread::scope(|scope| {
        let mut workers = Vec::new();
        for _ in 0..EXAMINERS {
            let (findings, receiver) = (&findings, Arc::clone(&receiver));
            workers.push(scope.spawn(move || -> io::Result<()> {
                let examiner = Examiner::new(recording, directory)?;
                loop {
                    let case = receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok(case) = case else { return Ok(()) };
                    let found = examiner.examine(&case)?;
                    findings.lock().unwrap_or_else(PoisonError::into_inner).merge(found);
                }
            }));
        }
        // The examiners alone hold it, so that sending fails when the last of them has ended.
        drop(receiver);
        let made = make_cases(recording, random, budget, &sender);
        drop(sender);
        findings.lock().unwrap_or_else(PoisonError::into_inner).merge(made);
        workers.into_iter().try_for_each(|worker| worker.join().expect("no examiner panics"))
    })?;
    Ok(findings.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// Makes states of all intervals, and sends them to be examined. Returns what it counted.
fn make_cases(recording: &Recording, random: &mut Random, budget: Budget, sender: &SyncSender<Case>) -> Findings {
    let mut findings = Findings::default();
    let mut maker = Maker { recording, seen: HashSet::new(), distinct: HashSet::new(), made: 0 };
    let from = recording.examined_from as u64;
    let intervals = recording.intervals.len() as u64 - from;
    // Once through all intervals with few states each, or through some of them and the last, where all is promised;
    // then again with more, until there are no new ones.
    let chosen = budget.states.min(intervals);
    let is_chosen = |place: u64| {
        place.checked_sub(from).is_some_and(|place| (place + 1) * chosen / intervals > place * chosen / intervals)
    };
    let mut share = (budget.states / intervals.max(1)).max(1);
    while !budget.is_spent(maker.made) {
        let before = maker.made;
        let mut durable = Image::new(recording.base.clone());
        let mut hash = 0;
        for (place, interval) in (0..).zip(&recording.intervals) {
            for _ in 0..if is_chosen(place) { share } else { 0 } {
                if budget.is_spent(maker.made) {
                    break;
                }
                let Some(case) = maker.draw(interval, &durable, hash, random) else { break };
                // Fails when all examiners have ended with an error.
                if sender.send(case).is_err() {
                    return findings;
                }
            }
            hash = apply_all(&mut durable, &interval.pending, hash);
        }
        if maker.made == before {
            break;
        }
        share = share.max(4) * 2;
    }
    findings.count("states", maker.made);
    findings.count("distinct", maker.distinct.len() as u64);
    findings.count("cuts", intervals);
    findings
}

struct Maker<'a> {
    recording: &'a Recording,
    seen: HashSet<(u64, u64, Option<u64>)>,
    distinct: HashSet<u64>,
    made: u64,
}

impl Maker<'_> {
    /// A state of `interval` that was not examined yet, if one is found.
    fn draw(&mut self, interval: &Interval, durable: &Image, hash: u64, random: &mut Random) -> Option<Case> {
        let medium = self.recording.file_system.medium();
        for _ in 0..DRAWS_MAX {
            let mut image = durable.clone();
            let loss = Loss::draw(&interval.pending, medium, random);
            loss.apply(&mut image, &interval.pending, medium);
            let hash = rehash(hash, durable, &image, &interval.pending);
            let promised = interval.promised;
            if self.seen.insert((hash, promised.durable, promised.slots)) {
                self.distinct.insert(hash);
                self.made += 1;
                return Some(Case { image, promised, chance: random.word() });
            }
            if interval.pending.is_empty() {
                break;
            }
        }
        None
    }
}

/// The hash of `after`, which differs from `before` in what `writes` touch at most.
fn rehash(hash: u64, before: &Image, after: &Image, writes: &[Write]) -> u64 {
    let pages: HashSet<u64> = writes.iter().flat_map(pages).collect();
    pages
        .iter()
        .fold(hash, |hash, &page| hash.wrapping_sub(before.hash_of_page(page)).wrapping_add(after.hash_of_page(page)))
}

fn apply_all(image: &mut Image, writes: &[Write], hash: u64) -> u64 {
    let before = image.clone();
    for write in writes {
        image.write(write.offset, &write.bytes);
    }
    rehash(hash, &before, image, writes)
}

fn pages(write: &Write) -> std::ops::Range<u64> {
    let page = PAGE as u64;
    write.offset / page..(write.offset + write.bytes.len() as u64).div_ceil(page)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::image::Base;
    use crate::oracle::history::History;

    /// The maker of states waited for examiners that had all failed to get a device.
    #[test]
    fn examiners_that_all_fail_end_the_exploration_with_their_error() {
        let pending = (0..64).map(|sector| Write { offset: sector * 512, bytes: Arc::from([1; 512]) });
        let recording = Recording {
            file_system: FileSystem::Ext4,
            plan: Plan::small(&mut Random::new(1), 0),
            base: Arc::new(Base::empty(64 * 512)),
            intervals: vec![Interval { pending: pending.collect(), ..Interval::default() }],
            examined_from: 0,
            history: History::default(),
            errors: Vec::new(),
            refused: 0,
        };
        let budget = Budget { states: 100, until: None };
        // No directory can be made below a device.
        let nowhere = Path::new("/dev/null/nowhere");
        explore(&recording, &mut Random::new(1), budget, nowhere).unwrap_err();
    }
}
