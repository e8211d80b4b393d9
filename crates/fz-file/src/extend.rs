//! How a file gets more bytes, at creation and in `grow`.
//!
//! The order is what makes a crash harmless: the length is set first and in one step, to whole
//! slots, so that whatever happens afterwards the file opens again; blocks are reserved and zeros
//! written only inside that length (a `fallocate(2)` that extends the file may leave any length
//! when the disk is full). The caller syncs, and shows the new slots to nobody before.
//!
//! A failure takes the length back: the next open would take slots without blocks for whole ones, and
//! a full disk would stay full of what nobody can use.

use std::io::{self, IoSlice};

use fz_error::mutants;

use crate::transfer::{Stopped, uninterrupted, write_all};
use crate::{Preallocation, Storage};

/// Zeros in one call. The page cache keeps what one call wrote in blocks of up to its size, and every
/// later write to a part of a block costs the kernel a walk over the whole: with 4 MiB in a call, a
/// write of 128 bytes costs six times as much as with this.
const ZEROS_BYTES: usize = 64 * 1024;

/// The bytes that one call reserves: at first, and after interruptions.
const RESERVED_BYTES_MAX: u64 = 64 << 20;
const RESERVED_BYTES_MIN: u64 = 1 << 20;

/// How often in a row one piece is interrupted before blocks are written instead of reserved.
const INTERRUPTIONS_MAX: u32 = 64;

/// A step of extending a file that failed.
#[derive(Debug)]
pub(crate) enum ExtendError {
    /// The file is shorter than it should be already.
    Cut { length: u64 },
    /// The operating system refused.
    Refused { step: &'static str, cause: io::Error },
}

/// Makes bytes `from..to` exist, as `preallocation` says. Never shrinks: a file that is longer
/// than `to` (a growth that a crash ended) stays so, and after an error the file is as long as it was,
/// unless that fails, too.
pub(crate) fn extend(
    storage: &dyn Storage,
    preallocation: Preallocation,
    from: u64,
    to: u64,
) -> Result<(), ExtendError> {
    let refused = |step| move |cause| ExtendError::Refused { step, cause };
    let length = uninterrupted(|| storage.length()).map_err(refused("ask for the file's length"))?;
    if length < from {
        return Err(ExtendError::Cut { length });
    }
    if length < to || mutants::active("grow_truncates") {
        uninterrupted(|| storage.set_length(to)).map_err(refused("set the file's length"))?;
    }
    fill(storage, preallocation, from, to).inspect_err(|_| {
        // Nobody was shown these slots, so nobody is in them; unless the file is longer by now, which
        // somebody who shares the lock has done. There is an error to report already.
        let is_ours = || uninterrupted(|| storage.length()).is_ok_and(|now| now == to);
        if length < to && !mutants::active("keep_failed_growth") && is_ours() {
            let _ = uninterrupted(|| storage.set_length(length));
        }
    })
}

/// Does to the blocks of bytes `from..to` what `preallocation` says.
fn fill(storage: &dyn Storage, preallocation: Preallocation, from: u64, to: u64) -> Result<(), ExtendError> {
    if from == to || preallocation == Preallocation::Sparse {
        return Ok(());
    }
    let refused = |step| move |cause| ExtendError::Refused { step, cause };
    let reserved = reserve(storage, from, to).map_err(refused("reserve blocks"))?;
    if reserved && preallocation == Preallocation::Allocated {
        return Ok(());
    }
    write_zeros(storage, from, to).map_err(refused("write zeros"))
}

/// Whether there is a block now for each of the bytes `from..to`; not where blocks cannot be reserved.
///
/// In pieces, because some file systems (tmpfs of older kernels) undo a whole call when a signal comes, and would begin
/// anew for ever beside a timer. A piece that is interrupted is halved; one that no halving helps is not reserved.
pub(crate) fn reserve(storage: &dyn Storage, from: u64, to: u64) -> io::Result<bool> {
    in_pieces(from, to, |offset, bytes| storage.allocate(offset, bytes))
}

fn in_pieces(from: u64, to: u64, mut allocate: impl FnMut(u64, u64) -> io::Result<()>) -> io::Result<bool> {
    let mut piece = RESERVED_BYTES_MAX;
    let mut interruptions = 0;
    let mut offset = from;
    while offset < to {
        let bytes = piece.min(to - offset);
        match allocate(offset, bytes) {
            Ok(()) => {
                offset += bytes;
                interruptions = 0;
            }
            Err(error) if error.kind() == io::ErrorKind::Unsupported => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                interruptions += 1;
                if interruptions == INTERRUPTIONS_MAX {
                    return Ok(false);
                }
                piece = (piece / 2).max(RESERVED_BYTES_MIN);
            }
            Err(cause) => return Err(cause),
        }
    }
    Ok(true)
}

fn write_zeros(storage: &dyn Storage, from: u64, to: u64) -> io::Result<()> {
    static ZEROS: [u8; ZEROS_BYTES] = [0; ZEROS_BYTES];
    let mut offset = from;
    while offset < to {
        let bytes = ZEROS_BYTES.min(usize::try_from(to - offset).unwrap_or(usize::MAX));
        write_all(storage, &mut [IoSlice::new(&ZEROS[..bytes])], offset)
            .map_err(|Stopped { cause, .. }| cause.unwrap_or_else(|| io::ErrorKind::WriteZero.into()))?;
        offset += bytes as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::{RESERVED_BYTES_MAX, RESERVED_BYTES_MIN, in_pieces};

    const MIB: u64 = 1 << 20;

    /// A file system that undoes all when a signal comes, and a signal for each 4 MiB that it would take.
    #[test]
    fn a_reservation_that_is_interrupted_goes_on_where_it_was() {
        let (mut end, mut interrupted) = (3, 0);
        let reserved = in_pieces(3, 1000 * MIB, |offset, bytes| {
            assert_eq!(offset, end, "it began anew");
            if bytes > 4 * MIB {
                interrupted += 1;
                return Err(io::ErrorKind::Interrupted.into());
            }
            end += bytes;
            Ok(())
        });
        assert!(reserved.unwrap());
        assert_eq!((end, interrupted), (1000 * MIB, 4));
    }

    #[test]
    fn a_reservation_that_is_always_interrupted_ends_and_the_blocks_are_written() {
        let mut pieces = Vec::new();
        let reserved = in_pieces(0, 200 * MIB, |offset, bytes| {
            pieces.push(bytes);
            if offset == 0 { Ok(()) } else { Err(io::ErrorKind::Interrupted.into()) }
        });
        assert!(!reserved.unwrap());
        assert_eq!((pieces[0], pieces[1]), (RESERVED_BYTES_MAX, RESERVED_BYTES_MAX));
        assert_eq!((pieces.len(), pieces.last()), (65, Some(&RESERVED_BYTES_MIN)));
    }
}
