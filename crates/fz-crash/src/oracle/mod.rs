//! What a file may hold, and in which order calls may come, given what a subject reported.

pub(crate) mod history;
pub(crate) mod trace;
