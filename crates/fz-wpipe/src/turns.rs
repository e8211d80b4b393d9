//! The turns of who gives way to others before it sleeps.

use std::time::{Duration, Instant};

use crate::core::nanos;
use crate::gathering::Gathering;
use crate::sync::thread;

/// How long a thread that lingers has been at it.
#[derive(Debug)]
pub(crate) struct Turns {
    limit: Duration,
    began: Instant,
    taken: u32,
}

impl Turns {
    pub(crate) fn new(limit: Duration) -> Self {
        Self { limit, began: Instant::now(), taken: 0 }
    }

    pub(crate) fn are_over(&mut self) -> bool {
        self.taken += 1;
        // A model has no clock.
        if cfg!(fz_shuttle) { self.taken > 2 } else { self.began.elapsed() > self.limit }
    }
}

/// A task that lingers: each time it is polled it wakes itself, so that its executor polls whatever else is
/// ready and then this task again, instead of putting its thread to sleep.
///
/// Waking a thread on an idle processor takes about as long as a fast disk's sync, see `Core::linger`. No poll
/// blocks. Who else wants the processor gets it: other threads by `sched_yield(2)`, and other tasks because a
/// turn that comes late ends the lingering; an executor that has other work does not sleep anyway. (A thread
/// that gets the processor and keeps it for long ends it too, by the limit.)
#[derive(Debug)]
pub(crate) struct TaskTurns {
    /// When the last turn was taken, in nanoseconds of the pipe's life; 0 if the task does not linger.
    last: u64,
    /// When it ends in any case.
    until: u64,
}

/// How long after the last one a turn is late, in nanoseconds. An executor with nothing else to do takes
/// 100 ns for one, or some microseconds if it calls another of its threads to help.
const LATE: u64 = 10_000;

/// How often a task that lingers gives way to other threads, in nanoseconds. Not each turn, because the
/// tasks that *yield* to others may have to wait for dozens of turns: some executors call them only every
/// so often as long as another task is ready.
const GIVES_WAY_EACH: u64 = 2048;

impl TaskTurns {
    pub(crate) const NONE: Self = Self { last: 0, until: 0 };

    /// A task begins to wait, as the `arrival`th: whether it lingers, and so is to wake itself.
    pub(crate) fn begin(&mut self, gathering: &Gathering, arrival: u64) -> bool {
        let Some(until) = gathering.begin_linger(arrival) else { return false };
        *self = Self { last: self.now(gathering), until };
        true
    }

    /// The task is polled, and its ticket is not settled: whether it lingers on, and so is to wake itself.
    pub(crate) fn take(&mut self, gathering: &Gathering) -> bool {
        if self.last == 0 {
            return false;
        }
        let (last, now) = (self.last, self.now(gathering));
        if now.saturating_sub(last) > LATE || now >= self.until {
            self.last = 0;
            return false;
        }
        self.last = now;
        if now / GIVES_WAY_EACH != last / GIVES_WAY_EACH {
            thread::yield_now();
            // What the others took is not the executor's.
            self.last = self.now(gathering);
        }
        true
    }

    /// The age of the pipe in nanoseconds: not 0, as it had a round. A model has no clock, and the third turn is late.
    fn now(&self, gathering: &Gathering) -> u64 {
        if cfg!(fz_shuttle) { self.last * GIVES_WAY_EACH + 1 } else { nanos(gathering.age()) }
    }
}

#[cfg(test)]
#[cfg(not(any(fz_loom, fz_shuttle)))]
mod tests {
    use std::pin::Pin;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Poll, Wake, Waker};

    use super::*;
    use crate::WriteTicket;
    use crate::completion::{Completion, wake_each_once};
    use crate::gathering::RoundEnd;

    const HOUR: Duration = Duration::from_secs(3600);

    #[derive(Default)]
    struct Counting(AtomicUsize);

    impl Wake for Counting {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Polls it with a new waker, and returns how often this was woken.
    fn poll(ticket: &mut WriteTicket) -> Arc<Counting> {
        let counting = Arc::new(Counting::default());
        let waker = Waker::from(Arc::clone(&counting));
        assert!(Pin::new(ticket).poll(&mut Context::from_waker(&waker)).is_pending());
        counting
    }

    fn woken(counting: &Counting) -> usize {
        counting.0.load(Ordering::SeqCst)
    }

    /// Ends a round that settled so many tasks, which have an hour to come back.
    fn end_round(completion: &Completion, tasks: usize, change: impl FnOnce(&mut RoundEnd)) {
        let at = completion.gathering.age();
        let mut end = RoundEnd {
            taken: 0,
            arrivals: 0,
            tasks,
            is_cut: false,
            at,
            sync: HOUR,
            gather_max: HOUR,
            linger: Some(HOUR),
        };
        change(&mut end);
        completion.gathering.plan(&end);
    }

    /// After the first such round.
    fn settled(tasks: usize, change: impl FnOnce(&mut RoundEnd)) -> Arc<Completion> {
        let completion = Arc::new(Completion::new());
        end_round(&completion, tasks, change);
        completion
    }

    fn tickets(completion: &Arc<Completion>, count: u64) -> Vec<WriteTicket> {
        (1..=count).map(|epoch| WriteTicket::new(epoch, completion)).collect()
    }

    fn wake_ups(completion: &Arc<Completion>, count: u64) -> Vec<usize> {
        tickets(completion, count).iter_mut().map(|ticket| woken(&poll(ticket))).collect()
    }

    #[test]
    fn only_the_last_of_those_who_were_expected_wakes_itself() {
        assert_eq!(wake_ups(&settled(1, |_| ()), 3), [1, 0, 0]);
        let completion = settled(3, |_| ());
        assert!(!completion.gathering.take_lingered());
        assert_eq!(wake_ups(&completion, 5), [0, 0, 1, 0, 0]);
        assert!(completion.gathering.take_lingered(), "the flusher thread does not hear of it");
        assert!(!completion.gathering.take_lingered(), "it hears of it twice");
    }

    #[test]
    fn nobody_lingers_who_may_not_or_comes_late() {
        assert_eq!(wake_ups(&settled(0, |_| ()), 2), [0, 0], "no task was there before");
        assert_eq!(wake_ups(&settled(2, |end| end.linger = None), 2), [0, 0]);
        assert_eq!(wake_ups(&settled(2, |end| end.is_cut = true), 2), [0, 0], "the next round has its work");
        assert!(!settled(2, |_| ()).gathering.is_complete(0));
        assert!(settled(2, |end| end.is_cut = true).gathering.is_complete(0), "a round waits although it has work");
        let completion = settled(2, |end| end.sync = Duration::from_nanos(10));
        std::thread::sleep(Duration::from_millis(1));
        assert_eq!(wake_ups(&completion, 2), [0, 0]);
        assert!(!completion.gathering.take_lingered());
    }

    #[test]
    fn one_task_is_waited_for_however_slowly_many_came() {
        let completion = settled(2, |_| ());
        let gathering = &completion.gathering;
        assert!(!gathering.is_complete(1), "the first has come");
        gathering.account(2, gathering.age() + HOUR);
        end_round(&completion, 1, |end| end.sync = HOUR / 60);
        assert_eq!(wake_ups(&completion, 1), [1]);
    }

    /// A ticket that lingers, polled once more with the waker that is returned.
    fn lingering() -> (Arc<Completion>, WriteTicket, Arc<Counting>) {
        for _ in 0..100_000 {
            let completion = settled(1, |_| ());
            let mut ticket = WriteTicket::new(1, &completion);
            assert_eq!(woken(&poll(&mut ticket)), 1);
            let again = poll(&mut ticket);
            // Else this thread was interrupted, and its turn was late.
            if ticket.turns().last != 0 {
                return (completion, ticket, again);
            }
        }
        panic!("it never lingers")
    }

    #[test]
    fn each_poll_wakes_its_own_waker_or_leaves_it() {
        let (completion, mut ticket, again) = lingering();
        assert_eq!(woken(&again), 1, "neither woken nor left");
        std::thread::sleep(Duration::from_millis(1));
        let late = poll(&mut ticket);
        assert_eq!((woken(&late), ticket.turns().last), (0, 0), "the turn was late");
        let last = poll(&mut ticket);
        completion.begin_round(1);
        wake_each_once(completion.publish(1).expect("nothing failed").wakers);
        assert_eq!((woken(&again), woken(&late), woken(&last)), (1, 0, 1));
        let ready = Pin::new(&mut ticket).poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(ready, Poll::Ready(Ok(1))));
    }

    #[test]
    fn the_time_for_it_ends() {
        // By a clock that stands still, no turn is late.
        let completion = settled(1, |_| ());
        let now = nanos(completion.gathering.age());
        let turns = |until| TaskTurns { last: now + 1_000_000_000, until };
        assert!(!turns(now).take(&completion.gathering));
        assert!(turns(u64::MAX).take(&completion.gathering));
        // The next round's plan does not prolong it.
        let completion = settled(1, |end| end.linger = Some(Duration::from_nanos(1)));
        let mut ticket = WriteTicket::new(1, &completion);
        assert_eq!(woken(&poll(&mut ticket)), 1, "it came in time");
        let until = ticket.turns().until;
        end_round(&completion, 1, |end| (end.taken, end.arrivals) = (1, 1));
        assert_eq!(ticket.turns().until, until);
        let last = poll(&mut ticket);
        assert_eq!((woken(&last), ticket.turns().last), (0, 0));
    }

    #[test]
    fn a_timed_wait_lingers_and_ends() {
        let completion = settled(1, |_| ());
        let waited = Duration::from_millis(1);
        let error = WriteTicket::new(1, &completion).wait_timeout(waited).unwrap_err();
        assert_eq!(*error.kind(), crate::PipeErrorKind::TimedOut { epoch: 1, durable: 0, waited });
        assert!(completion.gathering.take_lingered());
    }

    #[test]
    fn a_clone_waits_on_its_own() {
        let (completion, ticket, _) = lingering();
        let mut clone = ticket.clone();
        assert_eq!(woken(&poll(&mut clone)), 0);
        drop(ticket);
        completion.begin_round(1);
        assert_eq!(completion.publish(1).expect("nothing failed").wakers.len(), 1, "a waker is kept");
    }
}
