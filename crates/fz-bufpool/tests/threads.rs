//! The models on real threads, and crowds too large for a model.
#![cfg(not(any(fz_loom, fz_shuttle)))]

mod models;
mod watchdog;

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use fz_bufpool::{Allocation, BufPool, BufPoolConfig, BufPoolErrorKind, BufferSize};
use watchdog::finishes;

#[test]
fn every_model_holds_on_real_threads() {
    finishes(|| {
        for (_, body) in models::ALL {
            for _ in 0..200 {
                body();
            }
        }
    });
}

/// Counts what is held, by the test's own book.
struct Book {
    capacity: usize,
    held: AtomicUsize,
}

impl Book {
    /// Enters an allocation, fills it with `mark`, checks that no other owner writes there, strikes it out, drops it.
    fn use_up(&self, mut allocation: Allocation, mark: u8) {
        let count = allocation.count();
        let held = self.held.fetch_add(count, Ordering::SeqCst) + count;
        assert!(held <= self.capacity, "{held} buffers are held of {}", self.capacity);
        allocation.as_mut_slice().fill(mark);
        thread::yield_now();
        assert!(allocation.as_slice().iter().all(|&byte| byte == mark), "two owners of one buffer");
        self.held.fetch_sub(count, Ordering::SeqCst);
    }
}

/// 64 threads, mixed sizes, each of which blocks or polls or gives up, at the limit all the time.
#[test]
fn f_bounded_and_nobody_is_forgotten_by_64_threads_and_cancelled_futures() {
    const CAPACITY: usize = 70;
    finishes(|| {
        let pool = BufPool::new(BufPoolConfig::new(BufferSize::S64, CAPACITY * 64)).unwrap();
        let book = Book { capacity: CAPACITY, held: AtomicUsize::new(0) };
        let crowd = |number: usize| {
            let (pool, book) = (pool.clone(), &book);
            move || {
                let mark = u8::try_from(number).unwrap();
                for round in 0..60 {
                    let count = [1, 1, 2, 3, 5, 17, 40, CAPACITY][(number + round) % 8];
                    match (number + round / 8) % 4 {
                        0 => book.use_up(pool.allocate(count).unwrap(), mark),
                        1 => match pool.allocate_timeout(count, Duration::from_micros(50)) {
                            Ok(allocation) => book.use_up(allocation, mark),
                            Err(error) => assert!(matches!(error.kind(), BufPoolErrorKind::TimedOut { .. })),
                        },
                        2 => {
                            let mut future = pool.allocate_async(count);
                            for _ in 0..2 {
                                let poll = Pin::new(&mut future).poll(&mut Context::from_waker(Waker::noop()));
                                if let Poll::Ready(allocation) = poll {
                                    book.use_up(allocation.unwrap(), mark);
                                    break;
                                }
                                thread::yield_now();
                            }
                        }
                        _ => book.use_up(pollster::block_on(pool.allocate_async(count)).unwrap(), mark),
                    }
                }
            }
        };
        thread::scope(|scope| (0..64).for_each(|number| drop(scope.spawn(crowd(number)))));
        let stats = pool.stats();
        assert_eq!((stats.in_use, stats.waiters), (0, 0));
        assert!(stats.waits > 0, "the crowd never met the limit");
        assert_eq!(pool.try_allocate(CAPACITY).unwrap().count(), CAPACITY);
    });
}

/// No more than the capacity is ever asked for at once, so that no `try_allocate` may be refused,
/// wherever in the bitmap the free buffers move meanwhile.
#[test]
fn f_a_buffer_that_is_free_at_every_instant_is_found() {
    const THREADS: usize = 4;
    finishes(|| {
        // Three words, and every thread has to look elsewhere at times.
        let capacity = 3 * 64;
        let pool = BufPool::new(BufPoolConfig::new(BufferSize::S8, capacity * 8)).unwrap();
        let _rest = pool.allocate(capacity - THREADS).unwrap();
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    for _ in 0..5_000 {
                        drop(pool.try_allocate(1).expect("the other threads hold at most three of four"));
                    }
                });
            }
        });
    });
}

/// Pools come and go while their last buffers are released elsewhere, and reuse each other's wait lists.
#[test]
fn h_pools_that_end_on_any_thread_leave_their_successors_alone() {
    finishes(|| {
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for round in 0..500 {
                        let pool = BufPool::new(BufPoolConfig::new(BufferSize::S16, 40 * 16)).unwrap();
                        let far = pool.allocate(1 + round % 40).unwrap();
                        let near = pool.try_allocate(1);
                        thread::scope(|inner| {
                            inner.spawn(move || drop(far));
                            inner.spawn(move || drop(near));
                            drop(pool);
                        });
                    }
                });
            }
        });
    });
}
