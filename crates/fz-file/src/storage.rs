//! The seam to the disk: one open file ([`Storage`]) and the directory tree it lives in
//! ([`Volume`]).
//!
//! Every method is *one attempt of one system call*: it may be interrupted, may transfer fewer
//! bytes than asked, and reports what the kernel said. What is made of that (resuming, giving up,
//! latching a failed sync, the order of creation) is [`SlotFile`](crate::SlotFile)'s, above the
//! seam, so that a simulated disk exercises the very code that runs in production.
//!
//! [`HostVolume`](crate::HostVolume) is the operating system; `fz-sim` has the simulated one. Implement the two traits
//! to put slot files on anything else.

use std::ffi::OsString;
use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::path::Path;

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

/// A directory tree.
///
/// Paths are used as given. All methods may block for the disk. A volume that lacks one of the optional methods
/// ([`rename`](Self::rename), [`list`](Self::list), [`create_directory`](Self::create_directory)) refuses it with
/// [`io::ErrorKind::Unsupported`]; slot files need none of them.
///
/// ```
/// use std::io::IoSlice;
///
/// use fz_file::{HostVolume, Storage, Volume};
///
/// let directory = tempfile::tempdir()?;
/// let (new, path) = (directory.path().join("new"), directory.path().join("x"));
/// let file = HostVolume.create(&new)?;
/// let written = file.write_vectored_at(&[IoSlice::new(b"bytes")], 0)?; // one call: it may take fewer
/// file.sync_data()?; // the bytes are durable
/// HostVolume.rename_new(&new, &path)?;
/// HostVolume.sync_directory(directory.path())?; // and only now the name is
/// assert_eq!(file.length()?, written as u64);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Volume: fmt::Debug + Send + Sync {
    /// Opens an existing regular file. As `open(2)` with `O_CLOEXEC`.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::NotFound`] if there is none, [`io::ErrorKind::IsADirectory`] for a
    /// directory with either access; else the system call's.
    ///
    /// ```
    /// # use fz_file::{Access, HostVolume, Storage, Volume};
    /// # let directory = tempfile::tempdir()?;
    /// let path = directory.path().join("x");
    /// assert_eq!(HostVolume.open(&path, Access::Read).unwrap_err().kind(), std::io::ErrorKind::NotFound);
    /// HostVolume.create(&path)?;
    /// assert_eq!(HostVolume.open(&path, Access::Read)?.length()?, 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn Storage>>;

    /// As [`open`](Self::open), but a symbolic link at the path's last part is an error and is not followed. As
    /// `open(2)` with `O_NOFOLLOW`. The default follows: not every volume has links.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open), and an error of any kind if there is a link.
    ///
    /// ```
    /// # use fz_file::{Access, HostVolume, Storage, Volume};
    /// # let directory = tempfile::tempdir()?;
    /// let (path, link) = (directory.path().join("x"), directory.path().join("link"));
    /// HostVolume.create(&path)?;
    /// std::os::unix::fs::symlink("x", &link)?;
    /// assert!(HostVolume.open(&link, Access::Read).is_ok());
    /// assert!(HostVolume.open_no_follow(&link, Access::Read).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn open_no_follow(&self, path: &Path, access: Access) -> io::Result<Box<dyn Storage>> {
        self.open(path, access)
    }

    /// Creates an empty file that must not exist yet, for reading and writing, and for its owner only. As `open(2)`
    /// with `O_CREAT | O_EXCL | O_CLOEXEC` and mode 0600. The new entry is durable after
    /// [`sync_directory`](Self::sync_directory).
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::AlreadyExists`] if the name is taken; else the system call's.
    ///
    /// ```
    /// # use fz_file::{Access, HostVolume, Storage, Volume};
    /// # let directory = tempfile::tempdir()?;
    /// let path = directory.path().join("x");
    /// HostVolume.create(&path)?;
    /// assert_eq!(HostVolume.create(&path).unwrap_err().kind(), std::io::ErrorKind::AlreadyExists);
    /// HostVolume.sync_directory(directory.path())?; // a power cut leaves the file, too
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn create(&self, path: &Path) -> io::Result<Box<dyn Storage>>;

    /// Gives a file its final name in the same directory, unless the name is taken. At no moment has
    /// it neither name; it may have both for one, also after a crash. As `renameat2(2)` with
    /// `RENAME_NOREPLACE`, or `link(2)` and `unlink(2)`. Where there is neither, an empty file may take the name first,
    /// which a crash may leave.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::AlreadyExists`] if `to` exists; else the system call's.
    ///
    /// ```
    /// # use fz_file::{Access, HostVolume, Storage, Volume};
    /// # let directory = tempfile::tempdir()?;
    /// let (new, path) = (directory.path().join("new"), directory.path().join("x"));
    /// HostVolume.create(&new)?;
    /// HostVolume.rename_new(&new, &path)?;
    /// HostVolume.create(&new)?;
    /// let error = HostVolume.rename_new(&new, &path).unwrap_err(); // a plain rename would replace it
    /// assert_eq!(error.kind(), std::io::ErrorKind::AlreadyExists);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Gives a file the name `to` in the same directory, and takes that name from the file that has it, if one
    /// does. At no moment, also after a crash, is `to` without a file that it had. As `rename(2)`.
    ///
    /// Until [`sync_directory`](Self::sync_directory) has returned, a power cut may leave either state of the two
    /// names. Sync the file before it is renamed: afterwards its bytes are all that `to` has.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::Unsupported`] if the volume has no such operation, and always from the default
    /// implementation; [`io::ErrorKind::NotFound`] if `from` does not exist,
    /// [`io::ErrorKind::IsADirectory`] if `to` is a directory; else the system call's. A volume may refuse to
    /// rename a directory, or a file into another directory.
    ///
    /// ```
    /// # use fz_file::{Access, HostVolume, Storage, Volume, WholeTransfers};
    /// # let directory = tempfile::tempdir()?;
    /// let (new, path) = (directory.path().join("new"), directory.path().join("x"));
    /// HostVolume.create(&path)?.write_all_at(b"old", 0)?;
    /// let file = HostVolume.create(&new)?;
    /// file.write_all_at(b"new bytes", 0)?;
    /// file.sync_data()?; // before the rename
    /// HostVolume.rename(&new, &path)?;
    /// HostVolume.sync_directory(directory.path())?; // and now no power cut brings the old file back
    /// assert_eq!(HostVolume.open(&path, Access::Read)?.length()?, 9);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let _ = (from, to);
        Err(io::ErrorKind::Unsupported.into())
    }

    /// The names in a directory, of files and directories, without `.` and `..`, in no order. As `readdir(3)`.
    ///
    /// It shows the names as they are now, durable or not.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::Unsupported`] if the volume has no such operation, and always from the default
    /// implementation; [`io::ErrorKind::NotFound`], [`io::ErrorKind::NotADirectory`]; else the system call's.
    ///
    /// ```
    /// # use fz_file::{HostVolume, Storage, Volume};
    /// # let directory = tempfile::tempdir()?;
    /// HostVolume.create(&directory.path().join("x"))?;
    /// assert_eq!(HostVolume.list(directory.path())?, ["x"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn list(&self, directory: &Path) -> io::Result<Vec<OsString>> {
        let _ = directory;
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Creates an empty directory in one that exists. As `mkdir(2)`. It is durable after
    /// [`sync_directory`](Self::sync_directory) of the directory *above* it; until then a power cut may take it
    /// with everything in it, synced or not.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::Unsupported`] if the volume has no such operation, and always from the default
    /// implementation; [`io::ErrorKind::AlreadyExists`] if the name is taken; else the system call's.
    ///
    /// ```
    /// # use fz_file::{HostVolume, Storage, Volume};
    /// # let directory = tempfile::tempdir()?;
    /// let segments = directory.path().join("segments");
    /// HostVolume.create_directory(&segments)?;
    /// HostVolume.create(&segments.join("1"))?.sync_all()?;
    /// HostVolume.sync_directory(&segments)?; // the file's name in the directory,
    /// HostVolume.sync_directory(directory.path())?; // and the directory's own
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn create_directory(&self, path: &Path) -> io::Result<()> {
        let _ = path;
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Removes a file's name. As `unlink(2)`.
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
    /// file.set_length(8)?; // whoever has it open keeps it
    /// assert!(HostVolume.open(&directory.path().join("x"), Access::Read).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Which file `path` means now.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::NotFound`] if none; else the system call's.
    ///
    /// ```
    /// # use fz_file::{Access, HostVolume, Storage, Volume};
    /// # let directory = tempfile::tempdir()?;
    /// let file = HostVolume.create(&directory.path().join("x"))?;
    /// assert_eq!(HostVolume.identity(&directory.path().join("x"))?, file.identity()?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn identity(&self, path: &Path) -> io::Result<FileIdentity>;

    /// As [`identity`](Self::identity), but a symbolic link at the path's last part is a file of its own. As
    /// `lstat(2)`. The default follows.
    ///
    /// # Errors
    ///
    /// As [`identity`](Self::identity).
    ///
    /// ```
    /// # use fz_file::{Access, HostVolume, Storage, Volume};
    /// # let directory = tempfile::tempdir()?;
    /// let (path, link) = (directory.path().join("x"), directory.path().join("link"));
    /// HostVolume.create(&path)?;
    /// std::os::unix::fs::symlink("x", &link)?;
    /// assert_eq!(HostVolume.identity(&link)?, HostVolume.identity(&path)?);
    /// assert_ne!(HostVolume.identity_no_follow(&link)?, HostVolume.identity(&path)?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn identity_no_follow(&self, path: &Path) -> io::Result<FileIdentity> {
        self.identity(path)
    }

    /// Makes the entries of the directory `path` durable: what was created, renamed and removed in
    /// it. As `fsync(2)` on the directory; `Ok` where the file system has no sync of directories.
    ///
    /// # Errors
    ///
    /// The system call's; the entries' state on the disk is then unknown.
    /// [`io::ErrorKind::PermissionDenied`] if the directory may not be opened to be synced.
    ///
    /// ```
    /// # use fz_file::{Access, HostVolume, Storage, Volume};
    /// # let directory = tempfile::tempdir()?;
    /// let file = HostVolume.create(&directory.path().join("x"))?;
    /// file.sync_all()?; // its bytes are durable, its name is not
    /// HostVolume.sync_directory(directory.path())?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn sync_directory(&self, path: &Path) -> io::Result<()>;
}
