//! Claims about concurrent use, each small enough for loom; the same bodies run under shuttle and on real threads.

#[cfg(fz_loom)]
use loom::{sync::atomic::AtomicBool, thread};
#[cfg(fz_shuttle)]
use shuttle::{sync::atomic::AtomicBool, thread};
#[cfg(not(any(fz_loom, fz_shuttle)))]
use std::{sync::atomic::AtomicBool, thread};

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};

use fz_bufpool::{AllocateFuture, Allocation, BufPool, BufPoolConfig, BufPoolErrorKind, BufferSize, PoolLine};

/// Buffers per word of the bitmap: models that need two words have a pool slightly larger.
const WORD: usize = 64;

fn pool(buffers: usize) -> BufPool {
    BufPool::new(BufPoolConfig::new(BufferSize::S8, buffers * 8)).expect("a valid pool")
}

fn write_and_check(mut allocation: Allocation, byte: u8) {
    allocation.as_mut_slice().fill(byte);
    thread::yield_now();
    assert!(allocation.as_slice().iter().all(|&found| found == byte), "another owner wrote into a held buffer");
}

fn poll(future: &mut AllocateFuture) -> Poll<fz_bufpool::Result<Allocation>> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// Every model: its name and its body.
pub(crate) const ALL: [(&str, fn()); 16] = [
    ("two_claimers_cannot_claim_one_buffer", two_claimers_cannot_claim_one_buffer),
    ("a_new_owner_comes_after_the_last", a_new_owner_comes_after_the_last),
    ("a_release_wakes_the_waiter", a_release_wakes_the_waiter),
    ("one_release_serves_all_it_can", one_release_serves_all_it_can),
    ("two_releases_serve_one_large_request", two_releases_serve_one_large_request),
    ("a_head_that_leaves_passes_its_turn_on", a_head_that_leaves_passes_its_turn_on),
    ("a_grant_that_meets_a_cancellation_is_not_lost", a_grant_that_meets_a_cancellation_is_not_lost),
    ("nobody_passes_one_who_waits", nobody_passes_one_who_waits),
    ("pool_and_allocations_end_in_any_order", pool_and_allocations_end_in_any_order),
    ("a_long_run_is_claimed_whole_or_not_at_all", a_long_run_is_claimed_whole_or_not_at_all),
    ("a_refusal_means_that_there_was_no_run", a_refusal_means_that_there_was_no_run),
    ("a_request_that_waits_is_seen_or_calls", a_request_that_waits_is_seen_or_calls),
    ("a_request_that_waits_is_seen_or_finds_a_new_alarm", a_request_that_waits_is_seen_or_finds_a_new_alarm),
    ("a_release_beside_a_search_is_not_forgotten", a_release_beside_a_search_is_not_forgotten),
    ("a_release_beside_a_search_serves_the_waiter", a_release_beside_a_search_serves_the_waiter),
    ("two_releases_beside_a_search_are_not_forgotten", two_releases_beside_a_search_are_not_forgotten),
];

fn two_claimers_cannot_claim_one_buffer() {
    let pool = pool(2);
    let other = {
        let pool = pool.clone();
        thread::spawn(move || write_and_check(pool.try_allocate(1).expect("two buffers for two"), 1))
    };
    write_and_check(pool.try_allocate(1).expect("two buffers for two"), 2);
    other.join().unwrap();
    assert_eq!(pool.stats().in_use, 0);
}

fn a_new_owner_comes_after_the_last() {
    let pool = pool(1);
    let others = [1, 2].map(|byte| {
        let pool = pool.clone();
        thread::spawn(move || {
            if let Ok(allocation) = pool.try_allocate(1) {
                write_and_check(allocation, byte);
            }
        })
    });
    others.into_iter().for_each(|other| other.join().unwrap());
    write_and_check(pool.try_allocate(1).expect("both are done"), 3);
}

fn a_release_wakes_the_waiter() {
    let pool = pool(1);
    let held = pool.allocate(1).unwrap();
    let waiter = {
        let pool = pool.clone();
        thread::spawn(move || write_and_check(pool.allocate(1).unwrap(), 1))
    };
    write_and_check(held, 2);
    waiter.join().unwrap();
}

fn one_release_serves_all_it_can() {
    let pool = pool(2);
    let held = pool.allocate(2).unwrap();
    let waiter = {
        let pool = pool.clone();
        thread::spawn(move || pool.allocate(1).unwrap())
    };
    let mut future = pool.allocate_async(1);
    let first = poll(&mut future);
    drop(held);
    // Held until the end: the other is served by the one release, not by this allocation's.
    let mine = match first {
        Poll::Ready(allocation) => allocation,
        Poll::Pending => match poll(&mut future) {
            Poll::Ready(allocation) => allocation,
            Poll::Pending => panic!("two buffers are free and two requests stand in line"),
        },
    };
    let theirs = waiter.join().unwrap();
    assert_eq!(pool.stats().in_use, 2);
    drop((mine, theirs));
}

fn two_releases_serve_one_large_request() {
    let pool = pool(2);
    let (left, right) = (pool.allocate(1).unwrap(), pool.allocate(1).unwrap());
    let mut large = pool.allocate_async(2);
    let other = thread::spawn(move || drop(left));
    let polled = poll(&mut large);
    assert!(polled.is_pending(), "one of the two buffers is held");
    drop(right);
    other.join().unwrap();
    assert!(poll(&mut large).is_ready(), "both buffers are free");
}

fn a_head_that_leaves_passes_its_turn_on() {
    let pool = pool(2);
    let held = pool.allocate(1).unwrap();
    let mut large = pool.allocate_async(2);
    assert!(poll(&mut large).is_pending());
    let small = {
        let pool = pool.clone();
        thread::spawn(move || drop(pool.allocate(1).unwrap()))
    };
    drop(large);
    small.join().unwrap();
    drop(held);
}

fn a_grant_that_meets_a_cancellation_is_not_lost() {
    let pool = pool(1);
    let held = pool.allocate(1).unwrap();
    let mut future = pool.allocate_async(1);
    assert!(poll(&mut future).is_pending());
    let canceller = thread::spawn(move || drop(future));
    let waiter = {
        let pool = pool.clone();
        thread::spawn(move || drop(pool.allocate(1).unwrap()))
    };
    drop(held);
    canceller.join().unwrap();
    waiter.join().unwrap();
    assert_eq!(pool.stats().in_use, 0);
    assert!(pool.try_allocate(1).is_ok());
}

fn nobody_passes_one_who_waits() {
    let pool = pool(2);
    let (left, right) = (pool.allocate(1).unwrap(), pool.allocate(1).unwrap());
    let mut large = pool.allocate_async(2);
    assert!(poll(&mut large).is_pending());
    let releaser = thread::spawn(move || {
        drop(left);
        drop(right);
    });
    // One buffer or two may be free by now: they are the large request's.
    let error = pool.try_allocate(1).expect_err("the large request stands in line or holds both");
    let kind = error.kind();
    assert!(matches!(kind, BufPoolErrorKind::Exhausted { .. } | BufPoolErrorKind::RequestsWaiting { .. }), "{error}");
    releaser.join().unwrap();
    assert!(poll(&mut large).is_ready());
}

fn pool_and_allocations_end_in_any_order() {
    let pool = pool(WORD + 1);
    // The second has buffers in both words.
    let allocations = [pool.allocate(1).unwrap(), pool.allocate(WORD).unwrap()];
    let others = allocations.map(|allocation| thread::spawn(move || drop(allocation)));
    drop(pool);
    others.into_iter().for_each(|other| other.join().unwrap());
}

fn a_long_run_is_claimed_whole_or_not_at_all() {
    let pool = pool(WORD + 1);
    let other = {
        let pool = pool.clone();
        thread::spawn(move || pool.try_allocate(1))
    };
    let long = pool.try_allocate(WORD + 1);
    let one = other.join().unwrap();
    let expected = match (&long, &one) {
        (Ok(_), Err(_)) => WORD + 1,
        (Err(_), Ok(_)) => 1,
        _ => panic!("exactly one of them fits, and one always does"),
    };
    assert_eq!(pool.stats().in_use, expected);
}

fn a_refusal_means_that_there_was_no_run() {
    let pool = pool(WORD + 2);
    let _rest = pool.allocate(WORD - 1).unwrap();
    let mut one = pool.allocate(1).unwrap();
    let other = {
        let pool = pool.clone();
        // Always leaves a buffer free, now the last of the first word, now those of the second.
        thread::spawn(move || {
            for _ in 0..2 {
                drop(one);
                let two = pool.allocate(2).unwrap();
                drop(two);
                one = pool.allocate(1).unwrap();
            }
        })
    };
    drop(pool.try_allocate(1).expect("there was never an instant without a free buffer"));
    other.join().unwrap();
}

/// A holder that keeps a pool's memory in a queue until a request waits for some.
struct Keeper {
    is_queued: AtomicBool,
    is_called: AtomicBool,
    alarm: Arc<dyn Fn() + Send + Sync>,
}

impl Keeper {
    fn new() -> Arc<Self> {
        Arc::new_cyclic(|keeper: &std::sync::Weak<Self>| {
            let keeper = keeper.clone();
            let alarm = move || {
                let keeper = keeper.upgrade().expect("the keeper outlives the model");
                // A call that comes before the memory is queued is in vain.
                if keeper.is_queued.load(Ordering::SeqCst) {
                    keeper.is_called.store(true, Ordering::SeqCst);
                }
            };
            Self { is_queued: AtomicBool::new(false), is_called: AtomicBool::new(false), alarm: Arc::new(alarm) }
        })
    }

    fn look(&self, line: PoolLine) {
        if line.is_waiting() {
            self.is_called.store(true, Ordering::SeqCst);
        }
    }
}

/// `queue` runs beside a request that has to wait; by the end the keeper must know of it.
fn queue_beside_a_request(
    queue: impl FnOnce(&Keeper, PoolLine) + Send + 'static,
    keeper: &Arc<Keeper>,
    pool: &BufPool,
) {
    let held = pool.allocate(1).unwrap();
    let queuing = {
        let keeper = Arc::clone(keeper);
        thread::spawn(move || {
            queue(&keeper, held.line());
            held
        })
    };
    let mut request = pool.allocate_async(1);
    assert!(poll(&mut request).is_pending());
    let held = queuing.join().unwrap();
    assert!(
        keeper.is_called.load(Ordering::SeqCst),
        "the request waits for memory in the queue, and its keeper does not know"
    );
    drop(held);
    assert!(poll(&mut request).is_ready());
}

fn a_request_that_waits_is_seen_or_calls() {
    let (pool, keeper) = (pool(1), Keeper::new());
    pool.allocate(1).unwrap().line().add_alarm(&keeper.alarm);
    let queue = |keeper: &Keeper, line| {
        keeper.is_queued.store(true, Ordering::SeqCst);
        keeper.look(line);
    };
    queue_beside_a_request(queue, &keeper, &pool);
}

fn a_request_that_waits_is_seen_or_finds_a_new_alarm() {
    let (pool, keeper) = (pool(1), Keeper::new());
    let queue = |keeper: &Keeper, line: PoolLine| {
        keeper.is_queued.store(true, Ordering::SeqCst);
        line.add_alarm(&keeper.alarm);
        keeper.look(line);
    };
    queue_beside_a_request(queue, &keeper, &pool);
}

/// The search tracks both words, so the release in the first must be in the tree, whichever comes first.
fn a_release_beside_a_search_is_not_forgotten() {
    let pool = pool(WORD + 1);
    let (left, right) = (pool.allocate(WORD).unwrap(), pool.allocate(1).unwrap());
    let releaser = thread::spawn(move || drop(left));
    assert!(pool.try_allocate(WORD + 1).is_err(), "one of the buffers is held");
    releaser.join().unwrap();
    drop(right);
    drop(pool.try_allocate(WORD + 1).expect("all buffers are free"));
}

/// As above, of a request that waits: the first search tracks the words before there is a line.
fn a_release_beside_a_search_serves_the_waiter() {
    let pool = pool(WORD + 1);
    let (left, right) = (pool.allocate(WORD).unwrap(), pool.allocate(1).unwrap());
    let releaser = thread::spawn(move || drop(left));
    assert!(pool.try_allocate(WORD + 1).is_err(), "one of the buffers is held");
    let mut large = pool.allocate_async(WORD + 1);
    assert!(poll(&mut large).is_pending(), "one of the buffers is held");
    releaser.join().unwrap();
    drop(right);
    assert!(poll(&mut large).is_ready(), "all buffers are free");
}

/// Two words, so that one may be tracked and the other not.
fn two_releases_beside_a_search_are_not_forgotten() {
    let pool = pool(WORD + 1);
    let (left, right) = (pool.allocate(WORD).unwrap(), pool.allocate(1).unwrap());
    let releaser = thread::spawn(move || {
        drop(right);
        drop(left);
    });
    drop(pool.try_allocate(WORD + 1));
    releaser.join().unwrap();
    drop(pool.try_allocate(WORD + 1).expect("all buffers are free"));
}
