//! The operating system behind the seam. The one module that differs between systems, and the
//! only one with `unsafe`.
//!
//! macOS: `File::sync_data` and `File::sync_all` of std are `fcntl(F_FULLFSYNC)` there, since
//! `fsync(2)` does not flush the device's cache on that system.

#![cfg_attr(target_os = "linux", expect(unsafe_code, reason = "sync_file_range(2) has no safe wrapper"))]

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
compile_error!("fz-file knows the system calls of Linux and macOS only; another system needs its own in src/host.rs");

mod names;

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice, IoSliceMut};
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::process;

use nix::errno::Errno;
#[expect(deprecated, reason = "nix's Flock panics when its unlock in Drop fails, and wants to own the file")]
use nix::fcntl::flock;
use nix::fcntl::{FcntlArg, FlockArg, OFlag, fcntl};
use nix::libc::off_t;
use nix::sys::uio::{preadv, pwritev};

use crate::{Access, FileIdentity, SlotFile, Storage, Volume};

/// The operating system's files: what [`SlotFile::open`](crate::SlotFile::open) uses.
///
/// Linux and macOS. Locks are `flock(2)` locks: they bind openers that ask for them, on NFS only
/// where the server takes part, and belong to the open file, so that two opens in one process
/// exclude each other as two processes do. A child of `fork(2)` that goes on without an `exec` shares its
/// parent's open file, and so its lock, which then ends when both have dropped it, or the parent has.
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
    /// The process that opened it. A child of `fork(2)` has another.
    opener: u32,
}

impl Volume for HostVolume {
    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn Storage>> {
        // Asked first, because opening a device can do things (rewind a tape, start a watchdog).
        require_regular(&fs::metadata(path)?)?;
        Ok(Box::new(HostFile::new(open_regular(path, access)?)))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn Storage>> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
        Ok(Box::new(HostFile::new(file)))
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        match rename_no_replace(from, to) {
            // Not every file system has the flag, and a kernel before 3.15 not the call.
            Err(Errno::EINVAL | Errno::ENOSYS) => link_and_unlink(from, to, |path| fs::remove_file(path)),
            result => Ok(result?),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        names::rename(from, to)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<OsString>> {
        names::list(directory)
    }

    fn create_directory(&self, path: &Path) -> io::Result<()> {
        names::create_directory(path)
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

/// Opens a path that may have come to mean something else since it was looked at. Without `O_NONBLOCK`
/// the open of a FIFO waits for its other end. To a regular file the flag means only that nobody else's
/// lease (`F_SETLEASE` of fcntl(2)) is waited for: then it is opened without. A file system in user
/// space is told of it with each call, so it goes again.
fn open_regular(path: &Path, access: Access) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(access == Access::ReadWrite);
    let file = match options.clone().custom_flags(OFlag::O_NONBLOCK.bits()).open(path) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => options.open(path)?,
        opened => opened?,
    };
    require_regular(&file.metadata()?)?;
    fcntl(&file, FcntlArg::F_SETFL(OFlag::empty()))?;
    Ok(file)
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
fn link_and_unlink(from: &Path, to: &Path, unlink: impl Fn(&Path) -> io::Result<()>) -> io::Result<()> {
    fs::hard_link(from, to)?;
    unlink(from).inspect_err(|_| {
        // Undone as far as possible: the caller was told that `to` is not there.
        let _ = unlink(to);
    })
}

impl Storage for HostFile {
    fn read_vectored_at(&self, buffers: &mut [IoSliceMut<'_>], offset: u64) -> io::Result<usize> {
        read_at(&self.file, buffers, file_offset(offset)?, BYTES_MAX)
    }

    fn write_vectored_at(&self, buffers: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        write_at(&self.file, buffers, file_offset(offset)?, BYTES_MAX)
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
        Ok(begun(Errno::result(result))?)
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
    fn new(file: File) -> Self {
        Self { file, opener: process::id() }
    }

    fn flock(&self, operation: FlockArg) -> nix::Result<()> {
        #[expect(deprecated, reason = "see the import")]
        flock(self.file.as_raw_fd(), operation)
    }
}

impl Drop for HostFile {
    /// Unlocks by name, because a child that another thread is just spawning holds a copy of the
    /// descriptor until its `exec`, and closing ours would leave the file locked until then.
    ///
    /// Not in a child that goes on without an `exec` and drops its copy: the lock is one for all copies,
    /// and its parent's.
    fn drop(&mut self) {
        if self.opener == process::id() {
            let _ = self.flock(FlockArg::Unlock);
        }
    }
}

/// The most bytes in one transfer: macOS refuses more than an `int` can count, with EINVAL. Linux takes
/// of any number as many as it can.
const BYTES_MAX: usize = if cfg!(target_os = "macos") { SlotFile::SLOT_SIZE_MAX } else { usize::MAX };

fn write_at(file: &File, buffers: &[IoSlice<'_>], offset: off_t, bytes_max: usize) -> io::Result<usize> {
    let call = one_call(buffers.iter().map(|buffer| buffer.len()), bytes_max);
    match &buffers[call] {
        [only] if only.len() > bytes_max => Ok(pwritev(file, &[IoSlice::new(&only[..bytes_max])], offset)?),
        call => Ok(pwritev(file, call, offset)?),
    }
}

fn read_at(file: &File, buffers: &mut [IoSliceMut<'_>], offset: off_t, bytes_max: usize) -> io::Result<usize> {
    let call = one_call(buffers.iter().map(|buffer| buffer.len()), bytes_max);
    match &mut buffers[call] {
        [only] if only.len() > bytes_max => Ok(preadv(file, &mut [IoSliceMut::new(&mut only[..bytes_max])], offset)?),
        call => Ok(preadv(file, call, offset)?),
    }
}

/// Which of the buffers of these lengths one call takes: no more than `bytes_max` bytes, or a single one
/// that is longer. Never only empty ones while there are others: that it moved nothing would say that it
/// cannot.
fn one_call(lengths: impl ExactSizeIterator<Item = usize> + Clone, bytes_max: usize) -> Range<usize> {
    let count = lengths.len();
    if bytes_max == usize::MAX {
        return 0..count;
    }
    let from = lengths.clone().position(|length| length > 0).unwrap_or(0);
    let mut left = bytes_max;
    let fit = lengths.skip(from).take_while(|&length| {
        let rest = left.checked_sub(length);
        left = rest.unwrap_or(0);
        rest.is_some()
    });
    from..(from + fit.count().max(1)).min(count)
}

/// What a call of `sync_file_range(2)` comes to. Where there is no such call (a sandbox, a kernel that is
/// emulated) nothing was begun, nothing is lost, and the sync does all of the work. Any other failure may
/// be that of pages which the kernel then drops, and stays one.
#[cfg(target_os = "linux")]
fn begun<T>(result: nix::Result<T>) -> nix::Result<()> {
    match result {
        Err(Errno::ENOSYS | Errno::EOPNOTSUPP) => Ok(()),
        result => result.map(drop),
    }
}

/// Bytes as `off_t`, or whatever the call takes.
fn file_offset<T: TryFrom<u64>>(bytes: u64) -> nix::Result<T> {
    T::try_from(bytes).map_err(|_| Errno::EOVERFLOW)
}

#[cfg(test)]
mod tests;
