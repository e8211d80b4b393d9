//! Which thread leads a round, and for which callers it waits.

use std::future::Future;
use std::pin::Pin;
use std::sync::Mutex;
use std::task::{Context, Waker};
use std::thread;
use std::time::Duration;

use futures_executor::block_on;
use fz_commit::CommitConfig;

use crate::support::{Call, NEVER, append, committer, finishes};

/// How long the first sync takes. A gather lasts one and a half times as long, far longer than a caller takes to
/// return.
const SLOW: Duration = Duration::from_secs(2);

/// A thread and a task of one batch. When this returns, the thread's first ticket is settled, and the task's is not.
fn a_thread_and_a_task(
    script: &crate::support::Script,
    committer: &fz_commit::Committer<crate::support::Scripted>,
) -> fz_commit::Ticket<crate::support::Reason> {
    script.hold(Call::Sync);
    let first = append(committer);
    thread::scope(|scope| {
        let waiter = scope.spawn(move || first.wait());
        script.until_entered(Call::Sync, 1);
        let mut of_task = append(committer);
        assert!(Pin::new(&mut of_task).poll(&mut Context::from_waker(Waker::noop())).is_pending());
        // The medium is slow.
        thread::sleep(SLOW);
        script.release(Call::Sync);
        assert!(waiter.join().unwrap().is_ok());
        of_task
    })
}

#[test]
fn all_callers_of_the_last_batch_share_the_next_sync() {
    finishes(|| {
        let (script, committer) = committer(CommitConfig::new().flush_interval(NEVER).gather_max(NEVER));
        let of_task = a_thread_and_a_task(&script, &committer);
        assert_eq!(append(&committer).wait(), Ok(3), "the arrival completes the gather");
        assert_eq!((block_on(of_task), script.entered(Call::Sync)), (Ok(3), 2));
        assert_ne!(script.leaders()[1], thread::current().id(), "the flusher thread gathers");
    });
}

#[test]
fn a_caller_that_stays_away_is_missed_once() {
    finishes(|| {
        let (script, committer) = committer(CommitConfig::new().flush_interval(NEVER).gather_max(NEVER));
        let of_task = a_thread_and_a_task(&script, &committer);
        assert_eq!(block_on(of_task), Ok(2), "the gather ends without the thread");
        assert_eq!(append(&committer).wait(), Ok(3));
        assert_eq!(script.leaders()[2], thread::current().id(), "it is not waited for in a gather");
    });
}

#[test]
fn without_gathers_a_round_begins_as_soon_as_it_is_wanted() {
    finishes(|| {
        let (script, committer) = committer(CommitConfig::new().flush_interval(NEVER).gather_max(Duration::ZERO));
        let before = committer.stats().wakeups;
        let of_task = a_thread_and_a_task(&script, &committer);
        assert_eq!(block_on(of_task), Ok(2));
        assert_eq!(committer.stats().wakeups - before, 1, "it was rung, and set no timer for a gather");
        assert_eq!(script.entered(Call::Sync), 2);
    });
}

#[test]
fn a_lone_writer_leads_its_own_rounds() {
    finishes(|| {
        let (script, committer) = committer(CommitConfig::new().flush_interval(NEVER));
        for _ in 0..20 {
            append(&committer).wait().unwrap();
        }
        assert_eq!(script.leaders(), vec![thread::current().id(); 20]);
        assert_eq!(committer.stats().syncs, 20);
    });
}

#[test]
fn no_waiter_leads_where_the_config_says_so() {
    finishes(|| {
        let (script, committer) = committer(CommitConfig::new().flush_interval(NEVER).waiters_lead(false));
        let waiters = Mutex::new(vec![thread::current().id()]);
        append(&committer).wait().unwrap();
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    waiters.lock().unwrap().push(thread::current().id());
                    for _ in 0..50 {
                        append(&committer).wait().unwrap();
                    }
                });
            }
        });
        committer.close().unwrap();
        let waiters = waiters.into_inner().unwrap();
        assert!(script.leaders().iter().all(|leader| !waiters.contains(leader)), "a waiter led");
    });
}

#[test]
fn no_thread_with_a_time_limit_leads() {
    finishes(|| {
        let (script, committer) = committer(CommitConfig::new().flush_interval(NEVER));
        for _ in 0..20 {
            append(&committer).wait_timeout(Duration::MAX).unwrap();
        }
        assert!(!script.leaders().contains(&thread::current().id()));
    });
}

#[test]
fn threads_that_linger_all_resolve() {
    finishes(|| {
        let (_script, committer) = committer(CommitConfig::new().linger_max(Duration::from_millis(1)));
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..100).for_each(|_| assert!(append(&committer).wait().is_ok())));
            }
        });
        assert_eq!(committer.close(), Ok(400));
    });
}
