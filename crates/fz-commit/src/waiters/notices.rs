//! How the waiting tasks and the callbacks are told, by the position that each waits for.

use std::collections::BTreeMap;
use std::task::Waker;

use fz_process::foreign;

/// A place among the notices; 0 is none.
pub(crate) type Registration = u64;

/// The outcome of a position: the durable position, or the error that stopped the committer.
pub(crate) type Settled<E> = Result<u64, E>;

/// How one waiter is told that its position is settled. Foreign code, to be called without locks.
pub(crate) enum Notice<E> {
    Wake(Waker),
    Call(Box<dyn FnOnce(Settled<E>) + Send>),
}

impl<E> std::fmt::Debug for Notice<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Wake(_) => "Wake",
            Self::Call(_) => "Call",
        })
    }
}

/// The notices of all waiting tasks and callbacks, in the order of their positions.
#[derive(Debug)]
pub(crate) struct Notices<E> {
    last_registration: Registration,
    by_position: BTreeMap<(u64, Registration), Notice<E>>,
}

impl<E> Default for Notices<E> {
    fn default() -> Self {
        Self { last_registration: 0, by_position: BTreeMap::new() }
    }
}

impl<E> Notices<E> {
    #[cfg(all(test, fz_loom))]
    pub(crate) fn len(&self) -> usize {
        self.by_position.len()
    }

    /// Registers `notice` for `position`. It replaces the one that `registration` names, which is returned: its drop is
    /// foreign code.
    pub(crate) fn insert(
        &mut self,
        position: u64,
        registration: &mut Registration,
        notice: Notice<E>,
    ) -> Option<Notice<E>> {
        if *registration == 0 {
            self.last_registration += 1;
            *registration = self.last_registration;
        }
        self.by_position.insert((position, *registration), notice)
    }

    /// Whether the waker that `registration` names wakes the same task as `waker`.
    pub(crate) fn will_wake(&self, position: u64, registration: Registration, waker: &Waker) -> bool {
        let notice = self.by_position.get(&(position, registration));
        matches!(notice, Some(Notice::Wake(registered)) if registered.will_wake(waker))
    }

    /// Takes one notice back, if it is still there.
    pub(crate) fn remove(&mut self, position: u64, registration: Registration) -> Option<Notice<E>> {
        self.by_position.remove(&(position, registration))
    }

    /// Takes the notices of every position up to `last`, in order.
    pub(crate) fn take_through(&mut self, last: u64) -> BTreeMap<(u64, Registration), Notice<E>> {
        let Some(beyond) = last.checked_add(1) else { return std::mem::take(&mut self.by_position) };
        let left = self.by_position.split_off(&(beyond, 0));
        std::mem::replace(&mut self.by_position, left)
    }
}

/// Gives each notice, a task whose wakers lie side by side once. Without any lock; a panic of one keeps no other from
/// being given.
pub(crate) fn give<E: Clone>(notices: BTreeMap<(u64, Registration), Notice<E>>, settled: &Settled<E>) {
    let mut wakers = Vec::new();
    for notice in notices.into_values() {
        match notice {
            Notice::Wake(waker) => wakers.push(waker),
            Notice::Call(callback) => {
                foreign::wake_each(std::mem::take(&mut wakers));
                // The clone of an error may be foreign, too.
                let _ = foreign::call(|| callback(settled.clone()));
            }
        }
    }
    foreign::wake_each(wakers);
}
