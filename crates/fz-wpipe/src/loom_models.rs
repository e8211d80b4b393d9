//! What must hold in every interleaving and under every reordering that the memory model allows.
//!
//! `RUSTFLAGS="--cfg fz_loom" cargo test --release -p fz-wpipe --lib`
//!
//! A lost wake-up is a deadlock, which loom reports. Beside each claim stands a canary: the same
//! model with a mistake in it, which loom must find. A canary runs in a process of its own, because
//! loom may abort while it unwinds.

mod deadlines;
mod hand_over;

use std::process::Command;
use std::sync::atomic::AtomicUsize;
use std::task::{Wake, Waker};

use loom::sync::Arc;
use loom::thread;

use crate::completion::{Completion, wake_each_once};
use crate::lead::{Asker, Lead};
use crate::sync::{AtomicU64, Ordering};
use crate::wait_word::WaitWord;
use crate::{PipeError, PipeErrorKind};

fn explore(preemptions_max: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    if builder.preemption_bound.is_none() {
        builder.preemption_bound = Some(preemptions_max);
    }
    builder.check(model);
}

/// In the child process it runs the flawed model; in the parent it asserts that the child found it.
fn canary(name: &str, sign: &str, flawed: impl Fn() + Send + Sync + 'static) {
    const CHOSEN: &str = "FZ_LOOM_CANARY";
    if std::env::var_os(CHOSEN).is_some_and(|chosen| chosen == name) {
        return explore(3, flawed);
    }
    let this = std::env::current_exe().expect("tests are run from a file");
    let test = format!("loom_models::{name}");
    let mut child = Command::new(this);
    child.args([&test, "--exact", "--nocapture"]).env(CHOSEN, name);
    // What a short run of the models leaves out, a canary needs: some mistakes take three preemptions.
    let child = child.env_remove("LOOM_MAX_PREEMPTIONS").output();
    let child = child.expect("the test binary runs");
    let said = String::from_utf8_lossy(&child.stderr).into_owned() + &String::from_utf8_lossy(&child.stdout);
    assert!(said.contains("running 1 test"), "no such canary: {said}");
    assert!(!child.status.success(), "loom does not see the mistake");
    assert!(said.contains(sign), "loom sees something else than {sign:?}: {said}");
}

const DEADLOCK: &str = "deadlock";

/// Counts its wake-ups.
#[derive(Default)]
struct Counting(AtomicUsize);

impl Wake for Counting {
    fn wake(self: std::sync::Arc<Self>) {
        self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    }
}

fn counting() -> (std::sync::Arc<Counting>, Waker) {
    let counting = std::sync::Arc::new(Counting::default());
    (std::sync::Arc::clone(&counting), Waker::from(counting))
}

fn woken(counting: &Counting) -> usize {
    counting.0.load(std::sync::atomic::Ordering::SeqCst)
}

fn failure() -> PipeError {
    PipeError::new(0, "sync", PipeErrorKind::SyncFailed { written: 1, durable: 0 })
}

/// What a round does with the completion.
fn round(completion: &Completion, target: u64) {
    completion.begin_round(target);
    wake_each_once(completion.publish(target).unwrap_or_default().wakers);
}

// ---- Completion: tasks

/// A task that registers beside a round. `heeds` says whether it heeds the status it is given back.
fn register_beside_publish(heeds: bool) {
    let completion = Arc::new(Completion::new());
    let publisher = {
        let completion = Arc::clone(&completion);
        thread::spawn(move || round(&completion, 1))
    };
    let (count, waker) = counting();
    let status = completion.register(1, &mut 0, &waker);
    publisher.join().unwrap();
    let sleeps = status.is_none() || !heeds;
    assert!(!sleeps || woken(&count) == 1, "the task sleeps for ever");
    assert!(matches!(completion.status(1), Some(Ok(1))));
}

#[test]
fn a_task_that_registers_beside_a_round_is_told_or_woken() {
    explore(3, || register_beside_publish(true));
}

#[test]
fn canary_a_task_that_ignores_what_it_is_told() {
    canary("canary_a_task_that_ignores_what_it_is_told", "sleeps for ever", || register_beside_publish(false));
}

#[test]
fn a_task_that_changes_its_waker_beside_a_round_is_woken_by_the_new_one() {
    explore(3, || {
        let completion = Arc::new(Completion::new());
        let ((_, first), (last, last_waker)) = (counting(), counting());
        let mut registration = 0;
        assert!(completion.register(1, &mut registration, &first).is_none());
        let publisher = {
            let completion = Arc::clone(&completion);
            thread::spawn(move || round(&completion, 1))
        };
        let status = completion.register(1, &mut registration, &last_waker);
        publisher.join().unwrap();
        assert!(status.is_some() || woken(&last) == 1, "the task sleeps for ever");
    });
}

#[test]
fn a_cancelled_waker_is_not_kept() {
    explore(3, || {
        let completion = Arc::new(Completion::new());
        let (count, waker) = counting();
        let mut registration = 0;
        assert!(completion.register(1, &mut registration, &waker).is_none());
        let publisher = {
            let completion = Arc::clone(&completion);
            thread::spawn(move || round(&completion, 1))
        };
        completion.cancel(1, registration);
        publisher.join().unwrap();
        drop(waker);
        assert_eq!(std::sync::Arc::strong_count(&count), 1, "a waker leaked");
        assert_eq!(completion.tasks(), 0);
    });
}

#[test]
fn a_round_wakes_those_it_covers_and_leaves_the_others() {
    explore(3, || {
        let completion = Arc::new(Completion::new());
        let ((one, one_waker), (two, two_waker)) = (counting(), counting());
        assert!(completion.register(1, &mut 0, &one_waker).is_none());
        let registrant = {
            let completion = Arc::clone(&completion);
            thread::spawn(move || completion.register(2, &mut 0, &two_waker).is_none())
        };
        completion.begin_round(1);
        let published = completion.publish(1).expect("nothing fails here");
        wake_each_once(published.wakers);
        assert!(registrant.join().unwrap(), "epoch 2 is not settled");
        assert_eq!((woken(&one), woken(&two)), (1, 0));
        round(&completion, 2);
        assert_eq!((woken(&one), woken(&two)), (1, 1));
    });
}

// ---- Completion: failure

#[test]
fn the_durable_epoch_does_not_move_after_a_failure() {
    explore(3, || {
        let completion = Arc::new(Completion::new());
        let publisher = {
            let completion = Arc::clone(&completion);
            thread::spawn(move || round(&completion, 1))
        };
        completion.freeze(failure());
        let durable = completion.durable();
        completion.tell();
        let settled = completion.status(1).expect("it was told");
        assert_eq!(settled.is_ok(), durable == 1);
        publisher.join().unwrap();
        assert_eq!(completion.durable(), durable, "it moved after the failure");
        assert_eq!(completion.status(1).expect("settled").is_ok(), durable == 1);
    });
}

/// A failure, its queue, and somebody who hears of it.
fn failure_beside_listener(closes_first: bool) {
    let completion = Arc::new(Completion::new());
    let is_closed = Arc::new(AtomicU64::new(0));
    let stopper = {
        let (completion, is_closed) = (Arc::clone(&completion), Arc::clone(&is_closed));
        thread::spawn(move || {
            completion.freeze(failure());
            if closes_first {
                is_closed.store(1, Ordering::Relaxed);
            }
            completion.tell();
            is_closed.store(1, Ordering::Relaxed);
        })
    };
    if completion.status(1).is_some() {
        assert_eq!(is_closed.load(Ordering::Relaxed), 1, "a write is accepted after the failure was told");
    }
    stopper.join().unwrap();
}

#[test]
fn who_hears_of_a_failure_finds_the_queue_closed() {
    explore(3, || failure_beside_listener(true));
}

#[test]
fn canary_a_failure_told_before_the_queue_is_closed() {
    let name = "canary_a_failure_told_before_the_queue_is_closed";
    canary(name, "accepted after the failure was told", || failure_beside_listener(false));
}

#[test]
fn a_task_that_registers_beside_a_failure_is_told_or_woken() {
    explore(3, || {
        let completion = Arc::new(Completion::new());
        let stopper = {
            let completion = Arc::clone(&completion);
            thread::spawn(move || {
                completion.freeze(failure());
                completion.tell();
            })
        };
        let (count, waker) = counting();
        let status = completion.register(1, &mut 0, &waker);
        stopper.join().unwrap();
        assert!(status.is_some() || woken(&count) == 1, "the task sleeps for ever");
        assert!(matches!(completion.status(1), Some(Err(_))));
    });
}

#[test]
fn of_two_failures_one_is_the_reason_for_all() {
    explore(3, || {
        let completion = Arc::new(Completion::new());
        let other = {
            let completion = Arc::clone(&completion);
            thread::spawn(move || {
                completion.freeze(PipeError::new(1, "write", PipeErrorKind::WriteFailed { first: 1, last: 1 }));
                completion.tell();
                completion.failure().expect("it was told").id()
            })
        };
        completion.freeze(failure());
        completion.tell();
        let id = completion.failure().expect("it was told").id();
        assert_eq!(other.join().unwrap(), id);
    });
}

// ---- Completion: blocked threads

#[test]
fn a_blocked_thread_that_a_round_covers_is_woken_by_it() {
    explore(3, || {
        let completion = Arc::new(Completion::new());
        completion.begin_round(1);
        let leader = {
            let completion = Arc::clone(&completion);
            thread::spawn(move || drop(completion.publish(1)))
        };
        while completion.status(1).is_none() {
            completion.sleep(1, || panic!("it is covered, nobody needs to be asked"));
        }
        leader.join().unwrap();
    });
}

/// A thread that waits for an epoch which the round in flight does not cover, and the next does.
fn blocked_thread_beside_two_rounds(toggles: bool) {
    let completion = Arc::new(Completion::new());
    completion.begin_round(1);
    let leader = {
        let completion = Arc::clone(&completion);
        thread::spawn(move || {
            drop(completion.publish(1));
            if toggles {
                completion.begin_round(2);
            }
            drop(completion.publish(2));
        })
    };
    while completion.status(2).is_none() {
        completion.sleep(2, || true);
    }
    leader.join().unwrap();
}

#[test]
fn a_blocked_thread_that_a_round_does_not_cover_is_woken_by_the_next() {
    explore(3, || blocked_thread_beside_two_rounds(true));
}

#[test]
fn canary_a_round_that_was_not_announced() {
    canary("canary_a_round_that_was_not_announced", DEADLOCK, || blocked_thread_beside_two_rounds(false));
}

#[test]
fn blocked_threads_hear_of_a_failure_whatever_round_they_wait_for() {
    explore(2, || {
        let completion = Arc::new(Completion::new());
        completion.begin_round(1);
        let sleepers: Vec<_> = [1, 2]
            .into_iter()
            .map(|epoch| {
                let completion = Arc::clone(&completion);
                thread::spawn(move || {
                    while completion.status(epoch).is_none() {
                        completion.sleep(epoch, || true);
                    }
                })
            })
            .collect();
        completion.freeze(failure());
        completion.tell();
        sleepers.into_iter().for_each(|sleeper| sleeper.join().unwrap());
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
                    assert_eq!(flag.load(Ordering::Acquire), 1, "woken before there was a reason");
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

#[test]
fn canary_a_sleeper_that_does_not_look_again() {
    canary("canary_a_sleeper_that_does_not_look_again", DEADLOCK, || sleepers_beside_waker(1, false));
}

/// Sleepers who pass a wake-up of one on. The look is a read-modify-write, as it is in the pipe: only
/// that shows a waker of one that somebody sleeps.
fn wake_up_passed_on(passes_on: bool) {
    let word = Arc::new(WaitWord::new());
    let flag = Arc::new(AtomicU64::new(0));
    let threads: Vec<_> = (0..2)
        .map(|_| {
            let (word, flag) = (Arc::clone(&word), Arc::clone(&flag));
            thread::spawn(move || {
                let seen = word.prepare();
                if flag.fetch_or(0, Ordering::AcqRel) == 0 {
                    word.sleep(seen);
                }
                if passes_on {
                    word.wake_one();
                }
            })
        })
        .collect();
    flag.swap(1, Ordering::AcqRel);
    word.wake_one();
    threads.into_iter().for_each(|sleeper| sleeper.join().unwrap());
}

#[test]
fn one_wake_up_wakes_one_of_two_sleepers_and_the_other_stays_counted() {
    explore(2, || wake_up_passed_on(true));
}

#[test]
fn canary_a_wake_up_of_one_that_is_not_passed_on() {
    canary("canary_a_wake_up_of_one_that_is_not_passed_on", DEADLOCK, || wake_up_passed_on(false));
}

// ---- Lead

/// Two who ask while the lead is given back. `insists` says whether a refused asker takes the lead.
fn askers_beside_release(insists: bool) {
    let lead = Arc::new(Lead::new());
    assert!(lead.try_acquire());
    let notes = Arc::new([AtomicU64::new(0), AtomicU64::new(0)]);
    let served = Arc::new(AtomicU64::new(0));
    let serve = |lead: &Lead, notes: &[AtomicU64; 2], served: &AtomicU64| {
        let wishes = lead.release();
        for (index, wished) in [wishes.of_threads(), wishes.of_tasks()].into_iter().enumerate() {
            if wished {
                assert_eq!(notes[index].load(Ordering::Relaxed), 1, "what the asker did before is not seen");
                served.fetch_add(1, Ordering::Relaxed);
            }
        }
    };
    let askers: Vec<_> = [Asker::Thread, Asker::Task]
        .into_iter()
        .enumerate()
        .map(|(index, asker)| {
            let (lead, notes, served) = (Arc::clone(&lead), Arc::clone(&notes), Arc::clone(&served));
            thread::spawn(move || {
                notes[index].store(1, Ordering::Relaxed);
                let ask = || if asker == Asker::Task { lead.arrive_and_ask().0 } else { lead.ask(asker) };
                while !ask() {
                    if !insists {
                        return;
                    }
                    if lead.try_acquire() {
                        served.fetch_add(1, Ordering::Relaxed);
                        serve(&lead, &notes, &served);
                        return;
                    }
                }
            })
        })
        .collect();
    serve(&lead, &notes, &served);
    askers.into_iter().for_each(|asker| asker.join().unwrap());
    assert_eq!(served.load(Ordering::Relaxed), 2, "a wish was lost");
}

#[test]
fn every_wish_is_seen_by_a_release_or_the_asker_takes_the_lead() {
    explore(3, || askers_beside_release(true));
}

#[test]
fn canary_an_asker_that_takes_no_for_an_answer() {
    canary("canary_an_asker_that_takes_no_for_an_answer", "a wish was lost", || askers_beside_release(false));
}

#[test]
fn one_at_a_time_leads() {
    explore(3, || {
        let lead = Arc::new(Lead::new());
        let leaders = Arc::new(AtomicU64::new(0));
        let body = |lead: &Lead, leaders: &AtomicU64| {
            if lead.try_acquire() {
                // Relaxed: the lead alone must order these.
                assert_eq!(leaders.load(Ordering::Relaxed), 0, "two lead at once");
                leaders.store(1, Ordering::Relaxed);
                leaders.store(0, Ordering::Relaxed);
                let _ = lead.release();
            }
        };
        let other = {
            let (lead, leaders) = (Arc::clone(&lead), Arc::clone(&leaders));
            thread::spawn(move || body(&lead, &leaders))
        };
        // What one leader left reaches the next through an arrival in between.
        let arrival = {
            let lead = Arc::clone(&lead);
            thread::spawn(move || lead.arrive())
        };
        body(&lead, &leaders);
        body(&lead, &leaders);
        other.join().unwrap();
        arrival.join().unwrap();
        assert_eq!(lead.arrivals(), 1);
    });
}
