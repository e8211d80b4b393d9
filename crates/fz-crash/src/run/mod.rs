//! The command line and the phases that it asks for.

mod canary;
mod flags;
mod needs;
mod phases;

pub(crate) use phases::main;
