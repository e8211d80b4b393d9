//! A pipe under load, watched live through its metrics, with its events on standard error.
//!
//! ```sh
//! cargo run --release -p fz-wpipe --features metrics,tracing --example live
//! cargo run --release -p fz-wpipe --features metrics,tracing --example live -- --seconds 10 --threads 8
//! ```

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use fz_bufpool::{BufPool, BufPoolConfig, BufferSize};
use fz_file::{SlotFile, SlotFileConfig};
use fz_wpipe::{WritePipe, WritePipeConfig, WriteRequest};
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};

type Anything = Box<dyn Error + Send + Sync>;

const SLOTS: u64 = 65_536;
const POOL_BUFFERS: usize = 8192;
const PERIOD: Duration = Duration::from_millis(250);

/// Load a pipe and print, four times a second, what its metrics say.
#[derive(Parser)]
struct Arguments {
    /// How long
    #[arg(long, value_name = "N", default_value_t = 3)]
    seconds: u64,
    /// Writers; every sixteenth write of each is awaited
    #[arg(long, value_name = "N", default_value_t = 2)]
    threads: u64,
}

fn main() -> Result<(), Anything> {
    let arguments = Arguments::parse();
    // Spans of rounds are at the level debug: ask for it to see each one.
    tracing_subscriber::fmt().with_max_level(tracing::Level::ERROR).with_writer(io::stderr).init();
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    recorder.install()?;

    let directory = tempfile::tempdir()?;
    let config = SlotFileConfig::new(directory.path().join("live"), 512).initial_slots(SLOTS);
    let file = Arc::new(SlotFile::open(config)?);
    let pool = BufPool::new(BufPoolConfig::new(BufferSize::S512, POOL_BUFFERS * 512))?;
    let pipe = WritePipe::new(WritePipeConfig::new().module_id(1), file)?;
    let done = AtomicBool::new(false);

    std::thread::scope(|scope| -> Result<(), Anything> {
        let writers: Vec<_> = (0..arguments.threads)
            .map(|writer| {
                let (pool, pipe, done) = (&pool, &pipe, &done);
                scope.spawn(move || load(writer, pool, pipe, done))
            })
            .collect();
        let watched = watch(&snapshotter, &pool, Duration::from_secs(arguments.seconds));
        done.store(true, Ordering::Relaxed);
        for writer in writers {
            writer.join().map_err(|_| "a writer panicked")??;
        }
        watched
    })?;
    pipe.close()?;
    Ok(())
}

fn load(writer: u64, pool: &BufPool, pipe: &WritePipe, done: &AtomicBool) -> Result<(), Anything> {
    let mut count = 0_u64;
    while !done.load(Ordering::Relaxed) {
        count += 1;
        let mut allocation = pool.allocate(1)?;
        allocation.as_mut_slice().fill(count.to_le_bytes()[0]);
        let ticket = pipe.write(WriteRequest { allocation, slot_index: (writer * 7919 + count) % SLOTS })?;
        if count.is_multiple_of(16) {
            ticket.wait()?;
        }
    }
    Ok(())
}

/// Prints a line each period: in place on a terminal, one below the other elsewhere.
fn watch(snapshotter: &Snapshotter, pool: &BufPool, total: Duration) -> Result<(), Anything> {
    let mut out = io::stdout();
    let (begin, end) = if out.is_terminal() { ("\r", "") } else { ("", "\n") };
    writeln!(out, "  writes/s   syncs/s   write p50   sync p50   queue   pool in use   durable epoch")?;
    let began = Instant::now();
    while began.elapsed() < total {
        std::thread::sleep(PERIOD);
        let now = read(snapshotter);
        let get = |name: &str| now.get(name).copied().unwrap_or(0.0);
        let per_second = |name| get(name) / PERIOD.as_secs_f64();
        let in_use = pool.stats().in_use;
        write!(
            out,
            "{begin}{:>10.0} {:>9.0} {:>8.0} us {:>7.0} us {:>7} {:>6} / {POOL_BUFFERS} {:>15}{end}",
            per_second("fz_wpipe_writes"),
            per_second("fz_wpipe_syncs"),
            get("fz_wpipe_write_seconds") * 1e6,
            get("fz_wpipe_sync_seconds") * 1e6,
            get("fz_wpipe_queue_depth"),
            in_use,
            get("fz_wpipe_durable_epoch"),
        )?;
        out.flush()?;
    }
    writeln!(out)?;
    Ok(())
}

/// The metrics since the last reading: counts, medians, and levels.
fn read(snapshotter: &Snapshotter) -> BTreeMap<String, f64> {
    let number = |value| match value {
        DebugValue::Counter(count) => count as f64,
        DebugValue::Gauge(level) => level.into_inner(),
        DebugValue::Histogram(mut values) => {
            values.sort_unstable();
            values.get(values.len() / 2).map_or(0.0, |median| median.into_inner())
        }
    };
    let metrics = snapshotter.snapshot().into_vec().into_iter();
    metrics.map(|(key, _, _, value)| (key.key().name().to_owned(), number(value))).collect()
}
