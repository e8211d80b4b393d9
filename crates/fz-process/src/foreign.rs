//! Calls of code that the library does not know: wakers, callbacks, recorders, the drop of a user's value.
//!
//! Such code may panic in each of its parts, also in a drop and also in the drop of the panic's payload. It is called
//! without any lock of the library, and through [`call`], so that the panic reaches no caller that has nothing to do
//! with it.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Waker;

/// Calls `body` and returns its value, or `None` if it panicked.
///
/// The panic hook has reported the panic. `body` must leave nothing of the library's half done: pass values in, and
/// take no lock in it.
///
/// # Examples
///
/// ```
/// # std::panic::set_hook(Box::new(|_| ()));
/// assert_eq!(fz_process::foreign::call(|| 7), Some(7));
/// assert_eq!(fz_process::foreign::call(|| -> u8 { panic!("of the caller's making") }), None);
/// ```
pub fn call<R>(body: impl FnOnce() -> R) -> Option<R> {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(value) => Some(value),
        Err(payload) => {
            dispose(payload);
            None
        }
    }
}

/// Drops a panic's payload, whose drop may panic in its turn.
///
/// # Examples
///
/// ```
/// # std::panic::set_hook(Box::new(|_| ()));
/// let payload = std::panic::catch_unwind(|| panic!("reported by the hook")).unwrap_err();
/// fz_process::foreign::dispose(payload);
/// ```
pub fn dispose(payload: Box<dyn Any + Send>) {
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        // A payload that panics when it is dropped may contain another one of its kind: leaking it ends the chain.
        std::mem::forget(second);
    }
}

/// Wakes a task. A panic in the waker's `wake` ends here.
///
/// # Examples
///
/// ```
/// fz_process::foreign::wake(std::task::Waker::noop().clone());
/// ```
pub fn wake(waker: Waker) {
    let _ = call(|| waker.wake());
}

/// Wakes the task of each waker, in order; a task whose wakers lie side by side is woken once.
///
/// A panic in a waker's `wake` or `drop` ends there; the tasks after it are woken all the same.
///
/// # Examples
///
/// ```
/// fz_process::foreign::wake_each(vec![std::task::Waker::noop().clone(); 3]);
/// ```
pub fn wake_each(wakers: Vec<Waker>) {
    let mut wakers = wakers.into_iter().peekable();
    while let Some(waker) = wakers.next() {
        let is_repeated = wakers.peek().is_some_and(|next| next.will_wake(&waker));
        let _ = call(|| if is_repeated { drop(waker) } else { waker.wake() });
    }
}

/// A copy of `waker`, or `None` if its `clone` panicked.
///
/// # Examples
///
/// ```
/// assert!(fz_process::foreign::clone(std::task::Waker::noop()).is_some());
/// ```
#[must_use]
pub fn clone(waker: &Waker) -> Option<Waker> {
    call(|| waker.clone())
}

/// Drops a value whose drop is the user's code. A panic in it ends here.
///
/// # Examples
///
/// ```
/// fz_process::foreign::discard(vec![1, 2, 3]);
/// ```
pub fn discard<T>(value: T) {
    let _ = call(|| drop(value));
}
