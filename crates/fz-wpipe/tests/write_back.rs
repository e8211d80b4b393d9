//! The calls of a large batch: small pieces are joined, and the device begins with it while the rest is being copied.
//! A small batch costs no such call.

mod disk;
mod rig;
mod watchdog;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use disk::{Call, Disk, EIO, Fault, Record};
use fz_file::{SlotFile, SlotFileConfig};
use fz_wpipe::{PipeErrorKind, SyncMode, WritePipe, WritePipeConfig};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence::{Off, WithSource};
use rig::{Rig, SLOT, SLOTS, lazy, tag_at};
use watchdog::finishes;

/// The calls of one batch of `writes`, each a slot and how many from it on; the n-th has the tag n + 1.
fn calls(config: WritePipeConfig, writes: &[(u64, usize)]) -> (Rig, Vec<Record>) {
    let rig = Rig::new(config);
    let mut last = None;
    for (tag, &(slot_index, count)) in (1..).zip(writes) {
        last = Some(rig.pipe.write(rig.request(slot_index, count, tag)).unwrap());
    }
    let durable = last.expect("there is a write").wait().unwrap();
    assert_eq!(durable, writes.len() as u64);
    let records = rig.disk.records();
    (rig, records)
}

/// `slots` slots, each written by a write of its own, from the last to the first: no two are neighbours in memory
/// as they are in the file.
fn backwards(slots: u64) -> Rig {
    let disk = Disk::default();
    let config = SlotFileConfig::new("/slots", SLOT).initial_slots(slots);
    let file = Arc::new(SlotFile::open_on(Arc::new(disk.clone()), config).unwrap());
    disk.start();
    let pipe = Arc::new(WritePipe::new(lazy(), Arc::clone(&file)).unwrap());
    let rig = Rig { disk, file, pool: rig::pool(4096), pipe };
    for slot in (0..slots).rev() {
        drop(rig.write(slot, slot + 1));
    }
    rig
}

#[test]
fn many_small_pieces_are_joined_into_calls_of_64_kib() {
    finishes(|| {
        for (slots, sizes) in [(2048, vec![64 << 10, 64 << 10]), (1500, vec![64 << 10, 1500 * SLOT - (64 << 10)])] {
            let rig = backwards(slots);
            rig.pipe.close().unwrap();
            let records = rig.disk.records();
            // The disk takes five pieces a call: so many, and whole, were joined.
            assert_eq!(of(&records, Call::Write).iter().map(|record| record.bytes).collect::<Vec<_>>(), sizes);
            let image = rig.disk.stable();
            assert!((0..slots).all(|slot| tag_at(&image, slot) == slot + 1));
        }
    });
}

#[test]
fn c_a_failed_call_of_joined_pieces_stops_the_pipe() {
    finishes(|| {
        for nth in [0, 1] {
            let rig = backwards(1500);
            rig.disk.fail(Call::Write, nth, Fault::Errno(EIO));
            let error = rig.pipe.close().unwrap_err();
            assert!(matches!(error.kind(), PipeErrorKind::WriteFailed { first: 1, last: 1500 }), "{error}");
            assert_eq!((rig.disk.count(Call::Write), rig.disk.count(Call::Sync)), (nth + 1, 0));
        }
    });
}

fn of(records: &[Record], call: Call) -> Vec<&Record> {
    records.iter().filter(|record| record.call == call).collect()
}

fn slots(record: &Record) -> std::ops::Range<u64> {
    let slot = SLOT as u64;
    record.offset / slot..(record.offset + record.bytes as u64) / slot
}

#[test]
fn a_large_batch_is_begun_with_while_the_rest_is_copied() {
    finishes(|| {
        let writes: Vec<_> = (0..64).map(|slot| (slot, 1)).collect();
        let (_, records) = calls(lazy().write_back_bytes(16 * SLOT), &writes);
        let begun = of(&records, Call::WriteBack);
        // The sync follows the last quarter at once.
        assert_eq!(begun.iter().map(|record| slots(record)).collect::<Vec<_>>(), [0..16, 16..32, 32..48]);
        let last = of(&records, Call::Write).last().unwrap().began;
        assert!(begun.iter().all(|record| record.ended < last), "{records:?}");
    });
}

#[test]
fn one_long_write_is_begun_with_while_the_rest_is_copied() {
    finishes(|| {
        let (_, records) = calls(lazy().write_back_bytes(16 * SLOT), &[(8, 100)]);
        let begun: Vec<_> = of(&records, Call::WriteBack).into_iter().map(slots).collect();
        // Ends at multiples of the size in the file: a page that is begun and then written to goes to the device twice.
        assert_eq!(begun, [8..32, 32..48, 48..64, 64..80, 80..96]);
    });
}

#[test]
fn i_a_batch_of_up_to_that_size_begins_with_nothing_and_is_cut_at_most_once() {
    finishes(|| {
        let writes: Vec<_> = (0..16).map(|slot| (slot, 1)).collect();
        let large = [(0, 200)];
        let cases: [(WritePipeConfig, &[(u64, usize)]); 4] = [
            (lazy().write_back_bytes(16 * SLOT), &writes),
            (lazy().write_back_bytes(usize::MAX), &large),
            (lazy(), &large),
            // No sync follows, so that nothing is to be had earlier.
            (lazy().write_back_bytes(SLOT).sync_mode(SyncMode::DangerouslyNone), &large),
        ];
        for (config, writes) in cases {
            let (_, records) = calls(config, writes);
            assert_eq!(of(&records, Call::WriteBack).len(), 0, "{records:?}");
        }
        for (first, calls_max) in [(0, 1), (8, 2)] {
            let (_, records) = calls(lazy().write_back_bytes(16 * SLOT), &[(first, 16)]);
            assert_eq!(of(&records, Call::WriteBack).len(), 0, "{records:?}");
            assert_eq!(
                of(&records, Call::Write).len(),
                calls_max,
                "at the multiple of the size inside it: {records:?}"
            );
        }
    });
}

#[test]
fn c_a_device_that_fails_to_begin_stops_the_pipe() {
    finishes(|| {
        let rig = Rig::new(lazy().write_back_bytes(4 * SLOT));
        rig.disk.fail(Call::WriteBack, 1, Fault::Errno(EIO));
        let first = rig.write(0, 1);
        let ticket = rig.pipe.write(rig.request(1, 99, 2)).unwrap();
        for ticket in [&ticket, &first] {
            let error = ticket.wait().unwrap_err();
            assert!(matches!(error.kind(), PipeErrorKind::WriteFailed { first: 1, last: 2 }), "{error}");
        }
        // What the kernel was told to begin with may be lost and marked clean: no sync may tell.
        assert_eq!(rig.disk.count(Call::Sync), 0);
        let refused = rig.pipe.write(rig.request(0, 1, 3)).unwrap_err();
        assert_eq!(refused.request.slot_index, 0);
        assert_eq!(rig.pipe.durable_epoch(), 0);
    });
}

#[test]
fn c_a_device_that_fails_to_begin_with_the_end_of_a_range_stops_the_pipe() {
    finishes(|| {
        let rig = Rig::new(lazy().write_back_bytes(4 * SLOT));
        rig.disk.fail(Call::WriteBack, 0, Fault::Errno(EIO));
        for (slot, tag) in [(0, 1), (100, 2), (200, 3)] {
            drop(rig.pipe.write(rig.request(slot, 3, tag)).unwrap());
        }
        let error = rig.pipe.sync().wait().unwrap_err();
        assert!(matches!(error.kind(), PipeErrorKind::WriteFailed { first: 1, last: 3 }), "{error}");
        let begun: Vec<_> = rig.disk.records().into_iter().filter(|record| record.call == Call::WriteBack).collect();
        assert!(
            matches!(begun[..], [ref call] if call.offset == 100 * SLOT as u64 && call.bytes == 3 * SLOT),
            "{begun:?}"
        );
        assert_eq!((rig.disk.count(Call::Sync), rig.pipe.durable_epoch()), (0, 0));
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_failure_persistence(
        if cfg!(fz_mutants) { Off } else { WithSource("proptest-regressions") }
    ))]

    /// Whatever the batch: its bytes are right, and what is begun with is not written again, nor begun with twice.
    #[test]
    fn b_what_is_begun_with_is_not_written_again(
        writes in prop::collection::vec((0..SLOTS, 1_usize..60), 1..40),
        size in 1_usize..40 * SLOT,
    ) {
        let writes: Vec<_> = writes.into_iter().map(|(slot, count)| (slot.min(SLOTS - count as u64), count)).collect();
        let (rig, records) = calls(lazy().write_back_bytes(size), &writes);
        let mut model = BTreeMap::new();
        for (tag, &(slot, count)) in (1..).zip(&writes) {
            model.extend((slot..slot + count as u64).map(|slot| (slot, tag)));
        }
        let image = rig.disk.stable();
        for slot in 0..SLOTS {
            prop_assert_eq!(tag_at(&image, slot), model.get(&slot).copied().unwrap_or(0));
        }
        let (mut written, mut begun) = (BTreeSet::new(), BTreeSet::new());
        for record in &records {
            for slot in slots(record) {
                match record.call {
                    Call::Write => prop_assert!(written.insert(slot) && !begun.contains(&slot), "slot {}", slot),
                    // There may be holes in it: nothing is begun with there.
                    Call::WriteBack => prop_assert!(begun.insert(slot), "slot {}", slot),
                    Call::Sync | Call::Read => {}
                }
            }
        }
        prop_assert_eq!(records.last().map(|record| record.call), Some(Call::Sync));
    }
}
