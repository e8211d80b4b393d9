//! What a pipe does beside the plain "write the batch, sync once" when much is to be written: it lets
//! the device begin early (more in `write_back.rs`), and joins small slices. None of it makes anything durable but the
//! sync.

mod disk;
mod rig;
mod watchdog;

use std::sync::Arc;
use std::thread;

use disk::{Call, Disk, EIO, Fault};
use fz_bufpool::BufPool;
use fz_file::{SlotFile, SlotFileConfig};
use fz_wpipe::{PipeErrorKind, SyncMode, WritePipe, WritePipeConfig, WriteRequest};
use rig::{Rig, SLOT, lazy, tag_at};
use watchdog::finishes;

/// One batch of one write for each of `slots`, whose bytes lie apart in memory.
fn batch(rig: &Rig, slots: impl IntoIterator<Item = u64>) {
    let slots: Vec<u64> = slots.into_iter().collect();
    let mut buffers: Vec<_> = slots.iter().map(|_| rig.pool.allocate(1).expect("the pool is large")).collect();
    for slot_index in slots {
        // From the end of the pool backwards: no two are neighbours in the file and in memory.
        let allocation = rig::tagged(buffers.pop().expect("one each"), slot_index + 1);
        drop(rig.pipe.write(WriteRequest { allocation, slot_index }).expect("the pipe is sound"));
    }
}

#[test]
fn the_size_is_rounded_down_to_a_power_of_two_of_slots() {
    finishes(|| {
        for bytes in [1, SLOT - 1, SLOT, 2 * SLOT - 1] {
            let rig = Rig::new(lazy().write_back_bytes(bytes));
            batch(&rig, 0..3);
            rig.pipe.sync().wait().expect("the disk is sound");
            let calls = rig.disk.records();
            let begun = calls.iter().filter(|record| record.call == Call::WriteBack);
            let begun: Vec<_> = begun.map(|record| (record.offset, record.bytes)).collect();
            assert_eq!(begun, [(0, SLOT), (SLOT as u64, SLOT)], "{bytes} bytes: {calls:?}");
        }
    });
}

#[test]
fn a_begun_batch_is_not_durable_before_its_sync() {
    finishes(|| {
        let rig = Rig::new(lazy().write_back_bytes(SLOT));
        rig.disk.hold(Call::Sync);
        batch(&rig, 0..8);
        let ticket = rig.pipe.sync();
        let waiter = thread::spawn({
            let ticket = ticket.clone();
            move || ticket.wait()
        });
        rig.disk.wait_until_held(Call::Sync);
        assert!(rig.disk.count(Call::WriteBack) > 0);
        assert!(!ticket.is_durable());
        assert_eq!(rig.pipe.durable_epoch(), 0);
        rig.disk.release();
        assert_eq!(waiter.join().expect("no panic").expect("the disk is sound"), 8);
    });
}

#[test]
fn nothing_is_begun_where_it_would_not_pay() {
    let begun = |config: WritePipeConfig, slots: Vec<u64>| {
        let rig = Rig::new(config);
        batch(&rig, slots);
        rig.pipe.sync().wait().expect("the disk is sound");
        rig.disk.count(Call::WriteBack)
    };
    finishes(move || {
        let four = || lazy().write_back_bytes(4 * SLOT);
        assert_eq!(begun(four(), (0..4).collect()), 0, "small");
        assert_eq!(begun(four(), (0..256).step_by(16).collect()), 0, "far apart");
        assert_eq!(begun(four(), (0..256).step_by(4).collect()), 0, "with many holes");
        assert_eq!(begun(four(), (0..256).step_by(16).chain(1..9).collect()), 2, "some of it is not");
        assert_eq!(begun(four(), (0..3).chain(64..66).chain(128..130).collect()), 1, "the first is little");
        assert_eq!(begun(four(), (0..3).chain(64..65).chain(128..130).collect()), 0, "so is a quarter");
        assert_eq!(begun(four(), (0..2).chain(6..8).collect()), 0, "a small hole");
        assert_eq!(begun(four(), (0..2).chain(6..8).chain(9..10).collect()), 1, "half of it is there");
        assert_eq!(begun(four(), (0..1).chain(5..8).chain(9..10).collect()), 1, "likewise");
        assert_eq!(begun(lazy().write_back_bytes(usize::MAX), (0..256).collect()), 0, "turned off");
        assert_eq!(begun(lazy(), (0..256).collect()), 0, "the default is 2 MiB");
        assert_eq!(begun(four().sync_mode(SyncMode::DangerouslyNone), (0..256).collect()), 0, "no sync follows");
        assert!(begun(four().sync_mode(SyncMode::Full), (0..256).collect()) > 0);
    });
}

#[test]
fn c_an_interrupted_write_back_is_no_failure() {
    finishes(|| {
        let rig = Rig::new(lazy().write_back_bytes(4 * SLOT));
        rig.disk.fail(Call::WriteBack, 0, Fault::Interrupted);
        batch(&rig, 0..12);
        assert_eq!(rig.pipe.sync().wait().expect("a signal only"), 12);
    });
}

#[test]
fn many_small_slices_reach_the_kernel_as_one() {
    finishes(|| {
        let rig = Rig::lazy();
        batch(&rig, 10..41);
        rig.pipe.sync().wait().expect("the disk is sound");
        assert_eq!(rig.disk.count(Call::Write), 7, "31 slices are a vectored write, and this disk takes five a call");
        batch(&rig, 60..92);
        rig.pipe.sync().wait().expect("the disk is sound");
        assert_eq!(rig.disk.count(Call::Write), 8, "32 are joined");
        let stable = rig.disk.stable();
        (10..41).chain(60..92).for_each(|slot| assert_eq!(tag_at(&stable, slot), slot + 1));
        assert_eq!([9, 41, 59, 92].map(|slot| tag_at(&stable, slot)), [0; 4]);
    });
}

#[test]
fn what_is_joined_survives_short_writes_and_signals() {
    finishes(|| {
        for bytes in [1, 63, 100, 64 * 30] {
            let rig = Rig::lazy();
            rig.disk.transfer_max(bytes);
            rig.disk.interrupt_every_other_call();
            batch(&rig, 10..74);
            rig.pipe.sync().wait().expect("it makes progress");
            (10..74).for_each(|slot| assert_eq!(tag_at(&rig.disk.stable(), slot), slot + 1));
        }
    });
}

const MANY: u64 = 65_536 + 64 * 8 + 1;

/// A pipe with so many writes in its queue, of which no two are neighbours in the file and in memory.
fn with_many_queued() -> (Disk, BufPool, WritePipe) {
    let (disk, pool) = (Disk::default(), rig::pool(1 << 17));
    let slots = SlotFileConfig::new("/slots", SLOT).initial_slots(MANY);
    let file = Arc::new(SlotFile::open_on(Arc::new(disk.clone()), slots).expect("the disk is sound"));
    disk.start();
    let config = lazy().queue_capacity(1 << 19).write_back_bytes(65_536 * SLOT);
    let pipe = WritePipe::new(config, file).expect("the config is fine");
    for slot_index in (0..MANY).rev() {
        let allocation = rig::tagged(pool.allocate(1).expect("the pool is large"), slot_index + 1);
        drop(pipe.write(WriteRequest { allocation, slot_index }).expect("the pipe is sound"));
    }
    (disk, pool, pipe)
}

#[test]
fn c_a_very_large_batch_that_fails_gives_all_of_its_memory_back() {
    finishes(|| {
        // 64 KiB are joined in a call.
        for nth in [3, 64] {
            let (disk, pool, pipe) = with_many_queued();
            disk.fail(Call::Write, nth, Fault::Errno(EIO));
            let error = pipe.sync().wait().expect_err("the disk failed");
            assert_eq!(*error.kind(), PipeErrorKind::WriteFailed { first: 1, last: MANY });
            assert_eq!((pipe.durable_epoch(), pool.stats().in_use), (0, 0));
            drop(pipe);
        }
    });
}
