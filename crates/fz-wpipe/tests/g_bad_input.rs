//! Promise G: bad input is a typed error that names the values, in release builds too; the caller
//! keeps its buffer and the pipe goes on.

mod disk;
mod rig;
mod watchdog;

use std::sync::Arc;

use disk::{Call, Disk, EIO, Fault};
use fz_bufpool::{BufPool, BufPoolConfig, BufferSize};
use fz_file::{SlotFile, SlotFileConfig};
use fz_wpipe::{PipeErrorKind, RejectedWrite, WritePipe, WritePipeConfig, WriteRequest};
use rig::{Rig, SLOT, SLOTS, tag_at, tagged};
use watchdog::finishes;

/// Every way in refuses `request` with `kind`, gives it back whole, and the pipe goes on.
fn refused(rig: &Rig, request: WriteRequest, kind: &PipeErrorKind) {
    let slot_index = request.slot_index;
    let bytes = request.allocation.as_slice().to_vec();
    let address = request.allocation.as_slice().as_ptr();
    let check = |rejected: RejectedWrite| {
        assert_eq!(rejected.error.kind(), kind);
        assert!(!kind.is_poison());
        assert_eq!(rejected.request.slot_index, slot_index);
        assert_eq!(rejected.request.allocation.as_slice(), bytes);
        assert_eq!(rejected.request.allocation.as_slice().as_ptr(), address, "the very same memory");
        rejected.request
    };
    let request = check(rig.pipe.write(request).unwrap_err());
    let request = check(rig.pipe.try_write(request).unwrap_err());
    let request = check(pollster::block_on(rig.pipe.write_async(request)).unwrap_err());
    let request = check(rig.pipe.write_timeout(request, rig::NEVER).unwrap_err());
    drop(request);
    let before = rig.pipe.durable_epoch();
    assert_eq!(rig.write(1, 5).wait().unwrap(), before + 1, "the pipe goes on, and no epoch was used");
}

#[test]
fn g_slots_outside_the_file_are_refused() {
    finishes(|| {
        let rig = Rig::lazy();
        let beyond = [
            (SLOTS, 1),
            (SLOTS - 1, 2),
            (0, SLOTS + 1),
            (u64::MAX, 1),
            (u64::MAX - 1, 3),
            // Times the slot size this wraps around to slot 3.
            ((1 << 58) + 3, 1),
        ];
        for (slot_index, count) in beyond {
            let kind = PipeErrorKind::OutOfRange { slot_index, count, slots: SLOTS };
            refused(&rig, rig.request(slot_index, usize::try_from(count).unwrap(), 7), &kind);
            for value in [slot_index, count, SLOTS] {
                assert!(kind.to_string().contains(&value.to_string()), "{kind} names {value}");
            }
        }
        let last = rig.pipe.write(rig.request(SLOTS - 2, 2, 9)).expect("the last two slots are in the file");
        last.wait().unwrap();
        assert_eq!(tag_at(&rig.disk.stable(), SLOTS - 1), 9);
        assert_eq!(tag_at(&rig.disk.stable(), 3), 0, "no neighbour was touched");
    });
}

#[test]
fn g_buffers_of_another_size_are_refused() {
    finishes(|| {
        let rig = Rig::lazy();
        for size in [BufferSize::S8, BufferSize::S32, BufferSize::S128, BufferSize::S4096] {
            let pool = BufPool::new(BufPoolConfig::new(size, size.bytes() * 4)).unwrap();
            let kind = PipeErrorKind::BufferSizeMismatch { buffer_size: size.bytes(), slot_size: SLOT };
            let allocation = tagged(pool.allocate(2).unwrap(), 3);
            refused(&rig, WriteRequest { allocation, slot_index: 0 }, &kind);
            assert!(kind.to_string().contains("64") && kind.to_string().contains(&size.bytes().to_string()));
        }
    });
}

#[test]
fn g_reads_of_other_than_whole_slots_are_refused() {
    finishes(|| {
        let rig = Rig::lazy();
        for bytes in [0, 1, SLOT - 1, SLOT + 1] {
            let error = rig.pipe.read(0, &mut vec![0; bytes]).unwrap_err();
            assert_eq!(*error.kind(), PipeErrorKind::NotWholeSlots { bytes, slot_size: SLOT });
        }
        for (slot_index, count) in [(SLOTS, 1), (SLOTS - 1, 2), (u64::MAX, 2), ((1 << 58) + 3, 1)] {
            let error = rig.pipe.read(slot_index, &mut vec![0; SLOT * usize::try_from(count).unwrap()]).unwrap_err();
            assert_eq!(*error.kind(), PipeErrorKind::OutOfRange { slot_index, count, slots: SLOTS });
        }
        rig.write(0, 1).wait().unwrap();
    });
}

#[test]
fn g_a_read_that_fails_leaves_the_pipe_alone() {
    finishes(|| {
        let rig = Rig::lazy();
        rig.disk.fail(Call::Read, 0, Fault::Errno(EIO));
        let error = rig.pipe.read(2, &mut [0; 3 * SLOT]).unwrap_err();
        assert_eq!(*error.kind(), PipeErrorKind::ReadFailed { slot_index: 2, count: 3 });
        assert_eq!(error.raw_os_error(), Some(EIO));
        rig.write(2, 4).wait().unwrap();
        assert_eq!(rig.read(2), 4);
    });
}

#[test]
fn g_a_panic_in_a_read_leaves_the_pipe_alone() {
    finishes(|| {
        let rig = Arc::new(Rig::lazy());
        rig.disk.fail(Call::Read, 0, Fault::Panic);
        let reader = Arc::clone(&rig);
        assert!(std::thread::spawn(move || reader.read(0)).join().is_err());
        rig.write(2, 4).wait().unwrap();
        assert_eq!(rig.read(2), 4);
        rig.pipe.close().unwrap();
    });
}

#[test]
fn g_a_config_that_cannot_work_is_refused() {
    let disk = Disk::default();
    let file = rig::open(&disk);
    let new = |config: WritePipeConfig| WritePipe::new(config.module_id(4), Arc::clone(&file)).unwrap_err();
    let zero = |option| PipeErrorKind::ZeroLimit { option };
    assert_eq!(*new(WritePipeConfig::new().batch_writes_max(0)).kind(), zero("batch_writes_max"));
    assert_eq!(*new(WritePipeConfig::new().batch_bytes_max(0)).kind(), zero("batch_bytes_max"));
    assert_eq!(*new(WritePipeConfig::new().write_back_bytes(0)).kind(), zero("write_back_bytes"));
    for capacity in [0, usize::MAX, (1 << 31) + 1] {
        let error = new(WritePipeConfig::new().queue_capacity(capacity));
        assert_eq!(*error.kind(), PipeErrorKind::Queue { capacity });
        assert_eq!(error.module_id(), 4);
        assert!(std::error::Error::source(&error).is_some(), "it says why");
    }
    assert_eq!(Arc::strong_count(&file), 1, "a pipe that was not made keeps nothing");
}

#[test]
fn g_a_file_open_to_read_only_is_refused() {
    let disk = Disk::default();
    drop(rig::open(&disk));
    let config = SlotFileConfig::new("/slots", SLOT).read_only(true);
    let file = Arc::new(SlotFile::open_on(Arc::new(disk), config).unwrap());
    let error = WritePipe::new(WritePipeConfig::new(), file).unwrap_err();
    assert_eq!(*error.kind(), PipeErrorKind::ReadOnly);
    assert_eq!(error.path(), Some(std::path::Path::new("/slots")));
}

#[test]
fn g_a_file_that_grew_takes_writes_to_its_new_slots() {
    finishes(|| {
        let rig = Rig::lazy();
        let rejected = rig.pipe.write(rig.request(SLOTS, 1, 6)).unwrap_err();
        rig.file.grow(1).unwrap();
        rig.pipe.write(rejected.request).unwrap().wait().unwrap();
        assert_eq!(rig.read(SLOTS), 6);
    });
}

#[test]
fn g_any_flush_interval_works() {
    finishes(|| {
        for interval in [std::time::Duration::ZERO, std::time::Duration::from_nanos(1), std::time::Duration::MAX] {
            let rig = Rig::new(WritePipeConfig::new().flush_interval(interval));
            rig.write(0, 1).wait().unwrap();
            pollster::block_on(rig.write(1, 2)).unwrap();
            drop(rig.write(2, 3));
            assert_eq!(rig.pipe.close().unwrap(), 3);
        }
    });
}

#[test]
fn g_a_rejected_write_shows_its_error() {
    let rig = Rig::new(rig::lazy().module_id(7));
    let rejected = rig.pipe.write(rig.request(SLOTS, 1, 0)).unwrap_err();
    assert_eq!(rejected.to_string(), rejected.error.to_string());
    assert!(format!("{rejected:?}").contains("OutOfRange"));
    assert!(rejected.to_string().contains(&rejected.error.id().to_string()));
    let error: fz_wpipe::PipeError = rejected.into();
    assert_eq!(error.module_id(), 7);
    assert_eq!(rig.pool.stats().in_use, 0, "the memory went back with it");
}

/// Found with slots of 100 bytes: a pipe was made on which no write could succeed, and a debug build panicked.
#[test]
fn g_a_file_whose_slots_fit_no_pool_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    for (slot_size, fits) in [(4, false), (8, true), (100, false), (128, true), (1 << 21, false)] {
        let path = directory.path().join(slot_size.to_string());
        let file = std::sync::Arc::new(SlotFile::open(SlotFileConfig::new(path, slot_size).initial_slots(1)).unwrap());
        match WritePipe::new(WritePipeConfig::new().module_id(4), file) {
            Ok(_) => assert!(fits, "{slot_size}"),
            Err(error) => {
                assert!(!fits, "{slot_size}: {error}");
                assert_eq!((error.kind(), error.module_id()), (&PipeErrorKind::SlotSize { slot_size }, 4));
            }
        }
    }
}
