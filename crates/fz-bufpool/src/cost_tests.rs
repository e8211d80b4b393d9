//! An operation visits about as many words and nodes in a pool of a million buffers as in one of a thousand.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use crate::cost::visits;
use crate::{AllocateFuture, Allocation, BufPool, BufPoolConfig, BufferSize};

const SMALL: usize = 1 << 10;
/// Eight million would add a level to the tree, and a minute to the tests; the bench suite `scaling` goes there.
const LARGE: usize = 1 << 20;

/// Visits that no single operation below may exceed, in a pool of any size. A window is 16 words; a path of the tree
/// six levels of 8 nodes: one to correct it after a release, two for a search, up and down, and one to correct it after
/// the claim. Half as much again for the second search of a request that finds nothing behind its first place.
const VISITS_MAX: usize = 300;

fn pool(buffers: usize) -> BufPool {
    BufPool::new(BufPoolConfig::new(BufferSize::S8, buffers * 8).prefault(false)).unwrap()
}

fn poll(future: &mut AllocateFuture) -> Poll<crate::Result<Allocation>> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// All buffers, each an allocation of its own, in the order of their addresses.
fn all(pool: &BufPool) -> VecDeque<Allocation> {
    let mut rest = pool.allocate(pool.capacity()).unwrap();
    let mut held = VecDeque::with_capacity(pool.capacity());
    for at in (1..pool.capacity()).rev() {
        held.push_front(rest.split_off(at).unwrap());
    }
    held.push_front(rest);
    held
}

/// Half of the buffers, every other one.
fn every_other(pool: &BufPool) -> VecDeque<Allocation> {
    let mut number = 0;
    let mut held = all(pool);
    held.retain(|_| {
        number += 1;
        number % 2 == 0
    });
    held
}

/// The most visits of one `operation` in a thousand of them, after some in which the tree comes to know the pool.
fn most(mut operation: impl FnMut()) -> usize {
    (0..3).for_each(|_| operation());
    (0..1000).map(|_| visits(&mut operation)).max().unwrap_or_default()
}

/// The claim holds in both pools, and hardly differs.
fn costs_the_same(cost: impl Fn(&BufPool) -> usize) {
    let (small, large) = (cost(&pool(SMALL)), cost(&pool(LARGE)));
    assert!(small <= VISITS_MAX && large <= VISITS_MAX, "{small} visits in a small pool, {large} in a large one");
}

#[test]
fn a_hand_off_visits_as_many_words_in_a_pool_of_any_size() {
    costs_the_same(|pool| {
        let mut held = all(pool);
        let mut line: VecDeque<_> = (0..64).map(|_| pool.allocate_async(1)).collect();
        line.iter_mut().for_each(|request| assert!(poll(request).is_pending()));
        most(|| {
            held.pop_front();
            let Poll::Ready(served) = poll(&mut line.pop_front().unwrap()) else { panic!("one buffer was released") };
            held.push_back(served.unwrap());
            line.push_back(pool.allocate_async(1));
            assert!(poll(line.back_mut().unwrap()).is_pending());
        })
    });
}

/// The line is empty after each hand-off.
#[test]
fn a_line_of_one_visits_as_many_words_in_a_pool_of_any_size() {
    costs_the_same(|pool| {
        let mut held = all(pool);
        most(|| {
            let mut request = pool.allocate_async(1);
            assert!(poll(&mut request).is_pending());
            held.pop_front();
            let Poll::Ready(served) = poll(&mut request) else { panic!("one buffer was released") };
            held.push_back(served.unwrap());
        })
    });
}

/// Half of the pool is free, and no two buffers in a row: a head for two waits, and is served by every second release.
#[test]
fn a_hand_off_of_a_run_that_joins_up_visits_as_many_words_in_a_pool_of_any_size() {
    costs_the_same(|pool| {
        let mut held = every_other(pool);
        most(|| {
            let mut request = pool.allocate_async(2);
            assert!(poll(&mut request).is_pending());
            held.pop_front();
            let Poll::Ready(served) = poll(&mut request) else { panic!("a buffer between two free ones was released") };
            let mut first = served.unwrap();
            held.push_back(first.split_off(1).unwrap());
        })
    });
}

#[test]
fn a_refusal_visits_as_many_words_in_a_pool_of_any_size() {
    // None free; half free, and two wanted.
    costs_the_same(|pool| {
        let _held = all(pool);
        most(|| assert!(pool.try_allocate(1).is_err()))
    });
    costs_the_same(|pool| {
        let _held = every_other(pool);
        most(|| assert!(pool.try_allocate(2).is_err()))
    });
    // Beside releases and claims, each in a place of its own.
    costs_the_same(|pool| {
        let mut held = every_other(pool);
        most(|| {
            held.pop_front();
            held.push_back(pool.try_allocate(1).unwrap());
            drop(pool.try_allocate(4));
        })
    });
}

#[test]
fn an_allocation_visits_as_many_words_in_a_pool_of_any_size() {
    // One buffer is free, far away.
    costs_the_same(|pool| {
        let mut held = all(pool);
        // From here on the tree knows the pool.
        assert!(pool.try_allocate(1).is_err());
        let mut at = 0;
        most(|| {
            at = (at + held.len() / 3 + 7) % held.len();
            held.swap_remove_back(at);
            held.push_back(pool.try_allocate(1).unwrap());
        })
    });
    // All are free, and more than a word is wanted.
    costs_the_same(|pool| most(|| drop(pool.try_allocate(100).unwrap())));
}
