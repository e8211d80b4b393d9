//! Debug and Display texts are true, and need nothing of the values in the queue.
#![cfg(not(any(fz_loom, fz_shuttle)))]

use std::time::Duration;

use fz_mpsc::{PushError, QueueConfig, RoomWaiter, channel};

/// Cannot be shown.
struct Opaque;

#[test]
fn both_ends_and_a_waiting_push_show_where_they_are() {
    let (sender, mut receiver) = channel::<Opaque>(QueueConfig::new(2)).unwrap();
    assert!(sender.try_push(Opaque).is_ok());
    assert_eq!(format!("{sender:?}"), "Sender { capacity: 2, len: 1, last_position: 1, is_closed: false }");
    assert_eq!(format!("{receiver:?}"), "Receiver { next_position: 1, len: 1, is_closed: false }");
    let wait = format!("{:?}", receiver.wait_async());
    assert_eq!(wait, "Wait { receiver: Receiver { next_position: 1, len: 1, is_closed: false } }");
    let push = sender.push_async(Opaque);
    assert!(format!("{push:?}").starts_with("Push { is_done: false"), "{push:?}");
    drop(push);
    assert_eq!(format!("{:?}", RoomWaiter::default()), "RoomWaiter { is_waiting: false }");
    sender.close();
    assert!(format!("{sender:?}").ends_with("is_closed: true }"));
    assert!(format!("{receiver:?}").ends_with("is_closed: true }"));
}

#[test]
fn a_refused_push_says_why_and_whether_there_is_hope() {
    let (sender, _receiver) = channel::<Opaque>(QueueConfig::new(1)).unwrap();
    assert!(sender.try_push(Opaque).is_ok());
    let full = sender.try_push(Opaque).unwrap_err();
    let late = sender.push_timeout(Opaque, Duration::ZERO).unwrap_err();
    sender.close();
    let closed = sender.push(Opaque).unwrap_err();
    let said = |error: &PushError<Opaque>| (format!("{error:?}"), error.is_closed(), error.to_string());
    let text = "the queue is full; push again later, or use a push that waits";
    assert_eq!(said(&full), ("Full(..)".into(), false, text.into()));
    let text = "the queue stayed full until the timeout; push again later";
    assert_eq!(said(&late), ("TimedOut(..)".into(), false, text.into()));
    let text = "the queue is closed and accepts nothing any more";
    assert_eq!(said(&closed), ("Closed(..)".into(), true, text.into()));
    let text = "the queue belongs to the process that made it, and this one is its child; make a new queue here";
    assert_eq!(said(&PushError::ForkedCopy(Opaque)), ("ForkedCopy(..)".into(), false, text.into()));
}
