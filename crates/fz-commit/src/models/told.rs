//! Waiters beside a publisher: each is told, once, and of the right outcome.

use loom::sync::Arc;
use loom::thread;

use super::{DEADLOCK, canary, counting, explore, woken};
use crate::sync::{AtomicU64, Ordering};
use crate::waiters::{Progress, WaitWord};

type Model = Progress<&'static str>;

fn progress() -> Arc<Model> {
    Arc::new(Progress::new("forked", 0))
}

fn publish(progress: &Model, target: u64) {
    if let Some(published) = progress.publish(target) {
        progress.tell(published);
    }
}

/// A task that registers beside a round. `heeds`: it heeds the status that it is given.
fn register_beside_publish(heeds: bool) {
    let progress = progress();
    let publisher = {
        let progress = Arc::clone(&progress);
        thread::spawn(move || publish(&progress, 1))
    };
    let (count, waker) = counting();
    let status = progress.register(1, &mut 0, &waker);
    publisher.join().unwrap();
    let sleeps = status.is_none() || !heeds;
    assert!(!sleeps || woken(&count) == 1, "the task sleeps for ever");
    assert_eq!(progress.status(1), Some(Ok(1)));
}

#[test]
fn a_task_that_registers_beside_a_round_is_told_or_woken() {
    explore(3, || register_beside_publish(true));
}

#[test]
fn canary_a_task_that_ignores_its_status() {
    canary("told::canary_a_task_that_ignores_its_status", "sleeps for ever", || register_beside_publish(false));
}

#[test]
fn a_task_that_changes_its_waker_beside_a_round_is_woken_by_the_new_one() {
    explore(3, || {
        let progress = progress();
        let ((_, first), (last, last_waker)) = (counting(), counting());
        let mut registration = 0;
        assert!(progress.register(1, &mut registration, &first).is_none());
        let publisher = {
            let progress = Arc::clone(&progress);
            thread::spawn(move || publish(&progress, 1))
        };
        let status = progress.register(1, &mut registration, &last_waker);
        publisher.join().unwrap();
        assert!(status.is_some() || woken(&last) == 1, "the task sleeps for ever");
    });
}

#[test]
fn a_task_that_keeps_its_waker_beside_a_round_is_woken_by_it() {
    explore(3, || {
        let progress = progress();
        let (count, waker) = counting();
        let mut registration = 0;
        assert!(progress.register(1, &mut registration, &waker).is_none());
        let publisher = {
            let progress = Arc::clone(&progress);
            thread::spawn(move || publish(&progress, 1))
        };
        let status = progress.register(1, &mut registration, &waker);
        publisher.join().unwrap();
        assert!(status.is_some() || woken(&count) >= 1, "the task sleeps for ever");
    });
}

#[test]
fn a_cancelled_waker_is_not_kept() {
    explore(3, || {
        let progress = progress();
        let (count, waker) = counting();
        let mut registration = 0;
        assert!(progress.register(1, &mut registration, &waker).is_none());
        let publisher = {
            let progress = Arc::clone(&progress);
            thread::spawn(move || publish(&progress, 1))
        };
        progress.cancel(1, registration);
        publisher.join().unwrap();
        drop(waker);
        assert_eq!(std::sync::Arc::strong_count(&count), 1, "a waker leaked");
        assert_eq!(progress.waiting(), 0);
    });
}

#[test]
fn a_round_wakes_the_waiters_that_it_covers_and_no_others() {
    explore(3, || {
        let progress = progress();
        let ((one, one_waker), (two, two_waker)) = (counting(), counting());
        assert!(progress.register(1, &mut 0, &one_waker).is_none());
        let registrant = {
            let progress = Arc::clone(&progress);
            thread::spawn(move || progress.register(2, &mut 0, &two_waker).is_none())
        };
        publish(&progress, 1);
        assert!(registrant.join().unwrap(), "position 2 is not settled");
        assert_eq!((woken(&one), woken(&two)), (1, 0));
        publish(&progress, 2);
        assert_eq!((woken(&one), woken(&two)), (1, 1));
    });
}

#[test]
fn the_durable_position_does_not_move_after_a_failure() {
    explore(3, || {
        let progress = progress();
        let publisher = {
            let progress = Arc::clone(&progress);
            thread::spawn(move || publish(&progress, 1))
        };
        assert!(progress.fail("the disk"));
        let durable = progress.durable();
        let settled = progress.status(1).expect("it has failed");
        assert_eq!(settled.is_ok(), durable == 1);
        publisher.join().unwrap();
        assert_eq!(progress.durable(), durable, "it moved after the failure");
        assert_eq!(progress.status(1).expect("settled").is_ok(), durable == 1);
    });
}

/// A failure, the queue that refuses, and a thread that hears of it.
fn failure_beside_listener(refuses_first: bool) {
    let progress = progress();
    let refuses = Arc::new(AtomicU64::new(0));
    let stopper = {
        let (progress, refuses) = (Arc::clone(&progress), Arc::clone(&refuses));
        thread::spawn(move || {
            if refuses_first {
                refuses.store(1, Ordering::Relaxed);
            }
            let _ = progress.fail("the disk");
            refuses.store(1, Ordering::Relaxed);
        })
    };
    if progress.status(1).is_some() {
        assert_eq!(refuses.load(Ordering::Relaxed), 1, "work is accepted after the failure was told");
    }
    stopper.join().unwrap();
}

#[test]
fn a_caller_that_hears_of_a_failure_finds_later_work_refused() {
    explore(3, || failure_beside_listener(true));
}

#[test]
fn canary_a_failure_told_before_later_work_is_refused() {
    let name = "told::canary_a_failure_told_before_later_work_is_refused";
    canary(name, "accepted after the failure was told", || failure_beside_listener(false));
}

#[test]
fn a_task_that_registers_beside_a_failure_is_told_or_woken() {
    explore(3, || {
        let progress = progress();
        let stopper = {
            let progress = Arc::clone(&progress);
            thread::spawn(move || progress.fail("the disk"))
        };
        let (count, waker) = counting();
        let status = progress.register(1, &mut 0, &waker);
        stopper.join().unwrap();
        assert!(status.is_some() || woken(&count) == 1, "the task sleeps for ever");
        assert_eq!(progress.status(1), Some(Err("the disk")));
    });
}

#[test]
fn of_two_failures_one_is_the_reason_for_all() {
    explore(3, || {
        let progress = progress();
        let other = {
            let progress = Arc::clone(&progress);
            thread::spawn(move || {
                let is_first = progress.fail("a write");
                (is_first, *progress.failure().expect("it has failed"))
            })
        };
        let is_first = progress.fail("a sync");
        let reason = *progress.failure().expect("it has failed");
        let (other_is_first, other_reason) = other.join().unwrap();
        assert_eq!(reason, other_reason);
        assert!(is_first != other_is_first);
    });
}

#[test]
fn blocked_threads_hear_of_a_failure() {
    explore(2, || {
        let progress = progress();
        let sleepers: Vec<_> = [1, 2]
            .into_iter()
            .map(|position| {
                let progress = Arc::clone(&progress);
                thread::spawn(move || {
                    while progress.status(position).is_none() {
                        progress.sleep(position);
                    }
                })
            })
            .collect();
        let _ = progress.fail("the disk");
        sleepers.into_iter().for_each(|sleeper| sleeper.join().unwrap());
    });
}

#[test]
fn a_blocked_thread_is_woken_by_the_round_that_covers_it() {
    explore(3, || {
        let progress = progress();
        let leader = {
            let progress = Arc::clone(&progress);
            thread::spawn(move || {
                publish(&progress, 1);
                publish(&progress, 2);
            })
        };
        while progress.status(2).is_none() {
            progress.sleep(2);
        }
        leader.join().unwrap();
    });
}

// ---- WaitWord

/// Sleepers that wait for a flag, and a waker that sets it.
fn sleepers_beside_waker(sleepers: usize, looks_again: bool) {
    let word = Arc::new(WaitWord::new());
    let flag = Arc::new(AtomicU64::new(0));
    let threads: Vec<_> = (0..sleepers)
        .map(|_| {
            let (word, flag) = (Arc::clone(&word), Arc::clone(&flag));
            thread::spawn(move || {
                let is_set = flag.load(Ordering::Acquire) == 1;
                let seen = word.prepare();
                let is_set = if looks_again { flag.load(Ordering::Acquire) == 1 } else { is_set };
                if !is_set {
                    word.sleep(seen);
                }
            })
        })
        .collect();
    flag.store(1, Ordering::Release);
    word.wake_all();
    threads.into_iter().for_each(|sleeper| sleeper.join().unwrap());
}

#[test]
fn a_sleeper_sees_the_change_or_is_woken() {
    explore(3, || sleepers_beside_waker(1, true));
}

#[test]
fn two_sleepers_see_the_change_or_are_woken() {
    explore(2, || sleepers_beside_waker(2, true));
}

/// Two wakers, of which the first has nothing for the sleeper.
#[test]
fn a_sleeper_that_the_first_waker_could_not_help_is_woken_by_the_second() {
    explore(3, || {
        let word = Arc::new(WaitWord::new());
        let count = Arc::new(AtomicU64::new(0));
        let sleeper = {
            let (word, count) = (Arc::clone(&word), Arc::clone(&count));
            thread::spawn(move || {
                while count.load(Ordering::Acquire) < 2 {
                    let seen = word.prepare();
                    if count.load(Ordering::Acquire) < 2 {
                        word.sleep(seen);
                    }
                }
            })
        };
        for next in 1..=2 {
            count.store(next, Ordering::Release);
            word.wake_all();
        }
        sleeper.join().unwrap();
    });
}

#[test]
fn canary_a_sleeper_that_does_not_look_again() {
    canary("told::canary_a_sleeper_that_does_not_look_again", DEADLOCK, || sleepers_beside_waker(1, false));
}
