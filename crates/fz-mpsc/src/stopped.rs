//! A producer that is stopped between its claim and its fill, which the public API cannot show.
//!
//! The same tests run on real threads and, with `--cfg fz_loom`, under loom.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use crate::gate::Gate;
use crate::ring::Ring;
use crate::sequencer::Claim;
use crate::sync::Arc;
use crate::wake::ConsumerWaker;
use crate::{Receiver, Sender};

#[cfg(fz_loom)]
use loom::thread;
#[cfg(not(fz_loom))]
use std::thread;

#[cfg(fz_loom)]
fn explore(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(3));
    builder.check(model);
}

#[cfg(not(fz_loom))]
fn explore(model: impl Fn()) {
    model();
}

/// A producer's claim, and its ring to fill it.
struct Stopped<T> {
    ring: Arc<Ring<T>>,
    claim: Claim,
}

impl<T: Send> Stopped<T> {
    fn goes_on(self, value: T) -> u64 {
        self.ring.fill(self.claim, value)
    }
}

/// A queue in which a producer was stopped in the push of position 2, after position 1 was filled with `first`.
fn queue_with_a_stopped_producer<T: Send>(capacity: u64, first: T) -> (Sender<T>, Receiver<T>, Stopped<T>) {
    let gate = Arc::new(Gate::new(capacity, 0, ConsumerWaker::new(None)));
    let (ring, outlet) = Ring::new(&gate).expect("there is memory");
    let sender = Sender::new(Arc::clone(&gate), Arc::clone(&ring));
    assert!(matches!(sender.try_push(first), Ok(1)));
    let claim = gate.try_claim().expect("there is room");
    (sender, Receiver::new(gate, outlet), Stopped { ring, claim })
}

#[test]
fn a_stopped_producer_holds_up_only_its_own_position() {
    explore(|| {
        let (sender, mut receiver, stopped) = queue_with_a_stopped_producer(3, 'a');
        let pusher = thread::spawn(move || sender.try_push('c').expect("there is room"));
        let mut values = Vec::new();
        // Position 2, and 3 if it is there, are accepted: the drain takes the older value and does not wait.
        assert_eq!(receiver.drain_until(receiver.last_position(), &mut values, |_| false), 1);
        assert_eq!(receiver.drain_through(u64::MAX, &mut values), 0);
        assert!(!receiver.wait_ready_timeout(Duration::ZERO).unwrap());
        assert_eq!(pusher.join().expect("a stopped producer stops no other"), 3);
        assert_eq!(receiver.drain(&mut values, 3), 0, "order comes before speed");
        let producer = thread::spawn(move || stopped.goes_on('b'));
        assert!(receiver.wait_ready().unwrap());
        assert_eq!(receiver.drain_until(3, &mut values, |_| false), 2);
        assert_eq!(values, ['a', 'b', 'c']);
        assert_eq!(producer.join().expect("it went on"), 2);
    });
}

#[test]
fn a_wait_lasts_until_a_stopped_producer_goes_on() {
    explore(|| {
        let (_sender, mut receiver, stopped) = queue_with_a_stopped_producer(2, 'a');
        receiver.drain(&mut Vec::new(), 1);
        assert!(!receiver.wait_timeout(Duration::ZERO).unwrap(), "accepted, but not there");
        let producer = thread::spawn(move || stopped.goes_on('b'));
        assert!(receiver.wait().unwrap());
        assert_eq!(receiver.peek(0), Some(&'b'));
        producer.join().expect("it went on");
    });
}

#[test]
fn a_receiver_that_goes_waits_for_no_stopped_producer_and_drops_each_value_once() {
    explore(|| {
        let value = std::sync::Arc::new(());
        let copy = || std::sync::Arc::clone(&value);
        let (sender, receiver, stopped) = queue_with_a_stopped_producer(4, copy());
        sender.try_push(copy()).expect("there is room");
        drop(receiver);
        assert_eq!(std::sync::Arc::strong_count(&value), 1, "also behind the gap");
        let late = copy();
        let producer = thread::spawn(move || stopped.goes_on(late));
        drop(sender);
        producer.join().expect("it went on");
        assert_eq!(std::sync::Arc::strong_count(&value), 1);
    });
}

#[test]
fn a_task_that_waits_for_a_stopped_producer_wakes_itself_once_each_poll() {
    explore(|| {
        let (_sender, mut receiver, stopped) = queue_with_a_stopped_producer(2, 'a');
        receiver.drain(&mut Vec::new(), 1);
        let woken = std::sync::Arc::new(Counted::default());
        let waker = Waker::from(std::sync::Arc::clone(&woken));
        let mut context = Context::from_waker(&waker);
        for polls in 1..12 {
            assert!(pin!(receiver.wait_async()).poll(&mut context).is_pending());
            assert_eq!(woken.0.load(Ordering::Relaxed), polls);
        }
        stopped.goes_on('b');
        assert!(matches!(pin!(receiver.wait_async()).poll(&mut context), Poll::Ready(Ok(true))));
    });
}

#[derive(Default)]
struct Counted(AtomicUsize);

impl Wake for Counted {
    fn wake(self: std::sync::Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}
