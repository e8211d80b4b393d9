//! Names in directories of the operating system, beyond those that a slot file needs.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::Path;

/// As `rename(2)`.
pub(super) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)
}

/// As `readdir(3)`: in no order.
pub(super) fn list(directory: &Path) -> io::Result<Vec<OsString>> {
    fs::read_dir(directory)?.map(|entry| Ok(entry?.file_name())).collect()
}

/// As `mkdir(2)`, with the permissions that the process's umask leaves.
pub(super) fn create_directory(path: &Path) -> io::Result<()> {
    fs::create_dir(path)
}
