//! The system calls that have no safe wrapper, or only one whose offsets have 32 bits on 32-bit systems. The only
//! `unsafe` of the crate.
//!
//! None of them is newer than the oldest C library that Rust itself supports (glibc 2.17): what is newer goes through
//! `syscall(2)`.

#![expect(unsafe_code, reason = "no safe wrapper has 64-bit offsets everywhere, or links against old C libraries")]

use std::fs::File;
use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, FromRawFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
use nix::libc;

/// Descriptors 0 to 2 are the standard streams, whatever is open there.
const DESCRIPTOR_MIN: i32 = 3;

/// The same open file under a descriptor above the standard streams'. What the program, or a library that it knows
/// nothing of, prints to a standard stream would be written into the file otherwise.
pub(super) fn above_standard_streams(file: File) -> nix::Result<File> {
    if file.as_raw_fd() >= DESCRIPTOR_MIN || fz_error::mutants::active("keep_low_descriptors") {
        return Ok(file);
    }
    let descriptor = fcntl(&file, FcntlArg::F_DUPFD_CLOEXEC(DESCRIPTOR_MIN))?;
    // SAFETY: the kernel has just made the descriptor for this call, and nothing else knows it.
    Ok(unsafe { File::from_raw_fd(descriptor) })
}

/// `renameat2(2)` with `RENAME_NOREPLACE`.
///
/// By number: glibc has the function from 2.28 on only, and other C libraries have it not at all.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn rename_no_replace(from: &Path, to: &Path) -> nix::Result<()> {
    use nix::NixPath;

    let call = |from: *const libc::c_char, to: *const libc::c_char| {
        // SAFETY: both pointers are to strings that end in NUL and live until the call returns. The kernel only
        // reads them.
        unsafe { libc::syscall(libc::SYS_renameat2, libc::AT_FDCWD, from, libc::AT_FDCWD, to, libc::RENAME_NOREPLACE) }
    };
    let result = from.with_nix_path(|from| to.with_nix_path(|to| call(from.as_ptr(), to.as_ptr())))??;
    Errno::result(result).map(drop)
}

/// `renamex_np(2)` with `RENAME_EXCL`.
#[cfg(target_vendor = "apple")]
pub(super) fn rename_no_replace(from: &Path, to: &Path) -> nix::Result<()> {
    use nix::NixPath;

    let call = |from: *const libc::c_char, to: *const libc::c_char| {
        // SAFETY: both pointers are to strings that end in NUL and live until the call returns. The kernel only
        // reads them.
        unsafe { libc::renamex_np(from, to, libc::RENAME_EXCL) }
    };
    let result = from.with_nix_path(|from| to.with_nix_path(|to| call(from.as_ptr(), to.as_ptr())))??;
    Errno::result(result).map(drop)
}

/// Other systems have no exclusive rename.
#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
pub(super) fn rename_no_replace(_from: &Path, _to: &Path) -> nix::Result<()> {
    Err(Errno::ENOSYS)
}

/// `preadv(2)`. The caller passes at most `IOV_MAX` buffers, or gets the kernel's `EINVAL`.
pub(super) fn read_vectored(file: &File, buffers: &mut [IoSliceMut<'_>], offset: u64) -> nix::Result<usize> {
    #[cfg(any(all(target_os = "linux", target_env = "gnu"), target_os = "android"))]
    {
        let count = i32::try_from(buffers.len()).map_err(|_| Errno::EINVAL)?;
        let offset = file_offset(offset)?;
        // SAFETY: std guarantees that an `IoSliceMut` is laid out as an `iovec`; the buffers are `count` of them and
        // borrowed for writing until the call returns. The descriptor is open for as long as `file` is borrowed.
        let result = unsafe { libc::preadv64(file.as_raw_fd(), buffers.as_mut_ptr().cast(), count, offset) };
        transferred(result)
    }
    #[cfg(not(any(all(target_os = "linux", target_env = "gnu"), target_os = "android")))]
    nix::sys::uio::preadv(file, buffers, file_offset(offset)?)
}

/// `pwritev(2)`, otherwise as [`read_vectored`].
pub(super) fn write_vectored(file: &File, buffers: &[IoSlice<'_>], offset: u64) -> nix::Result<usize> {
    #[cfg(any(all(target_os = "linux", target_env = "gnu"), target_os = "android"))]
    {
        let count = i32::try_from(buffers.len()).map_err(|_| Errno::EINVAL)?;
        let offset = file_offset(offset)?;
        // SAFETY: std guarantees that an `IoSlice` is laid out as an `iovec`; the buffers are `count` of them, which
        // the kernel only reads. The descriptor is open for as long as `file` is borrowed.
        let result = unsafe { libc::pwritev64(file.as_raw_fd(), buffers.as_ptr().cast(), count, offset) };
        transferred(result)
    }
    #[cfg(not(any(all(target_os = "linux", target_env = "gnu"), target_os = "android")))]
    nix::sys::uio::pwritev(file, buffers, file_offset(offset)?)
}

/// The bytes that a transfer moved.
#[cfg(any(all(target_os = "linux", target_env = "gnu"), target_os = "android"))]
fn transferred(result: libc::ssize_t) -> nix::Result<usize> {
    Errno::result(result).map(|bytes| usize::try_from(bytes).expect("Errno::result lets no negative number pass"))
}

/// `fallocate(2)` with mode 0.
#[cfg(any(all(target_os = "linux", target_env = "gnu"), target_os = "android"))]
pub(super) fn allocate(file: &File, offset: u64, bytes: u64) -> nix::Result<()> {
    let (offset, bytes) = (file_offset(offset)?, file_offset(bytes)?);
    // SAFETY: the call takes no memory, and the descriptor is open for as long as `file` is borrowed.
    Errno::result(unsafe { libc::fallocate64(file.as_raw_fd(), 0, offset, bytes) }).map(drop)
}

/// `fallocate(2)` with mode 0, where `off_t` has 64 bits.
#[cfg(all(target_os = "linux", not(target_env = "gnu")))]
pub(super) fn allocate(file: &File, offset: u64, bytes: u64) -> nix::Result<()> {
    nix::fcntl::fallocate(file, nix::fcntl::FallocateFlags::empty(), file_offset(offset)?, file_offset(bytes)?)
}

/// Other systems cannot reserve blocks at an offset (`F_PREALLOCATE` of macOS takes none), or do it by writing
/// (`posix_fallocate(3)`), which the slot file does itself.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) fn allocate(_file: &File, _offset: u64, _bytes: u64) -> nix::Result<()> {
    Err(Errno::ENOSYS)
}

/// `sync_file_range(2)` with `SYNC_FILE_RANGE_WRITE` only: the flags that wait would also take an error that the next
/// `fsync(2)` must see.
#[cfg(target_os = "linux")]
pub(super) fn write_back(file: &File, offset: u64, bytes: u64) -> nix::Result<()> {
    let (offset, bytes) = (file_offset(offset)?, file_offset(bytes)?);
    // SAFETY: the call takes no memory, and the descriptor is open for as long as `file` is borrowed.
    let result = unsafe { libc::sync_file_range(file.as_raw_fd(), offset, bytes, libc::SYNC_FILE_RANGE_WRITE) };
    Errno::result(result).map(drop)
}

/// Other systems have no such call.
#[cfg(not(target_os = "linux"))]
pub(super) fn write_back(_file: &File, _offset: u64, _bytes: u64) -> nix::Result<()> {
    Err(Errno::ENOSYS)
}

/// Bytes as the type that the call takes.
fn file_offset<T: TryFrom<u64>>(bytes: u64) -> nix::Result<T> {
    T::try_from(bytes).map_err(|_| Errno::EOVERFLOW)
}
