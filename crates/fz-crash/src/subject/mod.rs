//! The subject of every check: a process or a thread that writes through the pipe as a plan says.

pub(crate) mod child;
pub(crate) mod content;
pub(crate) mod plan;
pub(crate) mod workload;
