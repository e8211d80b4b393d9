//! Calls and disks that fail: no write that is lost was ever reported durable, every failure is told, with
//! its cause, and the file opens again.

pub(crate) mod calls;
pub(crate) mod disks;
mod mounted;
mod store;
pub(crate) mod traced;
