//! A copy of a pool that `fork(2)` made: what needs no wait works, a wait is a typed error, and no drop does any harm.
#![cfg(all(unix, not(any(fz_loom, fz_shuttle))))]

mod wakes;
mod watchdog;

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use std::{process, thread};

use fork::{Fork, fork, waitpid};
use fz_bufpool::{AllocateFuture, Allocation, BufPool, BufPoolConfig, BufPoolErrorKind, BufferSize, Result};
use wakes::Wakes;
use watchdog::finishes;

fn pool(buffers: usize) -> BufPool {
    BufPool::new(BufPoolConfig::new(BufferSize::S64, buffers * 64)).unwrap()
}

/// Whether `body` returns in a child, and does not panic there.
fn holds_in_child(body: impl FnOnce()) -> bool {
    match fork().expect("a process more") {
        Fork::Child => process::exit(i32::from(catch_unwind(AssertUnwindSafe(body)).is_err())),
        Fork::Parent(child) => waitpid(child).expect("a child of ours") == 0,
    }
}

#[track_caller]
fn assert_forked(outcome: Result<Allocation>) {
    assert_eq!(outcome.expect_err("no request can wait here").kind(), &BufPoolErrorKind::ForkedProcess);
}

fn poll(future: &mut AllocateFuture) -> Poll<Result<Allocation>> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn g_each_request_that_would_wait_in_a_copy_is_a_typed_error() {
    finishes(|| {
        let pool = pool(2);
        let held = pool.allocate(2).unwrap();
        assert!(holds_in_child(|| {
            assert_forked(pool.allocate(1));
            assert_forked(pool.allocate_timeout(1, Duration::MAX));
            assert_forked(pool.try_allocate(1));
            assert_forked(pollster::block_on(pool.allocate_async(1)));
            assert_forked(pool.allocate_copy(b"copy"));
            assert_eq!((pool.stats().in_use, pool.stats().waiters), (2, 0));
        }));
        drop(held);
        assert_eq!(pool.allocate(2).unwrap().count(), 2, "the original is as it was");
    });
}

#[test]
fn h_buffers_that_need_no_wait_can_be_used_and_dropped_in_a_copy() {
    finishes(|| {
        let pool = pool(3);
        let mut inherited = pool.allocate_copy(&[7; 64]).unwrap();
        assert!(holds_in_child(|| {
            inherited.as_mut_slice().fill(8);
            drop(pool.allocate_copy(&[9; 128]).unwrap());
            assert!(!inherited.line().is_waiting());
            drop(inherited);
            drop(pool.clone());
            drop(pool);
        }));
    });
}

/// The waiters of the original are in the copy's line, too, and its wakers are copies.
#[test]
fn h_a_copy_serves_no_waiter_of_the_original_and_its_requests_may_be_polled_and_dropped() {
    finishes(|| {
        let pool = pool(3);
        let (one, rest) = (pool.allocate(1).unwrap(), pool.allocate(2).unwrap());
        let wakes = Arc::<Wakes>::default();
        let mut requests = [pool.allocate_async(3), pool.allocate_async(1), pool.allocate_async(1)];
        assert!(requests.iter_mut().all(|request| wakes::poll(request, &wakes).is_pending()));
        let (mut one, mut rest) = (Some(one), Some(rest));
        assert!(holds_in_child(|| {
            drop(one.take());
            drop(rest.take());
            assert_eq!(wakes.count(), 0);
            let [mut polled, dropped, mut again] =
                requests.each_mut().map(|place| std::mem::replace(place, pool.allocate_async(1)));
            let Poll::Ready(outcome) = poll(&mut polled) else { panic!("it would wait for ever") };
            assert_forked(outcome);
            drop(dropped);
            let Poll::Ready(outcome) = poll(&mut again) else { panic!("it would wait for ever") };
            assert_forked(outcome);
        }));
        drop((one, rest));
        assert_eq!(wakes.count(), 1, "the original serves its own");
    });
}

#[test]
fn a_child_may_make_pools_of_its_own() {
    finishes(|| {
        // A vacant wait list, which is the parent's.
        drop(pool(1));
        assert!(holds_in_child(|| {
            for _ in 0..3 {
                let own = pool(1);
                let held = own.allocate(1).unwrap();
                let mut request = own.allocate_async(1);
                assert!(poll(&mut request).is_pending());
                drop(held);
                assert!(poll(&mut request).is_ready());
            }
        }));
    });
}

/// At the instant of a fork another thread may hold the pool's lock, which no thread of the child will release.
#[test]
fn h_no_operation_of_a_copy_waits_for_a_lock_that_was_held_when_it_was_made() {
    finishes(|| {
        let (pool, is_over) = (pool(70), AtomicBool::new(false));
        let pools = &pool;
        thread::scope(|scope| {
            let hold_the_lock = || {
                while !is_over.load(Ordering::Relaxed) {
                    drop(pools.try_allocate(70));
                    let _ = pools.stats();
                }
            };
            scope.spawn(hold_the_lock);
            let all_return = (0..200).all(|_| {
                let held = pools.try_allocate(1).ok();
                holds_in_child(|| {
                    drop(held);
                    drop(pools.try_allocate(70));
                    drop(pools.try_allocate(1));
                    drop(pools.allocate_timeout(70, Duration::ZERO));
                    let _ = pools.stats();
                })
            });
            is_over.store(true, Ordering::Relaxed);
            assert!(all_return);
        });
    });
}
