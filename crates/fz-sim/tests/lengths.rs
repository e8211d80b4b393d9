//! How long a file is after faults and power cuts.

mod one_file;

use std::collections::BTreeSet;

use fz_sim::{
    Errno, Fault, FaultPlan, FaultRule, Op, OpSet, PageFate, SimDisk, SimDiskConfig, Storage, WholeTransfers,
};
use one_file::{FILE, disk_with, failing_sync, lengths, on, opened};

/// A length of its own is metadata, journalled apart from the pages; the length of a write past the end
/// goes with the write.
#[test]
fn a_length_that_was_set_outlives_a_failed_sync_and_one_that_was_written_does_not() {
    for fate in [PageFate::Dropped, PageFate::Kept] {
        type Extend = fn(&dyn Storage);
        let set: Extend = |file| file.set_length(1024).unwrap();
        let allocate: Extend = |file| file.allocate(512, 512).unwrap();
        let written: Extend = |file| file.write_all_at(&[1; 512], 512).unwrap();
        let written_is_lost = fate == PageFate::Dropped;
        for (extend, is_lost) in [(set, false), (allocate, false), (written, written_is_lost)] {
            let (disk, file) = disk_with(512);
            on(&disk, failing_sync(fate));
            extend(&*file);
            file.sync_data().unwrap_err();
            assert_eq!(lengths(&disk), BTreeSet::from([512, 1024]), "a sync that failed promises nothing");
            file.sync_data().unwrap();
            let expected = if is_lost { BTreeSet::from([512, 1024]) } else { BTreeSet::from([1024]) };
            assert_eq!(lengths(&disk), expected, "{fate:?}, lost: {is_lost}");
        }
    }
}

/// The length stayed lost for ever, because the file looked long enough already: an engine that did the
/// right thing after a failed sync was told that it had lost data.
#[test]
fn a_lost_length_that_is_written_past_again_is_dirty_again() {
    let (disk, file) = disk_with(512);
    on(&disk, failing_sync(PageFate::Dropped));
    file.write_all_at(&[1; 1024], 512).unwrap();
    file.sync_data().unwrap_err();
    file.write_all_at(&[2; 256], 512).unwrap();
    file.sync_data().unwrap();
    assert_eq!(lengths(&disk), BTreeSet::from([768, 1536]), "as far as it was written again");
    assert!(disk.is_durable(FILE, 512..768) && file.length().unwrap() == 1536);
    file.write_all_at(&[2; 768], 768).unwrap();
    file.sync_data().unwrap();
    assert_eq!(lengths(&disk), BTreeSet::from([1536]));
    assert!(disk.is_durable(FILE, 0..1536));
}

#[test]
fn a_length_that_is_set_ends_all_lost_ones_that_were_longer() {
    let (disk, file) = disk_with(512);
    on(&disk, failing_sync(PageFate::Dropped));
    file.write_all_at(&[1; 1024], 512).unwrap();
    file.sync_data().unwrap_err();
    file.set_length(600).unwrap();
    file.write_all_at(&[2; 100], 600).unwrap();
    assert_eq!(lengths(&disk), BTreeSet::from([512, 600, 700, 1536]));
    file.sync_data().unwrap();
    assert_eq!((lengths(&disk), file.length().unwrap()), (BTreeSet::from([700]), 700));
}

/// Any failed write-back, even of nothing, lost every length that a write had made.
#[test]
fn a_failed_write_back_loses_the_lengths_that_end_in_its_pages_and_no_others() {
    for (bytes, left) in
        [(0, BTreeSet::from([1024])), (512, BTreeSet::from([1024])), (1024, BTreeSet::from([512, 1024]))]
    {
        let (disk, file) = disk_with(512);
        file.write_all_at(&[1; 512], 512).unwrap();
        on(&disk, FaultRule::new(Op::WriteBack, Fault::SyncFailed(Errno::Eio, PageFate::Dropped)));
        file.write_back(0, bytes).unwrap_err();
        file.sync_data().unwrap();
        assert_eq!(lengths(&disk), left, "a write-back of {bytes} bytes failed");
    }
}

/// A length that was set is in the journal: it was undone with the pages, and only if no sector was dirty.
#[test]
fn reverted_pages_take_back_the_lengths_of_writes_and_no_others() {
    let reverted = |fate| {
        let (disk, file) = disk_with(512);
        on(&disk, failing_sync(fate));
        file.write_all_at(&[1; 512], 512).unwrap();
        file.set_length(2048).unwrap();
        file.write_all_at(&[1; 512], 2048).unwrap();
        file.sync_data().unwrap_err();
        (disk, file)
    };
    let (disk, file) = reverted(PageFate::Reverted);
    assert_eq!(file.length().unwrap(), 2048);
    assert_eq!(disk.contents(FILE).unwrap(), [0; 2048]);
    assert_eq!(lengths(&disk), BTreeSet::from([512, 2048]));
    file.sync_data().unwrap();
    assert_eq!(lengths(&disk), BTreeSet::from([2048]));
    // A write after it ends there again.
    file.write_all_at(&[3; 100], 2048).unwrap();
    file.sync_data().unwrap();
    assert_eq!((lengths(&disk), disk.is_durable(FILE, 0..2148)), (BTreeSet::from([2148]), true));
}

/// Whether the length went with the pages hung on any sector of the file that was written meanwhile.
#[test]
fn a_write_elsewhere_during_the_failing_sync_does_not_keep_a_reverted_length() {
    let length_after = |offset: u64| {
        let (disk, file) = disk_with(1024);
        file.write_all_at(&[1; 512], 1024).unwrap();
        disk.set_faults(
            FaultPlan::new()
                .with(failing_sync(PageFate::Reverted))
                .with(FaultRule::new(OpSet::SYNCS, Fault::Hang).nth(1)),
        );
        std::thread::scope(|scope| {
            let sync = scope.spawn(|| file.sync_data());
            disk.wait_until_hung(1);
            file.write_all_at(&[2; 100], offset).unwrap();
            disk.release_hung();
            sync.join().unwrap().unwrap_err();
        });
        file.length().unwrap()
    };
    assert_eq!(length_after(0), 1024);
    assert_eq!(length_after(1100), 1536, "bytes written meanwhile must not vanish");
}

/// Such a write found the file long enough, and when the length was lost nothing brought it back: the bytes were
/// reported as lost, though a sync covered them.
#[test]
fn a_write_inside_a_length_that_is_being_lost_makes_the_file_reach_its_own_end() {
    let (disk, file) = disk_with(512);
    file.write_all_at(&[1; 1024], 512).unwrap();
    disk.set_faults(
        FaultPlan::new().with(failing_sync(PageFate::Dropped)).with(FaultRule::new(OpSet::SYNCS, Fault::Hang).nth(1)),
    );
    std::thread::scope(|scope| {
        let sync = scope.spawn(|| file.sync_data());
        disk.wait_until_hung(1);
        file.write_all_at(&[2; 100], 600).unwrap();
        disk.release_hung();
        sync.join().unwrap().unwrap_err();
    });
    assert_eq!(lengths(&disk), BTreeSet::from([512, 700, 1536]));
    file.sync_data().unwrap();
    assert_eq!(lengths(&disk), BTreeSet::from([700, 1536]));
    assert!(disk.is_durable(FILE, 600..700));
}

/// A length that was cut off before is no reason for a file to be longer, even if thinning has forgotten the cut.
#[test]
fn a_length_that_was_cut_does_not_come_back_with_a_lost_one() {
    let disk = SimDisk::with_config(SimDiskConfig::new(1).versions_max(2));
    let file = opened(&disk, 0);
    file.write_all_at(&[1; 400], 0).unwrap();
    file.set_length(100).unwrap();
    for _ in 0..30 {
        file.write_all_at(&[2; 50], 0).unwrap();
    }
    file.write_all_at(&[3; 500], 512).unwrap();
    // The length of the last write is lost, and no other.
    on(&disk, FaultRule::new(Op::WriteBack, Fault::SyncFailed(Errno::Eio, PageFate::Dropped)));
    file.write_back(512, 512).unwrap_err();
    file.sync_data().unwrap();
    assert!(lengths(&disk).contains(&100), "{:?}", lengths(&disk));
}
