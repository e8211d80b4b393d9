//! The envelope and the id, through the public API.

mod envelope;
mod id;
mod readme;
