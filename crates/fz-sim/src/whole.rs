//! Transfers that go on until they are whole.

use std::io::{self, IoSlice, IoSliceMut};

use fz_file::Storage;

/// Whole transfers over [`Storage`], whose methods are single system calls: for engines under test
/// that have no such loop of their own.
///
/// ```
/// use fz_sim::{Errno, Fault, FaultPlan, FaultRule, Op, SimDisk, Volume, WholeTransfers};
///
/// let disk = SimDisk::new(1);
/// let file = disk.volume().create("/log".as_ref())?;
/// disk.set_faults(
///     FaultPlan::new()
///         .with(FaultRule::new(Op::Write, Fault::Short).nth(1))
///         .with(FaultRule::new(Op::Write, Fault::Error(Errno::Eintr)).nth(2)),
/// );
/// file.write_all_at(b"record", 0)?;
/// assert_eq!(disk.contents("/log")?, b"record");
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait WholeTransfers: Storage {
    /// Writes all of `bytes` from byte `offset`: goes on after short writes and `EINTR`. Blocks for
    /// the disk.
    ///
    /// # Errors
    ///
    /// The first other error; [`io::ErrorKind::WriteZero`] if a call made no progress. Some of the
    /// bytes may be written.
    ///
    /// ```
    /// # use fz_sim::{SimDisk, Volume, WholeTransfers};
    /// let disk = SimDisk::new(1);
    /// disk.create("/log".as_ref())?.write_all_at(b"record", 2)?;
    /// assert_eq!(disk.contents("/log")?, b"\0\0record");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    fn write_all_at(&self, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.write_vectored_at(&[IoSlice::new(bytes)], offset) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    bytes = &bytes[written..];
                    offset += written as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Fills `into` from byte `offset`: goes on after short reads and `EINTR`. Blocks for the disk.
    ///
    /// # Errors
    ///
    /// The first other error; [`io::ErrorKind::UnexpectedEof`] if the file ends before.
    ///
    /// ```
    /// # use fz_sim::{Access, SimDisk, Volume, WholeTransfers};
    /// let disk = SimDisk::new(1);
    /// disk.put("/log", b"record")?;
    /// let mut bytes = [0; 3];
    /// disk.open("/log".as_ref(), Access::Read)?.read_exact_at(&mut bytes, 3)?;
    /// assert_eq!(&bytes, b"ord");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    fn read_exact_at(&self, mut into: &mut [u8], mut offset: u64) -> io::Result<()> {
        while !into.is_empty() {
            match self.read_vectored_at(&mut [IoSliceMut::new(into)], offset) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => {
                    into = &mut into[read..];
                    offset += read as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl<S: Storage + ?Sized> WholeTransfers for S {}
