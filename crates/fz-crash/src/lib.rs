//! Crash checks.
#![forbid(unsafe_code)]
