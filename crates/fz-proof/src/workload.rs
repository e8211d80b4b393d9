//! The work that a pipe is given: by one thread, by several, by tasks that are cancelled.

pub(crate) mod cancel;
pub(crate) mod driver;
pub(crate) mod load;
pub(crate) mod session;
pub(crate) mod single;
pub(crate) mod threads;
