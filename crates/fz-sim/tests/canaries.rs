//! A checker that cannot fail proves nothing: each broken twin of a small store must be caught by
//! the same few lines that let the right one pass.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use fz_sim::{
    Access, Acknowledged, CrashFailure, CrashReport, CrashTest, Errno, Fault, FaultPlan, FaultRule, OpSet, PageFate,
    SimDisk, Storage, Volume, WholeTransfers,
};

/// The flaw of the store.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Twin {
    Right,
    AcknowledgesBeforeTheSync,
    AcknowledgesBeforeTheWrite,
    SkipsTheDirectorySync,
    SyncsTheWrongDirectory,
    SkipsTheSync,
    DropsOneWrite,
    ReversesABatch,
    RetriesAFailedSync,
    IgnoresAFailedSync,
    CreatesInPlace,
}

const SLOT: usize = 128;
const SLOTS: usize = 8;
const FINAL: &str = "/data/slots";

/// Slots that hold one number each, written in batches with one sync for each.
struct Store<'a> {
    disk: &'a SimDisk,
    file: Box<dyn Storage>,
    twin: Twin,
    acknowledged: &'a Acknowledged<(usize, u8)>,
    /// Something was acknowledged that no sync had covered.
    uncovered: bool,
}

impl<'a> Store<'a> {
    fn create(disk: &'a SimDisk, twin: Twin, acknowledged: &'a Acknowledged<(usize, u8)>) -> io::Result<Self> {
        let path = if twin == Twin::CreatesInPlace { FINAL } else { "/data/new" };
        let file = disk.create(Path::new(path))?;
        file.set_length((SLOT * SLOTS) as u64)?;
        file.sync_all()?;
        if twin != Twin::CreatesInPlace {
            disk.rename_new(Path::new(path), Path::new(FINAL))?;
        }
        match twin {
            Twin::SkipsTheDirectorySync => {}
            Twin::SyncsTheWrongDirectory => disk.sync_directory(Path::new("/"))?,
            _ => disk.sync_directory(Path::new("/data"))?,
        }
        Ok(Self { disk, file, twin, acknowledged, uncovered: false })
    }

    fn acknowledge(&self, batch: &[(usize, u8)]) {
        batch.iter().for_each(|write| self.acknowledged.push(*write));
    }

    fn commit(&mut self, batch: &[(usize, u8)]) -> io::Result<()> {
        if self.twin == Twin::AcknowledgesBeforeTheWrite {
            self.acknowledge(batch);
        }
        let mut writes = batch.to_vec();
        if self.twin == Twin::ReversesABatch {
            writes.reverse();
        }
        if self.twin == Twin::DropsOneWrite && batch.len() > 1 {
            writes.remove(1);
        }
        for (slot, number) in writes {
            self.file.write_all_at(&[number; SLOT], (slot * SLOT) as u64)?;
        }
        if self.twin == Twin::AcknowledgesBeforeTheSync {
            self.acknowledge(batch);
        }
        let synced = if self.twin == Twin::SkipsTheSync { Ok(()) } else { self.file.sync_data() };
        match self.twin {
            Twin::RetriesAFailedSync => synced.or_else(|_| self.file.sync_data())?,
            Twin::IgnoresAFailedSync => {}
            _ => synced?,
        }
        self.acknowledge(batch);
        let covered =
            |(slot, _): &(usize, u8)| self.disk.is_durable(FINAL, (slot * SLOT) as u64..((slot + 1) * SLOT) as u64);
        self.uncovered |= !batch.iter().all(covered);
        Ok(())
    }
}

/// Numbers grow with each commit, so that the number in a slot tells how new it is.
fn run(disk: &SimDisk, acknowledged: &Acknowledged<(usize, u8)>, twin: Twin, commits: u8) {
    let _ = drive(disk, acknowledged, twin, commits);
}

fn drive<'a>(
    disk: &'a SimDisk,
    acknowledged: &'a Acknowledged<(usize, u8)>,
    twin: Twin,
    commits: u8,
) -> io::Result<Store<'a>> {
    disk.put_directory("/data")?;
    let mut store = Store::create(disk, twin, acknowledged)?;
    for n in 0..commits {
        let slot = usize::from(n) % SLOTS;
        if store.commit(&[(slot, 3 * n + 1), ((slot + 5) % SLOTS, 3 * n + 2), (slot, 3 * n + 3)]).is_err() {
            break;
        }
    }
    Ok(store)
}

/// The check: each acknowledged number, or a newer one, is in its slot, and no slot is half one.
fn check(image: &SimDisk, acknowledged: &[(usize, u8)]) -> Result<(), String> {
    let least: BTreeMap<usize, u8> = acknowledged.iter().copied().collect();
    let Ok(bytes) = image.contents(FINAL) else {
        return if acknowledged.is_empty() { Ok(()) } else { Err("the file is gone".to_owned()) };
    };
    if bytes.len() != SLOT * SLOTS {
        return Err(format!("the file has {} bytes", bytes.len()));
    }
    for (slot, bytes) in bytes.chunks(SLOT).enumerate() {
        let least = least.get(&slot).copied().unwrap_or(0);
        if bytes[0] < least || bytes.iter().any(|byte| *byte != bytes[0]) {
            return Err(format!("slot {slot} holds {}, acknowledged was {least}", bytes[0]));
        }
    }
    Ok(())
}

fn cut_everywhere(twin: Twin) -> Result<CrashReport, CrashFailure> {
    CrashTest::new(7).run(|disk, acknowledged| run(disk, acknowledged, twin, 4), check)
}

/// The third sync fails and drops its pages: the first is the creation's.
fn with_a_failing_sync(twin: Twin) -> Result<CrashReport, CrashFailure> {
    let workload = |disk: &SimDisk, acknowledged: &Acknowledged<(usize, u8)>| {
        let fault = Fault::SyncFailed(Errno::Eio, PageFate::Dropped);
        disk.set_faults(FaultPlan::new().with(FaultRule::new(OpSet::SYNCS, fault).nth(3)));
        run(disk, acknowledged, twin, 4);
    };
    CrashTest::new(7).run(workload, check)
}

#[test]
fn the_right_store_passes_at_every_cut() {
    let report = cut_everywhere(Twin::Right).unwrap();
    assert!(report.cuts() >= 20 && report.images() > 3 * report.cuts() && !report.is_truncated(), "{report}");
    let report = with_a_failing_sync(Twin::Right).unwrap();
    assert!(report.images() > 40, "{report}");
}

#[test]
fn every_broken_twin_is_caught() {
    for twin in [
        Twin::AcknowledgesBeforeTheSync,
        Twin::AcknowledgesBeforeTheWrite,
        Twin::SkipsTheDirectorySync,
        Twin::SyncsTheWrongDirectory,
        Twin::SkipsTheSync,
        Twin::DropsOneWrite,
        Twin::ReversesABatch,
        Twin::CreatesInPlace,
    ] {
        let failure = cut_everywhere(twin).expect_err(&format!("{twin:?} got through"));
        let workload = |disk: &SimDisk, acknowledged: &Acknowledged<_>| run(disk, acknowledged, twin, 4);
        let again = CrashTest::new(7).replay(failure.cut_at(), failure.image_seed(), workload, check);
        let again = again.expect_err("what failed fails again");
        assert_eq!((again.message(), again.history()), (failure.message(), failure.history()));
        let shown = format!("test.replay({}, {}, workload, check) // the", failure.cut_at(), failure.image_seed());
        assert!(failure.to_string().contains(&shown), "{failure}");
    }
}

#[test]
fn retrying_or_ignoring_a_failed_sync_is_caught() {
    cut_everywhere(Twin::RetriesAFailedSync).expect("without a fault nothing is wrong with it");
    for twin in [Twin::RetriesAFailedSync, Twin::IgnoresAFailedSync] {
        with_a_failing_sync(twin).expect_err(&format!("{twin:?} got through"));
    }
}

/// The same twins by the other way: at each acknowledgement, was every byte covered?
#[test]
fn the_durability_query_catches_what_acknowledges_too_early() {
    let uncovered = |twin: Twin| {
        let uncovered = Cell::new(false);
        let workload = |disk: &SimDisk, acknowledged: &Acknowledged<(usize, u8)>| {
            let fault = Fault::SyncFailed(Errno::Eio, PageFate::Dropped);
            disk.set_faults(FaultPlan::new().with(FaultRule::new(OpSet::SYNCS, fault).nth(3)));
            uncovered.set(drive(disk, acknowledged, twin, 4).unwrap().uncovered);
        };
        let acknowledged = |_: &SimDisk, acknowledged: &[_]| match acknowledged {
            [] => Err("nothing was acknowledged".to_owned()),
            _ => Ok(()),
        };
        CrashTest::new(3).cuts_max(0).run(workload, acknowledged).unwrap();
        uncovered.get()
    };
    for twin in [
        Twin::SkipsTheDirectorySync,
        Twin::SyncsTheWrongDirectory,
        Twin::SkipsTheSync,
        Twin::RetriesAFailedSync,
        Twin::IgnoresAFailedSync,
    ] {
        assert!(uncovered(twin), "{twin:?} got through");
    }
    assert!(!uncovered(Twin::Right));
}

#[test]
fn a_check_that_panics_is_reported_with_its_seeds() {
    let failure = CrashTest::new(9)
        .run(|disk, acknowledged| run(disk, acknowledged, Twin::Right, 1), |_, _| panic!("as an assertion does"))
        .expect_err("the check always panics");
    assert_eq!((failure.seed(), failure.cut_at(), failure.message()), (9, 1, "as an assertion does"));
    assert_eq!(failure.history().len(), 1);
}

/// The drop of the payload panicked in its turn, out of the test.
#[test]
fn a_check_whose_panic_cannot_be_dropped_is_reported_too() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            assert!(std::thread::panicking(), "a payload that is no message");
        }
    }
    let failure = CrashTest::new(9)
        .run(|_, _| (), |_, _: &[()]| std::panic::panic_any(Bomb))
        .expect_err("the check always panics");
    assert_eq!(failure.message(), "a panic without a message");
}

/// The panic went through, and no report told at which operation.
#[test]
fn a_workload_that_panics_is_reported_with_its_seed_and_operation() {
    let panics = |disk: &SimDisk, _: &Acknowledged<()>| {
        disk.create(Path::new("/file")).unwrap();
        disk.open(Path::new("/missing"), Access::Read).expect("the file");
    };
    let nothing = |_: &SimDisk, _: &[()]| Ok(());
    let failure = CrashTest::new(9).run(panics, nothing).expect_err("it always panics");
    assert_eq!((failure.seed(), failure.cut_at(), failure.history().len()), (9, 2, 2));
    assert!(failure.message().starts_with("the workload panicked: the file"), "{failure}");
    let again = CrashTest::new(9).replay(2, failure.image_seed(), panics, nothing).expect_err("it always panics");
    assert_eq!(again.message(), failure.message());
}

/// Sampling ended after 64 repeats, with images of a space as small as this never checked.
#[test]
fn every_image_is_checked_if_there_are_no_more_than_the_limit() {
    let unsynced = |disk: &SimDisk, _: &Acknowledged<()>| {
        disk.put("/file", &[0; 5 * 512]).unwrap();
        let file = disk.open(Path::new("/file"), Access::ReadWrite).unwrap();
        file.write_all_at(&[1; 5 * 512], 0).unwrap();
    };
    for seed in 0..5 {
        let seen = RefCell::new(BTreeSet::new());
        let check = |image: &SimDisk, _: &[()]| {
            seen.borrow_mut().insert(image.contents("/file").unwrap());
            Ok(())
        };
        CrashTest::new(seed).run(unsynced, check).unwrap();
        assert_eq!(seen.into_inner().len(), 32, "seed {seed}");
    }
}

#[test]
fn the_workload_runs_once_however_many_operations_it_has() {
    for (operations, cuts_max, cuts) in [(100, 1000, 100), (100, 100, 100), (100, 99, 50), (100, 30, 25), (100, 0, 0)] {
        let (runs, checked) = (Cell::new(0), RefCell::new(BTreeSet::new()));
        let workload = |disk: &SimDisk, acknowledged: &Acknowledged<u64>| {
            runs.set(runs.get() + 1);
            (1..=operations).for_each(|n| {
                disk.create(Path::new(&format!("/{n}"))).unwrap();
                acknowledged.push(n);
            });
        };
        let check = |_: &SimDisk, acknowledged: &[u64]| {
            checked.borrow_mut().insert(acknowledged.len() as u64);
            Ok(())
        };
        let report = CrashTest::new(9).images_max(1).cuts_max(cuts_max).run(workload, check).unwrap();
        assert_eq!((runs.get(), report.cuts(), report.is_truncated()), (1, cuts, cuts < operations), "{cuts_max}");
        assert_eq!(report.images(), cuts + 1);
        // Evenly: from the first on, with the same distance between each two, and the end.
        let checked: Vec<u64> = checked.into_inner().into_iter().collect();
        assert_eq!(checked.last(), Some(&operations));
        let distances: BTreeSet<u64> = checked[..checked.len() - 1].windows(2).map(|two| two[1] - two[0]).collect();
        assert!(distances.len() <= 1 && (cuts == 0 || checked[0] == 0), "{checked:?}");
    }
}

/// A cut in an operation knows the values acknowledged before it, and none that comes later.
#[test]
fn a_cut_knows_what_was_acknowledged_by_then() {
    let workload = |disk: &SimDisk, acknowledged: &Acknowledged<&'static str>| {
        let file = disk.create(Path::new("/a")).unwrap(); // 1
        acknowledged.push("created");
        file.write_all_at(&[1; 512], 0).unwrap(); // 2
        acknowledged.push("written");
        file.sync_data().unwrap(); // 3
        acknowledged.push("synced");
    };
    let seen = RefCell::new(BTreeSet::new());
    let check = |image: &SimDisk, acknowledged: &[&str]| {
        let is_there = image.contents("/a").is_ok_and(|bytes| bytes == [1; 512]);
        seen.borrow_mut().insert((acknowledged.len(), is_there));
        Ok(())
    };
    CrashTest::new(1).run(workload, check).unwrap();
    // The name is never durable; the bytes are not before the sync has returned.
    assert_eq!(
        seen.into_inner(),
        BTreeSet::from([(0, false), (1, false), (1, true), (2, false), (2, true), (3, false), (3, true)])
    );
}

#[test]
fn a_workload_that_kills_its_process_is_one_run() {
    let workload = |disk: &SimDisk, acknowledged: &Acknowledged<()>| {
        drop(disk.create(Path::new("/a")).unwrap());
        let next = disk.kill_process();
        drop(next.create(Path::new("/b")).unwrap());
        next.sync_directory(Path::new("/")).unwrap();
        acknowledged.push(());
    };
    let check = |image: &SimDisk, acknowledged: &[()]| {
        if acknowledged.is_empty() || image.files().len() == 2 { Ok(()) } else { Err(format!("{:?}", image.files())) }
    };
    assert_eq!(CrashTest::new(1).run(workload, check).unwrap().cuts(), 3);
}
