//! When the power goes: at an operation, in the middle of calls, with torn sectors.

use std::collections::BTreeSet;
use std::io::IoSlice;
use std::thread;

use fz_sim::{
    Access, Errno, Fault, FaultKind, FaultPlan, FaultRule, Op, OpSet, PageFate, PowerCut, SimDisk, SimDiskConfig,
    Storage, Tear, Volume, WholeTransfers,
};

const FILE: &str = "/file";

fn disk_with(config: SimDiskConfig, bytes: &[u8]) -> (SimDisk, Box<dyn Storage>) {
    let disk = SimDisk::with_config(config);
    disk.put(FILE, bytes).unwrap();
    let file = disk.open(FILE.as_ref(), Access::ReadWrite).unwrap();
    (disk, file)
}

fn images(disk: &SimDisk) -> BTreeSet<Vec<u8>> {
    disk.crash_space().all(10_000).unwrap().map(|image| image.contents(FILE).unwrap()).collect()
}

#[test]
fn the_operation_in_which_the_power_goes_may_or_may_not_have_happened() {
    let (disk, file) = disk_with(SimDiskConfig::new(1), &[0; 512]);
    disk.cut_power_at(3);
    file.write_all_at(&[1; 100], 0).unwrap();
    assert!(PowerCut::is(&file.write_all_at(&[2; 100], 100).unwrap_err()));
    assert!(!disk.power_is_on());
    for result in [file.sync_data(), file.write_all_at(&[3; 100], 200), disk.sync_directory("/".as_ref())] {
        assert!(PowerCut::is(&result.unwrap_err()));
    }
    let first: BTreeSet<_> = images(&disk).into_iter().map(|bytes| (bytes[0], bytes[100], bytes[200])).collect();
    assert_eq!(first, BTreeSet::from([(0, 0, 0), (1, 0, 0), (1, 2, 0)]));
    assert_eq!(disk.stats().faults(FaultKind::PowerCut), 1);
}

#[test]
fn a_sync_in_which_the_power_goes_promises_nothing() {
    let (disk, file) = disk_with(SimDiskConfig::new(1), &[0; 512]);
    file.write_all_at(&[1; 512], 0).unwrap();
    disk.set_faults(FaultPlan::new().with(FaultRule::new(OpSet::SYNCS, Fault::PowerCut).nth(1)));
    assert!(PowerCut::is(&file.sync_data().unwrap_err()));
    assert_eq!(images(&disk).len(), 2);
}

#[test]
fn entries_made_in_the_last_operation_may_be_there_and_the_handle_is_not() {
    let disk = SimDisk::new(1);
    disk.cut_power_at(1);
    assert!(PowerCut::is(&disk.create("/new".as_ref()).map(drop).unwrap_err()));
    let files: BTreeSet<_> = disk.crash_space().all(4).unwrap().map(|image| image.files().len()).collect();
    assert_eq!(files, BTreeSet::from([0, 1]));
}

/// A call that was released and had not woken yet still counted: a test that stepped an engine from one sync to
/// the next looked before the next sync had begun, and its release was lost.
#[test]
fn a_released_call_hangs_no_more_even_before_it_wakes() {
    const SYNCS: u64 = 200;
    let (disk, file) = disk_with(SimDiskConfig::new(1), &[0; 512]);
    disk.set_faults(FaultPlan::new().with(FaultRule::new(Op::SyncData, Fault::Hang)));
    thread::scope(|scope| {
        let syncs = scope.spawn(|| (0..SYNCS).try_for_each(|_| file.sync_data()));
        for number in 1..=SYNCS {
            disk.wait_until_hung(1);
            let begun = disk.stats().calls(Op::SyncData);
            disk.release_hung();
            if begun != number {
                // Else the thread below hangs, and the test with it.
                drop(disk.power_cut(0));
                panic!("{begun} syncs had begun when number {number} was said to hang");
            }
        }
        syncs.join().unwrap().unwrap();
    });
}

#[test]
fn one_held_call_is_released_at_a_time_the_oldest_first() {
    let (disk, file) = disk_with(SimDiskConfig::new(1), &[0; 1024]);
    disk.set_faults(FaultPlan::new().with(FaultRule::new(Op::Write | Op::SyncData, Fault::Hang)));
    disk.release_one_hung(); // none hangs
    thread::scope(|scope| {
        let write = scope.spawn(|| file.write_all_at(&[1; 512], 0));
        disk.wait_until_hung_at(Op::Write, 1);
        let sync = scope.spawn(|| file.sync_data());
        disk.wait_until_hung_at(Op::SyncData, 1);
        disk.release_one_hung();
        write.join().unwrap().unwrap();
        assert!(!sync.is_finished());
        // The next call hangs beside it.
        let write = scope.spawn(|| file.write_all_at(&[1; 512], 512));
        disk.wait_until_hung_at(Op::Write, 1);
        disk.wait_until_hung(2);
        disk.release_one_hung();
        sync.join().unwrap().unwrap();
        disk.release_hung();
        write.join().unwrap().unwrap();
    });
}

#[test]
fn after_the_restart_the_disk_is_whole_and_the_old_handles_are_dead() {
    let (disk, file) = disk_with(SimDiskConfig::new(1), &[0; 512]);
    file.try_lock(Access::ReadWrite).unwrap();
    file.write_all_at(&[1; 512], 0).unwrap();
    let after = disk.power_cut(5);
    let reopened = after.open(FILE.as_ref(), Access::ReadWrite).unwrap();
    reopened.try_lock(Access::ReadWrite).unwrap();
    assert_eq!(reopened.identity().unwrap(), after.identity(FILE.as_ref()).unwrap());
    reopened.write_all_at(&[2; 512], 0).unwrap();
    reopened.sync_data().unwrap();
    assert_eq!(images(&after), BTreeSet::from([vec![2; 512]]));
    assert!(PowerCut::is(&file.length().unwrap_err()));
    assert!(!PowerCut::is(&Errno::Eio.to_io()));
    let wrapped = Wrapped(file.sync_data().unwrap_err());
    assert!(PowerCut::caused(&std::io::Error::other(wrapped)));
}

/// An engine's own error around the power cut.
#[derive(Debug)]
struct Wrapped(std::io::Error);

impl std::fmt::Display for Wrapped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("wrapped")
    }
}

impl std::error::Error for Wrapped {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

#[test]
fn an_image_can_be_cut_again_and_again() {
    let (mut disk, _) = disk_with(SimDiskConfig::new(1), &[0; 2048]);
    for round in 1..50u8 {
        let before = disk.contents(FILE).unwrap();
        let file = disk.open(FILE.as_ref(), Access::ReadWrite).unwrap();
        file.write_all_at(&[round; 2048], 0).unwrap();
        disk = disk.power_cut(u64::from(round));
        for (old, new) in before.iter().zip(disk.contents(FILE).unwrap()) {
            assert!(new == round || new == *old);
        }
    }
    assert_eq!(disk.crash_space().count(), Some(1));
}

#[test]
fn a_killed_process_leaves_the_cache_and_nothing_in_it_is_more_durable() {
    let (disk, file) = disk_with(SimDiskConfig::new(1), &[0; 512]);
    file.try_lock(Access::ReadWrite).unwrap();
    disk.set_faults(
        FaultPlan::new().with(FaultRule::new(OpSet::SYNCS, Fault::SyncFailed(Errno::Eio, PageFate::Dropped)).nth(1)),
    );
    file.write_all_at(&[1; 512], 0).unwrap();
    file.sync_data().unwrap_err();
    let next = disk.kill_process();
    assert!(file.sync_data().is_err());
    let file = next.open(FILE.as_ref(), Access::ReadWrite).unwrap();
    file.try_lock(Access::ReadWrite).unwrap();
    assert_eq!(next.contents(FILE).unwrap(), [1; 512]);
    file.sync_data().unwrap();
    assert_eq!(images(&next).len(), 2, "the pages were marked clean before the kill");
    file.write_all_at(&[2; 512], 0).unwrap();
    file.sync_data().unwrap();
    assert_eq!(images(&next), BTreeSet::from([vec![2; 512]]));
}

/// How the images of one sector of `A`s, with its bytes 128..256 overwritten by `B`s, look.
fn images_of_an_overwrite(tear: Tear) -> Vec<Vec<u8>> {
    let (disk, file) = disk_with(SimDiskConfig::new(1).tear(tear), &[b'A'; 512]);
    file.write_all_at(&[b'B'; 128], 128).unwrap();
    let damage = tear == Tear::Damage;
    assert_eq!(disk.is_durable(FILE, 0..128), !damage, "a neighbour in the sector");
    assert_eq!(disk.guaranteed(FILE).unwrap().iter().flatten().count(), if damage { 0 } else { 384 });
    (0..2000).map(|seed| disk.crash_image(seed).contents(FILE).unwrap()).collect()
}

#[test]
fn sectors_are_whole_unless_tearing_is_asked_for() {
    let images: BTreeSet<_> = images_of_an_overwrite(Tear::Never).into_iter().collect();
    assert_eq!(
        images.iter().map(|bytes| (bytes[0], bytes[128], bytes[255], bytes[256])).collect::<Vec<_>>(),
        [(b'A', b'A', b'A', b'A'), (b'A', b'B', b'B', b'A'),]
    );
    assert_eq!(images.len(), 2);
}

#[test]
fn a_torn_sector_is_new_up_to_some_byte_and_spares_its_neighbours() {
    let mut torn = BTreeSet::new();
    for bytes in images_of_an_overwrite(Tear::Prefix) {
        let new = bytes[128..256].iter().take_while(|byte| **byte == b'B').count();
        assert!(bytes[..128].iter().chain(&bytes[128 + new..]).all(|byte| *byte == b'A'));
        torn.insert(new);
    }
    assert!(torn.len() > 20 && torn.contains(&0) && torn.contains(&128), "{torn:?}");
}

/// A sector was torn between neighbouring versions only: a new header never came without the record that
/// an earlier write had put behind it.
#[test]
fn a_torn_sector_has_the_rest_of_any_older_version() {
    let (disk, file) = disk_with(SimDiskConfig::new(1).tear(Tear::Prefix), &[b'A'; 512]);
    file.write_all_at(b"record", 256).unwrap();
    file.write_all_at(b"header", 0).unwrap();
    file.write_all_at(b"footer", 500).unwrap();
    let images: BTreeSet<_> = (0..2000).map(|seed| disk.crash_image(seed).contents(FILE).unwrap()).collect();
    let has = |header: bool, record: bool| {
        let looks = |bytes: &Vec<u8>| (&bytes[..6] == b"header") == header && (&bytes[256..262] == b"record") == record;
        images.iter().any(looks)
    };
    assert!(has(false, false) && has(false, true) && has(true, true) && has(true, false));
}

#[test]
fn a_damaged_sector_loses_its_durable_neighbours_too() {
    let images = images_of_an_overwrite(Tear::Damage);
    let damaged = images.iter().filter(|bytes| bytes[..128] != [b'A'; 128]).count();
    assert!((100..500).contains(&damaged), "{damaged} of 2000");
}

/// The query looked at eight bytes at a time, and said no to a record that was durable beside one that was not.
#[test]
fn a_record_is_durable_whatever_its_neighbour_is() {
    let (disk, file) = disk_with(SimDiskConfig::new(1), b"");
    file.write_all_at(b"first.", 0).unwrap();
    file.sync_data().unwrap();
    file.write_all_at(b"second", 6).unwrap();
    assert!(disk.is_durable(FILE, 0..6) && !disk.is_durable(FILE, 6..12) && !disk.is_durable(FILE, 5..7));
    file.sync_data().unwrap();
    assert!(disk.is_durable(FILE, 0..12));
}

#[test]
fn versions_beyond_the_limit_are_forgotten_but_not_the_newest_nor_what_a_sync_covers() {
    let (disk, file) = disk_with(SimDiskConfig::new(1).versions_max(4), &[0; 512]);
    for byte in 1..=100 {
        file.write_all_at(&[byte; 8], 0).unwrap();
        file.write_all_at(&[byte; 8], 64).unwrap();
    }
    let left: BTreeSet<u8> = images(&disk).into_iter().map(|bytes| bytes[64]).collect();
    assert!(left.len() <= 5 && left.contains(&0) && left.contains(&100), "{left:?}");
    assert!(!disk.is_durable(FILE, 0..8) && !disk.is_durable(FILE, 64..72) && disk.is_durable(FILE, 8..64));
    file.sync_data().unwrap();
    assert_eq!(images(&disk).len(), 1);
}

/// One drawn from all was forgotten, and with the shortest the bytes that no image can lack grew.
#[test]
fn lengths_beyond_the_limit_are_forgotten_but_not_the_shortest() {
    let (disk, file) = disk_with(SimDiskConfig::new(1).versions_max(4), &[0; 1024]);
    file.set_length(100).unwrap();
    (2..200u64).for_each(|n| file.set_length(500 + n).unwrap());
    let lengths: BTreeSet<usize> = images(&disk).into_iter().map(|bytes| bytes.len()).collect();
    assert!(lengths.len() <= 5 && lengths.contains(&100) && lengths.contains(&699), "{lengths:?}");
    assert!(disk.is_durable(FILE, 0..100) && !disk.is_durable(FILE, 0..101));
    (0..200).for_each(|n| file.set_length(if n % 2 == 0 { 50 } else { 699 }).unwrap());
    assert!(images(&disk).len() < 10);
    file.sync_data().unwrap();
    assert_eq!(images(&disk).len(), 1);
}

#[test]
fn a_hung_sync_covers_what_had_returned_when_it_began() {
    let (disk, file) = disk_with(SimDiskConfig::new(1).versions_max(2), &[0; 1024]);
    disk.set_faults(FaultPlan::new().with(FaultRule::new(Op::SyncData, Fault::Hang).nth(1)));
    file.write_all_at(&[1; 512], 0).unwrap();
    thread::scope(|scope| {
        let sync = scope.spawn(|| file.sync_data());
        disk.wait_until_hung(1);
        // More versions than are kept otherwise; the covered one must stay.
        (2..9).for_each(|byte| file.write_all_at(&[byte; 512], 0).unwrap());
        file.write_all_at(&[9; 512], 512).unwrap();
        assert!(images(&disk).iter().any(|bytes| bytes[0] == 0), "not durable before it returns");
        disk.release_hung();
        sync.join().unwrap().unwrap();
    });
    let images = images(&disk);
    assert_eq!(images.iter().map(|bytes| bytes[0]).collect::<BTreeSet<_>>(), (1..9).collect());
    assert_eq!(images.iter().map(|bytes| bytes[512]).collect::<BTreeSet<_>>(), BTreeSet::from([0, 9]));
}

#[test]
fn a_write_in_flight_is_not_covered_by_a_sync_that_began_before_it_returned() {
    let (disk, file) = disk_with(SimDiskConfig::new(1), &[0; 512]);
    disk.set_faults(FaultPlan::new().with(FaultRule::new(Op::Write, Fault::Hang).nth(1)));
    thread::scope(|scope| {
        let write = scope.spawn(|| file.write_vectored_at(&[IoSlice::new(&[1; 512])], 0));
        disk.wait_until_hung(1);
        file.sync_data().unwrap();
        disk.release_hung();
        assert_eq!(write.join().unwrap().unwrap(), 512);
    });
    assert!(images(&disk).contains(&vec![0; 512]));
    assert!(!disk.is_durable(FILE, 0..512));
    file.sync_data().unwrap();
    assert_eq!(images(&disk), BTreeSet::from([vec![1; 512]]));
}

#[test]
fn an_entry_in_flight_is_not_covered_by_a_directory_sync_that_began_before_it_returned() {
    let disk = SimDisk::new(1);
    disk.set_faults(FaultPlan::new().with(FaultRule::new(Op::Create, Fault::Hang).nth(1)));
    thread::scope(|scope| {
        let create = scope.spawn(|| disk.create(FILE.as_ref()).map(drop));
        disk.wait_until_hung(1);
        disk.sync_directory("/".as_ref()).unwrap();
        disk.release_hung();
        create.join().unwrap().unwrap();
    });
    assert!(!disk.is_durable(FILE, 0..0));
    disk.sync_directory("/".as_ref()).unwrap();
    assert!(disk.is_durable(FILE, 0..0));
}

#[test]
fn a_sync_can_hang_and_then_fail() {
    let (disk, file) = disk_with(SimDiskConfig::new(1), &[0; 512]);
    let failure = Fault::SyncFailed(Errno::Eio, PageFate::Dropped);
    disk.set_faults(
        FaultPlan::new()
            .with(FaultRule::new(OpSet::SYNCS, failure).nth(1))
            .with(FaultRule::new(OpSet::SYNCS, Fault::Hang).nth(1)),
    );
    file.write_all_at(&[1; 512], 0).unwrap();
    thread::scope(|scope| {
        let sync = scope.spawn(|| file.sync_data());
        disk.wait_until_hung(1);
        disk.release_hung();
        assert_eq!(sync.join().unwrap().unwrap_err().raw_os_error(), Some(Errno::Eio.raw()));
    });
    file.sync_data().unwrap();
    assert_eq!(images(&disk).len(), 2);
}

#[test]
fn the_power_cut_ends_hung_and_delayed_calls() {
    let (disk, file) = disk_with(SimDiskConfig::new(1), &[0; 512]);
    disk.set_faults(
        FaultPlan::new()
            .with(FaultRule::new(OpSet::SYNCS, Fault::Hang))
            .with(FaultRule::new(Op::Write, Fault::Delay(std::time::Duration::from_secs(1 << 30)))),
    );
    thread::scope(|scope| {
        let sync = scope.spawn(|| file.sync_data());
        disk.wait_until_hung(1);
        let write = scope.spawn(|| file.write_all_at(&[1; 512], 0));
        while disk.stats().calls(Op::Write) == 0 {
            thread::yield_now();
        }
        drop(disk.power_cut(1));
        assert!(PowerCut::is(&sync.join().unwrap().unwrap_err()));
        assert!(PowerCut::is(&write.join().unwrap().unwrap_err()));
        disk.wait_until_hung(1);
    });
}

/// Eight threads, each with its own sector, calls delayed and interrupted at random: the bytes that a thread
/// synced after writing are durable at once, in every image from then on.
#[test]
fn a_threads_that_sync_their_own_writes_find_them_durable_at_once() {
    let (disk, _) = disk_with(SimDiskConfig::new(3), &[0; 8 * 512]);
    disk.set_faults(
        FaultPlan::new()
            .with(FaultRule::new(OpSet::ALL, Fault::Delay(std::time::Duration::from_micros(20))).probability(0.2))
            .with(FaultRule::new(Op::Write, Fault::Error(Errno::Eintr)).probability(0.1))
            .with(FaultRule::new(Op::Write, Fault::Short).probability(0.3)),
    );
    thread::scope(|scope| {
        for own in 0..8u8 {
            let disk = &disk;
            scope.spawn(move || {
                let file = disk.open(FILE.as_ref(), Access::ReadWrite).unwrap();
                let start = usize::from(own) * 512;
                for round in 1..60u8 {
                    file.write_all_at(&[round; 512], start as u64).unwrap();
                    file.sync_data().unwrap();
                    assert!(disk.is_durable(FILE, start as u64..start as u64 + 512));
                    let image = disk.crash_image(u64::from(round)).contents(FILE).unwrap();
                    assert_eq!(image[start..start + 512], [round; 512]);
                }
            });
        }
    });
    assert_eq!(disk.crash_space().count(), Some(1));
    assert!(disk.stats().faults(FaultKind::Delay) > 100 && disk.stats().faults(FaultKind::Short) > 50);
}
