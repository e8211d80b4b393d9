//! A panic in foreign code ends where the code was called.

use std::panic::panic_any;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{RawWaker, RawWakerVTable, Wake, Waker};

use fz_process::foreign;

struct Counting(AtomicUsize);

impl Wake for Counting {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A panic's payload whose drop panics with another one, without end.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic_any(Bomb);
        }
    }
}

/// A waker every part of which panics, but for its clone.
fn panicking() -> Waker {
    const TABLE: RawWakerVTable = RawWakerVTable::new(
        |data| RawWaker::new(data, &TABLE),
        |_| panic_any(Bomb),
        |_| panic!("wake_by_ref"),
        |_| panic!("drop"),
    );
    // SAFETY: the functions ignore their argument, so they may be called with anything from any thread.
    unsafe { Waker::from_raw(RawWaker::new(std::ptr::null(), &TABLE)) }
}

#[test]
fn the_tasks_behind_a_panicking_waker_are_woken() {
    let counting = Arc::new(Counting(AtomicUsize::new(0)));
    let waker = || Waker::from(Arc::clone(&counting));
    let other = Arc::new(Counting(AtomicUsize::new(0)));
    // Two of the same panicking task: the first is dropped, the second is woken, and both panic.
    foreign::wake_each(vec![waker(), panicking(), panicking(), waker(), waker(), Arc::clone(&other).into(), waker()]);
    assert_eq!(counting.0.load(Ordering::Relaxed), 3, "side by side, it is woken once");
    assert_eq!(other.0.load(Ordering::Relaxed), 1);
}

#[test]
fn a_payload_that_panics_when_dropped_is_contained() {
    assert_eq!(foreign::call(|| -> u8 { panic_any(Bomb) }), None);
    foreign::wake(panicking());
    foreign::discard(panicking());
    assert!(foreign::clone(Waker::noop()).is_some());
}
