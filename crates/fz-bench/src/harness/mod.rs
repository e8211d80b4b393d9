//! The order of measuring: rounds of turns, each turn a process of its own.

pub(crate) mod hogs;
pub(crate) mod order;
pub(crate) mod rounds;
pub(crate) mod turn;
