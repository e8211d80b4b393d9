//! Foreign code that panics keeps no other waiter from being told.

use std::future::Future;
use std::panic::panic_any;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc;
use std::task::{Context, Wake, Waker};
use std::thread;

use fz_commit::{CommitConfig, Ticket};

use crate::support::{Bomb, Call, How, Once, Reason, append, committer, finishes};

/// A waker that panics when it wakes and when it is dropped.
struct Panicking;

impl Wake for Panicking {
    fn wake(self: Arc<Self>) {
        panic_any(Bomb);
    }
}

impl Drop for Panicking {
    fn drop(&mut self) {
        if !thread::panicking() {
            panic_any(Bomb);
        }
    }
}

fn register(ticket: &mut Ticket<Reason>, waker: &Waker) {
    assert!(Pin::new(ticket).poll(&mut Context::from_waker(waker)).is_pending());
}

fn all_others_are_told(fails: bool) {
    finishes(move || {
        let (script, committer) = committer(CommitConfig::new());
        script.hold(Call::Sync);
        if fails {
            script.fail(Call::Sync, 0, How::Error);
        }
        let (told, is_told) = mpsc::channel();
        let mut kept = Vec::new();
        for kind in 0..12 {
            let mut ticket = append(&committer);
            let told = told.clone();
            match kind % 4 {
                0 => register(&mut ticket, &Waker::from(Arc::new(Panicking))),
                1 => ticket.on_durable(|_| panic_any(Bomb)),
                2 => ticket.on_durable(move |settled| told.send(settled.is_err()).unwrap()),
                _ => register(&mut ticket, &Once::waker(move || told.send(fails).unwrap())),
            }
            kept.push(ticket);
        }
        drop(told);
        script.release(Call::Sync);
        assert_eq!(committer.close().is_err(), fails);
        let heard: Vec<_> = is_told.iter().collect();
        assert_eq!(heard, vec![fails; 6]);
    });
}

#[test]
fn d_wakers_and_callbacks_that_panic_keep_no_other_from_being_told() {
    all_others_are_told(false);
}

#[test]
fn c_wakers_and_callbacks_that_panic_keep_no_other_from_the_failure() {
    all_others_are_told(true);
}

#[test]
fn a_callback_of_a_settled_ticket_that_panics_does_not_reach_the_caller() {
    let (_script, committer) = committer(CommitConfig::new());
    let ticket = append(&committer);
    ticket.wait().unwrap();
    ticket.on_durable(|_| panic_any(Bomb));
    assert_eq!(append(&committer).wait(), Ok(2));
}

#[test]
fn a_cancelled_waker_whose_drop_panics_does_not_reach_the_caller() {
    let (script, committer) = committer(CommitConfig::new());
    script.hold(Call::Write);
    let mut ticket = append(&committer);
    register(&mut ticket, &Waker::from(Arc::new(Panicking)));
    // Replaced, then cancelled.
    let waker = std::mem::ManuallyDrop::new(Waker::from(Arc::new(Panicking)));
    register(&mut ticket, &waker);
    drop(ticket);
    script.release(Call::Write);
    assert_eq!(committer.close(), Ok(1));
}
