//! One test for each bug that the simulation found; its header tells the bug.

use std::sync::Arc;
use std::time::Duration;

use fz_bufpool::{BufPool, BufPoolConfig, BufferSize};
use fz_file::{Preallocation, SlotFile, SlotFileConfig};
use fz_sim::{Errno, Fault, FaultPlan, FaultRule, Op, OpSet, PageFate, SimDisk, SimDiskConfig};
use fz_wpipe::{WritePipe, WritePipeConfig, WriteRequest};

/// Btrfs throws the new bytes of a page away when it cannot write them: a read then shows the old
/// ones. The pipe's `read` looked for a failure before it read only while writes were queued, so after
/// a failed *sync* it showed the file without writes that had been accepted, and said `Ok`.
#[test]
fn k_a_read_after_a_failed_sync_does_not_pass_off_what_is_left_as_what_was_accepted() {
    let disk = SimDisk::new(1);
    let config = SlotFileConfig::new("/slots", 512).initial_slots(4);
    let file = Arc::new(SlotFile::open_on(disk.volume(), config).unwrap());
    let pool = BufPool::new(BufPoolConfig::new(BufferSize::S512, 4 * 512)).unwrap();
    let config = WritePipeConfig::new().flush_interval(Duration::from_secs(3600));
    let pipe = WritePipe::new(config, Arc::clone(&file)).unwrap();
    disk.set_faults(
        FaultPlan::new().with(FaultRule::new(OpSet::SYNCS, Fault::SyncFailed(Errno::Eio, PageFate::Reverted))),
    );
    let mut allocation = pool.allocate(1).unwrap();
    allocation.as_mut_slice().fill(7);
    let ticket = pipe.write(WriteRequest { allocation, slot_index: 2 }).unwrap();

    let mut bytes = [0; 512];
    pipe.read(2, &mut bytes).unwrap();
    assert_eq!(bytes, [7; 512], "before the failure the write is there");

    let failure = ticket.wait().unwrap_err();
    let error = pipe.read(2, &mut bytes).expect_err("the accepted bytes are not there to be read");
    assert_eq!(error.kind(), failure.kind());
}

/// A temporary file that a crash had left, or that a failed creation had taken away itself, kept its blocks
/// until the directory was synced, and no call synced it: on a nearly full disk each further open failed.
#[test]
fn j_a_left_over_is_no_reason_to_find_the_disk_full() {
    let one_file = || SimDisk::with_config(SimDiskConfig::new(1).capacity_bytes(4096));
    let config = SlotFileConfig::new("/slots", 512).initial_slots(8);
    let disk = one_file();
    disk.put("/.slots.creating", &[0xEE; 4096]).unwrap();
    SlotFile::open_on(disk.volume(), config.clone()).unwrap();

    for op in [Op::SyncAll, Op::RenameNew] {
        let disk = one_file();
        disk.set_faults(FaultPlan::new().with(FaultRule::new(op, Fault::Error(Errno::Eio)).nth(1)));
        SlotFile::open_on(disk.volume(), config.clone()).unwrap_err();
        SlotFile::open_on(disk.volume(), config.clone()).unwrap();
    }
}

/// ext4 keeps taking a block for written whose first write-back failed. A program that did what it was advised to do
/// after a failed sync, opened the file anew and wrote the rest again, was told that all was durable, and lost it.
#[test]
fn a_writes_through_a_file_that_was_opened_anew_after_a_failed_sync_are_durable() {
    let config = || SlotFileConfig::new("/slots", 512).initial_slots(8).preallocation(Preallocation::Allocated);
    let write_all = |disk: &SimDisk| {
        let file = Arc::new(SlotFile::open_on(disk.volume(), config()).unwrap());
        let pool = BufPool::new(BufPoolConfig::new(BufferSize::S512, 8 * 512)).unwrap();
        let pipe = WritePipe::new(WritePipeConfig::new(), file).unwrap();
        let mut allocation = pool.allocate(8).unwrap();
        allocation.as_mut_slice().fill(7);
        pipe.write(WriteRequest { allocation, slot_index: 0 }).unwrap().wait().map(drop)
    };
    let after_a_failed_sync = |ignored: FaultPlan| {
        let disk = SimDisk::new(1);
        drop(SlotFile::open_on(disk.volume(), config()).unwrap());
        // The first sync is the one of the open.
        let fails = FaultRule::new(OpSet::SYNCS, Fault::SyncFailed(Errno::Eio, PageFate::Dropped));
        disk.set_faults(FaultPlan::new().with(fails.nth(2)));
        write_all(&disk).unwrap_err();
        disk.set_faults(ignored);
        write_all(&disk).unwrap();
        disk.is_durable("/slots", 0..8 * 512)
    };
    assert!(after_a_failed_sync(FaultPlan::new()), "an acknowledged write can be lost");
    // The canary: a kernel that keeps the pages.
    let ignores = FaultPlan::new().with(FaultRule::new(Op::DropCleanPages, Fault::SyncIgnored));
    assert!(!after_a_failed_sync(ignores), "the loss went unseen");
}
