use std::time::Duration;

use crate::sync::{AtomicU64, Ordering};

/// What a pipe has done so far, see [`WritePipe::stats`](crate::WritePipe::stats).
///
/// Each number is right by itself; they are read one after the other, so that sums over them may
/// be off by what happened in between.
///
/// ```
/// # use std::sync::Arc;
/// # use fz_bufpool::{BufPool, BufPoolConfig, BufferSize};
/// # use fz_file::{SlotFile, SlotFileConfig};
/// # use fz_wpipe::{WritePipe, WritePipeConfig, WriteRequest};
/// # let directory = tempfile::tempdir()?;
/// # let file = SlotFile::open(SlotFileConfig::new(directory.path().join("x"), 128).initial_slots(8))?;
/// # let pool = BufPool::new(BufPoolConfig::new(BufferSize::S128, 8 * 128))?;
/// # let pipe = WritePipe::new(WritePipeConfig::new(), Arc::new(file))?;
/// for slot_index in 0..8 {
///     drop(pipe.write(WriteRequest { allocation: pool.allocate(1)?, slot_index })?);
/// }
/// pipe.sync().wait()?;
/// let stats = pipe.stats();
/// assert_eq!((stats.durable, stats.queue_depth, stats.bytes), (8, 0, 8 * 128));
/// println!("{} writes in {} batches, {:?} a sync", stats.accepted, stats.batches, stats.sync_mean);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PipeStats {
    /// Writes accepted: the highest epoch given out.
    pub accepted: u64,
    /// The durable epoch.
    pub durable: u64,
    /// Writes accepted and not yet handed to the kernel.
    pub queue_depth: u64,
    /// Batches written.
    pub batches: u64,
    /// Syncs made, each of which covers one batch or, after a read or a waiting thread wrote ahead,
    /// several.
    pub syncs: u64,
    /// Bytes handed to the kernel.
    pub bytes: u64,
    /// Ranges of consecutive slots handed to the kernel: one system call each, more if a range is
    /// long (past `IOV_MAX` buffers, at multiples of
    /// [`write_back_bytes`](crate::WritePipeConfig::write_back_bytes) in the file, and for each
    /// 64 KiB of small buffers).
    pub ranges: u64,
    /// Writes less ranges: those that went out together with a neighbour, or not at all.
    pub coalesced_writes: u64,
    /// Slots that were not written because a later write of the same batch, or of the same piece of a large one,
    /// covers them.
    pub superseded_slots: u64,
    /// How long the last sync took.
    pub sync_last: Duration,
    /// How long syncs took on average.
    pub sync_mean: Duration,
    /// How often the flusher thread woke.
    pub wakeups: u64,
}

/// The numbers behind [`PipeStats`]. Each is written by one thread at a time: who holds the
/// writer's lock, who leads, or the flusher thread. So they need no read-modify-write.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) batches: Counter,
    pub(crate) writes: Counter,
    pub(crate) bytes: Counter,
    pub(crate) ranges: Counter,
    pub(crate) superseded_slots: Counter,
    pub(crate) syncs: Counter,
    pub(crate) sync_nanos: Counter,
    pub(crate) sync_nanos_last: Counter,
    pub(crate) wakeups: Counter,
}

/// A number with one writer at a time. Relaxed throughout: it orders nothing.
#[derive(Debug)]
pub(crate) struct Counter(AtomicU64);

impl Default for Counter {
    fn default() -> Self {
        Self(AtomicU64::new(0))
    }
}

impl Counter {
    pub(crate) fn add(&self, more: u64) {
        self.set(self.get() + more);
    }

    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Counters {
    pub(crate) fn stats(&self, accepted: u64, durable: u64, queue_depth: u64) -> PipeStats {
        let syncs = self.syncs.get();
        PipeStats {
            accepted,
            durable,
            queue_depth,
            batches: self.batches.get(),
            syncs,
            bytes: self.bytes.get(),
            ranges: self.ranges.get(),
            coalesced_writes: self.writes.get().saturating_sub(self.ranges.get()),
            superseded_slots: self.superseded_slots.get(),
            sync_last: Duration::from_nanos(self.sync_nanos_last.get()),
            sync_mean: Duration::from_nanos(self.sync_nanos.get().checked_div(syncs).unwrap_or(0)),
            wakeups: self.wakeups.get(),
        }
    }
}
