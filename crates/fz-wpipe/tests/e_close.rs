//! Promise E: `close()` and drop make everything accepted durable; `close()` reports the result. A
//! write that races with it is either accepted, and then durable, or given back.

mod disk;
mod rig;
mod watchdog;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use disk::{Call, EIO, Fault};
use fz_wpipe::{PipeErrorKind, WritePipeConfig};
use rig::{Rig, SLOT, lazy, tag_at, tagged};
use watchdog::{finishes, until};

/// Writers run into the close, blocked on a full queue among others.
fn close_under_fire(config: WritePipeConfig, closers: usize) {
    let rig = Arc::new(Rig::new(config));
    let accepted = Arc::new(AtomicU64::new(0));
    let writers: Vec<_> = (0..4_u64)
        .map(|writer| {
            let (rig, accepted) = (Arc::clone(&rig), Arc::clone(&accepted));
            thread::spawn(move || {
                let mut last = None;
                for step in 0.. {
                    let (slot, tag) = (writer * 64 + step % 32, step + 1);
                    let request = rig.request(slot, 2, tag);
                    let outcome = match step % 3 {
                        0 => rig.pipe.write(request),
                        1 => rig.pipe.try_write(request),
                        _ => pollster::block_on(rig.pipe.write_async(request)),
                    };
                    match outcome {
                        Ok(ticket) => {
                            accepted.fetch_add(1, Ordering::SeqCst);
                            last = Some((ticket, slot, tag));
                        }
                        Err(rejected) if matches!(rejected.error.kind(), PipeErrorKind::QueueFull { .. }) => {}
                        Err(rejected) => {
                            assert_eq!(*rejected.error.kind(), PipeErrorKind::Closed);
                            assert_eq!(rejected.request.slot_index, slot);
                            let same = tagged(rig.pool.allocate(2).unwrap(), tag);
                            assert_eq!(rejected.request.allocation.as_slice(), same.as_slice());
                            return last;
                        }
                    }
                }
                None
            })
        })
        .collect();
    until(|| accepted.load(Ordering::SeqCst) > 200);
    let closers: Vec<_> = (0..closers)
        .map(|_| {
            let rig = Arc::clone(&rig);
            thread::spawn(move || rig.pipe.close().unwrap())
        })
        .collect();
    let results: Vec<u64> = closers.into_iter().map(|closer| closer.join().unwrap()).collect();
    let stable = rig.disk.stable();
    for writer in writers {
        let Some((ticket, slot, tag)) = writer.join().unwrap() else { continue };
        assert!(ticket.is_durable(), "epoch {} was accepted", ticket.epoch());
        assert_eq!(tag_at(&stable, slot), tag);
    }
    let accepted = accepted.load(Ordering::SeqCst);
    assert!(results.iter().all(|durable| *durable == accepted), "{results:?}, {accepted} were accepted");
    assert_eq!(rig.pipe.stats().accepted, accepted);
}

#[test]
fn e_a_write_that_races_with_close_is_durable_or_given_back() {
    finishes(|| (0..10).for_each(|_| close_under_fire(lazy(), 1)));
}

#[test]
fn e_a_write_blocked_on_a_full_queue_is_durable_or_given_back() {
    finishes(|| (0..10).for_each(|_| close_under_fire(lazy().queue_capacity(4).batch_writes_max(2), 1)));
}

#[test]
fn e_closing_at_once_from_many_threads_gives_one_result() {
    finishes(|| (0..10).for_each(|_| close_under_fire(WritePipeConfig::new(), 5)));
}

#[test]
fn e_close_makes_unawaited_writes_durable() {
    finishes(|| {
        let rig = Rig::lazy();
        (0..100).for_each(|slot| drop(rig.write(slot, slot + 1)));
        assert_eq!(rig.pipe.close().unwrap(), 100);
        assert_eq!(rig.pipe.close().unwrap(), 100, "closing again is harmless");
        let stable = rig.disk.stable();
        assert!((0..100).all(|slot| tag_at(&stable, slot) == slot + 1));
    });
}

#[test]
fn e_drop_makes_unawaited_writes_durable_and_closes_the_file() {
    finishes(|| {
        let rig = Rig::new(lazy().batch_writes_max(7));
        let tickets: Vec<_> = (0..100).map(|slot| rig.write(slot, slot + 1)).collect();
        let Rig { disk, file, pool, pipe } = rig;
        drop(pipe);
        let stable = disk.stable();
        assert!((0..100).all(|slot| tag_at(&stable, slot) == slot + 1));
        assert_eq!(pool.stats().in_use, 0, "all memory came back");
        assert_eq!(Arc::strong_count(&file), 1, "tickets do not keep the file");
        drop(file);
        assert_eq!(disk.handles(), 0);
        assert!(tickets.iter().all(fz_wpipe::WriteTicket::is_durable));
    });
}

#[test]
fn e_an_unused_pipe_closes() {
    finishes(|| {
        let rig = Rig::lazy();
        assert_eq!(rig.pipe.close().unwrap(), 0);
        assert_eq!((rig.disk.count(Call::Write), rig.disk.count(Call::Sync)), (0, 0));
        drop(Rig::new(WritePipeConfig::new()));
    });
}

#[test]
fn e_a_closed_pipe_gives_back_and_can_be_read() {
    finishes(|| {
        let rig = Rig::new(lazy().module_id(5));
        drop(rig.write(3, 8));
        rig.pipe.close().unwrap();
        let rejected = rig.pipe.write(rig.request(1, 1, 2)).unwrap_err();
        assert_eq!(*rejected.error.kind(), PipeErrorKind::Closed);
        assert_eq!(rejected.error.module_id(), 5);
        assert_eq!(tag_at(rejected.request.allocation.as_slice(), 0), 2);
        assert_eq!(rig.read(3), 8);
        assert_eq!(rig.pipe.sync().wait().unwrap(), 1);
        assert_eq!(rig.pipe.durable_epoch(), 1);
    });
}

#[test]
fn e_close_reports_that_the_tail_was_lost() {
    finishes(|| {
        for call in [Call::Write, Call::Sync] {
            let rig = Rig::lazy();
            rig.write(0, 1).wait().unwrap();
            rig.disk.fail(call, 1, Fault::Errno(EIO));
            drop(rig.write(1, 2));
            let error = rig.pipe.close().unwrap_err();
            assert!(error.kind().is_poison());
            assert_eq!(error.raw_os_error(), Some(EIO));
            assert_eq!(rig.pipe.close().unwrap_err().id(), error.id());
            assert_eq!(rig.pipe.write(rig.request(1, 1, 2)).unwrap_err().error.id(), error.id());
        }
    });
}

#[test]
fn e_a_drop_while_others_wait() {
    finishes(|| {
        let rig = Rig::lazy();
        rig.disk.hold(Call::Sync);
        let tickets: Vec<_> = (0..9).map(|slot| rig.write(slot, 1)).collect();
        let waiters: Vec<_> = tickets
            .into_iter()
            .map(|ticket| {
                thread::spawn(move || match ticket.epoch() % 3 {
                    0 => ticket.wait(),
                    1 => ticket.wait_timeout(rig::NEVER),
                    _ => pollster::block_on(ticket),
                })
            })
            .collect();
        rig.disk.wait_until_held(Call::Sync);
        let (disk, pipe) = (rig.disk.clone(), rig.pipe);
        let closer = thread::spawn(move || drop(pipe));
        disk.release();
        closer.join().unwrap();
        waiters.into_iter().for_each(|waiter| assert_eq!(waiter.join().unwrap().unwrap(), 9));
    });
}

#[test]
fn e_a_reader_beside_close_is_served() {
    finishes(|| {
        for _ in 0..20 {
            let rig = Arc::new(Rig::lazy());
            (0..64).for_each(|slot| drop(rig.write(slot, slot + 1)));
            let reader = {
                let rig = Arc::clone(&rig);
                thread::spawn(move || {
                    let mut back = [0; SLOT * 64];
                    rig.pipe.read(0, &mut back).unwrap();
                    (0..64).for_each(|slot| assert_eq!(tag_at(&back, slot), slot + 1));
                })
            };
            rig.pipe.close().unwrap();
            reader.join().unwrap();
        }
    });
}
