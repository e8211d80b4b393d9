//! Promise F, deterministically: the limit is exact, the line is a line, and no turn is lost.
#![cfg(not(any(fz_loom, fz_shuttle)))]

mod wakes;
mod watchdog;

use std::future::Future;
use std::sync::Arc;
use std::task::Poll;
use std::thread;
use std::time::Duration;

use fz_bufpool::{AllocateFuture, Allocation, BufPool, BufPoolConfig, BufPoolErrorKind, BufferSize, Result};
use wakes::Wakes;
use watchdog::finishes;

fn pool(buffers: usize) -> BufPool {
    BufPool::new(BufPoolConfig::new(BufferSize::S64, buffers * 64)).unwrap()
}

/// A request in line and its wake-ups.
struct Waiter {
    future: AllocateFuture,
    wakes: Arc<Wakes>,
}

impl Waiter {
    fn poll(&mut self) -> Poll<Result<Allocation>> {
        wakes::poll(&mut self.future, &self.wakes)
    }

    /// The allocation that it was woken for, once.
    #[track_caller]
    fn served(mut self) -> Allocation {
        assert_eq!(self.wakes.count(), 1, "a waiter is woken once");
        match self.poll() {
            Poll::Ready(allocation) => allocation.unwrap(),
            Poll::Pending => panic!("a waiter was woken for nothing"),
        }
    }

    #[track_caller]
    fn assert_waits(&mut self) {
        assert_eq!(self.wakes.count(), 0, "a waiter was woken before its turn");
        assert!(self.poll().is_pending(), "a waiter was served before its turn");
    }
}

/// Joins the line, which must be necessary.
#[track_caller]
fn join(pool: &BufPool, count: usize) -> Waiter {
    let mut waiter = Waiter { future: pool.allocate_async(count), wakes: Arc::default() };
    waiter.assert_waits();
    waiter
}

#[track_caller]
fn assert_refused(pool: &BufPool, count: usize) {
    let error = pool.try_allocate(count).expect_err("the pool has none");
    assert!(matches!(error.kind(), BufPoolErrorKind::Exhausted { .. }), "{error}");
}

#[track_caller]
fn assert_behind_the_line(pool: &BufPool, count: usize) {
    let error = pool.try_allocate(count).expect_err("requests wait");
    assert!(matches!(error.kind(), BufPoolErrorKind::RequestsWaiting { .. }), "{error}");
}

#[test]
fn f_the_limit_is_exact() {
    for buffers in [1, 2, 31, 32, 63, 64, 65, 128, 129, 1024, 1025, 4096, 4097, 5000] {
        let pool = pool(buffers);
        let held: Vec<_> = (0..buffers).map(|_| pool.try_allocate(1).expect("the limit is not reached")).collect();
        assert_refused(&pool, 1);
        assert_eq!(pool.stats().in_use, buffers);
        drop(held);
        let all = pool.try_allocate(buffers).expect("a pool is one run when all is free");
        assert_refused(&pool, 1);
        drop(all);
    }
}

#[test]
fn f_one_release_serves_all_it_can_in_order() {
    let pool = pool(200);
    let all = pool.try_allocate(200).unwrap();
    // More than are woken under one lock; the last does not fit any more.
    let mut line: Vec<_> =
        [1usize; 50].into_iter().chain([2; 50]).chain([40, 11]).map(|count| join(&pool, count)).collect();
    drop(all);
    let mut last = line.pop().unwrap();
    let held: Vec<_> = line.into_iter().map(Waiter::served).collect();
    last.assert_waits();
    assert_eq!(pool.stats().waiters, 1);
    drop(held);
    assert_eq!(last.served().count(), 11);
}

#[test]
fn f_a_large_request_is_not_starved_by_streams_of_small_ones() {
    let pool = pool(4);
    let mut held: Vec<_> = (0..4).map(|_| pool.try_allocate(1).unwrap()).collect();
    let mut large = join(&pool, 4);
    // Small requests go on coming, in every way, while buffers become free one by one.
    let mut small = Vec::new();
    while held.len() > 1 {
        drop(held.pop());
        assert_behind_the_line(&pool, 1);
        let error = pool.allocate_timeout(1, Duration::ZERO).expect_err("the line is not empty");
        assert!(matches!(error.kind(), BufPoolErrorKind::TimedOut { .. }));
        small.push(join(&pool, 1));
        large.assert_waits();
    }
    drop(held);
    let large = large.served();
    small.iter_mut().for_each(Waiter::assert_waits);
    drop(large);
    assert!(small.into_iter().all(|waiter| waiter.served().count() == 1));
}

#[test]
fn f_a_run_that_joins_up_across_words_serves_the_head() {
    let pool = pool(192);
    let mut held: Vec<_> = (0..192).map(|_| Some(pool.try_allocate(1).unwrap())).collect();
    held.sort_by_key(|one| one.as_ref().map(|one| one.as_slice().as_ptr()));
    let mut long = join(&pool, 80);
    for freed in (56..136).rev().filter(|&at| at != 90) {
        held[freed] = None;
        long.assert_waits();
    }
    held[90] = None;
    assert_eq!(long.served().count(), 80);
}

#[test]
fn f_a_request_that_leaves_the_head_of_the_line_passes_its_turn_on() {
    let pool = pool(3);
    let _held = pool.try_allocate(1).unwrap();
    let large = join(&pool, 3);
    let (one, other) = (join(&pool, 1), join(&pool, 1));
    let mut last = join(&pool, 1);
    drop(large);
    let (_one, _other) = (one.served(), other.served());
    last.assert_waits();
}

#[test]
fn f_a_request_that_leaves_the_middle_of_the_line_is_skipped() {
    let pool = pool(2);
    let held = pool.try_allocate(2).unwrap();
    let (first, second, third) = (join(&pool, 1), join(&pool, 2), join(&pool, 1));
    drop(second);
    drop(held);
    assert_eq!(first.served().count() + third.served().count(), 2);
}

#[test]
fn f_a_request_dropped_after_it_was_served_passes_the_buffers_on() {
    let pool = pool(1);
    let held = pool.try_allocate(1).unwrap();
    let (first, second) = (join(&pool, 1), join(&pool, 1));
    drop(held);
    assert_eq!(first.wakes.count(), 1);
    drop(first);
    drop(second.served());
    assert_eq!(pool.stats().in_use, 0);
}

#[test]
fn f_a_timeout_passes_its_turn_on() {
    finishes(|| {
        let pool = pool(2);
        let _held = pool.try_allocate(1).unwrap();
        let timed_out = thread::spawn({
            let pool = pool.clone();
            move || pool.allocate_timeout(2, Duration::from_millis(20)).map(drop)
        });
        // Behind the large request in line, or after it gave up.
        while pool.stats().waits == 0 {
            thread::yield_now();
        }
        assert_eq!(pool.allocate(1).unwrap().count(), 1);
        let error = timed_out.join().unwrap().expect_err("one buffer is held all the time");
        let kind = BufPoolErrorKind::TimedOut { count: 2, capacity: 2, timeout: Duration::from_millis(20) };
        assert_eq!(error.kind(), &kind);
        assert_eq!(pool.stats().waiters, 0);
    });
}

#[test]
fn f_the_latest_waker_is_the_one_that_is_woken() {
    let pool = pool(1);
    let held = pool.try_allocate(1).unwrap();
    let mut waiter = join(&pool, 1);
    let former = std::mem::take(&mut waiter.wakes);
    waiter.assert_waits();
    drop(held);
    assert_eq!(former.count(), 0);
    drop(waiter.served());
}

#[test]
fn f_wakers_that_panic_cost_nobody_else_the_turn_and_spoil_no_release() {
    struct Panics;
    impl std::task::Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("a waker's own fault");
        }
    }
    let pool = pool(20);
    // Two allocations in one vector: a panic out of each drop would abort the process.
    let held = vec![pool.try_allocate(10).unwrap(), pool.try_allocate(10).unwrap()];
    let waker = std::task::Waker::from(Arc::new(Panics));
    let mut context = std::task::Context::from_waker(&waker);
    let mut faulty = |count| {
        let mut future = pool.allocate_async(count);
        assert!(std::pin::Pin::new(&mut future).poll(&mut context).is_pending());
        future
    };
    let _before = [faulty(1), faulty(8)];
    let one = join(&pool, 1);
    let _between = faulty(1);
    let line: Vec<_> = (0..9).map(|_| join(&pool, 1)).collect();
    drop(held);
    let served: Vec<_> = line.into_iter().chain([one]).map(Waiter::served).collect();
    assert_eq!(served.len(), 10);
}

#[test]
fn f_an_impossible_request_is_an_error_even_behind_a_line() {
    let pool = pool(2);
    let _held = pool.try_allocate(2).unwrap();
    let _line = join(&pool, 1);
    for count in [0, 3, usize::MAX] {
        let mut future = Waiter { future: pool.allocate_async(count), wakes: Arc::default() };
        let Poll::Ready(Err(error)) = future.poll() else { panic!("{count} buffers of 2 can never be had") };
        assert_eq!(error.operation(), "allocate_async");
        assert!(pool.allocate(count).is_err());
        assert!(pool.allocate_timeout(count, Duration::MAX).is_err());
    }
    assert_eq!(pool.stats().waiters, 1);
}

#[test]
fn the_statistics_tell_what_was_done() {
    let pool = pool(100);
    let held = pool.try_allocate(100).unwrap();
    let waiter = join(&pool, 1);
    let stats = pool.stats();
    assert_eq!((stats.capacity, stats.in_use, stats.waiters), (100, 100, 1));
    assert_eq!(stats.waits, 1);
    drop((held, waiter));
    assert_eq!((pool.stats().in_use, pool.stats().waiters), (0, 0));
}
