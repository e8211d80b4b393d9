//! Promise B: epochs are dense and follow the order in which the queue accepted the writes; two
//! writes of one thread are in that thread's order; where writes overlap, the file ends with the
//! highest epoch's bytes, within a batch and across batches.

mod disk;
mod rig;
mod watchdog;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::thread;

use disk::{Call, Disk};
use fz_file::{SlotFile, SlotFileConfig};
use fz_wpipe::{WritePipe, WritePipeConfig, WriteRequest};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence::{Off, WithSource};
use rig::{Rig, SLOT, SLOTS, lazy, open, pool, tag_at, tagged};
use watchdog::finishes;

/// A write as it was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Accepted {
    epoch: u64,
    slot: u64,
    count: usize,
    tag: u64,
}

/// The tag that each slot must have in the end.
fn outcome(mut writes: Vec<Accepted>) -> HashMap<u64, u64> {
    writes.sort_unstable();
    let slots = |write: Accepted| (write.slot..write.slot + write.count as u64).map(move |slot| (slot, write.tag));
    writes.into_iter().flat_map(slots).collect()
}

/// Threads that write over each other, in one small region.
fn overlapping_writers(rig: Rig) {
    let rig = Arc::new(rig);
    let accepted = Arc::new(Mutex::new(Vec::new()));
    let threads: Vec<_> = (0_u64..6)
        .map(|thread| {
            let (rig, accepted) = (Arc::clone(&rig), Arc::clone(&accepted));
            thread::spawn(move || {
                let mut before = 0;
                for step in 0_u64..200 {
                    let mixed = (thread * 1_000_003 + step * 7919) % 65_537;
                    let (slot, count) = (mixed % 24, usize::try_from(mixed % 7).unwrap() + 1);
                    let tag = (thread << 32 | step) + 1;
                    let ticket = rig.pipe.write(rig.request(slot, count, tag)).unwrap();
                    assert!(ticket.epoch() > before, "in the thread's own order");
                    before = ticket.epoch();
                    accepted.lock().unwrap().push(Accepted { epoch: ticket.epoch(), slot, count, tag });
                    if step % 40 == thread {
                        ticket.wait().unwrap();
                    }
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    let durable = rig.pipe.close().unwrap();
    let accepted = accepted.lock().unwrap().clone();
    let mut epochs: Vec<u64> = accepted.iter().map(|write| write.epoch).collect();
    epochs.sort_unstable();
    assert!(epochs.iter().copied().eq(1..=durable), "each epoch once, from 1 to {durable}");
    let stable = rig.disk.stable();
    for (slot, tag) in outcome(accepted) {
        assert_eq!(tag_at(&stable, slot), tag, "slot {slot}");
    }
}

#[test]
fn b_of_overlapping_writes_the_last_one_stays() {
    finishes(|| overlapping_writers(Rig::lazy()));
}

#[test]
fn b_of_overlapping_writes_the_last_one_stays_across_small_batches() {
    finishes(|| overlapping_writers(Rig::new(lazy().batch_writes_max(3).queue_capacity(16))));
}

#[test]
fn b_of_overlapping_writes_the_last_one_stays_when_writes_are_cut_short() {
    finishes(|| {
        let rig = Rig::new(lazy().batch_bytes_max(10 * SLOT));
        rig.disk.transfer_max(SLOT + 5);
        overlapping_writers(rig);
    });
}

/// Writes all of them in one batch, since nothing is written before somebody waits; then what was written
/// as (first slot, slots), and the file.
fn one_batch(slots: u64, writes: impl Iterator<Item = (u64, u64)>) -> (Vec<(u64, usize)>, Vec<u8>) {
    let disk = Disk::default();
    let config = SlotFileConfig::new("/slots", SLOT).initial_slots(slots);
    let file = Arc::new(SlotFile::open_on(Arc::new(disk.clone()), config).unwrap());
    disk.start();
    let pool = pool(4096);
    let pipe = WritePipe::new(lazy().queue_capacity(1 << 14), file).unwrap();
    let write = |(slot_index, tag)| {
        let request = WriteRequest { allocation: tagged(pool.allocate(1).unwrap(), tag), slot_index };
        pipe.write(request).unwrap()
    };
    writes.map(write).last().expect("there are some").wait().unwrap();
    assert_eq!(pipe.stats().batches, 1);
    let written = disk.records().into_iter().filter(|record| record.call == Call::Write);
    (written.map(|write| (write.offset / SLOT as u64, write.bytes / SLOT)).collect(), disk.stable())
}

#[test]
fn b_a_batch_writes_each_slot_once_and_neighbours_together() {
    finishes(|| {
        let writes = [(5, 1), (4, 2), (5, 3), (9, 4), (5, 5)];
        let (ranges, stable) = one_batch(SLOTS, writes.into_iter());
        assert_eq!(ranges, [(4, 2), (9, 1)], "in slot order, and slot 5 once");
        assert_eq!([4, 5, 9].map(|slot| tag_at(&stable, slot)), [2, 5, 4]);

        // In slot order as they came, but one of them twice.
        let (ranges, stable) = one_batch(SLOTS, [(4, 1), (5, 2), (5, 3)].into_iter());
        assert_eq!(ranges, [(4, 2)]);
        assert_eq!([4, 5].map(|slot| tag_at(&stable, slot)), [1, 3]);
    });
}

#[test]
fn b_of_two_batches_that_overlap_the_later_one_stays() {
    finishes(|| {
        let rig = Rig::lazy();
        for (slot, tag) in [(5, 1), (4, 2), (5, 3), (5, 4)] {
            // A batch of its own.
            rig.write(slot, tag).wait().unwrap();
            assert_eq!(tag_at(&rig.disk.stable(), slot), tag);
        }
        assert_eq!(tag_at(&rig.disk.stable(), 4), 2);
    });
}

/// So many that they are sorted by digits.
#[test]
fn b_a_large_batch_of_scattered_writes_is_as_if_made_in_its_turn() {
    finishes(|| {
        const SLOTS: u64 = 1 << 12;
        // Each slot but every eighth, scattered; and the same, half of them written again.
        let scattered = (0..SLOTS).filter(|number| number % 8 > 0).map(|number| (number * 1_999 % SLOTS, number + 1));
        let again = (1..SLOTS).step_by(2).map(|number| (number * 1_999 % SLOTS, number + SLOTS));
        for writes in [scattered.clone().collect::<Vec<_>>(), scattered.take(2_048).chain(again).collect()] {
            let expected: HashMap<u64, u64> = writes.iter().copied().collect();
            let (ranges, stable) = one_batch(SLOTS, writes.into_iter());
            for slot in 0..SLOTS {
                assert_eq!(tag_at(&stable, slot), expected.get(&slot).copied().unwrap_or(0), "slot {slot}");
            }
            assert!(ranges.is_sorted_by(|a, b| a.0 + (a.1 as u64) <= b.0), "in slot order");
            assert_eq!(ranges.iter().map(|range| range.1).sum::<usize>(), expected.len(), "each slot once");
        }
    });
}

#[test]
fn b_tickets_have_the_epochs_1_2_3() {
    let rig = Rig::lazy();
    let epochs: Vec<u64> = (0..10).map(|slot| rig.write(slot, 1).epoch()).collect();
    assert_eq!(epochs, (1..=10).collect::<Vec<_>>());
}

/// (slot, slots, what then: 0 to 5 nothing, 6 wait, 7 read)
fn writes() -> impl Strategy<Value = Vec<(u64, usize, u8)>> {
    // A small region and long writes: nearly all overlap.
    prop::collection::vec((0_u64..30, 1_usize..12, 0_u8..8), 1..80)
}

proptest! {
    // A case that fails is kept beside this file; one of a program broken on purpose is not.
    #![proptest_config(ProptestConfig::with_failure_persistence(
        if cfg!(fz_mutants) { Off } else { WithSource("proptest-regressions") }
    ))]

    #[test]
    fn b_the_file_is_as_if_each_write_had_been_made_in_its_turn(
        writes in writes(),
        writes_max in 1_usize..40,
        bytes_max in 1_usize..60 * SLOT,
        capacity in 8_usize..100,
    ) {
        let disk = Disk::default();
        let file = open(&disk);
        let pool = pool(2048);
        let config: WritePipeConfig =
            lazy().batch_writes_max(writes_max).batch_bytes_max(bytes_max).queue_capacity(capacity);
        let pipe = WritePipe::new(config, file).unwrap();
        let mut model = vec![0; usize::try_from(SLOTS).unwrap() * SLOT];
        for (&(slot_index, count, then), tag) in writes.iter().zip(1_u64..) {
            let allocation = tagged(pool.allocate(count).unwrap(), tag);
            let at = usize::try_from(slot_index).unwrap() * SLOT;
            model[at..at + count * SLOT].copy_from_slice(allocation.as_slice());
            let ticket = pipe.write(WriteRequest { allocation, slot_index }).unwrap();
            prop_assert_eq!(ticket.epoch(), tag);
            if then == 6 {
                ticket.wait().unwrap();
                prop_assert!(disk.stable() == model, "after write {}", tag);
            }
            if then == 7 {
                let mut back = vec![0; model.len()];
                pipe.read(0, &mut back).unwrap();
                prop_assert!(back == model, "read after write {}", tag);
            }
        }
        prop_assert_eq!(pipe.close().unwrap(), writes.len() as u64);
        prop_assert!(disk.stable() == model, "in the end");
    }
}
