//! Systems and file systems that lack what others have, and the limits of a process.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use fz_file::{Create, FileErrorKind, Preallocation, SlotFile, SlotFileConfig};
use nix::errno::Errno;

use crate::disk::{Call, Disk, PATH, Rule, config};

/// On 32-bit systems `off_t` may have 32 bits: slots beyond 2 GiB were there, and could not be written.
#[test]
fn g_slots_beyond_two_and_four_gibibytes_are_written_and_read() {
    let directory = tempfile::tempdir().unwrap();
    let slots = [(2 << 30) / 4096 - 1, (2 << 30) / 4096, 600_000, (4 << 30) / 4096, 1_100_000];
    let config = SlotFileConfig::new(directory.path().join("x"), 4096).preallocation(Preallocation::Sparse);
    let file = SlotFile::open(config.initial_slots(1_100_001)).unwrap();
    for (byte, slot) in (1..).zip(slots) {
        file.write(slot, &[byte; 4096]).unwrap();
        file.sync_range(slot, 1).unwrap();
    }
    file.sync().unwrap();
    for (byte, slot) in (1..).zip(slots) {
        let mut back = [0; 4096];
        file.read(slot, &mut back).unwrap();
        assert_eq!(back, [byte; 4096], "slot {slot}");
    }
    assert_eq!(file.grow(1).unwrap(), 1_100_002);
    let _ = file.reserve(); // 4 GiB may be more than the disk has; an offset is not
}

#[test]
fn a_new_file_is_its_owners_only_unless_a_mode_is_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let mode = |config: SlotFileConfig| {
        let file = SlotFile::open(config).unwrap();
        fs::metadata(file.path()).unwrap().permissions().mode() & 0o7777
    };
    assert_eq!(mode(SlotFileConfig::new(directory.path().join("x"), 8)) & !0o600, 0);
    for asked in [0o600, 0o640, 0o666] {
        // Whatever the umask of this process is.
        let path = directory.path().join(format!("{asked:o}"));
        assert_eq!(mode(SlotFileConfig::new(&path, 8).mode(asked)), asked);
        // A file that exists keeps its own.
        assert_eq!(mode(SlotFileConfig::new(path, 8).mode(0o700)), asked);
    }
}

#[test]
fn a_mode_that_cannot_be_set_is_an_error_and_nothing_is_left() {
    let disk = Disk::new();
    disk.script(Rule::once("SetMode", Errno::EPERM));
    let error = disk.open(config().initial_slots(2).mode(0o640)).unwrap_err();
    assert!(matches!(error.kind(), FileErrorKind::CreateFailed { step: "set the file's mode", .. }), "{error:?}");
    assert!(!disk.take_calls().iter().any(|call| matches!(call, Call::Write { .. })), "the work was done first");
    disk.open(config().create(Create::New)).unwrap();
}

#[test]
fn g_a_process_without_a_descriptor_left_gets_an_error_of_its_own() {
    for errno in [Errno::EMFILE, Errno::ENFILE] {
        for (call, exists) in [("Open", true), ("SyncDirectory", true), ("Create", false), ("SyncDirectory", false)] {
            let disk = Disk::new();
            if exists {
                disk.change(|world| world.put(PATH, &[3; 16]));
            }
            disk.script(Rule::once(call, errno));
            let error = disk.open(config()).unwrap_err();
            assert!(matches!(error.kind(), FileErrorKind::OutOfDescriptors { .. }), "{call}: {error:?}");
            assert_eq!(error.raw_os_error(), Some(errno as i32));
            drop(disk.open(config()).unwrap());
        }
    }
}

/// The lock cannot be checked there. The message pointed to dangling links, after 32 attempts.
#[test]
fn g_a_file_system_whose_inode_numbers_change_is_an_error_that_says_so() {
    for exists in [true, false] {
        let disk = Disk::with_unstable_inodes();
        if exists {
            disk.change(|world| world.put(PATH, &[3; 16]));
        }
        let error = disk.open(config()).unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains("another inode number"), "{error:?}");
        assert!(disk.take_calls().len() < 10, "it tried again and again");
    }
}

/// The directory of a descriptor that a sandboxed program was handed cannot be synced (EINVAL), nor that of some file
/// systems: a facility that is not there has not failed.
#[cfg(target_os = "linux")]
#[test]
fn a_file_opens_in_a_directory_that_has_no_sync() {
    use std::os::fd::AsRawFd;

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x");
    drop(SlotFile::open(SlotFileConfig::new(&path, 8).initial_slots(4)).unwrap());
    let handed_over = fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let by_number = format!("/proc/self/fd/{}", handed_over.as_raw_fd());
    let file = SlotFile::open(SlotFileConfig::new(by_number, 8)).unwrap();
    file.write(3, &[1; 8]).unwrap();
    file.sync().unwrap();
}

/// A directory of another user's in which this one's file lies: the name's durability was its creator's matter.
#[test]
fn a_file_opens_in_a_directory_that_may_not_be_read() {
    let disk = Disk::new();
    disk.change(|world| world.put(PATH, &[3; 16]));
    disk.script(Rule::always("SyncDirectory", Errno::EACCES));
    assert_eq!(disk.open(config()).unwrap().slots(), 2);
    for errno in [Errno::EIO, Errno::ENOSPC, Errno::EDQUOT] {
        let disk = Disk::new();
        disk.change(|world| world.put(PATH, &[3; 16]));
        disk.script(Rule::always("SyncDirectory", errno));
        let error = disk.open(config()).unwrap_err();
        assert!(matches!(error.kind(), FileErrorKind::OpenFailed { step: "sync the directory" }), "{error:?}");
    }
}

/// With mode 0300 it takes files, and cannot be opened to be synced. The check needs a user whom permissions bind.
#[cfg(target_os = "linux")]
#[test]
fn j_files_are_created_and_removed_in_a_directory_that_may_not_be_read() {
    use std::os::unix::fs::{OpenOptionsExt, chown};

    use nix::fcntl::OFlag;
    use nix::unistd::{Uid, setuid};

    use crate::processes::in_child;

    const NOBODY: u32 = 65534;
    let root = tempfile::tempdir().unwrap();
    let directory = root.path().join("d");
    fs::create_dir(&directory).unwrap();
    let mut unnamed = fs::OpenOptions::new();
    if unnamed.write(true).custom_flags(OFlag::O_TMPFILE.bits()).open(&directory).is_err() {
        // This file system has no unnamed files, and so no other way to sync such a directory.
        return;
    }
    fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o300)).unwrap();
    if Uid::effective().is_root() {
        chown(&directory, Some(NOBODY), None).unwrap();
    }
    let lived = in_child(|| {
        if Uid::effective().is_root() {
            setuid(Uid::from_raw(NOBODY)).unwrap();
        }
        let config = SlotFileConfig::new(directory.join("x"), 8).initial_slots(4);
        assert!(fs::read_dir(&directory).is_err(), "permissions do not bind this process");
        drop(SlotFile::open(config.clone().create(Create::New)).unwrap());
        SlotFile::open(config).unwrap().remove().is_ok()
    });
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o700)).unwrap();
    assert!(lived);
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 0);
}
