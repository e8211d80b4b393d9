//! The operating system through the seam: each method does what its trait says.

use std::fs;
use std::io::{ErrorKind, IoSlice, IoSliceMut};

use fz_file::{Access, HostVolume, Volume};

fn kind<T>(result: std::io::Result<T>) -> ErrorKind {
    result.err().expect("an error").kind()
}

#[test]
fn a_new_name_replaces_none() {
    let directory = tempfile::tempdir().unwrap();
    let [from, to] = ["from", "to"].map(|name| directory.path().join(name));
    fs::write(&from, "new").unwrap();
    fs::write(&to, "old").unwrap();
    assert_eq!(kind(HostVolume.rename_new(&from, &to)), ErrorKind::AlreadyExists);
    assert_eq!(fs::read_to_string(&to).unwrap(), "old");
    fs::remove_file(&to).unwrap();
    HostVolume.rename_new(&from, &to).unwrap();
    assert_eq!(fs::read_to_string(&to).unwrap(), "new");
    assert!(!from.exists());
    assert_eq!(kind(HostVolume.rename_new(&from, &to)), ErrorKind::NotFound);
}

#[test]
fn open_opens_files_only_and_create_creates_new_ones_only() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x");
    for access in [Access::Read, Access::ReadWrite] {
        assert_eq!(kind(HostVolume.open(directory.path(), access)), ErrorKind::IsADirectory);
        assert_eq!(kind(HostVolume.open(&path, access)), ErrorKind::NotFound);
    }
    let created = HostVolume.create(&path).unwrap();
    assert_eq!(kind(HostVolume.create(&path)), ErrorKind::AlreadyExists);
    let opened = HostVolume.open(&path, Access::Read).unwrap();
    assert_eq!(created.identity().unwrap(), opened.identity().unwrap());
    assert_eq!(HostVolume.identity(&path).unwrap(), opened.identity().unwrap());
    assert!(opened.write_vectored_at(&[IoSlice::new(b"x")], 0).is_err(), "it was opened for reading");
    HostVolume.remove(&path).unwrap();
    assert_eq!(kind(HostVolume.identity(&path)), ErrorKind::NotFound);
    HostVolume.sync_directory(directory.path()).unwrap();
    assert_eq!(kind(HostVolume.sync_directory(&path)), ErrorKind::NotFound);
}

#[test]
fn an_open_file_reads_writes_and_changes_its_length() {
    let directory = tempfile::tempdir().unwrap();
    let file = HostVolume.create(&directory.path().join("x")).unwrap();
    assert_eq!(file.write_vectored_at(&[IoSlice::new(b"ab"), IoSlice::new(b"cde")], 3).unwrap(), 5);
    assert_eq!(file.length().unwrap(), 8);
    let (mut head, mut tail) = ([9; 4], [9; 9]);
    let mut buffers = [IoSliceMut::new(&mut head), IoSliceMut::new(&mut tail)];
    assert_eq!(file.read_vectored_at(&mut buffers, 1).unwrap(), 7);
    assert_eq!((&head, &tail[..3]), (b"\0\0ab", &b"cde"[..]));
    file.set_length(4).unwrap();
    match file.allocate(0, 6) {
        Ok(()) => assert_eq!(file.length().unwrap(), 6),
        Err(error) => assert_eq!(error.kind(), ErrorKind::Unsupported),
    }
    file.write_back(0, 4).unwrap();
    file.sync_data().unwrap();
    file.sync_all().unwrap();
}

#[test]
fn one_call_takes_as_many_buffers_as_it_says_and_no_more() {
    let directory = tempfile::tempdir().unwrap();
    let file = HostVolume.create(&directory.path().join("x")).unwrap();
    let slices = vec![IoSlice::new(b"x"); file.buffers_max() + 1];
    assert_eq!(file.write_vectored_at(&slices[1..], 0).unwrap(), file.buffers_max());
    assert_eq!(kind(file.write_vectored_at(&slices, 0)), ErrorKind::InvalidInput);
}

#[test]
fn an_offset_that_no_file_has_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let file = HostVolume.create(&directory.path().join("x")).unwrap();
    let beyond = 1 << 63;
    assert!(file.write_vectored_at(&[IoSlice::new(b"x")], beyond).is_err());
    assert!(file.read_vectored_at(&mut [IoSliceMut::new(&mut [0])], beyond).is_err());
    assert!(file.set_length(beyond).is_err());
    assert!(file.allocate(beyond, 1).is_err());
    assert!(file.allocate(0, beyond).is_err());
    #[cfg(target_os = "linux")]
    {
        assert!(file.write_back(beyond, 1).is_err());
        assert!(file.write_back(0, beyond).is_err());
        // Each of them could be an offset, their sum could not.
        assert!(file.write_back(1, beyond - 1).is_err());
    }
    assert_eq!(file.length().unwrap(), 0);
}

/// The files of `/proc` refuse what others do, and are there on every machine.
#[cfg(target_os = "linux")]
#[test]
fn what_the_kernel_refuses_is_an_error() {
    use nix::errno::Errno;
    // Nothing is mapped at address 0.
    let memory = HostVolume.open("/proc/self/mem".as_ref(), Access::Read).unwrap();
    let error = memory.read_vectored_at(&mut [IoSliceMut::new(&mut [0])], 0).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(Errno::EIO as i32));
    let name = HostVolume.open("/proc/self/comm".as_ref(), Access::ReadWrite).unwrap();
    assert_eq!(kind(name.allocate(0, 8)), ErrorKind::Unsupported);
    let directory = tempfile::tempdir().unwrap();
    let file = HostVolume.create(&directory.path().join("x")).unwrap();
    assert_eq!(kind(file.allocate(0, 0)), ErrorKind::InvalidInput);
    assert_eq!(file.length().unwrap(), 0);
}

#[test]
fn a_lock_ends_with_its_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x");
    let open = || HostVolume.open(&path, Access::ReadWrite).unwrap();
    let first = HostVolume.create(&path).unwrap();
    first.try_lock(Access::ReadWrite).unwrap();
    let second = open();
    assert_eq!(kind(second.try_lock(Access::ReadWrite)), ErrorKind::WouldBlock);
    assert_eq!(kind(second.try_lock(Access::Read)), ErrorKind::WouldBlock);
    drop(first);
    second.try_lock(Access::Read).unwrap();
    let third = open();
    third.try_lock(Access::Read).unwrap();
    assert_eq!(kind(third.try_lock(Access::ReadWrite)), ErrorKind::WouldBlock);
}
