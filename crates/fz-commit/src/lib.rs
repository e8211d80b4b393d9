#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod committer;
mod config;
mod flusher;
mod medium;
#[cfg(all(test, fz_loom))]
mod models;
mod round;
mod stats;
mod sync;
mod ticket;
mod waiters;
mod watch;

pub use committer::Committer;
pub use config::CommitConfig;
pub use flusher::Flusher;
pub use medium::{Event, Fault, Medium, RoundReport};
pub use stats::CommitStats;
pub use ticket::{Ticket, WaitError};
pub use watch::{Failed, Watch};
