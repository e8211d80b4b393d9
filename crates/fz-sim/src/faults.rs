//! What can go wrong, where and when.

pub(crate) mod errno;
pub(crate) mod fault;
pub(crate) mod op;
pub(crate) mod plan;
