//! The operating system behind the seam. The one module that differs between systems, and the
//! only one with `unsafe`.
//!
//! macOS: `File::sync_data` and `File::sync_all` of std are `fcntl(F_FULLFSYNC)` there, since
//! `fsync(2)` does not flush the device's cache on that system.

#![cfg_attr(target_os = "linux", expect(unsafe_code, reason = "sync_file_range(2) has no safe wrapper"))]

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
compile_error!("fz-file knows the system calls of Linux and macOS only; another system needs its own in src/host.rs");

use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::FlockArg;
#[expect(deprecated, reason = "nix's Flock panics when its unlock in Drop fails, and wants to own the file")]
use nix::fcntl::flock;
use nix::sys::uio::{preadv, pwritev};

use crate::{Access, FileIdentity, Storage, Volume};

/// The operating system's files: what [`SlotFile::open`](crate::SlotFile::open) uses.
///
/// Linux and macOS. Locks are `flock(2)` locks: they bind openers that ask for them, on NFS only
/// where the server takes part, and belong to the open file, so that two opens in one process
/// exclude each other as two processes do.
///
/// ```
/// use fz_file::{Access, HostVolume, Volume};
///
/// let directory = tempfile::tempdir()?;
/// let path = directory.path().join("new");
/// let file = HostVolume.create(&path)?;
/// assert_eq!(file.length()?, 0);
/// assert_eq!(file.identity()?, HostVolume.open(&path, Access::Read)?.identity()?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct HostVolume;

/// One open file of the operating system.
#[derive(Debug)]
struct HostFile {
    file: File,
}

impl Volume for HostVolume {
    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn Storage>> {
        // Asked before the open, because opening a FIFO waits for its other end, and after it,
        // because the path may mean something else by then.
        require_regular(&fs::metadata(path)?)?;
        let file = OpenOptions::new().read(true).write(access == Access::ReadWrite).open(path)?;
        require_regular(&file.metadata()?)?;
        Ok(Box::new(HostFile { file }))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn Storage>> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
        Ok(Box::new(HostFile { file }))
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        match rename_no_replace(from, to) {
            // Not every file system has the flag, and a kernel before 3.15 not the call.
            Err(Errno::EINVAL | Errno::ENOSYS) => link_and_unlink(from, to),
            result => Ok(result?),
        }
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn identity(&self, path: &Path) -> io::Result<FileIdentity> {
        Ok(identity_of(&fs::metadata(path)?))
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }
}

fn require_regular(metadata: &fs::Metadata) -> io::Result<()> {
    if metadata.is_dir() {
        Err(Errno::EISDIR.into())
    } else if metadata.is_file() {
        Ok(())
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file but a device, pipe or socket"))
    }
}

fn identity_of(metadata: &fs::Metadata) -> FileIdentity {
    FileIdentity { device: metadata.dev(), inode: metadata.ino() }
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn rename_no_replace(from: &Path, to: &Path) -> nix::Result<()> {
    use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
    renameat2(AT_FDCWD, from, AT_FDCWD, to, RenameFlags::RENAME_NOREPLACE)
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn rename_no_replace(_from: &Path, _to: &Path) -> nix::Result<()> {
    Err(Errno::ENOSYS)
}

/// `link(2)` refuses a name that is taken, which `rename(2)` does not. A crash in between leaves
/// both names; the next open removes the first.
fn link_and_unlink(from: &Path, to: &Path) -> io::Result<()> {
    fs::hard_link(from, to)?;
    fs::remove_file(from).inspect_err(|_| {
        // Undone as far as possible: the caller was told that `to` is not there.
        let _ = fs::remove_file(to);
    })
}

impl Storage for HostFile {
    fn read_vectored_at(&self, buffers: &mut [IoSliceMut<'_>], offset: u64) -> io::Result<usize> {
        Ok(preadv(&self.file, buffers, file_offset(offset)?)?)
    }

    fn write_vectored_at(&self, buffers: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        Ok(pwritev(&self.file, buffers, file_offset(offset)?)?)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    #[cfg(target_os = "linux")]
    fn write_back(&self, offset: u64, bytes: u64) -> io::Result<()> {
        use nix::libc;
        let (offset, bytes) = (file_offset(offset)?, file_offset(bytes)?);
        // Only SYNC_FILE_RANGE_WRITE: the flags that wait would also take an error that the next
        // fsync must see.
        //
        // SAFETY: the call takes no memory, and the descriptor is open for as long as `self.file`
        // is borrowed.
        let result =
            unsafe { libc::sync_file_range(self.file.as_raw_fd(), offset, bytes, libc::SYNC_FILE_RANGE_WRITE) };
        Ok(Errno::result(result).map(drop)?)
    }

    #[cfg(not(target_os = "linux"))]
    fn write_back(&self, _offset: u64, _bytes: u64) -> io::Result<()> {
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn set_length(&self, bytes: u64) -> io::Result<()> {
        self.file.set_len(bytes)
    }

    #[cfg(target_os = "linux")]
    fn allocate(&self, offset: u64, bytes: u64) -> io::Result<()> {
        use nix::fcntl::{FallocateFlags, fallocate};
        match fallocate(&self.file, FallocateFlags::empty(), file_offset(offset)?, file_offset(bytes)?) {
            // Said in one way, for std does not map both in every version.
            Err(Errno::EOPNOTSUPP | Errno::ENOSYS) => Err(io::ErrorKind::Unsupported.into()),
            result => Ok(result?),
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn allocate(&self, _offset: u64, _bytes: u64) -> io::Result<()> {
        // F_PREALLOCATE of macOS takes no offset; the slot file writes zeros instead.
        Err(io::ErrorKind::Unsupported.into())
    }

    fn try_lock(&self, access: Access) -> io::Result<()> {
        Ok(self.flock(match access {
            Access::Read => FlockArg::LockSharedNonblock,
            Access::ReadWrite => FlockArg::LockExclusiveNonblock,
        })?)
    }

    fn identity(&self) -> io::Result<FileIdentity> {
        Ok(identity_of(&self.file.metadata()?))
    }
}

impl HostFile {
    fn flock(&self, operation: FlockArg) -> nix::Result<()> {
        #[expect(deprecated, reason = "see the import")]
        flock(self.file.as_raw_fd(), operation)
    }
}

impl Drop for HostFile {
    /// Unlocks by name, because a child that another thread is just spawning holds a copy of the
    /// descriptor until its `exec`, and closing ours would leave the file locked until then.
    fn drop(&mut self) {
        let _ = self.flock(FlockArg::Unlock);
    }
}

/// Bytes as `off_t`, or whatever the call takes.
fn file_offset<T: TryFrom<u64>>(bytes: u64) -> nix::Result<T> {
    T::try_from(bytes).map_err(|_| Errno::EOVERFLOW)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::ErrorKind;

    use super::link_and_unlink;

    /// What a file system without RENAME_NOREPLACE gets; none of those at hand is one.
    #[test]
    fn link_and_unlink_moves_a_file_and_replaces_none() {
        let directory = tempfile::tempdir().unwrap();
        let (from, to) = (directory.path().join("from"), directory.path().join("to"));
        fs::write(&from, "new").unwrap();
        link_and_unlink(&from, &to).unwrap();
        assert_eq!(fs::read_to_string(&to).unwrap(), "new");
        assert!(!from.exists());

        fs::write(&from, "newer").unwrap();
        assert_eq!(link_and_unlink(&from, &to).unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&to).unwrap(), "new");
        assert_eq!(fs::read_to_string(&from).unwrap(), "newer");
    }
}
