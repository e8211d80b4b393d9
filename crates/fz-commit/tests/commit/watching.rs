//! A watch sees the durable position grow and asks for nothing.

use std::sync::Arc;
use std::thread;

use futures_executor::block_on;
use futures_util::StreamExt;
use fz_commit::{CommitConfig, Fault};

use crate::support::{Call, How, NEVER, Reason, append, committer, finishes};

#[test]
fn a_watch_asks_for_no_round() {
    finishes(|| {
        let (script, committer) = committer(CommitConfig::new().flush_interval(NEVER));
        let mut watch = committer.watch();
        let ticket = append(&committer);
        thread::scope(|scope| {
            let watcher = scope.spawn(move || watch.wait());
            let mut stream = committer.watch();
            let waker = std::task::Waker::noop();
            assert!(stream.poll_next_unpin(&mut std::task::Context::from_waker(waker)).is_pending());
            assert_eq!((script.entered(Call::Write), ticket.status()), (0, None));
            assert_eq!(ticket.wait(), Ok(1));
            assert_eq!(watcher.join().unwrap(), Some(Ok(1)));
            assert_eq!(block_on(StreamExt::next(&mut stream)), Some(Ok(1)));
        });
    });
}

#[test]
fn a_watch_rises_and_misses_no_final_value() {
    finishes(|| {
        for round in 0..100 {
            let (script, committer) = committer(CommitConfig::new());
            script.batch_max(2);
            let mut watch = committer.watch();
            let stream = committer.watch();
            let blocking = thread::spawn(move || std::iter::from_fn(move || watch.wait()).collect::<Vec<_>>());
            let tasks = thread::spawn(move || block_on(stream.collect::<Vec<_>>()));
            for _ in 0..round % 10 {
                drop(append(&committer));
            }
            let last = committer.close().unwrap();
            for seen in [blocking.join().unwrap(), tasks.join().unwrap()] {
                let seen: Vec<_> = seen.into_iter().map(|item| item.unwrap()).collect();
                assert!(seen.is_sorted_by(|a, b| a < b), "{seen:?}");
                assert_eq!(seen.last().copied().unwrap_or(0), last);
            }
        }
    });
}

#[test]
fn a_watch_ends_with_the_failure_once() {
    finishes(|| {
        let (script, committer) = committer(CommitConfig::new());
        let (mut watch, mut stream, failed) = (committer.watch(), committer.watch(), committer.failed());
        assert_eq!(append(&committer).wait(), Ok(1));
        script.fail(Call::Sync, 0, How::Error);
        let reason = Reason::Scripted(Call::Sync, 1);
        assert_eq!(append(&committer).wait(), Err(reason.clone()));
        assert_eq!((watch.wait(), watch.seen()), (Some(Ok(1)), 1), "before the failure");
        assert_eq!(watch.wait(), Some(Err(reason.clone())));
        assert_eq!((watch.wait(), watch.wait()), (None, None));
        assert_eq!(block_on(stream.by_ref().collect::<Vec<_>>()), [Ok(1), Err(reason.clone())]);
        assert_eq!(block_on(StreamExt::next(&mut stream)), None);
        assert_eq!(block_on(failed), Some(reason.clone()));
        assert_eq!(block_on(committer.failed()), Some(reason));
    });
}

#[test]
fn a_blocked_watch_hears_of_the_end() {
    finishes(|| {
        for ending in 0..3 {
            let (_script, committer) = committer(CommitConfig::new());
            let (mut watch, failed) = (committer.watch(), committer.failed());
            let watcher = thread::spawn(move || watch.wait());
            let waiter = thread::spawn(move || block_on(failed));
            match ending {
                0 => drop(committer),
                1 => assert_eq!(committer.close(), Ok(0)),
                _ => assert_eq!(committer.abandon(), 0),
            }
            let reason = (ending == 2).then_some(Reason::Fault(Fault::Abandoned));
            assert_eq!(waiter.join().unwrap(), reason);
            assert_eq!(watcher.join().unwrap(), reason.map(Err));
        }
    });
}

#[test]
fn a_watch_keeps_no_medium_alive() {
    let (script, committer) = committer(CommitConfig::new());
    let (watch, failed) = (committer.watch(), committer.failed());
    drop(committer);
    assert_eq!(Arc::strong_count(&script), 1);
    drop((watch, failed));
}
