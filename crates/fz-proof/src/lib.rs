#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod campaign;
#[cfg(test)]
mod canaries;
mod disk;
mod gauge;
mod oracle;
mod random;
mod soak;
mod workload;

pub use campaign::failure::Failure;
pub use campaign::{Campaign, Report};
pub use soak::{Soak, SoakReport};
