//! Whole committers under random schedules: threads, tasks and callbacks that wait, a close or a drop, and a medium
//! that fails. A lost wake-up is a deadlock, which shuttle reports.
//!
//! `RUSTFLAGS="--cfg fz_shuttle" cargo test --release -p fz-commit --test shuttle`
#![cfg(fz_shuttle)]

use std::sync::Arc;
use std::time::Duration;

use fz_commit::{CommitConfig, Committer, Fault, Flusher, Medium, Ticket, WaitError};
use shuttle::rand::Rng;
use shuttle::sync::Mutex;
use shuttle::{future, rand, thread};

const ITERATIONS: usize = 6000;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Reason {
    Scripted,
    Fault(Fault),
}

#[derive(Debug, Default)]
struct State {
    accepted: u64,
    written: u64,
    stable: u64,
    is_idle: bool,
    is_closed: bool,
    batch_max: u64,
    /// Which call fails, counted from now.
    fails_at: Option<u64>,
    panics: bool,
    stopped: bool,
}

/// Any call may be preempted, before it and after.
#[derive(Clone, Debug, Default)]
struct Random(Arc<Mutex<State>>);

impl Random {
    fn call(&self, body: impl FnOnce(&mut State)) -> Result<(), Reason> {
        thread::yield_now();
        let mut state = self.0.lock().unwrap();
        assert!(!state.stopped, "it is called after its failure");
        if let Some(left) = &mut state.fails_at {
            if *left == 0 {
                state.stopped = true;
                let panics = state.panics;
                drop(state);
                assert!(!panics, "scripted");
                return Err(Reason::Scripted);
            }
            *left -= 1;
        }
        body(&mut state);
        drop(state);
        thread::yield_now();
        Ok(())
    }
}

impl Medium for Random {
    type Error = Reason;

    fn accepted(&self) -> u64 {
        self.0.lock().unwrap().accepted
    }

    fn write(&self, through: u64) -> Result<u64, Reason> {
        let mut reached = 0;
        self.call(|state| {
            state.written = through.min(state.written + state.batch_max).max(state.written);
            reached = state.written;
        })?;
        Ok(reached)
    }

    fn sync(&self, _through: u64) -> Result<(), Reason> {
        let written = self.0.lock().unwrap().written;
        self.call(|state| state.stable = written)
    }

    fn announce_idle(&self) -> bool {
        let mut state = self.0.lock().unwrap();
        state.is_idle = state.accepted == state.written;
        state.is_idle
    }

    fn refuse(&self) {
        self.0.lock().unwrap().is_closed = true;
    }

    fn discard(&self) {}

    fn fault(&self, fault: Fault) -> Reason {
        Reason::Fault(fault)
    }
}

fn random_config() -> CommitConfig {
    let mut random = rand::thread_rng();
    CommitConfig::new()
        .flush_interval(Duration::from_secs(random.gen_range(0..2) * 3600))
        .gather_max(Duration::from_secs(random.gen_range(0..2) * 3600))
        .linger_max(Duration::from_millis(random.gen_range(0..2)))
        .waiters_lead(random.gen_bool(0.7))
}

fn random_medium(fails: bool) -> Random {
    let mut random = rand::thread_rng();
    let medium = Random::default();
    {
        let mut state = medium.0.lock().unwrap();
        state.batch_max = random.gen_range(1..5);
        state.fails_at = if fails { Some(random.gen_range(0..6)) } else { None };
        state.panics = random.gen_bool(0.3);
    }
    medium
}

fn append(committer: &Committer<Random>) -> Option<Ticket<Reason>> {
    let mut state = committer.medium().0.lock().unwrap();
    if state.is_closed {
        return None;
    }
    state.accepted += 1;
    let (position, was_idle) = (state.accepted, std::mem::take(&mut state.is_idle));
    drop(state);
    if was_idle {
        committer.work_arrived();
    }
    Some(committer.ticket(position))
}

fn settle(ticket: Ticket<Reason>) -> Result<u64, Reason> {
    match rand::thread_rng().gen_range(0..5) {
        0 | 1 => ticket.wait(),
        2 => future::block_on(ticket),
        3 => ticket.wait_timeout(Duration::MAX).map_err(|error| match error {
            WaitError::Failed(reason) => reason,
            timed_out @ WaitError::TimedOut { .. } => panic!("{timed_out:?}"),
        }),
        _ => {
            // Cancelled first, then waited for anew.
            let again = ticket.clone();
            let _ = ticket.wait_timeout(Duration::ZERO);
            drop(ticket);
            again.wait()
        }
    }
}

/// Appends and waits until the committer ends. Finds stable what was declared durable.
fn writer(committer: &Committer<Random>) {
    for _ in 0..3 {
        let Some(ticket) = append(committer) else { return };
        if rand::thread_rng().gen_bool(0.2) {
            committer.demand();
        }
        if rand::thread_rng().gen_bool(0.7) {
            let position = ticket.position();
            match settle(ticket) {
                Ok(durable) => {
                    assert!(durable >= position && committer.medium().0.lock().unwrap().stable >= durable);
                }
                Err(reason) => {
                    assert!(append(committer).is_none(), "it was told of {reason:?}");
                    return;
                }
            }
        }
    }
}

fn scenario(fails: bool) {
    let medium = random_medium(fails);
    let committer = Arc::new(Committer::new(medium.clone(), random_config()).expect("a model has threads"));
    let mut watch = committer.watch();
    let watcher = thread::spawn(move || {
        let mut last = 0;
        while let Some(item) = watch.wait() {
            if let Ok(durable) = item {
                assert!(durable > last);
                last = durable;
            }
        }
        last
    });
    let writers: Vec<_> = (0..3)
        .map(|_| {
            let committer = Arc::clone(&committer);
            thread::spawn(move || writer(&committer))
        })
        .collect();
    if rand::thread_rng().gen_bool(0.3) {
        let _ = committer.close();
    }
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    let last = medium.0.lock().unwrap().accepted;
    let ticket = committer.ticket(last);
    drop(Arc::into_inner(committer).expect("the writers are gone"));
    let settled = ticket.status().expect("a drop settles every ticket");
    assert!(fails || settled.is_ok());
    let durable = ticket.durable();
    assert!(medium.0.lock().unwrap().stable >= durable);
    assert_eq!(watcher.join().unwrap(), durable, "the watch missed the final value");
}

#[test]
fn whatever_the_schedule_every_waiter_is_told() {
    shuttle::check_random(|| scenario(false), ITERATIONS);
}

#[test]
fn whatever_the_schedule_a_failure_reaches_every_waiter() {
    shuttle::check_random(|| scenario(true), ITERATIONS);
}

/// A callback on the flusher thread waits for work of its committer, or of another one of the same flusher, while a
/// thread leads rounds.
fn waits_in_a_callback(of_the_same: bool) {
    let flusher = Flusher::new(rand::thread_rng().gen_range(1..3));
    let committer = || {
        let medium = random_medium(false);
        Arc::new(Committer::new(medium, random_config().flusher(&flusher)).expect("a model has threads"))
    };
    let one = committer();
    let two = if of_the_same { Arc::clone(&one) } else { committer() };
    let (told, inner) = (Arc::new(Mutex::new(None)), Arc::clone(&two));
    let callback_told = Arc::clone(&told);
    append(&one).expect("it is open").on_durable(move |_| {
        let settled = append(&inner).expect("it is open").wait();
        *callback_told.lock().unwrap() = Some(settled);
        drop(inner);
    });
    let writer = {
        let two = Arc::clone(&two);
        thread::spawn(move || writer(&two))
    };
    writer.join().unwrap();
    while told.lock().unwrap().is_none() {
        thread::yield_now();
    }
    one.close().unwrap();
    two.close().unwrap();
    assert!(matches!(&*told.lock().unwrap(), Some(Ok(_))));
}

#[test]
fn whatever_the_schedule_a_wait_in_a_callback_ends() {
    shuttle::check_random(|| waits_in_a_callback(true), ITERATIONS);
}

#[test]
fn whatever_the_schedule_a_wait_in_a_callback_for_another_committer_ends() {
    shuttle::check_random(|| waits_in_a_callback(false), ITERATIONS);
}

/// The last handle goes in foreign code: in the medium's round, or in a callback.
#[test]
fn whatever_the_schedule_a_drop_in_a_callback_settles_all() {
    shuttle::check_random(
        || {
            let medium = random_medium(false);
            let committer = Committer::new(medium.clone(), random_config()).expect("a model has threads");
            let committer = Arc::new(committer);
            let tickets: Vec<_> = (0..4).map(|_| append(&committer).expect("it is open")).collect();
            let last = Arc::clone(&committer);
            tickets[rand::thread_rng().gen_range(0..4)].on_durable(move |_| drop(last));
            let waiters: Vec<_> =
                tickets.into_iter().map(|ticket| thread::spawn(move || settle(ticket).unwrap())).collect();
            drop(committer);
            waiters.into_iter().for_each(|waiter| assert!(waiter.join().unwrap() <= 4));
            assert_eq!(medium.0.lock().unwrap().stable, 4);
        },
        ITERATIONS,
    );
}
