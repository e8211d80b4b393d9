//! The operating system behind the seam: any Unix. Linux (with Android) and macOS have their special cases, other
//! systems the portable way.
//!
//! macOS: `File::sync_data` and `File::sync_all` of std are `fcntl(F_FULLFSYNC)` there, since
//! `fsync(2)` does not flush the device's cache on that system.
//!
//! **Optional calls.** `renameat2`, `link`, `fallocate`, `sync_file_range`, `posix_fadvise` and the sync of a directory
//! may be missing: in the kernel, in the file system, or because a sandbox refuses them, with whatever error
//! ([`is_missing`]). Each has another way, or is left out.
//!
//! **Descriptors.** None is ever 0, 1 or 2 ([`open_file`]).

#[cfg(not(unix))]
compile_error!("HostVolume knows the system calls of Unix only; another system needs its own in src/host.rs");

mod system;

mod names;

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice, IoSliceMut};
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use fz_process::Process;
use nix::errno::Errno;
#[expect(deprecated, reason = "nix's Flock panics when its unlock in Drop fails, and wants to own the file")]
use nix::fcntl::flock;
use nix::fcntl::{FcntlArg, FlockArg, OFlag, fcntl};

use crate::{Access, FileIdentity, SlotFile, Storage, Volume};

/// The operating system's files: what [`SlotFile::open`](crate::SlotFile::open) uses.
///
/// Unix; Linux and macOS have special cases. Locks are `flock(2)` locks: they bind openers that ask for them, on
/// NFS only where the server takes part, and belong to the open file, so that two opens in one process
/// exclude each other as two processes do. A child of `fork(2)` shares its parent's open file, and so its lock, which
/// then ends when both have dropped it, or the parent has.
///
/// New files have mode 0600, less the umask. No descriptor is ever 0, 1 or 2. Inode numbers must be stable: a file
/// system that shows another number for the same file each time cannot be used.
///
/// A process with a limit on the size of its files (`RLIMIT_FSIZE`, `ulimit -f`) is killed by `SIGXFSZ` when a
/// creation, a growth or a write exceeds it, unless the program ignores that signal: then the call fails with `EFBIG`.
/// This library changes no signal's disposition.
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
    /// The process that opened it, and whose lock it is.
    owner: Process,
}

impl Volume for HostVolume {
    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn Storage>> {
        // Asked first, because opening a device can do things (rewind a tape, start a watchdog).
        require_regular(&fs::metadata(path)?)?;
        Ok(Box::new(HostFile::new(open_regular(path, access, OFlag::empty())?)))
    }

    fn open_no_follow(&self, path: &Path, access: Access) -> io::Result<Box<dyn Storage>> {
        require_regular(&fs::symlink_metadata(path)?)?;
        Ok(Box::new(HostFile::new(open_regular(path, access, OFlag::O_NOFOLLOW)?)))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn Storage>> {
        Ok(Box::new(create_file(path)?))
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        match system::rename_no_replace(from, to) {
            // Not every file system has the flag, and a kernel before 3.15 not the call.
            Err(error) if error == Errno::EINVAL || is_missing(error) => {}
            result => return Ok(result?),
        }
        match link_and_unlink(from, to, |path| fs::remove_file(path)) {
            Err(error) if has_no_links(&error) => rename_over_placeholder(from, to, || ()),
            result => result,
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

    fn identity_no_follow(&self, path: &Path) -> io::Result<FileIdentity> {
        Ok(identity_of(&fs::symlink_metadata(path)?))
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        match open_file(OpenOptions::new().read(true), path) {
            Ok(directory) => synced_directory(directory.sync_all()),
            Err(cause) if cause.kind() == io::ErrorKind::PermissionDenied => sync_unreadable_directory(path, cause),
            Err(cause) => Err(cause),
        }
    }
}

/// Opens a file with a descriptor above those of the standard streams, from the first moment on: as long as one of
/// those is closed, something harmless lies there.
fn open_file(options: &OpenOptions, path: &Path) -> io::Result<File> {
    let mut in_place = Vec::new();
    while let Ok(harmless) = File::open("/dev/null") {
        if harmless.as_raw_fd() > 2 || in_place.len() == 3 || fz_error::mutants::active("keep_low_descriptors") {
            break;
        }
        in_place.push(harmless);
    }
    // Another thread may have closed one in between, or there is no such device.
    Ok(system::above_standard_streams(options.open(path)?)?)
}

/// Creates a file that only its owner may read, and that was not there. A name that is a link is taken.
fn create_file(path: &Path) -> io::Result<HostFile> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true).mode(0o600);
    Ok(HostFile::new(open_file(&options, path)?))
}

/// Opens a path that may have come to mean something else since it was looked at. Without `O_NONBLOCK`
/// the open of a FIFO waits for its other end. To a regular file the flag means only that another
/// process's lease (`F_SETLEASE` of fcntl(2)) is not waited for: then it is opened without. A file system in user
/// space is told of it with each call, so it goes again.
fn open_regular(path: &Path, access: Access, flags: OFlag) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(access == Access::ReadWrite);
    let open = |flags: OFlag| open_file(options.clone().custom_flags(flags.bits()), path);
    let file = match open(flags | OFlag::O_NONBLOCK) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => open(flags)?,
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
        Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file but a link, device, pipe or socket"))
    }
}

fn identity_of(metadata: &fs::Metadata) -> FileIdentity {
    FileIdentity { device: metadata.dev(), inode: metadata.ino() }
}

/// Whether an optional call is not there. `EPERM` and `EACCES` are a sandbox's: where they are the file's or the
/// directory's, the other way meets them, too.
fn is_missing(error: Errno) -> bool {
    // The two are one number on Linux.
    let unsupported = [Errno::EOPNOTSUPP, Errno::ENOTSUP].contains(&error);
    unsupported || matches!(error, Errno::ENOSYS | Errno::EPERM | Errno::EACCES)
}

/// Whether a `link(2)` failed because the file system has no hard links (FAT and others say `EPERM`), or not so many.
fn has_no_links(error: &io::Error) -> bool {
    error.raw_os_error().map(Errno::from_raw).is_some_and(|error| error == Errno::EMLINK || is_missing(error))
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

/// Where there is neither an exclusive rename nor a link: an empty file takes the name, exclusively, and `from`
/// replaces it while its lock keeps every opener out. A crash in between leaves the empty file, a file of no slots yet.
///
/// `between` runs between the creation and the lock, for a test.
fn rename_over_placeholder(from: &Path, to: &Path, between: impl FnOnce()) -> io::Result<()> {
    let placeholder = create_file(to)?;
    between();
    if let Err(error) = placeholder.try_lock(Access::ReadWrite) {
        // An opener that was quicker has the name.
        return Err(if error.kind() == io::ErrorKind::WouldBlock { Errno::EEXIST.into() } else { error });
    }
    // It may be gone again, and have left slots in the file.
    if HostVolume.identity_no_follow(to)? != placeholder.identity()? || placeholder.length()? > 0 {
        return Err(Errno::EEXIST.into());
    }
    fs::rename(from, to).inspect_err(|_| {
        let _ = fs::remove_file(to);
    })
}

/// The result of a directory's sync. Some file systems have none (older CIFS, some in user space): then nothing has
/// failed, and nothing can be done. Everything else is a failure.
fn synced_directory(result: io::Result<()>) -> io::Result<()> {
    let missing = [Errno::EINVAL, Errno::EBADF, Errno::ENOSYS, Errno::EOPNOTSUPP, Errno::ENOTSUP];
    match result {
        Err(cause) if cause.raw_os_error().map(Errno::from_raw).is_some_and(|cause| missing.contains(&cause)) => Ok(()),
        result => result,
    }
}

/// Syncs the file system of a directory that may be changed but not read (mode 0300), and so not be opened: through
/// an unnamed file in it. Where there is no such file, `refused` is the answer.
#[cfg(target_os = "linux")]
fn sync_unreadable_directory(path: &Path, refused: io::Error) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600).custom_flags(OFlag::O_TMPFILE.bits());
    match open_file(&options, path) {
        Ok(unnamed) => Ok(nix::unistd::syncfs(unnamed)?),
        Err(_) => Err(refused),
    }
}

#[cfg(not(target_os = "linux"))]
fn sync_unreadable_directory(_path: &Path, refused: io::Error) -> io::Result<()> {
    Err(refused)
}

impl Storage for HostFile {
    fn read_vectored_at(&self, buffers: &mut [IoSliceMut<'_>], offset: u64) -> io::Result<usize> {
        read_at(&self.file, buffers, offset, BYTES_MAX)
    }

    fn write_vectored_at(&self, buffers: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        write_at(&self.file, buffers, offset, BYTES_MAX)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    fn write_back(&self, offset: u64, bytes: u64) -> io::Result<()> {
        Ok(begun(system::write_back(&self.file, offset, bytes))?)
    }

    #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
    fn drop_clean_pages(&self) -> io::Result<()> {
        use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
        // A length of 0 reaches to the end of the file, and is the one range that takes no rounding: the kernel
        // leaves a page alone of which only a part is meant.
        supported(posix_fadvise(&self.file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED))
    }

    #[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
    fn drop_clean_pages(&self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// By `ftruncate(2)` to the length that the file has, for which every file system begins a transaction. btrfs
    /// takes new blocks for it, which a full disk refuses; its transactions are whole then.
    #[cfg(target_os = "linux")]
    fn check_journal(&self) -> io::Result<()> {
        match self.set_length(self.length()?) {
            Err(cause) if matches!(cause.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => Ok(()),
            result => result,
        }
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn set_length(&self, bytes: u64) -> io::Result<()> {
        self.file.set_len(bytes)
    }

    fn allocate(&self, offset: u64, bytes: u64) -> io::Result<()> {
        supported(system::allocate(&self.file, offset, bytes))
    }

    fn set_mode(&self, mode: u32) -> io::Result<()> {
        self.file.set_permissions(fs::Permissions::from_mode(mode))
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
        Self { file, owner: Process::current() }
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
    /// Not in a child of `fork(2)` that drops its copy: the lock is one for all copies, and its parent's.
    fn drop(&mut self) {
        if self.owner.is_current() {
            let _ = self.flock(FlockArg::Unlock);
        }
    }
}

/// The most bytes in one transfer: macOS refuses more than an `int` can count, with EINVAL. Linux takes
/// of any number as many as it can.
const BYTES_MAX: usize = if cfg!(target_os = "macos") { SlotFile::SLOT_SIZE_MAX } else { usize::MAX };

fn write_at(file: &File, buffers: &[IoSlice<'_>], offset: u64, bytes_max: usize) -> io::Result<usize> {
    let call = one_call(buffers.iter().map(|buffer| buffer.len()), bytes_max);
    match &buffers[call] {
        [only] if only.len() > bytes_max => {
            Ok(system::write_vectored(file, &[IoSlice::new(&only[..bytes_max])], offset)?)
        }
        call => Ok(system::write_vectored(file, call, offset)?),
    }
}

fn read_at(file: &File, buffers: &mut [IoSliceMut<'_>], offset: u64, bytes_max: usize) -> io::Result<usize> {
    let call = one_call(buffers.iter().map(|buffer| buffer.len()), bytes_max);
    match &mut buffers[call] {
        [only] if only.len() > bytes_max => {
            Ok(system::read_vectored(file, &mut [IoSliceMut::new(&mut only[..bytes_max])], offset)?)
        }
        call => Ok(system::read_vectored(file, call, offset)?),
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
fn begun(result: nix::Result<()>) -> nix::Result<()> {
    match result {
        Err(error) if is_missing(error) => Ok(()),
        result => result,
    }
}

/// The result of a call that may be missing, which is said in one way: std does not map all of them in every version.
fn supported(result: nix::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if is_missing(error) => Err(io::ErrorKind::Unsupported.into()),
        result => Ok(result?),
    }
}

#[cfg(test)]
mod tests;
