//! Promise K: a read of the pipe sees every write accepted before the call, durable or not, and
//! never half of one.

mod disk;
mod rig;
mod watchdog;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use disk::{Call, EIO, Fault};
use fz_wpipe::{PipeError, PipeErrorKind, WritePipeConfig};
use rig::{Rig, SLOT, lazy, tag_at};
use watchdog::{finishes, until};

/// Writes of four slots, which the disk makes visible piece by piece, and readers beside them.
fn readers_beside_writers(rig: Rig) {
    rig.disk.tear_writes();
    let rig = Arc::new(rig);
    let regions = 3;
    // The highest tag accepted for each region; tags grow.
    let accepted: Arc<Vec<AtomicU64>> = Arc::new((0..regions).map(|_| AtomicU64::new(0)).collect());
    let writers: Vec<_> = (0..regions)
        .map(|region| {
            let (rig, accepted) = (Arc::clone(&rig), Arc::clone(&accepted));
            thread::spawn(move || {
                for tag in 1..=150 {
                    let ticket = rig.pipe.write(rig.request(region * 4, 4, tag)).unwrap();
                    accepted[usize::try_from(region).unwrap()].store(tag, Ordering::SeqCst);
                    if tag % 10 == 0 {
                        ticket.wait().unwrap();
                    }
                }
            })
        })
        .collect();
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let (rig, accepted) = (Arc::clone(&rig), Arc::clone(&accepted));
            thread::spawn(move || {
                let mut seen = vec![0; usize::try_from(regions).unwrap()];
                let mut back = vec![0; SLOT * 4 * seen.len()];
                while seen.iter().any(|tag| *tag < 150) {
                    let before: Vec<u64> = accepted.iter().map(|tag| tag.load(Ordering::SeqCst)).collect();
                    rig.pipe.read(0, &mut back).unwrap();
                    for (region, seen) in (0..).zip(&mut seen) {
                        let tags = [0, 1, 2, 3].map(|slot| tag_at(&back, region * 4 + slot));
                        assert!(tags.iter().all(|tag| *tag == tags[0]), "half of a write: {tags:?}");
                        let accepted = before[usize::try_from(region).unwrap()];
                        assert!(tags[0] >= accepted, "{} is read, {accepted} was accepted before", tags[0]);
                        assert!(tags[0] >= *seen, "back in time");
                        *seen = tags[0];
                    }
                }
            })
        })
        .collect();
    writers.into_iter().chain(readers).for_each(|thread| thread.join().unwrap());
    rig.pipe.close().unwrap();
}

#[test]
fn k_a_read_sees_every_accepted_write_and_never_half_of_one() {
    finishes(|| readers_beside_writers(Rig::lazy()));
}

#[test]
fn k_a_read_beside_small_batches_sees_every_accepted_write_too() {
    finishes(|| readers_beside_writers(Rig::new(WritePipeConfig::new().batch_writes_max(2).queue_capacity(6))));
}

#[test]
fn k_a_thread_reads_its_own_writes_at_once() {
    finishes(|| {
        let rig = Rig::new(lazy().batch_writes_max(3));
        for write in 0..100 {
            for part in 0..write % 8 {
                drop(rig.write(part, write * 10 + part));
            }
            for part in 0..write % 8 {
                assert_eq!(rig.read(part), write * 10 + part);
            }
        }
        assert_eq!(rig.disk.count(Call::Sync), 0, "a read makes nothing durable");
        assert_eq!(rig.pipe.durable_epoch(), 0);
    });
}

#[test]
fn k_a_read_does_not_wait_for_a_sync() {
    finishes(|| {
        let rig = Rig::lazy();
        rig.disk.hold(Call::Sync);
        let ticket = rig.write(0, 1);
        let waiter = thread::spawn(move || ticket.wait());
        rig.disk.wait_until_held(Call::Sync);
        assert_eq!(rig.read(0), 1);
        drop(rig.write(0, 2));
        assert_eq!(rig.read(0), 2);
        rig.disk.release();
        assert!(waiter.join().unwrap().is_ok());
    });
}

#[test]
fn k_a_read_does_not_hold_up_writers() {
    finishes(|| {
        let rig = Arc::new(Rig::lazy());
        rig.disk.hold(Call::Read);
        let reader = {
            let rig = Arc::clone(&rig);
            thread::spawn(move || rig.read(0))
        };
        rig.disk.wait_until_held(Call::Read);
        for slot in 0..100 {
            drop(rig.write(slot, 9));
        }
        rig.disk.release();
        assert_eq!(reader.join().unwrap(), 0, "those came after the read began");
    });
}

/// The bug: what was accepted when the read began was whole, and the part of a later write that
/// another thread's batch had left when it failed was shown beside it. Whether the batch comes
/// between the read's look at the queue and its look at the file is up to the scheduler;
/// `tests/shuttle.rs` makes sure.
#[test]
fn k_a_read_that_meets_a_failing_batch_shows_no_part_of_it() {
    for _ in 0..30 {
        finishes(|| {
            let rig = Rig::lazy();
            // The reader's own batch, then one of four slots of which one gets through.
            rig.disk.fail(Call::Write, 1, Fault::Short(SLOT));
            rig.disk.fail(Call::Write, 2, Fault::Errno(EIO));
            rig.disk.hold(Call::Write);
            drop(rig.write(0, 1));
            let pipe = Arc::clone(&rig.pipe);
            let reader = thread::spawn(move || {
                let mut back = vec![0; SLOT * 4];
                pipe.read(0, &mut back).map(|()| back)
            });
            rig.disk.wait_until_held(Call::Write);
            let ticket = rig.pipe.write(rig.request(0, 4, 2)).unwrap();
            let leader = thread::spawn(move || ticket.wait());
            rig.disk.release();

            let failure = leader.join().unwrap().unwrap_err();
            match reader.join().unwrap() {
                Ok(back) => assert_eq!([0, 1, 2, 3].map(|slot| tag_at(&back, slot)), [1, 0, 0, 0], "half of a write"),
                Err(error) => assert_eq!(error.id(), failure.id()),
            }
            assert_eq!(rig.pipe.failure().expect("it stopped").id(), failure.id());
            assert!(rig.pipe.is_closed());
        });
    }
}

/// The disk shows the first `bytes` of a write while a reader that came before that write looks at it.
fn a_read_beside_the_first(rig: &Rig, bytes: usize) -> Result<[u64; 4], PipeError> {
    rig.write(0, 1).wait().unwrap();
    rig.disk.hold(Call::Read);
    rig.disk.hold(Call::Write);
    rig.disk.fail(Call::Write, 1, Fault::Short(bytes));
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut back = vec![0; SLOT * 4];
            rig.pipe.read(0, &mut back)?;
            Ok([0, 1, 2, 3].map(|slot| tag_at(&back, slot)))
        });
        rig.disk.wait_until_held(Call::Read);
        let ticket = rig.pipe.write(rig.request(0, 4, 2)).unwrap();
        let leader = scope.spawn(move || ticket.wait());
        rig.disk.let_one_pass(Call::Write);
        until(|| rig.disk.ended(Call::Write) == 2);
        assert_eq!(rig.disk.cache()[bytes - 8], 2);
        assert_eq!(rig.disk.cache()[bytes], 0, "the rest is not written");
        rig.disk.let_one_pass(Call::Read);
        until(|| rig.disk.ended(Call::Read) == 1);
        rig.disk.release();
        assert!(leader.join().unwrap().is_ok());
        reader.join().unwrap()
    })
}

#[test]
fn k_a_read_that_saw_the_first_slots_of_a_write_reads_again() {
    finishes(|| assert_eq!(a_read_beside_the_first(&Rig::lazy(), 2 * SLOT).unwrap(), [2; 4]));
}

#[test]
fn k_a_read_that_saw_a_part_of_a_slot_reads_again() {
    finishes(|| assert_eq!(a_read_beside_the_first(&Rig::lazy(), SLOT + 16).unwrap(), [2; 4]));
}

#[test]
fn k_a_second_look_that_fails_is_an_error_and_no_torn_read() {
    finishes(|| {
        let rig = Rig::lazy();
        rig.disk.fail(Call::Read, 1, Fault::Errno(EIO));
        let error = a_read_beside_the_first(&rig, SLOT).unwrap_err();
        assert_eq!(*error.kind(), PipeErrorKind::ReadFailed { slot_index: 0, count: 4 });
        assert_eq!(rig.read(3), 2, "the pipe goes on");
    });
}

/// With a failed sync some file systems show the old bytes again.
#[test]
fn k_after_a_failed_sync_a_read_returns_the_failure() {
    finishes(|| {
        let rig = Rig::lazy();
        rig.write(0, 1).wait().unwrap();
        rig.disk.fail(Call::Sync, 1, Fault::Errno(EIO));
        rig.write(1, 2).wait().unwrap_err();
        let failure = rig.pipe.read(0, &mut [0; SLOT]).unwrap_err();
        assert!(failure.kind().is_poison(), "{failure}");
    });
}

/// What a sync that panicked has done is as unknown as that of one that failed.
#[test]
fn k_after_a_sync_that_panicked_a_read_returns_the_failure() {
    finishes(|| {
        let rig = Rig::lazy();
        rig.write(0, 1).wait().unwrap();
        rig.disk.fail(Call::Sync, 1, Fault::Panic);
        rig.write(1, 2).wait().unwrap_err();
        let failure = rig.pipe.read(1, &mut [0; SLOT]).unwrap_err();
        assert_eq!(failure.id(), rig.pipe.failure().expect("it stopped").id());
    });
}

/// Found beside a disk with slow reads: the read held the lock under which batches are written.
#[test]
fn k_a_read_that_waits_for_the_disk_holds_no_commit_up() {
    finishes(|| {
        let rig = Rig::lazy();
        rig.write(0, 7).wait().unwrap();
        rig.disk.hold(Call::Read);
        thread::scope(|scope| {
            let readers: Vec<_> = (0..2).map(|_| scope.spawn(|| rig.read(0))).collect();
            rig.disk.wait_until_held(Call::Read);
            for write in 1..20 {
                rig.write(write, write).wait().unwrap();
            }
            rig.disk.release();
            readers.into_iter().for_each(|reader| assert_eq!(reader.join().unwrap(), 7));
        });
    });
}
