//! Promise D: every ticket resolves. Any number of waiters on any number of tasks, threads and
//! executors; after a drop, a close, a failure, a panic. No lost wake-up, no leaked waker.

mod disk;
mod rig;
mod watchdog;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use disk::{Call, EIO, Fault};
use futures_util::future::{join_all, select_all};
use fz_wpipe::{PipeErrorKind, WritePipeConfig, WriteTicket};
use rig::{NEVER, Rig, lazy, tag_at};
use watchdog::{finishes, until};

const TASKS: u64 = 1000;

/// Counts its wake-ups.
#[derive(Default)]
struct Counting(AtomicUsize);

impl Counting {
    fn new() -> (Arc<Self>, Waker) {
        let counting = Arc::new(Self::default());
        (Arc::clone(&counting), Waker::from(counting))
    }

    fn woken(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Wake for Counting {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn poll(ticket: &mut WriteTicket, waker: &Waker) -> Poll<fz_wpipe::Result<u64>> {
    Pin::new(ticket).poll(&mut Context::from_waker(waker))
}

async fn commits(rig: Arc<Rig>, task: u64) {
    for step in 0..3 {
        let request = rig.request(task % 256, 1, task * 3 + step);
        let ticket = rig.pipe.write_async(request).await.unwrap();
        let epoch = ticket.epoch();
        assert!(ticket.await.unwrap() >= epoch);
    }
}

#[test]
fn d_a_thousand_tasks_on_tokio_resolve() {
    finishes(|| {
        let rig = Arc::new(Rig::lazy());
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).build().unwrap();
        runtime.block_on(async {
            let tasks: Vec<_> = (0..TASKS).map(|task| tokio::spawn(commits(Arc::clone(&rig), task))).collect();
            for task in tasks {
                task.await.unwrap();
            }
        });
        assert_eq!(rig.pipe.close().unwrap(), TASKS * 3);
    });
}

#[test]
fn d_a_thousand_tasks_on_smol_resolve() {
    finishes(|| {
        let rig = Arc::new(Rig::new(lazy().queue_capacity(64)));
        smol::block_on(async {
            let tasks: Vec<_> = (0..TASKS).map(|task| smol::spawn(commits(Arc::clone(&rig), task))).collect();
            for task in tasks {
                task.await;
            }
        });
        assert_eq!(rig.pipe.close().unwrap(), TASKS * 3);
    });
}

#[test]
fn d_a_thousand_tasks_in_one_thread_resolve() {
    finishes(|| {
        let rig = Arc::new(Rig::lazy());
        futures_executor::block_on(join_all((0..TASKS).map(|task| commits(Arc::clone(&rig), task))));
        assert_eq!(rig.pipe.close().unwrap(), TASKS * 3);
    });
}

#[test]
fn d_blocked_threads_tasks_and_timed_waits_resolve_together() {
    finishes(|| {
        let rig = Arc::new(Rig::new(WritePipeConfig::new()));
        let threads: Vec<_> = (0..64_u64)
            .map(|id| {
                let rig = Arc::clone(&rig);
                thread::spawn(move || {
                    for step in 0..30 {
                        let ticket = rig.write(id, step);
                        let epoch = ticket.epoch();
                        let durable = match (id + step) % 4 {
                            0 | 1 => ticket.wait().unwrap(),
                            2 => ticket.wait_timeout(NEVER).unwrap(),
                            _ => pollster::block_on(ticket).unwrap(),
                        };
                        assert!(durable >= epoch);
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(rig.pipe.close().unwrap(), 64 * 30);
    });
}

/// All wait for one sync that is held, so that all of them sleep, or are about to.
#[test]
fn d_64_blocked_threads_and_64_tasks_that_wait_for_one_sync_all_wake() {
    finishes(|| {
        let rig = Arc::new(Rig::lazy());
        rig.disk.hold(Call::Sync);
        let wrote = Arc::new(AtomicUsize::new(0));
        let threads: Vec<_> = (0..128_u64)
            .map(|id| {
                let (rig, wrote) = (Arc::clone(&rig), Arc::clone(&wrote));
                thread::spawn(move || {
                    let ticket = rig.write(id, id + 1);
                    wrote.fetch_add(1, Ordering::SeqCst);
                    if id % 2 == 0 { ticket.wait().unwrap() } else { pollster::block_on(ticket).unwrap() }
                })
            })
            .collect();
        until(|| wrote.load(Ordering::SeqCst) == 128);
        rig.disk.wait_until_held(Call::Sync);
        rig.disk.release();
        threads.into_iter().for_each(|thread| assert!(thread.join().unwrap() <= 128));
        assert_eq!(rig.pipe.durable_epoch(), 128);
    });
}

#[test]
fn d_many_tickets_of_one_task_resolve() {
    finishes(|| {
        let rig = Rig::lazy();
        let tickets: Vec<_> = (0..500).map(|write| rig.write(write % 256, write)).collect();
        for (outcome, epoch) in futures_executor::block_on(join_all(tickets)).into_iter().zip(1..) {
            assert!(outcome.unwrap() >= epoch);
        }
        // The other way round, one after the other, each polled with the same waker.
        let tickets: Vec<_> = (0..40).map(|write| rig.write(write, write)).rev().collect();
        pollster::block_on(async {
            for ticket in tickets {
                ticket.await.unwrap();
            }
        });
    });
}

#[test]
fn d_one_task_is_woken_once_for_all_its_tickets() {
    finishes(|| {
        let rig = Rig::lazy();
        let (counting, waker) = Counting::new();
        let (other, other_waker) = Counting::new();
        rig.disk.hold(Call::Sync);
        let mut tickets: Vec<_> = (0..20).map(|slot| rig.write(slot, slot)).collect();
        let mut apart = rig.write(30, 1);
        assert!(tickets.iter_mut().all(|ticket| poll(ticket, &waker).is_pending()));
        assert!(poll(&mut apart, &other_waker).is_pending());
        rig.disk.release();
        rig.pipe.sync().wait().unwrap();
        until(|| counting.woken() > 0 && other.woken() > 0);
        rig.pipe.close().unwrap();
        assert_eq!(counting.woken(), 1, "all 20 are of one round");
        assert_eq!(other.woken(), 1);
        assert!(tickets.iter_mut().all(|ticket| poll(ticket, &waker).is_ready()));
    });
}

#[test]
fn d_a_cancelled_ticket_leaves_no_waker_and_wakes_nobody() {
    finishes(|| {
        let rig = Rig::lazy();
        rig.disk.hold(Call::Write);
        let (counting, waker) = Counting::new();
        let mut ticket = rig.write(0, 1);
        let mut kept = ticket.clone();
        assert!(poll(&mut ticket, &waker).is_pending());
        assert!(poll(&mut ticket, &waker).is_pending(), "polled again");
        drop(ticket);
        drop(waker);
        assert_eq!(Arc::strong_count(&counting), 1, "the waker went with the ticket");
        let (counting_kept, waker) = Counting::new();
        assert!(poll(&mut kept, &waker).is_pending());
        rig.disk.release();
        until(|| counting_kept.woken() == 1);
        assert_eq!(counting.woken(), 0);
        assert_eq!(poll(&mut kept, &waker).map(Result::unwrap), Poll::Ready(1));
        drop((kept, waker));
        rig.pipe.close().unwrap();
        assert_eq!(Arc::strong_count(&counting_kept), 1, "no waker stays behind");
    });
}

#[test]
fn d_the_last_waker_of_a_ticket_counts() {
    finishes(|| {
        let rig = Rig::lazy();
        rig.disk.hold(Call::Write);
        let ((first, first_waker), (last, last_waker)) = (Counting::new(), Counting::new());
        let mut ticket = rig.write(0, 1);
        assert!(poll(&mut ticket, &first_waker).is_pending());
        // Moved to another task, of another thread.
        let mut ticket = thread::spawn(move || {
            assert!(poll(&mut ticket, &last_waker).is_pending());
            ticket
        })
        .join()
        .unwrap();
        drop(first_waker);
        assert_eq!(Arc::strong_count(&first), 1);
        rig.disk.release();
        until(|| last.woken() == 1);
        assert_eq!(first.woken(), 0);
        assert_eq!(ticket.wait().unwrap(), 1);
        assert_eq!(poll(&mut ticket, Waker::noop()).map(Result::unwrap), Poll::Ready(1), "it can be asked again");
        assert_eq!(poll(&mut ticket, Waker::noop()).map(Result::unwrap), Poll::Ready(1), "and again");
    });
}

#[test]
fn d_the_first_of_many_tickets_can_be_selected() {
    finishes(|| {
        let rig = Rig::lazy();
        for _ in 0..20 {
            let tickets: Vec<_> = (0..50).map(|slot| rig.write(slot, slot)).collect();
            let (outcome, _, rest) = futures_executor::block_on(select_all(tickets));
            outcome.unwrap();
            drop(rest);
        }
    });
}

#[test]
fn d_a_timed_wait_ends_and_the_write_goes_on() {
    finishes(|| {
        let rig = Rig::new(lazy().module_id(3));
        rig.disk.hold(Call::Sync);
        let ticket = rig.write(0, 1);
        for timeout in [Duration::ZERO, Duration::from_millis(2)] {
            let error = ticket.wait_timeout(timeout).unwrap_err();
            assert_eq!(*error.kind(), PipeErrorKind::TimedOut { epoch: 1, durable: 0, waited: timeout });
            assert_eq!(error.module_id(), 3);
            assert!(!error.kind().is_poison());
        }
        rig.disk.wait_until_held(Call::Sync);
        rig.disk.release();
        assert_eq!(ticket.wait_timeout(Duration::MAX).unwrap(), 1);
        assert_eq!(ticket.wait_timeout(Duration::ZERO).unwrap(), 1, "durable already");
    });
}

/// Threads, tasks and timed waits asleep when the pipe fails.
fn all_resolve_after(call: Call, fault: Fault) {
    let rig = Arc::new(Rig::lazy());
    rig.disk.hold(call);
    rig.disk.fail(call, 0, fault);
    let asleep = Arc::new(AtomicUsize::new(0));
    let threads: Vec<_> = (0..30_u64)
        .map(|id| {
            let (rig, asleep) = (Arc::clone(&rig), Arc::clone(&asleep));
            thread::spawn(move || {
                let ticket = rig.write(id, 1);
                asleep.fetch_add(1, Ordering::SeqCst);
                match id % 3 {
                    0 => ticket.wait(),
                    1 => ticket.wait_timeout(NEVER),
                    _ => pollster::block_on(ticket),
                }
            })
        })
        .collect();
    until(|| asleep.load(Ordering::SeqCst) == 30);
    rig.disk.wait_until_held(call);
    rig.disk.release();
    for thread in threads {
        assert!(thread.join().unwrap().unwrap_err().kind().is_poison());
    }
}

#[test]
fn d_all_waiters_hear_of_a_failure() {
    finishes(|| {
        all_resolve_after(Call::Write, Fault::Errno(EIO));
        all_resolve_after(Call::Sync, Fault::Errno(EIO));
    });
}

#[test]
fn d_all_waiters_hear_of_a_panic() {
    finishes(|| {
        all_resolve_after(Call::Write, Fault::Panic);
        all_resolve_after(Call::Sync, Fault::Panic);
    });
}

#[test]
fn d_tickets_resolve_after_their_pipe_is_gone() {
    finishes(|| {
        let rig = Rig::lazy();
        let (counting, waker) = Counting::new();
        let mut polled = rig.write(0, 1);
        let _ = poll(&mut polled, &waker);
        let unpolled = rig.write(1, 2);
        let Rig { pipe, disk, .. } = rig;
        drop(pipe);
        assert_eq!(unpolled.wait().unwrap(), 2);
        assert_eq!(unpolled.wait_timeout(Duration::ZERO).unwrap(), 2);
        assert!(poll(&mut polled, &waker).is_ready());
        assert!(counting.woken() <= 1);
        assert_eq!(tag_at(&disk.stable(), 1), 2);
    });
}

#[test]
fn d_a_sync_ticket_covers_everything_accepted() {
    finishes(|| {
        let rig = Rig::lazy();
        assert_eq!(rig.pipe.sync().wait().unwrap(), 0, "nothing was ever accepted");
        assert_eq!(pollster::block_on(rig.pipe.sync()).unwrap(), 0);
        for slot in 0..9 {
            drop(rig.write(slot, 1));
        }
        let ticket = rig.pipe.sync();
        assert_eq!((ticket.epoch(), ticket.is_durable()), (9, false));
        assert_eq!(pollster::block_on(ticket).unwrap(), 9);
        assert!(rig.pipe.sync().is_durable());
    });
}
