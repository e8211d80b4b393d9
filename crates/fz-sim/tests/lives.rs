//! The power goes in the recovery, too. Each broken recovery works if nothing happens to it, and must be caught.

use std::io::{self, ErrorKind};
use std::path::Path;

use fz_sim::{Access, Acknowledged, CrashFailure, CrashReport, CrashTest, SimDisk, Storage, Volume, WholeTransfers};

/// The flaw of the recovery.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Twin {
    Right,
    AppliesTwice,
    CutsTheLogFirst,
    ReplacesUnsynced,
    RemovesFirst,
    SkipsTheDirectorySync,
}

const STATE: &str = "/state";
const NEW: &str = "/state.new";
const LOG: &str = "/log";
const RECORD: usize = 8;

fn numbers(file: &dyn Storage) -> io::Result<Vec<u64>> {
    let mut bytes = vec![0; usize::try_from(file.length()?).expect("the files here are short")];
    file.read_exact_at(&mut bytes, 0)?;
    let record = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("a record has eight bytes"));
    Ok(bytes.chunks_exact(RECORD).map(record).take_while(|number| *number > 0).collect())
}

fn open(disk: &dyn Volume, path: &str) -> io::Result<Box<dyn Storage>> {
    disk.open(Path::new(path), Access::ReadWrite)
}

/// Appends the numbers 1, 2, 3, … to the log, each with its sync.
fn append(disk: &SimDisk, acknowledged: &Acknowledged<u64>) {
    disk.put(LOG, b"").unwrap();
    let log = open(disk, LOG).unwrap();
    for number in 1..=4u64 {
        log.write_all_at(&number.to_le_bytes(), (number - 1) * RECORD as u64).unwrap();
        log.sync_data().unwrap();
        acknowledged.push(number);
    }
}

/// Counts the log's records into the state and empties the log. The count.
fn recover(disk: &dyn Volume, twin: Twin) -> io::Result<u64> {
    // The count, and the last record that is in it; both one more than they say, for zero is no number.
    let (mut count, mut applied) = match open(disk, STATE).and_then(|state| numbers(&*state)) {
        Ok(state) => match state[..] {
            [count, applied] => (count - 1, applied - 1),
            _ => return Err(ErrorKind::InvalidData.into()),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => (0, 0),
        Err(error) => return Err(error),
    };
    let log = open(disk, LOG)?;
    for number in numbers(&*log)? {
        if number > applied || twin == Twin::AppliesTwice {
            (count, applied) = (count + 1, applied.max(number));
        }
    }
    let cut_log = || log.set_length(0).and_then(|()| log.sync_data());
    if twin == Twin::CutsTheLogFirst {
        cut_log()?;
    }
    match disk.remove(Path::new(NEW)) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let state = disk.create(Path::new(NEW))?;
    state.write_all_at(&[(count + 1).to_le_bytes(), (applied + 1).to_le_bytes()].concat(), 0)?;
    if twin != Twin::ReplacesUnsynced {
        state.sync_data()?;
    }
    if twin == Twin::RemovesFirst && disk.identity(Path::new(STATE)).is_ok() {
        disk.remove(Path::new(STATE))?;
    }
    disk.rename(Path::new(NEW), Path::new(STATE))?;
    if twin == Twin::ReplacesUnsynced {
        state.sync_data()?;
    }
    if twin != Twin::SkipsTheDirectorySync {
        disk.sync_directory(Path::new("/"))?;
    }
    cut_log()?;
    Ok(count)
}

/// Recovers, as a process does that starts after the cut, and counts.
fn check(image: &SimDisk, acknowledged: &[u64], twin: Twin) -> Result<(), String> {
    let count = recover(image, twin).map_err(|error| format!("the recovery fails: {error}"))?;
    let least = acknowledged.len() as u64;
    if count == least || count == least + 1 { Ok(()) } else { Err(format!("{count} of {least} records")) }
}

fn cut(twin: Twin, seed: u64, recovery_cuts: u32) -> Result<CrashReport, CrashFailure> {
    let test = CrashTest::new(seed).recovery_cuts(recovery_cuts);
    test.run(append, |image, acknowledged| check(image, acknowledged, twin))
}

#[test]
fn the_right_recovery_passes_wherever_it_is_cut() {
    for seed in 0..25 {
        let report = cut(Twin::Right, seed, 4).unwrap_or_else(|failure| panic!("{failure}"));
        assert!(report.recovery_cuts() > 2 * report.images(), "{report}");
    }
}

#[test]
fn every_broken_recovery_is_caught_and_only_because_it_is_cut() {
    for twin in [
        Twin::AppliesTwice,
        Twin::CutsTheLogFirst,
        Twin::ReplacesUnsynced,
        Twin::RemovesFirst,
        Twin::SkipsTheDirectorySync,
    ] {
        let report = cut(twin, 1, 0).unwrap_or_else(|failure| panic!("{twin:?} is wrong without a cut: {failure}"));
        assert_eq!(report.recovery_cuts(), 0);
        let failures: Vec<_> = (0..8).filter_map(|seed| cut(twin, seed, 4).err()).collect();
        assert!(failures.len() >= 6, "{twin:?} got through in {} of 8 tests", 8 - failures.len());
        let failure = &failures[0];
        let last = failure.recoveries().last().expect("a recovery was cut");
        assert!(!last.is_empty(), "{failure}");
        let again = CrashTest::new(failure.seed()).recovery_cuts(4).replay(
            failure.cut_at(),
            failure.image_seed(),
            append,
            |image, acknowledged| check(image, acknowledged, twin),
        );
        let again = again.expect_err("what failed fails again");
        assert_eq!((again.message(), again.history()), (failure.message(), failure.history()));
        assert_eq!(again.recoveries(), failure.recoveries());
        assert!(failure.to_string().contains("then a recovery that was cut, too:"), "{failure}");
    }
}
