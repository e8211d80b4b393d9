//! The seam to the disk: one open file ([`Storage`]) and the directory tree it lives in
//! ([`Volume`](crate::Volume)).
//!
//! Every method is *one attempt of one system call*: it may be interrupted, may transfer fewer
//! bytes than asked, and reports what the kernel said. What is made of that (resuming, giving up,
//! latching a failed sync, the order of creation) is [`SlotFile`](crate::SlotFile)'s, above the
//! seam, so that a simulated disk exercises the very code that runs in production.
//!
//! [`HostVolume`](crate::HostVolume) is the operating system; `fz-sim` has the simulated one. Implement the two traits
//! to put slot files on anything else.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};

/// How a file is opened.
///
/// ```
/// use fz_file::{Access, HostVolume, Volume};
///
/// let directory = tempfile::tempdir()?;
/// let path = directory.path().join("x");
/// HostVolume.create(&path)?;
/// let (reader, writer) = (HostVolume.open(&path, Access::Read)?, HostVolume.open(&path, Access::ReadWrite)?);
/// reader.try_lock(Access::Read)?;
/// assert_eq!(writer.try_lock(Access::ReadWrite).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// Reads only.
    Read,
    /// Reads and writes.
    ReadWrite,
}

/// Which file a path or a descriptor means, whatever its name: two are equal if they are one file.
///
/// ```
/// use fz_file::{HostVolume, Volume};
///
/// let directory = tempfile::tempdir()?;
/// let (old, new) = (directory.path().join("old"), directory.path().join("new"));
/// let file = HostVolume.create(&old)?;
/// HostVolume.rename_new(&old, &new)?;
/// assert_eq!(HostVolume.identity(&new)?, file.identity()?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileIdentity {
    /// The file system, `st_dev`.
    pub device: u64,
    /// The file in it, `st_ino`.
    pub inode: u64,
}

/// One open file. Closed when dropped, which also gives its lock back.
///
/// All methods may block for the disk; all take `&self` and may run at the same time.
///
/// ```
/// use std::io::{self, IoSlice};
///
/// use fz_file::{HostVolume, Storage, Volume};
///
/// /// Writes all of `bytes`, which one call need not do.
/// fn write_all(file: &dyn Storage, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
///     while !bytes.is_empty() {
///         match file.write_vectored_at(&[IoSlice::new(bytes)], offset) {
///             Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
///             Ok(written) => (bytes, offset) = (&bytes[written..], offset + written as u64),
///             Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
///             Err(error) => return Err(error),
///         }
///     }
///     Ok(())
/// }
///
/// let directory = tempfile::tempdir()?;
/// let file = HostVolume.create(&directory.path().join("x"))?;
/// write_all(&*file, &[7; 10_000], 0)?;
/// assert_eq!(file.length()?, 10_000);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Storage: fmt::Debug + Send + Sync {
    /// Reads from byte `offset` into `buffers`, in order. Returns the bytes read, 0 at the end of
    /// the file. As `preadv(2)`.
    ///
    /// # Errors
    ///
    /// The system call's, `EINTR` included.
    ///
    /// ```
    /// # use fz_file::{Access, HostVolume, Storage, Volume};
    /// # use std::io::{IoSlice, IoSliceMut};
    /// # let directory = tempfile::tempdir()?;
    /// let file = HostVolume.create(&directory.path().join("x"))?;
    /// file.write_vectored_at(&[IoSlice::new(b"heads and tails")], 0)?;
    /// let (mut heads, mut tails) = ([0; 5], [0; 99]);
    /// let read = file.read_vectored_at(&mut [IoSliceMut::new(&mut heads), IoSliceMut::new(&mut tails)], 0)?;
    /// assert_eq!((read, &heads, &tails[..10]), (15, b"heads", &b" and tails"[..])); // the file ends there
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn read_vectored_at(&self, buffers: &mut [IoSliceMut<'_>], offset: u64) -> io::Result<usize>;

    /// Writes `buffers`, in order, from byte `offset`. Returns the bytes written, which may be
    /// fewer than given, and end in the middle of a buffer. As `pwritev(2)`; never given more than
    /// [`buffers_max`](Self::buffers_max) buffers.
    ///
    /// # Errors
    ///
    /// The system call's, `EINTR` included; then nothing of this call counts as written.
    ///
    /// ```
    /// # use fz_file::{Access, HostVolume, Storage, Volume};
    /// # use std::io::IoSlice;
    /// # let directory = tempfile::tempdir()?;
    /// let file = HostVolume.create(&directory.path().join("x"))?;
    /// let written = file.write_vectored_at(&[IoSlice::new(b"one, "), IoSlice::new(b"two")], 0)?;
    /// assert!(written <= 8); // the rest, if there is one, is another call's
    /// assert_eq!(file.length()?, written as u64);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn write_vectored_at(&self, buffers: &[IoSlice<'_>], offset: u64) -> io::Result<usize>;

    /// The most buffers that one vectored call takes: `IOV_MAX`, 1024 on Linux.
    ///
    /// ```
    /// # use fz_file::{Access, HostVolume, Storage, Volume};
    /// # use std::io::IoSlice;
    /// # let directory = tempfile::tempdir()?;
    /// let file = HostVolume.create(&directory.path().join("x"))?;
    /// let slices = vec![IoSlice::new(b"x"); 5000];
    /// let written = file.write_vectored_at(&slices[..file.buffers_max()], 0)?;
    /// assert!(written <= file.buffers_max());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn buffers_max(&self) -> usize {
        1024
    }

    /// Makes every byte written before this call durable, and the file's length. As
    /// `fdatasync(2)`; `F_FULLFSYNC` on macOS.
    ///
    /// # Errors
    ///
    /// The system call's. After one, bytes written before may be lost although the kernel shows
    /// them, and a later success says nothing about them.
    ///
    /// ```
    /// # use fz_file::{Access, HostVolume, Storage, Volume};
    /// # use std::io::IoSlice;
    /// # let directory = tempfile::tempdir()?;
    /// let file = HostVolume.create(&directory.path().join("x"))?;
    /// file.write_vectored_at(&[IoSlice::new(b"bytes")], 0)?; // in the kernel's memory
    /// file.sync_data()?; // on stable storage, and found again if the file's name is
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn sync_data(&self) -> io::Result<()>;

    /// As [`sync_data`](Self::sync_data), and all of the file's metadata. As `fsync(2)`.
    ///
    /// # Errors
    ///
    /// As [`sync_data`](Self::sync_data).
    ///
    /// ```
    /// # use fz_file::{Access, HostVolume, Storage, Volume};
    /// # let directory = tempfile::tempdir()?;
    /// let file = HostVolume.create(&directory.path().join("x"))?;
    /// file.set_length(4096)?;
    /// file.sync_all()?; // also the times, and who owns it
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn sync_all(&self) -> io::Result<()>;

    /// Starts to write the dirty pages of a byte range to the device, and does not wait until they are; may
    /// block while the device's queue is full. Gives *no* durability: the device's cache and the metadata
    /// are not flushed. As `sync_file_range(2)` with `SYNC_FILE_RANGE_WRITE`; a no-op where there is none.
    ///
    /// A page whose writing fails after this call returned is reported by the next sync. This call may run
    /// while a sync runs, so it must not consume the error that belongs to that sync or a later one.
    ///
    /// # Errors
    ///
    /// The system call's. It is final, as a failed sync is: the kernel may have dropped pages of the range and
    /// marked them clean, and the next sync may succeed without having written them.
    ///
    /// ```
    /// # use fz_file::{Access, HostVolume, Storage, Volume};
    /// # use std::io::IoSlice;
    /// # let directory = tempfile::tempdir()?;
    /// let file = HostVolume.create(&directory.path().join("x"))?;
    /// file.write_vectored_at(&[IoSlice::new(&[1; 8192])], 0)?;
    /// file.write_back(0, 8192)?; // the device begins,
    /// file.sync_data()?; // and this waits for less
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn write_back(&self, offset: u64, bytes: u64) -> io::Result<()>;

    /// Drops the file's pages that are clean, so that the next read or write starts from what the device holds. As
    /// `posix_fadvise(2)` with `POSIX_FADV_DONTNEED` over the whole file.
    ///
    /// After a failed write some file systems (ext4 among them) take the page for written: writing it again and
    /// syncing then says `Ok`, and a power cut takes it all the same. An open for writing syncs, and then calls this,
    /// before it reads or writes. The default does nothing, which is right where no page outlives a failure; a
    /// `Storage` that wraps another must pass the call on.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::Unsupported`] where there is no such call; else the system call's.
    ///
    /// ```
    /// # use fz_file::{Access, HostVolume, Storage, Volume};
    /// # let directory = tempfile::tempdir()?;
    /// let file = HostVolume.create(&directory.path().join("x"))?;
    /// file.sync_data()?; // a dirty page would stay
    /// match file.drop_clean_pages() {
    ///     Ok(()) => {}
    ///     Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::Unsupported),
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn drop_clean_pages(&self) -> io::Result<()> {
        Ok(())
    }

    /// Begins a transaction of the file system that changes nothing, so that a file system whose journal was
    /// aborted says so: syncs may succeed there, and mean nothing. A no-op where no file system needs it, which is
    /// the default. Called before the file is shown; it may block as a write does.
    ///
    /// # Errors
    ///
    /// The system call's, `EROFS` after an abort; none where the disk is only full.
    ///
    /// ```
    /// # use fz_file::{Access, HostVolume, Storage, Volume};
    /// # let directory = tempfile::tempdir()?;
    /// let file = HostVolume.create(&directory.path().join("x"))?;
    /// file.check_journal()?;
    /// assert_eq!(file.length()?, 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn check_journal(&self) -> io::Result<()> {
        Ok(())
    }

    /// The file's length in bytes. As `fstat(2)`.
    ///
    /// # Errors
    ///
    /// The system call's.
    ///
    /// ```
    /// # use fz_file::{Access, HostVolume, Storage, Volume};
    /// # let directory = tempfile::tempdir()?;
    /// let file = HostVolume.create(&directory.path().join("x"))?;
    /// assert_eq!(file.length()?, 0);
    /// file.set_length(4096)?;
    /// assert_eq!(file.length()?, 4096);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn length(&self) -> io::Result<u64>;

    /// Cuts or extends the file; what is added reads as zeros. As `ftruncate(2)`.
    ///
    /// # Errors
    ///
    /// The system call's, `EINTR` included.
    ///
    /// ```
    /// # use fz_file::{Access, HostVolume, Storage, Volume};
    /// # use std::io::{IoSlice, IoSliceMut};
    /// # let directory = tempfile::tempdir()?;
    /// let file = HostVolume.create(&directory.path().join("x"))?;
    /// file.write_vectored_at(&[IoSlice::new(b"bytes")], 0)?;
    /// file.set_length(2)?;
    /// file.set_length(4)?;
    /// let mut left = [9; 4];
    /// file.read_vectored_at(&mut [IoSliceMut::new(&mut left)], 0)?;
    /// assert_eq!(left, *b"by\0\0");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn set_length(&self, bytes: u64) -> io::Result<()>;

    /// Reserves blocks for a byte range without writing them; may extend the file. As
    /// `fallocate(2)` with mode 0.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::Unsupported`] where blocks cannot be reserved; else the system call's:
    /// `ENOSPC`, `EDQUOT`, `EINTR`.
    ///
    /// ```
    /// # use fz_file::{Access, HostVolume, Storage, Volume};
    /// # let directory = tempfile::tempdir()?;
    /// let file = HostVolume.create(&directory.path().join("x"))?;
    /// match file.allocate(0, 1 << 20) {
    ///     Ok(()) => assert_eq!(file.length()?, 1 << 20), // no write in it finds the disk full
    ///     Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::Unsupported),
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn allocate(&self, offset: u64, bytes: u64) -> io::Result<()>;

    /// Sets the permission bits, whatever the umask. As `fchmod(2)`. The default does nothing: not every storage has
    /// such bits.
    ///
    /// # Errors
    ///
    /// The system call's.
    ///
    /// ```
    /// # use fz_file::{Access, HostVolume, Storage, Volume};
    /// # use std::os::unix::fs::PermissionsExt;
    /// # let directory = tempfile::tempdir()?;
    /// let path = directory.path().join("x");
    /// HostVolume.create(&path)?.set_mode(0o640)?;
    /// assert_eq!(path.metadata()?.permissions().mode() & 0o777, 0o640);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn set_mode(&self, mode: u32) -> io::Result<()> {
        let _ = mode;
        Ok(())
    }

    /// Takes the exclusive lock ([`Access::ReadWrite`]) or a shared one ([`Access::Read`]) on the
    /// file, held until this `Storage` is dropped. Does not wait. As `flock(2)`.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] if another open file, of this process or another, holds a
    /// lock that conflicts; else the system call's.
    ///
    /// ```
    /// # use fz_file::{Access, HostVolume, Storage, Volume};
    /// # let directory = tempfile::tempdir()?;
    /// let file = HostVolume.create(&directory.path().join("x"))?;
    /// let again = HostVolume.open(&directory.path().join("x"), Access::ReadWrite)?;
    /// file.try_lock(Access::ReadWrite)?;
    /// assert_eq!(again.try_lock(Access::ReadWrite).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    /// drop(file);
    /// again.try_lock(Access::ReadWrite)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn try_lock(&self, access: Access) -> io::Result<()>;

    /// Which file this is.
    ///
    /// # Errors
    ///
    /// The system call's.
    ///
    /// ```
    /// # use fz_file::{Access, HostVolume, Storage, Volume};
    /// # let directory = tempfile::tempdir()?;
    /// let file = HostVolume.create(&directory.path().join("x"))?;
    /// HostVolume.remove(&directory.path().join("x"))?;
    /// let other = HostVolume.create(&directory.path().join("x"))?;
    /// assert_ne!(file.identity()?, other.identity()?); // one name, two files
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn identity(&self) -> io::Result<FileIdentity>;
}
