//! One buffer held for long, and requests beside it: with a limit on the size of a request they go on.
#![cfg(not(any(fz_loom, fz_shuttle)))]

mod wakes;

use std::sync::Arc;

use fz_bufpool::{BufPool, BufPoolConfig, BufPoolErrorKind, BufferSize};
use wakes::Wakes;

const BUFFERS: usize = 1024;

fn pool(request_max: Option<usize>) -> BufPool {
    let config = BufPoolConfig::new(BufferSize::S8, BUFFERS * 8);
    BufPool::new(request_max.map_or(config, |max| config.request_buffers_max(max))).unwrap()
}

#[test]
fn f_beside_a_buffer_held_for_long_a_request_for_the_whole_pool_stops_all_unless_there_is_a_limit() {
    for limit in [None, Some(BUFFERS / 4)] {
        let pool = pool(limit);
        let held = pool.allocate(1).unwrap();
        let wakes = Arc::<Wakes>::default();
        let mut large = pool.allocate_async(BUFFERS);
        let polled = wakes::poll(&mut large, &wakes);
        if limit.is_none() {
            assert!(polled.is_pending() && wakes.count() == 0);
            let error = pool.try_allocate(1).unwrap_err();
            assert!(matches!(error.kind(), BufPoolErrorKind::RequestsWaiting { count: 1, .. }), "{error}");
        } else {
            assert!(polled.is_ready(), "refused at once");
            // As many buffers as the limit allows are free in a row, for as long as few are held.
            drop(pool.try_allocate(BUFFERS / 4).expect("1023 buffers are free"));
        }
        drop(held);
    }
}

#[test]
fn f_requests_within_the_limit_wait_only_while_a_share_of_the_pool_is_held() {
    let pool = pool(Some(16));
    // In the worst places: the last of each sixteen.
    let held: Vec<_> =
        (0..BUFFERS / 16).map(|_| (pool.try_allocate(15).unwrap(), pool.try_allocate(1).unwrap())).collect();
    let (_, mut kept): (Vec<_>, Vec<_>) = held.into_iter().unzip();
    assert!(pool.try_allocate(16).is_err(), "one of each 16 buffers is held");
    kept.pop();
    assert!(pool.try_allocate(16).is_ok(), "one fewer is too few to stop the largest request");
}
