//! Promise B: positions are dense, and say in which order the consumer gets the values.
#![cfg(not(any(fz_loom, fz_shuttle)))]

mod support;

use std::thread;

use support::{finishes, queue};

const PRODUCERS: u64 = 4;

/// Pushes with several producers, in every way there is, and checks all positions.
fn order_holds(capacity: usize, each: u64) {
    let (sender, mut receiver) = queue::<(u64, u64)>(capacity);
    let producers: Vec<_> = (0..PRODUCERS)
        .map(|producer| {
            let sender = sender.clone();
            thread::spawn(move || {
                let push = |number| match number % 3 {
                    0 => sender.push((producer, number)),
                    1 => pollster::block_on(sender.push_async((producer, number))),
                    _ => sender.push_timeout((producer, number), std::time::Duration::MAX),
                };
                (0..each).map(|number| push(number).expect("open")).collect::<Vec<_>>()
            })
        })
        .collect();
    drop(sender);

    let mut drained = Vec::new();
    while receiver.wait().unwrap() {
        let next = receiver.next_position();
        assert_eq!(next, drained.len() as u64 + 1);
        let taken = receiver.drain(&mut drained, 7);
        assert_eq!(receiver.next_position(), next + taken as u64);
    }
    assert_eq!(drained.len() as u64, PRODUCERS * each);
    assert_eq!(receiver.last_position(), PRODUCERS * each);

    // Each value lies where its push said it would. With one value a position, that is density.
    for (producer, positions) in (0..).zip(producers) {
        let positions = positions.join().expect("the producer is done");
        assert!(positions.is_sorted(), "a producer's own order");
        for (number, position) in (0..).zip(positions) {
            assert_eq!(drained[usize::try_from(position - 1).unwrap()], (producer, number));
        }
    }
}

#[test]
fn b_every_value_lies_at_the_position_its_push_returned() {
    finishes(|| order_holds(1 << 12, 200_000));
}

#[test]
fn b_order_holds_while_pushers_wait_for_room() {
    finishes(|| order_holds(3, 5_000));
}

#[test]
fn b_order_holds_with_room_for_one() {
    finishes(|| order_holds(1, 2_000));
}

#[test]
fn drains_through_a_position_bring_all_up_to_it_and_no_more() {
    finishes(|| {
        let (sender, mut receiver) = queue::<u64>(1 << 10);
        let pushers: Vec<_> = (0..PRODUCERS)
            .map(|_| {
                let sender = sender.clone();
                thread::spawn(move || (0..50_000).try_for_each(|number| sender.push(number).map(drop)))
            })
            .collect();
        drop(sender);
        let mut drained = Vec::new();
        while receiver.wait().unwrap() {
            let (next, last) = (receiver.next_position(), receiver.last_position());
            drained.clear();
            while receiver.next_position() <= last {
                assert!(receiver.wait_ready().unwrap());
                assert!(receiver.drain_through(last, &mut drained) > 0, "at least the value that was ready");
            }
            assert_eq!(drained.len() as u64, last + 1 - next);
            assert_eq!(receiver.next_position(), last + 1);
        }
        assert_eq!(receiver.last_position(), PRODUCERS * 50_000);
        for pusher in pushers {
            pusher.join().expect("the pusher is done").expect("open");
        }
    });
}
