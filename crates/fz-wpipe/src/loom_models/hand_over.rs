//! The hand-over of the lead as a whole: blocked threads, a task and the flusher thread.

use std::task::{Wake, Waker};

use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;

use super::{DEADLOCK, canary, explore};
use crate::completion::{Completion, wake_each_once};
use crate::lead::{Asker, Lead, Wishes};
use crate::sync::{AtomicU64, Ordering};

/// A mistake in the hand-over, for the canaries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    None,
    /// Who gives the lead back wakes nobody to take it.
    IgnoresWishes,
    /// Who calls the flusher thread leaves everything to it, and that may be one of the sleepers.
    OnlyCalls,
    /// A sleeper leaves no wish.
    AsksNobody,
    /// A task does not call the flusher thread if the lead is free.
    CallsNobody,
    /// The flusher thread, which came for a deadline and took wishes, leaves word of the deadline only.
    ForgetsTakenWishes,
}

/// The pipe without a queue and a disk: a counter in place of both. Its methods follow those of
/// `Core` line by line, but nobody lingers, writes ahead or has a deadline; the whole is what
/// shuttle runs.
struct Pipe {
    completion: Completion,
    lead: Lead,
    accepted: AtomicU64,
    /// At most so many writes a round; 0 for any number.
    batch_max: u64,
    flaw: Flaw,
    alarm: Mutex<(bool, bool)>,
    rang: Condvar,
}

impl Pipe {
    fn new(batch_max: u64, flaw: Flaw) -> Arc<Self> {
        Arc::new(Self {
            completion: Completion::new(),
            lead: Lead::new(),
            accepted: AtomicU64::new(0),
            batch_max,
            flaw,
            alarm: Mutex::new((false, false)),
            rang: Condvar::new(),
        })
    }

    fn write(&self) -> u64 {
        self.accepted.fetch_add(1, Ordering::AcqRel) + 1
    }

    fn demand(&self) {
        self.alarm.lock().unwrap().0 = true;
        self.rang.notify_one();
    }

    /// As `Core::lead_round`: `hand_over` is told whether work remains, and which wishes.
    fn lead_round<R>(&self, hand_over: impl FnOnce(bool, Wishes) -> R) -> R {
        let (work_remains, wakers) = self.round();
        let outcome = hand_over(work_remains, self.lead.release());
        wake_each_once(wakers);
        outcome
    }

    fn round(&self) -> (bool, Vec<Waker>) {
        let durable = self.completion.durable();
        let accepted = self.accepted.load(Ordering::Acquire);
        let target = if self.batch_max == 0 { accepted } else { accepted.min(durable + self.batch_max) };
        if target == durable {
            return (self.completion.tasks() > 0, Vec::new());
        }
        self.completion.begin_round(target);
        let published = self.completion.publish(target).expect("nothing fails here");
        (published.tasks_left > 0 || target < accepted, published.wakers)
    }

    /// As `Core::hand_over`.
    fn hand_over(&self, work_remains: bool, wishes: Wishes) {
        let calls = wishes.need_the_flusher(work_remains);
        if calls {
            self.demand();
        }
        let forgets = self.flaw == Flaw::IgnoresWishes || self.flaw == Flaw::OnlyCalls && calls;
        if wishes.of_threads() && !forgets {
            self.completion.wake_a_leader();
        }
    }

    /// As `Core::wait`.
    fn wait(&self, epoch: u64) {
        while self.completion.status(epoch).is_none() {
            if !self.lead.try_acquire() {
                self.completion.sleep(epoch, || self.flaw == Flaw::AsksNobody || self.lead.ask(Asker::Thread));
                continue;
            }
            if self.completion.status(epoch).is_none() {
                self.lead_round(|work_remains, wishes| self.hand_over(work_remains, wishes));
            } else {
                self.hand_over(false, self.lead.release());
            }
        }
    }

    /// The flusher thread, until it is stopped.
    fn run_flusher(&self) {
        loop {
            {
                let mut alarm = self.alarm.lock().unwrap();
                while *alarm == (false, false) {
                    alarm = self.rang.wait(alarm).unwrap();
                }
                if alarm.1 {
                    return;
                }
                alarm.0 = false;
            }
            self.lead_as(Asker::Task);
        }
    }

    /// As `Core::lead_as`. The deadlines that it would set never come.
    fn lead_as(&self, mut asker: Asker) {
        loop {
            if !self.lead.try_acquire() {
                if self.lead.ask(asker) {
                    return;
                }
                continue;
            }
            let go_on = self.lead_round(|work_remains, wishes| {
                let go_on = wishes.need_the_flusher(work_remains);
                if !go_on && wishes.of_threads() {
                    self.completion.wake_a_leader();
                }
                go_on
            });
            if !go_on {
                return;
            }
            if self.flaw != Flaw::ForgetsTakenWishes {
                asker = Asker::Task;
            }
        }
    }

    fn stop_flusher(&self) {
        self.alarm.lock().unwrap().1 = true;
        self.rang.notify_one();
    }

    /// As a task that awaits its ticket.
    fn await_ticket(&self, epoch: u64) {
        let task = std::sync::Arc::new(Task { woken: Mutex::new(false), wakes: Condvar::new() });
        let waker = Waker::from(std::sync::Arc::clone(&task));
        if self.completion.register(epoch, &mut 0, &waker).is_some() {
            return;
        }
        if !self.lead.arrive_and_ask().0 && self.flaw != Flaw::CallsNobody {
            self.demand();
        }
        let mut woken = task.woken.lock().unwrap();
        while !*woken {
            woken = task.wakes.wait(woken).unwrap();
        }
        assert!(self.completion.status(epoch).is_some(), "woken before it was settled");
    }
}

struct Task {
    woken: Mutex<bool>,
    wakes: Condvar,
}

impl Wake for Task {
    fn wake(self: std::sync::Arc<Self>) {
        *self.woken.lock().unwrap() = true;
        self.wakes.notify_one();
    }
}

fn blocked_waiters(waiters: usize, batch_max: u64, flaw: Flaw) {
    let pipe = Pipe::new(batch_max, flaw);
    let threads: Vec<_> = (1..waiters)
        .map(|_| {
            let pipe = Arc::clone(&pipe);
            thread::spawn(move || pipe.wait(pipe.write()))
        })
        .collect();
    pipe.wait(pipe.write());
    threads.into_iter().for_each(|waiter| waiter.join().unwrap());
}

#[test]
fn of_two_blocked_waiters_nobody_hangs() {
    explore(4, || blocked_waiters(2, 0, Flaw::None));
}

#[test]
fn of_three_blocked_waiters_nobody_hangs() {
    explore(2, || blocked_waiters(3, 0, Flaw::None));
}

/// The flusher thread is one of the two, in its last round or in a waker, and hears no call.
#[test]
fn of_two_blocked_waiters_behind_a_batch_limit_nobody_needs_the_flusher() {
    explore(4, || blocked_waiters(2, 1, Flaw::None));
}

#[test]
fn canary_a_call_that_forgets_the_sleepers() {
    canary("hand_over::canary_a_call_that_forgets_the_sleepers", DEADLOCK, || blocked_waiters(2, 1, Flaw::OnlyCalls));
}

#[test]
fn canary_a_leader_that_hands_over_to_nobody() {
    canary("hand_over::canary_a_leader_that_hands_over_to_nobody", DEADLOCK, || {
        blocked_waiters(2, 0, Flaw::IgnoresWishes)
    });
}

#[test]
fn canary_a_sleeper_that_asks_nobody() {
    canary("hand_over::canary_a_sleeper_that_asks_nobody", DEADLOCK, || blocked_waiters(2, 0, Flaw::AsksNobody));
}

/// A blocked thread and a task, with the flusher thread.
fn a_thread_and_a_task(batch_max: u64, flaw: Flaw) {
    let pipe = Pipe::new(batch_max, flaw);
    let flusher = {
        let pipe = Arc::clone(&pipe);
        thread::spawn(move || pipe.run_flusher())
    };
    let blocked = {
        let pipe = Arc::clone(&pipe);
        thread::spawn(move || pipe.wait(pipe.write()))
    };
    pipe.await_ticket(pipe.write());
    blocked.join().unwrap();
    pipe.stop_flusher();
    flusher.join().unwrap();
}

#[test]
fn a_blocked_waiter_and_a_task_both_come_through() {
    explore(2, || a_thread_and_a_task(0, Flaw::None));
}

#[test]
fn a_blocked_waiter_and_a_task_come_through_one_write_at_a_time() {
    explore(2, || a_thread_and_a_task(1, Flaw::None));
}

/// The flusher thread came for a deadline and leads a round that covers the thread's write only. Then the
/// thread may take the lead before it finds itself settled, while the flusher thread has the task's wish.
fn a_deadline_and_a_wish(flaw: Flaw) {
    let pipe = Pipe::new(1, flaw);
    let (of_thread, of_task) = (pipe.write(), pipe.write());
    let blocked = {
        let pipe = Arc::clone(&pipe);
        thread::spawn(move || pipe.wait(of_thread))
    };
    let task = {
        let pipe = Arc::clone(&pipe);
        thread::spawn(move || {
            pipe.await_ticket(of_task);
            pipe.stop_flusher();
        })
    };
    pipe.lead_as(Asker::Flusher);
    pipe.run_flusher();
    task.join().unwrap();
    blocked.join().unwrap();
}

#[test]
fn a_wish_is_served_although_a_deadline_comes() {
    explore(3, || a_deadline_and_a_wish(Flaw::None));
}

#[test]
fn canary_a_flusher_that_forgets_the_wishes_it_took() {
    canary("hand_over::canary_a_flusher_that_forgets_the_wishes_it_took", DEADLOCK, || {
        a_deadline_and_a_wish(Flaw::ForgetsTakenWishes)
    });
}

#[test]
fn canary_a_task_that_calls_nobody() {
    canary("hand_over::canary_a_task_that_calls_nobody", DEADLOCK, || a_thread_and_a_task(0, Flaw::CallsNobody));
}
