#![doc = include_str!("../README.md")]

pub mod foreign;
#[cfg(unix)]
mod fork;
mod process;
pub mod thread;

pub use process::Process;
