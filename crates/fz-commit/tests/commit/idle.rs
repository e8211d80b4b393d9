//! I: unawaited work is written within the interval, and an idle committer does not wake.

use std::thread;
use std::time::Duration;

use fz_commit::CommitConfig;

use crate::support::{Call, NEVER, append, committer, finishes, until};

const INTERVAL: Duration = Duration::from_millis(1);

/// Lets some hundred intervals pass, by the clock of another committer that works in each of them.
fn pass_many_intervals() {
    let (_script, clock) = committer(CommitConfig::new().flush_interval(INTERVAL));
    for _ in 0..300 {
        let position = append(&clock).position();
        until(|| clock.durable() >= position);
    }
}

#[test]
fn i_unawaited_work_is_written_from_the_first_piece_on() {
    finishes(|| {
        let (script, committer) = committer(CommitConfig::new().flush_interval(INTERVAL));
        for position in 1..=20 {
            drop(append(&committer));
            until(|| committer.durable() == position);
            assert_eq!(script.stable(), position);
        }
    });
}

#[test]
fn i_unawaited_work_beside_awaited_work_is_written() {
    finishes(|| {
        let (script, committer) = committer(CommitConfig::new().flush_interval(INTERVAL));
        for _ in 0..20 {
            script.batch_max(1);
            drop(append(&committer));
            let ticket = append(&committer);
            drop(append(&committer));
            ticket.wait().unwrap();
            until(|| committer.durable() == script.accepted());
        }
    });
}

#[test]
fn i_an_idle_committer_does_not_wake() {
    finishes(|| {
        let (_script, committer) = committer(CommitConfig::new().flush_interval(INTERVAL));
        for _ in 0..3 {
            append(&committer).wait().unwrap();
        }
        drop(append(&committer));
        until(|| committer.durable() == 4);
        pass_many_intervals();
        let wakeups = committer.stats().wakeups;
        assert!(wakeups < 20, "{wakeups} wake-ups for four pieces of work");
        pass_many_intervals();
        assert_eq!(committer.stats().wakeups, wakeups);
    });
}

#[test]
fn i_a_committer_that_was_never_used_does_not_wake() {
    finishes(|| {
        let (script, committer) = committer(CommitConfig::new().flush_interval(INTERVAL));
        pass_many_intervals();
        assert!(committer.stats().wakeups <= 1, "{:?}", committer.stats());
        assert_eq!(script.entered(Call::Write), 0);
    });
}

#[test]
fn i_the_flusher_thread_does_not_spin_beside_a_round_that_takes_long() {
    for interval in [Duration::ZERO, INTERVAL] {
        finishes(move || {
            let (script, committer) = committer(CommitConfig::new().flush_interval(interval));
            append(&committer).wait().unwrap();
            script.hold(Call::Sync);
            let ticket = append(&committer);
            thread::scope(|scope| {
                let waiter = scope.spawn(move || ticket.wait());
                script.until_entered(Call::Sync, 2);
                drop(append(&committer));
                let before = committer.stats().wakeups;
                pass_many_intervals();
                let wakeups = committer.stats().wakeups - before;
                assert!(wakeups <= 20, "{wakeups} wake-ups beside one sync, with an interval of {interval:?}");
                script.release(Call::Sync);
                assert!(waiter.join().unwrap().is_ok());
            });
            until(|| committer.durable() == 3);
        });
    }
}

#[test]
fn a_demand_writes_what_no_caller_waits_for() {
    finishes(|| {
        let (script, committer) = committer(CommitConfig::new().flush_interval(NEVER));
        drop(append(&committer));
        committer.demand();
        until(|| committer.durable() == 1);
        let later = committer.demand_later();
        later();
        assert_eq!(script.entered(Call::Write), 1, "there is nothing to write");
        drop(append(&committer));
        later();
        until(|| committer.durable() == 2);
        drop(committer);
        later();
    });
}
