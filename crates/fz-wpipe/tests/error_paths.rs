//! The ways out that the other tests do not take.

mod disk;
mod rig;
mod watchdog;

use std::cell::RefCell;
use std::error::Error;
use std::thread;
use std::time::Duration;

use disk::{Call, EIO, Fault};
use fz_error::Kind;
use fz_wpipe::{PipeError, PipeErrorKind, WritePipeConfig, WriteTicket};
use rig::{Rig, lazy};
use watchdog::finishes;

#[test]
fn each_kind_has_the_number_of_its_name() {
    use PipeErrorKind as K;
    let kinds = [
        K::OutOfRange { slot_index: 1, count: 1, slots: 1 },
        K::BufferSizeMismatch { buffer_size: 8, slot_size: 16 },
        K::ReadOnly,
        K::QueueFull { capacity: 1 },
        K::Closed,
        K::TimedOut { epoch: 1, durable: 0, waited: Duration::ZERO },
        K::WriteFailed { first: 1, last: 2 },
        K::SyncFailed { written: 1, durable: 0 },
        K::Panicked { message: String::new() },
        K::Thread,
        K::ReadFailed { slot_index: 1, count: 1 },
        K::NotWholeSlots { bytes: 1, slot_size: 8 },
        K::ZeroLimit { option: "x" },
        K::Queue { capacity: 0 },
        K::OtherProcess,
        K::Abandoned { durable: 0 },
        K::SlotSize { slot_size: 100 },
    ];
    assert_eq!(kinds.len(), PipeErrorKind::REASONS.len());
    for kind in kinds {
        let name = format!("{kind:?}");
        let reason = PipeErrorKind::REASONS.iter().find(|reason| reason.code() == kind.reason()).unwrap();
        assert_eq!(reason.name(), name.split(' ').next().unwrap());
        let error = PipeError::new(7, "test", kind);
        assert_eq!((error.id().module(), error.id().reason()), (7, reason.code()));
    }
}

#[test]
fn what_is_printed_names_the_file_the_epoch_and_the_cause() {
    finishes(|| {
        let rig = Rig::lazy();
        let ticket = rig.write(3, 1);
        assert_eq!(format!("{ticket:?}"), "WriteTicket { epoch: 1, is_durable: false }");
        let pipe = format!("{:?}", rig.pipe);
        assert!(pipe.contains("/slots") && pipe.contains("accepted: 1"), "{pipe}");
        assert_eq!(rig.pipe.file().path(), rig.file.path());
        assert_eq!(format!("{:?}", WritePipeConfig::default()), format!("{:?}", WritePipeConfig::new()));

        rig.disk.fail(Call::Sync, 0, Fault::Errno(EIO));
        let error = ticket.wait().unwrap_err();
        let rejected = rig.pipe.write(rig.request(0, 1, 2)).unwrap_err();
        let cause = rejected.source().expect("the sync's error").to_string();
        assert_eq!(cause, error.source().unwrap().to_string());
        assert_eq!(rejected.to_string(), error.to_string());
    });
}

#[test]
fn d_a_wait_without_an_end_ends_with_the_sync() {
    finishes(|| {
        let rig = Rig::lazy();
        rig.disk.hold(Call::Sync);
        let ticket = rig.write(0, 1);
        let waiter = thread::spawn(move || ticket.wait_timeout(Duration::MAX));
        rig.disk.wait_until_held(Call::Sync);
        rig.disk.release();
        assert_eq!(waiter.join().unwrap().unwrap(), 1);
    });
}

/// A read writes ahead what is queued, while a sync runs; when that write fails, the sync that ends
/// after it, well or not, must not move the durable epoch nor replace the reason.
#[test]
fn c_a_sync_that_ends_after_the_failure_changes_nothing() {
    for sync_fails in [false, true] {
        finishes(move || {
            let rig = Rig::lazy();
            rig.disk.hold(Call::Sync);
            rig.disk.fail(Call::Write, 1, Fault::Errno(EIO));
            if sync_fails {
                rig.disk.fail(Call::Sync, 0, Fault::Errno(disk::ENOSPC));
            }
            let first = rig.write(0, 1);
            let in_flight = first.clone();
            let leader = thread::spawn(move || in_flight.wait());
            rig.disk.wait_until_held(Call::Sync);
            let second = rig.write(9, 2);
            let failed = rig.pipe.read(9, &mut [0; rig::SLOT]).unwrap_err();
            assert!(matches!(failed.kind(), PipeErrorKind::WriteFailed { first: 2, last: 2 }), "{failed:?}");
            rig.disk.release();
            for outcome in [leader.join().unwrap(), first.wait(), second.wait(), rig.pipe.close()] {
                assert_eq!(outcome.unwrap_err().id(), failed.id(), "the first error is the reason");
            }
            assert_eq!(rig.pipe.durable_epoch(), 0);
        });
    }
}

/// A batch in which writes overlap takes another way to the disk than others.
#[test]
fn c_a_failed_write_of_overlapping_writes_stops_the_pipe() {
    finishes(|| {
        let rig = Rig::lazy();
        rig.disk.fail(Call::Write, 0, Fault::Errno(EIO));
        let tickets = [rig.write(4, 1), rig.write(4, 2), rig.write(5, 3)];
        for ticket in tickets {
            let error = ticket.wait().unwrap_err();
            assert!(matches!(error.kind(), PipeErrorKind::WriteFailed { first: 1, last: 3 }), "{error:?}");
        }
        assert_eq!((rig.disk.count(Call::Write), rig.disk.count(Call::Sync)), (1, 0), "nothing is tried after that");
    });
}

/// What a thread's locals do when the pipe's own are destroyed already.
#[test]
fn d_a_thread_that_ends_can_still_write_and_wait() {
    struct Last(Option<(WriteTicket, std::sync::mpsc::Sender<u64>)>);
    impl Drop for Last {
        fn drop(&mut self) {
            if let Some((ticket, tell)) = self.0.take() {
                tell.send(ticket.wait().expect("the disk is sound")).expect("the test waits");
            }
        }
    }
    thread_local! {
        static LAST: RefCell<Last> = const { RefCell::new(Last(None)) };
    }
    finishes(|| {
        let rig = Rig::lazy();
        let (tell, told) = std::sync::mpsc::channel();
        thread::scope(|scope| {
            scope.spawn(|| {
                // The first to be used is the last to be destroyed.
                LAST.with(|_| ());
                rig.write(0, 1).wait().unwrap();
                LAST.with(|last| last.borrow_mut().0 = Some((rig.write(1, 2), tell)));
            });
        });
        assert_eq!(told.recv().unwrap(), 2);
    });
}

#[test]
fn c_every_panic_of_the_disk_is_told_with_its_message_if_it_has_one() {
    finishes(|| {
        let message = |fault| {
            let rig = Rig::new(lazy());
            rig.disk.fail(Call::Write, 0, fault);
            match rig.write(0, 1).wait().unwrap_err().kind() {
                PipeErrorKind::Panicked { message } => message.clone(),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(message(Fault::Panic), "scripted panic of the disk");
        assert_eq!(message(Fault::PanicFormatted), "scripted panic of call 0");
        assert_eq!(message(Fault::PanicWithoutText), "(no message)");
    });
}
