//! Promise D with wakers that misbehave. A waker is foreign code: it may panic, drop the pipe (a task
//! of an executor that is no more drops all that it owns when woken), or call into the pipe.

mod disk;
mod rig;
mod watchdog;

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

use disk::{Call, EIO, Fault};
use fz_bufpool::BufPool;
use fz_wpipe::{WritePipe, WritePipeConfig, WriteRequest, WriteTicket};
use rig::{Rig, lazy, tag_at, tagged};
use watchdog::{finishes, until};

/// Runs its body when first woken.
struct Once {
    body: Mutex<Option<Box<dyn FnOnce() + Send>>>,
    woken: AtomicUsize,
}

impl Once {
    fn new(body: impl FnOnce() + Send + 'static) -> (Arc<Self>, Waker) {
        let once = Arc::new(Self { body: Mutex::new(Some(Box::new(body))), woken: AtomicUsize::new(0) });
        (Arc::clone(&once), Waker::from(once))
    }

    fn woken(&self) -> bool {
        self.woken.load(Ordering::SeqCst) > 0
    }
}

impl Wake for Once {
    fn wake(self: Arc<Self>) {
        let body = self.body.lock().unwrap().take();
        if let Some(body) = body {
            // Counted also if it panics.
            struct Count<'a>(&'a AtomicUsize);
            impl Drop for Count<'_> {
                fn drop(&mut self) {
                    self.0.fetch_add(1, Ordering::SeqCst);
                }
            }
            let _count = Count(&self.woken);
            body();
        }
    }
}

fn poll(ticket: &mut WriteTicket, waker: &Waker) -> Poll<fz_wpipe::Result<u64>> {
    Pin::new(ticket).poll(&mut Context::from_waker(waker))
}

/// Who runs the round that wakes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leader {
    Flusher,
    BlockedThread,
}

const LEADERS: [Leader; 2] = [Leader::Flusher, Leader::BlockedThread];

/// So many that the first write does not call the flusher thread, and who is to lead does.
const ROOM: usize = 8;

fn narrow() -> WritePipeConfig {
    lazy().queue_capacity(ROOM)
}

/// Writes to a slot until the queue is full.
fn fill(rig: &Rig, slot_index: u64, tag: u64) -> WriteTicket {
    let [.., last] = [slot_index; ROOM].map(|slot_index| rig.write(slot_index, tag));
    last
}

/// A pipe with a write under way whose call is held, by the leader asked for; the ticket of it.
fn held(config: WritePipeConfig, call: Call, leader: Leader) -> (Rig, WriteTicket, Option<thread::JoinHandle<()>>) {
    let rig = Rig::new(config);
    rig.disk.hold(call);
    let mut ticket = rig.write(0, 1);
    let waiter = match leader {
        Leader::Flusher => {
            // A task's poll makes the flusher lead.
            assert!(poll(&mut ticket, Waker::noop()).is_pending());
            None
        }
        Leader::BlockedThread => {
            let ticket = ticket.clone();
            Some(thread::spawn(move || drop(ticket.wait())))
        }
    };
    rig.disk.wait_until_held(call);
    (rig, ticket, waiter)
}

#[test]
fn d_a_ticket_waker_that_panics_harms_nobody() {
    finishes(|| {
        for leader in LEADERS {
            let (rig, mut ticket, waiter) = held(lazy(), Call::Sync, leader);
            let (panics, waker) = Once::new(|| panic!("a waker panics"));
            let (sound, sound_waker) = Once::new(|| {});
            let mut other = ticket.clone();
            assert!(poll(&mut ticket, &waker).is_pending());
            assert!(poll(&mut other, &sound_waker).is_pending());
            rig.disk.release();
            until(|| panics.woken() && sound.woken());
            assert_eq!(rig.write(1, 2).wait().unwrap(), 2, "{leader:?}: the pipe goes on");
            assert_eq!(pollster::block_on(rig.write(2, 3)).unwrap(), 3);
            waiter.map(thread::JoinHandle::join).transpose().unwrap();
            rig.pipe.close().unwrap();
        }
    });
}

#[test]
fn d_a_ticket_waker_may_drop_the_pipe() {
    finishes(|| {
        for leader in LEADERS {
            let (rig, mut ticket, waiter) = held(lazy(), Call::Sync, leader);
            // Not covered by the round that wakes: the drop has something to do.
            let unawaited = rig.write(5, 55);
            let Rig { disk, file, pool: _pool, pipe } = rig;
            let (dropped, waker) = Once::new(move || drop(pipe));
            assert!(poll(&mut ticket, &waker).is_pending());
            disk.release();
            until(|| dropped.woken());
            assert!(unawaited.wait().is_ok());
            assert_eq!(tag_at(&disk.stable(), 5), 55, "{leader:?}");
            waiter.map(thread::JoinHandle::join).transpose().unwrap();
            until(|| Arc::strong_count(&file) == 1);
        }
    });
}

#[test]
fn d_a_ticket_waker_may_drop_the_pipe_when_it_fails() {
    finishes(|| {
        for (leader, call) in LEADERS.into_iter().zip([Call::Sync, Call::Write]) {
            let (rig, mut ticket, waiter) = held(lazy(), call, leader);
            rig.disk.fail(call, 0, Fault::Errno(EIO));
            let lost = rig.write(5, 55);
            let Rig { disk, file, pool: _pool, pipe } = rig;
            let (dropped, waker) = Once::new(move || drop(pipe));
            assert!(poll(&mut ticket, &waker).is_pending());
            disk.release();
            until(|| dropped.woken());
            assert!(lost.wait().is_err());
            waiter.map(thread::JoinHandle::join).transpose().unwrap();
            until(|| Arc::strong_count(&file) == 1);
        }
    });
}

#[test]
fn d_a_ticket_waker_may_use_the_pipe() {
    finishes(|| {
        for leader in LEADERS {
            let (rig, mut ticket, waiter) = held(lazy(), Call::Sync, leader);
            let pipe = Arc::clone(&rig.pipe);
            let allocation = tagged(rig.pool.allocate(1).unwrap(), 66);
            let result = Arc::new(Mutex::new(None));
            let (used, waker) = Once::new({
                let result = Arc::clone(&result);
                move || {
                    let mut ticket = pipe.write(WriteRequest { allocation, slot_index: 6 }).unwrap();
                    let _ = poll(&mut ticket, Waker::noop());
                    let mut back = [0; rig::SLOT];
                    pipe.read(6, &mut back).unwrap();
                    assert_eq!(rig::tag_of(&back), 66);
                    assert!(pipe.stats().accepted >= 2 && pipe.sync().epoch() >= 2);
                    // Even this, though it is no way to treat an executor.
                    assert!(ticket.wait().unwrap() >= 2);
                    *result.lock().unwrap() = Some(ticket);
                }
            });
            assert!(poll(&mut ticket, &waker).is_pending());
            rig.disk.release();
            until(|| used.woken());
            assert!(result.lock().unwrap().take().expect("the waker came through").is_durable(), "{leader:?}");
            waiter.map(thread::JoinHandle::join).transpose().unwrap();
        }
    });
}

#[test]
fn d_a_room_waker_that_panics_does_not_stop_the_pipe() {
    finishes(|| {
        for leader in LEADERS {
            let (rig, _ticket, waiter) = held(narrow(), Call::Write, leader);
            drop(fill(&rig, 1, 2));
            let (panics, waker) = Once::new(|| panic!("a waker panics"));
            let mut waiting = Box::pin(rig.pipe.write_async(rig.request(2, 1, 3)));
            assert!(waiting.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            rig.disk.release();
            until(|| panics.woken());
            let ticket = pollster::block_on(waiting).expect("the pipe goes on");
            assert!(ticket.wait().unwrap() >= 10, "{leader:?}");
            waiter.map(thread::JoinHandle::join).transpose().unwrap();
            assert_eq!(rig.pipe.close().unwrap(), 10);
        }
    });
}

/// The room is the waiting write's, so the waker would wait for the very batch that calls it.
#[test]
fn d_a_room_waker_that_waits_for_room_panics() {
    finishes(|| {
        for leader in LEADERS {
            let (rig, _ticket, waiter) = held(narrow(), Call::Write, leader);
            drop(fill(&rig, 1, 2));
            let (pipe, request) = (Arc::clone(&rig.pipe), rig.request(3, 1, 9));
            let (writes, waker) = Once::new(move || drop(pipe.write(request)));
            let mut waiting = [2; ROOM].map(|slot| Box::pin(rig.pipe.write_async(rig.request(slot, 1, 3))));
            for (number, waiting) in waiting.iter_mut().enumerate() {
                let waker = if number == 0 { &waker } else { Waker::noop() };
                assert!(waiting.as_mut().poll(&mut Context::from_waker(waker)).is_pending());
            }
            rig.disk.release();
            until(|| writes.woken());
            for waiting in waiting {
                assert!(pollster::block_on(waiting).expect("the pipe goes on").wait().unwrap() >= 10, "{leader:?}");
            }
            waiter.map(thread::JoinHandle::join).transpose().unwrap();
            assert_eq!(rig.pipe.close().unwrap(), 17, "the waker's write was not accepted");
        }
    });
}

/// Two of them: a second panic while the first one unwinds would abort the process.
#[test]
fn d_two_room_wakers_that_panic_stop_neither_the_pipe_nor_its_close() {
    finishes(|| {
        for closes in [false, true] {
            let (rig, _ticket, waiter) = held(narrow(), Call::Write, Leader::BlockedThread);
            drop(fill(&rig, 1, 2));
            let mut waiting = [3, 4].map(|slot| Box::pin(rig.pipe.write_async(rig.request(slot, 1, slot))));
            let panics = waiting.each_mut().map(|waiting| {
                let (panics, waker) = Once::new(|| panic!("a waker panics"));
                assert!(waiting.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
                panics
            });
            let closer = closes.then(|| {
                let pipe = Arc::clone(&rig.pipe);
                thread::spawn(move || pipe.close().unwrap())
            });
            if closes {
                // The close wakes them, not the drain.
                until(|| panics.iter().all(|panics| panics.woken()));
            }
            rig.disk.release();
            until(|| panics.iter().all(|panics| panics.woken()));
            for waiting in waiting {
                assert_eq!(pollster::block_on(waiting).is_err(), closes);
            }
            waiter.map(thread::JoinHandle::join).transpose().unwrap();
            closer.map(thread::JoinHandle::join).transpose().unwrap();
            assert_eq!(rig.pipe.close().unwrap(), if closes { 9 } else { 11 });
        }
    });
}

/// Of tasks that have nothing to do with the pipe, but that they wait for the memory of its writes.
#[test]
fn d_memory_wakers_that_panic_do_not_stop_the_pipe() {
    finishes(|| {
        for leader in LEADERS {
            let (rig, ticket, waiter) = held(lazy(), Call::Write, leader);
            // Of one batch: their memory is given back at once.
            let others = [1, 2].map(|slot| rig.write(slot, 10 * slot));
            let rest: Vec<_> = std::iter::from_fn(|| rig.pool.try_allocate(1).ok()).collect();
            let mut waiting = [(); 3].map(|()| rig.pool.allocate_async(1));
            let panics = waiting.each_mut().map(|waiting| {
                let (panics, waker) = Once::new(|| panic!("a waker panics"));
                assert!(Pin::new(waiting).poll(&mut Context::from_waker(&waker)).is_pending());
                panics
            });
            rig.disk.release();
            rig.pipe.sync().wait().unwrap();
            until(|| panics.iter().all(|panics| panics.woken()));
            assert!(ticket.wait().is_ok() && others.into_iter().all(|ticket| ticket.wait().is_ok()), "{leader:?}");
            drop(rest);
            waiting.into_iter().for_each(|waiting| drop(pollster::block_on(waiting).unwrap()));
            assert_eq!(rig.write(3, 30).wait().unwrap(), 4, "{leader:?}: the pipe goes on");
            waiter.map(thread::JoinHandle::join).transpose().unwrap();
            assert_eq!(tag_at(&rig.disk.stable(), 2), 20);
        }
    });
}

#[test]
fn d_a_room_waker_that_panics_does_not_keep_the_pipe_from_closing() {
    finishes(|| {
        let (rig, ticket, waiter) = held(narrow(), Call::Write, Leader::BlockedThread);
        drop(fill(&rig, 1, 2));
        let (panics, waker) = Once::new(|| panic!("a waker panics"));
        let mut waiting = Box::pin(rig.pipe.write_async(rig.request(2, 1, 3)));
        assert!(waiting.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        let (pipe, disk) = (Arc::clone(&rig.pipe), rig.disk.clone());
        let closer = thread::spawn(move || pipe.close());
        until(|| panics.woken());
        disk.release();
        assert_eq!(closer.join().unwrap().unwrap(), 9);
        assert!(pollster::block_on(waiting).is_err(), "it is given back");
        assert!(ticket.is_durable());
        waiter.map(thread::JoinHandle::join).transpose().unwrap();
    });
}

/// A future that owns the pipe, polled once with a waker that drops it: the executor is no more.
fn owner_dropped_when_woken(
    leader: Leader,
    fault: Option<Fault>,
    owner: impl FnOnce(Arc<WritePipe>, &BufPool, WriteRequest) -> Pin<Box<dyn Future<Output = ()> + Send>>,
) {
    let small = rig::pool(1);
    let rig = Rig::new(narrow());
    if let Some(fault) = fault {
        rig.disk.fail(Call::Write, 0, fault);
    }
    rig.disk.hold(Call::Write);
    // Under way when the future is polled; takes all of the small pool.
    let allocation = tagged(small.allocate(1).unwrap(), 11);
    let mut ticket = rig.pipe.write(WriteRequest { allocation, slot_index: 0 }).unwrap();
    let waiter = match leader {
        Leader::Flusher => {
            assert!(poll(&mut ticket, Waker::noop()).is_pending());
            None
        }
        Leader::BlockedThread => {
            let ticket = ticket.clone();
            Some(thread::spawn(move || drop(ticket.wait())))
        }
    };
    rig.disk.wait_until_held(Call::Write);
    // Takes all of the queue.
    let unawaited = fill(&rig, 1, 22);
    let request = rig.request(2, 1, 33);
    let Rig { disk, file, pool: _pool, pipe } = rig;
    let slot = Arc::new(Mutex::new(None));
    let (dropped, waker) = Once::new({
        let slot = Arc::clone(&slot);
        move || drop(slot.lock().unwrap().take())
    });
    let mut future = owner(pipe, &small, request);
    assert!(future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    *slot.lock().unwrap() = Some(future);
    disk.release();
    until(|| dropped.woken());
    if fault.is_some() {
        assert!(ticket.wait().is_err() && unawaited.wait().is_err(), "{leader:?}: everybody is told");
    } else {
        assert!(unawaited.wait().is_ok(), "{leader:?}: what was accepted is durable all the same");
        assert_eq!(tag_at(&disk.stable(), 1), 22);
        assert!(ticket.is_durable());
    }
    assert_eq!(tag_at(&disk.stable(), 2), 0, "the future's own write was given up with it");
    waiter.map(thread::JoinHandle::join).transpose().unwrap();
    // The flusher thread, which did the rest, lets the file go last of all.
    until(|| Arc::strong_count(&file) == 1);
}

#[test]
fn d_a_task_that_waits_for_room_may_die_with_the_pipe_when_woken() {
    finishes(|| {
        for leader in LEADERS {
            owner_dropped_when_woken(leader, None, |pipe, _, request| {
                Box::pin(async move { drop(pipe.write_async(request).await) })
            });
        }
    });
}

#[test]
fn d_a_task_that_waits_for_room_may_die_with_the_pipe_when_it_fails() {
    finishes(|| {
        for leader in LEADERS {
            owner_dropped_when_woken(leader, Some(Fault::Errno(EIO)), |pipe, _, request| {
                Box::pin(async move { drop(pipe.write_async(request).await) })
            });
        }
    });
}

#[test]
fn d_a_task_that_waits_for_memory_may_die_with_the_pipe_when_woken() {
    finishes(|| {
        for leader in LEADERS {
            owner_dropped_when_woken(leader, None, |pipe, small, _| {
                let memory = small.allocate_async(1);
                Box::pin(async move {
                    drop(memory.await);
                    drop(pipe);
                })
            });
        }
    });
}

/// Found with all of a pool's memory in the batch: the waker that was called when its memory came back waited for more
/// of it, on the thread that had yet to release it, and the pipe hung for ever.
#[test]
fn d_a_memory_waker_that_waits_for_memory_panics_and_the_pipe_goes_on() {
    finishes(|| {
        for leader in LEADERS {
            let rig = Rig::lazy();
            let small = rig::pool(2);
            let [first, second] = [0, 5].map(|slot_index| {
                let allocation = rig::tagged(small.allocate(1).unwrap(), slot_index + 1);
                rig.pipe.write(WriteRequest { allocation, slot_index }).unwrap()
            });
            let pool = small.clone();
            let (called, waker) = Once::new(move || drop(pool.allocate(2)));
            let mut memory = Box::pin(small.allocate_async(1));
            assert!(memory.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            let settled = match leader {
                Leader::Flusher => pollster::block_on(second),
                Leader::BlockedThread => second.wait(),
            };
            assert_eq!(settled.unwrap(), 2, "{leader:?}");
            assert!(called.woken() && first.is_durable());
            assert_eq!(rig.write(1, 1).wait().unwrap(), 3, "the pipe goes on");
        }
    });
}
