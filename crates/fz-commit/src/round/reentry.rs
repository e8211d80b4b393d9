//! The rounds that this thread is in.
//!
//! A round calls foreign code: the medium, and through it wakers that wait for room or memory. What such code must not
//! do, wait for the committer that calls it, is found here and turned into a panic.

use std::cell::RefCell;

use crate::sync::thread_local;

thread_local! {
    /// More than one if foreign code that one committer called waits for another committer.
    static ENTERED: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}

/// Until this is dropped, the thread is in a round of that committer.
#[derive(Debug)]
pub(super) struct Inside {
    /// False while the thread's locals are being destroyed.
    is_noted: bool,
}

pub(super) fn enter(name: usize) -> Inside {
    Inside { is_noted: ENTERED.try_with(|entered| entered.borrow_mut().push(name)).is_ok() }
}

pub(super) fn contains(name: usize) -> bool {
    ENTERED.try_with(|entered| entered.borrow().contains(&name)).unwrap_or(false)
}

impl Drop for Inside {
    fn drop(&mut self) {
        if self.is_noted {
            let _ = ENTERED.try_with(|entered| entered.borrow_mut().pop());
        }
    }
}
