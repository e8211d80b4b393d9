//! What must hold: of the bytes after a power cut, of the epochs, of reads, and of failures.

pub(crate) mod content;
pub(crate) mod excuses;
pub(crate) mod ledger;
pub(crate) mod model;
pub(crate) mod readback;
pub(crate) mod verify;
