//! The simulated disk under the pipe: its faults, and an observer of its calls.

pub(crate) mod faults;
pub(crate) mod observed;
pub(crate) mod phase;
pub(crate) mod watch;
