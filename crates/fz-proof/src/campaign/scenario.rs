//! The shape of a run: disk, file, pipe, the threads that drive it, and for how long.

use std::time::Duration;

use fz_bufpool::BufferSize;
use fz_file::Preallocation;
use fz_sim::{DirectoryLoss, SimDiskConfig, Tear};
use fz_wpipe::{SyncMode, WritePipeConfig};

use crate::random::Random;

/// The threads that drive the pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Drive {
    /// One thread that leads every round itself: equal seeds make equal calls to the disk.
    Single,
    /// The same with batch limits. Nothing is awaited before the end: the flusher thread writes the rest that a
    /// limit leaves over, whenever the scheduler lets it.
    SingleInBatches,
    /// `n` producers, and the flusher thread beside them.
    Threads(usize),
}

impl Drive {
    /// Whether a seed replays call by call.
    pub(crate) fn is_exact(self) -> bool {
        !matches!(self, Self::Threads(_))
    }
}

/// Everything about one run that its seed decides once.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) drive: Drive,
    pub(crate) disk: SimDiskConfig,
    pub(crate) tear: Tear,
    pub(crate) capacity_bytes: Option<u64>,
    pub(crate) buffer_size: BufferSize,
    pub(crate) initial_slots: u64,
    pub(crate) preallocation: Preallocation,
    pub(crate) pool_buffers: usize,
    pub(crate) queue_capacity: usize,
    pub(crate) batch_writes_max: usize,
    pub(crate) batch_bytes_max: usize,
    pub(crate) write_back_bytes: usize,
    pub(crate) sync_mode: SyncMode,
    pub(crate) flush_interval: Duration,
    pub(crate) generations: usize,
    pub(crate) steps_max: u64,
    /// Crash images checked for each instant that is looked at.
    pub(crate) images_max: usize,
}

/// Files are small, so that many images can be checked; what goes wrong does so within a few
/// sectors.
const FILE_BYTES_MAX: u64 = 24 << 10;

const SIZES: [BufferSize; 10] = [
    BufferSize::S8,
    BufferSize::S32,
    BufferSize::S64,
    BufferSize::S128,
    BufferSize::S128,
    BufferSize::S256,
    BufferSize::S512,
    BufferSize::S512,
    BufferSize::S1024,
    BufferSize::S4096,
];

impl Scenario {
    pub(crate) fn new(random: &mut Random) -> Self {
        let drive = match random.within(0, 9) {
            0..=4 => Drive::Single,
            5..=6 => Drive::SingleInBatches,
            _ => Drive::Threads(1 + random.index(3)),
        };
        let buffer_size = random.pick(&SIZES);
        let bytes = buffer_size.bytes() as u64;
        let initial_slots = random.within(2, 64).min(FILE_BYTES_MAX / bytes);
        let tear = random.pick(&[Tear::Never, Tear::Never, Tear::Prefix, Tear::Damage]);
        let loss = random.pick(&[DirectoryLoss::Prefix, DirectoryLoss::Subset]);
        // All operations are kept, for the counts of faults and for the trace that a replay must repeat.
        let mut disk = SimDiskConfig::new(random.word()).tear(tear).directory_loss(loss).history_max(usize::MAX);
        // Little more than the file, so that it fills in growth or, when sparse, in a write.
        let capacity_bytes = random.chance(0.06).then(|| (initial_slots * bytes).div_ceil(4096) * 4096 + 4096);
        if let Some(capacity) = capacity_bytes {
            disk = disk.capacity_bytes(capacity);
        }
        let exact = drive.is_exact();
        let limited = drive != Drive::Single;
        Self {
            drive,
            disk,
            tear,
            capacity_bytes,
            buffer_size,
            initial_slots,
            preallocation: random.pick(&[Preallocation::Sparse, Preallocation::Allocated, Preallocation::Zeroed]),
            pool_buffers: random.pick(&[4, 7, 16, 64]),
            // Alone, no write may call the flusher thread: far less than a quarter is ever used.
            queue_capacity: if exact { 16_384 } else { random.pick(&[1, 2, 5, 16, 256]) },
            batch_writes_max: if limited { random.pick(&[1, 2, 3, 5, 16, 65_536]) } else { 65_536 },
            batch_bytes_max: if limited { random.pick(&[1, 600, 5_000, 1 << 20]) } else { 16 << 20 },
            write_back_bytes: random.pick(&[1, 600, 4_096, 2 << 20]),
            sync_mode: random.pick(&[SyncMode::Data, SyncMode::Data, SyncMode::Full]),
            flush_interval: if exact {
                Duration::from_secs(86_400)
            } else {
                Duration::from_micros(random.pick(&[0, 50, 300, 1_000]))
            },
            generations: 1 + random.index(4),
            steps_max: random.within(4, 40),
            images_max: 2 + random.index(10),
        }
    }

    pub(crate) fn slot_size(&self) -> usize {
        self.buffer_size.bytes()
    }

    pub(crate) fn pipe(&self) -> WritePipeConfig {
        WritePipeConfig::new()
            .module_id(7)
            .flush_interval(self.flush_interval)
            .queue_capacity(self.queue_capacity)
            .batch_writes_max(self.batch_writes_max)
            .batch_bytes_max(self.batch_bytes_max)
            .write_back_bytes(self.write_back_bytes)
            .sync_mode(self.sync_mode)
    }
}
