//! Promise C: the first failed write, stalled write or failed sync poisons the pipe for good. Every
//! ticket not yet durable resolves to that error, every later `write()` fails with it and gives the
//! request back, the durable epoch never moves again, nothing is retried.

mod disk;
mod rig;
mod watchdog;

use std::sync::{Arc, Mutex};
use std::thread;

use disk::{Call, Disk, EIO, ENOSPC, Fault};
use fz_wpipe::{PipeError, PipeErrorKind, WritePipeConfig, WriteTicket};
use rig::{Rig, SLOT, lazy, tag_at};
use watchdog::{finishes, until};

/// What must hold of a pipe after it failed with `error` at `durable`.
fn is_poisoned(rig: &Rig, error: &PipeError, durable: u64) {
    let calls = (rig.disk.count(Call::Write), rig.disk.count(Call::Sync));
    assert!(error.kind().is_poison(), "{error}");
    for attempt in 0..3 {
        let rejected = rig.pipe.write(rig.request(7, 2, 99)).expect_err("the pipe has failed");
        assert_eq!(rejected.error.id(), error.id(), "the first error is kept");
        assert_eq!(rejected.error.kind(), error.kind());
        assert_eq!(rejected.request.slot_index, 7);
        assert_eq!(rejected.request.allocation.as_slice(), rig::tagged(rig.pool.allocate(2).unwrap(), 99).as_slice());
        let rejected = match attempt {
            0 => rig.pipe.try_write(rejected.request).expect_err("the pipe has failed"),
            _ => pollster::block_on(rig.pipe.write_async(rejected.request)).expect_err("the pipe has failed"),
        };
        assert_eq!(rejected.error.id(), error.id());
        assert_eq!(rig.pipe.durable_epoch(), durable, "the durable epoch never moves again");
    }
    assert_eq!(rig.pipe.close().expect_err("something was lost").id(), error.id());
    assert_eq!(rig.pipe.close().expect_err("something was lost").id(), error.id());
    assert_eq!(rig.pipe.durable_epoch(), durable);
    assert_eq!(rig.pool.stats().in_use, 0, "the memory of what was lost came back");
    assert_eq!((rig.disk.count(Call::Write), rig.disk.count(Call::Sync)), calls, "nothing is tried again");
}

/// Rounds of four writes each, with a fault at the `nth` call; then everything is checked.
fn run_with_fault(call: Call, nth: usize, fault: Fault) {
    let rig = Rig::lazy();
    rig.disk.fail(call, nth, fault);
    let mut tickets: Vec<WriteTicket> = Vec::new();
    let mut error = None;
    'rounds: for round in 0..6_u64 {
        for slot in 0..4 {
            // Not neighbours: each is a write call of its own.
            match rig.pipe.write(rig.request(slot * 2 + round * 8, 1, round * 4 + slot + 1)) {
                Ok(ticket) => tickets.push(ticket),
                Err(rejected) => panic!("round {round}: {rejected}, but nobody was told"),
            }
        }
        if let Err(failed) = tickets.last().expect("pushed above").wait() {
            error = Some(failed);
            break 'rounds;
        }
    }
    let error = error.unwrap_or_else(|| panic!("{call:?} {nth} was to fail with {fault:?}"));
    let durable = rig.pipe.durable_epoch();
    let stable = rig.disk.stable();
    for (ticket, epoch) in tickets.iter().zip(1..) {
        let (round, slot) = ((epoch - 1) / 4, (epoch - 1) % 4);
        match ticket.wait() {
            Ok(covered) => {
                assert!(epoch <= durable && covered == durable);
                assert_eq!(tag_at(&stable, slot * 2 + round * 8), epoch, "Ok, and lost");
            }
            Err(failed) => {
                assert!(epoch > durable, "epoch {epoch} is durable");
                assert_eq!(failed.id(), error.id());
            }
        }
        assert_eq!(ticket.is_durable(), epoch <= durable);
    }
    is_poisoned(&rig, &error, durable);
}

#[test]
fn c_a_failed_write_at_any_position_stops_the_pipe_for_good() {
    finishes(|| (0..24).for_each(|nth| run_with_fault(Call::Write, nth, Fault::Errno(EIO))));
}

#[test]
fn c_a_failed_sync_at_any_position_stops_the_pipe_for_good() {
    finishes(|| (0..6).for_each(|nth| run_with_fault(Call::Sync, nth, Fault::Errno(ENOSPC))));
}

#[test]
fn c_a_write_without_progress_stops_the_pipe_for_good() {
    finishes(|| (0..24).step_by(5).for_each(|nth| run_with_fault(Call::Write, nth, Fault::Short(0))));
}

#[test]
fn c_a_panic_of_the_disk_stops_the_pipe_for_good() {
    finishes(|| {
        (0..24).step_by(7).for_each(|nth| run_with_fault(Call::Write, nth, Fault::Panic));
        (0..6).step_by(2).for_each(|nth| run_with_fault(Call::Sync, nth, Fault::Panic));
    });
}

#[test]
fn c_interruptions_and_partial_progress_are_no_failures() {
    finishes(|| {
        let rig = Rig::lazy();
        for nth in [0, 1, 3] {
            rig.disk.fail(Call::Write, nth, Fault::Interrupted);
            rig.disk.fail(Call::Sync, nth, Fault::Interrupted);
        }
        rig.disk.fail(Call::Write, 2, Fault::Short(1));
        let ticket = rig.pipe.write(rig.request(0, 3, 8)).unwrap();
        assert_eq!(ticket.wait().unwrap(), 1);
        assert!((0..3).all(|slot| tag_at(&rig.disk.stable(), slot) == 8));
    });
}

#[test]
fn c_the_errors_say_what_failed_and_why() {
    finishes(|| {
        let rig = Rig::new(lazy().module_id(9));
        rig.write(0, 1).wait().unwrap();
        rig.disk.fail(Call::Sync, 1, Fault::Errno(ENOSPC));
        drop(rig.write(1, 2));
        let error = rig.write(2, 3).wait().unwrap_err();
        assert_eq!(*error.kind(), PipeErrorKind::SyncFailed { written: 3, durable: 1 });
        assert_eq!((error.module_id(), error.operation(), error.raw_os_error()), (9, "sync", Some(ENOSPC)));

        let rig = Rig::lazy();
        rig.write(0, 1).wait().unwrap();
        rig.disk.fail(Call::Write, 1, Fault::Errno(EIO));
        drop(rig.write(1, 2));
        let error = rig.write(2, 3).wait().unwrap_err();
        assert_eq!(*error.kind(), PipeErrorKind::WriteFailed { first: 2, last: 3 });
        assert_eq!(error.raw_os_error(), Some(EIO));

        let rig = Rig::lazy();
        rig.disk.fail(Call::Sync, 0, Fault::Panic);
        let error = rig.write(0, 1).wait().unwrap_err();
        assert!(matches!(error.kind(), PipeErrorKind::Panicked { message } if message.contains("scripted panic")));
    });
}

#[test]
fn c_a_failed_write_ahead_of_a_read_stops_the_pipe_too() {
    finishes(|| {
        for fault in [Fault::Errno(EIO), Fault::Panic] {
            let rig = Rig::lazy();
            rig.write(0, 1).wait().unwrap();
            rig.disk.fail(Call::Write, 1, fault);
            let lost = rig.write(1, 2);
            let mut buffer = [0; SLOT];
            let read = rig.pipe.read(1, &mut buffer).unwrap_err();
            let error = lost.wait().unwrap_err();
            assert_eq!(read.id(), error.id());
            is_poisoned(&rig, &error, 1);
            assert_eq!(rig.pipe.read(1, &mut buffer).unwrap_err().id(), error.id(), "a lost write cannot be read");
        }
    });
}

#[test]
fn c_the_flusher_meets_the_fault_of_unawaited_writes() {
    finishes(|| {
        for call in [Call::Write, Call::Sync] {
            let rig = Rig::new(WritePipeConfig::new());
            rig.disk.fail(call, 0, Fault::Errno(EIO));
            let ticket = rig.write(0, 1);
            until(|| rig.pipe.write(rig.request(1, 1, 2)).is_err());
            let error = ticket.wait().unwrap_err();
            is_poisoned(&rig, &error, 0);
        }
    });
}

/// Threads and tasks under way when the fault comes. No `Ok` may be wrong, nobody may hang.
fn writers_under_a_fault(call: Call, nth: usize, fault: Fault) {
    let rig = Arc::new(Rig::lazy());
    rig.disk.fail(call, nth, fault);
    let confirmed = Arc::new(Mutex::new(Vec::new()));
    let threads: Vec<_> = (0..4_u64)
        .map(|writer| {
            let (rig, confirmed) = (Arc::clone(&rig), Arc::clone(&confirmed));
            thread::spawn(move || {
                for step in 0.. {
                    // Each slot is written by one thread; over and over, ever higher tags.
                    let (slot, tag) = (writer * 20 + step % 10 * 2, step + 1);
                    let ticket = match rig.pipe.write(rig.request(slot, 1, tag)) {
                        Ok(ticket) => ticket,
                        Err(rejected) => return rejected.error,
                    };
                    let outcome = match step % 3 {
                        0 => ticket.wait(),
                        1 => pollster::block_on(ticket),
                        _ => continue,
                    };
                    match outcome {
                        Ok(_) => confirmed.lock().unwrap().push((slot, tag)),
                        Err(error) => {
                            let rejected = rig.pipe.write(rig.request(0, 1, 0)).expect_err("it was told already");
                            assert_eq!(rejected.error.id(), error.id());
                            return error;
                        }
                    }
                }
                unreachable!("the fault ends the loop");
            })
        })
        .collect();
    let errors: Vec<PipeError> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    assert!(errors.iter().all(|error| error.id() == errors[0].id() && error.kind() == errors[0].kind()));
    let stable = rig.disk.stable();
    for &(slot, tag) in &*confirmed.lock().unwrap() {
        assert!(tag_at(&stable, slot) >= tag, "slot {slot}: write {tag} was declared durable");
    }
    is_poisoned(&rig, &errors[0], rig.pipe.durable_epoch());
}

#[test]
fn c_no_lost_write_is_ever_declared_durable() {
    finishes(|| {
        for nth in [0, 1, 2, 5, 11, 30] {
            writers_under_a_fault(Call::Write, nth, Fault::Errno(EIO));
            writers_under_a_fault(Call::Sync, nth, Fault::Errno(EIO));
        }
    });
}

/// Canary of this file: the disk drops what a failed sync was to write, and a later sync that
/// succeeds does not bring it back.
#[test]
fn the_disk_loses_what_a_failed_sync_covered() {
    let disk = Disk::default();
    let file = rig::open(&disk);
    disk.fail(Call::Sync, 0, Fault::Errno(EIO));
    file.write(0, &[7; SLOT]).unwrap();
    file.sync().unwrap_err();
    assert_eq!(disk.cache()[0], 7);
    let volume: &dyn fz_file::Volume = &disk;
    volume.open(std::path::Path::new("/slots"), fz_file::Access::ReadWrite).unwrap().sync_data().unwrap();
    assert_eq!(disk.stable()[0], 0);
}

/// The bug: the batch that the file refused because an earlier sync had failed was given as the
/// reason, and the sync never named.
#[test]
fn c_a_batch_refused_after_a_failed_sync_names_the_sync() {
    finishes(|| {
        let rig = Rig::lazy();
        rig.write(0, 1).wait().unwrap();
        rig.disk.fail(Call::Sync, 1, Fault::Errno(EIO));
        rig.file.sync().unwrap_err();
        let error = rig.write(1, 2).wait().unwrap_err();
        assert_eq!(*error.kind(), PipeErrorKind::SyncFailed { written: 1, durable: 1 });
    });
}
