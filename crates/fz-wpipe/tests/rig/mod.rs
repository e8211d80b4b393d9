//! A pipe on the scripted disk, with its pool, and writes whose bytes tell which write they are of.

#![allow(clippy::allow_attributes, dead_code, reason = "each test file uses a part")]

use std::sync::Arc;
use std::time::Duration;

use fz_bufpool::{Allocation, BufPool, BufPoolConfig, BufferSize};
use fz_file::{SlotFile, SlotFileConfig};
use fz_wpipe::{WritePipe, WritePipeConfig, WriteRequest, WriteTicket};

use crate::disk::Disk;

/// Bytes of a slot: the same tag eight times, so that half a slot can be told.
pub(crate) const SLOT: usize = 64;
pub(crate) const SLOTS: u64 = 256;
/// Longer than any test: what is durable before was awaited, or asked for by a filling queue.
pub(crate) const NEVER: Duration = Duration::from_secs(3600);

pub(crate) struct Rig {
    pub(crate) disk: Disk,
    pub(crate) file: Arc<SlotFile>,
    pub(crate) pool: BufPool,
    pub(crate) pipe: Arc<WritePipe>,
}

pub(crate) fn open(disk: &Disk) -> Arc<SlotFile> {
    let config = SlotFileConfig::new("/slots", SLOT).initial_slots(SLOTS);
    let file = Arc::new(SlotFile::open_on(Arc::new(disk.clone()), config).expect("the disk is sound"));
    disk.start();
    file
}

pub(crate) fn pool(buffers: usize) -> BufPool {
    BufPool::new(BufPoolConfig::new(BufferSize::S64, buffers * SLOT)).expect("there is memory")
}

/// Flushes nothing that nobody asks for.
pub(crate) fn lazy() -> WritePipeConfig {
    WritePipeConfig::new().flush_interval(NEVER)
}

impl Rig {
    pub(crate) fn new(config: WritePipeConfig) -> Self {
        let disk = Disk::default();
        let file = open(&disk);
        let pipe = Arc::new(WritePipe::new(config, Arc::clone(&file)).expect("the config is fine"));
        Self { disk, file, pool: pool(4096), pipe }
    }

    pub(crate) fn lazy() -> Self {
        Self::new(lazy())
    }

    pub(crate) fn request(&self, slot_index: u64, count: usize, tag: u64) -> WriteRequest {
        WriteRequest { allocation: tagged(self.pool.allocate(count).expect("count is fine"), tag), slot_index }
    }

    /// One slot.
    pub(crate) fn write(&self, slot_index: u64, tag: u64) -> WriteTicket {
        self.pipe.write(self.request(slot_index, 1, tag)).expect("the pipe is sound")
    }

    /// What the pipe reads in one slot.
    pub(crate) fn read(&self, slot_index: u64) -> u64 {
        let mut buffer = [0; SLOT];
        self.pipe.read(slot_index, &mut buffer).expect("the pipe is sound");
        tag_of(&buffer)
    }
}

pub(crate) fn tagged(mut allocation: Allocation, tag: u64) -> Allocation {
    for part in allocation.as_mut_slice().chunks_exact_mut(8) {
        part.copy_from_slice(&tag.to_le_bytes());
    }
    allocation
}

/// The tag that fills a slot.
#[track_caller]
pub(crate) fn tag_of(slot: &[u8]) -> u64 {
    let tags: Vec<u64> = slot.chunks_exact(8).map(|part| u64::from_le_bytes(part.try_into().unwrap())).collect();
    assert!(tags.iter().all(|tag| *tag == tags[0]), "a slot of two writes: {tags:?}");
    tags[0]
}

/// The tag of one slot in an image of the file.
#[track_caller]
pub(crate) fn tag_at(image: &[u8], slot_index: u64) -> u64 {
    let at = usize::try_from(slot_index).unwrap() * SLOT;
    tag_of(&image[at..at + SLOT])
}
