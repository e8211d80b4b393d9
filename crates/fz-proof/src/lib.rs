#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod alone;
mod campaign;
mod content;
mod dice;
mod failure;
mod faults;
mod generation;
mod hand;
mod ledger;
mod model;
mod phase;
mod readback;
mod run;
mod scenario;
mod stage;
mod table;
mod tally;
mod tap;
mod threads;
mod verify;
mod watch;

pub use campaign::{Campaign, Report};
pub use failure::Failure;
pub use run::replays_exactly;
