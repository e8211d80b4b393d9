//! Transfers that go on until they are whole.

use std::io::{self, IoSlice, IoSliceMut};

use crate::Storage;

/// Whole transfers over [`Storage`], whose methods are single system calls: for engines that have no such loop
/// of their own.
///
/// ```
/// use fz_file::{Access, HostVolume, Volume, WholeTransfers};
///
/// let directory = tempfile::tempdir()?;
/// let path = directory.path().join("log");
/// HostVolume.create(&path)?.write_all_at(b"record", 0)?; // as many calls as it takes
/// let mut bytes = [0; 6];
/// HostVolume.open(&path, Access::Read)?.read_exact_at(&mut bytes, 0)?;
/// assert_eq!(&bytes, b"record");
/// # Ok::<(), Box<dyn std::error::Error>>(())
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
    /// # use fz_file::{HostVolume, Volume, WholeTransfers};
    /// # let directory = tempfile::tempdir()?;
    /// let file = HostVolume.create(&directory.path().join("log"))?;
    /// file.write_all_at(b"record", 2)?;
    /// assert_eq!(file.length()?, 8); // the first two bytes are zeros
    /// # Ok::<(), Box<dyn std::error::Error>>(())
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
    /// # use fz_file::{HostVolume, Volume, WholeTransfers};
    /// # let directory = tempfile::tempdir()?;
    /// let file = HostVolume.create(&directory.path().join("log"))?;
    /// file.write_all_at(b"record", 0)?;
    /// let mut bytes = [0; 3];
    /// file.read_exact_at(&mut bytes, 3)?;
    /// assert_eq!(&bytes, b"ord");
    /// assert_eq!(file.read_exact_at(&mut bytes, 4).unwrap_err().kind(), std::io::ErrorKind::UnexpectedEof);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
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
