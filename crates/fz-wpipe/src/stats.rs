use std::time::Duration;

use fz_commit::CommitStats;

use crate::batch::Written;
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
    /// Writes accepted and not yet handed to the kernel: those in the queue, and those of the batch under way. Up to
    /// the queue's capacity and a batch.
    pub queue_depth: u64,
    /// Batches written.
    pub batches: u64,
    /// Syncs made, each of which covers one batch or, after a read,
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
    /// Slots that were not written because a later write of the same batch overwrites them.
    pub superseded_slots: u64,
    /// How long the last sync took.
    pub sync_last: Duration,
    /// How long syncs took on average.
    pub sync_mean: Duration,
    /// How often the flusher thread woke.
    pub wakeups: u64,
}

/// The numbers behind [`PipeStats`] that the medium counts. Each is written under the batch lock, or by the leader of a
/// round. So they need no read-modify-write. Relaxed: they order nothing.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    batches: Counter,
    writes: Counter,
    bytes: Counter,
    ranges: Counter,
    superseded_slots: Counter,
    durable: Counter,
}

#[derive(Debug)]
struct Counter(AtomicU64);

impl Default for Counter {
    fn default() -> Self {
        Self(AtomicU64::new(0))
    }
}

impl Counter {
    fn add(&self, more: u64) {
        self.0.store(self.get() + more, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Counters {
    /// A batch was written.
    pub(crate) fn batch(&self, writes: u64, written: &Written, slot_size: usize) {
        self.batches.add(1);
        self.writes.add(writes);
        self.bytes.add(written.slots * u64::try_from(slot_size).unwrap_or(0));
        self.ranges.add(written.ranges);
        self.superseded_slots.add(written.superseded_slots);
    }

    /// The highest epoch that a sync has covered.
    pub(crate) fn durable(&self) -> u64 {
        self.durable.get()
    }

    pub(crate) fn set_durable(&self, epoch: u64) {
        self.durable.0.store(epoch, Ordering::Relaxed);
    }

    pub(crate) fn stats(&self, commit: &CommitStats, accepted: u64, queue_depth: u64) -> PipeStats {
        PipeStats {
            accepted,
            durable: commit.durable,
            queue_depth,
            batches: self.batches.get(),
            syncs: commit.syncs,
            bytes: self.bytes.get(),
            ranges: self.ranges.get(),
            coalesced_writes: self.writes.get().saturating_sub(self.ranges.get()),
            superseded_slots: self.superseded_slots.get(),
            sync_last: commit.sync_last,
            sync_mean: commit.sync_mean,
            wakeups: commit.wakeups,
        }
    }
}
