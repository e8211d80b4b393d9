//! Many scattered writes that nobody awaits, as fast as they can be made: whether the flusher thread leaves them to
//! gather or not, which depends on how fast this machine is, they become durable, and who waits for room gets it.

mod disk;
mod rig;
mod watchdog;

use std::collections::HashMap;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use disk::Disk;
use fz_bufpool::BufPool;
use fz_file::{SlotFile, SlotFileConfig};
use fz_wpipe::{PipeErrorKind, WritePipe, WritePipeConfig, WriteRequest};
use rig::{SLOT, tag_at};
use watchdog::{finishes, until};

const SLOTS: u64 = 1 << 14;
/// Of each producer.
const WRITES: u64 = 6_000;

fn open(config: WritePipeConfig) -> (Disk, WritePipe) {
    let disk = Disk::default();
    let slots = SlotFileConfig::new("/slots", SLOT).initial_slots(SLOTS);
    let file = Arc::new(SlotFile::open_on(Arc::new(disk.clone()), slots).expect("the disk is sound"));
    disk.start();
    (disk, WritePipe::new(config, file).expect("the config is fine"))
}

/// How a producer comes by a place in the queue.
#[derive(Clone, Copy)]
enum By {
    Waiting,
    WaitingAtMost,
    Trying,
    Awaiting,
}

fn write(pipe: &WritePipe, by: By, mut request: WriteRequest) -> u64 {
    let ticket = match by {
        By::Waiting => pipe.write(request),
        By::WaitingAtMost => pipe.write_timeout(request, Duration::from_secs(3600)),
        By::Awaiting => futures_executor::block_on(pipe.write_async(request)),
        By::Trying => loop {
            match pipe.try_write(request) {
                Err(full) if matches!(full.error.kind(), PipeErrorKind::QueueFull { .. }) => request = full.request,
                decided => break decided,
            }
            thread::yield_now();
        },
    };
    ticket.expect("the disk is sound").epoch()
}

/// Writes to slots far apart; which write each slot has last, by its epoch, which is its tag.
fn flood(pipe: &WritePipe, pool: &BufPool, by: By, thread: u64, writes: u64) -> HashMap<u64, (u64, u64)> {
    let mut last = HashMap::new();
    for write_number in 0..writes {
        let slot_index = (write_number * 2 + thread) * 7_919 % SLOTS;
        let tag = write_number * 8 + thread + 1;
        let allocation = rig::tagged(pool.allocate(1).expect("one is fine"), tag);
        let epoch = write(pipe, by, WriteRequest { allocation, slot_index });
        last.insert(slot_index, (epoch, tag));
    }
    last
}

#[test]
fn a_flood_of_any_kind_becomes_durable_without_anybody_who_waits() {
    finishes(|| {
        for (by, capacity, threads) in [
            (By::Waiting, 16_384, 1),
            (By::Waiting, 10_000, 3),
            (By::WaitingAtMost, 1_100, 2),
            (By::Trying, 5_000, 2),
            (By::Awaiting, 3_000, 2),
        ] {
            let (disk, pipe) = open(WritePipeConfig::new().queue_capacity(capacity));
            let pool = rig::pool(8_192);
            let mut expected: HashMap<u64, (u64, u64)> = HashMap::new();
            let own: Vec<_> = thread::scope(|scope| {
                let producers: Vec<_> = (0..threads)
                    .map(|thread| {
                        scope.spawn({
                            let (pipe, pool) = (&pipe, &pool);
                            move || flood(pipe, pool, by, thread, WRITES)
                        })
                    })
                    .collect();
                // A reader has the queue written, which syncs nothing.
                pipe.read(0, &mut [0; SLOT]).expect("the disk is sound");
                producers.into_iter().map(|producer| producer.join().expect("no panic")).collect()
            });
            for (slot, (epoch, tag)) in own.into_iter().flatten() {
                let last = expected.entry(slot).or_default();
                *last = (*last).max((epoch, tag));
            }
            until(|| pipe.durable_epoch() == WRITES * threads);
            let stable = disk.stable();
            expected.iter().for_each(|(&slot, &(_, tag))| assert_eq!(tag_at(&stable, slot), tag, "slot {slot}"));
        }
    });
}
