//! The ceiling: one thread, one large write, one sync, alone. For bandwidth also with syncs in between, and
//! with the device told to begin early.

use std::fs::{File, OpenOptions};
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use fz_file::{Access, HostVolume, Storage, Volume};
use hdrhistogram::Histogram;

use crate::Outcome;
use crate::disk::SyncHook as _;
use crate::measure::figures::{Figures, add_latencies, histogram};
use crate::measure::meter::Meter;
use crate::measure::window::Window;
use crate::peers::peer::{Peer, Setup, Writer};
use crate::workload::{MIXED_RECORDS, Shape, Work, payload};

/// Zeros in one call, as many as fz-file writes. The page cache keeps what one call wrote in blocks of up to
/// its size, and every later write to a part of a block costs the kernel a walk over the whole: with
/// larger calls the ceiling would be lower than need be.
const FILL_BYTES: usize = 64 << 10;

/// A file of `bytes` bytes, each block of which was written and synced before, so that a sync of a
/// rewritten block costs no change of the file system's own records.
pub(crate) fn written_file(path: &Path, bytes: u64) -> Outcome<File> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    if file.metadata()?.len() != bytes {
        file.set_len(0)?;
        let zeros = vec![0; FILL_BYTES];
        let mut offset = 0;
        while offset < bytes {
            let piece = usize::try_from((bytes - offset).min(zeros.len() as u64))?;
            file.write_all_at(&zeros[..piece], offset)?;
            offset += piece as u64;
        }
        file.sync_all()?;
    }
    Ok(file)
}

/// What one call of the ceiling's large writes takes, in bytes.
const PIECE_BYTES: usize = 1 << 20;

/// After how many bytes the device is told to begin with them: the pipe's default, `write_back_bytes`.
const WRITE_BACK_BYTES: u64 = 2 << 20;

pub(crate) fn measure(work: &Work, directory: &Path) -> Outcome<Figures> {
    let file = written_file(&directory.join("raw"), work.slots * work.bytes as u64)?;
    match work.shape {
        Shape::Submit { .. } => submit(work, directory, &file),
        Shape::Commit { writers, .. } | Shape::Slow { writers, .. } => {
            commit(work, directory, &file, writers, "commits_per_s")
        }
        Shape::Mixed { .. } => commit(work, directory, &file, MIXED_RECORDS, "writes_per_s"),
        Shape::Bandwidth => stream(work, directory, &file, u64::MAX, None),
        Shape::Scaling { .. } | Shape::Open { .. } | Shape::Pipes { .. } | Shape::ShortPool { .. } => {
            Err("has no ceiling".into())
        }
    }
}

/// As [`measure`] of the bandwidth, with a sync each 16 MiB.
pub(crate) fn measure_steady(work: &Work, directory: &Path) -> Outcome<Figures> {
    let file = written_file(&directory.join("raw"), work.slots * work.bytes as u64)?;
    stream(work, directory, &file, 16 << 20, None)
}

/// As [`measure`] of the bandwidth, with the device told to begin with each stretch when the next one comes.
pub(crate) fn measure_write_back(work: &Work, directory: &Path) -> Outcome<Figures> {
    let path = directory.join("raw");
    let file = written_file(&path, work.slots * work.bytes as u64)?;
    // The safe way to sync_file_range(2).
    let storage = HostVolume.open(&path, Access::ReadWrite)?;
    stream(work, directory, &file, u64::MAX, Some(&*storage))
}

fn commit(work: &Work, directory: &Path, file: &File, records: usize, rate: &str) -> Outcome<Figures> {
    let window = Window::new(work.slots, 1);
    let syncs = AtomicU64::new(0);
    let mut figures = Figures::new();
    let latencies = thread::scope(|scope| {
        let writer = scope.spawn(|| commit_until_over(&window, file, work, records, &syncs));
        let synced = || Some(syncs.load(Ordering::Relaxed));
        let watched = window.watch(work, directory, rate, synced, &mut figures);
        let latencies = writer.join().map_err(|_| "the writer panicked")??;
        watched.map(|()| latencies)
    })?;
    add_latencies(&mut figures, &latencies);
    Ok(figures)
}

fn commit_until_over(
    window: &Window,
    file: &File,
    work: &Work,
    records: usize,
    syncs: &AtomicU64,
) -> Outcome<Histogram<u64>> {
    let payload = payload(work.bytes * records);
    let delay = work.sync_delay();
    let places = file.metadata()?.len() / payload.len() as u64;
    let mut latencies = histogram();
    let mut place = 0;
    while !window.is_over() {
        let counts = window.counts();
        let began = Instant::now();
        file.write_all_at(&payload, place % places * payload.len() as u64)?;
        delay.before();
        file.sync_data()?;
        let took = began.elapsed();
        place += 1;
        syncs.store(place, Ordering::Relaxed);
        window.add(0, records as u64);
        if counts {
            latencies.saturating_record(u64::try_from(took.as_nanos())?);
        }
    }
    Ok(latencies)
}

/// Each write is a pwrite and a sync of its own: what a program does that has many files and no pipe.
#[derive(Debug)]
pub(crate) struct RawCalls {
    file: File,
    syncs: AtomicU64,
}

impl Peer for RawCalls {
    const NAME: &'static str = "raw-calls";
    const REUSES_FILES: bool = true;
    type Writer<'a> = &'a Self;

    fn open(setup: &Setup) -> Outcome<Self> {
        let file = written_file(&setup.directory.join("raw-calls"), setup.file_bytes())?;
        Ok(Self { file, syncs: AtomicU64::new(0) })
    }

    fn writer(&self) -> Outcome<Self::Writer<'_>> {
        Ok(self)
    }

    fn sync(&self) -> Outcome<()> {
        // Every write was durable.
        Ok(())
    }

    fn syncs(&self) -> Option<u64> {
        Some(self.syncs.load(Ordering::Relaxed))
    }
}

impl Writer for &RawCalls {
    fn submit(&mut self, slot: u64, bytes: &[u8]) -> Outcome<()> {
        self.file.write_all_at(bytes, slot * bytes.len() as u64)?;
        self.file.sync_data()?;
        self.syncs.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn commit(&mut self, slot: u64, bytes: &[u8]) -> Outcome<()> {
        self.submit(slot, bytes)
    }
}

/// The ceiling of a submit is a copy to memory.
fn submit(work: &Work, directory: &Path, file: &File) -> Outcome<Figures> {
    let record = payload(work.bytes);
    let mut memory = vec![1_u8; PIECE_BYTES];
    let (meter, mut copying) = (Meter::start(directory), Figures::new());
    for number in 0..usize::try_from(work.slots)? {
        let at = number * work.bytes % PIECE_BYTES;
        memory[at..at + work.bytes].copy_from_slice(black_box(&record));
    }
    let records = work.slots as f64;
    let nanos = meter.stop(&mut copying, records, work.bytes) * 1e9 / records;
    let mut latencies = histogram();
    for number in 0..usize::try_from(work.slots)? {
        let at = number * work.bytes % PIECE_BYTES;
        let began = Instant::now();
        memory[at..at + work.bytes].copy_from_slice(black_box(&record));
        latencies.saturating_record(u64::try_from(began.elapsed().as_nanos())?);
    }
    black_box(&memory);
    let mut figures = stream(work, directory, file, u64::MAX, None)?;
    // The other contestants' processor time holds their submissions; so does this.
    for key in ["cpu_s", "cpu_us", "switches"] {
        *figures.entry(key.to_owned()).or_default() += copying.get(key).copied().unwrap_or_default();
    }
    figures.insert("records".to_owned(), records);
    figures.insert("submit_ns".to_owned(), nanos);
    figures.insert("wall_ns".to_owned(), nanos);
    add_latencies(&mut figures, &latencies);
    Ok(figures)
}

/// Writes the whole file in large pieces, with a sync each `sync_bytes` and one at the end. Tells the device to
/// begin by way of `write_back`, the same file.
fn stream(
    work: &Work,
    directory: &Path,
    file: &File,
    sync_bytes: u64,
    write_back: Option<&dyn Storage>,
) -> Outcome<Figures> {
    let piece = payload(PIECE_BYTES);
    let bytes = work.slots * work.bytes as u64;
    let mut figures = Figures::new();
    let meter = Meter::start(directory);
    let (mut offset, mut syncs) = (0, 0.0);
    while offset < bytes {
        if let Some(storage) = write_back
            && offset > 0
            && offset % WRITE_BACK_BYTES == 0
        {
            storage.write_back(offset - WRITE_BACK_BYTES, WRITE_BACK_BYTES)?;
        }
        file.write_all_at(&piece, offset)?;
        offset += PIECE_BYTES as u64;
        if offset % sync_bytes == 0 || offset >= bytes {
            file.sync_data()?;
            syncs += 1.0;
        }
    }
    let records = work.slots as f64;
    let seconds = meter.stop(&mut figures, records, work.bytes);
    figures.insert("durable_per_s".to_owned(), records / seconds);
    figures.insert("mb_per_s".to_owned(), bytes as f64 / 1e6 / seconds);
    figures.insert("syncs".to_owned(), syncs / records);
    Ok(figures)
}
