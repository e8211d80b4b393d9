//! Promises D and F when a waker or a wake function, which is foreign code, panics: other tasks are woken all the same,
//! and the panic reaches no thread that only pushed, drained or closed.
#![cfg(not(any(fz_loom, fz_shuttle)))]

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Poll, RawWaker, RawWakerVTable, Wake, Waker};

use fz_mpsc::{PushError, QueueConfig, channel_with_wake};
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
fn d_a_consumer_s_waker_that_panics_spoils_neither_the_push_nor_the_wake_function() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let wake = move || {
        counted.fetch_add(1, Ordering::SeqCst);
    };
    let (sender, mut receiver) = channel_with_wake(QueueConfig::new(2), wake).unwrap();
    let mut wait = receiver.wait_async();
    assert!(poll_once(&mut wait, &panicking()).is_pending());
    assert_eq!(sender.try_push('x'), Ok(1));
    assert_eq!(calls.load(Ordering::SeqCst), 1, "the function is called beside the waker");
    assert!(matches!(poll_once(&mut wait, Waker::noop()), Poll::Ready(Ok(true))));
}

/// What a fragile waker's functions do: each may be made to panic once, and counts its calls.
#[derive(Default)]
struct Fragile {
    breaks_clone: AtomicBool,
    breaks_drop: AtomicBool,
    clones: AtomicUsize,
}

impl Fragile {
    fn new() -> &'static Self {
        Box::leak(Box::default())
    }

    /// A waker whose drop, or that of a copy of it, may panic, which a [`Wake`] cannot.
    fn waker(&'static self) -> Waker {
        unsafe fn fragile(pointer: *const ()) -> &'static Fragile {
            // SAFETY: each pointer is that of a leaked `Fragile`, see below.
            unsafe { &*pointer.cast::<Fragile>() }
        }
        fn copy(pointer: *const ()) -> RawWaker {
            // SAFETY: as above.
            let this = unsafe { fragile(pointer) };
            assert!(!this.breaks_clone.swap(false, Ordering::SeqCst), "the clone of a waker panics");
            this.clones.fetch_add(1, Ordering::SeqCst);
            RawWaker::new(pointer, &FUNCTIONS)
        }
        fn wake_by_ref(_: *const ()) {}
        fn drop(pointer: *const ()) {
            // SAFETY: as above.
            let this = unsafe { fragile(pointer) };
            assert!(!this.breaks_drop.swap(false, Ordering::SeqCst), "the drop of a waker panics");
        }
        static FUNCTIONS: RawWakerVTable = RawWakerVTable::new(copy, drop, wake_by_ref, drop);
        let pointer = std::ptr::from_ref(self).cast();
        // SAFETY: the functions read a `Fragile` only, which is never freed, and may be called from any thread.
        unsafe { Waker::from_raw(RawWaker::new(pointer, &FUNCTIONS)) }
    }
}

/// The place in the queue would stay empty, and the consumer would wait for it.
#[test]
fn f_a_waker_whose_drop_panics_leaves_no_claimed_place_unfilled() {
    finishes(|| {
        let (sender, mut receiver) = queue(1);
        sender.try_push(0).unwrap();
        let fragile = Fragile::new();
        let waker = fragile.waker();
        let mut push = sender.push_async(10);
        assert!(poll_once(&mut push, &waker).is_pending());
        let mut values = Vec::new();
        fragile.breaks_drop.store(true, Ordering::SeqCst);
        assert_eq!(receiver.drain(&mut values, 1), 1, "it has woken the task, whose waker panicked");
        assert_eq!(poll_once(&mut push, Waker::noop()), Poll::Ready(Ok(2)));
        assert_eq!(receiver.drain(&mut values, 1), 1);
        assert_eq!(values, [0, 10]);
        assert_eq!(sender.try_push(20), Ok(3), "the queue goes on");
    });
}

#[test]
fn d_a_waker_whose_drop_panics_spoils_no_call_that_replaces_clears_or_wakes_it() {
    let (sender, mut receiver) = queue(1);
    let fragile = Fragile::new();
    let waker = fragile.waker();
    let breaks = || fragile.breaks_drop.store(true, Ordering::SeqCst);
    let is_broken = || !fragile.breaks_drop.load(Ordering::SeqCst);
    // The consumer's: replaced, cleared, and woken by a push.
    let mut wait = receiver.wait_async();
    assert!(poll_once(&mut wait, &waker).is_pending());
    breaks();
    assert!(poll_once(&mut wait, Waker::noop()).is_pending() && is_broken());
    assert!(poll_once(&mut wait, &waker).is_pending());
    breaks();
    drop(wait);
    assert!(is_broken());
    let mut wait = receiver.wait_async();
    assert!(poll_once(&mut wait, &waker).is_pending());
    breaks();
    assert_eq!(sender.try_push(0), Ok(1));
    assert!(is_broken());
    drop(wait);
    // A pusher's: replaced, dropped with its place in the line, and woken by a close.
    let mut push = sender.push_async(1);
    assert!(poll_once(&mut push, &waker).is_pending());
    breaks();
    assert!(poll_once(&mut push, Waker::noop()).is_pending() && is_broken());
    assert!(poll_once(&mut push, &waker).is_pending());
    breaks();
    drop(push);
    assert!(is_broken());
    let mut push = sender.push_async(2);
    assert!(poll_once(&mut push, &waker).is_pending());
    breaks();
    assert!(receiver.close() && is_broken());
}

#[test]
fn d_a_clone_that_panics_reaches_its_own_task_only_and_changes_nothing() {
    let (sender, mut receiver) = queue(1);
    let fragile = Fragile::new();
    let waker = fragile.waker();
    fragile.breaks_clone.store(true, Ordering::SeqCst);
    assert!(catch_unwind(AssertUnwindSafe(|| poll_once(&mut receiver.wait_async(), &waker))).is_err());
    assert_eq!(sender.try_push(0), Ok(1));
    let mut push = sender.push_async(1);
    fragile.breaks_clone.store(true, Ordering::SeqCst);
    assert!(catch_unwind(AssertUnwindSafe(|| poll_once(&mut push, &waker))).is_err());
    assert_eq!(receiver.drain(&mut Vec::new(), 1), 1);
    assert_eq!(poll_once(&mut push, &waker), Poll::Ready(Ok(2)), "the value is still the task's");
}

#[test]
fn i_a_waker_is_cloned_only_when_it_changed() {
    let (sender, mut receiver) = queue(1);
    let (fragile, other) = (Fragile::new(), Fragile::new());
    let (waker, other_waker) = (fragile.waker(), other.waker());
    let clones = |of: &Fragile| of.clones.load(Ordering::SeqCst);
    let mut wait = receiver.wait_async();
    (0..3).for_each(|_| assert!(poll_once(&mut wait, &waker).is_pending()));
    assert_eq!(clones(fragile), 1);
    assert!(poll_once(&mut wait, &other_waker).is_pending());
    assert_eq!((clones(fragile), clones(other)), (1, 1));
    drop(wait);
    assert_eq!(sender.try_push(0), Ok(1));
    let mut push = sender.push_async(1);
    (0..3).for_each(|_| assert!(poll_once(&mut push, &waker).is_pending()));
    assert_eq!(clones(fragile), 2);
    (0..3).for_each(|_| assert!(poll_once(&mut push, &other_waker).is_pending()));
    assert_eq!((clones(fragile), clones(other)), (2, 2));
    receiver.drain(&mut Vec::new(), 1);
    assert_eq!(poll_once(&mut push, &waker), Poll::Ready(Ok(2)), "without a clone");
    assert_eq!(clones(fragile), 2);
}

#[test]
fn d_a_wake_function_that_panics_spoils_neither_push_nor_close_nor_the_last_drop() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("dropped with the queue");
        }
    }
    let bomb = Bomb;
    let wake = move || {
        let _ = &bomb;
        std::panic::panic_any("a wake function's own fault");
    };
    let (sender, mut receiver) = channel_with_wake(QueueConfig::new(2), wake).unwrap();
    assert!(receiver.announce_sleep().unwrap());
    assert_eq!(sender.try_push('x'), Ok(1));
    assert_eq!(receiver.drain(&mut Vec::new(), 1), 1);
    assert!(receiver.announce_sleep().unwrap());
    assert!(sender.close());
    drop((sender, receiver));
}
