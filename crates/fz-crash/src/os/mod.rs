//! What a check takes from the operating system and returns: mounts, devices, processes, signals.

pub(crate) mod resources;
pub(crate) mod storm;
