//! C: the first failure stops the committer for good, and every caller hears of it.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use futures_executor::block_on;
use fz_commit::{CommitConfig, Fault, WaitError};

use crate::support::{Call, How, NEVER, Reason, append, committer, finishes, try_append};

#[test]
fn c_a_failed_call_stops_the_committer_for_good() {
    for call in [Call::Write, Call::Sync] {
        finishes(move || {
            let (script, committer) = committer(CommitConfig::new().flush_interval(NEVER));
            let before = append(&committer);
            assert_eq!(before.wait(), Ok(1));
            script.fail(call, 0, How::Error);
            let reason = Reason::Scripted(call, 1);
            let lost = append(&committer);
            assert_eq!(lost.wait(), Err(reason.clone()));
            let calls = (script.entered(Call::Write), script.entered(Call::Sync));
            assert!(try_append(&committer).is_none(), "later work is refused");
            assert_eq!(committer.failure(), Some(reason.clone()));
            assert_eq!(lost.wait_timeout(Duration::ZERO), Err(WaitError::Failed(reason.clone())));
            assert_eq!(lost.status(), Some(Err(reason.clone())));
            committer.demand();
            assert_eq!(committer.close(), Err(reason.clone()));
            assert_eq!(committer.close(), Err(reason));
            assert_eq!((before.wait(), committer.durable(), script.stable()), (Ok(1), 1, 1));
            assert_eq!((script.entered(Call::Write), script.entered(Call::Sync)), calls, "it called the medium again");
            assert_eq!(script.discards(), 1);
        });
    }
}

#[test]
fn c_a_panic_is_a_failure_whatever_its_payload() {
    for call in [Call::Write, Call::Sync] {
        for how in [How::Panic, How::Bomb] {
            finishes(move || {
                let (script, committer) = committer(CommitConfig::new());
                script.fail(call, 0, how);
                let Err(Reason::Fault(Fault::Panicked { operation, message })) = append(&committer).wait() else {
                    panic!("the panic was no failure");
                };
                assert_eq!(operation, "commit");
                assert_eq!(message, if how == How::Panic { "scripted" } else { "(no message)" });
                assert!(committer.close().is_err());
            });
        }
    }
}

#[test]
fn c_a_failure_on_the_flusher_thread_is_told_likewise() {
    finishes(|| {
        let (script, committer) = committer(CommitConfig::new().waiters_lead(false));
        script.fail(Call::Sync, 0, How::Bomb);
        let ticket = append(&committer);
        assert!(matches!(ticket.wait(), Err(Reason::Fault(Fault::Panicked { .. }))));
        assert!(matches!(block_on(committer.failed()), Some(Reason::Fault(Fault::Panicked { .. }))));
    });
}

#[test]
fn c_all_waiters_hear_of_a_failure() {
    finishes(|| {
        let (script, committer) = committer(CommitConfig::new().flush_interval(NEVER));
        script.hold(Call::Sync);
        script.fail(Call::Sync, 0, How::Error);
        let reason = Reason::Scripted(Call::Sync, 0);
        let (told, is_told) = mpsc::channel();
        thread::scope(|scope| {
            for kind in 0..16 {
                let (ticket, told) = (append(&committer), told.clone());
                scope.spawn(move || match kind % 4 {
                    0 => told.send(ticket.wait().unwrap_err()).unwrap(),
                    1 => told.send(block_on(ticket).unwrap_err()).unwrap(),
                    2 => ticket.on_durable(move |settled| told.send(settled.unwrap_err()).unwrap()),
                    _ => match ticket.wait_timeout(Duration::MAX).unwrap_err() {
                        WaitError::Failed(reason) => told.send(reason).unwrap(),
                        other @ WaitError::TimedOut { .. } => panic!("{other:?}"),
                    },
                });
            }
            script.until_entered(Call::Sync, 1);
            script.release(Call::Sync);
        });
        drop(told);
        let heard: Vec<_> = is_told.iter().collect();
        assert_eq!(heard, vec![reason; 16]);
    });
}

#[test]
fn c_no_lost_work_is_ever_declared_durable() {
    finishes(|| {
        let (script, committer) = committer(CommitConfig::new());
        script.batch_max(3);
        script.fail(Call::Sync, 4, How::Error);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while let Some(ticket) = try_append(&committer) {
                        if let Ok(durable) = ticket.wait() {
                            assert!(script.stable() >= durable);
                        }
                    }
                });
            }
        });
        assert_eq!(committer.failure(), Some(Reason::Scripted(Call::Sync, 4)));
        assert!(committer.durable() <= script.stable());
        assert_eq!(script.entered(Call::Sync), 5, "a sync after the one that failed");
    });
}

#[test]
fn c_the_first_of_two_failures_is_the_reason_for_all() {
    finishes(|| {
        let (script, committer) = committer(CommitConfig::new());
        script.hold(Call::Sync);
        script.fail(Call::Sync, 0, How::Error);
        let ticket = append(&committer);
        thread::scope(|scope| {
            let waiter = scope.spawn(|| ticket.wait());
            script.until_entered(Call::Sync, 1);
            committer.fail(Reason::Given("first"));
            committer.fail(Reason::Given("second"));
            assert_eq!(ticket.status(), Some(Err(Reason::Given("first"))), "beside the round");
            script.release(Call::Sync);
            assert_eq!(waiter.join().unwrap(), Err(Reason::Given("first")));
        });
        assert_eq!(committer.close(), Err(Reason::Given("first")));
    });
}

#[test]
fn c_a_sync_that_ends_after_the_failure_declares_nothing() {
    finishes(|| {
        let (script, committer) = committer(CommitConfig::new().waiters_lead(false));
        script.hold(Call::Sync);
        let ticket = append(&committer);
        committer.demand();
        script.until_entered(Call::Sync, 1);
        committer.fail(Reason::Given("beside it"));
        script.release(Call::Sync);
        assert_eq!(committer.close(), Err(Reason::Given("beside it")));
        assert_eq!((committer.durable(), script.stable()), (0, 1));
        assert_eq!(ticket.wait(), Err(Reason::Given("beside it")));
    });
}

#[test]
fn c_a_failure_of_guarded_code_stops_the_committer() {
    let (_script, committer) = committer(CommitConfig::new());
    assert_eq!(committer.guarded("read", || Ok(5)), Some(5));
    assert_eq!(committer.guarded("read", || -> Result<u8, Reason> { panic!("in a read") }), None);
    let fault = Fault::Panicked { operation: "read", message: "in a read".to_owned() };
    assert_eq!(committer.failure(), Some(Reason::Fault(fault)));
}
