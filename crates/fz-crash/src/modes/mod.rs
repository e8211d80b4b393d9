//! The ways to fail, one module for each value of `--mode`.

pub(crate) mod acks;
pub(crate) mod fault;
pub(crate) mod kill;
pub(crate) mod power;
pub(crate) mod reopen;
mod strace;
