//! A queue belongs to the process that made it: in a child that `fork(2)` made, its copy does nothing.
#![cfg(all(unix, not(any(fz_loom, fz_shuttle))))]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use fork::Fork;
use fz_mpsc::{PushError, QueueConfig, QueueErrorKind, RoomWaiter, channel_with_wake};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use support::{Census, CountingWaker, finishes, poll_once, queue};

/// Whether `body` returns true in a child.
fn in_child(body: impl FnOnce() -> bool) -> bool {
    match fork::fork().expect("one more process") {
        Fork::Child => std::process::exit(i32::from(!body())),
        Fork::Parent(child) => {
            matches!(waitpid(Pid::from_raw(child), None).expect("it is a child"), WaitStatus::Exited(_, 0))
        }
    }
}

fn is_forked_copy(result: &fz_mpsc::Result<bool>) -> bool {
    result.as_ref().is_err_and(|error| *error.kind() == QueueErrorKind::ForkedCopy)
}

#[test]
fn g_a_forked_copy_refuses_every_push_and_returns_the_value() {
    finishes(|| {
        let (sender, mut receiver) = queue(2);
        let (_, waker) = CountingWaker::new();
        assert!(in_child(|| {
            let (mut value, mut waiter) = (Some(4), RoomWaiter::default());
            sender.try_push(1) == Err(PushError::ForkedCopy(1))
                && sender.push(2) == Err(PushError::ForkedCopy(2))
                && sender.push_timeout(3, Duration::MAX) == Err(PushError::ForkedCopy(3))
                && sender.poll_push(&mut value, &mut waiter, &mut Context::from_waker(&waker))
                    == Poll::Ready(Err(PushError::ForkedCopy(4)))
                && poll_once(&mut sender.push_async(5), &waker) == Poll::Ready(Err(PushError::ForkedCopy(5)))
                && sender.last_position() == 0
        }));
        assert_eq!(sender.try_push(1), Ok(1), "the parent's goes on");
        assert_eq!(receiver.drain(&mut Vec::new(), 2), 1);
    });
}

#[test]
fn g_a_forked_copy_refuses_a_push_that_waited_when_it_was_copied() {
    finishes(|| {
        let (sender, mut receiver) = queue(1);
        sender.try_push(0).unwrap();
        let (woken, waker) = CountingWaker::new();
        let mut push = sender.push_async(1);
        assert!(poll_once(&mut push, &waker).is_pending());
        assert!(in_child(|| {
            let is_refused = poll_once(&mut push, &waker) == Poll::Ready(Err(PushError::ForkedCopy(1)));
            is_refused && woken.woken() == 0
        }));
        receiver.drain(&mut Vec::new(), 1);
        assert_eq!(poll_once(&mut push, &waker), Poll::Ready(Ok(2)), "the parent's has its place");
    });
}

#[test]
fn g_a_forked_copy_refuses_every_wait_and_hands_out_no_value() {
    finishes(|| {
        let (sender, mut receiver) = queue(2);
        sender.try_push('x').unwrap();
        let (_, waker) = CountingWaker::new();
        assert!(in_child(|| {
            let mut values = Vec::new();
            let waits = [
                receiver.wait(),
                receiver.wait_timeout(Duration::MAX),
                receiver.wait_ready(),
                receiver.wait_ready_timeout(Duration::MAX),
                receiver.announce_sleep(),
            ];
            let polled = poll_once(&mut receiver.wait_async(), &waker);
            waits.iter().all(is_forked_copy)
                && matches!(polled, Poll::Ready(waited) if is_forked_copy(&waited))
                && receiver.drain(&mut values, 9) + receiver.drain_until(9, &mut values, |_| false) == 0
                && receiver.peek(0).is_none()
                && !receiver.cancel_sleep()
        }));
        assert_eq!(receiver.drain(&mut Vec::new(), 9), 1);
    });
}

#[test]
fn h_a_forked_copy_that_is_dropped_or_closed_wakes_and_frees_nothing() {
    finishes(|| {
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        let wake = move || {
            counted.fetch_add(1, Ordering::SeqCst);
        };
        let (sender, mut receiver) = channel_with_wake::<u8>(QueueConfig::new(1), wake).unwrap();
        let (woken, waker) = CountingWaker::new();
        let mut census = Census::default();
        let mut wait = receiver.wait_async();
        assert!(poll_once(&mut wait, &waker).is_pending());
        let (full, full_receiver) = queue(1);
        full.try_push(census.make(1)).unwrap();
        let (mut value, mut waiter) = (Some(census.make(2)), RoomWaiter::default());
        assert!(full.poll_push(&mut value, &mut waiter, &mut Context::from_waker(&waker)).is_pending());
        let census = &census;
        let goes = move || {
            let is_closed = sender.close() | full_receiver.close();
            drop((wait, sender));
            drop((waiter, full, full_receiver));
            !is_closed && census.alive() == 2 && woken.woken() == 0 && calls.load(Ordering::SeqCst) == 0
        };
        assert!(in_child(goes), "in the parent the same closure is dropped, and drops all");
        assert_eq!(census.alive(), 1, "the caller's own value");
    });
}
