//! One test for each mistake of the reference implementation, `frozen-core` 0.0.22, that a file can
//! make. Each says what went wrong there.
//!
//! One is the compiler's: there, `delete` closes the descriptor while other threads read and write through it,
//! and the next file that is opened gets its number. Here [`SlotFile::remove`] takes the file by value, and its
//! documentation has the program that must not compile.

use std::io::IoSlice;
use std::thread;

use fz_file::{Create, FileErrorKind, Preallocation, SlotFile, SlotFileConfig};
use nix::errno::Errno;

use crate::disk::{Call, Disk, Fault, PATH, Rule, config};

/// There: `slot_index * slot_size` wraps, so that a write to slot 2^57 + 3 of 128 bytes lands on slot 3.
#[test]
fn a_slot_index_that_wraps_does_not_reach_another_slot() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x");
    let file = SlotFile::open(SlotFileConfig::new(&path, 128).initial_slots(8)).unwrap();
    file.write(3, &[7; 128]).unwrap();
    let wrapping = (1 << 57) + 3;
    let expected = FileErrorKind::OffsetOverflow { slot_index: wrapping, slot_size: 128 };
    assert_eq!(file.write(wrapping, &[8; 128]).unwrap_err().kind(), &expected);
    assert_eq!(file.read(wrapping, &mut [0; 128]).unwrap_err().kind(), &expected);
    let mut back = [0; 128];
    file.read(3, &mut back).unwrap();
    assert_eq!(back, [7; 128]);
}

/// There: a write past the end makes the file longer without a word, and a bad index poisons the pipe for
/// everybody.
#[test]
fn a_write_past_the_end_grows_nothing_and_spoils_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x");
    let file = SlotFile::open(SlotFileConfig::new(&path, 8).initial_slots(4)).unwrap();
    let expected = FileErrorKind::OutOfRange { slot_index: 3, slots: 2, slots_in_file: 4 };
    assert_eq!(file.write(3, &[1; 16]).unwrap_err().kind(), &expected);
    assert_eq!(std::fs::read(&path).unwrap(), [0; 32]);
    file.write(3, &[1; 8]).unwrap();
    file.sync().unwrap();
}

/// There: a vectored write that the kernel cuts short inside a buffer goes on with that buffer's start, at
/// the offset after the part: the *neighbour* slot is overwritten, and the call says `Ok`.
#[test]
fn a_write_cut_short_inside_a_slice_is_resumed_at_that_byte() {
    let data: Vec<u8> = (1..=24).collect();
    for first in 1..24 {
        let disk = Disk::new();
        let file = disk.open(config().initial_slots(5)).unwrap();
        file.write(0, &[0xEE; 40]).unwrap();
        disk.script(Rule { call: Some("Write"), skip: 0, times: 1, fault: Fault::Short });
        let (head, tail) = data.split_at(first);
        file.write_vectored(1, &mut [IoSlice::new(head), IoSlice::new(tail)]).unwrap();
        let mut expected = vec![0xEE; 40];
        expected[8..32].copy_from_slice(&data);
        assert_eq!(disk.bytes(PATH).unwrap(), expected, "slices of {first} and {} bytes", 24 - first);
    }
}

/// There: growth writes the new slots past the end; cut short, it leaves a length that is no multiple of the
/// slot size, and the file never opens again.
#[test]
fn j_a_growth_cut_short_anywhere_leaves_whole_slots() {
    for preallocation in [Preallocation::Sparse, Preallocation::Allocated, Preallocation::Zeroed] {
        for skip in 0..5 {
            let disk = Disk::new();
            let config = SlotFileConfig::new(PATH, 24).initial_slots(1).preallocation(preallocation);
            let file = disk.open(config.clone()).unwrap();
            disk.script(Rule { call: Some("Write"), skip: 0, times: 1, fault: Fault::Short });
            disk.script(Rule { call: None, skip, times: usize::MAX, fault: Fault::Error(Errno::ENOSPC) });
            let _ = file.grow(2);
            drop(file);
            disk.heal();
            let length = disk.bytes(PATH).unwrap().len();
            assert!([24, 72].contains(&length), "{length}");
            assert_eq!(disk.open(config).unwrap().slots(), length as u64 / 24);
        }
    }
}

/// There: `EAGAIN` is tried again without a limit, and the flusher hangs.
#[test]
fn eagain_is_an_error_at_once() {
    let disk = Disk::new();
    let file = disk.open(config().initial_slots(1)).unwrap();
    disk.script(Rule::always("Write", Errno::EAGAIN));
    disk.script(Rule::always("Read", Errno::EAGAIN));
    disk.take_calls();
    let error = file.write(0, &[1; 8]).unwrap_err();
    assert!(matches!(error.kind(), FileErrorKind::WriteFailed { .. }));
    assert_eq!(error.raw_os_error(), Some(Errno::EAGAIN as i32));
    assert!(matches!(file.read(0, &mut [0; 8]).unwrap_err().kind(), FileErrorKind::ReadFailed { .. }));
    assert_eq!(disk.take_calls().len(), 2);
}

/// There: errors carry the module id of whoever came first in the process, and an open that fails before any
/// succeeded panics on it.
#[test]
fn errors_carry_the_module_id_of_their_own_file() {
    let disk = Disk::new();
    let open = |path: &str, module_id| {
        disk.open(SlotFileConfig::new(path, 8).initial_slots(1).module_id(module_id).create(Create::Never))
    };
    assert_eq!(open("/data/none", 3).unwrap_err().module_id(), 3);
    for path in ["/data/a", "/data/b"] {
        disk.change(|world| world.put(path, &[0; 8]));
    }
    let (first, second) = (open("/data/a", 4).unwrap(), open("/data/b", 5).unwrap());
    assert_eq!((first.module_id(), second.module_id()), (4, 5));
    assert_eq!(first.write(9, &[0; 8]).unwrap_err().id().module(), 4);
    assert_eq!(second.write(9, &[0; 8]).unwrap_err().id().module(), 5);
    assert_eq!(open("/data/a", 6).unwrap_err().id().module(), 6);
}

/// There: two growths at the same time each set an absolute length, and the smaller one that comes last cuts
/// off synced data (28 of 3000 rounds).
#[test]
fn j_growths_at_the_same_time_lose_no_synced_data() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x");
    let file = SlotFile::open(SlotFileConfig::new(&path, 16).preallocation(Preallocation::Sparse)).unwrap();
    thread::scope(|scope| {
        for thread in 1..=3_u8 {
            let file = &file;
            scope.spawn(move || {
                for step in 1..=40 {
                    let end = file.grow(step % 4 + 1).unwrap();
                    // The last slot is this thread's alone, for each growth adds its own.
                    file.write(end - 1, &[thread; 16]).unwrap();
                    file.sync().unwrap();
                    let mut back = [0; 16];
                    file.read(end - 1, &mut back).unwrap();
                    assert_eq!(back, [thread; 16]);
                }
            });
        }
    });
    let bytes = std::fs::read(&path).unwrap();
    assert_eq!(bytes.len() as u64, file.slots() * 16);
    for thread in 1..=3 {
        assert_eq!(bytes.chunks(16).filter(|slot| *slot == [thread; 16]).count(), 40);
    }
}

/// There: the lock is taken and the path not looked at again, so that two processes can each hold "the" lock, one
/// of them on a file that has no name any more.
#[test]
fn the_lock_is_on_the_file_that_the_path_means() {
    let disk = Disk::new();
    disk.change(|world| world.put(PATH, &[1; 8]));
    // Somebody replaces the file and locks the new one, just before we lock the old one.
    disk.script(Rule::before("TryLock", |world| {
        world.put(PATH, &[2; 8]);
        world.lock(PATH);
    }));
    assert_eq!(disk.open(config()).unwrap_err().kind(), &FileErrorKind::Locked);
}

/// There: the directory of a new file is never synced, and a power cut takes the file with all that was synced
/// in it.
#[test]
fn j_a_new_file_survives_a_power_cut_with_what_was_synced() {
    let disk = Disk::new();
    let file = disk.open(config().initial_slots(2)).unwrap();
    assert!(disk.take_calls().contains(&Call::SyncDirectory("/data".into())));
    file.write(1, &[5; 8]).unwrap();
    file.sync().unwrap();
    drop(file);
    disk.power_cut();
    assert_eq!(disk.bytes(PATH).unwrap(), [[0; 8], [5; 8]].concat());
}
