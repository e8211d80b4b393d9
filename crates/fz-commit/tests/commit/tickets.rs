//! D: a ticket resolves however it is waited for, once, and by one wake-up.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use futures_executor::{LocalPool, block_on};
use futures_util::task::LocalSpawnExt;
use fz_commit::{CommitConfig, WaitError};

use crate::support::{Call, How, NEVER, Reason, append, committer, finishes};

#[test]
fn d_threads_and_tasks_of_several_executors_all_resolve() {
    finishes(|| {
        let (script, committer) = committer(CommitConfig::new().flush_interval(NEVER));
        thread::scope(|scope| {
            for kind in 0..12 {
                let (script, committer) = (&script, &committer);
                scope.spawn(move || {
                    for _ in 0..20 {
                        let ticket = append(committer);
                        let durable = match kind % 3 {
                            0 => ticket.wait(),
                            1 => block_on(ticket),
                            _ => ticket.wait_timeout(Duration::MAX).map_err(|_| Reason::Given("timed out")),
                        };
                        assert!(script.stable() >= durable.unwrap());
                    }
                });
            }
            scope.spawn(|| {
                let mut pool = LocalPool::new();
                for ticket in (0..200).map(|_| append(&committer)) {
                    pool.spawner().spawn_local(async move { assert!(ticket.await.is_ok()) }).unwrap();
                }
                pool.run();
            });
        });
        assert_eq!(committer.close(), Ok(12 * 20 + 200));
    });
}

#[test]
fn d_64_waiters_of_one_sync_all_wake() {
    finishes(|| {
        let (script, committer) = committer(CommitConfig::new().flush_interval(NEVER));
        script.hold(Call::Sync);
        let first = append(&committer);
        thread::scope(|scope| {
            scope.spawn(|| first.wait().unwrap());
            script.until_entered(Call::Sync, 1);
            let (arrived, is_there) = mpsc::channel();
            for kind in 0..64 {
                let (ticket, arrived) = (append(&committer), arrived.clone());
                scope.spawn(move || {
                    arrived.send(()).unwrap();
                    if kind % 2 == 0 { ticket.wait().unwrap() } else { block_on(ticket).unwrap() }
                });
            }
            for _ in 0..64 {
                is_there.recv().unwrap();
            }
            script.release(Call::Sync);
        });
    });
}

#[test]
fn d_a_timed_wait_leaves_the_park_token_of_its_thread() {
    finishes(|| {
        let (script, committer) = committer(CommitConfig::new());
        thread::current().unpark();
        assert_eq!(append(&committer).wait_timeout(Duration::MAX), Ok(1));
        script.hold(Call::Sync);
        let ticket = append(&committer);
        assert!(ticket.wait_timeout(Duration::from_millis(1)).is_err());
        script.release(Call::Sync);
        thread::park(); // the token is still there
    });
}

#[test]
fn d_a_wait_that_timed_out_can_be_asked_again() {
    finishes(|| {
        let (script, committer) = committer(CommitConfig::new());
        script.hold(Call::Sync);
        let ticket = append(&committer);
        let waited = Duration::from_millis(1);
        assert_eq!(ticket.wait_timeout(waited), Err(WaitError::TimedOut { position: 1, durable: 0, waited }));
        assert!(matches!(ticket.wait_timeout(Duration::ZERO), Err(WaitError::TimedOut { .. })));
        script.release(Call::Sync);
        assert_eq!(ticket.wait(), Ok(1));
        assert_eq!(ticket.wait_timeout(Duration::ZERO), Ok(1));
    });
}

#[test]
fn d_a_ticket_that_is_only_looked_at_asks_for_no_round() {
    let (script, committer) = committer(CommitConfig::new().flush_interval(NEVER));
    let ticket = append(&committer);
    assert_eq!((ticket.status(), ticket.position(), ticket.durable()), (None, 1, 0));
    drop(ticket.clone());
    assert_eq!(script.entered(Call::Write), 0);
    assert_eq!(committer.close(), Ok(1));
    assert_eq!(ticket.status(), Some(Ok(1)));
}

#[test]
fn d_clones_wait_on_their_own() {
    finishes(|| {
        let (script, committer) = committer(CommitConfig::new().tag(7));
        script.hold(Call::Sync);
        let ticket = append(&committer);
        let clones: Vec<_> = (0..8).map(|_| ticket.clone()).collect();
        assert!(clones.iter().all(|clone| (clone.position(), clone.tag()) == (1, 7)));
        thread::scope(|scope| {
            for (at, clone) in clones.into_iter().enumerate() {
                scope.spawn(move || if at % 2 == 0 { clone.wait() } else { block_on(clone) }.unwrap());
            }
            drop(ticket);
            script.until_entered(Call::Sync, 1);
            script.release(Call::Sync);
        });
    });
}

#[test]
fn d_a_ticket_outlives_its_committer() {
    finishes(|| {
        let (script, committer) = committer(CommitConfig::new());
        let (kept, late) = (append(&committer), append(&committer));
        drop(committer);
        assert_eq!(Arc::strong_count(&script), 1, "the medium is gone");
        assert_eq!((kept.wait(), kept.status(), kept.tag()), (Ok(2), Some(Ok(2)), 0));
        assert_eq!(late.wait_timeout(Duration::MAX), Ok(2));
        assert_eq!(block_on(late), Ok(2));
    });
}

#[test]
fn d_a_callback_is_called_once_though_its_ticket_is_dropped() {
    finishes(|| {
        let (script, committer) = committer(CommitConfig::new().flush_interval(NEVER));
        let (called, is_called) = mpsc::channel();
        for _ in 0..3 {
            let called = called.clone();
            append(&committer).on_durable(move |settled| called.send(settled).unwrap());
        }
        drop(called);
        let outcomes: Vec<_> = is_called.iter().collect();
        assert_eq!(outcomes.len(), 3, "a callback asks for a round, as an await does");
        assert!(outcomes.iter().all(Result::is_ok));
        assert_eq!(script.stable(), 3);
    });
}

#[test]
fn d_a_callback_of_a_settled_ticket_is_called_at_once_by_this_thread() {
    let (_script, committer) = committer(CommitConfig::new());
    let ticket = append(&committer);
    ticket.wait().unwrap();
    let (called, is_called) = mpsc::channel();
    let this = thread::current().id();
    ticket.on_durable(move |settled| called.send((settled, thread::current().id() == this)).unwrap());
    assert_eq!(is_called.try_recv(), Ok((Ok(1), true)));
    assert!(is_called.try_recv().is_err());
}

#[test]
fn d_a_callback_hears_of_a_failure() {
    finishes(|| {
        let (script, committer) = committer(CommitConfig::new());
        script.fail(Call::Sync, 0, How::Error);
        let (called, is_called) = mpsc::channel();
        let ticket = append(&committer);
        let early = called.clone();
        ticket.on_durable(move |settled| early.send(settled).unwrap());
        assert_eq!(is_called.recv().unwrap(), Err(Reason::Scripted(Call::Sync, 0)));
        ticket.on_durable(move |settled| called.send(settled).unwrap());
        assert_eq!(is_called.try_recv(), Ok(Err(Reason::Scripted(Call::Sync, 0))));
    });
}

#[test]
fn d_a_callback_may_use_the_committer() {
    finishes(|| {
        let (_script, committer) = committer(CommitConfig::new());
        let committer = Arc::new(committer);
        let (called, is_called) = mpsc::channel();
        let inner = Arc::clone(&committer);
        append(&committer).on_durable(move |_| {
            let next = append(&inner);
            let next_position = next.position();
            inner.demand();
            let _ = (inner.durable(), inner.stats(), inner.watch(), inner.failure());
            next.on_durable(move |settled| called.send((next_position, settled)).unwrap());
        });
        assert_eq!(is_called.recv().unwrap(), (2, Ok(2)));
    });
}

#[test]
fn d_a_task_is_woken_once_for_all_tickets_that_settle_together() {
    finishes(|| {
        struct Counting(AtomicUsize);
        impl std::task::Wake for Counting {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, Ordering::SeqCst);
            }
        }
        let (script, committer) = committer(CommitConfig::new());
        script.hold(Call::Write);
        let counting = Arc::new(Counting(AtomicUsize::new(0)));
        let waker = std::task::Waker::from(Arc::clone(&counting));
        let mut tickets: Vec<_> = (0..10).map(|_| append(&committer)).collect();
        for ticket in &mut tickets {
            let pinned = std::pin::Pin::new(ticket);
            assert!(std::future::Future::poll(pinned, &mut std::task::Context::from_waker(&waker)).is_pending());
        }
        script.release(Call::Write);
        committer.close().unwrap();
        // The first round may have begun with the first ticket.
        let wakes = counting.0.load(Ordering::SeqCst);
        assert!((1..=2).contains(&wakes), "{wakes} wake-ups");
    });
}
