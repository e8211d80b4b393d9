//! Promise F for a holder that could release a pool's memory early: it learns of every request that waits.
#![cfg(not(any(fz_loom, fz_shuttle)))]

mod wakes;
mod watchdog;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use fz_bufpool::{AllocateFuture, Allocation, BufPool, BufPoolConfig, BufferSize};
use wakes::Wakes;
use watchdog::finishes;

type Alarm = Arc<dyn Fn() + Send + Sync>;

fn pool(buffers: usize) -> BufPool {
    BufPool::new(BufPoolConfig::new(BufferSize::S64, buffers * 64)).unwrap()
}

fn counting() -> (Arc<AtomicUsize>, Alarm) {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let alarm = move || {
        counted.fetch_add(1, Ordering::SeqCst);
    };
    (calls, Arc::new(alarm))
}

#[track_caller]
fn join(pool: &BufPool, count: usize) -> AllocateFuture {
    let mut future = pool.allocate_async(count);
    assert!(wakes::poll(&mut future, &Arc::default()).is_pending());
    future
}

#[test]
fn f_each_request_that_has_to_wait_calls_each_alarm_once() {
    let pool = pool(4);
    let (calls, alarm) = counting();
    let (other_calls, other_alarm) = counting();
    let held = pool.try_allocate(3).unwrap();
    held.line().add_alarm(&alarm);
    held.line().add_alarm(&alarm);
    held.line().add_alarm(&other_alarm);
    // What is served or refused at once does not wait.
    drop(pool.allocate(1).unwrap());
    drop(pollster::block_on(pool.allocate_async(1)).unwrap());
    assert!(pool.try_allocate(2).is_err());
    assert!(pool.allocate(5).is_err());
    assert_eq!(calls.load(Ordering::SeqCst), 0);
    assert!(pool.allocate_timeout(2, Duration::ZERO).is_err());
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    let mut line = [join(&pool, 2), join(&pool, 1)];
    assert_eq!(calls.load(Ordering::SeqCst), 3, "one behind another waits, too");
    assert!(wakes::poll(&mut line[0], &Arc::default()).is_pending());
    assert_eq!(calls.load(Ordering::SeqCst), 3, "a second poll is no second request");
    assert_eq!(other_calls.load(Ordering::SeqCst), 3);
}

#[test]
fn f_a_line_says_whether_requests_wait() {
    let pool = pool(2);
    let held = pool.try_allocate(2).unwrap();
    let line = held.line();
    assert!(!line.is_waiting());
    assert!(pool.try_allocate(1).is_err());
    assert!(!line.is_waiting(), "a refused request does not wait");
    let (first, second) = (join(&pool, 1), join(&pool, 2));
    assert!(line.is_waiting());
    drop(first);
    assert!(line.is_waiting());
    drop(second);
    assert!(!line.is_waiting());
    let mut third = join(&pool, 1);
    drop(held);
    assert!(!line.is_waiting(), "a served request does not wait");
    let Poll::Ready(last) = wakes::poll(&mut third, &Arc::default()) else { panic!("it was served") };
    drop((third, pool));
    assert!(!line.is_waiting(), "no request waits for a pool without handles");
    drop(last);
    assert!(!line.is_waiting());
}

#[test]
fn a_line_is_known_by_its_pool() {
    let (one, other) = (pool(2), pool(1));
    let (first, second, third) = (one.allocate(1).unwrap(), one.allocate(1).unwrap(), other.allocate(1).unwrap());
    assert_eq!(first.line(), second.line());
    assert_eq!(first.line().id(), second.line().id());
    assert_ne!(first.line(), third.line());
    assert_ne!(first.line().id(), third.line().id());
}

#[test]
fn f_memory_that_an_alarm_releases_serves_the_request_that_called_it() {
    finishes(|| {
        let pool = pool(2);
        let held = Arc::new(Mutex::new(Vec::<Allocation>::new()));
        let alarm: Alarm = {
            let held = Arc::clone(&held);
            Arc::new(move || held.lock().unwrap().clear())
        };
        for _ in 0..100 {
            let allocation = pool.allocate(2).unwrap();
            allocation.line().add_alarm(&alarm);
            held.lock().unwrap().push(allocation);
        }
        assert_eq!(pollster::block_on(pool.allocate_async(2)).unwrap().count(), 2);
        assert_eq!(pool.stats().waits, 100);
    });
}

#[test]
fn f_an_alarm_that_panics_spoils_neither_the_request_nor_the_next_alarm() {
    let pool = pool(1);
    let faulty: Alarm = Arc::new(|| panic!("an alarm's own fault"));
    let (calls, alarm) = counting();
    let held = pool.try_allocate(1).unwrap();
    held.line().add_alarm(&faulty);
    held.line().add_alarm(&alarm);
    let wakes = Arc::<Wakes>::default();
    let mut request = pool.allocate_async(1);
    assert!(wakes::poll(&mut request, &wakes).is_pending());
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    drop(held);
    assert_eq!(wakes.count(), 1);
    assert!(wakes::poll(&mut request, &wakes).is_ready());
}

#[test]
fn h_a_pool_keeps_no_alarm_alive_and_forgets_those_that_are_gone() {
    let pool = pool(1);
    let (calls, alarm) = counting();
    let held = pool.try_allocate(1).unwrap();
    held.line().add_alarm(&alarm);
    assert_eq!((Arc::strong_count(&alarm), Arc::weak_count(&alarm)), (1, 1));
    let gone = Arc::downgrade(&alarm);
    drop(alarm);
    assert_eq!(Arc::strong_count(&calls), 1, "the alarm is dropped with its last owner");
    let _request = join(&pool, 1);
    assert_eq!(calls.load(Ordering::SeqCst), 0);
    let (_, another) = counting();
    held.line().add_alarm(&another);
    assert_eq!(gone.strong_count(), 0);
    assert_eq!(Arc::weak_count(&another), 1);
}

#[test]
fn h_a_line_may_be_used_when_its_pool_is_gone() {
    let (first, second) = (pool(1), pool(1));
    let line = first.try_allocate(1).unwrap().line();
    assert_ne!(line, second.try_allocate(1).unwrap().line());
    assert_ne!(line.id(), 0);
    drop(first);
    let (calls, alarm) = counting();
    line.add_alarm(&alarm);
    assert_eq!(Arc::weak_count(&alarm), 0, "no request will ever call it");
    // The next pool takes the place that the first one had; its requests are none of the first one's holders'.
    let next = pool(1);
    let held = next.try_allocate(1).unwrap();
    line.add_alarm(&alarm);
    let _request = join(&next, 1);
    assert_eq!(calls.load(Ordering::SeqCst), 0);
    assert_ne!(held.line(), line);
}
