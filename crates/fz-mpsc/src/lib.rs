//! A bounded, sequenced queue: many producers, one consumer, and each push returns its position
//! in the total order.

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
mod sync;
mod wait;
mod wake;

pub use channel::{channel, channel_with_alarm};
pub use config::QueueConfig;
pub use error::{QueueError, QueueErrorKind, Result};
pub use push::Push;
pub use push_error::PushError;
pub use receiver::Receiver;
pub use room_waiter::RoomWaiter;
pub use sender::Sender;
pub use wait::Wait;
