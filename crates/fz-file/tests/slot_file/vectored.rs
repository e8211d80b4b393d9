//! Vectored transfers: any number of slices, resumed at the byte where a call stopped.

use std::io::{IoSlice, IoSliceMut};

use fz_file::{FileErrorKind, SlotFile, SlotFileConfig};
use nix::errno::Errno;

use crate::disk::{Call, Disk, Fault, PATH, Rule, config};

#[test]
fn more_slices_than_one_call_takes_are_split() {
    const SLICES: usize = 5000;
    let directory = tempfile::tempdir().unwrap();
    let slots = SLICES as u64 / 8;
    let file = SlotFile::open(SlotFileConfig::new(directory.path().join("x"), 8).initial_slots(slots)).unwrap();
    let data: Vec<u8> = (0..SLICES).map(|index| u8::try_from(index % 251).unwrap()).collect();
    let mut slices: Vec<_> = data.chunks(1).map(IoSlice::new).collect();
    file.write_vectored(0, &mut slices).unwrap();
    let mut back = vec![0; SLICES];
    let mut buffers: Vec<_> = back.chunks_mut(1).map(IoSliceMut::new).collect();
    file.read_vectored(0, &mut buffers).unwrap();
    assert_eq!(back, data);
}

#[test]
fn slices_go_out_in_calls_of_as_many_as_the_storage_takes() {
    let disk = Disk::with_buffers_max(3);
    let file = disk.open(config().initial_slots(2)).unwrap();
    disk.take_calls();
    let data: Vec<u8> = (1..=16).collect();
    let mut slices: Vec<_> = data.chunks(2).map(IoSlice::new).collect();
    file.write_vectored(0, &mut slices).unwrap();
    let write = |offset, bytes, buffers| Call::Write { offset, bytes, buffers };
    assert_eq!(disk.take_calls(), [write(0, 6, 3), write(6, 6, 3), write(12, 4, 2)]);
    assert_eq!(disk.bytes(PATH).unwrap(), data);
}

/// A call with empty slices only would return 0, which is what a stall looks like.
#[test]
fn empty_slices_are_no_stall() {
    let disk = Disk::with_buffers_max(2);
    let file = disk.open(config().initial_slots(1)).unwrap();
    let (empty, half) = (IoSlice::new(&[]), IoSlice::new(&[7; 4]));
    file.write_vectored(0, &mut [empty, empty, empty, half, empty, empty, empty, half, empty, empty]).unwrap();
    assert_eq!(disk.bytes(PATH).unwrap(), [7; 8]);
    let (mut head, mut tail) = ([0; 4], [0; 4]);
    file.read_vectored(
        0,
        &mut [
            IoSliceMut::new(&mut []),
            IoSliceMut::new(&mut []),
            IoSliceMut::new(&mut []),
            IoSliceMut::new(&mut head),
            IoSliceMut::new(&mut []),
            IoSliceMut::new(&mut tail),
        ],
    )
    .unwrap();
    assert_eq!((head, tail), ([7; 4], [7; 4]));
}

#[test]
fn c_a_write_that_makes_no_progress_is_an_error_that_says_how_far_it_came() {
    let disk = Disk::new();
    let file = disk.open(config().initial_slots(3)).unwrap();
    disk.script(Rule { call: Some("Write"), skip: 0, times: 1, fault: Fault::Short });
    disk.script(Rule { call: Some("Write"), skip: 1, times: usize::MAX, fault: Fault::Nothing });
    let error = file.write(0, &[1; 24]).unwrap_err();
    assert_eq!(error.kind(), &FileErrorKind::WriteStalled { slot_index: 0, bytes: 24, bytes_written: 8 });
    assert!(error.io_error().is_none());
}

#[test]
fn a_failed_transfer_says_how_far_it_came_and_why() {
    let disk = Disk::new();
    let file = disk.open(config().initial_slots(4)).unwrap();
    for call in ["Write", "Read"] {
        disk.script(Rule { call: Some(call), skip: 0, times: 1, fault: Fault::Short });
        disk.script(Rule::once(call, Errno::EIO).after(1));
    }
    let error = file.write(1, &[1; 24]).unwrap_err();
    assert_eq!(error.kind(), &FileErrorKind::WriteFailed { slot_index: 1, bytes: 24, bytes_written: 8 });
    assert_eq!(error.raw_os_error(), Some(Errno::EIO as i32));
    let error = file.read(1, &mut [0; 24]).unwrap_err();
    assert_eq!(error.kind(), &FileErrorKind::ReadFailed { slot_index: 1, bytes: 24, bytes_read: 8 });
    assert_eq!(error.raw_os_error(), Some(Errno::EIO as i32));
}
