//! The entries that a power cut leaves of a directory.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use fz_sim::{
    Access, DirectoryLoss, Errno, Fault, FaultPlan, FaultRule, Op, PageFate, SimDisk, SimDiskConfig, Volume,
    WholeTransfers,
};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence::{Off, WithSource};

const NAMES: [&str; 3] = ["/a", "/b", "/c"];

#[derive(Clone, Debug)]
enum Step {
    Create(usize),
    Remove(usize),
    Rename(usize, usize),
    Sync,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..3usize).prop_map(Step::Create),
        2 => (0..3usize).prop_map(Step::Remove),
        2 => (0..3usize, 0..3usize).prop_map(|(from, to)| Step::Rename(from, to)),
        1 => Just(Step::Sync),
    ];
    prop::collection::vec(step, 1..10)
}

/// Names, each with the number that is written in its file.
type Entries = BTreeMap<PathBuf, Vec<u8>>;

fn entries(disk: &SimDisk) -> Entries {
    disk.files().into_iter().map(|path| (path.clone(), disk.contents(&path).unwrap())).collect()
}

/// One edit of the entries, as the second model has it.
#[derive(Clone)]
enum Edit {
    Insert(usize, u8),
    Remove(usize),
    Rename(usize, usize, u8),
}

impl Edit {
    fn apply(&self, entries: &mut Entries) {
        match *self {
            Edit::Insert(name, number) => entries.insert(NAMES[name].into(), vec![number]),
            Edit::Remove(name) => entries.remove(Path::new(NAMES[name])),
            Edit::Rename(from, to, number) => {
                entries.remove(Path::new(NAMES[from]));
                entries.insert(NAMES[to].into(), vec![number])
            }
        };
    }
}

/// The disk after the steps; the entries synced; the edits since.
fn run(steps: &[Step], loss: DirectoryLoss) -> (SimDisk, Entries, Vec<Edit>) {
    let disk = SimDisk::with_config(SimDiskConfig::new(1).directory_loss(loss));
    let (mut synced, mut edits) = (Entries::new(), Vec::new());
    for (number, step) in (1u8..).zip(steps) {
        let before = entries(&disk);
        let number_in = |name: usize| before.get(Path::new(NAMES[name])).map(|bytes| bytes[0]);
        match *step {
            Step::Create(name) => match disk.create(NAMES[name].as_ref()) {
                Ok(file) => {
                    file.write_all_at(&[number], 0).unwrap();
                    file.sync_all().unwrap();
                    edits.push(Edit::Insert(name, number));
                }
                Err(error) => {
                    assert!(number_in(name).is_some());
                    assert_eq!(error.kind(), std::io::ErrorKind::AlreadyExists);
                }
            },
            Step::Remove(name) => match disk.remove(NAMES[name].as_ref()) {
                Ok(()) => edits.push(Edit::Remove(name)),
                Err(error) => assert!(number_in(name).is_none() && error.kind() == std::io::ErrorKind::NotFound),
            },
            Step::Rename(from, to) => {
                if disk.rename_new(NAMES[from].as_ref(), NAMES[to].as_ref()).is_ok() {
                    edits.push(Edit::Rename(from, to, number_in(from).unwrap()));
                }
            }
            Step::Sync => {
                disk.sync_directory("/".as_ref()).unwrap();
                edits.drain(..).for_each(|edit: Edit| edit.apply(&mut synced));
            }
        }
    }
    (disk, synced, edits)
}

fn keeping(synced: &Entries, edits: &[Edit], keep: impl Fn(usize) -> bool) -> Entries {
    let mut entries = synced.clone();
    edits.iter().enumerate().filter(|(position, _)| keep(*position)).for_each(|(_, edit)| edit.apply(&mut entries));
    entries
}

proptest! {
    // A case that fails is kept beside this file; one of a program broken on purpose is not.
    #![proptest_config(ProptestConfig::with_failure_persistence(
        if cfg!(fz_mutants) { Off } else { WithSource("proptest-regressions") }
    ))]

    #[test]
    fn a_cut_keeps_a_prefix_of_the_changes_any_prefix(steps in steps(), seed: u64) {
        let (disk, synced, edits) = run(&steps, DirectoryLoss::Prefix);
        let legal: BTreeSet<Entries> = (0..=edits.len()).map(|end| keeping(&synced, &edits, |at| at < end)).collect();
        let images: BTreeSet<Entries> = disk.crash_space().all(1000).unwrap().map(|image| entries(&image)).collect();
        prop_assert_eq!(&images, &legal);
        for (_, image) in disk.crash_space().distinct(seed) {
            prop_assert!(legal.contains(&entries(&image)));
        }
    }

    #[test]
    fn without_a_journal_a_cut_keeps_any_subset(steps in steps(), seed: u64) {
        let (disk, synced, edits) = run(&steps, DirectoryLoss::Subset);
        let legal: BTreeSet<Entries> =
            (0..1usize << edits.len()).map(|choice| keeping(&synced, &edits, |at| choice >> at & 1 == 1)).collect();
        let images: BTreeSet<Entries> = disk.crash_space().all(10_000).unwrap().map(|image| entries(&image)).collect();
        prop_assert_eq!(&images, &legal);
        for (_, image) in disk.crash_space().distinct(seed).take(50) {
            prop_assert!(legal.contains(&entries(&image)));
        }
    }
}

/// Whether some power cut leaves no file at `path`.
fn can_vanish(disk: &SimDisk, path: &str) -> bool {
    disk.crash_space().all(1000).unwrap().any(|image| image.contents(path).is_err())
}

fn created(disk: &SimDisk, path: &str) {
    let file = disk.create(path.as_ref()).unwrap();
    file.write_all_at(b"bytes", 0).unwrap();
    file.sync_all().unwrap();
}

#[test]
fn a_new_file_needs_its_directory_synced_however_often_it_is_synced_itself() {
    let disk = SimDisk::new(1);
    disk.put_directory("/dir").unwrap();
    created(&disk, "/dir/file");
    disk.sync_directory("/".as_ref()).unwrap();
    assert!(can_vanish(&disk, "/dir/file"));
    assert!(!disk.is_durable("/dir/file", 0..5));
    assert_eq!(disk.guaranteed("/dir/file"), None);
    disk.sync_directory("/dir".as_ref()).unwrap();
    assert!(!can_vanish(&disk, "/dir/file"));
    assert!(disk.is_durable("/dir/file", 0..5));
    assert_eq!(disk.guaranteed("/dir/file").unwrap(), b"bytes".map(Some));
}

#[test]
fn a_rename_is_atomic_and_needs_the_sync() {
    let disk = SimDisk::new(1);
    created(&disk, "/new");
    disk.sync_directory("/".as_ref()).unwrap();
    disk.rename_new("/new".as_ref(), "/final".as_ref()).unwrap();
    let names: BTreeSet<_> = disk.crash_space().all(10).unwrap().map(|image| image.files()).collect();
    assert_eq!(names, BTreeSet::from([vec![PathBuf::from("/new")], vec![PathBuf::from("/final")]]));
    disk.sync_directory("/".as_ref()).unwrap();
    assert!(!can_vanish(&disk, "/final"));
}

#[test]
fn a_removed_file_can_come_back_with_its_bytes_until_the_sync() {
    let disk = SimDisk::new(1);
    disk.put("/old", b"still here").unwrap();
    disk.remove("/old".as_ref()).unwrap();
    let images: BTreeSet<_> = disk.crash_space().all(10).unwrap().map(|image| image.contents("/old").ok()).collect();
    assert_eq!(images, BTreeSet::from([None, Some(b"still here".to_vec())]));
    disk.sync_directory("/".as_ref()).unwrap();
    assert_eq!(disk.crash_space().count(), Some(1));
    assert_eq!(disk.used_bytes(), 0);
}

/// The entry went below the unsynced changes of its own name: a cut that kept the removal took the file.
#[test]
fn a_file_that_is_put_is_there_whatever_was_done_with_its_name() {
    for loss in [DirectoryLoss::Prefix, DirectoryLoss::Subset] {
        let disk = SimDisk::with_config(SimDiskConfig::new(1).directory_loss(loss));
        created(&disk, "/other");
        disk.put("/file", b"first").unwrap();
        assert!(can_vanish(&disk, "/other"), "a file of another name is as unsure as before");
        disk.remove("/file".as_ref()).unwrap();
        disk.put("/file", b"second").unwrap();
        let images: BTreeSet<_> =
            disk.crash_space().all(10).unwrap().map(|image| image.contents("/file").ok()).collect();
        assert_eq!(images, BTreeSet::from([Some(b"second".to_vec())]), "{loss:?}");
        assert!(disk.is_durable("/file", 0..6) && disk.guaranteed("/file").is_some());
        assert_eq!(can_vanish(&disk, "/other"), loss == DirectoryLoss::Subset);
        disk.remove("/file".as_ref()).unwrap();
        assert!(can_vanish(&disk, "/file") && !disk.is_durable("/file", 0..0));
        disk.sync_directory("/".as_ref()).unwrap();
        assert_eq!(disk.crash_space().count(), Some(1));
    }
}

#[test]
fn an_open_file_outlives_its_name_and_then_gives_its_space_back() {
    let disk = SimDisk::new(1);
    disk.put("/old", &[7; 5000]).unwrap();
    let file = disk.open("/old".as_ref(), Access::ReadWrite).unwrap();
    disk.remove("/old".as_ref()).unwrap();
    disk.sync_directory("/".as_ref()).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, 4999).unwrap();
    assert_eq!((byte, disk.used_bytes()), ([7], 8192));
    drop(file);
    assert_eq!(disk.used_bytes(), 0);
}

#[test]
fn a_directory_sync_that_failed_does_not_count_however_well_the_next_one_goes() {
    let fail = |fate| {
        let disk = SimDisk::new(1);
        let fault = Fault::SyncFailed(Errno::Eio, fate);
        disk.set_faults(FaultPlan::new().with(FaultRule::new(Op::SyncDirectory, fault).nth(1)));
        created(&disk, "/file");
        disk.sync_directory("/".as_ref()).unwrap_err();
        disk.sync_directory("/".as_ref()).unwrap();
        disk
    };
    assert!(can_vanish(&fail(PageFate::Dropped), "/file"));
    assert!(!fail(PageFate::Dropped).is_durable("/file", 0..5));
    assert!(!can_vanish(&fail(PageFate::Kept), "/file"));
}

#[test]
fn paths_mean_the_same_file_however_they_are_written() {
    let disk = SimDisk::new(1);
    disk.put_directory("dir/sub").unwrap();
    created(&disk, "dir/sub/file");
    let identity = disk.identity("/dir/./sub/../sub/file".as_ref()).unwrap();
    assert_eq!(disk.open("dir/sub/file".as_ref(), Access::Read).unwrap().identity().unwrap(), identity);
    let kind = |result: std::io::Result<_>| result.map(drop).unwrap_err().kind();
    assert_eq!(kind(disk.open("dir/sub".as_ref(), Access::Read)), std::io::ErrorKind::IsADirectory);
    assert_eq!(kind(disk.create("nowhere/file".as_ref())), std::io::ErrorKind::NotFound);
    assert_eq!(kind(disk.create("dir/sub/file/below".as_ref())), std::io::ErrorKind::NotADirectory);
    let moved = disk.rename_new("dir/sub/file".as_ref(), "dir/file".as_ref());
    assert_eq!(moved.unwrap_err().kind(), std::io::ErrorKind::CrossesDevices);
}

#[test]
fn a_replacing_rename_is_one_change_that_needs_the_sync() {
    for loss in [DirectoryLoss::Prefix, DirectoryLoss::Subset] {
        let disk = SimDisk::with_config(SimDiskConfig::new(1).directory_loss(loss));
        disk.put("/record", b"old").unwrap();
        created(&disk, "/new");
        disk.sync_directory("/".as_ref()).unwrap();
        disk.rename("/new".as_ref(), "/record".as_ref()).unwrap();
        assert_eq!(disk.contents("/record").unwrap(), b"bytes");
        let images: BTreeSet<_> = disk.crash_space().all(10).unwrap().map(|image| entries(&image)).collect();
        let before = Entries::from([("/new".into(), b"bytes".to_vec()), ("/record".into(), b"old".to_vec())]);
        let after = Entries::from([("/record".into(), b"bytes".to_vec())]);
        assert_eq!(images, BTreeSet::from([before, after]), "{loss:?}");
        assert!(!disk.is_durable("/record", 0..5));
        disk.sync_directory("/".as_ref()).unwrap();
        assert!(disk.is_durable("/record", 0..5) && disk.used_bytes() == 4096, "the old file's space is free");
    }
}

/// The bytes of a file that was renamed before it was synced are as unsure under the new name.
#[test]
fn a_file_renamed_before_its_sync_can_be_empty_under_the_name_that_it_took() {
    let disk = SimDisk::new(1);
    disk.put("/record", b"old").unwrap();
    disk.create("/new".as_ref()).unwrap().write_all_at(b"bytes", 0).unwrap();
    disk.rename("/new".as_ref(), "/record".as_ref()).unwrap();
    disk.sync_directory("/".as_ref()).unwrap();
    assert!(disk.crash_space().all(10).unwrap().any(|image| image.contents("/record").unwrap().is_empty()));
}

#[test]
fn a_rename_refuses_what_the_system_call_refuses_and_to_itself_does_nothing() {
    let disk = SimDisk::new(1);
    disk.put_directory("/dir").unwrap();
    disk.put("/file", b"bytes").unwrap();
    let kind = |from: &str, to: &str| disk.rename(from.as_ref(), to.as_ref()).unwrap_err().kind();
    assert_eq!(kind("/missing", "/file"), std::io::ErrorKind::NotFound);
    assert_eq!(kind("/file", "/dir"), std::io::ErrorKind::IsADirectory);
    assert_eq!(kind("/file", "/nowhere/file"), std::io::ErrorKind::NotFound);
    assert_eq!(kind("/file", "/dir/file"), std::io::ErrorKind::CrossesDevices);
    disk.rename("/file".as_ref(), "/./file".as_ref()).unwrap();
    assert!(disk.is_durable("/file", 0..5) && disk.crash_space().count() == Some(1));
}

#[test]
fn a_new_directory_needs_the_one_above_it_synced_and_takes_its_files_with_it() {
    let disk = SimDisk::new(1);
    disk.create_directory("/dir".as_ref()).unwrap();
    created(&disk, "/dir/file");
    disk.sync_directory("/dir".as_ref()).unwrap();
    assert!(!disk.is_durable("/dir/file", 0..5) && disk.guaranteed("/dir/file").is_none());
    assert_eq!(disk.crash_space().count(), Some(2));
    let files: BTreeSet<_> = disk.crash_space().distinct(1).map(|(_, image)| image.files().len()).collect();
    assert_eq!(files, BTreeSet::from([0, 1]));
    disk.sync_directory("/".as_ref()).unwrap();
    assert!(disk.is_durable("/dir/file", 0..5));
    assert_eq!(disk.crash_space().count(), Some(1));
}

/// Where a directory is lost, its entries make no further images.
#[test]
fn the_images_of_a_lost_directory_are_counted_once() {
    let disk = SimDisk::new(1);
    disk.create_directory("/dir".as_ref()).unwrap();
    for name in ["/dir/a", "/dir/b", "/dir/c"] {
        disk.create(name.as_ref()).unwrap();
    }
    disk.create_directory("/dir/below".as_ref()).unwrap();
    disk.create("/dir/below/d".as_ref()).unwrap();
    // Without the directory; with 0 to 3 files in it; with the directory below, empty or not.
    let images: Vec<_> = disk.crash_space().all(100).unwrap().map(|image| listing(&image, "/")).collect();
    assert_eq!(images.len(), 7);
    assert_eq!(disk.crash_space().count(), Some(7));
    let images: BTreeSet<_> = images.into_iter().collect();
    assert_eq!(images.len(), 7);
    let sampled: BTreeSet<_> = (0..2000).map(|seed| listing(&disk.crash_image(seed), "/")).collect();
    assert_eq!(sampled, images);
    assert_eq!(disk.crash_space().distinct(5).count(), 7);
}

/// Every path below a directory.
fn listing(disk: &SimDisk, path: &str) -> BTreeSet<PathBuf> {
    let Ok(names) = disk.list(path.as_ref()) else { return BTreeSet::new() };
    let paths = names.iter().map(|name| Path::new(path).join(name));
    paths.flat_map(|path| listing(disk, path.to_str().unwrap()).into_iter().chain([path])).collect()
}

#[test]
fn a_list_has_every_name_and_no_order() {
    let orders: BTreeSet<Vec<_>> = (0..20)
        .map(|seed| {
            let disk = SimDisk::new(seed);
            disk.put_directory("/dir").unwrap();
            ["/a", "/b", "/c"].iter().for_each(|name| created(&disk, name));
            disk.list("/".as_ref()).unwrap()
        })
        .collect();
    assert!(orders.len() > 5, "{orders:?}");
    assert!(orders.iter().all(|names| names.iter().collect::<BTreeSet<_>>().len() == 4));
    let disk = SimDisk::new(1);
    disk.put("/file", b"").unwrap();
    let kind = |path: &str| disk.list(path.as_ref()).unwrap_err().kind();
    assert_eq!(kind("/file"), std::io::ErrorKind::NotADirectory);
    assert_eq!(kind("/missing"), std::io::ErrorKind::NotFound);
}

#[test]
fn a_directory_that_is_put_makes_those_above_it_durable_too() {
    let disk = SimDisk::new(1);
    disk.create_directory("/dir".as_ref()).unwrap();
    disk.put_directory("/dir/below").unwrap();
    disk.put("/dir/below/file", b"bytes").unwrap();
    assert!(disk.is_durable("/dir/below/file", 0..5));
    assert_eq!(disk.crash_space().count(), Some(1));
    let taken = disk.create_directory("/dir".as_ref()).unwrap_err();
    assert_eq!(taken.kind(), std::io::ErrorKind::AlreadyExists);
}
