//! Promises D and F when a waker, which is foreign code, panics: others are woken all the same, and the panic reaches
//! nobody who only pushed, drained or closed.
#![cfg(not(any(fz_loom, fz_shuttle)))]

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Poll, RawWaker, RawWakerVTable, Wake, Waker};

use fz_mpsc::{PushError, QueueConfig, channel_with_alarm};
use support::{CountingWaker, finishes, poll_once, queue};

/// As of an executor that is no more. Two of these in one unwinding would abort the process.
struct Panics;

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        panic!("a waker's own fault");
    }
}

fn panicking() -> Waker {
    Waker::from(Arc::new(Panics))
}

#[test]
fn f_wakers_that_panic_while_room_is_granted_cost_nobody_else_the_wake_up() {
    let (sender, mut receiver) = queue(3);
    (0..3).for_each(|number| assert!(sender.try_push(number).is_ok()));
    let mut faulty = [10, 11].map(|number| sender.push_async(number));
    for push in &mut faulty {
        assert!(poll_once(push, &panicking()).is_pending());
    }
    let (woken, waker) = CountingWaker::new();
    let mut behind = sender.push_async(12);
    assert!(poll_once(&mut behind, &waker).is_pending());
    assert_eq!(receiver.drain(&mut Vec::new(), 3), 3);
    assert_eq!(woken.woken(), 1);
    // The room was theirs all the same.
    for (position, push) in (4..).zip(&mut faulty) {
        assert_eq!(poll_once(push, &waker), Poll::Ready(Ok(position)));
    }
    assert_eq!(poll_once(&mut behind, &waker), Poll::Ready(Ok(6)));
}

#[test]
fn d_wakers_that_panic_at_a_close_cost_nobody_else_the_wake_up() {
    let (sender, receiver) = queue(1);
    sender.try_push(0).unwrap();
    let mut faulty = [10, 11].map(|number| sender.push_async(number));
    for push in &mut faulty {
        assert!(poll_once(push, &panicking()).is_pending());
    }
    let (woken, waker) = CountingWaker::new();
    let mut behind = sender.push_async(12);
    assert!(poll_once(&mut behind, &waker).is_pending());
    assert!(receiver.close());
    assert_eq!(woken.woken(), 1);
    assert_eq!(poll_once(&mut behind, &waker), Poll::Ready(Err(PushError::Closed(12))));
}

#[test]
fn d_a_consumer_s_waker_that_panics_spoils_neither_the_push_nor_the_alarm() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let alarm = move || {
        counted.fetch_add(1, Ordering::SeqCst);
    };
    let (sender, mut receiver) = channel_with_alarm(QueueConfig::new(2), alarm).unwrap();
    let mut wait = receiver.wait_async();
    assert!(poll_once(&mut wait, &panicking()).is_pending());
    assert_eq!(sender.try_push('x'), Ok(1));
    assert_eq!(calls.load(Ordering::SeqCst), 1, "the alarm is called beside the waker");
    assert_eq!(poll_once(&mut wait, Waker::noop()), Poll::Ready(true));
}

/// Whether the next drop of a fragile waker panics.
static BREAKS: AtomicBool = AtomicBool::new(false);

/// A waker that may panic when it, or a copy of it, is dropped, which a [`Wake`] cannot.
fn fragile() -> Waker {
    fn copy(_: *const ()) -> RawWaker {
        RawWaker::new(std::ptr::null(), &FUNCTIONS)
    }
    fn wake(_: *const ()) {}
    fn drop(_: *const ()) {
        assert!(!BREAKS.swap(false, Ordering::SeqCst), "the drop of a waker panics");
    }
    static FUNCTIONS: RawWakerVTable = RawWakerVTable::new(copy, wake, wake, drop);
    // SAFETY: the functions do not look at the pointer, and may be called from any thread.
    unsafe { Waker::from_raw(copy(std::ptr::null())) }
}

/// The place in the queue would stay empty, and the consumer would wait for it.
#[test]
fn f_a_waker_whose_drop_panics_leaves_no_claimed_place_unfilled() {
    finishes(|| {
        let (sender, mut receiver) = queue(1);
        sender.try_push(0).unwrap();
        let mut push = sender.push_async(10);
        assert!(poll_once(&mut push, Waker::noop()).is_pending());
        let mut values = Vec::new();
        assert_eq!(receiver.drain(&mut values, 1), 1);
        let waker = fragile();
        BREAKS.store(true, Ordering::SeqCst);
        catch_unwind(AssertUnwindSafe(|| poll_once(&mut push, &waker))).expect_err("its copy was dropped");
        assert_eq!(receiver.drain(&mut values, 1), 1);
        assert_eq!(values, [0, 10]);
        assert_eq!(sender.try_push(20), Ok(3), "the queue goes on");
    });
}
