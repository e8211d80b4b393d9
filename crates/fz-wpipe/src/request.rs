use std::error::Error as StdError;
use std::fmt;

use fz_bufpool::Allocation;

use crate::PipeError;

/// One write: what, and where to.
///
/// The allocation's buffers go to as many consecutive slots, beginning with `slot_index`.
#[derive(Debug)]
pub struct WriteRequest {
    /// The bytes. The pipe gives the memory back to its pool when the kernel has them.
    pub allocation: Allocation,
    /// The first slot.
    pub slot_index: u64,
}

/// A write that was not accepted: the request comes back whole, and why.
///
/// The pipe has not touched the request and goes on, unless [`error`](Self::error) says that it is
/// poisoned or closed.
#[must_use = "it holds the request that was not written"]
pub struct RejectedWrite {
    /// The request, as it was given.
    pub request: WriteRequest,
    /// Why it was not accepted.
    pub error: PipeError,
}

impl fmt::Debug for RejectedWrite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RejectedWrite")
            .field("slot_index", &self.request.slot_index)
            .field("bytes", &self.request.allocation.len())
            .field("error", &self.error)
            .finish()
    }
}

impl fmt::Display for RejectedWrite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl StdError for RejectedWrite {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        StdError::source(&self.error)
    }
}

impl From<RejectedWrite> for PipeError {
    /// Keeps the error and gives the buffers back to their pool.
    fn from(rejected: RejectedWrite) -> Self {
        rejected.error
    }
}
