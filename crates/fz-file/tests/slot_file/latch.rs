//! A failed sync is final: the kernel is not asked again, for it would say `Ok`.

use std::sync::{Arc, Barrier};
use std::thread;

use fz_file::{FileError, FileErrorKind, SlotFile};
use nix::errno::Errno;

use crate::disk::{Call, Disk, Rule, config};

type Operation = (&'static str, fn(&SlotFile) -> fz_file::Result<()>);

const SYNCS: [(&str, Operation); 4] = [
    ("SyncData", ("sync", |file| file.sync())),
    ("SyncAll", ("sync_all", |file| file.sync_all())),
    ("WriteBack", ("sync_range", |file| file.sync_range(0, 1))),
    ("SyncAll", ("grow", |file| file.grow(1).map(drop))),
];

const REFUSED: [Operation; 7] = [
    ("sync", |file| file.sync()),
    ("sync_all", |file| file.sync_all()),
    ("sync_range", |file| file.sync_range(0, 1)),
    ("grow", |file| file.grow(1).map(drop)),
    ("reserve", |file| file.reserve().map(drop)),
    ("write", |file| file.write(0, &[1; 8])),
    ("write_vectored", |file| file.write_vectored(0, &mut [std::io::IoSlice::new(&[1; 8])])),
];

fn assert_sync_failed(error: &FileError, operation: &str, failed_in: &str, errno: Errno) {
    assert_eq!(error.operation(), operation);
    assert_eq!(error.raw_os_error(), Some(errno as i32), "{error:?}");
    let FileErrorKind::SyncFailed { failed_in: named, cause } = error.kind() else { panic!("{error:?}") };
    assert_eq!(*named, failed_in);
    assert_eq!(*cause, std::io::Error::from(errno).to_string());
}

#[test]
fn c_after_a_failed_sync_every_sync_and_write_is_refused_without_asking_the_kernel() {
    for (call, (failed_in, fail)) in SYNCS {
        for errno in [Errno::EIO, Errno::ENOSPC, Errno::EDQUOT] {
            let disk = Disk::new();
            let file = disk.open(config().initial_slots(2)).unwrap();
            file.write(0, &[5; 8]).unwrap();
            assert!(file.sync_failure().is_none());
            disk.script(Rule::once(call, errno));
            assert_sync_failed(&fail(&file).unwrap_err(), failed_in, failed_in, errno);
            disk.take_calls();
            for _ in 0..2 {
                for (operation, refused) in REFUSED {
                    assert_sync_failed(&refused(&file).unwrap_err(), operation, failed_in, errno);
                }
            }
            assert_eq!(disk.take_calls(), [], "the kernel was asked again");
            assert_eq!(file.slots(), 2);
            assert_sync_failed(file.sync_failure().unwrap(), failed_in, failed_in, errno);
            // Reads go on.
            let mut bytes = [0; 8];
            file.read(0, &mut bytes).unwrap();
            assert_eq!(bytes, [5; 8]);
            assert!(format!("{file:?}").contains("SyncFailed"));
            // The way on is to open anew.
            drop(file);
            disk.open(config()).unwrap().sync().unwrap();
        }
    }
}

/// The kernel tells a write-back error to one call per open file. Were two syncs in the kernel at once,
/// the other could return `Ok` before the first has told anybody.
#[test]
fn c_of_syncs_at_the_same_time_none_succeeds_after_one_failed() {
    for _ in 0..50 {
        let disk = Disk::with_slow_syncs();
        let file = Arc::new(disk.open(config().initial_slots(1)).unwrap());
        disk.script(Rule::once("SyncData", Errno::EIO).after(1));
        disk.take_calls();
        let start = Barrier::new(4);
        let results: Vec<_> = thread::scope(|scope| {
            let sync = || {
                start.wait();
                file.sync()
            };
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(sync)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
        assert_eq!(disk.take_calls(), [Call::SyncData, Call::SyncData]);
    }
}

/// Whichever call it is that syncs. (The disk of these tests minds.)
#[test]
fn c_syncs_run_one_at_a_time() {
    let disk = Disk::with_slow_syncs();
    let file = Arc::new(disk.open(config().initial_slots(1)).unwrap());
    disk.take_calls();
    let syncs: [fn(&SlotFile) -> fz_file::Result<()>; 3] =
        [SlotFile::sync, SlotFile::sync_all, |file| file.grow(1).map(drop)];
    let start = Barrier::new(6);
    thread::scope(|scope| {
        for sync in syncs.iter().chain(&syncs) {
            let (file, start) = (&file, &start);
            scope.spawn(move || {
                start.wait();
                for _ in 0..20 {
                    sync(file).unwrap();
                }
            });
        }
    });
    let synced = disk.take_calls().into_iter().filter(|call| matches!(call, Call::SyncData | Call::SyncAll)).count();
    assert_eq!((synced, file.slots()), (120, 41));
}

/// `EINTR` says that nothing happened yet, unlike a failure.
#[test]
fn an_interrupted_sync_is_run_again_and_is_no_failure() {
    let disk = Disk::new();
    let file = disk.open(config().initial_slots(1)).unwrap();
    let mut rule = Rule::once("SyncData", Errno::EINTR);
    rule.times = 3;
    disk.script(rule);
    disk.take_calls();
    file.sync().unwrap();
    assert_eq!(disk.take_calls(), [Call::SyncData, Call::SyncData, Call::SyncData, Call::SyncData]);
}

/// A failed write is not a failed sync: the slot's content is undefined, the file goes on.
#[test]
fn a_failed_write_latches_nothing() {
    let disk = Disk::new();
    let file = disk.open(config().initial_slots(1)).unwrap();
    disk.script(Rule::once("Write", Errno::EIO));
    let error = file.write(0, &[1; 8]).unwrap_err();
    assert_eq!(error.kind(), &FileErrorKind::WriteFailed { slot_index: 0, bytes: 8, bytes_written: 0 });
    file.write(0, &[2; 8]).unwrap();
    file.sync().unwrap();
}

#[test]
fn syncs_reach_the_kernel_as_named() {
    let disk = Disk::new();
    let file = disk.open(config().initial_slots(4)).unwrap();
    disk.take_calls();
    file.sync().unwrap();
    file.sync_all().unwrap();
    file.sync_range(1, 2).unwrap();
    assert_eq!(disk.take_calls(), [Call::SyncData, Call::SyncAll, Call::WriteBack { offset: 8, bytes: 16 }]);
}

/// The length that an opener finds may be that of a growth whose sync failed: if it cannot be made durable now
/// either, the slots are not there to be relied on.
#[test]
fn c_a_sync_that_fails_while_an_existing_file_is_opened_fails_the_open() {
    for errno in [Errno::EIO, Errno::ENOSPC] {
        let disk = Disk::new();
        disk.change(|world| world.put(crate::disk::PATH, &[3; 16]));
        disk.script(Rule::once("SyncData", errno));
        let error = disk.open(config().initial_slots(2)).unwrap_err();
        assert_sync_failed(&error, "open", "open", errno);
        assert_eq!(disk.bytes(crate::disk::PATH).unwrap(), [3; 16]);
        assert!(!disk.take_calls().contains(&Call::SyncDirectory("/data".into())), "it went on after the failure");
        assert_eq!(disk.open(config().initial_slots(2)).unwrap().slots(), 2);
    }
}
