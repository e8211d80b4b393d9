#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod alone;
mod campaign;
#[cfg(test)]
mod canaries;
mod content;
mod dice;
mod failure;
mod faults;
mod gauge;
mod generation;
mod grounds;
mod hand;
mod impatient;
mod ledger;
mod load;
mod model;
mod phase;
mod readback;
mod run;
mod scenario;
mod soak;
mod stage;
mod table;
mod tally;
mod tap;
mod threads;
mod verify;
mod watch;

pub use campaign::{Campaign, Report};
pub use failure::Failure;
pub use soak::{Soak, SoakReport};
