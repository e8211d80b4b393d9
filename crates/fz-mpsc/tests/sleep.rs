//! The consumer sleeps while there is nothing, and misses nothing (promises D and I at the queue).
#![cfg(not(any(fz_loom, fz_shuttle)))]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use fz_mpsc::{QueueConfig, Receiver, Sender, channel_with_wake};
use support::{CountingWaker, finishes, poll_once, queue};

/// Sends values back and forth one by one, so that the consumer goes to sleep for each.
fn ping_pong(rounds: u64, wait: impl Fn(&mut Receiver<u64>) -> bool + Copy + Send + 'static) {
    let ((to, mut from), (back_to, mut back_from)) = (queue::<u64>(1), queue::<u64>(1));
    let echo = thread::spawn(move || {
        let mut batch = Vec::new();
        while wait(&mut from) {
            from.drain(&mut batch, 1);
            for value in batch.drain(..) {
                back_to.try_push(value).expect("room for one");
            }
        }
    });
    for round in 0..rounds {
        to.try_push(round).expect("room for one");
        assert!(wait(&mut back_from));
        let mut batch = Vec::new();
        assert_eq!(back_from.drain(&mut batch, 9), 1);
        assert_eq!(batch, [round]);
    }
    drop(to);
    echo.join().expect("the echo ends with its queue");
}

#[test]
fn d_no_wake_up_is_lost_by_a_blocking_consumer() {
    finishes(|| ping_pong(20_000, |receiver| receiver.wait().unwrap()));
}

#[test]
fn d_no_wake_up_is_lost_by_an_async_consumer() {
    finishes(|| ping_pong(20_000, |receiver| pollster::block_on(receiver.wait_async()).unwrap()));
}

#[test]
fn d_no_wake_up_is_lost_by_a_consumer_with_a_timeout() {
    finishes(|| {
        ping_pong(20_000, |receiver| {
            while !receiver.wait_timeout(Duration::from_micros(20)).unwrap() {
                if receiver.is_finished() {
                    return false;
                }
            }
            true
        });
    });
}

#[test]
fn d_no_wake_up_is_lost_by_a_consumer_with_a_wake_function_of_its_own() {
    finishes(|| {
        let consumer = thread::current();
        let (sender, mut receiver) =
            channel_with_wake(QueueConfig::new(2), move || consumer.unpark()).expect("the capacity is fine");
        let pusher = thread::spawn(move || {
            for number in 0..100_000_u32 {
                sender.push(number).expect("open");
            }
        });
        let mut drained = Vec::new();
        while !receiver.is_finished() {
            if receiver.drain(&mut drained, 2) == 0 && receiver.announce_sleep().unwrap() {
                thread::park();
            }
        }
        assert!(drained.into_iter().eq(0..100_000));
        pusher.join().expect("the pusher is done");
    });
}

fn counted_wake() -> (Arc<AtomicUsize>, Sender<u8>, Receiver<u8>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let wake = move || {
        counted.fetch_add(1, Ordering::SeqCst);
    };
    let (sender, receiver) = channel_with_wake(QueueConfig::new(8), wake).expect("the capacity is fine");
    (calls, sender, receiver)
}

#[test]
fn i_the_wake_function_is_called_once_for_a_sleep_and_never_for_a_consumer_that_is_awake() {
    let (calls, sender, mut receiver) = counted_wake();
    sender.try_push(1).unwrap();
    assert_eq!(calls.load(Ordering::SeqCst), 0, "the consumer is awake");
    assert!(!receiver.announce_sleep().unwrap(), "there is something");
    receiver.drain(&mut Vec::new(), 8);
    assert!(receiver.announce_sleep().unwrap());
    sender.try_push(2).unwrap();
    sender.try_push(3).unwrap();
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    receiver.drain(&mut Vec::new(), 8);
    assert!(receiver.announce_sleep().unwrap());
    assert!(receiver.cancel_sleep());
    sender.try_push(4).unwrap();
    assert_eq!(calls.load(Ordering::SeqCst), 1, "the sleep was taken back");
    receiver.drain(&mut Vec::new(), 8);
    assert!(receiver.announce_sleep().unwrap());
    sender.close();
    sender.close();
    assert_eq!(calls.load(Ordering::SeqCst), 2);
    assert!(!receiver.cancel_sleep(), "the close ended it");
    assert!(!receiver.announce_sleep().unwrap(), "no call would come any more");
}

#[test]
fn the_waits_work_beside_a_wake_function() {
    finishes(|| {
        let (calls, sender, mut receiver) = counted_wake();
        let pusher = thread::spawn(move || {
            while calls.load(Ordering::SeqCst) == 0 {
                sender.push(1).expect("open");
                thread::yield_now();
            }
        });
        while receiver.wait().unwrap() {
            receiver.drain(&mut Vec::new(), 8);
        }
        pusher.join().expect("the pusher saw the call");
    });
}

#[test]
fn i_a_wait_that_is_dropped_leaves_nothing_to_wake() {
    let (sender, mut receiver) = queue::<u8>(2);
    let (woken, waker) = CountingWaker::new();
    let mut wait = receiver.wait_async();
    assert!(poll_once(&mut wait, &waker).is_pending());
    drop(wait);
    assert_eq!(Arc::strong_count(&woken), 2, "the queue keeps no waker");
    sender.try_push(1).unwrap();
    assert_eq!(woken.woken(), 0);
    assert!(matches!(poll_once(&mut receiver.wait_async(), &waker), Poll::Ready(Ok(true))));
}

#[test]
fn d_the_latest_waker_is_the_one_that_is_woken() {
    let (sender, mut receiver) = queue::<u8>(2);
    let ((first, first_waker), (second, second_waker)) = (CountingWaker::new(), CountingWaker::new());
    let mut wait = receiver.wait_async();
    assert!(poll_once(&mut wait, &first_waker).is_pending());
    assert!(poll_once(&mut wait, &second_waker).is_pending());
    sender.try_push(1).unwrap();
    assert_eq!((first.woken(), second.woken()), (0, 1));
    assert!(matches!(poll_once(&mut wait, &second_waker), Poll::Ready(Ok(true))));
}
