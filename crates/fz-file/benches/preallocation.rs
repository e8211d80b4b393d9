//! What each `Preallocation` costs when the file is made, and spares at each sync.
//!
//! `cargo bench -p fz-file --bench preallocation` prints a table. The three take turns within a round, each with a file
//! of its own, and each figure is the median of the rounds. Only the ratios within one run mean anything; run it on an
//! idle machine, on the file system that you mean: the files lie in the target directory.
#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]

use std::error::Error;
use std::time::{Duration, Instant};

use fz_file::{Preallocation, SlotFile, SlotFileConfig};

const SLOT_SIZE: usize = 4096;
/// 32 MiB: a part of the slots, spread over the file, is written twice.
const SLOTS: u64 = 8192;
const COMMITS: u64 = 256;
const ROUNDS: usize = 9;

const KINDS: [Preallocation; 3] = [Preallocation::Sparse, Preallocation::Allocated, Preallocation::Zeroed];

/// What is measured of each kind, by the round.
struct Times {
    open: Vec<Duration>,
    first: Vec<Duration>,
    again: Vec<Duration>,
}

/// One write of a slot and one sync, `COMMITS` times over the file; the time of one.
fn commits(file: &SlotFile, byte: u8) -> Result<Duration, Box<dyn Error>> {
    let bytes = [byte; SLOT_SIZE];
    let start = Instant::now();
    for commit in 0..COMMITS {
        file.write(commit * (SLOTS / COMMITS), &bytes)?;
        file.sync()?;
    }
    Ok(start.elapsed() / u32::try_from(COMMITS)?)
}

fn round(kind: Preallocation, times: &mut Times) -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let config = SlotFileConfig::new(directory.path().join("x"), SLOT_SIZE).initial_slots(SLOTS).preallocation(kind);
    let start = Instant::now();
    let file = SlotFile::open(config)?;
    times.open.push(start.elapsed());
    times.first.push(commits(&file, 1)?);
    times.again.push(commits(&file, 2)?);
    Ok(())
}

fn median(times: &mut [Duration]) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64()
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut times = [const { Times { open: Vec::new(), first: Vec::new(), again: Vec::new() } }; KINDS.len()];
    for _ in 0..ROUNDS {
        for (&kind, times) in KINDS.iter().zip(&mut times) {
            round(kind, times)?;
        }
    }
    println!("{:12} {:>12} {:>16} {:>16}", "", "create, ms", "first write, µs", "write again, µs");
    for (kind, Times { open, first, again }) in KINDS.iter().zip(&mut times) {
        let (open, first, again) = (median(open) * 1e3, median(first) * 1e6, median(again) * 1e6);
        println!("{:12} {open:>12.2} {first:>16.1} {again:>16.1}", format!("{kind:?}"));
    }
    Ok(())
}
