//! Puts a file through the pipeline, slot by slot, from several threads; then reads it back and
//! compares every byte.
//!
//! ```sh
//! cargo run --release -p fz-wpipe --example ingest
//! cargo run --release -p fz-wpipe --example ingest -- --slot-size 128 --threads 4 FILE
//! ```

use std::error::Error;
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use fz_bufpool::{BufPool, BufPoolConfig, BufferSize};
use fz_file::{SlotFile, SlotFileConfig};
use fz_wpipe::{PipeStats, WritePipe, WritePipeConfig, WriteRequest};
use hdrhistogram::Histogram;
use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};
use nix::sys::resource::{UsageWho, getrusage};

type Anything = Box<dyn Error + Send + Sync>;

/// The largest piece that a producer reads of the input at once, in bytes.
const PIECE_BYTES: usize = 256 << 10;
/// What one place in the pipe's queue takes.
const CELL_BYTES: usize = 64;

/// Put a file through a durable write pipeline and prove that all of it arrived.
///
/// The file is cut into slots, which producer threads write through a buffer pool and a pipe into a
/// slot file. When the last ticket says that everything is durable, the slot file is closed, opened
/// again, and compared with the input byte by byte.
#[derive(Parser)]
#[command(after_help = "\
Exit codes: 0 every byte arrived, 1 it did not or something failed, 2 the command line is wrong.

Examples:
  ingest                              the program's own executable, into a temporary directory
  ingest big.iso --out /data/slots    a file of yours, kept as a slot file
  ingest --slot-size 128 --threads 4  small records, four producers")]
struct Arguments {
    /// What to ingest [default: this program's executable]
    file: Option<PathBuf>,

    /// The slot file, made if there is none; existing slots are overwritten [default: a temporary
    /// one, removed at the end]
    #[arg(long, value_name = "PATH")]
    out: Option<PathBuf>,

    /// Bytes a slot: a power of two, 8 to 1048576
    #[arg(long, value_name = "BYTES", default_value_t = 4096)]
    slot_size: usize,

    /// Producer threads
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=64))]
    threads: u8,

    /// Memory of the buffer pool, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..))]
    pool_mib: u16,

    /// Writes that the queue holds
    #[arg(long, value_name = "N", default_value_t = 16_384)]
    queue: usize,

    /// How long an unawaited write may stay in memory, in microseconds
    #[arg(long, value_name = "US", default_value_t = 1000)]
    flush_interval_us: u64,
}

fn main() -> ExitCode {
    match ingest(&Arguments::parse()) {
        Ok(report) => {
            // A reader that went away is no failure of the ingest.
            let _ = io::stdout().write_all(report.as_bytes());
            ExitCode::SUCCESS
        }
        Err(error) => {
            let mut text = format!("ingest: {error}\n");
            let mut cause = error.source();
            while let Some(error) = cause {
                text += &format!("  because: {error}\n");
                cause = error.source();
            }
            let _ = io::stderr().write_all(text.as_bytes());
            ExitCode::FAILURE
        }
    }
}

/// What is read, in pieces, by all producers.
struct Input {
    file: File,
    bytes: u64,
    slot_size: usize,
    pieces_taken: AtomicU64,
}

impl Input {
    fn open(path: &Path, slot_size: usize) -> Result<Self, Anything> {
        let explain = |error: io::Error| format!("cannot read {}: {error}", path.display());
        let file = File::open(path).map_err(explain)?;
        let metadata = file.metadata().map_err(explain)?;
        if !metadata.is_file() {
            return Err(format!("{} is no regular file; name one", path.display()).into());
        }
        if metadata.len() == 0 {
            return Err(format!("{} is empty; there is nothing to ingest", path.display()).into());
        }
        Ok(Self { file, bytes: metadata.len(), slot_size, pieces_taken: AtomicU64::new(0) })
    }

    fn slots(&self) -> u64 {
        self.bytes.div_ceil(self.slot_size as u64)
    }

    fn slots_per_piece(&self) -> u64 {
        (PIECE_BYTES / self.slot_size).max(1) as u64
    }

    /// Reads `piece` into `into`, whole slots, zeros after the end, and says which slot is its
    /// first; `None` past the last piece.
    fn read_piece(&self, piece: u64, into: &mut Vec<u8>) -> io::Result<Option<u64>> {
        let first = piece * self.slots_per_piece();
        let Some(left) = self.slots().checked_sub(first).filter(|&left| left > 0) else { return Ok(None) };
        let offset = first * self.slot_size as u64;
        let slots = usize::try_from(left.min(self.slots_per_piece())).map_err(io::Error::other)?;
        into.clear();
        into.resize(slots * self.slot_size, 0);
        let bytes = usize::try_from((self.bytes - offset).min(into.len() as u64)).map_err(io::Error::other)?;
        self.file.read_exact_at(&mut into[..bytes], offset)?;
        Ok(Some(first))
    }
}

fn ingest(arguments: &Arguments) -> Result<String, Anything> {
    let buffer_size = BufferSize::try_from(arguments.slot_size)?;
    let own;
    let source = if let Some(file) = &arguments.file {
        file
    } else {
        own = std::env::current_exe()?;
        &own
    };
    let input = Input::open(source, arguments.slot_size)?;
    let directory = tempfile::tempdir()?;
    let out = arguments.out.clone().unwrap_or_else(|| directory.path().join("ingest.slots"));
    let progress = Progress::new(&input, source);

    let config = SlotFileConfig::new(&out, arguments.slot_size);
    let file = Arc::new(SlotFile::open(config.clone().initial_slots(input.slots()))?);
    let pool_bytes = (usize::from(arguments.pool_mib) << 20).max(arguments.slot_size);
    let pool = BufPool::new(BufPoolConfig::new(buffer_size, pool_bytes))?;
    let pipe_config = WritePipeConfig::new()
        .queue_capacity(arguments.queue)
        .flush_interval(Duration::from_micros(arguments.flush_interval_us));
    let pipe = WritePipe::new(pipe_config, Arc::clone(&file))?;

    progress.say("writing");
    let began = Instant::now();
    let submits = produce(&input, &pool, &pipe, usize::from(arguments.threads), &progress)?;
    let submitted = began.elapsed();
    pipe.sync().wait()?;
    let durable = began.elapsed();
    let stats = pipe.stats();
    pipe.close()?;
    drop((pipe, file, pool));

    progress.say("reading back and comparing");
    compare(&input, &SlotFile::open(config.read_only(true))?)?;
    progress.end();
    // Each place has a cache line of its own, and their number is a power of two.
    let queue_bytes = arguments.queue.next_power_of_two() * CELL_BYTES;
    Ok(report(&input, &submits, [submitted, durable], stats, pool_bytes + queue_bytes))
}

/// Writes all of the input. Returns how long each allocate + copy + write took, in nanoseconds.
fn produce(
    input: &Input,
    pool: &BufPool,
    pipe: &WritePipe,
    threads: usize,
    progress: &Progress,
) -> Result<Histogram<u64>, Anything> {
    let producer = || -> Result<Histogram<u64>, Anything> {
        let mut submits = Histogram::new(3)?;
        let mut bytes = Vec::new();
        while let Some(first) = input.read_piece(input.pieces_taken.fetch_add(1, Ordering::Relaxed), &mut bytes)? {
            for (slot_index, slot) in (first..).zip(bytes.chunks_exact(input.slot_size)) {
                let began = Instant::now();
                let mut allocation = pool.allocate(1)?;
                allocation.as_mut_slice().copy_from_slice(slot);
                let ticket = pipe.write(WriteRequest { allocation, slot_index })?;
                submits.record(u64::try_from(began.elapsed().as_nanos())?)?;
                // Nobody waits for this one; the sync at the end covers it.
                drop(ticket);
            }
            progress.advance(bytes.len() as u64);
        }
        Ok(submits)
    };
    std::thread::scope(|scope| {
        let producers: Vec<_> = (0..threads).map(|_| scope.spawn(producer)).collect();
        let mut all = Histogram::new(3)?;
        for handle in producers {
            all.add(handle.join().map_err(|_| "a producer panicked")??)?;
        }
        Ok(all)
    })
}

fn compare(input: &Input, file: &SlotFile) -> Result<(), Anything> {
    let (mut wanted, mut found) = (Vec::new(), Vec::new());
    let mut piece = 0;
    while let Some(first) = input.read_piece(piece, &mut wanted)? {
        found.resize(wanted.len(), 0);
        file.read(first, &mut found)?;
        let slots = wanted.chunks_exact(input.slot_size).zip(found.chunks_exact(input.slot_size));
        if let Some(wrong) = slots.clone().position(|(wanted, found)| wanted != found) {
            return Err(format!("slot {} differs from the input", first + wrong as u64).into());
        }
        piece += 1;
    }
    Ok(())
}

fn report(
    input: &Input,
    submits: &Histogram<u64>,
    [submitted, durable]: [Duration; 2],
    stats: PipeStats,
    bound: usize,
) -> String {
    let micros = |quantile: f64| format!("{:.2} us", submits.value_at_quantile(quantile) as f64 / 1000.0);
    let per_second = |amount: f64| amount / durable.as_secs_f64();
    let slots = input.slots();
    let rows = [
        ("input", format!("{} in {} slots of {} B", HumanBytes(input.bytes), HumanCount(slots), input.slot_size)),
        ("submit p50", micros(0.5)),
        ("submit p90", micros(0.9)),
        ("submit p99", micros(0.99)),
        ("submit p99.9", micros(0.999)),
        ("submit max", format!("{:.2} us", submits.max() as f64 / 1000.0)),
        ("all submitted after", format!("{submitted:.2?}")),
        ("all durable after", format!("{durable:.2?}")),
        ("durable", format!("{:.0} records/s", per_second(slots as f64))),
        ("", format!("{:.1} MB/s", per_second(input.bytes as f64) / 1e6)),
        ("batches", HumanCount(stats.batches).to_string()),
        ("syncs", format!("{}, {:.2?} on average", HumanCount(stats.syncs), stats.sync_mean)),
        ("slots per sync", format!("{:.1}", slots as f64 / stats.syncs.max(1) as f64)),
        (
            "ranges",
            format!("{} of consecutive slots, for {} writes", HumanCount(stats.ranges), HumanCount(stats.accepted)),
        ),
        ("peak memory", peak_memory()),
        ("pool + queue", format!("{} at most", HumanBytes(bound as u64))),
    ];
    let table: String = rows.iter().map(|(name, value)| format!("{name:<20} {value}\n")).collect();
    format!("{table}\nall {} bytes read back as written\n", HumanCount(input.bytes))
}

fn peak_memory() -> String {
    // proc(5). Not getrusage(2), whose figure begins with that of the program which ran this one.
    let own = std::fs::read_to_string("/proc/self/status").ok().and_then(|status| {
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kilobytes| kilobytes << 10)
    });
    // In bytes on macOS.
    let whole = || getrusage(UsageWho::RUSAGE_SELF).map(|usage| usage.max_rss().unsigned_abs());
    own.or_else(|| whole().ok()).map_or_else(|| "unknown".to_owned(), |bytes| HumanBytes(bytes).to_string())
}

/// A bar on a terminal, plain lines elsewhere.
struct Progress(Option<ProgressBar>);

impl Progress {
    fn new(input: &Input, source: &Path) -> Self {
        let style = "{msg} [{bar:40}] {bytes}/{total_bytes} {bytes_per_sec}";
        let bar = io::stderr().is_terminal().then(|| ProgressBar::new(input.bytes));
        if let Some(bar) = &bar
            && let Ok(style) = ProgressStyle::with_template(style)
        {
            bar.set_style(style);
        }
        let progress = Self(bar);
        progress.say(&format!("ingesting {}", source.display()));
        progress
    }

    fn say(&self, what: &str) {
        match &self.0 {
            Some(bar) => bar.set_message(what.to_owned()),
            None => drop(writeln!(io::stderr(), "{what}")),
        }
    }

    fn advance(&self, bytes: u64) {
        if let Some(bar) = &self.0 {
            bar.inc(bytes);
        }
    }

    fn end(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}
