//! From one attempt of a system call to the whole transfer: `EINTR` and short transfers are
//! resumed without a limit (each makes progress or is the kernel's to end), anything else, `EAGAIN`
//! included, ends it at once.

use std::io::{self, IoSlice, IoSliceMut};

use fz_error::mutants;

use crate::Storage;

/// A transfer that ended early.
#[derive(Debug)]
pub(crate) struct Stopped {
    /// The bytes that were transferred before.
    pub(crate) bytes_done: usize,
    /// The system call's error; none if it transferred nothing and said nothing.
    pub(crate) cause: Option<io::Error>,
}

/// Calls `attempt` until it is not interrupted.
pub(crate) fn uninterrupted<T>(mut attempt: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match attempt() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted && !mutants::active("eintr_is_failure") => {}
            result => return result,
        }
    }
}

/// Writes all of `slices`, which are left empty or advanced to where the write stopped.
pub(crate) fn write_all(storage: &dyn Storage, mut slices: &mut [IoSlice<'_>], offset: u64) -> Result<(), Stopped> {
    let buffers_max = storage.buffers_max().max(1);
    let mut bytes_done = 0;
    // Dropping leading empty slices makes "0 bytes written" mean a stall: a call of nothing but
    // empty slices would return 0 as well.
    IoSlice::advance_slices(&mut slices, 0);
    while !slices.is_empty() {
        let call = &slices[..slices.len().min(buffers_max)];
        match uninterrupted(|| storage.write_vectored_at(call, offset + bytes_done as u64)) {
            Ok(0) => return Err(Stopped { bytes_done, cause: None }),
            Ok(bytes) => {
                bytes_done += bytes;
                advance(&mut slices, bytes);
            }
            Err(error) => return Err(Stopped { bytes_done, cause: Some(error) }),
        }
    }
    Ok(())
}

fn advance(slices: &mut &mut [IoSlice<'_>], bytes: usize) {
    if !mutants::active("resume_at_wrong_byte") {
        return IoSlice::advance_slices(slices, bytes);
    }
    // The broken twin: a slice written in part is started over, at the offset after that part.
    let mut whole = 0;
    for slice in slices.iter() {
        if whole + slice.len() > bytes {
            break;
        }
        whole += slice.len();
    }
    IoSlice::advance_slices(slices, whole);
}

/// Fills all of `slices`, which are left empty or advanced to where the read stopped.
pub(crate) fn read_all(storage: &dyn Storage, mut slices: &mut [IoSliceMut<'_>], offset: u64) -> Result<(), Stopped> {
    let buffers_max = storage.buffers_max().max(1);
    let mut bytes_done = 0;
    IoSliceMut::advance_slices(&mut slices, 0);
    while !slices.is_empty() {
        let in_call = slices.len().min(buffers_max);
        match uninterrupted(|| storage.read_vectored_at(&mut slices[..in_call], offset + bytes_done as u64)) {
            Ok(0) => return Err(Stopped { bytes_done, cause: None }),
            Ok(bytes) => {
                bytes_done += bytes;
                IoSliceMut::advance_slices(&mut slices, bytes);
            }
            Err(error) => return Err(Stopped { bytes_done, cause: Some(error) }),
        }
    }
    Ok(())
}
