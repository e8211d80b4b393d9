//! One test for each mistake that a write pipeline is known to have made (or, at the end, that this
//! one made), as far as it is the pipe's to make. Mistakes of the file, the pool and the queue have
//! their tests in those crates.

mod disk;
mod rig;
mod watchdog;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use disk::{Call, EIO, ENOSPC, Fault};
use futures_util::future::join_all;
use fz_bufpool::{BufPool, BufPoolConfig, BufferSize};
use fz_wpipe::{PipeErrorKind, WritePipeConfig, WriteRequest};
use rig::{NEVER, Rig, SLOT, SLOTS, lazy, tag_at, tagged};
use watchdog::{finishes, until};

/// Mistake 1. The queue was drained newest first and written in that order: of two writes to one
/// slot in one batch the older one survived.
#[test]
fn b_the_newer_of_two_writes_in_one_batch_survives() {
    finishes(|| {
        for round in 0..100 {
            let rig = Rig::lazy();
            drop(rig.write(round, 1));
            rig.write(round, 2).wait().unwrap();
            assert_eq!(rig.disk.count(Call::Sync), 1, "one batch");
            assert_eq!(tag_at(&rig.disk.stable(), round), 2);
        }
    });
}

/// Mistake 2. The epoch was taken before the push, so that a batch could carry epoch 2 without
/// epoch 1, and ticket 1 resolved though its bytes were never written; and the durable epoch could
/// go back.
#[test]
fn a_under_many_threads_no_epoch_is_skipped_and_the_durable_epoch_only_grows() {
    finishes(|| {
        let rig = Arc::new(Rig::new(WritePipeConfig::new()));
        let is_over = Arc::new(AtomicBool::new(false));
        let observer = {
            let (rig, is_over) = (Arc::clone(&rig), Arc::clone(&is_over));
            thread::spawn(move || {
                let mut before = 0;
                while !is_over.load(Ordering::SeqCst) {
                    let now = rig.pipe.durable_epoch();
                    assert!(now >= before, "back from {before} to {now}");
                    before = now;
                }
            })
        };
        let writers: Vec<_> = (0..8_u64)
            .map(|writer| {
                let rig = Arc::clone(&rig);
                thread::spawn(move || {
                    for step in 0..100 {
                        let slot = writer * 32 + step % 32;
                        rig.write(slot, step + 1).wait().unwrap();
                        assert_eq!(tag_at(&rig.disk.stable(), slot), step + 1);
                    }
                })
            })
            .collect();
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        is_over.store(true, Ordering::SeqCst);
        observer.join().unwrap();
        assert_eq!(rig.pipe.durable_epoch(), 800);
    });
}

/// Mistake 3. All tickets shared one waker cell: of two waiters one slept for ever, and `join_all` of
/// 40 tickets hung in one thread.
#[test]
fn d_forty_tickets_in_one_thread_and_two_tasks_on_one_ticket_resolve() {
    finishes(|| {
        let rig = Rig::lazy();
        let tickets: Vec<_> = (0..40).map(|slot| rig.write(slot, 1)).collect();
        assert!(futures_executor::block_on(join_all(tickets)).into_iter().all(|outcome| outcome.is_ok()));

        rig.disk.hold(Call::Sync);
        let ticket = rig.write(0, 2);
        let waiters: Vec<_> = (0..2)
            .map(|_| {
                let ticket = ticket.clone();
                thread::spawn(move || pollster::block_on(ticket).unwrap())
            })
            .collect();
        rig.disk.wait_until_held(Call::Sync);
        rig.disk.release();
        waiters.into_iter().for_each(|waiter| assert_eq!(waiter.join().unwrap(), 41));
    });
}

/// Mistake 4. The error cell was freed while another thread cloned out of it.
#[test]
fn c_many_threads_may_take_the_error_at_once() {
    finishes(|| {
        let rig = Arc::new(Rig::lazy());
        rig.disk.fail(Call::Sync, 0, Fault::Errno(EIO));
        let error = rig.write(0, 1).wait().unwrap_err();
        let takers: Vec<_> = (0..8)
            .map(|_| {
                let rig = Arc::clone(&rig);
                thread::spawn(move || {
                    let take = |_| rig.pipe.write(rig.request(0, 1, 1)).unwrap_err().error;
                    (0..300).map(take).map(|error| (error.id(), error.to_string(), error.raw_os_error())).next_back()
                })
            })
            .collect();
        let expected = Some((error.id(), error.to_string(), Some(EIO)));
        assert!(takers.into_iter().all(|taker| taker.join().unwrap() == expected));
    });
}

/// Mistake 5. After a failed batch its writes were dropped; the next good batch raised the durable
/// epoch past them and cleared the error. A failed sync was tried again, and its success declared
/// what the kernel had dropped.
#[test]
fn c_no_later_batch_declares_a_failed_one_durable() {
    finishes(|| {
        for (call, errno) in [(Call::Write, EIO), (Call::Sync, ENOSPC)] {
            let rig = Arc::new(Rig::lazy());
            // Only this call fails: every later one would succeed.
            rig.disk.fail(call, 3, Fault::Errno(errno));
            let writers: Vec<_> = (0..4_u64)
                .map(|writer| {
                    let rig = Arc::clone(&rig);
                    thread::spawn(move || {
                        let mut lost = None;
                        for step in 0..50 {
                            let Ok(ticket) = rig.pipe.write(rig.request(writer * 40 + step % 20 * 2, 1, step)) else {
                                break;
                            };
                            if ticket.wait().is_err() {
                                lost = lost.or(Some(ticket));
                            }
                        }
                        lost
                    })
                })
                .collect();
            let lost: Vec<_> = writers.into_iter().filter_map(|writer| writer.join().unwrap()).collect();
            assert!(!lost.is_empty(), "the fault was met");
            let durable = rig.pipe.durable_epoch();
            for ticket in lost {
                assert!(ticket.epoch() > durable && !ticket.is_durable(), "{ticket:?} was lost");
                assert_eq!(ticket.wait().unwrap_err().raw_os_error(), Some(errno), "and stays so");
            }
            assert!(rig.pipe.close().is_err());
        }
    });
}

/// Mistake 6. Each write took a read lock that the flusher held during write and sync: a
/// fire-and-forget write waited for the disk.
#[test]
fn a_write_does_not_wait_for_the_disk() {
    finishes(|| {
        for call in [Call::Write, Call::Sync] {
            let rig = Rig::lazy();
            rig.disk.hold(call);
            let ticket = rig.write(0, 1);
            let waiter = thread::spawn(move || ticket.wait());
            rig.disk.wait_until_held(call);
            // The disk stands still for as long as these take.
            let tickets: Vec<_> = (0..1000).map(|write| rig.write(write % SLOTS, write)).collect();
            assert_eq!(tickets.last().map(fz_wpipe::WriteTicket::epoch), Some(1001));
            assert_eq!(rig.pipe.durable_epoch(), 0);
            rig.disk.release();
            waiter.join().unwrap().unwrap();
        }
    });
}

/// Mistake 8. An awaited write waited out the flush interval though the disk was idle, and so did
/// the drop, which also hid that the last batch failed.
#[test]
fn d_neither_an_awaited_write_nor_a_close_waits_for_the_interval() {
    finishes(|| {
        // Would be an hour.
        let rig = Rig::new(WritePipeConfig::new().flush_interval(NEVER));
        rig.write(0, 1).wait().unwrap();
        pollster::block_on(rig.write(1, 2)).unwrap();
        rig.write(2, 3).wait_timeout(NEVER).unwrap();
        rig.disk.fail(Call::Sync, 3, Fault::Errno(EIO));
        drop(rig.write(3, 4));
        assert_eq!(rig.pipe.close().unwrap_err().raw_os_error(), Some(EIO), "the last batch's failure is told");
    });
}

/// Mistake 9. A buffer of another size was read out of bounds; `slot_index * size` wrapped and
/// overwrote slot 3; a write past the end grew the file; one bad index poisoned everybody.
#[test]
fn g_one_bad_request_harms_nobody() {
    finishes(|| {
        let rig = Rig::lazy();
        rig.write(3, 33).wait().unwrap();
        let other = BufPool::new(BufPoolConfig::new(BufferSize::S8, 64)).unwrap();
        let bad = [
            WriteRequest { allocation: tagged(other.allocate(1).unwrap(), 1), slot_index: 3 },
            rig.request((1 << 58) + 3, 1, 1),
            rig.request(SLOTS, 1, 1),
            rig.request(u64::MAX, 1, 1),
        ];
        for request in bad {
            assert!(!rig.pipe.write(request).unwrap_err().error.kind().is_poison());
        }
        assert_eq!(rig.write(4, 44).wait().unwrap(), 2);
        assert_eq!((rig.read(3), rig.read(4)), (33, 44));
        assert_eq!(rig.disk.cache().len(), SLOT * usize::try_from(SLOTS).unwrap(), "the file did not grow");
    });
}

/// Mistake 9. A vectored write cut short in the middle of a buffer was resumed at the wrong byte,
/// and overwrote the neighbour slot with `Ok`.
#[test]
fn b_a_write_cut_short_anywhere_goes_on_at_that_byte() {
    finishes(|| {
        for cut in 1..SLOT * 4 {
            let rig = Rig::lazy();
            rig.write(9, 99).wait().unwrap();
            rig.disk.fail(Call::Write, 1, Fault::Short(cut));
            // Neighbours in the file, but not in memory.
            let apart: Vec<_> = (0..8).map(|tag| rig.request(5 + tag / 2, 1, tag)).collect();
            for (request, _) in apart.into_iter().zip(0..).filter(|(_, place)| place % 2 == 0) {
                drop(rig.pipe.write(request).unwrap());
            }
            rig.pipe.sync().wait().unwrap();
            let stable = rig.disk.stable();
            let tags: Vec<u64> = (4..10).map(|slot| tag_at(&stable, slot)).collect();
            assert_eq!(tags, [0, 0, 2, 4, 6, 99], "cut after {cut} bytes");
        }
    });
}

/// Mistake 9. A panic in the flusher left its tickets hanging while `write()` went on accepting.
#[test]
fn d_a_panic_in_the_flusher_is_told_to_everybody() {
    finishes(|| {
        for call in [Call::Write, Call::Sync] {
            let rig = Rig::new(WritePipeConfig::new());
            rig.disk.fail(call, 0, Fault::Panic);
            let unawaited = rig.write(0, 1);
            // Only the flusher thread is there to write it.
            until(|| rig.pipe.try_write(rig.request(1, 1, 1)).is_err());
            assert!(matches!(unawaited.wait().unwrap_err().kind(), PipeErrorKind::Panicked { .. }));
            assert!(matches!(rig.pipe.close().unwrap_err().kind(), PipeErrorKind::Panicked { .. }));
        }
    });
}

/// Mistake 10. Errors carried one module id for the whole process.
#[test]
fn g_each_pipe_signs_its_own_errors() {
    let pipes = [Rig::new(lazy().module_id(11)), Rig::new(lazy().module_id(12))];
    for (rig, id) in pipes.iter().zip([11, 12]) {
        assert_eq!(rig.pipe.write(rig.request(SLOTS, 1, 1)).unwrap_err().error.module_id(), id);
        assert_eq!(rig.pipe.read(SLOTS, &mut [0; SLOT]).unwrap_err().module_id(), id);
    }
}

/// Mistake 11. Adjacent slots were written by one call each.
#[test]
fn a_hundred_neighbours_are_written_together() {
    finishes(|| {
        let rig = Rig::lazy();
        (0..100).rev().for_each(|slot| drop(rig.write(slot, slot)));
        rig.pipe.close().unwrap();
        // The disk takes five buffers a call.
        assert!(rig.disk.count(Call::Write) <= 20, "{} calls", rig.disk.count(Call::Write));
        assert_eq!(rig.pipe.stats().ranges, 1);
    });
}

/// Own mistake. An interval beyond what a clock can express made the flusher thread panic when it
/// added it to the time, and with it the pipe.
#[test]
fn i_an_endless_interval_is_no_interval() {
    finishes(|| {
        let rig = Rig::new(WritePipeConfig::new().flush_interval(std::time::Duration::MAX));
        for slot in 0..4 {
            drop(rig.write(slot, 1));
            pollster::block_on(rig.write(slot, 2)).unwrap();
        }
        assert_eq!(rig.pipe.close().unwrap(), 8);
    });
}

/// Own mistake. The queue was closed after the tickets were told of a failure: who was told could
/// still get a write accepted, with a ticket that was lost already.
#[test]
fn c_who_is_told_of_a_failure_finds_every_later_write_refused() {
    finishes(|| {
        for round in 0..300 {
            let rig = Arc::new(Rig::lazy());
            rig.disk.fail(Call::Sync, 0, Fault::Errno(EIO));
            let writers: Vec<_> = (0..3)
                .map(|writer| {
                    let rig = Arc::clone(&rig);
                    thread::spawn(move || {
                        let told = match rig.pipe.write(rig.request(writer, 1, 1)) {
                            Ok(ticket) => ticket.wait().unwrap_err(),
                            Err(rejected) => rejected.error,
                        };
                        let refused = rig.pipe.write(rig.request(writer, 1, 2));
                        assert_eq!(refused.expect_err("it was told").error.id(), told.id(), "round {round}");
                    })
                })
                .collect();
            writers.into_iter().for_each(|writer| writer.join().unwrap());
        }
    });
}

/// Own mistake. A read that failed to write ahead left its batch counted as written until it
/// declared the failure; a leader in between synced, and declared the lost writes durable. (The
/// window is small here; `shuttle.rs` meets it at once.)
#[test]
fn c_a_leader_beside_a_failing_read_declares_nothing_lost_durable() {
    finishes(|| {
        for _ in 0..300 {
            let rig = Arc::new(Rig::lazy());
            rig.disk.fail(Call::Write, 0, Fault::Errno(EIO));
            rig.disk.hold(Call::Write);
            let lost = rig.write(0, 1);
            let reader = {
                let rig = Arc::clone(&rig);
                thread::spawn(move || rig.pipe.read(0, &mut [0; SLOT]).unwrap_err())
            };
            rig.disk.wait_until_held(Call::Write);
            let leader = thread::spawn(move || lost.wait());
            rig.disk.release();
            reader.join().unwrap();
            leader.join().unwrap().expect_err("its bytes were never written");
            assert_eq!(rig.pipe.durable_epoch(), 0);
        }
    });
}
