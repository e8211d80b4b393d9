//! What wakes the flusher thread: a deadline, a demand, or the end.
//!
//! The deadline can be set by another thread *without waking the sleeper*: the first write after a
//! pause sets it, and the flusher wakes once, when it has come. A condition variable cannot do
//! that, a Linux timer descriptor can; elsewhere setting the deadline costs one wake-up more.

use std::time::Duration;

/// Why [`Alarm::wait`] returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The deadline came.
    Deadline,
    /// Somebody waits for a round.
    Demand,
    /// The queue fills.
    Filling,
    /// The pipe closes.
    Stop,
}

const DEMAND: u32 = 1 << 0;
const STOP: u32 = 1 << 1;
const FILLING: u32 = 1 << 2;

/// The first of the causes that stand; whatever else was asked for, a demand serves.
fn first_of(flags: u32) -> Option<Cause> {
    [(STOP, Cause::Stop), (DEMAND, Cause::Demand), (FILLING, Cause::Filling)]
        .into_iter()
        .find_map(|(flag, cause)| (flags & flag != 0).then_some(cause))
}

#[cfg(all(target_os = "linux", not(any(fz_loom, fz_shuttle))))]
pub(crate) use descriptors::Alarm;
#[cfg(not(all(target_os = "linux", not(any(fz_loom, fz_shuttle)))))]
pub(crate) use portable::Alarm;

#[cfg(all(target_os = "linux", not(any(fz_loom, fz_shuttle))))]
mod descriptors {
    use std::io;
    use std::sync::atomic::{AtomicU32, Ordering};

    use nix::errno::Errno;
    use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
    use nix::sys::eventfd::{EfdFlags, EventFd};
    use nix::sys::time::TimeSpec;
    use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
    use nix::time::clock_gettime;

    use super::{Cause, DEMAND, Duration, FILLING, STOP, first_of};
    use crate::deadline::{Deadline, Timer};

    /// The names of the descriptors.
    const EVENT: u64 = 0;
    const TIMER: u64 = 1;

    impl Timer for TimerFd {
        fn set(&self, at: Duration) {
            let at = Expiration::OneShot(TimeSpec::from_duration(at));
            let set = self.set(at, TimerSetTimeFlags::TFD_TIMER_ABSTIME);
            // timerfd_settime(2) fails only for a bad descriptor, address, flag or time.
            debug_assert!(set.is_ok(), "{set:?}");
        }
    }

    fn now() -> Duration {
        // clock_gettime(2) fails only for a clock that is not there.
        clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from)
    }

    /// See the module. `demand` costs a system call only if none is pending, `set` only if no deadline
    /// is that comes sooner.
    ///
    /// Both descriptors are watched for *edges*: each write and each expiration is told once, so that
    /// neither is ever read, and to sleep and to wake is one system call.
    #[derive(Debug)]
    pub(crate) struct Alarm {
        flags: AtomicU32,
        /// Written when `flags` are set.
        event: EventFd,
        deadline: Deadline<TimerFd>,
        both: Epoll,
    }

    impl Alarm {
        pub(crate) fn new() -> io::Result<Self> {
            let event = EventFd::from_value_and_flags(0, EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
            let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK)?;
            let both = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
            let edges = EpollFlags::EPOLLIN | EpollFlags::EPOLLET;
            both.add(&event, EpollEvent::new(edges, EVENT))?;
            both.add(&timer, EpollEvent::new(edges, TIMER))?;
            Ok(Self { flags: AtomicU32::new(0), event, deadline: Deadline::new(timer), both })
        }

        /// Sets the deadline, if there is none that comes sooner.
        pub(crate) fn set(&self, after: Duration) {
            self.deadline.set(now() + after);
        }

        /// What `wait` has yet to tell of, but for the deadline.
        #[cfg(test)]
        pub(crate) fn asked(&self) -> Option<Cause> {
            first_of(self.flags.load(Ordering::Relaxed))
        }

        #[cfg(test)]
        pub(super) fn is_set(&self) -> bool {
            self.deadline.timer().get().unwrap().is_some()
        }

        pub(crate) fn demand(&self) {
            self.raise(DEMAND);
        }

        pub(crate) fn filling(&self) {
            self.raise(FILLING);
        }

        pub(crate) fn stop(&self) {
            self.raise(STOP);
        }

        fn raise(&self, flag: u32) {
            // AcqRel: pairs with the `fetch_and` in `wait`: what the demander did before is seen
            // by the flusher that takes the demand, also if an earlier demand made the call.
            if self.flags.fetch_or(flag, Ordering::AcqRel) & flag == 0 {
                // eventfd(2): fails only if the counter would overflow, and then it is readable.
                let _ = self.event.write(1);
            }
        }

        /// Sleeps until there is a cause. Stop comes before demand, demand before filling.
        pub(crate) fn wait(&self) -> Cause {
            // One at a time: an edge that is told and not served is lost.
            let mut told = [EpollEvent::empty()];
            loop {
                match self.both.wait(&mut told, EpollTimeout::NONE) {
                    Ok(1) => {}
                    Ok(_) | Err(Errno::EINTR) => continue,
                    Err(errno) => panic!("epoll_wait(2) of the flusher's alarm: {errno}"),
                }
                if told[0].data() == TIMER {
                    self.deadline.clear();
                    return Cause::Deadline;
                }
                // What is asked for is taken, the stop stays.
                if let Some(cause) = first_of(self.flags.fetch_and(STOP, Ordering::AcqRel)) {
                    return cause;
                }
            }
        }
    }
}

#[cfg(not(all(target_os = "linux", not(any(fz_loom, fz_shuttle)))))]
mod portable {
    use std::io;
    use std::sync::PoisonError;

    #[cfg(fz_shuttle)]
    use shuttle::sync::{Condvar, Mutex, MutexGuard};
    #[cfg(not(fz_shuttle))]
    use std::sync::{Condvar, Mutex, MutexGuard};

    use super::{Cause, DEMAND, Duration, FILLING, STOP, first_of};

    #[derive(Debug, Default)]
    struct State {
        flags: u32,
        #[cfg(not(fz_shuttle))]
        deadline: Option<std::time::Instant>,
        /// A model has no clock: a deadline has always come.
        #[cfg(fz_shuttle)]
        deadline: bool,
    }

    /// See the module: this one wakes the sleeper when the deadline is set.
    #[derive(Debug)]
    pub(crate) struct Alarm {
        state: Mutex<State>,
        changed: Condvar,
    }

    impl Alarm {
        pub(crate) fn new() -> io::Result<Self> {
            Ok(Self { state: Mutex::new(State::default()), changed: Condvar::new() })
        }

        fn state(&self) -> MutexGuard<'_, State> {
            self.state.lock().unwrap_or_else(PoisonError::into_inner)
        }

        /// Sets the deadline, if there is none that comes sooner.
        #[cfg(not(fz_shuttle))]
        pub(crate) fn set(&self, after: Duration) {
            let mut state = self.state();
            let at = std::time::Instant::now().checked_add(after);
            if state.deadline.is_none_or(|set| at.is_some_and(|at| at < set)) {
                state.deadline = at;
                self.changed.notify_one();
            }
        }

        #[cfg(fz_shuttle)]
        pub(crate) fn set(&self, _after: Duration) {
            self.state().deadline = true;
            self.changed.notify_one();
        }

        /// What `wait` has yet to tell of, but for the deadline.
        #[cfg(all(test, not(any(fz_loom, fz_shuttle))))]
        pub(crate) fn asked(&self) -> Option<Cause> {
            first_of(self.state().flags)
        }

        pub(crate) fn demand(&self) {
            self.raise(DEMAND);
        }

        pub(crate) fn filling(&self) {
            self.raise(FILLING);
        }

        pub(crate) fn stop(&self) {
            self.raise(STOP);
        }

        fn raise(&self, flag: u32) {
            self.state().flags |= flag;
            self.changed.notify_one();
        }

        /// Sleeps until there is a cause. Stop comes before demand, demand before filling, that before deadline.
        pub(crate) fn wait(&self) -> Cause {
            let mut state = self.state();
            loop {
                let flags = state.flags;
                state.flags &= STOP;
                if let Some(cause) = first_of(flags) {
                    return cause;
                }
                #[cfg(fz_shuttle)]
                {
                    if std::mem::take(&mut state.deadline) {
                        return Cause::Deadline;
                    }
                    state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
                #[cfg(not(fz_shuttle))]
                {
                    let Some(at) = state.deadline else {
                        state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                        continue;
                    };
                    let left = at.saturating_duration_since(std::time::Instant::now());
                    if left.is_zero() {
                        state.deadline = None;
                        return Cause::Deadline;
                    }
                    state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
                }
            }
        }
    }
}

#[cfg(test)]
#[cfg(not(any(fz_loom, fz_shuttle)))]
mod tests {
    use super::*;
    use crate::watchdog::finishes;

    const LONG: Duration = Duration::from_secs(1 << 20);

    #[test]
    fn the_sooner_of_two_deadlines_comes() {
        finishes(|| {
            let alarm = Alarm::new().unwrap();
            alarm.set(LONG);
            alarm.set(Duration::ZERO);
            assert_eq!(alarm.wait(), Cause::Deadline);
            alarm.set(Duration::ZERO);
            alarm.set(LONG);
            assert_eq!(alarm.wait(), Cause::Deadline);
            // Each was told once: what is told next is what was asked for next.
            alarm.demand();
            assert_eq!(alarm.wait(), Cause::Demand);
            alarm.set(Duration::ZERO);
            assert_eq!(alarm.wait(), Cause::Deadline);
        });
    }

    #[test]
    fn a_demand_takes_no_deadline_with_it() {
        finishes(|| {
            let alarm = Alarm::new().unwrap();
            alarm.set(Duration::ZERO);
            alarm.demand();
            alarm.demand();
            let mut causes = [alarm.wait(), alarm.wait()];
            causes.sort_unstable_by_key(|cause| *cause == Cause::Demand);
            assert_eq!(causes, [Cause::Deadline, Cause::Demand]);
            alarm.stop();
            assert_eq!(alarm.wait(), Cause::Stop);
        });
    }

    #[test]
    fn a_demand_serves_the_filling_too() {
        finishes(|| {
            let alarm = Alarm::new().unwrap();
            alarm.filling();
            assert_eq!(alarm.wait(), Cause::Filling);
            alarm.filling();
            alarm.demand();
            assert_eq!(alarm.wait(), Cause::Demand);
            // The filling is not told after it.
            alarm.set(Duration::ZERO);
            assert_eq!(alarm.wait(), Cause::Deadline);
            alarm.filling();
            alarm.stop();
            assert_eq!(alarm.wait(), Cause::Stop);
        });
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_deadline_that_came_stands_for_no_other() {
        finishes(|| {
            let alarm = Alarm::new().unwrap();
            alarm.set(Duration::ZERO);
            assert_eq!(alarm.wait(), Cause::Deadline);
            assert!(!alarm.is_set());
            alarm.set(LONG);
            assert!(alarm.is_set());
        });
    }
}
