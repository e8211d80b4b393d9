//! What the system calls at hand do not show, or only once in a while.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::stat::Mode;
use tempfile::TempDir;

use super::{HostFile, HostVolume, link_and_unlink, open_regular, read_at, write_at};
use crate::{Access, Storage, Volume};

fn two_names() -> (TempDir, PathBuf, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let (one, other) = (directory.path().join("one"), directory.path().join("other"));
    (directory, one, other)
}

fn unlink(path: &Path) -> io::Result<()> {
    fs::remove_file(path)
}

/// What a file system without RENAME_NOREPLACE gets; none of those at hand is one.
#[test]
fn link_and_unlink_moves_a_file_and_replaces_none() {
    let (_directory, from, to) = two_names();
    fs::write(&from, "new").unwrap();
    link_and_unlink(&from, &to, unlink).unwrap();
    assert_eq!(fs::read_to_string(&to).unwrap(), "new");
    assert!(!from.exists());

    fs::write(&from, "newer").unwrap();
    assert_eq!(link_and_unlink(&from, &to, unlink).unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!(fs::read_to_string(&to).unwrap(), "new");
    assert_eq!(fs::read_to_string(&from).unwrap(), "newer");
}

/// A directory that takes a name and refuses to lose one: no permission does that.
#[test]
fn link_and_unlink_takes_the_new_name_back_if_the_old_one_stays() {
    let (_directory, from, to) = two_names();
    fs::write(&from, "new").unwrap();
    let refuse = |path: &Path| if path == from { Err(Errno::EIO.into()) } else { unlink(path) };
    let error = link_and_unlink(&from, &to, refuse).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(Errno::EIO as i32));
    assert_eq!(fs::read_to_string(&from).unwrap(), "new");
    assert!(!to.exists());
}

/// The lock belongs to the open file, which a child of `fork(2)` shares with its parent. A child that
/// dropped its copy let a second writer in.
#[test]
fn a_copy_in_another_process_does_not_unlock() {
    let (_directory, path, _) = two_names();
    let ours = HostFile::new(File::create_new(&path).unwrap());
    ours.try_lock(Access::ReadWrite).unwrap();
    let second = HostVolume.open(&path, Access::ReadWrite).unwrap();
    let child = HostFile { file: ours.file.try_clone().unwrap(), opener: ours.opener + 1 };
    drop(child);
    assert_eq!(second.try_lock(Access::ReadWrite).unwrap_err().kind(), ErrorKind::WouldBlock);
    drop(ours);
    second.try_lock(Access::ReadWrite).unwrap();
}

/// A copy of the descriptor, as a child has it that is just being spawned, keeps no lock.
#[test]
fn the_lock_ends_with_the_file_and_not_with_the_last_copy() {
    let (_directory, path, _) = two_names();
    let ours = HostFile::new(File::create_new(&path).unwrap());
    ours.try_lock(Access::ReadWrite).unwrap();
    let _copy = ours.file.try_clone().unwrap();
    drop(ours);
    HostVolume.open(&path, Access::ReadWrite).unwrap().try_lock(Access::ReadWrite).unwrap();
}

/// The path may come to mean a FIFO between the look and the open, which then waited for a writer.
#[test]
fn a_fifo_is_refused_without_waiting_for_its_other_end() {
    let (_directory, path, _) = two_names();
    nix::unistd::mkfifo(&path, Mode::S_IRWXU).unwrap();
    for access in [Access::Read, Access::ReadWrite] {
        assert_eq!(open_regular(&path, access).unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}

/// With `O_NONBLOCK` such an open fails, where one without it waits.
#[cfg(target_os = "linux")]
#[test]
fn an_open_waits_until_a_lease_is_given_back() {
    use std::os::fd::AsRawFd;
    use std::thread;

    use nix::libc::{F_GETLEASE, F_RDLCK, F_SETLEASE, F_UNLCK, SIGURG, fcntl};

    // As in `fcntl.h` of Linux, for all processors; the libc crate has no name for it.
    const F_SETSIG: i32 = 10;

    let (_directory, path, _) = two_names();
    fs::write(&path, "leased").unwrap();
    let holder = File::open(&path).unwrap();
    // SAFETY: none of these commands takes memory, and the descriptor is open.
    let call = |command, argument: i32| Errno::result(unsafe { fcntl(holder.as_raw_fd(), command, argument) });
    // Who holds the lease hears by a signal that somebody waits for it. The default is SIGIO, which ends
    // the process; this one is ignored.
    if call(F_SETSIG, SIGURG).and_then(|_| call(F_SETLEASE, F_RDLCK)).is_err() {
        // A network's file system, or a kernel that is emulated: nobody can have a lease there.
        return;
    }
    thread::scope(|scope| {
        let opened = scope.spawn(|| open_regular(&path, Access::ReadWrite));
        while call(F_GETLEASE, 0) == Ok(F_RDLCK) && !opened.is_finished() {
            thread::yield_now();
        }
        call(F_SETLEASE, F_UNLCK).unwrap();
        opened.join().unwrap().unwrap();
    });
}

/// macOS refuses what is too much for one call; here a few bytes are.
#[test]
fn a_transfer_of_more_than_one_call_takes_is_cut_short() {
    let (_directory, path, _) = two_names();
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path).unwrap();
    let text = b"0123456789";
    for cuts in [[0, 0], [0, 4], [1, 2], [3, 7], [5, 5], [9, 10], [10, 10]] {
        let slices = [&text[..cuts[0]], &text[cuts[0]..cuts[1]], &text[cuts[1]..]];
        for bytes_max in (1..=10).chain([11, usize::MAX]) {
            file.set_len(0).unwrap();
            let written = write_at(&file, &slices.map(IoSlice::new), 0, bytes_max).unwrap();
            let mut ends = vec![0];
            for slice in slices {
                ends.push(ends[ends.len() - 1] + slice.len());
            }
            let whole = ends.into_iter().filter(|&end| end <= bytes_max).max().unwrap();
            // The first buffer with bytes in it is longer than that: a part of it goes.
            let expected = if whole == 0 { bytes_max } else { whole };
            assert_eq!(written, expected, "{cuts:?} of at most {bytes_max}");
            let mut content = Vec::new();
            File::open(&path).unwrap().read_to_end(&mut content).unwrap();
            assert_eq!(content, text[..written]);

            file.set_len(0).unwrap();
            write_at(&file, &[IoSlice::new(text)], 0, usize::MAX).unwrap();
            let mut buffers = [vec![0; cuts[0]], vec![0; cuts[1] - cuts[0]], vec![0; 10 - cuts[1]]];
            let [one, two, three] = &mut buffers;
            let read = read_at(&file, &mut [one, two, three].map(|part| IoSliceMut::new(part)), 0, bytes_max).unwrap();
            assert_eq!(read, expected, "{cuts:?} of at most {bytes_max}");
            assert_eq!(buffers.concat()[..read], text[..read]);
        }
    }
}

/// A sandbox that has no `sync_file_range(2)` ended in a failed sync, for good, though nothing was lost.
#[cfg(target_os = "linux")]
#[test]
fn c_only_a_missing_call_is_no_failed_write_back() {
    use super::begun;

    assert_eq!(begun(Ok(0)), Ok(()));
    for missing in [Errno::ENOSYS, Errno::EOPNOTSUPP] {
        assert_eq!(begun::<i32>(Err(missing)), Ok(()));
    }
    for failure in [Errno::EIO, Errno::ENOSPC, Errno::EDQUOT, Errno::EINTR, Errno::EINVAL, Errno::EPERM] {
        assert_eq!(begun::<i32>(Err(failure)), Err(failure));
    }
}
