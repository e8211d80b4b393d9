//! What this thread is in the midst of: rounds, and services of the flusher thread.
//!
//! A round calls foreign code: the medium, and through it wakers that wait for room or memory. What such code must not
//! do, wait for the committer that calls it, is found here and turned into a panic.
//!
//! A waker of a ticket is called after the round and may do anything. If a flusher thread calls it, and it waits for a
//! committer that the same flusher serves, there may be no other thread to lead the rounds that the flusher was handed:
//! this thread leads them.

use std::cell::RefCell;

use crate::sync::thread_local;

/// What a thread is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Within {
    /// A round, or another call of the medium under its locks.
    Round,
    /// The flusher thread's service of a committer.
    Service,
}

thread_local! {
    /// More than one if foreign code that one committer called waits for another committer.
    static ENTERED: RefCell<Vec<(Within, usize)>> = const { RefCell::new(Vec::new()) };
}

/// Until this is dropped, the thread is in it.
#[derive(Debug)]
pub(super) struct Entered {
    /// False while the thread's locals are being destroyed.
    is_noted: bool,
}

/// `name` tells the committer from others.
pub(super) fn enter(within: Within, name: usize) -> Entered {
    Entered { is_noted: ENTERED.try_with(|entered| entered.borrow_mut().push((within, name))).is_ok() }
}

pub(super) fn is_in(within: Within, name: usize) -> bool {
    ENTERED.try_with(|entered| entered.borrow().contains(&(within, name))).unwrap_or(false)
}

/// Whether the thread is a flusher's, in the service of any committer.
pub(super) fn is_in_service() -> bool {
    let is_service = |&(within, _): &(Within, usize)| within == Within::Service;
    ENTERED.try_with(|entered| entered.borrow().iter().any(is_service)).unwrap_or(false)
}

impl Drop for Entered {
    fn drop(&mut self) {
        if self.is_noted {
            let _ = ENTERED.try_with(|entered| entered.borrow_mut().pop());
        }
    }
}
