//! A child made by `fork` has a copy of the committer and none of its threads: it writes nothing and waits for nothing.
#![cfg(all(unix, not(any(fz_loom, fz_shuttle))))]

mod support;

use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use fork::Fork;
use futures_executor::block_on;
use fz_commit::{CommitConfig, Fault, Flusher, WaitError};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;

use support::{Call, NEVER, Reason, append, committer, finishes, until};

const OTHER: Reason = Reason::Fault(Fault::OtherProcess);

/// Runs `body` in a child; true if it returned true there. A child that hangs is a test that hangs: within
/// [`finishes`].
fn in_child(body: impl FnOnce() -> bool + std::panic::UnwindSafe) -> bool {
    match fork::fork().expect("a process more") {
        Fork::Child => {
            let verdict = std::panic::catch_unwind(body).unwrap_or(false);
            std::process::exit(i32::from(!verdict));
        }
        Fork::Parent(child) => {
            let status = waitpid(Pid::from_raw(child), None).expect("it is a child");
            matches!(status, WaitStatus::Exited(_, 0))
        }
    }
}

fn child_is_content(body: impl FnOnce() -> bool) -> bool {
    in_child(std::panic::AssertUnwindSafe(body))
}

#[test]
fn a_child_writes_nothing_and_waits_for_nothing() {
    finishes(|| {
        let (script, committer) = committer(CommitConfig::new().flush_interval(NEVER));
        let durable = append(&committer);
        durable.wait().unwrap();
        let ticket = append(&committer);
        let calls = script.entered(Call::Write);
        assert!(child_is_content(|| {
            assert_eq!((durable.wait(), durable.status()), (Ok(1), Some(Ok(1))), "it was durable before the fork");
            assert_eq!(ticket.wait(), Err(OTHER));
            assert_eq!(ticket.status(), Some(Err(OTHER)));
            assert_eq!(ticket.wait_timeout(Duration::MAX), Err(WaitError::Failed(OTHER)));
            assert_eq!(block_on(ticket.clone()), Err(OTHER));
            let (told, is_told) = mpsc::channel();
            ticket.on_durable(move |settled| told.send(settled).unwrap());
            assert_eq!(is_told.try_recv(), Ok(Err(OTHER)));
            assert!(committer.is_forked());
            committer.demand();
            committer.work_arrived();
            committer.demand_later()();
            let _ = (committer.stats(), committer.durable(), committer.failure(), format!("{committer:?}"));
            let mut watch = committer.watch();
            assert_eq!((watch.wait(), watch.wait()), (Some(Err(OTHER)), None));
            assert_eq!(block_on(committer.failed()), Some(OTHER));
            assert_eq!(committer.close(), Err(OTHER));
            assert_eq!(committer.close_timeout(Duration::MAX), Err(WaitError::Failed(OTHER)));
            assert_eq!(committer.abandon(), 1);
            drop(committer);
            drop(ticket);
            script.entered(Call::Write) == calls && script.stable() == 1
        }));
    });
}

#[test]
fn a_child_does_not_hang_whatever_the_other_threads_hold() {
    finishes(|| {
        let (script, committer) = committer(CommitConfig::new());
        let committer = Arc::new(committer);
        // Threads that hold every lock of the committer now and then.
        let (stop, threads) = (Arc::new(std::sync::atomic::AtomicBool::new(false)), 3);
        let busy: Vec<_> = (0..threads)
            .map(|kind| {
                let (committer, stop) = (Arc::clone(&committer), Arc::clone(&stop));
                thread::spawn(move || {
                    while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                        let ticket = append(&committer);
                        match kind {
                            0 => drop(ticket.wait()),
                            1 => ticket.on_durable(drop),
                            _ => drop(block_on(ticket)),
                        }
                    }
                })
            })
            .collect();
        for _ in 0..30 {
            let ticket = committer.ticket(u64::MAX / 8);
            assert!(child_is_content(|| {
                assert_eq!(ticket.wait(), Err(OTHER));
                ticket.on_durable(|settled| assert_eq!(settled, Err(OTHER)));
                assert_eq!(block_on(ticket.clone()), Err(OTHER));
                committer.demand();
                assert_eq!(block_on(committer.failed()), Some(OTHER));
                true
            }));
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        busy.into_iter().for_each(|thread| thread.join().unwrap());
        let last = script.accepted();
        assert_eq!(committer.close(), Ok(last), "the parent has gone on");
    });
}

#[test]
fn a_child_closes_without_the_lock_of_its_medium() {
    finishes(|| {
        let (script, committer) = committer(CommitConfig::new());
        append(&committer).wait().unwrap();
        let holder = {
            let (script, (held, is_held)) = (Arc::clone(&script), mpsc::channel());
            let (done, is_done) = mpsc::channel::<()>();
            let thread = thread::spawn(move || {
                script.locked(|| {
                    held.send(()).unwrap();
                    let _ = is_done.recv();
                });
            });
            is_held.recv().unwrap();
            (thread, done)
        };
        assert!(child_is_content(|| {
            assert_eq!(committer.close(), Err(OTHER));
            assert_eq!(committer.close_timeout(Duration::MAX), Err(WaitError::Failed(OTHER)));
            committer.demand_later()();
            true
        }));
        drop(holder.1);
        holder.0.join().unwrap();
    });
}

#[test]
fn a_child_can_have_a_committer_of_its_own() {
    finishes(|| {
        let flusher = Flusher::new(1);
        let (_script, _committer) = committer(CommitConfig::new().flusher(&flusher));
        assert!(child_is_content(|| {
            let config = CommitConfig::new().flusher(&flusher);
            assert!(fz_commit::Committer::new(support::Scripted(Arc::default()), config).is_err());
            let (script, own) = committer(CommitConfig::new());
            assert_eq!(append(&own).wait(), Ok(1));
            drop(append(&own));
            until(|| script.stable() == 2);
            own.close() == Ok(2)
        }));
    });
}

#[test]
fn the_check_can_fail() {
    assert!(!child_is_content(|| false), "a child's verdict is ignored");
}
