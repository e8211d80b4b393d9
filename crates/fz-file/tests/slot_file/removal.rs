//! Removing a file removes this file and no other, durably.

use std::fs;

use fz_file::{FileErrorKind, SlotFile, SlotFileConfig};

use crate::disk::{Call, Disk, PATH, config};

#[test]
fn removing_syncs_the_directory_afterwards() {
    let disk = Disk::new();
    let file = disk.open(config().initial_slots(1)).unwrap();
    disk.take_calls();
    file.remove().unwrap();
    assert_eq!(
        disk.take_calls(),
        [
            Call::FileIdentity,
            Call::PathIdentity(PATH.into()),
            Call::Remove(PATH.into()),
            Call::SyncDirectory("/data".into())
        ]
    );
    disk.power_cut();
    assert_eq!(disk.bytes(PATH), None);
}

#[test]
fn a_path_that_was_replaced_is_not_removed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x");
    let file = SlotFile::open(SlotFileConfig::new(&path, 8).initial_slots(1)).unwrap();
    fs::rename(&path, directory.path().join("moved")).unwrap();
    fs::write(&path, "somebody else's").unwrap();
    assert_eq!(file.remove().unwrap_err().kind(), &FileErrorKind::PathReplaced);
    assert_eq!(fs::read(&path).unwrap(), b"somebody else's");
    assert!(directory.path().join("moved").exists());
}

#[test]
fn a_path_that_is_gone_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x");
    let file = SlotFile::open(SlotFileConfig::new(&path, 8)).unwrap();
    fs::remove_file(&path).unwrap();
    assert_eq!(file.remove().unwrap_err().kind(), &FileErrorKind::PathReplaced);
}

#[test]
fn a_removed_file_can_be_created_again() {
    let directory = tempfile::tempdir().unwrap();
    let config = SlotFileConfig::new(directory.path().join("x"), 8).initial_slots(2);
    let file = SlotFile::open(config.clone()).unwrap();
    file.write(0, &[1; 8]).unwrap();
    file.remove().unwrap();
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    let file = SlotFile::open(config).unwrap();
    let mut bytes = [9; 8];
    file.read(0, &mut bytes).unwrap();
    assert_eq!(bytes, [0; 8]);
}
