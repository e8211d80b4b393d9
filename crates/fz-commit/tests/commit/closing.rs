//! E: a close makes all accepted work durable and says so; a drop does as much, wherever it happens.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use fz_commit::{CommitConfig, Fault, Flusher, WaitError};

use crate::support::{Call, How, NEVER, Once, Reason, append, committer, finishes, try_append};

#[test]
fn e_close_makes_all_accepted_work_durable() {
    finishes(|| {
        let (script, committer) = committer(CommitConfig::new().flush_interval(NEVER));
        let tickets: Vec<_> = (0..100).map(|_| append(&committer)).collect();
        assert_eq!(committer.close(), Ok(100));
        assert_eq!(script.stable(), 100);
        assert!(tickets.iter().all(|ticket| ticket.status() == Some(Ok(100))));
        assert!(try_append(&committer).is_none());
        assert_eq!(committer.close(), Ok(100), "again");
    });
}

#[test]
fn e_a_drop_makes_all_accepted_work_durable() {
    finishes(|| {
        let (script, committer) = committer(CommitConfig::new().flush_interval(NEVER));
        let ticket = (0..100).map(|_| append(&committer)).last().unwrap();
        drop(committer);
        assert_eq!((script.stable(), ticket.status()), (100, Some(Ok(100))));
        assert_eq!(Arc::strong_count(&script), 1, "the medium is gone");
    });
}

#[test]
fn e_work_that_races_with_close_is_durable_or_refused() {
    finishes(|| {
        for _ in 0..50 {
            let (script, committer) = committer(CommitConfig::new());
            let accepted = AtomicU64::new(0);
            thread::scope(|scope| {
                for _ in 0..3 {
                    scope.spawn(|| {
                        while let Some(ticket) = try_append(&committer) {
                            accepted.fetch_max(ticket.position(), Ordering::Relaxed);
                        }
                    });
                }
                scope.spawn(|| committer.close().unwrap());
                scope.spawn(|| committer.close().unwrap());
            });
            assert_eq!(script.stable(), accepted.into_inner());
        }
    });
}

#[test]
fn e_close_reports_that_the_tail_was_lost() {
    finishes(|| {
        let (script, committer) = committer(CommitConfig::new().flush_interval(NEVER));
        drop(append(&committer));
        script.fail(Call::Sync, 0, How::Error);
        assert_eq!(committer.close(), Err(Reason::Scripted(Call::Sync, 0)));
    });
}

#[test]
fn e_a_close_with_a_limit_goes_on_after_it() {
    finishes(|| {
        let (script, committer) = committer(CommitConfig::new());
        script.hold(Call::Sync);
        let ticket = append(&committer);
        let limit = Duration::from_millis(1);
        assert!(matches!(committer.close_timeout(limit), Err(WaitError::TimedOut { position: 1, durable: 0, .. })));
        assert!(try_append(&committer).is_none(), "it refuses work from now on");
        script.release(Call::Sync);
        assert_eq!(ticket.wait(), Ok(1), "nothing else asked for the round");
        assert_eq!(committer.close_timeout(Duration::MAX), Ok(1));
        assert_eq!(committer.close(), Ok(1));
    });
}

#[test]
fn e_abandon_waits_for_no_call_that_hangs() {
    for by_waiter in [false, true] {
        finishes(move || {
            let (script, committer) = committer(CommitConfig::new().waiters_lead(by_waiter));
            assert_eq!(append(&committer).wait(), Ok(1));
            script.hold(Call::Sync);
            let ticket = append(&committer);
            let waiter = {
                let ticket = ticket.clone();
                thread::spawn(move || ticket.wait())
            };
            script.until_entered(Call::Sync, 2);
            assert_eq!(committer.abandon(), 1);
            assert_eq!(ticket.wait(), Err(Reason::Fault(Fault::Abandoned)));
            assert!(try_append(&committer).is_none());
            assert_eq!(committer.failure(), Some(Reason::Fault(Fault::Abandoned)));
            drop(committer);
            // The call returns after all.
            script.release(Call::Sync);
            assert_eq!(waiter.join().unwrap(), Err(Reason::Fault(Fault::Abandoned)));
            assert_eq!(ticket.durable(), 1, "nothing is declared durable any more");
            while Arc::strong_count(&script) > 1 {
                thread::yield_now(); // until the flusher thread has let the medium go
            }
        });
    }
}

/// The last handle goes in `body`'s thread at `body`'s time; all work becomes durable without it.
fn drops_elsewhere(config: CommitConfig, arrange: impl FnOnce(&crate::support::Script, Box<dyn FnOnce() + Send>)) {
    let (script, committer) = committer(config);
    let committer = Arc::new(Mutex::new(Some(committer)));
    let last = Arc::clone(&committer);
    let (gone, is_gone) = mpsc::channel();
    arrange(
        &script,
        Box::new(move || {
            let taken = last.lock().unwrap().take();
            drop(taken);
            gone.send(()).unwrap();
        }),
    );
    let tickets: Vec<_> = {
        let held = committer.lock().unwrap();
        let committer = held.as_ref().unwrap();
        let tickets = (0..10).map(|_| append(committer)).collect();
        committer.demand();
        tickets
    };
    is_gone.recv().unwrap();
    assert!(tickets.iter().all(|ticket| ticket.wait().is_ok()));
    assert_eq!(script.stable(), 10);
    while Arc::strong_count(&script) > 1 {
        thread::yield_now(); // until the flusher thread has let the medium go
    }
}

#[test]
fn e_a_drop_inside_a_round_leaves_the_rest_to_the_flusher_thread() {
    for flusher in [None, Some(Flusher::new(1))] {
        finishes(move || {
            let config = CommitConfig::new().flush_interval(NEVER);
            let config = flusher.iter().fold(config, CommitConfig::flusher);
            drops_elsewhere(config, |script, body| {
                script.batch_max(3);
                script.in_write(body);
            });
        });
    }
}

#[test]
fn e_a_drop_in_a_waker_on_the_flusher_thread_makes_all_durable() {
    finishes(|| {
        let (script, committer) = committer(CommitConfig::new().flush_interval(NEVER));
        script.batch_max(3);
        let committer = Arc::new(Mutex::new(Some(committer)));
        let (gone, is_gone) = mpsc::channel();
        let held = committer.lock().unwrap();
        let tickets: Vec<_> = (0..10).map(|_| append(held.as_ref().unwrap())).collect();
        let last = Arc::clone(&committer);
        tickets[0].on_durable(move |_| {
            let taken = last.lock().unwrap().take();
            drop(taken);
            gone.send(thread::current().id()).unwrap();
        });
        drop(held);
        assert_ne!(is_gone.recv().unwrap(), thread::current().id());
        assert_eq!((tickets[9].status(), script.stable()), (Some(Ok(10)), 10));
    });
}

#[test]
fn e_a_drop_in_a_waker_of_a_leading_waiter_makes_all_durable() {
    finishes(|| {
        let (script, committer) = committer(CommitConfig::new().flush_interval(NEVER));
        let mut of_task = append(&committer);
        let ticket = append(&committer);
        script.hold(Call::Sync);
        let committer = Arc::new(Mutex::new(Some(committer)));
        let waiter = thread::spawn({
            let ticket = ticket.clone();
            move || ticket.wait()
        });
        script.until_entered(Call::Sync, 1);
        let last = Arc::clone(&committer);
        let waker = Once::waker(move || {
            let taken = last.lock().unwrap().take();
            drop(taken);
        });
        let polled =
            std::future::Future::poll(std::pin::Pin::new(&mut of_task), &mut std::task::Context::from_waker(&waker));
        assert!(polled.is_pending());
        script.release(Call::Sync);
        assert_eq!(waiter.join().unwrap(), Ok(2));
        while committer.lock().unwrap().is_some() || Arc::strong_count(&script) > 1 {
            thread::yield_now();
        }
        assert_eq!(script.stable(), 2);
    });
}

#[test]
fn a_wait_inside_a_round_of_its_own_committer_is_a_panic_and_not_a_hang() {
    finishes(|| {
        let (script, committer) = committer(CommitConfig::new());
        let ticket = append(&committer);
        let inner = ticket.clone();
        script.in_write(move || drop(inner.wait()));
        let Err(Reason::Fault(Fault::Panicked { message, .. })) = ticket.wait() else { panic!("it waited") };
        assert!(message.contains("whose round called it"), "{message}");
    });
}

#[test]
fn a_wait_in_a_callback_on_the_flusher_thread_leads_the_round_itself() {
    finishes(|| {
        let (_script, committer) = committer(CommitConfig::new().flush_interval(NEVER));
        let committer = Arc::new(committer);
        let (settled, is_settled) = mpsc::channel();
        let inner = Arc::clone(&committer);
        append(&committer).on_durable(move |_| settled.send(append(&inner).wait()).unwrap());
        assert_eq!(is_settled.recv().unwrap(), Ok(2));
    });
}
