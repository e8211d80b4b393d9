//! Promise F: bounded exactly; waiting pushes get room in order, and no wake-up is lost.
#![cfg(not(any(fz_loom, fz_shuttle)))]

mod support;

use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;

use fz_error::{Kind, Reason};
use fz_mpsc::{PushError, QueueConfig, QueueErrorKind, RoomWaiter, channel};
use support::{Census, CountingWaker, finishes, poll_once, queue};

#[test]
fn f_bounded_exactly_at_the_capacity() {
    for capacity in [1, 2, 3, 5, 7, 8, 100, 1023, 1025] {
        let (sender, mut receiver) = queue(capacity);
        let mut drained = Vec::new();
        for _ in 0..3 {
            for number in 0..capacity {
                sender.try_push(number).expect("room for the capacity");
            }
            assert_eq!(sender.len(), capacity);
            assert_eq!(sender.try_push(capacity), Err(PushError::Full(capacity)));
            // One freed is room for one.
            assert_eq!(receiver.drain(&mut drained, 1), 1);
            sender.try_push(capacity).expect("one is free");
            assert_eq!(sender.try_push(capacity), Err(PushError::Full(capacity)));
            assert_eq!(receiver.drain(&mut drained, usize::MAX), capacity);
        }
    }
}

#[test]
fn g_a_capacity_that_cannot_be_is_an_error_that_names_it() {
    let refused = |capacity| channel::<[u64; 1 << 17]>(QueueConfig::new(capacity).module_id(9)).expect_err("cannot be");
    let zero = refused(0);
    assert_eq!(zero.kind(), &QueueErrorKind::ZeroCapacity);
    assert_eq!(zero.id().to_string(), "0x0903_0001");
    let large = refused(usize::MAX);
    assert!(matches!(large.kind(), QueueErrorKind::CapacityTooLarge { capacity: usize::MAX, .. }));
    assert!(large.to_string().contains(&usize::MAX.to_string()), "{large}");
    // 2 PiB, more than there are addresses: no machine promises it and then fails to keep it.
    let memory = refused(QueueConfig::CAPACITY_MAX);
    assert!(
        matches!(memory.kind(), QueueErrorKind::OutOfMemory { capacity: QueueConfig::CAPACITY_MAX, .. }),
        "{memory}"
    );
}

#[test]
fn the_catalogue_of_reasons_is_ascending_and_names_every_kind() {
    let capacity = 0;
    let kinds = [
        QueueErrorKind::ZeroCapacity,
        QueueErrorKind::CapacityTooLarge { capacity, capacity_max: 1 },
        QueueErrorKind::OutOfMemory { capacity, cells: 0, cell_bytes: 0 },
        QueueErrorKind::ForkedCopy,
    ];
    let codes: Vec<_> = QueueErrorKind::REASONS.iter().map(Reason::code).collect();
    assert!(codes.is_sorted_by(|one, next| one < next));
    assert_eq!(codes, kinds.each_ref().map(Kind::reason));
    for (kind, reason) in kinds.iter().zip(QueueErrorKind::REASONS) {
        assert!(format!("{kind:?}").starts_with(reason.name()));
    }
}

#[test]
fn f_waiting_tasks_are_served_in_the_order_they_came() {
    let (sender, mut receiver) = queue(2);
    sender.try_push(0).unwrap();
    sender.try_push(0).unwrap();
    let mut line: Vec<_> = (1..=6).map(|number| (sender.push_async(number), CountingWaker::new())).collect();
    for (push, (_, waker)) in &mut line {
        assert!(poll_once(push, waker).is_pending());
    }
    let mut drained = Vec::new();
    for turn in 0..3 {
        assert_eq!(receiver.drain(&mut drained, 2), 2);
        let woken: Vec<_> = line.iter().map(|(_, (counting, _))| counting.woken()).collect();
        assert_eq!(woken, (0..6).map(|place| usize::from(place < 2 * turn + 2)).collect::<Vec<_>>());
        assert_eq!(sender.try_push(99), Err(PushError::Full(99)), "the room is promised");
        // Polled in the wrong order; both have their room all the same.
        for place in [2 * turn + 1, 2 * turn] {
            let (push, (_, waker)) = &mut line[place];
            assert!(matches!(poll_once(push, waker), Poll::Ready(Ok(_))));
        }
    }
    receiver.drain(&mut drained, 2);
    assert_eq!(drained, [0, 0, 2, 1, 4, 3, 6, 5]);
    assert_eq!(sender.try_push(7), Ok(9), "the line is gone");
}

#[test]
fn f_room_beyond_the_promises_is_for_newcomers() {
    let (sender, mut receiver) = queue(3);
    for number in 0..3 {
        sender.try_push(number).unwrap();
    }
    let (_, waker) = CountingWaker::new();
    let mut waiting = sender.push_async(10);
    assert!(poll_once(&mut waiting, &waker).is_pending());
    receiver.drain(&mut Vec::new(), 3);
    // One place is promised, two are free.
    assert_eq!(sender.try_push(11), Ok(4));
    assert_eq!(sender.try_push(12), Ok(5));
    assert_eq!(sender.try_push(13), Err(PushError::Full(13)));
    assert_eq!(poll_once(&mut waiting, &waker), Poll::Ready(Ok(6)));
}

#[test]
fn f_a_cancelled_waiter_passes_its_turn_on() {
    let (sender, mut receiver) = queue(1);
    let mut census = Census::default();
    sender.try_push(census.make(0)).unwrap();
    let mut line: Vec<_> =
        (1..=4).map(|number| (sender.push_async(census.make(number)), CountingWaker::new())).collect();
    for (push, (_, waker)) in &mut line {
        assert!(poll_once(push, waker).is_pending());
    }
    drop(line.remove(1).0); // number 2, before its turn
    assert_eq!(census.alive(), 4);
    receiver.drain(&mut Vec::new(), 1);
    let (granted, (woken, _)) = line.remove(0); // number 1, which has its turn
    assert_eq!(woken.woken(), 1);
    drop(granted);
    let (push, (woken, waker)) = &mut line[0];
    assert_eq!(woken.woken(), 1, "number 3 is next");
    assert!(matches!(poll_once(push, waker), Poll::Ready(Ok(2))));
    assert_eq!(line[1].1.0.woken(), 0);
    drop(line);
    assert!(matches!(sender.try_push(census.make(5)), Err(PushError::Full(_))));
    receiver.drain(&mut Vec::new(), 1);
    assert_eq!(sender.try_push(census.make(6)).unwrap(), 3, "the line is empty");
}

#[test]
fn f_the_latest_waker_is_the_one_that_is_woken() {
    let (sender, mut receiver) = queue(1);
    sender.try_push(0).unwrap();
    let ((first, first_waker), (second, second_waker)) = (CountingWaker::new(), CountingWaker::new());
    let (mut value, mut waiter) = (Some(1), RoomWaiter::default());
    for waker in [&first_waker, &second_waker] {
        let mut context = Context::from_waker(waker);
        assert!(sender.poll_push(&mut value, &mut waiter, &mut context).is_pending());
    }
    receiver.drain(&mut Vec::new(), 1);
    assert_eq!((first.woken(), second.woken()), (0, 1));
}

#[test]
fn a_waiter_that_is_dropped_leaves_the_line() {
    let (sender, mut receiver) = queue(1);
    sender.try_push(0).unwrap();
    let (_, waker) = CountingWaker::new();
    let (mut value, mut waiter) = (Some(1), RoomWaiter::default());
    assert!(!waiter.is_waiting());
    assert!(sender.poll_push(&mut value, &mut waiter, &mut Context::from_waker(&waker)).is_pending());
    assert!(waiter.is_waiting());
    drop(waiter);
    assert_eq!(value, Some(1), "the value is the caller's");
    receiver.drain(&mut Vec::new(), 1);
    assert_eq!(sender.try_push(2), Ok(2));
}

#[test]
fn a_waiter_of_another_queue_is_refused_and_the_value_kept() {
    let ((one, _one), (other, _other)) = (queue(1), queue(1));
    one.try_push(0).unwrap();
    let (_, waker) = CountingWaker::new();
    let (mut value, mut waiter) = (Some(1), RoomWaiter::default());
    assert!(one.poll_push(&mut value, &mut waiter, &mut Context::from_waker(&waker)).is_pending());
    let confused = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        other.poll_push(&mut value, &mut waiter, &mut Context::from_waker(&waker))
    }));
    assert!(confused.is_err());
    assert_eq!(value, Some(1));
    assert_eq!(other.last_position(), 0);
}

#[test]
fn f_a_push_that_times_out_keeps_its_value_and_leaves_the_line() {
    let (sender, mut receiver) = queue(1);
    sender.try_push("first").unwrap();
    assert_eq!(sender.push_timeout("second", Duration::from_millis(2)), Err(PushError::TimedOut("second")));
    receiver.drain(&mut Vec::new(), 1);
    assert_eq!(sender.try_push("third"), Ok(2));
}

#[test]
fn f_one_drain_serves_every_waiting_pusher() {
    finishes(|| {
        const WAITING: usize = 8;
        let (sender, mut receiver) = queue(WAITING);
        for round in 0..200 {
            while sender.try_push(round).is_ok() {}
            let pushers: Vec<_> = (0..WAITING)
                .map(|_| {
                    let sender = sender.clone();
                    thread::spawn(move || sender.push(round).expect("open"))
                })
                .collect();
            // One drain frees all the room there is; nothing more is drained before all are in.
            assert_eq!(receiver.drain(&mut Vec::new(), WAITING), WAITING);
            for pusher in pushers {
                pusher.join().expect("room came to it");
            }
            assert_eq!(receiver.drain(&mut Vec::new(), WAITING), WAITING);
        }
    });
}

#[test]
fn f_no_wake_up_is_lost_between_impatient_pushers_and_a_slow_drain() {
    finishes(|| {
        let (sender, mut receiver) = queue(2);
        let pushers: Vec<_> = (0..4_u64)
            .map(|pusher| {
                let sender = sender.clone();
                thread::spawn(move || {
                    let accepted = |number: u64| {
                        let patience = Duration::from_micros(number % 40);
                        let (_, waker) = CountingWaker::new();
                        match (number + pusher) % 3 {
                            0 => sender.push(number).is_ok(),
                            1 => sender.push_timeout(number, patience).is_ok(),
                            _ => matches!(poll_once(&mut sender.push_async(number), &waker), Poll::Ready(Ok(_))),
                        }
                    };
                    (0..20_000).filter(|number| accepted(*number)).count()
                })
            })
            .collect();
        drop(sender);
        let mut drained = Vec::new();
        while receiver.wait().unwrap() {
            let max = 1 + drained.len() % 2;
            receiver.drain(&mut drained, max);
        }
        let accepted: usize = pushers.into_iter().map(|pusher| pusher.join().expect("the pusher is done")).sum();
        assert_eq!(drained.len(), accepted);
    });
}

#[test]
fn f_a_bounded_drain_frees_no_more_room_than_it_took() {
    // Ends in the first portion of the drain, at its end, behind it, and not at all.
    for stop in [1, 63, 64, 65, 200, 1000] {
        let (sender, mut receiver) = queue(200);
        for number in 1..=200_u64 {
            sender.try_push(number).unwrap();
        }
        let (mut batch, mut asked) = (Vec::new(), Vec::new());
        let drained = receiver.drain_until(u64::MAX, &mut batch, |number| {
            asked.push(*number);
            *number == stop
        });
        assert_eq!(drained as u64, stop.min(200));
        assert!(batch.iter().copied().eq(1..=stop.min(200)));
        assert_eq!(asked, batch, "each is asked about once");
        assert_eq!(receiver.next_position(), stop.min(200) + 1);
        let free = (0..300).take_while(|number| sender.try_push(*number).is_ok()).count();
        assert_eq!(free, drained);
    }
}
