//! The temporary name: only a regular file is removed from it, no link is followed, and errors name it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use fz_file::{FileErrorKind, Preallocation, SlotFile, SlotFileConfig};
use nix::errno::Errno;
use nix::sys::stat::Mode;

use crate::disk::{Disk, Rule, TEMPORARY, config};

/// A refused creation followed a link there, took the file behind it for its own, and removed the link.
#[test]
fn g_a_link_under_the_temporary_name_stays_and_is_named() {
    for target in ["other", "x", "missing", "."] {
        let directory = tempfile::tempdir().unwrap();
        let (path, link) = (directory.path().join("x"), directory.path().join(".x.creating"));
        fs::write(directory.path().join("other"), [9; 56]).unwrap();
        symlink(target, &link).unwrap();
        // Larger than any disk, so that a creation that went on would fail, too.
        let config = SlotFileConfig::new(&path, 1).initial_slots(1 << 61).preallocation(Preallocation::Sparse);
        let error = SlotFile::open(config).unwrap_err();
        assert_eq!(error.kind(), &FileErrorKind::TemporaryTaken { temporary: link.clone() });
        assert_eq!(fs::read_link(&link).unwrap().to_str(), Some(target));
        assert_eq!(fs::read(directory.path().join("other")).unwrap(), [9; 56]);
        assert!(!path.exists());
    }
}

#[test]
fn g_a_link_to_the_file_itself_under_the_temporary_name_stays_when_the_file_is_opened() {
    let directory = tempfile::tempdir().unwrap();
    let (path, link) = (directory.path().join("x"), directory.path().join(".x.creating"));
    let config = SlotFileConfig::new(&path, 8).initial_slots(2);
    drop(SlotFile::open(config.clone()).unwrap());
    symlink("x", &link).unwrap();
    assert_eq!(SlotFile::open(config).unwrap().slots(), 2);
    assert_eq!(fs::read_link(&link).unwrap().to_str(), Some("x"));
}

#[test]
fn g_what_is_no_file_under_the_temporary_name_stays_and_is_named() {
    let makes: [fn(&Path); 2] =
        [|path| fs::create_dir(path).unwrap(), |path| nix::unistd::mkfifo(path, Mode::S_IRWXU).unwrap()];
    for make in makes {
        let directory = tempfile::tempdir().unwrap();
        let taken = directory.path().join(".x.creating");
        make(&taken);
        let error = SlotFile::open(SlotFileConfig::new(directory.path().join("x"), 8)).unwrap_err();
        assert_eq!(error.kind(), &FileErrorKind::TemporaryTaken { temporary: taken.clone() });
        assert!(error.to_string().contains(taken.to_str().unwrap()));
        assert!(taken.symlink_metadata().is_ok());
    }
}

/// In a directory with the sticky bit, another user's file there cannot be removed; the error says which.
#[test]
fn each_error_about_the_temporary_name_names_it() {
    for (call, skip) in [("Open", 1), ("TryLock", 0), ("FileIdentity", 0), ("PathIdentity", 0), ("Remove", 0)] {
        let disk = Disk::new();
        disk.change(|world| world.put(TEMPORARY, &[9; 13]));
        disk.script(Rule::always(call, Errno::EPERM).after(skip));
        let error = disk.open(config()).unwrap_err();
        let FileErrorKind::CreateFailed { temporary, .. } = error.kind() else { panic!("{call}: {error:?}") };
        assert_eq!(temporary, Path::new(TEMPORARY));
        assert!(error.to_string().contains(TEMPORARY));
        assert_eq!(disk.bytes(TEMPORARY).unwrap(), [9; 13]);
    }
}
