#![doc = include_str!("../README.md")]
//!
//! ## How it is built
//!
//! ```text
//!   Sender  Sender  Sender                 Receiver
//!      └──────┴───┬───┴───────── Gate ────────┘     claims, waiting pushers, the sleeping consumer
//!                 │    claim word · head · line · consumer waker
//!                 └───────────── Ring ────────► Outlet    the values, in cells
//! ```
//!
//! A push *claims* a position by moving the claim word, whose low bits also say whether the queue
//! is closed, whether the consumer sleeps and whether other pushers wait for room; then it *fills* the
//! position's cell. So a push reads and changes one word only, and a close cannot come between. The consumer takes
//! filled cells in order, up to the first that is not filled, and publishes the head, the lowest position not taken,
//! once a batch.

mod channel;
mod config;
mod error;
mod gate;
mod push;
mod push_error;
mod receiver;
mod ring;
mod room;
mod room_waiter;
mod sender;
mod sequencer;
#[cfg(all(test, not(fz_shuttle)))]
mod stopped;
mod sync;
mod wait;
mod wake;

pub use channel::{channel, channel_with_wake};
pub use config::QueueConfig;
pub use error::{QueueError, QueueErrorKind, Result};
pub use push::Push;
pub use push_error::PushError;
pub use receiver::Receiver;
pub use room_waiter::RoomWaiter;
pub use sender::Sender;
pub use wait::Wait;

/// Ends move between threads, threads share senders, futures need no pinning: checked when compiled.
const _: () = {
    const fn send<T: Send>() {}
    const fn sync<T: Sync>() {}
    const fn unpin<T: Unpin>() {}
    /// A value that is `Send` and nothing else.
    type Value = std::cell::Cell<u8>;
    send::<Sender<Value>>();
    sync::<Sender<Value>>();
    send::<Receiver<Value>>();
    send::<Push<'_, Value>>();
    send::<Wait<'_, Value>>();
    send::<RoomWaiter>();
    sync::<RoomWaiter>();
    unpin::<Push<'_, std::marker::PhantomPinned>>();
    unpin::<Wait<'_, Value>>();
    unpin::<RoomWaiter>();
    send::<QueueError>();
    sync::<QueueError>();
};
