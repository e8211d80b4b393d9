//! Power cuts: the images that they can leave, and tests that cut everywhere.

pub(crate) mod enumeration;
pub(crate) mod instants;
pub(crate) mod power_cut;
pub(crate) mod report;
pub(crate) mod space;
pub(crate) mod test;
