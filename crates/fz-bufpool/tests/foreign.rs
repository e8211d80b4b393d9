//! Promise F beside foreign code that panics: in a waker's `clone`, `wake` and `drop`, in an alarm, in the drop of the
//! panic's own payload. Neither a release nor another request is concerned.
#![cfg(not(any(fz_loom, fz_shuttle)))]

mod wakes;

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Waker};

use fz_bufpool::{AllocateFuture, Allocation, BufPool, BufPoolConfig, BufferSize, Result};
use wakes::Wakes;

/// A payload whose drop panics, with a payload of its kind.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic_any(Self);
    }
}

fn explode(_: *const ()) {
    panic_any(Bomb);
}

fn nothing(_: *const ()) {}

fn quiet_clone(vtable: &'static RawWakerVTable) -> RawWaker {
    RawWaker::new(std::ptr::null(), vtable)
}

static PANICS_IN_CLONE: RawWakerVTable = RawWakerVTable::new(|_| panic_any(Bomb), nothing, nothing, nothing);
static PANICS_IN_WAKE: RawWakerVTable =
    RawWakerVTable::new(|_| quiet_clone(&PANICS_IN_WAKE), explode, explode, nothing);
static PANICS_IN_DROP: RawWakerVTable =
    RawWakerVTable::new(|_| quiet_clone(&PANICS_IN_DROP), nothing, nothing, explode);
static PANICS_IN_BOTH: RawWakerVTable =
    RawWakerVTable::new(|_| quiet_clone(&PANICS_IN_BOTH), explode, explode, explode);

/// A waker of this kind, which is not dropped.
fn waker(vtable: &'static RawWakerVTable) -> std::mem::ManuallyDrop<Waker> {
    // SAFETY: the functions do nothing with the pointer but ignore it, on any thread.
    std::mem::ManuallyDrop::new(unsafe { Waker::from_raw(quiet_clone(vtable)) })
}

fn pool(buffers: usize) -> BufPool {
    BufPool::new(BufPoolConfig::new(BufferSize::S64, buffers * 64)).unwrap()
}

fn poll(future: &mut AllocateFuture, vtable: &'static RawWakerVTable) -> Poll<Result<Allocation>> {
    Pin::new(future).poll(&mut Context::from_waker(&waker(vtable)))
}

/// A payload of a caught panic, which must not be dropped.
fn catches(body: impl FnOnce()) -> bool {
    catch_unwind(AssertUnwindSafe(body)).map_err(std::mem::forget).is_err()
}

const FAULTY: [&RawWakerVTable; 3] = [&PANICS_IN_WAKE, &PANICS_IN_DROP, &PANICS_IN_BOTH];

#[test]
fn f_a_waker_that_panics_costs_no_other_waiter_its_turn_and_no_release_its_caller() {
    for vtable in FAULTY {
        let pool = pool(2);
        let held = pool.try_allocate(2).unwrap();
        let mut faulty = pool.allocate_async(1);
        assert!(poll(&mut faulty, vtable).is_pending());
        let (mut next, wakes) = (pool.allocate_async(1), Arc::<Wakes>::default());
        assert!(wakes::poll(&mut next, &wakes).is_pending());
        drop(held);
        assert_eq!(wakes.count(), 1, "the waiter behind it");
        assert!(wakes::poll(&mut next, &wakes).is_ready());
        assert!(poll(&mut faulty, vtable).is_ready(), "it was served all the same");
        assert_eq!(pool.stats().in_use, 0);
    }
}

#[test]
fn f_a_waker_whose_drop_panics_spoils_no_request_that_leaves_or_changes_it() {
    for vtable in [&PANICS_IN_DROP, &PANICS_IN_BOTH] {
        let pool = pool(1);
        let held = pool.try_allocate(1).unwrap();
        let mut left = pool.allocate_async(1);
        assert!(poll(&mut left, vtable).is_pending());
        let (mut changed, wakes) = (pool.allocate_async(1), Arc::<Wakes>::default());
        assert!(poll(&mut changed, vtable).is_pending());
        assert!(wakes::poll(&mut changed, &wakes).is_pending(), "the former waker is dropped here");
        drop(left);
        drop(held);
        assert_eq!(wakes.count(), 1);
        assert!(wakes::poll(&mut changed, &wakes).is_ready());
        assert_eq!((pool.stats().in_use, pool.stats().waiters), (0, 0));
    }
}

/// The request is behind no line, and too long for a claim without the lock: its waker is cloned and dropped at once.
#[test]
fn h_a_waker_whose_drop_panics_loses_no_buffers_of_a_request_that_is_served_at_once() {
    let pool = pool(100);
    let mut request = pool.allocate_async(100);
    assert!(poll(&mut request, &PANICS_IN_DROP).is_ready());
    assert_eq!(pool.stats().in_use, 0);
    assert!(pool.try_allocate(100).is_ok());
}

#[test]
fn f_a_waker_whose_clone_panics_leaves_the_request_and_the_pool_as_they_were() {
    let pool = pool(1);
    let held = pool.try_allocate(1).unwrap();
    let (mut request, wakes) = (pool.allocate_async(1), Arc::<Wakes>::default());
    assert!(catches(|| drop(poll(&mut request, &PANICS_IN_CLONE))), "its own poll panics");
    assert_eq!(pool.stats().waiters, 0);
    assert!(wakes::poll(&mut request, &wakes).is_pending());
    assert!(catches(|| drop(poll(&mut request, &PANICS_IN_CLONE))), "its own poll panics");
    drop(held);
    assert_eq!(wakes.count(), 1, "the last waker that could be cloned");
    assert!(wakes::poll(&mut request, &wakes).is_ready());
}

#[test]
fn f_an_alarm_that_panics_with_a_bomb_spoils_neither_the_request_nor_the_next_alarm() {
    let pool = pool(1);
    let (wakes, called) = (Arc::<Wakes>::default(), Arc::<Wakes>::default());
    let faulty: Arc<dyn Fn() + Send + Sync> = Arc::new(|| panic_any(Bomb));
    let next: Arc<dyn Fn() + Send + Sync> = {
        let called = Arc::clone(&called);
        Arc::new(move || std::task::Wake::wake(Arc::clone(&called)))
    };
    let held = pool.try_allocate(1).unwrap();
    held.line().add_alarm(&faulty);
    held.line().add_alarm(&next);
    let mut request = pool.allocate_async(1);
    assert!(wakes::poll(&mut request, &wakes).is_pending());
    assert_eq!(called.count(), 1);
    drop(held);
    assert_eq!(wakes.count(), 1);
}

/// Counts its clones.
#[test]
fn f_a_waker_is_cloned_only_when_it_changed() {
    let pool = pool(1);
    let held = pool.try_allocate(1).unwrap();
    let (mut request, wakes) = (pool.allocate_async(1), Arc::<Wakes>::default());
    let waker = Waker::from(Arc::clone(&wakes));
    let mut poll = |waker: &Waker| {
        assert!(Pin::new(&mut request).poll(&mut Context::from_waker(waker)).is_pending());
    };
    poll(&waker);
    let clones = Arc::strong_count(&wakes);
    // The next poll with it would panic in its clone.
    let same = waker.clone();
    (0..100).for_each(|_| poll(&same));
    drop(same);
    assert_eq!(Arc::strong_count(&wakes), clones);
    let other = Arc::<Wakes>::default();
    poll(&Waker::from(Arc::clone(&other)));
    assert_eq!(Arc::strong_count(&wakes), clones - 1, "the former waker is dropped");
    drop(held);
    assert_eq!((wakes.count(), other.count()), (0, 1));
}
