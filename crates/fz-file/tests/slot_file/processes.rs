//! A copy of an open file that `fork(2)` made changes nothing, and no descriptor is a standard stream's.

use std::io::Write;
use std::os::fd::RawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use fork::Fork;
use fz_file::{FileErrorKind, SlotFile, SlotFileConfig};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;

/// Runs `body` in a child that `fork(2)` makes; whether it returned true there.
pub(crate) fn in_child(body: impl FnOnce() -> bool) -> bool {
    match fork::fork().expect("a process more") {
        Fork::Child => {
            let passed = catch_unwind(AssertUnwindSafe(body)).unwrap_or(false);
            std::process::exit(i32::from(!passed))
        }
        Fork::Parent(child) => {
            let status = waitpid(Pid::from_raw(child), None).unwrap();
            matches!(status, WaitStatus::Exited(_, 0))
        }
    }
}

fn file(path: &Path) -> SlotFile {
    let file = SlotFile::open(SlotFileConfig::new(path, 8).initial_slots(4)).unwrap();
    file.write(0, &[1; 8]).unwrap();
    file.sync().unwrap();
    file
}

type Operation = fn(&SlotFile) -> fz_file::Result<()>;

const CHANGES: [Operation; 8] = [
    |file| file.write(0, &[9; 8]),
    |file| file.write_vectored(0, &mut [std::io::IoSlice::new(&[9; 8])]),
    SlotFile::sync,
    SlotFile::sync_all,
    |file| file.sync_range(0, 1),
    |file| file.grow(1).map(drop),
    |file| file.reserve().map(drop),
    SlotFile::probe_sync_range,
];

#[test]
fn a_a_forked_copy_reads_and_is_refused_every_change() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x");
    let file = file(&path);
    let refused = in_child(|| {
        let mut slot = [0; 8];
        file.read(0, &mut slot).unwrap();
        let is_refused = |change: &Operation| matches!(change(&file).unwrap_err().kind(), FileErrorKind::OtherProcess);
        slot == [1; 8] && CHANGES.iter().all(is_refused)
    });
    assert!(refused, "the child changed its parent's file");
    assert_eq!(std::fs::read(&path).unwrap(), [[1; 8], [0; 8], [0; 8], [0; 8]].concat());
    for change in CHANGES {
        change(&file).unwrap();
    }
}

#[test]
fn a_a_forked_copy_removes_nothing_and_leaves_the_lock() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x");
    let mut files = [Some(file(&path)), None];
    let kept = in_child(|| {
        let error = files[0].take().unwrap().remove().unwrap_err();
        matches!(error.kind(), FileErrorKind::OtherProcess)
    });
    assert!(kept && path.exists(), "the child removed its parent's file");
    assert!(in_child(|| {
        drop(files[0].take());
        true
    }));
    let second = SlotFile::open(SlotFileConfig::new(&path, 8)).unwrap_err();
    assert!(matches!(second.kind(), FileErrorKind::Locked), "a child's drop let a second writer in");
    files[0].as_ref().unwrap().write(1, &[2; 8]).unwrap();
}

/// A child that opens a file itself is its owner.
#[test]
fn a_child_may_open_its_own_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x");
    assert!(in_child(|| {
        let file = file(&path);
        CHANGES.iter().all(|change| change(&file).is_ok()) && file.remove().is_ok()
    }));
    assert!(!path.exists());
}

fn close(streams: &[RawFd]) {
    for &stream in streams {
        nix::unistd::close(stream).unwrap();
    }
}

/// A daemon has closed its standard streams; the file was opened as one of them, and a line of a log overwrote a
/// durable slot.
#[test]
fn a_a_line_to_a_closed_standard_stream_changes_no_slot() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x");
    let lines: [(RawFd, fn()); 2] = [
        (1, || {
            let _ = std::io::stdout().write_all(b"a line of a program\n");
            let _ = std::io::stdout().flush();
        }),
        (2, || {
            let _ = std::io::stderr().write_all(b"a line of a log\n");
        }),
    ];
    // The first creates the file, the second opens it.
    for (stream, print) in lines {
        assert!(in_child(|| {
            close(&[stream]);
            let file = file(&path);
            print();
            let mut slot = [0; 8];
            file.read(0, &mut slot).unwrap();
            slot == [1; 8]
        }));
        assert_eq!(std::fs::read(&path).unwrap()[..8], [1; 8]);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_no_descriptor_is_a_standard_streams() {
    let directory = tempfile::tempdir().unwrap();
    for closed in [&[0][..], &[1], &[2], &[0, 2], &[0, 1, 2]] {
        let path = directory.path().join("x");
        assert!(in_child(|| {
            close(closed);
            let file = file(&path);
            let is_free = |stream: &RawFd| std::fs::read_link(format!("/proc/self/fd/{stream}")).is_err();
            let above = closed.iter().all(is_free);
            drop(file);
            above && closed.iter().all(is_free)
        }));
    }
}
