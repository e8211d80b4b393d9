//! The names of files, and how they come to be: the other half of the seam to the disk.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::Path;

use crate::{Access, FileIdentity, Storage};

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
