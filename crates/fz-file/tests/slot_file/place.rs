//! What becomes of a file whose path, length or blocks change behind its back.

use std::fs;
use std::os::unix::fs::MetadataExt;

use fz_file::{FileErrorKind, Preallocation, SlotFile, SlotFileConfig};
use nix::errno::Errno;

use crate::disk::{Call, Disk, PATH, Rule, config};
use crate::processes::in_child;

#[test]
fn a_file_that_another_program_removed_replaced_or_cut_is_found_out_when_asked() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x");
    let open = || SlotFile::open(SlotFileConfig::new(&path, 8).initial_slots(4)).unwrap();

    let file = open();
    file.check_place().unwrap();
    file.grow(2).unwrap();
    file.check_place().unwrap();
    fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(40).unwrap();
    let error = file.check_place().unwrap_err();
    assert_eq!(error.kind(), &FileErrorKind::FileCut { length: 40, length_expected: 48 });
    fs::remove_file(&path).unwrap();
    assert_eq!(file.check_place().unwrap_err().kind(), &FileErrorKind::PathReplaced);
    let second = open();
    assert_eq!(file.check_place().unwrap_err().kind(), &FileErrorKind::PathReplaced);
    second.check_place().unwrap();
}

#[test]
fn a_look_that_the_system_refuses_is_an_error_with_its_cause() {
    let disk = Disk::new();
    let file = disk.open(config().initial_slots(1)).unwrap();
    for call in ["FileIdentity", "PathIdentity", "Length"] {
        disk.script(Rule::once(call, Errno::EIO));
        let error = file.check_place().unwrap_err();
        assert!(matches!(error.kind(), FileErrorKind::OpenFailed { .. }), "{error:?}");
        assert_eq!((error.operation(), error.raw_os_error()), ("check_place", Some(Errno::EIO as i32)));
    }
    file.check_place().unwrap();
}

/// As daemons do: `remove` left the file where it was, because its name meant none in the new directory.
#[test]
fn a_relative_path_means_the_same_file_after_the_process_changed_its_directory() {
    let directory = tempfile::tempdir().unwrap();
    let path = fs::canonicalize(directory.path()).unwrap().join("x");
    assert!(in_child(|| {
        std::env::set_current_dir(directory.path()).unwrap();
        let file = SlotFile::open(SlotFileConfig::new("x", 8).initial_slots(4)).unwrap();
        std::env::set_current_dir("/").unwrap();
        let named = fs::canonicalize(file.path()).unwrap() == path;
        file.grow(1).unwrap();
        file.check_place().unwrap();
        file.remove().unwrap();
        named && !path.exists()
    }));
}

/// The names that are refused are so whether they are relative or not.
#[test]
fn g_a_relative_path_that_names_no_file_is_an_error() {
    for path in ["", ".", "..", "x/", "x/.", "x/.."] {
        let error = SlotFile::open(SlotFileConfig::new(path, 8)).unwrap_err();
        assert_eq!(error.kind(), &FileErrorKind::InvalidPath, "{path:?}");
    }
}

/// Restored by a tool that makes runs of zeros into holes, a file lacks its blocks: an open takes it as it is (a full
/// disk must not keep it shut), a call reserves them.
#[test]
fn blocks_that_a_file_lacks_are_reserved_when_asked() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x");
    let config = SlotFileConfig::new(&path, 4096).initial_slots(64);
    let file = SlotFile::open(config.clone().preallocation(Preallocation::Sparse)).unwrap();
    file.write(5, &[7; 4096]).unwrap();
    drop(file);
    let blocks = || fs::metadata(&path).unwrap().blocks() * 512;
    let before = blocks();
    let file = SlotFile::open(config.preallocation(Preallocation::Allocated)).unwrap();
    assert_eq!(blocks(), before, "an open reserved blocks");
    if file.reserve().unwrap() {
        file.sync().unwrap();
        assert!(blocks() >= 64 * 4096, "{} bytes have blocks", blocks());
    }
    let mut slot = vec![0; 4096];
    file.read(5, &mut slot).unwrap();
    assert_eq!((slot, file.slots()), (vec![7; 4096], 64));
}

#[test]
fn a_reservation_that_is_refused_is_an_error_and_one_that_is_not_possible_is_none() {
    let disk = Disk::new();
    let file = disk.open(config().initial_slots(2)).unwrap();
    disk.take_calls();
    assert!(file.reserve().unwrap());
    assert_eq!(disk.take_calls(), [Call::Allocate { offset: 0, bytes: 16 }]);
    disk.script(Rule::once("Allocate", Errno::ENOSPC));
    let error = file.reserve().unwrap_err();
    let expected = FileErrorKind::GrowFailed { slots: 2, slots_asked: 2, step: "reserve blocks" };
    assert_eq!((error.kind(), error.raw_os_error()), (&expected, Some(Errno::ENOSPC as i32)));
    disk.script(Rule::always("Allocate", Errno::EOPNOTSUPP));
    assert!(!file.reserve().unwrap());
    assert_eq!(disk.bytes(PATH).unwrap(), [0; 16]);
}

/// It is refused at the start, where a supervisor sees it, and not when the first large batch comes.
#[test]
fn the_call_of_a_write_back_can_be_probed_at_the_start() {
    let disk = Disk::new();
    let file = disk.open(config().initial_slots(2)).unwrap();
    disk.take_calls();
    file.probe_sync_range().unwrap();
    assert_eq!(disk.take_calls(), [Call::WriteBack { offset: 0, bytes: 0 }]);
    disk.script(Rule::once("WriteBack", Errno::EINVAL));
    let error = file.probe_sync_range().unwrap_err();
    assert!(matches!(error.kind(), FileErrorKind::SyncFailed { failed_in: "probe_sync_range", .. }), "{error:?}");
    assert!(file.sync_failure().is_some());
}
