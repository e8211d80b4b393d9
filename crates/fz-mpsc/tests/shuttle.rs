//! Larger scenarios than loom can hold, under random schedules (and a strong memory model).
//!
//! `RUSTFLAGS="--cfg fz_shuttle" cargo test --release -p fz-mpsc --test shuttle --features _shuttle`
#![cfg(fz_shuttle)]

use fz_mpsc::{QueueConfig, channel};
use shuttle::{future, thread};

const SCHEDULES: usize = 2_000;

/// Three pushers, one of each kind, press into a small queue until it is closed or they are done.
fn press(capacity: usize, closes_after: u64) {
    let (sender, mut receiver) = channel(QueueConfig::new(capacity)).expect("the capacity is fine");
    let pushers: Vec<_> = (0..3_u64)
        .map(|pusher| {
            let sender = sender.clone();
            thread::spawn(move || {
                let push = |value| match pusher {
                    0 => sender.push(value),
                    1 => future::block_on(sender.push_async(value)),
                    _ => sender.try_push(value),
                };
                (0..8)
                    .filter_map(|number| push((pusher, number)).ok().map(|at| (at, (pusher, number))))
                    .collect::<Vec<_>>()
            })
        })
        .collect();
    drop(sender);
    let mut drained = Vec::new();
    while receiver.wait().unwrap() {
        receiver.drain(&mut drained, 2);
        if receiver.next_position() > closes_after {
            receiver.close();
        }
    }
    let mut accepted: Vec<_> =
        pushers.into_iter().flat_map(|pusher| pusher.join().expect("no pusher panics")).collect();
    accepted.sort_unstable();
    assert!(accepted.into_iter().eq((1..).zip(drained)));
}

#[test]
fn e_under_any_schedule_what_was_accepted_is_drained_in_order() {
    for capacity in [1, 2, 3] {
        shuttle::check_random(move || press(capacity, 10), SCHEDULES);
        shuttle::check_pct(move || press(capacity, 10), SCHEDULES, 4);
    }
}
