//! Lines from standard input into a slot file, with back-pressure from end to end.
//!
//! ```sh
//! seq 1000000 | cargo run --release -p fz-wpipe --example lines -- /tmp/lines.slots
//! ```
//!
//! One slot a line. A reader thread fills buffers as long as the pool has some; an async task
//! forwards them into the pipe's `Sink`. When the disk is slow the queue fills, then the pool, and
//! then the reader stops reading: memory stays where it is, and the pipe's other end waits.

use std::error::Error;
use std::io::{self, BufRead, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use futures_util::{SinkExt, StreamExt, stream};
use fz_bufpool::{Allocation, BufPool, BufPoolConfig, BufferSize};
use fz_file::{Preallocation, SlotFile, SlotFileConfig};
use fz_wpipe::{WritePipe, WritePipeConfig, WriteRequest};

type Anything = Box<dyn Error + Send + Sync>;

const LINE_BYTES: usize = 128;
/// How many slots a new file has; when they are used up, it doubles.
const SLOTS: u64 = 16_384;

/// Write the lines of standard input to a slot file, one slot of 128 bytes a line, durably.
#[derive(Parser)]
struct Arguments {
    /// The slot file, made if there is none; its first slots are overwritten
    out: PathBuf,
}

fn main() -> ExitCode {
    match store(&Arguments::parse().out, io::stdin().lock()) {
        Ok(lines) => {
            let _ = writeln!(io::stdout(), "{lines} lines are durable");
            ExitCode::SUCCESS
        }
        Err(error) => {
            let _ = writeln!(io::stderr(), "lines: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Returns how many lines were stored, when all of them are durable.
fn store(out: &Path, mut input: impl BufRead) -> Result<u64, Anything> {
    let config = SlotFileConfig::new(out, LINE_BYTES).initial_slots(SLOTS).preallocation(Preallocation::Allocated);
    let file = Arc::new(SlotFile::open(config)?);
    let pool = BufPool::new(BufPoolConfig::new(BufferSize::S128, 4096 * LINE_BYTES))?;
    let pipe = WritePipe::new(WritePipeConfig::new().queue_capacity(1024), Arc::clone(&file))?;

    let mut lines = 0;
    let requests = stream::poll_fn(|_| {
        // A blocking read inside a task is fine here: this executor has no other.
        let request = next_line(&mut input, &pool).and_then(|line| {
            let Some(allocation) = line else { return Ok(None) };
            if lines == file.slots() {
                file.grow(lines)?;
            }
            lines += 1;
            Ok(Some(WriteRequest { allocation, slot_index: lines - 1 }))
        });
        std::task::Poll::Ready(request.transpose())
    });
    futures_executor::block_on(requests.forward(pipe.sink().sink_map_err(Anything::from)))?;
    pipe.close()?;
    Ok(lines)
}

/// The next line in a buffer of its own, cut to what fits; `None` at the end.
fn next_line(input: &mut impl BufRead, pool: &BufPool) -> Result<Option<Allocation>, Anything> {
    let mut line = Vec::with_capacity(LINE_BYTES);
    if input.by_ref().take(LINE_BYTES as u64).read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    if line.last() != Some(&b'\n') {
        // Passed over, not read into memory: a line may be as long as it likes.
        input.skip_until(b'\n')?;
    }
    let mut allocation = pool.allocate(1)?;
    let slot = allocation.as_mut_slice();
    slot.fill(0);
    slot[..line.len()].copy_from_slice(&line);
    Ok(Some(allocation))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_is_cut_and_the_next_one_begins_behind_it() -> Result<(), Anything> {
        let directory = tempfile::tempdir()?;
        let path = directory.path().join("lines");
        let long = [127, 128, 129, 1000].map(|length| "x".repeat(length));
        assert_eq!(store(&path, format!("{}\nend", long.join("\n")).as_bytes())?, 5);

        let file = SlotFile::open(SlotFileConfig::new(&path, LINE_BYTES).read_only(true))?;
        let mut slot = [0; LINE_BYTES];
        for (line, x) in (0..).zip([127, 128, 128, 128]) {
            file.read(line, &mut slot)?;
            assert_eq!(slot.iter().filter(|&&byte| byte == b'x').count(), x, "line {line}");
        }
        file.read(4, &mut slot)?;
        assert!(slot.starts_with(b"end\0"));
        Ok(())
    }

    #[test]
    fn every_line_has_its_slot() -> Result<(), Anything> {
        let directory = tempfile::tempdir()?;
        let path = directory.path().join("lines");
        let count = 3 * SLOTS / 2;
        let input: String = (0..count).map(|line| format!("line {line}\n")).collect();
        assert_eq!(store(&path, input.as_bytes())?, count);

        let file = SlotFile::open(SlotFileConfig::new(&path, LINE_BYTES).read_only(true))?;
        let mut slot = [0; LINE_BYTES];
        for line in [0, 1, SLOTS, count - 1] {
            file.read(line, &mut slot)?;
            let wanted = format!("line {line}\n");
            assert_eq!(&slot[..wanted.len()], wanted.as_bytes());
        }
        Ok(())
    }
}
