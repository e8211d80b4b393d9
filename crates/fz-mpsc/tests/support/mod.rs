//! What several test files need: values whose drops are counted, a waker that counts, and waits
//! that fail instead of hanging.
#![allow(clippy::allow_attributes, dead_code, reason = "each test file uses a part")]

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use fz_mpsc::{QueueConfig, Receiver, Sender, channel};

/// Longer than any machine needs for a test: only a hang takes this long.
const HANG: Duration = Duration::from_secs(30);

pub(crate) fn queue<T: Send>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    channel(QueueConfig::new(capacity)).expect("the capacity is fine")
}

/// Runs `body` in a thread of its own, and fails the test if it hangs or panics.
pub(crate) fn finishes(body: impl FnOnce() + Send + 'static) {
    let (done, is_done) = mpsc::channel();
    let runner = thread::spawn(move || {
        body();
        done.send(()).expect("the test waits");
    });
    match is_done.recv_timeout(HANG) {
        Ok(()) => runner.join().expect("it is done"),
        Err(mpsc::RecvTimeoutError::Disconnected) => std::panic::resume_unwind(runner.join().expect_err("it panicked")),
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("hangs: a wake-up was lost"),
    }
}

/// Counts its drops.
#[derive(Debug)]
pub(crate) struct Counted {
    pub(crate) number: u64,
    drops: Arc<AtomicUsize>,
}

/// Makes [`Counted`] values and knows how many are alive.
#[derive(Default)]
pub(crate) struct Census {
    made: usize,
    drops: Arc<AtomicUsize>,
}

impl Census {
    pub(crate) fn make(&mut self, number: u64) -> Counted {
        self.made += 1;
        Counted { number, drops: Arc::clone(&self.drops) }
    }

    pub(crate) fn alive(&self) -> usize {
        self.made.checked_sub(self.drops.load(Ordering::SeqCst)).expect("nothing is dropped twice")
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.drops.fetch_add(1, Ordering::SeqCst);
    }
}

/// A waker that counts how often it was woken.
#[derive(Default)]
pub(crate) struct CountingWaker(AtomicUsize);

impl CountingWaker {
    pub(crate) fn new() -> (Arc<Self>, Waker) {
        let counting = Arc::new(Self::default());
        (Arc::clone(&counting), Waker::from(counting))
    }

    pub(crate) fn woken(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Wake for CountingWaker {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

pub(crate) fn poll_once<F: Future + Unpin>(future: &mut F, waker: &Waker) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(waker))
}
