//! Each fault does what it says, where and when its rule says.

mod one_file;

use std::collections::BTreeSet;
use std::io::{self, ErrorKind, IoSlice, IoSliceMut};
use std::time::Duration;

use fz_sim::{
    Access, Errno, Fault, FaultKind, FaultPlan, FaultRule, Op, OpSet, PageFate, SimDisk, SimDiskConfig, Storage,
    Volume, WholeTransfers,
};
use one_file::{FILE, disk_with, failing_sync, on, opened};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence::{Off, WithSource};

fn write(file: &dyn Storage, bytes: &[u8]) -> io::Result<usize> {
    file.write_vectored_at(&[IoSlice::new(bytes)], 0)
}

/// The first byte of the file in each possible image.
fn first_bytes(disk: &SimDisk) -> BTreeSet<u8> {
    disk.crash_space().all(1000).unwrap().map(|image| image.contents(FILE).unwrap()[0]).collect()
}

#[test]
fn dropped_pages_are_read_but_no_later_sync_makes_them_durable() {
    let (disk, file) = disk_with(512);
    on(&disk, failing_sync(PageFate::Dropped));
    write(&*file, &[1; 512]).unwrap();
    assert_eq!(file.sync_data().unwrap_err().raw_os_error(), Some(Errno::Eio.raw()));
    for _ in 0..3 {
        file.sync_data().unwrap();
        file.sync_all().unwrap();
    }
    assert_eq!(disk.contents(FILE).unwrap(), [1; 512]);
    assert_eq!(first_bytes(&disk), BTreeSet::from([0, 1]));
    assert!(!disk.is_durable(FILE, 0..1));
}

#[test]
fn a_dropped_page_that_is_written_again_is_dirty_again() {
    let (disk, file) = disk_with(1024);
    on(&disk, failing_sync(PageFate::Dropped));
    write(&*file, &[1; 1024]).unwrap();
    file.sync_data().unwrap_err();
    write(&*file, &[2; 512]).unwrap();
    file.sync_data().unwrap();
    assert_eq!(first_bytes(&disk), BTreeSet::from([2]));
    assert!(disk.is_durable(FILE, 0..512));
    assert!(!disk.is_durable(FILE, 512..1024), "only the first sector was written again");
}

#[test]
fn an_evicted_page_shows_what_the_media_holds_after_a_dropped_write() {
    let shown = |seed| {
        let (disk, file) = disk_with(512);
        on(&disk, failing_sync(PageFate::Dropped));
        write(&*file, &[1; 512]).unwrap();
        file.sync_data().unwrap_err();
        disk.drop_caches(seed);
        let shown = disk.contents(FILE).unwrap()[0];
        assert_eq!(first_bytes(&disk), BTreeSet::from([shown]), "bytes read from the media stay");
        shown
    };
    assert_eq!((0..20).map(shown).collect::<BTreeSet<_>>(), BTreeSet::from([0, 1]));
}

#[test]
fn dirty_pages_are_not_evicted() {
    let (disk, file) = disk_with(512);
    write(&*file, &[1; 512]).unwrap();
    disk.drop_caches(7);
    assert_eq!(disk.contents(FILE).unwrap(), [1; 512]);
    assert_eq!(first_bytes(&disk), BTreeSet::from([0, 1]));
}

#[test]
fn reverted_pages_show_the_old_bytes_and_the_old_length() {
    let (disk, file) = disk_with(512);
    on(&disk, failing_sync(PageFate::Reverted));
    write(&*file, &[1; 1024]).unwrap();
    file.sync_data().unwrap_err();
    assert_eq!(disk.contents(FILE).unwrap(), [0; 512]);
    assert_eq!(disk.crash_space().count(), Some(1));
}

#[test]
fn kept_pages_become_durable_with_the_next_sync() {
    let (disk, file) = disk_with(512);
    on(&disk, failing_sync(PageFate::Kept));
    write(&*file, &[1; 512]).unwrap();
    file.sync_data().unwrap_err();
    assert_eq!(first_bytes(&disk), BTreeSet::from([0, 1]));
    file.sync_data().unwrap();
    assert_eq!(first_bytes(&disk), BTreeSet::from([1]));
}

#[test]
fn a_background_loss_is_reported_by_one_sync_and_forgotten() {
    let (disk, file) = disk_with(512);
    on(&disk, FaultRule::new(Op::Write, Fault::LostInBackground(Errno::Eio)).nth(1));
    write(&*file, &[1; 512]).unwrap();
    assert_eq!(file.sync_data().unwrap_err().raw_os_error(), Some(Errno::Eio.raw()));
    file.sync_data().unwrap();
    assert_eq!(first_bytes(&disk), BTreeSet::from([0, 1]));
}

#[test]
fn a_background_loss_takes_older_writes_in_the_same_sector_along_and_no_others() {
    let (disk, file) = disk_with(1024);
    on(&disk, FaultRule::new(Op::Write, Fault::LostInBackground(Errno::Eio)).nth(3));
    file.write_all_at(&[1; 128], 0).unwrap();
    file.write_all_at(&[1; 128], 512).unwrap();
    file.write_all_at(&[1; 128], 128).unwrap();
    file.sync_data().unwrap_err();
    file.sync_data().unwrap();
    assert!(!disk.is_durable(FILE, 0..128) && disk.is_durable(FILE, 512..640));
}

#[test]
fn an_ignored_sync_makes_nothing_durable() {
    let (disk, file) = disk_with(512);
    on(&disk, FaultRule::new(OpSet::ALL, Fault::SyncIgnored));
    write(&*file, &[1; 512]).unwrap();
    disk.create("/new".as_ref()).unwrap();
    file.sync_all().unwrap();
    disk.sync_directory("/".as_ref()).unwrap();
    assert_eq!(first_bytes(&disk), BTreeSet::from([0, 1]));
    assert!(!disk.is_durable("/new", 0..0));
    assert_eq!(disk.stats().faults(FaultKind::SyncIgnored), 2);
}

#[test]
fn a_write_back_gives_no_durability_and_its_failure_drops_its_pages() {
    let (disk, file) = disk_with(1024);
    write(&*file, &[1; 1024]).unwrap();
    file.write_back(0, 1024).unwrap();
    assert_eq!(first_bytes(&disk), BTreeSet::from([0, 1]));
    on(&disk, FaultRule::new(Op::WriteBack, Fault::SyncFailed(Errno::Eio, PageFate::Dropped)));
    file.write_back(512, 0).unwrap_err();
    file.write_back(512, 512).unwrap_err();
    file.sync_data().unwrap();
    assert!(disk.is_durable(FILE, 0..512));
    assert!(!disk.is_durable(FILE, 512..1024));
}

#[test]
fn an_interrupted_call_has_done_nothing() {
    let (disk, file) = disk_with(512);
    on(&disk, FaultRule::new(OpSet::ALL, Fault::Error(Errno::Eintr)));
    assert_eq!(write(&*file, &[1; 512]).unwrap_err().kind(), ErrorKind::Interrupted);
    assert_eq!(file.set_length(0).unwrap_err().kind(), ErrorKind::Interrupted);
    assert_eq!(disk.remove(FILE.as_ref()).unwrap_err().kind(), ErrorKind::Interrupted);
    disk.set_faults(FaultPlan::new());
    assert_eq!(disk.contents(FILE).unwrap(), [0; 512]);
    assert_eq!(disk.crash_space().count(), Some(1));
}

#[test]
fn an_interrupted_sync_leaves_the_pages_dirty() {
    let (disk, file) = disk_with(512);
    write(&*file, &[1; 512]).unwrap();
    on(&disk, FaultRule::new(OpSet::SYNCS, Fault::Error(Errno::Eintr)).nth(1));
    assert_eq!(file.sync_data().unwrap_err().kind(), ErrorKind::Interrupted);
    assert!(!disk.is_durable(FILE, 0..512));
    file.sync_data().unwrap();
    assert!(disk.is_durable(FILE, 0..512));
}

/// A second name on the disk.
const TWIN: &str = "/twin";

/// One operation on a disk and a file of it.
type CallOf = dyn Fn(&SimDisk, &dyn Storage) -> io::Result<()>;

#[test]
fn every_operation_can_fail_and_works_afterwards() {
    let all: Vec<(Op, Box<CallOf>)> = vec![
        (Op::Read, Box::new(|_, file| file.read_vectored_at(&mut [IoSliceMut::new(&mut [0; 4])], 0).map(drop))),
        (Op::Write, Box::new(|_, file| write(file, &[1]).map(drop))),
        (Op::SyncData, Box::new(|_, file| file.sync_data())),
        (Op::SyncAll, Box::new(|_, file| file.sync_all())),
        (Op::WriteBack, Box::new(|_, file| file.write_back(0, 512))),
        (Op::DropCleanPages, Box::new(|_, file| file.drop_clean_pages())),
        (Op::Length, Box::new(|_, file| file.length().map(drop))),
        (Op::SetLength, Box::new(|_, file| file.set_length(9))),
        (Op::Allocate, Box::new(|_, file| file.allocate(0, 9))),
        (Op::Lock, Box::new(|_, file| file.try_lock(Access::Read))),
        (Op::FileIdentity, Box::new(|_, file| file.identity().map(drop))),
        (Op::Open, Box::new(|disk, _| disk.open(FILE.as_ref(), Access::Read).map(drop))),
        (Op::Create, Box::new(|disk, _| disk.create("/new".as_ref()).map(drop))),
        (Op::RenameNew, Box::new(|disk, _| disk.rename_new(FILE.as_ref(), "/other".as_ref()))),
        (Op::Rename, Box::new(|disk, _| disk.rename("/new".as_ref(), "/other".as_ref()))),
        (Op::List, Box::new(|disk, _| disk.list("/".as_ref()).map(drop))),
        (Op::CreateDirectory, Box::new(|disk, _| disk.create_directory("/new".as_ref()))),
        (Op::Remove, Box::new(|disk, _| disk.remove("/other".as_ref()))),
        (Op::PathIdentity, Box::new(|disk, _| disk.identity(TWIN.as_ref()).map(drop))),
        (Op::SyncDirectory, Box::new(|disk, _| disk.sync_directory("/".as_ref()))),
    ];
    assert_eq!(all.iter().map(|(op, _)| *op).collect::<Vec<_>>(), Op::ALL);
    let (disk, file) = disk_with(512);
    disk.put(TWIN, b"").unwrap();
    for (op, call) in &all {
        for errno in [Errno::Eio, Errno::Enospc, Errno::Edquot, Errno::Eintr, Errno::Erofs] {
            on(&disk, FaultRule::new(*op, Fault::Error(errno)).nth(1));
            let before = disk.stats();
            assert_eq!(call(&disk, &*file).unwrap_err().raw_os_error(), Some(errno.raw()), "{op}");
            assert_eq!(disk.stats().failures(*op), before.failures(*op) + 1);
            assert_eq!(disk.stats().faults(FaultKind::Error), before.faults(FaultKind::Error) + 1);
        }
        call(&disk, &*file).unwrap_or_else(|error| panic!("{op} after its faults: {error}"));
    }
}

#[test]
fn a_failed_write_can_have_written_a_part() {
    let lengths = (0..200).map(|seed| {
        let disk = SimDisk::new(seed);
        let file = opened(&disk, 1024);
        on(&disk, FaultRule::new(Op::Write, Fault::ErrorAfterPart(Errno::Eio)));
        write(&*file, &[1; 1024]).unwrap_err();
        let bytes = disk.contents(FILE).unwrap();
        let part = bytes.iter().take_while(|byte| **byte == 1).count();
        assert!(bytes[part..].iter().all(|byte| *byte == 0));
        part
    });
    let lengths: BTreeSet<usize> = lengths.collect();
    assert!(lengths.len() > 100 && *lengths.last().unwrap() <= 1024);
}

#[test]
fn rules_count_their_own_calls_and_fire_as_often_as_they_say() {
    let (disk, file) = disk_with(512);
    disk.create("/other".as_ref()).unwrap();
    let other = disk.open("/other".as_ref(), Access::ReadWrite).unwrap();
    let fired = |rule: FaultRule| {
        on(&disk, rule);
        let mut fired = Vec::new();
        for n in 1..=6 {
            other.length().unwrap();
            if write(&*file, &[1]).is_err() {
                fired.push(n);
            }
        }
        fired
    };
    let eio = |ops: OpSet| FaultRule::new(ops, Fault::Error(Errno::Eio));
    let writes = OpSet::of(Op::Write);
    assert_eq!(fired(eio(writes).nth(3)), [3]);
    assert_eq!(fired(eio(writes).from_nth(4)), [4, 5, 6]);
    assert_eq!(fired(eio(writes).from_nth(2).times(2)), [2, 3]);
    assert_eq!(fired(eio(writes).path("/other")), [0; 0]);
    assert_eq!(fired(eio(writes).path("file").nth(1)), [1]);
    assert_eq!(fired(eio(writes).probability(1.0)), [1, 2, 3, 4, 5, 6]);
    assert_eq!(fired(eio(writes).probability(0.0)), [0; 0]);
    // Each round has two operations, the write is the second.
    let now = disk.operations();
    assert_eq!(fired(eio(writes).at_operation(now + 6)), [3]);
    let now = disk.operations();
    assert_eq!(fired(eio(writes).from_operation(now + 9)), [5, 6]);
}

#[test]
fn a_probability_is_about_what_it_says() {
    let (disk, file) = disk_with(512);
    on(&disk, FaultRule::new(Op::Write, Fault::Error(Errno::Eio)).probability(0.25));
    let failed = (0..10_000).filter(|_| write(&*file, &[1]).is_err()).count();
    assert!((2200..2800).contains(&failed), "{failed} of 10,000");
}

#[test]
fn a_full_disk_takes_what_fits_and_then_nothing() {
    let disk = SimDisk::with_config(SimDiskConfig::new(1).capacity_bytes(3 * 4096).file_bytes_max(1 << 20));
    let file = opened(&disk, 4096);
    assert_eq!(file.write_vectored_at(&[IoSlice::new(&[1; 16_384])], 0).unwrap(), 12_288);
    let full = file.write_vectored_at(&[IoSlice::new(&[1])], 12_288).unwrap_err();
    assert_eq!(full.kind(), ErrorKind::StorageFull);
    assert_eq!(file.allocate(12_288, 1).unwrap_err().kind(), ErrorKind::StorageFull);
    assert_eq!(file.write_vectored_at(&[IoSlice::new(&[2; 100])], 0).unwrap(), 100, "a block that is there needs none");
    file.set_length(1 << 20).unwrap();
    assert_eq!(disk.used_bytes(), 12_288, "a hole uses no space");
    file.set_length(4096).unwrap();
    assert_eq!(disk.used_bytes(), 4096);
    file.allocate(4096, 8192).unwrap();
    assert_eq!((disk.used_bytes(), file.length().unwrap()), (12_288, 12_288));
    assert_eq!(file.set_length(1 << 21).unwrap_err().kind(), ErrorKind::FileTooLarge);
    assert_eq!(write_at_end(&*file, u64::MAX).kind(), ErrorKind::FileTooLarge);
}

/// The blocks were taken from every image of a file of which anything else was unsynced.
#[test]
fn reserved_blocks_that_were_synced_are_the_files_after_a_power_cut() {
    let disk = SimDisk::with_config(SimDiskConfig::new(1).capacity_bytes(3 * 4096));
    let file = disk.create(FILE.as_ref()).unwrap();
    disk.sync_directory("/".as_ref()).unwrap();
    file.allocate(0, 2 * 4096).unwrap();
    assert!(disk.crash_space().all(10).unwrap().any(|image| image.used_bytes() == 0), "nothing was synced");
    file.sync_data().unwrap();
    file.set_length(3 * 4096).unwrap();
    for image in disk.crash_space().all(10).unwrap() {
        let other = image.create("/other".as_ref()).unwrap();
        assert_eq!(other.write_vectored_at(&[IoSlice::new(&[1; 3 * 4096])], 0).unwrap(), 4096);
        image.open(FILE.as_ref(), Access::ReadWrite).unwrap().write_all_at(&[2; 2 * 4096], 0).unwrap();
    }
}

fn write_at_end(file: &dyn Storage, offset: u64) -> io::Error {
    file.write_vectored_at(&[IoSlice::new(&[1])], offset).unwrap_err()
}

#[test]
fn a_file_opened_for_reading_is_not_written() {
    let (disk, _file) = disk_with(512);
    let reader = disk.open(FILE.as_ref(), Access::Read).unwrap();
    write(&*reader, &[1]).unwrap_err();
    reader.set_length(0).unwrap_err();
    reader.allocate(0, 1).unwrap_err();
    assert_eq!(disk.contents(FILE).unwrap(), [0; 512]);
    reader.sync_data().unwrap();
}

#[test]
fn locks_exclude_as_flock_does_and_end_with_the_open_file() {
    let (disk, first) = disk_with(512);
    let second = disk.open(FILE.as_ref(), Access::ReadWrite).unwrap();
    let would_block = |result: io::Result<()>| assert_eq!(result.unwrap_err().kind(), ErrorKind::WouldBlock);
    first.try_lock(Access::ReadWrite).unwrap();
    first.try_lock(Access::ReadWrite).unwrap();
    would_block(second.try_lock(Access::Read));
    would_block(second.try_lock(Access::ReadWrite));
    first.try_lock(Access::Read).unwrap();
    second.try_lock(Access::Read).unwrap();
    would_block(second.try_lock(Access::ReadWrite));
    let image = disk.crash_image(1);
    image.open(FILE.as_ref(), Access::ReadWrite).unwrap().try_lock(Access::ReadWrite).unwrap();
    drop(first);
    second.try_lock(Access::ReadWrite).unwrap();
}

#[test]
fn a_delayed_call_ends_as_if_it_had_not_been() {
    let (disk, file) = disk_with(512);
    on(&disk, FaultRule::new(OpSet::ALL, Fault::Delay(Duration::from_micros(50))));
    assert_eq!(write(&*file, &[1; 512]).unwrap(), 512);
    file.sync_data().unwrap();
    file.set_length(100).unwrap();
    disk.create("/new".as_ref()).unwrap();
    disk.sync_directory("/".as_ref()).unwrap();
    file.sync_data().unwrap();
    assert_eq!(disk.power_cut(1).contents(FILE).unwrap(), [1; 100]);
    assert_eq!(disk.stats().faults(FaultKind::Delay), 6);
}

proptest! {
    // A case that fails is kept beside this file; one of a program broken on purpose is not.
    #![proptest_config(ProptestConfig::with_failure_persistence(
        if cfg!(fz_mutants) { Off } else { WithSource("proptest-regressions") }
    ))]

    #[test]
    fn a_short_write_writes_the_bytes_it_reports_and_no_other(
        seed: u64,
        sizes in prop::collection::vec(0..900usize, 1..4),
    ) {
        let disk = SimDisk::new(seed);
        let file = opened(&disk, 0);
        on(&disk, FaultRule::new(Op::Write | Op::Read, Fault::Short));
        let buffers: Vec<Vec<u8>> = sizes.iter().zip(1..).map(|(size, fill)| vec![fill; *size]).collect();
        let slices: Vec<IoSlice<'_>> = buffers.iter().map(|buffer| IoSlice::new(buffer)).collect();
        let asked = buffers.concat();
        let written = file.write_vectored_at(&slices, 0).unwrap();
        prop_assert!(written < asked.len() || asked.len() < 2);
        prop_assert!(written > 0 || asked.is_empty());
        prop_assert_eq!(&disk.contents(FILE).unwrap()[..], &asked[..written]);
        let mut back = vec![0; written];
        file.read_exact_at(&mut back, 0).unwrap();
        prop_assert_eq!(&back[..], &asked[..written]);
    }

    /// With one thread, equal seeds and calls give equal results, histories and images.
    #[test]
    fn a_run_replays_exactly_from_its_seed(seed: u64, ops in prop::collection::vec((0..6u8, 0..3000usize), 1..60)) {
        let run = || {
            let disk = SimDisk::new(seed);
            let file = opened(&disk, 0);
            disk.set_faults(
                FaultPlan::new()
                    .with(FaultRule::new(OpSet::ALL, Fault::Error(Errno::Eintr)).probability(0.1))
                    .with(FaultRule::new(OpSet::ALL, Fault::Short).probability(0.2))
                    .with(FaultRule::new(OpSet::ALL, Fault::ErrorAfterPart(Errno::Eio)).probability(0.1))
                    .with(FaultRule::new(OpSet::ALL, Fault::SyncFailed(Errno::Eio, PageFate::Dropped)).probability(0.2))
                    .with(FaultRule::new(Op::Write, Fault::LostInBackground(Errno::Enospc)).probability(0.05)),
            );
            for (op, number) in &ops {
                let _ = match op {
                    0..=2 => write(&*file, &vec![*op + 1; *number]).map(drop),
                    3 => file.sync_data(),
                    4 => file.set_length(*number as u64),
                    _ => disk.sync_directory("/".as_ref()),
                };
            }
            disk
        };
        let (one, two) = (run(), run());
        prop_assert_eq!(one.history(), two.history());
        prop_assert_eq!(one.stats(), two.stats());
        prop_assert_eq!(one.contents(FILE).unwrap(), two.contents(FILE).unwrap());
        for image in 0..10 {
            let left = |disk: &SimDisk| disk.crash_image(image).contents(FILE).unwrap();
            prop_assert_eq!(left(&one), left(&two));
        }
        let in_history = one.history().iter().filter(|operation| operation.fault.is_some()).count() as u64;
        let in_stats: u64 = FaultKind::ALL.iter().map(|kind| one.stats().faults(*kind)).sum();
        prop_assert_eq!(in_history, in_stats);
    }
}

/// The faults of one kind of call do not move when other calls come in between: what another
/// thread does cannot spoil a replay.
#[test]
fn faults_of_one_operation_do_not_depend_on_the_others() {
    let failed = |reads_between: u64| {
        let (disk, file) = disk_with(512);
        on(&disk, FaultRule::new(Op::Write, Fault::Error(Errno::Eio)).probability(0.3));
        let mut failed = Vec::new();
        for n in 0..100u64 {
            (0..n % (reads_between + 1)).for_each(|_| assert_eq!(file.length().unwrap(), 512));
            failed.push(write(&*file, &[1]).is_err());
        }
        failed
    };
    assert_eq!(failed(0), failed(3));
}

#[test]
fn a_torn_write_leaves_any_subset_of_its_sectors() {
    let subsets: BTreeSet<Vec<bool>> = (0..300)
        .map(|seed| {
            let disk = SimDisk::new(seed);
            let file = opened(&disk, 2048);
            on(&disk, FaultRule::new(Op::Write, Fault::TornWrite(Errno::Eio)));
            // It begins and ends within a sector: four pieces.
            let error = file.write_vectored_at(&[IoSlice::new(&[1; 1600])], 100).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(Errno::Eio.raw()));
            let bytes = disk.contents(FILE).unwrap();
            assert!(bytes[..100].iter().chain(&bytes[1700..]).all(|byte| *byte == 0));
            let pieces = [&bytes[100..512], &bytes[512..1024], &bytes[1024..1536], &bytes[1536..1700]];
            assert!(pieces.iter().all(|piece| piece.iter().all(|byte| *byte == piece[0])), "no sector is torn");
            pieces.map(|piece| piece[0] == 1).to_vec()
        })
        .collect();
    assert_eq!(subsets.len(), 16);
}

#[test]
fn rotten_bytes_are_on_the_media_and_in_every_image() {
    let (disk, file) = disk_with(1536);
    write(&*file, &[1; 512]).unwrap();
    disk.corrupt(FILE, 500..1030).unwrap();
    let bytes = disk.contents(FILE).unwrap();
    assert_eq!(bytes[..512], [1; 512], "the cache has something newer there");
    assert!(bytes[512..1030].iter().all(|byte| *byte != 0) && bytes[1030..] == [0; 506]);
    for image in disk.crash_space().all(10).unwrap() {
        let left = image.contents(FILE).unwrap();
        assert!(left[..512] == [1; 512] || left[..500] == [0; 500] && left[500..512].iter().all(|byte| *byte != 0));
        assert_eq!(left[512..], bytes[512..]);
    }
    file.write_all_at(&[2; 1024], 512).unwrap();
    file.sync_data().unwrap();
    assert_eq!(disk.power_cut(1).contents(FILE).unwrap()[512..], [2; 1024], "a rewrite mends it");
    assert_eq!(disk.corrupt(FILE, 0..1537).unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(disk.corrupt("/missing", 0..1).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn a_rule_with_a_range_counts_only_the_calls_that_touch_it() {
    let (disk, file) = disk_with(2048);
    let bad = |ops: OpSet| FaultRule::new(ops, Fault::Error(Errno::Eio)).range(512..1024);
    let read = |offset: u64, bytes: usize| file.read_vectored_at(&mut [IoSliceMut::new(&mut vec![0; bytes])], offset);
    on(&disk, bad(OpSet::ALL));
    assert!(read(0, 512).is_ok() && read(1024, 512).is_ok() && read(700, 0).is_ok());
    assert!(read(0, 513).is_err() && read(1023, 1).is_err() && read(600, 10).is_err());
    assert!(file.write_vectored_at(&[IoSlice::new(&[1; 10])], 600).is_err() && file.write_back(0, 2048).is_err());
    assert!(file.sync_data().is_ok() && file.length().is_ok() && file.set_length(1000).is_ok());
    on(&disk, bad(OpSet::of(Op::Read)).nth(2));
    assert!(read(0, 10).is_ok() && read(0, 600).is_ok() && read(0, 10).is_ok() && read(0, 600).is_err());
}

#[test]
fn a_write_back_that_fails_after_it_returned_is_reported_by_the_next_sync_and_only_by_it() {
    let (disk, file) = disk_with(1024);
    on(&disk, FaultRule::new(Op::WriteBack, Fault::LostInBackground(Errno::Eio)));
    write(&*file, &[1; 1024]).unwrap();
    file.write_back(0, 512).unwrap();
    assert_eq!(file.sync_data().unwrap_err().raw_os_error(), Some(Errno::Eio.raw()));
    file.sync_data().unwrap();
    assert!(!disk.is_durable(FILE, 0..512) && disk.is_durable(FILE, 512..1024));
}

#[test]
fn a_call_that_panics_has_done_nothing_and_leaves_the_disk_whole() {
    let (disk, file) = disk_with(512);
    on(&disk, FaultRule::new(Op::Write, Fault::Panic).nth(1));
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| write(&*file, &[1; 512])));
    let text = panicked.unwrap_err().downcast::<String>().unwrap();
    assert_eq!(*text, "the fault plan lets write of /file panic");
    assert_eq!(disk.contents(FILE).unwrap(), [0; 512]);
    assert_eq!(disk.history().last().unwrap().to_string(), "#2 write /file 0+512 = panic [panic]");
    assert_eq!(disk.stats().faults(FaultKind::Panic), 1);
    assert_eq!(write(&*file, &[1; 512]).unwrap(), 512);
}

/// One call of several threads is held, the other calls go on.
#[test]
fn one_call_is_held_while_the_others_go_on() {
    let (disk, file) = disk_with(1024);
    on(&disk, FaultRule::new(Op::Write, Fault::Hang).range(512..1024).nth(1));
    std::thread::scope(|scope| {
        let held = scope.spawn(|| file.write_vectored_at(&[IoSlice::new(&[1; 512])], 512));
        disk.wait_until_hung(1);
        write(&*file, &[2; 512]).unwrap();
        file.sync_data().unwrap();
        assert!(disk.is_durable(FILE, 0..512) && !disk.is_durable(FILE, 512..1024));
        disk.release_hung();
        assert_eq!(held.join().unwrap().unwrap(), 512);
    });
}
