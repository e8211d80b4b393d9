//! Promise G: bad input is an error that names its values, and costs nothing.

use std::fs;
use std::io::{IoSlice, IoSliceMut};

use fz_file::{Create, FileErrorKind as Kind, SlotFile, SlotFileConfig};

use crate::disk::{Call, Disk, PATH, config};

fn open_error(config: SlotFileConfig) -> Kind {
    let error = SlotFile::open(config).unwrap_err();
    assert_eq!(error.operation(), "open");
    error.kind().clone()
}

#[test]
fn g_a_bad_range_is_an_error_before_anything_is_asked_of_the_disk() {
    let disk = Disk::new();
    let file = disk.open(config().initial_slots(4)).unwrap();
    disk.take_calls();
    let slot_size = 8;
    let overflow = |slot_index| Kind::OffsetOverflow { slot_index, slot_size };
    let cases = [
        (0, 0, Kind::ZeroBytes { slot_index: 0 }),
        (u64::MAX, 0, Kind::ZeroBytes { slot_index: u64::MAX }),
        (1, 7, Kind::BytesNotMultiple { slot_index: 1, bytes: 7, slot_size }),
        (1, 9, Kind::BytesNotMultiple { slot_index: 1, bytes: 9, slot_size }),
        (4, 8, Kind::OutOfRange { slot_index: 4, slots: 1, slots_in_file: 4 }),
        (3, 16, Kind::OutOfRange { slot_index: 3, slots: 2, slots_in_file: 4 }),
        (0, 40, Kind::OutOfRange { slot_index: 0, slots: 5, slots_in_file: 4 }),
        ((1 << 60) - 2, 8, Kind::OutOfRange { slot_index: (1 << 60) - 2, slots: 1, slots_in_file: 4 }),
        ((1 << 60) - 1, 8, overflow((1 << 60) - 1)),
        ((1 << 61) + 3, 8, overflow((1 << 61) + 3)),
        (u64::MAX, 8, overflow(u64::MAX)),
        (u64::MAX, 16, overflow(u64::MAX)),
    ];
    for (slot, bytes, expected) in cases {
        let mut buffer = vec![0xEE; bytes];
        assert_eq!(file.check_range(slot, bytes).unwrap_err().kind(), &expected);
        assert_eq!(file.read(slot, &mut buffer).unwrap_err().kind(), &expected);
        assert_eq!(file.read_vectored(slot, &mut [IoSliceMut::new(&mut buffer)]).unwrap_err().kind(), &expected);
        assert_eq!(file.write(slot, &buffer).unwrap_err().kind(), &expected);
        let error = file.write_vectored(slot, &mut [IoSlice::new(&buffer)]).unwrap_err();
        assert_eq!((error.kind(), error.operation()), (&expected, "write_vectored"));
        assert_eq!((error.path(), error.module_id()), (Some(PATH.as_ref()), 7));
        assert_eq!(buffer, vec![0xEE; bytes]);
    }
    for (slot, slots, expected) in [
        (2, 0, Kind::ZeroBytes { slot_index: 2 }),
        (2, 3, Kind::OutOfRange { slot_index: 2, slots: 3, slots_in_file: 4 }),
        (2, u64::MAX, overflow(2)),
        (0, 1 << 60, overflow(0)),
    ] {
        assert_eq!(file.sync_range(slot, slots).unwrap_err().kind(), &expected);
    }
    assert_eq!(disk.take_calls(), []);

    file.check_range(0, 32).unwrap();
    file.write(3, &[1; 8]).unwrap();
    file.sync().unwrap();
    assert_eq!(disk.take_calls(), [Call::Write { offset: 24, bytes: 8, buffers: 1 }, Call::SyncData]);
}

#[test]
fn g_slices_count_together() {
    let disk = Disk::new();
    let file = disk.open(config().initial_slots(4)).unwrap();
    let half = IoSlice::new(&[1; 4]);
    file.write_vectored(3, &mut [half, half]).unwrap();
    let error = file.write_vectored(3, &mut [half, half, half]).unwrap_err();
    assert_eq!(error.kind(), &Kind::BytesNotMultiple { slot_index: 3, bytes: 12, slot_size: 8 });
    let error = file.write_vectored(3, &mut [half, half, half, half]).unwrap_err();
    assert_eq!(error.kind(), &Kind::OutOfRange { slot_index: 3, slots: 2, slots_in_file: 4 });
    assert_eq!(disk.bytes(PATH).unwrap().len(), 32);
}

#[test]
fn g_no_slots_at_all_is_an_error() {
    let disk = Disk::new();
    let file = disk.open(config().initial_slots(4)).unwrap();
    assert_eq!(file.write_vectored(2, &mut []).unwrap_err().kind(), &Kind::ZeroBytes { slot_index: 2 });
    assert_eq!(file.read_vectored(2, &mut []).unwrap_err().kind(), &Kind::ZeroBytes { slot_index: 2 });
    let mut empty = [IoSlice::new(&[]), IoSlice::new(&[])];
    assert_eq!(file.write_vectored(2, &mut empty).unwrap_err().kind(), &Kind::ZeroBytes { slot_index: 2 });
}

#[test]
fn g_a_bad_config_is_an_error_before_anything_is_asked_of_the_disk() {
    let disk = Disk::new();
    let slot_size_max = SlotFile::SLOT_SIZE_MAX;
    for (config, expected) in [
        (SlotFileConfig::new(PATH, 0), Kind::InvalidSlotSize { slot_size: 0, slot_size_max }),
        (
            SlotFileConfig::new(PATH, slot_size_max + 1),
            Kind::InvalidSlotSize { slot_size: slot_size_max + 1, slot_size_max },
        ),
        (SlotFileConfig::new(PATH, usize::MAX), Kind::InvalidSlotSize { slot_size: usize::MAX, slot_size_max }),
        (config().initial_slots(u64::MAX), Kind::FileTooLarge { slots: u64::MAX, slot_size: 8 }),
        (config().initial_slots(1 << 60), Kind::FileTooLarge { slots: 1 << 60, slot_size: 8 }),
        (SlotFileConfig::new("", 8), Kind::InvalidPath),
        (SlotFileConfig::new("/", 8), Kind::InvalidPath),
        (SlotFileConfig::new("/data/..", 8), Kind::InvalidPath),
        (SlotFileConfig::new("/data/.", 8), Kind::InvalidPath),
        (SlotFileConfig::new(".", 8), Kind::InvalidPath),
        (SlotFileConfig::new("x/", 8), Kind::InvalidPath),
        (SlotFileConfig::new("/data/x/", 8), Kind::InvalidPath),
        (SlotFileConfig::new("/data/x//", 8), Kind::InvalidPath),
        (SlotFileConfig::new("/data/x/.", 8), Kind::InvalidPath),
        (SlotFileConfig::new("/data/x/./", 8), Kind::InvalidPath),
        (config().read_only(true).create(Create::New), Kind::ReadOnly),
    ] {
        let error = disk.open(config).unwrap_err();
        assert_eq!((error.kind(), error.operation()), (&expected, "open"));
    }
    assert_eq!(disk.take_calls(), []);
    disk.open(SlotFileConfig::new(PATH, slot_size_max)).unwrap();
    // A dot belongs to a name.
    disk.open(SlotFileConfig::new("/data/./x.", 8)).unwrap();
}

#[test]
fn g_a_length_that_is_no_multiple_of_the_slot_size_is_an_error_and_the_file_is_untouched() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x");
    fs::write(&path, [3; 13]).unwrap();
    for read_only in [false, true] {
        let config = SlotFileConfig::new(&path, 8).initial_slots(1).read_only(read_only);
        assert_eq!(open_error(config), Kind::LengthNotMultiple { length: 13, slot_size: 8 });
    }
    assert_eq!(fs::read(&path).unwrap(), [3; 13]);
    assert_eq!(SlotFile::open(SlotFileConfig::new(&path, 13)).unwrap().slots(), 1);
}

#[test]
fn g_a_path_that_cannot_hold_the_file_is_an_error_that_says_which_part() {
    let directory = tempfile::tempdir().unwrap();
    let parent = directory.path().join("missing");
    fs::write(directory.path().join("file"), "").unwrap();
    for create in [Create::IfMissing, Create::New] {
        let config = |path: &str| SlotFileConfig::new(directory.path().join(path), 8).create(create);
        assert_eq!(open_error(config("missing/x")), Kind::ParentMissing { parent: parent.clone() });
        let parent = directory.path().join("file");
        assert_eq!(open_error(config("file/x")), Kind::ParentMissing { parent });
    }
    for read_only in [false, true] {
        let config = SlotFileConfig::new(directory.path(), 8).read_only(read_only);
        assert_eq!(open_error(config), Kind::IsDirectory);
        let config = SlotFileConfig::new(directory.path().join("x"), 8).read_only(read_only).create(Create::Never);
        assert_eq!(open_error(config), Kind::NotFound);
    }
    let read_only = SlotFileConfig::new(directory.path().join("x"), 8).read_only(true);
    assert_eq!(open_error(read_only), Kind::NotFound);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "something was created");
}

/// Opening a FIFO for reading waits for a writer: this must not.
#[test]
fn g_what_is_no_regular_file_is_an_error() {
    let error = SlotFile::open(SlotFileConfig::new("/dev/null", 8).create(Create::Never)).unwrap_err();
    assert_eq!(error.kind(), &Kind::OpenFailed { step: "open the file" });
    assert!(error.io_error().unwrap().to_string().contains("not a regular file"));

    let directory = tempfile::tempdir().unwrap();
    let fifo = directory.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let error = SlotFile::open(SlotFileConfig::new(&fifo, 8).read_only(true)).unwrap_err();
    assert_eq!(error.kind(), &Kind::OpenFailed { step: "open the file" });
}

/// Linux keeps a running program from being written, whoever asks.
#[cfg(target_os = "linux")]
#[test]
fn g_a_file_that_may_not_be_opened_is_an_error_with_its_cause() {
    let program = std::env::current_exe().unwrap();
    let before = fs::metadata(&program).unwrap();
    let error = SlotFile::open(SlotFileConfig::new(&program, 1)).unwrap_err();
    assert_eq!(error.kind(), &Kind::OpenFailed { step: "open the file" });
    assert_eq!(error.raw_os_error(), Some(nix::errno::Errno::ETXTBSY as i32));
    let after = fs::metadata(&program).unwrap();
    assert_eq!((after.len(), after.modified().unwrap()), (before.len(), before.modified().unwrap()));
}

#[test]
fn g_a_read_only_file_refuses_every_change_and_reads() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x");
    let config = SlotFileConfig::new(&path, 8);
    let file = SlotFile::open(config.clone().initial_slots(2)).unwrap();
    assert!(!file.is_read_only());
    file.write(1, &[7; 8]).unwrap();
    drop(file);

    let file = SlotFile::open(config.clone().read_only(true).initial_slots(2)).unwrap();
    assert!(file.is_read_only());
    assert_eq!((file.slot_size(), file.slots()), (8, 2));
    let mut bytes = [0; 16];
    file.read(0, &mut bytes).unwrap();
    assert_eq!(bytes[8..], [7; 8]);
    for result in [
        file.write(0, &[1; 8]),
        file.write_vectored(0, &mut [IoSlice::new(&[1; 8])]),
        file.sync(),
        file.sync_all(),
        file.sync_range(0, 1),
        file.grow(1).map(drop),
        file.remove(),
    ] {
        assert_eq!(result.unwrap_err().kind(), &Kind::ReadOnly);
    }
    assert_eq!(fs::read(&path).unwrap(), bytes);
    let config = config.read_only(true).initial_slots(3);
    assert_eq!(open_error(config), Kind::TooFewSlots { slots: 2, initial_slots: 3 });
}
