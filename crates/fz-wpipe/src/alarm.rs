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
    /// Somebody waits for a round, or the queue fills.
    Demand,
    /// The pipe closes.
    Stop,
}

const DEMAND: u32 = 1 << 0;
const STOP: u32 = 1 << 1;

#[cfg(all(target_os = "linux", not(any(fz_loom, fz_shuttle))))]
pub(crate) use descriptors::Alarm;
#[cfg(not(all(target_os = "linux", not(any(fz_loom, fz_shuttle)))))]
pub(crate) use portable::Alarm;

#[cfg(all(target_os = "linux", not(any(fz_loom, fz_shuttle))))]
mod descriptors {
    use std::io;
    use std::os::fd::AsFd;
    use std::sync::atomic::{AtomicU32, Ordering};

    use nix::errno::Errno;
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use nix::sys::eventfd::{EfdFlags, EventFd};
    use nix::sys::time::TimeSpec;
    use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

    use super::{Cause, DEMAND, Duration, STOP};

    /// See the module. `demand` costs a system call only if none is pending.
    #[derive(Debug)]
    pub(crate) struct Alarm {
        flags: AtomicU32,
        /// Readable while `flags` may be set.
        event: EventFd,
        timer: TimerFd,
    }

    impl Alarm {
        pub(crate) fn new() -> io::Result<Self> {
            Ok(Self {
                flags: AtomicU32::new(0),
                event: EventFd::from_value_and_flags(0, EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?,
                timer: TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK)?,
            })
        }

        /// Sets the deadline, in place of the one before.
        pub(crate) fn set(&self, after: Duration) {
            // Zero would take the deadline away.
            let after = TimeSpec::from_duration(after.max(Duration::from_nanos(1)));
            let set = self.timer.set(Expiration::OneShot(after), TimerSetTimeFlags::empty());
            // timerfd_settime(2) fails only for a bad descriptor, address, flag or time.
            debug_assert!(set.is_ok(), "{set:?}");
        }

        pub(crate) fn demand(&self) {
            self.raise(DEMAND);
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

        /// Sleeps until there is a cause. Stop comes before demand, demand before deadline.
        pub(crate) fn wait(&self) -> Cause {
            loop {
                let mut ready = [
                    PollFd::new(self.event.as_fd(), PollFlags::POLLIN),
                    PollFd::new(self.timer.as_fd(), PollFlags::POLLIN),
                ];
                match poll(&mut ready, PollTimeout::NONE) {
                    Ok(_) | Err(Errno::EINTR) => {}
                    Err(errno) => panic!("poll(2) of the flusher's alarm: {errno}"),
                }
                let is_ready = |index: usize| ready[index].any().unwrap_or(false);
                if is_ready(0) {
                    // Before the flags: a demand between the two makes it readable again.
                    let _ = self.event.read();
                    // The demand is taken, the stop stays.
                    let flags = self.flags.fetch_and(!DEMAND, Ordering::AcqRel);
                    if flags & STOP != 0 {
                        return Cause::Stop;
                    }
                    if flags & DEMAND != 0 {
                        return Cause::Demand;
                    }
                }
                // It may have been set anew since; then the read finds nothing.
                if is_ready(1) && self.timer.wait().is_ok() {
                    return Cause::Deadline;
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

    use super::{Cause, DEMAND, Duration, STOP};

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

        /// Sets the deadline, in place of the one before.
        #[cfg(not(fz_shuttle))]
        pub(crate) fn set(&self, after: Duration) {
            self.state().deadline = std::time::Instant::now().checked_add(after);
            self.changed.notify_one();
        }

        #[cfg(fz_shuttle)]
        pub(crate) fn set(&self, _after: Duration) {
            self.state().deadline = true;
            self.changed.notify_one();
        }

        pub(crate) fn demand(&self) {
            self.raise(DEMAND);
        }

        pub(crate) fn stop(&self) {
            self.raise(STOP);
        }

        fn raise(&self, flag: u32) {
            self.state().flags |= flag;
            self.changed.notify_one();
        }

        /// Sleeps until there is a cause. Stop comes before demand, demand before deadline.
        pub(crate) fn wait(&self) -> Cause {
            let mut state = self.state();
            loop {
                if state.flags & STOP != 0 {
                    return Cause::Stop;
                }
                if std::mem::take(&mut state.flags) & DEMAND != 0 {
                    return Cause::Demand;
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
