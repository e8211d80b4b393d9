//! Promise E at the queue: a push is accepted and delivered, or returns its value; nothing is lost when
//! either end goes.
#![cfg(not(any(fz_loom, fz_shuttle)))]

mod support;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::thread;

use fz_mpsc::PushError;
use support::{Census, CountingWaker, finishes, poll_once, queue};

#[test]
fn e_what_was_accepted_before_the_close_is_delivered_to_the_last_value() {
    let (sender, mut receiver) = queue(8);
    for number in 1..=5 {
        sender.try_push(number).unwrap();
    }
    assert!(sender.close());
    let mut drained = Vec::new();
    while receiver.wait().unwrap() {
        receiver.drain(&mut drained, 2);
    }
    assert_eq!(drained, [1, 2, 3, 4, 5]);
}

#[test]
fn e_a_push_that_races_with_close_is_delivered_xor_given_back() {
    finishes(|| {
        for round in 0..300_u64 {
            let (sender, mut receiver) = queue::<u64>(4);
            let pushers: Vec<_> = (0..3_u64)
                .map(|pusher| {
                    let sender = sender.clone();
                    thread::spawn(move || {
                        let mut given_back = Vec::new();
                        let mut accepted = Vec::new();
                        for number in 0..100 {
                            let value = pusher * 1000 + number;
                            let pushed = match number % 3 {
                                0 => sender.push(value),
                                1 => pollster::block_on(sender.push_async(value)),
                                _ => sender.try_push(value),
                            };
                            match pushed {
                                Ok(position) => accepted.push((position, value)),
                                Err(refused) => given_back.push(refused.into_value()),
                            }
                        }
                        (accepted, given_back)
                    })
                })
                .collect();
            let closer = thread::spawn(move || {
                while sender.last_position() < round % 60 {
                    thread::yield_now();
                }
                assert!(sender.close());
            });
            let mut delivered = Vec::new();
            while receiver.wait().unwrap() {
                receiver.drain(&mut delivered, 3);
            }
            closer.join().expect("the closer is done");
            let mut accepted = BTreeSet::new();
            let mut given_back = 0;
            for pusher in pushers {
                let (its_accepted, its_given_back) = pusher.join().expect("the pusher is done");
                accepted.extend(its_accepted);
                given_back += its_given_back.len();
            }
            assert!(accepted.iter().copied().eq((1..).zip(delivered)));
            assert_eq!(accepted.len() + given_back, 300);
        }
    });
}

#[test]
fn e_close_sends_every_waiting_pusher_home_with_its_value() {
    finishes(|| {
        let (sender, mut receiver) = queue(1);
        sender.try_push(0).unwrap();
        let mut waiting: Vec<_> = (1..=3).map(|number| (sender.push_async(number), CountingWaker::new())).collect();
        for (push, (_, waker)) in &mut waiting {
            assert!(poll_once(push, waker).is_pending());
        }
        // The first in line has its room granted, and loses it to the close.
        receiver.drain(&mut Vec::new(), 1);
        let blocked = sender.clone();
        let blocked = thread::spawn(move || blocked.push(4));
        assert!(receiver.close());
        assert_eq!(blocked.join().expect("it was sent home"), Err(PushError::Closed(4)));
        for (number, (push, (woken, waker))) in (1..).zip(&mut waiting) {
            assert_eq!(woken.woken(), 1);
            assert_eq!(poll_once(push, waker), Poll::Ready(Err(PushError::Closed(number))));
        }
        assert!(receiver.is_finished());
    });
}

#[test]
fn the_last_sender_that_goes_closes_and_the_others_do_not() {
    let (sender, mut receiver) = queue::<u8>(2);
    let clone = sender.clone();
    drop(sender);
    assert!(!receiver.is_closed());
    clone.try_push(1).unwrap();
    drop(clone);
    assert!(receiver.is_closed() && !receiver.is_finished());
    assert_eq!(receiver.drain(&mut Vec::new(), 9), 1);
    assert!(receiver.is_finished());
}

#[test]
fn a_receiver_that_goes_closes_and_drops_what_is_queued() {
    // More than one portion of the drop, and not from the first cell.
    let mut census = Census::default();
    let (sender, mut receiver) = queue(5000);
    for number in 0..7000 {
        sender.try_push(census.make(number)).unwrap();
        if number < 2000 {
            receiver.drain(&mut Vec::new(), 1);
        }
    }
    assert_eq!(census.alive(), 5000);
    drop(receiver);
    assert_eq!(census.alive(), 0);
    let refused = sender.try_push(census.make(0)).unwrap_err();
    assert!(refused.is_closed());
}

#[test]
fn values_left_when_both_ends_go_in_turn_are_dropped_once() {
    let mut census = Census::default();
    let (sender, receiver) = queue(4);
    sender.try_push(census.make(1)).unwrap();
    drop(sender);
    assert_eq!(census.alive(), 1, "still there for the receiver");
    drop(receiver);
    assert_eq!(census.alive(), 0);
}

/// A value whose drop panics once.
struct Explosive<'a>(u32, &'a AtomicUsize);

impl Drop for Explosive<'_> {
    fn drop(&mut self) {
        self.1.fetch_add(1, Ordering::SeqCst);
        assert!(self.0 != 2, "boom");
    }
}

#[test]
fn a_value_whose_drop_panics_spoils_neither_the_receiver_s_drop_nor_another_value_s() {
    let drops = AtomicUsize::new(0);
    let (sender, receiver) = queue(3000);
    for number in 0..3000 {
        sender.try_push(Explosive(number, &drops)).unwrap();
    }
    drop(receiver);
    assert_eq!(drops.load(Ordering::SeqCst), 3000);
    drop(sender);
    assert_eq!(drops.load(Ordering::SeqCst), 3000);
}

#[test]
fn a_bounded_drain_whose_question_panics_has_moved_what_it_took_once() {
    let mut census = Census::default();
    let (sender, mut receiver) = queue(3);
    for number in 0..3 {
        sender.try_push(census.make(number)).unwrap();
    }
    let mut batch = Vec::new();
    let mut drain = |panics_at| {
        receiver.drain_until(u64::MAX, &mut batch, |value| {
            assert!(value.number != panics_at, "the question's own fault");
            false
        })
    };
    assert!(catch_unwind(AssertUnwindSafe(|| drain(1))).is_err());
    // Its room is free, and not more.
    for number in 3..5 {
        sender.try_push(census.make(number)).unwrap();
    }
    assert!(sender.try_push(census.make(9)).is_err());
    assert!(catch_unwind(AssertUnwindSafe(|| drain(4))).is_err());
    drop((receiver, sender));
    assert!(batch.iter().map(|value| value.number).eq(0..5));
    assert_eq!(census.alive(), 5);
    drop(batch);
    assert_eq!(census.alive(), 0);
}
