//! Promise A: when a ticket of epoch *e* resolves to `Ok(d)`, then `d >= e`, and every write with
//! an epoch up to *d* survives a power cut at that instant.

mod disk;
mod rig;
mod watchdog;

use std::sync::{Arc, Mutex};
use std::thread;

use disk::{Call, Disk};
use fz_wpipe::{WritePipe, WritePipeConfig};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence::{Off, WithSource};
use rig::{Rig, SLOT, SLOTS, lazy, open, pool, tag_at, tagged};
use watchdog::{finishes, until};

/// Whatever `rig`'s threads write and wait for is on the stable part of the disk.
fn writers_find_their_writes_stable(rig: Rig) {
    let rig = Arc::new(rig);
    // (epoch, slot); each slot is written once.
    let accepted = Arc::new(Mutex::new(Vec::new()));
    let writers = 4;
    let threads: Vec<_> = (0..writers)
        .map(|writer| {
            let (rig, accepted) = (Arc::clone(&rig), Arc::clone(&accepted));
            thread::spawn(move || {
                for slot in (writer..SLOTS).step_by(4) {
                    let ticket = rig.write(slot, slot + 1);
                    accepted.lock().unwrap().push((ticket.epoch(), slot));
                    // Some are waited for by threads, some by tasks, some not at all.
                    let durable = match slot % 3 {
                        0 => ticket.wait().unwrap(),
                        1 => pollster::block_on(ticket.clone()).unwrap(),
                        _ => continue,
                    };
                    let stable = rig.disk.stable();
                    assert!(durable >= ticket.epoch());
                    for (epoch, slot) in accepted.lock().unwrap().iter().filter(|(epoch, _)| *epoch <= durable) {
                        assert_eq!(tag_at(&stable, *slot), slot + 1, "epoch {epoch} is lost, {durable} was declared");
                    }
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    rig.pipe.close().unwrap();
}

#[test]
fn a_what_a_ticket_declares_durable_survives_a_power_cut() {
    finishes(|| writers_find_their_writes_stable(Rig::lazy()));
}

#[test]
fn a_interrupted_calls_and_short_writes_change_nothing() {
    finishes(|| {
        let rig = Rig::lazy();
        rig.disk.interrupt_every_other_call();
        // Ends in the middle of a slot and of a buffer.
        rig.disk.transfer_max(SLOT / 2 + 3);
        writers_find_their_writes_stable(rig);
    });
}

#[test]
fn a_small_batches_change_nothing() {
    finishes(|| writers_find_their_writes_stable(Rig::new(lazy().batch_writes_max(2).queue_capacity(8))));
}

#[test]
fn a_no_ticket_resolves_while_the_sync_runs() {
    finishes(|| {
        let rig = Rig::lazy();
        rig.disk.hold(Call::Sync);
        let ticket = rig.write(3, 7);
        let waiter = {
            let ticket = ticket.clone();
            thread::spawn(move || ticket.wait())
        };
        rig.disk.wait_until_held(Call::Sync);
        assert_eq!(tag_at(&rig.disk.cache(), 3), 7, "written");
        assert!(!ticket.is_durable(), "not durable before the sync has returned");
        assert_eq!(rig.pipe.durable_epoch(), 0);
        rig.disk.release();
        assert_eq!(waiter.join().unwrap().unwrap(), 1);
    });
}

#[test]
fn a_a_write_beside_a_sync_needs_the_next_sync() {
    finishes(|| {
        let rig = Rig::lazy();
        rig.disk.hold(Call::Sync);
        let first = rig.write(0, 1);
        let waiter = {
            let first = first.clone();
            thread::spawn(move || first.wait())
        };
        rig.disk.wait_until_held(Call::Sync);
        // Written while the first sync is under way: a read writes ahead.
        let second = rig.write(1, 2);
        assert_eq!(rig.read(1), 2);
        rig.disk.let_one_pass(Call::Sync);
        assert_eq!(waiter.join().unwrap().unwrap(), 1, "not 2: the sync began before that write");
        assert!(!second.is_durable());
        rig.disk.release();
        assert_eq!(second.wait().unwrap(), 2);
        assert_eq!(tag_at(&rig.disk.stable(), 1), 2);
    });
}

#[test]
fn a_each_write_ends_before_the_sync_that_declares_it_begins() {
    finishes(|| {
        let rig = Rig::lazy();
        for slot in 0..20 {
            rig.write(slot, slot + 1).wait().unwrap();
            let records = rig.disk.records();
            let write = records.iter().rfind(|record| record.call == Call::Write).expect("it was written");
            let sync = records.iter().rfind(|record| record.call == Call::Sync).expect("it was synced");
            assert_eq!(write.offset, slot * 64);
            assert!(write.is_ok && sync.is_ok && write.ended < sync.began && sync.ended > 0, "{write:?} {sync:?}");
        }
    });
}

#[test]
fn a_unawaited_writes_become_durable_by_themselves() {
    finishes(|| {
        let rig = Rig::new(WritePipeConfig::new());
        for slot in 0..100 {
            drop(rig.write(slot, slot + 1));
        }
        until(|| rig.pipe.durable_epoch() == 100);
        let stable = rig.disk.stable();
        assert!((0..100).all(|slot| tag_at(&stable, slot) == slot + 1));
    });
}

#[derive(Clone, Debug)]
enum Step {
    /// Slots from here, so many.
    Write(u64, usize),
    Wait,
    Read(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..SLOTS - 8, 1_usize..8).prop_map(|(slot, count)| Step::Write(slot, count)),
        1 => Just(Step::Wait),
        1 => (0..SLOTS).prop_map(Step::Read),
    ];
    prop::collection::vec(step, 1..60)
}

proptest! {
    // A case that fails is kept beside this file; one of a program broken on purpose is not.
    #![proptest_config(ProptestConfig::with_failure_persistence(
        if cfg!(fz_mutants) { Off } else { WithSource("proptest-regressions") }
    ))]

    /// One thread, so that the model is plain: after a wait the stable bytes are exactly those of
    /// all writes in their order.
    #[test]
    fn a_after_a_wait_the_stable_bytes_are_those_of_all_writes(
        steps in steps(), batch in 1_usize..20,
    ) {
        let disk = Disk::default();
        let file = open(&disk);
        let pool = pool(1024);
        let config = lazy().batch_writes_max(batch);
        let pipe = WritePipe::new(config, file).unwrap();
        let mut model = disk.stable();
        for (step, tag) in steps.iter().zip(1_u64..) {
            match *step {
                Step::Write(slot_index, count) => {
                    let allocation = tagged(pool.allocate(count).unwrap(), tag);
                    let at = usize::try_from(slot_index).unwrap() * SLOT;
                    model[at..at + count * SLOT].copy_from_slice(allocation.as_slice());
                    drop(pipe.write(fz_wpipe::WriteRequest { allocation, slot_index }).unwrap());
                }
                Step::Wait => {
                    pipe.sync().wait().unwrap();
                    prop_assert!(disk.stable() == model, "before step {}", tag);
                }
                Step::Read(slot) => {
                    let mut back = [0; SLOT];
                    pipe.read(slot, &mut back).unwrap();
                    prop_assert_eq!(rig::tag_of(&back), tag_at(&model, slot));
                }
            }
        }
        pipe.close().unwrap();
        prop_assert!(disk.stable() == model, "after the close");
    }
}

#[test]
fn a_what_is_written_ahead_during_a_sync_is_not_covered_by_it() {
    finishes(|| {
        let rig = Rig::lazy();
        rig.disk.hold(Call::Sync);
        let first = rig.write(0, 1);
        let first = thread::spawn(move || first.wait());
        rig.disk.wait_until_held(Call::Sync);
        let second = rig.write(1, 2);
        assert_eq!(rig.read(1), 2, "the read has handed it to the kernel");
        rig.disk.let_one_pass(Call::Sync);
        assert_eq!(first.join().expect("no panic").expect("the disk is sound"), 1);
        assert!(!second.is_durable(), "that the sync covered it would be luck");
        assert_eq!(rig.pipe.durable_epoch(), 1);
        rig.disk.release();
        assert_eq!(second.wait().expect("the disk is sound"), 2);
    });
}
