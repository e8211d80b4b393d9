//! One life of the engine on a disk: open, write, end; and everything that can be said afterwards.

use std::sync::Arc;
use std::time::Duration;

use fz_bufpool::{BufPool, BufPoolConfig};
use fz_file::{FileError, FileErrorKind, SlotFile, SlotFileConfig};
use fz_sim::{Errno, FaultPlan, SimDisk};
use fz_wpipe::{PipeError, PipeErrorKind, WritePipe, WriteTicket};

use crate::campaign::scenario::{Drive, Scenario};
use crate::campaign::tally::{Tally, add_counts, count};
use crate::disk::faults::Faults;
use crate::disk::observed::ObservedVolume;
use crate::disk::phase::{Phase, during};
use crate::disk::watch::{Instant, Watch};
use crate::oracle::content::WriteId;
use crate::oracle::excuses::Excuses;
use crate::oracle::ledger::{Accepted, Ledger};
use crate::oracle::readback;
use crate::oracle::readback::ReadBack;
use crate::oracle::verify::PATH;
use crate::random::Random;
use crate::workload::driver::{Driver, Submission};
use crate::workload::session::Session;
use crate::workload::threads;

/// What one generation left.
#[derive(Debug)]
pub(crate) struct Remains {
    pub(crate) accepted: Vec<Accepted>,
    /// Everything up to here was declared durable.
    pub(crate) durable: u64,
    pub(crate) instants: Vec<Instant>,
    /// The slots that the file has for certain, if it is known to exist.
    pub(crate) slots: Option<u64>,
    pub(crate) next_id: WriteId,
}

/// One life, about to begin.
#[derive(Debug)]
pub(crate) struct Generation<'a> {
    pub(crate) scenario: &'a Scenario,
    pub(crate) disk: &'a SimDisk,
    pub(crate) slots: Option<u64>,
    pub(crate) slots_max: u64,
    pub(crate) first_id: WriteId,
    pub(crate) faults: Faults,
    /// The errors with which writes of earlier generations on this disk may have been lost unseen.
    pub(crate) left: &'a [Errno],
}

/// How it ended.
struct Ending {
    durable: u64,
    kept: Vec<WriteTicket>,
    failure: Option<PipeError>,
    reads: Vec<ReadBack>,
}

impl Generation<'_> {
    pub(crate) fn run(&self, random: &mut Random, tally: &mut Tally) -> Result<Remains, String> {
        tally.generations += 1;
        let cut_at = self.faults.cut_at.map_or(u64::MAX, |operation| self.disk.operations() + operation);
        self.disk.cut_power_at(cut_at);
        let excuses = Excuses::new(self.disk, &self.faults, self.left, self.scenario.capacity_bytes.is_some());
        if self.faults.from_the_start {
            self.disk.set_faults(self.faults.plan.clone());
        }
        let watch = Arc::new(Watch::new(self.disk.clone(), self.slots, random.fork()));
        let ledger = Ledger::new(self.first_id);
        let mut ending = Ending { durable: 0, kept: Vec::new(), failure: None, reads: Vec::new() };
        if let Some(file) = self.open(&watch, &excuses, tally)? {
            // The bytes of the file before the first write.
            let live = self.disk.contents(PATH).map_err(|error| format!("J: the open file is gone: {error}"))?;
            self.disk.set_faults(self.faults.plan.clone());
            ending = self.live(&watch, &file, &ledger, &excuses, random, tally)?;
            let accepted = ledger.close()?;
            self.reckon(&ending, &accepted, &excuses)?;
            // With several threads a read can come after the call that failed and before any thread
            // is told of it.
            if ending.failure.is_some() && !self.scenario.drive.is_exact() {
                ending.reads.retain(|read| read.is_before_failures);
                *tally.reads.entry("checked, and later the pipe stopped").or_default() += ending.reads.len() as u64;
            }
            readback::check(&live, &accepted, &ending.reads, self.scenario.slot_size())?;
            watch.promise(ending.durable);
            watch.look(Phase::Idle);
            return Ok(self.remains(&watch, &ledger, accepted, &ending));
        }
        Ok(self.remains(&watch, &ledger, Vec::new(), &ending))
    }

    fn remains(&self, watch: &Watch, ledger: &Ledger, accepted: Vec<Accepted>, ending: &Ending) -> Remains {
        Remains {
            accepted,
            durable: ending.durable,
            instants: watch.instants(),
            slots: watch.slots(),
            next_id: ledger.next(),
        }
    }

    /// Opens the file, from the second attempt on without faults; none if the power is gone
    /// or the disk full.
    fn open(
        &self,
        watch: &Arc<Watch>,
        excuses: &Excuses<'_>,
        tally: &mut Tally,
    ) -> Result<Option<Arc<SlotFile>>, String> {
        let volume = ObservedVolume::new(watch);
        let config = SlotFileConfig::new(PATH, self.scenario.slot_size())
            .initial_slots(self.scenario.initial_slots)
            .preallocation(self.scenario.preallocation)
            .module_id(7);
        for attempt in 0..3 {
            match during(Phase::Creating, || SlotFile::open_on(Arc::clone(&volume) as _, config.clone())) {
                Ok(file) => {
                    watch.opened(file.slots());
                    watch.look(Phase::Creating);
                    return Ok(Some(Arc::new(file)));
                }
                Err(_) if !self.disk.power_is_on() => {
                    count(&mut tally.ends, "power cut while opening");
                    return Ok(None);
                }
                Err(error) if self.is_full(&error) => {
                    // The file of the first attempt has no name any more, but keeps its blocks if the
                    // directory's sync was made to fail.
                    count(&mut tally.ends, "no room to open");
                    return Ok(None);
                }
                // Without faults there is nothing to fail, but for the report of a write lost in the
                // background before: one sync gets it, and an open syncs.
                Err(error) if attempt > 1 || attempt > 0 && !is_report(&error) => {
                    return Err(format!("J: the file does not open on a disk without faults: {error:?}"));
                }
                Err(error) if !excuses.excuse(error.io_error()) => {
                    return Err(format!("J: nothing failed but to open the file: {error:?}"));
                }
                Err(_) => {
                    count(&mut tally.ends, "opening failed, then succeeded");
                    self.disk.set_faults(FaultPlan::new());
                }
            }
        }
        Ok(None)
    }

    fn is_full(&self, error: &FileError) -> bool {
        self.scenario.capacity_bytes.is_some() && error.raw_os_error() == Some(Errno::Enospc.raw())
    }

    fn live(
        &self,
        watch: &Arc<Watch>,
        file: &Arc<SlotFile>,
        ledger: &Ledger,
        excuses: &Excuses<'_>,
        random: &mut Random,
        tally: &mut Tally,
    ) -> Result<Ending, String> {
        let size = self.scenario.buffer_size;
        let config = BufPoolConfig::new(size, size.bytes() * self.scenario.pool_buffers).prefault(false);
        let pool = BufPool::new(config).map_err(|error| format!("no pool: {error:?}"))?;
        let pipe = WritePipe::new(self.scenario.pipe(), Arc::clone(file)).map_err(|error| format!("{error:?}"))?;
        let session = Session::new(
            (self.scenario, self.slots_max),
            watch,
            Arc::clone(file),
            pool.clone(),
            Arc::new(pipe),
            ledger,
            excuses,
        );
        let kept = self.work(&session, random, tally)?;
        let ending = self.end(session, kept, random, tally)?;
        if Arc::strong_count(file) != 1 {
            return Err("H: the pipe is gone and something of it still holds the file".to_owned());
        }
        let stats = pool.stats();
        if stats.in_use != 0 || stats.waiters != 0 {
            return Err(format!("H: the pipe is gone and buffers are not back in their pool: {stats:?}"));
        }
        Ok(ending)
    }

    /// The workload. Returns the tickets that no thread has waited for.
    fn work(&self, session: &Session<'_>, random: &mut Random, tally: &mut Tally) -> Result<Vec<WriteTicket>, String> {
        let steps = random.within(1, self.scenario.steps_max);
        let drivers = match self.scenario.drive {
            Drive::Single | Drive::SingleInBatches => {
                let mut driver = Driver::new(session, 0);
                let outcome = crate::workload::single::run(&mut driver, random, steps);
                vec![(driver, outcome)]
            }
            Drive::Threads(producers) => {
                let closes = random.chance(0.1);
                threads::run(session, random, producers, steps, self.faults.hangs, closes)
            }
        };
        let mut kept = Vec::new();
        for (driver, outcome) in drivers {
            add_counts(&mut tally.tickets, &driver.tickets);
            add_counts(&mut tally.writes, &driver.writes);
            add_counts(&mut tally.reads, &driver.reads);
            kept.extend(driver.kept);
            outcome?;
        }
        Ok(kept)
    }

    /// Ends the pipe by `close` or by dropping it.
    fn end(
        &self,
        session: Session<'_>,
        kept: Vec<WriteTicket>,
        random: &mut Random,
        tally: &mut Tally,
    ) -> Result<Ending, String> {
        let watch = Arc::clone(&session.watch);
        if self.faults.hangs {
            // From now on no thread releases a hanging call.
            self.disk.set_faults(FaultPlan::new());
            self.disk.release_hung();
        }
        let everything = session.pipe.sync();
        watch.closing();
        let mut last_durable = None;
        if random.chance(0.6) {
            count(&mut tally.ends, "closed");
            let closed = session.pipe.close();
            let durable = session.pipe.durable_epoch();
            last_durable = Some(durable);
            match closed {
                Ok(closed) if closed != durable || durable < everything.epoch() => {
                    return Err(format!(
                        "E: close succeeded with {closed}, the durable epoch is {durable}, accepted were {}",
                        everything.epoch()
                    ));
                }
                Ok(_) => {}
                Err(error) => session.stopped(&error)?,
            }
            refuses_more(&session)?;
        } else {
            count(&mut tally.ends, "dropped");
        }
        let reads = session.reads();
        watch.detach();
        let failure = session.failure();
        drop(session);

        let settled = everything.wait_timeout(Duration::ZERO);
        let durable = last_durable.unwrap_or_else(|| durable_after(&settled, watch.promised(), &kept));
        let failure = match settled {
            Ok(_) => failure,
            Err(error) if matches!(error.kind(), PipeErrorKind::TimedOut { .. }) => {
                return Err(format!("D: the pipe is gone and the ticket of epoch {} is open", everything.epoch()));
            }
            Err(error) => match failure {
                Some(first) if first.kind() != error.kind() => {
                    return Err(format!("C: the first failure is final, and after {first:?} came {error:?}"));
                }
                _ => Some(error),
            },
        };
        watch.promise(durable);
        watch.look(Phase::Closing);
        Ok(Ending { durable, kept, failure, reads })
    }

    /// What must hold when all is over.
    fn reckon(&self, ending: &Ending, accepted: &[Accepted], excuses: &Excuses<'_>) -> Result<(), String> {
        let last = accepted.last().map_or(0, |write| write.epoch);
        let Ending { durable, kept, failure, .. } = ending;
        match failure {
            Some(error) if !excuses.excuse(error.io_error()) => {
                return Err(format!("C: nothing failed but the pipe: {error:?}, caused by {:?}", error.io_error()));
            }
            None if *durable != last => {
                return Err(format!("E: the pipe ended well at epoch {durable}, accepted were {last}"));
            }
            _ => {}
        }
        match failure.as_ref().map(PipeError::kind) {
            Some(PipeErrorKind::SyncFailed { durable: then, .. }) if then != durable => {
                return Err(format!("C: the durable epoch was {then} when the pipe stopped, and is {durable}"));
            }
            Some(PipeErrorKind::WriteFailed { first, .. }) if first <= durable => {
                return Err(format!("C: epoch {first} could not be written, and {durable} is durable"));
            }
            _ => {}
        }
        for ticket in kept {
            match (ticket.wait_timeout(Duration::ZERO), failure) {
                (Ok(to), _) if to < ticket.epoch() || to > last => {
                    return Err(format!("A: the ticket of epoch {} resolved to {to}", ticket.epoch()));
                }
                (Ok(to), Some(_)) if to > *durable => {
                    return Err(format!("C: {durable} was durable when the pipe stopped, a ticket says {to} now"));
                }
                (Ok(_), _) => {}
                (Err(error), Some(first)) if error.kind() == first.kind() && ticket.epoch() > *durable => {}
                (Err(error), _) if matches!(error.kind(), PipeErrorKind::TimedOut { .. }) => {
                    return Err(format!("D: the pipe is gone and the ticket of epoch {} is open", ticket.epoch()));
                }
                (Err(error), _) => {
                    return Err(format!("C: up to {durable} all is durable, epoch {} got {error:?}", ticket.epoch()));
                }
            }
        }
        Ok(())
    }
}

fn is_report(error: &FileError) -> bool {
    matches!(error.kind(), FileErrorKind::SyncFailed { .. })
}

/// The durable epoch of a pipe that is gone, as far as its remains tell it: the ticket
/// for everything, the promises made while it lived, the other tickets.
fn durable_after(settled: &Result<u64, PipeError>, promised: u64, kept: &[WriteTicket]) -> u64 {
    let told = match settled.as_ref().map_err(PipeError::kind) {
        Ok(durable) | Err(PipeErrorKind::SyncFailed { durable, .. }) => *durable,
        Err(_) => promised,
    };
    kept.iter().filter_map(|ticket| ticket.wait_timeout(Duration::ZERO).ok()).fold(told, u64::max)
}

/// A closed pipe takes no more.
fn refuses_more(session: &Session<'_>) -> Result<(), String> {
    let mut driver = Driver::new(session, usize::MAX);
    let Some(allocation) = driver.try_allocate(1)? else {
        return Err("H: the pipe is closed, and the pool is empty".to_owned());
    };
    match driver.submit(allocation, 0, Submission::Blocking)? {
        Some(ticket) => Err(format!("E: a closed pipe accepted epoch {}", ticket.epoch())),
        None => Ok(()),
    }
}
