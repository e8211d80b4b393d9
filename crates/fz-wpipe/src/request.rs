use std::error::Error as StdError;
use std::fmt;

use fz_bufpool::Allocation;

use crate::PipeError;

/// One write: what, and where to.
///
/// The allocation's buffers go to as many consecutive slots, beginning with `slot_index`.
///
/// ```
/// # use std::sync::Arc;
/// # use fz_bufpool::{BufPool, BufPoolConfig, BufferSize};
/// # use fz_file::{SlotFile, SlotFileConfig};
/// # use fz_wpipe::{WritePipe, WritePipeConfig, WriteRequest};
/// # let directory = tempfile::tempdir()?;
/// # let file = SlotFile::open(SlotFileConfig::new(directory.path().join("x"), 128).initial_slots(8))?;
/// # let pool = BufPool::new(BufPoolConfig::new(BufferSize::S128, 8 * 128))?;
/// # let pipe = WritePipe::new(WritePipeConfig::new(), Arc::new(file))?;
/// let request = WriteRequest { allocation: pool.allocate(2)?, slot_index: 4 }; // slots 4 and 5
/// pipe.write(request)?.wait()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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
///
/// ```
/// # use std::sync::Arc;
/// # use fz_bufpool::{BufPool, BufPoolConfig, BufferSize};
/// # use fz_file::{SlotFile, SlotFileConfig};
/// # use fz_wpipe::{PipeErrorKind, WritePipe, WritePipeConfig, WriteRequest};
/// # let directory = tempfile::tempdir()?;
/// # let file = SlotFile::open(SlotFileConfig::new(directory.path().join("x"), 128).initial_slots(8))?;
/// # let pool = BufPool::new(BufPoolConfig::new(BufferSize::S128, 8 * 128))?;
/// # let pipe = WritePipe::new(WritePipeConfig::new(), Arc::new(file))?;
/// pipe.close()?;
/// let rejected = pipe.write(WriteRequest { allocation: pool.allocate_copy(b"record")?, slot_index: 0 }).unwrap_err();
/// assert!(matches!(rejected.error.kind(), PipeErrorKind::Closed));
/// assert!(rejected.request.allocation.as_slice().starts_with(b"record"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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
