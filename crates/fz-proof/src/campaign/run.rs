//! One run: everything that follows from one seed.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};

use fz_sim::{Errno, Fault, Outcome, SimDisk};

use crate::Failure;
use crate::campaign::generation::{Generation, Remains};
use crate::campaign::scenario::{Drive, Scenario};
use crate::campaign::tally::{Tally, count};
use crate::disk::faults::Faults;
use crate::oracle::model::{Model, View};
use crate::oracle::verify::{PATH, verify};
use crate::random::Random;

/// The result of a run.
#[derive(Debug)]
pub(crate) struct RunReport {
    pub(crate) tally: Tally,
    /// A hash of each state that was checked.
    pub(crate) states: Vec<u64>,
    /// A hash of every call to the disk and every state: equal for equal seeds, if the run is exact.
    pub(crate) trace: u64,
}

/// The operations that a failure shows.
const SHOWN_MAX: usize = 40;

/// Runs `seed`.
pub(crate) fn run(seed: u64) -> Result<RunReport, Box<Failure>> {
    let mut random = Random::new(seed);
    let scenario = Scenario::new(&mut random);
    let mut life = Life::new(&scenario);
    let outcome = catch_unwind(AssertUnwindSafe(|| life.lead(&mut random)));
    let outcome = outcome.unwrap_or_else(|panic| Err(format!("panic: {}", message(&*panic))));
    match outcome {
        Ok(()) => Ok(life.report()),
        Err(message) => Err(Box::new(life.failure(seed, &message))),
    }
}

/// Several generations on one disk.
struct Life<'a> {
    scenario: &'a Scenario,
    disk: SimDisk,
    model: Model,
    slots: Option<u64>,
    slots_max: u64,
    next_id: u32,
    tally: Tally,
    states: Vec<u64>,
    trace: DefaultHasher,
    faults: Faults,
    /// The errors with which writes of earlier generations on this disk may have been lost unseen.
    left: Vec<Errno>,
}

impl<'a> Life<'a> {
    fn new(scenario: &'a Scenario) -> Self {
        let slots_max = scenario.initial_slots * 2 + 16;
        let mut tally = Tally { runs: 1, ..Tally::default() };
        tally.exact_runs = u64::from(scenario.drive.is_exact());
        Self {
            scenario,
            disk: SimDisk::with_config(scenario.disk.clone()),
            model: Model::new(scenario.slot_size(), scenario.tear, slots_max),
            slots: None,
            slots_max,
            next_id: 1,
            tally,
            states: Vec::new(),
            trace: DefaultHasher::new(),
            faults: Faults::none(),
            left: Vec::new(),
        }
    }

    fn lead(&mut self, random: &mut Random) -> Result<(), String> {
        let pauses = matches!(self.scenario.drive, Drive::Threads(_));
        for _ in 0..self.scenario.generations {
            self.faults = if random.chance(0.25) { Faults::none() } else { Faults::draw(random, pauses) };
            for fate in &self.faults.page_fates {
                count(&mut self.tally.page_fates, fate);
            }
            if self.faults.splits_writes {
                self.model.split();
            }
            let generation = Generation {
                scenario: self.scenario,
                disk: &self.disk,
                slots: self.slots,
                slots_max: self.slots_max,
                first_id: self.next_id,
                faults: self.faults.clone(),
                left: &self.left,
            };
            let remains = generation.run(random, &mut self.tally)?;
            let Remains { accepted, instants, .. } = &remains;
            self.tally.accepted += accepted.len() as u64;
            let hashes = verify(self.scenario, &self.model, accepted, instants, random, &mut self.tally)?;
            self.note(&hashes);
            self.states.extend(hashes);
            self.next_id = remains.next_id;
            self.slots = remains.slots;
            self.go_on(&remains, random)?;
        }
        Ok(())
    }

    /// Takes the disk for the next generation.
    fn go_on(&mut self, remains: &Remains, random: &mut Random) -> Result<(), String> {
        let way = random.within(0, 9);
        if self.disk.power_is_on() && way >= 4 {
            let next = (way < 6).then(|| self.disk.kill_process());
            let mut view = View::new(&self.model, &remains.accepted);
            view.advance(remains.durable);
            let bytes = self.contents(next.as_ref().unwrap_or(&self.disk))?;
            view.check(&bytes, self.slots.unwrap_or(0))?;
            self.model.advance(&remains.accepted, remains.durable);
            self.left.extend(self.faults.harmful.iter().filter_map(|fault| match fault {
                Fault::LostInBackground(errno) => Some(*errno),
                _ => None,
            }));
            if let Some(next) = next {
                count(&mut self.tally.ends, "then killed");
                self.change_disk(next);
            } else {
                self.disk.set_faults(fz_sim::FaultPlan::new());
            }
        } else {
            count(&mut self.tally.ends, "then a power cut");
            let next = self.disk.power_cut(random.word());
            let bytes = self.contents(&next)?;
            let mut view = View::new(&self.model, &remains.accepted);
            view.advance(remains.durable);
            view.check(&bytes, self.slots.unwrap_or(0))?;
            self.model.set(&bytes);
            self.left.clear();
            self.change_disk(next);
        }
        Ok(())
    }

    /// The file's bytes on `disk`, which has every slot that was promised: the next generation
    /// would make a lost file anew and take its zeros for the truth.
    fn contents(&self, disk: &SimDisk) -> Result<Vec<u8>, String> {
        let promised = match self.slots {
            Some(slots) => slots,
            None => return Ok(disk.contents(PATH).unwrap_or_default()),
        };
        let bytes = disk.contents(PATH).map_err(|error| format!("J: the file is gone: {error}"))?;
        let slots = (bytes.len() / self.scenario.slot_size()) as u64;
        if slots < promised {
            return Err(format!("J: the file has {slots} slots, promised were {promised}"));
        }
        Ok(bytes)
    }

    fn change_disk(&mut self, next: SimDisk) {
        self.leave_disk();
        self.disk = next;
    }

    /// Counts what happened on the disk, and forgets it.
    fn leave_disk(&mut self) {
        for operation in self.disk.history() {
            let Some(fault) = operation.fault else { continue };
            let errno = match operation.outcome {
                Outcome::Failed(errno) if errno != 0 => format!(" {}", crate::disk::faults::name(errno)),
                _ => String::new(),
            };
            *self.tally.faults.entry(format!("{}: {fault}{errno}", operation.op)).or_default() += 1;
        }
        self.tally.disk.add(&self.disk.stats());
    }

    /// Adds the disk's calls, and the states that were checked, to the trace.
    fn note(&mut self, states: &[u64]) {
        for operation in self.disk.history() {
            operation.to_string().hash(&mut self.trace);
        }
        states.hash(&mut self.trace);
    }

    fn report(mut self) -> RunReport {
        self.leave_disk();
        RunReport { tally: self.tally, states: self.states, trace: self.trace.finish() }
    }

    fn failure(&self, seed: u64, message: &str) -> Failure {
        let mut trace = vec![format!("{:?}", self.scenario), format!("{:?}", self.faults)];
        let history = self.disk.history();
        trace.extend(history[history.len().saturating_sub(SHOWN_MAX)..].iter().map(ToString::to_string));
        Failure::new(seed, self.scenario.drive.is_exact(), message.to_owned(), trace)
    }
}

fn message(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a message")
}
