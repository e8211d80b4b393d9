//! The rounds that this thread is in.
//!
//! A round calls foreign code: wakers that wait for room or memory, and a user's `Storage`. What that
//! code must not do, wait for the pipe that calls it, is found here and turned into a panic.

use std::cell::RefCell;

use crate::core::Core;
use crate::sync::thread_local;

thread_local! {
    /// More than one if a waker that one pipe called waits for another pipe.
    static ENTERED: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}

fn name(core: &Core) -> usize {
    std::ptr::from_ref(core).addr()
}

/// Until this is dropped, the thread is in a round of that pipe.
#[derive(Debug)]
pub(crate) struct Entered {
    /// False while the thread's locals are being destroyed.
    is_noted: bool,
}

pub(crate) fn enter(core: &Core) -> Entered {
    Entered { is_noted: ENTERED.try_with(|entered| entered.borrow_mut().push(name(core))).is_ok() }
}

pub(crate) fn contain(core: &Core) -> bool {
    ENTERED.try_with(|entered| entered.borrow().contains(&name(core))).unwrap_or(false)
}

impl Drop for Entered {
    fn drop(&mut self) {
        if self.is_noted {
            let _ = ENTERED.try_with(|entered| entered.borrow_mut().pop());
        }
    }
}
