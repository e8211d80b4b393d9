//! What the system calls at hand do not show, or only once in a while.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use tempfile::TempDir;

use super::system::above_standard_streams;
use super::{
    HostFile, HostVolume, begun, has_no_links, link_and_unlink, open_regular, read_at, rename_over_placeholder,
    supported, synced_directory, write_at,
};
use crate::{Access, FileErrorKind, FileIdentity, SlotFile, SlotFileConfig, Storage, Volume};

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
        assert_eq!(open_regular(&path, access, OFlag::empty()).unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}

/// With `O_NONBLOCK` such an open fails, where one without it waits.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "nix has no F_SETSIG")]
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
        let opened = scope.spawn(|| open_regular(&path, Access::ReadWrite, OFlag::empty()));
        while call(F_GETLEASE, 0) == Ok(F_RDLCK) && !opened.is_finished() {
            thread::yield_now();
        }
        call(F_SETLEASE, F_UNLCK).unwrap();
        opened.join().unwrap().unwrap();
    });
}

/// If a standard stream is closed just before the file is opened, in another thread, nothing harmless lies there.
#[test]
fn a_a_file_opened_as_a_standard_stream_is_moved_above_them() {
    use std::os::fd::AsRawFd;

    let (_directory, path, _) = two_names();
    fs::write(&path, "kept").unwrap();
    let moved = || {
        nix::unistd::close(1).unwrap();
        let low = File::open(&path).unwrap();
        let was_low = low.as_raw_fd() < 3;
        let mut text = String::new();
        let mut file = above_standard_streams(low).unwrap();
        file.read_to_string(&mut text).unwrap();
        was_low && file.as_raw_fd() > 2 && text == "kept" && !Path::new("/dev/fd/1").exists()
    };
    match fork::fork().unwrap() {
        fork::Fork::Child => {
            let passed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(moved)).unwrap_or(false);
            std::process::exit(i32::from(!passed))
        }
        fork::Fork::Parent(child) => {
            let status = nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(child), None).unwrap();
            assert!(matches!(status, nix::sys::wait::WaitStatus::Exited(_, 0)), "{status:?}");
        }
    }
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
#[test]
fn c_only_a_missing_call_is_no_failed_write_back() {
    assert_eq!(begun(Ok(())), Ok(()));
    for missing in [Errno::ENOSYS, Errno::EOPNOTSUPP, Errno::EPERM, Errno::EACCES] {
        assert_eq!(begun(Err(missing)), Ok(()));
    }
    for failure in [Errno::EIO, Errno::ENOSPC, Errno::EDQUOT, Errno::EINTR, Errno::EINVAL] {
        assert_eq!(begun(Err(failure)), Err(failure));
    }
}

/// A sandbox answers with EPERM or EACCES what it does not list; a growth ended in it where ENOSYS fell back.
#[test]
fn a_call_that_is_refused_is_as_one_that_is_missing() {
    for missing in [Errno::ENOSYS, Errno::EOPNOTSUPP, Errno::EPERM, Errno::EACCES] {
        assert_eq!(supported(Err(missing)).unwrap_err().kind(), ErrorKind::Unsupported);
        assert!(has_no_links(&missing.into()));
    }
    for failure in [Errno::EIO, Errno::ENOSPC, Errno::EDQUOT, Errno::EINTR] {
        assert_eq!(supported(Err(failure)).unwrap_err().raw_os_error(), Some(failure as i32));
        assert!(!has_no_links(&failure.into()));
    }
    assert!(!has_no_links(&Errno::EEXIST.into()));
}

#[test]
fn j_only_a_directory_without_a_sync_may_do_without() {
    for missing in [Errno::EINVAL, Errno::EBADF, Errno::ENOSYS, Errno::EOPNOTSUPP] {
        synced_directory(Err(missing.into())).unwrap();
    }
    for failure in [Errno::EIO, Errno::ENOSPC, Errno::EDQUOT, Errno::EROFS, Errno::EACCES] {
        assert_eq!(synced_directory(Err(failure.into())).unwrap_err().raw_os_error(), Some(failure as i32));
    }
}

/// A file system without an exclusive rename and without hard links, as some in user space.
#[derive(Debug)]
struct Bare;

impl Volume for Bare {
    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn Storage>> {
        HostVolume.open(path, access)
    }

    fn open_no_follow(&self, path: &Path, access: Access) -> io::Result<Box<dyn Storage>> {
        HostVolume.open_no_follow(path, access)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn Storage>> {
        HostVolume.create(path)
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        rename_over_placeholder(from, to, || ())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        HostVolume.remove(path)
    }

    fn identity(&self, path: &Path) -> io::Result<FileIdentity> {
        HostVolume.identity(path)
    }

    fn identity_no_follow(&self, path: &Path) -> io::Result<FileIdentity> {
        HostVolume.identity_no_follow(path)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        HostVolume.sync_directory(path)
    }
}

#[test]
fn j_without_exclusive_rename_and_links_creators_at_the_same_time_have_one_winner_and_a_whole_file() {
    use std::sync::{Arc, Barrier};
    use std::thread;

    for _ in 0..40 {
        let (_directory, path, _) = two_names();
        let start = Barrier::new(6);
        let open = || {
            start.wait();
            SlotFile::open_on(Arc::new(Bare), SlotFileConfig::new(&path, 64).initial_slots(5))
        };
        let results: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = (0..6).map(|_| scope.spawn(open)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        // Of two that are in each other's way to the end, none may win; never do two.
        assert!(results.iter().filter(|result| result.is_ok()).count() <= 1);
        for error in results.iter().filter_map(|result| result.as_ref().err()) {
            let kind = error.kind();
            assert!(matches!(kind, FileErrorKind::Locked | FileErrorKind::PathUnstable { .. }), "{error:?}");
        }
        drop(results);
        let file = SlotFile::open_on(Arc::new(Bare), SlotFileConfig::new(&path, 64).initial_slots(5)).unwrap();
        assert_eq!((file.slots(), fs::read(&path).unwrap()), (5, vec![0; 320]));
    }
}

#[test]
fn an_opener_that_finds_the_placeholder_first_keeps_it() {
    let (_directory, from, to) = two_names();
    fs::write(&from, "new").unwrap();
    let mut kept = None;
    let error = rename_over_placeholder(&from, &to, || {
        let opener = HostVolume.open(&to, Access::ReadWrite).unwrap();
        opener.try_lock(Access::ReadWrite).unwrap();
        kept = Some(opener);
    });
    assert_eq!(error.unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!(kept.unwrap().identity().unwrap(), HostVolume.identity(&to).unwrap());

    // It may have grown the file, written, and be gone.
    fs::remove_file(&to).unwrap();
    let error = rename_over_placeholder(&from, &to, || fs::write(&to, "durable").unwrap());
    assert_eq!(error.unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!(fs::read_to_string(&to).unwrap(), "durable");

    // Or have removed it.
    fs::remove_file(&to).unwrap();
    let error = rename_over_placeholder(&from, &to, || {
        fs::remove_file(&to).unwrap();
        fs::write(&to, "").unwrap();
    });
    assert_eq!(error.unwrap_err().kind(), ErrorKind::AlreadyExists);

    fs::remove_file(&to).unwrap();
    rename_over_placeholder(&from, &to, || ()).unwrap();
    assert_eq!(fs::read_to_string(&to).unwrap(), "new");
    assert!(!from.exists());
    assert_eq!(rename_over_placeholder(&to, &to, || ()).unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!(
        rename_over_placeholder(&from, &_directory.path().join("third"), || ()).unwrap_err().kind(),
        ErrorKind::NotFound
    );
    assert!(!_directory.path().join("third").exists(), "the placeholder is left");
}
