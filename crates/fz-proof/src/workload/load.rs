//! The load of the soak test: pipes that live for milliseconds, on disks that fail, and all of
//! them at the limit of one pool.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use fz_bufpool::BufPool;
use fz_file::{SlotFile, SlotFileConfig};
use fz_sim::SimDisk;
use fz_wpipe::{PipeErrorKind, WritePipe, WritePipeConfig, WriteRequest};

use crate::disk::faults::Faults;
use crate::oracle::verify::PATH;
use crate::random::Random;
use crate::workload::cancel::Cancelled;

/// Counts of the work so far.
#[derive(Debug, Default)]
pub(crate) struct Done {
    pub(crate) pipes: AtomicU64,
    pub(crate) stopped: AtomicU64,
    pub(crate) writes: AtomicU64,
    pub(crate) durable: AtomicU64,
    pub(crate) cancelled: AtomicU64,
    pub(crate) faults: AtomicU64,
}

pub(crate) fn add(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Ordering::Relaxed);
}

const SLOTS: u64 = 64;
const TASKS: usize = 24;

/// The life of one pipe: opened on a new disk, written to by two threads and by tasks that are
/// cancelled, failing or not, closed or dropped.
///
/// # Errors
///
/// A promise that did not hold.
pub(crate) fn live(random: &mut Random, pool: &BufPool, done: &Done) -> Result<(), String> {
    let disk = SimDisk::new(random.word());
    let config = SlotFileConfig::new(PATH, pool.buffer_size().bytes()).initial_slots(SLOTS);
    let file = SlotFile::open_on(disk.volume(), config).map_err(|error| format!("{error:?}"))?;
    let faults = if random.chance(0.5) { Faults::none() } else { Faults::draw(random, true) };
    disk.set_faults(faults.plan.clone());
    if let Some(operation) = faults.cut_at {
        disk.cut_power_at(disk.operations() + operation);
    }
    let config = WritePipeConfig::new()
        .flush_interval(Duration::from_micros(random.pick(&[0, 100, 1_000])))
        .queue_capacity(random.pick(&[2, 16, 256]));
    let pipe = WritePipe::new(config, Arc::new(file)).map_err(|error| format!("{error:?}"))?;
    let (mut first, mut second) = (random.fork(), random.fork());
    let outcome = thread::scope(|scope| {
        let threads = [
            scope.spawn(|| block(&mut first, pool, &pipe, done)),
            scope.spawn(|| tasks(&mut second, pool, &pipe, done)),
        ];
        while faults.hangs && threads.iter().any(|thread| !thread.is_finished()) {
            thread::park_timeout(Duration::from_micros(500));
            disk.release_hung();
        }
        let mut joined = threads.into_iter().map(thread::ScopedJoinHandle::join);
        joined.try_for_each(|outcome| outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    });
    if faults.hangs {
        disk.set_faults(fz_sim::FaultPlan::new());
        disk.release_hung();
    }
    let accepted = pipe.sync().epoch();
    add(&done.pipes, 1);
    add(&done.writes, accepted);
    match if random.chance(0.7) { pipe.close().map(Some) } else { Ok(None) } {
        Ok(Some(durable)) if durable != accepted => {
            return Err(format!("E: close succeeded at epoch {durable}, accepted were {accepted}"));
        }
        Ok(_) => {}
        Err(error) if faults.is_harmless() => return Err(format!("C: nothing failed but the pipe: {error:?}")),
        Err(_) => add(&done.stopped, 1),
    }
    add(&done.durable, pipe.durable_epoch());
    drop(pipe);
    add(&done.faults, fz_sim::FaultKind::ALL.iter().map(|kind| disk.stats().faults(*kind)).sum());
    outcome
}

/// A thread that waits for memory, and for every fourth write.
fn block(random: &mut Random, pool: &BufPool, pipe: &WritePipe, done: &Done) -> Result<(), String> {
    for step in 0..random.within(10, 60) {
        let count = random.within(1, 4);
        let mut allocation =
            pool.allocate(usize::try_from(count).unwrap_or(1)).map_err(|error| format!("F: {error:?}"))?;
        allocation.as_mut_slice().fill(u8::try_from(step).unwrap_or(0));
        let slot_index = random.within(0, SLOTS - count);
        match pipe.write(WriteRequest { allocation, slot_index }) {
            Ok(ticket) if step % 4 == 0 => match ticket.wait() {
                Ok(durable) if durable < ticket.epoch() => return Err(format!("A: {ticket:?} resolved to {durable}")),
                Ok(_) => {}
                Err(error) if error.kind().is_poison() => return Ok(()),
                Err(error) => return Err(format!("C: {error:?}")),
            },
            Ok(ticket) => {
                add(&done.cancelled, 1);
                drop(ticket);
            }
            Err(rejected) if rejected.error.kind().is_poison() => return Ok(()),
            Err(rejected) => return Err(format!("G: {rejected:?}")),
        }
    }
    Ok(())
}

/// Tasks on one executor, most of them cancelled somewhere: waiting for memory, for room in the
/// queue, or for their ticket.
fn tasks(random: &mut Random, pool: &BufPool, pipe: &WritePipe, done: &Done) -> Result<(), String> {
    let mut tasks = FuturesUnordered::new();
    for _ in 0..TASKS {
        let count = random.within(1, 6);
        let slot_index = random.within(0, SLOTS - count);
        let polls_max = random.pick(&[1, 2, 3, 5, 8, 20, u32::MAX]);
        tasks.push(Cancelled::new(commit(pool, pipe, usize::try_from(count).unwrap_or(1), slot_index), polls_max));
    }
    pollster::block_on(async {
        while let Some(outcome) = tasks.next().await {
            match outcome {
                None => add(&done.cancelled, 1),
                Some(outcome) => outcome?,
            }
        }
        Ok(())
    })
}

async fn commit(pool: &BufPool, pipe: &WritePipe, count: usize, slot_index: u64) -> Result<(), String> {
    let mut allocation = pool.allocate_async(count).await.map_err(|error| format!("F: {error:?}"))?;
    allocation.as_mut_slice().fill(0xA5);
    match pipe.write_async(WriteRequest { allocation, slot_index }).await {
        Ok(ticket) => match ticket.await {
            Err(error) if !error.kind().is_poison() => Err(format!("C: {error:?}")),
            _ => Ok(()),
        },
        Err(rejected) if matches!(rejected.error.kind(), PipeErrorKind::Closed) => Err(format!("E: {rejected:?}")),
        Err(_) => Ok(()),
    }
}
