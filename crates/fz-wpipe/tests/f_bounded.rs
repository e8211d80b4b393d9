//! Promise F: the queue's capacity is exact; at the limit the caller waits, is refused or is woken
//! asynchronously, as it asked. No wake-up is lost, and a full queue empties by itself.

mod disk;
mod rig;
mod watchdog;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::thread;

use disk::{Call, EIO, Fault};
use fz_wpipe::{PipeErrorKind, WriteTicket};
use rig::{Rig, lazy, tag_at};
use watchdog::{finishes, until};

/// A pipe with an empty queue that nobody empties: a write under way is held. By the flusher thread, as a thread that
/// waits would make room, and take the next writes out of the queue.
fn stuck(capacity: usize) -> (Arc<Rig>, WriteTicket) {
    let rig = Arc::new(Rig::new(lazy().queue_capacity(capacity)));
    rig.disk.hold(Call::Write);
    let mut ticket = rig.write(0, 1);
    assert!(pin!(&mut ticket).poll(&mut Context::from_waker(Waker::noop())).is_pending());
    rig.disk.wait_until_held(Call::Write);
    (rig, ticket)
}

fn fill(rig: &Rig, capacity: usize) {
    for slot in 1..=u64::try_from(capacity).unwrap() {
        drop(rig.pipe.try_write(rig.request(slot, 1, slot + 1)).expect("there is room"));
    }
}

#[test]
fn f_the_queue_holds_exactly_its_capacity() {
    finishes(|| {
        for capacity in [1, 2, 3, 7, 64] {
            let (rig, held) = stuck(capacity);
            fill(&rig, capacity);
            assert_eq!(rig.pipe.stats().queue_depth, capacity as u64 + 1, "and one that is being written");
            let rejected = rig.pipe.try_write(rig.request(0, 1, 77)).expect_err("it is full");
            assert_eq!(*rejected.error.kind(), PipeErrorKind::QueueFull { capacity });
            assert_eq!(tag_at(rejected.request.allocation.as_slice(), 0), 77);
            rig.disk.release();
            drop(held.wait());
            let ticket = rig.pipe.write(rejected.request).unwrap();
            assert_eq!(ticket.wait().unwrap(), capacity as u64 + 2);
        }
    });
}

#[test]
fn f_whoever_waits_for_room_gets_it() {
    finishes(|| {
        let (rig, held) = stuck(2);
        fill(&rig, 2);
        let writers: Vec<_> = (0..20_u64)
            .map(|id| {
                let rig = Arc::clone(&rig);
                thread::spawn(move || {
                    let request = rig.request(100 + id, 1, id);
                    if id % 2 == 0 {
                        rig.pipe.write(request).unwrap()
                    } else {
                        pollster::block_on(rig.pipe.write_async(request)).unwrap()
                    }
                })
            })
            .collect();
        rig.disk.release();
        for writer in writers {
            writer.join().unwrap().wait().unwrap();
        }
        drop(held.wait());
        assert_eq!(rig.pipe.close().unwrap(), 23);
    });
}

#[test]
fn f_a_cancelled_wait_for_room_passes_its_place_on() {
    finishes(|| {
        let (rig, held) = stuck(1);
        fill(&rig, 1);
        let mut context = Context::from_waker(Waker::noop());
        {
            let mut cancelled = pin!(rig.pipe.write_async(rig.request(5, 1, 5)));
            assert!(cancelled.as_mut().poll(&mut context).is_pending());
        }
        let other = {
            let rig = Arc::clone(&rig);
            thread::spawn(move || rig.pipe.write(rig.request(6, 1, 6)).unwrap().wait().unwrap())
        };
        rig.disk.release();
        assert_eq!(other.join().unwrap(), 3, "the cancelled write took no epoch");
        drop(held.wait());
        assert_eq!(tag_at(&rig.disk.stable(), 5), 0, "and was not written");
    });
}

#[test]
fn f_a_write_that_waits_for_room_may_move_to_another_thread() {
    finishes(|| {
        let (rig, held) = stuck(1);
        fill(&rig, 1);
        let mut waiting = Box::pin(rig.pipe.write_async(rig.request(5, 1, 5)));
        assert!(waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        thread::scope(|scope| {
            let mover = scope.spawn(|| pollster::block_on(waiting).unwrap().wait().unwrap());
            rig.disk.release();
            assert_eq!(mover.join().unwrap(), 3);
        });
        drop(held.wait());
        assert_eq!(tag_at(&rig.disk.stable(), 5), 5);
    });
}

/// Writers blocked on a full queue when the pipe ends, with the kind of error that they must get.
fn released_with_their_requests(end: impl FnOnce(&Rig), is_expected: impl Fn(&PipeErrorKind) -> bool) {
    let (rig, held) = stuck(1);
    fill(&rig, 1);
    let mut context = Context::from_waker(Waker::noop());
    // In line before the others, so that none of them can be in the queue by chance.
    let mut asynchronous = pin!(rig.pipe.write_async(rig.request(50, 1, 50)));
    assert!(asynchronous.as_mut().poll(&mut context).is_pending());
    let writers: Vec<_> = (0..6_u64)
        .map(|id| {
            let rig = Arc::clone(&rig);
            thread::spawn(move || {
                let request = rig.request(100 + id, 1, id);
                let outcome = if id % 2 == 0 {
                    rig.pipe.write(request)
                } else {
                    pollster::block_on(rig.pipe.write_async(request))
                };
                outcome
                    .map(drop)
                    .map_err(|rejected| (tag_at(rejected.request.allocation.as_slice(), 0), rejected.error))
            })
        })
        .collect();
    end(&rig);
    for (writer, id) in writers.into_iter().zip(0..) {
        let (tag, error) = writer.join().unwrap().expect_err("the line is behind the one that is never polled");
        assert_eq!(tag, id);
        assert!(is_expected(error.kind()), "{error}");
    }
    let rejected = pollster::block_on(asynchronous).expect_err("the pipe has ended");
    assert_eq!(rejected.request.slot_index, 50);
    assert!(is_expected(rejected.error.kind()), "{}", rejected.error);
    drop(held.wait());
}

#[test]
fn f_a_failure_releases_who_waits_for_room() {
    finishes(|| {
        let end = |rig: &Rig| {
            rig.disk.fail(Call::Write, 0, Fault::Errno(EIO));
            rig.disk.release();
        };
        released_with_their_requests(end, PipeErrorKind::is_poison);
    });
}

#[test]
fn f_a_close_releases_who_waits_for_room() {
    finishes(|| {
        let end = |rig: &Rig| {
            // Closing waits for the write that is held.
            let disk = rig.disk.clone();
            let pipe = Arc::clone(&rig.pipe);
            let closer = thread::spawn(move || pipe.close().unwrap());
            let closed = |rig: &Rig| {
                let outcome = rig.pipe.try_write(rig.request(0, 1, 0));
                outcome.is_err_and(|rejected| *rejected.error.kind() == PipeErrorKind::Closed)
            };
            until(|| closed(rig));
            disk.release();
            assert_eq!(closer.join().unwrap(), 2);
        };
        released_with_their_requests(end, |kind| *kind == PipeErrorKind::Closed);
    });
}

#[test]
fn f_a_full_queue_empties_though_nobody_waits() {
    finishes(|| {
        for capacity in [1, 2, 3, 5, 8, 100] {
            let rig = Rig::new(lazy().queue_capacity(capacity));
            for write in 0..20 * capacity as u64 {
                drop(rig.write(write % 256, write));
            }
            let rig = Rig::new(lazy().queue_capacity(capacity));
            pollster::block_on(async {
                for write in 0..20 * capacity as u64 {
                    drop(rig.pipe.write_async(rig.request(write % 256, 1, write)).await.unwrap());
                }
            });
        }
    });
}

#[test]
fn f_a_request_that_waits_already_gets_the_memory_that_is_written_then() {
    finishes(|| {
        let rig = Rig::lazy();
        let small = rig::pool(1);
        let allocation = rig::tagged(small.allocate(1).unwrap(), 1);
        let mut waiting = std::pin::pin!(small.allocate_async(1));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(waiting.as_mut().poll(&mut context).is_pending());
        drop(rig.pipe.write(fz_wpipe::WriteRequest { allocation, slot_index: 0 }).unwrap());
        drop(pollster::block_on(waiting).unwrap());
    });
}

#[test]
fn i_a_pipe_without_work_is_not_woken_for_memory_that_another_holds() {
    finishes(|| {
        let (holder, idle) = (Rig::lazy(), Rig::lazy());
        let small = rig::pool(1);
        for rig in [&idle, &holder] {
            let allocation = rig::tagged(small.allocate(1).unwrap(), 1);
            let ticket = rig.pipe.write(fz_wpipe::WriteRequest { allocation, slot_index: 0 }).unwrap();
            if std::ptr::eq(rig, &raw const idle) {
                ticket.wait().unwrap();
            }
        }
        let wakeups = || idle.pipe.stats().wakeups;
        let before = wakeups();
        drop(small.allocate(1).unwrap());
        // Not its count of batches, which follows when the memory is back already.
        assert_eq!(holder.disk.count(Call::Write), 1, "the holder gave its memory back");
        // A call that it should not get would have come before the holder's, or with it; its flusher
        // then has the time of some rounds of the other to wake.
        for write in 0..20 {
            holder.write(1, write).wait().unwrap();
        }
        assert_eq!(wakeups(), before, "the other has nothing to do with it");
    });
}

#[test]
fn f_memory_comes_back_though_nobody_waits() {
    finishes(|| {
        // The lazy pipe's interval does not help.
        let rig = Rig::lazy();
        let small = rig::pool(3);
        for write in 0..200_u64 {
            let allocation = rig::tagged(small.allocate(2).unwrap(), write);
            drop(rig.pipe.write(fz_wpipe::WriteRequest { allocation, slot_index: write % 200 }).unwrap());
        }
        rig.pipe.close().unwrap();
        assert_eq!(small.stats().in_use, 0);
    });
}

#[test]
fn f_a_write_with_a_time_limit_waits_for_room_and_is_given_back_when_it_is_over() {
    finishes(|| {
        let rig = Rig::new(rig::lazy().queue_capacity(2));
        rig.disk.hold(Call::Write);
        let first = rig.write(0, 1);
        // By the flusher thread, see `stuck`.
        rig.disk.wait_until_held(Call::Write);
        // What is being written has left the queue.
        let fill = || rig.pipe.try_write(rig.request(1, 1, 2));
        while fill().is_ok() {}
        let brief = std::time::Duration::from_millis(1);
        let rejected = rig.pipe.write_timeout(rig.request(2, 1, 3), brief).unwrap_err();
        assert!(matches!(rejected.error.kind(), fz_wpipe::PipeErrorKind::QueueFull { capacity: 2 }));
        let request = rejected.request;
        assert_eq!((request.slot_index, rig::tag_of(request.allocation.as_slice())), (2, 3), "it comes back whole");

        let pipe = std::sync::Arc::clone(&rig.pipe);
        let waiter = std::thread::spawn(move || pipe.write_timeout(request, rig::NEVER).map(|ticket| ticket.wait()));
        rig.disk.release();
        assert!(waiter.join().unwrap().unwrap().is_ok(), "there was room in time");
        assert!(first.wait().is_ok());
        rig.pipe.close().unwrap();
        assert_eq!(rig.read(2), 3);
        let late = rig.pipe.write_timeout(rig.request(3, 1, 4), brief).unwrap_err();
        assert!(matches!(late.error.kind(), fz_wpipe::PipeErrorKind::Closed));
    });
}
