//! A checker that cannot fail proves nothing: each broken twin of a small store must be caught by
//! the same few lines that let the right one pass.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use fz_sim::{
    Access, CrashFailure, CrashReport, CrashTest, Errno, Fault, FaultPlan, FaultRule, OpSet, PageFate, SimDisk,
    Storage, Volume, WholeTransfers,
};

/// What is wrong with the store.
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
    acknowledged: BTreeMap<usize, u8>,
    /// Something was acknowledged that no sync had covered.
    uncovered: bool,
}

impl<'a> Store<'a> {
    fn create(disk: &'a SimDisk, twin: Twin) -> io::Result<Self> {
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
        Ok(Self { disk, file, twin, acknowledged: BTreeMap::new(), uncovered: false })
    }

    fn commit(&mut self, batch: &[(usize, u8)]) -> io::Result<()> {
        if self.twin == Twin::AcknowledgesBeforeTheWrite {
            self.acknowledged.extend(batch.iter().copied());
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
            self.acknowledged.extend(batch.iter().copied());
        }
        let synced = if self.twin == Twin::SkipsTheSync { Ok(()) } else { self.file.sync_data() };
        match self.twin {
            Twin::RetriesAFailedSync => synced.or_else(|_| self.file.sync_data())?,
            Twin::IgnoresAFailedSync => {}
            _ => synced?,
        }
        self.acknowledged.extend(batch.iter().copied());
        let covered =
            |(slot, _): &(usize, u8)| self.disk.is_durable(FINAL, (slot * SLOT) as u64..((slot + 1) * SLOT) as u64);
        self.uncovered |= !batch.iter().all(covered);
        Ok(())
    }
}

/// Numbers grow with each commit, so that what a slot holds tells how new it is.
fn run(disk: &SimDisk, twin: Twin, commits: u8) -> BTreeMap<usize, u8> {
    drive(disk, twin, commits).map(|store| store.acknowledged).unwrap_or_default()
}

fn drive(disk: &SimDisk, twin: Twin, commits: u8) -> io::Result<Store<'_>> {
    disk.put_directory("/data")?;
    let mut store = Store::create(disk, twin)?;
    for n in 0..commits {
        let slot = usize::from(n) % SLOTS;
        if store.commit(&[(slot, 3 * n + 1), ((slot + 5) % SLOTS, 3 * n + 2), (slot, 3 * n + 3)]).is_err() {
            break;
        }
    }
    Ok(store)
}

/// The check: each acknowledged number, or a newer one, is in its slot, and no slot is half one.
fn check(image: &SimDisk, acknowledged: &BTreeMap<usize, u8>) -> Result<(), String> {
    let Ok(bytes) = image.contents(FINAL) else {
        return if acknowledged.is_empty() { Ok(()) } else { Err("the file is gone".to_owned()) };
    };
    if bytes.len() != SLOT * SLOTS {
        return Err(format!("the file has {} bytes", bytes.len()));
    }
    for (slot, bytes) in bytes.chunks(SLOT).enumerate() {
        let least = acknowledged.get(&slot).copied().unwrap_or(0);
        if bytes[0] < least || bytes.iter().any(|byte| *byte != bytes[0]) {
            return Err(format!("slot {slot} holds {}, acknowledged was {least}", bytes[0]));
        }
    }
    Ok(())
}

fn cut_everywhere(twin: Twin) -> Result<CrashReport, CrashFailure> {
    CrashTest::new(7).run(|disk| run(disk, twin, 4), check)
}

/// The third sync fails and drops its pages: the first is the creation's.
fn with_a_failing_sync(twin: Twin) -> Result<CrashReport, CrashFailure> {
    let workload = |disk: &SimDisk| {
        let fault = Fault::SyncFailed(Errno::Eio, PageFate::Dropped);
        disk.set_faults(FaultPlan::new().with(FaultRule::new(OpSet::SYNCS, fault).nth(3)));
        run(disk, twin, 4)
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
        let again = CrashTest::new(7).replay(failure.cut_at(), failure.image_seed(), |disk| run(disk, twin, 4), check);
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
        let disk = SimDisk::new(3);
        let fault = Fault::SyncFailed(Errno::Eio, PageFate::Dropped);
        disk.set_faults(FaultPlan::new().with(FaultRule::new(OpSet::SYNCS, fault).nth(3)));
        let store = drive(&disk, twin, 4).unwrap();
        assert!(!store.acknowledged.is_empty());
        store.uncovered
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
        .run(|disk| run(disk, Twin::Right, 1), |_, _| panic!("as an assertion does"))
        .expect_err("the check always panics");
    assert_eq!((failure.seed(), failure.cut_at(), failure.message()), (9, 1, "as an assertion does"));
    assert_eq!(failure.history().len(), 1);
}

/// The panic went through, and nobody was told which cut it was.
#[test]
fn a_workload_that_panics_is_reported_with_its_seed_and_cut() {
    let unwraps = |disk: &SimDisk| {
        let file = disk.create(Path::new("/file")).unwrap();
        file.write_all_at(&[1], 0).expect("the write");
    };
    let nothing = |_: &SimDisk, (): &()| Ok(());
    let failure = CrashTest::new(9).run(unwraps, nothing).expect_err("the first cut panics");
    assert_eq!((failure.seed(), failure.cut_at(), failure.history().len()), (9, 1, 1));
    assert!(failure.message().starts_with("the workload panicked: called `Result::unwrap()`"), "{failure}");
    let again = CrashTest::new(9).replay(2, failure.image_seed(), unwraps, nothing).expect_err("so does the second");
    assert!(again.message().starts_with("the workload panicked: the write"), "{again}");
}

/// Sampling ended after 64 repeats, with images of a space as small as this never checked.
#[test]
fn every_image_is_checked_if_there_are_no_more_than_the_limit() {
    let unsynced = |disk: &SimDisk| {
        disk.put("/file", &[0; 5 * 512]).unwrap();
        let file = disk.open(Path::new("/file"), Access::ReadWrite);
        file.and_then(|file| file.write_all_at(&[1; 5 * 512], 0))
    };
    for seed in 0..5 {
        let seen = RefCell::new(BTreeSet::new());
        let check = |image: &SimDisk, _: &io::Result<()>| {
            seen.borrow_mut().insert(image.contents("/file").unwrap());
            Ok(())
        };
        CrashTest::new(seed).run(unsynced, check).unwrap();
        assert_eq!(seen.into_inner().len(), 32, "seed {seed}");
    }
}

/// The first run that was shorter than its cut ended the test, and the rest of the longer ones was never cut.
#[test]
fn a_run_that_happens_to_be_short_does_not_end_the_test() {
    let run = Cell::new(0);
    let varies = |disk: &SimDisk| {
        run.set(run.get() + 1);
        let operations = if run.get() % 3 == 0 { 20 } else { 2 };
        let _ = (0..operations).try_for_each(|n| disk.create(Path::new(&format!("/{n}"))).map(drop));
    };
    let report = CrashTest::new(9).images_max(1).run(varies, |_, ()| Ok(())).unwrap();
    assert_eq!(report.cuts(), 2 + 6, "at 1 and 2, and at every third from there to 20");
}

#[test]
fn a_workload_longer_than_the_limit_is_reported_as_cut_short() {
    let report = CrashTest::new(9).cuts_max(3).images_max(2).run(|disk| run(disk, Twin::Right, 4), check).unwrap();
    assert!(report.is_truncated());
    assert_eq!(report.cuts(), 3);
    assert!(report.images() <= 6);
}
