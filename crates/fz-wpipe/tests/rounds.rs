//! What a round asks of the disk, how large it gets, and what the stats say of it.

mod disk;
mod rig;
mod watchdog;

use std::time::Duration;

use disk::Call;
use fz_wpipe::{SyncMode, WritePipeConfig};
use rig::{Rig, SLOT, lazy};
use watchdog::{finishes, until};

/// The syncs of a pipe with `mode`, each as "is it a full one".
fn syncs_of(mode: SyncMode) -> Vec<bool> {
    let rig = Rig::new(lazy().sync_mode(mode));
    assert_eq!(rig.write(0, 1).wait().unwrap(), 1);
    pollster::block_on(rig.write(1, 2)).unwrap();
    drop(rig.write(2, 3));
    assert_eq!(rig.pipe.close().unwrap(), 3);
    let records = rig.disk.records();
    assert_eq!(rig.disk.count(Call::Write), 3, "{records:?}");
    records.iter().filter(|record| record.call == Call::Sync).map(|record| record.is_full_sync).collect()
}

#[test]
fn a_each_sync_mode_makes_its_own_calls_and_no_others() {
    finishes(|| {
        assert_eq!(syncs_of(SyncMode::Data), [false; 3]);
        assert_eq!(syncs_of(SyncMode::default()), [false; 3]);
        assert_eq!(syncs_of(SyncMode::Full), [true; 3]);
        assert_eq!(syncs_of(SyncMode::DangerouslyNone), []);
    });
}

/// How many slots each sync covered, of writes that were all queued before the first.
fn batches(config: WritePipeConfig, writes: u64, slots_each: usize) -> Vec<usize> {
    let rig = Rig::new(config);
    for write in 0..writes {
        // Slots in order: one write call a batch, or as many as it takes to split it.
        drop(rig.pipe.write(rig.request(write * slots_each as u64, slots_each, 1)).unwrap());
    }
    rig.pipe.close().unwrap();
    let mut batches = vec![0];
    for record in rig.disk.records() {
        match record.call {
            Call::Write => *batches.last_mut().unwrap() += record.bytes / SLOT,
            Call::Sync => batches.push(0),
            Call::Read | Call::WriteBack => {}
        }
    }
    assert_eq!(batches.pop(), Some(0), "the last call is a sync");
    batches
}

#[test]
fn what_a_batch_limit_leaves_behind_does_not_wait_for_another_interval() {
    finishes(|| {
        for awaits in [false, true] {
            let rig = Rig::new(lazy().batch_writes_max(3));
            let first = rig.write(0, 1);
            for slot in 1..5 {
                drop(rig.write(slot, 1));
            }
            if awaits {
                pollster::block_on(first).unwrap();
            } else {
                first.wait().unwrap();
            }
            // As old as the first batch, which the lazy pipe's interval would not begin for an hour.
            until(|| rig.pipe.durable_epoch() == 5);
        }
    });
}

#[test]
fn threads_that_may_not_linger_come_through_as_well() {
    finishes(|| {
        for linger in [Duration::ZERO, Duration::from_millis(1), Duration::MAX] {
            let rig = Rig::new(lazy().linger_max(linger));
            std::thread::scope(|scope| {
                for thread in 0..4 {
                    let rig = &rig;
                    scope.spawn(move || {
                        for round in 1..50 {
                            let ticket = rig.write(thread, round);
                            assert!(ticket.wait().unwrap() >= ticket.epoch());
                        }
                    });
                }
            });
            assert_eq!(rig.pipe.close().unwrap(), 4 * 49);
        }
    });
}

#[test]
fn f_a_batch_has_at_most_the_configured_writes() {
    finishes(|| {
        assert_eq!(batches(lazy().batch_writes_max(3), 10, 1), [3, 3, 3, 1]);
        assert_eq!(batches(lazy().batch_writes_max(3), 9, 2), [6, 6, 6]);
        assert_eq!(batches(lazy().batch_writes_max(1), 4, 3), [3, 3, 3, 3]);
        assert_eq!(batches(lazy().batch_writes_max(100), 100, 1), [100]);
    });
}

#[test]
fn f_a_batch_is_closed_by_the_write_that_reaches_its_bytes() {
    finishes(|| {
        assert_eq!(batches(lazy().batch_bytes_max(4 * SLOT), 10, 1), [4, 4, 2]);
        assert_eq!(batches(lazy().batch_bytes_max(4 * SLOT), 5, 3), [6, 6, 3]);
        assert_eq!(batches(lazy().batch_bytes_max(1), 3, 2), [2, 2, 2]);
        assert_eq!(batches(lazy().batch_bytes_max(4 * SLOT + 1), 10, 1), [5, 5]);
        assert_eq!(batches(lazy().batch_bytes_max(4 * SLOT).batch_writes_max(3), 7, 1), [3, 3, 1]);
        assert_eq!(batches(lazy().batch_bytes_max(3 * SLOT).batch_writes_max(4), 7, 1), [3, 3, 1]);
    });
}

#[test]
fn d_a_ticket_behind_many_batches_resolves_without_help() {
    finishes(|| {
        for waits_as_task in [true, false] {
            let rig = Rig::new(lazy().batch_writes_max(1));
            let tickets: Vec<_> = (0..50).map(|slot| rig.write(slot, 1)).collect();
            let last = tickets.last().expect("50 of them");
            if waits_as_task {
                assert_eq!(pollster::block_on(last.clone()).unwrap(), 50);
            } else {
                assert_eq!(last.wait().unwrap(), 50);
            }
            assert_eq!(rig.disk.count(Call::Sync), 50);
        }
    });
}

#[test]
fn the_stats_count_what_was_done() {
    finishes(|| {
        let rig = Rig::lazy();
        let none = rig.pipe.stats();
        assert_eq!((none.accepted, none.durable, none.syncs, none.batches, none.queue_depth), (0, 0, 0, 0, 0));
        assert_eq!((none.sync_last, none.sync_mean), (Duration::ZERO, Duration::ZERO));

        // Slots 3, 4, 5 in one range, slot 4 twice; slot 9 apart.
        for (slot, tag) in [(3, 1), (4, 2), (5, 3), (4, 4), (9, 5)] {
            drop(rig.write(slot, tag));
        }
        let queued = rig.pipe.stats();
        assert_eq!((queued.accepted, queued.durable, queued.queue_depth), (5, 0, 5));
        assert_eq!(rig.read(9), 5);
        let written = rig.pipe.stats();
        assert_eq!((written.accepted, written.durable, written.queue_depth, written.batches), (5, 0, 0, 1));
        assert_eq!((written.ranges, written.superseded_slots, written.coalesced_writes), (2, 1, 3));
        assert_eq!(written.bytes, 4 * SLOT as u64);
        assert_eq!(written.syncs, 0);

        rig.pipe.sync().wait().unwrap();
        let synced = rig.pipe.stats();
        assert_eq!((synced.durable, synced.syncs, synced.batches), (5, 1, 1));
        assert!(synced.sync_last > Duration::ZERO);
        assert_eq!(synced.sync_mean, synced.sync_last, "of one");
        rig.pipe.close().unwrap();
        assert_eq!(rig.pipe.stats().syncs, 1, "nothing was left");
    });
}

#[test]
fn the_queue_depth_counts_what_waits_behind_a_batch_limit() {
    finishes(|| {
        let rig = Rig::new(lazy().batch_bytes_max(SLOT));
        (0..5).for_each(|slot| drop(rig.write(slot, 1)));
        rig.disk.hold(Call::Sync);
        let ticket = rig.pipe.sync();
        let waiter = std::thread::spawn(move || ticket.wait());
        rig.disk.wait_until_held(Call::Sync);
        assert_eq!(rig.pipe.stats().queue_depth, 4, "one batch of one write is out");
        rig.disk.release();
        waiter.join().unwrap().unwrap();
    });
}
