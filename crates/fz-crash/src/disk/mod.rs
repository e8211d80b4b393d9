//! Disks below real file systems.
//!
//! A [`Recorder`](recorder::Recorder) is a disk in memory. [`Served`](server::Served) shows it as a file
//! through FUSE, a [`LoopDevice`](device::LoopDevice) makes a block device of that file, without a page cache
//! between, and a kernel's file system is mounted on it: so every write and every flush that the file
//! system sends to its disk is seen, in order, and every state in which a power cut could leave
//! that disk can be made and mounted.

pub(crate) mod device;
pub(crate) mod image;
pub(crate) mod log;
pub(crate) mod loss;
pub(crate) mod recorder;
pub(crate) mod server;
