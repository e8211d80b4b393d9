//! Any sequence of calls does what a `VecDeque` with a capacity would do, and loses no value.
#![cfg(not(any(fz_loom, fz_shuttle)))]

mod support;

use std::collections::VecDeque;
use std::task::{Poll, Waker};
use std::time::Duration;

use fz_mpsc::{PushError, Receiver, Sender};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence::{Off, WithSource};
use support::{Census, Counted, poll_once, queue};

#[derive(Clone, Copy, Debug)]
enum Call {
    TryPush,
    PushTimeout,
    PushAsyncOnce,
    Drain(usize),
    DrainThrough(u64),
    DrainUntil(u64, u64),
    CloneSender,
    DropSender,
    CloseSender,
    CloseReceiver,
    AnnounceSleep,
    CancelSleep,
    Wait,
}

fn any_call() -> impl Strategy<Value = Call> {
    prop_oneof![
        8 => Just(Call::TryPush),
        2 => Just(Call::PushTimeout),
        4 => Just(Call::PushAsyncOnce),
        6 => (0..6_usize).prop_map(Call::Drain),
        3 => (0..40_u64).prop_map(Call::DrainThrough),
        3 => (0..40_u64, 1..4_u64).prop_map(|(position, divisor)| Call::DrainUntil(position, divisor)),
        2 => Just(Call::CloneSender),
        2 => Just(Call::DropSender),
        1 => prop_oneof![Just(Call::CloseSender), Just(Call::CloseReceiver)],
        2 => Just(Call::AnnounceSleep),
        2 => Just(Call::CancelSleep),
        2 => Just(Call::Wait),
    ]
}

/// The queue and its model.
struct Pair {
    senders: Vec<Sender<Counted>>,
    receiver: Receiver<Counted>,
    capacity: usize,
    queued: VecDeque<u64>,
    accepted: u64,
    is_closed: bool,
    is_asleep: bool,
    offered: u64,
    census: Census,
}

impl Pair {
    fn new(capacity: usize) -> Self {
        let (sender, receiver) = queue(capacity);
        Self {
            senders: vec![sender],
            receiver,
            capacity,
            queued: VecDeque::new(),
            accepted: 0,
            is_closed: false,
            is_asleep: false,
            offered: 0,
            census: Census::default(),
        }
    }

    fn apply(&mut self, call: Call) {
        match call {
            Call::TryPush => self.push(Sender::try_push),
            Call::PushTimeout => self.push(|sender, value| sender.push_timeout(value, Duration::ZERO)),
            Call::PushAsyncOnce => self.push(|sender, value| {
                let mut push = sender.push_async(value);
                match poll_once(&mut push, Waker::noop()) {
                    Poll::Ready(decided) => decided,
                    // Dropped with its value in the middle of its wait.
                    Poll::Pending => Err(PushError::Full(Census::default().make(0))),
                }
            }),
            Call::Drain(max) => {
                let mut batch = Vec::new();
                let expected: Vec<_> = self.queued.drain(..max.min(self.queued.len())).collect();
                assert_eq!(self.receiver.drain(&mut batch, max), expected.len());
                self.assert_batch(&batch, &expected);
            }
            Call::DrainThrough(position) => {
                let mut batch = Vec::new();
                let count = self.count_through(position);
                let expected: Vec<_> = self.queued.drain(..count).collect();
                assert_eq!(self.receiver.drain_through(position, &mut batch), count);
                self.assert_batch(&batch, &expected);
            }
            Call::DrainUntil(position, divisor) => {
                let mut batch = Vec::new();
                let through = self.count_through(position);
                let is_last = |number: u64| number.is_multiple_of(divisor);
                let found = self.queued.iter().take(through).position(|number| is_last(*number));
                let count = found.map_or(through, |index| index + 1);
                let expected: Vec<_> = self.queued.drain(..count).collect();
                assert_eq!(self.receiver.drain_until(position, &mut batch, |value| is_last(value.number)), count);
                self.assert_batch(&batch, &expected);
            }
            Call::CloneSender => self.senders.extend(self.senders.first().cloned()),
            Call::DropSender => {
                if self.senders.pop().is_some() && self.senders.is_empty() {
                    self.close();
                }
            }
            Call::CloseSender => {
                if let Some(sender) = self.senders.first() {
                    assert_eq!(sender.close(), !self.is_closed);
                    self.close();
                }
            }
            Call::CloseReceiver => {
                assert_eq!(self.receiver.close(), !self.is_closed);
                self.close();
            }
            Call::AnnounceSleep => {
                let idle = self.queued.is_empty() && !self.is_closed;
                assert_eq!(self.receiver.announce_sleep().unwrap(), idle);
                self.is_asleep |= idle;
            }
            Call::CancelSleep => {
                assert_eq!(self.receiver.cancel_sleep(), std::mem::take(&mut self.is_asleep));
            }
            Call::Wait => {
                assert_eq!(self.receiver.wait_timeout(Duration::ZERO).unwrap(), !self.queued.is_empty());
                // A wait that finds nothing takes back the announcement that it would have made.
                self.is_asleep &= !self.queued.is_empty() || self.is_closed;
            }
        }
        self.assert_same();
    }

    fn push(&mut self, push: impl FnOnce(&Sender<Counted>, Counted) -> Result<u64, PushError<Counted>>) {
        let Some(sender) = self.senders.last() else { return };
        self.offered += 1;
        let number = self.offered;
        match push(sender, self.census.make(number)) {
            Ok(position) => {
                assert!(!self.is_closed && self.queued.len() < self.capacity);
                self.accepted += 1;
                self.queued.push_back(number);
                self.is_asleep = false;
                assert_eq!(position, self.accepted);
            }
            Err(PushError::Closed(value)) => assert!(self.is_closed && value.number == number),
            Err(refused) => {
                assert!(!self.is_closed && self.queued.len() == self.capacity);
                let value = refused.into_value();
                assert!(value.number == number || value.number == 0);
            }
        }
    }

    fn close(&mut self) {
        self.is_closed = true;
        self.is_asleep = false;
    }

    fn next_position(&self) -> u64 {
        self.accepted + 1 - self.queued.len() as u64
    }

    /// How many are queued up to `position`.
    fn count_through(&self, position: u64) -> usize {
        let wanted = usize::try_from((position + 1).saturating_sub(self.next_position())).unwrap();
        wanted.min(self.queued.len())
    }

    fn assert_batch(&self, batch: &[Counted], expected: &[u64]) {
        assert!(batch.iter().map(|value| value.number).eq(expected.iter().copied()));
    }

    fn assert_same(&mut self) {
        assert_eq!(self.census.alive(), self.queued.len());
        assert_eq!(self.receiver.len(), self.queued.len());
        assert_eq!(self.receiver.is_empty(), self.queued.is_empty());
        for ahead in (0..self.capacity * 3).chain([usize::MAX]) {
            assert_eq!(self.receiver.peek(ahead).map(|value| value.number), self.queued.get(ahead).copied());
        }
        assert_eq!(self.receiver.next_position(), self.next_position());
        assert_eq!(self.receiver.last_position(), self.accepted);
        assert_eq!(self.receiver.is_closed(), self.is_closed);
        assert_eq!(self.receiver.is_finished(), self.is_closed && self.queued.is_empty());
        for sender in &self.senders {
            assert_eq!(sender.len(), self.queued.len());
            assert_eq!(sender.is_empty(), self.queued.is_empty());
            assert_eq!(sender.capacity(), self.capacity);
            assert_eq!(sender.last_position(), self.accepted);
            assert_eq!(sender.is_closed(), self.is_closed);
        }
    }
}

proptest! {
    // A case that fails is kept beside this file; one of a program broken on purpose is not.
    #![proptest_config(ProptestConfig::with_failure_persistence(
        if cfg!(fz_mutants) { Off } else { WithSource("proptest-regressions") }
    ))]

    #[test]
    fn any_calls_do_what_a_bounded_deque_would(
        capacity in 1..10_usize,
        calls in prop::collection::vec(any_call(), 0..200),
        receiver_goes_first in any::<bool>(),
    ) {
        let mut pair = Pair::new(capacity);
        for call in calls {
            pair.apply(call);
        }
        let Pair { senders, receiver, census, .. } = pair;
        if receiver_goes_first {
            drop(receiver);
            prop_assert_eq!(census.alive(), 0, "a receiver that goes drops the queued values at once");
            drop(senders);
        } else {
            drop(senders);
            drop(receiver);
        }
        prop_assert_eq!(census.alive(), 0);
    }
}
