//! Claims that hold in every interleaving with up to three preemptions (two in the largest models), and under every
//! reordering that the memory model allows.
//!
//! `RUSTFLAGS="--cfg fz_loom" cargo test --release -p fz-mpsc --test loom --features _loom`
//!
//! The models use the public API, so they explore the code that runs in production: the
//! ring's cells report accesses that race, and a lost wake-up is a deadlock, which loom reports.
#![cfg(fz_loom)]

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use fz_mpsc::{PushError, QueueConfig, Receiver, RoomWaiter, Sender, channel, channel_with_wake};
use loom::thread;

/// Three preemptions find nearly all bugs that more would. `LOOM_MAX_PREEMPTIONS` asks for another number.
fn explore(model: impl Fn() + Send + Sync + 'static) {
    explore_within(3, model);
}

/// The largest models take minutes with three preemptions, seconds with two.
fn explore_within(preemptions_max: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(preemptions_max));
    builder.check(model);
}

fn queue<T: Send>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    channel(QueueConfig::new(capacity)).expect("the capacity is fine")
}

/// Drains until the end, asleep in between.
fn drain_to_the_end<T>(receiver: &mut Receiver<T>) -> Vec<T> {
    let mut values = Vec::new();
    while receiver.wait().unwrap() {
        assert!(receiver.drain(&mut values, usize::MAX) > 0, "wait said that there is something");
    }
    assert!(receiver.is_finished());
    values
}

/// Wakes a thread of the model. The flag is there because loom's `yield_now` forgets an unpark.
struct Unpark {
    thread: thread::Thread,
    is_woken: AtomicBool,
}

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.is_woken.store(true, Ordering::SeqCst);
        self.thread.unpark();
    }
}

fn block_on<O>(future: impl Future<Output = O>) -> O {
    let mut future = pin!(future);
    let unpark = Arc::new(Unpark { thread: thread::current(), is_woken: AtomicBool::new(false) });
    let waker = Waker::from(Arc::clone(&unpark));
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending if unpark.is_woken.swap(false, Ordering::SeqCst) => thread::yield_now(),
            Poll::Pending => thread::park(),
        }
    }
}

#[test]
fn two_pushers_never_share_a_position_and_the_drain_follows_it() {
    explore(|| {
        let (sender, mut receiver) = queue(2);
        let pushers = ['a', 'b'].map(|value| {
            let sender = sender.clone();
            thread::spawn(move || (sender.try_push(value).expect("there is room for both"), value))
        });
        let mut values = Vec::new();
        receiver.drain(&mut values, 1);
        let mut accepted = pushers.map(|pusher| pusher.join().expect("the pusher is done"));
        receiver.drain_through(2, &mut values);
        accepted.sort_unstable();
        assert_eq!(accepted.map(|(position, _)| position), [1, 2]);
        assert_eq!(accepted.map(|(_, value)| value).as_slice(), values);
    });
}

#[test]
fn a_wait_for_a_claimed_position_ends_with_its_value() {
    explore(|| {
        let (sender, mut receiver) = queue(2);
        let pusher = thread::spawn(move || sender.try_push("value").expect("there is room"));
        let last = receiver.last_position();
        let mut values = Vec::new();
        if last == 1 {
            assert!(receiver.wait_ready().unwrap());
        }
        assert_eq!(receiver.drain_through(last, &mut values) as u64, last);
        pusher.join().expect("the pusher is done");
        receiver.drain(&mut values, 1);
        assert_eq!(values, ["value"]);
    });
}

#[test]
fn a_cell_is_not_refilled_before_it_was_read() {
    explore_within(2, || {
        let (sender, mut receiver) = queue(1);
        let pusher = thread::spawn(move || {
            for value in [10, 20] {
                sender.push(Box::new(value)).expect("open");
            }
        });
        let values: Vec<_> = drain_to_the_end(&mut receiver).into_iter().map(|value| *value).collect();
        assert_eq!(values, [10, 20]);
        pusher.join().expect("the pusher is done");
    });
}

#[test]
fn what_is_looked_at_is_whole_and_is_what_the_drain_takes() {
    explore(|| {
        let (sender, mut receiver) = queue(1);
        let pusher = thread::spawn(move || {
            for value in 1..=2 {
                sender.push(Box::new(value)).expect("it stays open");
            }
        });
        let mut drained = Vec::new();
        let early = receiver.peek(0).map(|value| **value);
        assert!(early.is_none_or(|value| value == 1));
        while receiver.wait().unwrap() {
            assert!(receiver.peek(1).is_none(), "there is room for one");
            let seen = **receiver.peek(0).expect("wait said so");
            receiver.drain(&mut drained, 1);
            assert_eq!(drained.last().map(|value| **value), Some(seen));
        }
        assert_eq!(drained.len(), 2);
        pusher.join().unwrap();
    });
}

#[test]
fn a_newcomer_refills_only_what_another_pusher_saw_freed() {
    explore(|| {
        let (sender, mut receiver) = queue(2);
        sender.try_push(Box::new(1)).expect("there is room");
        sender.try_push(Box::new(2)).expect("there is room");
        let pushers = [3, 4].map(|value| {
            let sender = sender.clone();
            thread::spawn(move || sender.try_push(Box::new(value)).map_err(|refused| *refused.into_value()))
        });
        let mut values = Vec::new();
        receiver.drain(&mut values, 2);
        let refused = pushers.map(|pusher| pusher.join().expect("the pusher is done").err());
        receiver.drain(&mut values, 2);
        let mut all: Vec<_> = values.into_iter().map(|value| *value).chain(refused.into_iter().flatten()).collect();
        all.sort_unstable();
        assert_eq!(all, [1, 2, 3, 4]);
    });
}

#[test]
fn a_push_that_races_with_close_is_delivered_or_given_back() {
    explore_within(2, || {
        let (sender, mut receiver) = queue(2);
        let other = sender.clone();
        let pusher = thread::spawn(move || [1, 2].map(|value| other.try_push(value)));
        let closer = thread::spawn(move || assert!(sender.close()));
        let values = drain_to_the_end(&mut receiver);
        closer.join().expect("the closer is done");
        let pushed = pusher.join().expect("the pusher is done");
        let accepted = pushed.iter().filter(|result| result.is_ok()).count();
        assert!(pushed.iter().all(|result| matches!(result, Ok(_) | Err(PushError::Closed(_)))));
        assert_eq!(values, (1..).take(accepted).collect::<Vec<_>>());
    });
}

#[test]
fn a_consumer_that_goes_to_sleep_misses_no_push() {
    explore(|| {
        // Open to the end, so that no close can wake the consumer in a push's place.
        let (sender, mut receiver) = queue(2);
        let other = sender.clone();
        let pusher = thread::spawn(move || [1, 2].map(|value| other.try_push(value).expect("there is room")));
        let mut values = Vec::new();
        while values.len() < 2 {
            assert!(receiver.wait().unwrap());
            receiver.drain(&mut values, 2);
        }
        assert_eq!(values, [1, 2]);
        pusher.join().expect("the pusher is done");
        drop(sender);
    });
}

#[test]
fn of_two_pushes_that_find_the_consumer_asleep_one_wakes_it() {
    explore(|| {
        let (sender, mut receiver) = queue(2);
        let pushers = [1, 2].map(|value| {
            let sender = sender.clone();
            thread::spawn(move || sender.try_push(value).expect("there is room"))
        });
        assert!(receiver.wait().unwrap());
        for pusher in pushers {
            pusher.join().expect("the pusher is done");
        }
        assert_eq!(receiver.drain(&mut Vec::new(), 2), 2);
    });
}

#[test]
fn a_consumer_that_goes_to_sleep_misses_no_close() {
    explore(|| {
        let (sender, mut receiver) = queue::<u8>(1);
        let closer = thread::spawn(move || sender.close());
        assert!(!receiver.wait().unwrap());
        assert!(closer.join().expect("the closer is done"));
    });
}

#[test]
fn an_announced_sleep_is_ended_once_or_taken_back() {
    explore(|| {
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        let wake = move || {
            counted.fetch_add(1, Ordering::SeqCst);
        };
        let (sender, mut receiver) = channel_with_wake(QueueConfig::new(2), wake).expect("the capacity is fine");
        let pusher = thread::spawn(move || {
            sender.try_push(1).expect("there is room");
            sender.close();
        });
        let announced = receiver.announce_sleep().unwrap();
        let taken_back = announced && receiver.cancel_sleep();
        pusher.join().expect("the pusher is done");
        assert_eq!(calls.load(Ordering::SeqCst), usize::from(announced && !taken_back));
    });
}

#[test]
fn the_wake_function_is_called_after_the_value_is_there() {
    explore(|| {
        let consumer = thread::current();
        let wake = move || consumer.unpark();
        let (sender, mut receiver) = channel_with_wake(QueueConfig::new(1), wake).expect("the capacity is fine");
        let pusher = thread::spawn(move || sender.try_push(1).expect("there is room"));
        if receiver.announce_sleep().unwrap() {
            thread::park();
            assert_eq!(receiver.drain(&mut Vec::new(), 1), 1);
        }
        pusher.join().expect("the pusher is done");
    });
}

#[test]
fn f_room_freed_at_once_wakes_every_waiting_pusher_that_it_is_for() {
    explore(|| {
        let (sender, mut receiver) = queue(2);
        sender.try_push(1).expect("there is room");
        sender.try_push(2).expect("there is room");
        let pushers = [3, 4].map(|value| {
            let sender = sender.clone();
            thread::spawn(move || sender.push(value).expect("open"))
        });
        let mut values = Vec::new();
        receiver.drain(&mut values, 2);
        for pusher in pushers {
            pusher.join().expect("room came to it");
        }
        receiver.drain(&mut values, 2);
        values.sort_unstable();
        assert_eq!(values, [1, 2, 3, 4]);
    });
}

#[test]
fn f_a_bounded_drain_wakes_the_pusher_that_its_room_is_for_and_no_other() {
    explore(|| {
        let (sender, mut receiver) = queue(2);
        sender.try_push(1).expect("there is room");
        sender.try_push(2).expect("there is room");
        let other = sender.clone();
        let pusher = thread::spawn(move || other.push(3).expect("open"));
        let mut values = Vec::new();
        assert_eq!(receiver.drain_until(2, &mut values, |value| *value == 1), 1);
        assert_eq!(pusher.join().expect("room came to it"), 3);
        assert_eq!(sender.try_push(4), Err(PushError::Full(4)));
        receiver.drain_until(3, &mut values, |_| false);
        assert_eq!(values, [1, 2, 3]);
    });
}

#[test]
fn f_a_waiter_that_gives_up_passes_its_room_on() {
    explore(|| {
        let (sender, mut receiver) = queue(1);
        sender.try_push(1).expect("there is room");
        let mut context = Context::from_waker(Waker::noop());
        let (mut value, mut waiter) = (Some(2), RoomWaiter::default());
        assert_eq!(sender.poll_push(&mut value, &mut waiter, &mut context), Poll::Pending);
        let other = sender.clone();
        let pusher = thread::spawn(move || other.push(3).expect("open"));
        let quitter = thread::spawn(move || drop(waiter));
        receiver.drain(&mut Vec::new(), 1);
        quitter.join().expect("the quitter is done");
        assert_eq!(pusher.join().expect("room came to it"), 2);
    });
}

#[test]
fn a_pusher_that_waits_misses_no_close() {
    explore(|| {
        let (sender, receiver) = queue(1);
        sender.try_push(1).expect("there is room");
        let pusher = thread::spawn(move || sender.push(2));
        receiver.close();
        assert_eq!(pusher.join().expect("the pusher is done"), Err(PushError::Closed(2)));
    });
}

#[test]
fn a_receiver_that_goes_drops_every_accepted_value_once() {
    explore(|| {
        let value = Arc::new(());
        let (sender, receiver) = queue(2);
        let pushers = [sender.clone(), sender].map(|sender| {
            let value = Arc::clone(&value);
            thread::spawn(move || drop(sender.try_push(value)))
        });
        drop(receiver);
        for pusher in pushers {
            pusher.join().expect("the pusher is done");
        }
        assert_eq!(Arc::strong_count(&value), 1);
    });
}

#[test]
fn a_task_that_waits_for_values_is_woken() {
    explore(|| {
        let (sender, mut receiver) = queue(1);
        let pusher = thread::spawn(move || sender.try_push(1).expect("there is room"));
        assert!(block_on(receiver.wait_async()).unwrap());
        pusher.join().expect("the pusher is done");
    });
}

#[test]
fn a_task_that_waits_for_room_is_woken() {
    explore(|| {
        let (sender, mut receiver) = queue(1);
        sender.try_push(1).expect("there is room");
        let pusher = thread::spawn(move || block_on(sender.push_async(2)).expect("open"));
        receiver.drain(&mut Vec::new(), 1);
        assert_eq!(pusher.join().expect("room came to it"), 2);
    });
}

#[test]
fn the_wake_function_sees_what_the_consumer_did_before_it_slept() {
    explore(|| {
        let note = Arc::new(loom::sync::atomic::AtomicUsize::new(0));
        let seen = Arc::new(AtomicUsize::new(0));
        let (read, noted) = (Arc::clone(&note), Arc::clone(&seen));
        // The queue contains a panic in it, so the verdict is reached outside.
        let wake = move || noted.store(1 + read.load(Ordering::Relaxed), Ordering::Relaxed);
        let (sender, mut receiver) = channel_with_wake(QueueConfig::new(1), wake).expect("the capacity is fine");
        let pusher = thread::spawn(move || sender.try_push(1).expect("there is room"));
        note.store(1, Ordering::Relaxed);
        let is_announced = receiver.announce_sleep().unwrap();
        pusher.join().expect("the pusher is done");
        assert_eq!(seen.load(Ordering::Relaxed), if is_announced { 2 } else { 0 });
    });
}

#[test]
fn f_the_length_is_never_above_the_capacity() {
    explore(|| {
        let (sender, mut receiver) = queue(1);
        sender.try_push(1).expect("there is room");
        let other = sender.clone();
        let pusher = thread::spawn(move || other.try_push(2).is_ok());
        let watcher = thread::spawn(move || assert!(sender.len() <= 1));
        receiver.drain(&mut Vec::new(), 1);
        pusher.join().expect("the pusher is done");
        watcher.join().expect("the length was in bounds");
    });
}

#[test]
fn the_length_is_one_that_the_queue_had() {
    explore(|| {
        let (sender, mut receiver) = queue(3);
        sender.try_push(1).expect("there is room");
        sender.try_push(2).expect("there is room");
        let other = sender.clone();
        let watcher = thread::spawn(move || assert!((2..=3).contains(&other.len()), "two or three were queued"));
        sender.try_push(3).expect("there is room");
        receiver.drain(&mut Vec::new(), 1);
        watcher.join().expect("the length was right");
    });
}
