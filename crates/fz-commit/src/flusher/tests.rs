//! The end of a committer beside the thread that serves it.

use std::sync::mpsc::{Receiver, Sender, channel};

use super::*;

/// Sets a timer at the end of its service, when it is told to.
struct SetsATimer {
    duty: Duty,
    is_served: Sender<()>,
    go_on: std::sync::Mutex<Receiver<()>>,
}

impl Serve for SetsATimer {
    fn serve(&self) {
        self.is_served.send(()).expect("the test waits for it");
        let _ = self.go_on.lock().expect("no panic").recv();
        self.duty.set_timer(Duration::from_secs(3600));
    }

    fn finish(&self) {}
}

/// Seen once in a thousand closes: a service set the timer of a gather beside the end. When it was due, the thread
/// of the flusher looked for its job for ever, with the schedule locked.
#[test]
fn e_a_timer_that_is_set_beside_the_end_goes_with_the_committer() {
    let flusher = Flusher::new(1);
    let duty = flusher.place().expect("a thread more");
    let (is_served, served) = channel();
    let (go, go_on) = channel();
    let own = Duty { handle: Arc::clone(&duty.handle), id: duty.id };
    duty.begin(Arc::new(SetsATimer { duty: own, is_served, go_on: go_on.into() }));
    duty.ring();
    served.recv().expect("the thread serves it");
    duty.set_timer(Duration::from_secs(3600));
    let schedule = || lock(&flusher.handle.shared.schedule);
    std::thread::scope(|scope| {
        scope.spawn(|| duty.end(false));
        // The end clears the timer first, and then waits for the thread.
        while !schedule().timers.is_empty() {
            std::thread::yield_now();
        }
        go.send(()).expect("it is being served");
    });
    assert!(schedule().timers.is_empty(), "a timer of no job");
}

/// A schedule of `jobs` jobs, the timers of which are due.
fn due(jobs: u64) -> (Schedule, Instant) {
    let now = Instant::now();
    let mut schedule = Schedule::default();
    for id in 1..=jobs {
        schedule.jobs.insert(id, Job::default());
        schedule.set_timer(id, Some(now));
    }
    (schedule, now)
}

/// Found by the simulation: a committer whose timer was set between its end's first look and its removal left a
/// timer that was due for ever, and the flusher thread never came to its end.
#[test]
fn i_a_committer_that_ends_takes_its_timer_with_it() {
    let (mut schedule, _) = due(1);
    assert!(schedule.remove(1).is_some());
    assert!(schedule.timers.is_empty());
    assert!(schedule.remove(1).is_none());
}

#[test]
fn d_a_committer_that_ended_holds_no_other_ones_timer_up() {
    let (mut schedule, now) = due(3);
    drop(schedule.remove(1));
    schedule.queue_due(now);
    assert_eq!(schedule.ready, [2, 3]);
    assert!(schedule.timers.is_empty());
}

#[test]
fn a_timer_is_replaced_and_a_job_is_queued_once() {
    let (mut schedule, now) = due(1);
    schedule.set_timer(1, Some(now + Duration::from_secs(3600)));
    schedule.queue_due(now);
    assert!(schedule.ready.is_empty(), "it is due later now");
    assert!(schedule.queue(1) && !schedule.queue(1));
    assert_eq!(schedule.ready, [1]);
}
