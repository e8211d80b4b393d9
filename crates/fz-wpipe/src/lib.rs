#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod alarm;
mod bell;
mod by_slot;
mod calls;
mod completion;
mod config;
mod core;
#[cfg(any(all(target_os = "linux", not(fz_shuttle), not(fz_loom)), all(test, fz_loom)))]
mod deadline;
#[cfg(all(test, not(any(fz_loom, fz_shuttle))))]
#[path = "../tests/disk/mod.rs"]
mod disk;
mod error;
mod flood;
mod gathering;
mod intake;
mod lead;
#[cfg(all(test, fz_loom))]
mod loom_models;
mod observe;
mod piece;
mod pipe;
mod request;
mod rounds;
mod sink;
mod stats;
mod submit;
mod sync;
mod ticket;
mod turns;
mod wait_word;
mod waiting;
#[cfg(all(test, not(any(fz_loom, fz_shuttle))))]
#[path = "../tests/watchdog/mod.rs"]
mod watchdog;
mod writer;

pub use config::{SyncMode, WritePipeConfig};
pub use error::{PipeError, PipeErrorKind, Result};
pub use pipe::WritePipe;
pub use request::{RejectedWrite, WriteRequest};
pub use sink::WriteSink;
pub use stats::PipeStats;
pub use ticket::WriteTicket;
