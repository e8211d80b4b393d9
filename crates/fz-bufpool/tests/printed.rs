//! What is printed for people says what is so, and an allocation stands for its bytes wherever bytes are asked for.
#![cfg(not(any(fz_loom, fz_shuttle)))]

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use fz_bufpool::{BufPool, BufPoolConfig, BufferSize};

fn pool(buffers: usize) -> BufPool {
    BufPool::new(BufPoolConfig::new(BufferSize::S64, buffers * 64)).unwrap()
}

#[test]
fn an_allocation_says_where_it_lies_and_not_what_is_in_it() {
    let pool = pool(4);
    let first = pool.allocate(1).unwrap();
    let second = pool.allocate(2).unwrap();
    assert_eq!(format!("{first:?}"), "Allocation { buffer_size: S64, first: 0, count: 1, .. }");
    assert_eq!(format!("{second:?}"), "Allocation { buffer_size: S64, first: 1, count: 2, .. }");
}

#[test]
fn a_pool_says_what_it_was_made_for_and_its_line_whether_requests_wait() {
    let pool = BufPool::new(BufPoolConfig::new(BufferSize::S64, 64).module_id(7)).unwrap();
    assert_eq!(format!("{pool:?}"), "BufPool { buffer_size: S64, capacity: 1, module_id: 7, .. }");
    let held = pool.allocate(1).unwrap();
    let line = held.line();
    assert_eq!(format!("{line:?}"), format!("PoolLine {{ id: {}, is_waiting: false }}", line.id()));
    let mut request = pin!(pool.allocate_async(1));
    assert!(request.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    assert_eq!(format!("{line:?}"), format!("PoolLine {{ id: {}, is_waiting: true }}", line.id()));
}

#[test]
fn a_request_says_whether_it_waits() {
    let pool = pool(1);
    let held = pool.allocate(1).unwrap();
    let mut request = pin!(pool.allocate_async(1));
    assert_eq!(format!("{request:?}"), "AllocateFuture { count: 1, state: \"new\", .. }");
    let mut context = Context::from_waker(Waker::noop());
    assert!(request.as_mut().poll(&mut context).is_pending());
    assert_eq!(format!("{request:?}"), "AllocateFuture { count: 1, state: \"in line\", .. }");
    drop(held);
    let Poll::Ready(Ok(served)) = request.as_mut().poll(&mut context) else { panic!("the buffer came back") };
    assert_eq!(format!("{request:?}"), "AllocateFuture { count: 1, state: \"done\", .. }");
    drop(served);
}

#[test]
fn an_allocation_is_its_bytes_to_whoever_takes_bytes() {
    let pool = pool(2);
    let mut allocation = pool.allocate_copy(&[7; 128]).unwrap();
    let bytes: &mut [u8] = allocation.as_mut();
    assert_eq!(bytes, [7; 128]);
    bytes[100] = 8;
    let address = allocation.as_slice().as_ptr();
    let bytes: &[u8] = allocation.as_ref();
    assert_eq!((bytes.as_ptr(), bytes.len(), bytes[99], bytes[100]), (address, 128, 7, 8));
}
