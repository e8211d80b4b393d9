#![doc = include_str!("../README.md")]
#![deny(unsafe_code)]

mod config;
mod error;
mod extend;
mod host;
mod latch;
mod open;
mod slot_file;
mod storage;
mod transfer;
mod volume;
mod whole;

pub use config::{Create, Preallocation, SlotFileConfig};
pub use error::{FileError, FileErrorKind, Result};
pub use host::HostVolume;
pub use slot_file::SlotFile;
pub use storage::{Access, FileIdentity, Storage};
pub use volume::Volume;
pub use whole::WholeTransfers;
