//! A log that many threads write to and that never tears, reorders or silently loses a line.
//!
//! `cargo run -p fz-mpsc --example log_aggregator`
//!
//! Workers push records; one writer drains them in batches and writes each batch with one call.
//! The position that a push returns is the record's number in the file, known to the worker before
//! the line is written: the worker can hand it to a client as a receipt. Errors wait for room;
//! debug records do not, they are counted when there is none. The last sender's drop ends the log.
#![expect(clippy::print_stdout, reason = "an example shows what it did")]

use std::fmt::Write as _;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use fz_mpsc::{PushError, QueueConfig, Receiver, Sender, channel};

const WORKERS: usize = 4;
const REQUESTS_PER_WORKER: usize = 2_000;
const BATCH_MAX: usize = 128;

enum Level {
    Debug,
    Error,
}

struct Record {
    level: Level,
    worker: usize,
    text: String,
}

/// Works off requests; every hundredth fails. Returns the numbers of its error lines.
fn work(worker: usize, log: &Sender<Record>, debug_lines_skipped: &AtomicU64) -> Vec<u64> {
    let mut receipts = Vec::new();
    for request in 0..REQUESTS_PER_WORKER {
        let record = |level, what| Record { level, worker, text: format!("request {request} {what}") };
        if request % 100 == 99 {
            match log.push(record(Level::Error, "failed")) {
                Ok(number) => receipts.push(number),
                Err(_) => break, // the writer is gone
            }
        } else {
            match log.try_push(record(Level::Debug, "done")) {
                Ok(_) => {}
                Err(PushError::Full(_)) => {
                    debug_lines_skipped.fetch_add(1, Ordering::Relaxed);
                }
                Err(_) => break,
            }
        }
    }
    receipts
}

/// Writes every record in order of its number, one call for each batch.
fn write_all(mut records: Receiver<Record>, file: &mut impl Write) -> io::Result<()> {
    let (mut batch, mut lines) = (Vec::new(), String::new());
    while records.wait().map_err(io::Error::other)? {
        let first = records.next_position();
        records.drain(&mut batch, BATCH_MAX);
        lines.clear();
        for (number, record) in (first..).zip(batch.drain(..)) {
            let level = match record.level {
                Level::Debug => "DEBUG",
                Level::Error => "ERROR",
            };
            let _ = writeln!(lines, "{number:06} {level} worker {}: {}", record.worker, record.text);
        }
        file.write_all(lines.as_bytes())?;
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (log, records) = channel(QueueConfig::new(1000))?;
    let debug_lines_skipped = AtomicU64::new(0);
    let mut file = Vec::new();

    let receipts = thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS)
            .map(|worker| {
                let (log, skipped) = (log.clone(), &debug_lines_skipped);
                scope.spawn(move || work(worker, &log, skipped))
            })
            .collect();
        drop(log); // the workers' senders are the last ones
        write_all(records, &mut file)?;
        Ok::<_, io::Error>(workers.into_iter().flat_map(|worker| worker.join().unwrap_or_default()).collect::<Vec<_>>())
    })?;

    // Every line is there, in order, and every receipt names an error line.
    let text = String::from_utf8(file)?;
    let lines: Vec<_> = text.lines().collect();
    assert!(lines.iter().zip(1..).all(|(line, number)| line.starts_with(&format!("{number:06} "))));
    for number in &receipts {
        let line = lines[usize::try_from(number - 1)?];
        assert!(line.contains("ERROR"), "{line}");
    }
    assert_eq!(receipts.len(), WORKERS * REQUESTS_PER_WORKER / 100);

    for line in lines.iter().filter(|line| line.contains("ERROR")).take(3) {
        println!("{line}");
    }
    let skipped = debug_lines_skipped.into_inner();
    println!("… {} lines, {} of them errors, {skipped} debug lines skipped", lines.len(), receipts.len());
    assert_eq!(lines.len() as u64 + skipped, (WORKERS * REQUESTS_PER_WORKER) as u64);
    Ok(())
}
