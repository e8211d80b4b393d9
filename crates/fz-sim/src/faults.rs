//! Faults: their kinds, and the plan of where and when they happen.

pub(crate) mod errno;
pub(crate) mod fault;
pub(crate) mod op;
pub(crate) mod plan;
