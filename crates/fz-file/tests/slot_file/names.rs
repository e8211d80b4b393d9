//! Names in directories: what the operating system does, and what a volume without these methods says.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;

use fz_file::{Access, HostVolume, Volume, WholeTransfers};

use nix::errno::Errno;

use crate::disk::{Disk, Fault, Rule};

#[test]
fn a_rename_replaces_the_file_that_has_the_name() {
    let directory = tempfile::tempdir().unwrap();
    let [from, to, missing] = ["from", "to", "missing"].map(|name| directory.path().join(name));
    HostVolume.create(&from).unwrap().write_all_at(b"new", 0).unwrap();
    HostVolume.create(&to).unwrap().write_all_at(b"old", 0).unwrap();
    let replaced = HostVolume.open(&to, Access::Read).unwrap();
    HostVolume.rename(&from, &to).unwrap();
    assert_eq!(fs::read(&to).unwrap(), b"new");
    assert!(!from.exists());
    let mut bytes = [0; 3];
    replaced.read_exact_at(&mut bytes, 0).unwrap();
    assert_eq!(&bytes, b"old", "an open file outlives its name");
    HostVolume.rename(&to, &to).unwrap();
    assert_eq!(fs::read(&to).unwrap(), b"new");
    assert_eq!(HostVolume.rename(&missing, &to).unwrap_err().kind(), ErrorKind::NotFound);
    fs::create_dir(&missing).unwrap();
    assert_eq!(HostVolume.rename(&to, &missing).unwrap_err().kind(), ErrorKind::IsADirectory);
}

#[test]
fn a_directory_is_created_once_and_lists_its_names() {
    let directory = tempfile::tempdir().unwrap();
    let below = directory.path().join("below");
    HostVolume.create_directory(&below).unwrap();
    assert_eq!(HostVolume.create_directory(&below).unwrap_err().kind(), ErrorKind::AlreadyExists);
    let nowhere = directory.path().join("missing/below");
    assert_eq!(HostVolume.create_directory(&nowhere).unwrap_err().kind(), ErrorKind::NotFound);
    assert!(HostVolume.list(&below).unwrap().is_empty());
    HostVolume.create(&below.join("1")).unwrap();
    HostVolume.create(&below.join("2")).unwrap();
    HostVolume.create_directory(&below.join("3")).unwrap();
    let names: BTreeSet<_> = HostVolume.list(&below).unwrap().into_iter().collect();
    assert_eq!(names, ["1", "2", "3"].map(Into::into).into());
    assert_eq!(HostVolume.list(&nowhere).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(HostVolume.list(&below.join("1")).unwrap_err().kind(), ErrorKind::NotADirectory);
}

#[test]
fn a_volume_without_these_methods_refuses_them_as_unsupported() {
    let (disk, path) = (Disk::new(), "x".as_ref());
    disk.create(path).unwrap();
    for refused in
        [disk.rename(path, "y".as_ref()), disk.list(".".as_ref()).map(drop), disk.create_directory("z".as_ref())]
    {
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Unsupported);
    }
    assert!(disk.identity(path).is_ok(), "the file has its name");
}

#[test]
fn whole_transfers_go_on_after_interruptions_and_end_where_there_is_no_progress() {
    let disk = Disk::new();
    let file = disk.create("x".as_ref()).unwrap();
    let mut bytes = [0; 6];
    for call in ["Write", "Read"] {
        let nothing = || Rule { call: Some(call), skip: 0, times: 1, fault: Fault::Nothing };
        let mut transfer =
            || if call == "Write" { file.write_all_at(b"record", 0) } else { file.read_exact_at(&mut bytes, 0) };
        disk.script(Rule::once(call, Errno::EINTR));
        transfer().unwrap();
        disk.script(Rule { fault: Fault::Short, ..nothing() });
        transfer().unwrap();
        disk.script(Rule::once(call, Errno::EIO));
        assert_eq!(transfer().unwrap_err().raw_os_error(), Some(Errno::EIO as i32));
        disk.script(nothing());
        let end = if call == "Write" { ErrorKind::WriteZero } else { ErrorKind::UnexpectedEof };
        assert_eq!(transfer().unwrap_err().kind(), end);
        assert_eq!(disk.bytes("x").unwrap(), b"record");
    }
    assert_eq!(&bytes, b"record");
}
