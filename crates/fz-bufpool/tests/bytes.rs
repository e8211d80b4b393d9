//! The feature `bytes`: an allocation becomes shared bytes without a copy; its buffers come back with the last of them.
#![cfg(not(any(fz_loom, fz_shuttle)))]

mod watchdog;

use std::thread;

use bytes::Bytes;
use fz_bufpool::{BufPool, BufPoolConfig, BufPoolErrorKind, BufferSize};
use watchdog::finishes;

fn pool(buffers: usize) -> BufPool {
    BufPool::new(BufPoolConfig::new(BufferSize::S64, buffers * 64)).unwrap()
}

#[test]
fn an_allocation_becomes_bytes_at_its_own_address() {
    let pool = pool(4);
    let mut allocation = pool.allocate(2).unwrap();
    allocation.copy_from_slice(b"not moved").unwrap();
    let address = allocation.as_slice().as_ptr();
    let bytes = Bytes::from(allocation);
    assert_eq!((bytes.as_ptr(), bytes.len()), (address, 128));
    assert!(bytes.starts_with(b"not moved"));
    assert!(bytes[9..].iter().all(|byte| *byte == 0));
}

#[test]
fn h_the_buffers_come_back_with_the_last_clone_or_slice_in_whatever_order_they_go() {
    for last in 0..3 {
        let pool = pool(3);
        let whole = Bytes::from(pool.allocate(3).unwrap());
        let mut parts = vec![whole.clone(), whole.slice(70..80), whole];
        let kept = parts.remove(last);
        drop(parts);
        assert_eq!(pool.stats().in_use, 3, "one part still needs the memory");
        assert!(matches!(pool.try_allocate(1).unwrap_err().kind(), BufPoolErrorKind::Exhausted { .. }));
        thread::spawn(move || drop(kept)).join().unwrap();
        assert_eq!(pool.stats().in_use, 0, "the last part gives it back");
        drop(pool.try_allocate(3).unwrap());
    }
}

#[test]
fn h_the_bytes_may_outlive_the_pool() {
    let pool = pool(1);
    let bytes = Bytes::from(pool.allocate_copy(&[7; 64]).unwrap());
    drop(pool);
    assert!(thread::spawn(move || bytes == [7; 64][..]).join().unwrap());
}

#[test]
fn f_who_waits_for_buffers_is_served_when_the_last_bytes_go() {
    finishes(|| {
        let pool = pool(1);
        let bytes = Bytes::from(pool.allocate(1).unwrap());
        let clone = bytes.clone();
        let waiter = thread::spawn({
            let pool = pool.clone();
            move || drop(pool.allocate(1).unwrap())
        });
        while pool.stats().waiters == 0 {
            thread::yield_now();
        }
        drop(bytes);
        assert_eq!(pool.stats().waiters, 1, "a clone still holds the buffer");
        drop(clone);
        waiter.join().unwrap();
    });
}

#[test]
fn an_allocation_filled_from_bytes_is_a_copy_of_its_own() {
    let pool = pool(4);
    let source = Bytes::from(pool.allocate_copy(&[1; 65]).unwrap());
    let mut copy = pool.allocate_copy(&source).unwrap();
    copy.as_mut_slice().fill(2);
    assert_eq!(source[..65], [1; 65]);
    assert_eq!(pool.stats().in_use, 4);
}
