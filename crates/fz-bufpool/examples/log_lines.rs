//! Several threads format log lines into buffers of one bounded pool; one thread writes them out.
//!
//! The pool is the backpressure: with 64 lines under way, the next producer waits until the
//! writer has released some. The writer merges neighbours, so that it writes and releases many
//! lines at once.
//!
//! ```sh
//! cargo run -p fz-bufpool --example log_lines > /dev/null
//! ```

use std::io::{self, Write};
use std::sync::mpsc;
use std::thread;

use fz_bufpool::{Allocation, BufPool, BufPoolConfig, BufPoolError, BufferSize};

const PRODUCERS: usize = 4;
const LINES_PER_PRODUCER: usize = 10_000;
/// How many lines the writer gathers at most before it writes.
const GATHER_MAX: usize = 16;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pool = BufPool::new(BufPoolConfig::new(BufferSize::S128, 64 * 128))?;
    let (sender, receiver) = mpsc::channel();
    let (lines, writes) = thread::scope(|scope| {
        let writer = scope.spawn(|| write_out(receiver, io::stdout().lock()));
        for producer in 0..PRODUCERS {
            let (pool, sender) = (pool.clone(), sender.clone());
            scope.spawn(move || produce(&pool, &sender, producer).expect("one buffer of 64 can always be had"));
        }
        drop(sender);
        writer.join().expect("the writer does not panic")
    })?;
    let stats = pool.stats();
    writeln!(
        io::stderr(),
        "{lines} lines in {writes} writes; {} of {} buffers in use, {} requests waited",
        stats.in_use,
        stats.capacity,
        stats.waits
    )?;
    assert_eq!((lines, stats.in_use), (PRODUCERS * LINES_PER_PRODUCER, 0));
    Ok(())
}

fn produce(pool: &BufPool, sender: &mpsc::Sender<Allocation>, producer: usize) -> Result<(), BufPoolError> {
    for line in 0..LINES_PER_PRODUCER {
        // Waits here while the writer is behind.
        let mut allocation = pool.allocate(1)?;
        let text = format!("producer {producer} line {line}");
        let width = allocation.len() - 1;
        allocation.copy_from_slice(format!("{text:<width$}\n").as_bytes())?;
        if sender.send(allocation).is_err() {
            // The writer failed and says so itself.
            break;
        }
    }
    Ok(())
}

/// Writes all lines; returns how many, and in how many writes.
#[expect(clippy::needless_pass_by_value, reason = "the writer owns its end, so that producers see when it is gone")]
fn write_out(receiver: mpsc::Receiver<Allocation>, mut out: impl Write) -> io::Result<(usize, usize)> {
    let (mut lines, mut writes) = (0, 0);
    while let Ok(first) = receiver.recv() {
        let mut runs = vec![first];
        for next in receiver.try_iter().take(GATHER_MAX - 1) {
            let last = runs.last_mut().expect("it begins with one");
            if let Err(apart) = last.try_append(next) {
                runs.push(apart);
            }
        }
        for run in runs {
            out.write_all(run.as_slice())?;
            lines += run.count();
            writes += 1;
        }
    }
    Ok((lines, writes))
}
