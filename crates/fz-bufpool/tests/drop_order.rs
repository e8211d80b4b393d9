//! Promise H: handles, futures and allocations end in any order, on any thread; and the heap is
//! called for a pool's making and end, not for its use.
#![cfg(not(any(fz_loom, fz_shuttle)))]

mod watchdog;

use std::alloc::{GlobalAlloc, Layout, System};
use std::any::Any;
use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicIsize, Ordering};
use std::task::{Context, Waker};
use std::thread;

use fz_bufpool::{BufPool, BufPoolConfig, BufferSize};
use watchdog::finishes;

/// So large that only this file's arenas are: they are counted however the tests run beside each other.
const BIG_BUFFERS: usize = 70;
const BIG_BYTES: usize = BIG_BUFFERS * BufferSize::S16384.bytes();

/// Arenas of `BIG_BYTES` that live now.
static ARENAS: AtomicIsize = AtomicIsize::new(0);

thread_local! {
    static CALLS: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: it hands every call on to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout, 1);
        // SAFETY: the caller's promise is handed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout, 1);
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(layout, -1);
        // SAFETY: as above.
        unsafe { System.dealloc(block, layout) };
    }
}

fn count(layout: Layout, arenas: isize) {
    CALLS.with(|calls| calls.set(calls.get() + 1));
    if layout.size() > BIG_BYTES {
        ARENAS.fetch_add(arenas, Ordering::SeqCst);
    }
}

#[global_allocator]
static HEAP: Counting = Counting;

#[test]
fn an_allocation_or_a_refusal_in_steady_state_makes_no_heap_call() {
    let pool = BufPool::new(BufPoolConfig::new(BufferSize::S64, 1000 * 64)).unwrap();
    let mut calls = Vec::new();
    for count in [1, 2, 64, 65, 1000] {
        let before = CALLS.get();
        for _ in 0..100 {
            let mut allocation = pool.allocate(count).unwrap();
            allocation.copy_from_slice(b"a record").unwrap();
            drop(allocation);
            drop(pool.try_allocate(count).unwrap());
            drop(pool.clone());
        }
        let mut first = pool.allocate(1).unwrap();
        drop(first.try_append(pool.allocate(1).unwrap()));
        drop(first);
        calls.push(CALLS.get() - before);
    }
    assert_eq!(calls, [0; 5]);
    let all = pool.allocate(1000).unwrap();
    // The first refusal of each count is on the heap, and kept.
    let refused = || [1, 2, 900].map(|count| pool.try_allocate(count).unwrap_err().to_string().len());
    refused();
    let before = CALLS.get();
    for _ in 0..100 {
        for count in [1, 2, 900] {
            drop(pool.try_allocate(count).unwrap_err());
        }
    }
    assert_eq!(CALLS.get() - before, 0, "a refusal");
    drop(all);
    let before = CALLS.get();
    drop(pool.try_allocate(1001));
    assert!(CALLS.get() > before, "the counter counts: an error is on the heap");
}

/// Each part may outlive each: all are dropped in each order, on this thread and on further ones.
#[test]
fn h_everything_may_be_dropped_in_any_order_and_the_memory_goes_with_the_last() {
    finishes(|| {
        let parts = 5;
        for order in 0..(1..=parts).product() {
            for elsewhere in [false, true] {
                let pool = BufPool::new(BufPoolConfig::new(BufferSize::S16384, BIG_BYTES).prefault(false)).unwrap();
                assert_eq!(ARENAS.load(Ordering::SeqCst), 1);
                // Buffers in both words of the bitmap.
                let most = pool.try_allocate(BIG_BUFFERS - 1).unwrap();
                let mut part = pool.try_allocate(1).unwrap();
                part.as_mut_slice().fill(1);
                let mut future = pool.allocate_async(2);
                assert!(Pin::new(&mut future).poll(&mut Context::from_waker(Waker::noop())).is_pending());
                let mut parts: Vec<Box<dyn Any + Send>> =
                    vec![Box::new(part), Box::new(most), Box::new(pool.clone()), Box::new(future), Box::new(pool)];
                let mut code = order;
                while !parts.is_empty() {
                    assert_eq!(ARENAS.load(Ordering::SeqCst), 1, "a part still needs the memory");
                    let next = parts.swap_remove(code % parts.len());
                    code /= parts.len() + 1;
                    if elsewhere {
                        thread::spawn(move || drop(next)).join().unwrap();
                    } else {
                        drop(next);
                    }
                }
                assert_eq!(ARENAS.load(Ordering::SeqCst), 0, "nothing needs the memory any more");
            }
        }
    });
}

#[test]
fn h_an_allocation_can_be_used_after_its_pool_is_gone() {
    let pool = BufPool::new(BufPoolConfig::new(BufferSize::S64, 4 * 64)).unwrap();
    let (mut first, second) = (pool.allocate(1).unwrap(), pool.allocate(2).unwrap());
    drop(pool);
    first.try_append(second).expect("the second was claimed right behind the first");
    first.copy_from_slice(&[5; 192]).unwrap();
    assert!(thread::spawn(move || first.as_slice() == [5; 192]).join().unwrap());
}
