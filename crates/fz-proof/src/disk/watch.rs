//! Looks at the disk while the pipeline works, and at the promises made by then.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fz_sim::{CrashSpace, SimDisk};
use fz_wpipe::WritePipe;

use crate::disk::phase::Phase;
use crate::random::Random;

/// One instant: all that a power cut could have left then, and the promises made by then.
#[derive(Clone, Debug)]
pub(crate) struct Instant {
    pub(crate) space: CrashSpace,
    pub(crate) phase: Phase,
    /// Every epoch up to this one had been declared durable.
    pub(crate) durable: u64,
    /// The slots that the file had when it was opened, if it had been.
    pub(crate) slots: Option<u64>,
}

/// Looks at the disk at interesting instants of one generation.
///
/// The promises are read first and the disk second, so that a promise in the record is always
/// older than the disk that has to keep it.
#[derive(Debug)]
pub(crate) struct Watch {
    disk: SimDisk,
    /// Where the durable epoch is read. Taken away before the pipe is dropped, so that the last
    /// handle is never dropped by a thread that is in the middle of a round.
    pipe: Mutex<Option<Arc<WritePipe>>>,
    promised: AtomicU64,
    slots: Mutex<Option<u64>>,
    closing: AtomicBool,
    seen: Mutex<Seen>,
}

#[derive(Debug)]
struct Seen {
    instants: Vec<Instant>,
    /// How often there was something to look at.
    offered: u64,
    random: Random,
}

/// More instants than these are thinned out evenly.
const INSTANTS_MAX: usize = 160;

impl Watch {
    pub(crate) fn new(disk: SimDisk, slots: Option<u64>, random: Random) -> Self {
        Self {
            disk,
            pipe: Mutex::new(None),
            promised: AtomicU64::new(0),
            slots: Mutex::new(slots),
            closing: AtomicBool::new(false),
            seen: Mutex::new(Seen { instants: Vec::new(), offered: 0, random }),
        }
    }

    pub(crate) fn disk(&self) -> &SimDisk {
        &self.disk
    }

    /// The file is open and has these slots for certain.
    pub(crate) fn opened(&self, slots: u64) {
        let mut known = lock(&self.slots);
        *known = Some(known.map_or(slots, |old| old.max(slots)));
    }

    /// The slots that the file has for certain, if it is known to exist.
    pub(crate) fn slots(&self) -> Option<u64> {
        *lock(&self.slots)
    }

    pub(crate) fn attach(&self, pipe: &Arc<WritePipe>) {
        *lock(&self.pipe) = Some(Arc::clone(pipe));
    }

    /// Forgets the pipe: its last handle is then the caller's.
    pub(crate) fn detach(&self) {
        let pipe = lock(&self.pipe).take();
        if let Some(pipe) = pipe {
            self.promise(pipe.durable_epoch());
        }
    }

    pub(crate) fn closing(&self) {
        self.closing.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::SeqCst)
    }

    /// Everything up to `epoch` has been declared durable.
    pub(crate) fn promise(&self, epoch: u64) {
        self.promised.fetch_max(epoch, Ordering::SeqCst);
    }

    pub(crate) fn promised(&self) -> u64 {
        if let Some(pipe) = &*lock(&self.pipe) {
            self.promise(pipe.durable_epoch());
        }
        self.promised.load(Ordering::SeqCst)
    }

    pub(crate) fn look(&self, phase: Phase) {
        let durable = self.promised();
        let slots = self.slots();
        let mut seen = lock(&self.seen);
        seen.offered += 1;
        let place = if seen.instants.len() < INSTANTS_MAX {
            None
        } else {
            // A reservoir: each instant offered so far is kept with the same probability.
            let offered = seen.offered;
            let drawn = seen.random.within(0, offered - 1);
            match usize::try_from(drawn) {
                Ok(place) if place < INSTANTS_MAX => Some(place),
                _ => return,
            }
        };
        let instant = Instant { space: self.disk.crash_space(), phase, durable, slots };
        match place {
            None => seen.instants.push(instant),
            Some(place) => seen.instants[place] = instant,
        }
    }

    /// Every instant seen, in the order of the promises.
    pub(crate) fn instants(&self) -> Vec<Instant> {
        let mut instants = std::mem::take(&mut lock(&self.seen).instants);
        instants.sort_by_key(|instant| instant.durable);
        instants
    }
}

/// A panic under one of these locks has been reported by its panic.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
