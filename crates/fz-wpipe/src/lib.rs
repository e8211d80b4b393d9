#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod batch;
mod config;
#[cfg(all(test, not(any(fz_loom, fz_shuttle))))]
#[path = "../tests/disk/mod.rs"]
mod disk;
mod error;
mod observe;
mod pipe;
mod request;
mod stats;
mod sync;
#[cfg(all(test, not(any(fz_loom, fz_shuttle))))]
#[path = "../tests/watchdog/mod.rs"]
mod watchdog;

pub use config::{SyncMode, WritePipeConfig};
pub use error::{PipeError, PipeErrorKind, Result};
pub use fz_commit::{Failed, Flusher, Watch};
pub use pipe::{WritePipe, WriteSink, WriteTicket};
pub use request::{RejectedWrite, WriteRequest};
pub use stats::PipeStats;
pub use {fz_bufpool, fz_file};
