//! What one turn measures: time, counters of the operating system, and the figures made of them.

pub(crate) mod figures;
pub(crate) mod machine;
pub(crate) mod meter;
pub(crate) mod window;
