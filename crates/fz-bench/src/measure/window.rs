//! Writers that run for a time, and the part of it that counts.

use std::path::Path;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use crate::Outcome;
use crate::measure::figures::Figures;
use crate::measure::meter::Meter;
use crate::workload::Work;

const WARMING_UP: u8 = 0;
const COUNTING: u8 = 1;
const OVER: u8 = 2;

/// Shared by the writers and the thread that watches the clock.
#[derive(Debug)]
pub(crate) struct Window {
    phase: AtomicU8,
    /// The next slot, for writers that share a file as a log does.
    next_slot: AtomicU64,
    slots: u64,
    done: Vec<Padded>,
}

/// A writer's own counter, on a cache line of its own: the benchmark must not be what is slow.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Padded(AtomicU64);

impl Window {
    pub(crate) fn new(slots: u64, writers: usize) -> Self {
        let done = std::iter::repeat_with(Padded::default).take(writers).collect();
        Self { phase: AtomicU8::new(WARMING_UP), next_slot: AtomicU64::new(0), slots, done }
    }

    /// The slots of the file in turns.
    pub(crate) fn next_slot(&self) -> u64 {
        self.next_slot.fetch_add(1, Ordering::Relaxed) % self.slots
    }

    /// Whether what begins now is to be timed.
    pub(crate) fn counts(&self) -> bool {
        self.phase.load(Ordering::Relaxed) == COUNTING
    }

    pub(crate) fn is_over(&self) -> bool {
        self.phase.load(Ordering::Relaxed) == OVER
    }

    /// `writer` has done `more` of what is counted.
    pub(crate) fn add(&self, writer: usize, more: u64) {
        let done = &self.done[writer].0;
        done.store(done.load(Ordering::Relaxed) + more, Ordering::Relaxed);
    }

    fn done(&self) -> u64 {
        self.done.iter().map(|done| done.0.load(Ordering::Relaxed)).sum()
    }

    /// How long before what counts.
    pub(crate) fn warm_up(work: &Work) -> Duration {
        Duration::from_millis(work.millis / 5 + 20)
    }

    /// Lets the writers warm up, counts for the work's time, and ends it. `rate` is the key under
    /// which what was done in a second goes. An error if nothing was.
    pub(crate) fn watch(
        &self,
        work: &Work,
        directory: &Path,
        rate: &str,
        syncs: impl Fn() -> Option<u64>,
        figures: &mut Figures,
    ) -> Outcome<()> {
        std::thread::sleep(Self::warm_up(work));
        let (done, synced) = (self.done(), syncs());
        let meter = Meter::start(directory);
        self.phase.store(COUNTING, Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(work.millis));
        let records = (self.done() - done) as f64;
        let seconds = meter.stop(figures, records, work.bytes);
        let synced_after = syncs();
        self.phase.store(OVER, Ordering::Relaxed);
        if records == 0.0 {
            return Err(format!("finished nothing in {} ms", work.millis).into());
        }
        if let (Some(before), Some(after)) = (synced, synced_after) {
            figures.insert("syncs".to_owned(), (after - before) as f64 / records);
        }
        figures.insert(rate.to_owned(), records / seconds);
        Ok(())
    }
}
