//! Promise J: a file is created whole, or not at all, and its directory entry is durable.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::sync::Barrier;
use std::thread;

use fz_file::{Access, Create, FileErrorKind, SlotFile, SlotFileConfig};
use nix::errno::Errno;

use crate::disk::{Call, Disk, PATH, Rule, TEMPORARY, config};

#[test]
fn j_the_name_comes_after_the_content_is_durable_and_is_durable_itself() {
    let disk = Disk::new();
    let file = disk.open(config().initial_slots(3)).unwrap();
    assert_eq!(
        disk.take_calls(),
        [
            Call::Open(PATH.into()),
            Call::Create(TEMPORARY.into()),
            Call::TryLock(Access::ReadWrite),
            Call::FileIdentity,
            Call::PathIdentity(TEMPORARY.into()),
            Call::Length,
            Call::SetLength(24),
            Call::Allocate { offset: 0, bytes: 24 },
            Call::Write { offset: 0, bytes: 24, buffers: 1 },
            Call::SyncAll,
            Call::RenameNew(TEMPORARY.into(), PATH.into()),
            Call::SyncDirectory("/data".into()),
        ]
    );
    assert_eq!(file.slots(), 3);
    drop(file);
    disk.power_cut();
    assert_eq!(disk.open(config().create(Create::Never)).unwrap().slots(), 3);
}

/// The creator may have died between the rename and the sync of the directory, and a growth before its
/// sync: whoever opens the file next relies on the entry and on the length.
#[test]
fn j_opening_an_existing_file_syncs_its_length_and_its_directory_and_drops_what_a_failure_left() {
    let disk = Disk::new();
    disk.change(|world| world.put(PATH, &[0; 16]));
    let file = disk.open(config().initial_slots(2)).unwrap();
    assert_eq!(
        disk.take_calls(),
        [
            Call::Open(PATH.into()),
            Call::TryLock(Access::ReadWrite),
            Call::FileIdentity,
            Call::PathIdentity(PATH.into()),
            Call::Length,
            Call::CheckJournal,
            Call::SyncData,
            Call::DropCleanPages,
            Call::FileIdentity,
            Call::PathIdentity(TEMPORARY.into()),
            Call::SyncDirectory("/data".into()),
        ]
    );
    file.write(0, &[1; 8]).unwrap();
    file.sync().unwrap();
    drop(file);
    disk.power_cut();
    assert_eq!(disk.bytes(PATH).unwrap(), [[1; 8], [0; 8]].concat());
}

#[test]
fn j_a_name_that_could_not_be_made_durable_is_taken_back() {
    let disk = Disk::new();
    disk.script(Rule::once("SyncDirectory", Errno::EIO));
    let error = disk.open(config()).unwrap_err();
    let expected = FileErrorKind::CreateFailed { step: "sync the directory", temporary: TEMPORARY.into() };
    assert_eq!(error.kind(), &expected);
    assert_eq!(error.raw_os_error(), Some(Errno::EIO as i32));
    assert_eq!(disk.bytes(PATH), None);
    disk.open(config().create(Create::New)).unwrap();
}

/// A creator that lives clears up behind itself; it does not leave a full disk full.
#[test]
fn j_a_creation_that_failed_leaves_nothing_behind() {
    for call in ["Length", "SetLength", "Allocate", "Write", "SyncAll", "RenameNew", "SyncDirectory"] {
        let disk = Disk::new();
        disk.script(Rule::once(call, Errno::ENOSPC));
        disk.open(config().initial_slots(2)).unwrap_err();
        assert_eq!((disk.bytes(PATH), disk.bytes(TEMPORARY)), (None, None), "{call}");
    }
}

#[test]
fn j_a_temporary_file_that_a_crash_left_is_made_anew() {
    let disk = Disk::new();
    disk.change(|world| {
        // Also a second link to somebody's file: its bytes must not be touched.
        world.put("/data/precious", &[9; 13]);
        world.link("/data/precious", TEMPORARY);
    });
    let file = disk.open(config().initial_slots(2)).unwrap();
    assert_eq!(disk.bytes(PATH).unwrap(), [0; 16]);
    assert_eq!(disk.bytes(TEMPORARY), None);
    assert_eq!(disk.bytes("/data/precious").unwrap(), [9; 13]);
    assert_eq!(file.slots(), 2);
}

/// A dangling link is not there when it is opened, and there when it is created. The whole file was filled 32
/// times before that was believed.
#[test]
fn a_name_that_is_taken_and_means_nothing_costs_a_few_files_of_zeros_and_not_dozens() {
    let disk = Disk::new();
    disk.change(|world| world.put(PATH, &[]));
    disk.script(Rule::always("Open", Errno::ENOENT));
    let error = disk.open(config().initial_slots(2)).unwrap_err();
    assert!(matches!(error.kind(), FileErrorKind::PathUnstable { attempts: 4 }), "{error:?}");
    let made = disk.take_calls().iter().filter(|call| matches!(call, Call::SyncAll)).count();
    assert_eq!(made, 4);
    assert_eq!(disk.bytes(TEMPORARY), None);
}

#[test]
fn a_living_creators_temporary_file_is_left_alone() {
    let disk = Disk::new();
    disk.change(|world| {
        world.put(TEMPORARY, &[9; 13]);
        world.lock(TEMPORARY);
    });
    assert_eq!(disk.open(config()).unwrap_err().kind(), &FileErrorKind::Locked);
    assert_eq!(disk.bytes(TEMPORARY).unwrap(), [9; 13]);
    assert_eq!(disk.bytes(PATH), None);
}

/// Between another creator's `open(O_EXCL)` and its lock, its file looks stale. Who loses the lock gives
/// way; who finds its name gone after locking starts again.
#[test]
fn a_creator_that_lost_its_temporary_name_does_not_rename_another_one() {
    let disk = Disk::new();
    disk.script(Rule::before("TryLock", |world| world.put(TEMPORARY, &[9; 13])));
    disk.open(config().initial_slots(1)).unwrap();
    assert_eq!(disk.bytes(PATH).unwrap(), [0; 8]);

    let disk = Disk::new();
    disk.script(Rule::before("TryLock", |world| world.lock(TEMPORARY)));
    assert_eq!(disk.open(config()).unwrap_err().kind(), &FileErrorKind::Locked);
    assert!(disk.bytes(TEMPORARY).is_some());
}

#[test]
fn a_left_over_that_goes_away_while_it_is_cleared_is_no_error() {
    let stale = || {
        let disk = Disk::new();
        disk.change(|world| world.put(TEMPORARY, &[9; 13]));
        disk
    };
    // Its creator cleared up itself; or somebody else did, and is creating already.
    let disk = stale();
    disk.script(Rule::before("Open", |world| world.unlink(TEMPORARY)).after(1));
    assert_eq!(disk.open(config().initial_slots(1)).unwrap().slots(), 1);
    let disk = stale();
    disk.script(Rule::before("TryLock", |world| world.unlink(TEMPORARY)));
    assert_eq!(disk.open(config().initial_slots(1)).unwrap().slots(), 1);
}

#[test]
fn a_creator_that_lost_the_name_opens_the_winners_file() {
    let disk = Disk::new();
    disk.script(Rule::before("RenameNew", |world| world.put(PATH, &[3; 16])));
    let file = disk.open(config().initial_slots(1)).unwrap();
    assert_eq!(file.slots(), 2);
    assert_eq!(disk.bytes(PATH).unwrap(), [3; 16]);
    assert_eq!(disk.bytes(TEMPORARY), None);

    let disk = Disk::new();
    disk.script(Rule::before("RenameNew", |world| world.put(PATH, &[3; 16])));
    let error = disk.open(config().initial_slots(1).create(Create::New)).unwrap_err();
    assert_eq!(error.kind(), &FileErrorKind::AlreadyExists);
    assert_eq!(disk.bytes(PATH).unwrap(), [3; 16]);
    assert_eq!(disk.bytes(TEMPORARY), None);
}

#[test]
fn creators_at_the_same_time_have_one_winner_and_a_whole_file() {
    for _ in 0..40 {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x");
        let start = Barrier::new(6);
        let results: Vec<_> = thread::scope(|scope| {
            let open = || {
                start.wait();
                SlotFile::open(SlotFileConfig::new(&path, 64).initial_slots(5))
            };
            let threads: Vec<_> = (0..6).map(|_| scope.spawn(open)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let (opened, refused): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
        assert_eq!(opened.len(), 1);
        for error in refused {
            assert_eq!(error.unwrap_err().kind(), &FileErrorKind::Locked);
        }
        assert_eq!(fs::read(&path).unwrap(), [0; 320]);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "a temporary file is left");
    }
}

/// As above, but each winner removes the file at once, so that opening, creating, clearing up and
/// removing meet in all orders.
#[test]
fn creators_and_removers_at_the_same_time_see_whole_files_only() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x");
    let wins: usize = thread::scope(|scope| {
        let churn = || {
            let mut wins = 0;
            for _ in 0..100 {
                match SlotFile::open(SlotFileConfig::new(&path, 64).initial_slots(5)) {
                    Ok(file) => {
                        assert_eq!(file.slots(), 5);
                        file.read(0, &mut [0; 320]).unwrap();
                        file.remove().unwrap();
                        wins += 1;
                    }
                    Err(error) => match error.kind() {
                        FileErrorKind::Locked | FileErrorKind::PathUnstable { .. } => {}
                        other => panic!("{other:?}"),
                    },
                }
            }
            wins
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(churn)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert!(wins > 0);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn create_says_what_to_do_about_a_file_that_is_or_is_not_there() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x");
    let config = SlotFileConfig::new(&path, 8).initial_slots(2);
    let error = SlotFile::open(config.clone().create(Create::Never)).unwrap_err();
    assert_eq!(error.kind(), &FileErrorKind::NotFound);
    SlotFile::open(config.clone().create(Create::New)).unwrap().write(0, &[1; 8]).unwrap();
    let error = SlotFile::open(config.clone().create(Create::New)).unwrap_err();
    assert_eq!(error.kind(), &FileErrorKind::AlreadyExists);
    // Larger than asked for is kept, smaller is grown; the content stays.
    assert_eq!(SlotFile::open(config.clone().initial_slots(1)).unwrap().slots(), 2);
    assert_eq!(SlotFile::open(config.create(Create::Never).initial_slots(3)).unwrap().slots(), 3);
    assert_eq!(fs::read(&path).unwrap(), [[1; 8], [0; 8], [0; 8]].concat());
}

#[test]
fn the_directory_of_a_bare_name_is_the_current_one() {
    let disk = Disk::new();
    disk.open(SlotFileConfig::new("x", 8)).unwrap();
    let calls = disk.take_calls();
    assert!(calls.contains(&Call::Create(".x.creating".into())), "{calls:?}");
    assert_eq!(calls.last(), Some(&Call::SyncDirectory(".".into())));
}

#[test]
fn links_are_followed_and_dangling_ones_are_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let (path, link) = (directory.path().join("x"), directory.path().join("link"));
    symlink("x", &link).unwrap();
    let error = SlotFile::open(SlotFileConfig::new(&link, 8)).unwrap_err();
    assert!(matches!(error.kind(), FileErrorKind::PathUnstable { attempts: 2.. }), "{error:?}");
    let error = SlotFile::open(SlotFileConfig::new(&link, 8).create(Create::New)).unwrap_err();
    assert!(matches!(error.kind(), FileErrorKind::AlreadyExists), "{error:?}");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);

    drop(SlotFile::open(SlotFileConfig::new(&path, 8).initial_slots(2)).unwrap());
    let file = SlotFile::open(SlotFileConfig::new(&link, 8)).unwrap();
    assert_eq!(file.slots(), 2);
    file.remove().unwrap();
    assert_eq!(link.symlink_metadata().unwrap_err().kind(), ErrorKind::NotFound);
    assert!(path.exists());
}

/// The temporary name was the file's and ten bytes more, so that a name near the limit could not be created, and not
/// be opened for writing if it was there.
#[test]
fn a_file_may_have_any_name_that_the_file_system_takes() {
    let directory = tempfile::tempdir().unwrap();
    for length in [1, 127, 128, 129, 245, 246, 255] {
        let config = SlotFileConfig::new(directory.path().join("x".repeat(length)), 8);
        drop(SlotFile::open(config.clone().initial_slots(2)).unwrap());
        SlotFile::open(config.create(Create::Never)).unwrap().remove().unwrap();
    }
    let error = SlotFile::open(SlotFileConfig::new(directory.path().join("x".repeat(256)), 8)).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(Errno::ENAMETOOLONG as i32), "{error:?}");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

/// Names that begin with the same key do not meet at one temporary name, and a crash's left-over is found again.
#[test]
fn long_names_have_short_temporary_names_of_their_own() {
    let temporary = |name: &str| {
        let disk = Disk::new();
        disk.open(SlotFileConfig::new(format!("/data/{name}"), 8)).unwrap();
        let created = disk.take_calls().into_iter().find_map(|call| match call {
            Call::Create(path) => Some(path.file_name().unwrap().to_str().unwrap().to_owned()),
            _ => None,
        });
        created.unwrap()
    };
    assert_eq!(temporary(&"k".repeat(128)), format!(".{}.creating", "k".repeat(128)));
    let names = ["1", "2"].map(|end| "k".repeat(200) + end).map(|name| temporary(&name));
    assert_eq!(names, [".7ee6e09045c81c44.creating", ".7ee6e39045c8215d.creating"]);
}
