//! Group commit through the public API, on a medium that the tests script.
#![cfg(not(any(fz_loom, fz_shuttle)))]

#[path = "../support/mod.rs"]
mod support;

mod closing;
mod durable;
mod fail_stop;
mod flushers;
mod foreign;
mod gathering;
mod idle;
mod model;
mod tickets;
#[cfg(feature = "stream")]
mod watching;
