//! The rounds as a whole: blocked threads, a task and the flusher thread pass the baton, and each is settled.

use std::task::{Wake, Waker};

use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;

use super::{DEADLOCK, canary, explore};
use crate::round::{Arrival, Baton, MayLead, PickUp, Plan};
use crate::sync::{AtomicU64, Ordering};
use crate::waiters::Progress;

/// A mistake in the passing of the baton, for the canaries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    None,
    /// A leader that hands the baton over does not ring.
    HandsOverSilently,
    /// A caller that must ring does not.
    ArrivesSilently,
    /// The leader takes its work before it forgets what was wanted.
    TakesTooEarly,
    /// The flusher thread ends a gather without a look at what arrived.
    RelinquishesAnyway,
}

/// A committer without a medium: a counter in place of it. Its methods follow those of `Core` line by line; no thread
/// lingers and no unawaited work is due. The whole is what shuttle runs.
struct Model {
    progress: Progress<&'static str>,
    accepted: AtomicU64,
    /// At most this many pieces a round; 0 for any number.
    batch_max: u64,
    /// Each round is followed by a gather of this many arrivals, 0 for none.
    gathers: u64,
    /// The time of a gather is over as soon as the flusher thread looks; else it never is.
    is_over: bool,
    /// When blocked threads lead.
    lead: MayLead,
    flaw: Flaw,
    bell: Mutex<Bell>,
    rang: Condvar,
}

#[derive(Default)]
struct Bell {
    is_rung: bool,
    is_stopped: bool,
}

impl Model {
    fn new(flaw: Flaw) -> Self {
        Self {
            progress: Progress::new("forked", 0),
            accepted: AtomicU64::new(0),
            batch_max: 0,
            gathers: 0,
            is_over: true,
            lead: MayLead::Alone,
            flaw,
            bell: Mutex::new(Bell::default()),
            rang: Condvar::new(),
        }
    }

    fn write(&self) -> u64 {
        self.accepted.fetch_add(1, Ordering::AcqRel) + 1
    }

    fn ring(&self) {
        self.bell.lock().unwrap().is_rung = true;
        self.rang.notify_one();
    }

    fn stop(&self) {
        self.bell.lock().unwrap().is_stopped = true;
        self.rang.notify_one();
    }

    /// As `Core::lead` and `Core::round`.
    fn lead(&self, ring: impl FnOnce()) -> bool {
        let durable = self.progress.durable();
        let early = self.accepted.load(Ordering::Acquire);
        let taken = self.progress.baton.begin();
        let accepted = if self.flaw == Flaw::TakesTooEarly { early } else { self.accepted.load(Ordering::Acquire) };
        let target = if self.batch_max == 0 { accepted } else { accepted.min(durable + self.batch_max) };
        let is_cut = target < accepted;
        let is_gathering = self.gathers > 0 && !is_cut && target > durable;
        let complete_at = if is_gathering { taken + self.gathers } else { 0 };
        self.progress.set_plan(Plan { complete_at, taken, until: 0 });
        let published = if target > durable { self.progress.publish(target) } else { None };
        let (is_handed, _) = self.progress.baton.end(is_cut || is_gathering);
        if is_handed {
            ring();
        }
        if let Some(published) = published {
            self.progress.tell(published);
        }
        is_handed
    }

    /// As `Core::arrive`.
    fn arrive(&self, lead: MayLead) {
        match self.progress.arrive(lead) {
            Arrival::Lead => {
                let _ = self.lead(|| {
                    if self.flaw != Flaw::HandsOverSilently {
                        self.ring();
                    }
                });
            }
            Arrival::Ring if self.flaw != Flaw::ArrivesSilently => self.ring(),
            Arrival::Ring | Arrival::Wait => {}
        }
    }

    /// As the wait of a blocked thread.
    fn wait(&self, position: u64) {
        if self.progress.status(position).is_some() {
            return;
        }
        self.arrive(self.lead);
        while self.progress.status(position).is_none() {
            self.progress.sleep(position);
        }
    }

    /// As a task that awaits its ticket.
    fn await_ticket(&self, position: u64) {
        let task = std::sync::Arc::new(Task { is_woken: Mutex::new(false), wakes: Condvar::new() });
        let waker = Waker::from(std::sync::Arc::clone(&task));
        if self.progress.register(position, &mut 0, &waker).is_some() {
            return;
        }
        self.arrive(MayLead::Never);
        let mut is_woken = task.is_woken.lock().unwrap();
        while !*is_woken {
            is_woken = task.wakes.wait(is_woken).unwrap();
        }
        assert!(self.progress.status(position).is_some(), "woken before it was settled");
    }

    /// The flusher thread, until it is stopped.
    fn run_flusher(&self) {
        loop {
            {
                let mut bell = self.bell.lock().unwrap();
                while !bell.is_rung && !bell.is_stopped {
                    bell = self.rang.wait(bell).unwrap();
                }
                if bell.is_stopped {
                    return;
                }
                bell.is_rung = false;
            }
            self.serve();
        }
    }

    /// As `Core::serve_rounds`.
    fn serve(&self) {
        loop {
            if self.is_over {
                if self.flaw == Flaw::RelinquishesAnyway {
                    let arrivals = self.progress.baton.arrivals();
                    if self.progress.baton.relinquish(arrivals) {
                        return;
                    }
                } else if self.progress.relinquish() {
                    return;
                }
            }
            match self.progress.pick_up(self.is_over) {
                PickUp::Lead => {}
                PickUp::Gathering | PickUp::Led | PickUp::Free => return,
            }
            if !self.lead(|| ()) {
                return;
            }
        }
    }
}

struct Task {
    is_woken: Mutex<bool>,
    wakes: Condvar,
}

impl Wake for Task {
    fn wake(self: std::sync::Arc<Self>) {
        *self.is_woken.lock().unwrap() = true;
        self.wakes.notify_one();
    }
}

/// Each of the callers writes and waits; then the flusher thread is stopped.
fn callers(model: Model, blocked: usize, tasks: usize) {
    let model = Arc::new(model);
    let flusher = {
        let model = Arc::clone(&model);
        thread::spawn(move || model.run_flusher())
    };
    let others: Vec<_> = (1..blocked + tasks)
        .map(|nth| {
            let model = Arc::clone(&model);
            thread::spawn(move || {
                let position = model.write();
                if nth < blocked { model.wait(position) } else { model.await_ticket(position) }
            })
        })
        .collect();
    let position = model.write();
    if blocked > 0 {
        model.wait(position)
    } else {
        model.await_ticket(position)
    }
    others.into_iter().for_each(|other| other.join().unwrap());
    model.stop();
    flusher.join().unwrap();
    assert_eq!(model.progress.durable(), (blocked + tasks) as u64);
}

#[test]
fn two_blocked_threads_are_settled() {
    explore(3, || callers(Model::new(Flaw::None), 2, 0));
}

#[test]
fn a_blocked_thread_and_a_task_are_settled() {
    explore(2, || callers(Model::new(Flaw::None), 1, 1));
}

#[test]
fn two_tasks_are_settled() {
    explore(2, || callers(Model::new(Flaw::None), 0, 2));
}

#[test]
fn two_blocked_threads_behind_a_batch_limit_are_settled() {
    explore(3, || callers(Model { batch_max: 1, ..Model::new(Flaw::None) }, 2, 0));
}

#[test]
fn a_blocked_thread_and_a_task_behind_a_batch_limit_are_settled() {
    explore(2, || callers(Model { batch_max: 1, ..Model::new(Flaw::None) }, 1, 1));
}

#[test]
fn a_gather_whose_time_is_over_forgets_no_arrival() {
    explore(3, || callers(Model { gathers: 2, ..Model::new(Flaw::None) }, 2, 0));
}

#[test]
fn a_gather_whose_time_is_over_forgets_no_task() {
    explore(2, || callers(Model { gathers: 2, ..Model::new(Flaw::None) }, 1, 1));
}

#[test]
fn the_arrival_that_completes_a_gather_begins_the_round() {
    explore(2, || callers(Model { gathers: 1, is_over: false, ..Model::new(Flaw::None) }, 2, 0));
}

/// A caller that demands a round for its work and asks for nothing else, beside one that waits.
fn a_demander_and_a_waiter(model: Model) {
    let model = Arc::new(model);
    let flusher = {
        let model = Arc::clone(&model);
        thread::spawn(move || model.run_flusher())
    };
    let waiter = {
        let model = Arc::clone(&model);
        thread::spawn(move || model.wait(model.write()))
    };
    let position = model.write();
    if model.progress.baton.demand() {
        model.ring();
    }
    while model.progress.status(position).is_none() {
        model.progress.sleep(position);
    }
    waiter.join().unwrap();
    model.stop();
    flusher.join().unwrap();
}

/// Found by shuttle: a demand that came during a round was lost when the gather after that round ended.
#[test]
fn a_demand_during_a_round_is_served_although_a_gather_follows() {
    explore(2, || a_demander_and_a_waiter(Model { gathers: 2, ..Model::new(Flaw::None) }));
}

#[test]
fn threads_that_lead_what_they_complete_are_settled() {
    explore(2, || {
        callers(Model { gathers: 1, is_over: false, lead: MayLead::Gathered, ..Model::new(Flaw::None) }, 2, 0);
    });
}

#[test]
fn threads_that_lead_what_they_complete_are_settled_beside_a_gather_that_is_over() {
    explore(2, || callers(Model { gathers: 2, lead: MayLead::Gathered, ..Model::new(Flaw::None) }, 2, 0));
}

#[test]
fn threads_that_never_lead_are_settled() {
    explore(2, || callers(Model { lead: MayLead::Never, ..Model::new(Flaw::None) }, 2, 0));
}

#[test]
fn canary_a_leader_that_hands_over_silently() {
    let name = "rounds::canary_a_leader_that_hands_over_silently";
    canary(name, DEADLOCK, || callers(Model::new(Flaw::HandsOverSilently), 2, 0));
}

#[test]
fn canary_a_task_that_arrives_silently() {
    let name = "rounds::canary_a_task_that_arrives_silently";
    canary(name, DEADLOCK, || callers(Model::new(Flaw::ArrivesSilently), 0, 2));
}

#[test]
fn canary_a_completing_arrival_that_is_silent() {
    let name = "rounds::canary_a_completing_arrival_that_is_silent";
    canary(name, DEADLOCK, || {
        callers(Model { gathers: 1, is_over: false, ..Model::new(Flaw::ArrivesSilently) }, 2, 0);
    });
}

#[test]
fn canary_a_leader_that_takes_its_work_too_early() {
    let name = "rounds::canary_a_leader_that_takes_its_work_too_early";
    canary(name, DEADLOCK, || callers(Model::new(Flaw::TakesTooEarly), 2, 0));
}

#[test]
fn canary_a_flusher_that_relinquishes_anyway() {
    let name = "rounds::canary_a_flusher_that_relinquishes_anyway";
    canary(name, DEADLOCK, || callers(Model { gathers: 2, ..Model::new(Flaw::RelinquishesAnyway) }, 2, 0));
}

// ---- Baton

#[test]
fn one_thread_at_a_time_leads() {
    explore(3, || {
        let baton = Arc::new(Baton::new());
        let leaders = Arc::new(AtomicU64::new(0));
        let body = |baton: &Baton, leaders: &AtomicU64| {
            if baton.try_lead() {
                // Relaxed: the baton alone must order these.
                assert_eq!(leaders.load(Ordering::Relaxed), 0, "two lead at once");
                leaders.store(1, Ordering::Relaxed);
                leaders.store(0, Ordering::Relaxed);
                let _ = baton.end(false);
            }
        };
        let other = {
            let (baton, leaders) = (Arc::clone(&baton), Arc::clone(&leaders));
            thread::spawn(move || body(&baton, &leaders))
        };
        body(&baton, &leaders);
        body(&baton, &leaders);
        other.join().unwrap();
    });
}

/// A demand beside the end of a round that a gather follows.
#[test]
fn a_demand_beside_the_end_of_a_round_is_served() {
    explore(3, || {
        let baton = Arc::new(Baton::new());
        assert!(baton.try_lead());
        let demander = {
            let baton = Arc::clone(&baton);
            thread::spawn(move || baton.demand())
        };
        // A gather follows, of more arrivals than there will be.
        let (is_handed, _) = baton.end(true);
        assert!(is_handed);
        let _ = demander.join().unwrap();
        assert!(!baton.relinquish(0), "the end of the gather forgets the demand");
        assert_eq!(baton.pick_up(false, || u64::MAX), PickUp::Lead, "a demand ends a gather");
    });
}

/// Of two demands that come beside each other one rings, and a gather that is over does not forget them.
#[test]
fn two_demands_ring_once_and_survive_the_end_of_a_gather() {
    explore(3, || {
        let baton = Arc::new(Baton::new());
        let demanders: Vec<_> = (0..2)
            .map(|_| {
                let baton = Arc::clone(&baton);
                thread::spawn(move || u64::from(baton.demand()))
            })
            .collect();
        let rings: u64 = demanders.into_iter().map(|demander| demander.join().unwrap()).sum();
        assert_eq!(rings, 1);
        assert!(!baton.relinquish(0));
        assert_eq!(baton.pick_up(false, || u64::MAX), PickUp::Lead);
    });
}
