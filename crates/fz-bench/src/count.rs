//! Writes and nothing else, for a tool that counts instructions from outside.
//!
//! The flusher sleeps all the while: it is not called before a quarter of the queue is full, the
//! interval is an hour, and the process exits without closing the pipe. So the difference between
//! two runs with different counts is the submission path alone, to the instruction.

use std::hint::black_box;
use std::mem::ManuallyDrop;
use std::sync::Arc;
use std::time::Duration;

use fz_bufpool::{BufPool, BufPoolConfig, BufferSize};
use fz_file::{Preallocation, SlotFile, SlotFileConfig};
use fz_wpipe::{SyncMode, WritePipe, WritePipeConfig, WriteRequest};

use crate::Outcome;
use crate::flags::Count;
use crate::workload::payload;

/// More than this would call the flusher.
const WRITES_MAX: u64 = 200_000;
const SLOTS: u64 = 1 << 10;

pub(crate) fn run(flags: &Count) -> Outcome<()> {
    if flags.writes > WRITES_MAX {
        return Err(format!("{} writes would call the flusher; count at most {WRITES_MAX}", flags.writes).into());
    }
    let size = BufferSize::S128;
    let directory = std::env::temp_dir().join(format!("fz-bench-count-{}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    let config = SlotFileConfig::new(directory.join("slots"), size.bytes())
        .initial_slots(SLOTS)
        .preallocation(Preallocation::Sparse);
    let file = Arc::new(SlotFile::open(config)?);
    // Nothing needs the name any more, and the process will not come back to remove it.
    std::fs::remove_dir_all(&directory)?;
    let buffers = usize::try_from(WRITES_MAX)?;
    let pool = ManuallyDrop::new(BufPool::new(BufPoolConfig::new(size, buffers * size.bytes()))?);
    let config = WritePipeConfig::new()
        .sync_mode(SyncMode::DangerouslyNone)
        .flush_interval(Duration::from_secs(3600))
        .queue_capacity(1 << 20);
    let pipe = ManuallyDrop::new(WritePipe::new(config, file)?);
    submit(&pipe, &pool, flags.writes)?;
    if pipe.stats().batches != 0 {
        return Err("the flusher ran in between; this count is worth nothing".into());
    }
    Ok(())
}

fn submit(pipe: &WritePipe, pool: &BufPool, writes: u64) -> Outcome<()> {
    let record = payload(pool.buffer_size().bytes());
    for number in 0..writes {
        let mut allocation = pool.allocate(1)?;
        allocation.as_mut_slice().copy_from_slice(black_box(&record));
        let ticket = pipe.write(WriteRequest { allocation, slot_index: number % SLOTS })?;
        drop(ticket);
    }
    Ok(())
}
