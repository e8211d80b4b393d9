//! The envelope and the id, through the public API.

mod catalogue;
mod causes;
mod envelope;
mod id;
mod readme;
