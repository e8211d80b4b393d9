//! The pipe and its pool while something grows.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fz_bufpool::{BufPool, BufPoolConfig, BufferSize};
use fz_file::{Preallocation, SlotFile, SlotFileConfig};
use fz_wpipe::{SyncMode, WritePipe, WritePipeConfig, WriteRequest};

use crate::Outcome;
use crate::measure::figures::Figures;
use crate::workload::payload;
use crate::workload::{Order, Work};

/// Operations under one clock.
const OPERATIONS: u64 = 1 << 17;
const OPERATIONS_FEW: u64 = 10_000;
const NEVER: Duration = Duration::from_secs(3600);

fn file(work: &Work, directory: &Path, slots: u64) -> Outcome<Arc<SlotFile>> {
    // Nothing is synced, so it does not matter how the blocks were made.
    let config = SlotFileConfig::new(directory.join(format!("slots-{slots}")), work.bytes)
        .initial_slots(slots)
        .preallocation(Preallocation::Allocated);
    Ok(Arc::new(SlotFile::open(config)?))
}

fn pool(work: &Work, buffers: u64) -> Outcome<BufPool> {
    let bytes = usize::try_from(buffers)? * work.bytes;
    Ok(BufPool::new(BufPoolConfig::new(BufferSize::try_from(work.bytes)?, bytes))?)
}

fn quiet() -> WritePipeConfig {
    WritePipeConfig::new().sync_mode(SyncMode::DangerouslyNone).flush_interval(NEVER).queue_capacity(1 << 22)
}

fn figures(operations: u64, took: Duration) -> Figures {
    Figures::from([("op_ns".to_owned(), took.as_secs_f64() * 1e9 / operations as f64)])
}

/// Submits to random slots; the slot of each is known before the clock starts.
fn submit(pipe: &WritePipe, pool: &BufPool, slots: &[u64], record: &[u8]) -> Outcome<Duration> {
    let began = Instant::now();
    for &slot_index in slots {
        let mut allocation = pool.allocate(1)?;
        allocation.as_mut_slice().copy_from_slice(record);
        drop(pipe.write(WriteRequest { allocation, slot_index })?);
    }
    Ok(began.elapsed())
}

fn random_slots(operations: u64, slots: u64) -> Vec<u64> {
    let all = slots.next_power_of_two();
    (0..operations).map(|number| Order::Random.slot(number, all) % slots).collect()
}

/// Submits, and until the kernel has them, into a file of `x` slots.
pub(crate) fn slots(work: &Work, directory: &Path) -> Outcome<Figures> {
    let slots = super::x(work)?;
    let (file, pool) = (file(work, directory, slots)?, pool(work, OPERATIONS)?);
    let pipe = WritePipe::new(quiet(), file)?;
    let (places, record) = (random_slots(OPERATIONS, slots), payload(work.bytes));
    let began = Instant::now();
    let took = submit(&pipe, &pool, &places, &record)?;
    pipe.sync().wait()?;
    let through = began.elapsed().as_secs_f64() * 1e9 / OPERATIONS as f64;
    let mut figures = figures(OPERATIONS, took);
    figures.insert("through_ns".to_owned(), through);
    Ok(figures)
}

/// Submits behind `x` writes that are in the queue already.
pub(crate) fn depth(work: &Work, directory: &Path) -> Outcome<Figures> {
    let depth = super::x(work)?;
    // A quarter of the queue is when the flusher is called; the million and these stay below.
    let (file, pool) = (file(work, directory, work.slots)?, pool(work, depth + OPERATIONS_FEW)?);
    let pipe = WritePipe::new(quiet(), file)?;
    let record = payload(work.bytes);
    submit(&pipe, &pool, &random_slots(depth, work.slots), &record)?;
    let took = submit(&pipe, &pool, &random_slots(OPERATIONS_FEW, work.slots), &record)?;
    let queued = pipe.stats().queue_depth;
    if queued < depth {
        return Err(format!("{queued} writes are queued where {depth} should be").into());
    }
    Ok(figures(OPERATIONS_FEW, took))
}

/// Until the kernel has writes to random slots that stand in the queue, in batches of at most `x`.
pub(crate) fn batch(work: &Work, directory: &Path) -> Outcome<Figures> {
    let most = usize::try_from(super::x(work)?)?;
    let writes = OPERATIONS.max(super::x(work)?);
    let slots = writes.next_power_of_two();
    let (file, pool) = (file(work, directory, slots)?, pool(work, writes)?);
    let config = quiet().batch_writes_max(most).batch_bytes_max(usize::MAX);
    let pipe = WritePipe::new(config, file)?;
    submit(&pipe, &pool, &random_slots(writes, slots), &payload(work.bytes))?;
    let began = Instant::now();
    pipe.sync().wait()?;
    let took = began.elapsed();
    Ok(figures(writes, took))
}

/// Allocates and drops while `x` of a million and a bit buffers are taken, all over the pool.
pub(crate) fn occupancy(work: &Work, _: &Path) -> Outcome<Figures> {
    let (taken, buffers) = (super::x(work)?, 1 << 20);
    let pool = pool(work, buffers)?;
    let mut held = Vec::new();
    for _ in 0..buffers {
        held.push(Some(pool.allocate(1)?));
    }
    let places = (0..buffers).map(|number| Order::Random.slot(number, buffers));
    for place in places.skip(usize::try_from(taken)?) {
        held[usize::try_from(place)?] = None;
    }
    let began = Instant::now();
    for _ in 0..OPERATIONS {
        drop(black_box(pool.allocate(1)?));
    }
    Ok(figures(OPERATIONS, began.elapsed()))
}
