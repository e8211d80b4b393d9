//! A, B: a position is declared durable after the sync that covers it, in one order.

use std::sync::{Arc, Mutex};
use std::thread;

use fz_commit::CommitConfig;

use crate::support::{Call, NEVER, append, committer, finishes};

#[test]
fn a_nothing_is_durable_while_its_sync_runs() {
    finishes(|| {
        let (script, committer) = committer(CommitConfig::new());
        script.hold(Call::Sync);
        let ticket = append(&committer);
        thread::scope(|scope| {
            let waiter = scope.spawn(|| ticket.wait());
            script.until_entered(Call::Sync, 1);
            assert_eq!((ticket.status(), committer.durable(), script.stable()), (None, 0, 0));
            script.release(Call::Sync);
            assert_eq!(waiter.join().unwrap(), Ok(1));
        });
        assert_eq!(script.stable(), 1);
    });
}

#[test]
fn a_each_sync_begins_after_the_writes_that_it_declares() {
    finishes(|| {
        let (script, committer) = committer(CommitConfig::new());
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        let durable = append(&committer).wait().unwrap();
                        assert!(script.stable() >= durable, "{durable} was declared, {} is stable", script.stable());
                    }
                });
            }
        });
        assert_eq!(committer.close(), Ok(400));
    });
}

#[test]
fn a_a_lone_writer_finds_its_work_stable() {
    finishes(|| {
        let (script, committer) = committer(CommitConfig::new().flush_interval(NEVER));
        for position in 1..=20 {
            assert_eq!(append(&committer).wait(), Ok(position));
            assert_eq!(script.stable(), position);
        }
    });
}

#[test]
fn b_all_before_a_durable_position_are_durable() {
    finishes(|| {
        let (script, committer) = committer(CommitConfig::new());
        script.batch_max(7);
        let tickets: Vec<_> = (0..50).map(|_| append(&committer)).collect();
        for (at, ticket) in tickets.iter().enumerate().rev().step_by(9).collect::<Vec<_>>().into_iter().rev() {
            assert!(ticket.wait().unwrap() > at as u64);
            assert!(tickets[..=at].iter().all(|before| before.status().is_some_and(|status| status.is_ok())));
        }
    });
}

#[test]
fn b_callbacks_are_called_in_the_order_of_their_positions() {
    finishes(|| {
        let (script, committer) = committer(CommitConfig::new());
        script.hold(Call::Sync);
        script.batch_max(3);
        let called = Arc::new(Mutex::new(Vec::new()));
        for _ in 0..20 {
            let (ticket, called) = (append(&committer), Arc::clone(&called));
            let position = ticket.position();
            ticket.on_durable(move |settled| {
                assert!(settled.unwrap() >= position);
                called.lock().unwrap().push(position);
            });
        }
        script.release(Call::Sync);
        committer.close().unwrap();
        assert_eq!(*called.lock().unwrap(), (1..=20).collect::<Vec<u64>>());
    });
}
