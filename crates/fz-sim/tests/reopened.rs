//! A file that is opened anew after a failed write-back, as ext4 treats it: a block that was never written to when
//! its writing failed once takes no later write, until the clean pages are dropped.

mod one_file;

use fz_file::{Preallocation, SlotFile, SlotFileConfig};
use fz_sim::{
    Access, Errno, Fault, FaultPlan, FaultRule, Op, OpSet, PageFate, SimDisk, Storage, Volume, WholeTransfers,
};
use one_file::{FILE, on};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence::{Off, WithSource};

const BLOCK: usize = 4096;

/// A durable file of `blocks` blocks that were reserved and never written.
fn reserved(disk: &SimDisk, blocks: usize) -> Box<dyn Storage> {
    disk.put(FILE, b"").unwrap();
    let file = disk.open(FILE.as_ref(), Access::ReadWrite).unwrap();
    file.allocate(0, (blocks * BLOCK) as u64).unwrap();
    file.sync_all().unwrap();
    file
}

fn dropped() -> FaultRule {
    FaultRule::new(OpSet::SYNCS, Fault::SyncFailed(Errno::Eio, PageFate::Dropped)).nth(1)
}

/// Writes one block, whose sync fails, then writes it again, and says whether that became durable.
fn written_again(file: &dyn Storage, disk: &SimDisk, between: impl FnOnce(&dyn Storage)) -> bool {
    on(disk, dropped());
    file.write_all_at(&[1; BLOCK], 0).unwrap();
    file.sync_data().unwrap_err();
    between(file);
    file.write_all_at(&[1; BLOCK], 0).unwrap();
    file.sync_data().unwrap();
    disk.is_durable(FILE, 0..BLOCK as u64)
}

#[test]
fn a_rewrite_of_a_never_written_block_is_durable_only_after_its_pages_were_dropped() {
    type Between = fn(&dyn Storage);
    let nothing: Between = |_| {};
    let sync: Between = |file| file.sync_all().unwrap();
    let drop: Between = |file| file.drop_clean_pages().unwrap();
    for (between, is_durable) in [(nothing, false), (sync, false), (drop, true)] {
        let disk = SimDisk::new(1);
        let file = reserved(&disk, 2);
        assert_eq!(written_again(&*file, &disk, between), is_durable);
        let lost = disk.crash_space().all(1000).unwrap().any(|image| image.contents(FILE).unwrap()[0] == 0);
        assert_eq!(lost, !is_durable, "some power cut leaves the zeros");
    }
}

#[test]
fn a_hole_and_an_append_are_never_written_blocks_too() {
    let hole = SimDisk::new(1);
    hole.put(FILE, b"").unwrap();
    let file = hole.open(FILE.as_ref(), Access::ReadWrite).unwrap();
    file.set_length(BLOCK as u64).unwrap();
    file.sync_all().unwrap();
    assert!(!written_again(&*file, &hole, |_| {}));
    let append = SimDisk::new(1);
    append.put(FILE, b"").unwrap();
    let file = append.open(FILE.as_ref(), Access::ReadWrite).unwrap();
    assert!(!written_again(&*file, &append, |_| {}));
    file.set_length(0).unwrap();
    file.write_all_at(&[1; BLOCK], 0).unwrap();
    file.sync_data().unwrap();
    assert!(append.is_durable(FILE, 0..BLOCK as u64), "the cut dropped the pages");
}

#[test]
fn a_block_that_was_written_before_is_durable_when_it_is_written_again() {
    let disk = SimDisk::new(1);
    disk.put(FILE, &[7; BLOCK]).unwrap();
    let file = disk.open(FILE.as_ref(), Access::ReadWrite).unwrap();
    assert!(written_again(&*file, &disk, |_| {}));
}

/// The pages are dirty when they are dropped, and so they stay.
#[test]
fn dropping_pages_before_the_sync_does_not_help() {
    let disk = SimDisk::new(1);
    let file = reserved(&disk, 1);
    on(&disk, dropped());
    file.write_all_at(&[1; BLOCK], 0).unwrap();
    file.sync_data().unwrap_err();
    file.write_all_at(&[1; 512], 0).unwrap();
    file.drop_clean_pages().unwrap();
    file.write_all_at(&[1; BLOCK], 0).unwrap();
    file.sync_data().unwrap();
    assert!(!disk.is_durable(FILE, 0..BLOCK as u64));
    file.drop_clean_pages().unwrap();
    file.write_all_at(&[1; BLOCK], 0).unwrap();
    file.sync_data().unwrap();
    assert!(disk.is_durable(FILE, 0..BLOCK as u64));
}

#[test]
fn a_failed_write_back_and_a_loss_in_the_background_leave_stale_pages_too() {
    let write_back = Fault::SyncFailed(Errno::Eio, PageFate::Dropped);
    for rule in [
        FaultRule::new(Op::WriteBack, write_back).nth(1),
        FaultRule::new(Op::Write, Fault::LostInBackground(Errno::Eio)).nth(1),
    ] {
        let disk = SimDisk::new(1);
        let file = reserved(&disk, 1);
        on(&disk, rule);
        file.write_all_at(&[1; BLOCK], 0).unwrap();
        let _ = file.write_back(0, BLOCK as u64);
        let _ = file.sync_data();
        file.write_all_at(&[1; BLOCK], 0).unwrap();
        file.sync_data().unwrap();
        assert!(!disk.is_durable(FILE, 0..BLOCK as u64));
    }
}

#[test]
fn stale_pages_outlive_the_process_and_not_the_power_cut() {
    let failed = || {
        let disk = SimDisk::new(1);
        let file = reserved(&disk, 1);
        on(&disk, dropped());
        file.write_all_at(&[1; BLOCK], 0).unwrap();
        file.sync_data().unwrap_err();
        disk
    };
    for (disk, is_durable) in [(failed().kill_process(), false), (failed().power_cut(3), true)] {
        let file = disk.open(FILE.as_ref(), Access::ReadWrite).unwrap();
        file.write_all_at(&[1; BLOCK], 0).unwrap();
        file.sync_data().unwrap();
        assert_eq!(disk.is_durable(FILE, 0..BLOCK as u64), is_durable);
    }
}

const SLOT: usize = 512;
const SLOTS: u64 = 24;

/// How a slot's bytes get lost.
#[derive(Clone, Copy, Debug)]
enum Failure {
    Sync,
    Write,
}

fn failure() -> impl Strategy<Value = Failure> {
    prop_oneof![Just(Failure::Sync), Just(Failure::Write)]
}

fn config() -> SlotFileConfig {
    SlotFileConfig::new(FILE, SLOT).initial_slots(SLOTS).preallocation(Preallocation::Allocated)
}

/// Writes each slot and syncs it; the sync of slot `at` fails. Then the file is opened anew, every slot is written
/// and synced again, and so acknowledged. Whether all of it is durable. `ignores`: the kernel drops no pages.
fn reopened(seed: u64, failure: Failure, at: u64, kills: bool, ignores: bool) -> bool {
    let disk = SimDisk::new(seed);
    let file = SlotFile::open_on(disk.volume(), config()).unwrap();
    let rule = match failure {
        Failure::Sync => FaultRule::new(OpSet::SYNCS, Fault::SyncFailed(Errno::Eio, PageFate::Dropped)),
        Failure::Write => FaultRule::new(Op::Write, Fault::LostInBackground(Errno::Eio)),
    };
    on(&disk, rule.nth(at + 1));
    let write_all = |file: &SlotFile| {
        (0..SLOTS).try_for_each(|slot| {
            file.write(slot, &[1; SLOT])?;
            file.sync()
        })
    };
    write_all(&file).expect_err("one sync fails, or reports the bytes that were lost");
    drop(file);
    let disk = if kills { disk.kill_process() } else { disk };
    disk.set_faults(FaultPlan::new());
    if ignores {
        on(&disk, FaultRule::new(Op::DropCleanPages, Fault::SyncIgnored));
    }
    let file = SlotFile::open_on(disk.volume(), config()).unwrap();
    write_all(&file).unwrap();
    disk.is_durable(FILE, 0..SLOTS * SLOT as u64)
}

proptest! {
    // A case that fails is kept beside this file; one of a program broken on purpose is not.
    #![proptest_config(ProptestConfig::with_failure_persistence(
        if cfg!(fz_mutants) { Off } else { WithSource("proptest-regressions") }
    ))]

    #[test]
    fn a_writes_to_a_file_opened_anew_after_a_failure_are_durable_when_acknowledged(
        seed: u64,
        at in 0..SLOTS,
        failure in failure(),
        kills: bool,
    ) {
        prop_assert!(reopened(seed, failure, at, kills, false), "an acknowledged slot can be lost");
        // The canary: without the drop, the slots of a block whose first write failed are lost.
        let is_first_of_its_block = at % (BLOCK / SLOT) as u64 == 0;
        prop_assert_eq!(reopened(seed, failure, at, kills, true), !is_first_of_its_block);
    }
}
